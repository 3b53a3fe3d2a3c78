"""One recording, decoded once: how long, how loud, and what identifies it. Many of them, by several processes.

In: paths. Out: `Facts`, or why a file cannot be used, in the order of the paths whatever the number of processes. What
was measured is written down at once (a journal, one JSON object per line), so that an interrupted job goes on where it
stopped and only files whose size or time has changed are decoded again.
"""

import base64
import hashlib
import json
import multiprocessing
import os
import signal
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from itertools import islice
from pathlib import Path
from stat import S_ISREG

import numpy as np
import pydantic

from cadenza import loudness
from cadenza.audio import Audio
from cadenza.data.duplicates import LIMIT_SECONDS, fingerprint
from cadenza.errors import CadenzaError, UserError
from cadenza.files import atomic_file, refusal

FORMAT = 1  # of the journal; what another version measured is measured anew
BLOCK_SECONDS = 300  # a recording of any length needs the memory of this much
TAGS = ("title", "artist", "album", "genre")


class Facts(pydantic.BaseModel):
    """What is known about one file; `problem` says why it cannot be used, and then the rest is empty."""

    model_config = pydantic.ConfigDict(frozen=True)

    size: int
    mtime_ns: int
    problem: str | None = None
    duration: float = 0.0
    sample_rate: int = 0
    channels: int = 0
    loudness_lufs: float | None = None
    """None for silence: never louder than -70 LUFS, the absolute gate of BS.1770."""
    peak: float = 0.0
    """Largest sample, 1 is full scale."""
    sound: str = ""
    """SHA-256 of the decoded samples."""
    tags: dict[str, str] = {}
    """Title, artist, album and genre as the file itself holds them (ID3, Vorbis comments)."""
    bits: str = ""
    """The fingerprint, base64."""

    @property
    def print(self) -> np.ndarray:
        """The fingerprint of `data.duplicates`, uint32."""
        return np.frombuffer(base64.b64decode(self.bits), np.uint32)


def measure(path: str) -> Facts:
    """Decode a file, a block at a time. A file that cannot be used is told by its facts, not raised."""
    try:
        stat = os.stat(path)
    except OSError as error:
        return Facts(size=0, mtime_ns=0, problem=f"unreadable: {error.strerror}")
    if not S_ISREG(stat.st_mode):
        return Facts(size=0, mtime_ns=0, problem="unreadable: not a file")
    identity = {"size": stat.st_size, "mtime_ns": stat.st_mtime_ns}
    try:
        return _decode(path).model_copy(update=identity)
    except UserError as error:
        if isinstance(error.__cause__, OSError):  # rights, or a disk: the file itself may be well, so it is tried again
            return Facts(size=0, mtime_ns=0, problem=f"unreadable: {error.__cause__.strerror}")
        # The journal names the path itself, and the remedy is that of a single file.
        reason = str(error).removeprefix(f"{path}: ").split("; ")[0].removesuffix(", or damaged")
        return Facts(**identity, problem=f"damaged: {reason}")
    except (MemoryError, ValueError, ArithmeticError, RuntimeError) as error:  # a header that promises the impossible
        return Facts(**identity, problem=f"damaged: {type(error).__name__} while it was read")


def _decode(path: str) -> Facts:
    import soundfile

    first = Audio.read(path, 0.0, BLOCK_SECONDS)  # everything that may be wrong with a file is said by `Audio`
    rate, channels = first.sample_rate, first.channels
    with soundfile.SoundFile(path) as file:
        total = file.frames
        tags = {name: str(text).strip() for name, text in file.copy_metadata().items() if name in TAGS}
    hop = max(1, round(loudness.BLOCK_SECONDS * rate) // 4)
    lead = -(-rate // hop)  # hops of the block before that are filtered again: 1 s, longer than the filter remembers
    digest = hashlib.sha256(f"{rate} {channels}\0".encode())
    energies, beginning, peak = [], [], 0.0
    tail, counted = np.zeros((channels, 0), np.float32), 0
    samples = first.samples
    for start in range(0, total, BLOCK_SECONDS * rate):
        if start:
            samples = Audio.read(path, start / rate, BLOCK_SECONDS).samples
        digest.update(np.ascontiguousarray(samples.T).tobytes())
        peak = max(peak, float(np.abs(samples).max()))
        if start < LIMIT_SECONDS * rate:
            beginning.append(samples.mean(axis=0, dtype=np.float32))
        joined = np.concatenate([tail, samples], axis=1)
        energies.append(loudness.k_weighted_energy(joined, rate, hop)[counted:])
        hops = joined.shape[1] // hop
        counted = min(hops, lead)
        tail = joined[:, (hops - counted) * hop :]
    energy = np.concatenate(energies)
    lufs = loudness.gated_loudness(energy, hop) if len(energy) >= 4 else loudness.loudness_lufs(samples, rate)
    return Facts(
        size=0,
        mtime_ns=0,
        duration=round(total / rate, 6),
        sample_rate=rate,
        channels=channels,
        loudness_lufs=round(lufs, 2) if np.isfinite(lufs) else None,
        peak=round(peak, 6),
        sound=digest.hexdigest(),
        tags={name: text for name, text in tags.items() if text},
        bits=base64.b64encode(fingerprint(np.concatenate(beginning), rate).tobytes()).decode(),
    )


def measure_all(
    paths: Sequence[str],
    journal: str | Path,
    workers: int = 1,
    on_progress: Callable[[int, int], None] | None = None,
) -> list[Facts]:
    """The facts of every path, in their order. `journal` keeps them; files that have not changed are not read again.

    Paths below the journal's folder are kept relative to it, so that a data set can be moved as a whole.
    """
    if workers < 1:
        raise UserError(f"{workers} workers: give 1 or more")
    journal = Path(journal).absolute()
    known = _read_journal(journal)
    todo = [path for path in paths if not _unchanged(path, known.get(path))]
    done = len(paths) - len(todo)
    if on_progress is not None:
        on_progress(done, len(paths))
    try:
        journal.parent.mkdir(parents=True, exist_ok=True)
        with journal.open("a", encoding="utf-8") as lines:
            for path, facts in _measured(todo, workers):
                known[path] = facts
                lines.write(_row(journal, path, facts))
                lines.flush()
                done += 1
                if on_progress is not None:
                    on_progress(done, len(paths))
    except OSError as error:
        raise refusal(journal, error) from error
    with atomic_file(journal) as temporary, temporary.open("w", encoding="utf-8") as lines:
        lines.writelines(_row(journal, path, known[path]) for path in paths)
    return [known[path] for path in paths]


def _measured(paths: Sequence[str], workers: int) -> Iterator[tuple[str, Facts]]:
    if workers == 1 or len(paths) < 2:
        yield from ((path, measure(path)) for path in paths)
        return
    rest = list(paths)
    while rest:
        done = 0
        pool = _pool(workers)
        try:
            for path, facts in zip(rest, _in_order(pool, rest, 4 * workers), strict=True):
                done += 1
                yield path, facts
            return
        except BrokenProcessPool:
            # Some file took its process with it (a decoder's fault, or memory): each suspect gets one of its own.
            for path in rest[done : done + 4 * workers]:
                yield path, _measured_alone(path)
            rest = rest[done + 4 * workers :]
        finally:
            pool.shutdown(cancel_futures=True)


def _pool(workers: int) -> ProcessPoolExecutor:
    return ProcessPoolExecutor(workers, multiprocessing.get_context("spawn"), _leave_ctrl_c_to_the_parent)


def _in_order(pool: ProcessPoolExecutor, paths: Iterable[str], ahead: int) -> Iterator[Facts]:
    """Results in order, never more than `ahead` files begun: a Ctrl-C then ends soon."""
    paths = iter(paths)
    waiting = [pool.submit(measure, path) for path in islice(paths, ahead)]
    while waiting:
        yield waiting.pop(0).result()
        waiting += [pool.submit(measure, path) for path in islice(paths, 1)]


def _measured_alone(path: str) -> Facts:
    with _pool(1) as pool:
        try:
            return pool.submit(measure, path).result()
        except BrokenProcessPool:
            stat = os.stat(path)
            return Facts(size=stat.st_size, mtime_ns=stat.st_mtime_ns, problem="damaged: the decoder fails on it")


def _leave_ctrl_c_to_the_parent() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)


# ---- journal ---------------------------------------------------------------------------------------------------------


def _row(journal: Path, path: str, facts: Facts) -> str:
    below = Path(path).is_relative_to(journal.parent)
    name = Path(path).relative_to(journal.parent).as_posix() if below else path
    return json.dumps({"format": FORMAT, "path": name} | facts.model_dump(mode="json"), ensure_ascii=False) + "\n"


def _read_journal(journal: Path) -> dict[str, Facts]:
    known: dict[str, Facts] = {}
    if not journal.exists():
        return known
    try:
        content = journal.read_text(encoding="utf-8", errors="replace")
    except OSError as error:
        raise CadenzaError(f"cannot read {journal}: {error.strerror}; delete it to measure everything anew") from error
    for line in content.split("\n"):
        try:
            row = json.loads(line)
            if row["format"] == FORMAT:
                known[str(journal.parent / row["path"])] = Facts.model_validate(row)
        except (ValueError, KeyError, TypeError):
            continue  # the line at which an earlier run was ended
    return known


def _unchanged(path: str, facts: Facts | None) -> bool:
    if facts is None:
        return False
    try:
        stat = os.stat(path)
    except OSError:
        return False
    return (stat.st_size, stat.st_mtime_ns) == (facts.size, facts.mtime_ns)
