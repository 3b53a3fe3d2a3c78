"""The melody of a recording: what is left of it without drums and bass.

In: a waveform `[C, N]` at any rate. Out: `[1, N]` at the same rate, voices and melodic instruments. MusicGen's melody
models heard their training melodies through such a separation (Copet et al. 2023, section 3.2), so that the strongest
pitch class of a frame is the tune's and not the bass's. The model is Hybrid Transformer Demucs (Rouard et al. 2023),
the pretrained `htdemucs`, through the optional package `demucs`.

The package's own loader calls whatever class the file of weights names. Here the file is read by us: it may describe an
`HTDemucs` and hold its numbers, and nothing in it is run.
"""

import functools
import inspect
import json
import logging
import threading
from fractions import Fraction
from pathlib import Path
from typing import Any, Literal, Protocol, cast, get_args, runtime_checkable

import torch
from jaxtyping import Float
from safetensors import safe_open
from torch import Tensor, nn

from cadenza.audio import Audio
from cadenza.checkpoint import assign_weights, on_meta, read_weights
from cadenza.errors import CheckpointError, UserError

log = logging.getLogger("cadenza")

MELODIC = ("vocals", "other")
"""The sources that carry the melody; the rest are drums and bass."""
REPOSITORY, WEIGHTS = "adefossez/HTDemucs", "955717e8.safetensors"
"""`htdemucs`, published by the author of Demucs under the MIT licence."""
INSTALL = 'pip install "demucs>=4.1"'
"""4.1 is the first that separates without torchaudio. By its own name: that works however Cadenza was installed."""
SeparatorChoice = Literal["auto", "demucs", "none"]


@runtime_checkable
class StemSeparator(Protocol):
    """Takes a recording apart and keeps the melodic part; the same sound gives the same part every time."""

    def __call__(self, wave: Float[Tensor, "C N"], sample_rate: int) -> Float[Tensor, "1 N"]: ...


def choose_stems(choice: str) -> SeparatorChoice:
    """The choice, checked. Raises UserError."""
    if choice not in get_args(SeparatorChoice):
        raise UserError(f"stems = {choice!r:.40}: choose one of {', '.join(get_args(SeparatorChoice))}")
    return cast(SeparatorChoice, choice)


def find_separator(choice: SeparatorChoice = "auto") -> StemSeparator | None:
    """The separator that `choice` asks for. None: the whole recording is followed.

    "auto" is Demucs where it is installed and its weights are here or can be downloaded (84 MB, once), else None; this
    is decided, and said, once per process. "demucs" raises UserError, with the remedy, instead.
    """
    choice = choose_stems(choice)
    if choice == "none":
        return None
    return demucs_separator() if choice == "demucs" else _automatic()


@functools.cache
def _automatic() -> StemSeparator | None:
    try:
        return demucs_separator()
    except UserError as error:
        log.warning("the melody is taken from the whole recording, drums and bass included: %s", error)
        return None


def demucs_separator(weights: str | Path | None = None) -> "DemucsSeparator":
    """Demucs with a file of weights such as those on the Hub; None: `htdemucs`, from the cache or downloaded.

    One per file and process. Raises UserError, with the remedy, where the package or the weights are missing.
    """
    _demucs()
    return _separator(_find_weights() if weights is None else Path(weights))


class DemucsSeparator:
    """HTDemucs, in float32 and frozen: read at the first call, then kept in main memory between calls.

    The settings are those that MusicGen uses (its pieces and their overlap of a quarter), but for one: MusicGen shifts
    the sound by a random part of half a second, so that the same melody is never quite the same; here nothing is
    shifted, which costs up to 0.2 dB of separation by its authors' count. Takes about 2 MB of main memory per second.
    """

    def __init__(self, weights: Path) -> None:
        self.weights = weights
        self._model: nn.Module | None = None
        self._lock = threading.Lock()

    @torch.no_grad()
    def __call__(self, wave: Float[Tensor, "C N"], sample_rate: int) -> Float[Tensor, "1 N"]:
        """Separate on the device of `wave`, one call at a time. The level is taken as it is."""
        if not wave.numel():
            return wave.new_zeros(1, wave.shape[1])
        sound = Audio(wave.float().cpu().numpy(), sample_rate)
        with self._lock:
            if self._model is None:
                self._model = _read_model(self.weights)
            melody = _melody(self._model, sound, wave.device)
        found = torch.from_numpy(melody.resample(sample_rate).samples)[:, : wave.shape[1]]
        result = torch.zeros(1, wave.shape[1])  # twice resampled may be a sample shorter
        result[:, : found.shape[1]] = found
        return result.to(wave.device, wave.dtype)


@functools.cache
def _separator(weights: Path) -> DemucsSeparator:
    return DemucsSeparator(weights)


def _melody(model: Any, sound: Audio, device: torch.device) -> Audio:
    """The melodic sources together, mono, at the model's rate. The model ends in main memory, whatever happens."""
    apply_model, _ = _demucs()
    mix = torch.from_numpy(sound.resample(model.samplerate).with_channels(model.audio_channels).samples)
    try:
        with torch.autocast(device.type, enabled=False):
            sources = apply_model(model, mix[None], shifts=0, split=True, overlap=0.25, device=device)[0]
    finally:
        model.to("cpu")
    melodic = sum(sources[model.sources.index(name)].mean(0, keepdim=True) for name in MELODIC)
    return Audio(melodic.numpy(), model.samplerate)


def _demucs() -> tuple[Any, Any]:
    """The two names we use: `apply_model` and the class `HTDemucs`."""
    try:
        from demucs.apply import apply_model
        from demucs.htdemucs import HTDemucs
    except ModuleNotFoundError as error:
        package = (error.name or "demucs").partition(".")[0]
        raise UserError(f"no stem separation, {package} is not installed: {INSTALL}") from error
    except (ImportError, OSError) as error:  # versions before 4.1 need torchaudio, whose libraries may not fit torch
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise UserError(f"no stem separation, demucs cannot be imported ({reason}): {INSTALL}") from error
    return apply_model, HTDemucs


def _find_weights() -> Path:
    from huggingface_hub import hf_hub_download, try_to_load_from_cache

    cached = try_to_load_from_cache(REPOSITORY, WEIGHTS)
    if isinstance(cached, str):
        return Path(cached)
    try:
        return Path(hf_hub_download(REPOSITORY, WEIGHTS))
    except Exception as error:  # connection, time-out, server, full disk: each library below has its own classes
        reason = (str(error).splitlines() or [type(error).__name__])[0].rstrip(".")
        raise UserError(
            f"no stem separation, the weights of demucs cannot be downloaded ({reason}): check the network, and run "
            f"`hf download {REPOSITORY} {WEIGHTS}`"
        ) from error


def _read_model(path: Path) -> nn.Module:
    """The `HTDemucs` that a file describes in its metadata, with the weights in it."""
    _, model_class = _demucs()
    weights = read_weights(path)
    with safe_open(path, framework="pt") as file:
        metadata = file.metadata() or {}
    try:
        if metadata["klass"] != "demucs.htdemucs.HTDemucs":
            raise ValueError(f"of the class {metadata['klass']!r}")
        arguments = json.loads(metadata["args"], object_hook=_fraction)
        options = json.loads(metadata["kwargs"], object_hook=_fraction)
        known = inspect.signature(model_class).parameters  # the release that trained it knew options that are gone
        with on_meta():
            model: Any = model_class(*arguments, **{name: options[name] for name in options if name in known})
        missing = [name for name in MELODIC if name not in model.sources]
        if missing:
            raise ValueError(f"without the source {missing[0]!r}")
    except (KeyError, ValueError, TypeError, ArithmeticError, RuntimeError, AssertionError) as error:
        raise CheckpointError(f"{path} is no HTDemucs ({error}): delete it, it is then downloaded again") from error
    # Stored in half precision, calculated in single as MusicGen does.
    assign_weights(model, {name: tensor.float() for name, tensor in weights.items()}, path)
    return model.eval().requires_grad_(False)


def _fraction(value: dict[str, Any]) -> Any:
    """The pieces of `htdemucs` last 39/5 s: JSON has no fractions, and a float would round to other samples."""
    if value.get("_type") == "fraction":
        return Fraction(value["numerator"], value["denominator"])
    return value
