"""The settings of training a Jukebox prior."""

from typing import Literal

from pydantic import Field

from cadenza.checkpoint import Config
from cadenza.jukebox.prior import PriorConfig
from cadenza.train.optim import AdamWConfig, OptimizerConfig

Released = Literal["upsampler_level_0", "upsampler_level_1", "5b", "5b_lyrics", "1b_lyrics"]


class LabelFields(Config):
    """Where the manifest says what a prior is told. Of a list as artist the first counts."""

    artist: str = Field("artist", description="who plays: a text")
    genre: str = Field("genre", description="a text, or a list of texts")
    lyrics: str = Field("lyrics", description="what is sung, all of it: a text")
    start: str = Field("start_seconds", description="where in its piece a recording begins, s (where length is known)")
    length: str = Field("piece_seconds", description="length of that piece, s; without it a recording is a piece")


class PriorObjectiveConfig(Config):
    """Defaults: as published, but for dropout, which the published models were trained without."""

    kind: Literal["prior"] = "prior"
    vqvae: str = Field(description="VQ-VAE whose codes are modelled: a model directory, or OpenAI's vqvae.pth.tar")
    prior: PriorConfig | None = Field(
        None, description="the model, its label tables at least as long as said here; None: as that of `start_from`"
    )
    start_from: str | None = Field(None, description="prior to begin with: a model directory, or a file of OpenAI's")
    start_name: Released | None = Field(None, description="which published prior that file is; None: as it says itself")
    labels_from: str | None = Field(
        None,
        description="labels.json, or a folder with the published lists: names that keep their rows; None: those beside "
        "`start_from`, if any",
    )
    alike: dict[str, str] = Field(
        default_factory=dict, description="new names -> known ones of which their rows begin as copies; else as unknown"
    )
    fields: LabelFields = Field(default_factory=LabelFields)
    least_recordings: int = Field(1, ge=1, description="a name of fewer training recordings gets no row of its own")
    label_dropout: float = Field(0.1, ge=0, le=1, description="chance that artist, or genres, are unknown (p_unk)")
    lyrics_dropout: float = Field(0.1, ge=0, le=1, description="chance that an item is trained without its lyrics")
    optimizer: OptimizerConfig = Field(
        default_factory=lambda: AdamWConfig(learning_rate=3e-4, betas=(0.9, 0.999), weight_decay=0.01)
    )
    max_grad_norm: float = Field(1.0, ge=0, description="clip the gradient to this norm; 0: off")
    gradient_checkpointing: bool = Field(False, description="less memory, a third more time")
