"""What a run does when nothing was chosen."""

import pytest

from cadenza.errors import UserError
from cadenza.lm.model import LMConfig
from cadenza.train.finetune_config import FinetuneConfig, Material, make_plan

EMBEDDED = LMConfig(dim=320, num_layers=8, num_heads=4, feed_forward_dim=1280, codebook_size=1024)
SMALL = LMConfig()
SIX_TRACKS = Material(225.0, 45.0, True)  # five of 45 s to learn from


def plan(lm=EMBEDDED, reach=10.0, device="cpu", material=SIX_TRACKS, **chosen):
    return make_plan(FinetuneConfig(**chosen), lm, 50.0, reach, device, material)


def test_the_model_inside_and_six_tracks():
    made = plan()
    assert (made.window_seconds, made.batch_size, made.accumulation) == (10.0, 4, 1)
    assert made.steps == 135  # 24 times 225 s, 40 s an update
    assert made.learning_rate == 5e-4
    assert not made.gradient_checkpointing


def test_small_computes_layers_twice_rather_than_keep_them_and_learns_more_slowly():
    made = plan(SMALL, 30.0)
    assert made.gradient_checkpointing
    assert made.batch_size * made.accumulation == 4
    assert made.window_seconds == 10.0  # 30 s are for GPUs
    assert plan(SMALL, 30.0, "cuda").window_seconds == 30.0
    assert made.learning_rate == pytest.approx(5e-4 * (320 / 1024) ** 0.5)
    assert plan(SMALL, 30.0, full=True).learning_rate < made.learning_rate


def test_steps_follow_the_music_within_bounds():
    assert plan(material=Material(20.0, 20.0, True)).steps == 40
    assert plan(material=Material(36000.0, 400.0, True)).steps == 2000
    blind = plan(material=Material(225.0, 45.0, False))
    assert blind.steps == 45
    assert blind.validate_every == 0
    assert plan(steps=7).steps == 7


def test_windows_are_no_longer_than_the_longest_track():
    assert plan(material=Material(20.0, 4.0, True)).window_seconds == 4.0


def test_what_was_chosen_wins():
    made = plan(batch_size=6, window_seconds=5.0, learning_rate=1e-3)
    assert (made.batch_size * made.accumulation, made.window_seconds, made.learning_rate) == (6, 5.0, 1e-3)
    config = FinetuneConfig(rank=8, alpha=4.0).adapter
    assert config is not None
    assert (config.rank, config.alpha, config.scale) == (8, 4.0, 0.5)
    equal = FinetuneConfig(rank=8).adapter
    assert equal is not None
    assert equal.scale == 1.0
    assert FinetuneConfig(full=True).adapter is None


def test_windows_that_cannot_be():
    with pytest.raises(UserError, match="has heard 10 s at most"):
        plan(window_seconds=11.0)
    with pytest.raises(UserError, match="choose longer ones"):
        plan(window_seconds=0.02)
