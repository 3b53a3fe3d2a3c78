"""`cadenza evaluate fad` and its siblings: one figure of one set, lines for a person and a JSON object as the last."""

import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cadenza.cli.evaluate_sets import about, lines_of, measured, object_of, open_ears, show
from cadenza.cli.values import loudness, show_notices, whole_number
from cadenza.errors import UserError

if TYPE_CHECKING:
    from cadenza.evaluate.measurements import Measurements
    from cadenza.evaluate.report.clipwise import Column
    from cadenza.evaluate.report.figures import Figure

Reference = Annotated[
    Path, typer.Argument(metavar="REFERENCE", help="True music: a folder, a manifest, or a measured set.")
]
Judged = Annotated[Path, typer.Argument(metavar="AUDIO", help="What is judged: a folder, a manifest, a measured set.")]
Embedding = Annotated[
    str, typer.Option(metavar="E", help="Who hears it, NAME or NAME:PATH; see cadenza evaluate embedders.")
]
Level = Annotated[
    str, typer.Option("--loudness", metavar="LUFS", help="Every clip is brought to it before it is heard; or off.")
]
Prompts = Annotated[
    Path | None,
    typer.Option(metavar="FILE", help="JSON lines with id, text, tempo_bpm, key, ...; clips are paired by file name."),
]
Seed = Annotated[int, typer.Option(metavar="N", parser=whole_number, help="Of resampling.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print nothing but the JSON object.")]
SeveralFiles = Annotated[list[Path], typer.Argument(metavar="FILE...", help="Measured sets.")]


def fad(
    reference: Reference, audio: Judged, embedding: Embedding = "mel", level: Level = "-14", seed: Seed = 0,
    as_json: AsJson = False,
) -> None:  # fmt: skip
    """Fréchet distance to true music, its interval, FAD-infinity, and single clips that stand out.

    The papers' setting: --embedding vggish.
    """
    from cadenza.evaluate.report.setwise import fad as figure_of

    true, made = _two(reference, audio, embedding, level)
    name = _common(true, made)
    figure = figure_of(made, true, name, seed)
    distances = _distances(true, made, name)
    worst = sorted(distances, key=lambda one: (-one[1], one[0]))[:5]
    lines = [*lines_of([figure]), "furthest clips: " + ", ".join(f"{clip} ({value:.3g})" for clip, value in worst)]
    result = object_of("fad", figure, {"reference": true, "audio": made}, per_clip=dict(distances))
    show(lines, result, as_json)


def kad(
    reference: Reference, audio: Judged, embedding: Embedding = "mel", level: Level = "-14", seed: Seed = 0,
    as_json: AsJson = False,
) -> None:  # fmt: skip
    """Kernel distance to true music: unbiased, for sets too small for a Fréchet distance."""
    from cadenza.evaluate.report.setwise import kad as figure_of

    _distance("kad", figure_of, _two(reference, audio, embedding, level), seed, as_json)


def mad(
    reference: Reference, audio: Judged, embedding: Embedding = "mert", level: Level = "-14", seed: Seed = 0,
    as_json: AsJson = False,
) -> None:  # fmt: skip
    """MAUVE divergence from true music; the paper's is that of MERT."""
    from cadenza.evaluate.report.setwise import mad as figure_of

    _distance("mad", figure_of, _two(reference, audio, embedding, level), seed, as_json)


def kl(
    reference: Reference, audio: Judged, labels: Embedding = "passt", level: Level = "-14", seed: Seed = 0,
    as_json: AsJson = False,
) -> None:  # fmt: skip
    """How differently labels are heard in clips and the true recordings of the same names, KL(true || made)."""
    show_notices(once=True)
    ears = open_ears(labellers=[labels])
    true, made = _sets((reference, audio), ears, level)
    names = {clip for clip in (*made.ids, *(c.piece for c in made.clips)) if clip in set(true.ids)}
    if not names:
        raise UserError(
            f"no clip of {audio} ({made.ids[0]!r}) is named as one of {reference} ({true.ids[0]!r}): name pairs alike"
        )
    unpaired = [clip.id for clip in made.clips if not {clip.id, clip.piece} & names]
    _one("kl", made, true, {"reference": true, "audio": made}, seed, as_json, unpaired=unpaired)


def clap(
    audio: Judged, prompts: Prompts = None, embedding: Embedding = "clap", level: Level = "-14", seed: Seed = 0,
    as_json: AsJson = False,
) -> None:  # fmt: skip
    """Text alignment: the cosine between clips and their captions, and what other captions reach.

    --embedding mel is the ear that ships; figures of different networks or weights cannot be compared.
    """
    show_notices(once=True)
    made = _one_set(audio, open_ears(joints=[embedding]), level, prompts)
    _one("text_alignment", made, None, {"audio": made}, seed, as_json, key="clap")


def chroma(
    audio: Judged,
    tunes: Annotated[
        Path | None,
        typer.Option(
            "--tunes", metavar="DIR", help="The melodies, named as the clips. [default: those of the prompts]"
        ),
    ] = None,
    prompts: Prompts = None,
    seed: Seed = 0,
    as_json: AsJson = False,
) -> None:
    """Whether music follows the melody that it was asked to follow: share of frames with its pitch class."""
    show_notices(once=True)
    from dataclasses import replace

    from cadenza.evaluate.clips import Refused, read_clips

    clips = read_clips(audio, prompts)
    if tunes is not None:
        places = {clip.id: clip.path for clip in read_clips(tunes).clips}
        paired = [c for c in clips.clips if {c.id, c.piece} & places.keys()]
        without = tuple(Refused(c.id, f"no tune of this name in {tunes.name}") for c in clips.clips if c not in paired)
        if not paired:
            raise UserError(f"no clip of {audio} is named as a tune in {tunes}: name the pairs alike")
        asked = [replace(c, asked=replace(c.asked, melody=places.get(c.id, places.get(c.piece)))) for c in paired]
        clips = replace(clips, clips=tuple(asked), refused=(*clips.refused, *without))
    if not any(clip.asked.melody for clip in clips.clips):
        raise UserError(f"{audio}: no clip was asked to follow a melody; give --tunes DIR, or --prompts with `melody`")
    made = measured(clips, open_ears())
    _one("chroma", made, None, {"audio": made}, seed, as_json)


def control(audio: Judged, prompts: Prompts = None, seed: Seed = 0, as_json: AsJson = False) -> None:
    """Whether tempo, key, instruments and genre are those that were asked for, beside what chance reaches."""
    show_notices(once=True)
    made = _one_set(audio, open_ears(control=True), "-14", prompts)
    from cadenza.evaluate.report.metrics import CONTROL

    found = [column for column in _columns(made) if column.metric.group == CONTROL]
    if not found:
        raise UserError(f"{audio}: nothing was asked of these clips; give --prompts FILE, or captions in a manifest")
    _several("control", made, found, seed, as_json)


def loudness_of(audio: Judged, seed: Seed = 0, as_json: AsJson = False) -> None:
    """Loudness (BS.1770), true peak, silence and clipping of the files as they are; drift of clips over 30 s."""
    show_notices(once=True)
    made = _one_set(audio, open_ears(), "off", None)
    wanted = ("loudness", "true_peak", "silence", "clipping", "loudness_drift", "brightness_drift")
    _several("loudness", made, [c for c in _columns(made) if c.metric.name in wanted], seed, as_json)


def repetition(audio: Judged, seed: Seed = 0, as_json: AsJson = False) -> None:
    """How much of each clip nearly copies an earlier stretch of it, and how long it stands still."""
    show_notices(once=True)
    made = _one_set(audio, open_ears(), "off", None)
    found = [column for column in _columns(made) if column.metric.name in ("repetition", "stuck")]
    _several("repetition", made, found, seed, as_json)


# -------------------------------------------------------------------------------------------------------------- inside


def lufs(text: str) -> float | None:
    """`off` is None."""
    value = loudness(text)
    return None if math.isnan(value) else value


def _two(reference: Path, audio: Path, embedding: str, level: str) -> "tuple[Measurements, Measurements]":
    show_notices(once=True)
    true, made = _sets((reference, audio), open_ears([embedding]), level)
    return true, made


def _sets(sources: Sequence[Path], ears: Any, level: str) -> "list[Measurements]":
    return [_one_set(source, ears, level, None) for source in sources]


def _one_set(source: Path, ears: Any, level: str, prompts: Path | None) -> "Measurements":
    return measured(source, ears, lufs(level), prompts=prompts)


def _common(true: "Measurements", made: "Measurements") -> str:
    """The one embedder of sets that were measured just now; of measured sets the first that is wanted."""
    return next(name for name in made.embeddings if name in true.embeddings)


def _distances(true: "Measurements", made: "Measurements", embedder: str) -> list[tuple[str, float]]:
    from cadenza.evaluate.frechet import frechet_per_piece
    from cadenza.evaluate.report.setwise import statistics_of

    values = frechet_per_piece(statistics_of(true, embedder), made.embeddings[embedder].windows)
    return list(zip(made.ids, values, strict=True))


def _distance(
    key: str, figure_of: Callable[..., "Figure"], sets: "Sequence[Measurements]", seed: int, as_json: bool
) -> None:
    """A figure of two sets, the true one first."""
    true, made = sets
    figure = figure_of(made, true, _common(true, made), seed)
    show(lines_of([figure]), object_of(key, figure, {"reference": true, "audio": made}), as_json)


def _columns(made: "Measurements", true: "Measurements | None" = None) -> "list[Column]":
    from cadenza.evaluate.report.clipwise import columns

    return columns(made, originals=[] if true is None else [true])


def _one(
    metric: str, made: "Measurements", true: "Measurements | None", sets: "dict[str, Measurements]", seed: int,
    as_json: bool, key: str | None = None, **more: Any,
) -> None:  # fmt: skip
    """One figure with its values per clip."""
    from cadenza.evaluate.report.build import clip_figures

    found = [column for column in _columns(made, true) if column.metric.name == metric]
    if not found:
        raise UserError(f"{made.name}: no clip has what {key or metric} is measured by; give --prompts or captions")
    figure = clip_figures(made, found, seed)[0]
    values = {clip: found[0].mean(place) for place, clip in enumerate(made.ids)}
    result = object_of(key or metric, figure, sets, per_clip=values, **more)
    show([*lines_of([figure]), *(f"not paired: {name}" for name in more.get("unpaired", ()))], result, as_json)


def _several(key: str, made: "Measurements", found: "Sequence[Column]", seed: int, as_json: bool) -> None:
    """A family of figures under one key."""
    from cadenza.evaluate.report.build import clip_figures

    figures = clip_figures(made, found, seed)
    values = {
        figure.metric: {
            "value": figure.result.value, "low": figure.result.low, "high": figure.result.high, "count": figure.count,
            "of": figure.of, "unit": figure.unit, **({} if figure.floor is None else {"floor": figure.floor.value}),
        }
        for figure in figures
    }  # fmt: skip
    show(lines_of(figures), {key: values, **about({"audio": made})}, as_json)
