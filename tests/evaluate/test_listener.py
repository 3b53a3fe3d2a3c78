"""The evaluator's own ear with random weights: what it promises whatever it has learnt."""

import pickle

import numpy as np
import pytest
import torch

from cadenza.audio import Audio
from cadenza.errors import UserError
from cadenza.evaluate.embedders.base import Embedder, JointEmbedder, Labeller
from cadenza.evaluate.embedders.listener import Listener
from cadenza.evaluate.embedders.listener_network import (
    FLOOR_DB,
    ListenerConfig,
    band_levels,
    cut_windows,
    hash_words,
    pool,
)
from cadenza.testing import noise, tiny_listener, tone


@pytest.fixture(scope="module")
def listener() -> Listener:
    return tiny_listener()


def test_it_is_all_three_kinds_of_network(listener: Listener) -> None:
    assert isinstance(listener, Embedder)
    assert isinstance(listener, Labeller)
    assert isinstance(listener, JointEmbedder)


def test_one_hearing_answers_every_question(listener: Listener) -> None:
    audio = noise(3.0)
    heard = listener.hear(audio)
    assert heard.windows.shape == (3, listener.dim)  # 151 frames in windows of 64
    assert np.array_equal(listener.embed(audio), heard.windows)
    assert np.array_equal(listener.probabilities(audio), heard.genres[None])
    assert np.array_equal(listener.embed_audio(audio), heard.joint)
    genres, instruments = listener.genre_probabilities(audio), listener.instrument_probabilities(audio)
    assert set(genres) == set(listener.labels) and sum(genres.values()) == pytest.approx(1.0, abs=1e-6)
    assert list(instruments.values()) == sorted(instruments.values(), reverse=True)
    assert [instruments[name] for name in listener.config.instruments] == heard.instruments.tolist()


def test_what_is_kept_of_the_last_clip_is_that_of_no_other(listener: Listener) -> None:
    first, second = noise(2.0, seed=1), noise(2.0, seed=2)
    kept = listener.embed(first)
    assert listener.hear(first) is listener.hear(first)
    assert not np.array_equal(listener.embed(second), kept)
    assert np.array_equal(listener.embed(Audio(first.samples.copy(), 32000)), kept)
    assert not np.array_equal(listener.embed(Audio(first.samples, 16000)), kept)


def test_it_can_be_sent_to_another_process(listener: Listener) -> None:
    audio = noise(2.0)
    kept = listener.embed(audio)
    again = pickle.loads(pickle.dumps(listener))
    assert np.array_equal(again.embed(audio), kept)
    assert again.identity == listener.identity


def test_heard_are_those_above_their_thresholds(listener: Listener) -> None:
    assert listener.heard({"drums": 0.59, "piano": 0.5, "flute": 0.41}) == ["piano", "flute"]


def test_texts_do_not_depend_on_each_other_nor_on_case_and_punctuation(listener: Listener) -> None:
    both = listener.embed_text(["A slow piano, please.", "fast techno at 130 bpm"])
    assert np.allclose(np.linalg.norm(both, axis=1), 1.0, atol=1e-6)
    assert np.allclose(listener.embed_text(["fast techno at 130 bpm"]), both[1:], atol=1e-6)
    assert np.array_equal(listener.embed_text(["a slow PIANO please"]), listener.embed_text(["A slow piano, please."]))
    assert not np.allclose(both[0], listener.embed_text(["please piano slow a"])[0], atol=1e-3)  # order tells
    assert np.isfinite(listener.embed_text(["", "?!", "ピアノ"])).all()
    with pytest.raises(UserError, match="at least one"):
        listener.embed_text([])


def test_words_are_hashed_the_same_everywhere() -> None:
    # crc32 of "slow", "piano", "slow piano" modulo 64.
    assert hash_words("slow piano", 64).tolist() == [29, 44, 40]


def test_level_channels_and_rate_drop_out(listener: Listener) -> None:
    audio = noise(2.0, level=0.1)
    heard = listener.levels(audio)
    assert np.allclose(listener.levels(Audio(audio.samples * 0.05, 32000)), heard, atol=1e-3)  # float32 decibels
    assert np.allclose(listener.levels(audio.with_channels(2)), heard, atol=1e-3)
    low = tone(440.0, 2.0)
    difference = np.abs(listener.levels(low.resample(44100)) - listener.levels(low))
    assert difference[:, 4:-4].max() < 1.0  # what a resampler leaves, 80 dB down, beside the ends


def test_short_and_silent_clips(listener: Listener) -> None:
    silence = Audio(np.zeros((1, 96000), dtype=np.float32), 32000)
    assert (listener.levels(silence) == FLOOR_DB).all()
    assert np.isfinite(listener.embed(silence)).all()
    short = listener.hear(tone(440.0, 0.3))
    assert short.windows.shape == (1, listener.dim)
    with pytest.raises(UserError, match=r"0\.2 s: mel hears 0\.25 s"):
        listener.hear(tone(440.0, 0.2))


def test_windows_hold_every_frame_evenly() -> None:
    levels = np.arange(300, dtype=np.float32)[None]
    windows = cut_windows(levels, 64)
    assert windows.shape == (5, 1, 64)
    assert set(windows.ravel().tolist()) == set(range(300))
    steps = np.diff(windows[:, 0, 0])
    assert steps.max() - steps.min() <= 1
    assert cut_windows(levels[:, :64], 64).shape == (1, 1, 64)


def test_white_noise_is_level_over_time_and_a_gap_is_at_the_floor() -> None:
    config = tiny_listener().config
    samples = noise(4.0).samples[0]
    samples[64000:96000] = 0.0
    levels = band_levels(samples, config)
    assert levels[:, 110:140].max() == FLOOR_DB
    assert abs(float(10 * np.log10((10 ** (levels[:, :95] / 10)).sum(axis=0).mean())) - 10 * np.log10(4 / 3)) < 0.1


def test_long_clips_are_heard_in_parts_to_the_same_effect(listener: Listener) -> None:
    """100 windows: more than go through the network at once."""
    audio = noise(127.0, sample_rate=8000)
    windows = torch.from_numpy(cut_windows(listener.levels(audio), listener.config.window_frames))
    with torch.inference_mode():
        whole = listener.embedding(listener(windows[None])[0]).numpy()
    assert len(whole) == 100
    assert np.allclose(listener.embed(audio), whole, atol=1e-4)


def test_pooling_one_window_changes_nothing() -> None:
    windows = torch.randn(2, 5, 8, generator=torch.Generator().manual_seed(0))
    assert torch.equal(pool(windows[:, :1]), windows[:, 0])
    assert torch.equal(pool(windows)[:, 4:], windows[:, :, 4:].amax(dim=1))


def test_saved_and_opened_it_hears_the_same(listener: Listener, tmp_path) -> None:
    listener.save_pretrained(tmp_path)
    again = Listener.open(tmp_path)
    audio = tone(440.0, 2.0)
    assert np.array_equal(again.embed(audio), listener.embed(audio))
    assert len(again.identity.weights) == 64 and again.identity == Listener.open(tmp_path).identity
    assert tiny_listener(1).identity != listener.identity


def test_training_mode_is_refused() -> None:
    listener = tiny_listener().train()
    with pytest.raises(UserError, match="eval"):
        listener.hear(tone(440.0, 1.0))


def test_config_must_be_consistent() -> None:
    with pytest.raises(ValueError, match="1 thresholds for 2 instruments"):
        ListenerConfig(instruments=("piano", "drums"), thresholds=(0.5,), genres=("jazz",))
    with pytest.raises(ValueError, match="bands=40"):
        ListenerConfig(instruments=(), thresholds=(), genres=(), bands=40)
