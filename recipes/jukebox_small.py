"""A small Jukebox from nothing, with one command; what was made stays made, and the same command goes on.

    python recipes/jukebox_small.py --on cpu --out runs/jukebox                     # hours on one thread
    python recipes/jukebox_small.py --on gpu --out runs/jukebox --max-minutes 9     # again and again
    python recipes/jukebox_small.py --on cpu --out runs/tiny --small                # minutes: does the chain hold?

Music is composed and rendered, its genres and lead instruments become the labels, a VQ-VAE of three levels learns from
it, its codes are computed once, and a prior of each level learns from those; then all is one model directory, and every
level is measured on music that none of it heard. `--list` says what is done and what is left.

On a GPU the music is whole pieces. What one thread can teach in hours draws noise from those (docs/log.md), so that
there it is melodies alone, of a few low soloists (`jukebox_solos.py`).
"""

import argparse
import json
import os
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from cadenza.corpus.clips import COMPOSER
from cadenza.errors import CadenzaError
from cadenza.evaluate.report.machine import processor
from stages import Run, Stage

LEVELS = ("bottom", "middle", "top")
"""The finest first."""
FACTS = "facts.json"
SOLO_RATE = 12000
"""Hz, of melodies alone: of low instruments little is lost, and a window holds 10.9 s."""


@dataclass(frozen=True)
class Target:
    """A machine, and how much of everything it makes. Minutes are those of one quiet core of an AMD EPYC."""

    hours: float
    """Of music that the VQ-VAE learns from."""
    heldout_hours: float
    steps: Mapping[str, int]
    """Updates of the VQ-VAE and of each prior."""
    machine: Mapping[str, Any]
    """Fields of every training on which no outcome depends."""
    settings: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    """More fields of each training."""
    clips: int = 60
    """Held-out pieces that are measured."""
    workers: int = 1
    """Processes that render."""
    coding: tuple[str, ...] = ()
    """More of the command that codes the music."""
    solos: bool = False
    """Melodies alone instead of whole pieces."""
    seed: int = 31
    heldout_seed: int = 37
    minutes: Mapping[str, float] = field(default_factory=dict)


CPU = Target(
    hours=6.0,
    heldout_hours=0.75,
    steps={"vqvae": 1600, "top": 950, "middle": 1150, "bottom": 1300},
    machine={"device": "cpu", "threads": 1},
    settings={"vqvae": {"objective.vqvae.sample_rate": SOLO_RATE}}
    | {
        name: {
            "objective.prior.sample_rate": SOLO_RATE,
            "precision": "bf16",
            "snapshot_every": 50,
            "validate_every": 100,
        }
        for name in LEVELS
    },
    workers=os.cpu_count() or 1,
    solos=True,
)
GPU = Target(
    hours=50.0,
    heldout_hours=2.5,
    steps={"vqvae": 20_000, "top": 10_000, "middle": 10_000, "bottom": 10_000},
    machine={"device": "cuda", "threads": None, "log_every": 50, "snapshot_every": 500, "validate_every": 1000},
    settings={"vqvae": {"batch_size": 32}} | {name: {"batch_size": 64, "precision": "bf16"} for name in LEVELS},
    workers=16,
    coding=("--device", "cuda", "--batch-seconds", "480"),
)


def small(target: Target) -> Target:
    """The same chain in minutes: a few pieces, a few updates; what comes out is noise."""
    brief = {"batch_size": 2, "snapshot_every": 1}
    machine = {name: value for name, value in target.machine.items() if name != "snapshot_every"}
    names = target.steps
    return replace(
        target,
        hours=0.05,
        heldout_hours=0.02,
        steps=dict.fromkeys(names, 2),
        machine=machine,
        settings={name: {**target.settings.get(name, {}), **brief} for name in names},
        clips=2,
        minutes={},
    )


_MADE_BY = (f"composer {COMPOSER}",)


class Chain:
    """The stages of a target."""

    def __init__(self, target: Target) -> None:
        self.target = target

    def stages(self) -> list[Stage]:
        """In the order in which they are made."""
        target = self.target
        vqvae = self._model("vqvae")
        make = self._solos if target.solos else self._pieces
        found = [
            *make("corpus", target.hours, target.seed),
            *make("heldout", target.heldout_hours, target.heldout_seed),
            self._train("vqvae", "jukebox_vqvae.py:one_thread", {"data": "{out}/corpus-music"}, ("corpus-music",)),
        ]
        codes = [self._codes(level, vqvae) for level in range(len(LEVELS))]
        found += codes
        known = {"data": "{out}/codes", "objective.vqvae": vqvae}
        after = tuple(stage.name for stage in codes)
        found += [self._train(name, f"jukebox_priors.py:one_thread_{name}", known, after) for name in reversed(LEVELS)]
        words = ["{recipes}/jukebox_model.py", vqvae, *(self._model(name) for name in LEVELS)]
        words += ["--out", "{out}/model", "--facts", f"{{out}}/{FACTS}"]
        facts = self._stage("model", "model/config.json", words, LEVELS, prepare=self._write_facts)
        return [*found, facts, self._measured()]

    def _stage(self, name: str, makes: str, command: Sequence[str], after: Sequence[str] = (), **more: Any) -> Stage:
        return Stage(name, makes, tuple(command), tuple(after), minutes=self.target.minutes.get(name), **more)

    def _pieces(self, name: str, hours: float, seed: int) -> list[Stage]:
        """Whole pieces in clips, and what Jukebox is told of them."""
        words = ["-m", "cadenza.corpus.build", "--out", f"{{out}}/{name}", "--hours", f"{hours:g}", "--seed", str(seed)]
        processes = ("--workers", str(self.target.workers))
        told = ["{recipes}/jukebox_music.py", f"{{out}}/{name}", f"{{out}}/{name}-music"]
        return [
            self._stage(name, f"{name}/manifest.jsonl", words, extra=processes, facts=_MADE_BY),
            self._stage(f"{name}-music", f"{name}-music/manifest.jsonl", told, [name]),
        ]

    def _solos(self, name: str, hours: float, seed: int) -> list[Stage]:
        words = ["{recipes}/jukebox_solos.py", f"{{out}}/{name}-music", "--hours", f"{hours:g}", "--seed", str(seed)]
        return [self._stage(f"{name}-music", f"{name}-music/manifest.jsonl", words, facts=_MADE_BY)]

    def _train(self, name: str, recipe: str, known: Mapping[str, Any], after: Sequence[str]) -> Stage:
        target, steps = self.target, self.target.steps[name]
        settings = {**known, **target.settings.get(name, {}), "steps": steps}
        command = ["-m", "cadenza", "train", f"{{recipes}}/{recipe}", "--out", f"{{out}}/{name}", "--resume"]
        makes = f"{name}/snapshots/step_{steps:08d}"
        return self._stage(name, makes, [*command, *_set(settings)], after, extra=tuple(_set(target.machine)))

    def _model(self, name: str) -> str:
        return f"{{out}}/{name}/snapshots/step_{self.target.steps[name]:08d}/model"

    def _codes(self, level: int, vqvae: str) -> Stage:
        place = f"codes/level_{level}"
        words = ["-m", "cadenza", "data", "tokens", "{out}/corpus-music", f"{{out}}/{place}", "--codec", vqvae]
        words += ["--level", str(level)]
        return self._stage(
            f"codes-{level}", f"{place}/index.json", words, ["corpus-music", "vqvae"], extra=self.target.coding
        )

    def _measured(self) -> Stage:
        words = ["{recipes}/../benchmarks/jukebox_levels.py", "{out}/model", "{out}/heldout-music"]
        words += ["--out", "{out}/measured", "--clips", str(self.target.clips)]
        return self._stage("measured", "measured/jukebox_levels.json", words, ["model", "heldout-music"])

    def _write_facts(self, folder: Path) -> None:
        """What the card says of the making of this model."""
        rows = _rows(folder / "corpus-music" / "manifest.jsonl")
        records = {name: json.loads((folder / "stages" / f"{name}.json").read_text()) for name in self.target.steps}
        training = "\n".join(
            f"| {name} | {self.target.steps[name]} updates | {record['minutes']:.0f} |"
            for name, record in records.items()
        )
        facts = {
            "hours": f"{sum(row['duration'] for row in rows) / 3600:.1f}",
            "kind": "melodies alone, each of one player" if self.target.solos else "whole pieces",
            "rate": f"{(SOLO_RATE if self.target.solos else 16000) / 1000:g} kHz",
            "pieces": len({row["seed"] for row in rows}),
            "genres": len({row["genre"] for row in rows}),
            "artists": len({row["artist"] for row in rows}),
            "composer": COMPOSER,
            "seeds": self.target.seed,
            "training": training,
            "machine": processor() if self.target.machine["device"] == "cpu" else self.target.machine["device"],
        }
        (folder / FACTS).write_text(json.dumps(facts, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


def _rows(manifest: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in manifest.read_text(encoding="utf-8").splitlines()]


def _set(settings: Mapping[str, Any]) -> list[str]:
    """Fields of a recipe as arguments of `cadenza train`."""
    return [word for name, value in settings.items() for word in ("--set", f"{name}={json.dumps(value)}")]


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--on", choices=("cpu", "gpu"), default="cpu", help="which settings")
    parser.add_argument("--out", type=Path, default=Path("runs/jukebox"), help="folder of the run")
    parser.add_argument("--hours", type=float, help="of music to learn from, instead of the target's")
    parser.add_argument("--small", action="store_true", help="a few pieces and updates, to try the chain")
    parser.add_argument("--from", dest="first", metavar="STAGE", help="begin with this stage")
    parser.add_argument("--until", dest="last", metavar="STAGE", help="end with this one")
    parser.add_argument("--max-minutes", type=float, help="end after this time; the same command goes on")
    parser.add_argument("--list", action="store_true", help="say what is done and what is left, and stop")
    options = parser.parse_args(arguments)
    began = time.monotonic()
    try:
        target = GPU if options.on == "gpu" else CPU
        target = small(target) if options.small else target
        target = target if options.hours is None else replace(target, hours=options.hours)
        run = Run(Chain(target).stages(), options.out)
        chosen = run.chosen(options.first, options.last)
        if options.list:
            print(run.table(chosen))
            return
        left = run.go(chosen, None if options.max_minutes is None else began + 60 * options.max_minutes)
        print(json.dumps({"stages": len(chosen), "left": left}))
    except CadenzaError as error:
        sys.exit(f"error: {error}")
    except KeyboardInterrupt:
        sys.exit("interrupted: the same command goes on")


if __name__ == "__main__":
    main()
