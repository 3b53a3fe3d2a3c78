"""`POST /v1/audio/speech`, as programs that know OpenAI's route call it: the words are what to play.

In: `input` (the prompt) and `response_format`. Out: sound; WAV, Opus and PCM while it is made, MP3 and FLAC when it is
finished. What such programs send besides (a voice, instructions) is ignored: music has none. A client that goes away
stops its music; what was made stays in the library.
"""

from collections.abc import AsyncIterator
from typing import Literal

import numpy as np
import pydantic
from fastapi import APIRouter, HTTPException, Request
from fastapi.responses import FileResponse, Response, StreamingResponse
from jaxtyping import Float
from pydantic import Field
from starlette.concurrency import run_in_threadpool

from cadenza.serve.studio.asked import OVER, Asked, Short, Words
from cadenza.serve.studio.house import CallerOf, Studio, StudioOf
from cadenza.serve.studio.library import Format
from cadenza.serve.studio.routes_generations import find_sound, states
from cadenza.serve.studio.stream import MEDIA_TYPES, Encoder, RawEncoder, Sound, encoder

router = APIRouter(tags=["generations"])

PCM_RATE = 24_000
"""Hertz that these programs take bare PCM for, 16 bits and one channel; nothing in it says so."""
THEIRS = ("tts-", "gpt-")
"""How the names of models begin that such programs ask for unless told otherwise."""
_LOOK_SECONDS = 2.0


class Speech(pydantic.BaseModel):
    """What such a program sends."""

    input: Words = Field(..., min_length=1, description="what to play, in words")
    model: Short | None = Field(None, description="one of /v1/models; tts-... and gpt-...: the studio's own")
    response_format: Literal["mp3", "opus", "wav", "flac", "pcm"] = Field(
        "mp3", description="pcm: 24 kHz, 16 bits, one channel"
    )
    speed: float = Field(1.0, allow_inf_nan=False, description="1: the tempo of music stands in its words")
    duration: float = Field(10.0, ge=0.05, le=86400, allow_inf_nan=False, description="seconds")
    seed: int | None = Field(None, ge=0, le=2**53 - 1, description="same seed, same music; null: drawn")
    stream: bool | None = Field(None, description="false: only when it is finished, at the level of finished takes")


@router.post(
    "/v1/audio/speech",
    response_class=Response,
    responses={
        200: {"content": {"audio/*": {}}, "description": "the sound"},
        503: {"description": "the engine failed, or the studio is being closed"},
    },
)
async def speech(asked: Speech, studio: StudioOf, caller: CallerOf, request: Request) -> Response:
    """Music in one request. The take is in the library afterwards."""
    if asked.speed != 1:
        raise HTTPException(422, f"speed {asked.speed:g}: music has its tempo in the words, as in '96 bpm'")
    kind = asked.response_format
    whole_only = kind in ("mp3", "flac")
    if whole_only and asked.stream:
        raise HTTPException(422, f"{kind} is sent when it is finished: choose wav, opus or pcm to hear it before")
    model = None if asked.model is not None and asked.model.startswith(THEIRS) else asked.model
    wanted = Asked(text=asked.input, duration=asked.duration, seed=asked.seed, model=model)
    generation = (await run_in_threadpool(studio.submit, wanted, caller)).id
    take, sound = await find_sound(studio, generation, 0)
    if sound is None or whole_only or asked.stream is False:
        return await _finished(studio, generation, take, kind, request)
    chunks = sound.listen()
    first = await anext(chunks, None)
    if first is None:
        raise await _failure(studio, generation)
    media_type = f"audio/L16; rate={PCM_RATE}; channels=1" if kind == "pcm" else MEDIA_TYPES[kind]
    made = _encoder(kind, sound)
    return StreamingResponse(_sent(studio, generation, made, first, chunks), media_type=media_type)


async def _sent(
    studio: Studio,
    generation: str,
    made: Encoder,
    first: Float[np.ndarray, "C _"],
    chunks: AsyncIterator[Float[np.ndarray, "C _"]],
) -> AsyncIterator[bytes]:
    """The bytes; where nobody waits for them any more, no more music is made."""
    ended = False
    try:
        yield await run_in_threadpool(made.write, first)
        async for samples in chunks:
            yield await run_in_threadpool(made.write, samples)
        yield await run_in_threadpool(made.finish)
        ended = True
    finally:
        if not ended:
            studio.queue.cancel(generation)


async def _finished(studio: Studio, generation: str, take: str, kind: str, request: Request) -> Response:
    over = False
    async for state in states(studio, generation, _LOOK_SECONDS):
        if await request.is_disconnected():
            await run_in_threadpool(studio.queue.cancel, generation)
        over = state is not None and state.status in OVER
        if state is not None and over and not state.takes[0].complete:
            raise await _failure(studio, generation)
    if not over:
        raise HTTPException(503, "the studio is being closed: the music will be in its library")
    if kind == "pcm":
        audio = (await run_in_threadpool(studio.library.sound, take)).with_channels(1).resample(PCM_RATE)
        return Response(RawEncoder("pcm16").write(audio.samples), media_type=f"audio/L16; rate={PCM_RATE}; channels=1")
    form: Format = kind  # type: ignore[assignment]
    return FileResponse(await run_in_threadpool(studio.library.file, take, form), media_type=MEDIA_TYPES[form])


async def _failure(studio: Studio, generation: str) -> HTTPException:
    """Why there is no sound, once that is known."""
    last = None
    async for state in states(studio, generation, _LOOK_SECONDS):
        last = state or last
    if last is not None and last.status == "cancelled":
        return HTTPException(409, "it was cancelled before its end")
    error = None if last is None else last.error
    return HTTPException(503, error or "the studio is being closed: the music will be in its library")


def _encoder(kind: str, sound: Sound) -> Encoder:
    if kind == "pcm":
        return _Pcm(sound.sample_rate)
    return encoder("opus" if kind == "opus" else "wav", sound.sample_rate, sound.channels)


class _Pcm:
    """16-bit numbers at `PCM_RATE`, one channel."""

    def __init__(self, sample_rate: int) -> None:
        import soxr

        self._raw = RawEncoder("pcm16")
        self._resampler = soxr.ResampleStream(sample_rate, PCM_RATE, 1, dtype="float32")

    def write(self, samples: Float[np.ndarray, "C _"], last: bool = False) -> bytes:
        mono = np.ascontiguousarray(samples.clip(-1, 1).mean(axis=0), dtype=np.float32)  # as a WAV would have it
        return self._raw.write(self._resampler.resample_chunk(mono, last=last)[None])

    def finish(self) -> bytes:
        return self.write(np.zeros((1, 0), np.float32), last=True)
