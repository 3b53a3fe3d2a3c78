"""Plans: one spelling of keys, packing, the clock, and the opening's time where the opening is in view."""

import math

import pytest
import torch

from cadenza.conditioning.base import Opening
from cadenza.conditioning.plan import KEYS, Plan, PlanConditioner, PlanConfig, spell_key
from cadenza.errors import UserError

CONFIG = PlanConfig(genres=("jazz", "rock"), instruments=("piano", "drums", "flute"), moods=("sad",), length=600)
WHOLE = Plan(92.0, "C# major", "3/4", "rock", ("piano", "drums"), ("sad",), 1.5)


@pytest.fixture
def conditioner() -> PlanConditioner:
    torch.manual_seed(0)
    return PlanConditioner(CONFIG, 8)


@pytest.mark.parametrize(
    ("text", "key"),
    [
        ("A minor", "A minor"), ("am", "A minor"), ("Am", "A minor"), ("Db", "C# major"), ("F sharp minor", "F# minor"),
        ("a♭ maj", "Ab major"), ("G#m", "Ab minor"), ("Cb major", "B major"), ("B#", "C major"), (" Minor ", "minor"),
    ],
)  # fmt: skip
def test_a_key_has_one_spelling(text: str, key: str) -> None:
    assert spell_key(text) == key
    assert key in KEYS


@pytest.mark.parametrize("text", ["H minor", "", "blue", "A mixolydian", "AA"])
def test_what_is_no_key_is_refused(text: str) -> None:
    with pytest.raises(UserError, match="is no key"):
        Plan(key=text)


def test_impossible_plans_are_refused() -> None:
    with pytest.raises(UserError, match="5 bpm cannot be kept"):
        Plan(tempo_bpm=5)
    with pytest.raises(UserError, match="'7/8' is not known"):
        Plan(meter="7/8")


@pytest.mark.parametrize("plan", [WHOLE, Plan(), Plan(key="minor"), Plan(60.0), Plan(instruments=("flute",))])
def test_a_packed_plan_unpacks_to_itself(conditioner: PlanConditioner, plan: Plan) -> None:
    features = conditioner.prepare([plan, None])
    assert features[1] is None
    assert features[0] is not None
    assert conditioner.unpack(features[0][0]) == plan


def test_names_that_a_model_does_not_know_are_left_out(conditioner: PlanConditioner) -> None:
    row = conditioner.pack(Plan(genre="polka", instruments=("kazoo", "flute")))
    assert conditioner.unpack(row) == Plan(instruments=("flute",))


def test_what_is_said_wins_over_the_other_plan() -> None:
    both = Plan(tempo_bpm=100, moods=("sad",)).over(WHOLE)
    assert both == Plan(100, "C# major", "3/4", "rock", ("piano", "drums"), ("sad",), 0.0)
    assert Plan(key="D minor").over(WHOLE).phase_seconds == 1.5, "who takes the tempo takes its place in the bar"


def test_the_clock_turns_once_a_beat_and_once_a_bar(conditioner: PlanConditioner) -> None:
    plan = Plan(tempo_bpm=60, meter="3/4")  # a beat is 50 steps, a bar 150
    seen = conditioner.window(conditioner.pack(plan)[None], 0.0)
    assert seen is not None
    assert seen.shape == (600, conditioner.feature_dim)
    beat, bar = seen[:, 2:10], seen[:, 10:16]
    torch.testing.assert_close(beat[50:], beat[:-50], atol=1e-5, rtol=0)
    torch.testing.assert_close(bar[150:], bar[:-150], atol=1e-5, rtol=0)
    assert (bar[50:] - bar[:-50]).abs().max() > 1, "bars are longer than beats"
    assert beat[0].tolist() == [1.0] * 4 + [0.0] * 4
    assert seen[0, 1] == pytest.approx(math.log2(0.6), abs=1e-6)


def test_a_window_further_on_has_the_clock_of_its_place(conditioner: PlanConditioner) -> None:
    packed = conditioner.pack(WHOLE)[None]
    start, later = conditioner.window(packed, 0.0), conditioner.window(packed, 3.0)
    shifted = conditioner.window(conditioner.pack(Plan(**{**WHOLE.__dict__, "phase_seconds": 4.5}))[None], 0.0)
    assert start is not None
    assert later is not None
    assert shifted is not None
    torch.testing.assert_close(later[:-150], start[150:], atol=1e-5, rtol=0)
    torch.testing.assert_close(later, shifted, atol=1e-5, rtol=0)


def test_the_opening_in_view_keeps_its_own_time(conditioner: PlanConditioner) -> None:
    packed = conditioner.pack(WHOLE)[None]
    seen = conditioner.window(packed, 7.3, Opening(0.0, 4.0))
    opening, later = conditioner.window(packed, 0.0), conditioner.window(packed, 7.3)
    assert seen is not None
    assert opening is not None
    assert later is not None
    assert torch.equal(seen[:200], opening[:200])
    assert torch.equal(seen[200:], later[200:])


def test_without_a_tempo_there_is_no_clock_and_without_a_meter_no_bars(conditioner: PlanConditioner) -> None:
    silent = conditioner.window(conditioner.pack(Plan(key="A minor"))[None], 2.0)
    beats = conditioner.window(conditioner.pack(Plan(tempo_bpm=100))[None], 2.0)
    assert silent is not None
    assert beats is not None
    assert not silent[:, :16].any()
    assert beats[:, 2:10].any()
    assert not beats[:, 10:16].any()


def test_a_mode_alone_is_what_all_its_keys_share(conditioner: PlanConditioner) -> None:
    def held(key: str) -> torch.Tensor:
        seen = conditioner.window(conditioner.pack(Plan(key=key))[None], 0.0)
        assert seen is not None
        return seen[0]

    alone, whole = held("minor"), held("D minor")
    assert ((alone > 0) & ~(whole > 0)).sum() == 0
    assert (whole > 0).sum() == (alone > 0).sum() + 1


def test_sections_beyond_the_last_keep_its_plan(conditioner: PlanConditioner) -> None:
    features = torch.stack([conditioner.pack(Plan(tempo_bpm=tempo)) for tempo in (60, 90)])
    assert [float(conditioner.section(features, number)[0, 0]) for number in (0, 1, 5)] == [60, 90, 90]


def test_a_dropped_plan_is_zero_behind_the_projection(conditioner: PlanConditioner) -> None:
    seen = conditioner.window(conditioner.pack(WHOLE)[None], 0.0)
    condition = conditioner([seen, None])
    assert condition.embedding[0].abs().sum() > 0
    assert not condition.embedding[1].any()
