"""Stereo by a mono codec: left and right coded apart, codebooks interleaved `[1_L, 1_R, 2_L, 2_R, ...]`.

In: audio `[B, 2, N]`. Out: codes `[B, 2K, T]`, and back. No parameters of its own.
"""

from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor

from cadenza.codec.base import Codec, Codes


class StereoCodec(Codec):
    """Two channels through one mono codec, batched."""

    def __init__(self, mono: Codec) -> None:
        super().__init__()
        assert mono.channels == 1
        self.mono = mono

    @property
    def sample_rate(self) -> int:
        return self.mono.sample_rate

    @property
    def channels(self) -> int:
        return 2

    @property
    def hop_length(self) -> int:
        return self.mono.hop_length

    @property
    def num_codebooks(self) -> int:
        return 2 * self.mono.num_codebooks

    @property
    def codebook_size(self) -> int:
        return self.mono.codebook_size

    @property
    def lookahead_frames(self) -> float:
        return self.mono.lookahead_frames

    def encode(self, audio: Float[Tensor, "B 2 N"]) -> Codes:
        codes, scale = self.mono.encode(audio.flatten(0, 1)[:, None])
        codes = codes.unflatten(0, (-1, 2)).transpose(1, 2).flatten(1, 2)
        return Codes(codes, None if scale is None else scale.unflatten(0, (-1, 2)).flatten(1))

    def decode(self, codes: Int[Tensor, "B K T"], scale: Float[Tensor, "B G"] | None = None) -> Float[Tensor, "B 2 N"]:
        mono_scale = None if scale is None else scale.unflatten(1, (2, -1)).flatten(0, 1)
        return self._join(self.mono.decode(self._split(codes), mono_scale))

    def decode_latent(self, codes: Int[Tensor, "B K T"]) -> Float[Tensor, "B D T"]:
        """Latents of both channels, left above right: `[B, 2D, T]`."""
        latent = self.mono.decode_latent(self._split(codes))
        return latent.unflatten(0, (-1, 2)).flatten(1, 2)

    def pack(self) -> None:
        self.mono.pack()

    def new_decode_state(self) -> Any:
        return self.mono.new_decode_state()

    def decode_step(self, codes: Int[Tensor, "B K t"], state: Any, last: bool) -> Float[Tensor, "B 2 n"]:
        return self._join(self.mono.decode_step(self._split(codes), state, last))

    def _split(self, codes: Tensor) -> Tensor:
        return codes.unflatten(1, (-1, 2)).transpose(1, 2).flatten(0, 1)

    def _join(self, audio: Tensor) -> Tensor:
        return torch.stack([audio[0::2, 0], audio[1::2, 0]], dim=1)
