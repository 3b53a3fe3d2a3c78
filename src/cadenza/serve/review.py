"""Listen to recordings and keep or drop each: a page for one person, on this machine alone.

In: a manifest. Out: `review.jsonl` beside it, which every decision reaches at once (`serve.decisions`), and
`reviewed.jsonl`, the manifest of what was kept. So System 1's authors cleaned MusicCaps: by ear.

The server listens on 127.0.0.1 only, guarded as `serve.local` tells; recordings are asked for by their number in the
manifest, never by a path. Needs the extra `serve`: fastapi and uvicorn.
"""

import base64
from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import pydantic

from cadenza.audio import Audio
from cadenza.data.filter import FIELD, TAGS, content_of
from cadenza.data.manifest import Entry, manifest_path, read_manifest, write_manifest
from cadenza.errors import UserError
from cadenza.serve.decisions import Decisions
from cadenza.serve.local import TYPES, guarded_app, serve_app

if TYPE_CHECKING:
    from fastapi import FastAPI

PAGE = Path(__file__).parent / "page" / "review.html"
DECISIONS, REVIEWED = "review.jsonl", "reviewed.jsonl"
COLUMNS, ROWS = 480, 64  # of the picture
_WINDOW = 1024
_FLOOR_DB = 70.0  # below the loudest


@dataclass(frozen=True)
class Review:
    """The recordings of a manifest and what has been decided about them."""

    source: Path
    entries: list[Entry]
    decisions: Decisions

    @classmethod
    def open(cls, source: str | Path) -> "Review":
        """Raises UserError for a bad manifest or file of decisions; recordings that are not there are left out."""
        path = manifest_path(source)
        entries = [entry for entry in read_manifest(path, missing="keep") if Path(entry.path).is_file()]
        if not entries:
            raise UserError(f"none of the recordings of {path} is there: put them back, or scan the folder again")
        return cls(path, entries, Decisions(path.parent / DECISIONS))

    def counts(self) -> dict[str, int]:
        made = [self.decisions[entry.path] for entry in self.entries]
        return {"all": len(made), "keep": made.count("keep"), "drop": made.count("drop"), "open": made.count(None)}

    def kept(self) -> list[Entry]:
        return [entry for entry in self.entries if self.decisions[entry.path] == "keep"]

    def apply(self) -> Path:
        """Write the manifest of what was kept; what is not decided yet is left out."""
        kept = self.kept()
        if not kept:
            raise UserError(f"nothing is kept yet in {self.decisions.path}: listen with `cadenza data review` first")
        target = self.source.parent / REVIEWED
        write_manifest(target, kept)
        return target


def describe(index: int, entry: Entry, decision: str | None) -> dict[str, Any]:
    """What the page shows of a recording."""
    content = content_of(entry)
    facts = {name: value for name, value in entry.tags.items() if name != FIELD and value not in (None, "", [], ())}
    return {
        "index": index,
        "id": entry.id,
        "duration": entry.duration,
        "split": entry.split,
        "captions": list(entry.captions),
        "tags": {name: content[name] for name in TAGS if isinstance(content.get(name), int | float)},
        "method": str(content.get("method", "")),
        "facts": {name: ", ".join(map(str, v)) if isinstance(v, list | tuple) else str(v) for name, v in facts.items()},
        "decision": decision,
    }


def draw(audio: Audio) -> dict[str, Any]:
    """The picture of a sound: `peaks`, the largest level of each column (0 to 1), and `spectrum`, base64 of bytes.

    Byte `column * rows + row` is the level in one band, lowest first, 0 (70 dB below the loudest) to 255.
    """
    wave = audio.with_channels(1).samples[0]
    wave = np.pad(wave, (0, max(0, COLUMNS * 2 - wave.size)))
    edges = np.linspace(0, wave.size, COLUMNS + 1).astype(int)
    peaks = np.maximum.reduceat(np.abs(wave), edges[:-1])
    padded = np.pad(wave, (_WINDOW // 2, _WINDOW))
    frames = np.stack([padded[start : start + _WINDOW] for start in (edges[:-1] + edges[1:]) // 2])
    power = np.square(np.abs(np.fft.rfft(frames * np.hanning(_WINDOW), axis=1)))
    # Bands of equal width in the square root of frequency: nearly what the ear hears, and no band is empty.
    bands = np.maximum.accumulate((np.linspace(1, np.sqrt(_WINDOW // 2), ROWS + 1) ** 2).astype(int))
    levels = np.stack([power[:, low : max(low + 1, high)].max(axis=1) for low, high in pairwise(bands)], 1)
    decibels = 10 * np.log10(np.maximum(levels / max(float(levels.max()), 1e-12), 1e-12))
    shades = np.clip((decibels + _FLOOR_DB) / _FLOOR_DB * 255, 0, 255).astype(np.uint8)
    return {
        "columns": COLUMNS,
        "rows": ROWS,
        "peaks": np.round(peaks.astype(np.float64), 3).tolist(),
        "spectrum": base64.b64encode(shades.tobytes()).decode(),
    }


class Verdict(pydantic.BaseModel):
    """What the page sends: null takes the decision back."""

    model_config = pydantic.ConfigDict(extra="forbid")

    index: int
    decision: Literal["keep", "drop"] | None


def create_app(review: Review) -> "FastAPI":
    """The program behind the page. Raises UserError where fastapi is missing."""
    app = guarded_app("Cadenza: review")
    from fastapi import HTTPException
    from fastapi.responses import FileResponse, HTMLResponse, JSONResponse

    def entry_of(index: int) -> Entry:
        if not 0 <= index < len(review.entries):
            raise HTTPException(404, f"there are {len(review.entries)} recordings")
        return review.entries[index]

    @app.get("/")
    def page() -> HTMLResponse:
        return HTMLResponse(PAGE.read_text(encoding="utf-8"))

    @app.get("/api/recordings")
    def recordings() -> JSONResponse:
        rows = [describe(i, entry, review.decisions[entry.path]) for i, entry in enumerate(review.entries)]
        return JSONResponse({"manifest": review.source.name, "tags": TAGS, "recordings": rows})

    @app.get("/api/audio/{index}")
    def audio(index: int) -> FileResponse:
        path = Path(entry_of(index).path)
        if not path.is_file():
            raise HTTPException(404, f"{path} is gone")
        kind = TYPES.get(path.suffix.lower(), "application/octet-stream")
        return FileResponse(path, media_type=kind)  # answers requests for a range, so that one can seek

    @app.get("/api/picture/{index}")
    def picture(index: int) -> JSONResponse:
        return JSONResponse(draw(Audio.read(entry_of(index).path)))

    @app.post("/api/decisions")
    def decide(verdict: Verdict) -> JSONResponse:
        review.decisions.record(entry_of(verdict.index).path, verdict.decision)
        return JSONResponse(review.counts())

    @app.post("/api/apply")
    def apply() -> JSONResponse:
        return JSONResponse({"path": str(review.apply()), **review.counts()})

    return app


def serve(review: Review, port: int, announce: Callable[[str], None]) -> None:
    """Answer until Ctrl-C; `announce` is told the page's address once it is there. Port 0 takes any that is free."""
    serve_app(create_app(review), port, announce)
