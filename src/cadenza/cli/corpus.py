"""`cadenza corpus`: the composer's training data."""

from pathlib import Path
from typing import Annotated

import typer

from cadenza.cli.values import number, show_notices, whole_number

app = typer.Typer(help="Compose training data.", no_args_is_help=True)


@app.callback()
def corpus() -> None:
    """Compose training data."""


@app.command()
def build(
    out: Annotated[Path, typer.Option(metavar="DIR", help="Folder of the dataset.")],
    hours: Annotated[float, typer.Option(metavar="H", parser=number, help="How much music.")] = 1.0,
    seed: Annotated[
        int, typer.Option(metavar="N", parser=whole_number, help="Which corpus; others share no piece.")
    ] = 0,
    workers: Annotated[int, typer.Option(metavar="N", parser=whole_number, help="Processes.")] = 1,
    soundfont: Annotated[Path | None, typer.Option(metavar="F", help="A General MIDI soundfont (.sf2).")] = None,
) -> None:
    """Compose and render pieces with captions; goes on where an earlier build stopped."""
    show_notices()
    from cadenza.corpus.build import build as build_corpus

    print(build_corpus(out, hours, seed, workers, None if soundfont is None else str(soundfont)))
