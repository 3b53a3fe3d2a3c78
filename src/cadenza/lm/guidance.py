"""Which predictions guidance needs, as lanes of the engine.

In: conditions with and without what is to be strengthened. Out: the rows of one item: conditional, partial, null, each
only where its weight makes it count. The formulas are in `nn.guidance`.
"""

from typing import Literal, NamedTuple

from cadenza.conditioning.fuser import FusedConditions, concatenate
from cadenza.engine.slots import Lane

GuidanceDomain = Literal["logits", "probabilities"]


class GuidedConditions(NamedTuple):
    """What one window of generation listens to. Null conditions may be shorter than the others."""

    conditional: FusedConditions | None
    null: FusedConditions | None = None
    """All conditions dropped; None: there is nothing to drop, and no guidance."""
    partial: FusedConditions | None = None
    """Double guidance: the text alone dropped."""

    def rows(self, start: int, end: int) -> "GuidedConditions":
        """Items `start` to `end`; conditions of one item serve all."""
        return GuidedConditions(*(None if one is None else _rows(one, start, end) for one in self))


def _rows(conditions: FusedConditions, start: int, end: int) -> FusedConditions:
    shared = not conditions.has_parts or conditions.batch == 1
    return conditions if shared else conditions.rows(start, end)


class Predictions(NamedTuple):
    """The lanes of one item, and which predictions their rows are beside the conditional one."""

    lanes: list[Lane]
    has_partial: bool
    has_null: bool


def predictions(
    conditions: GuidedConditions, scale: float, beta: float | None = None, two_step: bool = False
) -> Predictions:
    """The predictions of one item that change the result, and no more.

    In one lane, shorter conditions are padded with zeros. Two-step: a lane each, every prediction with conditions of
    its own length (what training saw, for models whose padding is attended to). A scale of 1 needs no null prediction,
    a beta of 1 (or None) no partial one: they are left out.
    """
    has_null = conditions.null is not None and scale != 1
    has_partial = conditions.partial is not None and (1.0 if beta is None else beta) != 1
    passes = [conditions.conditional]
    if has_partial:
        passes.append(conditions.partial)
    if has_null:
        passes.append(conditions.null)
    present = [one for one in passes if one is not None]
    assert len(present) in (0, len(passes)), "guidance needs the conditions of every pass"
    if two_step:
        lanes = [Lane(one, 1, 0 if one is None else one.prefix_length) for one in passes]
    else:
        joined = concatenate(present) if present else None
        lanes = [Lane(joined, len(passes), 0 if joined is None else joined.prefix_length)]
    return Predictions(lanes, has_partial, has_null)
