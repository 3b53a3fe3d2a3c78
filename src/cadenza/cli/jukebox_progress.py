"""How far a song is, over all its levels, with the time that is left."""

import sys
import time
from typing import TYPE_CHECKING

from cadenza.cli.progress import GenerationProgress

if TYPE_CHECKING:
    from cadenza.pipelines.jukebox import Jukebox
    from cadenza.pipelines.jukebox_making import JukeboxProgress

LINE_EVERY_SECONDS = 60.0


class SongProgress(GenerationProgress):
    """A bar on stderr for the whole song; without a terminal a line every minute. Ctrl-C as everywhere.

    Work is counted in what a code costs at its level: a prior of five thousand million weights takes longer over one.
    """

    def __init__(self, jukebox: "Jukebox", every_seconds: float = LINE_EVERY_SECONDS) -> None:
        super().__init__()
        self._every = every_seconds
        self._costs: dict[int, float] = {}
        for level, config in jukebox.priors.configs.items():
            stack = config.transformer
            self._costs[level] = len(stack.layers) * stack.dim * (4 * stack.attention_dim + 2 * stack.feed_forward_dim)
        self._hops = jukebox.vqvae.hop_lengths
        self._rate = jukebox.sample_rate
        self._all: float | None = None
        self._began = self._shown = time.monotonic()

    def song(self, now: "JukeboxProgress") -> None:
        """Give this to `Jukebox.generate` as `progress`."""
        left = self._left(now)
        if self._all is None:
            self._all, self._began = left, time.monotonic()
        hop = self._hops[now.level]
        done, total = now.level_done * hop / self._rate, now.level_total * hop / self._rate
        below = "" if now.done - now.level_done + now.level_total < now.total else ", the last"
        words = f"level {now.level}{below}: {done:.1f} of {total:.1f} s"
        self._show("song", self._all - left, self._all, words)
        if not sys.stderr.isatty() and time.monotonic() - self._shown >= self._every:
            self._shown = time.monotonic()
            print(f"{words}, {self._remaining(left)} left in all", file=sys.stderr, flush=True)

    def _left(self, now: "JukeboxProgress") -> float:
        """What is still to be done, in costs of a code."""
        here = now.level_total - now.level_done
        below = now.total - now.done - here
        # A level has as many more codes than the one above as its hop is shorter.
        shares = {level: 1 / hop for level, hop in enumerate(self._hops[: now.level]) if level in self._costs}
        mean = sum(self._costs[level] * share for level, share in shares.items()) / (sum(shares.values()) or 1)
        return here * self._costs[now.level] + below * mean

    def _remaining(self, left: float) -> str:
        assert self._all is not None
        done = self._all - left
        seconds = left * (time.monotonic() - self._began) / done if done > 0 else 0.0
        return f"{seconds:.0f} s" if seconds < 90 else f"{seconds / 60:.0f} min"
