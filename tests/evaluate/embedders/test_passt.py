"""PaSST against hear21passt 0.0.26 (recorded), its published shape, its pieces, and weights in files.

The record: `AugmentMelSTFT` as `base20sec` sets it and `PaSST` (two layers, width 48, 20 positions) with the weights of
the seed below, both in evaluation mode.
"""

from pathlib import Path

import numpy as np
import pytest
import torch

from cadenza.audio import Audio
from cadenza.checkpoint import on_meta
from cadenza.errors import CheckpointError, UserError
from cadenza.evaluate.embedders.base import Identity, Labeller
from cadenza.evaluate.embedders.passt import Passt, PasstLabeller, log_mel, window_seconds
from cadenza.evaluate.embedders.registry import PASST
from cadenza.testing import noise

BANDS = [  # 0, 2, 40 and 127 at frames 0, 50 and 99
    [0.14542404, -1.2024677, -1.2704138],
    [0.39302248, -0.76767254, -0.99885446],
    [-0.65287673, -0.01764793, 0.2012085],
    [1.19177, 1.173271, 1.2252051],
]
CLASSES = [0, 100, 200, 300, 400, 526]
LOGITS_2 = [-1.4624181, -5.3192186, -0.47389886, 0.81311715, 0.5540861, -0.5580397]  # of 2 s
LOGITS_1 = [-0.71769404, -5.1922026, -0.37570855, 0.35657454, 0.16377483, -0.88742745]  # of 1 s: positions are cut


def glide(seconds: float) -> Audio:
    t = np.arange(round(seconds * 32000)) / 32000
    hiss = 0.02 * np.random.default_rng(1).standard_normal(t.size)
    wave = 0.3 * np.sin(2 * np.pi * 220 * t) + 0.1 * np.sin(2 * np.pi * 1900 * t * (1 + 0.1 * t)) + hiss
    return Audio(wave.astype(np.float32), 32000)


def tiny() -> Passt:
    network = Passt(num_positions=20, dim=48, depth=2, num_heads=4)
    random = np.random.default_rng(0)
    state = network.state_dict()
    for name in sorted(state):
        draws = torch.from_numpy(random.standard_normal(tuple(state[name].shape), dtype=np.float32))
        if state[name].ndim == 2 or name.endswith("proj.weight"):
            state[name] = draws * (1.5 / state[name][0].numel() ** 0.5)
        elif ("norm" in name and name.endswith("weight")) or name == "head.0.weight":
            state[name] = 1 + 0.1 * draws
        else:
            state[name] = (0.1 if state[name].ndim == 1 else 0.3) * draws
    network.load_state_dict(state)
    return network.eval()


def labeller() -> PasstLabeller:
    return PasstLabeller(tiny(), Identity("passt", "0"))


def test_bands_are_those_of_hear21passt() -> None:
    bands = log_mel(torch.from_numpy(glide(2.0).samples))[0]
    assert bands.shape == (128, 200)
    # The largest difference over all bands was 1.2e-5, where a logarithm magnifies the rounding of small powers.
    np.testing.assert_allclose(bands[[0, 2, 40, 127]][:, [0, 50, 99]], BANDS, atol=3e-5)
    assert float(bands.std()) == pytest.approx(0.6587, abs=1e-4)


@pytest.mark.parametrize(("seconds", "expected"), [(2.0, LOGITS_2), (1.0, LOGITS_1)])
def test_logits_are_those_of_hear21passt(seconds: float, expected: list[float]) -> None:
    with torch.no_grad():
        logits = tiny()(log_mel(torch.from_numpy(glide(seconds).samples)))
    np.testing.assert_allclose(logits[0, CLASSES], expected, atol=2e-5)  # measured 4e-6
    found = labeller().probabilities(glide(seconds))
    np.testing.assert_allclose(found, logits.softmax(1), rtol=1e-5)
    assert found.sum() == pytest.approx(1.0)


def test_the_published_shape() -> None:
    with on_meta():
        state = Passt(num_positions=200).state_dict()
    assert sum(tensor.numel() for tensor in state.values()) == 86_231_326
    assert len(state) == 159
    shapes = {name: tuple(tensor.shape) for name, tensor in state.items()}
    assert shapes["time_new_pos_embed"] == (1, 768, 1, 200)
    assert shapes["freq_new_pos_embed"] == (1, 768, 12, 1)
    assert shapes["blocks.11.attn.qkv.weight"] == (2304, 768)
    assert shapes["blocks.11.mlp.fc2.bias"] == (768,)
    assert shapes["head.1.weight"] == shapes["head_dist.weight"] == (527, 768)
    assert [window_seconds(positions) for positions in (99, 200, 300)] == [10, 20, 30]


def test_clips_are_heard_in_pieces_that_nothing_is_added_to() -> None:
    hears = labeller()  # pieces of 2 s
    assert isinstance(hears, Labeller)
    assert len(hears.labels) == 527
    whole, part = glide(3.5), Audio(glide(3.5).samples[:, 64000:], 32000)
    found = hears.probabilities(whole)
    assert found.shape == (2, 527)
    np.testing.assert_allclose(found[1:], hears.probabilities(part), rtol=1e-5)
    assert len(hears.probabilities(glide(2.15))) == 1  # 0.15 s are not heard
    assert len(hears.probabilities(Audio(glide(2.2).samples[:, : 64000 + 4801], 32000))) == 2  # one sample more is
    assert hears.probabilities(noise(1.0, 44100).with_channels(2)).shape == (1, 527)
    assert np.isfinite(hears.probabilities(Audio(np.zeros((1, 32000), np.float32), 32000))).all()
    with pytest.raises(UserError, match=r"lasts 0.15 s: passt hears 0.15\d* s or more"):
        hears.probabilities(glide(0.15))


def test_weights_come_from_a_file(tmp_path: Path) -> None:
    with on_meta():
        state = Passt(num_positions=99).state_dict()
    values = {name: torch.full((1,), 0.01).expand(tensor.shape) for name, tensor in state.items()}  # a small file
    torch.save(values, tmp_path / "passt.pt")
    found = PasstLabeller.open(PASST, tmp_path / "passt.pt")
    assert found.window_seconds == found.identity.settings["window_seconds"] == 10
    np.testing.assert_allclose(found.probabilities(glide(0.2)), np.full((1, 527), 1 / 527), rtol=1e-4)
    torch.save({"features.0.weight": torch.zeros(1)}, tmp_path / "other.pt")
    with pytest.raises(CheckpointError, match=r"other.pt holds no PaSST .*: fetch https://github.com/kkoutini/PaSST"):
        PasstLabeller.open(PASST, tmp_path / "other.pt")


@pytest.mark.gpu
def test_a_gpu_hears_the_same() -> None:
    there = PasstLabeller(tiny().to("cuda"), Identity("passt", "0"), "cuda")
    # Convolutions in full float32 (`exactly`), sums in another order.
    np.testing.assert_allclose(there.probabilities(glide(2.0)), labeller().probabilities(glide(2.0)), rtol=1e-3)
