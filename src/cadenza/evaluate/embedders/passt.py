"""PaSST, the labeller of the published KL divergences: how much of each of AudioSet's 527 classes sounds.

In: `Audio`. Out: one distribution over the classes for each piece of the clip. Koutini et al. (2022), "Efficient
training of audio transformers with patchout". As MusicGen's authors use it: 32 kHz mono, pieces of 20 s one after the
other, the last one as short as it is and left out if it lasts no more than 0.15 s, softmax over the classes (the
network was trained with sigmoids; a divergence needs distributions). A published checkpoint is made for 10, 20 or 30 s;
which, its positions tell.

The classes carry AudioSet's indices as names: its list of words belongs to AudioSet.
"""

import math
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float, Float32
from torch import Tensor, nn

from cadenza.audio import Audio
from cadenza.checkpoint import assign_weights, file_hash, on_meta
from cadenza.codec.base import exactly
from cadenza.errors import CheckpointError
from cadenza.evaluate.embedders.base import Identity, Setting, consecutive, mono_wave
from cadenza.evaluate.embedders.kaldi import mel_bank
from cadenza.evaluate.embedders.weights import Published, read_state

SAMPLE_RATE = 32000
_WINDOW, _HOP, _POINTS = 800, 320, 1024  # samples
_BANDS, _HIGH_HZ, _FLOOR = 128, 15000.0, 1e-5
_PATCH, _STRIDE = 16, 10  # frames and bands
_LEAST = 1 + round(0.15 * SAMPLE_RATE)  # samples: they make the 16 frames of a patch
_NORM_EPSILON = 1e-6
_TIME = "time_new_pos_embed"


class _Attention(nn.Module):
    def __init__(self, dim: int, num_heads: int) -> None:
        super().__init__()
        self.num_heads = num_heads
        self.qkv = nn.Linear(dim, 3 * dim)
        self.proj = nn.Linear(dim, dim)

    def forward(self, x: Float[Tensor, "B L D"]) -> Float[Tensor, "B L D"]:
        q, k, v = self.qkv(x).unflatten(2, (3, self.num_heads, -1)).permute(2, 0, 3, 1, 4)
        return self.proj(F.scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(2))


class _Block(nn.Module):
    """`x + attention(norm x)`, `x + mlp(norm x)`."""

    def __init__(self, dim: int, num_heads: int) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(dim, eps=_NORM_EPSILON)
        self.attn = _Attention(dim, num_heads)
        self.norm2 = nn.LayerNorm(dim, eps=_NORM_EPSILON)
        self.mlp = nn.ModuleDict({"fc1": nn.Linear(dim, 4 * dim), "fc2": nn.Linear(4 * dim, dim)})

    def forward(self, x: Float[Tensor, "B L D"]) -> Float[Tensor, "B L D"]:
        x = x + self.attn(self.norm1(x))
        return x + self.mlp["fc2"](F.gelu(self.mlp["fc1"](self.norm2(x))))


class Passt(nn.Module):
    """A vision transformer over overlapping patches of the spectrogram, with positions in time apart from pitch.

    `[B, 128, T]` log mel bands in, `[B, 527]` logits out; T at most as long as its positions reach. Names as in
    hear21passt. Besides the class token there is that of the distillation it began with; their mean is classified.
    """

    def __init__(
        self, num_positions: int, dim: int = 768, depth: int = 12, num_heads: int = 12, num_classes: int = 527
    ) -> None:
        super().__init__()
        self.patch_embed = nn.ModuleDict({"proj": nn.Conv2d(1, dim, _PATCH, _STRIDE)})
        self.cls_token = nn.Parameter(torch.empty(1, 1, dim))
        self.dist_token = nn.Parameter(torch.empty(1, 1, dim))
        self.new_pos_embed = nn.Parameter(torch.empty(1, 2, dim))
        self.freq_new_pos_embed = nn.Parameter(torch.empty(1, dim, _BANDS // _STRIDE, 1))
        self.time_new_pos_embed = nn.Parameter(torch.empty(1, dim, 1, num_positions))
        self.blocks = nn.Sequential(*(_Block(dim, num_heads) for _ in range(depth)))
        self.norm = nn.LayerNorm(dim, eps=_NORM_EPSILON)
        self.head = nn.Sequential(nn.LayerNorm(dim), nn.Linear(dim, num_classes))
        self.head_dist = nn.Linear(dim, num_classes)  # in the published files, not used

    def forward(self, bands: Float[Tensor, "B F T"]) -> Float[Tensor, "B V"]:
        patches = self.patch_embed["proj"](bands[:, None])
        patches = patches + self.time_new_pos_embed[..., : patches.shape[3]] + self.freq_new_pos_embed
        tokens = torch.cat([self.cls_token, self.dist_token], dim=1) + self.new_pos_embed
        x = torch.cat([tokens.expand(len(bands), -1, -1), patches.flatten(2).transpose(1, 2)], dim=1)
        return self.head(self.norm(self.blocks(x))[:, :2].mean(1))


class PasstLabeller:
    """The network with its weights; see the module."""

    least_seconds = _LEAST / SAMPLE_RATE

    def __init__(self, network: Passt, identity: Identity, device: str = "cpu") -> None:
        """Use `open`."""
        self.network, self.identity, self.device = network, identity, torch.device(device)
        self.window_seconds = window_seconds(network.time_new_pos_embed.shape[3])
        self.labels = tuple(f"AudioSet {index}" for index in range(network.head_dist.out_features))

    @classmethod
    def open(cls, published: Published, path: str | Path | None = None, device: str = "cpu") -> "PasstLabeller":
        """With the published weights, or those at `path`. UserError where there are none, or they are others."""
        file = published.find(path)
        state = read_state(file)
        if _TIME not in state or state[_TIME].ndim != 4:
            raise CheckpointError(f"{file} holds no PaSST (no {_TIME}): fetch {published.url}")
        with on_meta():
            network = Passt(state[_TIME].shape[3])
        assign_weights(network, state, file)
        network.requires_grad_(False).eval().to(device)
        settings: dict[str, Setting] = {
            "sample_rate": SAMPLE_RATE,
            "window_seconds": window_seconds(state[_TIME].shape[3]),
            "windows": "consecutive, the last as short as it is",
            "probabilities": "softmax",
        }
        source = f"{published.paper}; {published.url}"
        return cls(network, Identity(published.name, file_hash(file), settings, source), device)

    @torch.no_grad()
    def probabilities(self, audio: Audio) -> Float32[np.ndarray, "P L"]:
        """One row per piece. UserError for a clip shorter than `least_seconds`."""
        wave = mono_wave(audio, SAMPLE_RATE, self.least_seconds, "passt")
        pieces = consecutive(wave, round(self.window_seconds * SAMPLE_RATE), _LEAST)
        with exactly(self.device):
            heard = [self.network(log_mel(torch.from_numpy(piece)[None]).to(self.device)) for piece in pieces]
        return torch.cat(heard).softmax(1).cpu().numpy()


def window_seconds(num_positions: int) -> float:
    """How much sound the positions of a checkpoint reach over: 99 are 10 s, 200 are 20 s, 300 are 30 s."""
    return float(math.ceil(num_positions * _STRIDE * _HOP / SAMPLE_RATE))


def log_mel(wave: Float[Tensor, "B N"]) -> Float[Tensor, "B F T"]:
    """`(log(1e-5 + mel) + 4.5) / 5`, about unit size, of a wave at 32 kHz; T = 1 + (N - 1) // 320.

    The wave's treble is raised (x[n] - 0.97 x[n - 1]); power of frames centred on multiples of 320.
    """
    wave = wave[:, 1:] - 0.97 * wave[:, :-1]
    window = torch.hann_window(_WINDOW, periodic=False, device=wave.device)
    spectrum = torch.stft(wave, _POINTS, _HOP, _WINDOW, window, center=True, return_complex=True)
    power = spectrum.real.square() + spectrum.imag.square()
    bank = mel_bank(_BANDS, _POINTS, SAMPLE_RATE, 0.0, _HIGH_HZ)
    return ((bank.to(power) @ power + _FLOOR).log() + 4.5) / 5
