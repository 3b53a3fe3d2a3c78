"""Runs that are killed, stopped or out of space, and go on as if nothing had happened."""

import os
import random
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from train.ranks import (
    curve,
    die_in_second_snapshot,
    disk_full_in_second_snapshot,
    finish,
    start,
    wait_for,
    write_recipe,
)
from train.tiny import lm_run


@pytest.fixture
def recipe(tmp_path: Path) -> str:
    """Twelve updates with a snapshot after each."""
    changes = {"steps": 12, "log_every": 1, "snapshot_every": 1, "validate_every": 5, "keep_snapshots": 12}
    return write_recipe(tmp_path / "lm.py", lm_run(tmp_path, **changes))


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def after(run: Path, count: int) -> Path:
    """The snapshot that `run` writes `count` updates from its last one, of those that it makes at all."""
    last = int(names(run / "snapshots")[-1][-8:])
    return run / "snapshots" / f"step_{min(last + count, 12):08d}"


def final_weights(run: Path) -> bytes:
    return (run / "snapshots" / "last" / "training" / "weights.safetensors").read_bytes()


def test_killed_at_any_moment_a_run_goes_on_as_if_it_had_not_been(recipe: str, tmp_path: Path):
    """Killed while it writes a snapshot, then at a random moment, then stopped by SIGTERM on the way."""
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    goes_on = [(1, ["train", recipe, "--out", str(parts), "--resume"])]
    reference = start([(1, ["train", recipe, "--out", str(whole)])], tmp_path / "said")

    assert finish(start(goes_on, tmp_path / "said", die_in_second_snapshot)) == [-signal.SIGKILL]
    left = names(parts / "snapshots")
    assert left[1:] == ["last", "step_00000001"], "the unfinished one has no name yet"
    assert left[0].startswith(".step_00000002.")

    (child,) = start(goes_on, tmp_path / "said")
    wait_for(parts / "snapshots" / "step_00000002")
    time.sleep(random.random() * 0.1)
    child.kill()
    assert finish([child]) == [-signal.SIGKILL]

    (child,) = start(goes_on, tmp_path / "said")
    wait_for(after(parts, 1))
    os.kill(child.pid, signal.SIGTERM)
    assert finish([child]) == [128 + signal.SIGTERM]
    assert finish(start(goes_on, tmp_path / "said")) == [0]
    assert finish(reference) == [0]

    assert curve(parts) == curve(whole)
    assert final_weights(parts) == final_weights(whole)
    assert not [name for name in (*names(parts), *names(parts / "snapshots")) if name.startswith(".")]
    assert (parts / "snapshots" / "best" / "model" / "config.json").exists()


def test_processes_end_together_and_go_on_together(recipe: str, tmp_path: Path):
    """A full disk, SIGTERM to one, kill -9 of one: each time all of them end, and two go on."""
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    batch = ["--set", "validate_every=0"]
    goes_on = [(2, ["train", recipe, "--out", str(parts), "--resume", *batch])]
    reference = start([(2, ["train", recipe, "--out", str(whole), *batch])], tmp_path / "whole")

    assert finish(start(goes_on, tmp_path / "full", disk_full_in_second_snapshot)) == [1, 1]
    said = [(tmp_path / f"full{rank}").read_text() for rank in (0, 1)]
    assert said[0].splitlines()[-1].startswith("cadenza: cannot write")
    assert "No space left on device; free space" in said[0]
    assert said[1] == ""
    assert names(parts / "snapshots") == ["last", "step_00000001"]

    children = start(goes_on, tmp_path / "said")
    wait_for(parts / "snapshots" / "step_00000003")
    os.kill(children[1].pid, signal.SIGTERM)
    assert finish(children) == [128 + signal.SIGTERM] * 2
    assert "step_00000012" not in names(parts / "snapshots"), "both stopped on the way"

    children = start(goes_on, tmp_path / "said")
    wait_for(after(parts, 2))
    children[1].kill()
    assert finish(children) == [1, -signal.SIGKILL]
    assert "process 0 lost another one: start all of them again with --resume" in (tmp_path / "said0").read_text()
    assert finish(start(goes_on, tmp_path / "said")) == [0, 0]
    assert finish(reference) == [0, 0]
    assert curve(parts) == curve(whole)
    assert final_weights(parts) == final_weights(whole)


@pytest.mark.slow
def test_torchrun_starts_killed_processes_again(recipe: str, tmp_path: Path):
    """The command as it is typed, its process 1 killed on the way."""
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2", "--max-restarts", "1"]
    train = ["-m", "cadenza", "train", recipe, "--set", "validate_every=0"]
    parts = tmp_path / "parts"
    with subprocess.Popen([*torchrun, *train, "--out", str(parts), "--resume"], stderr=subprocess.PIPE) as running:
        wait_for(parts / "snapshots" / "step_00000003")
        children = Path(f"/proc/{running.pid}/task/{running.pid}/children").read_text().split()
        os.kill(int(children[-1]), signal.SIGKILL)
        said = running.communicate(timeout=300)[1].decode()
    assert running.returncode == 0, said
    assert "process 0 lost another one" in said
    children = start([(2, [*train[2:], "--out", str(tmp_path / "whole")])], tmp_path / "said")
    assert finish(children) == [0, 0]
    assert curve(parts) == curve(tmp_path / "whole")


@pytest.mark.slow
def test_what_one_machine_lacks_ends_all_with_one_line(recipe: str, tmp_path: Path):
    """Where the others already wait; and the exit codes are ours, not those of PyTorch's threads (134)."""
    here = tmp_path / "here.py"
    here.write_text(
        f"import os, runpy\nconfig = runpy.run_path({recipe!r})['config']\n"
        "if os.environ['RANK'] == '1':\n"
        "    whole = config\n    config = lambda: whole().model_copy(update={'data': '/nowhere'})\n"
    )
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2"]
    command = [*torchrun, "-m", "cadenza", "train", str(here), "--out", str(tmp_path / "run")]
    said = subprocess.run(command, stderr=subprocess.PIPE, text=True, timeout=300, check=False).stderr
    (line,) = (line for line in said.splitlines() if line.startswith("cadenza:"))
    assert line.startswith("cadenza: no token cache in /nowhere")
    assert "terminate called" not in said
    assert sorted(re.findall(r"exitcode  : (-?\d+)", said)) == ["1", "2"]
