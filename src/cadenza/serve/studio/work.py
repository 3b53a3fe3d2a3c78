"""What is accepted and not over: generations, their takes, and the line in which these wait.

In: rows of the tables. Out: which take is next. Whoever asks for much does not keep the others waiting: keys take
turns, and within a key the first to come is the first to be made.
"""

import itertools
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Protocol, runtime_checkable

from cadenza.serve.studio.asked import OVER
from cadenza.serve.studio.stream import Sound
from cadenza.serve.studio.tables import Job, Take

MOST_ATTEMPTS = 5
"""How often a take is begun: one that ends whatever makes it would be tried for ever."""
ALONE_FROM = 3
"""The attempt from which it is made alone: whoever was hit beside another is then safe, and what kills is known."""


@runtime_checkable
class Rendering(Protocol):
    """What the engine hands back for a piece that it makes."""

    def cancel(self) -> None:
        """Stop soon."""

    @property
    def seconds_made(self) -> float:
        """Seconds of new audio."""


class Piece:
    """A take that is to be made, or is being made."""

    def __init__(self, take: Take, key: str) -> None:
        self.take, self.key = take, key
        self.sound = Sound()
        self.rendering: Rendering | None = None
        self.cancelled = False
        self.is_counted = False
        """Whether its next attempt is counted already: its model is being loaded for it."""
        self.record: dict[str, Any] = {}
        """What its latest chunk says about itself."""

    @property
    def may_be_tried_again(self) -> bool:
        """Whether it goes back into the line when what makes it is lost."""
        return not self.cancelled and self.take.attempts < MOST_ATTEMPTS

    @property
    def is_alone(self) -> bool:
        """Whether nothing is made beside it, now or at its turn: what made it before has died, perhaps of it."""
        is_to_be_counted = self.take.status == "queued" and not self.is_counted
        return self.take.attempts + is_to_be_counted >= ALONE_FROM

    @property
    def seconds_made(self) -> float:
        new = self.rendering.seconds_made if self.rendering is not None else 0.0
        return min(self.take.seconds_asked, max(new, self.sound.seconds))

    @property
    def seconds_to_make(self) -> float:
        return max(0.0, self.take.seconds_asked - self.seconds_made)


class Work:
    """A generation that is not over."""

    def __init__(self, job: Job, takes: list[Take]) -> None:
        self.job = job
        self.takes = takes
        self.pieces = {take.id: Piece(take, job.key) for take in takes if take.status not in OVER}

    def verdict(self, changes: Mapping[str, Mapping[str, Any]], now: float) -> dict[str, Any]:
        """What became of the whole once these `changes` of its takes are true; nothing while some are to be made."""
        takes = [take.model_dump() | dict(changes.get(take.id, {})) for take in self.takes]
        states = {take["status"] for take in takes} or {"cancelled"}
        if not states <= set(OVER):
            return {}
        status = next(state for state in ("cancelled", "failed", "done") if state in states)
        error = next((take["error"] for take in takes if take["error"]), None)
        return {"status": status, "error": error, "finished": now, "started": self.job.started}


def recover(take: Take) -> None:
    """What becomes of a take that was not over when its studio ended."""
    is_spent = take.attempts >= MOST_ATTEMPTS
    take.status, take.error = ("failed", given_up(take)) if is_spent else ("queued", None)


def given_up(take: Take) -> str:
    """Why a take is not tried again."""
    times = f"{take.attempts} attempts"
    return f"given up after {times}: each ended what was making it (out of memory?); ask for less, or another model"


class Line:
    """Pieces that wait, one row per key. Not for several threads at once."""

    def __init__(self) -> None:
        self._rows: dict[str, deque[Piece]] = {}
        self._turns: deque[str] = deque()
        self._order: list[Piece] | None = None

    def __len__(self) -> int:
        return sum(len(row) for row in self._rows.values())

    def __contains__(self, piece: Piece) -> bool:
        return piece in self._rows.get(piece.key, ())

    def enter(self, piece: Piece) -> None:
        """To the end of its key's row."""
        if piece.key not in self._rows:
            self._rows[piece.key] = deque()
            self._turns.append(piece.key)
        self._rows[piece.key].append(piece)
        self._order = None

    def enter_again(self, piece: Piece) -> None:
        """To the beginning of its key's row, where it was before it was begun."""
        self.enter(piece)
        self._rows[piece.key].rotate()

    def leave(self, piece: Piece) -> None:
        """Out of the line; its key's turn comes after the others'."""
        row = self._rows[piece.key]
        row.remove(piece)
        self._turns.remove(piece.key)
        if row:
            self._turns.append(piece.key)
        else:
            del self._rows[piece.key]
        self._order = None

    def first(self, ready: Callable[[str], bool]) -> Piece | None:
        """The next one whose model is `ready`. None also while one that is to be made alone waits for its model."""
        known: dict[str, bool] = {}
        for piece in self._in_turn():
            model = piece.take.model
            if model not in known:
                known[model] = ready(model)
            if known[model]:
                return piece
            if piece.is_alone:
                return None
        return None

    def order(self) -> list[Piece]:
        """All of them, as they will be made if nothing changes."""
        if self._order is None:
            rows = itertools.zip_longest(*(self._rows[key] for key in self._turns))
            self._order = [piece for row in rows for piece in row if piece is not None]
        return self._order

    def _in_turn(self) -> Iterator[Piece]:
        """Row by row: a key whose turn it is goes first with whatever of it can be made."""
        for key in self._turns:
            yield from self._rows[key]
