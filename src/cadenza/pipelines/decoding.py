"""What turns a request's codes into sound: the model's codec, or a diffusion decoder with the request's seed.

In: a codec, and perhaps a decoder with its settings. Out: what `streaming` pulls sound from, and the record of it.
"""

from collections.abc import Iterator
from typing import Any, NamedTuple, Protocol, runtime_checkable

from jaxtyping import Float, Int
from pydantic import Field
from torch import Tensor, nn

from cadenza.checkpoint import Config
from cadenza.diffusion.decoder import DiffusionDecoder
from cadenza.diffusion.settings import DiffusionSettings
from cadenza.diffusion.windowed import DecodeState
from cadenza.errors import UserError


@runtime_checkable
class StepDecoder(Protocol):
    """Codes to sound, step by step: a `Codec`, or what stands in its place."""

    @property
    def hop_length(self) -> int:
        """Samples per frame."""

    @property
    def frame_rate(self) -> float:
        """Frames per second."""

    @property
    def lookahead_frames(self) -> float:
        """Frames of codes that must follow a sample before it is final."""

    def parameters(self) -> Iterator[nn.Parameter]:
        """Where it runs."""

    def new_decode_state(self) -> Any:
        """The state of a streamed decode."""

    def decode_step(self, codes: Int[Tensor, "B K t"], state: Any, last: bool) -> Float[Tensor, "B C n"]:
        """The next frames -> all samples that are final by now."""


class DecoderRecord(Config):
    """The diffusion decoder that took part. Its weights do not travel."""

    name: str = Field(..., description="what it is called")
    weights: str = Field(..., description="SHA-256 of its weights")
    settings: DiffusionSettings = Field(..., description="calls, solver, windows")


class Diffusion(NamedTuple):
    """A decoder and how it shall decode."""

    decoder: DiffusionDecoder
    settings: DiffusionSettings

    def record(self) -> DecoderRecord:
        return DecoderRecord(name=self.decoder.config.name, weights=self.decoder.weights, settings=self.settings)

    def voice(self, seed: int) -> "SeededDecoder":
        return SeededDecoder(self, seed)


class SeededDecoder(NamedTuple):
    """One request's decode: a `StepDecoder`."""

    diffusion: Diffusion
    seed: int

    @property
    def hop_length(self) -> int:
        return self.diffusion.decoder.hop_length

    @property
    def frame_rate(self) -> float:
        return self.diffusion.decoder.frame_rate

    @property
    def lookahead_frames(self) -> float:
        return self.diffusion.decoder.lookahead_frames

    def parameters(self) -> Iterator[nn.Parameter]:
        return self.diffusion.decoder.codec.parameters()

    def new_decode_state(self) -> DecodeState:
        return self.diffusion.decoder.new_decode_state(self.seed, self.diffusion.settings)

    def decode_step(self, codes: Int[Tensor, "B K t"], state: DecodeState, last: bool) -> Float[Tensor, "B C n"]:
        return self.diffusion.decoder.decode_step(codes, state, last)


def again(decoder: DiffusionDecoder | None, record: DecoderRecord | None) -> Diffusion | None:
    """What a take was decoded with. UserError where that is not the decoder that is here."""
    if record is None:
        return None
    if decoder is None or decoder.weights != record.weights:
        here = "none is here" if decoder is None else f"this is {decoder.config.name} ({decoder.weights[:12]})"
        raise UserError(
            f"the take was decoded by {record.name} with weights {record.weights[:12]}, {here}: load that decoder "
            "(music.decoder, --decoder mbd=...) to render it again"
        )
    return Diffusion(decoder, record.settings)
