"""Clips: where a piece is cut, which split it is in, and whether what is said of a window is heard in it."""

from dataclasses import replace

import numpy as np

from cadenza.corpus.captions import captions
from cadenza.corpus.clips import Clip, cut, describe, facts_of, has_key, split_of
from cadenza.corpus.compose import compose
from cadenza.corpus.score import Meter, Note, Part, Score, Section
from cadenza.corpus.theory import Key


def _score(parts: tuple[Part, ...], bars: int = 12) -> Score:
    """Bars of 2 s in C major, from the middle on in A minor."""
    half = bars // 2
    sections = (
        Section("verse", 0, half, ("I", "") * half, Key(0, "major")),
        Section("chorus", half, bars - half, ("i", "") * (bars - half), Key(9, "minor")),
    )
    return Score(7, "jazz", 120.0, Key(0, "major"), Meter(4), ("happy",), sections, parts)


def _beats(pitches: tuple[int, ...], start: int = 0, end: int = 48, every: float = 1.0) -> tuple[Note, ...]:
    places = np.arange(start, end, every)
    return tuple(Note(float(t), every * 0.9, pitches[i % len(pitches)], 80) for i, t in enumerate(places))


def test_clips_fit_their_piece_and_do_not_overlap() -> None:
    on_bars, starts = 0, 0
    for seed in range(200):
        score = replace(_score((), bars=8 + seed % 70), seed=seed, tempo_bpm=60.0 + seed)
        end = 0.0
        for clip in cut(score):
            assert clip.start >= end - 1e-3
            end = clip.start + clip.duration
            assert 10.3 - 1e-3 <= clip.duration <= 12.0
            assert end <= score.duration_seconds + 1.2 + 1e-3
            starts += 1
            bars = clip.start / score.bar_seconds
            on_bars += abs(bars - round(bars)) * score.bar_seconds < 0.03
    assert 0.7 < on_bars / starts < 1.0


def test_split_is_by_piece_and_of_the_right_size() -> None:
    splits = [split_of(seed) for seed in range(5000)]
    assert splits == [split_of(seed) for seed in range(5000)]
    # 2 % of 5000 is 100 with a standard deviation of 10.
    assert 60 < splits.count("valid") < 140
    assert 60 < splits.count("test") < 140


def test_facts_are_those_of_the_window() -> None:
    piano = Part("piano", "melody", _beats((60, 64, 67)))
    late = Part("upright bass", "bass", _beats((36, 40, 43, 45), start=8))
    once = Part("choir", "pad", (Note(2.0, 1.0, 60, 80),))
    score = _score((piano, late, once))
    first, last = facts_of(score, Clip(0, 0.0, 11.0)), facts_of(score, Clip(1, 13.0, 11.0))
    assert (first.instruments, last.instruments) == (("piano", "upright bass"),) * 2
    assert (first.key, last.key) == ("C major", "A minor")
    assert (first.entering, last.entering) == (("upright bass",), ())
    assert (first.faint, last.faint) == (("choir",), ())
    assert (first.place, last.place) == ("verse", "ending")
    assert last.sections == ("chorus",)
    assert dict(first.roles) == {"melody": "piano", "bass": "upright bass"}
    for seed in range(20):
        texts = " ".join(captions(first, np.random.default_rng(seed))).lower()
        assert "no vocals" not in texts
        assert "no singing" not in texts


def test_ways_of_playing_are_told_by_the_notes() -> None:
    clip = Clip(0, 0.0, 11.0)
    walking, held = _beats((36, 40, 43, 45)), _beats((36, 43), every=4.0)
    four, backbeat = _beats((36,)), _beats((36, 38))

    def traits(bass: tuple[Note, ...], kit: tuple[Note, ...]) -> tuple[str, ...]:
        return facts_of(_score((Part("upright bass", "bass", bass), Part("drums", "drums", kit))), clip).traits

    assert traits(walking, backbeat) == ("walking bass",)
    assert traits(held, four) == ("four-on-the-floor",)
    assert traits(_beats((36,)), backbeat) == ()


def test_drums_alone_have_no_key_to_speak_of() -> None:
    score = _score((Part("drums", "drums", _beats((36, 38))),))
    facts, row = facts_of(score, Clip(0, 0.0, 11.0)), describe(score, Clip(0, 0.0, 11.0))
    assert facts.key == ""
    assert row["key"] == "C major"
    assert has_key(("drums", "timpani"))
    assert not has_key(("drum machine", "percussion"))


def test_manifest_line_is_a_function_of_the_seed() -> None:
    score = compose(42, 24.0)
    again = compose(42, 24.0)
    rows = [describe(score, clip) for clip in cut(score)]
    assert rows == [describe(again, clip) for clip in cut(again)]
    assert all(len(row["captions"]) == 6 for row in rows)


def test_only_pieces_for_testing_have_captions_in_held_out_styles() -> None:
    score = _score((Part("piano", "melody", _beats((60, 64))),))
    seeds = {split_of(seed): seed for seed in range(300)}
    rows = {name: describe(replace(score, seed=seed), Clip(0, 0.0, 11.0)) for name, seed in seeds.items()}
    assert len(rows["test"]["held_out_captions"]) == 3
    assert not set(rows["test"]["held_out_captions"]) & set(rows["test"]["captions"])
    assert "held_out_captions" not in rows["train"]
    assert "held_out_captions" not in rows["valid"]
