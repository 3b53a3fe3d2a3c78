"""The language-model objective: predict every code from those before it in the pattern, and from the text.

In: batches `{"codes": [B, K, T], "frames": [B], "captions": [...]}`. Out: a language model with its conditioning. Copet
et al. 2023 (MusicGen), section 3. Differences: conditions are dropped per item, not per batch, and the text encoder may
be trained with the model.
"""

import math
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from cadenza.checkpoint import CONFIG_FILE, write_json
from cadenza.codec.encodec import EnCodec
from cadenza.codec.stereo import StereoCodec
from cadenza.conditioning.chroma import ChromaConfig
from cadenza.conditioning.fuser import FusedConditions
from cadenza.conditioning.plan import PlanConfig
from cadenza.conditioning.provider import ConditionProvider
from cadenza.conditioning.style import StyleConfig
from cadenza.conditioning.t5 import TextTokenizer
from cadenza.conditioning.text import TextEncoder
from cadenza.data.batches import Batch
from cadenza.lm.adapter import AdapterRecord, Branches, adapter_of
from cadenza.lm.model import LM
from cadenza.nn.ranks import mean_over_ranks, sum_over_ranks
from cadenza.pipelines.musicgen import MusicGen, MusicGenConfig
from cadenza.train.objective import Loss, Phase, Turn
from cadenza.train.objectives.hearing import Hearing, Values
from cadenza.train.objectives.lm_config import LMObjectiveConfig
from cadenza.train.optim import build_optimizer
from cadenza.train.throughput import Work, lm_work

ADAPTER_FILE = "adapter.safetensors"


class Parts(NamedTuple):
    """The modules that the objective trains or needs."""

    lm: LM
    conditioning: ConditionProvider
    text_encoder: TextEncoder | None
    codec: EnCodec
    branches: Branches | None = None
    """Where only these are trained; the model's other weights are frozen."""
    record: AdapterRecord = AdapterRecord()
    """What an adapter says of itself."""


class LMObjective:
    """Mean over codebooks of the masked cross entropy per codebook."""

    best_metric = "ce"

    def __init__(self, config: LMObjectiveConfig, parts: Parts, device: str | torch.device = "cpu") -> None:
        self.config = config
        self.lm, self.conditioning, self.text_encoder, self.codec, self.branches, self.record = parts
        self.lm.to(device).train(self.branches is None)
        self.lm.gradient_checkpointing = config.gradient_checkpointing
        self.conditioning.to(device).train(self.branches is None)
        self.modules: dict[str, nn.Module] = {"lm": self.lm, "conditioning": self.conditioning}
        if self.branches is not None:
            self.conditioning.requires_grad_(False)
            self.modules = {"adapter": self.branches.to(device).train()}
        if self.text_encoder is not None:
            trained = config.train_text_encoder and self.branches is None
            self.text_encoder.model.to(device).train(trained).requires_grad_(trained)
            self.conditioning.attach_text_encoder(self.text_encoder)
            if trained:
                self.modules["text_encoder"] = self.text_encoder.model
        self.hearing = Hearing(config, self.conditioning, self.text_encoder)
        self.averaged: Sequence[str] = tuple(self.modules)
        self._phase = Phase("lm", build_optimizer(self.modules, config.optimizer), config.max_grad_norm)

    def phases(self, step: int) -> Sequence[Phase]:
        return (self._phase,)

    def all_phases(self) -> Sequence[Phase]:
        return (self._phase,)

    def loss(self, batch: Batch, turn: Turn) -> Loss:
        values = self.hearing.drawn(batch, turn)
        conditions = self.hearing.conditions(batch, values)
        losses = self._losses(batch, conditions, self._counted(batch, values))
        per_codebook = losses.total / mean_over_ranks(losses.codes).clamp_min(1)
        total = per_codebook.mean()
        metrics = {f"ce_q{k}": value.detach() for k, value in enumerate(per_codebook)}
        return Loss(total, {"ce": total.detach()} | metrics, self._work(batch, conditions))

    def evaluate(self, batches: Iterable[Batch]) -> dict[str, float]:
        """`ce` and `ppl` with all conditions, whole and per codebook; `ce_null` without any, and `ce_text` with the
        words alone, for a model that hears more: the gaps are what the conditions are worth."""
        names = ["ce", "ce_null", *(["ce_text"] if self.hearing.hears_more_than_text else [])]
        zeros = torch.zeros(self.lm.config.num_codebooks, device=self.lm.device)
        sums = {name: CodeLosses(zeros, zeros) for name in names}
        for batch in batches:
            heard = self.hearing.whole(batch)
            # The same codes count in all of them, whether an excerpt is heard or not.
            counted = self._counted(batch, heard)
            choices = {"ce": heard, "ce_null": self.hearing.nothing(batch), "ce_text": self.hearing.text_only(batch)}
            for name in names:
                found = self._losses(batch, self.hearing.conditions(batch, choices[name]), counted)
                sums[name] = CodeLosses(*(a + b for a, b in zip(sums[name], found, strict=True)))
        metrics = {}
        for name, losses in sums.items():
            total, count = sum_over_ranks(torch.stack(losses)).tolist()
            each = [one / max(1.0, number) for one, number in zip(total, count, strict=True)]
            metrics[name] = sum(each) / len(each)
            if name == "ce":
                metrics |= {"ppl": _perplexity(metrics["ce"])}
                metrics |= {f"ce_q{k}": value for k, value in enumerate(each)}
                metrics |= {f"ppl_q{k}": _perplexity(value) for k, value in enumerate(each)}
        return metrics

    def state_dict(self) -> dict[str, Any]:
        return {} if self.text_encoder is None else {"tokenizer": self.text_encoder.tokenizer.tokenizer.to_str()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """A tokenizer that was learnt from the captions is data, not code: the run keeps the one that it began with."""
        if self.text_encoder is None:
            return
        from tokenizers import Tokenizer

        tokenizer = TextTokenizer(Tokenizer.from_str(state["tokenizer"]))
        self.text_encoder = self.hearing.text_encoder = TextEncoder(self.text_encoder.model, tokenizer)
        self.conditioning.attach_text_encoder(self.text_encoder)

    def save_playable(self, directory: Path) -> None:
        """A model directory, or one with an adapter in it."""
        if self.branches is not None:
            assert self.config.adapter is not None
            adapter_of(self.branches, self.config.adapter, self.record).save(directory / ADAPTER_FILE)
            write_json(directory / CONFIG_FILE, {"format": 1, "type": "adapter"})
            return
        stereo = self.lm.config.num_codebooks == 2 * self.codec.num_codebooks  # left and right by a mono codec
        settings = MusicGenConfig(
            name=self.config.name,
            licence=self.config.licence,
            stereo=stereo,
            max_duration_seconds=self.config.playing_seconds or self.config.window_seconds,
            melody_condition=self.config.name_of(ChromaConfig),
            style_condition=self.config.name_of(StyleConfig),
            plan_condition=self.config.name_of(PlanConfig),
        )
        codec = StereoCodec(self.codec) if stereo else self.codec
        MusicGen(codec, self.lm, self.conditioning, settings).save_pretrained(directory)

    # ---- the loss ------------------------------------------------------------------------------------------------

    def _losses(self, batch: Batch, conditions: FusedConditions, counted: Bool[Tensor, "B T"]) -> "CodeLosses":
        """In the pattern's own steps: the mask keeps codes that the pattern predicts, of the frames that count.

        Equal to reverting the logits to frames first, without moving them (the largest tensor of the step).
        """
        codes = batch["codes"]
        assert isinstance(codes, Tensor)
        sequence, _ = self.lm.pattern.build(codes, self.lm.config.special_token, valid_only=True)
        targets, _ = self.lm.pattern.build(codes.masked_fill(~counted[:, None], -1), -1, valid_only=True)
        return code_losses(self.lm(sequence[:, :, :-1], conditions), targets[:, :, 1:])

    def _work(self, batch: Batch, conditions: FusedConditions) -> Work:
        codes = batch["codes"]
        assert isinstance(codes, Tensor)
        steps = self.lm.pattern.num_steps(codes.shape[2], valid_only=True) - 1
        source = 0 if conditions.cross is None else conditions.cross.shape[1]
        frozen = self.branches is not None
        return lm_work(self.lm.config, codes.shape[0], steps, conditions.prefix_length, source, frozen)

    def _counted(self, batch: Batch, values: Values) -> Bool[Tensor, "B T"]:
        """The frames that are learnt: real ones, and not in an excerpt that is heard."""
        codes, frames = batch["codes"], batch["frames"]
        assert isinstance(codes, Tensor)
        assert isinstance(frames, Tensor)
        real = torch.arange(codes.shape[2], device=codes.device) < frames[:, None]
        excerpts = self.hearing.excerpts(batch, values, self.codec.frame_rate)
        return real if excerpts is None else real & ~excerpts


class CodeLosses(NamedTuple):
    """Cross entropy in nats, summed over the codes that count, and how many those are."""

    total: Float[Tensor, "K"]
    codes: Float[Tensor, "K"]


def _perplexity(nats: float) -> float:
    """Infinite where it is too large for a number: a model that diverged is validated like any other."""
    return math.exp(nats) if nats < 700 else math.inf


def code_losses(logits: Float[Tensor, "B K S V"], targets: Int[Tensor, "B K S"]) -> CodeLosses:
    """Per codebook, over targets that are not -1."""
    batch, books, steps, size = logits.shape
    losses = F.cross_entropy(logits.reshape(-1, size), targets.reshape(-1), ignore_index=-1, reduction="none")
    return CodeLosses(losses.view(batch, books, steps).sum((0, 2)), (targets != -1).sum((0, 2)).to(losses.dtype))


def masked_cross_entropy(logits: Float[Tensor, "B K S V"], targets: Int[Tensor, "B K S"]) -> Float[Tensor, "K"]:
    """Mean cross entropy per codebook, in nats, over targets that are not -1."""
    losses = code_losses(logits, targets)
    return losses.total / losses.codes.clamp_min(1)
