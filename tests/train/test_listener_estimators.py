"""Tempo and key: what is told is learnt, twice the same."""

import numpy as np
import torch

from cadenza.evaluate.embedders.listener_key import NUM_PITCHES, KeyNetwork
from cadenza.evaluate.embedders.listener_tempo import (
    NUM_CURVES,
    NUM_TEMPOS,
    TEMPOS_BPM,
    TempoNetwork,
    most_probable_tempo,
)
from cadenza.train.listener_estimators import train_key, train_tempo

STEPS = 50


def test_tempo_is_learnt_where_the_curves_have_it() -> None:
    """A curve that peaks at the tempo and, higher, at its double: the double is the wrong answer."""
    places = np.arange(60, 160, 5)
    curves = np.zeros((places.size, 1, NUM_CURVES, NUM_TEMPOS), dtype=np.float32)
    curves[np.arange(places.size), :, :, places] = 0.6
    curves[np.arange(places.size), :, :, places + 64] = 1.0
    torch.manual_seed(0)
    network = TempoNetwork(8)
    train_tempo(network, curves, TEMPOS_BPM[places].tolist(), STEPS, 0, lambda step, loss: None)
    assert not network.training
    with torch.inference_mode():
        probabilities = network(torch.from_numpy(curves[:, 0])).softmax(dim=-1).numpy()
    told = np.array([most_probable_tempo(row)[0] for row in probabilities])
    assert np.mean(np.abs(told / TEMPOS_BPM[places] - 1) < 0.04) > 0.8


def test_keys_are_learnt_in_all_transpositions_from_two() -> None:
    """Only C major and A minor are told; others follow, since every step is the same for all."""
    scale = np.array([0, 2, 4, 5, 7, 9, 11])
    peaks = np.zeros((2, NUM_PITCHES, 12), dtype=np.float32)
    for row, tonic in enumerate((0, 9)):
        for octave in (2, 3, 4):
            peaks[row, 12 * octave + scale] = 0.3
            peaks[row, 12 * octave + tonic] = 1.0
    torch.manual_seed(0)
    network = KeyNetwork(12)
    train_key(network, peaks, np.array([0, 12 + 9]), STEPS, 0, lambda step, loss: None)
    with torch.inference_mode():
        told = network(torch.from_numpy(np.roll(peaks, 5, axis=1))).flatten(1).argmax(dim=1).tolist()
    assert told == [5, 12 + (9 + 5) % 12]
