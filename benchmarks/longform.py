"""Five minutes of music: does it stay what it was? Loudness, spectrum, instruments, key and repetition, every 10 s.

    python benchmarks/longform.py [--model DIR] [--resume]     writes docs/longform.md and docs/longform.png

Long pieces are made of windows that hear the end of what is there (`extend_stride`). Their segments are compared with
their own first 30 s, and with independent takes of the same prompt: what differs less than those has not drifted.
Trends are slopes per minute; their intervals are over pieces. Beside the usual way: other settings, a timeline of
prompts, and a hummed tune where the model hears one. One take each, none picked. The last line is JSON.
"""

import argparse
import io
import json
import platform
import sys
import time
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import numpy as np

import cadenza
from cadenza.audio import Audio
from cadenza.evaluate.chroma import chroma_similarity
from cadenza.evaluate.drift import (
    SEGMENT_SECONDS,
    Segment,
    longest_repeat,
    measure_segments,
    pitch_similarity,
    spectral_distance,
    trend,
)
from cadenza.evaluate.embedders.listener import Listener
from cadenza.evaluate.intervals import Interval, mean_interval
from cadenza.lm.generate import GenerationConfig
from hum import hum, tunes
from takes import keep

HERE = Path(__file__).parent
DOCS = HERE.parent / "docs"
SCRATCH = HERE.parent / "runs" / "longform"
OPENING = 3  # segments that later ones are compared with
USUAL, TUNE = "usual", "with a tune"
COMPARED = [("extend_stride", 2.5), ("extend_stride", 8.0), ("temperature", 1.15)]


class Prompt(NamedTuple):
    """Words, and the instruments that they ask for (any of them will do)."""

    text: str
    instruments: tuple[str, ...]


PROMPTS = (
    Prompt("warm lo-fi beat with Rhodes piano", ("electric piano",)),
    Prompt("string quartet, slow and sad", ("violin", "viola", "cello", "strings")),
    Prompt("pounding techno with an acid bass line", ("acid bass",)),
    Prompt("fingerpicked acoustic guitar, a quiet folk tune", ("acoustic guitar", "classical guitar")),
)


class Model(Protocol):
    """The public face of a pipeline: all that is used of it."""

    @property
    def weights(self) -> str: ...

    def generate(
        self,
        text: Any,
        duration: float,
        seed: int,
        *,
        melody: Audio | None = None,
        config: GenerationConfig | None = None,
    ) -> Audio: ...


class Piece(NamedTuple):
    """A piece, measured: its kind, its prompt, and per segment the figures and the chance of the asked instruments."""

    kind: str
    prompt: Prompt
    segments: list[Segment]
    asked: list[float]
    follows: list[float]
    """Chroma similarity to the tune per segment; empty without one."""
    repeat_seconds: float
    real_time: float
    """Seconds of music made per second."""

    def values(self, measure: str) -> list[float]:
        """One figure per segment."""
        opening = self.segments[:OPENING]
        if measure == "asked":
            return self.asked
        if measure == "brightness":
            return [float(np.log2(max(s.centroid_hz, 20.0))) for s in self.segments]
        if measure == "distance":
            return [spectral_distance(opening, [s]) for s in self.segments[OPENING:]]
        if measure == "pitch":
            return [pitch_similarity(opening, [s]) for s in self.segments[OPENING:]]
        return [float(getattr(s, measure)) for s in self.segments]


MEASURES = {
    "loudness_lufs": ("loudness", "LU"),
    "brightness": ("brightness (spectral centroid)", "octaves"),
    "distance": ("spectrum: distance to the first 30 s", "dB"),
    "pitch": ("pitch classes: correlation with the first 30 s", ""),
    "variety_bits": ("variety: entropy of pitch classes", "bits"),
    "asked": ("asked instruments: chance that they are heard", ""),
    "silent": ("silence: share of time", ""),
    "clipped": ("clipping: share of samples", ""),
}


class Case(NamedTuple):
    """One piece to make."""

    kind: str
    prompt: Prompt
    seed: int
    duration: float
    change: tuple[str, float] | None = None
    """A setting that differs from the model's own."""
    tune: Audio | None = None


# -------------------------------------------------------------------------------------------------------------- takes


def make(model: Model, case: Case, config: GenerationConfig, folder: Path, resume: bool) -> Audio:
    if case.change is not None:
        config = GenerationConfig(**config.model_dump() | dict([case.change]))
    asked = {"text": case.prompt.text, "seed": case.seed, "tune": case.tune is not None}
    asked |= config.model_dump(mode="json") | {"duration": case.duration}
    name = f"{case.kind} {case.prompt.text[:24]} {case.seed}".replace(" ", "_").replace(",", "").replace("/", "_")
    call = partial(model.generate, case.prompt.text, case.duration, case.seed, config=config)
    if case.tune is not None:  # a model that hears none is not asked
        call = partial(call, melody=case.tune)
    return keep(folder / f"{name}.flac", asked, call, resume)


def chances(audio: Audio, prompt: Prompt, ear: Listener) -> float:
    heard = ear.instrument_probabilities(audio)
    return max(heard[name] for name in prompt.instruments)


def measure(audio: Audio, case: Case, ear: Listener) -> Piece:
    segments = measure_segments(audio)
    parts = [audio.slice(s.start_seconds, SEGMENT_SECONDS) for s in segments]
    follows = []
    if case.tune is not None:
        tunes = (case.tune.slice(s.start_seconds, SEGMENT_SECONDS) for s in segments)
        follows = [chroma_similarity(tune, part) for tune, part in zip(tunes, parts, strict=True)]
    return Piece(
        case.kind,
        case.prompt,
        segments,
        [chances(part, case.prompt, ear) for part in parts],
        follows,
        longest_repeat(audio).seconds,
        audio.duration_seconds / max(audio.metadata["seconds_to_make"], 1e-9),
    )


def looped(tune: Audio, duration: float) -> Audio:
    """The tune again and again, cut to the length of a segment so that every segment has the same one."""
    one = np.zeros((1, round(SEGMENT_SECONDS * tune.sample_rate)), np.float32)
    kept = min(one.shape[1], tune.num_samples)
    one[:, :kept] = tune.samples[:, :kept]
    return Audio(np.tile(one, -(-round(duration) // round(SEGMENT_SECONDS))), tune.sample_rate)


class Takes(NamedTuple):
    """Independent takes of one prompt: what chance alone makes different."""

    prompt: Prompt
    segments: list[Segment]
    asked: list[float]

    def values(self, name: str) -> list[float]:
        """A figure per take; where it compares with an opening, with three other takes in its place."""
        compare = {"distance": spectral_distance, "pitch": pitch_similarity}.get(name)
        if compare is None:
            return Piece("", self.prompt, self.segments, self.asked, [], 0.0, 0.0).values(name)
        turned = [self.segments[i:] + self.segments[:i] for i in range(len(self.segments))]
        return [compare(others[1 : OPENING + 1], others[:1]) for others in turned]

    def mean(self, name: str) -> float:
        return float(np.mean(self.values(name)))


def independent(
    model: Model, prompts: Sequence[Prompt], count: int, config: GenerationConfig, folder: Path, resume: bool,
    ear: Listener,
) -> dict[str, Takes]:  # fmt: skip
    found = {}
    for prompt in prompts:
        cases = [Case("take", prompt, 1000 + i, SEGMENT_SECONDS) for i in range(count)]
        audios = [make(model, case, config, folder, resume) for case in cases]
        asked = [chances(audio, prompt, ear) for audio in audios]
        found[prompt.text] = Takes(prompt, [measure_segments(audio)[0] for audio in audios], asked)
        print(f"{count} takes: {prompt.text}", file=sys.stderr, flush=True)
    return found


class Stretch(NamedTuple):
    """A part of a timeline: its prompt, and the chance of every prompt's instruments behind its first segment."""

    prompt: Prompt
    chances: tuple[float, ...]


def timeline(
    model: Model, prompts: Sequence[Prompt], duration: float, config: GenerationConfig, folder: Path, resume: bool,
    ear: Listener,
) -> list[Stretch]:  # fmt: skip
    """All prompts one after another in one piece; the first segment of each, in which the music turns, is left out."""
    each = round(duration / len(prompts) / SEGMENT_SECONDS) * SEGMENT_SECONDS
    text = [[i * each, prompt.text] for i, prompt in enumerate(prompts)]
    total = each * len(prompts)
    asked = {"timeline": text, "duration": total, "stride": config.extend_stride}
    call = partial(model.generate, text, total, 1, config=config)
    audio = keep(folder / "timeline.flac", asked, call, resume)
    found = []
    for i, prompt in enumerate(prompts):
        places = np.arange(i * each + SEGMENT_SECONDS, (i + 1) * each, SEGMENT_SECONDS)
        heard = [audio.slice(float(place), SEGMENT_SECONDS) for place in places]
        found.append(Stretch(prompt, tuple(float(np.mean([chances(h, p, ear) for h in heard])) for p in prompts)))
    return found


# ------------------------------------------------------------------------------------------------------------ figures


def edges(piece: Piece, name: str) -> tuple[float, float]:
    """Means over the first and over the last minute of what is measured, or of halves that are shorter."""
    values = piece.values(name)
    count = min(6, max(1, len(values) // 2))
    return float(np.mean(values[:count])), float(np.mean(values[-count:]))


def away(pieces: Sequence[Piece], takes: dict[str, Takes], name: str) -> Interval:
    """The last minute less independent takes of the same prompt: catches what changed early and stayed so, too."""
    return mean_interval([edges(piece, name)[1] - takes[piece.prompt.text].mean(name) for piece in pieces])


def table_of_trends(pieces: Sequence[Piece], takes: dict[str, Takes]) -> list[str]:
    lines = [
        "| measure | first minute | last minute | slope per minute (95 %) | last minute less separate takes (95 %) |",
        "|---|--:|--:|---|---|",
    ]
    for name, (words, unit) in MEASURES.items():
        first, last = np.mean([edges(piece, name) for piece in pieces], axis=0)
        digits = ".5f" if name == "clipped" else ".3f" if name in ("silent", "pitch", "asked") else ".2f"
        cells = [f"{first:{digits}}", f"{last:{digits}}"]
        for found in (trend([piece.values(name) for piece in pieces]), away(pieces, takes, name)):
            sign = "" if not found.excludes_zero else " **up**" if found.mean > 0 else " **down**"
            cells.append(f"{found:{digits}}{sign}")
        lines.append(f"| {words}{unit and ', ' + unit} | {' | '.join(cells)} |")
    return lines


def summary(pieces: Sequence[Piece]) -> dict[str, float]:
    """One kind, in means over its pieces."""

    def mean(values: Sequence[Sequence[float]]) -> float:
        return float(np.mean([np.mean(v) for v in values]))

    near = [
        [spectral_distance([a], [b]) for a, b in zip(piece.segments, piece.segments[1:], strict=False)]
        for piece in pieces
    ]
    return {
        "pieces": len(pieces),
        "minutes": len(pieces[0].segments) * SEGMENT_SECONDS / 60,
        "distance": mean([piece.values("distance") for piece in pieces]),
        "neighbours": mean(near),
        "pitch": mean([piece.values("pitch") for piece in pieces]),
        "variety_bits": mean([piece.values("variety_bits")[OPENING:] for piece in pieces]),
        "asked": mean([piece.asked for piece in pieces]),
        "loudness_slope": trend([piece.values("loudness_lufs") for piece in pieces]).mean,
        "repeat_seconds": float(np.mean([piece.repeat_seconds for piece in pieces])),
        "real_time": float(np.median([piece.real_time for piece in pieces])),
    }


KINDS = {
    "distance": ("spectrum: distance to the first 30 s, dB", ".1f"),
    "neighbours": ("spectrum: distance to the segment before, dB", ".1f"),
    "pitch": ("pitch classes: correlation with the first 30 s", ".2f"),
    "variety_bits": ("variety behind the first 30 s, bits", ".2f"),
    "asked": ("asked instruments: chance", ".2f"),
    "loudness_slope": ("loudness per minute, LU", "+.2f"),
    "repeat_seconds": ("longest repeat, s", ".1f"),
    "real_time": ("seconds of music per second", ".1f"),
}


def table_of_kinds(kinds: dict[str, list[Piece]], takes: dict[str, Takes]) -> list[str]:
    """A column per kind, and one for independent takes where they have such a figure."""
    found = {kind: summary(group) for kind, group in kinds.items()}
    heads = [f"{kind}, {f['pieces']} x {f['minutes']:.3g} min" for kind, f in found.items()]
    lines = [f"| mean over pieces | {' | '.join(heads)} | independent takes |", "|---|" + "--:|" * (len(heads) + 1)]
    for name, (words, digits) in KINDS.items():
        cells = [f"{f[name]:{digits}}" for f in found.values()]
        alone = f"{np.mean([t.mean(name) for t in takes.values()]):{digits}}" if name in MEASURES else "–"
        lines.append(f"| {words} | {' | '.join(cells)} | {alone} |")
    return lines


def page(
    pieces: Sequence[Piece], takes: dict[str, Takes], stretches: Sequence[Stretch], facts: dict[str, str]
) -> tuple[str, dict[str, Any]]:
    """The page in Markdown, and its figures for the last line."""
    usual = [piece for piece in pieces if piece.kind == USUAL]
    kinds = {kind: [p for p in pieces if p.kind == kind] for kind in dict.fromkeys(p.kind for p in pieces)}
    spread = np.mean([np.std(t.values("loudness_lufs"), ddof=1) for t in takes.values()])
    minutes = len(usual[0].segments) * SEGMENT_SECONDS / 60
    lines = [
        "# Long pieces: what stays, what goes",
        "",
        f"{len(usual)} pieces of {minutes:g} minutes, measured every {SEGMENT_SECONDS:g} s; "
        f"{len(takes)} prompts, and {len(next(iter(takes.values())).segments)} independent takes of each to compare "
        "with. Written by `python benchmarks/longform.py`.",
        "",
        " · ".join(f"{name} {value}" for name, value in facts.items()),
        "",
        "## Trends",
        "",
        *table_of_trends(usual, takes),
        "",
        f"Intervals are over pieces; up or down where they exclude zero. The slope sees what goes on changing, the "
        f"last column also what changed early and stayed so. Independent takes of one prompt differ in "
        f"loudness by {spread:.1f} LU (standard deviation).",
        "",
        "![Loudness, distance, variety and asked instruments over time](longform.png)",
        "",
        "## Kinds",
        "",
        *table_of_kinds(kinds, takes),
        "",
        "`extend_stride` is how far the window moves at a time, in seconds: what is left of it stays in view.",
        "",
    ]
    followed = [piece for piece in pieces if piece.follows]
    if followed:
        tune = trend([piece.follows for piece in followed])
        mean = mean_interval([float(np.mean(piece.follows)) for piece in followed])
        lines += [
            f"With a tune of 10 s again and again: chroma similarity {mean:.2f}, slope per minute {tune:+.3f}.",
            "",
        ]
    if stretches:
        lines += ["## A timeline", "", "Chance of the instruments of each prompt, while each prompt holds:", ""]
        lines += ["| prompt that holds | " + " | ".join(s.prompt.text for s in stretches) + " |"]
        lines += ["|---|" + "--:|" * len(stretches)]
        for i, stretch in enumerate(stretches):
            cells = [f"**{c:.2f}**" if i == j else f"{c:.2f}" for j, c in enumerate(stretch.chances)]
            lines.append(f"| {stretch.prompt.text} | {' | '.join(cells)} |")
        lines.append("")
    lines += [
        "## How it is measured",
        "",
        "- Distance: root mean square difference of mean spectra (64 mel bands, level taken out), of a segment to the "
        "first 30 s; between takes: of one take to three others.",
        "- Pitch classes: correlation of their shares; 1 in the same key. Instruments: chance by the evaluator's ear "
        "(docs/evaluation.md). Variety: entropy of the strongest pitch class over frames, 0 for a drone, 3.6 for all "
        "twelve alike. Repeat: the longest stretch whose strongest pitch classes return frame for frame.",
        "",
    ]
    figures = {
        "trends": {name: rounded(trend([piece.values(name) for piece in usual])) for name in MEASURES},
        "away": {name: rounded(away(usual, takes, name)) for name in MEASURES},
        "kinds": {kind: {n: round(v, 3) for n, v in summary(group).items()} for kind, group in kinds.items()},
        "timeline": [[round(c, 3) for c in stretch.chances] for stretch in stretches],
        "follows": [round(float(np.mean(piece.follows)), 3) for piece in followed],
    }
    return "\n".join(lines), figures


def rounded(interval: Interval) -> list[float]:
    return [round(value, 5) for value in (interval.mean, interval.low, interval.high)]


def draw(pieces: Sequence[Piece], takes: dict[str, Takes], path: Path) -> None:
    """Four measures over time, a line per piece; at the right edge the mean and deviation of independent takes."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot
    from PIL import Image  # comes with matplotlib

    usual = [piece for piece in pieces if piece.kind == USUAL]
    prompts = list(takes)
    figure, axes = pyplot.subplots(2, 2, figsize=(12, 6), layout="constrained")
    for axis, name in zip(axes.flat, ("loudness_lufs", "distance", "variety_bits", "asked"), strict=True):
        for piece in usual:
            values = piece.values(name)
            first = len(piece.segments) - len(values)
            minutes = (np.arange(len(values)) + first + 0.5) * SEGMENT_SECONDS / 60
            axis.plot(minutes, values, color=f"C{prompts.index(piece.prompt.text)}", linewidth=1)
        end = len(usual[0].segments) * SEGMENT_SECONDS / 60
        for i, text in enumerate(prompts):
            values = takes[text].values(name)
            axis.errorbar(
                end * (1.03 + 0.015 * i), np.mean(values), np.std(values), fmt="o", color=f"C{i}", markersize=3
            )
        axis.set_title("{}{}".format(MEASURES[name][0], f", {MEASURES[name][1]}" if MEASURES[name][1] else ""),
                       fontsize=8, loc="left")  # fmt: skip
        axis.tick_params(labelsize=7)
        axis.set_xlabel("minutes; dots: independent takes", fontsize=7)
    for i, text in enumerate(prompts):
        axes.flat[0].plot([], [], color=f"C{i}", label=text)
    figure.legend(loc="outside lower center", ncols=2, fontsize=7)
    drawn = io.BytesIO()
    figure.savefig(drawn, dpi=90)
    pyplot.close(figure)
    Image.open(drawn).convert("RGB").quantize(32).save(path, optimize=True)


# --------------------------------------------------------------------------------------------------------------- main


def cases(options: argparse.Namespace, prompts: Sequence[Prompt], hears_tunes: bool) -> list[Case]:
    """What to make, the most important first."""
    long, short = options.minutes * 60, options.variant_minutes * 60
    made = [Case(USUAL, prompt, seed, long) for seed in range(1, options.seeds + 1) for prompt in prompts]
    made += [Case(f"{n} {v:g}", prompt, 1, short, (n, v)) for n, v in options.compare for prompt in prompts]
    if hears_tunes:
        hummed = [looped(hum(tune), short) for tune in tunes(len(prompts))]
        made += [Case(TUNE, prompt, 1, short, None, tune) for prompt, tune in zip(prompts, hummed, strict=True)]
    return made


def change(text: str) -> tuple[str, float]:
    """A setting of `GenerationConfig` and its value: extend_stride=8."""
    name, _, value = text.partition("=")
    if name not in GenerationConfig.model_fields:
        raise ValueError(name)
    return name, float(value)


def main(arguments: Sequence[str] | None = None, model: Any = None, ear: Listener | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", help="model directory or name; default: the model inside")
    parser.add_argument("--minutes", type=float, default=5.0, help="length of the usual pieces")
    parser.add_argument("--prompts", type=int, default=len(PROMPTS), help="only the first so many")
    parser.add_argument("--seeds", type=int, default=2, help="pieces per prompt")
    parser.add_argument("--compare", type=change, nargs="*", default=COMPARED, metavar="SETTING=VALUE",
                        help="settings to compare the usual ones with; none without values")  # fmt: skip
    parser.add_argument("--variant-minutes", type=float, default=2.0, help="length of pieces of other kinds")
    parser.add_argument("--independent", type=int, default=12, help="takes of 10 s per prompt, at least 4")
    parser.add_argument("--takes", type=Path, default=SCRATCH, help="where takes are kept")
    parser.add_argument("--resume", action="store_true", help="keep the takes that are there")
    parser.add_argument("--output", type=Path, default=DOCS, help="where the page and the picture go")
    options = parser.parse_args(arguments)
    if min(options.minutes, options.variant_minutes) * 60 < (OPENING + 2) * SEGMENT_SECONDS:
        parser.error(f"pieces shorter than {(OPENING + 2) * SEGMENT_SECONDS:g} s have no trend: make them longer")
    if not (1 <= options.prompts <= len(PROMPTS) and options.seeds >= 1 and options.independent > OPENING):
        parser.error(f"--prompts takes 1 to {len(PROMPTS)}, --seeds 1 or more, --independent more than {OPENING}")
    model = model or cadenza.load(options.model)
    ear = ear or Listener.embedded()
    prompts, config = PROMPTS[: options.prompts], model.config.generation
    folder = options.takes / model.weights[:12]
    folder.mkdir(parents=True, exist_ok=True)

    takes = independent(model, prompts, options.independent, config, folder, options.resume, ear)
    pieces = []
    for case in cases(options, prompts, model.config.melody_condition is not None):
        pieces.append(measure(make(model, case, config, folder, options.resume), case, ear))
        print(f"{case.kind}, seed {case.seed}: {case.prompt.text}", file=sys.stderr, flush=True)
    stretches = timeline(model, prompts, options.minutes * 60, config, folder, options.resume, ear)
    facts = {
        "model": model.config.name,
        "weights": model.weights[:12],
        "precision": model.precision,
        "window": f"{model.config.max_duration_seconds:g} s",
        "stride": f"{config.extend_stride:g} s",
        "cadenza": cadenza.__version__,
        "Python": platform.python_version(),
        "date": time.strftime("%Y-%m-%d"),
    }
    text, figures = page(pieces, takes, stretches, facts)
    options.output.mkdir(parents=True, exist_ok=True)
    draw(pieces, takes, options.output / "longform.png")
    (options.output / "longform.md").write_text(text, encoding="utf-8")
    print(json.dumps(figures))


if __name__ == "__main__":
    main()
