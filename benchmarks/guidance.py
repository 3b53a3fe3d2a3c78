"""Guidance as System 1 writes it, against guidance in logits: what is heard of what the prompts ask for?

    python benchmarks/guidance.py [--takes 2]         makes what is not there yet; prints a table, the last line is JSON

"音樂生成 Music Generation" samples from `P = g P_uncond + (1 - g) P_cond` with g = 0.2; here that is
`guidance_domain="probabilities"` and `guidance=0.8`. The same prompts and seeds, through the public `generate` of the
model inside, at every setting; prompts and measures are those of `benchmarks/first_model.py`.
"""

import argparse
import json
import statistics
from functools import partial
from pathlib import Path
from typing import Any

import cadenza
from cadenza.evaluate.instruments import InstrumentClassifier
from cadenza.evaluate.intervals import mean_interval
from cadenza.lm.generate import GenerationConfig
from first_model import CLASSIFIER, PROMPTS, Heard, collect, interval, listen, scores, separation
from takes import keep

HERE = Path(__file__).parent
SCRATCH = HERE.parent / "runs" / "guidance"
DURATION = 10.0

SETTINGS: dict[str, dict[str, Any]] = {
    "as System 1 writes it, g = 0.2": {"guidance": 0.8, "guidance_domain": "probabilities"},
    "logits, scale 0.8": {"guidance": 0.8},
    "none (scale 1)": {"guidance": 1.0},
    "logits, scale 3": {"guidance": 3.0},
}
SHOWN = ("instruments", "mode", "tempo, octave or triple")


def hear(music: Any, classifier: InstrumentClassifier, takes: int, scratch: Path) -> dict[str, list[Heard]]:
    """What is heard of every take, prompt after prompt, `takes` seeds each; settings in turn."""
    heard: dict[str, list[Heard]] = {name: [] for name in SETTINGS}
    scratch.mkdir(parents=True, exist_ok=True)
    for take in range(takes):
        for number, prompt in enumerate(PROMPTS, 1):
            for kind, (name, settings) in enumerate(SETTINGS.items()):
                seed = number + len(PROMPTS) * take
                asked = {"text": prompt.text, "seed": seed, "duration": DURATION, **settings}
                config = GenerationConfig(**music.config.generation.model_dump() | settings)
                make = partial(music.generate, prompt.text, duration=DURATION, seed=seed, config=config)
                audio = keep(scratch / f"{number:02d}_{take}_{kind}.flac", asked, make, resume=True)
                heard[name].append(listen(audio, classifier))
        print(f"take {take + 1} of {takes}", flush=True)
    return heard


def report(heard: dict[str, list[Heard]], takes: int) -> tuple[list[str], dict[str, Any]]:
    """A row per setting; differences from scale 3 in the share of asked instruments, paired by take."""
    prompts = list(PROMPTS) * takes
    shares = {
        name: [statistics.mean(found["instruments"]) for found in map(scores, prompts, clips) if found["instruments"]]
        for name, clips in heard.items()
    }
    head = ["guidance", *SHOWN, "separation", "instruments against scale 3, per take"]
    lines = ["| " + " | ".join(head) + " |", "|---" * len(head) + "|"]
    figures: dict[str, Any] = {}
    for name, clips in heard.items():
        values = collect(zip(prompts, clips, strict=True))
        cells = [name]
        for measure in SHOWN:
            low, high = interval(values[measure])
            hits = sum(values[measure])
            mean = statistics.mean(values[measure])
            cells.append(f"{hits:.0f} of {len(values[measure])} = **{mean:.2f}** ({low:.2f} to {high:.2f})")
        apart = separation(prompts, clips)
        gaps = [a - b for a, b in zip(shares[name], shares["logits, scale 3"], strict=True)]
        gap = f"{mean_interval(gaps):+.2f}" if any(gaps) else "–"
        lines.append("| " + " | ".join([*cells, f"{apart:.2f}", gap]) + " |")
        figures[name] = {m: round(statistics.mean(values[m]), 3) for m in SHOWN} | {"separation": apart, "gap": gap}
    return lines, figures


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model", nargs="?", help="model directory or name; default: the model inside")
    parser.add_argument("--takes", type=int, default=2, help="seeds per prompt")
    parser.add_argument("--scratch", type=Path, default=SCRATCH, help="folder that keeps the takes")
    options = parser.parse_args()
    classifier = InstrumentClassifier.from_pretrained(CLASSIFIER).float()
    lines, figures = report(
        hear(cadenza.load(options.model), classifier, options.takes, options.scratch), options.takes
    )
    print("\n".join(lines))
    print(json.dumps(figures))


if __name__ == "__main__":
    main()
