"""Stages of a recipe, one after the other, each made once: what is whole stays whole, whatever ends the run.

In: stages, each a command of Python and what it leaves behind, and a folder. Out: their outputs there, and for each
stage a record in `stages/`: the command, how many minutes it took so far, whether it is done. A stage that was made by
another command, or of other outputs, is refused by name instead of mixed with new ones. When the time is up, or Ctrl-C
comes, the stage at work is asked to end (SIGTERM); the same command goes on from there.
"""

import hashlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from cadenza.errors import UserError
from cadenza.files import atomic_file

State = Literal["done", "begun", "left"]
GRACE_SECONDS = 45.0
"""A trainer that is asked to end writes a snapshot."""
LEAST_SECONDS = 20.0
"""No stage is begun for less: loading takes as long."""


@dataclass(frozen=True)
class Stage:
    """One command. `{out}` in it stands for the folder of the run, `{recipes}` for that of the recipes."""

    name: str
    makes: str
    """What is there when it is done, below the folder of the run."""
    command: tuple[str, ...]
    """What decides the outcome, without the interpreter."""
    after: tuple[str, ...] = ()
    """Stages whose outputs it takes."""
    extra: tuple[str, ...] = ()
    """More of the command, on which the outcome does not depend: a device, how many processes."""
    facts: tuple[str, ...] = ()
    """What else decides the outcome."""
    minutes: float | None = None
    """What it took where that was measured."""
    prepare: Callable[[Path], None] | None = None
    """Called with the folder of the run before the command."""


class Run:
    """Stages on their way in one folder."""

    def __init__(self, stages: Sequence[Stage], folder: Path) -> None:
        self.stages, self.folder = tuple(stages), folder
        self._by_name = {stage.name: stage for stage in stages}

    def chosen(self, first: str | None, last: str | None) -> list[Stage]:
        """The stages from one to another. UserError for a name that is none of them."""
        names = [stage.name for stage in self.stages]
        for name in (first, last):
            if name is not None and name not in names:
                raise UserError(f"no stage {name!r}: choose one of {', '.join(names)}")
        begin = 0 if first is None else names.index(first)
        end = len(names) if last is None else names.index(last) + 1
        if begin >= end:
            raise UserError(f"{first} comes after {last}: nothing is left between them")
        return list(self.stages[begin:end])

    def state(self, stage: Stage) -> State:
        """Whether a stage is done here, begun, or left to do. UserError if it was made in another way."""
        record = self._record(stage)
        output = self.folder / stage.makes
        if record is None or not self._folder_of(stage).exists():
            return "left"
        if record["digest"] != self.digest(stage):
            raise UserError(
                f"{output} was made in another way ({self._difference(stage, record)}): delete "
                f"{self._folder_of(stage)} to make it anew, or choose another --out"
            )
        return "done" if record["done"] and output.exists() else "begun"

    def digest(self, stage: Stage) -> str:
        """Of all that decides what a stage makes: its command, and those of the stages before it."""
        before = [self.digest(self._by_name[name]) for name in stage.after if name in self._by_name]
        return hashlib.sha256(json.dumps([stage.command, stage.facts, before]).encode()).hexdigest()[:16]

    def table(self, stages: Sequence[Stage]) -> str:
        """One line a stage: what is done, and what the others may take."""
        lines = []
        for stage in stages:
            state, record = self.state(stage), self._record(stage)
            spent = 0.0 if record is None or state == "left" else record["minutes"]
            expected = "not measured" if stage.minutes is None else f"{stage.minutes:g} min"
            lines.append(f"{state:<6} {stage.name:<16} {spent:>7.1f} min spent   expected {expected}")
        known = [stage.minutes for stage in stages if self.state(stage) != "done"]
        left = sum(minutes or 0.0 for minutes in known)
        unknown = sum(minutes is None for minutes in known)
        more = f", and {unknown} stages whose time is not measured" if unknown else ""
        return "\n".join([*lines, f"left: {left:g} min{more}"])

    def go(self, stages: Sequence[Stage], end: float | None = None) -> list[str]:
        """Make what is not done until `end` (of `time.monotonic`); returns the names of what is left.

        Raises UserError where a stage fails, or where what it takes is not there.
        """
        for number, stage in enumerate(stages, 1):
            if self.state(stage) == "done":
                continue
            if end is not None and end - time.monotonic() < LEAST_SECONDS:
                break
            self._check_inputs(stage)
            expected = "" if stage.minutes is None else f", {stage.minutes:g} minutes expected"
            _say(f"== {stage.name} ({number} of {len(stages)}{expected})")
            if not self._make(stage, end):
                break
        return [stage.name for stage in stages if self.state(stage) != "done"]

    def _make(self, stage: Stage, end: float | None) -> bool:
        """Whether it ended by itself."""
        record = self._record(stage) if self.state(stage) != "left" else None
        spent, began = 0.0 if record is None else record["minutes"], time.monotonic()

        def note(done: bool) -> None:
            minutes = round(spent + (time.monotonic() - began) / 60, 2)
            self._write_record(stage, {"done": done, "minutes": minutes})

        note(done=False)
        if stage.prepare is not None:
            stage.prepare(self.folder)
        try:
            code = call([sys.executable, *self.words(stage)], end)
        finally:
            note(done=False)
        if code is None:
            _say(f"time is up in {stage.name}: the same command goes on")
            return False
        if code != 0 or not (self.folder / stage.makes).exists():
            fault = f"ended with code {code}" if code else f"left no {self.folder / stage.makes}"
            raise UserError(f"stage {stage.name} {fault}: see above; once that is put right, the same command goes on")
        note(done=True)
        return True

    def words(self, stage: Stage) -> list[str]:
        """The command with its folders filled in."""
        places = {"{out}": str(self.folder), "{recipes}": str(Path(__file__).parent)}
        words = [*stage.command, *stage.extra]
        for mark, place in places.items():
            words = [word.replace(mark, place) for word in words]
        return words

    def _check_inputs(self, stage: Stage) -> None:
        for name in stage.after:
            before = self._by_name.get(name)
            if before is not None and self.state(before) != "done":
                raise UserError(f"{stage.name} takes what {name} makes, which is not done: begin with --from {name}")

    def _folder_of(self, stage: Stage) -> Path:
        """The first folder (or the file) below the run's that the stage makes."""
        return self.folder / Path(stage.makes).parts[0]

    def _difference(self, stage: Stage, record: Mapping[str, Any]) -> str:
        before, now = [*record["command"], *record["facts"]], [*stage.command, *stage.facts]
        for old, new in zip(before, now, strict=False):
            if old != new:
                return f"{old}, now {new}"
        return "other arguments" if len(before) != len(now) else "of other inputs"

    def _place(self, stage: Stage) -> Path:
        return self.folder / "stages" / f"{stage.name}.json"

    def _record(self, stage: Stage) -> dict[str, Any] | None:
        place = self._place(stage)
        record: dict[str, Any] | None = json.loads(place.read_text(encoding="utf-8")) if place.is_file() else None
        return record

    def _write_record(self, stage: Stage, facts: Mapping[str, Any]) -> None:
        record = {"command": stage.command, "facts": stage.facts, "digest": self.digest(stage), **facts}
        with atomic_file(self._place(stage)) as temporary:
            temporary.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")


def call(command: Sequence[str], end: float | None = None) -> int | None:
    """Run a command until `end` (of `time.monotonic`): its exit code, or None if it was asked to end by then.

    It is asked by SIGTERM to all its processes, and ended after a grace. So it is when this process is interrupted.
    """
    process = subprocess.Popen(command, start_new_session=True)
    try:
        return process.wait(None if end is None else max(0.0, end - time.monotonic()))
    except subprocess.TimeoutExpired:
        return None
    finally:
        if process.poll() is None:
            _end(process)


def _end(process: "subprocess.Popen[bytes]") -> None:
    os.killpg(process.pid, signal.SIGTERM)
    try:
        process.wait(GRACE_SECONDS)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)
