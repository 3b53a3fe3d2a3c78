"""Bands whose networks have equal shapes, run as one network.

In: bands. Out: one that denoises them all and gives their sum. Channels of the networks lie side by side, convolutions
become grouped ones and norms have as many more groups, so that a call of four networks is a quarter of the kernels; a
GPU, which small kernels keep waiting, gains by it, a CPU does not (docs/diffusion.md). Bottlenecks, which are few large
products, stay one after the other.
"""

from collections.abc import Callable, Iterator, Sequence

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from cadenza.checkpoint import on_meta
from cadenza.diffusion.band import Band, BandConfig, Levels
from cadenza.diffusion.bottleneck import SideBySide
from cadenza.diffusion.convolution import Convolution, Transposed
from cadenza.diffusion.sampler import Solver
from cadenza.diffusion.unet import DiffusionUnet


def equal_shapes(configs: Sequence[BandConfig]) -> list[tuple[int, ...]]:
    """Numbers of the bands that can run as one: alike in all but the levels they were trained at."""
    groups: dict[object, list[int]] = {}
    for number, config in enumerate(configs):
        alone = config.levelled or config.prediction == "departure"  # relative to the codec's own levels, band by band
        alike = config.model_copy(update={"processor": None})
        groups.setdefault(number if alone else alike, []).append(number)
    return [tuple(numbers) for numbers in groups.values()]


class BandsTogether(Band):
    """Bands of equal shapes as one band; audio and noise hold the channels of the first, then those of the next.

    The bands stay as they are, but their weights become parts of the common ones, so that memory holds them once.
    """

    def __init__(self, bands: Sequence[Band]) -> None:
        nn.Module.__init__(self)
        self.bands = tuple(bands)  # not as modules: they are somebody else's
        self.config, self.schedule = bands[0].config, bands[0].schedule
        self.unet, self._shares = _side_by_side([band.unet for band in bands])

    @property
    def is_current(self) -> bool:
        """Whether the bands still have the weights that this has: packing, moving and converting give them others."""
        return all(
            weights[name].data_ptr() == share.data_ptr()
            for band, shares in zip(self.bands, self._shares, strict=True)
            for weights in (dict(band.unet.named_parameters()),)
            for name, share in shares.items()
        )

    def project(self, audio: Float[Tensor, "B C N"], levels: Levels = None) -> Float[Tensor, "B C N"]:
        return self._each(lambda band, part: band.project(part), audio)

    def restore(self, audio: Float[Tensor, "B C N"], levels: Levels = None) -> Float[Tensor, "B C N"]:
        return self._each(lambda band, part: band.restore(part), audio)

    def _each(self, function: Callable[[Band, Tensor], Tensor], audio: Tensor) -> Tensor:
        parts = audio.chunk(len(self.bands), dim=1)
        return torch.cat([function(band, part) for band, part in zip(self.bands, parts, strict=True)], dim=1)

    def say(
        self,
        noisy: Float[Tensor, "B C N"],
        step: Int[Tensor, " B"] | int,
        condition: Float[Tensor, "B D T"] | None,
        heard: Float[Tensor, "B C N"] | None,
    ) -> Float[Tensor, "B C N"]:
        if not self.config.hears_codec:
            said: Tensor = self.unet(noisy, step, condition)
            return said
        assert heard is not None, "these bands hear the codec's decode"
        each = [audio.unflatten(1, (len(self.bands), -1)) for audio in (noisy, heard)]
        both: Tensor = self.unet(torch.cat(each, dim=2).flatten(1, 2), step, condition)
        return both.unflatten(1, (len(self.bands), -1))[:, :, : each[0].shape[2]].flatten(1, 2)

    def denoise(
        self,
        condition: Float[Tensor, "B D T"],
        noise: Iterator[Float[Tensor, "B C N"]],
        steps: Sequence[int],
        solver: Solver = "ancestral",
        called: Callable[[], None] = lambda: None,
        heard: Float[Tensor, "B E N"] | None = None,
    ) -> Float[Tensor, "B E N"]:
        """The sum of the bands; `heard` is heard by each of them."""
        heard_by_all = None if heard is None else heard.repeat(1, len(self.bands), 1)
        made = super().denoise(condition, noise, steps, solver, called, heard_by_all)
        return made.unflatten(1, (len(self.bands), -1)).sum(1)


def _side_by_side(unets: Sequence[DiffusionUnet]) -> tuple[DiffusionUnet, list[dict[str, Tensor]]]:
    """One network, and which share of its weights is whose; the networks' own weights become these."""
    with on_meta():
        made = DiffusionUnet(unets[0].config, len(unets))
    if isinstance(made.bottleneck, SideBySide):
        made.bottleneck.parts = nn.ModuleList(unet.bottleneck for unet in unets if unet.bottleneck is not None)
    for part in (part for unet in unets for part in unet.modules()):
        if isinstance(part, Convolution | Transposed):
            part.unpack()
    shares: list[dict[str, Tensor]] = [{} for _ in unets]
    each = [dict(unet.named_parameters()) for unet in unets]
    for name in (name for name in each[0] if not name.startswith("bottleneck.")):
        dim = 1 if name.startswith("step_embeddings.") else 0
        whole = torch.cat([weights[name].detach() for weights in each], dim)
        for weights, own, share in zip(each, shares, whole.chunk(len(unets), dim), strict=True):
            weights[name].data = own[name] = share
        place, _, last = name.rpartition(".")
        setattr(made.get_submodule(place), last, nn.Parameter(whole, requires_grad=False))
    return made.eval(), shares
