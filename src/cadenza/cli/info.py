"""`cadenza info`: what a model, or an adapter, is made of."""

import json
import math
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cadenza.cli.values import show_notices

if TYPE_CHECKING:
    from cadenza.jukebox.prior import PriorConfig


def info(
    model: Annotated[
        str | None, typer.Argument(metavar="[MODEL]", show_default=False, help="As for generate --model.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="For programs.")] = False,
) -> None:
    """Show the parts of a model (or what an adapter is), their sizes, and what its weights may be used for."""
    show_notices()
    from cadenza.convert.formats import identify
    from cadenza.lm.adapter_file import is_adapter
    from cadenza.loading import find_pipeline

    if model is not None and is_adapter(model):
        _show_adapter(Path(model), as_json)
        return
    if model is not None and (Path(model) / "config.json").is_file() and identify(model)[1] == "diffusion decoder":
        _show_diffusion(Path(model), as_json)
        return
    facts = describe(find_pipeline(model))
    if as_json:
        print(json.dumps(facts, indent=2))
        return
    rate = f"{facts['frame_rate']:g} frames" if "frame_rate" in facts else f"{_range(facts['code_rates'])} codes"
    print(f"{facts['name']}: {facts['channels']}, {facts['sample_rate']} Hz, {rate} a second")
    print(f"licence of the weights: {facts['licence']}")
    print(f"directory: {facts['directory']}")
    print(f"weights: {facts['weights']}\n")
    print(f"{'part':<28}{'parameters':>14}{'stored as':>11}{'on disk':>12}  shape")
    for name, part in facts["parts"].items():
        facts_of = f"{part['parameters']:>14,}{part['precision']:>11}{part['bytes'] / 1e6:>9.1f} MB"
        print(f"{name:<28}{facts_of}  {part['shape']}")
    total_bytes = sum(part["bytes"] for part in facts["parts"].values())
    print(f"{'all':<28}{facts['parameters']:>14,}{'':>11}{total_bytes / 1e6:>9.1f} MB")


def _show_adapter(path: Path, as_json: bool) -> None:
    from cadenza.lm.adapter_file import read_adapter

    adapter = read_adapter(path)
    config, record = adapter.config, adapter.record
    facts = {"file": str(path), "hash": adapter.hash, "parameters": adapter.num_parameters}
    facts |= config.model_dump(mode="json") | record.model_dump(mode="json")
    if as_json:
        print(json.dumps(facts, indent=2))
        return
    print(f"{path}: an adapter for {record.base}" + (f" ({record.base_weights[:12]})" if record.base_weights else ""))
    print(f"licence: {record.licence}")
    print(f"hash: {adapter.hash}")
    print(f"rank {config.rank}, alpha {config.alpha:g}, {adapter.num_parameters:,} parameters")
    print(f"beside: {', '.join(config.targets)}")
    if record.notes:
        print(f"notes: {record.notes}")
    for name, value in record.training.items():
        print(f"training, {name}: {value}")


def _show_diffusion(path: Path, as_json: bool) -> None:
    from cadenza.checkpoint import weights_hash
    from cadenza.diffusion.codes import CodeFacts
    from cadenza.diffusion.decoder import DiffusionDecoder

    decoder = DiffusionDecoder.from_pretrained(path)
    config = decoder.config
    facts: dict[str, Any] = {"directory": str(path), "weights": weights_hash(path)}
    facts |= {"parameters": sum(part.numel() for band in decoder.bands for part in band.parameters())}
    facts |= config.model_dump(mode="json")
    if as_json:
        print(json.dumps(facts, indent=2))
        return
    print(f"{config.name}: a diffusion decoder of {len(config.bands)} bands, {facts['parameters']:,} parameters")
    print(f"licence of the weights: {config.licence}")
    print(f"directory: {path}")
    print(f"weights: {facts['weights']}")
    print(f"reads: {CodeFacts.of(decoder.codec)}, latents of {config.condition_dim}")
    chosen = config.settings
    print(f"decodes: {chosen.calls} calls a band ({chosen.solver}), windows of {chosen.window_seconds:g} s")
    for number, band in enumerate(config.bands):
        unet = band.unet
        levels = "as they are" if band.processor is None else f"of {band.processor.num_bands} bands, evened"
        widths = ", ".join(map(str, unet.widths))
        print(f"band {number}: levels of {widths} channels, bottleneck {unet.bottleneck}, sound {levels}")


def describe(directory: Path) -> dict[str, Any]:
    """The facts of a model directory. Weights are read for their hash alone; a damaged model is a CheckpointError."""
    from cadenza.checkpoint import read_json

    if read_json(directory / "config.json").get("type") == "jukebox":
        return _describe_jukebox(directory)
    return _describe_musicgen(directory)


def _describe_jukebox(directory: Path) -> dict[str, Any]:
    from cadenza.checkpoint import read_config, weights_hash
    from cadenza.jukebox.prior import Prior
    from cadenza.jukebox.vqvae import JukeboxVQVAE
    from cadenza.pipelines.jukebox import JukeboxConfig

    config = read_config(JukeboxConfig, directory / "config.json")
    vqvae = JukeboxVQVAE.skeleton(directory / "vqvae")
    shape = vqvae.config
    hops = ", ".join(map(str, shape.hop_lengths))
    parts = {"vqvae": _part(directory / "vqvae", vqvae, f"{shape.codebook_size} codes a level, hops {hops}")}
    for folder in sorted(directory.glob("prior_[0-9]"), reverse=True):
        prior = Prior.skeleton(folder)
        parts[folder.name] = _part(folder, prior, _prior_shape(prior.config))
    return {
        "name": config.name,
        "type": config.type,
        "licence": config.licence,
        "directory": str(directory),
        "weights": weights_hash(directory),
        "sample_rate": shape.sample_rate,
        "channels": "mono",
        "code_rates": [shape.sample_rate / hop for hop in shape.hop_lengths],
        "parameters": sum(part["parameters"] for part in parts.values()),
        "parts": parts,
    }


def _prior_shape(config: "PriorConfig") -> str:
    """What a prior is, and what it listens to."""
    stack, heard = config.transformer, []
    if config.labels is not None:
        heard.append(f"labels {config.labels.version}")
    if config.timing is not None:
        heard.append(f"pieces of {config.timing.min_seconds:g} to {config.timing.max_seconds:g} s")
    if config.lyrics is not None:
        heard.append(f"{config.lyrics.num_tokens} characters of lyrics")
    window = config.window_samples / config.sample_rate
    return ", ".join([f"{len(stack.layers)} layers of {stack.dim}, windows of {window:.3g} s", *heard])


def _part(folder: Path, module: Any, shape: str) -> dict[str, Any]:
    from cadenza.nn.linear import num_weights

    weights = folder / "model.safetensors"
    return {
        "parameters": num_weights(module),
        "precision": _stored_as(weights),
        "bytes": weights.stat().st_size,
        "shape": shape,
        "config": module.config.model_dump(mode="json"),
    }


def _range(values: list[float]) -> str:
    return f"{min(values):.5g} to {max(values):.5g}"


def _describe_musicgen(directory: Path) -> dict[str, Any]:
    from torch import nn

    from cadenza.checkpoint import read_config, weights_hash
    from cadenza.codec.encodec import EnCodec
    from cadenza.conditioning.provider import ConditionProvider
    from cadenza.conditioning.reader import PlanReader
    from cadenza.conditioning.t5 import T5Encoder
    from cadenza.conditioning.text import TextConfig
    from cadenza.lm.model import LM
    from cadenza.pipelines.musicgen import MusicGenConfig

    config = read_config(MusicGenConfig, directory / "config.json")
    codec_part = EnCodec.skeleton(directory / "codec")
    lm_part = LM.skeleton(directory / "lm")
    conditioning_part = ConditionProvider.skeleton(directory / "conditioning")
    codec, lm, conditioning = codec_part.config, lm_part.config, conditioning_part.config
    modules: dict[str, nn.Module] = {"codec": codec_part, "lm": lm_part, "conditioning": conditioning_part}
    shapes = {
        "codec": f"{codec.num_codebooks} codebooks of {codec.codebook_size}, hop {codec.hop_length}",
        "lm": f"{lm.num_layers} layers of {lm.dim}, {lm.num_heads} heads, pattern {lm.pattern.kind}",
        "conditioning": ", ".join(f"{name} ({part.kind})" for name, part in conditioning.conditioners.items()),
    }
    texts = {part.encoder for part in conditioning.conditioners.values() if isinstance(part, TextConfig)}
    others: dict[str, dict[str, Any]] = {}
    for folder in sorted(file.parent for file in (directory / "conditioning").glob("*/config.json")):
        name = f"conditioning/{folder.name}"
        if folder.name in texts:
            encoder = T5Encoder.skeleton(folder)
            text = encoder.config
            modules[name] = encoder
            shapes[name] = f"{text.num_layers} layers of {text.dim}, vocabulary of {text.vocab_size}"
        elif folder.name == conditioning.reader_folder:
            reader = PlanReader.skeleton(folder)
            knows = (reader.config.genres, "genres"), (reader.config.instruments, "instruments")
            modules[name] = reader
            shapes[name] = "reads plans: " + ", ".join(f"{len(names)} {what}" for names, what in knows)
        else:
            others[name] = _frozen(folder)
    parts = {name: _part(directory / name, module, shapes[name]) for name, module in modules.items()} | others
    return {
        "name": config.name,
        "type": config.type,
        "licence": config.licence,
        "directory": str(directory),
        "weights": weights_hash(directory),
        "sample_rate": codec.sample_rate,
        "channels": "stereo" if config.stereo or codec.channels == 2 else "mono",
        "frame_rate": codec.sample_rate / codec.hop_length,
        "max_duration_seconds": config.max_duration_seconds,
        "parameters": sum(part["parameters"] for part in parts.values()),
        "generation": config.generation.model_dump(mode="json"),
        "parts": parts,
    }


def _frozen(folder: Path) -> dict[str, Any]:
    """An encoder that another library runs: what its files say."""
    from cadenza.checkpoint import read_json, weight_shapes

    weights, config = folder / "model.safetensors", read_json(folder / "config.json")
    return {
        "parameters": sum(math.prod(shape) for shape, _ in weight_shapes(weights).values()),
        "precision": _stored_as(weights),
        "bytes": weights.stat().st_size,
        "shape": f"frozen, of the kind {config.get('model_type') or config.get('kind')}",
        "config": config,
    }


def _stored_as(path: Path) -> str:
    """The precision that most numbers in a file of weights have."""
    from cadenza.checkpoint import weight_shapes
    from cadenza.nn.linear import quantized_kind

    stored = weight_shapes(path)
    if (kind := quantized_kind(stored)) is not None:
        return kind
    sizes: dict[str, int] = {}
    for shape, its_type in stored.values():
        sizes[its_type] = sizes.get(its_type, 0) + math.prod(shape)
    most = max(sizes, key=lambda its_type: sizes[its_type], default="F32")
    return {"F32": "fp32", "F16": "fp16", "BF16": "bf16"}.get(most, most.lower())
