"""What a piece is planned to be: its words, read, and what was said besides them -> a plan for every section.

In: sections of text, and a `Plan` from whoever asks. Out: the plan condition's features, a row per section. What is
said in so many words wins over what the text says, that over what it suggests; what is left open is drawn by the seed.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import NamedTuple

import torch

from cadenza.conditioning.base import Features
from cadenza.conditioning.plan import Plan, PlanConditioner
from cadenza.conditioning.provider import ConditionProvider
from cadenza.errors import UserError
from cadenza.pipelines.hearing import Heard
from cadenza.pipelines.prompts import Piece
from cadenza.pipelines.requests import spread


class Planner(NamedTuple):
    """The part of a model that plans."""

    name: str
    conditioning: ConditionProvider
    plan: str | None
    """The condition that is told plans."""
    melody: str | None

    def plans(
        self,
        pieces: Sequence[Piece],
        heard: Heard,
        seeds: Sequence[int],
        has_prompt: Sequence[bool],
        others: Sequence[Mapping[str, object]],
    ) -> list[dict[str, Features]]:
        """The plan of every item by condition. Raises UserError where a model that is told none is given one."""
        given = spread(heard.plan, len(pieces), "plans")
        for one in given:
            if one is not None and not isinstance(one, Plan):
                raise UserError(f"{one!r:.60} is no plan: give cadenza.Plan(tempo_bpm=92, key='D minor')")
        if self.plan is None:
            if any(one is not None for one in given):
                raise UserError(f"{self.name} is told no plan: say tempo, key and the rest in the text")
            return [{} for _ in pieces]
        name, conditioner = self.plan, self.conditioning.conditioner(self.plan)
        assert isinstance(conditioner, PlanConditioner)
        made: list[dict[str, Features]] = []
        for piece, plan, seed, follows, other in zip(pieces, given, seeds, has_prompt, others, strict=True):
            if name in other:  # features computed elsewhere
                made.append({})
                continue
            is_open = not (follows or (self.melody is not None and self.melody in other))
            sections = self.sections(piece, plan or Plan(), seed, is_open)
            made.append({name: torch.stack([conditioner.pack(one) for one in sections])})
        return made

    def words(self, conditions: Mapping[str, Features]) -> tuple[str, ...]:
        """The plan among the features of a request, for people to read."""
        if self.plan is None or self.plan not in conditions:
            return ()
        conditioner = self.conditioning.conditioner(self.plan)
        assert isinstance(conditioner, PlanConditioner)
        return tuple(conditioner.unpack(row).words for row in conditions[self.plan])

    def sections(self, piece: Piece, given: Plan, seed: int, is_open: bool) -> list[Plan]:
        """A plan per section. Where a recording leads (`is_open` False: an audio prompt, a melody) it has a tempo and a
        key of its own, unless they are stated. Later sections keep what theirs does not state."""
        reader = self.conditioning.reader
        plans: list[Plan] = []
        for section in piece:
            plan = given
            if reader is not None and section.text:
                reading = reader.read([section.text])[0]
                is_first = not plans
                plan = given.over(reading.fill(seed) if is_first and is_open else reading.stated)
            if plans:
                before = plans[-1]
                if plan.tempo_bpm is not None and plan.tempo_bpm != before.tempo_bpm:
                    plan = replace(plan, phase_seconds=-section.start_seconds)  # the new time begins with a bar
                # What plays and how it feels changes with the words; time and key go on until they say otherwise.
                kept = Plan(before.tempo_bpm, before.key, before.meter, phase_seconds=before.phase_seconds)
                plan = plan.over(kept if plan.genre or plan.instruments or plan.moods else before)
            plans.append(plan)
        return plans
