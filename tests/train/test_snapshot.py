"""What lies in a run's folder: pointers, and what killed processes leave behind."""

from pathlib import Path

import pytest

from cadenza.errors import CadenzaError
from cadenza.train.snapshot import _point, remove_leftovers


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
    with pytest.raises(CadenzaError, match="cannot write"):
        _point(tmp_path / "best", tmp_path / "step_00000001")
