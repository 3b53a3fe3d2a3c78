"""What runs on the cluster's machines: one copy of a model, as it plays on a single machine.

In: orders, from the studio's front. Out: a stream of `Sent` each. The player is the same `LocalPlayer` as beside the
queue, so a piece sounds the same. Nothing here knows of Ray: the cluster calls these methods in an event loop, and what
waits for the model waits in threads. Errors travel as words, since thrown through Ray they would come back as pages.
"""

import asyncio
import gc
import logging
import os
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple

import numpy as np

from cadenza.audio import Audio
from cadenza.engine.memory import orderly_shortage
from cadenza.engine.threads import decide_threads
from cadenza.errors import CadenzaError
from cadenza.loading import load_musicgen
from cadenza.pipelines.musicgen import MusicGenConfig
from cadenza.pipelines.placement import choose_device
from cadenza.serve.studio.players import LocalPlayer, Order, Playing

log = logging.getLogger("cadenza")

_SPARE_THREADS = 4
"""Beside one for each piece that plays."""


class Recipe(NamedTuple):
    """How a copy is made."""

    name: str
    source: str | None
    """What `cadenza.load` calls the model."""
    device: str | None
    precision: str | None
    places: int
    threads: int


class Sent(NamedTuple):
    """A step of a piece: sound, what there is to know, or both."""

    seconds_made: float = 0.0
    samples: np.ndarray | None = None
    record: dict[str, Any] | None = None
    """Where it has changed."""
    error: str | None = None
    """Why nothing more will come."""


class Facts(NamedTuple):
    """What the front must know of the model; or why there is none."""

    config: MusicGenConfig | None
    sample_rate: int
    error: str | None
    process: int


class Replica:
    """One copy of a model. Its constructor never fails, but says in `facts` why there is no model."""

    def __init__(self, recipe: Recipe) -> None:
        self._player: LocalPlayer | None = None
        self._error: str | None = None
        self._playing: dict[str, Playing] = {}
        self._threads = ThreadPoolExecutor(recipe.places + _SPARE_THREADS, "replica")
        self.pieces_made = 0
        decide_threads(recipe.threads)
        try:
            with orderly_shortage(choose_device(recipe.device), f"the model {recipe.name}"):
                music = load_musicgen(recipe.source, recipe.device, recipe.precision)
                self._player = LocalPlayer(music, recipe.places)
        except Exception as error:
            self._error = _told(error)
            gc.collect()

    def facts(self) -> Facts:
        """The model."""
        player = self._player
        if player is None:
            return Facts(None, 0, self._error, os.getpid())
        return Facts(player.config, player.sample_rate, None, os.getpid())

    def check_health(self) -> None:
        """Raises where this copy is to be replaced by another; Ray Serve asks."""
        if self._player is not None and not self._player.is_open:
            raise RuntimeError("the engine has failed")

    async def play(self, name: str, order: Order) -> AsyncIterator[Sent]:
        """A piece under the `name` by which it can be cancelled. The first thing sent says that it has come."""
        yield Sent()
        playing: Playing | None = None
        try:
            if self._player is None:
                raise CadenzaError(self._error or "no model")
            playing = await self._run(self._player.play, order)
            self._playing[name] = playing
            chunks = iter(playing)
            known: dict[str, Any] = {}
            while (chunk := await self._run(_following, chunks)) is not None:
                record = None if chunk.metadata is known else chunk.metadata
                known = chunk.metadata
                yield Sent(playing.seconds_made, chunk.samples if chunk.num_samples else None, record)
            self.pieces_made += 1
        except Exception as error:
            yield Sent(error=_told(error))
        finally:
            self._playing.pop(name, None)
            if playing is not None:
                playing.cancel()

    def cancel(self, name: str) -> bool:
        """Stop a piece; what is made of it is sent. False: it is not here."""
        playing = self._playing.get(name)
        if playing is not None:
            playing.cancel()
        return playing is not None

    def forget(self) -> None:
        """Stop everything: a front begins anew and asks for it again."""
        for playing in list(self._playing.values()):
            playing.cancel()

    def made(self) -> tuple[int, int]:
        """This process, and how many pieces it has made to their end."""
        return os.getpid(), self.pieces_made

    async def _run(self, call: Any, *arguments: Any) -> Any:
        return await asyncio.get_running_loop().run_in_executor(self._threads, call, *arguments)


def _following(chunks: Iterator[Audio]) -> Audio | None:
    return next(chunks, None)


def _told(error: Exception) -> str:
    if isinstance(error, CadenzaError):
        return str(error)
    log.error("a replica", exc_info=error)
    line = " ".join(str(error).split())
    return f"{type(error).__name__}: {line:.200}, which is no mistake of yours; the replica's log says more"
