"""Who hears what, and in which order.

In: a test, and how often each of its screens was rated. Out: the screens of the next listener: the least rated blocks
first; within a block all systems, in the order of a balanced Latin square (Williams, 1949: each system as often at each
place, and as often behind each other one); the two sides of a pair as evenly as can be; attention checks in between.
"""

import math
from collections.abc import Mapping
from typing import Literal, NamedTuple

import numpy as np

from cadenza.serve.listening_design import Design, Screen, Section

Kind = Literal["training", "rating", "check"]


class Planned(NamedTuple):
    """One screen of a session, its clips in the order in which they are offered."""

    kind: Kind
    screen: str
    clips: tuple[str, ...]


def plan_session(design: Design, counts: Mapping[str, int], turned: Mapping[str, int], number: int) -> list[Planned]:
    """The session of listener `number` (0, 1, ...).

    Args:
        counts: Ratings by screen, those that others are about to give included.
        turned: By screen of a pair, how much more often its clips were offered in the order of their names than turned
            round.
    """
    random = np.random.default_rng([design.seed, number])
    sections = len(design.sections)
    plan: list[Planned] = []
    for place, section in enumerate(design.sections):
        blocks = _blocks_each(design, section)
        checks = design.checks // sections + (place < design.checks % sections)
        plan += _section(section, blocks, checks, design.training_screens, counts, turned, number, random)
    return plan


def listeners_needed(design: Design) -> int:
    """How many whole sessions give every screen its ratings."""
    wanted = design.ratings_per_item
    return max(math.ceil(len(s.blocks) * wanted / _blocks_each(design, s)) for s in design.sections)


def _blocks_each(design: Design, section: Section) -> int:
    """How much of a question one listener hears: questions share a session evenly."""
    share = design.screens_per_listener // len(design.sections)
    return min(len(section.blocks), max(1, share // section.screens_per_block))


def _section(
    section: Section,
    num_blocks: int,
    num_checks: int,
    num_training: int,
    counts: Mapping[str, int],
    turned: Mapping[str, int],
    number: int,
    random: np.random.Generator,
) -> list[Planned]:
    rated = np.array([min(counts.get(screen.id, 0) for screen in block.screens) for block in section.blocks])
    by_need = np.lexsort((random.random(len(rated)), rated))  # equals in any order
    chosen = random.permutation(by_need[:num_blocks])
    square = balanced_square(section.screens_per_block)
    plan = []
    for place, block in enumerate(chosen):
        screens = section.blocks[block].screens
        row = square[(number * num_blocks + place) % len(square)]
        plan += [_offered("rating", screens[column], section, turned, random) for column in row]
    checks = random.permutation(len(section.checks))[:num_checks]
    for check in checks:
        at = int(random.integers(1, len(plan) + 1))
        plan.insert(at, _offered("check", section.checks[check], section, {}, random))
    others = [*by_need[num_blocks:], *chosen][: max(num_training, 1)]  # what will not be judged, if there is any
    practice = [
        section.blocks[others[i % len(others)]].screens[int(random.integers(section.screens_per_block))]
        for i in range(num_training)
    ]
    return [_offered("training", screen, section, {}, random) for screen in practice] + plan


def _offered(
    kind: Kind, screen: Screen, section: Section, turned: Mapping[str, int], random: np.random.Generator
) -> Planned:
    clips = screen.clips
    if section.kind == "pair":
        lead = turned.get(screen.id, 0)
        backwards = lead > 0 or (lead == 0 and random.random() < 0.5)
        clips = tuple(sorted(clips, reverse=backwards))
    elif section.kind == "group":
        clips = tuple(clips[i] for i in random.permutation(len(clips)))
    return Planned(kind, screen.id, clips)


def balanced_square(size: int) -> list[list[int]]:
    """Orders of `size` things: each as often at each place, and as often right behind each other one.

    `size` rows for an even number; twice as many for an odd one, where half of them run backwards.
    """
    zigzag = [(size - place // 2 if place % 2 == 0 else place // 2 + 1) % size for place in range(size)]
    rows = [[(start + step) % size for step in zigzag] for start in range(size)]
    return rows if size % 2 == 0 or size == 1 else rows + [row[::-1] for row in rows]
