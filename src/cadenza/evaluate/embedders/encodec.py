"""A codec as an embedder: the latents that its codes stand for.

In: `Audio`. Out: one vector per second, the mean of that second's quantised latents. Codec latents hear fine
differences of timbre and noise (Gui et al. 2024, "Adapting Fréchet audio distance for generative music evaluation"),
but a codec flatters the models that speak its own codes: whatever they make lies where its latents lie. Such figures
stand only beside those of an independent embedder, and the identity says so.
"""

from itertools import pairwise
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float32

from cadenza.audio import Audio
from cadenza.checkpoint import CONFIG_FILE, WEIGHTS_FILE, file_hash
from cadenza.codec.base import Codec
from cadenza.codec.encodec import EnCodec
from cadenza.errors import UserError
from cadenza.evaluate.embedders.base import Identity, Setting, consecutive, mono_wave
from cadenza.evaluate.embedders.weights import state_hash

EMBEDDED = Path(__file__).parents[2] / "assets" / "embedded"
"""The model that ships with Cadenza; its codec is heard where no other is named."""
_PIECE_SECONDS = 30  # coded at a time, so that an hour takes no more memory than this


class EncodecEmbedder:
    """Any `Codec` at hand; stereo ones hear the same on both sides. See the module."""

    least_seconds = 1.0

    def __init__(self, codec: Codec, weights: str | None = None, source: str = "a codec at hand") -> None:
        """`weights`: SHA-256 of its weights; None: it is taken from its tensors."""
        self.codec = codec.eval()
        tensor = next(codec.parameters())
        with torch.no_grad():
            silence = torch.zeros(1, codec.channels, codec.sample_rate, device=tensor.device)
            self.dim = int(codec.decode_latent(codec.encode(silence).codes).shape[1])
        settings: dict[str, Setting] = {
            "sample_rate": codec.sample_rate,
            "codebooks": codec.num_codebooks,
            "window_seconds": 1.0,
            "windows": "consecutive whole seconds",
            "pooling": "mean over time",
            "independent_of_models_of_this_codec": False,
        }
        self.identity = Identity("encodec", weights or state_hash(codec.state_dict()), settings, source)
        self.device = tensor.device

    @classmethod
    def open(cls, path: str | Path | None = None, device: str = "cpu") -> "EncodecEmbedder":
        """The codec in the directory `path`, or in its folder `codec`, where a model has it; None: that of the embedded
        model. UserError if there is none."""
        folder = EMBEDDED if path is None else Path(path)
        if not (folder / WEIGHTS_FILE).is_file() and (folder / "codec" / CONFIG_FILE).is_file():
            folder = folder / "codec"
        if not folder.is_dir():
            raise UserError(f"no codec at {folder}: give the directory of a codec or of a model of Cadenza")
        codec = EnCodec.from_pretrained(folder, device, torch.float32)
        source = "Défossez et al. (2022), High fidelity neural audio compression"
        return cls(
            codec, file_hash(folder / WEIGHTS_FILE), f"{source}; the embedded model's" if path is None else source
        )

    @torch.no_grad()
    def embed(self, audio: Audio) -> Float32[np.ndarray, "W D"]:
        """One vector per whole second. UserError for a clip shorter than `least_seconds`."""
        codec, rate = self.codec, self.codec.sample_rate
        wave = mono_wave(audio, rate, self.least_seconds, "encodec")
        vectors = []
        for piece in consecutive(wave[: len(wave) // rate * rate], _PIECE_SECONDS * rate, rate):
            sound = torch.from_numpy(piece).to(self.device).expand(1, codec.channels, -1)
            latent = codec.decode_latent(codec.encode(sound).codes)[0]
            edges = [round(second * codec.frame_rate) for second in range(len(piece) // rate + 1)]
            vectors += [latent[:, left:right].mean(1).cpu() for left, right in pairwise(edges)]
        return torch.stack(vectors).numpy()
