"""A folder in pieces is the same folder again, or the fault is named."""

from pathlib import Path

import pytest

from cadenza.errors import UserError
from pieces import join, split


@pytest.fixture
def model(tmp_path: Path) -> Path:
    for name, data in {"codec/model.safetensors": bytes(range(256)) * 300, "config.json": b"{}"}.items():
        path = tmp_path / "model" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    (tmp_path / "best").symlink_to("model")
    return tmp_path / "best"


def test_there_and_back(model: Path, tmp_path: Path) -> None:
    found = split(model, tmp_path / "there", mib=0.03)
    assert len(found) == 3
    assert all(path.stat().st_size <= 0.03 * 2**20 for path in found)
    again = split(model, tmp_path / "again", mib=0.03)
    assert [path.read_bytes() for path in found] == [path.read_bytes() for path in again]
    join(tmp_path / "there", tmp_path / "back")
    for path in (path for path in model.rglob("*") if path.is_file()):
        assert (tmp_path / "back" / path.relative_to(model)).read_bytes() == path.read_bytes()


@pytest.mark.parametrize("damage", ["lost", "cut"])
def test_a_fault_is_named(model: Path, tmp_path: Path, damage: str) -> None:
    second = split(model, tmp_path / "there", mib=0.03)[1]
    if damage == "lost":
        second.unlink()
    else:
        second.write_bytes(second.read_bytes()[:-1])
    with pytest.raises(UserError, match="piece-02 missing or damaged: bring them again"):
        join(tmp_path / "there", tmp_path / "back")
    assert not (tmp_path / "back").exists()


def test_wrong_folders_and_sizes(model: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="is no folder"):
        split(tmp_path / "nothing", tmp_path / "there")
    with pytest.raises(UserError, match="--mib 0"):
        split(model, tmp_path / "there", mib=0)
    with pytest.raises(UserError, match=r"holds no pieces\.json"):
        join(model, tmp_path / "back")
