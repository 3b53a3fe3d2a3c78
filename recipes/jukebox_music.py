"""Composed music as Jukebox is told of it: `python recipes/jukebox_music.py CORPUS OUT`.

In: a corpus of `cadenza.corpus.build`. Out: a manifest of the same recordings, with what a Jukebox prior reads. Genre:
the corpus' own. Artist: nobody plays composed music, so the part of an artist, who is playing, is taken by the lead
instrument, which is the first of those that are heard in the clip. Length of the piece that a clip is cut from, and
where in it the clip begins, s.
"""

import argparse
import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from cadenza.data.manifest import manifest_path
from cadenza.errors import UserError
from cadenza.files import atomic_file


def told(rows: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """What is told of each clip, those without an instrument left out."""
    ends: dict[int, float] = {}
    for row in rows:
        ends[row["seed"]] = max(ends.get(row["seed"], 0.0), row["start_seconds"] + row["duration"])
    return [
        row | {"artist": row["instruments"][0], "piece_seconds": round(ends[row["seed"]], 3)}
        for row in rows
        if row["instruments"]
    ]


def main(arguments: Sequence[str] | None = None) -> None:
    """Write the manifest."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("corpus", type=Path)
    parser.add_argument("out", type=Path, help="folder of the new manifest")
    options = parser.parse_args(arguments)
    source = manifest_path(options.corpus)
    rows = told([json.loads(line) for line in source.read_text(encoding="utf-8").splitlines()])
    if not rows:
        raise UserError(f"{source} names no instruments: give a corpus of `cadenza.corpus.build`")
    lines = []
    for row in rows:
        path = os.path.relpath(source.parent / row["path"], options.out)
        lines.append(json.dumps(row | {"path": path}, ensure_ascii=False) + "\n")
    with atomic_file(options.out / "manifest.jsonl") as temporary:
        temporary.write_text("".join(lines), encoding="utf-8")
    artists, genres = ({row[kind] for row in rows} for kind in ("artist", "genre"))
    hours = sum(row["duration"] for row in rows) / 3600
    print(f"{len(rows)} clips, {hours:.2f} h, {len(artists)} artists, {len(genres)} genres")


if __name__ == "__main__":
    main()
