"""MERT as an embedder: what a network that taught itself music makes of a clip.

In: `Audio`. Out: one vector per 30 s. Li et al. (2023), "MERT: acoustic music understanding model with large-scale
self-supervised training"; Huang et al. (2025), "Aligning text-to-music evaluation with human preferences" (arXiv
2503.16669), whose divergence (MAD) compares the maximum over time of the last hidden states of MERT-v1-330M, one vector
per clip. MERT-v1-95M, a third as large, gives other figures.
"""

from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float32
from torch import Tensor

from cadenza.audio import Audio
from cadenza.checkpoint import CONFIG_FILE, WEIGHTS_FILE, file_hash, read_config, read_json
from cadenza.codec.base import exactly
from cadenza.conditioning.mert import Mert, MertConfig
from cadenza.errors import UserError
from cadenza.evaluate.embedders.base import Identity, Setting, consecutive, mono_wave
from cadenza.evaluate.embedders.weights import Repository, read_state

PICKLED = "pytorch_model.bin"
FRONT_END_FILE = "preprocessor_config.json"
WINDOW_SECONDS, LEAST_SECONDS = 30.0, 1.0
_EPSILON = 1e-7  # of the variance, as in transformers' Wav2Vec2FeatureExtractor


class MertEmbedder:
    """The largest value of every hidden unit in each window; see the module."""

    least_seconds = LEAST_SECONDS

    def __init__(self, mert: Mert, identity: Identity, device: str, layer: int, normalize: bool) -> None:
        """Use `open`."""
        self.mert, self.identity, self.device = mert, identity, torch.device(device)
        self.layer, self.normalize, self.dim = layer, normalize, mert.config.dim

    @classmethod
    def open(
        cls, published: Repository, path: str | Path | None = None, device: str = "cpu", layer: int | None = None
    ) -> "MertEmbedder":
        """With the published weights, or those in the folder `path`.

        Args:
            layer: which hidden states: 0 before the first layer of the transformer, None: after the last.

        Raises UserError where there are none, they are others, or `transformers` is not installed.
        """
        folder = published.find(path)
        config = read_config(MertConfig, folder / CONFIG_FILE)
        if layer is not None and not 0 <= layer <= config.num_layers:
            raise UserError(f"layer {layer} of mert: it has 0 to {config.num_layers}")
        name = published.name if layer is None else f"{published.name}@{layer}"
        layer = config.num_layers if layer is None else layer
        file = folder / WEIGHTS_FILE
        if not file.is_file() and (folder / PICKLED).is_file():
            file = folder / PICKLED
        mert = Mert(config, read_state(file), file)
        mert.check()
        front_end = folder / FRONT_END_FILE
        normalize = bool(read_json(front_end).get("do_normalize", False)) if front_end.is_file() else False
        settings: dict[str, Setting] = {
            "sample_rate": config.sample_rate,
            "layer": layer,
            "window_seconds": WINDOW_SECONDS,
            "windows": "consecutive, the last of 1 s or more",
            "pooling": "maximum over time",
            "normalize": normalize,
        }
        checkpoint = published.repository if path is None else Path(path).name
        source = f"{published.paper}; checkpoint {checkpoint}"
        return cls(mert, Identity(name, file_hash(file), settings, source), device, layer, normalize)

    @torch.no_grad()
    def embed(self, audio: Audio) -> Float32[np.ndarray, "W D"]:
        """One vector per window. UserError for a clip shorter than `least_seconds`."""
        rate = self.mert.sample_rate
        wave = mono_wave(audio, rate, self.least_seconds, "mert")
        model = self.mert.model.to(self.device)
        vectors = []
        for piece in consecutive(wave, round(WINDOW_SECONDS * rate), round(LEAST_SECONDS * rate)):
            sound = torch.from_numpy(piece)[None]
            if self.normalize:
                sound = (sound - sound.mean()) / (sound.var(correction=0) + _EPSILON).sqrt()
            with exactly(self.device):
                output = model(sound.to(self.device), output_hidden_states=True)
            # Where norms stand first, releases of transformers disagree whether the last of all states has had its own.
            is_last = self.layer == self.mert.config.num_layers
            hidden: Tensor = output.last_hidden_state if is_last else output.hidden_states[self.layer]
            vectors.append(hidden.amax(1).cpu())
        return torch.cat(vectors).numpy()
