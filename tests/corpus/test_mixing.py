"""Mixes: the pan law, what is drawn, sidechains on the beat, and sound that stays sound."""

import numpy as np
import pytest

from cadenza.corpus.genres import GENRES
from cadenza.corpus.mixing import Mix, draw_mix, is_rhythm, kicks, mix_down, pan_gains, place
from cadenza.corpus.score import Meter, Note, Part, Score, Section
from cadenza.corpus.synth import SAMPLE_RATE
from cadenza.corpus.theory import Key


def _score(genre: str = "house", seed: int = 0, *parts: Part, tempo: float = 120.0) -> Score:
    section = Section("verse", 0, 2, ("I", "") * 2, Key(0, "major"))
    return Score(seed, genre, tempo, Key(0, "major"), Meter(4), (), (section,), parts)


def _tone(seconds: float, channels: int = 1) -> np.ndarray:
    wave = 0.2 * np.sin(2 * np.pi * 440 * np.arange(int(seconds * SAMPLE_RATE)) / SAMPLE_RATE)
    return np.tile(wave.astype(np.float32), (channels, 1))


def test_the_pan_law_keeps_power() -> None:
    for pan in np.linspace(-1.0, 1.0, 9):
        left, right = pan_gains(float(pan))
        assert left**2 + right**2 == pytest.approx(1.0)
    assert pan_gains(-1.0) == pytest.approx((1.0, 0.0))
    assert pan_gains(0.5)[1] > pan_gains(0.5)[0]


def test_every_genre_has_moderate_mixes_of_its_own() -> None:
    parts = (Part("piano", "chords", ()), Part("bass guitar", "bass", ()), Part("flute", "melody", ()))
    for genre in (*(g.name for g in GENRES), "solo"):
        mixes = [draw_mix(_score(genre, seed, *parts)) for seed in range(30)]
        assert len({mix.send for mix in mixes}) > 10
        for mix in mixes:
            assert 0.2 < mix.rt60_seconds < 4.0
            assert 0.0 <= mix.rhythm_send <= mix.send <= 0.7
            assert abs(mix.tilt_db) <= 1.5
            assert mix.high_cut_hz is None or mix.high_cut_hz >= 3800
            assert 1.0 <= mix.ratio < 3.0
            assert mix.wow <= 0.002
            assert set(mix.pans) == {place(part) for part in parts}
            assert mix.pans["bass bass guitar"] == 0.0
            assert max(map(abs, mix.pans.values())) < 0.5
    assert draw_mix(_score("jazz", 7, *parts)) == draw_mix(_score("jazz", 7, *parts))


def test_habits_tell_genres_apart() -> None:
    def share(genre: str, name: str) -> float:
        return float(np.mean([bool(getattr(draw_mix(_score(genre, seed)), name)) for seed in range(100)]))

    assert share("lo-fi hip hop", "crackle_db") > 0.5 > share("jazz", "crackle_db") > 0.0
    assert share("trance", "pump") > 0.9
    assert share("classical", "pump") == share("classical", "crackle_db") == 0.0
    assert 0.05 < share("ambient", "surf") < 0.4


def test_a_plain_mix_is_the_sum_of_its_stems() -> None:
    rhythm, body = 0.5 * _tone(1.0), _tone(1.0)
    mixed = mix_down(rhythm, body, _score(), Mix(send=0.0, rhythm_send=0.0))
    # The low cut at 28 Hz takes some of the tone's first and last moments.
    np.testing.assert_allclose(mixed[:, 3200:-3200], (rhythm + body)[:, 3200:-3200], atol=2e-3)


def test_the_body_pumps_on_the_beat() -> None:
    drums = Part("drum machine", "drums", tuple(Note(float(i), 0.2, 36, 100) for i in range(8)))
    score = _score("house", 0, drums)
    assert kicks(score) == pytest.approx(np.arange(8) * 0.5)
    mixed = mix_down(np.zeros((1, 4 * SAMPLE_RATE), np.float32), _tone(4.0), score, Mix(send=0.0, pump=0.6))
    level = np.sqrt(np.mean(mixed[0].reshape(-1, 320) ** 2, axis=1))
    correlation = np.correlate(level - level.mean(), level - level.mean(), "full")[len(level) - 1 :]
    assert 20 + int(np.argmax(correlation[20:])) == 50  # blocks of 10 ms: half a second
    assert level[52:55].mean() < 0.7 * level[90:95].mean()


@pytest.mark.parametrize("channels", [1, 2])
def test_every_colour_at_once_stays_finite_and_repeats(channels: int) -> None:
    mix = Mix(
        send=0.6, rhythm_send=0.2, tilt_db=-1.4, high_cut_hz=3800.0, ratio=2.5, drive=1.2, pump=0.5, echo_seconds=0.3,
        echo_level=0.3, wow=0.002, crackle_db=-6.0,
    )  # fmt: skip
    rhythm, body = 0.5 * _tone(2.0, channels), _tone(2.0, channels)
    first, second = (mix_down(rhythm, body, _score(), mix) for _ in range(2))
    assert first.shape == (channels, 2 * SAMPLE_RATE)
    assert first.dtype == np.float32
    assert np.isfinite(first).all()
    assert 0.05 < np.sqrt(np.mean(first**2)) < 0.4
    np.testing.assert_array_equal(first, second)
    silent = mix_down(np.zeros_like(rhythm), np.zeros_like(body), _score(), mix)
    assert not silent.any()


def test_the_rhythm_is_bass_and_drums() -> None:
    roles = ("melody", "counter", "chords", "pad", "bass", "drums")
    assert [role for role in roles if is_rhythm(Part("piano", role, ()))] == ["bass", "drums"]
