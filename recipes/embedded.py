"""The embedded model from nothing, with one command; what was made stays made, and the same command goes on.

    python recipes/embedded.py --on cpu --out runs/embedded                    # hours on one thread
    python recipes/embedded.py --on gpu --out runs/embedded --max-minutes 9    # again and again (recipes/GPU.md)
    python recipes/embedded.py --on cpu --out runs/tiny --small                # minutes: does the chain hold?

Music is composed and rendered, a reader learns from captions, a codec from the music, a language model from its codes;
then the candidate is judged beside the shipped model, and a page lets people hear it. `--list` says what is done, and
`recipes/embedded_targets.py` how much there is of everything.

With `--start-from shipped`, or a folder of weights, training goes on from averaged weights alone, for a machine that
holds nothing else; `--export DIR` writes the newest ones in pieces of 16 MiB, which `recipes/pieces.py` joins.
"""

import argparse
import json
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import yaml

from cadenza.corpus.clips import COMPOSER
from cadenza.errors import CadenzaError, UserError
from cadenza.loading import ASSETS
from embedded_facts import FACTS, facts
from embedded_targets import CPU, GPU, Phase, Target, small
from pieces import MIB, split
from stages import Run, Stage

HERE = Path(__file__).parent
PROGRESS = "stage.json"
"""What exported weights say of where they come from."""


@dataclass(frozen=True)
class Start:
    """Weights to go on from: a model directory, or a codec alone, and the stage that they come from."""

    folder: Path
    stage: str | None = None
    step: int = 0

    @classmethod
    def read(cls, name: str) -> "Start":
        """UserError for a folder without a codec."""
        folder = ASSETS / "embedded" if name == "shipped" else Path(name)
        if not (folder / "codec" / "config.json").is_file():
            raise UserError(f"{folder} holds no codec: name 'shipped', a model directory, or joined pieces of --export")
        said = folder / PROGRESS
        if not said.is_file():
            return cls(folder)
        told = json.loads(said.read_text(encoding="utf-8"))
        return cls(folder, str(told["stage"]), int(told["step"]))

    def has(self, part: str) -> bool:
        """Whether it holds a part of a model, named by its folder."""
        return (self.folder / part / "config.json").is_file()

    def left(self, phases: Sequence[Phase]) -> tuple[Phase, ...]:
        """Of phases: what is left of the one that the weights come from, and those after it."""
        names = [phase.name for phase in phases]
        if self.stage not in names:
            return tuple(phase for phase in phases if not phase.fresh)
        here, *later = phases[names.index(self.stage) :]
        rest = here.steps - self.step
        return (*([replace(here, settings={**here.settings, "steps": rest})] if rest > 0 else []), *later)


class Chain:
    """The stages of a target, from nothing or from weights."""

    def __init__(self, target: Target, start: Start | None = None) -> None:
        self.target, self.start = target, start
        self.codec_phases, self.lm_phases, self.decoder_phases = target.codec, target.lm, target.decoder
        if start is not None and start.has("lm"):
            self.codec_phases, self.lm_phases = (), start.left(target.lm)
            if start.stage in [phase.name for phase in target.decoder]:
                self.lm_phases, self.decoder_phases = (), start.left(target.decoder)
        elif start is not None:
            self.codec_phases = start.left(target.codec)

    def all_phases(self) -> tuple[Phase, ...]:
        """Also those that the weights of the start have behind them."""
        return (*self.target.codec, *self.target.lm, *self.target.decoder)

    def stages(self) -> list[Stage]:
        """In the order in which they are made."""
        target, start = self.target, self.start
        found = [
            self._corpus("corpus", target.hours, target.seed),
            self._corpus("heldout", target.heldout_hours, target.heldout_seed),
        ]
        reading = start is None or not start.has("conditioning/reader")
        if reading:
            found += self._reader()
        weights = None if start is None else str(start.folder)
        codec, stages = self._training(
            self.codec_phases, {"data": "{out}/corpus"}, ("corpus",), weights and f"{weights}/codec", "/codec"
        )
        coder = ("corpus", *_names(stages[-1:]))
        found += [*stages, self._tokens(codec, coder)]
        known = {"data": "{out}/tokens", "objective.codec": codec}
        if reading:
            known["objective.reader"] = self._model(target.reader)
        begun = weights if start is not None and start.has("lm") else None
        model, stages = self._training(self.lm_phases, known, ("tokens", *(["reader"] if reading else [])), begun, "")
        found += stages
        after = _names(stages[-1:])
        decoder, stages = self._training(self.decoder_phases, {"data": "{out}/corpus"}, coder, codec, "/codec")
        found += stages
        words = ["{recipes}/ship_embedded.py", model, "--codec", decoder, "--out", "{out}/candidate"]
        after = ("heldout", *after, *_names(stages[-1:]))
        known_facts = ["--facts", f"{{out}}/{FACTS}"]
        found.append(
            self._stage("candidate", "candidate/config.json", [*words, *known_facts], after, prepare=self._write_facts)
        )
        return [*found, self._judging(), self._page()]

    def _training(
        self, phases: Sequence[Phase], settings: Mapping[str, Any], after: Sequence[str], weights: str | None, part: str
    ) -> tuple[str, list[Stage]]:
        """Where the weights are in the end, and the stages that make them, each from those of the one before."""
        stages: list[Stage] = []
        for phase in phases:
            begun = {} if weights is None else {"objective.start_from": weights}
            stages.append(self._train(phase, {**settings, **begun}, (*after, *_names(stages[-1:]))))
            weights = f"{self._model(phase)}{part}"
        assert weights is not None, "there are weights, or a phase that makes them"
        return weights, stages

    def _train(self, phase: Phase, more: Mapping[str, Any], after: Sequence[str]) -> Stage:
        folder = f"{{out}}/{phase.name}"
        command = ["-m", "cadenza", "train", f"{{recipes}}/{phase.recipe}", "--out", folder, "--resume"]
        return self._stage(
            phase.name,
            f"{phase.name}/snapshots/step_{phase.steps:08d}",
            [*command, *_set({**phase.settings, **more})],
            after,
            _set({name: value for name, value in self.target.machine.items() if name not in phase.settings}),
            minutes=phase.minutes,
        )

    def _model(self, phase: Phase) -> str:
        return f"{{out}}/{phase.name}/snapshots/{self.target.snapshot}/model"

    def _stage(
        self,
        name: str,
        makes: str,
        command: Sequence[str],
        after: Sequence[str] = (),
        extra: Sequence[str] = (),
        facts: Sequence[str] = (),
        minutes: float | None = None,
        prepare: Callable[[Path], None] | None = None,
    ) -> Stage:
        known = self.target.minutes.get(name) if minutes is None else minutes
        return Stage(name, makes, tuple(command), tuple(after), tuple(extra), tuple(facts), known, prepare)

    def _corpus(self, name: str, hours: float, seed: int) -> Stage:
        words = ["--out", f"{{out}}/{name}", "--hours", f"{hours:g}", "--seed", str(seed)]
        processes = ["--workers", str(self.target.workers)]
        made_by = [f"composer {COMPOSER}"]
        return self._stage(
            name, f"{name}/manifest.jsonl", ["-m", "cadenza.corpus.build", *words], (), processes, made_by
        )

    def _reader(self) -> list[Stage]:
        place = "{out}/captions.jsonl.gz"
        words = ["{recipes}/embedded_reader.py", "captions", place, "--count", str(self.target.captions)]
        captions = self._stage("captions", "captions.jsonl.gz", words, facts=[f"composer {COMPOSER}"])
        return [captions, self._train(self.target.reader, {"data": place}, ["captions"])]

    def _tokens(self, codec: str, after: Sequence[str]) -> Stage:
        words = ["-m", "cadenza", "data", "tokens", "{out}/corpus", "{out}/tokens", "--codec", codec]
        melody = ["--melody", "--quiet-db", "40", "--own-tuning"]
        return self._stage("tokens", "tokens/index.json", [*words, *melody], after, self.target.coding)

    def _write_facts(self, folder: Path) -> None:
        """What the card says of the making of this model."""
        phases = [phase.name for phase in (self.target.reader, *self.all_phases())]
        begun = None if self.start is None else f"`{self.start.folder.name}`, whose own card says what they learnt from"
        found = facts(folder, phases, self.target.machine["device"], begun)
        (folder / FACTS).write_text(json.dumps(found, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")

    def _judging(self) -> Stage:
        words = ["-m", "cadenza", "evaluate", "run", "{out}/judge.yaml", "--out", "{out}/judged", "--resume"]
        facts = [json.dumps(self.target.judging)]
        return self._stage("judge", "judged/report.json", words, ["candidate"], facts=facts, prepare=self._write_judge)

    def _write_judge(self, folder: Path) -> None:
        """`judge_embedded.yaml` for the candidate of this folder."""
        config = yaml.safe_load((HERE / "judge_embedded.yaml").read_text(encoding="utf-8")) | dict(self.target.judging)
        config["systems"][0]["model"] = "candidate"
        (folder / "judge.yaml").write_text(yaml.safe_dump(config, sort_keys=False), encoding="utf-8")

    def _page(self) -> Stage:
        words = ["{recipes}/listen_page.py", "{out}/heldout", "--split", "all", "--model", "{out}/candidate"]
        places = ["--work", "{out}/listen", "--out", "{out}/page"]
        return self._stage("listen", "page/listen.html", [*words, *places, *self.target.page], ["heldout", "candidate"])


def _names(stages: Sequence[Stage]) -> tuple[str, ...]:
    return tuple(stage.name for stage in stages)


def _set(settings: Mapping[str, Any]) -> list[str]:
    """Fields of a recipe as arguments of `cadenza train`."""
    return [word for name, value in settings.items() for word in ("--set", f"{name}={json.dumps(value)}")]


def export(chain: Chain, folder: Path, target: Path, mib: float) -> list[Path]:
    """The newest averaged weights of a run in pieces, in 16 bits, and the stage that they are of; [] without any."""
    import torch

    from cadenza.codec.encodec import EnCodec
    from cadenza.pipelines.musicgen import MusicGen
    from cadenza.train.snapshot import last_snapshot

    phases = (*chain.codec_phases, *chain.lm_phases, *chain.decoder_phases)
    found = [(phase, path) for phase in phases if (path := last_snapshot(folder / phase.name / "snapshots"))]
    if not found:
        return []
    phase, path = found[-1]
    whole = next((path / "model" for other, path in reversed(found) if other in chain.lm_phases), None)
    if whole is None and chain.start is not None and chain.start.has("lm"):
        whole = chain.start.folder
    with tempfile.TemporaryDirectory() as temporary:
        place = Path(temporary) / "model"
        place.mkdir()
        EnCodec.from_pretrained(path / "model" / "codec").save_pretrained(place / "codec", torch.float16)
        if whole is not None:
            music = MusicGen.from_pretrained(whole, "cpu", "fp32")
            music.lm.save_pretrained(place / "lm", torch.bfloat16)
            music.conditioning.save_pretrained(place / "conditioning", torch.bfloat16)
            (place / "config.json").write_bytes((whole / "config.json").read_bytes())
        before = next(one.steps for one in chain.all_phases() if one.name == phase.name) - phase.steps
        told = {"stage": phase.name, "step": before + int(path.name.removeprefix("step_"))}
        (place / PROGRESS).write_text(json.dumps(told) + "\n", encoding="utf-8")
        return split(place, target, mib)


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--on", choices=("cpu", "gpu"), default="cpu", help="which settings")
    parser.add_argument("--out", type=Path, default=Path("runs/embedded"), help="folder of the run")
    parser.add_argument("--hours", type=float, help="of music to learn from, instead of the target's")
    parser.add_argument("--small", action="store_true", help="a few pieces and updates, to try the chain")
    parser.add_argument("--start-from", metavar="MODEL", help="shipped, a model directory, or exported weights")
    parser.add_argument("--from", dest="first", metavar="STAGE", help="begin with this stage")
    parser.add_argument("--until", dest="last", metavar="STAGE", help="end with this one")
    parser.add_argument("--max-minutes", type=float, help="end after this time; the same command goes on")
    parser.add_argument("--list", action="store_true", help="say what is done and what is left, and stop")
    parser.add_argument("--export", type=Path, metavar="DIR", help="in the end, the newest weights in pieces there")
    parser.add_argument("--mib", type=float, default=MIB, help="largest piece of --export")
    options = parser.parse_args(arguments)
    began = time.monotonic()
    try:
        target = GPU if options.on == "gpu" else CPU
        target = small(target) if options.small else target
        target = target if options.hours is None else replace(target, hours=options.hours)
        chain = Chain(target, None if options.start_from is None else Start.read(options.start_from))
        run = Run(chain.stages(), options.out)
        chosen = run.chosen(options.first, options.last)
        if options.list:
            print(run.table(chosen))
            return
        end = None if options.max_minutes is None else began + 60 * options.max_minutes
        try:
            left = run.go(chosen, end)
        finally:  # a machine that is given back keeps nothing, whatever went wrong on it
            if options.export is not None:
                for path in export(chain, options.out, options.export, options.mib):
                    print(path)
        print(json.dumps({"stages": len(chosen), "left": left}))
    except CadenzaError as error:
        sys.exit(f"error: {error}")
    except KeyboardInterrupt:
        sys.exit("interrupted: the same command goes on")


if __name__ == "__main__":
    main()
