"""VGGish against torchvggish 0.2 (recorded), the window rules, and weights in files.

The record: `vggish_input.waveform_to_examples` and the network without its last ReLU, weights of the seed below.
"""

from pathlib import Path

import numpy as np
import pytest
import torch

from cadenza.audio import Audio
from cadenza.checkpoint import on_meta
from cadenza.errors import CheckpointError, UserError
from cadenza.evaluate.embedders.base import Embedder, Identity
from cadenza.evaluate.embedders.registry import VGGISH
from cadenza.evaluate.embedders.vggish import Vggish, VggishEmbedder, WindowRule, log_mel
from cadenza.testing import noise

EXAMPLES = [  # frames 0, 50, 95 and bands 0 and 63 of both examples
    [[1.2823863, 0.5194926], [1.2360631, 0.7492661], [1.3218834, 0.9572966]],
    [[1.2876134, 0.7264575], [1.2677262, 0.56181633], [1.2937021, 0.2964692]],
]
VECTORS = [[1.9459141, -1.224319, 1.3233876, 2.4984813], [2.1940033, -1.445591, 1.8459845, 2.5179563]]


def glide(seconds: float = 2.0) -> Audio:
    """A tone, a rising one and noise."""
    t = np.arange(round(seconds * 16000)) / 16000
    hiss = 0.02 * np.random.default_rng(0).standard_normal(t.size)
    wave = 0.3 * np.sin(2 * np.pi * 220 * t) + 0.1 * np.sin(2 * np.pi * 1900 * t * (1 + 0.1 * t)) + hiss
    return Audio(wave.astype(np.float32), 16000)


@pytest.fixture(scope="module")
def network() -> Vggish:
    with on_meta():
        built = Vggish()
    draws = np.random.default_rng(1).standard_normal(1_000_003, dtype=np.float32)  # repeated: 72 million take seconds
    state = {}
    for name, tensor in built.state_dict().items():
        scale = np.float32((2 / tensor[0].numel()) ** 0.5 if tensor.ndim > 1 else 0.1)
        state[name] = torch.from_numpy(np.resize(draws, tuple(tensor.shape)) * scale)
    built.load_state_dict(state, assign=True)
    return built.eval()


def embedder(network: Vggish, windows: WindowRule = "google") -> VggishEmbedder:
    return VggishEmbedder(network, Identity("vggish", "0"), "cpu", windows)


def test_examples_and_vectors_are_those_of_torchvggish(network: Vggish) -> None:
    hears = embedder(network, "consecutive")
    assert isinstance(hears, Embedder)
    examples = hears.examples(glide())
    assert examples.shape == (2, 96, 64)
    np.testing.assert_allclose(examples[:, [0, 50, 95]][:, :, [0, 63]], EXAMPLES, atol=1e-5)
    assert examples.mean() == pytest.approx(-0.0655, abs=1e-4)
    vectors = hears.embed(glide())
    assert vectors.shape == (2, 128)
    # 72 million products in another order, on values of size 4
    np.testing.assert_allclose(vectors[:, [0, 40, 80, 120]], VECTORS, atol=1e-4)


def test_google_hears_a_second_every_half_second(network: Vggish) -> None:
    hears = embedder(network)
    wave = glide().samples[0].astype(np.float64)
    written = np.round(wave / np.abs(wave).max() * 10 ** (-1 / 20) * 32767)  # the 16-bit file
    level = written / written.max()
    expected = [log_mel(level[start : start + 16000])[:96] for start in (0, 8000, 16000)]
    np.testing.assert_allclose(hears.examples(glide()), expected, atol=1e-6)
    assert hears.embed(glide()).shape == (3, 128)


def test_log_mel_is_its_definition() -> None:
    """One frame, bin by bin and band by band."""
    wave = glide(0.025).samples[0].astype(np.float64)
    turn = np.exp(-2j * np.pi * np.outer(np.arange(257), np.arange(400)) / 512)
    magnitudes = np.abs(turn @ (wave * np.sin(np.pi * np.arange(400) / 400) ** 2))
    edges = np.linspace(1127 * np.log(1 + 125 / 700), 1127 * np.log(1 + 7500 / 700), 66)
    frame = []
    for low, centre, high in zip(edges, edges[1:], edges[2:], strict=False):
        total = 0.01
        for k in range(1, 257):
            mel = 1127 * np.log(1 + k * 31.25 / 700)
            total += magnitudes[k] * max(0.0, min((mel - low) / (centre - low), (high - mel) / (high - centre)))
        frame.append(np.log(total))
    np.testing.assert_allclose(log_mel(wave), [frame], atol=1e-6)


@pytest.mark.parametrize(
    ("windows", "seconds", "count"),
    [("google", 1.0, 1), ("google", 1.49, 1), ("google", 1.5, 2), ("google", 10.0, 19), ("consecutive", 0.975, 1),
     ("consecutive", 10.0, 10)],
)  # fmt: skip
def test_how_many_windows(network: Vggish, windows: WindowRule, seconds: float, count: int) -> None:
    assert embedder(network, windows).examples(glide(seconds)).shape == (count, 96, 64)


def test_level_matters_only_where_it_is_left_as_it_is(network: Vggish) -> None:
    loud = glide()
    soft = Audio(0.125 * loud.samples, 16000)  # a power of two: exact
    google, consecutive = embedder(network), embedder(network, "consecutive")
    assert np.array_equal(google.examples(loud), google.examples(soft))
    assert np.abs(consecutive.examples(loud) - consecutive.examples(soft)).max() > 1.0


def test_silence_stereo_and_other_rates(network: Vggish) -> None:
    hears = embedder(network)
    silence = hears.examples(Audio(np.zeros((1, 16000), np.float32), 16000))
    np.testing.assert_allclose(silence, np.log(0.01), atol=1e-6)
    stereo = Audio(np.repeat(glide().samples, 2, axis=0), 16000)
    assert np.array_equal(hears.examples(stereo), hears.examples(glide()))
    assert hears.examples(noise(1.0, 44100)).shape == (1, 96, 64)
    with pytest.raises(UserError, match=r"lasts 0.999 s: vggish hears 1 s or more"):
        hears.embed(glide(0.999))


def weights_file(path: Path, **changes: torch.Tensor) -> Path:
    """All of one value each, so the file is small; in the form before PyTorch 1.6, as the published one."""
    with on_meta():
        state = Vggish().state_dict()
    values = {name: torch.full((1,), 0.01).expand(tensor.shape) for name, tensor in state.items()}
    torch.save(values | changes, path, _use_new_zipfile_serialization=False)
    return path


def test_weights_come_from_a_file(tmp_path: Path) -> None:
    file = weights_file(tmp_path / "vggish.pth")
    assert file.stat().st_size < 100_000
    found = VggishEmbedder.open(VGGISH, file)
    vectors = found.embed(glide(1.0))
    assert vectors.shape == (1, 128)
    assert np.isfinite(vectors).all()
    same, other = VggishEmbedder.open(VGGISH, str(file)), VggishEmbedder.open(VGGISH, file, windows="consecutive")
    assert found.identity == same.identity
    assert found.identity != other.identity
    assert (found.identity.name, other.identity.name) == ("vggish", "vggish-consecutive")
    assert found.identity.settings["hop_seconds"] == 0.5
    assert other.identity.settings["hop_seconds"] == 0.96
    assert str(tmp_path) not in str(found.identity.record())


def test_other_weights_are_refused(tmp_path: Path) -> None:
    wrong = weights_file(tmp_path / "wrong.pth", **{"features.0.bias": torch.zeros(3)})
    with pytest.raises(CheckpointError, match=r"features.0.bias \[3\], expected \[64\]"):
        VggishEmbedder.open(VGGISH, wrong)
    with pytest.raises(
        UserError, match=r"no weights of vggish at nowhere.pth: they come from https://github.com/harri"
    ):
        VggishEmbedder.open(VGGISH, "nowhere.pth")


@pytest.mark.network
def test_the_published_weights_hear_a_sine_as_google_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    """Mean and deviation in `vggish_smoke_test.py` of tensorflow/models (2023), which allows 10 %."""
    monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
    sine = Audio(np.sin(2 * np.pi * 1000 * np.arange(48000) / 16000).astype(np.float32), 16000)
    vectors = VggishEmbedder.open(VGGISH, windows="consecutive").embed(sine)
    assert vectors.shape == (3, 128)
    np.testing.assert_allclose([vectors.mean(), vectors.std()], [0.000657, 0.343], rtol=0.1)
