"""`python -m cadenza.train RECIPE.py --out runs/NAME [--resume] [--set name=value ...]`: one training run."""

import argparse
import sys
from pathlib import Path

from cadenza.errors import CadenzaError, UserError


def main(arguments: list[str] | None = None) -> int:
    """Run and return the exit code: 0 done or stopped on request, 2 the user's mistake, 1 failure."""
    parser = argparse.ArgumentParser(prog="python -m cadenza.train", description=__doc__)
    parser.add_argument("recipe", help="Python file with config() -> TrainConfig")
    parser.add_argument("--out", required=True, type=Path, help="folder of the run")
    parser.add_argument("--resume", action="store_true", help="continue from the last snapshot in --out")
    parser.add_argument(
        "--set", action="append", default=[], metavar="NAME=VALUE", help="replace a field of the recipe"
    )
    options = parser.parse_args(arguments)
    from cadenza.train.run import build, read_recipe

    try:
        trainer = build(read_recipe(options.recipe, options.set), options.out)
        if options.resume and not trainer.resume():
            print(f"no snapshot in {options.out}: starting at step 0", file=sys.stderr)
        trainer.run()
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except CadenzaError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
