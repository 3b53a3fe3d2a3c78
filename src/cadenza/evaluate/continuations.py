"""The experiment on memorisation: tracks as codes and somebody who plays on in, continuations and shares out.

Each prompt is a place in a track; what follows it is the original. It is played on greedily behind openings of several
lengths that all end at that place, with the track's caption and without; an opening of length 0 leaves the caption
alone. Everything made is written as it comes, so that a run goes on where it was ended. Knows no generator.
"""

import base64
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple, Protocol, runtime_checkable

import numpy as np
import torch
from jaxtyping import Int
from torch import Tensor

from cadenza.data.tokens import CodedItem
from cadenza.errors import UserError
from cadenza.evaluate.intervals import Interval, cluster_interval, share_interval
from cadenza.evaluate.memorization import (
    PARTIAL_SHARE,
    Excerpt,
    Stretch,
    StretchIndex,
    chance,
    draw_excerpts,
    is_stuck,
    least_matches,
    memorization,
)
from cadenza.files import refusal

TRAIN, HELD_OUT = "train", "held-out"
_SHOWN = 5  # most alike stretches that a report names


@runtime_checkable
class Player(Protocol):
    """Plays on: openings `[B, K, P]` (P may be 0), a caption for each (None: no text) and a seed, for who draws ->
    `[B, K, num_frames]`. An item does not depend on those beside it."""

    def __call__(
        self, openings: Int[Tensor, "B K _"], captions: Sequence[str | None], seeds: Sequence[int], num_frames: int
    ) -> Int[Tensor, "B K T"]: ...


class Cell(NamedTuple):
    """One way of asking: prompts of which tracks, how many frames of opening, and whether the caption is given."""

    source: str
    opening: int
    text: bool


@dataclass(frozen=True)
class Plan:
    """What is to be made: for every source its excerpts (longest opening and original), for every cell all of them."""

    excerpts: Mapping[str, Sequence[Excerpt]]
    captions: Mapping[str, Sequence[str]]
    cells: tuple[Cell, ...]
    longest: int
    num_frames: int

    @property
    def total(self) -> int:
        return sum(len(self.excerpts[cell.source]) for cell in self.cells)

    def opening(self, cell: Cell, number: int) -> Int[Tensor, "K _"]:
        codes = self.excerpts[cell.source][number].codes
        return codes[:, self.longest - cell.opening : self.longest].long()

    def original(self, source: str, number: int) -> Int[Tensor, "K T"]:
        return self.excerpts[source][number].codes[:, self.longest :].long()


def plan(
    sources: Mapping[str, Sequence[CodedItem]],
    prompts: Mapping[str, int],
    openings: Sequence[int],
    texts: Sequence[bool],
    num_frames: int,
    seed: int,
) -> Plan:
    """Draw the prompts of every source; lengths in frames. Without opening and text there is nothing to go on from.

    Raises UserError where no track is long enough.
    """
    cells = [Cell(name, opening, text) for name in sources for opening in openings for text in texts if opening or text]
    if not cells:
        raise UserError("an opening of 0 s without text asks for nothing: give text, or a longer opening")
    longest = max(openings)
    excerpts, captions = {}, {}
    for name, items in sources.items():
        generator = torch.Generator().manual_seed(seed)
        order = torch.randperm(len(items), generator=generator).tolist()
        tracks = [items[i].codes for i in order]
        drawn = draw_excerpts(tracks, prompts[name], longest + num_frames, generator)
        if not drawn:
            raise UserError(
                f"no {name} track has the {longest + num_frames} frames of the longest opening and what follows: "
                "choose shorter openings or fewer seconds"
            )
        excerpts[name] = [excerpt._replace(track=order[excerpt.track]) for excerpt in drawn]
        captions[name] = [next(iter(items[excerpt.track].captions), "") for excerpt in excerpts[name]]
    return Plan(excerpts, captions, tuple(cells), longest, num_frames)


class Continuations:
    """What was made so far: codes by cell and number of the prompt, and with a path in a file of JSON lines as well.

    `settings` decide what is made; a file of others is refused, a last line that was cut short is made again.
    """

    def __init__(self, settings: Mapping[str, Any], path: Path | None = None) -> None:
        self.path = path
        self.made: dict[tuple[Cell, int], Int[Tensor, "K T"]] = {}
        if path is None:
            return
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            lines = path.read_bytes().split(b"\n") if path.is_file() else []
            whole = lines[:-1]
            if not whole:
                path.write_bytes(json.dumps(dict(settings)).encode() + b"\n")
                return
            if _parsed(whole[0], path) != json.loads(json.dumps(dict(settings))):
                raise UserError(f"{path} was made with other settings: repeat those, or choose another --out")
            for line in whole[1:]:
                self._take(_parsed(line, path))
            if lines[-1]:
                path.write_bytes(b"\n".join(whole) + b"\n")
        except OSError as error:
            raise refusal(path, error) from error

    def __contains__(self, place: tuple[Cell, int]) -> bool:
        return place in self.made

    def add(self, cell: Cell, numbers: Sequence[int], codes: Int[Tensor, "B K T"]) -> None:
        """Keep a batch."""
        lines = []
        for number, one in zip(numbers, codes.cpu(), strict=True):
            self.made[cell, number] = one.long()
            content = base64.b64encode(one.numpy().astype("<u2").tobytes()).decode()
            lines.append(json.dumps({**cell._asdict(), "prompt": number, "shape": list(one.shape), "codes": content}))
        if self.path is not None:
            try:
                with self.path.open("a", encoding="utf-8") as file:
                    file.write("".join(f"{line}\n" for line in lines))
            except OSError as error:
                raise refusal(self.path, error) from error

    def _take(self, row: dict[str, Any]) -> None:
        try:
            cell = Cell(str(row["source"]), int(row["opening"]), bool(row["text"]))
            codes = np.frombuffer(base64.b64decode(row["codes"]), dtype="<u2").reshape(row["shape"])
            self.made[cell, int(row["prompt"])] = torch.from_numpy(codes.astype(np.int64))
        except (KeyError, TypeError, ValueError) as error:
            raise UserError(f"{self.path} holds a line that is no continuation ({error}): delete the file") from error


def play_on(
    plan: Plan,
    player: Player,
    kept: Continuations,
    batch_size: int,
    on_progress: Callable[[int, int], None] = lambda done, total: None,
) -> None:
    """Make all that is missing. Batches of prompts go through all cells in turn, so that what was made by the time of a
    KeyboardInterrupt is a fair part of everything."""
    done = sum((cell, number) in kept for cell, number in _places(plan))
    on_progress(done, plan.total)
    most = max(len(excerpts) for excerpts in plan.excerpts.values())
    for start in range(0, most, batch_size):
        for cell in plan.cells:
            end = min(start + batch_size, len(plan.excerpts[cell.source]))
            numbers = [number for number in range(start, end) if (cell, number) not in kept]
            if not numbers:
                continue
            openings = torch.stack([plan.opening(cell, number) for number in numbers])
            captions = [plan.captions[cell.source][number] if cell.text else None for number in numbers]
            made = player(openings, captions, numbers, plan.num_frames)
            assert made.shape == (len(numbers), openings.shape[1], plan.num_frames)
            kept.add(cell, numbers, made)
            done += len(numbers)
            on_progress(done, plan.total)


def _places(plan: Plan) -> Iterator[tuple[Cell, int]]:
    for cell in plan.cells:
        for number in range(len(plan.excerpts[cell.source])):
            yield cell, number


# ---- figures ---------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class CellFigures:
    """One cell: per codebook shares at the prompt's own place and by chance; in how many one code of the first codebook
    fills half or more; and of the others the most alike stretch of all training tracks, wherever it is.

    Intervals are over tracks, since places of one track are not independent; their `count` is the number of tracks.
    """

    cell: Cell
    count: int
    exact: tuple[Interval, ...]
    partial: tuple[Interval, ...]
    agreement: tuple[Interval, ...]
    chance_exact: tuple[Interval, ...]
    chance_partial: tuple[Interval, ...]
    chance_agreement: tuple[float, ...]
    stuck: Interval
    anywhere: "Anywhere | None"


@dataclass(frozen=True)
class Anywhere:
    """How alike stretches that are not stuck are to the most alike one of all training tracks, by their first
    codebook."""

    exact: Interval
    partial: Interval
    agreement: Interval
    most_alike: tuple[tuple[int, Stretch], ...]
    """Numbers of the prompts with what was found, most alike first."""


def cell_figures(plan: Plan, kept: Continuations, cell: Cell, index: StretchIndex | None) -> CellFigures | None:
    """None where nothing of the cell is made yet."""
    excerpts = plan.excerpts[cell.source]
    numbers = [number for number in range(len(excerpts)) if (cell, number) in kept]
    if not numbers:
        return None
    made = torch.stack([kept.made[cell, number] for number in numbers])
    original = torch.stack([plan.original(cell.source, number) for number in numbers])
    found = memorization(made, original)
    tracks = [excerpts[number].track for number in numbers]
    by_chance = chance(made, original, tracks)
    each = (made == original).double().mean(-1)
    return CellFigures(
        cell,
        len(numbers),
        tuple(_share_over(tracks, share) for share in found.exact),
        tuple(_share_over(tracks, share) for share in found.partial),
        tuple(cluster_interval(each[:, k].tolist(), tracks) for k in range(made.shape[1])),
        () if by_chance is None else tuple(_share_over(tracks, share) for share in by_chance.exact),
        () if by_chance is None else tuple(_share_over(tracks, share) for share in by_chance.partial),
        () if by_chance is None else by_chance.agreement,
        _share_over(tracks, sum(is_stuck(one) for one in made[:, 0]) / len(numbers)),
        None if index is None else anywhere(list(made[:, 0]), index, numbers, tracks),
    )


def _share_over(tracks: Sequence[int], share: float) -> Interval:
    """With Wilson's interval of as many values as there are tracks."""
    count = len(set(tracks))
    return share_interval(share * count, count)


def anywhere(
    stretches: Sequence[Int[Tensor, "T"]], index: StretchIndex, numbers: Sequence[int], tracks: Sequence[int]
) -> Anywhere | None:
    """The most alike stretch of the indexed tracks for each of these that is not stuck; None where there is none.

    `numbers` name the stretches; `tracks` say which are of one track.
    """
    found = [
        (name, track, index.nearest(stretch))
        for name, track, stretch in zip(numbers, tracks, stretches, strict=True)
        if not is_stuck(stretch)
    ]
    known = [(name, track, place) for name, track, place in found if place is not None]
    if not known:
        return None
    frames = len(stretches[0])
    matches = np.array([round(place.share * frames) for _, _, place in known])
    of = [track for _, track, _ in known]
    agreement = cluster_interval([place.share for _, _, place in known], of)
    known.sort(key=lambda one: -one[2].share)
    return Anywhere(
        _share_over(of, float((matches == frames).mean())),
        _share_over(of, float((matches >= least_matches(frames)).mean())),
        agreement,
        tuple((name, place) for name, _, place in known[:_SHOWN]),
    )


def natural_floor(
    items: Sequence[CodedItem], index: StretchIndex, num_frames: int, count: int, seed: int
) -> Anywhere | None:
    """How alike real music that the model never saw is to its training tracks: `count` stretches of these items."""
    generator = torch.Generator().manual_seed(seed)
    drawn = draw_excerpts([item.codes for item in items], count, num_frames, generator)
    stretches = [excerpt.codes[0].long() for excerpt in drawn]
    return anywhere(stretches, index, range(len(drawn)), [excerpt.track for excerpt in drawn]) if drawn else None


def record(figures: CellFigures, frame_rate: float, ids: Sequence[str], train_ids: Sequence[str]) -> dict[str, Any]:
    """As JSON; `ids` are those of the prompts' tracks, by number of the prompt, `train_ids` those of the index."""
    return {
        "prompts_of": figures.cell.source,
        "opening_seconds": figures.cell.opening / frame_rate,
        "text": figures.cell.text,
        "count": figures.count,
        "exact": [one.record() for one in figures.exact],
        "partial": [one.record() for one in figures.partial],
        "agreement": [one.record() for one in figures.agreement],
        "chance": {
            "exact": [one.record() for one in figures.chance_exact],
            "partial": [one.record() for one in figures.chance_partial],
            "agreement": list(figures.chance_agreement),
        },
        "stuck": figures.stuck.record(),
        "anywhere": None if figures.anywhere is None else anywhere_record(figures.anywhere, frame_rate, ids, train_ids),
        "partial_share": PARTIAL_SHARE,
    }


def anywhere_record(
    found: Anywhere, frame_rate: float, ids: Sequence[str] | None, train_ids: Sequence[str]
) -> dict[str, Any]:
    """As JSON, with the names of the most alike."""
    return {
        "exact": found.exact.record(),
        "partial": found.partial.record(),
        "agreement": found.agreement.record(),
        "most_alike": [
            ({} if ids is None else {"prompt": ids[number]})
            | {"share": place.share, "track": train_ids[place.track], "seconds": place.first / frame_rate}
            for number, place in found.most_alike
        ],
    }


def _parsed(line: bytes, path: Path) -> dict[str, Any]:
    try:
        value = json.loads(line)
    except ValueError as error:
        raise UserError(f"{path} is damaged: delete it") from error
    if not isinstance(value, dict):
        raise UserError(f"{path} is not a file of continuations: choose another --out")
    return value
