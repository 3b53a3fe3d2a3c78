"""`cadenza evaluate run`: from a configuration to a report, resumed, repeated, and stopped by mistakes early."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from cadenza.audio import Audio
from cadenza.cli import INTERRUPTED, run
from cadenza.cli.evaluate_run import Run
from cadenza.evaluate import prompts
from cadenza.evaluate.clips import read_clips
from cadenza.evaluate.codec_quality import codec_hash
from cadenza.evaluate.embedders import listener
from cadenza.evaluate.measure import measure
from cadenza.evaluate.measurements import Measurements
from cadenza.evaluate.report import shipped
from cadenza.evaluate.report.config import read_report_config
from cadenza.testing import tiny_codec, tiny_listener
from measured_sets import tone

PROMPTS = [
    {"id": "p1", "text": "low and slow", "tempo_bpm": 90, "key": "D minor", "genre": "waltz"},
    {"id": "p2", "text": "high"},
    {"id": "p3", "text": "middle", "tempo_bpm": 120},
]


class FakeModel:
    made: list[str]

    def generate(self, text: str, duration: float, seed: int, **choices: Any) -> Audio:
        FakeModel.made.append(text)
        record = {"cadenza": "0", "model": "fake", "weights": "w" * 64, "text": text, "seed": seed,
                  "generation": {"duration": duration, "guidance": 3.0}}  # fmt: skip
        return replace(tone(200.0 + 37 * len(text), duration, seed), metadata=record)


@pytest.fixture(autouse=True)
def _small_world(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A tiny ear, a model that makes tones, a tiny codec; three prompts and true music beside them."""
    ear, codec = tiny_listener(), tiny_codec()
    FakeModel.made = []
    monkeypatch.setattr(listener.Listener, "embedded", classmethod(lambda cls: ear))
    monkeypatch.setattr("cadenza.loading.load_musicgen", lambda *_: FakeModel())
    monkeypatch.setattr("cadenza.loading.find_model", lambda name: tmp_path)
    monkeypatch.setattr("cadenza.checkpoint.weights_hash", lambda place: "w" * 64)
    monkeypatch.setattr("cadenza.loading.load_codec", lambda *_: codec)
    monkeypatch.setenv("CADENZA_CACHE", str(tmp_path / "cache"))
    (tmp_path / "prompts.jsonl").write_text("".join(json.dumps(row) + "\n" for row in PROMPTS))
    for folder, count in (("true", 4), ("theirs", 3)):
        (tmp_path / folder).mkdir()
        for number in range(1, count + 1):
            name = f"p{number}" if folder == "theirs" else f"t{number}"
            tone(150.0 * number, 1.2, number).write(tmp_path / folder / f"{name}.wav")


def config(tmp_path: Path, **more: Any) -> Path:
    value: dict[str, Any] = {
        "title": "Test", "prompts": "prompts.jsonl", "reference": "true", "samples": 1,
        "systems": [{"name": "ours", "model": "embedded"}, {"name": "theirs", "audio": "theirs"}],
        "sampling": {"duration_seconds": 1.2, "device": "cpu"},
    }  # fmt: skip
    path = tmp_path / "report.json"
    path.write_text(json.dumps(value | more))
    return path


@pytest.fixture
def _no_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cadenza.cli.values.set_threads", lambda count: None)  # it stays for the process


@pytest.mark.usefixtures("_no_threads")
def test_two_runs_are_byte_identical(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = config(tmp_path)
    for name in ("one", "two"):
        assert run(["evaluate", "run", str(path), "--out", str(tmp_path / name)]) == 0, capsys.readouterr().err
    one, two = tmp_path / "one", tmp_path / "two"
    for name in ("report.json", "items.csv", "index.html", "measured/1-ours.safetensors", "takes/1-ours/p1.flac"):
        assert (one / name).read_bytes() == (two / name).read_bytes(), name
    report = json.loads((one / "report.json").read_text())
    kinds = {system["name"]: system["kind"] for system in report["systems"]}
    assert kinds == {"ours": "model", "theirs": "audio", "true music, codec of ours": "ceiling"}
    ours = report["systems"][0]
    assert ours["clips"] == 3 and ours["made_with"]["weights"] == "w" * 64
    figure = next(f for f in report["figures"] if (f["metric"], f["system"]) == ("fad", "ours"))
    assert figure["ceiling"]["value"] is not None and "needed for" in figure["notes"][0]
    assert str(tmp_path) not in (one / "report.json").read_text() + (one / "index.html").read_text()
    assert set(json.loads((one / "timings.json").read_text())["takes"]["ours"]) == {"p1", "p2", "p3"}
    last = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert last["figures"]["ours"]["fad (mel)"] == figure["result"]["value"] and last["refused"] == 0
    assert Measurements.load(one / "measured" / "1-ours.safetensors").ids == ("p1", "p2", "p3")


@pytest.mark.usefixtures("_no_threads")
def test_systems_answer_the_same_prompts_each_its_own_way(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    generate, asked = FakeModel.generate, []

    def watched(self: FakeModel, text: str, **choices: Any) -> Audio:
        asked.append((text, choices["guidance"], choices["duration"]))
        return generate(self, text, **choices)

    monkeypatch.setattr(FakeModel, "generate", watched)
    systems = [
        {"name": "ours", "model": "embedded"},
        {"name": "plain", "model": "embedded", "sampling": {"guidance": 1}},
        {"name": "theirs", "audio": "theirs"},
    ]
    path, out = config(tmp_path, systems=systems, max_prompts=2, ceilings=False), tmp_path / "out"
    assert run(["evaluate", "run", str(path), "--out", str(out)]) == 0
    texts = ("low and slow", "high")
    assert asked == [(text, guidance, 1.2) for guidance in (None, 1.0) for text in texts]
    judged = {system["name"]: system for system in json.loads((out / "report.json").read_text())["systems"]}
    assert judged["theirs"]["clip_ids"] == judged["plain"]["clip_ids"] == ["p1", "p2"]
    assert [one["name"] for one in judged["theirs"]["refused"]] == ["p3.wav"]


def test_several_sets_of_prompts_are_asked_one_after_the_other(tmp_path: Path) -> None:
    chosen = read_report_config(config(tmp_path, prompts=["prompts.jsonl", "strangers"], max_prompts=2))
    asked, sets = Run(chosen, tmp_path, tmp_path / "out")._prompts()
    strangers = prompts.load("strangers")
    assert asked is not None and list(asked) == ["p1", "p2", "s01", "s02"]
    assert asked["s02"] == strangers["s02"]
    assert sets == {"p1": "prompts", "p2": "prompts", "s01": "strangers", "s02": "strangers"}


@pytest.mark.usefixtures("_no_threads")
def test_an_interrupted_run_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    path, out = config(tmp_path, systems=[{"name": "ours", "model": "embedded"}], ceilings=False), tmp_path / "out"
    words = ["evaluate", "run", str(path), "--out", str(out)]
    generate = FakeModel.generate

    def interrupted(self: FakeModel, text: str, **choices: Any) -> Audio:
        if text == "high":
            raise KeyboardInterrupt
        return generate(self, text, **choices)

    monkeypatch.setattr(FakeModel, "generate", interrupted)
    assert run(words) == INTERRUPTED
    assert "add --resume" in capsys.readouterr().err
    monkeypatch.setattr(FakeModel, "generate", generate)
    FakeModel.made = []
    assert run(words) == 2 and "add --resume to go on" in capsys.readouterr().err
    assert run([*words, "--resume"]) == 0
    assert FakeModel.made == ["high", "middle"]
    assert (out / "index.html").is_file()
    path = config(tmp_path, title="Other", systems=[{"name": "ours", "model": "embedded"}])
    assert run([*words, "--resume"]) == 2 and "another configuration" in capsys.readouterr().err


@pytest.fixture
def shipped_sets(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """What an installation holds: true music that the tiny ear heard, and through the tiny codec."""
    folder, ear = tmp_path / "assets", tiny_listener()
    places = {
        part: read_clips(tmp_path / "true", name=f"composed, {part}") for part in ("reference", "truth", "ceiling")
    }
    for part, clips in places.items():
        found = measure(clips, [ear], [ear], [ear], ear)
        settings = {**found.settings, **({shipped.CODEC: codec_hash(tiny_codec())} if part == "ceiling" else {})}
        replace(found, settings=settings).save(folder / f"{part}.safetensors")
    monkeypatch.setattr(shipped, "ASSETS", folder)
    return folder


@pytest.mark.usefixtures("_no_threads")
def test_without_a_configuration_all_comes_along(
    tmp_path: Path, shipped_sets: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setitem(prompts.FILES, "default", ("prompts.jsonl", 3))
    assert run(["evaluate", "run"]) == 0, capsys.readouterr().err
    report = json.loads(Path("evaluation/embedded/report.json").read_text())
    assert [system["kind"] for system in report["systems"]] == ["model", "truth", "ceiling"]
    assert report["systems"][2]["ceiling_of"] == ["Cadenza's embedded model"]
    assert report["reference"]["name"] == "composed, reference" and "composed" in report["notes"][0]
    assert {clip["text"] for clip in report["samples"]} == set(FakeModel.made) and len(FakeModel.made) == 3


def test_true_music_of_another_ear_is_refused_before_a_take_is_made(
    tmp_path: Path, shipped_sets: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    other = tiny_listener(seed=1)
    monkeypatch.setattr(listener.Listener, "embedded", classmethod(lambda cls: other))
    assert run(["evaluate", "run", "--out", str(tmp_path / "out")]) == 2
    assert "measure it again" in capsys.readouterr().err and not FakeModel.made


@pytest.mark.usefixtures("_no_threads")
@pytest.mark.parametrize(
    ("more", "message"),
    [
        ({"systems": [{"name": "a", "audio": "nowhere"}]}, "nowhere: no such file or folder"),
        ({"truth": "nowhere"}, "nowhere: no such file or folder"),
        ({"reference": "embedded", "embedders": ["vggish"]}, "heard by mel alone, not by vggish"),
        ({"embedders": ["nothing"]}, "choose mel"),
        ({"codec": ["none.json"]}, "none.json: cannot be read"),
        ({"prompts": "none.jsonl"}, "none.jsonl"),
        ({"prompts": ["prompts.jsonl", "prompts.jsonl"]}, "two prompts of id 'p1'"),
    ],
)
def test_mistakes_are_said_before_a_take_is_made(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], more: dict[str, Any], message: str
) -> None:
    assert run(["evaluate", "run", str(config(tmp_path, **more)), "--out", str(tmp_path / "out")]) == 2
    assert message in capsys.readouterr().err and not FakeModel.made


def test_a_folder_of_other_things_is_left_alone(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["evaluate", "run", str(config(tmp_path)), "--out", str(tmp_path / "true")]) == 2
    assert "holds other files" in capsys.readouterr().err
    assert run(["evaluate", "run", str(config(tmp_path)), "--out", str(tmp_path / "prompts.jsonl")]) == 2
    assert "is a file" in capsys.readouterr().err
