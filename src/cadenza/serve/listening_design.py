"""What the server of a listening test may know: the screens and their clips under random names, and no system.

In and out: `test.json` of a test folder. Systems appear nowhere in it; who is who stands in `key.json`, which only
`cadenza listen analyse` reads. A folder that is moved or copied works where it lies.
"""

import hashlib
import json
from pathlib import Path

import pydantic

from cadenza.errors import UserError
from cadenza.files import atomic_file
from cadenza.serve.listening_config import Kind

TEST, KEY, CLIPS, RESULTS = "test.json", "key.json", "clips", "results.sqlite"
FORMAT = 1
_RESTORE = "put it back as it was, or make the test again"


class _Part(pydantic.BaseModel):
    model_config = pydantic.ConfigDict(frozen=True, extra="forbid")


class Screen(_Part):
    """One question about one clip, several clips of one system, or two clips of two systems."""

    id: str
    clips: tuple[str, ...]


class Block(_Part):
    """What a listener hears in a row: one prompt by all systems, or one pair."""

    text: str
    screens: tuple[Screen, ...]


class Section(_Part):
    """One question and everything that it is asked about."""

    protocol: str
    kind: Kind
    title: str
    question: str
    low: str
    high: str
    shows_text: bool
    blocks: tuple[Block, ...]
    checks: tuple[Screen, ...]

    @property
    def screens_per_block(self) -> int:
        return len(self.blocks[0].screens)


class Design(_Part):
    """A whole test."""

    format: int = FORMAT
    id: str = ""
    title: str
    welcome: str
    consent: str
    calibration: str
    seconds: dict[str, float]
    """How long each clip sounds."""
    suffix: str
    ratings_per_item: int
    screens_per_listener: int
    training_screens: int
    checks: int
    least_heard: float
    seed: int
    sections: tuple[Section, ...]

    def identified(self) -> "Design":
        """With an id that says what the test is made of: results of another test are not mixed in."""
        content = self.model_dump_json(exclude={"id"})
        return self.model_copy(update={"id": hashlib.sha256(content.encode()).hexdigest()[:16]})

    def screens(self) -> dict[str, tuple[Section, str, Screen]]:
        """Section, text and screen by the screen's id; attention checks too, with a text where the others have one."""
        known = {
            screen.id: (s, block.text, screen) for s in self.sections for block in s.blocks for screen in block.screens
        }
        return known | {screen.id: (s, s.blocks[0].text, screen) for s in self.sections for screen in s.checks}

    def write(self, folder: Path) -> None:
        write_json(folder / TEST, self.model_dump(mode="json"))

    @classmethod
    def read(cls, folder: str | Path) -> "Design":
        """Raises UserError for a folder that is no test, one that another version made, and one that was changed."""
        path = Path(folder) / TEST
        content = read_json(path, "make it with `cadenza listen make`")
        if content.get("format") != FORMAT:
            raise UserError(
                f"{folder}: a listening test of format {content.get('format')!r}, this version knows {FORMAT}: "
                "use the version that made it, or make it again"
            )
        try:
            design = cls.model_validate(content)
        except pydantic.ValidationError as error:
            raise UserError(f"{path} was changed ({str(error).splitlines()[1]}): {_RESTORE}") from error
        if design.identified().id != design.id:  # answers belong to the questions that were asked
            raise UserError(f"{path} was changed: {_RESTORE}")
        return design


def read_json(path: Path, remedy: str) -> dict[str, object]:
    """An object of a test folder. Raises UserError where it is missing or damaged."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise UserError(f"{path} is not there: {remedy}") from error
    except (OSError, ValueError, RecursionError) as error:
        raise UserError(f"{path} cannot be read ({str(error).splitlines()[0]}): {remedy}") from error
    if not isinstance(content, dict):
        raise UserError(f"{path} is no JSON object: {remedy}")
    return content


def write_json(path: Path, content: object) -> None:
    with atomic_file(path) as temporary:
        temporary.write_text(json.dumps(content, ensure_ascii=False, indent=1, allow_nan=False) + "\n", "utf-8")
