"""Prompts that anyone's model can be asked, and what each asks for: a name or a file in, `Asked` by id out.

The built-in 100 were written by hand, in many voices, with facts that the evaluator can hear (bpm in 68, a key in 74);
no caption of the composed corpora is among them (`tests/evaluate/test_prompts.py` says how that is checked). Their
first 24 are the quick set. The strangers' 60 were written as people type into a box (hurried, misspelt, by mood or by
use), before their writer had seen the words of the corpora or these prompts, and only then given their facts: where
words ask for what no ear here knows, or leave it open, nothing is asked, and for five of them nothing at all.
"""

from itertools import islice
from pathlib import Path

from cadenza.errors import UserError
from cadenza.evaluate.clips import Asked, read_prompts

_FOLDER = Path(__file__).parent
FILES = {"default": ("prompts.jsonl", 100), "quick": ("prompts.jsonl", 24), "strangers": ("strangers.jsonl", 60)}
"""Built-in sets: the file of each, and how many of its prompts, from the first on."""
FILE = _FOLDER / FILES["default"][0]
"""That of the default set, for readers of clips."""


def load(source: str | Path = "default") -> dict[str, Asked]:
    """The prompts of a built-in set (`FILES`), or of a file of JSON lines (`read_prompts`).

    Raises UserError where there is neither, and for a line that says nothing of use.
    """
    if source in FILES:
        name, count = FILES[str(source)]
        return dict(islice(read_prompts(_FOLDER / name).items(), count))
    if not Path(source).is_file():
        raise UserError(
            f"no prompts {str(source)!r}: give {', '.join(FILES)}, or a file of JSON lines with id and text"
        )
    return read_prompts(source)
