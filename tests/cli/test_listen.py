"""`cadenza listen`: from takes to figures; tastes of simulated listeners are recovered, and clickers are found out."""

import json
import re
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from fastapi.testclient import TestClient

from cadenza.audio import Audio
from cadenza.cli import run
from cadenza.serve.listening import ListeningTest, create_app
from cadenza.testing import noise

QUALITY = {"bad": 30.0, "fair": 55.0, "good": 80.0}


@pytest.fixture(scope="module")
def takes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("takes")
    for level, system in enumerate(QUALITY, start=1):
        (folder / system).mkdir()
        for prompt in range(6):
            made = noise(0.5, 8000, level=0.02 * level, seed=prompt)
            Audio(made.samples, 8000, {"text": f"prompt {prompt}"}).write(folder / system / f"p{prompt}.wav", None)
    (folder / "test.yaml").write_text(
        "systems: {bad: bad, fair: fair, good: good}\nprotocols: [ovl, pairs]\nleast_seconds: 0.4\nreference: good\n"
        "training_screens: 1\nscreens_per_listener: 24\nchecks: 4\nreference_least: 42\ntitle: A <b>test</b>\n"
        "published:\n  - {source: A paper, protocol: ovl, system: Theirs, value: 84.8, interval: 0.9}\n"
    )
    return folder


def test_from_takes_to_figures(takes: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Seven who listen, one who clicks at random, one who hears no beeps, one who dislikes the reference."""
    test = tmp_path / "test"
    assert run(["listen", "make", str(takes / "test.yaml"), "--out", str(test), "--seed", "3"]) == 0
    assert "6 prompts, 3 systems, 36 screens; 8 listeners at least for 5 ratings of each" in capsys.readouterr().out
    assert run(["listen", "analyse", str(test)]) == 2
    assert "has no answers yet" in capsys.readouterr().err
    truth = json.loads((test / "key.json").read_text())
    random = np.random.default_rng(1)

    def careful(offset: float) -> Callable[[str, dict], int]:
        def judge(screen: str, clips: dict) -> int:
            known = truth["screens"][screen]
            if "check" in known:
                return clips["sign"] * known["expected"]
            if "systems" in known:
                first, second = (QUALITY[name] + random.normal(0, 25) for name in known["systems"])
                return clips["sign"] * int(np.clip(round((second - first) / 15), -3, 3))
            return int(np.clip(round(QUALITY[known["system"]] + offset + random.normal(0, 8)), 1, 100))

        return judge

    def clicker(screen: str, clips: dict) -> int:
        known = truth["screens"][screen]
        if "check" in known:  # a clever one
            return clips["sign"] * known["expected"]
        return int(random.integers(-3, 4)) if "systems" in known else int(random.integers(45, 101))

    def deaf(screen: str, clips: dict) -> int:
        return 2 if screen.startswith("pairs") else 1

    def sour(screen: str, clips: dict) -> int:
        known = truth["screens"][screen]
        if "check" in known or "systems" in known:
            return clips["sign"] * known.get("expected", 0)
        return int(QUALITY[known["system"]] / 2)

    class Clock:
        now = 0.0

        def __call__(self) -> float:
            return self.now

    clock = Clock()
    opened = ListeningTest(test, clock)
    people = [careful(offset) for offset in (-9, -6, -3, 0, 3, 6, 9)] + [clicker, deaf, sour]
    with TestClient(create_app(opened), base_url="http://127.0.0.1:1") as page:
        for judge in people:
            state = page.post("/api/begin", json={"consent": True, "headphones": "headphones"}).json()
            while state["screen"]:
                clock.now += 20
                planned = opened.store.session(state["code"]).next
                known = opened.screens[planned.screen][2]
                clips = {"sign": 1 if planned.clips == known.clips else -1}
                heard = [clip["seconds"] for clip in state["screen"]["clips"]]
                body = {"code": state["code"], "position": state["screen"]["position"], "heard": heard}
                reply = page.post("/api/answer", json=body | {"answer": judge(planned.screen, clips)})
                assert reply.status_code == 200, reply.text
                state = reply.json()
    opened.store.close()
    capsys.readouterr()

    assert run(["listen", "analyse", str(test), "--html"]) == 0
    printed = capsys.readouterr().out
    found = json.loads(printed.splitlines()[-1])
    excluded = {one["listener"]: one["reason"] for one in found["listeners"]["excluded"]}
    assert set(excluded) == {9, 10}
    assert re.fullmatch(r"failed [34] of 4 attention checks", excluded[9])
    assert excluded[10] == "rated the hidden reference 40.0 on average, below 42"
    ovl = found["questions"]["ovl"]
    assert [one["listener"] for one in ovl["unlike_the_others"]] == [8]
    assert ovl["filtered"]["listeners"] == 7
    assert ovl["all"]["listeners"] == 10
    for system, quality in QUALITY.items():
        row = ovl["filtered"]["systems"][system]
        assert row["low"] <= quality <= row["high"]
        assert row["high"] - row["low"] < 20
        wide = ovl["all"]["systems"][system]
        assert wide["high"] - wide["low"] > row["high"] - row["low"]
    assert all(row["p_holm"] < 0.01 for row in ovl["filtered"]["differences"])
    assert ovl["filtered"]["agreement_alpha"] > 0.7 > ovl["all"]["agreement_alpha"]
    assert ovl["ratings_per_item"] == {"wanted": 5, "fewest": 4, "items": 18, "below": 6}
    strengths = found["pairs"]["filtered"]["strengths"]
    assert strengths["bad"]["high"] < 0 < strengths["good"]["low"]
    assert strengths["bad"]["mean"] < strengths["fair"]["mean"] < strengths["good"]["mean"]
    assert ovl["published"][0]["value"] == 84.8
    assert "84.8" not in json.dumps(ovl["filtered"])
    assert "left out: listener 9, failed" in printed

    html = (test / "report.html").read_text()
    HTMLParser().feed(html)
    assert "A &lt;b&gt;test&lt;/b&gt;" in html
    assert html.count("<svg") == 2
    assert "A paper" in html
    assert not re.search(r"(src|href)=|https?:", html), "it needs nothing else"
    assert run(["listen", "analyse", str(test), "--json"]) == 0
    again = capsys.readouterr().out
    assert json.loads(again) == found
    assert again.count("\n") == 1


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["make"], "say what to compare"),
        (["make", "--systems", "a", "--protocol", "ovl"], "give NAME=FOLDER"),
        (["make", "--systems", "a=nowhere", "--protocol", "ovl"], "nowhere: no such file or folder"),
        (["make", "--systems", "a=bad", "--protocol", "pairs"], "pairs need two systems"),
        (["make", "--systems", "a=bad", "--protocol", "mos"], "protocol 'mos' is not one of ovl"),
        (["make", "nowhere.yaml"], "nowhere.yaml: cannot be read"),
        (["serve", "."], "test.json is not there: make it with"),
        (["analyse", "."], "test.json is not there: make it with"),
    ],
)
def test_mistakes_are_one_line(
    takes: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    arguments: list[str],
    message: str,
) -> None:
    monkeypatch.chdir(takes)
    assert run(["listen", *arguments]) == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1
    assert not (takes / "listening-test").exists()
