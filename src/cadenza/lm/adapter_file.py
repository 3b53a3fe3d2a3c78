"""The file of an adapter: low-rank branches of a language model, and where they come from.

In: a file or a directory. Out: an `Adapter`; and back. The format is that of the `peft` library with the module names
of `transformers`' MusicGen, so that both libraries load it: one safetensors file whose header holds the settings and
our record, or a directory as peft writes it.
"""

import hashlib
import json
import math
import re
from collections.abc import Mapping
from os.path import isfile  # unlike Path's, False for a name that is too long
from pathlib import Path
from typing import Any, Literal, NamedTuple, cast, get_args

from jaxtyping import Float
from pydantic import Field
from torch import Tensor

from cadenza.checkpoint import (
    Config,
    parse_config,
    read_json,
    read_metadata,
    read_weights,
    write_json,
    write_weights,
)
from cadenza.errors import CheckpointError, UserError
from cadenza.files import atomic_directory

Target = Literal["self_attention", "cross_attention", "feed_forward", "heads"]

TRANSFORMERS_LINEARS = {
    "self_attention.in_projection": ("self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj"),
    "self_attention.out_projection": ("self_attn.out_proj",),
    "cross_attention.in_projection": ("encoder_attn.q_proj", "encoder_attn.k_proj", "encoder_attn.v_proj"),
    "cross_attention.out_projection": ("encoder_attn.out_proj",),
    "feed_forward.linear1": ("fc1",),
    "feed_forward.linear2": ("fc2",),
}
"""A layer's linear layers -> `transformers`' names for their parts."""

PEFT_CONFIG = "adapter_config.json"
PEFT_WEIGHTS = "adapter_model.safetensors"
_PREFIX = "base_model.model."
_DOWN, _UP = ".lora_A.weight", ".lora_B.weight"
_SETTINGS, _RECORD = "adapter_config", "cadenza"
"""Entries of a file's header."""
_HARMLESS_STARTS: tuple[object, ...] = (True, False, None, "gaussian", "eva", "orthogonal", "mica")
"""peft's `init_lora_weights` that leave the model's own weights as they are."""


class AdapterConfig(Config):
    """Which layers get branches, and of what size.

    Hu et al. adapt attention alone; Dettmers et al. (2023, "QLoRA", figure 2) and Biderman et al. (2024, "LoRA Learns
    Less and Forgets Less") find that branches in all layers, the feed-forward ones above all, are what comes near to
    full fine-tuning. The output heads are left out by default: many numbers, used by one codebook each.
    """

    rank: int = Field(16, ge=1, le=4096, description="width of the branches")
    alpha: float = Field(16.0, gt=0, allow_inf_nan=False, description="a branch counts alpha / rank")
    targets: tuple[Target, ...] = Field(
        ("self_attention", "cross_attention", "feed_forward"), min_length=1, description="layers with branches"
    )
    dropout: float = Field(0.0, ge=0, lt=1, description="chance that an input of a branch is left out, training only")
    rank_stabilized: bool = Field(False, description="count alpha / sqrt(rank) (rsLoRA)")

    @property
    def scale(self) -> float:
        return self.alpha / (math.sqrt(self.rank) if self.rank_stabilized else self.rank)


class AdapterRecord(Config):
    """Where an adapter comes from."""

    base: str = Field("unknown", description="name of the model that it was trained on")
    base_weights: str = Field("", description="SHA-256 of that model's weights")
    licence: str = Field("unknown", description="licence of the adapter")
    notes: str = Field("", description="what to say in a prompt, and how")
    training: dict[str, Any] = Field({}, description="what it was trained on, for how long, and with what result")


class LowRank(NamedTuple):
    """One branch's numbers."""

    down: Float[Tensor, "R I"]
    up: Float[Tensor, "O R"]


class Adapter(NamedTuple):
    """Branches that were trained: `scale * up @ down` is what each adds to the weight of its module."""

    config: AdapterConfig
    weights: Mapping[str, LowRank]
    """By `transformers`' name of the module, float32."""
    record: AdapterRecord = AdapterRecord()

    @property
    def hash(self) -> str:
        """SHA-256 of what it does: the same in every form of file."""
        total = hashlib.sha256()
        for name, pair in sorted(self.weights.items()):
            shapes = f"{tuple(pair.down.shape)} {tuple(pair.up.shape)}"  # tell where each one's numbers end
            total.update(f"{name} {shapes} {self.config.scale!r}\n".encode())
            for tensor in pair:
                total.update(tensor.contiguous().numpy().tobytes())
        return total.hexdigest()

    @property
    def num_parameters(self) -> int:
        return sum(tensor.numel() for pair in self.weights.values() for tensor in pair)

    def save(self, path: str | Path) -> None:
        """Write one safetensors file if the path ends so, else a directory as peft writes it."""
        path = Path(path)
        tensors: dict[str, Tensor] = {}
        for name, pair in self.weights.items():
            tensors |= {f"{_PREFIX}{name}{_DOWN}": pair.down, f"{_PREFIX}{name}{_UP}": pair.up}
        settings = self._settings()
        header = {_RECORD: self.record.model_dump_json()}
        if path.suffix == ".safetensors":
            write_weights(path, tensors, metadata=header | {_SETTINGS: json.dumps(settings)})
            return
        with atomic_directory(path) as temporary:
            write_weights(temporary / PEFT_WEIGHTS, tensors, metadata=header)
            write_json(temporary / PEFT_CONFIG, settings)

    def _settings(self) -> dict[str, Any]:
        """`adapter_config.json`."""
        config = self.config
        ranks = {name: len(pair.down) for name, pair in self.weights.items() if len(pair.down) != config.rank}
        return {
            "peft_type": "LORA",
            "task_type": None,
            "base_model_name_or_path": self.record.base,
            "r": config.rank,
            "lora_alpha": config.alpha,
            "lora_dropout": config.dropout,
            "use_rslora": config.rank_stabilized,
            "rank_pattern": ranks,
            "alpha_pattern": {
                name: config.scale * (math.sqrt(rank) if config.rank_stabilized else rank)
                for name, rank in ranks.items()
            },
            "target_modules": list(self.weights),
            "bias": "none",
            "fan_in_fan_out": False,
            "init_lora_weights": True,
            "inference_mode": True,
        }


def read_adapter(path: str | Path) -> Adapter:
    """A safetensors file of ours, or a directory of peft's. Raises UserError for a path that is none or an adapter of
    another kind, CheckpointError for a broken file."""
    path = Path(path)
    if isfile(path / PEFT_CONFIG):
        settings, file = read_json(path / PEFT_CONFIG), path / PEFT_WEIGHTS
        if not file.is_file() and file.with_suffix(".bin").is_file():
            raise UserError(f"{path} holds its weights as a pickle, which is not read: save it as {PEFT_WEIGHTS}")
        header = read_metadata(file)
    elif isfile(path):
        file, header = path, read_metadata(path)
        settings = _json(header, _SETTINGS, path)
        if not settings and (path.parent / PEFT_CONFIG).is_file():
            settings = read_json(path.parent / PEFT_CONFIG)
    else:
        raise UserError(f"no adapter at {path}: give a safetensors file, or a directory that peft wrote")
    if not settings:
        raise CheckpointError(f"{path} is no adapter: its header has no settings, and there is no {PEFT_CONFIG}")
    _refuse(settings, path)
    record = parse_config(AdapterRecord, _json(header, _RECORD, path) or _foreign_record(settings), path)
    pairs = _pairs(read_weights(file), path)
    config = _config(settings, pairs, path)
    return Adapter(config, _evened(pairs, settings, config, path), record)


def is_adapter(path: str | Path) -> bool:
    """Whether `read_adapter` is the one to read this."""
    path = Path(path)
    if path.suffix == ".safetensors" and isfile(path):
        return _SETTINGS in read_metadata(path) or (path.parent / PEFT_CONFIG).is_file()
    return isfile(path / PEFT_CONFIG)


def _json(header: Mapping[str, str], name: str, source: Path) -> dict[str, Any]:
    try:
        value = json.loads(header.get(name, "{}"))
    except (json.JSONDecodeError, RecursionError) as error:
        raise CheckpointError(f"{source}: {name} in its header is not JSON ({error}): fetch it again") from error
    if not isinstance(value, dict):
        raise CheckpointError(f"{source}: {name} in its header is no object: fetch it again")
    return value


def _foreign_record(settings: Mapping[str, Any]) -> dict[str, Any]:
    return {"base": str(settings.get("base_model_name_or_path") or "unknown")}


def _refuse(settings: Mapping[str, Any], source: Path) -> None:
    """Whatever else peft can do changes what the two matrices mean, or adds to them."""
    if settings.get("peft_type") != "LORA":
        raise UserError(f"{source} is an adapter of kind {settings.get('peft_type')!r}: only LoRA can be played")
    if settings.get("bias", "none") != "none" or settings.get("lora_bias"):
        raise UserError(f"{source} trains biases, which is not supported: train it with bias 'none'")
    for name in ("use_dora", "use_qalora", "use_bdlora", "fan_in_fan_out", "modules_to_save", "layer_replication",
                 "target_parameters", "trainable_token_indices", "alora_invocation_tokens", "arrow_config",
                 "kasa_config", "monteclora_config", "velora_config"):  # fmt: skip
        if settings.get(name):
            raise UserError(f"{source} uses peft's {name}, which is not supported: train it without")
    start = settings.get("init_lora_weights")
    if start not in _HARMLESS_STARTS:
        raise UserError(
            f"{source} was begun with peft's init_lora_weights={start!r:.20}, which changes the model itself: save it "
            "with path_initial_model_for_weight_conversion"
        )


def _pairs(tensors: Mapping[str, Tensor], source: Path) -> dict[str, LowRank]:
    pairs: dict[str, LowRank] = {}
    for key, down in tensors.items():
        name = key.removeprefix(_PREFIX)
        if not name.endswith((_DOWN, _UP)):
            raise UserError(f"{source} holds {key}, which is no LoRA branch of a linear layer: train it without")
        if name.endswith(_UP):
            continue
        name = name.removesuffix(_DOWN)
        up = tensors.get(f"{_PREFIX}{name}{_UP}")
        if up is None or down.ndim != 2 or up.ndim != 2 or up.shape[1] != len(down):
            raise CheckpointError(f"{source}: {key} and its other half do not fit each other: fetch it again")
        if not (down.isfinite().all() and up.isfinite().all()):
            raise CheckpointError(f"{source}: {name} holds NaN or infinity: its training went wrong")
        pairs[name] = LowRank(down.float(), up.float())
    if not pairs or 2 * len(pairs) != len(tensors):
        raise CheckpointError(f"{source} holds {len(pairs)} whole branches in {len(tensors)} tensors: fetch it again")
    return pairs


def _config(settings: Mapping[str, Any], pairs: Mapping[str, LowRank], source: Path) -> AdapterConfig:
    value = {
        "rank": settings.get("r", 8),
        "alpha": settings.get("lora_alpha", 8),
        "dropout": settings.get("lora_dropout", 0.0),
        "rank_stabilized": settings.get("use_rslora", False),
        "targets": tuple(sorted({_target(name, source) for name in pairs}, key=get_args(Target).index)),
    }
    return parse_config(AdapterConfig, value, source)


def _target(name: str, source: Path) -> Target:
    if re.fullmatch(r"decoder\.lm_heads\.\d+", name):
        return "heads"
    layer = re.fullmatch(r"decoder\.model\.decoder\.layers\.\d+\.(\w+(\.\w+)?)", name)
    for ours, theirs in TRANSFORMERS_LINEARS.items():
        if layer is not None and layer[1] in theirs:
            return cast(Target, ours.partition(".")[0])
    raise UserError(f"{source} changes {name}: only linear layers of MusicGen's decoder can have branches here")


def _evened(
    pairs: Mapping[str, LowRank], settings: Mapping[str, Any], config: AdapterConfig, source: Path
) -> dict[str, LowRank]:
    """All of them counting the same: where peft's patterns give a module its own rank or alpha, B takes it up."""
    alphas = _alpha_pattern(settings.get("alpha_pattern"), source)
    evened = {}
    for name, pair in pairs.items():
        alpha = next((value for pattern, value in alphas.items() if pattern.match(name)), config.alpha)
        rank = len(pair.down)
        scale = alpha / (math.sqrt(rank) if config.rank_stabilized else rank)
        ratio = scale / config.scale
        evened[name] = pair if math.isclose(ratio, 1.0, rel_tol=1e-12) else LowRank(pair.down, pair.up * ratio)
    return evened


def _alpha_pattern(patterns: object, source: Path) -> dict[re.Pattern[str], float]:
    """Patterns are ends of module names, as regular expressions; the first that fits counts."""
    if not isinstance(patterns or {}, dict):
        raise CheckpointError(f"{source}: its alpha_pattern is no object: fetch it again")
    alphas = {}
    for key, value in cast("dict[str, object]", patterns or {}).items():
        if isinstance(value, bool) or not isinstance(value, int | float) or not abs(value) < math.inf:
            raise CheckpointError(f"{source}: its alpha_pattern gives {key:.60} {value!r:.20}: fetch it again")
        try:
            alphas[re.compile(rf"(.*\.)?({key})$")] = float(value)
        except (re.error, OverflowError) as error:
            raise CheckpointError(f"{source}: its alpha_pattern has {key!r:.60} ({error}): fetch it again") from error
    return alphas
