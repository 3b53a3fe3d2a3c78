"""The whole of a fine-tuning on tiny models: what comes out, what a killed run loses, what cannot be."""

import itertools
import json
import math
import signal
from pathlib import Path

import pytest
import torch

from cadenza.audio import Audio
from cadenza.errors import CadenzaError, UserError
from cadenza.lm.adapter import read_adapter
from cadenza.pipelines.musicgen import MusicGen
from cadenza.testing import tone
from cadenza.train import finetune as finetuning
from cadenza.train.finetune import finetune, run_folder
from cadenza.train.finetune_config import make_plan
from cadenza.train.finetune_measure import TrackLoss
from cadenza.train.finetune_report import summary
from cadenza.train.finetune_session import FinetuneTrainer, Session
from train.finetuning import settings, write_model, write_tracks


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_model(tmp_path_factory.mktemp("model") / "tiny")


@pytest.fixture(scope="module")
def tracks(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = write_tracks(tmp_path_factory.mktemp("tracks") / "mine")
    (folder / "broken.wav").write_bytes(b"RIFF")
    return folder


@pytest.fixture(scope="module")
def whole(model: Path, tracks: Path, tmp_path_factory: pytest.TempPathFactory):
    """A run from beginning to end."""
    return finetune(tracks, tmp_path_factory.mktemp("whole") / "mine.safetensors", settings(model, caption="my style"))


def interrupt_at(step: int, patch: pytest.MonkeyPatch, action) -> None:
    """Do something when the trainer is asked for that update."""
    train_step = FinetuneTrainer.train_step

    def step_or_not(self):
        if self.step == step:
            action()
        return train_step(self)

    patch.setattr(FinetuneTrainer, "train_step", step_or_not)


class Killed(BaseException):
    """No code of ours runs behind it."""


def kill() -> None:
    raise Killed


def test_an_adapter_a_report_and_what_it_was_made_of(whole, model: Path, tracks: Path):
    adapter = read_adapter(whole.output)
    assert adapter.config.rank == 2
    assert adapter.record.base == str(model)
    assert adapter.record.licence == "CC0-1.0"
    assert adapter.record.base_weights == MusicGen.from_pretrained(model, "cpu", "fp32").weights
    assert adapter.record.notes == "begin prompts with: my style"
    assert any(pair.up.any() for pair in adapter.weights.values())  # it has learnt something

    facts = json.loads((whole.report.parent / "report.json").read_text())
    assert [Path(item["path"]).name for item in facts["skipped"]] == ["broken.wav"]
    captions = {Path(file["path"]).stem: file["caption"] for file in facts["files"]}
    assert captions["song 0"] == "my style, a slow tone"
    assert all(text.startswith("my style") for text in captions.values())
    assert sum(file["held_out"] for file in facts["files"]) == 1
    assert facts["held_out"]["of_the_same_tracks"] is False
    assert facts["after"]["memorization"]["count"] == 2
    (before,), (after,) = facts["before"]["tracks"], facts["after"]["tracks"]
    assert before["id"] == after["id"]
    assert before["per_codebook"] != after["per_codebook"]
    assert facts["curve"][0] == {"step": 0, "train": None, "valid": pytest.approx(sum(before["per_codebook"]) / 4)}
    validated = {row["step"]: row["valid"] for row in facts["curve"][1:]}
    assert facts["step"] == min(validated, key=validated.__getitem__)
    # The log rounds to nine digits.
    assert validated[facts["step"]] == pytest.approx(sum(after["per_codebook"]) / 4, rel=1e-6)
    assert facts["seconds"]["all"] >= facts["seconds"]["training"] > 0
    for when in ("before", "after"):
        assert Audio.read(whole.report.parent / f"1-{when}.wav").duration_seconds == pytest.approx(1.0, abs=1e-3)
    assert not (whole.run / "training" / "snapshots").exists()  # what is finished needs no snapshot


def test_a_killed_run_goes_on_and_ends_as_if_nothing_had_happened(
    whole, model: Path, tracks: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    output = tmp_path / "mine.safetensors"
    config = settings(model, caption="my style")
    with monkeypatch.context() as patch:
        interrupt_at(3, patch, kill)
        with pytest.raises(Killed):
            finetune(tracks, output, config)
    assert not output.exists()
    with pytest.raises(UserError, match="unfinished run: go on with it"):
        finetune(tracks, output, config)
    with pytest.raises(UserError, match=r"rank was 2 when .* is 3 now"):
        finetune(tracks, output, settings(model, caption="my style", rank=3), resume=True)
    again = finetune(tracks, output, config, resume=True)
    assert again.step == whole.step
    assert again.facts["curve"] == whole.facts["curve"]
    first, second = read_adapter(whole.output), read_adapter(output)
    for name, pair in first.weights.items():
        assert torch.equal(pair.up, second.weights[name].up)
        assert torch.equal(pair.down, second.weights[name].down)


def test_ctrl_c_keeps_what_was_learnt(model: Path, tracks: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    output = tmp_path / "mine.safetensors"
    said: list[str] = []
    with monkeypatch.context() as patch:
        interrupt_at(2, patch, lambda: signal.raise_signal(signal.SIGINT))
        outcome = finetune(tracks, output, settings(model), say=said.append)
    assert outcome.interrupted
    assert outcome.report is None
    assert outcome.facts["steps_made"] == 3
    assert read_adapter(output).record.training["step"] == outcome.step
    done = finetune(tracks, output, settings(model), resume=True, say=said.append)
    assert not done.interrupted
    assert "going on from step 3" in said
    assert done.facts["steps_made"] == 4


def test_it_ends_when_held_out_tracks_gain_nothing(
    model: Path, tracks: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """Every validation is worse than the one before, and all are worse than the model was."""
    often = {"validate_every": 1, "patience": 2}
    monkeypatch.setattr(finetuning, "make_plan", lambda *given: make_plan(*given).model_copy(update=often))
    worse = itertools.count(1.0)
    monkeypatch.setattr(Session, "listen", lambda self: [TrackLoss("track", (next(worse),) * 4)])
    outcome = finetune(tracks, tmp_path / "mine.safetensors", settings(model, steps=40, examples=0, excerpts=0))
    assert outcome.facts["steps_made"] == 2
    assert outcome.step == 1
    assert "not predicted better for 2 validations" in outcome.facts["stopped"]
    assert "nothing was gained" in summary(outcome.facts)


def test_all_weights(model: Path, tracks: Path, tmp_path: Path):
    outcome = finetune(tracks, tmp_path / "mine", settings(model, full=True, learning_rate=1e-3))
    before, after = (MusicGen.from_pretrained(path, "cpu", "fp32") for path in (model, outcome.output))
    assert after.config.licence == "CC0-1.0"
    assert after.config.generation == before.config.generation
    changed = [
        name for name, tensor in after.lm.state_dict().items() if not torch.equal(tensor, before.lm.state_dict()[name])
    ]
    assert len(changed) == len(after.lm.state_dict())
    for name, tensor in after.codec.state_dict().items():
        assert torch.equal(tensor, before.codec.state_dict()[name])
    assert "fine-tuned" in (outcome.output / "README.md").read_text()
    assert outcome.facts["kind"] == "full"


@pytest.mark.parametrize(
    ("parts", "changes"),
    [({"stereo": True}, {"precision": "bf16"}), ({"melody": True, "style": True}, {"precision": "int4"})],
    ids=["stereo in bf16", "melody and style in int4"],
)
def test_every_kind_of_model(parts: dict, changes: dict, tracks: Path, tmp_path: Path):
    model = write_model(tmp_path / "model", **parts)
    outcome = finetune(tracks, tmp_path / "a.safetensors", settings(model, steps=2, examples=0, excerpts=1, **changes))
    (before,), (after,) = (outcome.facts[when]["tracks"] for when in ("before", "after"))
    assert all(map(math.isfinite, after["per_codebook"]))
    assert before["per_codebook"] != after["per_codebook"]
    assert outcome.facts["precision"] == changes["precision"]
    assert any(pair.up.any() for pair in read_adapter(outcome.output).weights.values())


def test_one_short_track_is_enough_though_nothing_can_be_held_out(model: Path, tmp_path: Path):
    tracks = write_tracks(tmp_path / "one", 1, seconds=1.5)
    outcome = finetune(tracks, tmp_path / "a.safetensors", settings(model, steps=1, examples=0, excerpts=1))
    assert outcome.facts["held_out"]["tracks"] == 0
    assert outcome.step == 1
    assert "long enough to hold a part of it out" in outcome.report.read_text()


# ---- what cannot be --------------------------------------------------------------------------------------------------


def silent_folder(folder: Path) -> Path:
    folder.mkdir()
    Audio(tone(duration_seconds=3.0).samples * 0, 32000).write(folder / "silence.wav", loudness_lufs=None)
    return folder


def short_folder(folder: Path) -> Path:
    folder.mkdir()
    tone(duration_seconds=0.3).write(folder / "blip.wav", loudness_lufs=None)
    return folder


def empty_folder(folder: Path) -> Path:
    folder.mkdir()
    return folder


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (empty_folder, "no recordings in it"),
        (silent_folder, "none of 1 .* can be used"),
        (short_folder, "none of 1 .* can be used"),
        (lambda folder: folder, "no such folder"),
    ],
    ids=["empty", "silent", "short", "missing"],
)
def test_folders_without_music_are_refused_in_one_line(make, message: str, model: Path, tmp_path: Path):
    with pytest.raises(UserError, match=message) as caught:
        finetune(make(tmp_path / "tracks"), tmp_path / "a.safetensors", settings(model))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("name", "changes", "message"),
    [
        ("adapter.bin", {}, "ends in .safetensors"),
        ("model.safetensors", {"full": True}, "without .safetensors"),
        ("a.safetensors", {"precision": "fp16"}, "use bf16 or fp32"),
        ("a", {"precision": "int8", "full": True}, "fp32 or bf16"),
        ("a.safetensors", {"window_seconds": 5.0}, "the model has heard 1 s at most"),
        ("a.safetensors", {"window_seconds": 0.01}, "choose longer ones"),
        ("a.safetensors", {"device": "mps"}, "mps"),
    ],
)
def test_settings_that_cannot_be(name: str, changes: dict, message: str, model: Path, tracks: Path, tmp_path: Path):
    with pytest.raises(UserError, match=message):
        finetune(tracks, tmp_path / name, settings(model, **changes))


def test_a_run_of_another_model_does_not_go_on(
    model: Path, tracks: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    output, mine = tmp_path / "a.safetensors", write_model(tmp_path / "model")
    with monkeypatch.context() as patch:
        interrupt_at(2, patch, kill)
        with pytest.raises(Killed):
            finetune(tracks, output, settings(mine, examples=0, excerpts=0))
    music = MusicGen.from_pretrained(mine, "cpu", "fp32")
    with torch.no_grad():
        music.lm.heads[0].unpack()
        music.lm.heads[0].weight.add_(1.0)
    MusicGen(music.codec, music.lm, music.conditioning, music.config).save_pretrained(mine)
    with pytest.raises(UserError, match="begun with another model"):
        finetune(tracks, output, settings(mine, examples=0, excerpts=0), resume=True)


def test_a_loss_that_is_no_number_ends_it_in_one_line(
    model: Path, tracks: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    from cadenza.train.objectives.lm import LMObjective

    loss = LMObjective.loss
    monkeypatch.setattr(
        LMObjective,
        "loss",
        lambda self, *args: loss(self, *args)._replace(value=torch.tensor(math.nan, requires_grad=True)),
    )
    with pytest.raises(CadenzaError, match="nan") as caught:
        finetune(tracks, tmp_path / "a.safetensors", settings(model, examples=0, excerpts=0))
    assert "\n" not in str(caught.value)


def test_a_full_disk_leaves_a_run_that_can_go_on(
    model: Path, tracks: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    from cadenza.lm.adapter_file import Adapter

    def full(self, path):
        raise CadenzaError(f"cannot write {path}: No space left on device; free space or choose another place")

    output, config = tmp_path / "a.safetensors", settings(model, examples=0, excerpts=0)
    save = Adapter.save
    with monkeypatch.context() as patch:
        patch.setattr(Adapter, "save", lambda self, path: full(self, path) if path == output else save(self, path))
        with pytest.raises(CadenzaError, match="No space left"):
            finetune(tracks, output, config)
    done = finetune(tracks, output, config, resume=True)
    assert done.facts["steps_made"] == 4
    assert read_adapter(output).record.training["step"] == done.step
    assert run_folder(output) == done.run
