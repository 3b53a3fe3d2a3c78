"""The library: what was made, to be found, heard, named, taken along and made again."""

import re
from typing import Annotated

from anyio.to_thread import run_sync
from fastapi import APIRouter, Query
from fastapi.responses import FileResponse, Response

from cadenza.serve.studio.asked import Generation, Id, TakeChange, TakePage, TakeView
from cadenza.serve.studio.house import CallerOf, StudioOf
from cadenza.serve.studio.library import Busy, Format, Sort
from cadenza.serve.studio.stream import MEDIA_TYPES

router = APIRouter(tags=["takes"])


@router.get("/v1/takes")
def list_takes(
    studio: StudioOf,
    query: Annotated[str, Query(max_length=200)] = "",
    starred: bool | None = None,
    tag: Annotated[str | None, Query(max_length=40)] = None,
    model: Annotated[str | None, Query(max_length=200)] = None,
    sort: Sort = "newest",
    limit: Annotated[int, Query(ge=1, le=200)] = 50,
    cursor: Annotated[str | None, Query(max_length=2000)] = None,
) -> TakePage:
    """Takes with sound. Every word of `query` must occur in title, text or tags."""
    items, after = studio.library.page(query, starred, tag, model, sort, limit, cursor)
    return TakePage(items=[TakeView.of(take) for take in items], next=after)


@router.get("/v1/takes/{take}")
def get_take(take: Id, studio: StudioOf) -> TakeView:
    """One take, and what makes it again."""
    return TakeView.of(studio.library.take(take))


@router.patch("/v1/takes/{take}")
def change_take(take: Id, change: TakeChange, studio: StudioOf) -> TakeView:
    """Star it, tag it, give it a title."""
    found = studio.library.change(take, change)
    studio.queue.refresh(found)
    return TakeView.of(found)


@router.delete("/v1/takes/{take}", status_code=204, response_class=Response)
def delete_take(take: Id, studio: StudioOf) -> Response:
    """Delete it with its files."""
    if studio.queue.needs(take):
        raise Busy(f"take {take} is listened to by one that is still to be made: cancel that first")
    studio.library.delete(take)
    return Response(status_code=204)


@router.get(
    "/v1/takes/{take}/audio",
    response_class=Response,
    responses={200: {"content": {"audio/*": {}}, "description": "the file, or the part asked for"}},
)
async def take_audio(take: Id, studio: StudioOf, format: Format = "flac", download: bool = False) -> FileResponse:
    """The file in a format; answers requests for a range. `download` names it for the disk."""
    path = await run_sync(studio.library.file, take, format, limiter=studio.drawing)
    name = None
    if download:
        row = await run_sync(studio.library.take, take)
        name = f"{_slug(row.title)}-{row.seed}.{format}"
    return FileResponse(path, media_type=MEDIA_TYPES[format], filename=name)


@router.get("/v1/takes/{take}/peaks")
def take_peaks(take: Id, studio: StudioOf) -> Response:
    """The lowest and highest sample of each column, and the length: {"peaks": [[min, max], ...], "seconds"}."""
    return Response(studio.library.peaks(take), media_type="application/json")


@router.get(
    "/v1/takes/{take}/spectrogram.png",
    response_class=Response,
    responses={200: {"content": {"image/png": {}}, "description": "times from left to right, 40 Hz at the bottom"}},
)
async def take_spectrogram(take: Id, studio: StudioOf) -> Response:
    """A picture of the sound."""
    content = await run_sync(studio.library.picture, take, limiter=studio.drawing)
    return Response(content, media_type="image/png")


@router.post("/v1/takes/{take}/render", status_code=202)
def render_take(take: Id, studio: StudioOf, caller: CallerOf) -> Generation:
    """Make it once more, from the record in its file."""
    return studio.again(studio.library.take(take), caller)


def _slug(title: str) -> str:
    words = re.findall(r"\w+", title.lower())
    return "-".join(words)[:60].strip("-") or "take"
