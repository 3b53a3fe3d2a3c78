"""Sounds and pictures of a page: playable, and the same bytes every time."""

import io
import struct
import zlib

import numpy as np
import pytest
import soundfile

from cadenza.audio import Audio
from cadenza.evaluate.report.media import (
    COLOURS,
    SERIAL,
    _checksum,
    data_uri,
    opus_file,
    palette,
    png,
    spectrogram_png,
    with_serial,
)
from measured_sets import tone


@pytest.fixture(scope="module")
def clip() -> Audio:
    return tone(440.0)


@pytest.fixture(scope="module")
def opus(clip: Audio) -> bytes:
    return opus_file(clip)


def test_opus_is_the_clip(clip: Audio, opus: bytes) -> None:
    heard, rate = soundfile.read(io.BytesIO(opus))
    assert rate == 48000 and len(heard) == pytest.approx(48000 * clip.duration_seconds, abs=960)  # a frame of Opus
    wanted = clip.resample(48000).samples[0]
    assert np.corrcoef(heard[:90000], wanted[:90000])[0, 1] > 0.98  # lossy, but in place


def test_opus_has_the_same_bytes_again(clip: Audio, opus: bytes) -> None:
    # libsndfile seeds the number of a stream by the clock.
    assert opus_file(clip) == opus


def test_a_replaced_number_leaves_all_else(opus: bytes) -> None:
    other = with_serial(opus, 7)
    assert other != opus and with_serial(other, SERIAL) == opus
    assert np.array_equal(soundfile.read(io.BytesIO(other))[0], soundfile.read(io.BytesIO(opus))[0])


def test_the_checksum_is_that_of_libogg(opus: bytes) -> None:
    # The first page as libogg wrote it, under its own number: our sum is the sum that stands there.
    content = io.BytesIO()
    soundfile.write(content, np.zeros(960), 48000, format="OGG", subtype="OPUS")
    page = content.getvalue()
    size = 27 + page[26] + sum(page[27 : 27 + page[26]])
    written = struct.unpack_from("<I", page, 22)[0]
    assert _checksum(page[:22] + b"\0\0\0\0" + page[26:size]) == written


def test_png_holds_the_pixels() -> None:
    pixels = np.arange(12, dtype=np.uint8).reshape(3, 4)
    picture = png(pixels, palette())
    assert struct.unpack(">II", picture[16:24]) == (4, 3)
    start = picture.index(b"IDAT")
    (length,) = struct.unpack(">I", picture[start - 4 : start])
    rows = np.frombuffer(zlib.decompress(picture[start + 4 : start + 4 + length]), np.uint8).reshape(3, 5)
    assert np.array_equal(rows[:, 1:], pixels) and not rows[:, 0].any()


def test_spectrogram_shows_the_tone_where_it_is(clip: Audio) -> None:
    high = spectrogram_png(tone(4000.0))
    assert high != spectrogram_png(clip) and spectrogram_png(clip) == spectrogram_png(clip)


def test_colours_grow_lighter() -> None:
    light = palette().astype(int) @ [2126, 7152, 722]  # ITU-R BT.709
    assert len(light) == COLOURS and (np.diff(light) > 0).all()


def test_data_uri() -> None:
    assert data_uri(b"abc", "image/png") == "data:image/png;base64,YWJj"
