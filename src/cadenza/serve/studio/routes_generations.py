"""Asking for music, watching it and hearing it while it is made."""

import asyncio
from collections.abc import AsyncIterator, Coroutine
from contextlib import suppress
from typing import Annotated, Any, Literal

from anyio import create_task_group
from anyio.to_thread import run_sync
from fastapi import APIRouter, Query, WebSocket, WebSocketDisconnect
from fastapi.responses import FileResponse, Response, StreamingResponse
from starlette.concurrency import run_in_threadpool

from cadenza.audio import Audio
from cadenza.serve.studio.asked import OVER, Asked, Generation, GenerationPage, Id, Status
from cadenza.serve.studio.house import CallerOf, Studio, StudioOf
from cadenza.serve.studio.library import Missing
from cadenza.serve.studio.stream import MEDIA_TYPES, Form, Sound, encoded, encoder

router = APIRouter(tags=["generations"])

PULSE_SECONDS = 15.0
"""Of silence, after which a comment says that the connection lives."""
_PAUSE_SECONDS = 0.1
"""Between two states: a page needs no more."""
_PART_SECONDS = 1.0
_GONE = (WebSocketDisconnect, RuntimeError)
"""What is raised where somebody has left: the second by a socket that is closed on our side already."""


@router.post("/v1/generations", status_code=202)
def submit(asked: Asked, studio: StudioOf, caller: CallerOf) -> Generation:
    """Ask for music. It is kept before it is accepted, and made even if the server ends meanwhile."""
    return studio.submit(asked, caller)


@router.get("/v1/generations")
def list_generations(
    studio: StudioOf,
    limit: Annotated[int, Query(ge=1, le=200)] = 50,
    cursor: Annotated[str | None, Query(max_length=500)] = None,
    status: Status | None = None,
) -> GenerationPage:
    """What was asked for, the newest first."""
    items, after = studio.queue.page(limit, cursor, status)
    return GenerationPage(items=items, next=after)


@router.get("/v1/generations/{generation}")
def get_generation(generation: Id, studio: StudioOf) -> Generation:
    """How far it is: the position in the queue, and the seconds left."""
    return studio.queue.generation(generation)


@router.post("/v1/generations/{generation}/cancel")
def cancel(generation: Id, studio: StudioOf) -> Generation:
    """Stop it. What is made so far is kept, and marked."""
    return studio.queue.cancel(generation)


@router.get(
    "/v1/generations/{generation}/events",
    response_class=Response,
    responses={200: {"content": {"text/event-stream": {}}, "description": "events `state`, each a Generation"}},
)
async def events(generation: Id, studio: StudioOf) -> StreamingResponse:
    """Every state until it is over, as server-sent events."""
    await _look(studio, generation)  # 404 before the stream begins

    async def lines() -> AsyncIterator[str]:
        async for state in states(studio, generation, PULSE_SECONDS):
            yield ": still here\n\n" if state is None else f"event: state\ndata: {state.model_dump_json()}\n\n"

    return StreamingResponse(lines(), media_type="text/event-stream", headers={"X-Accel-Buffering": "no"})


@router.get(
    "/v1/generations/{generation}/audio",
    response_class=Response,
    responses={200: {"content": {"audio/wav": {}, "audio/ogg": {}}, "description": "the sound, from its beginning"}},
)
async def audio(
    generation: Id,
    studio: StudioOf,
    item: Annotated[int, Query(ge=0, le=7)] = 0,
    format: Literal["wav", "opus"] = "wav",
) -> Response:
    """The sound while it is made, at the model's own level; once it is over, the finished file."""
    take, sound = await find_sound(studio, generation, item)
    if sound is not None:
        return StreamingResponse(encoded(sound, format), media_type=MEDIA_TYPES[format])
    path = await run_sync(studio.library.file, take, format, limiter=studio.drawing)
    return FileResponse(path, media_type=MEDIA_TYPES[format])


@router.websocket("/v1/generations/{generation}/ws")
async def socket(websocket: WebSocket, generation: str, item: int = 0, format: str = "float32") -> None:
    """A header in JSON, then the sound in binary, between them states in JSON; `{"cancel": true}` stops it."""
    studio: Studio = websocket.app.state.studio
    await websocket.accept()
    try:
        if format not in ("float32", "pcm16"):
            raise Missing(f"format {format!r:.20}: choose float32 or pcm16")
        form: Form = "float32" if format == "float32" else "pcm16"
        take, sound = await find_sound(studio, generation, item)
    except Missing as error:
        await websocket.send_json({"detail": str(error)})
        await websocket.close(4404, "not found")
        return
    await _until_one_ends(_obey(websocket, studio, generation), _tell(websocket, studio, generation, take, sound, form))
    with suppress(*_GONE):  # who has left needs no farewell
        await websocket.close()


async def _until_one_ends(*routines: Coroutine[Any, Any, None]) -> None:
    """Whichever ends first ends the others; who has left is no error.

    A task group of anyio, not of asyncio: whoever cancels from outside (a server that shuts down) finds its own
    cancellation again, even where it arrives while the others are being stopped.
    """

    async def run(routine: Coroutine[Any, Any, None]) -> None:
        await routine
        group.cancel_scope.cancel()

    try:
        async with create_task_group() as group:
            for routine in routines:
                group.start_soon(run, routine)
    except* _GONE:
        pass


async def _tell(
    websocket: WebSocket, studio: Studio, generation: str, take: str, sound: Sound | None, form: Form
) -> None:
    sending = asyncio.Lock()
    async with create_task_group() as group:
        group.start_soon(_send_sound, websocket, sending, studio, take, sound, form)
        group.start_soon(_send_states, websocket, sending, studio, generation)


async def _send_sound(
    websocket: WebSocket, sending: asyncio.Lock, studio: Studio, take: str, sound: Sound | None, form: Form
) -> None:
    if sound is None:
        sound = await run_in_threadpool(_finished, studio, take)
    raw = None
    async for samples in sound.listen():
        content = (encoder(form, sound.sample_rate, sound.channels)).write(samples)
        async with sending:
            if raw is None:
                raw = True
                header = {"sample_rate": sound.sample_rate, "channels": sound.channels, "format": form}
                await websocket.send_json(header)
            await websocket.send_bytes(content)


async def _send_states(websocket: WebSocket, sending: asyncio.Lock, studio: Studio, generation: str) -> None:
    async for state in states(studio, generation):
        if state is not None:
            async with sending:
                await websocket.send_text(state.model_dump_json())


async def _obey(websocket: WebSocket, studio: Studio, generation: str) -> None:
    while True:
        try:
            said: Any = await websocket.receive_json()
        except (ValueError, KeyError):  # not JSON, or not text: nothing that we know
            continue
        if isinstance(said, dict) and said.get("cancel") is True:
            await run_in_threadpool(studio.queue.cancel, generation)


def _finished(studio: Studio, take: str) -> Sound:
    """A take that is over, as if it were made now."""
    whole = Audio.read(studio.library.file(take, "flac"))
    sound = Sound()
    size = round(_PART_SECONDS * whole.sample_rate)
    for start in range(0, whole.num_samples, size):
        sound.push(whole.samples[:, start : start + size], whole.sample_rate)
    sound.end()
    return sound


async def states(
    studio: Studio, generation: str, pulse_seconds: float | None = None
) -> AsyncIterator[Generation | None]:
    """How far a generation is, whenever that changes, until it is over; None: nothing has changed for so long."""
    rung, last = studio.queue.bell.count, None
    while True:
        state = await _look(studio, generation)
        if state != last:
            yield state
        elif pulse_seconds is not None:
            yield None
        last = state
        if state.status in OVER or studio.queue.closing:
            return
        deadline = asyncio.get_running_loop().time() + (pulse_seconds or PULSE_SECONDS)
        while asyncio.get_running_loop().time() < deadline:
            rung = await studio.queue.bell.after(rung, deadline - asyncio.get_running_loop().time())
            if studio.queue.closing or await _look(studio, generation) != last:
                break
            await asyncio.sleep(_PAUSE_SECONDS)
        await asyncio.sleep(_PAUSE_SECONDS)


async def find_sound(studio: Studio, generation: str, item: int) -> tuple[str, Sound | None]:
    """The take of an item, and its sound if it is not over. Raises Missing."""
    found = await _look(studio, generation)
    takes = [take for take in found.takes if take.item == item]
    if not takes:
        raise Missing(f"generation {generation} has no item {item}: it has {len(found.items)}, counted from 0")
    return takes[0].id, studio.queue.sound(takes[0].id)


async def _look(studio: Studio, generation: str) -> Generation:
    live = studio.queue.live(generation)
    return live if live is not None else await run_in_threadpool(studio.queue.generation, generation)
