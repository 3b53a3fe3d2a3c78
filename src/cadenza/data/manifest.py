"""The manifest of a data set: one JSON object per line, `manifest.jsonl` (or audiocraft's `data.jsonl[.gz]`).

In: a folder or a manifest file. Out: typed entries with absolute paths. Fields that it does not know are kept.
"""

import gzip
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pydantic
from pydantic import Field

from cadenza.errors import UserError
from cadenza.files import atomic_file

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
    weight: float | None = Field(None, description="relative chance of being drawn, per second (audiocraft)")

    @property
    def tags(self) -> dict[str, Any]:
        """The fields that `Entry` does not name."""
        return dict(self.model_extra or {})


def manifest_path(source: str | Path) -> Path:
    """The manifest file of a folder, or the file itself."""
    source = Path(source)
    if source.is_file():
        return source
    for name in NAMES:
        if (source / name).is_file():
            return source / name
    raise UserError(f"no manifest in {source}: expected a folder that holds {' or '.join(NAMES)}")


def read_manifest(source: str | Path, split: str | None = None) -> list[Entry]:
    """Entries of a manifest, of one split if given, in file order, paths made absolute."""
    path = manifest_path(source)
    opener = gzip.open if path.suffix == ".gz" else open
    entries: list[Entry] = []
    with opener(path, "rt", encoding="utf-8") as lines:
        for number, line in enumerate(lines, start=1):
            if not line.strip():
                continue
            try:
                entry = Entry.model_validate(json.loads(line))
            except (json.JSONDecodeError, pydantic.ValidationError) as error:
                reason = str(error).splitlines()[0]
                raise UserError(
                    f"{path} line {number} is not a manifest entry ({reason}): correct or delete it"
                ) from error
            audio = (path.parent / entry.path).absolute()
            if split is None or entry.split == split:
                entries.append(entry.model_copy(update={"path": str(audio), "id": entry.id or audio.stem}))
    if not entries:
        wanted = "no entries" if split is None else f"no entries of split {split!r}"
        raise UserError(f"{path} has {wanted}: scan or compose a data set first")
    return entries


def write_manifest(path: str | Path, entries: Iterable[Entry]) -> None:
    """Write entries, atomically; audio below the manifest's folder is stored with a relative path."""
    path = Path(path)
    folder = path.parent.absolute()
    with atomic_file(path) as temporary, temporary.open("w", encoding="utf-8") as lines:
        for entry in entries:
            audio = Path(entry.path)
            relative = audio.relative_to(folder) if audio.is_relative_to(folder) else audio
            row = entry.model_dump(mode="json", exclude_none=True) | {"path": relative.as_posix()}
            lines.write(json.dumps(row, ensure_ascii=False) + "\n")
