"""Somebody else's recording -> a FLAC of ours, decoded by a process that can do little harm.

In: a file in any of a few formats. Out: 16-bit FLAC, one or two channels, at most 48 kHz, and what is known about it.

Decoders of audio read what strangers wrote, so a process of its own does it, with little memory, time and disk, without
the environment of the one that asks, block by block: a file may be as long as it likes, or claim to be. That process
answers with JSON, which is checked like any other stranger's. It imports what it needs to decode and no more.
"""

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

from cadenza.errors import UserError

FORMATS = "WAV, FLAC, Ogg, Opus, MP3 or AIFF"
MOST_RATE = 48_000
_KNOWN = ("WAV", "WAVEX", "RF64", "FLAC", "OGG", "MP3", "AIFF")  # libsndfile's names
_BLOCK_FRAMES = 65_536
_REPLY_BYTES = 4 * 2**20
_KEPT_VARIABLES = ("PATH", "PYTHONPATH", "LD_LIBRARY_PATH", "LANG", "LC_ALL", "TMPDIR", "SYSTEMROOT")
_REFUSED = 2


class NotAudio(UserError):
    """A file of another kind."""


class TooLong(UserError):
    """More sound than is taken."""


class Bounds(NamedTuple):
    """What the decoding process may use. Windows knows no such limits: there only its time is bounded."""

    memory_bytes: int = 512 * 2**20
    cpu_seconds: int = 60
    wall_seconds: float = 120.0


class Decoded(NamedTuple):
    """What is known of a recording that was decoded."""

    seconds: float
    sample_rate: int
    channels: int
    metadata: dict[str, Any]


def looks_like_audio(head: bytes) -> bool:
    """Whether a file that begins so (16 bytes are enough) is in one of the formats that are decoded at all."""
    if head[:4] in (b"RIFF", b"RIFX", b"RF64"):
        return head[8:12] == b"WAVE"
    if head[:4] == b"FORM":
        return head[8:12] in (b"AIFF", b"AIFC")
    is_frame = len(head) > 1 and head[0] == 0xFF and head[1] & 0xE6 == 0xE2  # MPEG, layer III
    return head[:4] in (b"fLaC", b"OggS") or head[:3] == b"ID3" or is_frame


def decode(source: Path, target: Path, most_seconds: float, bounds: Bounds = Bounds()) -> Decoded:
    """Decode `source` into `target`. Raises NotAudio, TooLong, and UserError for what is damaged or takes too much."""
    with source.open("rb") as file:
        head = file.read(16)
    if not looks_like_audio(head):
        raise NotAudio(f"this is no recording that can be read: send {FORMATS}" if head else "the file is empty")
    command = [sys.executable, "-P", "-m", "cadenza.serve.foreign", str(source), str(target), repr(most_seconds)]
    command += [str(bounds.memory_bytes), str(bounds.cpu_seconds)]
    with tempfile.TemporaryFile() as reply:  # a file, since it has a largest size; a pipe has none
        try:
            done = subprocess.run(
                command,
                stdin=subprocess.DEVNULL,
                stdout=reply,
                stderr=subprocess.DEVNULL,
                env=_environment(os.environ),
                timeout=bounds.wall_seconds,
            )
        except subprocess.TimeoutExpired:
            raise UserError(
                f"this recording takes longer than {bounds.wall_seconds:g} s to read: send it as WAV"
            ) from None
        reply.seek(0)
        content = reply.read(_REPLY_BYTES)
    try:
        answer = json.loads(content)
        if done.returncode == 0:
            return _read_answer(answer)
        if done.returncode == _REFUSED:
            raise (TooLong if answer["kind"] == "TooLong" else UserError)(str(answer["error"])[:500])
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        if isinstance(error, UserError):
            raise
    raise UserError(f"this recording is damaged, or takes too much to read: send it in another format of {FORMATS}")


def _read_answer(answer: Any) -> Decoded:
    """Raises KeyError, TypeError or ValueError for what `main` would not say."""
    made = Decoded(float(answer["seconds"]), int(answer["sample_rate"]), int(answer["channels"]), answer["metadata"])
    known = 0 < made.seconds < 1e6 and 0 < made.sample_rate <= MOST_RATE and 1 <= made.channels <= 2
    if not known or not isinstance(made.metadata, dict):
        raise ValueError
    return made


def _environment(own: Mapping[str, str]) -> dict[str, str]:
    """No key and no address of a database goes along; one thread, since each would reserve memory."""
    kept = {name: own[name] for name in _KEPT_VARIABLES if name in own}
    return kept | {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}


# ------------------------------------------------------------------------------------------------ the other process


def _confine(memory_bytes: int, cpu_seconds: int, disk_bytes: int) -> None:
    """From here on this process can take no more than that, and start no other."""
    try:
        import resource
    except ImportError:  # Windows
        return
    for name, most in (
        ("RLIMIT_CORE", 0),
        ("RLIMIT_CPU", cpu_seconds),
        ("RLIMIT_FSIZE", disk_bytes),
        ("RLIMIT_NPROC", 0),
        ("RLIMIT_AS", memory_bytes),
    ):
        with suppress(AttributeError, ValueError, OSError):  # not every system has all of them
            resource.setrlimit(getattr(resource, name), (most, most))


def _transcode(source: Path, target: Path, most_seconds: float) -> Decoded:
    import numpy as np
    import soundfile
    import soxr

    from cadenza.audio import Audio

    metadata = Audio.read(source, 0.0, 1e-3).metadata  # says what is wrong with a file, too
    with soundfile.SoundFile(source) as file:
        rate = min(file.samplerate, MOST_RATE)
        channels = file.channels if file.channels <= 2 else 1
        most_frames = round(most_seconds * file.samplerate)
        if file.format not in _KNOWN:
            raise UserError(f"this is no recording that can be read: send {FORMATS}")
        if not 1000 <= file.samplerate <= 768_000:
            raise UserError(f"{file.samplerate} samples a second are no recording: send 8,000 to 48,000")
        slower = None if rate == file.samplerate else soxr.ResampleStream(file.samplerate, rate, channels, "float32")
        read = written = 0
        with soundfile.SoundFile(target, "w", rate, channels, format="FLAC", subtype="PCM_16") as out:
            while True:
                block = file.read(_BLOCK_FRAMES, dtype="float32", always_2d=True)
                last = not len(block)
                read += len(block)
                if read > most_frames:
                    raise TooLong(f"more than {most_seconds:g} s of sound: send a part of it")
                if not np.isfinite(block).all():
                    raise UserError("some of its samples are not numbers: repair the recording")
                if channels < file.channels:
                    block = block.mean(axis=1, keepdims=True)
                if slower is not None:
                    block = slower.resample_chunk(np.ascontiguousarray(block), last=last)
                out.write(np.clip(block, -1, 1))
                written += len(block)
                if last:
                    break
    if not written:
        raise UserError("there is no sound in it: send another recording")
    return Decoded(seconds=written / rate, sample_rate=rate, channels=channels, metadata=metadata)


def main() -> int:
    """`python -m cadenza.serve.foreign SOURCE TARGET MOST_SECONDS MEMORY_BYTES CPU_SECONDS`: JSON on stdout."""
    import soundfile
    import soxr

    import cadenza.audio

    source, target, most_seconds = Path(sys.argv[1]), Path(sys.argv[2]), float(sys.argv[3])
    assert soundfile and soxr and cadenza.audio, "what is loaded before the limits needs none of them"
    disk_bytes = _REPLY_BYTES + 2**20 + round(most_seconds * MOST_RATE * 2 * 2)
    _confine(int(sys.argv[4]), int(sys.argv[5]), disk_bytes)
    try:
        made = _transcode(source, target, most_seconds)
        answer = json.dumps(made._asdict())
        print(answer if len(answer) < _REPLY_BYTES else json.dumps(made._replace(metadata={})._asdict()))
        return 0
    except UserError as error:
        print(json.dumps({"kind": type(error).__name__, "error": str(error).removeprefix(f"{source}: ")}))
        return _REFUSED


if __name__ == "__main__":
    sys.exit(main())
