"""Lyrics with times: from how much each code attends to each character to when each line and word is sung.

In: weights `[T, characters]` of one piece (`cadenza.jukebox.alignment`) and its text. Out: lines and words with
seconds; as LRC or JSON. The path through the weights never goes back and leaves no character out (Viterbi): a text is
sung in order, and each code belongs to one character.
"""

from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np

LEAST = 1e-4
"""Stands for weights below it: a character that a window does not hear is unlikely, not impossible."""


@dataclass(frozen=True)
class Sung:
    """A line, or a word of one, and when it is sung; None where the piece does not come to it."""

    text: str
    start: float | None
    end: float | None
    words: list["Sung"] = field(default_factory=list)


def path(weights: np.ndarray) -> np.ndarray:
    """`[T]`: the character that each code belongs to, for the greatest product of weights on the way.

    It may begin and end at any character, for what is made may be a part of a piece.
    """
    scores = np.log(np.maximum(weights.astype(np.float64), LEAST))
    came = np.zeros(scores.shape, dtype=bool)  # from the character before
    best = scores[0].copy()
    for time in range(1, len(scores)):
        came[time, 1:] = best[:-1] > best[1:]
        best[1:] = np.maximum(best[1:], best[:-1])
        best += scores[time]
    found = np.empty(len(scores), dtype=np.int64)
    place = int(best.argmax())
    for time in range(len(scores) - 1, -1, -1):
        found[time] = place
        place -= came[time, place]
    return found


def sung_lines(weights: np.ndarray, text: str, codes_per_second: float) -> list[Sung]:
    """The lines of a text that are not blank, each with its words; `text` has a character per column of `weights`."""
    assert weights.shape[1] == len(text), "a character per column"
    characters = path(weights) if text and len(weights) else np.zeros(0, dtype=np.int64)

    def span(first: int, last: int) -> tuple[float | None, float | None]:
        begin, end = np.searchsorted(characters, [first, last])
        if begin == end:
            return None, None
        return round(float(begin / codes_per_second), 3), round(float(end / codes_per_second), 3)

    lines, place = [], 0
    for line in text.split("\n"):
        words, at = [], place
        for word in line.split():
            at = text.index(word, at)
            words.append(Sung(word, *span(at, at + len(word))))
            at += len(word)
        if words:
            first = place + len(line) - len(line.lstrip())
            lines.append(Sung(line.strip(), *span(first, at), words))
        place += len(line) + 1
    return lines


def as_lrc(lines: list[Sung], title: str) -> str:
    """The lines that are sung, as players of songs show them: `[mm:ss.xx]line`."""
    rows = [f"[ti:{title}]"]
    for line in lines:
        if line.start is not None:
            minutes, hundredths = divmod(round(100 * line.start), 6000)
            rows.append(f"[{minutes:02d}:{hundredths // 100:02d}.{hundredths % 100:02d}]{line.text}")
    return "\n".join(rows) + "\n"


def as_record(lines: list[Sung]) -> list[dict[str, Any]]:
    """For JSON: text, start and end in seconds or null, and the same of every word."""
    return [
        {"text": line.text, "start": line.start, "end": line.end}
        | {"words": [{name: value for name, value in asdict(word).items() if name != "words"} for word in line.words]}
        for line in lines
    ]
