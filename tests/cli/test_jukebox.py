"""`cadenza jukebox`: songs from the command line, kept, stopped, gone on with, made finer; names, times, levels."""

import json
import shlex
import shutil
from copy import copy
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file

from cadenza import Audio, Jukebox
from cadenza.cli.jukebox_progress import SongProgress
from cadenza.errors import CadenzaError
from cadenza.testing import noise, tiny_jukebox, tone

SHORT = ("--duration", 0.064, "--seed", 7)  # 2 codes at the top, 8 below it, 32 in three windows below that


@pytest.fixture(autouse=True)
def nothing_inside(tmp_path_factory, monkeypatch) -> None:
    """No Jukebox comes along (see tests/cli/test_embedded_jukebox.py)."""
    monkeypatch.setattr("cadenza.loading.ASSETS", tmp_path_factory.mktemp("assets"))


@pytest.fixture(scope="session")
def jukebox(tmp_path_factory) -> str:
    """The directory of a tiny Jukebox."""
    directory = tmp_path_factory.mktemp("models") / "tiny-jukebox"
    tiny_jukebox(context_length=16).save_pretrained(directory)
    return str(directory)


@pytest.fixture(scope="session")
def loaded() -> Jukebox:
    """The same in memory."""
    return tiny_jukebox(context_length=16)


@pytest.fixture
def quick(loaded, monkeypatch) -> None:
    """Whatever is named, it is there at once."""
    monkeypatch.setattr("cadenza.loading.load_jukebox", lambda *_: copy(loaded))


@pytest.fixture(scope="session")
def song(jukebox, tmp_path_factory) -> Path:
    """Two takes with lyrics, of all levels: `both-1.wav`, `both-2.wav` and `both.song`."""
    from cadenza.cli import run

    folder = tmp_path_factory.mktemp("songs")
    output = folder / "both.wav"
    words = ("jukebox", "generate", *SHORT, "--count", 2, "--artist", "ada", "--lyrics", r"la la\noh no", "-o", output)
    assert run([str(word) for word in (*words, "--model", jukebox)]) == 0
    return folder / "both.song"


def codes(song: Path, level: int) -> np.ndarray:
    return load_file(song / f"codes_{level}.safetensors")["codes"]


# ---- a song ----------------------------------------------------------------------------------------------------------


def test_a_file_and_its_song(cadenza, jukebox):
    result = cadenza("jukebox", "generate", *SHORT, "--genre", "jazz", "--model", jukebox, "--artist", "ada")
    assert (result.code, result.err) == (0, "")
    assert result.out.splitlines() == [
        "ada-jazz-7.song/level_2.wav: level 2 can be heard",
        "ada-jazz-7.song/level_1.wav: level 1 can be heard",
        "ada-jazz-7.wav: 0.06 s, seed 7",
    ]
    audio = Audio.read("ada-jazz-7.wav")
    assert (audio.sample_rate, audio.num_samples, audio.metadata["complete"]) == (4000, 256, True)
    assert [codes(Path("ada-jazz-7.song"), level).shape for level in range(3)] == [(1, 32), (1, 8), (1, 2)]
    assert Audio.read("ada-jazz-7.song/level_2.wav").num_samples == 256
    result = cadenza("jukebox", "generate", "--from", "ada-jazz-7.wav", "--model", jukebox)
    assert (result.code, result.out) == (0, "ada-jazz-7-again.wav: 0.06 s, seed 7\n"), result.err
    assert Path("ada-jazz-7-again.wav").read_bytes() == Path("ada-jazz-7.wav").read_bytes()
    result = cadenza("generate", "--from", "ada-jazz-7.wav")
    assert (result.code, result.err.count("\n")) == (2, 1)
    assert "cadenza jukebox generate --from ada-jazz-7.wav" in result.err


def test_takes_made_together_are_those_made_alone(cadenza, jukebox, song):
    options = (*SHORT[:2], "--seed", 8, "--artist", "ada", "--lyrics", r"la la\noh no", "-o", "x.wav")
    assert cadenza("jukebox", "generate", *options, "--state", "kept", "--model", jukebox).code == 0
    np.testing.assert_array_equal(codes(Path("kept"), 0)[0], codes(song, 0)[1])
    assert len({(song.parent / f"both-{i}.wav").read_bytes() for i in (1, 2)}) == 2


def test_what_is_stopped_goes_on_to_the_same_bytes(cadenza, jukebox, monkeypatch):
    options = ("jukebox", "generate", *SHORT, "--loudness", "off", "--model", jukebox)
    assert cadenza(*options, "-o", "whole.flac").code == 0
    told = SongProgress.song
    stops = iter([1, 6, 30])  # of 42 codes: within the windows of the upper levels, and the second of the lowest

    def song(self, now):
        told(self, now)
        if now.done >= next_stop[0]:
            self.stopped = True

    next_stop = [next(stops)]
    monkeypatch.setattr(SongProgress, "song", song)
    result = cadenza(*options, "-o", "part.flac")
    parts = []
    while result.code == 130:
        hint = next(line for line in result.err.splitlines() if "go on with" in line)
        parts.append(result.out.splitlines()[-1] if result.out else "")
        next_stop[0] = next(stops, 10**9)
        result = cadenza(*shlex.split(hint.partition("go on with: cadenza ")[2]))
    assert (result.code, len(parts)) == (0, 3), result.err
    assert parts[0] == ""  # no window was finished
    assert parts[1] == "part.flac: 0.06 s, seed 7, level 2 alone, stopped early"
    assert Path("part.flac").read_bytes() == Path("whole.flac").read_bytes()
    assert result.out == "part.flac: 0.06 s, seed 7\n"


def test_a_hard_stop_says_how_to_go_on(cadenza, jukebox, monkeypatch):
    def song(self, now):
        if now.level == 1:
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(SongProgress, "song", song)
        result = cadenza("jukebox", "generate", *SHORT, "--model", jukebox, "-o", "x.wav")
    assert (result.code, Path("x.wav").exists()) == (130, False)
    assert f"go on with: cadenza jukebox generate --resume x.song -o x.wav --model {jukebox}" in result.err
    result = cadenza("jukebox", "generate", "--resume", "x.song", "--down-to", 1, "--model", jukebox)
    assert (result.code, Path("x.wav").exists()) == (0, True)


# ---- what is asked ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        (
            ("--artist", "Ada", "--lyrics", r"la\nla", "--total-duration", 10, "--offset", 2, "--count", 3),
            {"artist": "Ada", "artists": {"v3": 1}, "lyrics": "la\nla", "total_length": 40000, "offset": 8000}
            | {"seeds": [7, 8, 9]},
        ),
        (
            ("--artist-id", 2, "--genre", "folk", "--lyrics-file", "verse.txt", "--temperature", 0.5, "--top-k", 5),
            {"artists": {"v3": 2}, "genre": "folk", "genres": {"v3": [3]}, "lyrics": "oh no\n"}
            | {"temperature": [0.5] * 3, "top_k": [5] * 3},
        ),
        (
            ("--artist-id", "v3=3", "--artist-id", "v2=1", "--temperature", "0.5,0.6,0.7", "--top-p", "0,0.5,0.9"),
            {"artists": {"v3": 3, "v2": 1}, "temperature": [0.5, 0.6, 0.7], "top_p": [0.0, 0.5, 0.9]},
        ),
        (("--genre-id", 1, "--genre-id", 2), {"genres": {"v3": [1, 2]}}),
        (("--genre-id", "v3=1", "--genre-id", "v3=2", "--genre-id", "v2=3"), {"genres": {"v3": [1, 2], "v2": [3]}}),
        (("--prompt-audio", "tune.wav", "--duration", 0.096), {"given": [0, 0, 2]}),
        (("--prompt-audio", "tune.wav", "--prompt-seconds", 0.04), {"given": [0, 0, 1]}),
        (("--labels", "own", "--artist", "dora"), {"artists": {"v3": 3}}),
    ],
    ids=lambda value: " ".join(map(str, value)) if isinstance(value, tuple) else "",
)
def test_options_are_understood(cadenza, quick, options, expected):
    Path("verse.txt").write_text("oh no\n")
    tone(duration_seconds=0.08).write("tune.wav")
    Path("own").mkdir()
    Path("own/labels.json").write_text(json.dumps({"version": "v3", "artists": {"dora": 3}, "genres": {}}))
    result = cadenza("jukebox", "generate", *SHORT, "--down-to", 2, "-o", "x.wav", "--model", "any", *options)
    assert result.code == 0, result.err
    told = json.loads(Path("x.song/song.json").read_text())
    told |= told["items"][0] | {name: [level[name] for level in told["sampling"]] for name in told["sampling"][0]}
    told["seeds"] = [item["seed"] for item in told["items"]]
    assert {name: told[name] for name in expected} == expected
    assert ", level 2 alone" in result.out
    assert codes(Path("x.song"), 2).shape == (len(told["items"]), -(-told["num_samples"] // 128))


def test_a_preview_that_cannot_be_written_ends_nothing(cadenza, quick, monkeypatch):
    write = Audio.write

    def refuse(self, path, *more, **level):
        if Path(path).stem == "level_2":
            raise CadenzaError(f"cannot write {path}: no space left")
        return write(self, path, *more, **level)

    monkeypatch.setattr(Audio, "write", refuse)
    result = cadenza("jukebox", "generate", *SHORT, "--down-to", 1, "-o", "x.wav", "--model", "any")
    assert (result.code, result.out) == (0, "x.wav: 0.06 s, seed 7, level 1 alone\n")
    assert result.err == "cadenza: cannot write x.song/level_2.wav: no space left\n"


def test_precision_is_that_of_the_priors(cadenza, jukebox):
    options = ("--down-to", 2, "--precision", "bf16", "-o", "x.wav", "--model", jukebox)
    assert cadenza("jukebox", "generate", *SHORT, *options).code == 0
    assert json.loads(Path("x.song/song.json").read_text())["precision"] == "bf16"


WRONG = {
    "no model": ((), "say which Jukebox with --model"),
    "another model": (("--model", "MUSICGEN"), "holds a MusicGen"),
    "an unknown model": (("--model", "openai/jukebox-1b-lyric"), "did you mean openai/jukebox-1b-lyrics"),
    "an unknown artist": (("--artist", "adda"), "did you mean ada"),
    "an unknown genre": (("--genre", "jaz"), "did you mean jazz"),
    "an artist that is no id": (("--artist-id", "ada"), "give a number, or the list and a number as in v3=6785"),
    "an id that there is not": (("--artist-id", "99"), "choose an id below 4"),
    "a list and none": (("--genre-id", "1", "--genre-id", "v3=2"), "name the list of every number or of none"),
    "two artists": (("--artist-id", "1", "--artist-id", "2"), "one artist plays"),
    "name and id": (("--genre", "jazz", "--genre-id", "1"), "--genre and --genre-id: give one of them"),
    "too many genres": (("--genre-id", "1", "--genre-id", "2", "--genre-id", "3"), "takes 2 at most"),
    "two lyrics": (("--lyrics", "la", "--lyrics-file", "x"), "--lyrics and --lyrics-file: give one of them"),
    "no file of lyrics": (("--lyrics-file", "missing.txt"), "give a text file with lyrics"),
    "lyrics that are sound": (("--lyrics-file", "tune.wav"), "it is no text in UTF-8"),
    "empty lyrics": (("--lyrics-file", "empty.txt"), "leave it out for music without words"),
    "unreadable lyrics": (("--lyrics", "音楽"), "nothing of the lyrics"),
    "no duration": (("--duration", 0), "duration 0"),
    "too long": (("--duration", 90), "knows pieces from 0.5 s and below 60 s"),
    "too short a piece": (("--total-duration", 0.05), "what is asked for ends at 0.064 s"),
    "too late": (("--offset", 59.8, "--total-duration", 59.9), "lower the offset"),
    "a prompt that is missing": (("--prompt-audio", "missing.wav"), "no such file"),
    "a prompt that is text": (("--prompt-audio", "empty.txt"), "empty"),
    "a prompt that is short": (("--prompt-audio", "tune.wav", "--prompt-seconds", 0.01), "the length of a code"),
    "a prompt that is long": (("--prompt-audio", "long.wav"), "make the piece longer or the prompt shorter"),
    "half a prompt": (("--prompt-seconds", 1), "add --prompt-audio"),
    "no temperature": (("--temperature", "hot"), "--temperature 'hot': 'hot' is not a number"),
    "two temperatures": (("--temperature", "1,2"), "2 values of temperature for 3 levels"),
    "no count": (("--count", 0), "0 items: ask for 1 or more"),
    "no level": (("--down-to", 3), "no level 3"),
    "no labels": (("--labels", "."), "no lists of labels in ."),
    "a song that is there": (("--state", "full"), "is there already: go on with --resume full"),
    "an ending": (("-o", "x.txt"), "unknown extension '.txt'"),
    "a seed": (("--seed", -1), "seed -1"),
    "go on and change": (("--resume", "x"), "--resume goes on with a song as it was asked for: leave out --duration"),
    "again and change": (("--from", "x"), "--from renders a take as it was: leave out --duration"),
}


@pytest.mark.parametrize("wrong", WRONG)
def test_mistakes_are_told_in_one_line_and_leave_nothing(cadenza, jukebox, model, wrong, request):
    if "model" not in wrong:
        request.getfixturevalue("quick")
    options, words = WRONG[wrong]
    tone(duration_seconds=0.08).write("tune.wav")
    noise(0.2).write("long.wav")
    Path("empty.txt").touch()
    Path("full").mkdir()
    Path("full/song.json").write_text("{}")
    before = sorted(Path().rglob("*"))
    options = tuple(model if option == "MUSICGEN" else option for option in options)
    own = () if "--model" in options or wrong == "no model" else ("--model", jukebox)
    result = cadenza("jukebox", "generate", *SHORT, *own, *options)
    assert (result.code, result.err.count("\n")) == (2, 1), result.err
    assert words in result.err
    assert sorted(Path().rglob("*")) == before
    assert Path("full/song.json").read_text() == "{}"


def test_songs_that_cannot_be_gone_on_with(cadenza, jukebox, song, tmp_path):
    broken = tmp_path / "broken.song"
    shutil.copytree(song, broken)
    (broken / "codes_1.safetensors").write_bytes(b"nonsense")
    other = tmp_path / "other"
    tiny_jukebox(seed=1).save_pretrained(other)
    for arguments, words in (
        (("--resume", tmp_path / "none", "--model", jukebox), "holds no song"),
        (("--resume", broken, "--model", jukebox), "codes_1.safetensors is damaged"),
        (("--resume", song, "--model", other), "was begun by tiny-jukebox with a"),
        (("--resume", song), "was made by 'tiny-jukebox': say where that model is with --model"),
        (("--resume", song, "--artist", "ada"), "leave out --artist"),
        (("--from", "missing.wav"), "no such file"),
        (("--from", song.parent / "both-1.wav", "--resume", song), "leave out --from"),
    ):
        result = cadenza("jukebox", "generate", *arguments)
        assert (result.code, result.err.count("\n")) == (2, 1), result.err
        assert words in result.err
    assert (broken / "codes_1.safetensors").read_bytes() == b"nonsense"


def test_the_licence_of_the_weights_is_told(cadenza, tmp_path):
    from cadenza.convert.openai_jukebox_vqvae import LICENCE

    found = tiny_jukebox(context_length=16)
    found.config = found.config.model_copy(update={"licence": LICENCE})
    found.save_pretrained(tmp_path / "theirs")
    result = cadenza("jukebox", "generate", *SHORT, "--down-to", 2, "--model", tmp_path / "theirs", "-o", "x.wav")
    assert result.err == f"cadenza: licence of the weights: {LICENCE}\n"
    assert Audio.read("x.wav").metadata["licence"] == LICENCE


# ---- finer levels ----------------------------------------------------------------------------------------------------


def test_one_take_of_several_is_made_finer(cadenza, jukebox, song):
    options = ("--artist", "ada", "--lyrics", r"la la\noh no", "--count", 2, "--down-to", 2, "-o", "top.wav")
    assert cadenza("jukebox", "generate", *SHORT, *options, "--model", jukebox).code == 0
    result = cadenza("jukebox", "upsample", "top.song", "--take", 2, "--model", jukebox)
    assert (result.code, result.out.splitlines()[-1]) == (0, "top-upsampled.wav: 0.06 s, seed 8"), result.err
    for level in range(3):  # what all levels at once would have been
        np.testing.assert_array_equal(codes(Path("top-upsampled.song"), level)[0], codes(song, level)[1])
    assert not Path("top.song/codes_1.safetensors").exists()
    result = cadenza("jukebox", "generate", "--resume", "top.song", "--down-to", 1, "--model", jukebox)
    assert (result.code, codes(Path("top.song"), 1).shape) == (0, (2, 8)), result.err


def test_the_top_of_a_recording_is_made_finer(cadenza, jukebox):
    tone(duration_seconds=0.07).write("tune.wav")
    result = cadenza(
        "jukebox", "upsample", "tune.wav", "--seed", 3, "--genre", "folk", "--down-to", 1, "--model", jukebox
    )
    assert (result.code, Audio.read("tune-upsampled.wav").num_samples) == (0, 256), result.err
    for arguments, words in (
        (("tune.wav", "-o", "x.wav"), "say which Jukebox with --model"),
        (("none", "-o", "x.wav"), "holds no song"),
        (("tune.wav", "-o", "x.wav", "--take", 1, "--model", jukebox), "items are those of a song"),
        (("tune.wav", "-o", "x.wav", "--down-to", 2, "--model", jukebox), "level 2 is none below the top"),
        (("tune.wav", "--model", jukebox), "tune-upsampled.song is there already"),
    ):
        result = cadenza("jukebox", "upsample", *arguments)
        assert (result.code, result.err.count("\n")) == (2, 1), result.err
        assert words in result.err


# ---- lyrics with times, names, levels --------------------------------------------------------------------------------


def test_lyrics_get_their_times(cadenza, quick):
    options = ("--duration", 0.5, "--seed", 7, "--down-to", 2, "--count", 2, "--artist", "ada", "--model", "any")
    assert cadenza("jukebox", "generate", *options, "--lyrics", r"la la\noh no", "-o", "sung.wav").code == 0
    song, jukebox = "sung.song", "any"
    result = cadenza("jukebox", "align", song, "--model", jukebox)
    assert (result.code, result.out.splitlines()[0]) == (0, "[ti:ada]"), result.err
    assert cadenza("jukebox", "align", song, "--take", 2, "--model", jukebox, "-o", "times.json").code == 0
    lines = json.loads(Path("times.json").read_text())["lines"]
    assert [line["text"] for line in lines] == ["la la", "oh no"]
    sung = [word for line in lines for word in line["words"] if word["start"] is not None]
    assert sung
    assert all(0 <= word["start"] < word["end"] <= 0.512 for word in sung)
    assert all(one["end"] <= two["start"] for one, two in pairwise(sung))
    assert cadenza("jukebox", "align", song, "--model", jukebox, "-o", "times.lrc").code == 0
    assert Path("times.lrc").read_text() == cadenza("jukebox", "align", song, "--model", jukebox).out


def test_lyrics_without_times(cadenza, quick, song):
    jukebox = "any"
    assert cadenza("jukebox", "generate", *SHORT, "--down-to", 2, "-o", "x.wav", "--model", jukebox).code == 0
    for arguments, words in (
        ((song, "-o", "times.txt"), "written as .lrc or .json"),
        ((song, "--take", 3), "has takes 1 to 2"),
        (("x.song",), "has no lyrics"),
        (("none",), "holds no song"),
    ):
        result = cadenza("jukebox", "align", *arguments, "--model", jukebox)
        assert (result.code, result.err.count("\n")) == (2, 1), result.err
        assert words in result.err


def test_names(cadenza, jukebox, tmp_path):
    result = cadenza("jukebox", "labels", "--model", jukebox)
    assert "artists (v3, read by level 0, 1, 2)\n      1  ada\n      2  bela\n" in result.out, result.err
    result = cadenza("jukebox", "labels", "--model", jukebox, "--search", "clar", "--json")
    assert json.loads(result.out) == {"v3": {"levels": [0, 1, 2], "artists": {"clara": 3}, "genres": {}}}
    for kind in ("artist", "genre"):
        (tmp_path / f"v2_{kind}_ids.txt").write_text(f"unknown;0\nalan_jackson_{kind};145\n")
    result = cadenza("jukebox", "labels", "--labels", tmp_path, "--search", "jackson")
    assert result.out == "artists (v2)\n    145  alan_jackson_artist\ngenres (v2)\n    145  alan_jackson_genre\n"
    plain = tiny_jukebox()
    plain.labels.sets.clear()
    plain.save_pretrained(tmp_path / "plain")
    for arguments, words in (
        ((), "say whose names"),
        (("--model", tmp_path / "plain"), "brings no names"),
        (("--model", jukebox, "--search", "zzzz"), "no artist and no genre is like 'zzzz'"),
    ):
        result = cadenza("jukebox", "labels", *arguments)
        assert (result.code, result.err.count("\n")) == (2, 1), result.err
        assert words in result.err


def test_a_level_is_heard(cadenza, jukebox):
    noise(0.5, 44100, channels=2).write("in.wav")
    for level, samples in ((0, 2000), (2, 1920)):
        result = cadenza("jukebox", "reconstruct", "in.wav", "out.wav", "--level", level, "--model", jukebox)
        assert result.out.startswith(f"out.wav: {samples / 4000:.2f} s by level {level}, signal to noise "), result.err
        assert Audio.read("out.wav").samples.shape == (1, samples)
    result = cadenza("jukebox", "reconstruct", "in.wav", "x.wav", "--level", 3, "--model", jukebox)
    assert (result.code, result.err.count("\n"), Path("x.wav").exists()) == (2, 1, False)


def test_what_it_is_made_of(cadenza, jukebox):
    facts = json.loads(cadenza("info", jukebox, "--json").out)
    found = tiny_jukebox(context_length=16)
    assert facts["parts"]["prior_2"]["parameters"] == sum(part.numel() for part in found.priors[2].parameters())
    assert (facts["code_rates"], facts["licence"]) == ([500.0, 125.0, 31.25], "CC0-1.0")
    text = cadenza("info", jukebox).out
    assert "tiny-jukebox: mono, 4000 Hz, 31.25 to 500 codes a second" in text
    assert "windows of 0.512 s, labels v3, pieces of 0.5 to 60 s, 16 characters of lyrics" in text
