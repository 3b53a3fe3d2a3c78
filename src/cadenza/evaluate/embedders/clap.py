"""CLAP as an embedder: vectors of sound, and of sentences in the same space.

In: `Audio` or sentences. Out: vectors of unit length. Wu et al. (2023), "Large-scale contrastive language-audio
pretraining with feature fusion and keyword-to-caption augmentation". The checkpoint changes every figure, up to
reversing rankings, so its hash is part of the identity. Sound is heard in windows of the length that the checkpoint
takes (10 s), end to end; the last one ends with the clip and may repeat some of the one before; shorter clips are
repeated, as in training. LAION's own package draws one window of a longer clip at random instead: not used, since a
figure must not depend on luck. Fused checkpoints, which draw too, are refused.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float32
from torch import Tensor

from cadenza.audio import Audio
from cadenza.checkpoint import WEIGHTS_FILE, file_hash
from cadenza.codec.base import exactly
from cadenza.conditioning.clap_encoder import ClapEncoder
from cadenza.evaluate.embedders.base import Identity, Setting, mono_wave
from cadenza.evaluate.embedders.weights import Repository

MAX_TOKENS = 77  # of a sentence: what LAION's package cuts at
_LEAST_SECONDS = 0.1
_BATCH = 32  # sentences at a time


class ClapEmbedder:
    """An `Embedder` (one vector per window) and a `JointEmbedder` (their mean, at unit length); see the module."""

    least_seconds = _LEAST_SECONDS

    def __init__(self, encoder: ClapEncoder, identity: Identity) -> None:
        """Use `open`."""
        self.encoder, self.identity, self.dim = encoder, identity, encoder.dim

    @classmethod
    def open(cls, published: Repository, path: str | Path | None = None, device: str = "cpu") -> "ClapEmbedder":
        """With the published weights, or those in the folder `path`.

        Raises UserError where there are none, they are others, or `transformers` is not installed.
        """
        folder = published.find(path)
        encoder = ClapEncoder.from_pretrained(folder, device)
        _ = encoder.towers  # what is missing is told before the first clip
        settings: dict[str, Setting] = {
            "sample_rate": encoder.front_end.sampling_rate,
            "window_seconds": encoder.front_end.max_length_s,
            "windows": "consecutive, the last one at the end; shorter clips repeated",
            "clip": "mean of the windows at unit length",
            "fusion": False,
            "max_tokens": MAX_TOKENS,
            "front_end": encoder.front_end.model_dump_json(),
        }
        checkpoint = published.repository if path is None else Path(path).name
        source = f"{published.paper}; checkpoint {checkpoint}"
        return cls(encoder, Identity("clap", file_hash(folder / WEIGHTS_FILE), settings, source))

    def embed(self, audio: Audio) -> Float32[np.ndarray, "W D"]:
        """One vector of unit length per window. UserError for a clip shorter than `least_seconds`."""
        return self._windows(audio).numpy()

    def embed_audio(self, audio: Audio) -> Float32[np.ndarray, "D"]:
        """The mean of the windows' vectors, at unit length. UserError for a clip shorter than `least_seconds`."""
        return F.normalize(self._windows(audio).mean(0), dim=0).numpy()

    def embed_text(self, texts: Sequence[str]) -> Float32[np.ndarray, "N D"]:
        """One vector of unit length per sentence; sentences of more than 77 tokens are cut."""
        batches = [texts[start : start + _BATCH] for start in range(0, len(texts), _BATCH)]
        vectors = [self.encoder.encode_text(batch, MAX_TOKENS).cpu().float() for batch in batches]
        return F.normalize(torch.cat([torch.zeros(0, self.dim), *vectors]), dim=1).numpy()

    def _windows(self, audio: Audio) -> Tensor:
        front_end = self.encoder.front_end
        wave = torch.from_numpy(mono_wave(audio, front_end.sampling_rate, self.least_seconds, "clap"))
        window = min(len(wave), front_end.num_samples)
        starts = [*range(0, len(wave) - window, window), len(wave) - window]
        windows = torch.stack([wave[start : start + window] for start in starts])
        with exactly(self.encoder.device):
            return F.normalize(self.encoder.encode_windows(windows).cpu().float(), dim=1)
