"""What a run leaves for people: its configuration, a log, curves and samples. The main process writes them.

In: values by step, and snapshots. Out: files in the run's folder, and lines for who watches. Nothing here changes what
is learnt. What cannot be drawn or played is said and left out; a log that cannot be written ends the run in one line.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import IO

import torch

from cadenza.checkpoint import write_json
from cadenza.errors import CadenzaError, UserError
from cadenza.files import refusal
from cadenza.train.config import TrainConfig
from cadenza.train.curves import draw_curves
from cadenza.train.log import RunLog
from cadenza.train.samples import Sampler, write_samples
from cadenza.train.snapshot import last_snapshot, point, remove_leftovers

SNAPSHOTS, SAMPLES = "snapshots", "samples"


class Record:
    """The folder of a run, as long as it is open; before, after and in other processes it is silent."""

    def __init__(self, folder: Path, config: TrainConfig, sampler: Sampler | None = None) -> None:
        """`sampler` plays something at every snapshot."""
        self.folder, self.config, self.sampler = folder, config, sampler
        self._draws = config.curves
        self._log: RunLog | None = None
        self._claim: IO[str] | None = None

    def open(self, step: int) -> None:
        """Begin, or go on, at `step`. UserError where there is a run that this would overwrite, or one at work."""
        folder, snapshots = self.folder, self.folder / SNAPSHOTS
        if step == 0 and last_snapshot(snapshots) is not None:
            raise UserError(f"{folder} holds a run already: resume it or choose another folder")
        try:
            folder.mkdir(parents=True, exist_ok=True)
            self._claim = _claim(folder)
            for place in (folder, snapshots, folder / SAMPLES):
                remove_leftovers(place)
            point(snapshots)  # a run may have been killed between a snapshot and its pointers
            write_json(folder / "config.json", self.config.model_dump(mode="json"))
            self._log = RunLog(folder, self.config.steps, step, self.config.tensorboard)
        except OSError as error:
            raise refusal(folder, error) from error

    def close(self) -> None:
        if self._log is not None:
            self._log.close()
        if self._claim is not None:
            self._claim.close()
        self._log = self._claim = None

    def say(self, line: str) -> None:
        if self._log is not None:
            self._log.say(line)

    def advance(self, step: int) -> None:
        if self._log is not None:
            self._log.advance(step)

    def values(self, kind: str, step: int, values: Mapping[str, float]) -> None:
        """A line of the log; CadenzaError where the disk refuses it."""
        if self._log is None or not values:
            return
        try:
            self._log.metrics(kind, step, values)
        except OSError as error:
            raise refusal(self.folder, error) from error

    def draw(self) -> None:
        """The curves so far; why there are none is said once."""
        if self._log is None or not self._draws:
            return
        try:
            draw_curves(self.folder)
        except CadenzaError as error:
            self._draws = False
            self.say(f"no curves: {error}")

    def play(self, snapshot: Path) -> None:
        """Samples of a snapshot's model."""
        if self._log is None or self.sampler is None:
            return
        try:
            write_samples(self.sampler, snapshot / "model", self.folder / SAMPLES)
        except (CadenzaError, torch.OutOfMemoryError) as error:
            self.say(f"no samples of {snapshot.name}: {error}")


def _claim(folder: Path) -> IO[str] | None:
    """A lock that ends with this process, however that ends; two runs in one folder would delete each other's files.

    Systems and disks without locks do without.
    """
    try:
        import fcntl
    except ImportError:  # Windows
        return None
    file = (folder / "run.lock").open("a")
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        file.close()
        raise UserError(f"{folder} is where another process trains now: wait for it or choose another folder") from None
    except OSError:
        pass
    return file
