"""Sound on its way to those who listen, while it is made.

In: chunks, from the thread that makes them. Out: the same sound for any number of listeners, each from its beginning
and at its own pace, as WAV, Ogg Opus or bare numbers. Nobody who lags keeps the others waiting, nor the model.
"""

import asyncio
import io
import threading
from collections.abc import AsyncIterator
from contextlib import suppress
from typing import Literal, Protocol, runtime_checkable

import numpy as np
from jaxtyping import Float
from starlette.concurrency import run_in_threadpool

from cadenza.audio import WavStream

Form = Literal["wav", "opus", "pcm16", "float32"]
MEDIA_TYPES: dict[str, str] = {
    "wav": "audio/wav",
    "flac": "audio/flac",
    "mp3": "audio/mpeg",
    "opus": "audio/ogg",
    "pcm16": "application/octet-stream",
    "float32": "application/octet-stream",
}
_OPUS_RATE = 48000


class Bell:
    """Wakes coroutines, in whatever loops, when a thread rings it."""

    def __init__(self) -> None:
        self.count = 0
        self._lock = threading.Lock()
        self._waiting: dict[asyncio.Event, asyncio.AbstractEventLoop] = {}

    def ring(self) -> None:
        with self._lock:
            self.count += 1
            waiting, self._waiting = self._waiting, {}
        for event, loop in waiting.items():
            with suppress(RuntimeError):  # the loop is closed: nobody listens there
                loop.call_soon_threadsafe(event.set)

    async def after(self, seen: int, timeout: float | None = None) -> int:
        """Wait until it has rung more than `seen` times, or for `timeout` seconds; returns how often it has rung."""
        event = asyncio.Event()
        with self._lock:
            if self.count > seen:
                return self.count
            self._waiting[event] = asyncio.get_running_loop()
        try:
            with suppress(TimeoutError):
                await asyncio.wait_for(event.wait(), timeout)
        finally:
            with self._lock:
                self._waiting.pop(event, None)
        return self.count


class Sound:
    """What there is of a take that is being made: one thread adds to it, anybody listens."""

    def __init__(self) -> None:
        self.chunks: list[Float[np.ndarray, "C _"]] = []
        self.sample_rate = 0
        self.num_samples = 0
        self.over = False
        self.bell = Bell()

    @property
    def channels(self) -> int:
        return self.chunks[0].shape[0] if self.chunks else 0

    @property
    def seconds(self) -> float:
        return self.num_samples / self.sample_rate if self.sample_rate else 0.0

    def push(self, samples: Float[np.ndarray, "C _"], sample_rate: int) -> None:
        self.sample_rate = sample_rate
        self.num_samples += samples.shape[1]
        self.chunks.append(samples)
        self.bell.ring()

    def end(self) -> None:
        """Nothing more will come."""
        self.over = True
        self.bell.ring()

    def whole(self) -> Float[np.ndarray, "C _"]:
        """All there is; at least one chunk must have come."""
        return np.concatenate(self.chunks, axis=1)

    async def listen(self) -> AsyncIterator[Float[np.ndarray, "C _"]]:
        """Every chunk from the beginning, each as soon as it is there."""
        heard = rung = 0
        while True:
            while heard < len(self.chunks):
                yield self.chunks[heard]
                heard += 1
            if self.over and heard == len(self.chunks):
                return
            rung = await self.bell.after(rung)


@runtime_checkable
class Encoder(Protocol):
    """Samples in, bytes out."""

    def write(self, samples: Float[np.ndarray, "C _"]) -> bytes:
        """The next samples; what can be sent now."""

    def finish(self) -> bytes:
        """No more samples; what is left to send."""


class WavEncoder:
    """A WAV of open length."""

    def __init__(self, sample_rate: int, channels: int) -> None:
        self._sink = _Sink()
        self._wav = WavStream(self._sink, sample_rate, channels, in_place=False)

    def write(self, samples: Float[np.ndarray, "C _"]) -> bytes:
        self._wav.write(samples)
        return self._sink.drain()

    def finish(self) -> bytes:
        return self._sink.drain()


class OpusEncoder:
    """Ogg Opus (RFC 7845), resampled to 48 kHz."""

    def __init__(self, sample_rate: int, channels: int) -> None:
        import soundfile
        import soxr

        self._sink = _Sink()
        self._file = soundfile.SoundFile(self._sink, "w", _OPUS_RATE, channels, format="OGG", subtype="OPUS")
        self._resampler = soxr.ResampleStream(sample_rate, _OPUS_RATE, channels, dtype="float32")

    def write(self, samples: Float[np.ndarray, "C _"], last: bool = False) -> bytes:
        frames = np.ascontiguousarray(np.clip(samples, -1, 1).T, dtype=np.float32)
        self._file.write(self._resampler.resample_chunk(frames, last=last))
        return self._sink.drain()

    def finish(self) -> bytes:
        channels = self._file.channels
        sent = self.write(np.zeros((channels, 0), np.float32), last=True)
        self._file.close()
        return sent + self._sink.drain()


class RawEncoder:
    """Bare numbers, little-endian, the channels of each moment side by side."""

    def __init__(self, form: Literal["pcm16", "float32"]) -> None:
        self._form = form

    def write(self, samples: Float[np.ndarray, "C _"]) -> bytes:
        if self._form == "float32":
            return samples.T.astype("<f4").tobytes()
        return np.round(np.clip(samples.T, -1, 1) * 32767).astype("<i2").tobytes()

    def finish(self) -> bytes:
        return b""


def encoder(form: Form, sample_rate: int, channels: int) -> Encoder:
    """What turns samples into `form`."""
    if form == "wav":
        return WavEncoder(sample_rate, channels)
    return OpusEncoder(sample_rate, channels) if form == "opus" else RawEncoder(form)


async def encoded(sound: Sound, form: Form) -> AsyncIterator[bytes]:
    """A sound as it is made, in bytes of `form`."""
    made: Encoder | None = None
    async for samples in sound.listen():
        if made is None:
            made = encoder(form, sound.sample_rate, sound.channels)
        content = await run_in_threadpool(made.write, samples)
        if content:
            yield content
    if made is not None:
        content = await run_in_threadpool(made.finish)
        if content:
            yield content


class _Sink(io.BytesIO):
    """A file for encoders that never go back: what they wrote is taken away, the position counts on."""

    def __init__(self) -> None:
        super().__init__()
        self._taken = 0

    def drain(self) -> bytes:
        content = self.getvalue()
        super().seek(0)
        self.truncate()
        self._taken += len(content)
        return content

    def tell(self) -> int:
        return self._taken + super().tell()

    def seek(self, offset: int, whence: int = 0) -> int:
        if whence == 0:
            offset = max(0, offset - self._taken)
        return self._taken + super().seek(offset, whence)
