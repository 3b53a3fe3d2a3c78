"""What a loss draws from."""

import torch

from cadenza.train.objective import Turn


def turn(rows: range, step: int = 0, micro: int = 0, seed: int = 0) -> Turn:
    return Turn("lm", step, micro, 2, rows, seed, torch.Generator())


def test_what_is_drawn_for_a_row_does_not_depend_on_who_holds_it():
    whole = turn(range(4))
    for rows in (range(2), range(2, 4)):
        part = turn(rows)
        assert [part.draw(row).random() for row in rows] == [whole.draw(row).random() for row in rows]


def test_every_place_draws_its_own():
    places = [turn(range(3)).draw(0), turn(range(3)).draw(1), turn(range(3), step=1).draw(0)]
    places += [turn(range(3), micro=1).draw(0), turn(range(3), seed=1).draw(0)]
    assert len({place.random() for place in places}) == 5
