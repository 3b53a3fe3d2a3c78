"""Second voices keep the rules of two-part writing."""

from itertools import pairwise

import numpy as np
import pytest

from cadenza.corpus.counterpoint import fill_gaps, imitate, second_voice, sounding_at
from cadenza.corpus.genre import FOUR
from cadenza.corpus.melody import ChordSpan, Ladder, sing
from cadenza.corpus.motif import draw_motif, draw_theme
from cadenza.corpus.score import Note
from cadenza.corpus.theory import Key, chord_from_numeral

_KEY = Key(0, "major")
_SPANS = [
    ChordSpan(4.0 * i, 4.0, chord_from_numeral(n, _KEY))
    for i, n in enumerate(["I", "vi", "ii", "V", "I", "IV", "V7", "I"])
]
_BELOW = Ladder(_KEY, "major", 55, 74)


def _leader(seed: int) -> list[Note]:
    rng = np.random.default_rng(seed)
    theme = draw_theme(rng, FOUR, draw_motif(rng, FOUR, 0.6), 0.6)
    ladder = Ladder(_KEY, "major", 67, 88)
    return sing(theme, tuple(range(8)), "full", _SPANS, ladder, FOUR, 0, 72)


def _parallels(leader: list[Note], follower: list[Note]) -> int:
    """Perfect fifths and octaves from one half bar to the next, where both voices move."""
    sounding = [(sounding_at(leader, 2.0 * i), sounding_at(follower, 2.0 * i)) for i in range(16)]
    found = 0
    for (lead, pitch), (next_lead, next_pitch) in pairwise(sounding):
        if None in (lead, pitch, next_lead, next_pitch) or lead == next_lead or pitch == next_pitch:
            continue
        assert lead and pitch and next_lead and next_pitch
        interval = abs(lead - pitch) % 12
        found += interval in (0, 7) and abs(next_lead - next_pitch) % 12 == interval
    return found


@pytest.mark.parametrize("seed", range(10))
def test_a_second_voice_is_consonant_and_independent(seed: int) -> None:
    leader = _leader(seed)
    voice = second_voice(leader, _SPANS, _BELOW, FOUR, 80)
    assert voice[0].start == 0.0
    assert voice[-1].start + voice[-1].duration == 32.0
    assert all(55 <= n.pitch <= 74 for n in voice)
    struck = [n for n in voice if n.start % 2 == 0 and n.duration > 0.5]
    meeting = [(sounding_at(leader, n.start), n.pitch) for n in struck]
    clashes = sum(lead is not None and abs(lead - pitch) % 12 in (1, 2, 6, 10, 11) for lead, pitch in meeting)
    assert clashes <= 1
    assert _parallels(leader, voice) == 0


def test_imitation_follows_a_bar_later() -> None:
    for seed in range(10):
        leader = _leader(seed)
        follower = imitate(leader, _SPANS, _BELOW, FOUR, 0, 80)
        assert [n.start - 4.0 for n in follower] == [n.start for n in leader if n.start < 28.0]
        ups = [
            (b.pitch - a.pitch) * (d.pitch - c.pitch) >= 0
            for a, b, c, d in zip(leader, leader[1:], follower, follower[1:], strict=False)
        ]
        assert sum(ups) > 0.6 * len(ups)


def test_answers_come_where_the_leader_waits() -> None:
    leader = [Note(4.0 * bar, 3.8, 72, 80) for bar in range(8)]
    answers = fill_gaps(leader, _SPANS, _BELOW, FOUR, (0.5, 0.5, 1.0), 80)
    assert len(answers) == 24
    assert all(note.start % 4 >= 2 for note in answers)
    busy = [Note(0.5 * i, 0.5, 72, 80) for i in range(64)]
    assert fill_gaps(busy, _SPANS, _BELOW, FOUR, (0.5, 0.5, 1.0), 80) == []
