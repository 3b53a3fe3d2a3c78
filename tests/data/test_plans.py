"""Plans from manifest entries: what is known, what cannot be read, and windows that begin later."""

import pytest

from cadenza.conditioning.plan import Plan
from cadenza.data.plans import plan_of

ROW = {
    "tempo_bpm": 79.0, "key": "C minor", "meter": "6/8", "genre": "orchestral", "instruments": ["choir", "cello"],
    "moods": ["pensive"], "start_seconds": 11.5,
}  # fmt: skip


def test_an_entry_of_a_composed_corpus_is_a_whole_plan() -> None:
    assert plan_of(ROW) == Plan(79.0, "C minor", "6/8", "orchestral", ("choir", "cello"), ("pensive",), 11.5)


def test_a_tempo_without_the_place_of_its_beats_is_no_clock() -> None:
    plan = plan_of({name: value for name, value in ROW.items() if name != "start_seconds"})
    assert plan is not None
    assert plan.tempo_bpm is None
    assert plan.key == "C minor"


@pytest.mark.parametrize(
    "fields",
    [{}, {"key": "H", "tempo_bpm": "fast", "meter": "7/8", "genre": None}, {"tempo_bpm": 900, "start_seconds": 0}],
)
def test_what_cannot_be_read_is_no_plan(fields: dict[str, object]) -> None:
    assert plan_of(fields) is None
