"""How much of everything the embedded model is made of, on which machine: all settings of `recipes/embedded.py`.

In: nothing. Out: `CPU`, `GPU`, and each of them small. A phase is a recipe (`embedded_reader.py`, `embedded_codec.py`,
`embedded_lm.py`) with fields replaced. Minutes are those of one quiet core of an AMD EPYC (AVX-512 with bf16): of codec
and reader as they were trained, of the others from what was measured on less (music is made 52 times and coded 214
times faster than it plays, a step of the language model takes 1.65 s, a take 3 s). Where there are none, nobody has
measured them. Nothing was measured on a GPU: its steps are a guess of what an H100 does in an hour, and `--max-minutes`
holds whatever they take.
"""

import os
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

CODEC, READER, LM = "embedded_codec.py", "embedded_reader.py", "embedded_lm.py"


@dataclass(frozen=True)
class Phase:
    """A stretch of training, begun with the averaged weights of the phase before it."""

    name: str
    recipe: str
    settings: Mapping[str, Any]
    """Fields of the recipe replaced; `steps` is among them."""
    minutes: float | None = None
    fresh: bool = False
    """Left out where training goes on from weights."""

    @property
    def steps(self) -> int:
        return int(self.settings["steps"])


@dataclass(frozen=True)
class Target:
    """A machine, and what it can make."""

    hours: float
    """Of music to learn from."""
    heldout_hours: float
    captions: int
    """That the reader learns from."""
    reader: Phase
    codec: tuple[Phase, ...]
    decoder: tuple[Phase, ...]
    """What improves its sound and leaves its codes as they are, so that it can wait for the language model."""
    lm: tuple[Phase, ...]
    machine: Mapping[str, Any]
    """Fields of every training on which no outcome depends."""
    workers: int
    """Processes that render."""
    coding: tuple[str, ...] = ()
    """More of the command that codes the music."""
    seed: int = 20
    heldout_seed: int = 21
    judging: Mapping[str, Any] = field(default_factory=dict)
    """Fields of `judge_embedded.yaml` replaced."""
    page: tuple[str, ...] = ()
    """More of the command that makes the page."""
    minutes: Mapping[str, float] = field(default_factory=dict)
    """Of the stages that train nothing."""
    snapshot: str = "best"
    """Whose averaged weights go on."""


_RATE = "objective.optimizer.learning_rate"
_SHORT = {"objective.window_seconds": 2.5, "objective.playing_seconds": 10.0}
_WHOLE = {"objective.window_seconds": 10.0}
_LOW_NOTES, _TOGETHER, _SHARPEN = f"{CODEC}:low_notes", f"{CODEC}:together", f"{CODEC}:sharpen"

CPU = Target(
    hours=30.0,
    heldout_hours=3.0,
    captions=300_000,
    reader=Phase("reader", READER, {"steps": 2000}, 15),
    codec=(
        Phase("codec-begin", CODEC, {"steps": 2400}, 13),
        Phase("codec-low-notes", _LOW_NOTES, {"steps": 700}, 5),
        Phase("codec-together", _TOGETHER, {"steps": 4300}, 37),
    ),
    decoder=(Phase("codec-sharpen", _SHARPEN, {"steps": 1000}, 25),),
    lm=(
        Phase("lm-music", LM, {**_WHOLE, "steps": 1100, "batch_size": 6}, 30, fresh=True),
        Phase("lm-words", LM, {**_SHORT, "steps": 1200, "batch_size": 24, _RATE: 1.5e-3}, 38),
        Phase("lm-whole", LM, {**_WHOLE, "steps": 830, "batch_size": 12, _RATE: 1.5e-3}, 55),
    ),
    machine={"device": "cpu", "threads": 1},
    workers=os.cpu_count() or 1,
    minutes={"corpus": 35, "heldout": 4, "tokens": 8, "judge": 33},
)
GPU = Target(
    hours=100.0,
    heldout_hours=3.0,
    captions=1_000_000,
    reader=Phase("reader", READER, {"steps": 4000, "batch_size": 512}),
    codec=(
        Phase("codec-begin", CODEC, {"steps": 6000, "batch_size": 32}),
        Phase("codec-low-notes", _LOW_NOTES, {"steps": 1000, "batch_size": 16}),
        Phase("codec-together", _TOGETHER, {"steps": 10_000, "batch_size": 16}),
    ),
    decoder=(Phase("codec-sharpen", _SHARPEN, {"steps": 6000, "batch_size": 16}),),
    lm=(
        Phase("lm-music", LM, {**_WHOLE, "steps": 4000, "batch_size": 64}, fresh=True),
        Phase("lm-words", LM, {**_SHORT, "steps": 5000, "batch_size": 256, _RATE: 1.5e-3}),
        Phase("lm-whole", LM, {**_WHOLE, "steps": 8000, "batch_size": 64, _RATE: 1.5e-3}),
    ),
    machine={"device": "cuda", "threads": None, "log_every": 50, "snapshot_every": 500, "validate_every": 1000},
    workers=16,
    coding=("--device", "cuda", "--batch-seconds", "480"),
    judging={"sampling": {"seeds": [1, 2], "device": "cuda"}},
)


def small(target: Target) -> Target:
    """The same chain in minutes: a few pieces, a few updates; what comes out is noise."""

    def brief(phase: Phase) -> Phase:
        settings = {**phase.settings, "steps": 2, "batch_size": 2, "snapshot_every": 1, "sample_prompts": 0}
        if phase.recipe == LM:
            settings["objective.window_seconds"] = 1.0
        return replace(phase, settings=settings, minutes=None)

    sampling = {**target.judging.get("sampling", {}), "seeds": [1], "duration_seconds": 2.0}
    machine = {name: value for name, value in target.machine.items() if name != "snapshot_every"}
    return replace(
        target,
        hours=0.03,
        heldout_hours=0.03,
        captions=600,
        reader=brief(target.reader),
        codec=tuple(map(brief, target.codec)),
        decoder=tuple(map(brief, target.decoder)),
        lm=tuple(map(brief, target.lm)),
        machine=machine,
        workers=min(target.workers, 2),
        judging={"sampling": sampling, "max_prompts": 2},
        page=("--count", "2", "--seconds", "2"),
        minutes={},
        snapshot="last",
    )
