"""What a run says: a JSON line per logged step, TensorBoard if it is installed, a line for the person watching.

What is not finite (the gradient norm of an update that fp16 skipped) is `null` in the file: JSON has no other word.
"""

import io
import json
import math
import re
import sys
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import IO, Any, cast

from cadenza.errors import UserError
from cadenza.files import atomic_file

LOG = "log.jsonl"
_CODEBOOK = re.compile(r"_q\d+$")


class RunLog:
    """Writes `log.jsonl` and `tensorboard/` below a run's folder and shows progress on `stream`.

    On a terminal a bar is redrawn with the time left; elsewhere every logged step is one plain line. A resumed run
    drops the lines of steps that it will make again.
    """

    def __init__(
        self, folder: Path, steps: int, first_step: int, tensorboard: bool = True, stream: io.TextIOBase | None = None
    ) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.steps, self.first_step = steps, first_step
        self._stream = cast(IO[str], stream or sys.stderr)
        self._started = time.monotonic()
        path = folder / LOG
        kept = [row for row in read_rows(path) if row["step"] <= first_step]
        with atomic_file(path) as temporary:
            temporary.write_text("".join(json.dumps(row) + "\n" for row in kept), encoding="utf-8")
        self._file = path.open("a", encoding="utf-8")
        self._writer = _tensorboard(folder / "tensorboard", first_step) if tensorboard else None
        self._bar = self._task = None
        if self._stream.isatty():
            self._bar, self._task = _progress_bar(self._stream, steps, first_step)

    def metrics(self, kind: str, step: int, values: Mapping[str, float]) -> None:
        """Record values after `step` updates; `kind` is `train` or `valid`."""
        row = {"step": step, "kind": kind, "seconds": round(time.monotonic() - self._started, 2)}
        self._file.write(json.dumps(row | {name: _rounded(value) for name, value in values.items()}) + "\n")
        self._file.flush()
        if self._writer is not None:
            for name, value in values.items():
                self._writer.add_scalar(f"{kind}/{name}", value, step)
        shown = "  ".join(_words(values))
        left = self._seconds_left(step)
        self.say(f"{kind} {step}/{self.steps}  {shown}" + (f"  left {_clock(left)}" if kind == "train" else ""))

    def advance(self, step: int) -> None:
        """Redraw the bar; free elsewhere."""
        if self._bar is not None and self._task is not None:
            self._bar.update(self._task, completed=step)

    def say(self, line: str) -> None:
        """One line for the person watching. A run goes on where nobody does any more: a pipe or terminal is closed.

        Also called by a handler of signals, maybe in the midst of another line (RuntimeError).
        """
        with suppress(OSError, RuntimeError):
            if self._bar is not None:
                self._bar.console.print(line, highlight=False, soft_wrap=True)
            else:
                print(line, file=self._stream, flush=True)

    def close(self) -> None:
        """What a full disk refuses now it has refused before."""
        with suppress(OSError):
            self._file.close()
        if self._writer is not None:
            with suppress(OSError):
                self._writer.close()
        if self._bar is not None:
            with suppress(OSError):
                self._bar.stop()

    def _seconds_left(self, step: int) -> float:
        done = max(1, step - self.first_step)
        return (time.monotonic() - self._started) / done * (self.steps - step)


def read_rows(path: Path) -> list[dict[str, Any]]:
    """The rows of a log, none where there is no file. A last line that was cut, as by a crash, is left out.

    Raises UserError for another line that is none of ours.
    """
    text = path.read_text(encoding="utf-8", errors="replace") if path.exists() else ""
    rows = []
    for number, line in enumerate(text.splitlines(keepends=True), start=1):
        if not line.endswith("\n"):
            break
        try:
            row = json.loads(line)
        except ValueError:
            row = None
        if not isinstance(row, dict) or not isinstance(row.get("step"), int) or "kind" not in row:
            raise UserError(f"{path} line {number} is no line of a log ({line[:40]!r}): delete it")
        rows.append(row)
    return rows


def _words(values: Mapping[str, float]) -> list[str]:
    """`ce 3.1`, and values per codebook as one row: `ce_q 2.1 4.1`. Those of one phase (`norm/lm`) are for the file."""
    words: dict[str, str] = {}
    for name, value in values.items():
        if "/" not in name:
            key = _CODEBOOK.sub("_q", name)
            words[key] = f"{words.get(key, key)} {value:.4g}"
    return list(words.values())


def _rounded(value: float) -> float | None:
    return float(f"{value:.9g}") if math.isfinite(value) else None


def _clock(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes // 60}:{minutes % 60:02d}:{rest:02d}"


def _tensorboard(folder: Path, first_step: int) -> Any:
    """A TensorBoard writer, or None where the package is not installed: the JSON log holds the same."""
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError:
        return None
    return SummaryWriter(str(folder), purge_step=first_step + 1)


def _progress_bar(stream: Any, steps: int, first_step: int) -> tuple[Any, Any]:
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TimeElapsedColumn, TimeRemainingColumn

    columns = (BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(), TimeRemainingColumn(elapsed_when_finished=True))
    bar = Progress(*columns, console=Console(file=stream), refresh_per_second=2)
    bar.start()
    return bar, bar.add_task("training", total=steps, completed=first_step)
