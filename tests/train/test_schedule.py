"""Schedules at their known points."""

import pytest

from cadenza.train.schedule import ConstantSchedule, CosineSchedule


def test_cosine_starts_peaks_and_ends_where_it_should():
    schedule = CosineSchedule(warmup_steps=10, min_ratio=0.2)
    assert schedule.factor(0, 110) == pytest.approx(0.1)
    assert schedule.factor(9, 110) == schedule.factor(10, 110) == 1
    assert schedule.factor(60, 110) == pytest.approx(0.6)
    assert schedule.factor(110, 110) == pytest.approx(0.2)
    assert schedule.factor(500, 110) == pytest.approx(0.2)


def test_constant_warms_up():
    schedule = ConstantSchedule(warmup_steps=4)
    assert [schedule.factor(step, 100) for step in (0, 1, 3, 4, 99)] == [0.25, 0.5, 1, 1, 1]
