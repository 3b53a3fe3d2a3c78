"""What a take is made of: everything needed to render it again, as JSON in the file's comment tag."""

import base64
import binascii
import platform
import zlib
from collections.abc import Mapping
from typing import Any, Literal, TypeVar

import numpy as np
import pydantic
import torch
from jaxtyping import Float, Int
from pydantic import Field
from torch import Tensor

from cadenza.checkpoint import Config
from cadenza.errors import UserError
from cadenza.lm.generate import GenerationConfig
from cadenza.pipelines.decoding import DecoderRecord

RecordT = TypeVar("RecordT", bound=Config)


class PackedCodes(Config):
    """The codes of an audio prompt. They travel, not the audio: 30 s at 32 kHz are about 12 kB."""

    num_codebooks: int = Field(..., ge=1, description="K")
    num_frames: int = Field(..., ge=1, description="T")
    data: str = Field(..., description="base64 of zlib of little-endian 16-bit codes, codebook by codebook")

    @classmethod
    def pack(cls, codes: Int[Tensor, "K T"]) -> "PackedCodes":
        content = codes.cpu().numpy().astype("<u2").tobytes()
        packed = base64.b64encode(zlib.compress(content, 9)).decode()
        return cls(num_codebooks=codes.shape[0], num_frames=codes.shape[1], data=packed)

    def unpack(self) -> Int[Tensor, "K T"]:
        content = _unpack(self.data, 2 * self.num_codebooks * self.num_frames, "codes of the audio prompt")
        codes = np.frombuffer(content, "<u2").astype(np.int64)
        return torch.from_numpy(codes).view(self.num_codebooks, self.num_frames)


class PackedFeatures(Config):
    """The features of a condition: what a melody or a style became. The recording does not travel."""

    length: int = Field(..., ge=1, description="L")
    dim: int = Field(..., ge=1, description="E")
    data: str = Field(..., description="base64 of zlib of little-endian 32-bit floats, vector by vector")

    @classmethod
    def pack(cls, features: Float[Tensor, "L E"]) -> "PackedFeatures":
        content = features.detach().float().cpu().numpy().astype("<f4").tobytes()
        packed = base64.b64encode(zlib.compress(content, 9)).decode()
        return cls(length=features.shape[0], dim=features.shape[1], data=packed)

    def unpack(self) -> Float[Tensor, "L E"]:
        content = _unpack(self.data, 4 * self.length * self.dim, "features of a condition")
        return torch.from_numpy(np.frombuffer(content, "<f4").copy()).view(self.length, self.dim)


def _unpack(data: str, expected: int, what: str) -> bytes:
    try:
        content = zlib.decompressobj().decompress(base64.b64decode(data, validate=True), expected + 1)
    except (binascii.Error, zlib.error) as error:
        raise UserError(f"the {what} are damaged ({error}): use another copy") from error
    if len(content) != expected:
        raise UserError(f"the {what} are damaged ({len(content)} bytes, expected {expected})")
    return content


class WornAdapter(Config):
    """An adapter that took part. Its weights do not travel."""

    name: str = Field(..., description="what its file was called")
    hash: str = Field(..., description="SHA-256 of what it does")
    gain: float = Field(..., allow_inf_nan=False, description="how much it counted")


class Take(Config):
    """One piece of generated music, apart from the weights that made it."""

    cadenza: str = Field(..., description="version of Cadenza")
    format: Literal[1] = Field(1, description="version of this record")
    model: str = Field(..., description="name of the model")
    weights: str = Field(..., description="SHA-256 of its weights")
    licence: str = Field("", description="licence of the weights")
    text: str | tuple[tuple[float, str], ...] = Field(..., description="the prompt, or its timeline (seconds, text)")
    seed: int = Field(..., ge=0, description="seed of the item")
    generation: GenerationConfig = Field(..., description="settings")
    precision: str = Field(..., description="of the language model")
    device: str = Field(..., description="what it ran on")
    torch: str = Field(..., description="version of torch")
    threads: int = Field(1, ge=1, le=1024, description="processor threads")
    batch: tuple[int, int] = Field((0, 1), description="its row in the batch that was computed, and how many rows")
    prompt: PackedCodes | None = Field(None, description="what an audio prompt became, for a continuation")
    conditions: dict[str, PackedFeatures] = Field({}, description="what it listened to besides the text, by name")
    plan: tuple[str, ...] = Field((), description="what each section was planned to be, in words")
    adapters: tuple[WornAdapter, ...] = Field((), description="adapters beside the model")
    decoder: DecoderRecord | None = Field(None, description="diffusion decoder in place of the codec's own")
    provenance: str | None = Field(None, description="a mark that says who made it, where one is wanted")
    complete: bool = Field(True, description="false if it was stopped before its end")

    @pydantic.model_validator(mode="after")
    def _row(self) -> "Take":
        row, rows = self.batch
        if not 0 <= row < rows <= 4096:
            raise ValueError(f"row {row} of {rows} is no place in a batch")
        return self

    def metadata(self) -> dict[str, Any]:
        record = self.model_dump(mode="json", exclude_none=True)
        for name in ("conditions", "plan", "adapters"):
            if not record[name]:
                del record[name]
        return record

    @classmethod
    def from_metadata(cls, metadata: Mapping[str, Any]) -> "Take":
        """Read what an `Audio` carries; UserError for audio that Cadenza did not make."""
        if "cadenza" not in metadata:
            raise UserError("this audio carries no record of how it was made: only files written by Cadenza do")
        return read_record(cls, metadata)


def read_record(kind: type[RecordT], metadata: Mapping[str, Any]) -> RecordT:
    """The record that an `Audio` carries; UserError for one that cannot be read."""
    try:
        return kind.model_validate(dict(metadata))
    except pydantic.ValidationError as error:
        first = error.errors()[0]
        field = ".".join(str(part) for part in first["loc"])
        made_by = metadata["cadenza"]
        raise UserError(f"the record of Cadenza {made_by!r:.20} cannot be read ({field}: {first['msg']})") from error


def describe_device(device: torch.device) -> str:
    """The processor's name: the same numbers are promised on the same kind of machine only."""
    return torch.cuda.get_device_name(device) if device.type == "cuda" else f"{device.type} {platform.machine()}"
