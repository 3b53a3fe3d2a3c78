"""VGGish, the embedder of the published Fréchet audio distances.

In: `Audio`. Out: 128 numbers for each second or so. Hershey et al. (2017), "CNN architectures for large-scale audio
classification"; Kilgour et al. (2019), "Fréchet audio distance". Pre-processing in numpy: magnitudes of a Fourier
transform (16 kHz, periodic Hann window of 25 ms every 10 ms, 512 points), 64 triangles on HTK's mel scale from 125 to
7500 Hz, `log(0.01 + mel)`, examples of 96 frames. The network is VGG's configuration A cut short. What is compared is
the last layer before its activation, without the PCA of AudioSet's release: so does Google's pipeline since VGGish lost
its last ReLU in 2020, and so MusicGen's authors and the PyTorch packages, which take that ReLU off again.

Two ways of cutting a clip are in use, and they give other figures (`WindowRule`):

- "google", the papers' setting: a window of one second every half second, of which the last 25 ms are not heard; less
  than a second is not heard at all. The clip is raised to a positive peak of 1. Before that, MusicGen's authors write
  it as a 16-bit file with its peak at -1 dB; the level falls out, the rounding stays.
- "consecutive", that of torchvggish and of what is built on it (frechet_audio_distance, fadtk, kadtk): 0.96 s after
  0.96 s at the level that the clip has.
"""

from functools import lru_cache
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from jaxtyping import Float, Float32
from torch import Tensor, nn

from cadenza.audio import Audio
from cadenza.checkpoint import assign_weights, file_hash, on_meta
from cadenza.codec.base import exactly
from cadenza.evaluate.embedders.base import Identity, Setting, mono_wave
from cadenza.evaluate.embedders.weights import Published, read_state

WindowRule = Literal["google", "consecutive"]

SAMPLE_RATE = 16000
_WINDOW, _HOP, _POINTS = 400, 160, 512  # samples
_BANDS, _LOW_HZ, _HIGH_HZ, _FLOOR = 64, 125.0, 7500.0, 0.01
_FRAMES = 96  # of an example
_SECOND = SAMPLE_RATE  # Google's pipeline cuts seconds, every 50 frames
_STEP_FRAMES: dict[WindowRule, int] = {"google": 50, "consecutive": _FRAMES}
_LEAST_SECONDS: dict[WindowRule, float] = {
    "google": 1.0,
    "consecutive": (_WINDOW + (_FRAMES - 1) * _HOP) / SAMPLE_RATE,
}
_PEAK = 32767 * 10 ** (-1 / 20)  # of the 16-bit file
_WIDTHS = (64, "pool", 128, "pool", 256, 256, "pool", 512, 512, "pool")
_DIM = 128
_BATCH = 32  # examples at a time: 50 MB


class Vggish(nn.Module):
    """Six convolutions, three layers: `[B, 96, 64]` log mel frames in, `[B, 128]` out. Names as in torchvggish."""

    def __init__(self) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        channels = 1
        for width in _WIDTHS:
            if isinstance(width, str):
                layers.append(nn.MaxPool2d(2))
            else:
                layers += [nn.Conv2d(channels, width, 3, padding=1), nn.ReLU()]
                channels = width
        self.features = nn.Sequential(*layers)
        flat = channels * (_FRAMES // 16) * (_BANDS // 16)
        self.embeddings = nn.Sequential(
            nn.Linear(flat, 4096), nn.ReLU(), nn.Linear(4096, 4096), nn.ReLU(), nn.Linear(4096, _DIM)
        )

    def forward(self, examples: Float[Tensor, "B T F"]) -> Float[Tensor, "B D"]:
        maps = self.features(examples[:, None])
        return self.embeddings(maps.permute(0, 2, 3, 1).flatten(1))  # channels last, as TensorFlow lays them out


class VggishEmbedder:
    """The network with its weights and a window rule; see the module."""

    dim = _DIM

    def __init__(self, network: Vggish, identity: Identity, device: str, windows: WindowRule) -> None:
        """Use `open`."""
        self.network, self.identity, self.device, self.windows = network, identity, torch.device(device), windows
        self.least_seconds = _LEAST_SECONDS[windows]

    @classmethod
    def open(
        cls, published: Published, path: str | Path | None = None, device: str = "cpu", windows: WindowRule = "google"
    ) -> "VggishEmbedder":
        """With the published weights, or those at `path`. UserError where there are none, or they are others."""
        file = published.find(path)
        with on_meta():
            network = Vggish()
        assign_weights(network, read_state(file), file)
        network.requires_grad_(False).eval().to(device)
        settings: dict[str, Setting] = {
            "sample_rate": SAMPLE_RATE,
            "windows": windows,
            "window_seconds": 1.0 if windows == "google" else 0.96,
            "hop_seconds": _STEP_FRAMES[windows] * _HOP / SAMPLE_RATE,
            "level": "16 bit with peak -1 dB, then positive peak 1" if windows == "google" else "as it is",
            "last_activation": False,
            "pca": False,
        }
        source = f"{published.paper}; {published.url}"
        name = published.name if windows == "google" else f"{published.name}-{windows}"
        return cls(network, Identity(name, file_hash(file), settings, source), device, windows)

    @torch.no_grad()
    def embed(self, audio: Audio) -> Float32[np.ndarray, "W D"]:
        """One vector per window. UserError for a clip shorter than `least_seconds`."""
        examples = self.examples(audio)
        with exactly(self.device):
            vectors = [self.network(some.to(self.device)).cpu() for some in torch.from_numpy(examples).split(_BATCH)]
        return torch.cat(vectors).numpy()

    def examples(self, audio: Audio) -> Float32[np.ndarray, "W T F"]:
        """What the network hears: 96 frames of 64 log mel bands for every window."""
        wave = mono_wave(audio, SAMPLE_RATE, self.least_seconds, "vggish").astype(np.float64)
        if self.windows == "google":
            wave = _leveled(wave)
        frames, step = log_mel(wave), _STEP_FRAMES[self.windows]
        # Half a second is 50 hops, so frames of the whole clip are those of its windows.
        count = 1 + (len(wave) - _SECOND) // (step * _HOP) if self.windows == "google" else len(frames) // _FRAMES
        return np.stack([frames[start : start + _FRAMES] for start in range(0, count * step, step)])


def _leveled(wave: Float[np.ndarray, "N"]) -> Float[np.ndarray, "N"]:
    """As Google's pipeline gets it out of the 16-bit file that MusicGen's authors write. Silence stays silence."""
    peak = max(wave.max(), -wave.min())
    if peak == 0:
        return wave
    integers = wave / peak  # and on in place: an hour is 460 MB
    integers *= _PEAK
    np.round(integers, out=integers)
    integers /= max(integers.max(), 0.1)
    return integers


def log_mel(wave: Float[np.ndarray, "N"]) -> Float32[np.ndarray, "T F"]:
    """`log(0.01 + mel)` of every whole frame of a wave at 16 kHz, no padding; T = 1 + (N - 400) // 160."""
    frames = np.lib.stride_tricks.sliding_window_view(wave, _WINDOW)[::_HOP]
    window = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(_WINDOW) / _WINDOW)
    bank = _mel_bank()
    pieces = []
    for start in range(0, len(frames), 4096):  # 40 s: an hour takes no more memory than a minute
        magnitudes = np.abs(np.fft.rfft(frames[start : start + 4096] * window, _POINTS))
        pieces.append(np.log(magnitudes @ bank + _FLOOR).astype(np.float32))
    return np.concatenate(pieces)


@lru_cache(maxsize=1)
def _mel_bank() -> Float[np.ndarray, "K F"]:
    """Triangles that rise and fall linearly in mel (not in hertz), with peak 1; the bin at 0 Hz counts for none."""

    def mel(hertz: np.ndarray) -> np.ndarray:
        return 1127.0 * np.log1p(hertz / 700.0)

    bins = mel(np.linspace(0.0, SAMPLE_RATE / 2, _POINTS // 2 + 1))[:, None]
    low, high = mel(np.array([_LOW_HZ, _HIGH_HZ]))
    edges = np.linspace(low, high, _BANDS + 2)
    rising = (bins - edges[:-2]) / (edges[1:-1] - edges[:-2])
    falling = (edges[2:] - bins) / (edges[2:] - edges[1:-1])
    bank: np.ndarray = np.maximum(0.0, np.minimum(rising, falling))
    bank[0] = 0.0
    return bank
