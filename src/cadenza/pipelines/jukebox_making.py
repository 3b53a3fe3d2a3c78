"""From a request to audio: the levels of a song one after the other, each kept as it grows.

In: a `Song`, perhaps begun already, and who wants to know how far it is. Out: its audio at the finest level that there
is, with the record of how it was made.
"""

from collections.abc import Callable
from contextlib import ExitStack, nullcontext
from typing import Any, NamedTuple

import torch

from cadenza.audio import Audio
from cadenza.engine.memory import orderly_shortage, require
from cadenza.engine.threads import ThreadGovernor
from cadenza.jukebox.prior import Prior, PriorConditions
from cadenza.jukebox.sampling import Draws, Measure, sample_level
from cadenza.jukebox.song import Song, select
from cadenza.jukebox.vqvae import JukeboxVQVAE
from cadenza.pipelines.jukebox_parts import PriorShelf
from cadenza.pipelines.jukebox_take import JukeboxTake
from cadenza.pipelines.take import describe_device


class JukeboxProgress(NamedTuple):
    """How far a song is, in codes: of all levels that are asked for, and of the level that is being made."""

    done: int
    total: int
    level: int
    level_done: int
    level_total: int


Progress = Callable[[JukeboxProgress], None]
"""Called after every code."""
Preview = Callable[[int, list[Audio]], None]
"""Called with a level and the audio of its codes, one per item, when the level is complete."""


class _Stopped(Exception):
    """Someone asked to stop."""


class Making(NamedTuple):
    """What songs are made with, and who is told."""

    vqvae: JukeboxVQVAE
    priors: PriorShelf
    progress: Progress | None = None
    should_stop: Callable[[], bool] | None = None
    preview: Preview | None = None

    def make(self, song: Song) -> Any:
        """All levels that are asked for and not there yet, then an `Audio`, or a list where several were asked for.

        Whoever stops it gets what was made so far.
        """
        request = song.request
        try:
            for level in range(request.top, request.down_to - 1, -1):
                if not song.is_complete(level):
                    self._sample(song, level)
                    if self.preview is not None:
                        self.preview(level, self._audio(song, level))
        except _Stopped:
            pass
        made = self._audio(song, max(song.best_level, request.down_to))
        return made if request.is_batch else made[0]

    def _sample(self, song: Song, level: int) -> None:
        request, prior = song.request, self.priors[level]
        config, count = prior.config, len(request.items)
        who = f"{count} songs at once" if count > 1 else "a song"
        require(prior.cache_bytes(count), prior.device, who, "keys and values", items=count)
        pieces, chosen, total = request.pieces(config), request.sampling[level], request.num_codes(level)
        upper = song.codes(level + 1).to(prior.device) if level < request.top else None
        stride = 1 if config.conditioner is None else config.conditioner.stride

        def heard(start: int) -> PriorConditions:
            return prior.conditions(pieces, start, None if upper is None else upper[:, start // stride :])

        draws, told = _draws(song, level, prior), self._told(song, level)
        with torch.inference_mode(), orderly_shortage(prior.device, who), ExitStack() as stack:
            measure: Measure = nullcontext
            if prior.device.type == "cpu":
                measure = stack.enter_context(ThreadGovernor()).measure
            grown = sample_level(prior, heard, song.codes(level), total, chosen.hop, draws, True, told, measure)
            for codes in grown:
                song.put(level, codes)

    def _told(self, song: Song, level: int) -> Callable[[int], None]:
        """What to do after each code of a level, given how many of it there are."""
        request = song.request
        levels = range(request.down_to, request.num_levels)
        in_all = sum(request.num_codes(one) - request.given[one] for one in levels)
        before = sum(song.codes(one).shape[1] - request.given[one] for one in levels if one != level)
        given, total = request.given[level], request.num_codes(level)

        def told(number: int) -> None:
            if self.progress is not None:
                done = number - given
                self.progress(JukeboxProgress(before + done, in_all, level, done, total - given))
            if self.should_stop is not None and self.should_stop():
                raise _Stopped

        return told

    def _audio(self, song: Song, level: int) -> list[Audio]:
        """What a level's codes sound like, one `Audio` per item, each with a `JukeboxTake` as metadata."""
        codes = song.codes(level).to(next(self.vqvae.parameters()).device)
        samples = self.vqvae.decode(codes, level)[..., : song.reach(level)].float().cpu().numpy()
        complete = level == song.request.down_to and song.is_complete(level)
        made = []
        for item, row in enumerate(samples):
            take = JukeboxTake.of(*select(song, [item]), level, complete, describe_device(self.priors.device))
            made.append(Audio(row, self.vqvae.sample_rate, take.metadata()))
        return made


def _draws(song: Song, level: int, prior: Prior) -> Draws:
    chosen = song.request.sampling[level]
    seeds = [item.seed for item in song.request.items]
    return Draws(seeds, level, prior.vocabulary_size, chosen.temperature, chosen.top_k, chosen.top_p, prior.device)
