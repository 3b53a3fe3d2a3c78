"""The report: numbers by hand, and a page that any browser reads."""

import json
from html.parser import HTMLParser

import pytest

from cadenza.train.finetune_report import compare, page, summary

BEFORE = [{"id": "a", "per_codebook": [4.0, 2.0]}, {"id": "b", "per_codebook": [5.0, 3.0]}]
AFTER = [{"id": "a", "per_codebook": [3.0, 2.0]}, {"id": "b", "per_codebook": [4.0, 2.0]}]


def facts(before=BEFORE, after=AFTER, same_tracks=False):
    memory = {"exact": [0.0, 0.0], "partial": [0.5, 0.25], "agreement": [0.1, 0.1], "count": 4, "partial_share": 0.8}
    made = {
        "model": {"name": "<tiny>", "licence": "CC0-1.0", "parameters": 1000},
        "precision": "fp32", "kind": "adapter", "trained_parameters": 100, "device": "cpu", "cadenza": "0.1",
        "config": {"seed": 3},
        "plan": {"batch_size": 2, "accumulation": 2, "window_seconds": 1.0, "learning_rate": 1e-3},
        "tracks": 5, "minutes": 1.5, "held_out": {"tracks": 2, "minutes": 0.5, "of_the_same_tracks": same_tracks},
        "files": [{"path": "/x/a & b.wav", "seconds": 3.0, "caption": "<i>loud</i>", "held_out": True}],
        "skipped": [{"path": "c.wav", "kind": "silent", "reason": "silent: never louder"}],
        "prompts": ["rock & roll"], "steps_made": 20, "stopped": "all 20 steps were made", "step": 10,
        "seconds": {"training": 10.0, "all": 20.0}, "peak_memory_bytes": 2_500_000_000,
        "curve": [{"step": 0, "train": None, "valid": 3.5}, {"step": 10, "train": 3.0, "valid": 2.75}],
        "before": {"tracks": before, "memorization": memory}, "after": {"tracks": after, "memorization": memory},
    }  # fmt: skip
    return made | {"result": compare(before, after)}


class Balanced(HTMLParser):
    """Every element is closed by its own name."""

    VOID = ("meta", "polyline", "circle", "br")

    def __init__(self):
        super().__init__()
        self.open, self.text = [], []

    def handle_starttag(self, tag, attributes):
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        if tag not in self.VOID:
            assert self.open.pop() == tag

    def handle_data(self, data):
        self.text.append(data)


def test_changes_are_those_of_each_track():
    result = compare(BEFORE, AFTER)
    assert result["ce"]["before"]["mean"] == 3.5
    assert result["ce"]["after"]["mean"] == 2.75
    # -0.5 and -1: of two tracks the bootstrap reaches from one to the other
    assert result["ce"]["change"] == {"mean": -0.75, "low": -1.0, "high": -0.5, "count": 2}
    assert result["ce_q0"]["change"]["mean"] == -1.0
    assert result["ce_q1"]["change"]["mean"] == -0.5
    assert compare([], []) is None


def test_one_track_has_no_interval_and_json_no_infinity():
    result = compare(BEFORE[:1], AFTER[:1])
    assert result["ce"]["change"] == {"mean": -0.5, "low": None, "high": None, "count": 1}
    assert json.loads(json.dumps(result, allow_nan=False)) == result
    assert "One track has no interval" in page(facts(BEFORE[:1], AFTER[:1]))


def test_the_result_in_a_line():
    assert summary(facts()) == (
        "cross entropy of held-out tracks: 3.500 before, 2.750 after (-0.750 (-1.000 to -0.500))"
    )
    assert "nothing was gained" in summary(facts(AFTER, BEFORE))
    assert "held-out ends of the tracks" in summary(facts(same_tracks=True))
    assert summary(facts([], [])) == "nothing was held out: listen to the examples"


@pytest.mark.parametrize("made", [facts(), facts([], []), facts(same_tracks=True)], ids=["whole", "blind", "ends"])
def test_the_page_is_whole_and_says_what_was_done(made):
    reader = Balanced()
    reader.feed(page(made))
    assert reader.open == []
    text = " ".join(reader.text)
    for words in ("<tiny>, fine-tuned", "CC0-1.0", "a & b.wav", "<i>loud</i>", "rock & roll", "silent: never louder",
                  "2.50 GB", "100 parameters (10.0%)"):  # fmt: skip
        assert words in text, words
    assert "://" not in page(made)  # nothing is fetched
