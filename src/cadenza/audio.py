"""Sound: samples, their rate and where they came from. Files in, files out; everything else in Cadenza passes `Audio`.

Files are read and written by libsndfile (through soundfile), resampled by soxr; loudness is `cadenza.loudness`.
"""

import io
import json
import math
import os
import struct
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from cadenza import loudness
from cadenza.errors import UserError
from cadenza.files import atomic_file

# extension -> (container, encoding, largest number of channels, sample rates or None for any)
# WAV and FLAC are 16-bit: every player reads it, and its noise floor (-98 dB) is far below that of any neural codec.
FORMATS: dict[str, tuple[str, str, int, tuple[int, ...] | None]] = {
    ".wav": ("WAV", "PCM_16", 1024, None),
    ".flac": ("FLAC", "PCM_16", 8, None),
    ".ogg": ("OGG", "VORBIS", 255, None),
    ".opus": ("OGG", "OPUS", 255, (48000,)),
    ".mp3": ("MP3", "MPEG_LAYER_III", 2, (8000, 11025, 12000, 16000, 22050, 24000, 32000, 44100, 48000)),
}
DEFAULT_LOUDNESS_LUFS = -14.0  # what streaming services play at, and what MusicGen's authors listened at
DEFAULT_PEAK_DB = -1.0  # dB true peak: headroom for lossy codecs (EBU R 128)
_WRITE_FRAMES = 65536  # libsndfile's Vorbis encoder overflows its stack on one very large write


@dataclass(frozen=True, eq=False)
class Audio:
    """Float32 samples [C, N] in [-1, 1], their rate in hertz, and metadata that travels in the file's comment tag.

    Samples of shape [N] become one channel. Raises UserError for samples that are not finite floats, or no channels.
    """

    samples: np.ndarray
    sample_rate: int
    metadata: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        samples = np.asarray(self.samples)
        if samples.dtype.kind != "f":
            raise UserError(f"samples are {samples.dtype}: give floats in [-1, 1]")
        samples = np.ascontiguousarray(samples[None] if samples.ndim == 1 else samples, dtype=np.float32)
        if samples.ndim != 2 or not 1 <= samples.shape[0] <= 1024:
            raise UserError(f"samples have shape {samples.shape}: give [channels, samples]")
        if self.sample_rate < 1:
            raise UserError(f"sample rate {self.sample_rate}: give a positive number of hertz")
        if not np.isfinite(samples).all():
            where = int(np.argmin(np.isfinite(samples).all(axis=0)))
            raise UserError(f"the audio is not a number at sample {where} of {samples.shape[1]}: repair or replace it")
        object.__setattr__(self, "samples", samples)

    @property
    def channels(self) -> int:
        return int(self.samples.shape[0])

    @property
    def num_samples(self) -> int:
        return int(self.samples.shape[1])

    @property
    def duration_seconds(self) -> float:
        return self.num_samples / self.sample_rate

    @classmethod
    def read(cls, path: str | Path, start_seconds: float = 0.0, duration_seconds: float | None = None) -> "Audio":
        """Read WAV, FLAC, Ogg, Opus, MP3 or whatever else libsndfile knows (the extension does not matter).

        Integer encodings are scaled to [-1, 1]. Raises UserError for a file that is missing, empty, cut short or no
        audio, for samples that are not numbers, and for a part that lies outside the file.
        """
        import soundfile

        path = Path(path)
        try:
            if not path.is_file():
                raise UserError(f"{path}: {'is a directory' if path.is_dir() else 'no such file'}; give an audio file")
            with path.open("rb") as stream:
                metadata = _check_riff(stream, path)
                with soundfile.SoundFile(stream) as file:
                    samples, sample_rate = _read_part(file, path, start_seconds, duration_seconds)
                    metadata = metadata or _parse_comment(file.comment)
        except (
            soundfile.SoundFileError,
            TypeError,
        ) as error:  # TypeError: the format is one that says nothing of itself
            detail = "empty (0 bytes)" if path.stat().st_size == 0 else "not audio that can be read, or damaged"
            raise UserError(f"{path}: {detail}; give WAV, FLAC, Ogg, Opus or MP3") from error
        except OSError as error:
            raise UserError(f"{str(path)[:200]}: cannot be read ({error.strerror}); give an audio file") from error
        try:
            return cls(samples, sample_rate, metadata)
        except UserError as error:
            raise UserError(f"{path}: {error}") from None

    def resample(self, sample_rate: int) -> "Audio":
        """The same sound at another rate, round(N * new / old) samples long and never empty if it was not."""
        if sample_rate == self.sample_rate:
            return self
        if sample_rate < 1:
            raise UserError(f"sample rate {sample_rate}: give a positive number of hertz")
        import soxr

        size = max(round(self.num_samples * sample_rate / self.sample_rate), min(1, self.num_samples))
        resampled = np.zeros((self.channels, size), dtype=np.float32)
        if self.num_samples:
            made = soxr.resample(np.ascontiguousarray(self.samples.T), self.sample_rate, sample_rate, quality="HQ").T
            resampled[:, : made.shape[1]] = made[:, :size]
        return replace(self, samples=resampled, sample_rate=sample_rate)

    def with_channels(self, channels: int) -> "Audio":
        """The same sound in another number of channels: mono is copied; anything else goes through the mean of all."""
        if channels == self.channels:
            return self
        if channels < 1:
            raise UserError(f"{channels} channels: give 1 (mono) or 2 (stereo)")
        mono = self.samples.mean(axis=0, keepdims=True, dtype=np.float64).astype(np.float32)
        return replace(self, samples=np.repeat(mono, channels, axis=0))

    def slice(self, start_seconds: float = 0.0, duration_seconds: float | None = None) -> "Audio":
        """The part from `start_seconds`; shorter than `duration_seconds` where the sound ends first."""
        start, stop = _part(self.num_samples, self.sample_rate, start_seconds, duration_seconds)
        return replace(self, samples=self.samples[:, start:stop])

    def loudness_lufs(self) -> float:
        """Integrated loudness (ITU-R BS.1770-4), -inf for silence."""
        return loudness.loudness_lufs(self.samples, self.sample_rate) if self.num_samples else -math.inf

    def true_peak_db(self) -> float:
        """Highest peak in dB relative to full scale, between the samples too (four times oversampled)."""
        if not self.num_samples:
            return -math.inf
        peak = float(loudness.true_peak(self.samples, self.sample_rate).max())
        return 20 * math.log10(peak) if peak > 0 else -math.inf

    def normalize(
        self,
        loudness_lufs: float = DEFAULT_LOUDNESS_LUFS,
        peak_db: float = DEFAULT_PEAK_DB,
        measured_lufs: float | None = None,
    ) -> "Audio":
        """Bring the loudness to `loudness_lufs` with no true peak above `peak_db`.

        Peaks are limited by at most 6 dB; music with more dynamics than that stays softer rather than being squashed.
        Silence stays silence. `measured_lufs` is its loudness where that is known already.
        """
        measured = self.loudness_lufs() if measured_lufs is None else measured_lufs
        peak = self.true_peak_db()
        if not (math.isfinite(loudness_lufs) and math.isfinite(peak_db)):
            raise UserError(f"loudness {loudness_lufs} LUFS, peak {peak_db} dB: give finite numbers such as -14 and -1")
        if not math.isfinite(measured):
            return self
        gain_db = min(loudness_lufs - measured, peak_db + loudness.LIMITER_MAX_DB - peak)
        louder = (self.samples * np.float32(10 ** (gain_db / 20))).astype(np.float32)
        return replace(self, samples=loudness.limit(louder, self.sample_rate, 10 ** (peak_db / 20)))

    def write(self, path: str | Path, loudness_lufs: float | None = DEFAULT_LOUDNESS_LUFS) -> Path:
        """Write a file in the format of its extension, metadata as JSON in its comment tag, and return its path.

        `loudness_lufs` None writes the level as it is (clipped at full scale). The file appears whole or not at all:
        whatever was there stays until the new one is safe on disk. Opus is resampled to 48 kHz.
        Raises UserError for what the format cannot hold, CadenzaError where the disk refuses.
        """
        path = Path(path)
        if path.suffix.lower() not in FORMATS:
            raise UserError(f"{path}: unknown extension {path.suffix!r}; use one of {', '.join(FORMATS)}")
        if not self.num_samples:
            raise UserError(f"{path}: there is nothing to write, the audio has no samples")
        audio = self if loudness_lufs is None else self.normalize(loudness_lufs)
        content = _encode(audio, path)
        with atomic_file(path) as temporary:
            temporary.write_bytes(content)
        return path

    @staticmethod
    def concatenate(parts: "Sequence[Audio]") -> "Audio":
        """The parts one after another (same rate and channels), with the metadata of the first."""
        if not parts:
            raise UserError("nothing to concatenate: give at least one Audio")
        first = parts[0]
        for part in parts:
            if (part.sample_rate, part.channels) != (first.sample_rate, first.channels):
                raise UserError(
                    f"cannot join {part.channels} channels at {part.sample_rate} Hz to {first.channels} channels at "
                    f"{first.sample_rate} Hz: use resample() and with_channels() first"
                )
        return replace(first, samples=np.concatenate([part.samples for part in parts], axis=1))


class WavStream:
    """A 16-bit WAV that sounds while it is written: samples `[C, n]` go in piece by piece, clipped at full scale.

    In a file (`in_place`) the header is put right behind every piece, so that whatever ends the program leaves a file
    that plays. A pipe cannot go back: its header leaves the length open, as that of ffmpeg does.
    """

    def __init__(self, file: BinaryIO | io.BytesIO, sample_rate: int, channels: int, in_place: bool) -> None:
        self.file, self.sample_rate, self.channels, self.in_place = file, sample_rate, channels, in_place
        self.num_samples = 0
        file.write(self._header())

    def write(self, samples: np.ndarray) -> None:
        import soundfile

        content = io.BytesIO()  # libsndfile rounds: the bits are those of the finished file
        soundfile.write(
            content, np.clip(samples.T, -1, 1), self.sample_rate, subtype="PCM_16", endian="LITTLE", format="RAW"
        )
        self.num_samples += samples.shape[1]
        self.file.write(content.getvalue())
        self.file.flush()  # the sound first: a header must not promise what is not there
        if self.in_place:
            self.file.seek(0)
            self.file.write(self._header())
            self.file.seek(0, os.SEEK_END)
            self.file.flush()

    def _header(self) -> bytes:
        block, open_end = 2 * self.channels, 0xFFFFFFFF
        size = self.num_samples * block if self.in_place else open_end
        form = struct.pack("<HHIIHH", 1, self.channels, self.sample_rate, self.sample_rate * block, block, 16)
        riff = struct.pack("<4sI4s", b"RIFF", min(size + 36, open_end), b"WAVE")
        return riff + struct.pack("<4sI", b"fmt ", 16) + form + struct.pack("<4sI", b"data", min(size, open_end))


def _part(num_samples: int, sample_rate: int, start_seconds: float, duration_seconds: float | None) -> tuple[int, int]:
    """First and last sample of a part given in seconds."""
    length = num_samples / sample_rate
    if not 0 <= start_seconds < max(length, 1e-9):
        raise UserError(f"start {start_seconds} s: the audio lasts {length:.3f} s; start between 0 and its end")
    start = round(start_seconds * sample_rate)
    if duration_seconds is None:
        return start, num_samples
    if not 0 < duration_seconds < math.inf:
        raise UserError(f"duration {duration_seconds} s: give a positive number of seconds")
    return start, min(num_samples, start + round(duration_seconds * sample_rate))


def _read_part(file: Any, path: Path, start_seconds: float, duration_seconds: float | None) -> tuple[np.ndarray, int]:
    if file.frames == 0:
        raise UserError(f"{path}: holds no sound (0 samples); give an audio file with something in it")
    try:
        start, stop = _part(file.frames, file.samplerate, start_seconds, duration_seconds)
    except UserError as error:
        raise UserError(f"{path}: {error}") from None
    if start:
        file.seek(start)
    samples = file.read(stop - start, dtype="float32", always_2d=True)
    if len(samples) < stop - start:
        got, promised = (start + len(samples)) / file.samplerate, file.frames / file.samplerate
        raise UserError(f"{path}: cut short after {got:.2f} s of {promised:.2f} s; copy or download it again")
    return np.ascontiguousarray(samples.T), int(file.samplerate)


def _check_riff(stream: BinaryIO, path: Path) -> dict[str, Any]:
    """Walk the chunks of a WAV file: find a data chunk that was cut short, and a comment too long for libsndfile.

    libsndfile silently plays what is left of the one and forgets the other. Other formats return {} at once.
    """
    size = stream.seek(0, os.SEEK_END)
    stream.seek(0)
    header = stream.read(12)
    metadata: dict[str, Any] = {}
    if header[:4] == b"RIFF" and header[8:] == b"WAVE":
        position = 12
        while position + 8 <= size:
            stream.seek(position)
            name, length = struct.unpack("<4sI", stream.read(8))
            # Programs that write to a pipe leave the length at its largest or zero: nothing was promised there.
            if name == b"data" and 0 < length < 0x7FFFF000 and position + 8 + length > size:
                raise UserError(
                    f"{path}: cut short, {size - position - 8} of {length} bytes of sound; copy or download it again"
                )
            if name == b"LIST" and length < 1 << 28:
                metadata = metadata or _parse_comment(_riff_comment(stream.read(length)))
            position += 8 + length + length % 2
    stream.seek(0)
    return metadata


def _riff_comment(chunk: bytes) -> str:
    """The ICMT entry of a LIST chunk of kind INFO, or an empty string."""
    position = 4
    while chunk[:4] == b"INFO" and position + 8 <= len(chunk):
        name, length = struct.unpack_from("<4sI", chunk, position)
        if name == b"ICMT":
            return chunk[position + 8 : position + 8 + length].rstrip(b"\0").decode("utf-8", "replace")
        position += 8 + length + length % 2
    return ""


def _parse_comment(comment: str) -> dict[str, Any]:
    """Our JSON, or {"comment": text} for someone else's words."""
    if not comment:
        return {}
    try:
        value = json.loads(comment)
    except ValueError:
        value = None
    return value if isinstance(value, dict) else {"comment": comment}


def _encode(audio: Audio, path: Path) -> bytes:
    """The whole file in memory, so that only plain bytes have to meet the disk."""
    import soundfile

    container, encoding, max_channels, rates = FORMATS[path.suffix.lower()]
    if audio.channels > max_channels:
        raise UserError(
            f"{path}: {container} holds {max_channels} channels, not {audio.channels}; use with_channels(2)"
        )
    if rates is not None and audio.sample_rate not in rates:
        audio = audio.resample(min((rate for rate in rates if rate >= audio.sample_rate), default=rates[-1]))
    comment = json.dumps(audio.metadata, separators=(",", ":")) if audio.metadata else ""  # ASCII: safe in every tag
    content = io.BytesIO()
    try:
        with soundfile.SoundFile(
            content, "w", audio.sample_rate, audio.channels, format=container, subtype=encoding
        ) as file:
            if comment and container != "WAV":
                file.comment = comment
            for start in range(0, audio.num_samples, _WRITE_FRAMES):
                file.write(np.clip(audio.samples[:, start : start + _WRITE_FRAMES].T, -1.0, 1.0))
        content.seek(0)
        with soundfile.SoundFile(content) as file:
            kept = container == "WAV" or file.comment == comment
    except soundfile.SoundFileError as error:
        if len(comment) > 32768:
            kept = False  # an Ogg Opus header ends where a long comment does not
        else:
            detail = f"{audio.channels} channels at {audio.sample_rate} Hz"
            raise UserError(f"{path}: {container} cannot hold {detail}; write .wav or .flac") from error
    if not kept:
        raise UserError(f"{path}: {len(comment)} bytes of metadata are too many for this format; write .flac")
    return _with_riff_comment(content.getvalue(), comment) if container == "WAV" else content.getvalue()


def _with_riff_comment(content: bytes, comment: str) -> bytes:
    """A WAV file with a LIST chunk of kind INFO at its end: libsndfile's own is limited to a few kilobytes."""
    if not comment:
        return content
    text = comment.encode() + b"\0" * (2 - len(comment) % 2)  # ends in a zero, has an even length
    chunk = b"INFO" + struct.pack("<4sI", b"ICMT", len(text)) + text
    content += b"\0" * (len(content) % 2) + struct.pack("<4sI", b"LIST", len(chunk)) + chunk
    return content[:4] + struct.pack("<I", len(content) - 8) + content[8:]
