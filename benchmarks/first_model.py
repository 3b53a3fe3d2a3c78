"""Does the music do what the words say? 24 prompts, what each asks for, and what is measured in the audio.

    python benchmarks/first_model.py [MODEL] [--corpus DIR]       writes docs/first_model.md and docs/first_model.png

MODEL is what `cadenza.load` takes; by default the model that comes with Cadenza. Music is made through the public
`generate`, one take a prompt, none picked. Beside every figure stand a ceiling (the same measurement on composed music,
whose facts are known, as it is and through the model's codec; `--corpus`, a held-out directory of `cadenza.corpus`,
measures it anew) and a floor (every take measured against the 23 prompts that it was not made for).
The last line is JSON.
"""

import argparse
import io
import json
import math
import platform
import sys
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np

import cadenza
from cadenza.audio import Audio
from cadenza.evaluate.instruments import InstrumentClassifier
from cadenza.evaluate.key import Key, estimate_key, mirex_score, parse_key, relate_keys
from cadenza.evaluate.tempo import TOLERANCE, Tempo, estimate_tempo, match_tempo

HERE = Path(__file__).parent
DOCS = HERE.parent / "docs"
CLASSIFIER = HERE / "instrument_classifier"
CEILINGS = HERE / "first_model_ceilings.json"

SLOW, MEDIUM, FAST = (40.0, 86.0), (86.0, 112.0), (112.0, 220.0)  # what the words mean in bpm, to the composer too


@dataclass(frozen=True)
class Prompt:
    """Words, and the facts in them: a tempo or range in bpm, a key or mode, instruments ("a/b": either will do)."""

    text: str
    tempo: float | tuple[float, float] | None = None
    key: str | None = None
    instruments: tuple[str, ...] = ()


PROMPTS: tuple[Prompt, ...] = (
    Prompt("a slow sad piano piece in D minor", SLOW, "D minor", ("piano",)),
    Prompt("late-night jazz trio: piano, walking bass and brushes, 140 bpm", 140, None,
           ("piano", "upright bass", "brushed drums/drums")),
    Prompt("smoky saxophone in a jazz bar, F major", None, "F major", ("saxophone",)),
    Prompt("pounding warehouse techno, 132 bpm, squelchy acid line and a drum machine", 132, None,
           ("acid bass", "drum machine")),
    Prompt("dusty lo-fi hip hop with a Rhodes and a lazy beat, 78 bpm", 78, None, ("electric piano", "drum machine")),
    Prompt("thrash metal in E minor, distorted guitars and double kick drums, 170 bpm", 170, "E minor",
           ("distorted guitar", "rock drums/drums")),
    Prompt("fingerpicked acoustic guitar, a quiet folk tune in G major", None, "G major", ("acoustic guitar",)),
    Prompt("something like Vivaldi for violin and harpsichord in A minor", None, "A minor", ("violin", "harpsichord")),
    Prompt("sweeping film music with strings and choir, C minor, 80 bpm", 80, "C minor", ("strings", "choir")),
    Prompt("one violin alone, mournful and very slow, minor key", SLOW, "minor", ("violin",)),
    Prompt("floating ambient synth pads, peaceful, in a major key", None, "major", ("synth pad",)),
    Prompt("an Irish jig on tin whistle and guitar, 116 bpm", 116, None, ("tin whistle", "acoustic guitar")),
    Prompt("Scottish bagpipes and snare drums", None, None, ("bagpipes", "marching drums/percussion")),
    Prompt("bossa nova for nylon guitar and flute, 120 bpm", 120, None, ("classical guitar", "flute")),
    Prompt("a Viennese waltz for strings at 160 bpm in D major", 160, "D major", ("strings",)),
    Prompt("slow blues in A major, wailing harmonica", SLOW, "A major", ("harmonica",)),
    Prompt("seventies funk, slap bass, scratchy electric guitar and horns, 105 bpm", 105, None,
           ("slap bass", "electric guitar", "brass/trumpet/saxophone")),
    Prompt("laid-back reggae with organ and a deep bass guitar, 75 bpm", 75, None, ("hammond organ", "bass guitar")),
    Prompt("uplifting trance, soaring synth lead, F# minor, 138 bpm", 138, "F# minor", ("synth lead", "drum machine")),
    Prompt("synthwave for a night drive, pulsing synth bass and drum machine, A minor, 100 bpm", 100, "A minor",
           ("synth bass", "drum machine")),
    Prompt("a music box lullaby in C major, gentle and slow", SLOW, "C major", ("music box",)),
    Prompt("military march for brass, tuba and drums, B flat major, 120 bpm", 120, "Bb major",
           ("brass/trumpet/trombone", "tuba", "marching drums/drums")),
    Prompt("fast cheerful bluegrass banjo in G major", FAST, "G major", ("banjo",)),
    Prompt("hot salsa with trumpet, piano and congas", None, None, ("trumpet/brass", "piano", "percussion")),
)  # fmt: skip


class Model(Protocol):
    """The public face of a pipeline: all that is used of it."""

    def generate(self, text: str, duration: float, seed: int) -> Audio: ...


@dataclass(frozen=True)
class Heard:
    """What is measured in one clip."""

    tempo: Tempo
    key: Key | None
    instruments: dict[str, float]  # probability, most probable first
    named: frozenset[str]  # those above their thresholds
    duration_seconds: float
    loudness_lufs: float
    seconds_to_make: float = 0.0


def listen(audio: Audio, classifier: InstrumentClassifier, seconds_to_make: float = 0.0) -> Heard:
    probabilities = classifier.probabilities(audio)
    return Heard(estimate_tempo(audio), estimate_key(audio), probabilities, frozenset(classifier.heard(probabilities)),
                 audio.duration_seconds, audio.loudness_lufs(), seconds_to_make)  # fmt: skip


# ------------------------------------------------------------------------------------------------------------ scoring


def tempo_verdict(asked: float | tuple[float, float], heard: Tempo) -> str:
    """How the measured tempo relates to the one asked for; for a range, whether it or its octave lies in it."""
    if not isinstance(asked, tuple):
        return match_tempo(asked, heard.bpm)
    low, high = asked[0] * (1 - TOLERANCE), asked[1] * (1 + TOLERANCE)
    readings = {"same": (1.0,), "octave": (0.5, 2.0)}
    if heard.bpm is None:
        return "other"
    fits = (name for name, factors in readings.items() if any(low <= heard.bpm * f <= high for f in factors))
    return next(fits, "other")


def key_score(asked: str, heard: Key | None) -> float:
    """MIREX score for a key, 1 or 0 for a mode."""
    if asked in ("major", "minor"):
        return float(heard is not None and heard.mode == asked)
    return mirex_score(parse_key(asked), heard)


def scores(prompt: Prompt, heard: Heard) -> dict[str, list[float]]:
    """Each measure that the prompt asks for, with one value per fact; measures it does not ask for are empty."""
    result: dict[str, list[float]] = {name: [] for name in MEASURES}
    if isinstance(prompt.tempo, tuple):
        # A range spans almost an octave: half or double the tempo would nearly always fit, so only the same counts.
        result["tempo word"] = [float(tempo_verdict(prompt.tempo, heard.tempo) == "same")]
    elif prompt.tempo is not None:
        verdict = tempo_verdict(prompt.tempo, heard.tempo)
        result["tempo"] = [float(verdict == "same")]
        result["tempo or its octave"] = [float(verdict in ("same", "octave"))]
        result["tempo, octave or triple"] = [float(verdict != "other")]
    if prompt.key is not None:
        if prompt.key not in ("major", "minor"):
            result["key"] = [float(key_score(prompt.key, heard.key) == 1.0)]
            result["key, MIREX"] = [key_score(prompt.key, heard.key)]
        result["mode"] = [float(heard.key is not None and heard.key.mode == prompt.key.split()[-1])]
    for choice in prompt.instruments:
        options = [name for name in choice.split("/") if name in heard.instruments]
        if options:  # an instrument that the classifier was never taught says nothing
            result["instruments"].append(float(any(name in heard.named for name in options)))
    return result


MEASURES = {
    "tempo": "bpm asked as a number: within 4 %",
    "tempo or its octave": "within 4 % of it, its half or its double",
    "tempo, octave or triple": "within 4 % of it, or a factor of 2 or 3 away",
    "tempo word": '"slow" below 86 bpm, "fast" above 112 bpm',
    "key": "tonic and mode right",
    "key, MIREX": "mean of 1 right, 0.5 fifth, 0.3 relative, 0.2 parallel",
    "mode": "major or minor right",
    "instruments": "asked instruments that are heard",
}


def collect(pairs: Iterable[tuple[Prompt, Heard]]) -> dict[str, list[float]]:
    """All values of each measure over pairs of what was asked and what was heard."""
    values: dict[str, list[float]] = {name: [] for name in MEASURES}
    for prompt, heard in pairs:
        for name, found in scores(prompt, heard).items():
            values[name] += found
    return values


def means(values: dict[str, list[float]]) -> dict[str, float | None]:
    return {name: round(float(np.mean(found)), 3) if found else None for name, found in values.items()}


def separation(prompts: Sequence[Prompt], heard: Sequence[Heard]) -> float | None:
    """How often an instrument is more probable in a clip that asks for it than in one that does not (chance: 0.5)."""
    wins = []
    names = {choice for prompt in prompts for choice in prompt.instruments if "/" not in choice}
    for name in sorted(names & heard[0].instruments.keys()):
        asked = [h.instruments[name] for p, h in zip(prompts, heard, strict=True) if name in p.instruments]
        others = [h.instruments[name] for p, h in zip(prompts, heard, strict=True)
                  if not any(name in choice.split("/") for choice in p.instruments)]  # fmt: skip
        wins += [np.mean([a > b for b in others]) for a in asked]
    return round(float(np.mean(wins)), 3) if wins else None


def interval(values: Sequence[float]) -> tuple[float, float]:
    """95 % interval of a mean of values in 0 to 1 (Wilson 1927; for part scores rather too wide)."""
    count, share, z = len(values), float(np.mean(values)), 1.96
    centre = (share + z * z / (2 * count)) / (1 + z * z / count)
    half = z / (1 + z * z / count) * math.sqrt(share * (1 - share) / count + z * z / (4 * count * count))
    return max(0.0, centre - half), min(1.0, centre + half)


# ------------------------------------------------------------------------------------------------------------ ceilings


def prompt_of(row: dict[str, Any]) -> Prompt:
    """A composed clip as if it had been asked for; the word for its tempo is judged by `word_of`."""
    return Prompt("", float(row["tempo_bpm"]), row["key"], tuple(row["instruments"]))


def word_of(row: dict[str, Any]) -> Prompt:
    bpm = float(row["tempo_bpm"])
    return Prompt("", SLOW if bpm < SLOW[1] else MEDIUM if bpm < FAST[0] else FAST)


def measure_composed(
    directory: Path, classifier: InstrumentClassifier, limit: int, through: Callable[[Audio], Audio]
) -> dict[str, Any]:
    """Every measure on composed clips spread over the whole of a dataset directory, each first passed `through`."""
    rows = [json.loads(line) for line in (directory / "manifest.jsonl").read_text().splitlines()]
    rows = rows[:: max(1, -(-len(rows) // limit))]
    heard = []
    for count, row in enumerate(rows, 1):
        heard.append(listen(through(Audio.read(directory / row["path"])), classifier))
        if count % 50 == 0:
            print(f"composed clips: {count} of {len(rows)}", file=sys.stderr, flush=True)
    values = collect([(prompt_of(row), h) for row, h in zip(rows, heard, strict=True)])
    values["tempo word"] = collect([(word_of(row), h) for row, h in zip(rows, heard, strict=True)])["tempo word"]
    return {
        "clips": len(rows),
        **means(values),
        "separation": separation([prompt_of(row) for row in rows], heard),
    }


def through_codec(model: str | None) -> Callable[[Audio], Audio]:
    """Encode and decode with the codec of a model: the best that its language model could do."""
    import torch

    from cadenza.loading import load_codec

    codec = load_codec(model)

    def resynthesise(audio: Audio) -> Audio:
        audio = audio.resample(codec.sample_rate).with_channels(codec.channels)
        with torch.inference_mode():
            codes = codec.encode(torch.from_numpy(audio.samples)[None])
            decoded = codec.decode(codes.codes, codes.scale)
        return Audio(decoded[0].numpy(), codec.sample_rate)

    return resynthesise


# --------------------------------------------------------------------------------------------------------------- page


def make(
    model: Model, classifier: InstrumentClassifier, duration: float, audio_directory: Path | None
) -> tuple[list[Audio], list[Heard]]:
    """One take per prompt; the seed is the number of the prompt."""
    takes, heard = [], []
    for number, prompt in enumerate(PROMPTS, 1):
        began = time.perf_counter()
        audio = model.generate(prompt.text, duration=duration, seed=number)
        seconds = time.perf_counter() - began
        takes.append(audio)
        heard.append(listen(audio, classifier, seconds))
        if audio_directory is not None:
            audio.write(audio_directory / f"{number:02d}.flac")
        print(f"{number:2d}/{len(PROMPTS)} {seconds:5.1f} s  {prompt.text}", file=sys.stderr, flush=True)
    return takes, heard


def tempo_cell(prompt: Prompt, heard: Heard) -> str:
    measured = "none" if heard.tempo.bpm is None else f"{heard.tempo.bpm:.0f}"
    if prompt.tempo is None:
        return f"{measured}"
    word = {SLOW: "slow", MEDIUM: "medium", FAST: "fast"}
    asked = word[prompt.tempo] if isinstance(prompt.tempo, tuple) else f"{prompt.tempo:.0f}"
    verdict = tempo_verdict(prompt.tempo, heard.tempo)
    if isinstance(prompt.tempo, tuple) and verdict == "octave":
        verdict = "other"
    sign = {"same": "✓", "octave": "~ octave", "triple": "~ triple", "other": "✗"}[verdict]
    return f"{asked} → {measured} {sign}"


def key_cell(prompt: Prompt, heard: Heard) -> str:
    measured = "none" if heard.key is None else heard.key.name
    if prompt.key is None:
        return measured
    if prompt.key in ("major", "minor"):
        return f"{prompt.key} → {measured} {'✓' if key_score(prompt.key, heard.key) else '✗'}"
    relation = relate_keys(parse_key(prompt.key), heard.key)
    sign = {"same": "✓", "other": "✗"}.get(relation, f"~ {relation}")
    return f"{prompt.key} → {measured} {sign}"


def instrument_cells(prompt: Prompt, heard: Heard) -> tuple[str, str]:
    asked = []
    for choice in prompt.instruments:
        options = [name for name in choice.split("/") if name in heard.instruments]
        sign = "?" if not options else "✓" if any(name in heard.named for name in options) else "✗"
        best = f" {max(heard.instruments[name] for name in options):.2f}" if options else ""
        asked.append(f"{choice}{best} {sign}")
    top = [f"{name} {value:.2f}" for name, value in list(heard.instruments.items())[:4]]
    return "<br>".join(asked), "<br>".join(top)


def is_good(prompt: Prompt, heard: Heard) -> float:
    """Share of the facts asked for that are right (octaves of a tempo are; near misses of a key count their part)."""
    found = scores(prompt, heard)
    key = [key_score(prompt.key, heard.key)] if prompt.key is not None else []
    facts = found["tempo or its octave"] + found["tempo word"] + key + found["instruments"]
    return float(np.mean(facts)) if facts else 1.0


def figure_row(
    name: str, values: dict[str, list[float]], floor: dict[str, float | None], ceilings: dict[str, Any]
) -> str:
    def shown(value: float | None) -> str:
        return "–" if value is None else f"{value:.2f}"

    found = values[name]
    composed, coded = (ceilings.get(kind, {}).get(name) for kind in ("composed", "through_codec"))
    if found:
        low, high = interval(found)
        counted = f"{sum(found):.3g} of {len(found)} = **{np.mean(found):.2f}** ({low:.2f} to {high:.2f})"
    else:
        counted = "–"
    return f"| {name} | {MEASURES[name]} | {counted} | {shown(floor[name])} | {shown(coded)} | {shown(composed)} |"


def page(heard: Sequence[Heard], ceilings: dict[str, Any], facts: dict[str, Any]) -> tuple[str, dict[str, Any]]:
    """The page in Markdown, and its figures for the last line."""
    pairs = list(zip(PROMPTS, heard, strict=True))
    values = collect(pairs)
    floor = means(collect((p, h) for i, p in enumerate(PROMPTS) for j, h in enumerate(heard) if i != j))
    apart = separation(PROMPTS, heard)
    ordered = sorted(pairs, key=lambda pair: -is_good(*pair))
    good = [p for p, h in ordered if is_good(p, h) >= 0.75]
    bad = [p for p, h in ordered if is_good(p, h) <= 0.25]
    speed = sum(h.duration_seconds for h in heard) / max(1e-9, sum(h.seconds_to_make for h in heard))
    loudness = [h.loudness_lufs for h in heard if math.isfinite(h.loudness_lufs)]
    separations = [ceilings.get(kind, {}).get("separation") for kind in ("through_codec", "composed")]
    classifier = json.loads((CLASSIFIER / "metrics.json").read_text())
    above = [name for name, found in values.items() if found and interval(found)[0] > (floor[name] or 0.0)]
    near = [name for name, found in values.items() if found and name not in above]
    lines = [
        "# The model inside: asked and measured",
        "",
        f"24 prompts that were written by hand and are no captions of the training data, one take of "
        f"{heard[0].duration_seconds:.0f} s each, none picked; seed = number of the prompt. Made through `cadenza.load"
        f"({facts['model']}).generate(prompt, duration, seed)` and written by `python benchmarks/first_model.py`.",
        "",
        " · ".join(f"{name} {value}" for name, value in facts.items() if name != "model"),
        "",
        "## Summary",
        "",
        "| measure | what counts | model (95 % interval) | other prompts (floor) | composed, through the codec "
        "| composed (ceiling) |",
        "|---|---|---|---:|---:|---:|",
        *(figure_row(name, values, floor, ceilings) for name in MEASURES),
        f"| separation | an asked instrument is more probable here than where nobody asked for it | **{apart:.2f}** "
        f"| 0.50 | "
        + " | ".join("–" if value is None else f"{value:.2f}" for value in separations) + " |",
        "",
        f"Clearly above the floor (95 %): {', '.join(above) or 'nothing'}. Not to be told from it with 24 takes: "
        f"{', '.join(near) or 'nothing'}.",
        "",
        f"Three quarters or more of what was asked for is there in **{len(good)} of {len(pairs)}** takes, a quarter or "
        f"less in **{len(bad)}**.",
        "",
        f"Loudness {np.median(loudness):.1f} LUFS (median; {min(loudness):.1f} to {max(loudness):.1f}), "
        f"{len(heard) - len(loudness)} silent. Made at {speed:.2f} times real time.",
        "",
        "Best: " + "; ".join(f"*{p.text}*" for p in good[:6]) + ".",
        "",
        "Worst: " + ("; ".join(f"*{p.text}*" for p in bad[-6:]) if bad else "none") + ".",
        "",
        "## Every prompt",
        "",
        "✓ as asked, ~ a near miss and which, ✗ missed, ? not measurable; where nothing was asked for, what was found.",
        "",
        "| # | prompt | bpm | key | asked instruments | most probable instruments | LUFS | s to make |",
        "|--:|---|---|---|---|---|--:|--:|",
    ]  # fmt: skip
    for number, (prompt, h) in enumerate(pairs, 1):
        asked, top = instrument_cells(prompt, h)
        cells = (number, prompt.text, tempo_cell(prompt, h), key_cell(prompt, h), asked, top)
        cells = (*cells, f"{h.loudness_lufs:.1f}", f"{h.seconds_to_make:.1f}")
        lines.append("| " + " | ".join(str(cell) for cell in cells) + " |")
    lines += [
        "",
        "![Mel spectrograms of the takes, in the order of the table](first_model.png)",
        "",
        "## How it is measured",
        "",
        "- Tempo: autocorrelation and spectrum of the onset strength (`cadenza.evaluate.tempo`). Half and "
        "double are no errors of the ear, but no hits of the first measure either. A word for a tempo means what the "
        "composer means.",
        "- Key: chroma and the key profiles of Albrecht & Shanahan (`cadenza.evaluate.key`), MIREX weights.",
        f"- Instruments: a network of {classifier['parameters']:,} parameters trained on composed pieces "
        f"(`benchmarks/instrument_classifier`). On {classifier['held_out']['clips']} clips of "
        f"{classifier['held_out']['pieces']} pieces it never heard: mean average precision "
        f"{classifier['mean_average_precision']} over {classifier['instruments_measured']} instruments (chance "
        f"{classifier['chance_average_precision']}), F1 {classifier['micro_f1']}. It learnt from the same renderer as "
        f"the model, and says nothing of how real an instrument sounds.",
        f"- Ceilings: {ceilings.get('composed', {}).get('clips', 'no')} held-out composed clips, "
        f"{ceilings.get('through_codec', {}).get('clips', 'none')} of them through this model's codec. Where the "
        f"ceiling is low, the measurement is what fails.",
        "- Floor: each take against every prompt that it was not made for.",
        "",
    ]  # fmt: skip
    figures = {
        **{name: {"mean": mean, "n": len(values[name]), "floor": floor[name]} for name, mean in means(values).items()},
        "separation": apart, "good": len(good), "bad": len(bad), "times_real_time": round(speed, 2),
    }  # fmt: skip
    return "\n".join(lines), figures


def draw(takes: Sequence[Audio], path: Path) -> None:
    """Mel spectrograms of all takes as one picture, in few colours so that the file stays small."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot
    from PIL import Image  # comes with matplotlib

    from cadenza.evaluate.spectra import SAMPLE_RATE, mel_decibels, mono

    figure, axes = pyplot.subplots(6, 4, figsize=(12, 9), layout="constrained")
    for number, (axis, take, prompt) in enumerate(zip(axes.flat, takes, PROMPTS, strict=True), 1):
        levels = mel_decibels(mono(take), SAMPLE_RATE, 2048, 1024, 64, floor_db=-70.0)
        axis.imshow(np.round(levels / 5), origin="lower", aspect="auto", cmap="magma", interpolation="nearest",
                    extent=(0, take.duration_seconds, 0, 64))  # fmt: skip
        axis.set_title(f"{number} {prompt.text[:44]}", fontsize=6, loc="left")
        axis.set_yticks([])
        axis.tick_params(labelsize=6)
    drawn = io.BytesIO()
    figure.savefig(drawn, dpi=90)
    pyplot.close(figure)
    Image.open(drawn).convert("RGB").quantize(32).save(path, optimize=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", nargs="?", help="model directory or name; default: the model inside")
    parser.add_argument("--duration", type=float, default=10.0, help="seconds per take")
    parser.add_argument("--corpus", type=Path, help="held-out composed clips: measure the ceilings anew")
    parser.add_argument("--clips", type=int, default=400, help="composed clips to measure, a quarter by the codec")
    parser.add_argument("--output", type=Path, default=DOCS, help="where the page and the picture go")
    parser.add_argument("--audio", type=Path, help="keep the takes in this directory")
    options = parser.parse_args()
    classifier = InstrumentClassifier.from_pretrained(CLASSIFIER).float()

    ceilings: dict[str, Any] = json.loads(CEILINGS.read_text()) if CEILINGS.exists() else {}
    if options.corpus is not None:
        ceilings["composed"] = measure_composed(options.corpus, classifier, options.clips, lambda audio: audio)
        resynthesise = through_codec(options.model)
        ceilings["through_codec"] = measure_composed(options.corpus, classifier, options.clips // 4, resynthesise)
        CEILINGS.write_text(json.dumps(ceilings, indent=2) + "\n")

    model = cadenza.load(options.model)
    takes, heard = make(model, classifier, options.duration, options.audio)
    facts = {
        "model": "" if options.model is None else repr(Path(options.model).name),
        "model hash": str(takes[0].metadata.get("weights", "unknown"))[:12],
        "cadenza": cadenza.__version__,
        "Python": platform.python_version(),
        "date": time.strftime("%Y-%m-%d"),
    }
    text, figures = page(heard, ceilings, facts)
    options.output.mkdir(parents=True, exist_ok=True)
    draw(takes, options.output / "first_model.png")
    (options.output / "first_model.md").write_text(text)
    print(json.dumps(figures))


if __name__ == "__main__":
    main()
