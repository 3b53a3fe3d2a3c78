"""The manifest of a data set: one JSON object per line, `manifest.jsonl` (or audiocraft's `data.jsonl[.gz]`).

In: a folder or a manifest file. Out: typed entries with absolute paths. Fields that it does not know are kept.
Recordings may lie anywhere (another disk, `../`); what matters is that they are there, and reading says if not.
"""

import gzip
import json
import logging
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, Literal

import pydantic
from pydantic import Field

from cadenza.data.captions import Info
from cadenza.data.sidecar import UNREADABLE, read_sidecar
from cadenza.errors import UserError
from cadenza.files import atomic_file

_logger = logging.getLogger(__name__)
NAMES = ("manifest.jsonl", "data.jsonl", "data.jsonl.gz")


class Entry(pydantic.BaseModel):
    """One recording. Fields beyond these (genre, tempo_bpm, key, ...) are kept in `model_extra`."""

    model_config = pydantic.ConfigDict(frozen=True, extra="allow")

    path: str = Field(description="audio file; relative to the manifest's folder, absolute once read")
    duration: float = Field(gt=0, description="seconds")
    sample_rate: int = Field(gt=0, description="Hz, as stored")
    id: str = Field("", description="unique name; the file's stem if absent")
    split: str = Field("train", description="train, valid or test")
    captions: tuple[str, ...] = Field((), description="texts that describe it, any of which may be drawn")
    info: Info = Field(default_factory=dict, description="what its metadata says (`data.captions.clean_info`)")
    weight: float | None = Field(None, description="relative chance of being drawn, per second (audiocraft)")
    amplitude: float | None = Field(None, description="peak, 1 is full scale (audiocraft)")
    info_path: str | None = Field(None, description="JSON with the metadata, if not beside the audio (audiocraft)")

    @property
    def tags(self) -> dict[str, Any]:
        """The fields that `Entry` does not name."""
        return dict(self.model_extra or {})

    @property
    def has_split(self) -> bool:
        """Whether a split was ever chosen; what was not counts as train."""
        return "split" in self.model_fields_set


def manifest_path(source: str | Path) -> Path:
    """The manifest file of a folder, or the file itself."""
    source = Path(source)
    if source.is_file():
        return source
    for name in NAMES:
        if (source / name).is_file():
            return source / name
    if source.is_dir():
        raise UserError(
            f"no manifest in {source}: expected a folder that holds {' or '.join(NAMES)}; "
            "make one with `cadenza data scan`"
        )
    raise UserError(f"{source}: no such manifest or folder; make one with `cadenza data scan FOLDER`")


def read_manifest(
    source: str | Path,
    split: str | None = None,
    missing: Literal["refuse", "keep"] = "refuse",
    on_fault: Callable[[int, str], None] | None = None,
) -> list[Entry]:
    """Entries of a manifest, of one split if given, in file order, paths made absolute.

    An entry that carries neither captions nor info gets those of the files beside its recording, as audiocraft reads
    them; what is wrong with those is told in one line. Raises UserError for a line that is no entry, for an `info_path`
    that leads nowhere and, unless `missing` is "keep" (for who needs no sound), for
    recordings that are not there. With `on_fault`, lines that are no entries are left out, it is given their number and
    the reason, and only where nothing is left the first of them is raised.
    """
    path = manifest_path(source)
    entries: list[Entry] = []
    first_fault: UserError | None = None
    gone: list[str] = []
    faulty: list[tuple[str, str]] = []
    for number, line in enumerate(_lines(path), start=1):
        if not line.strip():
            continue
        try:
            entry = Entry.model_validate(json.loads(line))
        except (ValueError, RecursionError) as error:  # pydantic's and json's are ValueErrors
            reason = str(error).splitlines()[0]
            fault = UserError(f"{path} line {number} is not a manifest entry ({reason}): correct or delete it")
            if on_fault is None:
                raise fault from error
            on_fault(number, reason)
            first_fault = first_fault or fault
            continue
        if split is not None and entry.split != split:
            continue
        audio = (path.parent / entry.path).absolute()
        entry = entry.model_copy(update={"path": str(audio), "id": entry.id or audio.stem})
        if not entry.model_fields_set & {"captions", "info"}:
            entry, problems = _with_sidecar(entry, path)
            faulty += problems
        if missing == "refuse" and not audio.is_file():
            gone.append(str(audio))
        entries.append(entry)
    if faulty:
        name, reason = faulty[0]
        _logger.warning("metadata beside the recordings: %d faulty, the first in %s: %s", len(faulty), name, reason)
    if not entries:
        if first_fault is not None:
            raise first_fault
        wanted = "no entries" if split is None else f"no entries of split {split!r}"
        raise UserError(f"{path} has {wanted}: scan or compose a data set first")
    if gone:
        raise UserError(
            f"{len(gone)} of {len(entries)} recordings of {path} are not there, the first is {gone[0]}: "
            "put them back, or leave them out with `cadenza data check --drop`"
        )
    return entries


def write_manifest(path: str | Path, entries: Iterable[Entry]) -> None:
    """Write entries, atomically; audio below the manifest's folder is stored with a relative path.

    A path ending in `.gz` is compressed. An entry whose split was never chosen is written without one.
    """
    path = Path(path)
    folder = path.parent.absolute()
    opener = gzip.open if path.suffix == ".gz" else open
    with atomic_file(path) as temporary, opener(temporary, "wt", encoding="utf-8") as lines:
        for entry in entries:
            audio = Path(entry.path)
            relative = audio.relative_to(folder) if audio.is_relative_to(folder) else audio
            row = entry.model_dump(mode="json", exclude_none=True) | {"path": relative.as_posix()}
            if not entry.has_split:
                del row["split"]
            lines.write(json.dumps(row, ensure_ascii=False) + "\n")


def _lines(path: Path) -> Iterator[str]:
    opener = gzip.open if path.suffix == ".gz" else open
    try:
        with opener(path, "rt", encoding="utf-8") as lines:
            yield from lines
    except (OSError, EOFError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else type(error).__name__
        raise UserError(f"{path}: cannot be read as a manifest ({reason}); restore it or scan again") from error


def _with_sidecar(entry: Entry, manifest: Path) -> tuple[Entry, tuple[tuple[str, str], ...]]:
    """The entry with what is said beside its recording, and what of that could not be used."""
    info_path = None if entry.info_path is None else str(manifest.parent / entry.info_path)
    found = read_sidecar(entry.path, info_path)
    unread = next(
        (reason for name, reason in found.problems if name == info_path and reason.startswith(UNREADABLE)), None
    )
    if unread is not None:
        raise UserError(f"{manifest}: {info_path}: {unread}; correct it or its info_path")
    return entry.model_copy(update={"captions": found.captions, "info": found.info or {}}), found.problems
