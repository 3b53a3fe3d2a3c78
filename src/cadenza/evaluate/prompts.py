"""Prompts that anyone's model can be asked, and what each asks for: a name or a file in, `Asked` by id out.

The built-in 100 were written by hand, in many voices, with facts that the evaluator can hear (bpm in 68, a key in 74);
no caption of the composed corpora is among them (`tests/evaluate/test_prompts.py` says how that is checked). Their
first 24 are the quick set.
"""

from itertools import islice
from pathlib import Path

from cadenza.errors import UserError
from cadenza.evaluate.clips import Asked, read_prompts

FILE = Path(__file__).with_name("prompts.jsonl")
SETS = {"default": 100, "quick": 24}


def load(source: str | Path = "default") -> dict[str, Asked]:
    """The prompts of a built-in set, "default" (100) or "quick" (24), or of a file of JSON lines (`read_prompts`).

    Raises UserError where there is neither, and for a line that says nothing of use.
    """
    if source in SETS:
        return dict(islice(read_prompts(FILE).items(), SETS[str(source)]))
    if not Path(source).is_file():
        raise UserError(
            f"no prompts {str(source)!r}: give {' or '.join(SETS)}, or a file of JSON lines with id and text"
        )
    return read_prompts(source)
