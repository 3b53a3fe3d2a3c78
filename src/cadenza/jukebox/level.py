"""One level of a VQ-VAE as a codec of one codebook: what computes and stores codes takes it like any other.

In: audio `[B, 1, N]`. Out: codes `[B, 1, T]` of that level, and back. Sound is filled up with silence to whole codes of
the coarsest level, so that the codes of all levels cover the same time: `hops[-1] / hop` of them per code at the top.
Dhariwal et al. 2020 (arXiv 2005.00341).
"""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor, nn

from cadenza.codec.base import Codec, Codes
from cadenza.jukebox.autoencoder import Decoder
from cadenza.jukebox.vqvae import JukeboxVQVAE


@dataclass
class LevelState:
    """Of a streamed decode: the codes that samples to come depend on, and how many of them are decoded."""

    codes: Int[Tensor, "B T"] | None = None
    done: int = 0


class VQVAELevel(Codec):
    """The encoder, codebook and decoder of one level; nothing else of the VQ-VAE is part of its state."""

    def __init__(self, vqvae: JukeboxVQVAE, level: int) -> None:
        """Raises UserError for a level that there is not."""
        super().__init__()
        self.level = level
        self.codebook = vqvae.codebook(level)
        number = 0 if vqvae.is_shared else level
        self.encoder: nn.Module = vqvae.encoders[number]
        self.decoder: nn.Module = vqvae.decoders[number]
        self._whole = (vqvae,)  # in a tuple it is no part of the module

    @property
    def vqvae(self) -> JukeboxVQVAE:
        return self._whole[0]

    @property
    def sample_rate(self) -> int:
        return self.vqvae.sample_rate

    @property
    def channels(self) -> int:
        return 1

    @property
    def hop_length(self) -> int:
        return self.vqvae.hop_lengths[self.level]

    @property
    def num_codebooks(self) -> int:
        return 1

    @property
    def codebook_size(self) -> int:
        return self.vqvae.codebook_size

    @property
    def lookahead_frames(self) -> float:
        return self._reach

    @property
    def _reach(self) -> int:
        """Codes to either side that a sample depends on."""
        assert isinstance(self.decoder, Decoder)
        return self.decoder.reach(self.level + 1)

    def encode(self, audio: Float[Tensor, "B C N"]) -> Codes:
        filled = F.pad(audio, (0, -audio.shape[-1] % self.vqvae.hop_lengths[-1]))
        return Codes(self.vqvae.encode(filled, [self.level])[0][:, None])

    def decode(self, codes: Int[Tensor, "B K T"], scale: Float[Tensor, "B G"] | None = None) -> Float[Tensor, "B C N"]:
        return self.vqvae.decode(codes[:, 0], self.level)

    def decode_latent(self, codes: Int[Tensor, "B K T"]) -> Float[Tensor, "B D T"]:
        return self.vqvae.latent(codes[:, 0], self.level)

    def new_decode_state(self) -> LevelState:
        return LevelState()

    def decode_step(self, codes: Int[Tensor, "B K t"], state: LevelState, last: bool) -> Float[Tensor, "B C n"]:
        held = codes[:, 0] if state.codes is None else torch.cat([state.codes, codes[:, 0]], dim=1)
        final = held.shape[1] if last else max(state.done, held.shape[1] - self._reach)
        audio = self.vqvae.decode(held, self.level)[..., state.done * self.hop_length : final * self.hop_length]
        forgotten = max(0, final - self._reach)
        state.codes, state.done = held[:, forgotten:], final - forgotten
        return audio
