"""What lies in a run's folder: pointers, and what killed processes leave behind."""

import errno
import math
import os
from pathlib import Path

import pytest

from cadenza.checkpoint import write_json
from cadenza.errors import CadenzaError, UserError
from cadenza.train.snapshot import _point, best_snapshot, point, prune_snapshots, remove_leftovers


def test_only_what_was_being_written_is_removed(tmp_path: Path):
    kept = [".gitignore", ".step_1", "config.json", "step_00000001", ".notes.txt"]
    for name in [*kept, ".config.json.0123456789ab", ".last.0123456789ab"]:
        (tmp_path / name).touch()
    for name in (".step_00000002.0123456789ab", ".step_00000002.0123456789ab.old"):
        (tmp_path / name / "model").mkdir(parents=True)
    remove_leftovers(tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(kept)


def test_a_pointer_is_replaced_in_one_go(tmp_path: Path):
    for name in ("step_00000001", "step_00000002"):
        (tmp_path / name).mkdir()
        _point(tmp_path / "last", tmp_path / name)
        assert (tmp_path / "last").resolve() == (tmp_path / name).resolve()
    assert (tmp_path / "last").readlink() == Path("step_00000002"), "relative: the folder may be moved"
    (tmp_path / "best").mkdir()
    with pytest.raises(UserError, match=r"best is a folder, and should be a link: .* delete it"):
        _point(tmp_path / "best", tmp_path / "step_00000001")


@pytest.mark.parametrize("number", [errno.EPERM, errno.ENOSYS, errno.EOPNOTSUPP])
def test_a_disk_without_links_does_without(number: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    def refuse(*_: object, **__: object) -> None:
        raise OSError(number, os.strerror(number))

    snapshot(tmp_path, 1, 2.0)
    monkeypatch.setattr(Path, "symlink_to", refuse)
    point(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["step_00000001"]
    number = errno.ENOSPC
    with pytest.raises(CadenzaError, match=r"cannot write .*last: No space left"):
        point(tmp_path)


def snapshot(folder: Path, step: int, metric: float | None) -> Path:
    path = folder / f"step_{step:08d}"
    (path / "training").mkdir(parents=True)
    write_json(path / "training" / "state.json", {"metric": metric})
    return path


def test_a_metric_that_is_no_number_is_not_the_best(tmp_path: Path):
    for step, metric in enumerate((math.nan, 2.0, 1.0, math.nan, None), start=1):
        snapshot(tmp_path, step, metric)
    assert best_snapshot(tmp_path) == tmp_path / "step_00000003"
    prune_snapshots(tmp_path, keep=1)
    assert sorted(path.name[-1] for path in tmp_path.iterdir()) == ["3", "5"]


def test_what_cannot_be_deleted_stops_no_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    for step in (1, 2):
        snapshot(tmp_path, step, None)

    def busy(*_: object, **__: object) -> None:
        raise OSError(errno.ENOTEMPTY, "Directory not empty")  # as of a file on NFS that somebody plays

    monkeypatch.setattr(os, "rmdir", busy)
    prune_snapshots(tmp_path, keep=1)
    left = sorted(path.name for path in tmp_path.iterdir())
    assert left[0].startswith(".step_00000001.")
    assert left[1:] == ["step_00000002"]
