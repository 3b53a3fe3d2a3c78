"""`cadenza codec`: sound to codes and back, to hear what a codec keeps."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cadenza.cli.progress import CALLS, counter
from cadenza.cli.values import Calls, Decoder, Device, OneBand, SolverName, load_decoder, show_notices, whole_number
from cadenza.errors import UserError

if TYPE_CHECKING:
    from cadenza.audio import Audio
    from cadenza.codec.base import Codec, Codes

app = typer.Typer(help="Turn sound into codes and back.", no_args_is_help=True)

Source = Annotated[Path, typer.Argument(metavar="IN", help="What to read.")]
Target = Annotated[Path, typer.Argument(metavar="OUT", help="What to write.")]
Model = Annotated[str | None, typer.Option(metavar="M", help="A codec or a model. [default: the one that comes along]")]


@app.command()
def encode(source: Source, target: Target, model: Model = None, device: Device = None) -> None:
    """Sound to codes (a .safetensors file)."""
    show_notices()
    if target.suffix != ".safetensors":
        raise UserError(f"{target}: codes are written as .safetensors")
    from cadenza.checkpoint import write_weights
    from cadenza.loading import load_codec

    audio, codec = _read(source), load_codec(model, device)
    codes, num_samples = _encode(audio, codec)
    tensors = {"codes": codes.codes[0].int()}
    if codes.scale is not None:
        tensors["scale"] = codes.scale[0]
    facts = {"num_samples": str(num_samples), "sample_rate": str(codec.sample_rate)}
    write_weights(target, tensors, metadata=facts)
    frames = tensors["codes"].shape[1]
    print(f"{target}: {codec.num_codebooks} x {frames} codes, {_kbps(codec):.2f} kbit/s")


Seed = Annotated[int, typer.Option(metavar="N", parser=whole_number, help="Of the diffusion's noise.")]


@app.command()
def decode(
    source: Source,
    target: Target,
    model: Model = None,
    device: Device = None,
    decoder: Decoder = None,
    calls: Calls = None,
    solver: SolverName = None,
    one_band: OneBand = False,
    seed: Seed = 0,
) -> None:
    """Codes to sound."""
    show_notices()
    from cadenza.audio import Audio
    from cadenza.loading import load_codec

    codes, num_samples, sample_rate = _read_codes(source)
    codec = load_codec(model, device)
    fits = codes.codes.shape[1] == codec.num_codebooks and sample_rate == codec.sample_rate
    if not fits or int(codes.codes.min()) < 0 or int(codes.codes.max()) >= codec.codebook_size:
        made = f"{codes.codes.shape[1]} codebooks at {sample_rate} Hz"
        raise UserError(
            f"{source}: {made}, this codec has {codec.num_codebooks} of {codec.codebook_size} entries at "
            f"{codec.sample_rate} Hz; use --model"
        )
    if decoder is None:
        audio = _decode(codes, codec, num_samples)
    else:
        diffusion = load_decoder(decoder, codec, device, calls, solver, one_band)
        sound = diffusion.decode(*codes, seed=seed, progress=counter(CALLS))
        audio = Audio(sound[0, :, :num_samples].cpu().numpy(), codec.sample_rate)
    audio.write(target, loudness_lufs=None)
    print(f"{target}: {audio.duration_seconds:.2f} s")


@app.command()
def regenerate(
    source: Source,
    target: Target,
    decoder: Annotated[
        str | None,
        typer.Option(metavar="M", help="A diffusion decoder: directory, file or name. [default: the one inside]"),
    ] = None,
    model: Annotated[str | None, typer.Option("--codec", metavar="M", help="Its codec, if it is a file.")] = None,
    device: Device = None,
    calls: Calls = None,
    solver: SolverName = None,
    one_band: OneBand = False,
    seed: Seed = 0,
) -> None:
    """Sound through a codec, and by diffusion back to sound: as long, as loud, with as many channels."""
    show_notices()
    from cadenza.loading import load_codec, load_diffusion

    audio = _read(source)
    codec = None if model is None else load_codec(model, device)
    diffusion = load_diffusion(decoder, device, codec=codec, one_band=one_band)
    settings = diffusion.choose(calls=calls, solver=solver)
    made = diffusion.regenerate(audio, seed=seed, settings=settings, progress=counter(CALLS))
    made.write(target, loudness_lufs=None)
    print(f"{target}: {made.duration_seconds:.2f} s by {diffusion.config.name}")


@app.command()
def roundtrip(source: Source, target: Target, model: Model = None, device: Device = None) -> None:
    """Sound to codes and back to sound: what the codec keeps of it."""
    show_notices()
    import numpy as np

    from cadenza.loading import load_codec

    audio, codec = _read(source), load_codec(model, device)
    codes, num_samples = _encode(audio, codec)
    decoded = _decode(codes, codec, num_samples)
    decoded.write(target, loudness_lufs=None)
    wanted = audio.resample(codec.sample_rate).with_channels(codec.channels).samples.astype(np.float64)
    signal, error = np.square(wanted).mean(), np.square(wanted - decoded.samples).mean()
    heard = f"signal to noise {10 * np.log10(signal / max(error, 1e-20)):.1f} dB" if signal else "of silence"
    print(f"{target}: {decoded.duration_seconds:.2f} s, {_kbps(codec):.2f} kbit/s, {heard}")


def _read_codes(source: Path) -> "tuple[Codes, int, int]":
    """What `encode` wrote: codes of one item, and the samples and the rate of its sound."""
    import torch
    from safetensors import SafetensorError, safe_open

    from cadenza.codec.base import Codes

    try:
        with safe_open(source, framework="pt") as file:
            told = file.metadata() or {}
            num_samples, sample_rate = int(told["num_samples"]), int(told["sample_rate"])
            codes = file.get_tensor("codes")
            scale = file.get_tensor("scale")[None] if "scale" in set(file.keys()) else None
    except (SafetensorError, OSError, KeyError, ValueError) as error:
        raise UserError(f"{source}: holds no codes of cadenza codec encode") from error
    if codes.ndim != 2 or codes.is_floating_point() or codes.dtype == torch.bool:
        raise UserError(f"{source}: holds a {codes.dtype} of shape {list(codes.shape)}, codes are whole numbers [K, T]")
    if not codes.numel():
        raise UserError(f"{source}: holds no frame of codes, nothing is there to decode")
    return Codes(codes[None].long(), scale), num_samples, sample_rate


def _read(path: Path) -> "Audio":
    from cadenza.audio import Audio

    return Audio.read(path)


def _encode(audio: "Audio", codec: "Codec") -> "tuple[Codes, int]":
    import torch

    audio = audio.resample(codec.sample_rate).with_channels(codec.channels)
    device = next(codec.parameters()).device
    return codec.encode(torch.from_numpy(audio.samples)[None].to(device)), audio.num_samples


def _decode(codes: "Codes", codec: "Codec", num_samples: int) -> "Audio":
    from cadenza.audio import Audio

    device = next(codec.parameters()).device
    scale = None if codes.scale is None else codes.scale.to(device)
    samples = codec.decode(codes.codes.to(device), scale)[0, :, :num_samples]
    return Audio(samples.cpu().numpy(), codec.sample_rate)


def _kbps(codec: "Codec") -> float:
    import math

    return codec.num_codebooks * math.log2(codec.codebook_size) * codec.frame_rate / 1000
