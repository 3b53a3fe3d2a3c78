"""The ear's training: crops say the truth, and what it is told, it learns."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from cadenza.audio import Audio
from cadenza.evaluate.embedders.listener_network import FLOOR_DB, band_levels, cut_windows
from cadenza.testing import noise, tiny_listener, tone
from cadenza.train import listener as training
from cadenza.train.listener import (
    ListenerClip,
    ListenerTraining,
    pack_levels,
    train_listener,
    unpack_levels,
)

QUICK = ListenerTraining(
    steps=100, batch_windows=12, crop_windows=(1, 2), learning_rate=1e-2, mixed_share=0.1, other_captions=4
)


def clip_of(audio: Audio, player: int, genre: int, caption: str) -> ListenerClip:
    """A clip in which one instrument plays throughout; what is damaged about the copy is that it is silent."""
    levels = pack_levels(band_levels(audio.samples[0], tiny_listener().config))
    covered = np.zeros((3, levels.shape[1] // 16 + 1), dtype=np.float32)
    covered[player] = 0.32
    silent = np.zeros_like(levels)
    severities = np.array([1.0, 0.0], dtype=np.float32)
    return ListenerClip(levels, silent, severities, covered, (covered > 0).astype(np.uint8), genre, (caption,))


@pytest.fixture(scope="module")
def clips() -> list[ListenerClip]:
    return [
        *(clip_of(tone(200.0 * 1.3**i, 3.0), 0, 0, "a slow piano") for i in range(6)),
        *(clip_of(noise(3.0, seed=i), 2, 1, "fast techno drums") for i in range(6)),
    ]


def test_levels_survive_as_bytes() -> None:
    levels = np.random.default_rng(0).uniform(-80.0, 22.0, (4, 50)).astype(np.float32)
    assert np.abs(unpack_levels(pack_levels(levels)) - levels).max() <= 0.2 + 1e-4  # half a step


def test_it_learns_what_it_is_told_and_the_same_every_time(clips: list[ListenerClip]) -> None:
    losses: list[dict[str, float]] = []
    first, second = tiny_listener(), tiny_listener()
    untrained = first.instrument_probabilities(clips_audio())
    train_listener(first, clips, QUICK, lambda _, values: losses.append(values))
    assert set(losses[-1]) >= {"instruments", "genres", "captions", "embedded_severities"}
    heard = first.instrument_probabilities(clips_audio())
    assert heard["drums"] > 0.8 > 0.4 > heard["piano"]
    assert heard != untrained
    assert first.genre_probabilities(clips_audio())["techno"] > 0.8
    sound, texts = first.embed_audio(clips_audio()), first.embed_text(["fast techno drums", "a slow piano"])
    assert sound @ texts[0] > sound @ texts[1]
    train_listener(second, clips, QUICK, lambda _, values: None)
    assert second.identity == first.identity


def clips_audio() -> Audio:
    """Noise that was in no clip."""
    return noise(3.0, seed=99)


def test_a_crop_knows_who_plays_in_it(clips: list[ListenerClip]) -> None:
    covered = np.zeros((3, 9), dtype=np.float32)
    covered[0, :4] = 0.32  # the piano in the first window, the drums strike once in the second
    strikes = np.zeros((3, 9), dtype=np.uint8)
    strikes[2, 5] = 1
    clip = replace(clips[0], covered=covered, strikes=strikes)
    still = replace(QUICK, damaged_share=0.0, gap_share=0.0)
    crop = training._crop(clip, 2, 64, still, np.random.default_rng(0))
    assert crop.players_by_window.tolist() == [[1.0, 0.0, 0.0], [0.0, 0.0, 1.0]]
    assert crop.players.tolist() == [1.0, 0.0, 0.0]  # one stroke in 2.56 s is not enough
    assert not crop.severities.any()


def test_gaps_are_silent_and_said(clips: list[ListenerClip]) -> None:
    gapped = replace(QUICK, damaged_share=0.0, gap_share=1.0)
    crop = training._crop(clips[6], 2, 64, gapped, np.random.default_rng(1))
    silent = (crop.levels == FLOOR_DB).all(axis=0).reshape(2, 64).mean(axis=1)
    assert crop.severities[:, -1].tolist() == silent.tolist()
    assert silent.sum() > 0
    damaged = training._crop(
        clips[6], 2, 64, replace(QUICK, damaged_share=1.0, gap_share=0.0), np.random.default_rng(1)
    )
    assert damaged.severities.tolist() == [[1.0, 0.0, 0.0]] * 2


def test_a_mix_holds_the_players_of_both(clips: list[ListenerClip]) -> None:
    still = replace(QUICK, damaged_share=0.0, gap_share=0.0)
    first, second = (training._crop(clip, 1, 64, still, np.random.default_rng(0)) for clip in (clips[0], clips[6]))
    mixed = training._mixed(first, second, np.random.default_rng(0))
    assert mixed.players.tolist() == [1.0, 0.0, 1.0]
    powers = [float((10 ** (crop.levels / 10)).sum(axis=0).mean()) for crop in (first, second, mixed)]
    assert min(powers[:2]) * 0.99 <= powers[2] <= max(powers[:2]) * 1.01  # the level of a clip stays that of a clip


def test_rare_players_are_drawn_more_often(clips: list[ListenerClip]) -> None:
    many = [clips[0]] * 100 + [clips[6]] * 4
    chances = training._rarity(many)
    assert chances[-1] == pytest.approx(5 * chances[0])  # the root of 100 / 4
    assert chances.sum() == pytest.approx(1.0)


def test_a_whitened_embedding_varies_alike_in_every_direction(clips: list[ListenerClip]) -> None:
    listener = tiny_listener()
    before = [listener.embed(noise(3.0, seed=i)) for i in range(2)]
    training.whiten_embedding(listener, clips)
    with torch.inference_mode():
        windows = torch.cat(
            [
                listener.embedding(listener.network(torch.from_numpy(cut_windows(unpack_levels(clip.whole), 64))))
                for clip in clips
            ]
        )
    assert windows.mean(dim=0).abs().max() < 1e-2
    covariance = torch.cov(windows.T)
    variances = covariance.diagonal()
    assert (covariance - torch.diag(variances)).abs().max() < 1e-2  # the directions are those of the covariance
    assert 0.5 < variances.max() <= 1.01 and variances.min() >= 0  # less than 1 by what was held back
    assert not np.allclose(listener.embed(noise(3.0, seed=0)), before[0])
