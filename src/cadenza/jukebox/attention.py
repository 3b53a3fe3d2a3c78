"""Factorised attention: the sequence as a grid of rows and columns, of which each layer sees a part.

In: hidden states `[B, S, D]` of a sequence of `rows * columns` positions, row after row. Out: the same shape. Dhariwal
et al. (2020), "Jukebox: A Generative Model for Music" (arXiv 2005.00341), after the sparse transformer of Child et al.
(2019): three layers of rows, columns and previous rows together reach every earlier position, at a fraction of the
cost of dense attention. Here are whole rows at once; single positions belong to `cadenza.jukebox.cache`.
"""

from typing import Literal, NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor, nn

from cadenza.errors import UserError
from cadenza.nn.attend import attend
from cadenza.nn.attention import KeysValues, Memory
from cadenza.nn.linear import Linear

LayerKind = Literal["dense", "row", "column", "previous_row", "cross", "prime"]
"""What a query at row r and column c sees: everything up to itself; its row up to itself; its column up to itself; all
of row r - 1 and not itself; a source beside the sequence; the first `prime` positions up to itself."""

_CYCLE: tuple[LayerKind, ...] = ("row", "column", "previous_row")


class Grid(NamedTuple):
    """The shape of a sequence. `prime` is how many positions its prime layers look at."""

    rows: int
    columns: int
    prime: int = 0

    @property
    def length(self) -> int:
        return self.rows * self.columns


def layer_kinds(order: int, num_layers: int) -> tuple[LayerKind, ...]:
    """The kinds of `num_layers` layers in the numbered orders of the published models.

    2 are rows, columns and previous rows in turn; 10 is the 5b model with lyrics beside the sequence, 12 the 1b model
    with lyrics in it. Raises UserError for an order whose layers no published model has (1 to 12 but 3, 4 and 5).
    """
    cycle: tuple[LayerKind, ...]
    match order:
        case 0:
            cycle = ("dense",)
        case 1:
            cycle = _CYCLE[:2]
        case 2:
            cycle = _CYCLE
        case 6:
            cycle = (*_CYCLE, "cross")
        case 7:
            cycle = (*_CYCLE * 5, "cross")
        case 8:
            cycle = (*_CYCLE * 3, "cross")
        case 9:
            cycle = (*_CYCLE, "dense")
        case 10:
            cycle = (*_CYCLE * 3, *(*_CYCLE * 3, "cross") * 7)
        case 11 | 12:
            special: LayerKind = "cross" if order == 11 else "prime"
            # Every sixteenth layer, by its place in the cycle of three: two of the special kind, then a dense one.
            return tuple(
                (special, special, "dense")[index % 3] if index % 16 == 15 else _CYCLE[index % 3]
                for index in range(num_layers)
            )
        case _:
            raise UserError(f"attention order {order} is unknown: choose 0, 1, 2 or 6 to 12")
    return tuple(cycle[index % len(cycle)] for index in range(num_layers))


# ---- whole rows ------------------------------------------------------------------------------------------------------


def attend_rows(
    kind: LayerKind,
    grid: Grid,
    query: Float[Tensor, "B H s E"],
    keys: Float[Tensor, "B H s E"],
    values: Float[Tensor, "B H s E"],
    past: KeysValues | None = None,
) -> Float[Tensor, "B H s E"]:
    """Attention of the next whole rows of a sequence, each position as its kind of layer sees.

    `past` is what came before them, as far as this kind looks back: all positions (dense, column), the last row
    (previous_row), or the first `prime` positions. None: these rows are the first.
    """
    columns = grid.columns
    assert query.shape[2] % columns == 0, f"{query.shape[2]} positions are not whole rows of {columns}"
    match kind:
        case "row":
            folded = _causal(_rows(query, columns), _rows(keys, columns), _rows(values, columns))
            return _from_rows(folded, query.shape[0])
        case "column":
            query_, keys, values = (_columns(part, columns) for part in (query, keys, values))
            if past is not None:
                before = (_columns(part, columns) for part in past)
                keys, values = (torch.cat(pair, dim=2) for pair in zip(before, (keys, values), strict=True))
            return _from_columns(_causal(query_, keys, values), query.shape[0])
        case "previous_row":
            if past is None:  # zeros: whatever the weights, the outcome is zero
                past = KeysValues(torch.zeros_like(keys[:, :, :columns]), torch.zeros_like(values[:, :, :columns]))
            keys, values = (
                torch.cat((last, new[:, :, :-columns]), 2) for last, new in zip(past, (keys, values), strict=True)
            )
            folded = attend(_rows(query, columns), _rows(keys, columns), _rows(values, columns))
            return _from_rows(folded, query.shape[0])
        case "dense" | "prime":
            start = 0
            if past is not None:
                start = past.keys.shape[2]
                keys, values = (torch.cat(pair, dim=2) for pair in zip(past, (keys, values), strict=True))
            if kind == "dense":
                return _causal(query, keys, values)
            # A past of all prime positions may be shorter than what came before: then everything is seen.
            seen = min(keys.shape[2], grid.prime)
            return _causal(query, keys[:, :, :seen], values[:, :, :seen], grid.prime if start >= seen else start)
        case _:
            raise AssertionError(f"{kind} attention sees no rows")


def _causal(
    query: Float[Tensor, "N H s E"],
    keys: Float[Tensor, "N H M E"],
    values: Float[Tensor, "N H M E"],
    start: int | None = None,
) -> Float[Tensor, "N H s E"]:
    """Query i stands at position `start + i` of the keys; by default the last query stands at the last key."""
    steps, length = query.shape[2], keys.shape[2]
    start = length - steps if start is None else start
    if start + 1 >= length:
        return attend(query, keys, values)
    if start == 0 and steps == length:
        return attend(query, keys, values, causal=True)
    mask = torch.ones(steps, length, dtype=torch.bool, device=query.device).tril(start)
    return attend(query, keys, values, mask)


def _rows(x: Float[Tensor, "B H s E"], columns: int) -> Float[Tensor, "N H c E"]:
    """Rows as items of a batch."""
    batch, heads, steps, width = x.shape
    return x.view(batch, heads, steps // columns, columns, width).transpose(1, 2).flatten(0, 1)


def _from_rows(x: Float[Tensor, "N H c E"], batch: int) -> Float[Tensor, "B H s E"]:
    return x.view(batch, -1, *x.shape[1:]).transpose(1, 2).flatten(2, 3)


def _columns(x: Float[Tensor, "B H s E"], columns: int) -> Float[Tensor, "N H r E"]:
    """Columns as items of a batch."""
    batch, heads, steps, width = x.shape
    return x.view(batch, heads, steps // columns, columns, width).permute(0, 3, 1, 2, 4).flatten(0, 1)


def _from_columns(x: Float[Tensor, "N H r E"], batch: int) -> Float[Tensor, "B H s E"]:
    return x.view(batch, -1, *x.shape[1:]).permute(0, 2, 3, 1, 4).flatten(2, 3)


# ---- the layer -------------------------------------------------------------------------------------------------------


class FactorizedAttention(nn.Module):
    """`softmax(q k^T / sqrt(E)) v` over what its kind of layer sees; the heads together are narrower than the model.

    While a sequence grows, keys and values live in a `Memory` that the caller owns.
    """

    def __init__(self, kind: LayerKind, grid: Grid, dim: int, attention_dim: int, num_heads: int) -> None:
        super().__init__()
        assert attention_dim % num_heads == 0, f"width {attention_dim} is not a multiple of {num_heads} heads"
        self.kind: LayerKind = kind
        self.grid = grid
        self.num_heads = num_heads
        self.in_projection = Linear(dim, attention_dim if kind == "cross" else 3 * attention_dim, bias=True)
        self.source_projection = Linear(dim, 2 * attention_dim, bias=True) if kind == "cross" else None
        self.out_projection = Linear(attention_dim, dim, bias=True)

    def project_source(self, source: Float[Tensor, "B L D"]) -> KeysValues:
        """Keys and values of a source, `[B, H, L, E]` each."""
        assert self.source_projection is not None, f"a source for {self.kind} attention"
        keys, values = self._heads(self.source_projection(source), 2)
        return KeysValues(keys.contiguous(), values.contiguous())

    def lyric_weights(
        self, x: Float[Tensor, "B s D"], num_lyrics: int, source: Float[Tensor, "B L D"] | None = None
    ) -> Float[Tensor, "B H m P"]:
        """How much each position of music attends to each character, from layers that look at lyrics.

        Of cross attention all positions are music; in prime attention the lyrics are in front, and what the music gives
        to other music is left out.
        """
        if self.kind == "cross":
            assert source is not None, "cross attention without a source"
            (query,), (keys, _) = self._heads(self.in_projection(x), 1), self.project_source(source)
            hidden = torch.zeros(x.shape[1], keys.shape[2], dtype=torch.bool, device=x.device)
        else:
            assert self.kind == "prime", f"{self.kind} attention does not look at lyrics"
            query, keys, _ = self._heads(self.in_projection(x), 3)
            query, keys = query[:, :, num_lyrics:], keys[:, :, : self.grid.prime]
            hidden = torch.ones(query.shape[2], keys.shape[2], dtype=torch.bool, device=x.device).triu(num_lyrics + 1)
        scores = (query @ keys.mT).float() * query.shape[-1] ** -0.5
        return scores.masked_fill(hidden, float("-inf")).softmax(-1)[..., :num_lyrics]

    def forward(
        self,
        x: Float[Tensor, "B s D"],
        source: Float[Tensor, "B L D"] | None = None,
        memory: Memory | None = None,
    ) -> Float[Tensor, "B s D"]:
        """Whole rows from the sequence's beginning, or, given a memory, whatever comes next in it."""
        if self.kind == "cross":
            (query,) = self._heads(self.in_projection(x), 1)
            if memory is not None:
                attended = memory.attend_source(query)
            else:
                assert source is not None, "cross attention without a source"
                attended = attend(query, *self.project_source(source))
        else:
            query, keys, values = self._heads(self.in_projection(x), 3)
            if memory is not None:
                attended = memory.attend(query, keys, values)
            else:
                attended = attend_rows(self.kind, self.grid, query, keys, values)
        return self.out_projection(attended.transpose(1, 2).flatten(2))

    def _heads(self, packed: Float[Tensor, "B s P"], parts: int) -> tuple[Tensor, ...]:
        """`[B, H, s, E]` for each of the projections that were packed."""
        batch, steps, _ = packed.shape
        return packed.view(batch, steps, parts, self.num_heads, -1).permute(2, 0, 3, 1, 4).unbind(0)
