"""AST, another labeller of AudioSet's 527 classes; its network runs in the `transformers` package (extra `hub`).

In: `Audio`. Out: one distribution over the classes for each 10 s. Gong et al. (2021), "AST: audio spectrogram
transformer". A second opinion beside PaSST, in the same setting: softmax over the classes. The spectrogram is
Kaldi's, made here, so that it does not depend on whether torchaudio is installed, as that of `transformers` does.
"""

from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float, Float32
from pydantic import ConfigDict, Field
from torch import Tensor

from cadenza.audio import Audio
from cadenza.checkpoint import CONFIG_FILE, WEIGHTS_FILE, Config, file_hash, read_config, read_json, weight_shapes
from cadenza.codec.base import exactly
from cadenza.conditioning.mert import INSTALL
from cadenza.errors import CheckpointError, UserError
from cadenza.evaluate.embedders.base import Identity, Setting, consecutive, mono_wave
from cadenza.evaluate.embedders.kaldi import mel_bank
from cadenza.evaluate.embedders.weights import Repository

WINDOW_SECONDS, LEAST_SECONDS = 10.0, 1.0
FRONT_END_FILE = "preprocessor_config.json"
_KIND = "audio-spectrogram-transformer"
_FLOOR = torch.finfo(torch.float32).eps  # of the power in a band


class AstFrontEnd(Config):
    """What `preprocessor_config.json` says of the spectrogram."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    sampling_rate: int = Field(16000, ge=1000, description="of the waveform, Hz")
    num_mel_bins: int = Field(128, ge=1, description="bands from 20 Hz up to half of it")
    max_length: int = Field(1024, ge=1, description="frames that the network takes: fewer are filled up, more are cut")
    do_normalize: bool = Field(True, description="whether the mean is taken off and twice the deviation divided out")
    mean: float = Field(-4.2677393, description="of the training data")
    std: float = Field(4.5689974, gt=0, description="of the training data")

    def log_mel(self, wave: Float[Tensor, "N"]) -> Float[Tensor, "T F"]:
        """Log power of the bands, frames of 25 ms every 10 ms: each without its mean and with its treble raised."""
        size, hop = round(0.025 * self.sampling_rate), round(0.01 * self.sampling_rate)
        points = 1 << (size - 1).bit_length()
        frames = wave.unfold(0, size, hop)
        frames = frames - frames.mean(1, keepdim=True)
        frames = frames - 0.97 * torch.cat([frames[:, :1], frames[:, :-1]], dim=1)
        power = torch.fft.rfft(frames * torch.hann_window(size, periodic=False), points).abs().square()
        bank = mel_bank(self.num_mel_bins, points, self.sampling_rate, 20.0, self.sampling_rate / 2)
        bands = (power @ bank.T).clamp_min(_FLOOR).log()[: self.max_length]
        bands = F.pad(bands, (0, 0, 0, self.max_length - len(bands)))
        return (bands - self.mean) / (2 * self.std) if self.do_normalize else bands


class AstLabeller:
    """The network of `transformers` with its weights; see the module."""

    least_seconds = LEAST_SECONDS

    def __init__(self, network: Any, front_end: AstFrontEnd, identity: Identity, device: str) -> None:
        """Use `open`."""
        self.network, self.front_end, self.identity = network, front_end, identity
        self.device = torch.device(device)
        self.labels = tuple(str(network.config.id2label[index]) for index in range(network.config.num_labels))

    @classmethod
    def open(cls, published: Repository, path: str | Path | None = None, device: str = "cpu") -> "AstLabeller":
        """With the published weights, or those in the folder `path`.

        Raises UserError where there are none, they are others, or `transformers` is not installed.
        """
        folder = published.find(path)
        if (kind := read_json(folder / CONFIG_FILE).get("model_type")) != _KIND:
            raise CheckpointError(
                f"{folder} holds a model of type {kind!r}: expected an AST such as {published.origin}"
            )
        front_end = read_config(AstFrontEnd, folder / FRONT_END_FILE)
        weight_shapes(folder / WEIGHTS_FILE)  # whole, before seconds are spent on an import
        network = _load(folder).to(device)
        settings: dict[str, Setting] = {
            "sample_rate": front_end.sampling_rate,
            "window_seconds": WINDOW_SECONDS,
            "windows": "consecutive, the last of 1 s or more",
            "probabilities": "softmax",
            "front_end": front_end.model_dump_json(),
        }
        checkpoint = published.repository if path is None else Path(path).name
        source = f"{published.paper}; checkpoint {checkpoint}"
        identity = Identity(published.name, file_hash(folder / WEIGHTS_FILE), settings, source)
        return cls(network, front_end, identity, device)

    @torch.no_grad()
    def probabilities(self, audio: Audio) -> Float32[np.ndarray, "P L"]:
        """One row per piece. UserError for a clip shorter than `least_seconds`."""
        rate = self.front_end.sampling_rate
        wave = mono_wave(audio, rate, self.least_seconds, "ast")
        pieces = consecutive(wave, round(WINDOW_SECONDS * rate), round(LEAST_SECONDS * rate))
        bands = torch.stack([self.front_end.log_mel(torch.from_numpy(piece)) for piece in pieces])
        with exactly(self.device):
            logits = [self.network(some.to(self.device)).logits for some in bands.split(4)]
        return torch.cat(logits).softmax(1).cpu().numpy()


def _load(folder: Path) -> Any:
    """The network. Missing weights would be drawn at random: an error."""
    library = _transformers()
    bars = library.utils.logging.is_progress_bar_enabled()
    library.utils.logging.disable_progress_bar()
    try:
        network, found = library.ASTForAudioClassification.from_pretrained(
            folder, local_files_only=True, use_safetensors=True, dtype=torch.float32, output_loading_info=True
        )
    except (RuntimeError, ValueError, TypeError, LookupError, AttributeError, OSError) as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise CheckpointError(f"{folder} holds no AST that can be built ({reason}): fetch it again") from error
    finally:
        if bars:
            library.utils.logging.enable_progress_bar()
    if found["missing_keys"]:
        raise CheckpointError(f"{folder / WEIGHTS_FILE} lacks {min(found['missing_keys'])}: fetch it again")
    return network.requires_grad_(False).eval()


def _transformers() -> Any:
    try:
        import transformers
    except ImportError as error:
        raise UserError(f'AST needs the package transformers (extra "hub"): {INSTALL}') from error
    return transformers
