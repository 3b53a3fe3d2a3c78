"""`cadenza generate`: files that are right, and one line for everything that is not."""

import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from cadenza import Audio
from cadenza.errors import UserError
from cadenza.testing import noise, tone


def test_writes_exactly_what_was_asked(cadenza, model):
    result = cadenza(
        "generate", "a slow sad piano piece", "-o", "out.wav", "--duration", 2, "--seed", 1, "--model", model
    )
    assert (result.code, result.err) == (0, "")
    assert result.out == "out.wav: 2.00 s, seed 1\n"
    audio = Audio.read("out.wav")
    assert (audio.num_samples, audio.sample_rate, audio.channels) == (64000, 32000, 1)
    assert audio.loudness_lufs() == pytest.approx(-14, abs=1)


def test_twice_the_same_bytes_and_other_words_other_music(cadenza, model):
    for name, words in (("a.wav", "calm"), ("b.wav", "calm"), ("c.wav", "wild")):
        assert cadenza("generate", words, "-o", name, "--duration", 0.5, "--seed", 1, "--model", model).code == 0
    assert Path("a.wav").read_bytes() == Path("b.wav").read_bytes()
    assert not np.array_equal(Audio.read("a.wav").samples, Audio.read("c.wav").samples)


def test_the_file_is_named_after_the_words(cadenza, model):
    cadenza("generate", "Rain on a tin roof, harp & 🎹!", "--seed", 3, "--duration", 0.3, "--model", model)
    assert Path("rain-on-a-tin-roof-harp-3.wav").is_file()


def test_several_prompts_several_files(cadenza, model):
    settings = ("--duration", 0.3, "--seed", 5, "--model", model)
    assert cadenza("generate", "one", "two", "-o", "x.flac", *settings).code == 0
    assert sorted(path.name for path in Path().glob("*.flac")) == ["x-1.flac", "x-2.flac"]
    Path("takes").mkdir()
    assert cadenza("generate", "one", "two", "-o", "takes", *settings).code == 0
    assert sorted(path.name for path in Path("takes").iterdir()) == ["one-5.wav", "two-6.wav"]


def test_settings_reach_the_model(cadenza, model):
    settings = ("--guidance", 2.5, "--top-k", 7, "--top-p", 0.5, "--temperature", 0.9)
    cadenza("generate", "x", "-o", "x.wav", "--duration", 0.3, "--seed", 1, "--model", model, *settings)
    used = Audio.read("x.wav").metadata["generation"]
    assert (used["guidance"], used["top_k"], used["top_p"], used["temperature"]) == (2.5, 7, 0.5, 0.9)


def test_from_renders_the_same_file(cadenza, model):
    noise(0.4).write("prompt.wav")
    made = ("one", "two", "--prompt-audio", "prompt.wav", "-o", "take.flac", "--duration", 1, "--model", model)
    assert cadenza("generate", *made).code == 0
    Path("prompt.wav").unlink()  # its codes travel with the take
    for i in (1, 2):
        assert cadenza("generate", "--from", f"take-{i}.flac", "--model", model, "-o", "again.flac").code == 0
        assert Path("again.flac").read_bytes() == Path(f"take-{i}.flac").read_bytes()


def test_from_makes_a_name_of_its_own(cadenza, model):
    cadenza("generate", "x", "-o", "take.flac", "--duration", 0.3, "--model", model)
    assert cadenza("generate", "--from", "take.flac", "--model", model).out.startswith("take-again.flac: 0.30 s")


def test_loudness(cadenza, model):
    for name, loudness in (("soft.wav", "-30"), ("own.wav", "off")):
        cadenza("generate", "x", "--seed", 1, "--duration", 1, "--model", model, "-o", name, "--loudness", loudness)
    assert Audio.read("soft.wav").loudness_lufs() == pytest.approx(-30, abs=0.1)
    assert Audio.read("own.wav").loudness_lufs() > -14


def test_notices_are_one_line(cadenza, model):
    result = cadenza("generate", "", "-o", "x.wav", "--duration", 0.3, "--model", model)
    assert (result.code, result.err) == (0, "cadenza: empty prompt: the music is the model's own choice\n")
    result = cadenza("generate", "word " * 10_000, "-o", "x.wav", "--duration", 0.3, "--model", model)
    assert result.code == 0
    assert re.fullmatch(r"cadenza: the prompt has \d+ tokens, 64 fit: using the first \d+ of 10000 words\n", result.err)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ((), "no prompt: say what to play"),
        (("x", "--duration", "abc"), "'abc' is not a number"),
        (("x", "--duration", "nan"), "'nan' is not a number"),
        (("x", "--duration", "-3"), "duration = -3"),
        (("x", "--duration", "1e9"), "duration = 1000000000"),
        (("x", "--seed", "1.5"), "'1.5' is not a whole number"),
        (("x", "--seed", "-1"), "seed -1"),
        (("x", "--model", "nope"), "no model 'nope'"),
        (("x", "--device", "tpu"), "unknown device 'tpu'"),
        (("x", "--precision", "int3"), "unknown precision 'int3'"),
        (("x", "--threads", "0"), "0 threads: choose"),
        (("x", "--top-p", "3"), "top_p = 3"),
        (("x", "-o", "x.xyz"), "x.xyz: unknown extension"),
        (("x", "--prompt-audio", "nope.wav"), "nope.wav: no such file"),
        (("x", "--prompt-audio", "text.wav"), "text.wav: not audio"),
        (("x", "--melody", "good.wav"), "tiny cannot follow a melody, it listens to description: a sentence: use a"),
        (("x", "--style", "good.wav"), "tiny cannot take on a style"),
        (("x", "--melody", "nope.wav"), "nope.wav: no such file"),
        (("x", "--then", "drums enter"), "--then 'drums enter': give the second and what is played from there on"),
        (("x", "y", "--then", "2 drums"), "--then goes on from one prompt, not 2"),
        (("x", "--then", "20 drums", "--duration", "5"), "the timeline has a part at 20 s, but the piece ends at 5 s"),
        (("x", "--tempo", "92"), "tiny is told no plan: say tempo, key and the rest in the text"),
        (("x", "--tempo", "5"), "a tempo of 5 bpm cannot be kept: choose 30 to 260"),
        (("x", "--key", "H"), "'H' is no key: write it as 'A minor'"),
        (("x", "--meter", "7/8"), "the meter '7/8' is not known: choose one of 4/4, 3/4, 6/8, 5/4"),
        (("x", "--stems", "none"), "--stems none is about a melody: add --melody FILE"),
        (("x", "--melody", "good.wav", "--stems", "drums"), "stems = 'drums': choose one of auto, demucs, none"),
        (("--from", "good.wav", "--style", "good.wav"), "leave out --style"),
        (("x", "--from", "good.wav"), "leave out PROMPT"),
        (("--from", "good.wav", "--top-k", "3"), "leave out --top-k"),
        (("--from", "good.wav"), "good.wav: this audio carries no record"),
        (("x", "--prompt-audio", "n" * 5000 + ".wav"), "(File name too long); give an audio file"),
        (("x", "-o", "n" * 5000 + ".wav"), "File name too long; choose another name"),
        (("caf\udce9",), "'caf\\udce9' holds bytes that are no text"),
        (("x", "--prompt-audio", "good.wav", "--duration", "0.5"), "lasts 1 s, the piece with it 0.5 s"),
        (("x", "--model", "facebook/encodec_32khz"), "facebook/encodec_32khz is a codec, which makes no music"),
        (("--from", "missing.flac"), "missing.flac: no such file"),
        (("x", "--nope"), "No such option: --nope"),
        (("x", "--loudness", "loud"), "'loud' is not a number"),
    ],
)
def test_what_the_user_can_put_right(cadenza, model, arguments, words):
    tone().write("good.wav")
    Path("text.wav").write_text("not sound")
    if "--model" not in arguments:
        arguments = (*arguments, "--model", model)
    result = cadenza("generate", *arguments)
    assert result.code == 2
    assert words in result.err
    assert result.err.count("\n") == 1
    assert not Path("x.wav").exists()


def test_a_file_where_a_folder_should_be(cadenza, model):
    Path("file").write_text("")
    result = cadenza("generate", "x", "-o", "file/x.wav", "--model", model)
    assert (result.code, result.err) == (
        1,
        "cadenza: file/x.wav: {} is not a folder; choose another place\n".format(Path("file").absolute()),
    )


def test_a_folder_that_cannot_be_written_is_said_before_the_work(cadenza, model, monkeypatch):
    monkeypatch.setattr(os, "access", lambda _, mode: mode != os.W_OK)  # tests may run as a user whom nothing stops
    for output in ("x.wav", "."):
        result = cadenza("generate", "x", "-o", output, "--model", model)
        assert (result.code, result.err.count("\n")) == (1, 1)
        assert "cannot write into" in result.err


def test_a_silent_prompt_is_said(cadenza, model):
    Audio(np.zeros(16000), 32000).write("silent.wav")
    result = cadenza("generate", "x", "--prompt-audio", "silent.wav", "-o", "x.wav", "--duration", 1, "--model", model)
    assert (result.code, result.err) == (0, "cadenza: the audio prompt is silent: the music goes on from silence\n")


def test_another_model_is_refused(cadenza, model, tmp_path):
    from cadenza.testing import tiny_musicgen

    cadenza("generate", "x", "-o", "take.flac", "--duration", 0.3, "--model", model)
    tiny_musicgen(seed=1).save_pretrained(tmp_path / "other")
    result = cadenza("generate", "--from", "take.flac", "--model", tmp_path / "other")
    assert result.code == 2
    assert "load that model to render it again" in result.err


def test_a_fault_of_ours_is_one_line_too(cadenza, model, monkeypatch):
    from cadenza.pipelines.musicgen import MusicGen

    def fail(*_: object, **__: object) -> None:
        raise RuntimeError("first line\nsecond line")

    monkeypatch.setattr(MusicGen, "generate", fail)
    result = cadenza("generate", "x", "--model", model)
    assert (result.code, result.err.count("\n")) == (1, 1)
    assert "RuntimeError: first line (a fault of Cadenza" in result.err
    monkeypatch.setenv("CADENZA_DEBUG", "1")
    with pytest.raises(RuntimeError):
        cadenza("generate", "x", "--model", model)


def test_ctrl_c_keeps_what_is_made(model, tmp_path):
    """A real process, a real signal."""
    command = "from cadenza.cli import main; main()"
    arguments = ["generate", "x", "-o", "x.wav", "--duration", "600", "--seed", "1", "--model", model]
    process = subprocess.Popen(
        [sys.executable, "-c", _signal_when_ready(command), *arguments],
        cwd=tmp_path,
        stderr=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONUNBUFFERED": "1"},
    )
    try:
        out, err = process.communicate(timeout=60)
    finally:
        process.kill()
    assert process.returncode == 130, err
    assert "what is made will be kept" in err
    assert "stopped early" in out
    audio = Audio.read(tmp_path / "x.wav")
    assert 0.5 < audio.duration_seconds < 60
    assert audio.metadata["complete"] is False


def _signal_when_ready(command: str) -> str:
    """The program, which interrupts itself once a second of music is made."""
    return f"""
import os, signal
from cadenza.cli.progress import GenerationProgress
def update(self, made, total):
    if made > 1 and not self.stopped:
        os.kill(os.getpid(), signal.{signal.SIGINT.name})
GenerationProgress.update = update
{command}
"""


def test_a_melody_is_followed(cadenza, tmp_path_factory):
    from cadenza.testing import tiny_musicgen

    directory = tmp_path_factory.mktemp("models") / "melody"
    tiny_musicgen(melody=True).save_pretrained(directory)
    tone().write("tune.wav")
    result = cadenza(
        "generate", "x", "--model", directory, "--melody", "tune.wav", "-o", "x.wav", "--duration", 1, "--seed", 1
    )
    assert (result.code, result.err) == (0, "")
    again = cadenza("generate", "--from", "x.wav", "--model", directory, "-o", "again.wav")
    assert again.code == 0
    assert Path("again.wav").read_bytes() == Path("x.wav").read_bytes()
    cadenza("generate", "x", "--model", directory, "-o", "plain.wav", "--duration", 1, "--seed", 1)
    assert Path("plain.wav").read_bytes() != Path("x.wav").read_bytes()


def test_tempo_key_and_meter_are_planned(cadenza, tmp_path_factory):
    from cadenza.audio import Audio
    from cadenza.conditioning.plan import Plan
    from cadenza.loading import load
    from cadenza.pipelines.take import Take
    from cadenza.testing import tiny_musicgen

    directory = tmp_path_factory.mktemp("models") / "plan"
    tiny_musicgen(plan=True).save_pretrained(directory)
    asked = ("--tempo", 96, "--key", "Dm", "--meter", "3/4")
    result = cadenza("generate", "x", "--model", directory, *asked, "-o", "x.wav", "--duration", 0.5, "--seed", 1)
    assert (result.code, result.err) == (0, "")
    row = Take.from_metadata(Audio.read("x.wav").metadata).conditions["plan"].unpack()[0]
    plan = load(str(directory)).conditioning.conditioner("plan").unpack(row)
    assert (plan.tempo_bpm, plan.key, plan.meter) == (96, "D minor", "3/4")
    assert Plan(key="Dm").key == plan.key
    assert "seed 1 (96 bpm, D minor, 3/4" in result.out


def test_a_timeline_on_the_command_line(cadenza, model):
    options = ("--model", model, "--duration", 1.5, "--seed", 1, "-o")
    result = cadenza("generate", "calm", "--then", "0.5 drums enter", "--then", "1 a choir", *options, "x.wav")
    assert (result.code, result.err) == (0, "")
    assert Audio.read("x.wav").metadata["text"] == [[0.0, "calm"], [0.5, "drums enter"], [1.0, "a choir"]]
    cadenza("generate", "calm", *options, "plain.wav")
    assert Path("plain.wav").read_bytes() != Path("x.wav").read_bytes()


def test_music_is_not_lost_with_a_file_that_cannot_be(cadenza, model, monkeypatch):
    write = Audio.write

    def only_wav(self, path, *arguments, **options):
        if Path(path).suffix != ".wav":
            raise UserError(f"{path}: 70000 bytes of metadata are too many for this format; write .flac")
        write(self, path, *arguments, **options)

    monkeypatch.setattr(Audio, "write", only_wav)
    result = cadenza("generate", "x", "--model", model, "-o", "x.opus", "--duration", 0.2)
    assert result.code == 2
    assert result.err.endswith("for this format; write .flac; the music is in x-rescued.wav\n")
    assert Audio.read("x-rescued.wav").num_samples == 6400
