"""The experiment on memorisation, with players that are known through and through."""

import json
from collections.abc import Sequence
from pathlib import Path

import pytest
import torch
from torch import Tensor

from cadenza.data.tokens import CodedItem
from cadenza.errors import UserError
from cadenza.evaluate.continuations import (
    HELD_OUT,
    TRAIN,
    Cell,
    Continuations,
    Plan,
    cell_figures,
    natural_floor,
    plan,
    play_on,
    record,
)
from cadenza.evaluate.memorization import StretchIndex


def items(count: int, frames: int = 60, seed: int = 0) -> list[CodedItem]:
    generator = torch.Generator().manual_seed(seed)
    return [
        CodedItem(f"track {i}", "train", (f"words {i}",), torch.randint(500, (2, frames), generator=generator).short())
        for i in range(count)
    ]


class ByHeart:
    """Knows the tracks: behind an opening it goes on as the track does, by the caption alone from its beginning, by
    neither it repeats a code."""

    def __init__(self, tracks: Sequence[CodedItem]) -> None:
        self.tracks = tracks
        self.calls = 0
        self.stop_after: int | None = None

    def __call__(
        self, openings: Tensor, captions: Sequence[str | None], seeds: Sequence[int], num_frames: int
    ) -> Tensor:
        self.calls += 1
        if self.stop_after is not None and self.calls > self.stop_after:
            raise KeyboardInterrupt
        return torch.stack([self._one(*pair, num_frames) for pair in zip(openings, captions, strict=True)])

    def _one(self, opening: Tensor, caption: str | None, num_frames: int) -> Tensor:
        for track in self.tracks:
            codes = track.codes.long()
            if opening.shape[1] == 0 and caption == track.captions[0]:
                return codes[:, :num_frames]
            for start in range(codes.shape[1] - num_frames + 1):
                if opening.shape[1] and torch.equal(codes[:, start - opening.shape[1] : start], opening):
                    return codes[:, start : start + num_frames]
        return torch.full((2, num_frames), 7)


def made_plan(tracks: list[CodedItem], openings: Sequence[int] = (0, 4, 8)) -> Plan:
    return plan({TRAIN: tracks}, {TRAIN: 5}, openings, (True, False), 10, seed=1)


def test_who_knows_the_tracks_is_found_out():
    tracks = items(8)
    the_plan = made_plan(tracks)
    # Without opening and text there is nothing to ask.
    assert Cell(TRAIN, 0, False) not in the_plan.cells
    assert len(the_plan.cells) == 5
    kept = Continuations({})
    play_on(the_plan, ByHeart(tracks), kept, 2)
    index = StretchIndex([track.codes for track in tracks])
    figures = {cell: cell_figures(the_plan, kept, cell, index) for cell in the_plan.cells}
    by_opening = figures[Cell(TRAIN, 8, False)]
    assert by_opening is not None
    assert by_opening.exact[0].mean == by_opening.partial[1].mean == 1.0
    assert by_opening.exact[0].low > 0.5  # of five: Wilson's interval
    assert by_opening.chance_partial[0].mean == 0.0
    by_caption = figures[Cell(TRAIN, 0, True)]
    assert by_caption is not None
    assert by_caption.anywhere is not None
    assert by_caption.anywhere.exact.mean == 1.0  # the track's beginning, wherever the prompt's place is
    row = record(by_caption, 50.0, [tracks[e.track].id for e in the_plan.excerpts[TRAIN]], [t.id for t in tracks])
    alike = row["anywhere"]["most_alike"][0]
    assert (alike["prompt"], alike["seconds"], alike["share"]) == (alike["track"], 0.0, 1.0)
    json.dumps(row, allow_nan=False)


def test_a_stuck_player_is_called_so_and_compared_with_nothing():
    tracks = items(4)
    the_plan = made_plan(tracks, (4,))
    kept = Continuations({})
    play_on(the_plan, ByHeart([]), kept, 3)
    found = cell_figures(the_plan, kept, the_plan.cells[0], StretchIndex([track.codes for track in tracks]))
    assert found is not None
    assert found.stuck.mean == 1.0
    assert found.anywhere is None
    assert found.exact[0].mean == 0.0
    assert found.exact[0].high > 0.3  # 0 of five is no proof


def test_places_of_one_track_are_no_independent_values():
    tracks = items(2)
    the_plan = made_plan(tracks, (4,))  # five places in two tracks
    kept = Continuations({})
    play_on(the_plan, ByHeart(tracks), kept, 5)
    found = cell_figures(the_plan, kept, the_plan.cells[0], StretchIndex([track.codes for track in tracks]))
    assert found is not None
    assert found.anywhere is not None
    assert found.count == 5
    for one in (*found.exact, *found.partial, *found.agreement, found.stuck, found.anywhere.exact):
        assert one.count == 2
    assert found.exact[0].mean == 1.0
    assert found.exact[0].low == pytest.approx(0.3424, abs=1e-3)  # Wilson's for 2 of 2; for 5 of 5 it is 0.57


def test_openings_end_where_the_originals_begin():
    tracks = items(3)
    the_plan = made_plan(tracks)
    for number, excerpt in enumerate(the_plan.excerpts[TRAIN]):
        codes = tracks[excerpt.track].codes.long()
        place = excerpt.first + 8
        for opening in (4, 8):
            given = the_plan.opening(Cell(TRAIN, opening, True), number)
            assert torch.equal(given, codes[:, place - opening : place])
        assert torch.equal(the_plan.original(TRAIN, number), codes[:, place : place + 10])
        assert the_plan.captions[TRAIN][number] == tracks[excerpt.track].captions[0]


def test_it_goes_on_where_it_was_ended(tmp_path: Path):
    tracks = items(8)
    the_plan = made_plan(tracks)
    path = tmp_path / "made" / "continuations.jsonl"
    player = ByHeart(tracks)
    player.stop_after = 4
    kept = Continuations({"seed": 1}, path)
    with pytest.raises(KeyboardInterrupt):
        play_on(the_plan, player, kept, 2)
    assert len(kept.made) == 8
    with path.open("ab") as file:  # cut short while a line was written
        file.write(b'{"source": "tr')
    again = ByHeart(tracks)
    told: list[tuple[int, int]] = []
    resumed = Continuations({"seed": 1}, path)
    play_on(the_plan, again, resumed, 2, lambda done, total: told.append((done, total)))
    assert told[0] == (8, 25)
    assert told[-1] == (25, 25)
    whole = Continuations({})
    play_on(the_plan, ByHeart(tracks), whole, 3)
    for read in (resumed, Continuations({"seed": 1}, path)):
        assert read.made.keys() == whole.made.keys()
        assert all(torch.equal(read.made[place], whole.made[place]) for place in whole.made)
    with pytest.raises(UserError, match="other settings"):
        Continuations({"seed": 2}, path)
    path.write_text("words\nwords\n")
    with pytest.raises(UserError, match="damaged"):
        Continuations({"seed": 1}, path)


def test_what_cannot_be_drawn():
    with pytest.raises(UserError, match="18 frames"):
        made_plan(items(3, frames=17))
    with pytest.raises(UserError, match="asks for nothing"):
        plan({TRAIN: items(3)}, {TRAIN: 2}, (0,), (False,), 10, seed=0)


def test_music_that_was_never_seen_is_less_alike():
    tracks = items(6)
    index = StretchIndex([track.codes for track in tracks])
    assert natural_floor(items(2, frames=9), index, 10, 4, seed=0) is None
    found = natural_floor(items(4, seed=9), index, 10, 4, seed=0)
    assert found is not None
    assert found.partial.mean == 0.0
    assert found.agreement.mean < 0.3
    seen = natural_floor(tracks, index, 10, 4, seed=0)
    assert seen is not None
    assert seen.exact.mean == 1.0
    two = plan({TRAIN: tracks, HELD_OUT: items(3, seed=9)}, {TRAIN: 2, HELD_OUT: 1}, (4,), (True,), 10, seed=0)
    assert two.total == 3
