"""A song in the making: everything that was asked for, and every code that was made so far.

In: a request and codes as they are sampled. Out: a directory that a stopped run goes on from, bit by bit the same:
`song.json`, and `codes_2.safetensors` and so on, one file per level, each of which appears whole or not at all.
"""

import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import pydantic
import torch
from jaxtyping import Int
from pydantic import Field
from torch import Tensor

from cadenza.checkpoint import Config, read_json, read_metadata, read_weights, write_json, write_weights
from cadenza.errors import CheckpointError, UserError
from cadenza.files import atomic_directory
from cadenza.jukebox.labels import LabelVersion, Piece
from cadenza.jukebox.lyrics import Vocabulary
from cadenza.jukebox.prior import PriorConfig

SONG_FILE = "song.json"


class SongItem(Config):
    """One of the pieces that are made together."""

    seed: int = Field(ge=0, lt=2**64, description="of all its random numbers")
    artist: str = Field("", description="as it was asked for, for people to read")
    genre: str = Field("", description="as it was asked for, for people to read")
    artists: dict[LabelVersion, int] = Field({}, description="id of the artist in each list; 0 where there is none")
    genres: dict[LabelVersion, tuple[int, ...]] = Field({}, description="ids of the genres in each list")
    lyrics: str = Field("", description="what is sung in the whole piece, in characters that the model knows")


class LevelSampling(Config):
    """How the codes of one level are chosen."""

    temperature: float = Field(1.0, ge=0, le=100, allow_inf_nan=False, description="0: always the likeliest")
    top_k: int = Field(0, ge=0, le=65536, description="only among the k likeliest; 0: off")
    top_p: float = Field(
        0.0, ge=0, le=1, allow_inf_nan=False, description="only among the likeliest of this sum; 0: off"
    )
    hop: int = Field(ge=1, description="codes between the beginnings of windows")


class SongRequest(Config):
    """Everything that decides about a song. Levels are counted from the finest, 0."""

    format: Literal[1] = Field(1, description="version of this record")
    cadenza: str = Field(description="version of Cadenza that began it")
    model: str = Field(description="name of the model")
    licence: str = Field("", description="licence of its weights")
    weights: dict[str, str] = Field(description="SHA-256 of each of its parts")
    precision: str = Field("fp32", description="of the priors")
    sample_rate: int = Field(ge=1, le=1_000_000, description="Hz")
    codebook_size: int = Field(ge=2, le=65536, description="codes per level")
    hop_lengths: tuple[int, ...] = Field(min_length=1, max_length=8, description="samples per code, by level")
    num_samples: int = Field(ge=1, le=2**40, description="length of the audio, samples")
    total_length: int = Field(ge=1, le=2**40, description="length of the whole piece that it is part of, samples")
    offset: int = Field(0, ge=0, le=2**40, description="where in that piece it begins, samples")
    sampling: tuple[LevelSampling, ...] = Field(description="by level")
    given: tuple[int, ...] = Field(description="codes that were not sampled but are those of a recording, by level")
    items: tuple[SongItem, ...] = Field(min_length=1, max_length=4096, description="pieces that are made together")
    is_batch: bool = Field(False, description="several were asked for: the answer is a list")
    down_to: int = Field(0, ge=0, description="the finest level to make")

    @pydantic.model_validator(mode="after")
    def _check(self) -> "SongRequest":
        levels = self.num_levels
        if len(self.sampling) != levels or len(self.given) != levels or self.down_to >= levels:
            raise ValueError(f"{levels} levels need as many settings")
        hops = self.hop_lengths
        if any(hop < 1 or above % hop for hop, above in zip(hops, [*hops[1:], hops[-1]], strict=True)):
            raise ValueError(f"hop lengths {hops}: each must be a multiple of the one below")
        if any(not 0 <= given <= self.num_codes(level) for level, given in enumerate(self.given)):
            raise ValueError(f"{self.given} codes are given, more than there can be")
        return self

    @property
    def num_levels(self) -> int:
        return len(self.hop_lengths)

    @property
    def top(self) -> int:
        return self.num_levels - 1

    def num_codes(self, level: int) -> int:
        """Codes of the whole song at a level: whole codes of the top level, the audio is cut to its length."""
        above = self.hop_lengths[-1]
        return -(-self.num_samples // above) * (above // self.hop_lengths[level])

    def pieces(self, config: PriorConfig) -> list[Piece]:
        """What a prior of this configuration is told about each item."""
        version = config.labels.version if config.labels is not None else "v2"
        vocabulary = None if config.lyrics is None else Vocabulary(config.lyrics.version)
        return [
            Piece(
                self.total_length,
                self.offset,
                item.artists.get(version, 0),
                item.genres.get(version, (0,)),
                () if vocabulary is None else vocabulary.encode(item.lyrics),
            )
            for item in self.items
        ]

    @property
    def identity(self) -> str:
        """SHA-256 of all that decides about the codes."""
        value = self.model_dump(mode="json", exclude={"down_to", "cadenza"})
        return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()


class Song:
    """A request and its codes, kept in a directory if it has one.

    Finished windows are written at once; codes of a level only ever grow.
    """

    def __init__(
        self, request: SongRequest, codes: Mapping[int, Int[Tensor, "B _"]], directory: Path | None = None
    ) -> None:
        self.request = request
        self.directory = directory
        nothing = torch.zeros(len(request.items), 0, dtype=torch.long)
        self._codes = [codes[level].cpu().long() if level in codes else nothing for level in range(request.num_levels)]

    @classmethod
    def begin(
        cls,
        request: SongRequest,
        codes: Mapping[int, Int[Tensor, "B _"]] | None = None,
        directory: str | Path | None = None,
    ) -> "Song":
        """A new song; `codes` are those that are there before anything is sampled.

        Raises UserError where `directory` is not new or empty.
        """
        if directory is None:
            return cls(request, codes or {})
        directory = Path(directory)
        if directory.exists() and (not directory.is_dir() or any(directory.iterdir())):
            holds = "a song already: resume it" if (directory / SONG_FILE).is_file() else "something else"
            raise UserError(f"{directory} holds {holds}, or choose a new or empty directory")
        song = cls(request, codes or {}, directory)
        with atomic_directory(directory) as temporary:
            write_json(temporary / SONG_FILE, request.model_dump(mode="json"))
            for level in codes or {}:
                song._write(level, temporary)
        return song

    @classmethod
    def open(cls, directory: str | Path) -> "Song":
        """A song that was begun. Raises UserError for a directory that holds none, or a damaged one, which stays as it
        is."""
        directory = Path(directory)
        if not (directory / SONG_FILE).is_file():
            raise UserError(f"{directory} holds no song: give the directory in which one was begun ({SONG_FILE})")
        request = read_request(read_json(directory / SONG_FILE), directory / SONG_FILE)
        codes = {}
        for level in range(request.num_levels):
            path = directory / f"codes_{level}.safetensors"
            if path.is_file():
                codes[level] = _read_codes(path, request, level)
            elif request.given[level]:
                raise UserError(f"{path} is missing: restore it, or begin anew")
        song = cls(request, codes, directory)
        for level in range(request.top):
            if song.codes(level).shape[1] > request.given[level] and not song.is_complete(level + 1):
                raise UserError(
                    f"{directory} holds codes of level {level}, but level {level + 1} is not complete: restore "
                    f"codes_{level + 1}.safetensors, or remove codes_{level}.safetensors"
                )
        return song

    def codes(self, level: int) -> Int[Tensor, "B T"]:
        """All codes of a level that there are."""
        return self._codes[level]

    def put(self, level: int, codes: Int[Tensor, "B T"]) -> None:
        """All codes of a level that there are now; written before this returns."""
        assert codes.shape[1] >= self._codes[level].shape[1], "codes only grow"
        self._codes[level] = codes.cpu().long()
        if self.directory is not None:
            self._write(level, self.directory)

    def is_complete(self, level: int) -> bool:
        return self._codes[level].shape[1] >= self.request.num_codes(level)

    def reach(self, level: int) -> int:
        """Samples of audio that a level's codes make."""
        request = self.request
        return min(self._codes[level].shape[1] * request.hop_lengths[level], request.num_samples)

    @property
    def best_level(self) -> int:
        """The level that reaches farthest; of those that reach as far, the finest."""
        return max(range(self.request.num_levels), key=lambda level: (self.reach(level), -level))

    def missing(self, level: int) -> int:
        """Codes of a level that are still to be made."""
        return max(0, self.request.num_codes(level) - self._codes[level].shape[1])

    def ask(self, down_to: int) -> None:
        """Make another level the finest one that is wanted."""
        if not 0 <= down_to < self.request.num_levels:
            raise UserError(f"no level {down_to}: use 0 (the finest) to {self.request.top}")
        self.request = self.request.model_copy(update={"down_to": down_to})
        if self.directory is not None:
            write_json(self.directory / SONG_FILE, self.request.model_dump(mode="json"))

    def _write(self, level: int, directory: Path) -> None:
        codes = self._codes[level].to(torch.int32).contiguous()
        metadata = {"song": self.request.identity, "sha256": _digest(codes)}
        write_weights(directory / f"codes_{level}.safetensors", {"codes": codes}, metadata=metadata)


def read_request(value: Mapping[str, Any], source: str | Path) -> SongRequest:
    """A request from JSON that was read from `source`; UserError for any other JSON."""
    if value.get("format") != 1:
        raise UserError(f"{source} is of format {value.get('format')!r:.20}, this Cadenza knows 1: use another version")
    try:
        return SongRequest.model_validate(value)
    except pydantic.ValidationError as error:
        first = error.errors()[0]
        field = ".".join(str(part) for part in first["loc"]) or "request"
        raise UserError(f"{source} is damaged ({field}: {first['msg']}): restore it, or begin anew") from error


def _read_codes(path: Path, request: SongRequest, level: int) -> Tensor:
    try:
        state, metadata = read_weights(path), read_metadata(path)
    except CheckpointError as error:
        raise UserError(f"{path} is damaged: restore it, or remove it to make this level anew") from error
    codes = state.get("codes")
    if codes is None or codes.dtype != torch.int32 or codes.ndim != 2 or metadata.get("sha256") != _digest(codes):
        raise UserError(f"{path} is damaged: restore it, or remove it to make this level anew")
    if metadata.get("song") != request.identity:
        raise UserError(f"{path} belongs to another song than {SONG_FILE} beside it: restore both")
    rows, count = codes.shape
    fits = rows == len(request.items) and request.given[level] <= count <= request.num_codes(level)
    if not fits or (count and not 0 <= int(codes.min()) <= int(codes.max()) < request.codebook_size):
        raise UserError(f"{path} holds codes that do not fit {SONG_FILE} beside it: restore both")
    return codes.long().clone()


def _digest(codes: Tensor) -> str:
    return hashlib.sha256(f"{tuple(codes.shape)}\n".encode() + codes.numpy().tobytes()).hexdigest()


def select(song: Song, items: Sequence[int]) -> tuple[SongRequest, dict[int, Tensor]]:
    """The request and the codes of some items of a song, in this order. UserError for items that there are not."""
    count = len(song.request.items)
    for item in items:
        if not 0 <= item < count:
            raise UserError(f"no item {item}: the song has items 0 to {count - 1}")
    if not items:
        raise UserError("no items: name one at least")
    request = song.request.model_copy(
        update={"items": tuple(song.request.items[item] for item in items), "is_batch": len(items) > 1}
    )
    return request, {level: song.codes(level)[list(items)] for level in range(request.num_levels)}
