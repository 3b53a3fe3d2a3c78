"""Players: the grid is exact on average, grooves come again, chords are strummed, dynamics follow meter and form."""

from dataclasses import replace

import numpy as np
import pytest

from cadenza.corpus.genre import Line, Role
from cadenza.corpus.perform import feel_of, perform
from cadenza.corpus.plan import draw_plan
from cadenza.corpus.score import Meter, Note, Section
from cadenza.corpus.theory import Key

BARS = 16
SECTIONS = tuple(
    Section(name, 4 * index, 4, ("I", "") * 4, Key(0, "major"), energy)
    for index, (name, energy) in enumerate((("verse", 0.4), ("chorus", 0.9), ("verse", 0.4), ("outro", 0.3)))
)


PLAN = draw_plan(np.random.default_rng(0))


def _perform(
    name: str, role: Role, notes: list[Note], genre: str = "folk", seed: int = 0, swing: float = 0.5
) -> tuple[Note, ...]:
    plan = replace(PLAN, genre=genre, tempo_bpm=120.0, meter=Meter(4), swing=swing, force=0)
    return perform(np.random.default_rng(seed), notes, plan, Line(role, (name,)), SECTIONS)


def _eighths(pitch: int = 60, length: float = 0.4) -> list[Note]:
    return [Note(i / 2, length, pitch, 80) for i in range(BARS * 8)]


def _late_ms(played: tuple[Note, ...], written: list[Note]) -> np.ndarray:
    return np.array([(p.start - w.start) * 500.0 for p, w in zip(played, written, strict=True)])


@pytest.mark.parametrize(
    ("name", "role", "genre"),
    [("violin", "melody", "folk"), ("drums", "drums", "rock"), ("piano", "chords", "classical"),
     ("upright bass", "bass", "jazz"), ("flute", "melody", "lo-fi hip hop")],
)  # fmt: skip
def test_the_grid_is_exact_on_average_but_for_the_genres_lag(name: str, role: Role, genre: str) -> None:
    written = _eighths(36)
    late = _late_ms(_perform(name, role, written, genre), written)
    # The very first note cannot come before the piece, which leaves at most a fraction of a millisecond.
    assert late.mean() == pytest.approx(feel_of(genre, role, name).lag, abs=0.3)
    assert 1.0 < late.std() < 9.0
    assert np.abs(late - late.mean()).max() <= 36.0


def test_lags_are_small_and_machines_are_exact() -> None:
    written = _eighths(36)
    machines: tuple[tuple[str, Role], ...] = (
        ("synth lead", "melody"), ("drum machine", "drums"), ("synth bass", "bass")
    )  # fmt: skip
    for name, role in machines:
        assert _late_ms(_perform(name, role, written, "techno"), written) == pytest.approx(0.0, abs=1e-2)
    for genre in ("lo-fi hip hop", "jazz", "reggae", "celtic", "rock"):
        for role in ("melody", "bass", "drums", "chords"):
            feel = feel_of(genre, role, "piano")
            assert abs(feel.lag) <= 12.0
            assert feel.snare_lag <= 12.0


def test_a_groove_comes_again_in_every_bar() -> None:
    written = _eighths()
    late = np.mean([_late_ms(_perform("violin", "melody", written, seed=5), written)], axis=0).reshape(BARS, 8)
    halves = late[: BARS // 2].mean(axis=0), late[BARS // 2 :].mean(axis=0)
    assert np.corrcoef(*halves)[0, 1] > 0.5
    # What is left drifts: neighbours resemble each other.
    rest = (late - late.mean(axis=0)).ravel()
    assert np.corrcoef(rest[1:], rest[:-1])[0, 1] > 0.3


def test_a_laid_back_snare_is_late_and_its_bass_drum_is_not() -> None:
    written = sorted(
        [Note(float(i), 0.2, 36 if i % 2 == 0 else 38, 90) for i in range(BARS * 4)], key=lambda note: note.start
    )
    late = _late_ms(_perform("drums", "drums", written, "lo-fi hip hop"), written)
    assert late[1::2].mean() - late[::2].mean() == pytest.approx(12.0, abs=3.0)


def test_swing_delays_the_second_eighth() -> None:
    written = _eighths()
    played = _perform("synth lead", "melody", written, swing=2 / 3)
    inside = np.array([note.start % 1.0 for note in played])
    assert inside[1::2] == pytest.approx(2 / 3, abs=1e-4)
    assert np.minimum(inside[::2], 1 - inside[::2]) == pytest.approx(0.0, abs=1e-4)


@pytest.mark.parametrize(("name", "low", "high"), [("acoustic guitar", 7, 16), ("harp", 25, 55), ("strings", 0, 0)])
def test_chords_are_strummed_upwards_on_the_beat(name: str, low: float, high: float) -> None:
    written = [Note(4.0 * bar, 3.0, pitch, 80) for bar in range(1, 9) for pitch in (52, 55, 60)]
    played = _perform(name, "chords", written)
    starts = np.array(sorted((note.pitch, note.start) for note in played))[:, 1].reshape(3, 8)
    gaps = np.diff(starts, axis=0) * 500
    assert low - 0.1 <= gaps.min() <= gaps.max() <= high + 0.1


def test_an_upstroke_starts_with_the_highest_string() -> None:
    played = _perform("acoustic guitar", "chords", [Note(4.5, 0.4, pitch, 80) for pitch in (52, 55, 60)])
    assert [note.pitch for note in played] == [60, 55, 52]


def test_strums_that_are_written_keep_their_order_and_their_accent() -> None:
    written = [Note(8.0 + 0.02 * voice, 2.0, pitch, 80) for voice, pitch in enumerate((52, 55, 60))]
    played = _perform("organ", "chords", written)
    assert np.diff([note.start for note in played]) == pytest.approx([0.02, 0.02], abs=1e-3)


def test_the_first_beat_is_the_firmest_and_a_chorus_is_approached_louder() -> None:
    velocity = np.zeros((BARS, 8))
    for seed in range(20):
        velocity += np.array([n.velocity for n in _perform("violin", "melody", _eighths(), seed=seed)]).reshape(BARS, 8)
    velocity /= 20
    bar = velocity.mean(axis=0)
    assert bar.argmax() == 0
    assert bar[::2].mean() > bar[1::2].mean() + 2
    # The bar before the chorus against the bar before the outro, which is quieter than its verse.
    assert velocity[3, 4:].mean() > velocity[11, 4:].mean() + 4
    assert velocity.min() >= 20
    assert velocity.max() <= 124


def test_sung_lines_are_mostly_bound_and_marches_often_detached() -> None:
    def lengths(name: str, genre: str) -> np.ndarray:
        written = _eighths()[:8]
        return np.array(
            [np.median([n.duration for n in _perform(name, "melody", written, genre, seed)]) for seed in range(100)]
        )

    assert np.mean(lengths("violin", "classical") > 0.48) > 0.5
    assert np.mean(lengths("trumpet", "march") < 0.3) > 0.2 > np.mean(lengths("violin", "classical") < 0.3)


def test_nothing_outlives_the_piece_and_the_same_seed_plays_the_same() -> None:
    written = [*_eighths(), Note(63.5, 8.0, 62, 90)]
    played = _perform("violin", "melody", written)
    assert max(note.start + note.duration for note in played) <= 64.0 + 1e-4
    assert played == _perform("violin", "melody", written)
    assert played != _perform("violin", "melody", written, seed=1)
    assert _perform("violin", "melody", []) == ()
