"""The objective of Jukebox' VQ-VAE: each level makes the whole sound of its own codes.

In: batches `{"audio": [B, 1, N]}`. Out: a `JukeboxVQVAE`. Dhariwal et al. 2020 (arXiv 2005.00341), section 3 and
appendix; losses as in the published code. Codebooks learn by moving averages beside the optimiser; their averages are
part of a snapshot's state, not of the model. Without them, in a model begun from weights alone, they begin as if every
entry had been used alike in batches of this size (the published code leaves out the batch size).
"""

import math
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from cadenza.checkpoint import Config
from cadenza.convert.openai_jukebox_vqvae import read_vqvae
from cadenza.data.batches import Batch, BatchSource
from cadenza.errors import UserError
from cadenza.evaluate.fidelity import si_sdr
from cadenza.jukebox.codebook import CodebookLearner, LearningConfig
from cadenza.jukebox.vqvae import JukeboxVQVAE, JukeboxVQVAEConfig, VQVAEPass
from cadenza.nn.ranks import num_ranks
from cadenza.train.objective import Loss, Phase, Turn
from cadenza.train.vqvae_losses import (
    SHORTEST,
    Bandwidth,
    Terms,
    VQVAEWeights,
    compare,
    measure_bandwidth,
    spectral_convergence,
    wanted,
)

NEWCOMER = 2.0
"""Entries learnt elsewhere begin with this many times the uses below which they would be replaced, at least."""


class VQVAEObjectiveConfig(Config):
    """Defaults: the released VQ-VAE (384,618 steps of 256 segments of 8.9 s)."""

    kind: Literal["vqvae"] = "vqvae"
    vqvae: JukeboxVQVAEConfig = Field(default_factory=JukeboxVQVAEConfig, description="the model")
    start_from: str | None = Field(
        None, description="VQ-VAE to continue from, a model directory or OpenAI's vqvae.pth.tar; overrides `vqvae`"
    )
    segment_samples: int = Field(393_216, gt=0, description="samples of a training segment, a multiple of every hop")
    valid_samples: int = Field(393_216, gt=0, description="samples of a validation segment, a multiple of every hop")
    codebooks: LearningConfig = Field(default_factory=LearningConfig)
    weights: VQVAEWeights = Field(default_factory=VQVAEWeights)
    bandwidth: Bandwidth | None = Field(None, description="of the data; None: measured before the first update")
    bandwidth_seconds: float = Field(600.0, gt=0, description="training audio that is measured, seconds")
    learning_rate: float = Field(3e-4, gt=0, description="of Adam")
    betas: tuple[float, float] = Field((0.9, 0.999), description="of Adam")
    max_grad_norm: float = Field(1.0, ge=0, description="clip the gradient to this norm; 0: off")


class VQVAEObjective:
    """One phase, `vqvae`: the sum over levels of their reconstruction, spectra and commitment."""

    averaged: Sequence[str] = ("vqvae",)
    best_metric = "loss"

    def __init__(self, config: VQVAEObjectiveConfig, device: str | torch.device = "cpu") -> None:
        self.config = config
        self.vqvae = _begin(config).to(device).train()
        hop, shortest = self.vqvae.hop_lengths[-1], max(SHORTEST, config.weights.linf_samples)
        for name, samples in (("segment_samples", config.segment_samples), ("valid_samples", config.valid_samples)):
            if samples % hop or samples < shortest:
                raise UserError(f"{name} {samples}: use a multiple of the longest hop, {hop}, from {shortest} on")
        self.modules: dict[str, nn.Module] = {"vqvae": self.vqvae}
        books = [self.vqvae.codebook(level) for level in range(self.vqvae.num_levels)]
        self.learners = [CodebookLearner(book, config.codebooks) for book in books]
        # fused: one pass over the weights per step instead of a dozen.
        optimizer = torch.optim.Adam(self.vqvae.parameters(), config.learning_rate, config.betas, fused=True)
        self._phase = Phase("vqvae", optimizer, config.max_grad_norm)
        self.bandwidth = config.bandwidth

    def hear(self, data: BatchSource, rows: range) -> None:
        """Measure the bandwidth of training data, unless it is known: its first segments, this process's `rows`."""
        if self.bandwidth is None:
            self.bandwidth = measure_bandwidth(self._some(data, rows))

    def phases(self, step: int) -> Sequence[Phase]:
        return (self._phase,)

    def all_phases(self) -> Sequence[Phase]:
        return (self._phase,)

    def loss(self, batch: Batch, turn: Turn) -> Loss:
        audio = batch["audio"]
        assert isinstance(audio, Tensor)
        if self.config.start_from is not None:
            self._go_on(audio)
        made = self.vqvae.forward_train(audio, self.learners, turn.generator)
        with torch.autocast(audio.device.type, enabled=False):
            terms = self._compare(audio, made)
        weights, metrics = self.config.weights, {}
        value = torch.stack([one.total(weights) for one in terms.values()]).sum()
        for name, one in terms.items():
            metrics[f"reconstruction_{name}"] = one.reconstruction(weights).detach()
            metrics[f"multispectral_{name}"] = one.scales.mean().detach()
            metrics[f"convergence_{name}"] = one.convergence
        for level, part in enumerate(made.levels):
            assert part.metrics is not None
            value = value + weights.commitment * part.commitment
            metrics[f"commitment_l{level}"] = part.commitment.detach()
            metrics[f"entropy_bits_l{level}"] = part.metrics.entropy / math.log(2)
            for name in ("used", "usage"):  # shares of all entries
                metrics[f"{name}_l{level}"] = getattr(part.metrics, name) / self.vqvae.codebook_size
            for name in ("movement", "fit", "spread"):
                metrics[f"{name}_l{level}"] = getattr(part.metrics, name)
        return Loss(value, {"loss": value.detach()} | metrics)

    def evaluate(self, batches: Iterable[Batch]) -> dict[str, float]:
        """What is minimised (`loss`, without commitment) and, of each level decoded alone, in full precision: spectral
        convergence and SI-SDR (dB), and over all codes the entropy (bits) and the share of entries used."""
        levels = range(self.vqvae.num_levels)
        counts = torch.zeros(len(levels), self.vqvae.codebook_size)
        sums: dict[str, float] = {}
        items = 0
        for batch in batches:
            audio = batch["audio"]
            assert isinstance(audio, Tensor)
            found: dict[str, float] = {}
            with torch.autocast(audio.device.type, enabled=False):
                made = self.vqvae.forward_train(audio)
                totals = [one.total(self.config.weights) for one in self._compare(audio, made).values()]
                found["loss"] = float(torch.stack(totals).sum())
                for level in levels:
                    codes = made.levels[level].codes
                    alone = self.vqvae.decode(codes, level) if self.vqvae.is_shared else made.audio[level]
                    found[f"convergence_l{level}"] = float(spectral_convergence(alone, audio).mean())
                    found[f"si_sdr_l{level}"] = float(si_sdr(alone.flatten(1), audio.flatten(1)).mean())
                    counts[level] += torch.bincount(codes.flatten().cpu(), minlength=counts.shape[1])
            for name, value in found.items():
                sums[name] = sums.get(name, 0.0) + value * len(audio)
            items += len(audio)
        metrics = {name: value / items for name, value in sums.items()}
        shares = counts / counts.sum(1, keepdim=True)
        for level in levels:
            ratio = metrics.pop(f"convergence_l{level}")
            metrics[f"convergence_db_l{level}"] = 20 * math.log10(max(ratio, 1e-6))
            metrics[f"entropy_bits_l{level}"] = float(-(shares[level] * shares[level].clamp_min(1e-12).log2()).sum())
            metrics[f"used_l{level}"] = float((counts[level] > 0).float().mean())
        return metrics

    def state_dict(self) -> dict[str, Any]:
        known = None if self.bandwidth is None else self.bandwidth.model_dump()
        return {"bandwidth": known, "codebooks": [learner.state_dict() for learner in self.learners]}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.bandwidth = None if state["bandwidth"] is None else Bandwidth(**state["bandwidth"])
        for learner, averages in zip(self.learners, state["codebooks"], strict=True):
            learner.load_state_dict(averages)

    def save_playable(self, directory: Path) -> None:
        self.vqvae.save_pretrained(directory)

    def _compare(self, audio: Tensor, made: VQVAEPass) -> dict[str, Terms]:
        """Of each level, `l0` and on; of a shared autoencoder, which decodes them together, of `all`."""
        assert self.bandwidth is not None, "hear() comes first"
        names = ["all"] if self.vqvae.is_shared else [f"l{level}" for level in range(self.vqvae.num_levels)]
        original = wanted(audio)
        return {
            name: compare(sound, original, self.bandwidth, self.config.weights)
            for name, sound in zip(names, made.audio, strict=True)
        }

    def _go_on(self, audio: Tensor) -> None:
        """Let codebooks whose entries were learnt elsewhere, and whose averages are not known, go on from there."""
        least = NEWCOMER * self.config.codebooks.restart_threshold
        for learner, hop in zip(self.learners, self.vqvae.hop_lengths, strict=True):
            if learner.uses is None:
                vectors = num_ranks() * len(audio) * (audio.shape[-1] // hop)
                learner.go_on(max(least, vectors / self.vqvae.codebook_size))

    def _some(self, data: BatchSource, rows: range) -> Iterator[Tensor]:
        seconds, number = 0.0, 0
        while seconds * num_ranks() < self.config.bandwidth_seconds:
            audio = data.batch(number)["audio"]
            assert isinstance(audio, Tensor)
            for row in rows:
                if seconds * num_ranks() < self.config.bandwidth_seconds:
                    yield audio[row : row + 1]
                    seconds += audio.shape[-1] / self.vqvae.sample_rate
            number += 1


def _begin(config: VQVAEObjectiveConfig) -> JukeboxVQVAE:
    """A new VQ-VAE, or one to continue from."""
    if config.start_from is None:
        return JukeboxVQVAE(config.vqvae)
    if Path(config.start_from).is_file():
        return read_vqvae(config.start_from)
    return JukeboxVQVAE.from_pretrained(config.start_from)
