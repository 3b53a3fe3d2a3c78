"""A Hugging Face data set of sound and text to files and a manifest, through the `datasets` package (extra `data`).

In: a name on the Hub, a folder that `datasets` wrote, or a folder of audio with a table (`audiofolder`). Out: a folder
with `audio/` and `manifest.jsonl`. Sound is never decoded by `datasets` (which would need torchcodec): the bytes are
kept as they are where they can be read, and so lose nothing; plain samples become FLAC. What was written is not written
again.
"""

import csv
import io
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from cadenza.audio import Audio
from cadenza.checkpoint import read_json, write_json
from cadenza.data.captions import MERGED_FIELDS, Info
from cadenza.data.measure import measure_all
from cadenza.data.scan import MANIFEST, Recording, Report, Skipped, journal_of, write_report
from cadenza.data.sidecar import usable_info
from cadenza.errors import CadenzaError, UserError
from cadenza.files import atomic_file

CAPTION_COLUMNS = ("caption", "captions", "text", "description", "prompt", "main_caption", "transcription")
INFO_COLUMNS = ("title", "artist", "name", *MERGED_FIELDS)
SPLITS = {"validation": "valid", "valid": "valid", "val": "valid", "dev": "valid", "test": "test", "train": "train"}
SOURCE = ".source.json"
"""Where the recordings of a folder come from."""
EXTENSIONS = {"WAV": ".wav", "WAVEX": ".wav", "FLAC": ".flac", "OGG": ".ogg", "MP3": ".mp3", "AIFF": ".aiff"}


def import_hub(
    source: str | Path,
    out: str | Path,
    audio_column: str | None = None,
    caption_column: str | None = None,
    split: str | None = None,
    limit: int | None = None,
    workers: int = 1,
    on_progress: Callable[[int, int], None] | None = None,
) -> Report:
    """Make the data set, or go on with it.

    Args:
        source: a name on the Hub, or a folder.
        out: folder of the data set.
        audio_column: where the sound is; None: the only column of that kind.
        caption_column: where the words are (a text, or a list of them); None: the first of `CAPTION_COLUMNS`.
        split: only this one; None: all there are, each becoming the split of that name here.
        limit: only the first rows of each split.
        workers: processes that measure the recordings.
        on_progress: called with recordings done and wanted.

    Raises UserError for a source, column or split that is not there, CadenzaError where the Hub is out of reach.
    """
    if limit is not None and limit < 1:
        raise UserError(f"the first {limit} rows: give 1 or more")
    out = Path(out).absolute()
    parts = _open(source, split)
    skipped: list[Skipped] = []
    written: list[tuple[Path, Mapping[str, Any], str, Mapping[str, Any], str | None]] = []
    total = sum(len(part) if limit is None else min(limit, len(part)) for part in parts.values())
    done = 0
    columns = {
        name: (_audio_column(part, audio_column), _caption_column(part, caption_column)) for name, part in parts.items()
    }
    _claim(out / "audio" / SOURCE, source, {name: sound for name, (sound, _) in columns.items()})
    for name, part in parts.items():
        sound, words = columns[name]
        part = _undecoded(part, sound)
        others = part.remove_columns([sound])
        for row in range(len(part) if limit is None else min(limit, len(part))):
            stem = out / "audio" / f"{name}-{row:06d}"
            try:
                path = _existing(stem) or _write(stem, part[row][sound])
                written.append((path, others[row], name, others.features, words))
            except UserError as error:
                skipped.append(Skipped(str(stem), "damaged", f"damaged: {str(error).split('; ')[0]}"))
            done += 1
            if on_progress is not None:
                on_progress(done, total)
    facts = measure_all([str(path) for path, *_ in written], journal_of(out / MANIFEST), workers)
    recordings = []
    for (path, values, name, features, words), measured in zip(written, facts, strict=True):
        captions = _captions(values.get(words) if words else None)
        info = _info(values, features)
        fields = {"split": SPLITS[name]} if name in SPLITS and len(parts) > 1 else {}
        recordings.append(Recording(str(path), measured, captions, info, path.stem, fields))
    return write_report(out / MANIFEST, recordings, skipped, 1.0, None, out / "audio")


# ---- opening ---------------------------------------------------------------------------------------------------------


def _open(source: str | Path, split: str | None) -> dict[str, Any]:
    """The parts of a data set by name."""
    try:
        import datasets
    except ImportError as error:
        raise UserError("Hugging Face data sets need a package: pip install cadenza[data]") from error
    folder = Path(source)
    try:
        if folder.is_dir() and ((folder / "dataset_dict.json").exists() or (folder / "dataset_info.json").exists()):
            found = datasets.load_from_disk(str(folder))
        elif folder.is_dir():
            found = datasets.Dataset.from_list(_folder_rows(folder))
        else:
            found = datasets.load_dataset(str(source))
    except UserError:
        raise
    except ImportError as error:
        raise UserError(f"{source}: {(str(error).splitlines() or ['a package is missing'])[0]}") from error
    except (OSError, ValueError, datasets.exceptions.DatasetsError) as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        kind = CadenzaError if isinstance(error, ConnectionError) else UserError
        remedy = "give a folder, or the name of a data set on the Hub"
        raise kind(f"{source}: cannot be loaded ({reason}); {remedy}") from error
    parts = dict(found) if isinstance(found, dict) else {str(found.split or "train"): found}
    if split is not None and split not in parts:
        raise UserError(f"{source}: no split {split!r}; there are {', '.join(sorted(parts))}")
    return parts if split is None else {split: parts[split]}


def _folder_rows(folder: Path) -> list[dict[str, Any]]:
    """A folder of files with `metadata.csv` or `metadata.jsonl` (`file_name` and more), as `audiofolder` reads them.

    Read here, since `datasets` would want torchcodec for it.
    """
    table = next((path for name in ("metadata.jsonl", "metadata.csv") if (path := folder / name).is_file()), None)
    if table is None:
        raise UserError(
            f"{folder}: neither a stored data set nor a folder with metadata.csv or metadata.jsonl; "
            "for a folder of recordings use `cadenza data scan`"
        )
    with table.open(encoding="utf-8-sig", newline="") as file:
        rows = (
            list(csv.DictReader(file))
            if table.suffix == ".csv"
            else [json.loads(line) for line in file if line.strip()]
        )
    if not all(isinstance(row, dict) and row.get("file_name") for row in rows):
        raise UserError(f"{table}: not every row has a file_name; add it")
    return [{"audio": {"path": str(folder / row.pop("file_name"))}} | row for row in rows]


def _audio_column(part: Any, wanted: str | None) -> str:
    import datasets

    if wanted is not None:
        if wanted not in part.column_names:
            raise UserError(f"no column {wanted!r}; there are {', '.join(part.column_names)}")
        return wanted
    found = [
        name
        for name, kind in part.features.items()
        if isinstance(kind, datasets.Audio) or (isinstance(kind, dict) and kind.keys() & {"bytes", "path", "array"})
    ]
    if len(found) != 1:
        kind = "several columns" if found else "no column"
        raise UserError(f"{kind} of sound among {', '.join(part.column_names)}: name one with --audio-column")
    return str(found[0])


def _caption_column(part: Any, wanted: str | None) -> str | None:
    if wanted is not None and wanted not in part.column_names:
        raise UserError(f"no column {wanted!r}; there are {', '.join(part.column_names)}")
    return wanted or next((name for name in CAPTION_COLUMNS if name in part.column_names), None)


def _undecoded(part: Any, column: str) -> Any:
    import datasets

    if isinstance(part.features[column], datasets.Audio):
        return part.cast_column(column, datasets.Audio(decode=False))
    return part


# ---- writing ---------------------------------------------------------------------------------------------------------


def _claim(path: Path, source: str | Path, columns: Mapping[str, str]) -> None:
    """Note whose recordings lie in a folder. They are named by row: those of another source must not pass for them."""
    name = str(Path(source).absolute()) if Path(source).is_dir() else str(source)
    before: dict[str, Any] = read_json(path) if path.exists() else {"source": name, "columns": {}}
    if before["source"] != name or any(before["columns"].get(part, sound) != sound for part, sound in columns.items()):
        raise UserError(
            f"{path.parent} holds recordings of {before['source']}, or of another column: choose another --out"
        )
    write_json(path, {"source": name, "columns": before["columns"] | columns})


def _existing(stem: Path) -> Path | None:
    return next((path for end in sorted(set(EXTENSIONS.values())) if (path := Path(f"{stem}{end}")).exists()), None)


def _write(stem: Path, value: Any) -> Path:
    """A cell of the sound column to a file. Raises UserError for one that holds no sound."""
    import soundfile

    if isinstance(value, Mapping) and value.get("array") is not None:
        samples = np.asarray(value["array"], dtype=np.float32)
        path = Path(f"{stem}.flac")
        return Audio(samples, int(value["sampling_rate"])).write(path, loudness_lufs=None)
    content, place = (value.get("bytes"), value.get("path")) if isinstance(value, Mapping) else (value, value)
    if not isinstance(content, bytes) and isinstance(place, str):
        try:
            content = Path(place).read_bytes()
        except OSError as error:
            raise UserError(f"{place}: {error.strerror}; fetch the data set again") from error
    if not isinstance(content, bytes):
        raise UserError("holds no sound; choose another --audio-column")
    try:
        kind = soundfile.info(io.BytesIO(content)).format
    except (soundfile.SoundFileError, TypeError) as error:
        raise UserError("not audio that can be read; convert it to FLAC") from error
    path = Path(f"{stem}{EXTENSIONS.get(kind, '.wav')}")  # libsndfile goes by the content, not by the name
    with atomic_file(path) as temporary:
        temporary.write_bytes(content)
    return path


def _captions(value: Any) -> tuple[str, ...]:
    texts = [value] if isinstance(value, str) else value if isinstance(value, list) else []
    return tuple(dict.fromkeys(text.strip() for text in texts if isinstance(text, str) and text.strip()))


def _info(row: Mapping[str, Any], features: Mapping[str, Any]) -> Info:
    """The fields that captions use; a class is told by its name, and a list becomes text where text is expected."""
    raw: dict[str, Any] = {}
    for name in INFO_COLUMNS:
        value = row.get(name)
        if isinstance(value, int) and hasattr(features[name], "int2str"):
            value = features[name].int2str(value)
        if isinstance(value, list) and name not in ("moods", "keywords"):
            value = ", ".join(str(item) for item in value)
        raw[name] = value
    return usable_info(raw)[0]
