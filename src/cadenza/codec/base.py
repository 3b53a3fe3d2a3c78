"""The interface of every codec: audio `[B, C, N]` to codes `[B, K, T]` and back, at once or piece by piece."""

from abc import ABC, abstractmethod
from typing import Any, NamedTuple

from jaxtyping import Float, Int
from torch import Tensor, nn


class Codes(NamedTuple):
    """Codes `[B, K, T]` and, for codecs that normalise loudness, one scale per segment `[B, G]` (else None)."""

    codes: Int[Tensor, "B K T"]
    scale: Float[Tensor, "B G"] | None = None


class Codec(nn.Module, ABC):
    """Turns audio into `num_codebooks` parallel streams of codes and back.

    `decode_step` over any cutting of the codes, joined, equals `decode` of the whole.
    """

    @property
    @abstractmethod
    def sample_rate(self) -> int:
        """Samples per second and channel."""

    @property
    @abstractmethod
    def channels(self) -> int:
        """Audio channels."""

    @property
    @abstractmethod
    def hop_length(self) -> int:
        """Samples per frame."""

    @property
    @abstractmethod
    def num_codebooks(self) -> int:
        """Codes per frame."""

    @property
    @abstractmethod
    def codebook_size(self) -> int:
        """Entries per codebook."""

    @property
    @abstractmethod
    def lookahead_frames(self) -> float:
        """Frames of codes that must follow a sample before it is final."""

    @property
    def frame_rate(self) -> float:
        """Frames per second."""
        return self.sample_rate / self.hop_length

    @abstractmethod
    def encode(self, audio: Float[Tensor, "B C N"]) -> Codes:
        """Audio to codes, `T = ceil(N / hop_length)`."""

    @abstractmethod
    def decode(self, codes: Int[Tensor, "B K T"], scale: Float[Tensor, "B G"] | None = None) -> Float[Tensor, "B C N"]:
        """Codes to audio, `N = T * hop_length`."""

    @abstractmethod
    def decode_latent(self, codes: Int[Tensor, "B K T"]) -> Float[Tensor, "B D T"]:
        """Codes to the continuous latent that the decoder reads."""

    def pack(self) -> None:
        """Prepare for decoding on a CPU, where that helps. Training, moving, converting or loading undoes it."""

    @abstractmethod
    def new_decode_state(self) -> Any:
        """The state of a streamed decode, to be passed to every `decode_step`."""

    @abstractmethod
    def decode_step(self, codes: Int[Tensor, "B K t"], state: Any, last: bool) -> Float[Tensor, "B C n"]:
        """The next frames -> all samples that are final by now; `last=True` flushes the rest."""
