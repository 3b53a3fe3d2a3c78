"""`cadenza evaluate codec`: the last line is JSON, the decoded sounds are kept, mistakes are one line."""

import json
from pathlib import Path

import pytest

from cadenza import Audio
from cadenza.evaluate import codec_quality
from data.recordings import save, tune


@pytest.fixture
def clips(tmp_path: Path) -> Path:
    for seed in range(2):
        save(tune(seed, 1.2), tmp_path / "clips" / f"{seed}.wav")
    return tmp_path / "clips"


def test_a_codec_beside_opus(cadenza, model, clips):
    found = cadenza("evaluate", "codec", clips, "--model", model, "--opus", "6,24", "--codebooks", "1", "--out", "out")
    assert found.code == 0, found.err
    *table, last = found.out.splitlines()
    facts = json.loads(last)
    assert list(facts["coders"]) == ["codec", "codec, 1 of 4", "opus 6", "opus 24", "48 kHz and back"]
    assert next(iter(facts["differences"]["opus 6"])) == "si_sdr_db"
    assert facts["codec"]["nominal_kbps"] == 1.0
    assert "Opus begins at 6" in found.err
    assert [line.split("  ")[0] for line in table[1:10]] == [
        "codec",
        "codec, 1 of 4",
        "opus 6",
        "opus 24",
        "48 kHz and back",
        "codec less codec, 1 of 4",
        "codec less opus 6",
        "codec less opus 24",
        "codec less 48 kHz and back",
    ]
    assert "1.00 kbit/s nominal" in found.out
    assert Audio.read("out/opus-6/0.flac").duration_seconds == pytest.approx(1.2)
    assert json.loads(Path("out/codec.json").read_text()) == facts
    assert len(Path("out/clips.jsonl").read_text().splitlines()) == 10


def test_two_files_and_nothing_but_json(cadenza, model, clips):
    arguments = ("evaluate", "codec", clips / "0.wav", clips / "1.wav", "--model", model, "--opus", "none", "--json")
    first, second = cadenza(*arguments), cadenza(*arguments)
    assert first.out.count("\n") == 1
    assert first.out == second.out
    assert list(json.loads(first.out)["coders"]) == ["codec"]


def test_files_decoded_elsewhere(cadenza, clips, tmp_path):
    for seed in range(3):
        save(tune(seed, 1.2), tmp_path / "theirs" / f"{seed}.wav")
    facts = json.loads(cadenza("evaluate", "codec", clips, "--against", "theirs", "--json").out)
    assert facts["coders"]["decoded"]["mel_distance"]["mean"] == 0
    assert [one["name"] for one in facts["refused"]] == ["2"]
    assert "opus 24" in facts["coders"]


def test_ctrl_c_leaves_the_figures_so_far(cadenza, model, clips, monkeypatch):
    judged: list[object] = []

    def interrupted(*given: object) -> object:
        judged.append(given)
        if len(judged) > 1:
            raise KeyboardInterrupt
        return real(*given)

    real = codec_quality._result
    monkeypatch.setattr(codec_quality, "_result", interrupted)
    found = cadenza("evaluate", "codec", clips, "--model", model, "--opus", "none", "--out", "out")
    assert found.code == 130
    assert "interrupted after 1 of 2 clips" in found.err
    assert "inf" not in found.out.splitlines()[1]  # one clip has no interval
    facts = json.loads(found.out.splitlines()[-1])
    assert (facts["clips"], facts["complete"]) == (1, False)
    assert json.loads(Path("out/codec.json").read_text()) == facts
    assert cadenza("evaluate", "codec", clips, "--model", model, "--opus", "none").code == 130  # with nothing at all


def test_what_is_asked_for_twice_is_done_once(cadenza, model, clips):
    found = cadenza("evaluate", "codec", clips / "0.wav", "--model", model, "--opus", "6,6.0001", "--codebooks", "1,1")
    assert list(json.loads(found.out.splitlines()[-1])["coders"])[:3] == ["codec", "codec, 1 of 4", "opus 6"]
    for wrong in ("0", "0.5", "1.5"):
        found = cadenza("evaluate", "codec", clips / "0.wav", "--model", model, "--codebooks", wrong)
        assert (found.code, found.err.count("\n")) == (2, 1)


def test_bad_input(cadenza, model, clips):
    for arguments, words in (
        (("missing",), "no such file"),
        ((clips, "--seconds", "0"), "choose 1 to 3600"),
        ((clips, "--opus", "0"), "give numbers above 0"),
        ((clips, "--opus", "fast"), "is not a number"),
        ((clips, "--against", clips, "--codebooks", "1"), "leave out"),
        ((clips, clips), "one folder or manifest alone"),
        ((clips, "--codebooks", "9"), "choose as many or fewer"),
    ):
        result = (
            cadenza("evaluate", "codec", *arguments, "--model", model)
            if "--against" not in arguments
            else cadenza("evaluate", "codec", *arguments)
        )
        assert result.code == 2, (arguments, result.err)
        assert words in result.err
