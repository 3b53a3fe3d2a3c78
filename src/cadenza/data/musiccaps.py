"""MusicCaps: 5,521 clips of ten seconds with captions by musicians (Agostinelli et al., MusicLM, 2023).

In: the official CSV (`musiccaps-public.csv`: which ten seconds of which video, and what is heard in them), and clips
that are on disk already or are fetched one by one with yt-dlp, a program that the person installs. Out: a folder with
`audio/{ytid}.flac`, `manifest.jsonl` and, for clips that are to be had nowhere, `missing.jsonl` with the reason.

`is_audioset_eval` (the 2,858 clips on which published figures are computed) stays a field of every entry; `cadenza data
split` makes the paper's own split.
"""

import ast
import csv
import json
import shutil
import subprocess
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from cadenza.audio import Audio
from cadenza.data.measure import measure_all
from cadenza.data.scan import MANIFEST, READABLE, Recording, Report, journal_of, write_report
from cadenza.data.sidecar import usable_info
from cadenza.errors import UserError
from cadenza.files import atomic_file

COLUMNS = ("ytid", "start_s", "end_s", "aspect_list", "caption")
KEPT_FIELDS = ("author_id", "audioset_positive_labels")
FLAGS = ("is_balanced_subset", "is_audioset_eval")
MISSING = "missing.jsonl"
PAD_SECONDS = 0.5
"""A clip that ends this much early, because its video does, is filled up with silence."""
MARGIN_SECONDS = 1.0
TIMEOUT_SECONDS = 300
GIVE_UP_AFTER = 8
"""Failures of the network in a row, after which the rest is not tried."""

# What yt-dlp says when a video will not come back, and when the network (or its owner's patience) is the reason.
_GONE = ("unavailable", "private", "removed", "terminated", "deleted", "does not exist", "not available", "copyright")
_NETWORK = ("resolve", "connect", "timed out", "network", "temporary failure", "429", "unreachable", "sign in", "403")


@dataclass(frozen=True)
class Clip:
    """One row of the CSV: seconds `start` to `end` of a video, and what is known of it."""

    ytid: str
    start: float
    end: float
    caption: str
    aspects: tuple[str, ...]
    fields: Mapping[str, Any]

    @property
    def seconds(self) -> float:
        return self.end - self.start


@dataclass(frozen=True)
class Missing:
    """A clip that could not be had; `final` where trying again is of no use."""

    ytid: str
    reason: str
    final: bool


def read_clips(path: str | Path) -> list[Clip]:
    """The rows of the CSV. Raises UserError for a file that is another, and for a row that makes no sense."""
    path = Path(path)
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            rows = csv.DictReader(file)
            lacking = [name for name in COLUMNS if name not in (rows.fieldnames or ())]
            if lacking:
                raise UserError(f"{path}: no column {', '.join(lacking)}; give MusicCaps' own musiccaps-public.csv")
            return [_clip(row, path, rows.line_num) for row in rows]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        reason = error.strerror if isinstance(error, OSError) else str(error)
        raise UserError(f"{path}: cannot be read ({reason}); give MusicCaps' own musiccaps-public.csv") from error


def _clip(row: Mapping[str, str], path: Path, line: int) -> Clip:
    try:
        start, end = float(row["start_s"]), float(row["end_s"])
        ytid = row["ytid"].strip()
        if not (0 <= start < end) or not ytid or "/" in ytid:
            raise ValueError
    except (ValueError, TypeError, AttributeError) as error:
        raise UserError(f"{path} line {line}: no clip of a video; correct or delete it") from error
    fields: dict[str, Any] = {name: row[name] for name in KEPT_FIELDS if row.get(name)}
    fields |= {name: row[name].strip().lower() == "true" for name in FLAGS if row.get(name)}
    return Clip(ytid, start, end, (row["caption"] or "").strip(), _aspects(row["aspect_list"] or ""), fields)


def _aspects(text: str) -> tuple[str, ...]:
    """The list as Python writes it, or words between commas."""
    try:
        found = ast.literal_eval(text)
    except (ValueError, SyntaxError):
        found = text.strip("[] ").split(",")
    if not isinstance(found, list | tuple):
        found = [text]
    return tuple(str(item).strip(" '\"") for item in found if str(item).strip(" '\""))


def import_musiccaps(
    table: str | Path,
    out: str | Path,
    audio: str | Path | None = None,
    fetch: bool = True,
    ytdlp: str = "yt-dlp",
    jobs: int = 2,
    workers: int = 1,
    limit: int | None = None,
    on_progress: Callable[[int, int], None] | None = None,
) -> tuple[Report, list[Missing]]:
    """Make the data set, or go on with it: clips that are there stay, and those gone for good are not tried again.

    Args:
        table: the official CSV.
        out: folder of the data set.
        audio: folder with clips (ten seconds) or whole sound tracks, their names beginning with the video's id.
        fetch: use yt-dlp (and the ffmpeg that it needs) for what is not on disk.
        ytdlp: the program's name or path.
        jobs: how many are fetched at once.
        workers: processes that measure the clips.
        limit: only the first rows.
        on_progress: called with clips done and wanted.

    Raises UserError where not a single clip was to be had.
    """
    for name, number in (("jobs", jobs), ("limit", limit)):
        if number is not None and number < 1:
            raise UserError(f"{name} {number}: give 1 or more")
    out = Path(out).absolute()
    clips = read_clips(table)[:limit]
    stock = _stock(audio)
    program = shutil.which(ytdlp) if fetch else None
    missing: dict[str, Missing] = {}
    for item in _read_missing(out / MISSING):
        if item.final and not _target(out, item.ytid).exists():
            missing[item.ytid] = item
    wanted = [clip for clip in clips if clip.ytid in stock or clip.ytid not in missing]
    wanted = [clip for clip in wanted if not _target(out, clip.ytid).exists()]
    done = len(clips) - len(wanted)
    try:
        for clip, problem in _obtain(wanted, out, stock, program, fetch, jobs):
            missing.pop(clip.ytid, None)
            if problem is not None:
                missing[clip.ytid] = problem
            done += 1
            if on_progress is not None:
                on_progress(done, len(clips))
    finally:  # a Ctrl-C too: what is gone for good need not be asked for again
        listed = [missing[clip.ytid] for clip in clips if clip.ytid in missing]
        _write_missing(out / MISSING, listed)
    there = [clip for clip in clips if _target(out, clip.ytid).exists()]
    if not there:
        reason = listed[0].reason if listed else "the table is empty"
        raise UserError(f"not one of {len(clips)} clips was to be had ({reason}); {out / MISSING} lists them")
    facts = measure_all([str(_target(out, clip.ytid)) for clip in there], journal_of(out / MANIFEST), workers)
    recordings = []
    for clip, measured in zip(there, facts, strict=True):
        info, _ = usable_info({"description": clip.caption, "keywords": list(clip.aspects)})
        fields = {"ytid": clip.ytid, "start_seconds": clip.start, **clip.fields}
        captions = (clip.caption,) if clip.caption else ()
        recordings.append(Recording(str(_target(out, clip.ytid)), measured, captions, info, clip.ytid, fields))
    return write_report(out / MANIFEST, recordings, [], 1.0, None, out, leave_out_copies=False), listed


def missing_lines(missing: Sequence[Missing], out: Path) -> list[str]:
    """The summary for a person."""
    if not missing:
        return []
    kinds = Counter(item.reason for item in missing).most_common(4)
    told = "; ".join(f"{number} x {reason}" for reason, number in kinds)
    return [f"{out / MISSING}: {len(missing)} clips missing: {told}"]


# ---- getting clips ---------------------------------------------------------------------------------------------------


def _obtain(
    clips: Sequence[Clip], out: Path, stock: Mapping[str, Path], program: str | None, fetch: bool, jobs: int
) -> Iterator[tuple[Clip, Missing | None]]:
    """Every clip with None, or why it is missing, in order."""
    failures = 0
    with ThreadPoolExecutor(jobs) as pool:
        waiting: list[tuple[Clip, Future[Missing | None] | None]] = []
        rest = iter(clips)
        while True:
            while len(waiting) < 2 * jobs and (clip := next(rest, None)) is not None:
                tried = clip.ytid in stock or (program is not None and failures < GIVE_UP_AFTER)
                future = pool.submit(_get, clip, out, stock.get(clip.ytid), program) if tried else None
                waiting.append((clip, future))
            if not waiting:
                return
            clip, future = waiting.pop(0)
            if future is not None:
                problem = future.result()
                network = problem is not None and not problem.final and clip.ytid not in stock
                failures = failures + 1 if network else 0
            elif not fetch:
                problem = Missing(clip.ytid, "not on disk, and nothing is fetched", False)
            elif program is None:
                problem = Missing(clip.ytid, "not on disk, and yt-dlp is not there: install it and ffmpeg", False)
            else:
                problem = Missing(clip.ytid, "not tried: the network fails", False)
            yield clip, problem


def _get(clip: Clip, out: Path, source: Path | None, program: str | None) -> Missing | None:
    try:
        if source is not None:
            _cut(source, clip, _target(out, clip.ytid))
            return None
        assert program is not None
        with tempfile.TemporaryDirectory(prefix="cadenza-") as folder:
            return _fetch(clip, Path(folder), program, _target(out, clip.ytid))
    except UserError as error:
        return Missing(clip.ytid, str(error).split(": ", 1)[-1].split("; ")[0], False)


def _fetch(clip: Clip, folder: Path, program: str, target: Path) -> Missing | None:
    section = f"*{clip.start:g}-{clip.end + MARGIN_SECONDS:g}"
    command = [program, "--quiet", "--no-warnings", "--no-playlist", "--format", "bestaudio/best"]
    command += ["--extract-audio", "--audio-format", "wav", "--download-sections", section, "--force-keyframes-at-cuts"]
    command += ["--output", str(folder / "clip.%(ext)s"), "--", f"https://www.youtube.com/watch?v={clip.ytid}"]
    try:
        done = subprocess.run(
            command, stdin=subprocess.DEVNULL, capture_output=True, text=True, errors="replace", timeout=TIMEOUT_SECONDS
        )
    except subprocess.TimeoutExpired:
        return Missing(clip.ytid, f"no answer within {TIMEOUT_SECONDS} s", False)
    except OSError as error:
        return Missing(clip.ytid, f"{program} cannot be run ({error.strerror})", False)
    files = sorted(path for path in folder.iterdir() if path.suffix.lower() in READABLE)
    if done.returncode or not files:
        said = [line.strip() for line in done.stderr.splitlines() if line.strip()]
        reason = next((line for line in reversed(said) if line.startswith("ERROR")), (said or ["no file came"])[-1])
        reason = reason.removeprefix("ERROR: ").removeprefix("[youtube] ").removeprefix(f"{clip.ytid}: ")[:160]
        lower = reason.lower()
        final = any(word in lower for word in _GONE) and not any(word in lower for word in _NETWORK)
        return Missing(clip.ytid, reason, final)
    _cut(files[0], clip, target, fetched=True)
    return None


def _cut(source: Path, clip: Clip, target: Path, fetched: bool = False) -> None:
    """Exactly the clip's seconds, as FLAC: of a file that begins with the clip, or of a whole sound track.

    Raises UserError where the sound ends more than `PAD_SECONDS` early.
    """
    audio = Audio.read(source)
    whole = not fetched and audio.duration_seconds > clip.seconds + 2 * MARGIN_SECONDS
    first = round(clip.start * audio.sample_rate) if whole else 0
    wanted = round(clip.seconds * audio.sample_rate)
    samples = audio.samples[:, first : first + wanted]
    lacking = wanted - samples.shape[1]
    if lacking > PAD_SECONDS * audio.sample_rate:
        have = samples.shape[1] / audio.sample_rate
        raise UserError(f"{source}: has {have:.1f} of {clip.seconds:g} s; get it again")
    Audio(np.pad(samples, ((0, 0), (0, lacking))), audio.sample_rate).write(target, loudness_lufs=None)


def _stock(audio: str | Path | None) -> dict[str, Path]:
    """Files by the video id with which their name begins: `ID.wav`, `ID_30.mp3`, `[ID]-[30-40].wav`."""
    if audio is None:
        return {}
    folder = Path(audio)
    if not folder.is_dir():
        raise UserError(f"{folder}: no such folder; give one with the clips")
    found: dict[str, Path] = {}
    for path in sorted(folder.rglob("*")):
        if path.suffix.lower() in READABLE and path.is_file():
            found.setdefault(path.stem.removeprefix("[")[:11], path)
    return found


def _target(out: Path, ytid: str) -> Path:
    return out / "audio" / f"{ytid}.flac"


def _read_missing(path: Path) -> list[Missing]:
    """What an earlier call found out; lines that make no sense (somebody edited the list) only cost another try."""
    known = []
    for line in path.read_text(encoding="utf-8", errors="replace").split("\n") if path.exists() else ():
        try:
            row = json.loads(line)
            known.append(Missing(str(row["ytid"]), str(row["reason"]), bool(row["final"])))
        except (ValueError, KeyError, TypeError):
            continue
    return known


def _write_missing(path: Path, missing: Sequence[Missing]) -> None:
    if not missing:
        path.unlink(missing_ok=True)
        return
    with atomic_file(path) as temporary, temporary.open("w", encoding="utf-8") as lines:
        lines.writelines(json.dumps(vars(item), ensure_ascii=False) + "\n" for item in missing)
