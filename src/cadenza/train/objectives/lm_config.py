"""The settings of language-model training."""

from typing import Literal

from pydantic import Field

from cadenza.checkpoint import Config
from cadenza.conditioning.chroma import ChromaConfig
from cadenza.conditioning.clap import ClapConfig
from cadenza.conditioning.provider import ConditioningConfig
from cadenza.conditioning.style import StyleConfig
from cadenza.conditioning.t5 import T5Config
from cadenza.data.captions import CaptionConfig
from cadenza.lm.adapter import AdapterConfig
from cadenza.lm.model import LMConfig
from cadenza.train.optim import AdamWConfig, OptimizerConfig


class LMObjectiveConfig(Config):
    """Defaults: MusicGen's, with a frozen text encoder. All dropout of conditions is per item."""

    kind: Literal["lm"] = "lm"
    name: str = Field("unnamed", description="what the model is called")
    licence: str = Field("unknown", description="licence of the weights")
    codec: str = Field(description="folder of the codec whose codes are modelled")
    lm: LMConfig = Field(default_factory=LMConfig, description="the model")
    conditioning: ConditioningConfig = Field(default_factory=ConditioningConfig, description="projections and fusion")
    text_encoder: str | T5Config | None = Field(
        None, description="folder of a text encoder, or the shape of a new one; None: the model reads no text"
    )
    train_text_encoder: bool = Field(False, description="train the text encoder with the model")
    style_encoder: str | None = Field(None, description="folder of MERT, for a style condition that hears by it")
    clap_encoder: str | None = Field(None, description="folder of CLAP, for a condition on its vectors")
    recordings: str | None = Field(None, description="folder with the manifest of the audio, for a style condition")
    start_from: str | None = Field(
        None, description="model directory whose lm, conditioning and text encoder to continue"
    )
    window_seconds: float = Field(30.0, gt=0, description="length of a training window, seconds")
    playing_seconds: float | None = Field(
        None, gt=0, description="longest window when playing, if trained on longer ones before; None: as in training"
    )
    captions: CaptionConfig = Field(default_factory=CaptionConfig, description="how captions are drawn")
    condition_dropout: float = Field(0.3, ge=0, le=1, description="chance that an item is trained without conditions")
    text_dropout: float = Field(0.0, ge=0, le=1, description="chance that one with conditions goes without its text")
    melody_dropout: float = Field(0.5, ge=0, le=1, description="and without its melody")
    style_dropout: float = Field(0.4, ge=0, le=1, description="and without its style")
    plan_dropout: float = Field(0.1, ge=0, le=1, description="and without its plan")
    plan_part_dropout: float = Field(
        0.2, ge=0, le=1, description="chance that a part of a plan, or a name in one of its lists, is left open"
    )
    reader: str | None = Field(None, description="folder of what makes plans of texts, for a model that is told plans")
    excerpt_seconds: tuple[float, float] = Field(
        (1.5, 4.5), description="a style is heard in an excerpt of a length between these, drawn for each batch"
    )
    sound_text: float = Field(0.0, ge=0, le=1, description="chance that CLAP hears the words instead of the sound")
    adapter: AdapterConfig | None = Field(
        None, description="train nothing but low-rank branches beside the layers of start_from"
    )
    optimizer: OptimizerConfig = Field(default_factory=AdamWConfig)
    max_grad_norm: float = Field(1.0, ge=0, description="clip the gradient to this norm; 0: off")
    gradient_checkpointing: bool = Field(False, description="less memory, a third more time")

    @property
    def melody(self) -> ChromaConfig | None:
        """The melody condition, if the model has one."""
        return next((part for part in self._conditions if isinstance(part, ChromaConfig)), None)

    @property
    def style(self) -> StyleConfig | None:
        """The style condition, if the model has one."""
        return next((part for part in self._conditions if isinstance(part, StyleConfig)), None)

    @property
    def clap(self) -> ClapConfig | None:
        """The condition on CLAP's vectors, if the model has one."""
        return next((part for part in self._conditions if isinstance(part, ClapConfig)), None)

    @property
    def _conditions(self) -> list[object]:
        return list(self.conditioning.conditioners.values())

    def name_of(self, kind: type[Config]) -> str | None:
        """What the condition of this kind is called in the model; None: it has none."""
        parts = self.conditioning.conditioners.items()
        return next((name for name, part in parts if isinstance(part, kind)), None)
