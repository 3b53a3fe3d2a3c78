"""`cadenza finetune`, and the adapter that it makes in `cadenza generate`."""

import json
import signal

import pytest

from cadenza.audio import Audio
from cadenza.train.finetune_session import FinetuneTrainer
from train.finetuning import write_model, write_tracks

QUICK = ("--steps", "2", "--rank", "2", "--examples", "0", "--learning-rate", "0.05", "--batch-size", "1")


@pytest.fixture(scope="module")
def model(tmp_path_factory) -> str:
    return str(write_model(tmp_path_factory.mktemp("model") / "tiny"))


@pytest.fixture(scope="module")
def tracks(tmp_path_factory) -> str:
    return str(write_tracks(tmp_path_factory.mktemp("tracks") / "mine", 4, seconds=1.5))


def test_an_adapter_that_generate_wears(cadenza, model, tracks):
    made = cadenza("finetune", tracks, "-o", "mine.safetensors", "--model", model, "--caption", "mine", *QUICK)
    assert made.code == 0, made.err
    assert "licence of the weights: CC0-1.0" in made.err
    assert "4 tracks, 0.1 min to learn from, 1 held out" in made.err
    assert "left 0:00:0" in made.err
    assert made.out.splitlines()[-1] == "mine.safetensors  report: mine-finetune/report/report.html"
    assert "before" in made.out.splitlines()[0]

    common = ("generate", "mine, slow", "--model", model, "--seed", "1", "--duration", "0.5")
    for name, more in (("plain", ()), ("worn", ("--adapter", "mine.safetensors"))):
        assert cadenza(*common, "-o", f"{name}.wav", *more).code == 0
    plain, worn = Audio.read("plain.wav"), Audio.read("worn.wav")
    assert plain.samples.shape == worn.samples.shape
    assert (plain.samples != worn.samples).any()


def test_ctrl_c_keeps_the_adapter_and_resume_goes_on(cadenza, model, tracks, tmp_path, monkeypatch):
    with monkeypatch.context() as patch:
        train_step = FinetuneTrainer.train_step

        def interrupted(self):
            signal.raise_signal(signal.SIGINT)
            return train_step(self)

        patch.setattr(FinetuneTrainer, "train_step", interrupted)
        stopped = cadenza("finetune", tracks, "-o", "mine.safetensors", "--model", model, *QUICK)
    assert stopped.code == 130
    assert "kept what was learnt in 1 updates; --resume goes on" in stopped.out
    assert (tmp_path / "mine.safetensors").is_file()
    done = cadenza(
        "finetune", tracks, "-o", "mine.safetensors", "--model", model, *QUICK, "--resume", "--out-report", "r"
    )
    assert done.code == 0, done.err
    assert json.loads((tmp_path / "r" / "report.json").read_text())["steps_made"] == 2


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("nowhere",), "no such folder"),
        ((".",), "no recordings in it"),
        ((".", "--rank", "0"), "--rank 0: input should be greater than or equal to 1"),
        ((".", "--minutes", "-1"), "--minutes -1"),
        ((".", "--window", "0"), "--window 0"),
        ((".", "-o", "x.bin"), "ends in .safetensors"),
        ((".", "--precision", "int3"), "int3"),
        ((".", "--model", "nothing-like-this"), "no model"),
    ],
)
def test_mistakes_are_told_in_one_line(cadenza, model, options, words):
    given = options if "--model" in options else (*options, "--model", model)
    result = cadenza("finetune", *given)
    lines = [line for line in result.err.splitlines() if line.startswith("cadenza:")]
    assert (result.code, len(lines)) == (2, 1), result.err
    assert words in lines[0]
