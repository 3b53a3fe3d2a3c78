"""`cadenza finetune`: a folder of own tracks to an adapter."""

import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from cadenza.cli import INTERRUPTED
from cadenza.cli.progress import counter
from cadenza.cli.values import Device, Threads, number, set_threads, show_notices, whole_number
from cadenza.errors import UserError


def finetune(
    folder: Annotated[Path, typer.Argument(metavar="FOLDER", help="Your tracks: wav, flac, mp3, ogg, ...")],
    output: Annotated[
        Path, typer.Option("--output", "-o", metavar="FILE", help="The adapter; with --full a model directory.")
    ] = Path("adapter.safetensors"),
    model: Annotated[
        str | None, typer.Option(metavar="M", help="Directory, file or Hub name. [default: the one that comes along]")
    ] = None,
    caption: Annotated[
        str | None, typer.Option(metavar="TEXT", help="In front of every caption, such as a name for the style.")
    ] = None,
    minutes: Annotated[
        float | None, typer.Option(metavar="M", parser=number, help="Time for training at most. [default: 8]")
    ] = None,
    steps: Annotated[
        int | None, typer.Option(metavar="N", parser=whole_number, help="Updates at most. [default: by the music]")
    ] = None,
    full: Annotated[bool, typer.Option("--full", help="Train all weights, not an adapter.")] = False,
    rank: Annotated[
        int | None, typer.Option(metavar="R", parser=whole_number, help="Width of the adapter. [default: 16]")
    ] = None,
    alpha: Annotated[
        float | None, typer.Option(metavar="A", parser=number, help="It counts alpha / rank. [default: the rank]")
    ] = None,
    learning_rate: Annotated[
        float | None, typer.Option(metavar="LR", parser=number, help="[default: by the model's width]")
    ] = None,
    batch_size: Annotated[
        int | None, typer.Option(metavar="N", parser=whole_number, help="Windows per update. [default: 4]")
    ] = None,
    window: Annotated[
        float | None, typer.Option(metavar="S", parser=number, help="Their length. [default: the model's; 10 on a CPU]")
    ] = None,
    seed: Annotated[int | None, typer.Option(metavar="N", parser=whole_number, help="[default: 0]")] = None,
    device: Device = None,
    precision: Annotated[
        str | None,
        typer.Option(
            metavar="P", help="Of the frozen weights: fp32, bf16, int8 or int4. [default: bf16 where it is fast]"
        ),
    ] = None,
    threads: Threads = None,
    examples: Annotated[
        int | None, typer.Option(metavar="N", parser=whole_number, help="Pieces made before and after. [default: 2]")
    ] = None,
    excerpts: Annotated[
        int | None,
        typer.Option(
            metavar="N", parser=whole_number, help="Openings of tracks that it plays on by heart. [default: 8]"
        ),
    ] = None,
    report: Annotated[
        Path | None, typer.Option("--out-report", metavar="DIR", help="Folder of the report. [default: beside FILE]")
    ] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on with a run that was ended.")] = False,
) -> int:
    """Teach a model your own tracks; Ctrl-C keeps what it has learnt so far.

    Words for a track: a .txt or .json beside it (audiocraft's fields), its tags, or its name.

    cadenza finetune my-tracks -o mine.safetensors --caption "in the style of my band"

    cadenza generate "in the style of my band, slow" --adapter mine.safetensors
    """
    show_notices()
    chosen: dict[str, Any] = {
        "model": model,
        "caption": caption,
        "minutes": minutes,
        "steps": steps,
        "full": full or None,
        "rank": rank,
        "alpha": alpha,
        "learning_rate": learning_rate,
        "batch_size": batch_size,
        "window_seconds": window,
        "seed": seed,
        "device": device,
        "precision": precision,
        "examples": examples,
        "excerpts": excerpts,
    }
    set_threads(threads)
    import torch

    from cadenza.train.finetune import finetune as run
    from cadenza.train.finetune_config import FinetuneConfig
    from cadenza.train.finetune_report import summary

    if threads is not None:
        torch.set_num_threads(threads)

    def say(line: str) -> None:
        print(line, file=sys.stderr, flush=True)

    config = _settings(FinetuneConfig, {name: value for name, value in chosen.items() if value is not None})
    outcome = run(folder, output, config, resume=resume, report=report, say=say, progress=counter)
    if outcome.interrupted:
        print(f"{outcome.output}: kept what was learnt in {outcome.step} updates; --resume goes on")
        return INTERRUPTED
    print(summary(outcome.facts))
    print(f"{outcome.output}  report: {outcome.report}")
    return 0


def _settings(kind: Any, chosen: dict[str, Any]) -> Any:
    """The options as settings. Raises UserError with the first that cannot be."""
    import pydantic

    try:
        return kind(**chosen)
    except pydantic.ValidationError as error:
        first = error.errors()[0]
        name = "--" + str(first["loc"][0]).removesuffix("_seconds").replace("_", "-")
        raise UserError(f"{name} {first['input']}: {first['msg'][:1].lower()}{first['msg'][1:]}") from error
