"""AST, another labeller of AudioSet's 527 classes, through the `transformers` package (extra `hub`).

In: `Audio`. Out: one distribution over the classes for each 10 s. Gong et al. (2021), "AST: audio spectrogram
transformer". A second opinion beside PaSST, in the same setting: softmax over the classes. Spectrogram and network are
those of `transformers`; with torchaudio installed its front end takes that, which changes the fourth digit.
"""

import warnings
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float32

from cadenza.audio import Audio
from cadenza.checkpoint import WEIGHTS_FILE, file_hash, read_json
from cadenza.errors import CheckpointError, UserError
from cadenza.evaluate.embedders.base import Identity, Setting, consecutive, mono_wave
from cadenza.evaluate.embedders.weights import Repository

_CONFIG, _KIND = "config.json", "audio-spectrogram-transformer"
WINDOW_SECONDS, LEAST_SECONDS = 10.0, 1.0


class AstLabeller:
    """The network of `transformers` with its weights; see the module."""

    least_seconds = LEAST_SECONDS

    def __init__(self, network: Any, front_end: Any, identity: Identity, device: str) -> None:
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
        if (kind := read_json(folder / _CONFIG).get("model_type")) != _KIND:
            raise CheckpointError(
                f"{folder} holds a model of type {kind!r}: expected an AST such as {published.origin}"
            )
        network, front_end = _load(folder)
        settings: dict[str, Setting] = {
            "sample_rate": int(front_end.sampling_rate),
            "window_seconds": WINDOW_SECONDS,
            "windows": "consecutive, the last of 1 s or more",
            "probabilities": "softmax",
        }
        checkpoint = published.repository if path is None else Path(path).name
        source = f"{published.paper}; checkpoint {checkpoint}"
        identity = Identity("ast", file_hash(folder / WEIGHTS_FILE), settings, source)
        return cls(network.to(device), front_end, identity, device)

    @torch.no_grad()
    def probabilities(self, audio: Audio) -> Float32[np.ndarray, "P L"]:
        """One row per piece. UserError for a clip shorter than `least_seconds`."""
        rate = int(self.front_end.sampling_rate)
        wave = mono_wave(audio, rate, self.least_seconds, "ast")
        rows = []
        for piece in consecutive(wave, round(WINDOW_SECONDS * rate), round(LEAST_SECONDS * rate)):
            features = self.front_end(piece, sampling_rate=rate, return_tensors="pt")["input_values"]
            rows.append(self.network(features.float().to(self.device)).logits.softmax(1).cpu())
        return torch.cat(rows).numpy()


def _load(folder: Path) -> tuple[Any, Any]:
    """Network and front end. Missing weights would be drawn at random: an error."""
    library = _transformers()
    bars = library.utils.logging.is_progress_bar_enabled()
    library.utils.logging.disable_progress_bar()
    try:
        network, found = library.ASTForAudioClassification.from_pretrained(
            folder, local_files_only=True, use_safetensors=True, dtype=torch.float32, output_loading_info=True
        )
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # a band below the resolution of the transform: published so
            front_end = library.ASTFeatureExtractor.from_pretrained(folder, local_files_only=True)
    except (RuntimeError, ValueError, TypeError, LookupError, AttributeError, OSError) as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise CheckpointError(f"{folder} holds no AST that can be built ({reason}): fetch it again") from error
    finally:
        if bars:
            library.utils.logging.enable_progress_bar()
    if found["missing_keys"]:
        raise CheckpointError(f"{folder / WEIGHTS_FILE} lacks {min(found['missing_keys'])}: fetch it again")
    return network.requires_grad_(False).eval(), front_end


def _transformers() -> Any:
    try:
        import transformers
    except ImportError as error:
        raise UserError('AST needs the package transformers: pip install "transformers>=5.0"') from error
    return transformers
