"""What `generate`, `stream` and `submit` are given -> requests, each checked and decided, before any work.

In: arguments as people write them. Out: `Request`s and the settings that hold for all of them. Whatever needs an
encoder (audio prompts, melodies, styles) is heard here, in the thread that asks: others need not wait, and what cannot
be is refused at once.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

from cadenza.audio import Audio
from cadenza.conditioning.clap import ClapConditioner
from cadenza.conditioning.text import TextConditioner
from cadenza.errors import UserError
from cadenza.lm.generate import GenerationConfig
from cadenza.pipelines.adapters import Wardrobe
from cadenza.pipelines.hearing import Ears, Heard
from cadenza.pipelines.planning import Planner
from cadenza.pipelines.prompts import Text, fit, parse_text
from cadenza.pipelines.render import Renderer
from cadenza.pipelines.requests import Request, choose_seeds, combine_settings, spread_audio


class Asked(NamedTuple):
    """The arguments of one call."""

    text: Text
    seed: int | Sequence[int] | None
    prompt: Audio | Sequence[Audio] | None
    heard: Heard
    adapters: object
    config: GenerationConfig | None
    given: dict[str, Any]
    """Settings by name; None: not given."""


class Desk(NamedTuple):
    """What it takes to understand a call: the parts of one model."""

    renderer: Renderer
    ears: Ears
    planner: Planner
    wardrobe: Wardrobe
    defaults: GenerationConfig

    def requests(self, asked: Asked) -> tuple[list[Request], GenerationConfig, bool]:
        """What is to be made, with which settings, and whether it was asked for as a batch."""
        settings = combine_settings(
            asked.config or self.defaults, asked.given, asked.prompt, has_config=asked.config is not None
        )
        pieces, is_batch = parse_text(asked.text)
        text_condition = self.renderer.text_condition
        conditioner = self.renderer.conditioning.conditioner(text_condition)
        for i, piece in enumerate(pieces):
            last, end = piece[-1].start_seconds, settings.duration
            if last >= end:
                raise UserError(
                    f"the timeline has a part at {last:g} s, but the piece ends at {end:g} s: make it longer"
                )
            is_read = text_condition not in asked.heard.conditions
            if is_read and isinstance(conditioner, TextConditioner | ClapConditioner):
                pieces[i] = tuple(fit(section, conditioner) for section in piece)
        count = len(pieces)
        prompts = spread_audio(asked.prompt, count, "audio prompts")
        seeds = choose_seeds(asked.seed, count)
        heard = self.ears.listen(asked.heard, seeds, settings.duration)
        plans = self.planner.plans(pieces, asked.heard, seeds, [part is not None for part in prompts], heard)
        worn = self.wardrobe.choose(asked.adapters, count)
        conditions = [self.renderer.features(row | plan) for row, plan in zip(heard, plans, strict=True)]
        codes = [None if part is None else self.renderer.encode(part) for part in prompts]
        rows = zip(pieces, seeds, codes, conditions, worn, strict=True)
        return [Request(*row, self.renderer.diffusion) for row in rows], settings, is_batch

    def one_request(self, asked: Asked) -> tuple[Request, GenerationConfig]:
        """The same where it must be a single piece."""
        requests, settings, is_batch = self.requests(asked)
        if is_batch:
            raise UserError("a stream is one piece of music: give one sentence or one timeline")
        return requests[0], settings
