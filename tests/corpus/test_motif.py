"""Motifs fill their bar whatever is done to them."""

from itertools import pairwise

import numpy as np
import pytest

from cadenza.corpus.genre import FIVE, FOUR, SIX, THREE
from cadenza.corpus.motif import Motif, augment, draw_motif, draw_theme, fragment, invert, join, vary
from cadenza.corpus.score import Meter


@pytest.mark.parametrize("meter", [FOUR, THREE, SIX, FIVE], ids=lambda m: m.name)
def test_every_variation_fills_the_bar(meter: Meter) -> None:
    for seed in range(60):
        rng = np.random.default_rng(seed)
        motif = draw_motif(rng, meter, seed / 60)
        for other in (
            motif,
            invert(motif),
            augment(motif, meter),
            fragment(motif, meter),
            join(rng, motif),
            vary(rng, motif, meter),
        ):
            assert sum(other.durations) == pytest.approx(meter.bar_quarters)
            assert min(other.durations) > 0
            assert len(other.durations) == len(other.steps) == len(other.rests)
            assert not other.rests[0]


def test_devices_do_what_they_are_called() -> None:
    motif = Motif((1.0, 0.5, 0.5, 2.0), (0, 1, 1, -2), (False,) * 4)
    assert invert(motif).steps == (0, -1, -1, 2)
    assert augment(motif, FOUR).durations == (2.0, 1.0, 1.0)
    assert fragment(motif, FOUR) == Motif((1.0, 0.5, 0.5) * 2, (0, 1, 1, -3, 1, 1), (False,) * 6)


def test_leaps_turn_back_by_step() -> None:
    for seed in range(50):
        steps = draw_motif(np.random.default_rng(seed), FOUR, 0.7).steps
        for leap, after in pairwise(steps):
            if abs(leap) >= 2:
                assert abs(after) <= 1
                assert after * leap <= 0


def test_question_and_answer_begin_alike_and_climb_once() -> None:
    for seed in range(20):
        rng = np.random.default_rng(seed)
        theme = draw_theme(rng, FOUR, draw_motif(rng, FOUR, 0.5), 0.5)
        assert theme.motifs[:2] == theme.motifs[4:6]
        assert max(theme.heights[4:]) == max(theme.heights)
