"""The models that a studio offers: its own, the embedded one and the published ones.

In: a name that a client says. Out: what is known of that model, or the model. A name is looked up in this list and
nowhere else, so that no client can make the studio open a path or fetch from a place of its choice.
"""

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from cadenza.checkpoint import CONFIG_FILE, read_config, read_json
from cadenza.conditioning.plan import KEYS, METERS
from cadenza.convert.official import MODELS
from cadenza.errors import CheckpointError, UserError
from cadenza.lm.generate import GenerationConfig
from cadenza.loading import EMBEDDED, find_model, load_musicgen
from cadenza.pipelines.musicgen import MusicGen, MusicGenConfig
from cadenza.serve.studio.asked import Asked, Vocabulary
from cadenza.serve.studio.library import Missing
from cadenza.serve.studio.settings import StudioSettings

EXAMPLES = (
    "warm lo-fi beat with Rhodes piano, 82 bpm",
    "slow waltz for accordion and strings, 3/4, G major",
    "bright synthwave with pulsing bass, 118 bpm",
    "calm piano ballad in A minor",
    "funk groove with slap bass and brass stabs, 104 bpm",
    "ambient pads, slow and spacious",
    "bossa nova with classical guitar, relaxed",
    "driving techno, 130 bpm, dark",
)

Load = Callable[[str | None], MusicGen]


@dataclass(frozen=True)
class Offer:
    """A model that can be asked for. `source` is what `cadenza.load` calls it."""

    name: str
    source: str | None
    licence: str
    conditions: tuple[str, ...] | None
    """None: not known before it is loaded."""
    sample_rate: int | None = None
    directory: Path | None = None
    sampling: GenerationConfig | None = None
    """What it does where a job says nothing; None: not known before it is loaded."""


class Shelf:
    """All offers; the studio's own first. Raises UserError where that one cannot be found."""

    def __init__(self, settings: StudioSettings, load_model: Load | None = None) -> None:
        self._load = load_model or (lambda source: load_musicgen(source, settings.device, settings.precision))
        own = self._own(settings.model)
        offers = [own]
        if settings.model is not None:
            with suppress(CheckpointError):  # an installation without a model inside
                offers.append(self._own(None))
        offers += [_published(name) for name in MODELS]
        self.offers = {offer.name: offer for offer in reversed(offers)}
        self.offers = {name: self.offers[name] for name in dict.fromkeys(offer.name for offer in offers)}
        self.default = own.name

    def _own(self, name: str | None) -> Offer:
        if name in MODELS:
            assert name is not None
            return _published(name)
        directory = find_model(name)
        offer = _described(directory)
        return replace(offer, source=name)

    def find(self, name: str | None) -> Offer:
        """The model of this name; None: the studio's own. Raises Missing."""
        if name is None or name == "":
            return self.offers[self.default]
        embedded = next((offer for offer in self.offers.values() if offer.source is None), None)
        if name == EMBEDDED and embedded is not None:
            return embedded
        if name not in self.offers:
            raise Missing(f"there is no model {name!r:.60}: choose one of {', '.join(self.offers)}")
        return self.offers[name]

    def open(self, name: str) -> MusicGen:
        """Load a model. Raises UserError for one that cannot be found or does not fit."""
        return self._load(self.find(name).source)

    def learn(self, name: str, config: MusicGenConfig, sample_rate: int) -> None:
        """What is known once the model is there."""
        known = _conditions(config)
        self.offers[name] = replace(
            self.offers[name], conditions=known, sample_rate=sample_rate, sampling=config.generation
        )

    def check(self, offer: Offer, asked: Asked) -> None:
        """Raises UserError for what this model does not listen to."""
        if offer.conditions is None:
            return
        for what, given in (("melody", asked.melody), ("plan", asked.plan)):
            if given is not None and what not in offer.conditions:
                raise UserError(f"{offer.name} is told no {what}: leave it out, or choose another model")

    def vocabulary(self) -> Vocabulary:
        """What the studio's own model knows by name."""
        known: dict[str, Any] = {}
        directory = self.offers[self.default].directory
        if directory is not None:
            config = read_config(MusicGenConfig, directory / CONFIG_FILE)
            parts = read_json(directory / "conditioning" / CONFIG_FILE).get("conditioners", {})
            known = parts.get(config.plan_condition, {}) if config.plan_condition is not None else {}
        names = {name: list(known.get(name, [])) for name in ("genres", "instruments", "moods")}
        return Vocabulary(**names, keys=list(KEYS), meters=list(METERS), examples=list(EXAMPLES))


def _published(name: str) -> Offer:
    facts = MODELS[name]
    return Offer(name, name, facts.licence, tuple(facts.conditions.split(", ")))


def _described(directory: Path) -> Offer:
    config = read_config(MusicGenConfig, directory / CONFIG_FILE)
    rate = read_json(directory / "codec" / CONFIG_FILE).get("sample_rate")
    return Offer(
        config.name,
        None,
        config.licence,
        _conditions(config),
        rate if isinstance(rate, int) else None,
        directory,
        config.generation,
    )


def _conditions(config: MusicGenConfig) -> tuple[str, ...]:
    others = {"melody": config.melody_condition, "style": config.style_condition, "plan": config.plan_condition}
    return ("text", *(name for name, condition in others.items() if condition is not None))
