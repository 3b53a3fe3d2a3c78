"""A folder of recordings to a manifest: what is in it, what is known about it, and what had to be left out.

In: a folder. Out: `manifest.jsonl` (path, duration, rate, loudness, captions, info; audiocraft reads it too) and,
beside it, `skipped.jsonl` with every file that could not be used and why. Nothing is left out silently, and no file
stops it.
"""

import json
import os
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from cadenza.data.captions import Info
from cadenza.data.duplicates import find_near
from cadenza.data.manifest import Entry, read_manifest, write_manifest
from cadenza.data.measure import Facts, measure_all
from cadenza.data.sidecar import caption_from_info, caption_from_name, read_sidecar, usable_info
from cadenza.errors import UserError
from cadenza.files import atomic_file

READABLE = {".wav", ".flac", ".mp3", ".ogg", ".oga", ".opus", ".aif", ".aiff", ".aifc", ".au", ".caf", ".w64", ".rf64"}
"""What libsndfile reads; the content decides, not the name."""
FOREIGN = {".m4a", ".aac", ".wma", ".mp4", ".m4b", ".webm", ".mka", ".mkv", ".mov", ".ape", ".wv", ".alac", ".amr"}
MANIFEST, SKIPPED = "manifest.jsonl", "skipped.jsonl"
MEASURED = ("channels", "loudness_lufs", "sound")
"""Fields of an entry, beyond those that `Entry` names, that scanning writes."""
MADE_FROM = "caption_from"
"""The field that says where a caption comes from that nobody wrote: metadata or names."""


@dataclass(frozen=True)
class Skipped:
    """A file that is not in the manifest, or a side-car that could not be used: `kind` is what it is counted under."""

    path: str
    kind: str
    reason: str


@dataclass(frozen=True)
class Report:
    """What became of a set of files."""

    manifest: Path
    entries: list[Entry]
    skipped: list[Skipped]
    notes: list[str] = field(default_factory=list)

    def lines(self) -> list[str]:
        """The summary for a person."""
        hours = sum(entry.duration for entry in self.entries) / 3600
        length = f"{hours:.1f} h" if hours >= 1 else f"{hours * 60:.1f} min"
        said = [f"{self.manifest}: {_count(len(self.entries), 'recording')}, {length}"]
        kinds = Counter(item.kind for item in self.skipped)
        if kinds:
            told = ", ".join(f"{number} {kind}" for kind, number in sorted(kinds.items()))
            files = _count(len(self.skipped), "file")
            said.append(f"{self.manifest.with_name(SKIPPED)}: {files} left out or faulty: {told}")
        mute = sum(not entry.captions for entry in self.entries)
        if mute:
            said.append(
                f"{mute} without a caption: write one into a .txt beside the recording, or use --captions-from-names"
            )
        sources = Counter(entry.tags[MADE_FROM] for entry in self.entries if MADE_FROM in entry.tags)
        said += [f"{_count(sources[source], 'caption')} made from {source}" for source in sorted(sources)]
        return said + self.notes


def scan(
    folder: str | Path,
    out: str | Path | None = None,
    min_seconds: float = 1.0,
    captions_from_names: bool = False,
    workers: int = 1,
    on_progress: Callable[[int, int], None] | None = None,
) -> Report:
    """Write the manifest of a folder and the list of what was left out; both are the same for any `workers`.

    Files that have not changed since the last scan are not read again. What only the manifest knows (id, split,
    weight, fields of other tools, captions where there are none beside the recording) stays. Raises UserError for a
    folder that is not there or holds nothing to use.
    """
    folder = Path(folder).absolute()
    if not folder.is_dir():
        raise UserError(f"{folder}: no such folder; give one with recordings")
    manifest = folder / MANIFEST if out is None else Path(out).absolute()
    if manifest.is_dir() or not manifest.name.endswith((".jsonl", ".jsonl.gz")):
        raise UserError(f"{manifest}: give the name of a file, such as {manifest / MANIFEST}")
    if manifest.name == SKIPPED:
        raise UserError(f"{manifest}: what is left out is listed there; give the manifest another name")
    if manifest.parent.is_dir() and not os.access(manifest.parent, os.W_OK):
        raise UserError(f"{manifest.parent} cannot be written to: give the manifest another place, with --out FILE")
    paths, skipped = find_recordings(folder)
    if not paths and not skipped:
        raise UserError(f"{folder}: no recordings in it; give a folder with WAV, FLAC, MP3, Ogg, Opus or AIFF files")
    facts = measure_all(paths, journal_of(manifest), workers, on_progress)
    found = [Recording(path, measured) for path, measured in zip(paths, facts, strict=True)]
    return write_report(manifest, found, skipped, min_seconds, folder if captions_from_names else None, folder)


def journal_of(manifest: Path) -> Path:
    """Where what was measured is kept: hidden, beside the manifest; deleting it costs only time."""
    return manifest.with_name(f".{manifest.name.split('.jsonl')[0]}.measured.jsonl")


# ---- finding ---------------------------------------------------------------------------------------------------------


def find_recordings(folder: Path) -> tuple[list[str], list[Skipped]]:
    """Every file with an audio extension below a folder, sorted, and those that cannot be opened. Hidden ones are not
    looked at; links are followed, each folder once."""
    skipped: list[Skipped] = []
    paths: list[str] = []

    def refused(error: OSError) -> None:
        skipped.append(Skipped(str(error.filename), "unreadable", f"unreadable: {error.strerror}"))

    root = os.stat(folder)
    seen = {(root.st_dev, root.st_ino)}
    for place, folders, files in os.walk(folder, onerror=refused, followlinks=True):
        # In order: of two ways to one folder, the first by name is taken, not the one that the disk names first.
        folders[:] = [name for name in sorted(folders) if not name.startswith(".") and _is_new(place, name, seen)]
        for name in sorted(files):
            suffix = Path(name).suffix.lower()
            if name.startswith(".") or suffix not in READABLE | FOREIGN:
                continue
            path = os.path.join(place, name)
            if suffix in FOREIGN:
                skipped.append(
                    Skipped(path, "foreign format", f"foreign format: {suffix} is not read, convert it to FLAC or WAV")
                )
            elif not _is_text(path):
                skipped.append(Skipped(_readable(path), "unreadable", "unreadable: its name is not UTF-8, rename it"))
            else:
                paths.append(path)
    return sorted(paths), skipped


def _is_new(place: str, name: str, seen: set[tuple[int, int]]) -> bool:
    try:
        stat = os.stat(os.path.join(place, name))
    except OSError:
        return False
    before = len(seen)
    seen.add((stat.st_dev, stat.st_ino))
    return len(seen) > before


def _is_text(path: str) -> bool:
    try:
        path.encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True


def _readable(path: str) -> str:
    return path.encode("utf-8", "surrogateescape").decode("utf-8", "replace")


# ---- judging ---------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Recording:
    """A measured file and what its source says of it; None where that is left to the files beside it."""

    path: str
    facts: Facts
    captions: tuple[str, ...] | None = None
    info: Info | None = None
    id: str = ""
    fields: Mapping[str, Any] = field(default_factory=dict)


def write_report(
    manifest: Path,
    recordings: Sequence[Recording],
    skipped: Sequence[Skipped],
    min_seconds: float,
    names_below: Path | None,
    folder: Path,
    leave_out_copies: bool = True,
) -> Report:
    """Judge, describe and write: the last half of `scan`, shared by every source of recordings.

    `names_below` makes captions of the names below that folder where nothing else is known; ids are paths below
    `folder`. Published data sets keep their copies (`leave_out_copies`): figures on them count every clip. Raises
    UserError where nothing can be used.
    """
    left_out = list(skipped)
    usable = []
    for recording in recordings:
        problem = _problem(recording.facts, min_seconds)
        if problem is None:
            usable.append(recording)
        else:
            left_out.append(Skipped(recording.path, *problem))
    before = _before(manifest)
    described = [_describe(recording, before.get(recording.path), names_below) for recording in usable]
    for _, problems in described:
        left_out += [Skipped(path, "faulty side-car", reason) for path, reason in problems]
    told = [bool(entry.info) or (bool(entry.captions) and MADE_FROM not in entry.tags) for entry, _ in described]
    known = [recording.path in before for recording in usable]
    drop = find_duplicates(usable, known, told, manifest.parent) if leave_out_copies else {}
    left_out += [Skipped(usable[item].path, "duplicate", reason) for item, reason in sorted(drop.items())]
    kept = [item for item in range(len(usable)) if item not in drop]
    ids = _ids([usable[item] for item in kept], before, folder)
    entries = [described[item][0].model_copy(update={"id": name}) for item, name in zip(kept, ids, strict=True)]
    left_out = [Skipped(_below(Path(item.path), manifest.parent), item.kind, item.reason) for item in left_out]
    left_out.sort(key=lambda item: (item.path, item.reason))
    _write_skipped(manifest.with_name(SKIPPED), left_out)
    if not entries:
        raise UserError(
            f"none of {_count(len(left_out), 'file')} can be used: {manifest.with_name(SKIPPED)} says why, file by file"
        )
    write_manifest(manifest, entries)
    return Report(manifest, entries, left_out, list(_notes(entries, before, kept, usable)))


def _problem(facts: Facts, min_seconds: float) -> tuple[str, str] | None:
    """What it is counted under, and why; None for a recording that can be used."""
    if facts.problem is not None:
        return facts.problem.split(":")[0], facts.problem
    if facts.duration < min_seconds:
        return "short", f"short: lasts {facts.duration:.3f} s, less than {min_seconds:g} s"
    if facts.loudness_lufs is None:
        return "silent", "silent: never louder than -70 LUFS"
    return None


def find_duplicates(
    recordings: Sequence[Recording], known: Sequence[bool], described: Sequence[bool], folder: Path
) -> dict[int, str]:
    """Recordings that are in the list twice, by position, and what each is a copy of.

    Kept is the one that was in the manifest already (another copy would come without its split, and could train what it
    is to test), then the one that somebody has described, the longest, of the highest rate, the largest, the first.
    """

    def worth(item: int) -> tuple[Any, ...]:
        facts = recordings[item].facts
        longest = round(facts.duration, 1)
        return (not known[item], not described[item], -longest, -facts.sample_rate, -facts.size, recordings[item].path)

    order = sorted(range(len(recordings)), key=worth)
    drop: dict[int, str] = {}
    first: dict[str, int] = {}
    for item in order:
        sound = recordings[item].facts.sound
        if sound in first:
            drop[item] = f"duplicate: the same samples as {_below(Path(recordings[first[sound]].path), folder)}"
        else:
            first[sound] = item
    order = [item for item in order if item not in drop]
    for match in find_near([recordings[item].facts.print for item in order]):
        of = _below(Path(recordings[order[match.of]].path), folder)
        drop[order[match.item]] = (
            f"duplicate: a copy of {of} ({match.error:.0%} of the fingerprint differs, "
            f"it begins at {match.offset_seconds:.1f} s)"
        )
    return drop


# ---- describing ------------------------------------------------------------------------------------------------------


def _describe(
    recording: Recording, before: Entry | None, names_below: Path | None
) -> tuple[Entry, tuple[tuple[str, str], ...]]:
    """The entry of a recording, and faults of its side-cars."""
    facts = recording.facts
    captions, info = recording.captions, recording.info
    problems: tuple[tuple[str, str], ...] = ()
    if captions is None or info is None:
        beside = read_sidecar(recording.path)
        captions, info, problems = beside.captions, beside.info or {}, beside.problems
    numbered = facts.tags.get("genre", "").strip("()").isdigit()  # ID3v1's: "(17)"
    tags, _ = usable_info({name: text for name, text in facts.tags.items() if not (numbered and name == "genre")})
    info = {**(before.info if before is not None and not info else {}), **tags, **info}
    values: dict[str, Any] = {} if before is None else dict(before.tags)
    was_made_up = values.pop(MADE_FROM, None) is not None
    if not captions and before is not None and not was_made_up:
        captions = before.captions
    if not captions and (sentence := caption_from_info(info)):
        captions, values[MADE_FROM] = (sentence,), "metadata"
    elif not captions and names_below is not None and (sentence := caption_from_name(recording.path, names_below)):
        captions, values[MADE_FROM] = (sentence,), "names"
    if before is not None and before.has_split:
        values["split"] = before.split
    if before is not None and before.weight is not None:
        values["weight"] = before.weight
    if "album" in facts.tags:
        values["album"] = facts.tags["album"]
    values |= recording.fields
    values |= {name: getattr(facts, name) for name in MEASURED}
    entry = Entry(
        path=recording.path,
        duration=facts.duration,
        sample_rate=facts.sample_rate,
        amplitude=facts.peak,
        captions=captions,
        info=info,
        **values,
    )
    return entry, problems


def _ids(recordings: Sequence[Recording], before: Mapping[str, Entry], folder: Path) -> list[str]:
    """The name it had, else the source's own, else its path below the folder, without extension if that is enough.

    No two are the same, and what has a name keeps it when another recording comes that would be called so.
    """
    had = [before[recording.path].id if recording.path in before else "" for recording in recordings]
    long = [_below(Path(recording.path), folder) for recording in recordings]
    short = [recording.id or _below(Path(recording.path).with_suffix(""), folder) for recording in recordings]
    times, alike = Counter(had), Counter(short)
    names = [name if times[name] == 1 else "" for name in had]
    taken = set(names)
    for item, name in enumerate(names):
        if name:
            continue
        name = short[item] if alike[short[item]] == 1 and short[item] not in taken else long[item]
        while name in taken:
            name += "~"
        names[item] = name
        taken.add(name)
    return names


def _below(path: Path, folder: Path) -> str:
    return (path.relative_to(folder) if path.is_relative_to(folder) else path).as_posix()


def _before(manifest: Path) -> dict[str, Entry]:
    if not manifest.exists() or not manifest.stat().st_size:
        return {}
    return {entry.path: entry for entry in read_manifest(manifest, missing="keep")}


def _notes(
    entries: Sequence[Entry], before: Mapping[str, Entry], kept: Sequence[int], usable: Sequence[Recording]
) -> Iterator[str]:
    gone = len(before.keys() - {recording.path for recording in usable})
    if gone:
        yield f"{gone} of the manifest before are not among them any more"
    if any(entry.has_split for entry in entries):
        new = sum(not entry.has_split for entry in entries)
        if new:
            yield f"{new} are in no split yet and count as train: run `cadenza data split`"


def _write_skipped(path: Path, skipped: Sequence[Skipped]) -> None:
    if not skipped:
        path.unlink(missing_ok=True)  # nothing was left out: an older list would be wrong
        return
    with atomic_file(path) as temporary, temporary.open("w", encoding="utf-8") as lines:
        for item in skipped:
            row = {"path": item.path, "kind": item.kind, "reason": item.reason}
            lines.write(json.dumps(row, ensure_ascii=False) + "\n")


def _count(number: int, what: str) -> str:
    return f"{number} {what}" if number == 1 else f"{number} {what}s"
