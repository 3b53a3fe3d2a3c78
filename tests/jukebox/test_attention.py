"""Factorised attention: what each kind sees, and the reference's layers."""

import pytest
import torch
from torch import Tensor

from cadenza.errors import UserError
from cadenza.jukebox.attention import FactorizedAttention, Grid, LayerKind, attend_rows, layer_kinds
from cadenza.nn.attention import KeysValues
from jukebox_priors import LEVEL_0, LEVEL_1, LYRICS_BESIDE, TOP, farthest, oracle

GRID = Grid(rows=4, columns=5, prime=8)
KINDS: tuple[LayerKind, ...] = ("dense", "row", "column", "previous_row", "prime")
# Float32 sums in another order than the reference's; measured 4e-7.
CLOSE = 2e-6


def sees(kind: LayerKind, query: int, key: int) -> bool:
    """Section 3.3 of the reference, one pair of positions at a time."""
    (row, column), (key_row, key_column) = divmod(query, GRID.columns), divmod(key, GRID.columns)
    match kind:
        case "dense":
            return key <= query
        case "row":
            return key_row == row and key_column <= column
        case "column":
            return key_column == column and key_row <= row
        case "previous_row":
            return key_row == row - 1
        case _:
            return key <= min(query, GRID.prime - 1)


def plainly(kind: LayerKind, query: Tensor, keys: Tensor, values: Tensor) -> Tensor:
    """The same attention with a mask over all pairs; nothing seen gives zero."""
    length = GRID.length
    mask = torch.tensor([[sees(kind, i, j) for j in range(length)] for i in range(length)])
    scores = (query @ keys.mT / query.shape[-1] ** 0.5).masked_fill(~mask, -1e9)
    return torch.softmax(scores, -1) @ values * mask.any(-1, keepdim=True)


@pytest.mark.parametrize("kind", KINDS)
def test_each_kind_sees_what_the_table_says(kind: LayerKind) -> None:
    query, keys, values = torch.randn(3, 2, 3, GRID.length, 4, generator=torch.Generator().manual_seed(1)).unbind(0)
    expected = plainly(kind, query, keys, values)
    torch.testing.assert_close(attend_rows(kind, GRID, query, keys, values), expected)
    for rows in (1, 2, 3):  # the rest, given what came before as far as this kind looks back
        cut = rows * GRID.columns
        first = {"previous_row": cut - GRID.columns}.get(kind, 0)
        last = {"prime": min(cut, GRID.prime)}.get(kind, cut)
        past = None if kind == "row" else KeysValues(keys[:, :, first:last], values[:, :, first:last])
        rest = attend_rows(kind, GRID, query[:, :, cut:], keys[:, :, cut:], values[:, :, cut:], past)
        torch.testing.assert_close(rest, expected[:, :, cut:])


def test_the_first_row_of_a_previous_row_layer_is_the_bias() -> None:
    layer = FactorizedAttention("previous_row", GRID, dim=6, attention_dim=4, num_heads=2)
    attended = layer(torch.randn(1, GRID.length, 6, generator=torch.Generator().manual_seed(2)))
    assert torch.equal(attended[0, : GRID.columns], layer.out_projection.bias.expand(GRID.columns, -1))
    assert not torch.equal(attended[0, GRID.columns], layer.out_projection.bias)


def test_the_published_orders() -> None:
    def at(order: int, layers: int, kind: LayerKind) -> list[int]:
        return [index for index, found in enumerate(layer_kinds(order, layers)) if found == kind]

    assert at(10, 79, "cross") == [18, 28, 38, 48, 58, 68, 78]
    assert (at(12, 72, "prime"), at(12, 72, "dense")) == ([15, 31, 63], [47])
    assert layer_kinds(2, 4) == ("row", "column", "previous_row", "row")
    assert at(11, 64, "cross") == [15, 31, 63]
    with pytest.raises(UserError, match="order 4 is unknown"):
        layer_kinds(4, 8)


@torch.no_grad()
@pytest.mark.parametrize("name", [TOP, LYRICS_BESIDE, LEVEL_0, LEVEL_1])
def test_layers_are_those_of_the_reference(name: str) -> None:
    prior, io, settings, _ = oracle(name)
    kinds = tuple(kind for kind in settings["derived"]["layer_kinds"])
    assert prior.config.transformer.layers == kinds
    numbers = sorted({int(key.split(".")[1]) for key in io if key.startswith("block.")})
    assert numbers
    for number in numbers:
        layer, x = prior.transformer.layers[number], io[f"block.{number}.input"]
        source = io["encoder_kv"][:1] if layer.attention.kind == "cross" else None
        attended = layer.attention(layer.norm_attention(x), source)
        assert farthest(attended, io[f"block.{number}.attention"]) < CLOSE
        assert farthest(layer(x, source), io[f"block.{number}.output"]) < CLOSE


def test_the_grid_counts_the_lyrics() -> None:
    prior, _, settings, _ = oracle(TOP)
    derived = settings["derived"]
    grid = prior.transformer.grid
    assert (grid.length, grid.columns) == (derived["sequence_length"], derived["row_length"])
    assert grid.prime == derived["prime_attention_length"]
