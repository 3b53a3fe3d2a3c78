"""What a page shows and plays of a clip: a sound in, a compressed sound and a picture out, the same bytes every time.

Opus in Ogg (RFC 3533, RFC 7845) by libsndfile, whose random stream number is replaced; a picture is a PNG (ISO 15948)
of mel decibels in few colours.
"""

import base64
import io
import struct
import zlib
from functools import lru_cache
from itertools import pairwise

import numpy as np
from jaxtyping import UInt8

from cadenza.audio import Audio
from cadenza.evaluate.opus import LEAST_KBPS, MOST_KBPS
from cadenza.evaluate.spectra import SAMPLE_RATE, mel_decibels, mono

OPUS_RATE = 48000
SERIAL = 0x43414445
"""Number of the one stream in a file: any will do, if it is always the same."""
COLUMNS, BANDS, COLOURS = 240, 64, 32
FLOOR_DB = -70.0
"""Below the loudest band of the clip; softer is black."""

_STOPS = ((0, 0, 4), (66, 10, 104), (147, 38, 103), (221, 81, 58), (252, 165, 10), (252, 255, 200))
"""Colours from soft to loud, as black-body radiation has them: ever lighter, also for those who see no colours."""


def opus_file(audio: Audio, kbps: float | None = None) -> bytes:
    """The clip as an Opus file at its loudness; about `kbps` kbit/s (64) per channel, at most two of them."""
    import soundfile

    audio = audio.with_channels(min(audio.channels, 2)).resample(OPUS_RATE)
    level = None if kbps is None else 1.0 - (kbps - LEAST_KBPS) / (MOST_KBPS - LEAST_KBPS)
    content = io.BytesIO()
    with soundfile.SoundFile(
        content, "w", OPUS_RATE, audio.channels, format="OGG", subtype="OPUS", compression_level=level
    ) as file:
        file.write(np.clip(audio.samples.T, -1.0, 1.0))
    return with_serial(content.getvalue(), SERIAL)


def with_serial(ogg: bytes, serial: int) -> bytes:
    """The same Ogg file of one stream under another stream number: every page's number and checksum are replaced."""
    pages, place = bytearray(ogg), 0
    while place < len(pages):
        assert pages[place : place + 4] == b"OggS", "no page of Ogg"
        segments = pages[place + 26]
        size = 27 + segments + sum(pages[place + 27 : place + 27 + segments])
        struct.pack_into("<I", pages, place + 14, serial)
        struct.pack_into("<I", pages, place + 22, 0)
        struct.pack_into("<I", pages, place + 22, _checksum(bytes(pages[place : place + size])))
        place += size
    return bytes(pages)


def _checksum(page: bytes) -> int:
    """CRC-32 with the polynomial 0x04C11DB7, highest bit first, from zero (RFC 3533)."""
    table, value = _table(), 0
    for byte in page:
        value = (value << 8 & 0xFFFFFFFF) ^ table[value >> 24 ^ byte]
    return value


@lru_cache(maxsize=1)
def _table() -> tuple[int, ...]:
    values = []
    for byte in range(256):
        value = byte << 24
        for _ in range(8):
            value = (value << 1 ^ (0x04C11DB7 if value & 0x80000000 else 0)) & 0xFFFFFFFF
        values.append(value)
    return tuple(values)


def spectrogram_png(audio: Audio) -> bytes:
    """Mel decibels of the clip, mixed down, time to the right and pitch upwards."""
    levels = mel_decibels(mono(audio), SAMPLE_RATE, 2048, 512, BANDS, floor_db=FLOOR_DB)
    edges = np.linspace(0, levels.shape[1], min(COLUMNS, levels.shape[1]) + 1).astype(int)
    pooled = np.stack([levels[:, a:b].max(axis=1) for a, b in pairwise(edges)], axis=1)
    shades = np.clip(1 - pooled / FLOOR_DB, 0, 1) * (COLOURS - 1)
    return png(np.round(shades[::-1]).astype(np.uint8), palette())


def palette() -> UInt8[np.ndarray, "colours 3"]:
    """The colours of pictures, from soft to loud."""
    places = np.linspace(0, len(_STOPS) - 1, COLOURS)
    mixed = [np.interp(places, np.arange(len(_STOPS)), [stop[c] for stop in _STOPS]) for c in range(3)]
    return np.round(np.stack(mixed, axis=1)).astype(np.uint8)


def png(pixels: UInt8[np.ndarray, "height width"], colours: UInt8[np.ndarray, "colours 3"]) -> bytes:
    """A picture of indices into a table of colours."""
    height, width = pixels.shape
    rows = np.concatenate([np.zeros((height, 1), np.uint8), pixels], axis=1).tobytes()  # filter 0: rows as they are
    parts = (
        (b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 3, 0, 0, 0)),
        (b"PLTE", colours.tobytes()),
        (b"IDAT", zlib.compress(rows, 9)),
        (b"IEND", b""),
    )
    chunks = [
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data)) for kind, data in parts
    ]
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunks)


def data_uri(content: bytes, kind: str) -> str:
    """`kind` is a MIME type such as image/png."""
    return f"data:{kind};base64,{base64.b64encode(content).decode()}"
