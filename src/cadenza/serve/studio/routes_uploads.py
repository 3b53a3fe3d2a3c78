"""Uploads over HTTP: a recording in, its id out; and a take's settings, read from its file."""

import logging
from collections.abc import Callable
from typing import Any, BinaryIO, TypeVar

import pydantic
from anyio import CapacityLimiter, to_thread
from fastapi import APIRouter, HTTPException, UploadFile
from fastapi.responses import FileResponse, Response

from cadenza.serve.foreign import FORMATS, NotAudio, TooLong
from cadenza.serve.studio.asked import Asked, Id
from cadenza.serve.studio.house import CallerOf, Studio, StudioOf
from cadenza.serve.studio.library import Busy
from cadenza.serve.studio.stream import MEDIA_TYPES
from cadenza.serve.studio.tables import Upload
from cadenza.serve.studio.uploads import delete_upload, find_upload, keep_upload, read_take, upload_file

router = APIRouter(tags=["uploads"])
logging.getLogger("python_multipart").setLevel(logging.ERROR)  # a damaged form is answered; it fills no log

AT_ONCE = 2
"""Recordings that are decoded at a time: each takes a core."""
MOST_WAITING = 16
_decoding = CapacityLimiter(AT_ONCE)
_REFUSALS: dict[int | str, dict[str, Any]] = {
    413: {"description": "more bytes or seconds than this studio takes"},
    415: {"description": f"not a recording in {FORMATS}"},
    503: {"description": "others are being read: try again"},
}
_Made = TypeVar("_Made")


class UploadView(pydantic.BaseModel):
    """A recording that can be followed (`melody`) or gone on from (`prompt`)."""

    id: str
    seconds: float
    sample_rate: int
    channels: int
    name: str

    @classmethod
    def of(cls, row: Upload) -> "UploadView":
        return cls.model_validate(row.model_dump(include=set(cls.model_fields)))


class Imported(pydantic.BaseModel):
    """What a file says it was asked for."""

    asked: Asked
    seconds: float = pydantic.Field(description="of sound in the file")
    known_model: bool = pydantic.Field(description="this studio has the model that made it")


@router.post("/v1/uploads", status_code=201, responses=_REFUSALS)
async def upload(file: UploadFile, studio: StudioOf, caller: CallerOf) -> UploadView:
    """Bring a recording. It is decoded, and kept as FLAC for as long as this studio keeps uploads."""
    most_seconds = studio.settings.max_upload_seconds

    def keep(content: BinaryIO) -> UploadView:
        return UploadView.of(keep_upload(studio.library, content, file.filename, caller.key or "", most_seconds))

    return await _decoded(studio, file, keep)


@router.get("/v1/uploads/{upload}")
def get_upload(upload: Id, studio: StudioOf) -> UploadView:
    """What is known of a recording."""
    return UploadView.of(find_upload(studio.library, upload))


@router.get(
    "/v1/uploads/{upload}/audio",
    response_class=Response,
    responses={200: {"content": {"audio/flac": {}}, "description": "the recording, or the part asked for"}},
)
def upload_audio(upload: Id, studio: StudioOf) -> FileResponse:
    """The recording, as models hear it; answers requests for a range."""
    return FileResponse(upload_file(studio.library, upload), media_type=MEDIA_TYPES["flac"])


@router.delete("/v1/uploads/{upload}", status_code=204, response_class=Response)
def delete(upload: Id, studio: StudioOf) -> Response:
    """Delete a recording."""
    if studio.queue.needs(upload):
        raise Busy(f"upload {upload} is listened to by a take that is still to be made: cancel that first")
    delete_upload(studio.library, upload)
    return Response(status_code=204)


@router.post("/v1/takes/import", tags=["takes"], responses=_REFUSALS)
async def import_take(file: UploadFile, studio: StudioOf) -> Imported:
    """The settings in a file that Cadenza wrote, to be asked for again. The file is not kept."""

    def read(content: BinaryIO) -> Imported:
        asked, made = read_take(studio.library, content, studio.settings.max_duration_seconds + 1)
        known = asked.model in studio.shelf.offers
        return Imported(
            asked=asked if known else asked.model_copy(update={"model": None}), seconds=made.seconds, known_model=known
        )

    return await _decoded(studio, file, read)


async def _decoded(studio: Studio, file: UploadFile, work: Callable[[BinaryIO], _Made]) -> _Made:
    """`work` on the content of a file, when it is its turn; what is refused becomes the right status."""
    most = studio.settings.max_upload_mb
    if (file.size or 0) > most * 1e6:
        raise HTTPException(413, f"more than {most:g} MB: send a part of it, or FLAC")
    if _decoding.statistics().tasks_waiting >= MOST_WAITING:
        raise HTTPException(503, "other recordings are being read: try again in 10 s", {"Retry-After": "10"})
    try:
        return await to_thread.run_sync(work, file.file, limiter=_decoding)
    except NotAudio as error:
        raise HTTPException(415, str(error)) from error
    except TooLong as error:
        raise HTTPException(413, str(error)) from error
