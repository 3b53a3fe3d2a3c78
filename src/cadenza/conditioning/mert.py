"""MERT, a frozen encoder of musical sound: what the style condition hears with.

In: a waveform at 24 kHz, mono. Out: 75 vectors a second, `[T, E]`: the last hidden states. Li et al. (2023), "MERT:
acoustic music understanding model with large-scale self-supervised training". MERT-v1-95M has the shape of a HuBERT
base, MERT-v1-330M that of a HuBERT large, so they run as the `HubertModel` of `transformers`; of the files only numbers
are read, the program that comes with them is never run. As in audiocraft the sound goes in at the level it has.

`transformers` takes seconds to import: that happens when the first recording is heard.
"""

import math
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import torch
from jaxtyping import Float
from pydantic import Field, model_validator
from torch import Tensor, nn

from cadenza.audio import Audio
from cadenza.checkpoint import (
    CONFIG_FILE,
    WEIGHTS_FILE,
    Config,
    RestingWeights,
    check_shapes,
    read_config,
    read_weights,
    write_json,
    write_weights,
)
from cadenza.errors import UserError

MERT = "m-a-p/MERT-v1-95M"
"""The encoder of the published style model."""
INSTALL = 'pip install "transformers>=5.0"'
"""By its own name: that works however Cadenza was installed."""

# Of Hugging Face's settings: what the published models have, and the only value that is supported. Their
# `attention_relax` subtracts the largest score before the softmax, which changes nothing but the range of float16.
_REQUIRED = {
    "deepnorm": False,
    "feature_extractor_cqt": False,
    "feat_extract_norm": "group",
    "feat_extract_activation": "gelu",
    "hidden_act": "gelu",
    "conv_pos_batch_norm": False,
}
_FILE_NAMES = {  # weight norm: the names in PyTorch's memory -> those of files
    ".parametrizations.weight.original0": ".weight_g",
    ".parametrizations.weight.original1": ".weight_v",
}
UNUSED = ("masked_spec_embed",)
"""Tensors of published files that only training needs."""
_BUILDING = threading.Lock()  # requests come from several threads: one builds, the others wait


class MertConfig(Config):
    """The defaults are MERT-v1-95M. Reads Hugging Face's `config.json` too, and refuses what HuBERT cannot express."""

    kind: Literal["mert"] = "mert"
    sample_rate: int = Field(24000, ge=1, description="of the waveform, Hz")
    dim: int = Field(768, ge=1, le=65536, description="width of the hidden states, E")
    num_layers: int = Field(12, ge=1, le=1024, description="transformer layers")
    num_heads: int = Field(12, ge=1, le=1024, description="attention heads")
    feed_forward_dim: int = Field(3072, ge=1, description="width of the feed-forward layers")
    conv_dims: tuple[int, ...] = Field((512,) * 7, min_length=1, description="channels of each convolution")
    conv_kernels: tuple[int, ...] = Field((10, 3, 3, 3, 3, 2, 2), description="their lengths")
    conv_strides: tuple[int, ...] = Field((5, 2, 2, 2, 2, 2, 2), description="their strides")
    conv_bias: bool = Field(False, description="whether they have biases")
    projection_norm: bool = Field(True, description="a norm between convolutions and transformer")
    position_kernel: int = Field(128, ge=1, description="length of the convolution that tells positions, frames")
    position_groups: int = Field(16, ge=1, description="its groups")
    norm_epsilon: float = Field(1e-5, gt=0, description="added to the variance")
    norm_first: bool = Field(False, description="norms stand before attention and feed-forward, as in the 330M model")

    @property
    def frame_rate(self) -> float:
        """Vectors per second."""
        return self.sample_rate / math.prod(self.conv_strides)

    @model_validator(mode="before")
    @classmethod
    def _from_hugging_face(cls, value: Any) -> Any:
        if not isinstance(value, Mapping) or "hidden_size" not in value:
            return value
        for key, only in _REQUIRED.items():
            if value.get(key, only) != only:
                raise ValueError(f"{key} is {value[key]!r}, only {only!r} is supported: use {MERT}")
        names = {
            "sample_rate": "sample_rate",
            "dim": "hidden_size",
            "num_layers": "num_hidden_layers",
            "num_heads": "num_attention_heads",
            "feed_forward_dim": "intermediate_size",
            "conv_dims": "conv_dim",
            "conv_kernels": "conv_kernel",
            "conv_strides": "conv_stride",
            "conv_bias": "conv_bias",
            "projection_norm": "feat_proj_layer_norm",
            "position_kernel": "num_conv_pos_embeddings",
            "position_groups": "num_conv_pos_embedding_groups",
            "norm_epsilon": "layer_norm_eps",
            "norm_first": "do_stable_layer_norm",
        }
        return {ours: value[theirs] for ours, theirs in names.items() if theirs in value}


class Mert:
    """The encoder with its weights, which stay in their file until they are needed; float32 and frozen."""

    def __init__(self, config: MertConfig, state: Mapping[str, Tensor], source: str | Path = MERT) -> None:
        """`state` has the names of Hugging Face's files; `source` is where it came from, for messages."""
        self.config = config
        self.state = {name: tensor for name, tensor in state.items() if not name.startswith(UNUSED)}
        self.source = source
        self._model: nn.Module | None = None
        self._weights: RestingWeights | None = None

    @classmethod
    def from_pretrained(cls, directory: str | Path) -> "Mert":
        """From our own folder, or one of Hugging Face's that holds `model.safetensors`. CheckpointError if neither."""
        directory = Path(directory)
        config = read_config(MertConfig, directory / CONFIG_FILE)
        return cls(config, read_weights(directory / WEIGHTS_FILE), directory / WEIGHTS_FILE)

    def save_pretrained(self, directory: str | Path, dtype: torch.dtype | None = None) -> None:
        write_weights(Path(directory) / WEIGHTS_FILE, self.state, dtype)
        write_json(Path(directory) / CONFIG_FILE, self.config.model_dump(mode="json"))

    @property
    def sample_rate(self) -> int:
        return self.config.sample_rate

    @property
    def frame_rate(self) -> float:
        return self.config.frame_rate

    @torch.no_grad()
    def extract(self, excerpt: Audio, device: torch.device) -> Float[Tensor, "T E"]:
        """The vectors of an excerpt. UserError where `transformers` is missing, CheckpointError for wrong weights."""
        wave = torch.from_numpy(excerpt.with_channels(1).resample(self.sample_rate).samples)
        model = self.model.to(device)
        with torch.autocast(device.type, enabled=False):
            hidden: Tensor = model(wave.to(device)).last_hidden_state[0]
        if self._weights is not None:
            self._weights.rest()
        return hidden

    def check(self) -> None:
        """Whether the weights are those of the configuration. Raises as `extract` does."""
        assert self.model is not None

    @property
    def model(self) -> nn.Module:
        """The `HubertModel` of transformers with these weights. Raises as `extract` does."""
        with _BUILDING:
            if self._model is None:
                self._model = self._build()
            return self._model

    def _build(self) -> nn.Module:
        model = _hubert(self.config)
        files = {name: _file_name(name) for name in model.state_dict()}
        expected = {files[name]: tensor for name, tensor in model.state_dict().items()}
        check_shapes(self.source, expected, {name: tuple(tensor.shape) for name, tensor in self.state.items()})
        state = {name: self.state[file].float() for name, file in files.items()}
        model.load_state_dict(state, assign=True)
        model.requires_grad_(False).eval()
        if Path(self.source).suffix == ".safetensors":
            self._weights = RestingWeights(model, self.source)
        return model


def _hubert(config: MertConfig) -> nn.Module:
    """The model on the meta device."""
    try:
        from transformers import HubertConfig, HubertModel
    except ImportError as error:
        raise UserError(f'MERT needs the package transformers (extra "hub"; {error}): {INSTALL}') from error
    with torch.device("meta"):
        return HubertModel(
            HubertConfig(
                hidden_size=config.dim,
                num_hidden_layers=config.num_layers,
                num_attention_heads=config.num_heads,
                intermediate_size=config.feed_forward_dim,
                conv_dim=list(config.conv_dims),
                conv_kernel=list(config.conv_kernels),
                conv_stride=list(config.conv_strides),
                conv_bias=config.conv_bias,
                feat_proj_layer_norm=config.projection_norm,
                num_conv_pos_embeddings=config.position_kernel,
                num_conv_pos_embedding_groups=config.position_groups,
                layer_norm_eps=config.norm_epsilon,
                do_stable_layer_norm=config.norm_first,
                mask_time_prob=0.0,  # masking is for training; without it the model has no vector for masked frames
                mask_feature_prob=0.0,
            )
        )


def _file_name(name: str) -> str:
    for memory, file in _FILE_NAMES.items():
        name = name.replace(memory, file)
    return name
