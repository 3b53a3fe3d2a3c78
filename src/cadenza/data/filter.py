"""Which recordings hold voices or noise, or are no music: a manifest in, one with tags out, and one without those.

    tagged.jsonl      every recording that could be read, with `content`: {"vocals", "noise", "non-music"}, each a
                      probability, and "method": the tagger that gave them
    filtered.jsonl    what is left after dropping
    dropped.jsonl     what was dropped, and why; also what could not be read

No audio is touched. Every minute `tagged.jsonl` is saved; a recording that stands there with the same method is not
judged again, so that another threshold costs nothing and an interrupted run goes on.
"""

import json
import multiprocessing
import signal
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from cadenza.audio import Audio
from cadenza.data.filter_signal import SignalTagger
from cadenza.data.manifest import Entry, manifest_path, read_manifest, write_manifest
from cadenza.data.tags import AstTagger, Tagger
from cadenza.errors import CadenzaError, UserError
from cadenza.files import atomic_file

FIELD = "content"
TAGS = ("vocals", "noise", "non-music")
WINDOW_SECONDS = 10.0
MAX_WINDOWS = 18  # of a recording, spread evenly: all of three minutes
TAGGED, FILTERED, DROPPED = "tagged.jsonl", "filtered.jsonl", "dropped.jsonl"

_SAVE_SECONDS = 60.0

Progress = Callable[[int, int], None]
Job = tuple[str, float]
"""Path and duration in seconds."""


@dataclass(frozen=True)
class Drop:
    """A recording that is left out, and why."""

    entry: Entry
    reason: str


@dataclass(frozen=True)
class Report:
    """What came out of filtering, in the order of the manifest."""

    folder: Path
    num_tagged: int
    kept: list[Entry]
    dropped: list[Drop]
    filtered: bool
    """Whether `filtered.jsonl` was written: whether anything was to be dropped."""

    def lines(self) -> list[str]:
        """For people: one line per file that was written."""
        lines = [f"{self.folder / TAGGED}: {self.num_tagged} recordings with tags"]
        if self.filtered:
            lines.append(f"{self.folder / FILTERED}: {len(self.kept)} kept")
        if self.dropped:
            lines.append(f"{self.folder / DROPPED}: {len(self.dropped)} left out, with the reasons")
        return lines


def tag_recording(tagger: Tagger, path: str | Path, duration_seconds: float) -> dict[str, float]:
    """The probabilities of `TAGS`, each between 0 and 1.

    Noise and music are means over the recording's windows; for voices the upper quartile counts, so that a song whose
    singer waits for the chorus is one with voices. Raises UserError for a file that cannot be read.
    """
    count = min(MAX_WINDOWS, max(1, round(duration_seconds / WINDOW_SECONDS)))
    starts = np.linspace(0, max(0.0, duration_seconds - WINDOW_SECONDS), count)
    scores = np.array([tagger.judge(Audio.read(path, float(start), WINDOW_SECONDS)) for start in starts])
    values = (np.quantile(scores[:, 0], 0.75), scores[:, 1].mean(), 1.0 - scores[:, 2].mean())
    return {name: round(float(value), 4) for name, value in zip(TAGS, values, strict=True)}


def filter_manifest(
    source: str | Path,
    out: str | Path | None = None,
    drop: Sequence[str] = (),
    threshold: float = 0.5,
    tagger: str | None = None,
    workers: int = 1,
    progress: Progress | None = None,
) -> Report:
    """Tag every recording of a manifest, and leave out those with a tag of `drop` at or above `threshold`.

    Args:
        out: folder of what is written; None: that of the manifest.
        tagger: folder or name of a trained tagger; None: by the signal alone (see `filter_signal` for its limits).
        workers: processes; 1 works in this process.
        progress: told how many recordings are done, of how many.

    Raises UserError for a tag or threshold that does not exist, a bad manifest, or a tagger that cannot be loaded;
    CadenzaError if the system ends a worker.
    """
    wrong = [name for name in drop if name not in TAGS]
    if wrong:
        raise UserError(f"cannot drop {wrong[0]!r}: choose among {', '.join(TAGS)}")
    if not 0 < threshold <= 1:
        raise UserError(f"threshold {threshold}: give a probability above 0 and up to 1")
    if not 1 <= workers <= 256:
        raise UserError(f"{workers} workers: choose 1 to 256")
    entries = read_manifest(source, missing="keep")  # what is not there is listed with what cannot be read
    folder = Path(out) if out is not None else manifest_path(source).parent
    method = tagger or SignalTagger.name
    found = _known(folder / TAGGED, entries, method)
    saved = time.monotonic()
    waiting = [i for i in range(len(entries)) if i not in found]
    jobs = [(entries[i].path, entries[i].duration) for i in waiting]
    for i, result in zip(waiting, _judge(jobs, tagger, workers), strict=True):
        found[i] = result
        if progress is not None:
            progress(len(found), len(entries))
        if time.monotonic() - saved > _SAVE_SECONDS:
            _write_tagged(folder / TAGGED, entries, found, method)
            saved = time.monotonic()
    tagged = _write_tagged(folder / TAGGED, entries, found, method)
    kept, dropped = [], []
    for entry, result in zip(tagged, (found[i] for i in range(len(entries))), strict=True):
        reason = result if isinstance(result, str) else _reason(result, drop, threshold, method)
        if reason:
            dropped.append(Drop(entry, reason))
        else:
            kept.append(entry)
    if drop:
        write_manifest(folder / FILTERED, kept)
    _write_dropped(folder / DROPPED, dropped)
    num_tagged = sum(not isinstance(result, str) for result in found.values())
    return Report(folder, num_tagged, kept, dropped, bool(drop))


# --------------------------------------------------------------------------------------------------------------- parts

Result = dict[str, float] | str
"""Probabilities, or why there are none."""

_tagger: Tagger | None = None
"""That of a worker, once it has met its first recording."""


def _judge(jobs: Sequence[Job], tagger: str | None, workers: int) -> Iterator[Result]:
    """Results in the order of the jobs."""
    if not jobs:
        return
    if workers == 1 or len(jobs) == 1:
        here = _load(tagger)
        yield from (_result(here, job) for job in jobs)
        return
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(min(workers, len(jobs)), context, _begin) as pool:
        try:
            yield from pool.map(partial(_work, tagger), jobs, chunksize=4)
        except BrokenProcessPool as error:
            raise CadenzaError(
                "a worker was ended by the system, which mostly means that memory ran out: start the same command "
                "with fewer --workers; it goes on from what is saved"
            ) from error


def _load(tagger: str | None) -> Tagger:
    return SignalTagger() if tagger is None else AstTagger(tagger)


def _begin() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's to answer


def _work(tagger: str | None, job: Job) -> Result:
    """In a worker. A tagger that cannot be loaded is no fault of the recording, and reaches the parent."""
    global _tagger
    if _tagger is None:
        if tagger is not None:
            import torch

            torch.set_num_threads(1)  # the processes share the cores
        _tagger = _load(tagger)
    return _result(_tagger, job)


def _result(tagger: Tagger, job: Job) -> Result:
    try:
        return tag_recording(tagger, *job)
    except UserError as error:
        return str(error)


def _known(path: Path, entries: Sequence[Entry], method: str) -> dict[int, Result]:
    """What an earlier run found out by the same method, by the number of the entry."""
    earlier: Iterable[Entry] = read_manifest(path, missing="keep") if path.is_file() and path.stat().st_size else ()
    known: dict[Job, Result] = {}
    for entry in (*earlier, *entries):
        content = content_of(entry)
        if content.get("method") == method and all(isinstance(content.get(name), int | float) for name in TAGS):
            known[entry.path, entry.duration] = {name: float(content[name]) for name in TAGS}
    jobs = ((entry.path, entry.duration) for entry in entries)
    return {i: known[job] for i, job in enumerate(jobs) if job in known}


def content_of(entry: Entry) -> dict[str, Any]:
    """The tags of an entry and their method; empty where it has none."""
    content = entry.tags.get(FIELD)
    return content if isinstance(content, dict) else {}


def _write_tagged(path: Path, entries: Sequence[Entry], found: dict[int, Result], method: str) -> list[Entry]:
    """Write those that were judged; returns all, with their tags."""
    tagged = [
        entry.model_copy(update={FIELD: {**result, "method": method}})
        if isinstance(result := found.get(i, ""), dict)
        else entry
        for i, entry in enumerate(entries)
    ]
    write_manifest(path, (entry for i, entry in enumerate(tagged) if isinstance(found.get(i), dict)))
    return tagged


def _reason(result: dict[str, float], drop: Sequence[str], threshold: float, method: str) -> str:
    return "; ".join(f"{name} {result[name]:.2f} ({method})" for name in drop if result[name] >= threshold)


def _write_dropped(path: Path, dropped: Sequence[Drop]) -> None:
    """The list, or no file where nothing was dropped: an old list must not speak for this run."""
    if not dropped:
        path.unlink(missing_ok=True)
        return
    with atomic_file(path) as temporary, temporary.open("w", encoding="utf-8") as lines:
        for one in dropped:
            row = {"id": one.entry.id, "path": one.entry.path, "reason": one.reason}
            lines.write(json.dumps(row, ensure_ascii=False) + "\n")
