"""`cadenza data`: from recordings to a manifest that can be trained on."""

from pathlib import Path
from typing import Annotated

import typer

from cadenza.cli.progress import counter
from cadenza.cli.values import number, show_notices, whole_number

app = typer.Typer(help="Prepare recordings for training.", no_args_is_help=True)


@app.callback()
def data() -> None:
    """Prepare recordings for training."""


@app.command()
def scan(
    folder: Annotated[Path, typer.Argument(metavar="FOLDER", help="Where the recordings are.")],
    out: Annotated[
        Path | None, typer.Option(metavar="FILE", help="The manifest. [default: manifest.jsonl in the folder]")
    ] = None,
    min_seconds: Annotated[
        float, typer.Option(metavar="S", parser=number, help="Shorter recordings are left out.")
    ] = 1.0,
    captions_from_names: Annotated[
        bool, typer.Option("--captions-from-names", help="Where nothing else is known, take file and folder names.")
    ] = False,
    workers: Annotated[int, typer.Option(metavar="N", parser=whole_number, help="Processes.")] = 1,
) -> None:
    """List a folder's recordings with their captions; what cannot be used is listed in skipped.jsonl.

    Goes on where an earlier scan stopped, and reads only what has changed since.
    """
    show_notices()
    from cadenza.data.scan import scan as scan_folder

    report = scan_folder(folder, out, min_seconds, captions_from_names, workers, counter("files"))
    print("\n".join(report.lines()))
