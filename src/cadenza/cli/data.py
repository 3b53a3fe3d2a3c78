"""`cadenza data`: from recordings to a manifest that can be trained on."""

from pathlib import Path
from typing import Annotated

import typer

from cadenza.cli import data_filter, data_review, data_sources
from cadenza.cli.progress import counter, resumable
from cadenza.cli.tokens import tokens
from cadenza.cli.values import number, show_notices, whole_number
from cadenza.errors import UserError

Manifest = Annotated[Path, typer.Argument(metavar="MANIFEST", help="A manifest, or the folder that holds it.")]
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
    """List a folder's recordings with captions.

    What cannot be used is listed in skipped.jsonl. Goes on where an earlier scan stopped, and reads only
    what has changed since.
    """
    show_notices()
    from cadenza.data.scan import scan as scan_folder

    with resumable():
        report = scan_folder(folder, out, min_seconds, captions_from_names, workers, counter("files"))
    print("\n".join(report.lines()))


@app.command()
def split(
    manifest: Manifest,
    test: Annotated[float, typer.Option(metavar="P", parser=number, help="Share of all for testing.")] = 0.2,
    valid: Annotated[float, typer.Option(metavar="P", parser=number, help="Share of the rest for validation.")] = 0.2,
    seed: Annotated[int, typer.Option(metavar="N", parser=whole_number, help="Which choice.")] = 0,
    by: Annotated[str, typer.Option(metavar="WHAT", help="What stays together: artist or track.")] = "artist",
    again: Annotated[bool, typer.Option("--again", help="Choose for all anew, not only for what is new.")] = False,
) -> None:
    """Choose what trains, validates and tests.

    No artist (or track) is in two of them; what was chosen before stays.
    """
    show_notices()
    from collections import Counter

    from cadenza.data.manifest import manifest_path, read_manifest, write_manifest
    from cadenza.data.splits import split_entries

    if by not in ("artist", "track"):
        raise typer.BadParameter(f"{by!r}: give artist or track", param_hint="--by")
    path = manifest_path(manifest)
    entries = split_entries(read_manifest(path, missing="keep"), test, valid, seed, by, again)  # type: ignore[arg-type]
    write_manifest(path, entries)
    numbers = Counter(entry.split for entry in entries)
    print(f"{path}: " + ", ".join(f"{numbers[name]} {name}" for name in ("train", "valid", "test")))


@app.command()
def check(
    manifest: Manifest,
    decode: Annotated[
        bool, typer.Option("--decode", help="Read the recordings whole, not only their headers.")
    ] = False,
    drop: Annotated[bool, typer.Option("--drop", help="Take what is wrong out of the manifest.")] = False,
) -> None:
    """Compare a manifest with its recordings.

    The exit code is 2 where it is wrong.
    """
    show_notices()
    from cadenza.data.check import check_manifest, drop_wrong

    findings = check_manifest(manifest, decode, counter("recordings"))
    print("\n".join(findings.lines()))
    if findings.wrong and drop:
        drop_wrong(findings)
        print(f"{len(findings.wrong)} taken out")
    elif findings.wrong:
        raise UserError(
            f"{len(findings.wrong)} of {len(findings.entries)} recordings are not as the manifest says: "
            "put them right, scan again, or --drop them"
        )


app.command()(tokens)


app.command()(data_sources.musiccaps)
app.command()(data_sources.songdescriber)
app.command()(data_sources.hub)


app.command("filter")(data_filter.filter_recordings)
app.command("review")(data_review.review)
