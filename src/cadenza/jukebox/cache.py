"""The state of sequences that grow together: for each layer the keys and values that its kind still looks at.

In: sizes. Out: an explicit object that `prefill`, `feed` and `step` of a `Prior` fill. Of a grid of R rows and C
columns a row layer holds C positions, a previous-row layer 2 C, a prime layer its first positions, a cross layer the
source, and only column and dense layers hold the whole context (reference, section 4.5).

A single step comes in two forms that agree. On a CPU it looks at views of just what it may see: nothing is hidden or
copied, and PyTorch's fused kernel reads it (bf16, 6,000 positions of the 1b shape: 0.7 ms against 19). Elsewhere it is
the same program at every position: where it writes and what it hides are tensors that are computed from the position,
which lives on the device. So one CUDA graph can serve a whole context.
"""

from typing import NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor

from cadenza.jukebox.attention import Grid, LayerKind, attend_rows
from cadenza.nn.attend import attend
from cadenza.nn.attention import KeysValues


class _Place(NamedTuple):
    """Where the next step stands, for all layers."""

    position: Int[Tensor, "1"]
    row: Int[Tensor, "1"]
    column: Int[Tensor, "1"]
    in_row: Float[Tensor, "1 1 c"]
    """Minus infinity at columns behind this one, else 0; likewise of rows and of positions."""
    in_column: Float[Tensor, "1 1 r"]
    in_prime: Float[Tensor, "1 1 p"]
    in_all: Float[Tensor, "1 1 n"]


class SequenceMemory:
    """One layer of a cache, as its attention sees it (a `cadenza.nn.attention.Memory`).

    `held` is `[B, H, M, E]`, M positions of which depend on the kind of layer; cross layers hold nothing but a source.
    """

    def __init__(self, cache: "SequenceCache", kind: LayerKind, held: KeysValues | None) -> None:
        self.cache = cache
        self.kind: LayerKind = kind
        self.held = held
        self.source: KeysValues | None = None

    @property
    def has_source(self) -> bool:
        return self.source is not None

    def attend_source(self, query: Float[Tensor, "B H s E"]) -> Float[Tensor, "B H s E"]:
        assert self.source is not None, "step before prefill, or lyrics left out"
        return attend(query, *self.source)

    def attend(
        self, query: Float[Tensor, "B H s E"], keys: Float[Tensor, "B H s E"], values: Float[Tensor, "B H s E"]
    ) -> Float[Tensor, "B H s E"]:
        """One position, or whole rows where a row begins."""
        if query.shape[2] == 1:
            step = self._step_by_views if self.cache.by_views else self._step
            return step(query, keys, values)
        attended = attend_rows(self.kind, self.cache.grid, query, keys, values, self._past())
        self._keep(keys, values)
        return attended

    # ---- whole rows ------------------------------------------------------------------------------------------------

    def _past(self) -> KeysValues | None:
        """What `attend_rows` asks for."""
        assert self.held is not None
        start, columns = self.cache.length, self.cache.grid.columns
        assert start % columns == 0, "rows begin where a row begins"
        if start == 0 or self.kind == "row":
            return None
        if self.kind == "previous_row":
            first = (start // columns - 1) % 2 * columns
            return KeysValues(*(part[:, :, first : first + columns] for part in self.held))
        return KeysValues(*(part[:, :, : min(start, part.shape[2])] for part in self._seen_by_all()))

    def _keep(self, keys: Float[Tensor, "B H s E"], values: Float[Tensor, "B H s E"]) -> None:
        """Hold what the positions after these rows may look at."""
        assert self.held is not None
        start, columns = self.cache.length, self.cache.grid.columns
        end = start + keys.shape[2]
        for held, new in zip(self.held, (keys, values), strict=True):
            match self.kind:
                case "row":
                    held.copy_(new[:, :, -columns:])
                case "previous_row":
                    for row_end in range(max(start + columns, end - columns), end + 1, columns):
                        first = (row_end // columns - 1) % 2 * columns
                        held[:, :, first : first + columns] = new[:, :, row_end - columns - start : row_end - start]
                case "prime":
                    stop = min(end, self.cache.grid.prime)
                    if start < stop:
                        held[:, :, start:stop] = new[:, :, : stop - start]
                case _:
                    held[:, :, start:end] = new

    def _seen_by_all(self) -> KeysValues:
        """Without the spare position of prime layers."""
        assert self.held is not None
        if self.kind != "prime":
            return self.held
        return KeysValues(*(part[:, :, : self.cache.grid.prime] for part in self.held))

    # ---- one position ----------------------------------------------------------------------------------------------

    def _step_by_views(
        self, query: Float[Tensor, "B H 1 E"], keys: Float[Tensor, "B H 1 E"], values: Float[Tensor, "B H 1 E"]
    ) -> Float[Tensor, "B H 1 E"]:
        assert self.held is not None
        grid, at = self.cache.grid, self.cache.length
        row, column = divmod(at, grid.columns)
        match self.kind:
            case "row":
                slot, seen = column, slice(column + 1)
            case "column":
                slot, seen = at, slice(column, at + 1, grid.columns)
            case "previous_row":  # before the first row there are zeros
                first = (row + 1) % 2 * grid.columns
                slot, seen = at % (2 * grid.columns), slice(first, first + grid.columns)
            case "prime":
                slot, seen = min(at, grid.prime), slice(min(at + 1, grid.prime))
            case _:
                slot, seen = at, slice(at + 1)
        for part, new in zip(self.held, (keys, values), strict=True):
            part.narrow(2, slot, 1).copy_(new)
        query = query.to(self.held.keys.dtype)
        keys, values = (part[:, :, seen] for part in self.held)
        if query.shape[:2] == (1, 1):  # one head alone is summed in another order by one thread than by several
            query, keys, values = (part.expand(2, -1, -1, -1) for part in (query, keys, values))
            return attend(query, keys, values)[:1]
        return attend(query, keys, values)

    def _step(
        self, query: Float[Tensor, "B H 1 E"], keys: Float[Tensor, "B H 1 E"], values: Float[Tensor, "B H 1 E"]
    ) -> Float[Tensor, "B H 1 E"]:
        assert self.held is not None
        grid, place = self.cache.grid, self.cache.place
        bias: Tensor | None
        match self.kind:
            case "row":
                slot, bias = place.column, place.in_row
            case "column":
                slot, bias = place.position, place.in_column
            case "previous_row":
                slot, bias = place.position % (2 * grid.columns), None
            case "prime":
                slot, bias = place.position.clamp(max=grid.prime), place.in_prime
            case _:
                slot, bias = place.position, place.in_all
        for part, new in zip(self.held, (keys, values), strict=True):
            part.index_copy_(2, slot, new.to(part.dtype))
        return _attend_one(query, *self._seen(place), bias)

    def _seen(self, place: _Place) -> KeysValues:
        """`[B, H, M, E]`: what the step may look at, and what its bias hides."""
        assert self.held is not None
        grid = self.cache.grid
        match self.kind:
            case "column":
                by_column = (part.unflatten(2, (grid.rows, grid.columns)) for part in self.held)
                return KeysValues(*(part.index_select(3, place.column).squeeze(3) for part in by_column))
            case "previous_row":  # before the first row there are zeros
                by_row = (part.unflatten(2, (2, grid.columns)) for part in self.held)
                return KeysValues(*(part.index_select(2, (place.row + 1) % 2).squeeze(2) for part in by_row))
            case _:
                return self._seen_by_all()


class SequenceCache:
    """State of B sequences, all equally far, on a grid of positions.

    `positions` `[n, D]` and `added` `[B, T, D]` are what each position's input gets beside its token; `opening` is what
    stands before the first code, in place of a token. Between them they make what `cadenza.engine.protocol.StepCache`
    asks for; there are no adapters.
    """

    beside = None

    def __init__(
        self,
        batch: int,
        grid: Grid,
        kinds: tuple[LayerKind, ...],
        num_heads: int,
        head_dim: int,
        device: torch.device | str = "cpu",
        dtype: torch.dtype = torch.float32,
    ) -> None:
        self.grid = grid
        self.batch = batch
        self.length = 0
        self.at = torch.zeros(1, dtype=torch.long, device=device)
        """The same as `length`, on the device."""
        self.by_views = torch.device(device).type == "cpu"
        """Which form a single step has."""
        self.positions: Float[Tensor, "n D"] | None = None
        self.added: Float[Tensor, "B T D"] | None = None
        self.opening: Float[Tensor, "B 1 D"] | None = None
        self._place: _Place | None = None
        held = {
            "row": grid.columns,
            "previous_row": 2 * grid.columns,
            "prime": grid.prime + 1,  # the last one takes what is not held
            "column": grid.length,
            "dense": grid.length,
        }
        self.layers = []
        for kind in kinds:
            pair = None
            if kind != "cross":
                shape = (batch, num_heads, held[kind], head_dim)
                pair = KeysValues(*(torch.zeros(shape, device=device, dtype=dtype) for _ in range(2)))
            self.layers.append(SequenceMemory(self, kind, pair))

    @property
    def num_bytes(self) -> int:
        """Memory of keys and values, in bytes, without those of a source."""
        return sum(part.nbytes for layer in self.layers if layer.held is not None for part in layer.held)

    @property
    def place(self) -> _Place:
        assert self._place is not None, "a step begins with bias()"
        return self._place

    def reset(self) -> None:
        """Forget everything but the allocation."""
        self.length = 0
        self.at.zero_()
        self.positions = self.added = self.opening = self._place = None
        for layer in self.layers:
            layer.source = None
            if layer.held is not None:
                for part in layer.held:
                    part.zero_()  # what is hidden gets a weight of zero, which does not help against NaN

    # ---- what the stack asks for -----------------------------------------------------------------------------------

    def bias(self, steps: int) -> Float[Tensor, "b s D"]:
        """Positions, and what is added, of the next steps. Prepares all layers for them."""
        added = self.addition(steps)
        assert self.positions is not None
        if steps > 1:
            return self.positions[None, self.length : self.length + steps].float() + added
        if not self.by_views:
            self._place = self._find()
        return self.positions.index_select(0, self.at)[None].float() + added

    def addition(self, steps: int) -> Float[Tensor, "b s D"]:
        """What is added to the next steps beside positions, and once more behind the stack of some models."""
        assert self.positions is not None, "step before prefill"
        assert self.length + steps <= self.grid.length, f"no room: {self.length} + {steps} of {self.grid.length}"
        if self.added is None:
            return torch.zeros(1, 1, self.positions.shape[1], device=self.at.device).expand(1, steps, -1)
        if steps == 1:
            return self.added.index_select(1, self.at)
        return self.added[:, self.length : self.length + steps]

    def layer(self, index: int) -> SequenceMemory:
        return self.layers[index]

    def advance(self, steps: int) -> None:
        self.length += steps
        self.at += steps

    def _find(self) -> _Place:
        grid, at = self.grid, self.at
        row, column = at // grid.columns, at % grid.columns
        limits = ((grid.columns, column), (grid.rows, row), (grid.prime, at), (grid.length, at))
        biases = (
            torch.zeros(1, 1, count, device=at.device).masked_fill_(
                torch.arange(count, device=at.device)[None, None] > last, float("-inf")
            )
            for count, last in limits
        )
        return _Place(at, row, column, *biases)


def _attend_one(
    query: Float[Tensor, "B H 1 E"],
    keys: Float[Tensor, "B H M E"],
    values: Float[Tensor, "B H M E"],
    bias: Float[Tensor, "1 1 M"] | None,
) -> Float[Tensor, "B H 1 E"]:
    """Attention of one query per row; what `bias` hides must be finite. The softmax is in float32."""
    query = (query * query.shape[-1] ** -0.5).flatten(0, 1).to(keys.dtype)
    keys_, values_ = keys.flatten(0, 1), values.flatten(0, 1)
    scores = torch.bmm(query, keys_.mT).float()
    weights = torch.softmax(scores if bias is None else scores + bias, dim=-1)
    return torch.bmm(weights.to(values_.dtype), values_).view(*keys.shape[:2], 1, -1)
