"""`cadenza serve`: the studio, and the keys of those who may use it from elsewhere."""

import os
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.core import TyperGroup

from cadenza.cli.values import Device, Precision, Threads, number, set_threads, show_notices, whole_number
from cadenza.errors import UserError

if TYPE_CHECKING:
    from cadenza.serve.studio.keys import Keys


class Group(TyperGroup):
    """Says which command comes behind it in a context of the class that typer names."""

    context_class = typer.Context


app = typer.Typer(help="The studio: a page and an HTTP API, with a queue and a library.", cls=Group)
keys = typer.Typer(help="Keys: who may use the studio from elsewhere.", no_args_is_help=True)
app.add_typer(keys, name="keys")

Directory = Annotated[
    Path | None,
    typer.Option(metavar="DIR", help="The library: takes, uploads, database. [default: the place for your data]"),
]
Address = Annotated[
    str | None, typer.Option(metavar="URL", help="SQLAlchemy's address. [default: SQLite in the library]")
]
Name = Annotated[str, typer.Argument(metavar="NAME", help="What the key is known by.")]


@app.callback(invoke_without_command=True)
def serve(
    context: typer.Context,
    host: Annotated[
        str, typer.Option(metavar="H", help="Address to listen at; others get in at one of yours, with a key.")
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option(metavar="N", parser=whole_number, help="0: any that is free.")] = 8764,
    browser: Annotated[
        bool, typer.Option("--browser/--no-browser", help="Open the page, where there is a browser.")
    ] = True,
    directory: Directory = None,
    model: Annotated[
        str | None,
        typer.Option(metavar="M", help="Plays unless another is asked for. [default: the one that comes along]"),
    ] = None,
    device: Device = None,
    precision: Precision = None,
    threads: Threads = None,
    places: Annotated[int, typer.Option(metavar="N", parser=whole_number, help="Takes that are made at once.")] = 8,
    quota_gb: Annotated[
        float, typer.Option(metavar="GB", parser=number, help="Size at which the library is full.")
    ] = 20.0,
    keep_days: Annotated[
        float | None,
        typer.Option(metavar="D", parser=number, help="Delete takes without a star after so long. [default: never]"),
    ] = None,
    keep_uploads_days: Annotated[
        float,
        typer.Option(metavar="D", parser=number, help="Delete uploads after so long, but none that is still needed."),
    ] = 30.0,
    max_duration: Annotated[float, typer.Option(metavar="S", parser=number, help="Longest take, seconds.")] = 600.0,
    name: Annotated[
        list[str] | None, typer.Option(metavar="NAME", help="What else this machine is called by those who ask.")
    ] = None,
    key_file: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Keys, one a line, beside those of `cadenza serve keys`.")
    ] = None,
    database: Address = None,
    cluster: Annotated[
        bool, typer.Option("--cluster", help="Let copies of the model play on the machines of a Ray cluster.")
    ] = False,
    cluster_address: Annotated[
        str | None,
        typer.Option(metavar="A", help="auto, or HOST:PORT. [default: a cluster of this machine, begun here]"),
    ] = None,
    min_replicas: Annotated[
        int | None, typer.Option(metavar="N", parser=whole_number, help="Copies, at least. [default: 1]")
    ] = None,
    max_replicas: Annotated[
        int | None, typer.Option(metavar="N", parser=whole_number, help="Copies, at most. [default: 2, or the least]")
    ] = None,
    replica_cpus: Annotated[
        float | None, typer.Option(metavar="N", parser=number, help="Cores of each copy. [default: 1]")
    ] = None,
    replica_gpus: Annotated[
        float | None, typer.Option(metavar="N", parser=number, help="GPUs of each copy; 0.5 shares one. [default: 0]")
    ] = None,
    grow_after: Annotated[
        float | None,
        typer.Option(metavar="S", parser=number, help="How long pieces wait until another copy begins. [default: 5]"),
    ] = None,
    shrink_after: Annotated[
        float | None,
        typer.Option(metavar="S", parser=number, help="How long a copy is not needed until it ends. [default: 300]"),
    ] = None,
    mark: Annotated[
        bool, typer.Option("--mark", help="Say in every file's metadata that a machine made the music.")
    ] = False,
) -> None:
    """Open the studio: a page on this machine, and an HTTP API for programs.

    Music that is asked for is made even if the studio is ended in between. Ctrl-C ends it.
    """
    if context.invoked_subcommand is not None:
        if directory is not None or database is not None:
            raise UserError(
                "--directory and --database of keys stand behind them: cadenza serve keys list --directory D"
            )
        return
    of_cluster = {
        "cluster_address": cluster_address,
        "min_replicas": min_replicas,
        "max_replicas": max_replicas,
        "replica_cpus": replica_cpus,
        "replica_gpus": replica_gpus,
        "grow_after": grow_after,
        "shrink_after": shrink_after,
    }
    if not cluster and (given := next((name for name, value in of_cluster.items() if value is not None), None)):
        raise UserError(f"--{given.replace('_', '-')} is about a cluster: give --cluster too")
    show_notices()
    set_threads(threads)
    from cadenza.serve.studio.app import serve as serve_studio
    from cadenza.serve.studio.settings import StudioSettings

    chosen: dict[str, Any] = {
        "directory": directory,
        "database": database,
        "host": host,
        "port": port,
        "names": tuple(name or ()),
        "key_file": key_file,
        "model": model,
        "device": device,
        "precision": precision,
        "max_requests": places,
        "max_duration_seconds": max_duration,
        "quota_gb": quota_gb,
        "keep_days": keep_days,
        "keep_uploads_days": keep_uploads_days,
        "mark": mark,
        "cluster": (cluster_address or "local") if cluster else None,
        "min_replicas": min_replicas,
        "max_replicas": max_replicas if max_replicas is not None else max(2, min_replicas or 1),
        "replica_cpus": replica_cpus,
        "replica_gpus": replica_gpus,
        "grow_after_seconds": grow_after,
        "shrink_after_seconds": shrink_after,
    }
    settings = StudioSettings(**{field: value for field, value in chosen.items() if value is not None})
    serve_studio(settings, lambda address: _announce(address, browser))
    print(f"cadenza: closed; what was waiting is made the next time ({settings.directory})", file=sys.stderr)


def _announce(address: str, browser: bool) -> None:
    print(f"{address}  (Ctrl-C ends it; everything is kept)", flush=True)
    has_screen = sys.platform != "linux" or os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")
    if browser and has_screen:
        import webbrowser

        webbrowser.open(address)


@keys.command()
def add(
    name: Name,
    requests: Annotated[
        int, typer.Option(metavar="N", parser=whole_number, help="Requests a minute that it may make.")
    ] = 600,
    seconds: Annotated[
        float, typer.Option(metavar="S", parser=number, help="Seconds of music that may wait or be made at a time.")
    ] = 3600.0,
    jobs: Annotated[
        int, typer.Option(metavar="N", parser=whole_number, help="Jobs that may wait or be made at a time.")
    ] = 16,
    directory: Directory = None,
    database: Address = None,
) -> None:
    """Make a key. It is shown once and kept as a hash: write it down."""
    from cadenza.serve.studio.keys import Limits

    limits = Limits(requests_per_minute=requests, queued_seconds=seconds, jobs=jobs)
    with _Opened(directory, database) as opened:
        key = opened.add(name, limits)
        try:
            print(key, flush=True)
        except OSError as error:
            opened.revoke(name)
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # else it is tried once more at the end
            raise UserError(
                f"the key could not be shown ({error.strerror}) and does not count: say where it is to be written"
            ) from error
    print("cadenza: shown this once; programs send it as `Authorization: Bearer KEY`", file=sys.stderr)


@keys.command("list")
def show(directory: Directory = None, database: Address = None) -> None:
    """The keys that count, without the keys themselves."""
    with _Opened(directory, database) as opened:
        rows = opened.rows()
    for row in rows:
        made = datetime.fromtimestamp(row.created, UTC)
        print(
            f"{row.name}: made {made:%Y-%m-%d}, {row.requests_per_minute} requests a minute, "
            f"{row.queued_seconds:g} s of music and {row.jobs} jobs at a time"
        )
    if not rows:
        print("no keys: the studio is for this machine alone")


@keys.command()
def revoke(name: Name, directory: Directory = None, database: Address = None) -> None:
    """A key counts no more, at once: also for a studio that is open."""
    with _Opened(directory, database) as opened:
        opened.revoke(name)
    print(f"{name}: revoked")


class _Opened:
    """The keys of a library, whether its studio is open or not."""

    def __init__(self, directory: Path | None, address: str | None) -> None:
        from cadenza.serve.studio.house import DATABASE
        from cadenza.serve.studio.settings import library_directory
        from cadenza.serve.studio.tables import Database

        folder = (directory or library_directory()).expanduser().absolute()
        if address is None:
            folder.mkdir(parents=True, exist_ok=True)
        self._database = Database(address or folder / DATABASE)

    def __enter__(self) -> "Keys":
        from cadenza.serve.studio.keys import Keys

        return Keys(self._database)

    def __exit__(self, *_: object) -> None:
        self._database.close()
