"""The language-model objective: predict every code from those before it in the pattern, and from the text.

In: batches `{"codes": [B, K, T], "frames": [B], "captions": [...]}`. Out: a language model with its conditioning. Copet
et al. 2023 (MusicGen), section 3. Differences: conditions are dropped per item, not per batch, and the text encoder may
be trained with the model.
"""

import math
import random
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, Literal, NamedTuple

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from pydantic import Field
from torch import Tensor, nn

from cadenza.checkpoint import Config
from cadenza.codec.encodec import EnCodec
from cadenza.codec.stereo import StereoCodec
from cadenza.conditioning.base import Features
from cadenza.conditioning.chroma import ChromaConfig
from cadenza.conditioning.fuser import FusedConditions
from cadenza.conditioning.provider import ConditioningConfig, ConditionProvider
from cadenza.conditioning.t5 import T5Config, T5Encoder, TextTokenizer
from cadenza.conditioning.text import TextConditioner, TextConfig, TextEncoder
from cadenza.data.batches import Batch
from cadenza.data.captions import drop_words
from cadenza.data.melodies import chroma_of
from cadenza.lm.model import LM, LMConfig
from cadenza.pipelines.musicgen import MusicGen, MusicGenConfig
from cadenza.train.objective import Loss, Phase, Turn
from cadenza.train.optim import AdamWConfig, OptimizerConfig, build_optimizer

CONDITION = "description"
MELODY = "melody"


class LMObjectiveConfig(Config):
    """Defaults: MusicGen's, with a frozen text encoder."""

    kind: Literal["lm"] = "lm"
    name: str = Field("unnamed", description="what the model is called")
    licence: str = Field("unknown", description="licence of the weights")
    codec: str = Field(description="folder of the codec whose codes are modelled")
    lm: LMConfig = Field(default_factory=LMConfig, description="the model")
    conditioning: ConditioningConfig = Field(default_factory=ConditioningConfig, description="projections and fusion")
    text_encoder: str | T5Config = Field(description="folder of a text encoder, or the shape of a new one")
    train_text_encoder: bool = Field(False, description="train the text encoder with the model")
    start_from: str | None = Field(
        None, description="model directory whose lm, conditioning and text encoder to continue"
    )
    window_seconds: float = Field(30.0, gt=0, description="length of a training window, seconds")
    playing_seconds: float | None = Field(
        None, gt=0, description="longest window when playing, if trained on longer ones before; None: as in training"
    )
    condition_dropout: float = Field(0.3, ge=0, le=1, description="chance that an item is trained without its text")
    melody_dropout: float = Field(0.5, ge=0, le=1, description="chance that an item is trained without its melody")
    word_dropout: float = Field(0.3, ge=0, le=1, description="chance that a word of a caption is left out")
    optimizer: OptimizerConfig = Field(default_factory=AdamWConfig)
    max_grad_norm: float = Field(1.0, ge=0, description="clip the gradient to this norm; 0: off")
    gradient_checkpointing: bool = Field(False, description="less memory, a third more time")

    @property
    def melody(self) -> ChromaConfig | None:
        """The melody condition, if the model has one."""
        part = self.conditioning.conditioners.get(MELODY)
        return part if isinstance(part, ChromaConfig) else None


class Parts(NamedTuple):
    """The modules that the objective trains or needs."""

    lm: LM
    conditioning: ConditionProvider
    text_encoder: TextEncoder
    codec: EnCodec


class LMObjective:
    """Mean over codebooks of the masked cross entropy per codebook."""

    best_metric = "ce"

    def __init__(self, config: LMObjectiveConfig, parts: Parts, device: str | torch.device = "cpu") -> None:
        self.config = config
        self.lm, self.conditioning, self.text_encoder, self.codec = parts
        self.lm.to(device).train()
        self.lm.gradient_checkpointing = config.gradient_checkpointing
        self.conditioning.to(device).train()
        self.text_encoder.model.to(device).train(config.train_text_encoder)
        self.text_encoder.model.requires_grad_(config.train_text_encoder)
        self.conditioning.attach_text_encoder(self.text_encoder)
        self.modules: dict[str, nn.Module] = {"lm": self.lm, "conditioning": self.conditioning}
        if config.train_text_encoder:
            self.modules["text_encoder"] = self.text_encoder.model
        self.averaged: Sequence[str] = tuple(self.modules)
        text = config.conditioning.conditioners[CONDITION]
        self._max_tokens = text.max_tokens if isinstance(text, TextConfig) else None
        self._phase = Phase("lm", build_optimizer(self.modules, config.optimizer), config.max_grad_norm)

    def phases(self, step: int) -> Sequence[Phase]:
        return (self._phase,)

    def all_phases(self) -> Sequence[Phase]:
        return (self._phase,)

    def loss(self, batch: Batch, turn: Turn) -> Loss:
        draw = random.Random(int(torch.randint(2**62, (), generator=turn.generator)))
        captions = [
            None if draw.random() < self.config.condition_dropout else drop_words(text, self.config.word_dropout, draw)
            for text in _captions(batch)
        ]
        melodies = [None if draw.random() < self.config.melody_dropout else melody for melody in self._melodies(batch)]
        per_codebook = self._cross_entropy(batch, self._conditions(captions, melodies))
        total = per_codebook.mean()
        metrics = {f"ce_q{k}": value.detach() for k, value in enumerate(per_codebook)}
        return Loss(total, {"ce": total.detach()} | metrics)

    def evaluate(self, batches: Iterable[Batch]) -> dict[str, float]:
        """`ce` and `ppl` with all conditions, whole and per codebook; `ce_null` without any, and `ce_text` without the
        melody: the gaps are what the conditions are worth."""
        sums = {"ce": torch.zeros(self.lm.config.num_codebooks)}
        sums |= {name: torch.zeros_like(sums["ce"]) for name in ("ce_null", "ce_text")}
        items = 0
        for batch in batches:
            captions, melodies = _captions(batch), self._melodies(batch)
            count = len(captions)
            no_text: list[str | None] = [None] * count
            no_melody: list[Features | None] = [None] * count
            heard = {"ce": self._conditions(captions, melodies), "ce_null": self._conditions(no_text, no_melody)}
            if self.config.melody is not None:
                heard["ce_text"] = self._conditions(captions, no_melody)
            for name, conditions in heard.items():
                sums[name] += self._cross_entropy(batch, conditions).float().cpu() * count
            items += count
        per_codebook = (sums["ce"] / items).tolist()
        metrics = {name: float(total.mean()) / items for name, total in sums.items()}
        if self.config.melody is None:
            del metrics["ce_text"]
        metrics["ppl"] = math.exp(metrics["ce"])
        metrics |= {f"ce_q{k}": value for k, value in enumerate(per_codebook)}
        return metrics | {f"ppl_q{k}": math.exp(value) for k, value in enumerate(per_codebook)}

    def state_dict(self) -> dict[str, Any]:
        return {"tokenizer": self.text_encoder.tokenizer.tokenizer.to_str()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """A tokenizer that was learnt from the captions is data, not code: the run keeps the one that it began with."""
        from tokenizers import Tokenizer

        tokenizer = TextTokenizer(Tokenizer.from_str(state["tokenizer"]))
        self.text_encoder = TextEncoder(self.text_encoder.model, tokenizer)
        self.conditioning.attach_text_encoder(self.text_encoder)

    def save_playable(self, directory: Path) -> None:
        seconds = self.config.window_seconds
        stereo = self.lm.config.num_codebooks == 2 * self.codec.num_codebooks  # left and right by a mono codec
        settings = MusicGenConfig(
            name=self.config.name,
            licence=self.config.licence,
            stereo=stereo,
            max_duration_seconds=self.config.playing_seconds or seconds,
            melody_condition=None if self.config.melody is None else MELODY,
        )
        codec = StereoCodec(self.codec) if stereo else self.codec
        MusicGen(codec, self.lm, self.conditioning, settings).save_pretrained(directory)

    # ---- the loss ------------------------------------------------------------------------------------------------

    def _melodies(self, batch: Batch) -> list[Features | None]:
        """What the model hears of each item's melody; None for a model that hears none."""
        if self.config.melody is None:
            return [None] * len(_captions(batch))
        conditioner = self.conditioning.conditioner(MELODY)
        classes, lengths, starts = (batch[name] for name in ("melody", "melody_frames", "start_seconds"))
        assert isinstance(classes, Tensor)
        return [
            conditioner.window(chroma_of(row[: int(length)], self.config.melody.dim), float(start))
            for row, length, start in zip(classes, lengths, starts, strict=True)
        ]

    def _conditions(self, captions: Sequence[str | None], melodies: Sequence[Features | None]) -> FusedConditions:
        """Text and melody to fused conditions; None and captions that say nothing are the null condition."""
        conditioner = self.conditioning.conditioner(CONDITION)
        assert isinstance(conditioner, TextConditioner)
        sentences = [conditioner.sentence(caption) for caption in captions]
        texts = [text for text in sentences if text is not None]
        rows: list[Features | None] = [None] * len(captions)
        if texts:
            with torch.set_grad_enabled(torch.is_grad_enabled() and self.config.train_text_encoder):
                encoded = iter(self.text_encoder.encode(texts, self._max_tokens))
            rows = [None if text is None else next(encoded) for text in sentences]
        prepared = {CONDITION: rows}
        if self.config.melody is not None:
            null = self.conditioning.conditioner(MELODY).null()
            prepared[MELODY] = [null if melody is None else melody for melody in melodies]
        return self.conditioning(prepared)

    def _cross_entropy(self, batch: Batch, conditions: FusedConditions) -> Float[Tensor, "K"]:
        """In the pattern's own steps: the mask keeps codes that the pattern predicts, of frames that are real.

        Equal to reverting the logits to frames first, without moving them (the largest tensor of the step).
        """
        codes, frames = batch["codes"], batch["frames"]
        assert isinstance(codes, Tensor)
        assert isinstance(frames, Tensor)
        real = torch.arange(codes.shape[2], device=codes.device) < frames[:, None]
        sequence, _ = self.lm.pattern.build(codes, self.lm.config.special_token, valid_only=True)
        targets, _ = self.lm.pattern.build(codes.masked_fill(~real[:, None], -1), -1, valid_only=True)
        return masked_cross_entropy(self.lm(sequence[:, :, :-1], conditions), targets[:, :, 1:])


def masked_cross_entropy(logits: Float[Tensor, "B K S V"], targets: Int[Tensor, "B K S"]) -> Float[Tensor, "K"]:
    """Mean cross entropy per codebook, in nats, over targets that are not -1."""
    batch, books, steps, size = logits.shape
    losses = F.cross_entropy(logits.reshape(-1, size), targets.reshape(-1), ignore_index=-1, reduction="none")
    counts = (targets != -1).sum((0, 2)).clamp_min(1)
    return losses.view(batch, books, steps).sum((0, 2)) / counts


def build_parts(config: LMObjectiveConfig, captions: Sequence[str], seed: int) -> Parts:
    """The modules of a run: continued, loaded, or initialised from the seed. `captions` train a new tokenizer."""
    from cadenza.train.tokenizer import train_tokenizer

    generator = torch.Generator().manual_seed(seed)
    codec = EnCodec.from_pretrained(config.codec)
    if config.start_from is not None:
        start = Path(config.start_from)
        conditioning = _continued(config.conditioning, start / "conditioning")
        encoder = TextEncoder.from_pretrained(start / "conditioning" / "text_encoder")
        return Parts(LM.from_pretrained(start / "lm", dtype=torch.float32), conditioning, encoder, codec)
    lm = LM(config.lm)
    lm.initialize(generator)
    conditioning = ConditionProvider(config.conditioning)
    if isinstance(config.text_encoder, str):
        return Parts(lm, conditioning, TextEncoder.from_pretrained(config.text_encoder), codec)
    tokenizer = train_tokenizer(captions, config.text_encoder.vocab_size)
    model = T5Encoder(config.text_encoder)
    model.initialize(generator)
    return Parts(lm, conditioning, TextEncoder(model, tokenizer), codec)


def _continued(config: ConditioningConfig, directory: Path) -> ConditionProvider:
    """Conditions with the weights of a model that has some of them; new ones begin by adding nothing."""
    before = ConditionProvider.from_pretrained(directory, dtype=torch.float32)
    provider = ConditionProvider(config)
    for name in config.conditioners:
        part = provider.conditioner(name)
        if name in before.config.conditioners:
            part.load_state_dict(before.conditioner(name).state_dict())
            continue
        *_, last = part.output_projection.modules()  # the layer before it, if there is one, must not be 0 to learn
        for parameter in last.parameters():
            nn.init.zeros_(parameter)
    return provider


def _captions(batch: Batch) -> list[str]:
    captions = batch["captions"]
    assert isinstance(captions, list)
    return captions
