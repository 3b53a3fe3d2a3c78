"""What a take looks like: its peaks, for a waveform, and its spectrogram, as a PNG.

In: audio. Out: numbers for the page to draw, and a picture whose columns are times and whose rows are bands of equal
width on the ear's scale (mel: Stevens, Volkmann and Newman, 1937), 40 Hz at the bottom.
"""

import struct
import zlib
from itertools import pairwise

import numpy as np
from jaxtyping import Float, UInt8

from cadenza.audio import Audio

PEAK_COLUMNS = 1200
COLUMNS, ROWS = 1000, 192
_WINDOW = 2048
_LOWEST_HZ = 40.0
_FLOOR_DB = 75.0  # below the loudest
# Dark to light, so that it reads without colours as well: red, green and blue at five levels.
_COLOURS = np.array([[8, 6, 22], [62, 16, 92], [168, 44, 96], [244, 132, 52], [252, 248, 200]], np.float64)


def peaks(audio: Audio, columns: int = PEAK_COLUMNS) -> list[list[float]]:
    """The lowest and the highest sample of all channels in each of at most `columns` equal parts."""
    samples = audio.samples
    columns = min(columns, audio.num_samples)
    if not columns:
        return []
    starts = np.linspace(0, audio.num_samples, columns, endpoint=False).astype(int)
    low = np.minimum.reduceat(samples.min(axis=0), starts).astype(np.float64).round(3).tolist()
    high = np.maximum.reduceat(samples.max(axis=0), starts).astype(np.float64).round(3).tolist()
    return [list(pair) for pair in zip(low, high, strict=True)]


def spectrogram(audio: Audio, columns: int = COLUMNS, rows: int = ROWS) -> bytes:
    """A PNG of `columns` by `rows` pixels."""
    wave = audio.with_channels(1).samples[0]
    centres = np.linspace(0, wave.size, columns, endpoint=False).astype(int)
    padded = np.pad(wave, (_WINDOW // 2, _WINDOW))
    taper = np.hanning(_WINDOW).astype(np.float32)
    power = np.concatenate(
        [
            np.square(np.abs(np.fft.rfft(np.stack([padded[at : at + _WINDOW] for at in part]) * taper, axis=1)))
            for part in np.array_split(centres, max(1, columns // 100))
        ]
    )
    edges = _edges(audio.sample_rate, rows)
    levels = np.stack([power[:, low : max(low + 1, high)].max(axis=1) for low, high in pairwise(edges)])
    decibels = 10 * np.log10(np.maximum(levels / max(float(levels.max()), 1e-12), 1e-12))
    return _png(_colour(np.clip(decibels[::-1] / _FLOOR_DB + 1, 0, 1)))


def _edges(sample_rate: int, rows: int) -> np.ndarray:
    """Bins of the transform between the bands."""
    low, high = (2595 * np.log10(1 + hz / 700) for hz in (_LOWEST_HZ, sample_rate / 2))
    hertz = 700 * (10 ** (np.linspace(low, high, rows + 1) / 2595) - 1)
    return np.minimum(np.round(hertz * _WINDOW / sample_rate).astype(int), _WINDOW // 2)


def _colour(levels: Float[np.ndarray, "rows columns"]) -> UInt8[np.ndarray, "rows columns 3"]:
    steps = np.linspace(0, 1, len(_COLOURS))
    return np.stack([np.interp(levels, steps, _COLOURS[:, i]) for i in range(3)], axis=-1).astype(np.uint8)


def _png(pixels: UInt8[np.ndarray, "rows columns 3"]) -> bytes:
    """PNG (ISO/IEC 15948): a header, rows without a filter, an end; each chunk with its checksum."""
    height, width, _ = pixels.shape
    rows = np.concatenate([np.zeros((height, 1), np.uint8), pixels.reshape(height, width * 3)], axis=1)
    chunks = (
        (b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)),
        (b"IDAT", zlib.compress(rows.tobytes(), 6)),
        (b"IEND", b""),
    )
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))
        for name, content in chunks
    )
