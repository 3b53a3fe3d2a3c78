"""The interface of every codec: audio `[B, C, N]` to codes `[B, K, T]` and back, at once or piece by piece."""

import threading
from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

_CUDNN = threading.Lock()
"""cuDNN's settings are those of the process: who changes them is alone until they are as they were."""


@contextmanager
def exactly(device: torch.device) -> Iterator[None]:
    """Around a codec's work, which is float32 and the same twice: on CUDA torch lets convolutions and LSTMs round to
    TensorFloat-32 (10 bits), and sum in any order."""
    if device.type != "cuda":
        yield
        return
    cudnn: Any = torch.backends.cudnn  # made of properties that its type does not tell
    with _CUDNN:
        before = cudnn.conv.fp32_precision, cudnn.rnn.fp32_precision, cudnn.deterministic, cudnn.benchmark
        try:
            _set_cudnn("ieee", "ieee", True, False)
            yield
        finally:
            _set_cudnn(*before)


def _set_cudnn(conv: str, rnn: str, deterministic: bool, benchmark: bool) -> None:
    cudnn: Any = torch.backends.cudnn
    cudnn.conv.fp32_precision, cudnn.rnn.fp32_precision = conv, rnn
    cudnn.deterministic, cudnn.benchmark = deterministic, benchmark


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
