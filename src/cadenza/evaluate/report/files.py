"""A report on the disk: `report.json`, `items.csv`, `summary.md`, `index.html` and, if wanted, a folder of sounds.

Each file appears whole or not at all, the page last; the same report gives the same bytes.
"""

import csv
import io
import json
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from cadenza.evaluate.report.build import Built
from cadenza.evaluate.report.page import page
from cadenza.evaluate.report.summary import summary
from cadenza.files import atomic_directory, atomic_file

DATA, ITEMS, SUMMARY, PAGE, SOUNDS = "report.json", "items.csv", "summary.md", "index.html", "samples"


def write_report(built: Built, folder: Path) -> Path:
    """Write all of it; the path of the page. Raises CadenzaError where the disk refuses."""
    folder.mkdir(parents=True, exist_ok=True)
    _write(folder / DATA, json.dumps(built.report.model_dump(mode="json"), indent=1, ensure_ascii=False) + "\n")
    _write(folder / ITEMS, table(built.rows))
    _write(folder / SUMMARY, summary(built.report))
    sounds = None
    if built.report.config.sound == "folder":
        sounds = [f"{SOUNDS}/{number:02d}-{sample.rank}.opus" for number, sample in enumerate(built.report.samples, 1)]
        with atomic_directory(folder / SOUNDS) as temporary:
            for name, media in zip(sounds, built.media, strict=True):
                (temporary / Path(name).name).write_bytes(media.sound)
    elif (folder / SOUNDS).is_dir():
        shutil.rmtree(folder / SOUNDS)  # of an earlier report
    _write(folder / PAGE, page(built, sounds))
    return folder / PAGE


def table(rows: Sequence[dict[str, Any]]) -> str:
    """Comma-separated values, all columns that any row has, in the order in which they first appear."""
    names = list(dict.fromkeys(name for row in rows for name in row))
    text = io.StringIO()
    writer = csv.DictWriter(text, names, restval="", lineterminator="\n")
    writer.writeheader()
    writer.writerows({name: "" if value is None else value for name, value in row.items()} for row in rows)
    return text.getvalue()


def _write(path: Path, text: str) -> None:
    with atomic_file(path) as temporary:
        temporary.write_text(text, encoding="utf-8", newline="\n")
