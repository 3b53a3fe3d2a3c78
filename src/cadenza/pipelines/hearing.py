"""What a request listens to besides its words: melodies, styles, anything by name -> values per item, checked.

In: arguments of `generate`, for one item or for all, or a list with one each. Out: for every item, values by condition,
as the model's conditioners take them.
"""

import logging
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from cadenza.audio import Audio
from cadenza.conditioning.chroma import Melody
from cadenza.conditioning.provider import ConditionProvider
from cadenza.conditioning.style import Style
from cadenza.errors import UserError
from cadenza.pipelines.requests import spread

log = logging.getLogger("cadenza")


class Heard(NamedTuple):
    """What `generate` was asked to listen to: each one for all items, or a list."""

    melody: object = None
    style: object = None
    conditions: Mapping[str, object] = {}
    plan: object = None


class Ears(NamedTuple):
    """What a model can listen to."""

    name: str
    conditioning: ConditionProvider
    melody: str | None
    """The condition that hears melodies."""
    style: str | None

    def listen(self, heard: Heard, seeds: Sequence[int], duration: float) -> list[dict[str, object]]:
        """The conditions of every item. Raises UserError for those that the model lacks, and for wrong counts."""
        count = len(seeds)
        given = {name: spread(value, count, f"values of {name!r}") for name, value in heard.conditions.items()}
        for name in given:
            self.conditioning.conditioner(name)
        for word, condition, value, several in (
            ("melody", self.melody, heard.melody, "melodies"),
            ("style", self.style, heard.style, "styles"),
        ):
            if value is None:
                continue
            if condition is None:
                verb = {"melody": "follow a melody", "style": "take on a style"}[word]
                raise UserError(
                    f"{self.name} cannot {verb}, it listens to {self.conditioning.accepts}: "
                    f"use a model such as facebook/musicgen-{word}"
                )
            if condition in given:
                raise UserError(f"{word} and conditions[{condition!r}] are the same: give one of them")
            given[condition] = spread(value, count, several)
        return [
            {
                name: self._of_item(name, values[i], seed, duration)
                for name, values in given.items()
                if values[i] is not None
            }
            for i, seed in enumerate(seeds)
        ]

    def _of_item(self, name: str, value: object, seed: int, duration: float) -> object:
        if name == self.style and isinstance(value, Audio):
            return Style(value, seed)  # the item's seed draws the excerpt
        sound = value.audio if isinstance(value, Melody) else value
        if name == self.melody and isinstance(sound, Audio) and sound.duration_seconds > duration:
            seconds = sound.duration_seconds
            log.info("the melody lasts %.1f s, the piece %g s: its beginning is followed", seconds, duration)
        return value
