"""Plans through the whole pipeline: what wins over what, what is drawn, and that takes, streams and company agree."""

import numpy as np
import pytest

from cadenza.audio import Audio
from cadenza.conditioning.plan import Plan, PlanConditioner
from cadenza.errors import UserError
from cadenza.pipelines.hearing import Heard
from cadenza.pipelines.musicgen import MusicGen
from cadenza.pipelines.planning import Planner
from cadenza.pipelines.prompts import Section
from cadenza.testing import tiny_musicgen, tone


@pytest.fixture(scope="module")
def music() -> MusicGen:
    model = tiny_musicgen(melody=True, plan=True, max_duration_seconds=1.0)
    model.pack()
    return model


def planned(take: Audio, music: MusicGen) -> list[Plan]:
    """What the record of a take says it was planned to be."""
    from cadenza.pipelines.take import Take

    conditioner = music.conditioning.conditioner("plan")
    assert isinstance(conditioner, PlanConditioner)
    return [conditioner.unpack(row) for row in Take.from_metadata(take.metadata).conditions["plan"].unpack()]


def test_figures_in_the_text_are_kept_and_the_rest_is_drawn_by_the_seed(music: MusicGen) -> None:
    first, again, other = (music.generate("a tune at 92 bpm", duration=0.1, seed=seed) for seed in (1, 1, 2))
    (plan,), (same,), (different,) = (planned(take, music) for take in (first, again, other))
    assert plan.tempo_bpm == different.tempo_bpm == 92
    assert plan == same
    assert plan.key is not None
    assert plan.meter is not None
    assert (plan.key, plan.meter) != (different.key, different.meter)


def test_what_is_asked_for_wins_over_the_text(music: MusicGen) -> None:
    take = music.generate("92 bpm in A minor", duration=0.1, seed=1, plan=Plan(tempo_bpm=120, instruments=("flute",)))
    (plan,) = planned(take, music)
    assert (plan.tempo_bpm, plan.key, plan.instruments) == (120, "A minor", ("flute",))


def test_the_plan_is_heard(music: MusicGen) -> None:
    slow, fast = (music.generate("", duration=0.8, seed=1, greedy=True, plan=Plan(bpm)) for bpm in (60, 150))
    assert not np.array_equal(slow.samples, fast.samples)


def test_streams_schedulers_and_company_give_the_same(music: MusicGen) -> None:
    plan = Plan(100, "D minor", "3/4")
    alone = music.generate("x", duration=1.4, seed=1, plan=plan)
    pieces = list(music.stream("x", duration=1.4, seed=1, plan=plan))
    assert np.array_equal(np.concatenate([piece.samples for piece in pieces], axis=1), alone.samples)
    both = music.generate(["x", "y"], duration=1.4, seed=[1, 2], plan=[plan, None])
    assert np.array_equal(both[0].samples, alone.samples)
    assert np.array_equal(both[1].samples, music.generate("y", duration=1.4, seed=2).samples)
    with music.scheduler(max_requests=1) as scheduler:
        assert np.array_equal(scheduler.submit("x", duration=1.4, seed=1, plan=plan).result().samples, alone.samples)


def test_a_take_keeps_its_plan(music: MusicGen) -> None:
    take = music.generate([(0, "slow, 60 bpm"), (0.6, "fast, 150 bpm")], duration=1.4, seed=3)
    assert [plan.tempo_bpm for plan in planned(take, music)] == [60, 150]
    assert take.metadata["plan"] == [plan.words for plan in planned(take, music)]
    assert take.metadata["plan"][1].startswith("150 bpm, ")
    assert np.array_equal(music.regenerate(take).samples, take.samples)


def test_a_later_section_keeps_time_and_key_and_a_new_tempo_begins_with_a_bar(music: MusicGen) -> None:
    planner = music.desk.planner
    piece = (Section(0.0, "90 bpm, F major"), Section(3.0, "now softer"), Section(7.0, "120 bpm"))
    first, second, third = planner.sections(piece, Plan(), 0, is_open=True)
    assert (second.tempo_bpm, second.key, second.phase_seconds) == (90, "F major", 0.0)
    assert first.meter == second.meter
    assert (third.tempo_bpm, third.key, third.phase_seconds) == (120, "F major", -7.0)


def test_where_a_recording_leads_nothing_is_drawn(music: MusicGen) -> None:
    hummed = music.generate("x", duration=0.1, seed=1, melody=tone())
    continued = music.generate("x", duration=0.3, seed=1, prompt=tone(duration_seconds=0.2))
    stated = music.generate("80 bpm", duration=0.3, seed=1, prompt=tone(duration_seconds=0.2))
    for take in (hummed, continued):
        (plan,) = planned(take, music)
        assert plan.tempo_bpm is None
        assert plan.key is None
    assert planned(stated, music)[0].tempo_bpm == 80


def test_a_model_without_plans_says_so() -> None:
    with pytest.raises(UserError, match="tiny is told no plan"):
        tiny_musicgen().generate("x", duration=0.1, plan=Plan(90))


def test_a_plan_that_is_none_is_refused(music: MusicGen) -> None:
    with pytest.raises(UserError, match="is no plan"):
        music.desk.planner.plans([(Section(0.0, "x"),)], Heard(plan="90 bpm"), [1], [False], [{}])
    with pytest.raises(UserError, match="2 plans for 1 prompts"):
        music.generate("x", duration=0.1, plan=[Plan(90), Plan(80)])


def test_features_stand_in_for_a_plan(music: MusicGen) -> None:
    conditioner = music.conditioning.conditioner("plan")
    features = conditioner.prepare([Plan(100, "D minor", "3/4")])[0]
    given = music.generate("x", duration=0.4, seed=1, conditions={"plan": features})
    assert planned(given, music) == [Plan(100, "D minor", "3/4")]


def test_a_model_directory_keeps_its_reader(music: MusicGen, tmp_path) -> None:
    music.save_pretrained(tmp_path / "model")
    again = MusicGen.from_pretrained(tmp_path / "model", "cpu")
    assert isinstance(again.desk.planner, Planner)
    assert again.conditioning.reader is not None
    text = "a waltz in E flat, 88 bpm"
    before, after = (one.conditioning.reader.read([text])[0] for one in (music, again))  # type: ignore[union-attr]
    assert after.stated == before.stated
    # Weights that lie elsewhere in memory are summed in another order.
    np.testing.assert_allclose(after.tempo, before.tempo, atol=1e-6)
