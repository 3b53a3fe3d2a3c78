"""What a song is made of: everything needed to render it again, as JSON in the file's comment tag.

In: the request of one item, and the codes that it was given. Out: metadata of its audio; and back.
"""

from collections.abc import Mapping
from typing import Any, Literal

import torch
from jaxtyping import Int
from pydantic import Field
from torch import Tensor

from cadenza import __version__
from cadenza.checkpoint import Config
from cadenza.errors import UserError
from cadenza.jukebox.song import SongRequest
from cadenza.pipelines.take import PackedCodes, read_record


class JukeboxTake(Config):
    """One song, apart from the weights that made it."""

    cadenza: str = Field(description="version of Cadenza")
    type: Literal["jukebox"] = Field("jukebox", description="kind of pipeline")
    model: str = Field(description="name of the model")
    licence: str = Field("", description="licence of the weights")
    song: SongRequest = Field(description="everything that was asked for, of this item alone")
    given: dict[int, PackedCodes] = Field({}, description="codes by level that were not sampled: of audio prompts")
    level: int = Field(ge=0, description="the level whose codes are heard, 0 is the finest")
    complete: bool = Field(True, description="false if it was stopped before its end, or is a preview")
    device: str = Field(description="what it ran on")
    torch: str = Field(description="version of torch")

    @classmethod
    def of(
        cls,
        request: SongRequest,
        codes: Mapping[int, Int[Tensor, "1 T"]],
        level: int,
        complete: bool,
        device: str,
    ) -> "JukeboxTake":
        """Of a request of one item; of `codes` those are kept that were given."""
        return cls(
            cadenza=__version__,
            model=request.model,
            licence=request.licence,
            song=request,
            given={
                which: PackedCodes.pack(codes[which][:, :count]) for which, count in enumerate(request.given) if count
            },
            level=level,
            complete=complete,
            device=device,
            torch=torch.__version__,
        )

    def metadata(self) -> dict[str, Any]:
        return self.model_dump(mode="json")

    @classmethod
    def from_metadata(cls, metadata: Mapping[str, Any]) -> "JukeboxTake":
        """Read what an `Audio` carries; UserError for audio that no Jukebox of Cadenza made."""
        if "cadenza" not in metadata or metadata.get("type") != "jukebox":
            raise UserError("this audio carries no record of a song: only files that a Jukebox of Cadenza made do")
        return read_record(cls, metadata)

    def request(self) -> tuple[SongRequest, dict[int, Int[Tensor, "1 T"]]]:
        """What to make, and the codes that are given. Raises UserError for codes that are damaged."""
        song = self.song
        codes = {level: packed.unpack() for level, packed in self.given.items()}
        for level, count in enumerate(song.given):
            row = codes.get(level)
            if (0 if row is None else row.shape[1]) != count or (
                row is not None and int(row.max()) >= song.codebook_size
            ):
                raise UserError(f"the record's codes of level {level} do not fit the song: use another copy")
        return song, codes
