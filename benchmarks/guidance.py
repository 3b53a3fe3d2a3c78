"""Guidance as System 1 writes it, against guidance in logits: what is heard of what the prompts ask for?

    python benchmarks/guidance.py [--takes 2]         makes what is not there yet; prints a table, the last line is JSON

"音樂生成 Music Generation" samples from `P = g P_uncond + (1 - g) P_cond` with g = 0.2; here that is
`guidance_domain="probabilities"` and `guidance=0.8`. The quick set of prompts (`cadenza.evaluate.prompts`) and the same
seeds, through the public `generate` of the model inside, at every setting; figures and tests are those of a report.
"""

import argparse
import json
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

import cadenza
from cadenza.cli.progress import counter
from cadenza.evaluate import prompts
from cadenza.evaluate.clips import TAKE_MARK, read_clips
from cadenza.evaluate.embedders.listener import Listener
from cadenza.evaluate.measure import measure
from cadenza.evaluate.measurements import Measurements
from cadenza.evaluate.report.build import System, build
from cadenza.evaluate.report.config import ReportConfig, SystemConfig
from cadenza.lm.generate import GenerationConfig
from takes import keep

HERE = Path(__file__).parent
SCRATCH = HERE.parent / "runs" / "guidance"
DURATION = 10.0

USUAL = "logits, scale 3"
SETTINGS: dict[str, dict[str, Any]] = {
    "as System 1 writes it, g = 0.2": {"guidance": 0.8, "guidance_domain": "probabilities"},
    "logits, scale 0.8": {"guidance": 0.8},
    "none (scale 1)": {"guidance": 1.0},
    USUAL: {"guidance": 3.0},
}
SHOWN = ("text_alignment", "instruments", "mode", "tempo, octave or triple")


def make(music: Any, takes: int, scratch: Path) -> dict[str, Path]:
    """A folder of takes per setting, `takes` seeds for each prompt; settings in turn."""
    asked_for = prompts.load("quick")
    folders = {name: scratch / f"{number}" for number, name in enumerate(SETTINGS)}
    progress = counter("takes")
    done, total = 0, takes * len(asked_for) * len(SETTINGS)
    for take in range(takes):
        for number, (prompt, wanted) in enumerate(asked_for.items(), 1):
            for name, settings in SETTINGS.items():
                seed = number + len(asked_for) * take
                asked = {"text": wanted.text, "seed": seed, "duration": DURATION, **settings}
                config = GenerationConfig(**music.config.generation.model_dump() | settings)
                call = partial(music.generate, wanted.text, duration=DURATION, seed=seed, config=config)
                folders[name].mkdir(parents=True, exist_ok=True)
                keep(folders[name] / f"{prompt}{TAKE_MARK}{take}.flac", asked, call, resume=True)
                done += 1
                progress(done, total)
    return folders


def hear(folders: Mapping[str, Path], ear: Listener, cache: Path) -> dict[str, Measurements]:
    sets = {name: read_clips(folder, prompts.FILE, name) for name, folder in folders.items()}
    return {name: measure(clips, joints=[ear], ear=ear, cache=cache) for name, clips in sets.items()}


def table(heard: Mapping[str, Measurements]) -> tuple[list[str], dict[str, Any]]:
    """A row per setting: figures, and in brackets their difference from scale 3, paired by prompt."""
    config = ReportConfig(
        prompts=None, reference=None, systems=tuple(SystemConfig(name=name, measured=name) for name in heard)
    )
    systems = [System(measured, "measured", name) for name, measured in heard.items()]
    report = build(systems, None, config.model_copy(update={"samples": 0})).report
    titles = [next(f.title for f in report.figures if f.metric == metric) for metric in SHOWN]
    lines = ["| guidance | " + " | ".join(titles) + " |", "|---" * (1 + len(SHOWN)) + "|"]
    figures: dict[str, Any] = {}
    for name in heard:
        cells = []
        for metric in SHOWN:
            figure = report.figure(metric, name)
            assert figure is not None, f"no {metric}"
            test = next((t for t in report.tests if (t.metric, t.first, t.second) == (metric, name, USUAL)), None)
            cells.append(figure.result.text() + (f"; {test.difference.text()}" if test else ""))
            figures.setdefault(name, {})[metric] = figure.result.value
        lines.append(f"| {name} | {' | '.join(cells)} |")
    return lines, figures


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model", nargs="?", help="model directory or name; default: the model inside")
    parser.add_argument("--takes", type=int, default=2, help="seeds per prompt")
    parser.add_argument("--scratch", type=Path, default=SCRATCH, help="folder that keeps the takes")
    options = parser.parse_args()
    folders = make(cadenza.load(options.model), options.takes, options.scratch)
    lines, figures = table(hear(folders, Listener.embedded(), options.scratch / "heard"))
    print("\n".join(lines))
    print(json.dumps(figures))


if __name__ == "__main__":
    main()
