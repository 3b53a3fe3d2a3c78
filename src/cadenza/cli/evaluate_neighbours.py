"""`cadenza evaluate neighbours`: takes that are training music again."""

import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from cadenza.cli.evaluate_metrics import AsJson, Embedding, Level, lufs
from cadenza.cli.evaluate_sets import about, measured, open_ears, show
from cadenza.cli.progress import counter
from cadenza.cli.values import number, show_notices, whole_number
from cadenza.errors import UserError

_LISTED = 20


def neighbours(
    takes: Annotated[Path, typer.Argument(metavar="TAKES", help="What a model made: a folder, or a measured set.")],
    training: Annotated[
        Path, typer.Argument(metavar="TRAINING", help="What it was trained on: a folder, a manifest, a measured set.")
    ],
    held_out: Annotated[
        Path | None,
        typer.Option(
            metavar="MUSIC", help="Music that it never saw, to judge by. [default: the other training pieces]"
        ),
    ] = None,
    embedding: Embedding = "mel",
    suspicious: Annotated[
        float, typer.Option(metavar="P", parser=number, help="Share of unseen music that may be called suspicious.")
    ] = 0.01,
    nearest: Annotated[int, typer.Option(metavar="N", parser=whole_number, help="Training clips named per take.")] = 3,
    level: Level = "-14",
    as_json: AsJson = False,
) -> None:
    """Takes that are copies of training music, and those that are nearer to it than unseen music is.

    Copies are found by fingerprints, other likeness by embeddings: of whole clips, and of windows side by side. The
    last line is JSON.
    """
    show_notices()
    if not 1 <= nearest <= 100:
        raise UserError(f"--nearest {nearest}: choose 1 to 100")
    from cadenza.evaluate.clips import read_clips
    from cadenza.evaluate.measurements import is_measured
    from cadenza.evaluate.neighbours import find_copies, find_neighbours

    ears = open_ears(embedders=[embedding])
    name = ears.embedders[0].identity.name
    level_lufs = lufs(level)
    copies = None
    if is_measured(takes) or is_measured(training):
        print("cadenza: a measured set holds no sound: copies are not looked for by fingerprint", file=sys.stderr)
    else:
        copies = find_copies(read_clips(takes), read_clips(training), counter("fingerprints"))
    sets = {"takes": measured(takes, ears, level_lufs), "training": measured(training, ears, level_lufs)}
    unseen = None if held_out is None else measured(held_out, ears, level_lufs)
    if unseen is not None:
        sets["held_out"] = unseen
    found = find_neighbours(sets["takes"], sets["training"], name, unseen, suspicious, nearest, copies)
    flagged = [one for one in found.found if one.suspicious]
    lines = [
        f"{one.take}: {one.nearest[0].clip}, distance whole {one.whole:.3f} (nearer than "
        f"{1 - one.whole_percentile:.0%} of unseen), aligned {one.aligned:.3f} ({1 - one.aligned_percentile:.0%})"
        + (f"  COPY of {one.copy.clip} ({one.copy.error:.0%} of bits differ)" if one.copy else "")
        + ("  SUSPICIOUS" if one.suspicious and not one.copy else "")
        for one in found.found[: max(_LISTED, len(flagged))]
    ]
    if len(found.found) > len(lines):
        lines.append(f"{len(found.found) - len(lines)} more takes, none suspicious")
    lines.append(
        f"{len(flagged)} of {len(found.found)} takes are suspicious; floor: {found.floor}, {found.floor_count} clips, "
        f"median distances {found.floor_median[0]:.3f} and {found.floor_median[1]:.3f}; by {name} "
        f"({ears.embedders[0].identity.weights[:12]})"
    )
    result: dict[str, Any] = {
        "neighbours": found.record() | {"fingerprints": copies is not None},
        "embedder": ears.embedders[0].identity.record(),
    }
    show(lines, result | about(sets), as_json)
