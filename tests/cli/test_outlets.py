"""`cadenza generate --stream`: heard while it is made, and the same file in the end."""

import os
import re
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from cadenza import Audio, CadenzaError
from cadenza.cli import run
from cadenza.cli.outlets import STANDARD_OUTPUT, listen
from cadenza.cli.progress import GenerationProgress
from cadenza.testing import noise

REPORT = r"cadenza: first sound after \d+\.\d\d s; \d+\.\d times real time\n"
SETTINGS = ("--duration", 1.3, "--seed", 1)


def own_level(path: str, *arguments: object) -> np.ndarray:
    """The samples that the model made."""
    assert run([str(word) for word in ("generate", *arguments, "-o", path, "--loudness", "off")]) == 0
    return Audio.read(path).samples


@pytest.fixture
def player(tmp_path, monkeypatch):
    """Make `ffplay` a script, and the only player there is."""
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setenv("PATH", str(folder))

    def install(script: str) -> None:
        (folder / "ffplay").write_text(f"#!/bin/sh\n{script}\n")
        (folder / "ffplay").chmod(0o755)

    return install


def pieces(count: int = 4, total: int = 4, between=lambda made: None) -> Iterator[Audio]:
    """A stream of `count` tenths of a second out of `total`; `between(made)` is called behind each."""
    record = {"seed": 7, "complete": True, "generation": {"duration": total / 10}}
    for i in range(count):
        yield Audio(noise(0.1, seed=i).samples, 32000, record)
        between(i + 1)


def here(seed: int) -> Path:
    return Path(f"x-{seed}.wav")


# ---- to a file ----------------------------------------------------------------------------------------------


def test_the_finished_file_is_the_same(cadenza, model):
    for words in (("x",), ("x", "--loudness", "-20")):
        result = cadenza("generate", *words, "--stream", "-o", "a.wav", *SETTINGS, "--model", model)
        assert (result.code, result.out) == (0, "a.wav: 1.30 s, seed 1\n")
        assert re.fullmatch(REPORT, result.err)
        cadenza("generate", *words, "-o", "b.wav", *SETTINGS, "--model", model)
        assert Path("a.wav").read_bytes() == Path("b.wav").read_bytes()


def test_an_audio_prompt_is_heard_first(cadenza, model):
    noise(0.4).write("prompt.wav")
    result = cadenza(
        "generate", "x", "--stream", "-o", "a.wav", "--prompt-audio", "prompt.wav", *SETTINGS, "--model", model
    )
    assert (result.code, result.out) == (0, "a.wav: 1.30 s, seed 1\n")


def test_a_folder_gets_a_name_in_it(cadenza, model):
    Path("takes").mkdir()
    assert cadenza("generate", "one", "--stream", "-o", "takes", *SETTINGS, "--model", model).code == 0
    assert os.listdir("takes") == ["one-1.wav"]


def test_the_file_plays_while_it_grows(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    seen = []
    stream = pieces(between=lambda made: seen.append(Audio.read("x-7.wav").num_samples))
    assert listen(lambda _: stream, here, False, {}) == 0
    assert seen == [3200, 6400, 9600, 12800]
    assert Audio.read("x-7.wav").metadata["complete"] is True


def test_the_old_file_stays_until_the_first_sound(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("x-7.wav").write_text("old")

    def fail() -> Iterator[Audio]:
        raise CadenzaError("no memory")
        yield

    with pytest.raises(CadenzaError, match="no memory"):
        listen(lambda _: fail(), here, False, {})
    assert Path("x-7.wav").read_text() == "old"
    assert listen(lambda _: iter(()), here, False, {}) == 0
    assert Path("x-7.wav").read_text() == "old"


def test_an_error_on_the_way_leaves_what_was_heard(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)

    def fail(made: int) -> None:
        if made == 2:
            raise CadenzaError("no memory")

    with pytest.raises(CadenzaError, match="no memory"):
        listen(lambda _: pieces(between=fail), here, False, {})
    assert Audio.read("x-7.wav").num_samples == 6400


def test_a_full_disk_is_one_line(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (15_000, hard))
    try:
        with pytest.raises(CadenzaError, match=r"cannot write x-7\.wav: .*free space"):
            listen(lambda _: pieces(), here, False, {})
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert Audio.read("x-7.wav").num_samples == 6400


def test_a_place_that_is_none(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("file").write_text("")
    with pytest.raises(CadenzaError, match=r"cannot write file/x\.wav: "):
        listen(lambda _: pieces(), lambda _: Path("file/x.wav"), False, {})


# ---- Ctrl-C -------------------------------------------------------------------------------------------------


def test_ctrl_c_keeps_what_is_made(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)

    def stream(progress: GenerationProgress) -> Iterator[Audio]:
        for audio in pieces():
            yield audio
            os.kill(os.getpid(), signal.SIGINT)
            if progress.should_stop():
                return

    assert listen(stream, here, False, {}) == 130
    out, err = capsys.readouterr()
    assert out == "x-7.wav: 0.10 s, seed 7, stopped early\n"
    assert "what is made will be kept" in err
    assert Audio.read("x-7.wav").metadata["complete"] is False


def test_ctrl_c_twice_leaves_what_was_heard_and_no_player(tmp_path, monkeypatch, player):
    monkeypatch.chdir(tmp_path)
    player("echo $$ > pid; exec /bin/cat > heard.wav")

    def twice(made: int) -> None:
        if made == 3:
            while not (Path("pid").exists() and Path("pid").read_text().endswith("\n")):
                time.sleep(0.01)  # until the player runs
            os.kill(os.getpid(), signal.SIGINT)
            os.kill(os.getpid(), signal.SIGINT)

    with pytest.raises(KeyboardInterrupt):
        listen(lambda _: pieces(between=twice), here, True, {})
    assert Audio.read("x-7.wav").num_samples == 9600
    with pytest.raises(ProcessLookupError):
        os.kill(int(Path("pid").read_text()), 0)


# ---- through a player ---------------------------------------------------------------------------------------


def test_a_player_hears_the_models_own_level(cadenza, model, player):
    player("exec /bin/cat > heard.wav")
    result = cadenza("generate", "harp", "--stream", *SETTINGS, "--model", model)
    assert (result.code, result.out) == (0, "harp-1.wav: 1.30 s, seed 1\n")
    assert re.fullmatch(REPORT, result.err)
    assert np.array_equal(Audio.read("heard.wav").samples, own_level("b.wav", "harp", *SETTINGS, "--model", model))


def test_without_a_player_it_says_how_to_listen(cadenza, model, player):
    result = cadenza("generate", "harp", "--stream", *SETTINGS, "--model", model)
    assert result.code == 0
    line = "cadenza: no player here (ffplay, mpv, play, aplay): open harp-1.wav, which grows, in one of yours\n"
    assert re.fullmatch(re.escape(line) + REPORT, result.err)
    assert Audio.read("harp-1.wav").duration_seconds == 1.3


def test_a_player_that_leaves_does_not_end_the_file(tmp_path, monkeypatch, capsys, player):
    monkeypatch.chdir(tmp_path)
    player("exit 0")
    assert listen(lambda _: pieces(between=lambda made: time.sleep(0.2)), here, True, {}) == 0
    assert Audio.read("x-7.wav").num_samples == 12800
    assert re.fullmatch(r"cadenza: ffplay has ended; the file is made all the same\n" + REPORT, capsys.readouterr().err)


def test_a_player_that_fails_is_said(tmp_path, monkeypatch, capsys, player):
    monkeypatch.chdir(tmp_path)
    player("/bin/cat > heard.wav; exit 3")
    assert listen(lambda _: pieces(), here, True, {}) == 0
    assert capsys.readouterr().err.endswith("cadenza: ffplay could not play it: open the file in another player\n")


# ---- to standard output -------------------------------------------------------------------------------------


def test_standard_output_is_a_wav(model, tmp_path, monkeypatch, capsysbinary):
    monkeypatch.chdir(tmp_path)
    words = ["harp", *SETTINGS, "--model", model]
    assert run([str(word) for word in ("generate", *words, "--stream", "-o", "-")]) == 0
    out, err = capsysbinary.readouterr()
    Path("heard.wav").write_bytes(out)
    assert np.array_equal(Audio.read("heard.wav").samples, own_level("b.wav", *words))
    assert re.fullmatch("standard output: 1.30 s, seed 1\n" + REPORT, err.decode())
    assert sorted(os.listdir()) == ["b.wav", "heard.wav"]


def test_a_reader_who_leaves_ends_the_work_in_peace(model, tmp_path):
    """A real process and a real pipe, as in `cadenza ... | head -c 1000`."""
    command = "from cadenza.cli import main; main()"
    arguments = ["generate", "x", "--stream", "-o", "-", "--duration", "600", "--seed", "1", "--model", model]
    process = subprocess.Popen(
        [sys.executable, "-c", command, *arguments], cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    assert process.stdout is not None
    assert process.stderr is not None
    try:
        assert len(process.stdout.read(1000)) == 1000
        process.stdout.close()
        err = process.stderr.read().decode()
        assert process.wait(timeout=60) == 0
    finally:
        process.kill()
        process.stderr.close()
    assert re.fullmatch(r"standard output: \d+\.\d\d s, seed 1, stopped early\n" + REPORT, err)
    assert os.listdir(tmp_path) == []


def test_an_endless_stream_is_not_kept(monkeypatch, capsysbinary):
    monkeypatch.setattr(Audio, "concatenate", None)
    assert listen(lambda _: pieces(), lambda _: STANDARD_OUTPUT, False, {}) == 0


# ---- what cannot be -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("a", "b", "--stream"), "--stream plays one piece of music, not 2: give one prompt"),
        (("--stream",), "no prompt"),
        (("--from", "x.flac", "--stream"), "leave out --stream, or leave out --from"),
        (("x", "--stream", "-o", "x.flac"), "x.flac: a file that grows is a WAV"),
        (("x", "--stream", "-o", "x.xyz"), "x.xyz: a file that grows is a WAV"),
        (("x", "--stream", "-o", "-", "--loudness", "-20"), "--loudness is that of a finished file"),
        (("x", "-o", "-"), "add --stream, or name a file"),
        (("x", "--stream", "--duration", "-1"), "duration = -1"),
        (("x", "--stream", "--melody", "good.wav"), "tiny cannot follow a melody"),
    ],
)
def test_what_the_user_can_put_right(cadenza, model, arguments, words):
    noise().write("good.wav")
    result = cadenza("generate", *arguments, "--model", model)
    assert result.code == 2
    assert words in result.err
    assert result.err.count("\n") == 1
    assert os.listdir() == ["good.wav"]


def test_a_terminal_is_no_place_for_sound(cadenza, model, monkeypatch):
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    result = cadenza("generate", "x", "--stream", "-o", "-", "--model", model)
    assert (result.code, result.out) == (2, "")
    assert "this is a terminal: add | ffplay -nodisp -autoexit -" in result.err
