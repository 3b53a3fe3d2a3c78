"""All bands of a diffusion decoder: where they are, and the sum of what they make.

In: windows of a clip as networks are given them, and seeds. Out: the sum of all bands for each. Bands come one after
another, those of equal shapes together where that is asked for, and each makes all windows before the next is needed:
so one band's weights at a time are enough.
"""

from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor, nn

from cadenza.diffusion.band import Band, BandConfig
from cadenza.diffusion.noise import draws
from cadenza.diffusion.sampler import Solver, steps_for
from cadenza.diffusion.settings import DiffusionSettings
from cadenza.diffusion.together import BandsTogether, equal_shapes
from cadenza.errors import UserError

Progress = Callable[[int, int], None]
"""Called with the network calls made so far, and in all."""


class Piece(NamedTuple):
    """A window of a clip: the codec's latent of it, where its samples begin and how many they are, and the codec's own
    decode, if a band hears that."""

    condition: Float[Tensor, "B D T"]
    start: int
    size: int
    heard: Float[Tensor, "B C N"] | None


class Ensemble:
    """The bands of a decoder."""

    def __init__(self, configs: Sequence[BandConfig], bands: nn.ModuleList, load: Callable[[int], Band] | None) -> None:
        """`load` gives a band whenever it is needed; else `bands` are all in memory."""
        self.configs, self.bands, self.load = configs, bands, load
        self.hears_codec = any(config.needs_codec for config in configs)
        self._together: bool | None = None
        self._joined: dict[tuple[int, ...], BandsTogether] = {}

    @property
    def together(self) -> bool | None:
        """Whether bands of equal shapes run as one network; None: on CUDA, if all are in memory."""
        return self._together

    @together.setter
    def together(self, together: bool | None) -> None:
        if together and self.load is not None:
            raise UserError("bands run together or have one band's weights in memory at a time: choose one of the two")
        self._together = together

    def band(self, number: int) -> Band:
        """A band; one that was loaded for this is in memory while the caller keeps it."""
        band = self.bands[number] if self.load is None else self.load(number)
        assert isinstance(band, Band)
        return band

    def sums(
        self,
        pieces: Sequence[Piece],
        seeds: Sequence[int],
        channels: int,
        settings: DiffusionSettings,
        progress: Progress | None,
    ) -> list[Float[Tensor, "B C N"]]:
        """The sum of all bands for each piece, of which each row has a seed."""
        made: list[Tensor] = []
        groups: list[tuple[int, ...]] = [(number,) for number in range(len(self.configs))]
        if pieces and self._runs_together(pieces[0].condition.device):
            groups = equal_shapes(self.configs)
        calls, in_all = 0, settings.calls * len(pieces) * len(groups)

        def called() -> None:
            nonlocal calls
            calls += 1
            if progress is not None:
                progress(calls, in_all)

        for numbers in groups if pieces else ():
            band = self.band(numbers[0]) if len(numbers) == 1 else self._as_one(numbers)
            steps = steps_for(band.schedule, settings.calls, settings.solver)
            for place, (condition, start, size, heard) in enumerate(pieces):
                noise = draws(seeds, start, size, channels, numbers, condition.device)
                own = heard if band.config.needs_codec else None
                audio = band.denoise(condition, noise, steps, settings.solver, called, own)
                if place < len(made):
                    made[place] += audio
                else:
                    made.append(audio)
            del band  # or its weights would stay while the next ones are read
        return made

    def sum_of(
        self,
        condition: Float[Tensor, "B D T"],
        noise: Iterator[Float[Tensor, "B C N"]],
        steps: Callable[[Band], Sequence[int]],
        solver: Solver,
    ) -> Float[Tensor, "B C N"]:
        """The sum of all bands from given noise, one band after another."""
        total: Tensor | None = None
        for number in range(len(self.configs)):
            band = self.band(number)
            made = band.denoise(condition, noise, steps(band), solver)
            total = made if total is None else total + made
            del band
        assert total is not None, "a decoder has bands"
        return total

    def _runs_together(self, device: torch.device) -> bool:
        return device.type == "cuda" and self.load is None if self.together is None else self.together

    def _as_one(self, numbers: tuple[int, ...]) -> BandsTogether:
        found = self._joined.get(numbers)
        if found is None or not found.is_current:
            found = self._joined[numbers] = BandsTogether([self.band(number) for number in numbers])
        return found
