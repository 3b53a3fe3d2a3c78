"""How the ear learns tempo and key: what is measured of clips, with the truth, to two trained networks.

Both are small and apart from the rest of the listener, so that neither timbre nor genre can suggest an answer. Tempo
curves are shifted by up to a tenth of an octave, as if the music were played a little faster or slower; pitches are
transposed by up to half an octave; parts of clips are heard as well as whole ones. All is a function of the seed.
"""

from collections.abc import Callable, Sequence

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float32, Int
from torch import Tensor, nn

from cadenza.evaluate.embedders.listener_key import KeyNetwork
from cadenza.evaluate.embedders.listener_tempo import NUM_TEMPOS, PER_OCTAVE, SLOWEST_BPM, TempoNetwork

Report = Callable[[int, float], None]
_BATCH = 64
_MOST_SHIFT = 10  # tempos to either side
_CURVE_NOISE = 0.02
_LEARNING_RATE, _WEIGHT_DECAY = 3e-3, 0.05


def train_tempo(
    network: TempoNetwork,
    curves: Float32[np.ndarray, "N V F M"],
    tempos_bpm: Sequence[float],
    steps: int,
    seed: int,
    report: Report,
) -> None:
    """Train in place on V views of each of N clips: cross entropy with the true tempo, 1 % of it to both sides."""
    truth = np.log2(np.asarray(tempos_bpm) / SLOWEST_BPM) * PER_OCTAVE
    grid = torch.arange(NUM_TEMPOS)

    def loss(rng: np.random.Generator) -> Tensor:
        clips = rng.choice(len(curves), _BATCH)
        views = curves[clips, rng.integers(curves.shape[1], size=_BATCH)]
        shifts = rng.integers(-_MOST_SHIFT, _MOST_SHIFT + 1, _BATCH)
        heard = np.stack([np.roll(view, shift, axis=-1) for view, shift in zip(views, shifts, strict=True)])
        heard += rng.normal(0.0, _CURVE_NOISE, heard.shape).astype(np.float32)
        distance = grid - torch.from_numpy((truth[clips] + shifts)[:, None]).float()
        wanted = F.normalize(torch.exp(-0.5 * distance.square()), p=1.0, dim=-1)
        return F.cross_entropy(network(torch.from_numpy(heard)), wanted)

    _train(network, loss, steps, seed, report)


def train_key(
    network: KeyNetwork,
    peaks: Float32[np.ndarray, "N P T"],
    keys: Int[np.ndarray, "N"],
    steps: int,
    seed: int,
    report: Report,
) -> None:
    """Train in place; `keys` are 0 (C) to 11 for major, 12 to 23 for minor."""

    def loss(rng: np.random.Generator) -> Tensor:
        clips = rng.choice(len(peaks), _BATCH)
        up = int(rng.integers(-6, 6))
        frames = int(rng.integers(peaks.shape[2] // 2, peaks.shape[2] + 1))
        start = int(rng.integers(peaks.shape[2] - frames + 1))
        heard = np.roll(peaks[clips, :, start : start + frames], up, axis=1)
        heard = heard * np.exp(rng.normal(0.0, 0.3, (_BATCH, 1, 1))).astype(np.float32)
        wanted = (keys[clips] % 12 + up) % 12 + 12 * (keys[clips] >= 12)
        return F.cross_entropy(
            network(torch.from_numpy(heard)).flatten(1), torch.from_numpy(wanted), label_smoothing=0.05
        )

    _train(network, loss, steps, seed, report)


def _train(
    network: nn.Module, loss: Callable[[np.random.Generator], Tensor], steps: int, seed: int, report: Report
) -> None:
    """AdamW over one cycle of the learning rate; `report(step, loss)` every 100 steps. Ends in evaluation mode."""
    torch.manual_seed(seed)
    rng = np.random.default_rng(seed)
    optimizer = torch.optim.AdamW(network.parameters(), lr=_LEARNING_RATE, weight_decay=_WEIGHT_DECAY)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, _LEARNING_RATE, total_steps=steps)
    network.train()
    total = 0.0
    for step in range(1, steps + 1):
        with torch.autocast("cpu", torch.bfloat16):
            value = loss(rng)
        optimizer.zero_grad()
        value.backward()
        optimizer.step()
        schedule.step()
        total += float(value.detach())
        if step % 100 == 0:
            report(step, total / 100)
            total = 0.0
    network.eval()
