"""Distances of whole sets: 0 for the same music, larger for other, with what has to be known beside them."""

from dataclasses import replace

import numpy as np
import pytest

from cadenza.errors import UserError
from cadenza.evaluate.report.setwise import distances, fad, kad, mad, variety
from measured_sets import DIM, WINDOWS, measured_set


def test_a_set_beside_itself() -> None:
    same = measured_set("same", 20)
    figure = fad(same, same, "mel")
    assert figure.result.value == pytest.approx(0.0, abs=1e-9)
    assert figure.details["windows"] == 20 * WINDOWS and figure.details["dim"] == DIM
    assert mad(same, same, "mel").result.value == pytest.approx(0.0, abs=0.02)  # clusters of two clips, both in each


def test_other_music_is_further_away() -> None:
    true = measured_set("true", 40)
    near, far = measured_set("near", 20, seed=1), measured_set("far", 20, place=1.0, seed=2)
    farther = measured_set("farther", 20, place=4.0, seed=2)
    for figure_of, other in ((fad, far), (kad, far), (mad, farther)):  # two clusters of 20 clips see little
        a, b = figure_of(near, true, "mel"), figure_of(other, true, "mel")
        assert a.result.value is not None and b.result.value is not None and a.result.value < b.result.value
    # Means are 1 apart in 4 dimensions; the covariances are alike.
    interval = fad(far, true, "mel").result
    assert interval.low is not None and interval.high is not None and interval.low < 4.0 < interval.high


def test_infinity_and_its_curve_stand_beside() -> None:
    figure = fad(measured_set("near", 20, seed=1), measured_set("true", 40), "mel")
    assert figure.details["fad_infinity"] is not None and figure.details["fad_infinity"] < (figure.result.value or 0)
    assert len(figure.curve) > 2 and figure.curve[-1][0] == 20 * WINDOWS


def test_too_few_windows_are_said_with_the_number_needed() -> None:
    true = measured_set("true", 40)
    wide = {"mel": replace(true.embeddings["mel"], windows=tuple(
        np.repeat(w, 40, axis=1) + np.float32(np.random.default_rng(i).normal(size=(WINDOWS, 40 * DIM)))
        for i, w in enumerate(true.embeddings["mel"].windows)))}  # fmt: skip
    true = replace(true, embeddings=wide)
    few = true.of(true.ids[:5])
    notes = " ".join(fad(few, true, "mel").notes)
    assert "40 windows of the judged set: 320 or more are needed for 160 dimensions" in notes
    assert "5 clips are few" in " ".join(mad(few, true, "mel").notes)


def test_sets_heard_otherwise_are_refused() -> None:
    true, other = measured_set("true"), measured_set("other", weights="ef" * 32)
    for figure_of in (fad, kad, mad):
        with pytest.raises(UserError, match="weights"):
            figure_of(other, true, "mel")
    with pytest.raises(UserError, match="other was heard by no embedder, true by mel"):
        distances(replace(other, embeddings={}), true)


def test_variety_falls_where_clips_repeat() -> None:
    true = measured_set("true", 20)
    one = true.embeddings["mel"].windows[0]
    dull = replace(true, embeddings={"mel": replace(true.embeddings["mel"], windows=(one,) * 20)})
    figure, lively = variety(dull, "mel", true), variety(true, "mel", true)
    assert figure is not None and lively is not None
    assert figure.result.value == pytest.approx(0.0, abs=1e-6)
    assert (lively.result.low or 0) > 0.5 and not lively.notes
    assert "190 of 190 pairs of clips are all but the same" in figure.notes[0]
    assert variety(true.of(true.ids[:2]), "mel") is None


def test_clips_of_the_reference_itself_are_told() -> None:
    true = measured_set("true", 12)
    for figure in distances(true.of(true.ids[:8]), true, mauve=False):
        assert any(note.startswith("8 of 8 clips are in the reference too") for note in figure.notes)
    for figure in distances(measured_set("other", 8), true, mauve=False):
        assert not any("in the reference" in note for note in figure.notes)
