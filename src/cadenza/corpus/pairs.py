"""Captions without music: a seed to endless pairs of a caption and its facts, for training a reader of prompts.

The facts are drawn as the composer draws a piece (`plan.draw_plan`), but no note is written, so that a minute gives
a hundred thousand pairs and more. Styles of `HELD_OUT_STYLES` never occur.
"""

from collections.abc import Iterator
from dataclasses import replace
from typing import NamedTuple

import numpy as np

from cadenza.corpus.captions import STYLES, Facts, Said, caption_said
from cadenza.corpus.clips import has_key
from cadenza.corpus.plan import Plan, draw_plan
from cadenza.corpus.vocabulary import COLOURS, PLACES

_CAPTIONS_EACH = 4
_RESTS = 0.12
_SEEN = (0.15, 0.3, 0.2)
_COLOURS, _PLACES = tuple(COLOURS), tuple(PLACES)
_FOUR_ON_THE_FLOOR = ("house", "techno", "trance", "disco")


class Pair(NamedTuple):
    """A caption, all that is true of its clip, and what of it the caption says."""

    caption: str
    facts: Facts
    said: Said


def facts_of_plan(plan: Plan, resting: frozenset[str] = frozenset()) -> Facts:
    """What a plan says of its piece; players in `resting` are not heard."""
    lineup = [line for line in plan.lineup if line.instruments[0] not in resting] or list(plan.lineup[:1])
    roles = {line.role: line.instruments[0] for line in reversed(lineup)}
    traits = []
    if any(line.role == "bass" and line.patterns[:1] == ("walking",) for line in lineup):
        traits.append("walking bass")
    if any(line.role == "drums" and line.patterns[:1] and line.patterns[0] in _FOUR_ON_THE_FLOOR for line in lineup):
        traits.append("four-on-the-floor")
    return Facts(
        plan.genre,
        tuple(dict.fromkeys(line.instruments[0] for line in lineup)),
        plan.moods,
        plan.tempo_bpm,
        plan.key.name if has_key([line.instruments[0] for line in lineup]) else "",
        plan.meter.name,
        roles=tuple(roles.items()),
        traits=tuple(traits),
    )


def random_facts(rng: np.random.Generator) -> Facts:
    """The facts of a clip that might have been composed: now and then a player rests, or enters late."""
    plan = draw_plan(rng)
    players = dict.fromkeys(line.instruments[0] for line in plan.lineup)
    facts = facts_of_plan(plan, frozenset(player for player in players if rng.random() < _RESTS))
    late, coloured, placed = rng.random(3) < _SEEN
    return replace(
        facts,
        entering=facts.instruments[-1:] if late and len(facts.instruments) > 1 else (),
        colours=(_COLOURS[int(rng.integers(len(_COLOURS)))],) if coloured else (),
        place=_PLACES[int(rng.integers(len(_PLACES)))] if placed else "",
    )


def pairs(seed: int) -> Iterator[Pair]:
    """Endless pairs; every clip is spoken of four times, in four styles. The same seed gives the same pairs."""
    rng = np.random.default_rng(np.random.SeedSequence([0x9A15, seed]))
    while True:
        facts = random_facts(rng)
        for index in rng.permutation(len(STYLES))[:_CAPTIONS_EACH]:
            text, said = caption_said(facts, rng, STYLES[index])
            yield Pair(text, facts, said)
