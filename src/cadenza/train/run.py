"""From a recipe to a running trainer.

In: a recipe (a Python file with `config() -> TrainConfig`) and overrides. Out: a `Trainer` with its objective and data.
"""

import runpy
import traceback
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pydantic
import torch
import yaml
from torch import Tensor

from cadenza.data.dataset import FixedSegments, RandomSegments, Recordings
from cadenza.data.manifest import read_manifest
from cadenza.data.tokens import TokenCache, encoder_hash
from cadenza.errors import CadenzaError, UserError
from cadenza.train.config import TrainConfig
from cadenza.train.distributed import device_here, everyone, num_ranks, rows_here, share, together
from cadenza.train.objectives.codec import CodecObjective, CodecObjectiveConfig
from cadenza.train.objectives.diffusion import DiffusionObjective
from cadenza.train.objectives.diffusion_config import DiffusionObjectiveConfig
from cadenza.train.objectives.lm import LMObjective, Parts
from cadenza.train.objectives.lm_config import LMObjectiveConfig
from cadenza.train.objectives.lm_parts import build_parts
from cadenza.train.objectives.lm_sources import lm_sources
from cadenza.train.objectives.prior import PriorObjective, pieces_in
from cadenza.train.objectives.prior_config import PriorObjectiveConfig
from cadenza.train.objectives.prior_parts import PriorParts, build_prior
from cadenza.train.objectives.reading import ReadingObjective, ReadingObjectiveConfig, build_reader
from cadenza.train.objectives.reading_pairs import PairBatches, PairsInOrder, divide, pairs_of, read_rows
from cadenza.train.objectives.vqvae import VQVAEObjective, VQVAEObjectiveConfig
from cadenza.train.samples import CodecSampler, DiffusionSampler, LMSampler, PriorSampler, VQVAESampler
from cadenza.train.sharding import shard
from cadenza.train.trainer import Trainer

SAMPLE_SECONDS = 10.0
"""Music of a sample, at most."""


def read_recipe(recipe: str | Path, overrides: Sequence[str] = ()) -> TrainConfig:
    """The configuration of a recipe, with overrides such as `steps=1000` or `objective.codec.latent_dim=64` applied.

    `recipe` is a Python file with `config() -> TrainConfig`, or `file.py:name` for another function of that file.
    """
    place, name = _split_name(str(recipe))
    path = Path(place)
    if not path.is_file():
        raise UserError(f"no recipe {path}: give the path of a Python file with config() -> TrainConfig")
    try:
        make = runpy.run_path(str(path)).get(name)
        config = make() if callable(make) else None
    except SyntaxError as error:
        raise UserError(f"{path} is not Python (line {error.lineno}: {error.msg}): put it right") from error
    except pydantic.ValidationError as error:
        raise UserError(f"{path}: {_first(error)}") from error
    except CadenzaError:
        raise
    except Exception as error:  # whatever a person's own file raises is theirs to put right
        here = [frame.lineno for frame in traceback.extract_tb(error.__traceback__) if frame.filename == str(path)]
        line = f" (line {here[-1]})" if here else ""
        reason = (str(error).splitlines() or [""])[0]
        raise UserError(f"{path} fails with {type(error).__name__}: {reason}{line}: put it right") from error
    if not isinstance(config, TrainConfig):
        raise UserError(f"{path} is not a recipe: it must define {name}() -> TrainConfig")
    return override(config, overrides)


def recipe_name(recipe: str | Path) -> str:
    """What a recipe's runs are called: the file's name, and the function's if it is not `config`."""
    place, name = _split_name(str(recipe))
    return Path(place).stem + ("" if name == "config" else f"_{name}")


def _split_name(recipe: str) -> tuple[str, str]:
    place, colon, name = recipe.rpartition(":")
    return (place, name) if colon and place.endswith(".py") else (recipe, "config")


def override(config: TrainConfig, overrides: Sequence[str]) -> TrainConfig:
    """A copy with fields replaced; each override is `dotted.name=value`, the value in YAML."""
    values: dict[str, Any] = config.model_dump()
    for text in overrides:
        name, equals, value = text.partition("=")
        *parents, last = name.split(".")
        target: Any = values
        for parent in parents:
            target = target.get(parent) if isinstance(target, dict) else None
        if not equals or not isinstance(target, dict) or last not in target:
            raise UserError(f"cannot set {text!r}: use a field of the recipe, as in steps=1000")
        try:
            target[last] = yaml.safe_load(value)
        except yaml.YAMLError as error:
            raise UserError(f"cannot set {text!r}: {value!r} is no value of YAML, such as 3, true or [a, b]") from error
    try:
        return TrainConfig.model_validate(values)
    except pydantic.ValidationError as error:
        raise UserError(_first(error)) from error


def _first(error: pydantic.ValidationError) -> str:
    """The first field that is wrong, and how."""
    first = error.errors()[0]
    place = ".".join(str(part) for part in first["loc"]) or error.title
    return f"{place}: {first['msg']} (got {first['input']!r:.120})"


def build(config: TrainConfig, folder: Path) -> Trainer:
    """The trainer of a configuration, its weights initialised from the seed."""
    if config.threads is not None:
        torch.set_num_threads(config.threads)
    torch.manual_seed(config.seed)
    with together():  # what one machine lacks (data, a package) is said before weights are sent
        match config.objective:
            case CodecObjectiveConfig() as codec:
                trainer = _codec_trainer(config, codec, folder)
            case DiffusionObjectiveConfig() as diffusion:
                trainer = _diffusion_trainer(config, diffusion, folder)
            case LMObjectiveConfig() as lm:
                trainer = _lm_trainer(config, lm, folder)
            case PriorObjectiveConfig() as prior:
                trainer = _prior_trainer(config, prior, folder)
            case ReadingObjectiveConfig() as reading:
                trainer = _reading_trainer(config, reading, folder)
            case VQVAEObjectiveConfig() as vqvae:
                trainer = _vqvae_trainer(config, vqvae, folder)
    if num_ranks() > 1:  # what was drawn, or learnt from data (a tokenizer), is the main process's in all of them
        if not _sharded(config):
            share(trainer.objective.modules)
        trainer.objective.load_state_dict(everyone(trainer.objective.state_dict())[0])
    return trainer


def _sharded(config: TrainConfig) -> bool:
    return config.parallel == "fsdp" and num_ranks() > 1


def _shard(config: TrainConfig, family: LMObjectiveConfig, parts: Parts) -> None:
    """Shard a language model, or say why not."""
    if family.adapter is not None:
        raise UserError("parallel=fsdp trains no adapter: its weights are few, use parallel=ddp")
    if family.train_text_encoder:
        raise UserError("parallel=fsdp trains no text encoder: freeze it, or use parallel=ddp")
    if family.optimizer.kind != "adamw":
        raise UserError(f"parallel=fsdp does not work with {family.optimizer.kind}: use adamw, or parallel=ddp")
    if config.precision == "fp16":
        raise UserError("parallel=fsdp does not work with precision=fp16: use bf16")
    device = device_here(config.device)
    for part in (parts.lm, parts.conditioning):
        part.to(device).train()
    share({"lm": parts.lm, "conditioning": parts.conditioning})
    shard(parts.lm, parts.lm.layers, parts.conditioning, device, config.precision == "bf16")


def _codec_trainer(config: TrainConfig, family: CodecObjectiveConfig, folder: Path) -> Trainer:
    if _sharded(config):
        raise UserError("parallel=fsdp is for language models: a codec fits everywhere, use parallel=ddp")
    if config.precision == "fp16":  # the balancer takes gradients of single losses, which the scaler does not reach
        raise UserError("precision=fp16 loses small gradients of a codec: use bf16 or fp32")
    objective = CodecObjective(family, device_here(config.device))
    return _sound_trainer(config, family, objective, CodecSampler, folder)


def _diffusion_trainer(config: TrainConfig, family: DiffusionObjectiveConfig, folder: Path) -> Trainer:
    if _sharded(config):
        raise UserError("parallel=fsdp is for language models: train the bands of a diffusion decoder in runs apart")
    objective = DiffusionObjective(family, device_here(config.device))
    return _sound_trainer(config, family, objective, DiffusionSampler, folder)


def _sound_trainer(
    config: TrainConfig,
    family: CodecObjectiveConfig | DiffusionObjectiveConfig,
    objective: CodecObjective | DiffusionObjective,
    sampler: type[CodecSampler] | type[DiffusionSampler],
    folder: Path,
) -> Trainer:
    """For objectives that learn from segments of sound, at the rate of their codec."""
    codec = objective.codec
    train, valid = _segments(config, codec.sample_rate, codec.channels, family.segment_seconds, family.valid_seconds)
    played = _played(config, valid)
    heard = None if played is None else sampler(played, device_here(config.device))
    return Trainer(config, objective, train, folder, valid, heard)


def _vqvae_trainer(config: TrainConfig, family: VQVAEObjectiveConfig, folder: Path) -> Trainer:
    if _sharded(config):
        raise UserError("parallel=fsdp is for language models: a VQ-VAE fits everywhere, use parallel=ddp")
    with together():
        objective = VQVAEObjective(family, device_here(config.device))
        rate = objective.vqvae.sample_rate
        train, valid = _segments(config, rate, 1, family.segment_samples / rate, family.valid_samples / rate)
    objective.hear(train, rows_here(config.batch_size))
    played = _played(config, valid)
    sampler = None if played is None else VQVAESampler(played, device_here(config.device))
    return Trainer(config, objective, train, folder, valid, sampler)


def _prior_trainer(config: TrainConfig, family: PriorObjectiveConfig, folder: Path) -> Trainer:
    if _sharded(config):
        raise UserError("parallel=fsdp is for language models: a Jukebox prior has to fit, use parallel=ddp")
    with together():
        rows = rows_here(config.batch_size)
        valid_items = config.valid_items if config.validate_every else 0
        parts = build_prior(family, config.data, config.batch_size, config.seed, valid_items, rows)
    objective = PriorObjective(family, parts.prior, parts.vqvae, parts.names, device_here(config.device))
    return Trainer(config, objective, parts.train, folder, parts.valid, _prior_sampler(config, objective, parts))


def _prior_sampler(config: TrainConfig, objective: PriorObjective, parts: PriorParts) -> PriorSampler | None:
    """The beginnings of the first windows that are validated."""
    count = config.sample_prompts
    if parts.valid is None or not isinstance(count, int) or count == 0:
        return None
    batch = parts.valid.batch(0)
    codes, upper = objective.codes_of(batch)
    shape = objective.prior.config
    length = min(shape.context_length, round(SAMPLE_SECONDS * shape.sample_rate / shape.hop_length))
    above = None if upper is None else upper[:count]
    return PriorSampler(
        parts.vqvae, codes[:count, :length], above, pieces_in(batch)[:count], device_here(config.device)
    )


def _segments(
    config: TrainConfig, rate: int, channels: int, seconds: float, valid_seconds: float
) -> tuple[RandomSegments, FixedSegments | None]:
    """What is heard in training, and in validation, if there is any."""
    entries = read_manifest(config.data)
    parts = {split: [entry for entry in entries if entry.split == split] for split in ("train", "valid")}
    _check_split(config, parts["train"])
    recordings = Recordings(parts["train"], rate, channels)
    train = RandomSegments(recordings, seconds, config.batch_size, config.seed, rows_here(config.batch_size))
    if not parts["valid"] or not config.validate_every:
        return train, None
    chosen = Recordings(parts["valid"][: config.valid_items], rate, channels)
    return train, FixedSegments(chosen, valid_seconds, config.batch_size)


def _played(config: TrainConfig, valid: FixedSegments | None) -> Tensor | None:
    """The recordings that are played at every snapshot."""
    if valid is None or not isinstance(config.sample_prompts, int) or config.sample_prompts == 0:
        return None
    audio = valid.batch(0)["audio"]
    assert isinstance(audio, Tensor)
    return audio[: config.sample_prompts]


def _lm_trainer(config: TrainConfig, family: LMObjectiveConfig, folder: Path) -> Trainer:
    with together():
        cache = TokenCache(config.data)
        train = cache.split("train")
        _check_split(config, train)
        captions = [caption for item in train for caption in item.captions]
        parts = build_parts(family, captions, config.seed)
        if cache.codec_hash != encoder_hash(parts.codec):
            raise UserError(f"{config.data} holds codes of another codec than {family.codec}: compute the cache again")
        if cache.num_codebooks != parts.lm.config.num_codebooks:
            streams = parts.lm.config.num_codebooks
            raise UserError(
                f"{config.data} holds {cache.num_codebooks} codebooks, the model has {streams}: "
                "compute the cache for it (in stereo, with --stereo)"
            )
        valid_items = config.valid_items if config.validate_every else 0
        rows = rows_here(config.batch_size)
        sources = lm_sources(cache, config.data, family, parts, config.batch_size, config.seed, valid_items, rows)
    if _sharded(config):
        _shard(config, family, parts)
    objective = LMObjective(family, parts, device_here(config.device))
    return Trainer(config, objective, sources.train, folder, sources.valid, _lm_sampler(config, family, cache))


def _reading_trainer(config: TrainConfig, family: ReadingObjectiveConfig, folder: Path) -> Trainer:
    if _sharded(config):
        raise UserError("parallel=fsdp is for language models: a reader fits everywhere, use parallel=ddp")
    learning, validating = divide(read_rows(config.data))
    _check_split(config, learning)
    reader = build_reader(family, learning)
    train = PairBatches(pairs_of(learning, reader.config), config.batch_size, config.seed, family.spoiled)
    valid = None
    if validating and config.validate_every:
        valid = PairsInOrder(pairs_of(validating[: config.valid_items], reader.config), config.batch_size)
    return Trainer(config, ReadingObjective(family, reader, device_here(config.device)), train, folder, valid)


def _lm_sampler(config: TrainConfig, family: LMObjectiveConfig, cache: TokenCache) -> LMSampler | None:
    """Sentences and, where they are captions of validation items, those items' codes."""
    seconds = min(family.window_seconds, SAMPLE_SECONDS)
    wanted, references = config.sample_prompts, None
    if isinstance(wanted, int):
        items = cache.split("valid")[:wanted]
        prompts = [item.captions[0] if item.captions else "" for item in items]
        references = [item.codes[:, : round(seconds * cache.frame_rate)] for item in items]
    else:
        prompts = list(wanted)
    base = None if family.adapter is None or family.start_from is None else Path(family.start_from)
    return LMSampler(prompts, seconds, device_here(config.device), references, base) if prompts else None


def _check_split(config: TrainConfig, items: Sequence[object]) -> None:
    if not items:
        raise UserError(f"{config.data} has no entries of split 'train': nothing to learn from")
