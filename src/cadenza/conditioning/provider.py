"""All conditions of a model together: named conditioners, their null values, and how they are fused.

In: one mapping per item of the batch, from condition name to raw value (a missing name is a dropped value). Out:
`FusedConditions`.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, cast

import torch
from jaxtyping import Bool
from pydantic import Field
from torch import Tensor, nn

from cadenza.checkpoint import Config, Pretrained
from cadenza.codec.base import Codec
from cadenza.conditioning.base import Condition, Conditioner, Features, Opening
from cadenza.conditioning.chroma import ChromaConditioner, ChromaConfig
from cadenza.conditioning.clap import ClapConditioner, ClapConfig
from cadenza.conditioning.embedding import EmbeddingConditioner, EmbeddingConfig
from cadenza.conditioning.fuser import FusedConditions, FuserConfig, fuse
from cadenza.conditioning.mert import Mert
from cadenza.conditioning.plan import PlanConditioner, PlanConfig
from cadenza.conditioning.reader import PlanReader
from cadenza.conditioning.style import StyleConditioner, StyleConfig
from cadenza.conditioning.text import TextConditioner, TextConfig, TextEncoder
from cadenza.errors import UserError

ConditionerConfig = Annotated[
    TextConfig | ClapConfig | ChromaConfig | StyleConfig | PlanConfig | EmbeddingConfig, Field(discriminator="kind")
]

Prepared = dict[str, list[Features | None]]
"""Features per condition and item: what is expensive, done. Rows can be cached, dropped and mixed freely."""

Taken = dict[str, Bool[Tensor, "B"]]
"""Items whose condition is taken away behind its projection, by condition."""


class ConditioningConfig(Config):
    """The defaults are MusicGen-small's: one text condition, by cross-attention."""

    dim: int = Field(1024, ge=1, description="width of the language model, D")
    conditioners: dict[str, ConditionerConfig] = Field({"description": TextConfig()}, description="conditions by name")
    fuser: FuserConfig = Field(FuserConfig(cross=("description",)), description="how each condition enters")

    @property
    def reader_folder(self) -> str | None:
        """Where the reader of a plan condition lies."""
        return next((part.reader for part in self.conditioners.values() if isinstance(part, PlanConfig)), None)


class ConditionProvider(nn.Module, Pretrained):
    """`fuse({name: conditioner(prepare(values))})`."""

    config_class = ConditioningConfig

    def __init__(self, config: ConditioningConfig) -> None:
        super().__init__()
        unknown = [name for name in config.fuser.names if name not in config.conditioners]
        if unknown:
            raise UserError(f"the fuser names {unknown[0]!r}, but the conditioners are {sorted(config.conditioners)}")
        self.config = config
        for name, part in config.conditioners.items():
            self.add_module(name, _build(part, config.dim))
        self._reader: tuple[PlanReader, ...] = ()  # a tuple, and so no submodule: it has its own folder

    def conditioner(self, name: str) -> Conditioner:
        if name not in self.config.conditioners:
            raise UserError(f"this model has no condition {name!r}: it listens to {self.accepts}")
        return cast(Conditioner, self.get_submodule(name))

    @property
    def accepts(self) -> str:
        """The conditions and what each takes, in words."""
        return ", ".join(f"{name}: {self.conditioner(name).accepts}" for name in sorted(self.config.conditioners))

    # ---- values to conditions ---------------------------------------------------------------------------------

    def prepare(self, items: Sequence[Mapping[str, object]]) -> Prepared:
        """The expensive, frozen part. Raises UserError for unknown names and unreadable values."""
        for item in items:
            for name in item:
                self.conditioner(name)
        return {
            name: self.conditioner(name).prepare([item.get(name) for item in items])
            for name in self.config.conditioners
        }

    def null(self, batch: int) -> Prepared:
        """Everything dropped."""
        return {name: [None] * batch for name in self.config.conditioners}

    def drop(self, prepared: Prepared, *names: str) -> Prepared:
        """The same with some conditions dropped for every item."""
        return {name: [None] * len(rows) if name in names else rows for name, rows in prepared.items()}

    def window(self, prepared: Prepared, start_seconds: float, opening: Opening | None = None) -> Prepared:
        """The view for generation that starts `start_seconds` into the piece, behind a part of its opening if given."""
        return {
            name: [self.conditioner(name).window(row, start_seconds, opening) for row in rows]
            for name, rows in prepared.items()
        }

    def conditions(self, prepared: Prepared, taken: Taken | None = None) -> dict[str, Condition]:
        """Projected and padded, by name; what is dropped becomes the condition's null value.

        What is in `taken` is zero after all: in training, codebooks learn from every item, dropped or not.
        """
        conditions = {}
        for name in self.config.conditioners:
            part = self.conditioner(name)
            made = part([part.null() if row is None else row for row in prepared[name]])
            if taken is not None and name in taken:
                kept = ~taken[name].to(made.mask.device)[:, None]
                made = Condition(made.embedding * kept[..., None], made.mask & kept)
            conditions[name] = made
        return conditions

    def forward(self, prepared: Prepared, taken: Taken | None = None) -> FusedConditions:
        """Projected, padded and fused: what the language model takes. See `conditions` for `taken`."""
        return fuse(self.conditions(prepared, taken), self.config.fuser)

    # ---- frozen encoders --------------------------------------------------------------------------------------

    def attach_text_encoder(self, encoder: TextEncoder, folder: str = "text_encoder") -> None:
        """Give `encoder` to the text conditioners that name its folder."""
        for conditioner in self._text_conditioners(folder):
            width = encoder.model.config.dim
            if width != conditioner.config.dim:
                raise UserError(f"the text encoder is {width} wide, the model expects {conditioner.config.dim}")
            conditioner.encoder = encoder

    def attach_style_encoder(self, encoder: Mert) -> None:
        """Give MERT to the style conditioners that hear by it."""
        for part in self.children():
            if isinstance(part, StyleConditioner):
                part.attach(encoder)

    def attach_codec(self, codec: Codec) -> None:
        """Give the model's codec to the style conditioners that hear by it."""
        for part in self.children():
            if isinstance(part, StyleConditioner):
                part.attach(codec)

    @property
    def reader(self) -> PlanReader | None:
        """What makes a plan of a text."""
        return self._reader[0] if self._reader else None

    def attach_reader(self, reader: PlanReader) -> None:
        """Give the plan condition its reader. Raises UserError if they do not know the same names."""
        for part in self.config.conditioners.values():
            if isinstance(part, PlanConfig):
                for names in ("genres", "instruments", "moods"):
                    if set(getattr(reader.config, names)) - set(getattr(part, names)):
                        raise UserError(
                            f"the reader knows other {names} than the model's plan: train them for the same"
                        )
        self._reader = (reader.eval().requires_grad_(False),)

    def _text_conditioners(self, folder: str) -> list[TextConditioner]:
        parts = (self.conditioner(name) for name in self.config.conditioners)
        return [part for part in parts if isinstance(part, TextConditioner) and part.config.encoder == folder]

    def _encoder_folders(self) -> list[str]:
        parts = self.config.conditioners.values()
        return list(dict.fromkeys(part.encoder for part in parts if isinstance(part, TextConfig)))

    @classmethod
    def from_pretrained(
        cls, directory: str | Path, device: str | torch.device = "cpu", dtype: torch.dtype | None = None
    ) -> "ConditionProvider":
        """Load projections (as `dtype`) and the frozen encoders beside them (float32).

        A folder that is absent leaves its conditioner without an encoder: prepared features still work.
        """
        provider = super().from_pretrained(directory, device, dtype)
        for folder in provider._encoder_folders():
            if (Path(directory) / folder).is_dir():
                provider.attach_text_encoder(TextEncoder.from_pretrained(Path(directory) / folder, device), folder)
        reader = provider.config.reader_folder
        if reader is not None and (Path(directory) / reader).is_dir():
            provider.attach_reader(PlanReader.from_pretrained(Path(directory) / reader, device))
        for part in provider.children():
            if isinstance(part, ClapConditioner):
                part.load_encoder(directory, device)
            if isinstance(part, StyleConditioner):
                part.load_encoder(directory)
        return provider

    def save_pretrained(self, directory: str | Path, dtype: torch.dtype | None = None) -> None:
        """Write projections and frozen encoders, floating-point tensors as `dtype` if given."""
        super().save_pretrained(directory, dtype)
        for folder in self._encoder_folders():
            encoder = self._text_conditioners(folder)[0].encoder
            if encoder is not None:
                encoder.save_pretrained(Path(directory) / folder, dtype)
        if self.config.reader_folder is not None and self.reader is not None:
            self.reader.save_pretrained(Path(directory) / self.config.reader_folder, dtype)
        for part in self.children():
            if isinstance(part, ClapConditioner | StyleConditioner):
                part.save_encoder(directory, dtype)


def _build(config: ConditionerConfig, dim: int) -> Conditioner:
    match config:
        case TextConfig():
            return TextConditioner(config, dim)
        case ClapConfig():
            return ClapConditioner(config, dim)
        case ChromaConfig():
            return ChromaConditioner(config, dim)
        case StyleConfig():
            return StyleConditioner(config, dim)
        case PlanConfig():
            return PlanConditioner(config, dim)
        case EmbeddingConfig():
            return EmbeddingConditioner(config, dim)
