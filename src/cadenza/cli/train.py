"""`cadenza train`: a recipe to a run."""

from pathlib import Path
from typing import Annotated

import typer

from cadenza.cli.values import show_notices


def train(
    recipe: Annotated[
        str, typer.Argument(metavar="RECIPE", help="A Python file with config() -> TrainConfig; or FILE.py:NAME.")
    ],
    out: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Folder of the run. [default: runs/ and the recipe's name]")
    ] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on from the last snapshot.")] = False,
    allow_changes: Annotated[
        bool, typer.Option("--allow-changes", help="Go on with a recipe that has changed what decides the outcome.")
    ] = False,
    overrides: Annotated[
        list[str] | None, typer.Option("--set", metavar="NAME=VALUE", help="Replace a field, as in steps=1000.")
    ] = None,
) -> None:
    """Train what a recipe describes; Ctrl-C stops after a snapshot. With torchrun -m: by several processes.

    Exit codes: 0 done, or max_minutes are over; 130 ended by Ctrl-C, 143 by SIGTERM (--resume goes on).
    """
    show_notices()
    from cadenza.train.distributed import SaidElsewhere, is_main, processes
    from cadenza.train.run import build, read_recipe, recipe_name

    folder = out or Path("runs") / recipe_name(recipe)
    config = read_recipe(recipe, overrides or ())
    try:
        with processes(config.device):
            trainer = build(config, folder)
            if resume and not trainer.resume(allow_changes) and is_main():
                print(f"no snapshot in {folder}: starting at step 0")
            trainer.run()
    except SaidElsewhere as error:
        raise typer.Exit(1) from error
    # A scheduler takes 0 for a finished training; so do scripts that evaluate what comes out.
    if trainer.signal is not None and trainer.step < config.steps:
        raise typer.Exit(128 + trainer.signal)
