"""A fixed grid of cache rows, one step of all of them at once, at the same addresses every time.

In: rows that are filled and emptied one group at a time. Out: a `StepCache` whose step is the same list of kernels for
any content, as a CUDA graph demands: positions and biases are tensors, what a row does not hold is hidden, and a row
without a sequence computes on what is left there and writes into a last step that no sequence uses.
"""

from weakref import WeakKeyDictionary

import torch
from jaxtyping import Float, Int
from torch import Tensor

from cadenza.engine.cache import KVCache, allocate_layer
from cadenza.nn.attend import attend_biased
from cadenza.nn.attention import KeysValues
from cadenza.nn.beside import Beside, Gains, Mounted, Share

SOURCE_BLOCK = 16
"""Cross-attention sources are as long as the longest so far, rounded up to this."""


class Grid:
    """Keys and values of R rows over the steps of one cache.

    `lane(rows)` is a cache of its own over some rows, to be filled; `admit` makes what it holds part of the grid's
    steps, `release` takes it out. `changed` tells that addresses are new: what was recorded must be thrown away.
    """

    def __init__(self, cache: KVCache) -> None:
        self.cache = cache
        device = cache.layers[0].keys.device
        rows = cache.batch
        self.device = device
        self.unused = cache.max_steps - 1
        self.positions: Int[Tensor, "R"] = torch.full((rows,), self.unused, device=device)
        self.active: Int[Tensor, "R"] = torch.zeros(rows, dtype=torch.int64, device=device)
        self.row_index = torch.arange(rows, device=device)
        self.step_index = torch.arange(cache.max_steps, device=device)
        self.bias_rows: Float[Tensor, "b M D"] | None = None
        self.sources: list[KeysValues] = []
        self.source_bias: Float[Tensor, "R 1 1 L"] | None = None
        self.context = cache.max_steps
        self.beside: Beside | None = None
        self._gains: WeakKeyDictionary[Mounted, Float[Tensor, "R 1 1"]] = WeakKeyDictionary()
        """Kept at one address for the recordings that read it, as long as there is the adapter."""
        self._users: dict[int, tuple[slice, Gains]] = {}
        """By first row: who is there."""
        self.changed = False
        self.step_bias: Float[Tensor, "R 1 1 M"] | None = None

    def lane(self, rows: slice) -> KVCache:
        """An empty cache over these rows' memory.

        Zeros: what a row does not hold gets a weight of zero, which does not help against NaN that a piece left there.
        """
        for layer in self.cache.layers:
            layer.keys[rows], layer.values[rows] = 0, 0
        return KVCache([KeysValues(layer.keys[rows], layer.values[rows]) for layer in self.cache.layers])

    def admit(self, rows: slice, lane: KVCache) -> None:
        """From the next step on these rows go on from what `lane` holds."""
        assert lane.input_bias is not None
        self._take_bias(rows, lane.input_bias)
        if lane.sources:
            self._take_sources(rows, lane)
        assert bool(lane.sources) == bool(self.sources), "some conditions have a cross-attention source, some have none"
        for layer in self.cache.layers:  # steps went on in between, and wrote there
            layer.keys[rows, :, self.unused], layer.values[rows, :, self.unused] = 0, 0
        self.positions[rows] = lane.length
        self.active[rows] = 1
        self._users[rows.start] = (rows, lane.gains)
        self._set_gains()

    def release(self, rows: slice) -> None:
        """These rows are nobody's."""
        self.positions[rows] = self.unused
        self.active[rows] = 0
        self._users = {first: user for first, user in self._users.items() if not rows.start <= first < rows.stop}
        self._set_gains()

    def begin(self, context: int) -> None:
        """Before a step: attention reads the first `context` steps of each row, of which it sees those it holds."""
        self.context = context
        ahead = self.step_index[:context] > self.positions[:, None]
        self.step_bias = self._hiding(ahead)[:, None, None]

    @property
    def mounted(self) -> tuple[int, ...]:
        """The adapters of a step, by serial number: steps with others are other kernels."""
        return () if self.beside is None else tuple(share.mounted.serial for share in self.beside.shares)

    # ---- what a decoder asks for -----------------------------------------------------------------------------------

    def bias(self, steps: int) -> Float[Tensor, "R 1 D"]:
        assert steps == 1 and self.bias_rows is not None, "a grid moves by one step"
        row = self.row_index if len(self.bias_rows) > 1 else torch.zeros_like(self.row_index)
        return self.bias_rows[row, self.positions][:, None]

    def layer(self, index: int) -> "GridMemory":
        return GridMemory(self, index)

    def advance(self, steps: int) -> None:
        self.positions += self.active

    def _hiding(self, hidden: Tensor) -> Tensor:
        """What is added to scores, in their dtype."""
        return torch.zeros_like(hidden, dtype=self.cache.layers[0].keys.dtype).masked_fill(hidden, float("-inf"))

    # ---- room ------------------------------------------------------------------------------------------------------

    def _set_gains(self) -> None:
        """Every adapter that anybody uses computes all rows; those of others count it zero times."""
        used: dict[Mounted, Tensor] = {}
        for held in self._gains.values():
            held.zero_()
        for rows, gains in self._users.values():
            for mounted, gain in gains:
                if mounted not in self._gains:
                    self._gains[mounted] = torch.zeros(len(self.positions), 1, 1, device=self.device)
                used[mounted] = self._gains[mounted]
                used[mounted][rows] = gain
        self.beside = Beside([Share(mounted, None, gain) for mounted, gain in used.items()]) if used else None

    def _take_bias(self, rows: slice, bias: Float[Tensor, "b M D"]) -> None:
        """Positions are the same in every row and are kept once, until conditions are summed to some."""
        if self.bias_rows is None:
            self.bias_rows, self.changed = bias.clone(), True
        if len(self.bias_rows) == 1 and not (len(bias) == 1 and torch.equal(bias, self.bias_rows)):
            self.bias_rows, self.changed = self.bias_rows.repeat(len(self.positions), 1, 1), True
        if len(self.bias_rows) > 1:
            self.bias_rows[rows] = bias

    def _take_sources(self, rows: slice, lane: KVCache) -> None:
        length = lane.sources[0].keys.shape[2]
        if self.source_bias is None or self.source_bias.shape[3] < length:
            self._grow_sources(lane, -(-length // SOURCE_BLOCK) * SOURCE_BLOCK)
        assert self.source_bias is not None
        for held, new in zip(self.sources, lane.sources, strict=True):
            held.keys[rows], held.values[rows] = 0, 0
            held.keys[rows, :, :length] = new.keys.to(held.keys.dtype)
            held.values[rows, :, :length] = new.values.to(held.values.dtype)
        self.source_bias[rows] = float("-inf")
        self.source_bias[rows, 0, 0, :length] = 0 if lane.source_mask is None else self._hiding(~lane.source_mask)

    def _grow_sources(self, lane: KVCache, length: int) -> None:
        rows = len(self.positions)
        _, heads, _, width = lane.sources[0].keys.shape
        dtype = self.cache.layers[0].keys.dtype
        grown = [allocate_layer((rows, heads, length, width), self.device, dtype) for _ in lane.sources]
        # A row that nobody uses sees something finite, for attention over nothing is not a number.
        bias = torch.zeros(rows, 1, 1, length, dtype=dtype, device=self.device)
        if self.source_bias is not None:
            before = self.source_bias.shape[3]
            for old, new in zip(self.sources, grown, strict=True):
                new.keys[:, :, :before] = old.keys
                new.values[:, :, :before] = old.values
            bias[..., before:] = float("-inf")
            bias[..., :before] = self.source_bias
        self.sources, self.source_bias, self.changed = grown, bias, True


class GridMemory:
    """One layer of a grid."""

    def __init__(self, grid: Grid, index: int) -> None:
        self.grid = grid
        self.index = index

    @property
    def has_source(self) -> bool:
        return bool(self.grid.sources)

    def attend(
        self, query: Float[Tensor, "R H 1 E"], keys: Float[Tensor, "R H 1 E"], values: Float[Tensor, "R H 1 E"]
    ) -> Float[Tensor, "R H 1 E"]:
        grid, held = self.grid, self.grid.cache.layers[self.index]
        held.keys[grid.row_index, :, grid.positions] = keys[:, :, 0]
        held.values[grid.row_index, :, grid.positions] = values[:, :, 0]
        assert grid.step_bias is not None
        return attend_biased(query, held.keys[:, :, : grid.context], held.values[:, :, : grid.context], grid.step_bias)

    def attend_source(self, query: Float[Tensor, "R H 1 E"]) -> Float[Tensor, "R H 1 E"]:
        source, bias = self.grid.sources[self.index], self.grid.source_bias
        assert bias is not None
        return attend_biased(query, source.keys, source.values, bias)
