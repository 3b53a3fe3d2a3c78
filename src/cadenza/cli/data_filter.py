"""`cadenza data filter`: tags for voices, noise and what is no music; and a manifest without them."""

import sys
from pathlib import Path
from typing import Annotated

import typer

from cadenza.cli.progress import counter
from cadenza.cli.values import number, show_notices, whole_number

SIGNAL_NOTICE = (
    "cadenza: judged by the signal alone, which hears talk but not singing: for voices give --tagger, "
    "or listen with cadenza data review"
)


def filter_recordings(
    manifest: Annotated[Path, typer.Argument(metavar="MANIFEST", help="A manifest, or the folder that holds one.")],
    drop: Annotated[
        str, typer.Option(metavar="TAGS", help="Leave these out: vocals,noise,non-music, or some of them.")
    ] = "",
    threshold: Annotated[
        float, typer.Option(metavar="P", parser=number, help="Leave out from this probability on.")
    ] = 0.5,
    tagger: Annotated[
        str | None,
        typer.Option(metavar="M", help="A trained tagger: folder, or name on the Hub. [default: the signal alone]"),
    ] = None,
    out: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Where to write. [default: beside the manifest]")
    ] = None,
    workers: Annotated[int, typer.Option(metavar="N", parser=whole_number, help="Processes.")] = 1,
) -> None:
    """Tag voices, noise and what is no music (tagged.jsonl); with --drop leave them out (filtered.jsonl).

    What was left out, and why, stands in dropped.jsonl. No audio is deleted.
    """
    show_notices()
    from cadenza.data.filter import filter_manifest

    wanted = [name.strip() for name in drop.split(",") if name.strip()]
    if tagger is None and "vocals" in wanted:
        print(SIGNAL_NOTICE, file=sys.stderr)
    report = filter_manifest(manifest, out, wanted, threshold, tagger, workers, counter("recordings"))
    print("\n".join(report.lines()))
