"""Files appear whole or not at all."""

import errno
import os
import subprocess
import sys
from pathlib import Path

import pytest

from cadenza.errors import CadenzaError
from cadenza.files import atomic_directory, atomic_file


def test_an_atomic_file_keeps_the_old_one_when_the_writer_fails(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_text("old")
    with pytest.raises(RuntimeError), atomic_file(path) as temporary:  # noqa: PT012
        temporary.write_text("half")
        raise RuntimeError
    assert path.read_text() == "old"
    with atomic_file(path) as temporary:
        temporary.write_text("new")
    assert path.read_text() == "new"
    assert os.listdir(tmp_path) == ["file"]


def test_a_disk_that_is_read_only_is_a_refusal(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(path: Path, **_: object) -> None:
        raise OSError(errno.EROFS, os.strerror(errno.EROFS), str(path))

    monkeypatch.setattr(Path, "touch", refuse)
    monkeypatch.setattr(Path, "unlink", refuse)
    with (
        pytest.raises(CadenzaError, match="Read-only file system; free space or choose another place"),
        atomic_file(tmp_path / "file"),
    ):
        pass


def test_others_may_read_what_its_writer_kept_for_itself(tmp_path: Path) -> None:
    (tmp_path / "usual").touch()
    with atomic_file(tmp_path / "file") as temporary:
        temporary.write_text("new")
        temporary.chmod(0o600)  # as safetensors does
    assert (tmp_path / "file").stat().st_mode == (tmp_path / "usual").stat().st_mode


def test_an_atomic_directory_appears_whole_or_not_at_all(tmp_path: Path) -> None:
    target = tmp_path / "a" / "model"
    with pytest.raises(RuntimeError), atomic_directory(target) as temporary:  # noqa: PT012
        (temporary / "file").write_text("half")
        raise RuntimeError
    assert os.listdir(tmp_path / "a") == []
    with atomic_directory(target) as temporary:
        (temporary / "file").write_text("one")
    with pytest.raises(RuntimeError), atomic_directory(target) as temporary:
        raise RuntimeError
    assert (target / "file").read_text() == "one"
    with atomic_directory(target) as temporary:
        (temporary / "other").write_text("two")
    assert os.listdir(target) == ["other"]
    assert os.listdir(tmp_path / "a") == ["model"]


def test_sound_is_written_without_torch() -> None:
    code = "import sys, cadenza.audio; assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)
