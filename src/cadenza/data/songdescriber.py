"""The Song Describer dataset: 1,106 captions of 706 tracks from MTG-Jamendo, two minutes each (Manco et al., 2023).

In: `song_describer.csv` (a row per caption: caption_id, track_id, caption, is_valid_subset, familiarity, artist_id,
album_id, path, duration) and the folder of its MP3 files (`53/1004034.2min.mp3`; `path` in the table lacks the
`.2min`). Out: a manifest with one entry a track and all its captions. The set is for evaluation: its split is test.
"""

import ast
import csv
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from cadenza.data.measure import measure_all
from cadenza.data.scan import MANIFEST, Recording, Report, Skipped, journal_of, write_report
from cadenza.data.sidecar import usable_info
from cadenza.errors import UserError

COLUMNS = ("track_id", "caption", "path")
KEPT_FIELDS = ("artist_id", "album_id")
TAG_FIELDS = {"genre": "genre", "instrument": "instrument", "mood/theme": "moods"}
"""Columns of MTG-Jamendo's tags, which some copies of the table hold, and what they are called here."""


def import_songdescriber(
    table: str | Path,
    audio: str | Path,
    out: str | Path | None = None,
    valid_only: bool = False,
    workers: int = 1,
    on_progress: Callable[[int, int], None] | None = None,
) -> Report:
    """Write the manifest; the recordings stay where they are.

    Args:
        table: the CSV.
        audio: folder of the recordings, as unpacked.
        out: the manifest; None: `manifest.jsonl` in the folder of the recordings.
        valid_only: only captions that were checked (`is_valid_subset`: 746 of 546 tracks).
        workers: processes that measure the recordings.
        on_progress: called with recordings done and wanted.

    Raises UserError for another table, and where no recording is found.
    """
    folder = Path(audio).absolute()
    if not folder.is_dir():
        raise UserError(f"{folder}: no such folder; give the one with the recordings")
    manifest = folder / MANIFEST if out is None else Path(out).absolute()
    if not manifest.name.endswith((".jsonl", ".jsonl.gz")):
        raise UserError(f"{manifest}: give the name of a file, such as {manifest / MANIFEST}")
    tracks: dict[str, list[Mapping[str, str]]] = {}
    for row in read_rows(table):
        if not valid_only or row.get("is_valid_subset", "").strip().lower() == "true":
            tracks.setdefault(row["track_id"].strip(), []).append(row)
    found: dict[str, Path] = {}
    skipped = []
    for track, rows in tracks.items():
        path = _find(folder, track, rows[0]["path"])
        if path is None:
            skipped.append(Skipped(str(folder / rows[0]["path"]), "missing", "missing: not in the folder"))
        else:
            found[track] = path
    if not found:
        raise UserError(f"none of {len(tracks)} recordings is in {folder}; give the folder that was unpacked")
    facts = measure_all([str(path) for path in found.values()], journal_of(manifest), workers, on_progress)
    recordings = []
    for (track, path), measured in zip(found.items(), facts, strict=True):
        rows = tracks[track]
        captions = tuple(dict.fromkeys(text for row in rows if (text := row["caption"].strip())))
        raw = {ours: ", ".join(_words(rows[0].get(name) or "")) for name, ours in TAG_FIELDS.items()}
        info, _ = usable_info(raw)
        fields: dict[str, Any] = {"track_id": track, "split": "test"}
        fields |= {name: rows[0][name] for name in KEPT_FIELDS if rows[0].get(name)}
        recordings.append(Recording(str(path), measured, captions, info, track, fields))
    return write_report(manifest, recordings, skipped, 1.0, None, folder, leave_out_copies=False)


def read_rows(table: str | Path) -> Iterator[dict[str, str]]:
    """The rows of the CSV. Raises UserError for a file that is another."""
    table = Path(table)
    try:
        with table.open(encoding="utf-8-sig", newline="") as file:
            rows = csv.DictReader(file)
            lacking = [name for name in COLUMNS if name not in (rows.fieldnames or ())]
            if lacking:
                raise UserError(f"{table}: no column {', '.join(lacking)}; give song_describer.csv")
            for row in rows:
                yield {name: value or "" for name, value in row.items() if isinstance(name, str)}
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        reason = error.strerror if isinstance(error, OSError) else str(error)
        raise UserError(f"{table}: cannot be read ({reason}); give song_describer.csv") from error


def _find(folder: Path, track: str, path: str) -> Path | None:
    """A track's file, wherever the archive was unpacked: with or without its folders, cut to two minutes or not."""
    told = Path(path or f"{track}.mp3")
    names = [told.with_suffix(f".2min{told.suffix}"), told]
    names += [Path(name.name) for name in names] + [Path(f"{track}.2min.mp3"), Path(f"{track}.mp3")]
    for root in (folder, folder / "audio"):
        for name in names:
            if (root / name).is_file():
                return root / name
    return None


def _words(text: str) -> list[str]:
    """`['rock', 'pop']`, `genre---rock,genre---pop` or plain words, as several copies of the table have them."""
    try:
        found = ast.literal_eval(text)
    except (ValueError, SyntaxError):
        found = text.split(",")
    items = found if isinstance(found, list | tuple) else [found]
    return [word for item in items if (word := str(item).rpartition("---")[2].strip())]
