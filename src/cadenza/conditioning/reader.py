"""From words to a plan: what a text says of tempo, key, meter, genre, instruments and moods, and what it leaves open.

In: sentences. Out: a `Reading` each. Figures are read by rules (`statements`); what words imply ("smoky" and
"saxophone" are jazz) is read by a small T5 encoder (`t5`) with pooled heads, trained on captions and facts alone: no
sound is needed to learn what words mean, so it sees far more sentences than there are recordings. What stays open is
drawn from what the heads think likely, by a seed, as a musician decides what nobody asked for.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float
from pydantic import Field
from torch import Tensor, nn

from cadenza.checkpoint import Config, Pretrained
from cadenza.conditioning.plan import METERS, MODES, PITCH_NAMES, Plan
from cadenza.conditioning.statements import stated_in
from cadenza.conditioning.t5 import T5Config, T5Encoder, TextTokenizer


class PlanReaderConfig(Config):
    """The encoder, what is known by name, and from which probability on something counts as said."""

    encoder: T5Config = Field(default_factory=T5Config, description="of the encoder that is trained with the heads")
    max_tokens: int = Field(160, ge=2, description="longer texts are cut")
    genres: tuple[str, ...] = Field((), description="genres by name")
    instruments: tuple[str, ...] = Field((), description="instruments by name")
    moods: tuple[str, ...] = Field((), description="moods by name")
    tempo_bins: int = Field(48, ge=1, description="bins of equal ratio that tempos are told apart by")
    tempo_range: tuple[float, float] = Field((40.0, 220.0), description="of these bins, bpm")
    genre_threshold: float = Field(0.5, gt=0, lt=1, description="a likelier genre is taken")
    instrument_threshold: float = Field(0.5, gt=0, lt=1, description="likelier instruments are taken")
    mood_threshold: float = Field(0.5, gt=0, lt=1, description="likelier moods are taken")

    @property
    def heads(self) -> dict[str, int]:
        """Outputs by name: logits of one of many, but each on its own for instruments and moods."""
        return {
            "genre": len(self.genres),
            "instruments": len(self.instruments),
            "moods": len(self.moods),
            "tempo": self.tempo_bins,
            "meter": len(METERS),
            "mode": len(MODES),
        }

    def tempo_bin(self, bpm: float) -> int:
        """The bin of a tempo; one outside the range lies in the nearest."""
        low, high = np.log(self.tempo_range)
        share = (np.log(bpm) - low) / (high - low)
        return int(np.clip(share * self.tempo_bins, 0, self.tempo_bins - 1))


class Reading(NamedTuple):
    """What was understood of one text."""

    stated: Plan
    """What is said, in figures or in words that leave little doubt."""
    tempo: np.ndarray
    """How likely each bin is."""
    tempo_range: tuple[float, float]
    """Of these bins, bpm."""
    meter: np.ndarray
    """How likely each of `METERS` is."""
    mode: np.ndarray
    """How likely each of `MODES` is."""

    def fill(self, seed: int) -> Plan:
        """What is stated; tempo, meter and key, where open, are drawn. Genre, instruments and moods stay open."""
        rng = np.random.default_rng(seed)  # all is drawn whatever is open, so that no draw depends on another
        low, high = np.log(self.tempo_range)
        bin_number = int(rng.choice(len(self.tempo), p=self.tempo))
        tempo = float(round(np.exp(low + (high - low) * (bin_number + rng.random()) / len(self.tempo))))
        meter = METERS[int(rng.choice(len(METERS), p=self.meter))]
        mode = MODES[int(rng.choice(len(MODES), p=self.mode))]
        tonic = PITCH_NAMES[int(rng.integers(len(PITCH_NAMES)))]
        if self.stated.key in MODES:  # said without a tonic
            return Plan(key=f"{tonic} {self.stated.key}").over(self.stated).over(Plan(tempo, meter=meter))
        return self.stated.over(Plan(tempo, f"{tonic} {mode}", meter))


class PlanReader(nn.Module, Pretrained):
    """T5 encoder, mean and maximum over its tokens, one linear layer for all heads; saved with its tokenizer."""

    config_class = PlanReaderConfig

    def __init__(self, config: PlanReaderConfig) -> None:
        super().__init__()
        self.config = config
        self.encoder = T5Encoder(config.encoder)
        self.heads = nn.Linear(2 * config.encoder.dim, sum(config.heads.values()))
        self.tokenizer: TextTokenizer | None = None
        """Set by what builds or loads a reader."""

    @classmethod
    def from_pretrained(
        cls, directory: str | Path, device: str | torch.device = "cpu", dtype: torch.dtype | None = torch.float32
    ) -> "PlanReader":
        """Load reader and tokenizer, in float32 unless told otherwise. Raises CheckpointError."""
        reader = super().from_pretrained(directory, device, dtype)
        reader.tokenizer = TextTokenizer.from_pretrained(directory)
        return reader

    def save_pretrained(self, directory: str | Path, dtype: torch.dtype | None = None) -> None:
        """Write configuration, weights and tokenizer."""
        assert self.tokenizer is not None, "a reader without its tokenizer"
        super().save_pretrained(directory, dtype)
        self.tokenizer.save_pretrained(directory)

    def forward(self, texts: Sequence[str]) -> dict[str, Float[Tensor, "B _"]]:
        """Logits of every head."""
        assert self.tokenizer is not None, "a reader without its tokenizer"
        ids = [tokens[: self.config.max_tokens] for tokens in self.tokenizer(texts)]
        device = self.heads.weight.device
        longest = max(map(len, ids))
        padded = torch.tensor([tokens + [0] * (longest - len(tokens)) for tokens in ids], device=device)
        lengths = torch.tensor([[len(tokens)] for tokens in ids], device=device)
        mask = torch.arange(longest, device=device) < lengths
        hidden = self.encoder(padded, mask).masked_fill(~mask[:, :, None], 0.0)
        highest = hidden.masked_fill(~mask[:, :, None], -torch.inf).amax(1)
        logits = self.heads(torch.cat([hidden.sum(1) / lengths, highest], dim=1)).float()
        widths = self.config.heads
        return dict(zip(widths, logits.split(list(widths.values()), dim=1), strict=True))

    @torch.no_grad()
    def read(self, texts: Sequence[str]) -> list[Reading]:
        """What is understood of each text, whatever the texts beside it."""
        return [self._reading(text) for text in texts]

    def _reading(self, text: str) -> Reading:
        logits = {name: row[0].double().cpu() for name, row in self([text]).items()}
        config, said = self.config, stated_in(text)
        genre = logits["genre"].softmax(0)
        stated = Plan(
            genre=config.genres[int(genre.argmax())] if genre.max() > config.genre_threshold else None,
            instruments=_likely(config.instruments, logits["instruments"], config.instrument_threshold),
            moods=_likely(config.moods, logits["moods"], config.mood_threshold),
        )
        tempo, meter, mode = (logits[name].softmax(0).numpy() for name in ("tempo", "meter", "mode"))
        return Reading(said.over(stated), tempo, config.tempo_range, meter, mode)


def _likely(names: Sequence[str], logits: Float[Tensor, "_"], threshold: float) -> tuple[str, ...]:
    """Names above the threshold, the likeliest first."""
    chances = logits.sigmoid()
    order = chances.argsort(descending=True, stable=True).tolist()
    return tuple(names[i] for i in order if chances[i] > threshold)
