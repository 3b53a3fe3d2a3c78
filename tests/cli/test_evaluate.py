"""`cadenza evaluate` on the command line: single figures, measured sets, mistakes in one line."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from cadenza.cli import run
from cadenza.evaluate.embedders import listener
from cadenza.testing import tiny_listener
from measured_sets import measured_set, tone

Call = Callable[..., dict[str, Any]]


@pytest.fixture(autouse=True)
def _tiny_ear(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    ear = tiny_listener()
    monkeypatch.setattr(listener.Listener, "embedded", classmethod(lambda cls: ear))
    monkeypatch.setenv("CADENZA_CACHE", str(tmp_path / "cache"))


@pytest.fixture
def call(capsys: pytest.CaptureFixture[str]) -> Call:
    """Run a command that succeeds; the object in its last line, and all lines under "lines"."""

    def call(*words: object) -> dict[str, Any]:
        capsys.readouterr()
        assert run(["evaluate", *map(str, words)]) == 0, capsys.readouterr().err
        lines = capsys.readouterr().out.splitlines()
        found: dict[str, Any] = json.loads(lines[-1])
        return found | {"lines": lines[:-1]}

    return call


@pytest.fixture
def refused(capsys: pytest.CaptureFixture[str]) -> Callable[..., str]:
    """Run a command that is the user's mistake; its one line."""

    def refused(*words: object) -> str:
        assert run(["evaluate", *map(str, words)]) == 2
        error = capsys.readouterr().err.strip().splitlines()
        assert "Traceback" not in "".join(error)
        return error[-1]

    return refused


@pytest.fixture
def sets(tmp_path: Path) -> tuple[Path, Path]:
    """True music, and what is judged; measured before."""
    true, made = tmp_path / "true.safetensors", tmp_path / "made.safetensors"
    _as_heard(measured_set("true", 20)).save(true)
    _as_heard(measured_set("made", 10, place=1.0, seed=2)).save(made)
    return true, made


def _as_heard(found: Any) -> Any:
    """As if the tiny ear had heard it."""
    from dataclasses import replace

    identity = tiny_listener().identity
    return replace(
        found,
        embeddings={"mel": replace(found.embeddings["mel"], identity=identity)},
        labels={"mel": replace(found.labels["mel"], identity=identity)},
        joint={"mel": replace(found.joint["mel"], identity=identity)},
    )


@pytest.fixture
def clips(tmp_path: Path) -> Path:
    """A folder with two clips that sound, one that is silent and one that is none."""
    folder = tmp_path / "clips"
    folder.mkdir()
    tone(300.0, 2.0).write(folder / "p1.wav")
    tone(900.0, 2.0).write(folder / "p2.wav")
    from cadenza.audio import Audio

    Audio(tone(300.0).samples * 0, 16000).write(folder / "p1__2.wav")
    (folder / "broken.wav").write_bytes(b"RIFF")
    rows = [{"id": "p1", "text": "low", "tempo_bpm": 90}, {"id": "p2", "text": "high", "key": "D minor"}]
    (folder / "prompts.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return folder


def test_fad_of_measured_sets(call: Call, sets: tuple[Path, Path]) -> None:
    found = call("fad", *sets)
    assert found["low"] < 4.0 < found["high"]  # means 1 apart in four dimensions
    assert found["fad"] > 3.0 and found["fad_infinity"] > 0 and found["count"] == 10
    assert found["embedder"]["weights"] == tiny_listener().identity.weights
    assert len(found["per_clip"]) == 10 and found["sets"]["reference"] == {"name": "true", "clips": 20}
    assert found["refused"][0] == {"set": "reference", "name": "x.wav", "reason": "silent"}
    assert any("FAD-infinity" in line for line in found["lines"]) and "not judged: x.wav: silent" in found["lines"]


def test_json_alone(call: Call, sets: tuple[Path, Path]) -> None:
    assert call("kad", *sets, "--json")["lines"] == []


def test_kad_and_mad(call: Call, sets: tuple[Path, Path]) -> None:
    assert call("kad", *sets)["kad"] > 10
    found = call("mad", *sets, "--embedding", "mel")
    assert found["mad"] > 0 and found["low"] < found["high"] and "MAD needs 100" in found["notes"][0]


def test_kl_of_pairs(call: Call, refused: Callable[..., str], sets: tuple[Path, Path], tmp_path: Path) -> None:
    found = call("kl", *sets, "--labels", "mel")
    assert found["count"] == 10 and abs(found["kl"]) < 1e-3 and found["unpaired"] == []
    from dataclasses import replace

    other = _as_heard(measured_set("other", 5))
    other = replace(other, clips=tuple(replace(c, id=f"o{c.id}", piece=f"o{c.piece}") for c in other.clips))
    other.save(tmp_path / "other.safetensors")
    assert "name pairs alike" in refused("kl", sets[0], tmp_path / "other.safetensors", "--labels", "mel")


def test_a_folder_is_heard(call: Call, clips: Path, sets: tuple[Path, Path]) -> None:
    found = call("clap", clips, "--embedding", "mel")
    assert set(found["per_clip"]) == {"p1", "p2"} and -1 <= found["clap"] <= 1 and "floor" in found
    reasons = {one["name"]: one["reason"] for one in found["refused"]}
    assert reasons["p1__2"].startswith("silent") and "broken.wav" in reasons


def test_control_counts_facts(call: Call, clips: Path) -> None:
    found = call("control", clips)
    assert found["control"]["tempo"]["count"] == 1 and found["control"]["key"]["count"] == 1
    assert set(found["control"]["key"]) >= {"value", "low", "high", "floor"}


def test_loudness_and_repetition(call: Call, clips: Path) -> None:
    found = call("loudness", clips)["loudness"]
    assert found["loudness"]["value"] == pytest.approx(-14.0, abs=0.5)  # as written
    assert found["clipping"]["value"] == 0.0
    assert set(call("repetition", clips)["repetition"]) == {"repetition", "stuck"}


def test_chroma_follows_tunes(call: Call, refused: Callable[..., str], clips: Path, tmp_path: Path) -> None:
    assert "give --tunes DIR" in refused("chroma", clips)
    tunes = tmp_path / "tunes"
    tunes.mkdir()
    tone(300.0, 2.0).write(tunes / "p1.wav")
    found = call("chroma", clips, "--tunes", tunes)
    assert found["chroma"] == 1.0 and any("no tune of this name" in one["reason"] for one in found["refused"])


def test_measure_merge_and_use(call: Call, refused: Callable[..., str], clips: Path, tmp_path: Path) -> None:
    first = tmp_path / "first.safetensors"
    found = call("measure", clips, "-o", first, "--name", "ours")
    assert found["measured"] == str(first) and found["sets"]["source"] == {"name": "ours", "clips": 2}
    second = tmp_path / "second.safetensors"
    other = tmp_path / "more"
    other.mkdir()
    tone(500.0, 2.0).write(other / "q.wav")
    call("measure", other, "-o", second)
    both = tmp_path / "both.safetensors"
    assert call("merge", first, second, "-o", both)["sets"]["merged"]["clips"] == 3
    assert abs(call("fad", first, first)["fad"]) < 1e-6
    assert "a second clip" in refused("merge", first, first, "-o", both) or "two clips" in refused(
        "merge", first, first, "-o", both
    )
    assert "give such a name" in refused("measure", clips, "-o", tmp_path / "x.bin")
    assert "choose a or b" in refused("measure", clips, "-o", first, "--half", "c")


def test_embedders_are_listed(call: Call) -> None:
    found = call("embedders")
    assert found["embedders"]["vggish"]["origin"].startswith("https://") and found["embedders"]["mel"]["ready"]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("fad", "none", "clips"), "no such file or folder"),
        (("fad", "true.safetensors", "made.safetensors", "--embedding", "nothing"), "choose mel"),
        (("mad", "true.safetensors", "made.safetensors"), "mert"),  # no weights here
        (("fad", "true.safetensors", "clips", "--loudness", "loud"), "not a number"),
        (("control", "plain"), "nothing was asked of these clips"),
        (("clap", "plain", "--embedding", "mel"), "no clip has what clap is measured by"),
        (("run", "none.yaml"), "cannot be read"),
    ],
)
def test_mistakes_are_one_line(
    refused: Callable[..., str], sets: tuple[Path, Path], clips: Path, tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch, words: tuple[str, ...], message: str,
) -> None:  # fmt: skip
    plain = tmp_path / "plain"
    plain.mkdir()
    tone(300.0, 2.0).write(plain / "a.wav")
    monkeypatch.chdir(tmp_path)
    assert message in refused(*words)


def test_control_needs_the_ear_that_names(refused: Callable[..., str], sets: tuple[Path, Path]) -> None:
    assert "without the ear that names instruments" in refused("control", sets[1])
    assert "leave out --prompts" in refused("control", sets[1], "--prompts", "p.jsonl")


def test_sets_of_another_ear_are_refused(refused: Callable[..., str], sets: tuple[Path, Path], tmp_path: Path) -> None:
    measured_set("old").save(tmp_path / "old.safetensors")
    assert "measure it again" in refused("fad", sets[0], tmp_path / "old.safetensors")
