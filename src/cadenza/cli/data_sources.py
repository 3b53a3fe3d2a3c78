"""`cadenza data musiccaps`, `songdescriber` and `hub`: known data sets to a manifest."""

from pathlib import Path
from typing import Annotated

import typer

from cadenza.cli.progress import counter, resumable
from cadenza.cli.values import show_notices, whole_number

Table = Annotated[Path, typer.Argument(metavar="CSV", help="The data set's own table.")]
Workers = Annotated[int, typer.Option(metavar="N", parser=whole_number, help="Processes that measure.")]
Limit = Annotated[
    int | None, typer.Option(metavar="N", parser=whole_number, help="Only the first rows. [default: all]")
]


def musiccaps(
    table: Table,
    out: Annotated[Path, typer.Option(metavar="DIR", help="Folder of the data set.")],
    audio: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Clips or sound tracks on disk, named by the video's id.")
    ] = None,
    fetch: Annotated[bool, typer.Option("--fetch/--no-fetch", help="Use yt-dlp for what is not on disk.")] = True,
    yt_dlp: Annotated[str, typer.Option(metavar="PROGRAM", help="The program that fetches.")] = "yt-dlp",
    jobs: Annotated[int, typer.Option(metavar="N", parser=whole_number, help="Fetched at once.")] = 2,
    limit: Limit = None,
    workers: Workers = 1,
) -> None:
    """MusicCaps from its own table.

    Clips of ten seconds with captions; run again to go on. What cannot be had is listed in missing.jsonl, which
    can be deleted to try again what is gone. `cadenza data split` makes the 80/20 split of the NCNU paper.
    """
    show_notices()
    from cadenza.data.musiccaps import import_musiccaps, missing_lines

    with resumable():
        report, missing = import_musiccaps(table, out, audio, fetch, yt_dlp, jobs, workers, limit, counter("clips"))
    print("\n".join(report.lines() + missing_lines(missing, out)))


def songdescriber(
    table: Table,
    audio: Annotated[Path, typer.Option(metavar="DIR", help="Folder of the recordings, as unpacked.")],
    out: Annotated[
        Path | None, typer.Option(metavar="FILE", help="The manifest. [default: manifest.jsonl in that folder]")
    ] = None,
    valid_only: Annotated[bool, typer.Option("--valid-only", help="Only captions that were checked.")] = False,
    workers: Workers = 1,
) -> None:
    """The Song Describer dataset.

    706 tracks with 1,106 captions, for evaluation.
    """
    show_notices()
    from cadenza.data.songdescriber import import_songdescriber

    with resumable():
        report = import_songdescriber(table, audio, out, valid_only, workers, counter("recordings"))
    print("\n".join(report.lines()))


def hub(
    source: Annotated[str, typer.Argument(metavar="NAME", help="A data set on the Hub, or a folder.")],
    out: Annotated[Path, typer.Option(metavar="DIR", help="Folder of the data set.")],
    audio_column: Annotated[
        str | None, typer.Option(metavar="C", help="Where the sound is. [default: the column of that kind]")
    ] = None,
    caption_column: Annotated[
        str | None, typer.Option(metavar="C", help="Where the words are. [default: caption, text, description, ...]")
    ] = None,
    split: Annotated[str | None, typer.Option(metavar="NAME", help="Only this split. [default: all]")] = None,
    limit: Limit = None,
    workers: Workers = 1,
) -> None:
    """A Hugging Face data set.

    To files and a manifest; run again to go on.
    """
    show_notices()
    from cadenza.data.hub import import_hub

    with resumable():
        report = import_hub(source, out, audio_column, caption_column, split, limit, workers, counter("recordings"))
    print("\n".join(report.lines()))
