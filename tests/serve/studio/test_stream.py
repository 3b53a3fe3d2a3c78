"""Sound while it is made: everybody hears all of it, in every form, and nobody holds up the others."""

import asyncio
import io
import threading
from itertools import pairwise

import numpy as np
import pytest
import soundfile

from cadenza.serve.studio.stream import Bell, Sound, encoded, encoder
from cadenza.testing import tone

RATE = 32000
WAVE = tone(440.0, 1.3).samples * 0.5
CUTS = (0, 3200, 3201, 16000, WAVE.shape[1])


def fill(sound: Sound) -> None:
    for start, stop in pairwise(CUTS):
        sound.push(WAVE[:, start:stop], RATE)
    sound.end()


async def heard(sound: Sound, form: str = "float32") -> bytes:
    return b"".join([part async for part in encoded(sound, form)])


def test_every_listener_hears_everything_early_or_late():
    sound = Sound()

    async def listen() -> list[bytes]:
        early = [asyncio.ensure_future(heard(sound)) for _ in range(5)]
        await asyncio.sleep(0.01)
        thread = threading.Thread(target=fill, args=(sound,))
        thread.start()
        middle = asyncio.ensure_future(heard(sound))
        results = await asyncio.gather(*early, middle)
        thread.join()
        return [*results, await heard(sound)]

    results = asyncio.run(asyncio.wait_for(listen(), 20))
    assert len(results) == 7
    assert set(results) == {WAVE.T.astype("<f4").tobytes()}
    assert sound.seconds == pytest.approx(1.3)
    assert np.array_equal(sound.whole(), WAVE)


def test_a_listener_who_lags_or_leaves_holds_nobody_up():
    sound = Sound()

    async def listen() -> bytes:
        slow = encoded(sound, "pcm16")
        gone = asyncio.ensure_future(heard(sound))
        fill(sound)
        assert await anext(slow)
        gone.cancel()
        fast = await heard(sound, "pcm16")
        await slow.aclose()
        return fast

    assert len(asyncio.run(asyncio.wait_for(listen(), 20))) == 2 * WAVE.shape[1]


def test_nothing_was_made():
    sound = Sound()
    sound.end()
    assert asyncio.run(heard(sound, "wav")) == b""


def test_wav_and_opus_are_files_that_others_read():
    sound = Sound()
    fill(sound)
    wav = asyncio.run(heard(sound, "wav"))
    samples, rate = soundfile.read(io.BytesIO(wav), dtype="float32")
    assert rate == RATE
    assert np.abs(samples - WAVE[0]).max() <= 1 / 32768
    opus = asyncio.run(heard(sound, "opus"))
    assert opus[:4] == b"OggS"
    samples, rate = soundfile.read(io.BytesIO(opus), dtype="float32")
    assert rate == 48000
    assert abs(len(samples) / rate - 1.3) < 0.02
    spectrum = np.abs(np.fft.rfft(samples[4800:52800] * np.hanning(48000)))
    assert spectrum.argmax() == 440  # a hertz a bin
    assert spectrum[440] == pytest.approx(np.abs(WAVE).max() * 48000 / 4, rel=0.2)  # as loud as it was


def test_opus_comes_piece_by_piece():
    made = encoder("opus", RATE, 1)
    sizes = [len(made.write(np.tile(WAVE, 2))) for _ in range(4)]
    assert sum(sizes[:2]) > 0, "the first seconds are not kept back"
    assert made.finish()


def test_bells_ring_across_threads():
    bell = Bell()

    async def wait() -> tuple[int, int, int]:
        quiet = await bell.after(0, timeout=0.01)
        threading.Timer(0.02, bell.ring).start()
        rung = await bell.after(quiet, timeout=20)
        return quiet, rung, await bell.after(0, timeout=20)

    assert asyncio.run(wait()) == (0, 1, 1)
    bell.ring()  # nobody waits any more, and the loop is gone
    assert bell.count == 2
