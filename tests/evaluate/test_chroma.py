"""Chroma similarity: tunes of pure tones, whose answers are known."""

import numpy as np
import pytest

from cadenza.audio import Audio
from cadenza.errors import UserError
from cadenza.evaluate.chroma import chroma_similarity, measure_chroma
from cadenza.testing import noise

SCALE = (60, 62, 64, 65, 67, 69, 71, 72)


def play(pitches: tuple[int, ...], seconds: float = 1.024, sample_rate: int = 32000) -> Audio:
    """Sines one after another (1.024 s are 8 frames); the pitch 0 is a rest."""
    time = np.arange(round(seconds * sample_rate)) / sample_rate
    notes = [0.3 * np.sin(2 * np.pi * 440 * 2 ** ((pitch - 69) / 12) * time) * (pitch > 0) for pitch in pitches]
    return Audio(np.concatenate(notes).astype(np.float32), sample_rate)


@pytest.mark.parametrize("one_hot", [True, False])
def test_a_tune_is_itself(one_hot: bool) -> None:
    tune = play(SCALE)
    assert chroma_similarity(tune, tune, one_hot) == pytest.approx(1.0, abs=1e-6)
    louder = Audio(tune.samples * 0.01, tune.sample_rate)
    assert chroma_similarity(tune, louder, one_hot) == pytest.approx(1.0, abs=1e-4)  # level does not matter


def test_a_semitone_higher_nothing_agrees() -> None:
    """Held tones, so that no window hears two of them; whole frames keep what leaks into the neighbours."""
    assert chroma_similarity(play((60,), 4.0), play((61,), 4.0)) == 0.0
    assert chroma_similarity(play((60,), 4.0), play((61,), 4.0), one_hot=False) < 0.8
    assert chroma_similarity(play((60,), 4.0), play((66,), 4.0), one_hot=False) < 0.01


def test_octaves_are_the_same() -> None:
    higher = play(tuple(pitch + 12 for pitch in SCALE))
    assert chroma_similarity(play(SCALE), higher) >= 1 - 7 / 64  # frames on the 7 borders may fall either way


def test_half_a_tune_is_half_right() -> None:
    assert chroma_similarity(play((60, 60, 60, 60)), play((60, 60, 66, 66))) == pytest.approx(0.5, abs=0.05)


def test_another_tempo_is_less_similar() -> None:
    tune = play(SCALE)
    slower = chroma_similarity(tune, play(SCALE, 1.1 * 1.024))
    assert slower < 0.75
    assert chroma_similarity(tune, play(SCALE, 1.5 * 1.024)) < slower


def test_the_rate_and_the_channels_do_not_matter() -> None:
    tune = play(SCALE)
    stereo = play(SCALE, sample_rate=44100).with_channels(2)
    assert chroma_similarity(tune, stereo) > 0.98


@pytest.mark.parametrize("seconds", [4.0, 4.1, 5.25])
def test_parts_of_a_long_sound_join_up(seconds: float, monkeypatch: pytest.MonkeyPatch) -> None:
    sound = noise(seconds, 32000)
    whole = measure_chroma(sound)
    monkeypatch.setattr("cadenza.evaluate.chroma._FRAMES", 8)  # of 32, 33 and 42
    found = measure_chroma(sound)
    # To the bit on some processors: how a product of matrices is summed depends on its size.
    np.testing.assert_allclose(found.frames, whole.frames, atol=1e-5)
    np.testing.assert_allclose(found.level_db, whole.level_db, atol=1e-4)


def test_random_tunes_agree_in_one_of_twelve_frames() -> None:
    rng = np.random.default_rng(0)
    tunes = [measure_chroma(play(tuple(rng.integers(60, 72, 24)))) for _ in range(12)]
    pairs = [(a, b) for a in tunes for b in tunes if a is not b]
    found = np.mean([chroma_similarity(a, b) for a, b in pairs])
    assert found == pytest.approx(1 / 12, abs=0.02)  # three deviations of 66 pairs of 24 notes


def test_rests_of_the_tune_are_left_out() -> None:
    tune, held = play((67, 0, 0, 67)), play((67, 67, 67, 67))
    assert chroma_similarity(tune, held) == 1.0
    everything = chroma_similarity(tune, held, silence_db=None)
    assert 0.5 <= everything < 0.75  # windows reach two frames into the rest


def test_music_that_is_silent_agrees_with_nothing() -> None:
    silence = Audio(np.zeros((1, 4 * 32768), np.float32), 32000)
    for one_hot in (True, False):
        assert chroma_similarity(play((60, 60, 60, 60)), silence, one_hot) == 0.0
    with pytest.raises(UserError, match="silent"):
        chroma_similarity(silence, play((60, 60, 60, 60)))
    with pytest.raises(UserError, match="no samples"):
        measure_chroma(Audio(np.zeros((1, 0), np.float32), 32000))


def test_frames_and_levels() -> None:
    found = measure_chroma(play((69,), 1.024))
    assert found.frames.shape == (8, 12)
    assert found.strongest.sum() == 8
    assert set(found.frames.argmax(axis=1)) == {9}
    assert found.level_db[4] == pytest.approx(20 * np.log10(0.3 / 2**0.5), abs=0.05)
    assert len(measure_chroma(noise(1.03)).frames) == 9  # ceil(32960 / 4096)
    assert len(measure_chroma(noise(0.01)).frames) == 1


def test_the_shorter_of_both_counts() -> None:
    assert chroma_similarity(play((60, 64, 66)), play((60, 64))) == pytest.approx(1.0, abs=0.13)  # the last two frames
