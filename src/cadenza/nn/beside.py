"""Low-rank branches at work: several adapters beside one model, each row of a batch with its own.

In: the vectors that go into a linear layer, and those that come out. Out: the latter, with what each row's adapters add
(Hu et al., 2021). Rows are computed adapter by adapter, as in Chen et al. (2023), "Punica", always in the same order of
adapters, so that a row has the same numbers alone and in company; rows without one are not touched.
"""

import itertools
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

_SERIAL = itertools.count()


class SideProduct(NamedTuple):
    """`(x A^T) B^T` for the output rows of one part of a layer.

    Written as one small product per row: a row's numbers then depend neither on how many there are nor on threads, and
    of all products on a CPU these start fastest (5 us for both at 320 wide, where oneDNN's take 28).
    """

    down: Float[Tensor, "I R"]
    up: Float[Tensor, "R P"]

    @classmethod
    def of(cls, down: Float[Tensor, "R I"], up: Float[Tensor, "P R"]) -> "SideProduct":
        return cls(down.contiguous().t(), up.t().contiguous())  # in memory as they are read: vectors of I, vectors of P

    def add(
        self, x: Float[Tensor, "B s I"], y: Float[Tensor, "B s P"], gain: float | Float[Tensor, "B 1 1"]
    ) -> Float[Tensor, "B s P"]:
        """`y` and what the branch makes of `x`, `gain` times."""
        if len(x) == 1 and x.shape[1] > 1:  # threads would share out a single product's sums, and add them otherwise
            both = self.add(x.expand(2, -1, -1), y.expand(2, -1, -1), gain)
            return both[:1]
        rows, dtype = len(x), self.down.dtype
        narrow = torch.bmm(x.to(dtype), self.down.expand(rows, -1, -1))
        if isinstance(gain, Tensor) or gain != 1.0:
            narrow = (narrow * gain).to(dtype)
        return torch.baddbmm(y.to(dtype), narrow, self.up.expand(rows, -1, -1)).to(y.dtype)


class Mounted:
    """One adapter, in the form and in the place in which a model's layers use it.

    Args:
        key: what it is known by; adapters add in the order of their keys.
        products: by layer and part (see `nn.linear.Linear`).
    """

    def __init__(self, key: str, products: Mapping[tuple[nn.Module, int], SideProduct]) -> None:
        self.key = key
        self.serial = next(_SERIAL)
        """Never used again, as an address may be."""
        self._products = dict(products)

    def product(self, layer: nn.Module, part: int) -> SideProduct | None:
        return self._products.get((layer, part))


Gains = Sequence[tuple[Mounted, float]]
"""Adapters, and how much each counts."""


class Share(NamedTuple):
    """What one adapter adds to a batch."""

    mounted: Mounted
    rows: Int[Tensor, "n"] | None
    """None: all."""
    gain: float | Float[Tensor, "n 1 1"]


class Beside:
    """What adapters add to the rows of a batch."""

    def __init__(self, shares: Sequence[Share]) -> None:
        self.shares = sorted(shares, key=lambda share: share.mounted.key)

    @classmethod
    def of(cls, groups: Sequence[tuple[Gains, int]], device: torch.device | str) -> "Beside | None":
        """For rows that come in groups, each with its gains and its number of rows; None if nothing is added."""
        rows: dict[Mounted, list[int]] = {}
        gains: dict[Mounted, list[float]] = {}
        start = 0
        for group, count in groups:
            for mounted, gain in group:
                rows.setdefault(mounted, []).extend(range(start, start + count))
                gains.setdefault(mounted, []).extend([gain] * count)
            start += count
        if not rows:
            return None
        shares = []
        for mounted, its_rows in rows.items():
            chosen = None if len(its_rows) == start else torch.tensor(its_rows, device=device)
            its_gains = gains[mounted]
            if len(set(its_gains)) == 1:
                shares.append(Share(mounted, chosen, its_gains[0]))
            else:
                shares.append(Share(mounted, chosen, torch.tensor(its_gains, device=device)[:, None, None]))
        return cls(shares)

    def add(
        self, layer: nn.Module, part: int, x: Float[Tensor, "B s I"], y: Float[Tensor, "B s P"]
    ) -> Float[Tensor, "B s P"]:
        """`y`, which a part of a layer made of `x`, and what is added to it."""
        for mounted, rows, gain in self.shares:
            product = mounted.product(layer, part)
            if product is None:
                continue
            if rows is None:
                y = product.add(x, y, gain)
            else:
                y = y.index_copy(0, rows, product.add(x[rows], y[rows], gain))
        return y
