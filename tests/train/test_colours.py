"""Colours: what is drawn changes tone, level and room and nothing else, and is the same for the same draws."""

import numpy as np
import pytest
import torch

from cadenza.train import colours
from cadenza.train.colours import colour

RATE = 8000


def draws(count, seed=0):
    return [np.random.default_rng([seed, item]) for item in range(count)]


def test_none_are_changed_and_all_are_changed():
    audio = torch.randn(3, 1, 4000)
    assert torch.equal(colour(audio, RATE, 0.0, draws(3)), audio)
    changed = colour(audio, RATE, 1.0, draws(3))
    assert changed.shape == audio.shape
    assert all(not torch.allclose(a, b, atol=1e-3) for a, b in zip(audio, changed, strict=True))


def test_an_item_depends_on_its_own_draws_alone():
    audio = torch.randn(3, 2, 1000)
    together = colour(audio, RATE, 0.7, draws(3))
    assert torch.equal(together[1:2], colour(audio[1:2], RATE, 0.7, draws(3)[1:2]))


def test_a_dry_level_is_a_gain(monkeypatch):
    monkeypatch.setattr(colours, "ROOM_SHARE", 0.0)
    monkeypatch.setattr(colours, "TONE_DB", 0.0)
    monkeypatch.setattr(colours, "LEVEL_DB", (-6.0, -6.0))
    audio = torch.randn(1, 1, 4000)
    torch.testing.assert_close(colour(audio, RATE, 1.0, draws(1)), audio * 10 ** (-6 / 20), atol=1e-5, rtol=1e-4)


def test_a_room_answers_after_the_sound_and_never_before(monkeypatch):
    monkeypatch.setattr(colours, "ROOM_SHARE", 1.0)
    monkeypatch.setattr(colours, "TONE_DB", 0.0)
    click = torch.zeros(1, 1, RATE)
    click[..., 1000] = 1.0
    heard = colour(click, RATE, 1.0, draws(1))[0, 0]
    direct = float(heard[1000])
    assert float(heard[:1000].abs().max()) < 1e-5
    tail_db = 10 * np.log10(float(heard[1001:].square().sum()) / direct**2)
    assert colours.ROOM_DB[0] - 0.1 <= tail_db <= colours.ROOM_DB[1] + 0.1
    assert direct == pytest.approx(10 ** (np.clip(20 * np.log10(direct), *colours.LEVEL_DB) / 20), rel=1e-4)
