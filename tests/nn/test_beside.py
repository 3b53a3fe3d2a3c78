"""Branches of several adapters beside one layer: a row has the same numbers alone and in company."""

import torch

from cadenza.nn.beside import Beside, Mounted, SideProduct
from cadenza.nn.linear import Linear


def generator(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def layer_and_adapters() -> tuple[Linear, list[Mounted], list[tuple[torch.Tensor, torch.Tensor]]]:
    layer = Linear(48, 96, parts=(32, 64))
    torch.nn.init.normal_(layer.weight, generator=generator(0))
    pairs = [
        (torch.randn(rank, 48, generator=generator(1)), torch.randn(64, rank, generator=generator(2)))
        for rank in (4, 7)
    ]
    return layer.eval(), [Mounted(str(i), {(layer, 1): SideProduct.of(*pair)}) for i, pair in enumerate(pairs)], pairs


@torch.no_grad()
def test_rows_alone_and_in_company() -> None:
    layer, (first, second), pairs = layer_and_adapters()
    layer.pack()
    groups = [((), 2), (((first, 1.0),), 2), (((second, 0.3), (first, -2.0)), 3), (((first, 0.5),), 1)]
    x = torch.randn(8, 1, 48, generator=generator(3))
    together = layer.part(x, 1, Beside.of(groups, "cpu"))
    plain = layer.part(x, 1)
    start = 0
    for gains, count in groups:
        rows = slice(start, start + count)
        alone = layer.part(x[rows], 1, Beside.of([(gains, count)], "cpu"))
        assert torch.equal(together[rows], alone)
        expected = plain[rows] + sum(gain * x[rows] @ pairs[int(one.key)][0].T @ pairs[int(one.key)][1].T
                                     for one, gain in gains)  # fmt: skip
        torch.testing.assert_close(alone, expected, atol=1e-4, rtol=1e-5)  # sums of 48 in another order
        start += count
    assert torch.equal(together[:2], plain[:2])
    assert torch.equal(layer.part(x, 0, Beside.of(groups, "cpu")), layer.part(x, 0))  # no branch there


@torch.no_grad()
def test_any_number_of_threads() -> None:
    """Also for one row of several steps, as a beginning without guidance is."""
    before = torch.get_num_threads()
    product = SideProduct.of(torch.randn(4, 320, generator=generator(1)), torch.randn(320, 4, generator=generator(2)))
    x, y = torch.randn(3, 7, 320, generator=generator(3)), torch.randn(3, 7, 320, generator=generator(4))
    made = []
    try:
        for threads in (1, 2):
            torch.set_num_threads(threads)
            made += [product.add(x[:rows], y[:rows], 0.7) for rows in (1, 2, 3)]
    finally:
        torch.set_num_threads(before)
    for one in made:
        assert torch.equal(one, made[2][: len(one)])


@torch.no_grad()
def test_a_gain_of_0_in_a_table_of_all_rows_adds_nothing() -> None:
    """As on a grid, where all rows are computed."""
    from cadenza.nn.beside import Share

    layer, (first, _), _ = layer_and_adapters()
    x = torch.randn(3, 1, 48, generator=generator(3))
    gains = torch.tensor([0.0, 0.7, 0.0])[:, None, None]
    made = layer(x, Beside([Share(first, None, gains)]))
    assert torch.equal(made[::2], layer(x, None)[::2])
    assert not torch.equal(made[1], layer(x)[1])


def test_nothing_beside() -> None:
    assert Beside.of([((), 2), ((), 1)], "cpu") is None
