"""Before and after: how well a model predicts tracks, and whether it plays training tracks by heart.

In: a model with what hears for it, and tracks as codes. Out: cross entropy per track and
codebook; greedy continuations of training tracks, compared with how they go on.
"""

import re
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import torch
import torch.nn.functional as F
from jaxtyping import Int
from torch import Tensor

from cadenza.conditioning.fuser import FusedConditions
from cadenza.data.batches import Batch
from cadenza.data.tokens import CodedItem
from cadenza.evaluate.memorization import (
    CONTINUATION_SECONDS,
    Memorization,
    draw_excerpts,
    memorization,
)
from cadenza.lm.generate import GenerationConfig, generate_codes
from cadenza.lm.model import LM
from cadenza.train.finetune_tracks import windows
from cadenza.train.objectives.hearing import Hearing

WINDOWS_IN_ALL = 24
"""Windows that a measurement of many tracks listens to, one per track at least."""


class Listener(NamedTuple):
    """A language model, its branches with it, and what it hears of words."""

    lm: LM
    hearing: Hearing
    frame_rate: float

    def conditions(self, items: Sequence[CodedItem]) -> FusedConditions:
        """The first caption of each item, and nothing else."""
        words: Batch = {
            "captions": [item.captions[0] if item.captions else "" for item in items],
            "infos": [item.info for item in items],
        }
        conditions: FusedConditions = self.hearing.conditioning(self.hearing.prepare(self.hearing.text_only(words)))
        return conditions


@dataclass(frozen=True)
class TrackLoss:
    """Cross entropy of one track with its caption, nats per code, by codebook."""

    id: str
    per_codebook: tuple[float, ...]

    @property
    def mean(self) -> float:
        return sum(self.per_codebook) / len(self.per_codebook)


@torch.no_grad()
def track_losses(
    listener: Listener,
    items: Sequence[CodedItem],
    num_frames: int,
    batch_size: int = 4,
    most: int | None = None,
    autocast: AbstractContextManager[object] | None = None,
) -> list[TrackLoss]:
    """Windows of `num_frames`, evenly spread over each track, `most` per track (None: what is left of
    `WINDOWS_IN_ALL`). The words are the first caption; nothing else is heard."""
    most = most or max(1, WINDOWS_IN_ALL // max(1, len(items)))
    rows = [(i, part) for i, item in enumerate(items) for part in windows(item, num_frames, most)]
    books = listener.lm.config.num_codebooks
    totals = torch.zeros(len(items), books, dtype=torch.float64)
    counts = torch.zeros_like(totals)
    with autocast or nullcontext():
        for start in range(0, len(rows), batch_size):
            part = rows[start : start + batch_size]
            losses, counted = _row_losses(listener, [items[i] for i, _ in part], [codes for _, codes in part])
            for (i, _), loss, count in zip(part, losses.double().cpu(), counted.double().cpu(), strict=True):
                totals[i] += loss
                counts[i] += count
    means = (totals / counts.clamp_min(1)).tolist()
    return [TrackLoss(item.id, tuple(row)) for item, row in zip(items, means, strict=True)]


def _row_losses(
    listener: Listener, items: Sequence[CodedItem], codes: Sequence[Int[Tensor, "K _"]]
) -> tuple[Tensor, Tensor]:
    """Sums of the cross entropy and numbers of codes, `[B, K]` each."""
    lm = listener.lm
    longest = max(part.shape[1] for part in codes)
    padded = torch.stack([F.pad(part.long(), (0, longest - part.shape[1])) for part in codes]).to(lm.device)
    lengths = torch.tensor([part.shape[1] for part in codes], device=lm.device)
    real = torch.arange(longest, device=lm.device) < lengths[:, None]
    sequence, _ = lm.pattern.build(padded, lm.config.special_token, valid_only=True)
    targets, _ = lm.pattern.build(padded.masked_fill(~real[:, None], -1), -1, valid_only=True)
    targets = targets[:, :, 1:]
    logits = lm(sequence[:, :, :-1], listener.conditions(items)).float()
    losses = F.cross_entropy(logits.permute(0, 3, 1, 2), targets, ignore_index=-1, reduction="none")
    return losses.sum(-1), (targets != -1).sum(-1)


@torch.no_grad()
def measure_memorization(
    listener: Listener, items: Sequence[CodedItem], longest_frames: int, count: int, seed: int
) -> Memorization | None:
    """Play `count` openings of training tracks on for five seconds, greedily and without guidance.

    An opening is as long as what follows it; both are half of `longest_frames`, the model's reach, where that is less
    than ten seconds. None where no track is long enough.
    """
    lm = listener.lm
    behind = min(round(CONTINUATION_SECONDS * listener.frame_rate), longest_frames // 2)
    generator = torch.Generator().manual_seed(seed)
    excerpts = draw_excerpts([item.codes for item in items], count, 2 * behind, generator) if behind else []
    if not excerpts:
        return None
    codes = torch.stack([excerpt.codes.long() for excerpt in excerpts])
    conditions = listener.conditions([items[excerpt.track] for excerpt in excerpts])
    settings = GenerationConfig(greedy=True, guidance=1.0)
    frames = generate_codes(
        lm, conditions, None, settings, 2 * behind, range(len(codes)), codes[..., :behind].to(lm.device)
    )
    made = torch.cat([part.codes for part in frames], dim=-1)
    return memorization(made.cpu(), codes[..., behind:])


def peak_memory_bytes(device: torch.device) -> int | None:
    """The most that was ever used: of the GPU, if it was one, else of this process. None where that is not told."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    status = Path("/proc/self/status")
    found = re.search(r"VmHWM:\s+(\d+) kB", status.read_text()) if status.is_file() else None
    return None if found is None else int(found[1]) * 1024
