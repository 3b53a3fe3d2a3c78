"""What was made stays made, only by the settings it was made with, whatever ended the run before."""

import time
from dataclasses import replace
from pathlib import Path

import pytest

import stages
from cadenza.errors import UserError
from stages import Run, Stage

WRITE = "import sys, pathlib; pathlib.Path(sys.argv[1]).open('a').write(sys.argv[2])"


def _stage(name: str, text: str, after: tuple[str, ...] = (), **more: object) -> Stage:
    """Appends a text to its output, so that a stage made twice shows."""
    return replace(Stage(name, name, ("-c", WRITE, f"{{out}}/{name}", text), after), **more)


@pytest.fixture
def chain(tmp_path: Path) -> tuple[Stage, ...]:
    return _stage("notes", "a"), _stage("sound", "b", ("notes",)), _stage("page", "c", ("sound",))


def test_every_stage_is_made_once(chain: tuple[Stage, ...], tmp_path: Path) -> None:
    for _ in range(2):
        run = Run(chain, tmp_path)
        assert run.go(run.chosen(None, None)) == []
    assert [(tmp_path / stage.name).read_text() for stage in chain] == ["a", "b", "c"]
    assert run.table(chain).count("done") == 3


def test_a_part_of_them(chain: tuple[Stage, ...], tmp_path: Path) -> None:
    run = Run(chain, tmp_path)
    with pytest.raises(UserError, match="sound takes what notes makes, which is not done: begin with --from notes"):
        run.go(run.chosen("sound", None))
    assert run.go(run.chosen(None, "notes")) == []
    assert [run.state(stage) for stage in chain] == ["done", "left", "left"]
    assert run.go(run.chosen("sound", "sound")) == []
    with pytest.raises(UserError, match="no stage 'noise': choose one of notes, sound, page"):
        run.chosen("noise", None)
    with pytest.raises(UserError, match="page comes after sound"):
        run.chosen("page", "sound")


def test_other_settings_are_not_mixed_in(chain: tuple[Stage, ...], tmp_path: Path) -> None:
    Run(chain, tmp_path).go(chain)
    other = (_stage("notes", "louder"), *chain[1:])
    with pytest.raises(UserError, match=r"made in another way \(a, now louder\): delete .*notes"):
        Run(other, tmp_path).go(other)
    (tmp_path / "notes").unlink()
    with pytest.raises(UserError, match=r"sound was made in another way \(of other inputs\)"):
        Run(other, tmp_path).go(other)
    facts = (replace(chain[0], facts=("composer 3",)), *chain[1:])
    with pytest.raises(UserError, match="made in another way"):
        Run(facts, tmp_path).go(facts)


def test_what_decides_nothing_may_change(chain: tuple[Stage, ...], tmp_path: Path) -> None:
    Run(chain, tmp_path).go(chain)
    elsewhere = tuple(replace(stage, extra=("--workers", "16")) for stage in chain)
    assert Run(elsewhere, tmp_path).go(elsewhere) == []


def test_a_failure_is_named_and_the_same_command_goes_on(chain: tuple[Stage, ...], tmp_path: Path) -> None:
    failing = ("-c", "import sys, pathlib; sys.exit(0 if pathlib.Path(sys.argv[1]).is_dir() else 3)", "{out}/remedy")
    stages_ = (chain[0], Stage("sound", "remedy", failing, ("notes",)))
    run = Run(stages_, tmp_path)
    with pytest.raises(UserError, match="stage sound ended with code 3"):
        run.go(stages_)
    (tmp_path / "remedy").mkdir()
    assert Run(stages_, tmp_path).go(stages_) == []
    assert (tmp_path / "notes").read_text() == "a"


def test_a_stage_that_leaves_nothing_is_not_done(tmp_path: Path) -> None:
    silent = (Stage("silent", "sound", ("-c", "pass")),)
    with pytest.raises(UserError, match=r"left no .*sound"):
        Run(silent, tmp_path).go(silent)


def test_time_is_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stages, "LEAST_SECONDS", 0.0)
    # Asked to end, it keeps what it has, as a trainer does; the second time that is enough.
    patient = (
        "import pathlib, signal, sys, time\n"
        "folder = pathlib.Path(sys.argv[1])\n"
        "def keep(*_):\n    folder.mkdir(exist_ok=True); (folder / 'kept').touch(); sys.exit(143)\n"
        "signal.signal(signal.SIGTERM, keep)\n"
        "if not (folder / 'kept').exists(): time.sleep(60)\n"
        "(folder / 'whole').touch()\n"
    )
    chain = (Stage("train", "train/whole", ("-c", patient, "{out}/train")), _stage("page", "c", ("train",)))
    began = time.monotonic()
    assert Run(chain, tmp_path).go(chain, end=began + 0.4) == ["train", "page"]
    assert time.monotonic() - began < 10
    assert Run(chain, tmp_path).state(chain[0]) == "begun"
    assert Run(chain, tmp_path).go(chain, end=time.monotonic() + 60) == []
    monkeypatch.setattr(stages, "LEAST_SECONDS", 20.0)
    later = (*chain, _stage("more", "d"))
    assert Run(later, tmp_path).go(later, end=time.monotonic() + 5) == ["more"]


def test_expected_minutes_are_summed_and_unknown_ones_said(chain: tuple[Stage, ...], tmp_path: Path) -> None:
    known = (replace(chain[0], minutes=3.0), replace(chain[1], minutes=4.5), chain[2])
    assert Run(known, tmp_path).table(known).endswith("left: 7.5 min, and 1 stages whose time is not measured")
