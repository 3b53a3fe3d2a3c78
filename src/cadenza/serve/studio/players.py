"""Who plays: the wall between the engine room and whatever makes its music, here or on other machines.

In: orders, each with all that it takes to make a piece. Out: its sound, chunk by chunk. A model that is loaded beside
the queue plays as a `LocalPlayer`; so does one in a replica of a cluster, behind a `Player` that carries its sound.
"""

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple, Protocol, runtime_checkable

import numpy as np

from cadenza.audio import Audio
from cadenza.engine.memory import orderly_shortage
from cadenza.errors import CadenzaError
from cadenza.pipelines.musicgen import MusicGen, MusicGenConfig
from cadenza.pipelines.placement import choose_device
from cadenza.pipelines.scheduling import Rendering
from cadenza.serve.studio.asked import Asked, settings_given
from cadenza.serve.studio.models import Shelf
from cadenza.serve.studio.settings import StudioSettings

_AHEAD = 1
"""Pieces that are prepared while all places are taken, so that no place stays empty."""


class Lost(CadenzaError):
    """What made a piece is gone; another can make it from the beginning."""


class Order(NamedTuple):
    """A piece to be made, with the recordings that it listens to."""

    asked: Mapping[str, Any]
    again: Audio | None = None
    """A take to be rendered once more from its record; then nothing else counts."""
    prompt: Audio | None = None
    melody: Audio | None = None


@runtime_checkable
class Playing(Protocol):
    """A piece under way."""

    def __iter__(self) -> Iterator[Audio]:
        """Its chunks; some have no length, the last one too: its metadata say whether the piece is complete.

        Raises Lost, or what went wrong, once all that was made is heard.
        """

    def cancel(self) -> None:
        """Stop soon; what is made so far can still be heard. From any thread, returns at once."""

    @property
    def seconds_made(self) -> float:
        """Seconds of new audio."""


@runtime_checkable
class Player(Protocol):
    """One model, loaded. Its methods may be called from any thread."""

    config: MusicGenConfig
    sample_rate: int

    @property
    def seats(self) -> int:
        """Of the pieces that were handed out, the first so many play; 0: each says so itself with its first chunk."""

    @property
    def most(self) -> int:
        """Pieces that may be handed out at a time."""

    @property
    def places(self) -> int:
        """Pieces that are made at once."""

    @property
    def replicas(self) -> int:
        """Copies of the model that play."""

    @property
    def is_open(self) -> bool:
        """Whether it takes orders: not once it is closed, nor after a failure that ended it."""

    def play(self, order: Order) -> Playing:
        """Begin. Raises UserError for what cannot be made."""

    def close(self) -> None:
        """Stop everything, and give the memory back."""


@runtime_checkable
class Stage(Protocol):
    """Where models play."""

    @property
    def places(self) -> int:
        """Pieces of one model that can be made at once, at most."""

    def open(self, name: str) -> Player:
        """Load a model of the shelf. Raises CadenzaError where it cannot be."""

    def close(self) -> None:
        """Leave, once all players are closed."""


class LocalStage:
    """This machine."""

    def __init__(self, shelf: Shelf, settings: StudioSettings) -> None:
        self._shelf, self._settings = shelf, settings
        self.places = settings.max_requests

    def open(self, name: str) -> "LocalPlayer":
        with orderly_shortage(choose_device(self._settings.device), f"the model {name}"):
            return LocalPlayer(self._shelf.open(name), self.places)

    def close(self) -> None:
        """Nothing is left here."""


class LocalPlayer:
    """A model in this process, with continuous batching."""

    replicas = 1

    def __init__(self, music: MusicGen, places: int) -> None:
        self.config, self.sample_rate = music.config, music.sample_rate
        self.places = self.seats = places
        self.most = places + _AHEAD
        self._scheduler = music.scheduler(places)

    @property
    def is_open(self) -> bool:
        return self._scheduler.is_open

    def play(self, order: Order) -> "LocalPlaying":
        if order.again is not None:
            return LocalPlaying(self._scheduler.submit_again(order.again))
        asked, prompt = Asked.model_validate(order.asked), order.prompt
        if prompt is not None and asked.prompt_seconds is not None:
            prompt = prompt.slice(max(0.0, prompt.duration_seconds - asked.prompt_seconds))
        rendering = self._scheduler.submit(
            asked.text,
            asked.duration,
            asked.seed,
            prompt=prompt,
            melody=order.melody,
            plan=None if asked.plan is None else asked.plan.plan(),
            **settings_given(order.asked),
        )
        return LocalPlaying(rendering)

    def close(self) -> None:
        self._scheduler.close()


class LocalPlaying:
    """A piece of this process's model."""

    def __init__(self, rendering: Rendering) -> None:
        self._rendering = rendering

    def __iter__(self) -> Iterator[Audio]:
        yield from self._rendering
        yield self._rendering.result()

    def cancel(self) -> None:
        self._rendering.cancel()

    @property
    def seconds_made(self) -> float:
        return self._rendering.seconds_made


def silence(sample_rate: int, metadata: dict[str, Any]) -> Audio:
    """A chunk of no length, for what it says."""
    return Audio(np.zeros((1, 0), np.float32), sample_rate, metadata)
