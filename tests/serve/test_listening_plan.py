"""Orders: balanced over systems, sides and listeners; the least rated first."""

from collections import Counter
from itertools import pairwise

import pytest

from cadenza.serve.listening_design import Block, Design, Screen, Section
from cadenza.serve.listening_plan import Planned, balanced_square, listeners_needed, plan_session


def design(kind: str = "rating", prompts: int = 6, systems: int = 4, **settings: int) -> Design:
    clips = {"rating": 1, "group": 3, "pair": 2}[kind]

    def screen(prompt: int, system: int) -> Screen:
        return Screen(id=f"{prompt}/{system}", clips=tuple(f"c{prompt}{system}{i}" for i in range(clips)))

    blocks = tuple(
        Block(text="", screens=tuple(screen(prompt, system) for system in range(systems))) for prompt in range(prompts)
    )
    checks = tuple(Screen(id=f"check{i}", clips=("x", "y", "z")[:clips]) for i in range(4))
    section = Section(
        protocol="ovl", kind=kind, title="", question="", low="", high="", shows_text=False, blocks=blocks,
        checks=checks,
    )  # fmt: skip
    numbers = {"ratings_per_item": 5, "screens_per_listener": 12, "training_screens": 2, "checks": 2} | settings
    return Design(
        title="", welcome="", consent="", calibration="", seconds={}, suffix=".flac", least_heard=1.0, seed=3,
        sections=(section,), **numbers,
    )  # fmt: skip


def rated(plan: list[Planned]) -> list[str]:
    return [one.screen for one in plan if one.kind == "rating"]


@pytest.mark.parametrize("size", [1, 2, 3, 4, 5, 8])
def test_the_square_is_balanced(size: int) -> None:
    rows = balanced_square(size)
    assert all(sorted(row) == list(range(size)) for row in rows)
    for place in range(size):
        assert set(Counter(row[place] for row in rows).values()) == {len(rows) // size}
    if size > 1:
        behind = Counter(pair for row in rows for pair in pairwise(row))
        assert len(behind) == size * (size - 1)
        assert len(set(behind.values())) == 1


def test_a_listener_hears_whole_prompts_after_training_with_checks_between() -> None:
    plan = plan_session(design(), {}, {}, 0)
    assert [one.kind for one in plan[:2]] == ["training", "training"]
    assert Counter(one.kind for one in plan) == {"training": 2, "rating": 12, "check": 2}
    assert plan[2].kind == "rating"
    ratings = rated(plan)
    prompts = [screen.split("/")[0] for screen in ratings]
    assert [len(set(prompts[i : i + 4])) for i in (0, 4, 8)] == [1, 1, 1]
    assert len(set(ratings)) == 12
    assert not {one.screen for one in plan[:2]} & set(ratings), "practice is with music that is not judged"
    assert plan == plan_session(design(), {}, {}, 0)
    assert plan != plan_session(design(), {}, {}, 1)


def test_the_least_rated_are_heard_first() -> None:
    counts = {f"{prompt}/{system}": 5 for prompt in (0, 2, 4) for system in range(4)} | {"1/0": 3}
    plan = plan_session(design(), counts, {}, 7)
    assert {screen.split("/")[0] for screen in rated(plan)} == {"1", "3", "5"}


def test_many_listeners_fill_all_items_evenly_at_every_place() -> None:
    test, counts, places = design(), Counter(), Counter()
    for number in range(16):
        plan = rated(plan_session(test, counts, {}, number))
        counts.update(plan)
        places.update((screen.split("/")[1], place % 4) for place, screen in enumerate(plan))
    assert set(counts.values()) == {8}  # 16 listeners, half of the prompts each
    assert len(places) == 16
    assert set(places.values()) == {12}


def test_how_many_listeners_it_takes() -> None:
    assert listeners_needed(design()) == 10  # 6 prompts x 5 ratings, 3 prompts each
    assert listeners_needed(design(screens_per_listener=500)) == 5  # nobody rates a clip twice
    both = design().model_copy(update={"sections": design().sections * 2})
    assert listeners_needed(both) == 30  # 6 screens of each question: one prompt by four systems


def test_both_sides_of_a_pair_are_offered_alike() -> None:
    test, turned, sides = design("pair", prompts=3, systems=1, screens_per_listener=3), Counter(), Counter()
    for number in range(20):
        for one in plan_session(test, {}, turned, number):
            if one.kind == "rating":
                forward = one.clips == tuple(sorted(one.clips))
                turned[one.screen] += 1 if forward else -1
                sides[one.screen, forward] += 1
    assert set(sides.values()) == {10}


def test_a_session_has_one_block_at_least() -> None:
    assert len(rated(plan_session(design(systems=9, screens_per_listener=2), {}, {}, 0))) == 9
    assert len(rated(plan_session(design(screens_per_listener=500), {}, {}, 0))) == 24
