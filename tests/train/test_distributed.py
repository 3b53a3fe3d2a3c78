"""Several processes train what one would, whatever their number; sharded or not."""

import copy
import re
from pathlib import Path

import pytest

from cadenza.conditioning.fuser import FuserConfig
from cadenza.conditioning.provider import ConditioningConfig
from cadenza.conditioning.text import TextConfig
from cadenza.errors import CadenzaError, UserError
from cadenza.train import distributed, run
from cadenza.train.distributed import agree, processes, rows_here, together
from cadenza.train.optim import MuonConfig
from train.ranks import curve, finish, start, write_recipe
from train.tiny import codec_run, lm_run, write_audio

CONDITIONING = ConditioningConfig(
    dim=16,
    conditioners={"description": TextConfig(dim=8)},
    # Without the mask an item's loss depends on the longest text beside it, and so on the process it is in.
    fuser=FuserConfig(cross=("description",), mask_padding=True),
)


def language_model(folder: Path) -> str:
    # Windows are longer than some recordings: processes hold different numbers of codes.
    objective = {"conditioning": CONDITIONING, "train_text_encoder": False, "window_seconds": 0.4}
    config = lm_run(folder, 0.1, batch_size=4, log_every=1, accumulation=2, objective=objective)
    return write_recipe(folder / "lm.py", config)


def adversarial_codec(folder: Path) -> str:
    """The adversary joins in the last but one step: its first update is by Adam, which makes as much of a gradient that
    is rounding alone as of any other, so that what comes after is equal only roughly."""
    changes = {"validate_every": 4, "objective": {"adversarial_start_step": 4}}
    return write_recipe(
        folder / "codec.py", codec_run(write_audio(folder / "audio"), log_every=1, batch_size=4, **changes)
    )


def assert_same_curve(found: list[dict], expected: list[dict], tolerance: float) -> None:
    for row, wanted in zip(copy.deepcopy(found), copy.deepcopy(expected), strict=True):
        assert row.keys() == wanted.keys()
        assert row.pop("kind") == wanted.pop("kind")
        assert row == pytest.approx(wanted, rel=tolerance, abs=tolerance)


def test_four_processes_and_then_two_train_as_one(tmp_path: Path):
    """The checkpoint of four is resumed by two, that of two with sharded weights by one, and that by two."""
    lm, codec = language_model(tmp_path), adversarial_codec(tmp_path)
    out = {name: ["--out", str(tmp_path / name)] for name in ("one", "ddp", "fsdp", "codec_one", "codec_two")}
    sharded = ["--set", "parallel=fsdp"]
    jobs = [
        (1, ["train", lm, *out["one"]]),
        (4, ["train", lm, *out["ddp"], "--set", "steps=3"]),
        (2, ["train", lm, *out["ddp"], "--resume"]),
        (2, ["train", lm, *out["fsdp"], "--set", "steps=3", *sharded]),
        # stops after one update
        (1, ["train", lm, *out["fsdp"], "--resume", *sharded, "--set", "max_minutes=1e-9"]),
        (2, ["train", lm, *out["fsdp"], "--resume", *sharded]),
        (1, ["train", codec, *out["codec_one"]]),
        (2, ["train", codec, *out["codec_two"]]),
        (2, ["train", lm, "--out", str(tmp_path / "nan"), "--set", "objective.optimizer.learning_rate=1e38"]),
    ]
    codes = finish(start(jobs, tmp_path / "said"))
    assert codes == [1, 1, 0, 0], "".join(path.read_text() for path in tmp_path.glob("said*"))
    # float32 sums in another order, carried through six updates
    expected = curve(tmp_path / "one")
    assert_same_curve(curve(tmp_path / "ddp"), expected, 1e-5)
    assert_same_curve(curve(tmp_path / "fsdp"), expected, 1e-5)
    two, one = curve(tmp_path / "codec_two"), curve(tmp_path / "codec_one")
    assert_same_curve(two[:5], one[:5], 1e-5)
    for name in ("discriminator", "gradient_norm/discriminator"):
        assert two[5][name] == pytest.approx(one[5][name], rel=1e-3)
    (line,) = (text for text in (tmp_path / "said0").read_text().splitlines() if text.startswith("cadenza:"))
    assert re.match(r"cadenza: the lm loss of step 1 is nan in batch 2 \(one of (tone\d, ){3}tone\d\): lower", line)
    assert not any((tmp_path / f"said{rank}").read_text() for rank in (1, 2, 3)), "one process speaks"


def test_rows_are_dealt_out_in_order(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(distributed, "num_ranks", lambda: 3)
    monkeypatch.setattr(distributed, "rank", lambda: 1)
    assert rows_here(6) == range(2, 4)
    with pytest.raises(UserError, match="batch_size 8 cannot be divided by 3 processes: use a multiple"):
        rows_here(8)


def test_one_process_needs_no_others():
    assert list(agree(True, False)) == [True, False]
    with processes("cpu"), pytest.raises(CadenzaError, match=r"^as it was$"), together():
        raise CadenzaError("as it was")


def test_a_device_for_one_is_refused_for_several(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("WORLD_SIZE", "2")
    for device in ("cuda:1", "mps"):
        with pytest.raises(UserError, match=f"device {device} is one device, and this is one of 2 processes"):
            processes(device).__enter__()


@pytest.mark.parametrize(
    ("objective", "message"),
    [
        ({"train_text_encoder": True}, "trains no text encoder"),
        ({"optimizer": MuonConfig(), "train_text_encoder": False}, "does not work with muon"),
    ],
)
def test_what_is_not_sharded_is_said(objective: dict, message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(run, "num_ranks", lambda: 2)
    with pytest.raises(UserError, match=message):
        run.build(lm_run(tmp_path, parallel="fsdp", objective=objective), tmp_path / "run")


def test_a_codec_is_not_sharded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(run, "num_ranks", lambda: 2)
    with pytest.raises(UserError, match="for language models"):
        run.build(codec_run(write_audio(tmp_path / "audio"), parallel="fsdp"), tmp_path / "run")
