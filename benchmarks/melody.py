"""Hum a tune, hear it played: does the music follow? 50 tunes that no corpus holds, each with a prompt of its own.

    python benchmarks/melody.py [--model DIR] [--resume]       writes docs/melody.md and docs/melody.png

Every tune (`benchmarks/hum.py`) is written as a file and read back as a user's would be. Music is made twice through
the public `generate`, with the same prompt and seed: once with `melody=`, once without. Chroma similarity to the tune
(`cadenza.evaluate.chroma`) is reported for both, for music made for other tunes (the floor) and for the tune itself
through the model's codec (the ceiling). One take each, none picked. The last line is JSON.
"""

import argparse
import hashlib
import io
import json
import platform
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import numpy as np

import cadenza
from cadenza.audio import Audio
from cadenza.evaluate.chroma import Chroma, chroma_similarity, measure_chroma
from cadenza.evaluate.intervals import Interval, mean_interval
from hum import Tune, hum, tunes
from takes import keep, through_codec

HERE = Path(__file__).parent
DOCS = HERE.parent / "docs"
SCRATCH = HERE.parent / "runs" / "melody"
LEAST_GAIN = 0.15  # what was asked of the model, with an interval that excludes zero
EXAMPLES = 5  # in the picture: the best and the worst gain, and those at the quarters between

PROMPTS = (
    "string quartet",
    "warm lo-fi beat with Rhodes piano",
    "solo piano, calm and slow",
    "an upbeat march for brass band",
    "Irish folk with tin whistle and acoustic guitar",
    "synthwave with a soaring synth lead",
    "late-night jazz trio with saxophone",
    "fingerpicked acoustic guitar",
    "sweeping film music with strings and choir",
    "a music box lullaby",
    "bossa nova with nylon guitar and flute",
    "seventies funk with slap bass and horns",
    "baroque harpsichord and violin",
    "uplifting trance",
    "bluegrass with banjo",
    "flute and harp, peaceful",
    "rock band with distorted guitars",
    "reggae with organ and deep bass",
    "a Viennese waltz for orchestra",
    "one cello alone, mournful",
    "chiptune of an old video game, synth lead and drum machine",
    "accordion and clarinet, a merry polka",
    "gospel with Hammond organ and choir",
    "smooth jazz with electric guitar",
    "big band swing with trumpets",
    "ambient synth pads",
    "country ballad with acoustic guitar and harmonica",
    "hot salsa with trumpet, piano and congas",
    "church organ",
    "steel drums on the beach",
    "techno with an acid bass line",
    "marimba and vibraphone duet",
    "Scottish bagpipes",
    "slow blues with harmonica",
    "pizzicato strings, playful",
    "French horn over soft strings",
    "disco with strings and bass guitar",
    "a choir singing without words",
    "hip hop beat with electric piano",
    "sitar and percussion",
    "celesta and glockenspiel, like snow",
    "trumpet solo with piano",
    "house music with synth plucks",
    "oboe and bassoon, a woodwind serenade",
    "heavy metal, fast",
    "pan flute and kalimba",
    "romantic violin with piano",
    "film noir, muted trumpet and upright bass",
    "pop song with synth pad and drums",
    "full orchestra, triumphant",
)


class Model(Protocol):
    """The public face of a pipeline: all that is used of it."""

    @property
    def weights(self) -> str: ...

    def generate(self, text: str, duration: float, seed: int, *, melody: Audio | None = None) -> Audio: ...


@dataclass(frozen=True)
class Row:
    """One tune: what was asked, how similar the music is with and without it, and the seconds that took."""

    prompt: str
    tune: Tune
    heard: Chroma
    with_tune: Chroma
    without: Chroma
    ceiling: Chroma
    seconds: tuple[float, float]

    def similarity(self, kind: str, one_hot: bool) -> float:
        return chroma_similarity(self.heard, getattr(self, kind), one_hot)


# -------------------------------------------------------------------------------------------------------------- takes


def make(
    model: Model, count: int, duration: float, through: Callable[[Audio], Audio], folder: Path, resume: bool
) -> list[Row]:
    """All takes, measured; what lies in the folder already is not made again if `resume`."""
    folder = folder / model.weights[:12]
    folder.mkdir(parents=True, exist_ok=True)
    rows = []
    for number, (tune, prompt) in enumerate(zip(tunes(count), PROMPTS[:count], strict=True), 1):
        heard = Audio.read(hum(tune).write(folder / f"{number:02d}_tune.wav", loudness_lufs=None))
        took = {}
        for kind, melody in (("with", heard), ("without", None)):
            asked = {"text": prompt, "seed": number, "duration": duration, "tune": fingerprint(melody)}
            call = partial(model.generate, prompt, duration=duration, seed=number, melody=melody)
            took[kind] = keep(folder / f"{number:02d}_{kind}.flac", asked, call, resume)
        seconds = tuple(float(took[kind].metadata["seconds_to_make"]) for kind in ("with", "without"))
        measured = (measure_chroma(audio) for audio in (heard, took["with"], took["without"], through(heard)))
        row = Row(prompt, tune, *measured, (seconds[0], seconds[1]))
        rows.append(row)
        found = [f"{row.similarity(kind, True):.2f}" for kind in ("with_tune", "without")]
        print(f"{number:2d}/{count} with {found[0]}, without {found[1]}  {prompt}", file=sys.stderr, flush=True)
    return rows


def fingerprint(melody: Audio | None) -> str | None:
    return None if melody is None else hashlib.sha256(melody.samples.tobytes()).hexdigest()[:12]


# ------------------------------------------------------------------------------------------------------------ figures


class Figures(NamedTuple):
    """Means over all tunes in one form of the measure, with 95 % intervals."""

    with_tune: Interval
    without: Interval
    gain: Interval
    floor: float
    ceiling: Interval
    followed: float
    """Share of tunes to which the music made with them is nearer than the music made without."""


def figures(rows: Sequence[Row], one_hot: bool) -> Figures:
    found = {kind: [r.similarity(kind, one_hot) for r in rows] for kind in ("with_tune", "without", "ceiling")}
    gains = [a - b for a, b in zip(found["with_tune"], found["without"], strict=True)]
    others = [chroma_similarity(a.heard, b.with_tune, one_hot) for a in rows for b in rows if a is not b]
    return Figures(
        mean_interval(found["with_tune"]),
        mean_interval(found["without"]),
        mean_interval(gains),
        float(np.mean(others)) if others else float("nan"),
        mean_interval(found["ceiling"]),
        float(np.mean([gain > 0 for gain in gains])),
    )


def rounded(figures: Figures) -> dict[str, Any]:
    """For the last line: three digits, intervals as [mean, low, high]."""
    return {
        name: [round(value.mean, 3), round(value.low, 3), round(value.high, 3)]
        if isinstance(value, Interval)
        else round(value, 3)
        for name, value in figures._asdict().items()
    }


def page(rows: Sequence[Row], facts: dict[str, str], duration: float) -> tuple[str, dict[str, Any]]:
    """The page in Markdown, and its figures for the last line."""
    hard, soft = figures(rows, True), figures(rows, False)
    passes = hard.gain.low > 0 and hard.gain.mean >= LEAST_GAIN
    extra = float(np.median([row.seconds[0] / row.seconds[1] for row in rows])) - 1
    lines = [
        "# Hum a tune, hear it played",
        "",
        f"{len(rows)} tunes that the model never heard, hummed for 8 to 10 s, each with a prompt; {duration:g} s of "
        "music with the tune (`melody=`) and without it, same prompt and seed, one take each, none picked. Written by "
        "`python benchmarks/melody.py`.",
        "",
        " · ".join(f"{name} {value}" for name, value in facts.items()),
        "",
        f"With the tune the music agrees with it in **{hard.with_tune.mean:.0%}** of the frames, without it in "
        f"**{hard.without.mean:.0%}**: a gain of **{hard.gain:.2f}**. Asked for was a gain of {LEAST_GAIN} or more, "
        f"with an interval that excludes zero: **{'reached' if passes else 'not reached'}**.",
        "",
        "| chroma similarity to the tune | strongest pitch class (95 % interval) | whole frames (95 % interval) |",
        "|---|---|---|",
        f"| music made with the tune | **{hard.with_tune:.2f}** | **{soft.with_tune:.2f}** |",
        f"| music made without it | {hard.without:.2f} | {soft.without:.2f} |",
        f"| gain | **{hard.gain:.2f}** | **{soft.gain:.2f}** |",
        f"| music made with other tunes (floor) | {hard.floor:.2f} | {soft.floor:.2f} |",
        f"| the tune through the model's codec (ceiling) | {hard.ceiling:.2f} | {soft.ceiling:.2f} |",
        f"| tunes that gain | {hard.followed:.0%} | {soft.followed:.0%} |",
        "",
        f"A request with a tune took {extra:+.0%} time (median of {len(rows)} pairs).",
        "",
        "![Tunes above the music made with and without them](melody.png)",
        "",
        "Each column is a tune: the best gain, the worst, and those at the quarters between. Above, its chroma, C at "
        "the bottom; then the chroma of the music made with it, and of the music made without. Dots are the notes that "
        "were hummed.",
        "",
        "## Every tune",
        "",
        "| # | prompt | notes | with | without | gain | with, whole frames | without | gain |",
        "|--:|---|--:|--:|--:|--:|--:|--:|--:|",
    ]
    for number, row in enumerate(rows, 1):
        cells = []
        for one_hot in (True, False):
            made, plain = (row.similarity(kind, one_hot) for kind in ("with_tune", "without"))
            cells += [f"{made:.2f}", f"{plain:.2f}", f"{made - plain:+.2f}"]
        lines.append(f"| {number} | {row.prompt} | {len(row.tune.notes)} | {' | '.join(cells)} |")
    lines += [
        "",
        "## How it is measured",
        "",
        "- Tunes: lead lines by the composer of the training corpora, from seeds that no corpus uses; a few overtones, "
        "glides, vibrato, breath, a little out of tune; notes of their own key and tempo, of which the prompt says "
        "nothing.",
        "- Chroma cosine similarity as MusicGen's authors measure it: windows of 2^14 samples every 2^12 at 32 kHz, "
        "and the cosine of the twelve pitch classes frame by frame, at the same time, in any octave. Once of the "
        "strongest class alone (unrelated music: 1/12 = 0.08), once of whole frames. Rests of the tune are left out.",
        "- Music is not only its tune: chords and a bass sound too, often stronger. An arrangement that plays every "
        "note of the tune need not reach the ceiling.",
        "- Intervals: Student's t over tunes; the gain's over the differences within pairs.",
        "",
    ]
    return "\n".join(lines), {
        "tunes": len(rows),
        "strongest": rounded(hard),
        "whole_frames": rounded(soft),
        "extra_time": round(extra, 3),
        "reached": passes,
    }


def draw(rows: Sequence[Row], path: Path) -> None:
    """Chroma of a few tunes above that of the music, in few colours so that the file stays small."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot
    from PIL import Image  # comes with matplotlib

    ordered = sorted(rows, key=lambda row: row.similarity("without", True) - row.similarity("with_tune", True))
    shown = [ordered[round(place)] for place in np.linspace(0, len(ordered) - 1, min(EXAMPLES, len(ordered)))]
    figure, axes = pyplot.subplots(3, len(shown), figsize=(12, 5.5), layout="constrained", squeeze=False)
    for column, row in enumerate(shown):
        for axis, kind, name in zip(
            axes[:, column], ("heard", "with_tune", "without"), ("tune", "with it", "without"), strict=True
        ):
            chroma: Chroma = getattr(row, kind)
            seconds = len(chroma.frames) * 4096 / 32000
            axis.imshow(np.round(chroma.frames.T * 12), origin="lower", aspect="auto", cmap="magma",
                        interpolation="nearest", extent=(0, seconds, -0.5, 11.5))  # fmt: skip
            times = [(note.start + note.end) / 2 for note in row.tune.notes]
            axis.plot(times, [note.pitch % 12 for note in row.tune.notes], "c.", markersize=3)
            axis.set(xlim=(0, row.tune.seconds), yticks=(0, 4, 7, 11), yticklabels=("C", "E", "G", "B"))
            axis.tick_params(labelsize=6)
            title = row.prompt[:34] if kind == "heard" else f"{name}: {row.similarity(kind, True):.2f}"
            axis.set_title(title, fontsize=7, loc="left")
    drawn = io.BytesIO()
    figure.savefig(drawn, dpi=90)
    pyplot.close(figure)
    Image.open(drawn).convert("RGB").quantize(32).save(path, optimize=True)


def report(rows: Sequence[Row], facts: dict[str, str], duration: float, output: Path) -> dict[str, Any]:
    """Write the page and the picture; the figures."""
    text, found = page(rows, facts, duration)
    output.mkdir(parents=True, exist_ok=True)
    draw(rows, output / "melody.png")
    (output / "melody.md").write_text(text, encoding="utf-8")
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", help="model directory or name; default: the model inside")
    parser.add_argument("--duration", type=float, default=10.0, help="seconds per take")
    parser.add_argument("--limit", type=int, default=len(PROMPTS), help="only so many tunes")
    parser.add_argument("--takes", type=Path, default=SCRATCH, help="where tunes and takes are kept")
    parser.add_argument("--resume", action="store_true", help="keep the takes that are there")
    parser.add_argument("--output", type=Path, default=DOCS, help="where the page and the picture go")
    options = parser.parse_args()
    if not 1 <= options.limit <= len(PROMPTS) or options.duration <= 0:
        parser.error(f"--limit takes 1 to {len(PROMPTS)}, --duration a positive number of seconds")
    model = cadenza.load(options.model)
    if model.config.melody_condition is None:
        parser.error(f"{model.config.name} cannot follow a melody: give a model that has a melody condition")
    rows = make(model, options.limit, options.duration, through_codec(options.model), options.takes, options.resume)
    facts = {
        "model": model.config.name,
        "weights": model.weights[:12],
        "precision": model.precision,
        "cadenza": cadenza.__version__,
        "Python": platform.python_version(),
        "date": time.strftime("%Y-%m-%d"),
    }
    print(json.dumps(report(rows, facts, options.duration, options.output)))


if __name__ == "__main__":
    main()
