"""Many sequences, one step at a time: what each slot runs, and the step that moves all of them.

In: runs, each a sequence with blanks and how to fill them. Out: filled sequences. A step feeds every sequence's last
token through the decoder in one pass, mixes the predictions that belong together (guidance) and chooses one token per
stream. Nothing in it depends on which other sequences there are, and nothing is read back from the device.
"""

from collections import deque
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any, NamedTuple

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from cadenza.engine.cache import KVCache, whole_blocks
from cadenza.engine.graphs import Graphs
from cadenza.engine.grid import Grid
from cadenza.engine.lanes import Lanes
from cadenza.engine.protocol import Decoder, StepCache
from cadenza.errors import UserError
from cadenza.nn.beside import Gains
from cadenza.nn.guidance import mix, mix_probabilities
from cadenza.nn.sampling import Choice, sample

PREFILL_STEPS = 256
"""A long beginning is fed in parts, between which others go on."""


MARK_EVERY = 8
"""Steps between the points at which the host waits for the device to reach the point before."""


class Lane(NamedTuple):
    """Rows that hear conditions of one shape."""

    conditions: Any
    rows: int
    prefix_steps: int = 0


class Settings(NamedTuple):
    """How one sequence chooses (see `nn.sampling`) and is guided (see `nn.guidance`)."""

    temperature: float = 1.0
    top_k: int = 0
    top_p: float = 0.0
    greedy: bool = False
    scale: float = 1.0
    beta: float = 1.0
    of_probabilities: bool = False


class Run(NamedTuple):
    """A sequence to fill, from step `first` to step `last`; all before `first` is given.

    The rows of all lanes, in order, are its predictions: the conditional one, then, where the flags say so, the partial
    one and the null one.
    """

    lanes: Sequence[Lane]
    sequence: Int[Tensor, "K S"]
    writes: Bool[Tensor, "K S"]
    uniforms: Float[Tensor, "K S"] | None
    first: int
    last: int
    settings: Settings
    has_partial: bool = False
    has_null: bool = False
    gains: Gains = ()
    """Adapters beside the decoder's layers, the same for all its predictions."""

    @property
    def num_rows(self) -> int:
        return 1 + self.has_partial + self.has_null

    @property
    def cache_steps(self) -> int:
        """Steps that its caches hold at the end."""
        return self.last + max(lane.prefix_steps for lane in self.lanes)


class _Selection(NamedTuple):
    """The slots of a step and their rows, as index tensors."""

    slots: Int[Tensor, "b"]
    cache: StepCache
    slot_of_row: Int[Tensor, "R"]
    conditional: Int[Tensor, "b"]
    partial: Int[Tensor, "b"] | None
    null: Int[Tensor, "b"] | None
    scale: Float[Tensor, "b 1 1"]
    beta: Float[Tensor, "b 1 1"]
    of_probabilities: Bool[Tensor, "b 1 1"] | None
    choice: Choice


class _Slot:
    """A run under way."""

    def __init__(self, run: Run, caches: list[KVCache]) -> None:
        self.run = run
        self.caches = caches
        self.step = 0  # the last step that was fed is the one before
        self.is_ready = False


class Slots:
    """Up to `capacity` runs.

    Args:
        rows: predictions per slot, at most. On a grid every slot has as many; else only what a run needs is computed.
        max_steps: with it, all caches are allocated at once, as a grid that steps as a whole (for CUDA, with or without
            `graphs`); without, each run brings its own.
        measure: put around each step, given the number of slots that move (see `engine.threads`).
    """

    def __init__(
        self,
        decoder: Decoder[Any],
        capacity: int,
        num_codebooks: int,
        codebook_size: int,
        device: torch.device | str,
        *,
        rows: int = 2,
        max_steps: int | None = None,
        graphs: Graphs | None = None,
        measure: Callable[[int], AbstractContextManager[Any]] = nullcontext,
    ) -> None:
        self.decoder = decoder
        self.capacity = capacity
        self.num_codebooks = num_codebooks
        self.codebook_size = codebook_size
        self.device = torch.device(device)
        self.rows = rows
        self.graphs = graphs
        self.measure = measure
        # One step more than a run has, for the grid's unused rows to write into.
        self.grid = None if max_steps is None else Grid(decoder.new_cache(capacity * rows, max_steps + 1))
        self._slots: list[_Slot | None] = [None] * capacity
        self._selection: _Selection | None = None
        self._selected: list[int] = []
        self._held: dict[tuple[Any, ...], _Selection] = {}
        self._marks: deque[torch.cuda.Event] = deque()
        self._steps = 0
        self._allocate(0 if max_steps is None else max_steps + 1)

    # ---- coming and going ------------------------------------------------------------------------------------------

    @property
    def free(self) -> list[int]:
        """Slots without a run."""
        return [i for i, slot in enumerate(self._slots) if slot is None]

    @property
    def ready(self) -> list[int]:
        """Slots whose beginning is fed."""
        return [i for i, slot in enumerate(self._slots) if slot is not None and slot.is_ready]

    @property
    def preparing(self) -> list[int]:
        """Slots whose beginning is not fed yet."""
        return [i for i, slot in enumerate(self._slots) if slot is not None and not slot.is_ready]

    @torch.no_grad()
    def open(self, index: int, run: Run) -> None:
        """Give a free slot a run, and its conditions to the decoder."""
        assert self._slots[index] is None, f"slot {index} is taken"
        assert sum(lane.rows for lane in run.lanes) == run.num_rows
        if run.num_rows > self.rows:
            raise UserError(
                f"this guidance makes {run.num_rows} predictions a step, the engine has room for {self.rows}: "
                "leave out guidance_beta"
            )
        if self.grid is not None and run.cache_steps > self.grid.unused:
            raise UserError(
                f"the piece and its conditions take {run.cache_steps} steps, the engine has room for "
                f"{self.grid.unused}: shorten the text or the melody"
            )
        assert 1 <= run.first <= run.last < run.sequence.shape[1]
        caches = []
        row = index * self.rows
        for lane in run.lanes:
            if self.grid is None:
                cache = self.decoder.new_cache(lane.rows, lane.prefix_steps + run.last)
            else:
                cache = self.grid.lane(slice(row, row + lane.rows))
            cache.wear(run.gains)
            self.decoder.prefill(cache, lane.conditions)
            caches.append(cache)
            row += lane.rows
        self._slots[index] = _Slot(run, caches)

    @torch.no_grad()
    def prepare(self, index: int) -> None:
        """Feed the next part of a slot's beginning; at its end the slot is ready."""
        slot = self._taken(index)
        given = slot.run.first - 1  # the step feeds the last one
        end = min(slot.step + PREFILL_STEPS, given)
        if end > slot.step:
            tokens = slot.run.sequence[None, :, slot.step : end].to(self.device)
            for lane, cache in zip(slot.run.lanes, slot.caches, strict=True):
                self.decoder.feed(tokens.expand(lane.rows, -1, -1), cache)
            slot.step = end
        if slot.step == given:
            self._install(index, slot)

    def close(self, index: int) -> Int[Tensor, "K S"]:
        """Empty a slot; returns its sequence as far as it is filled."""
        slot = self._taken(index)
        self._slots[index] = self._selection = None  # first of all: a device may be lost at what follows
        if self.grid is not None:
            self.grid.release(slice(index * self.rows, (index + 1) * self.rows))
        self._writes[index] = False
        self._at[index] = self._moves[index] = 0  # a grid goes on computing it: it must not run off its end
        steps = slot.run.sequence.shape[1]
        return self.sequence[index, :, :steps].clone() if slot.is_ready else slot.run.sequence

    def run_of(self, index: int) -> Run:
        return self._taken(index).run

    # ---- one step --------------------------------------------------------------------------------------------------

    @torch.no_grad()
    def step(self, indices: Sequence[int]) -> list[int]:
        """Move these ready slots on; returns the step that each has filled. On a grid all ready slots move."""
        slots = [self._taken(i) for i in indices]
        with self.measure(len(slots)):
            if self.grid is None:
                self._step_lanes(indices)
            else:
                assert list(indices) == self.ready, "a grid moves as a whole"
                self._step_grid(self.grid, slots)
            self._keep_pace(slots)
        for slot in slots:
            slot.step += 1
        return [slot.step for slot in slots]

    def _keep_pace(self, slots: Sequence[_Slot]) -> None:
        """Let a CUDA device fall behind by a few steps only, so that progress is true and stopping is quick."""
        if self.device.type != "cuda" or max(slot.step for slot in slots) % MARK_EVERY:
            return
        mark = torch.cuda.Event()
        mark.record()
        self._marks.append(mark)
        if len(self._marks) > 1:
            self._marks.popleft().synchronize()

    def _step_lanes(self, indices: Sequence[int]) -> None:
        if self._selection is None or self._selected != list(indices):
            self._selection, self._selected = self._select(indices), list(indices)
        with torch.inference_mode():  # 5 % of a step of the model inside; nothing that is made in it outlives it
            self._move(self._selection)

    def _step_grid(self, grid: Grid, slots: Sequence[_Slot]) -> None:
        if self._selection is None:
            self._selection = self._at_fixed_addresses(self._select(range(self.capacity)))
            if self.graphs is not None and grid.changed:
                self.graphs.forget()
                grid.changed = False
        selection = self._selection
        longest = max(cache.length for slot in slots for cache in slot.caches)
        context = min(_bucket(longest + 1), grid.cache.max_steps)
        for slot in slots:
            for cache in slot.caches:
                cache.length += 1

        def move() -> None:
            grid.begin(context)
            self._move(selection)

        if self.graphs is None:
            move()
        else:
            self.graphs.run((context, grid.mounted, *_kernels(selection)), move)

    def _at_fixed_addresses(self, chosen: _Selection) -> _Selection:
        """The same numbers in the tensors that recordings of this kind of step read."""
        held = self._held.setdefault(_kernels(chosen), chosen)
        if held is not chosen:
            for old, new in zip((*held, *held.choice), (*chosen, *chosen.choice), strict=True):
                if isinstance(old, Tensor) and isinstance(new, Tensor):
                    old.copy_(new)
        return held

    def _move(self, chosen: _Selection) -> None:
        """The step itself: token in, token out, all on the device."""
        at = self._at[chosen.slots]
        tokens = self.sequence[chosen.slots, :, at][chosen.slot_of_row]
        logits = self.decoder.step(tokens[:, :, None], chosen.cache)[:, :, -1]
        mixed = logits[chosen.conditional]
        if chosen.partial is not None:
            mixed = mix(mixed, None, logits[chosen.partial], 1.0, chosen.beta)
        if chosen.null is not None:
            null = logits[chosen.null]
            guided = mix(mixed, null, None, chosen.scale)
            if chosen.of_probabilities is not None:
                guided = torch.where(chosen.of_probabilities, mix_probabilities(mixed, null, chosen.scale), guided)
            mixed = guided
        tokens = sample(mixed, self._uniforms[chosen.slots, :, at + 1], chosen.choice)
        known = self.sequence[chosen.slots, :, at + 1]
        self.sequence[chosen.slots, :, at + 1] = torch.where(self._writes[chosen.slots, :, at + 1], tokens, known)
        self._at[chosen.slots] = at + self._moves[chosen.slots]

    # ---- state -----------------------------------------------------------------------------------------------------

    def _taken(self, index: int) -> _Slot:
        slot = self._slots[index]
        assert slot is not None, f"slot {index} is free"
        return slot

    def _allocate(self, steps: int) -> None:
        """Room for sequences of that many steps; what is there stays."""
        before = self._steps
        shape = (self.capacity, self.num_codebooks, steps)
        sequence = torch.zeros(shape, dtype=torch.int64, device=self.device)
        writes = torch.zeros(shape, dtype=torch.bool, device=self.device)
        uniforms = torch.full(shape, 0.5, device=self.device)
        if before:
            sequence[..., :before], writes[..., :before] = self.sequence, self._writes
            uniforms[..., :before] = self._uniforms
        else:
            self._at: Int[Tensor, "B"] = torch.zeros(self.capacity, dtype=torch.int64, device=self.device)
            self._moves = torch.zeros_like(self._at)
        self.sequence: Int[Tensor, "B K S"] = sequence
        """The sequences of all slots, as far as they are filled; on the device."""
        self._writes: Bool[Tensor, "B K S"] = writes
        self._uniforms: Float[Tensor, "B K S"] = uniforms
        self._steps = steps

    def _install(self, index: int, slot: _Slot) -> None:
        """From the next step on, the slot takes part."""
        run = slot.run
        steps = run.sequence.shape[1]
        if steps > self._steps:
            assert self.grid is None
            self._allocate(whole_blocks(steps))
        self.sequence[index, :, :steps] = run.sequence
        self._writes[index] = False
        self._writes[index, :, :steps] = run.writes
        if run.uniforms is not None:
            self._uniforms[index, :, :steps] = run.uniforms
        self._at[index] = slot.step
        self._moves[index] = 1
        if self.grid is not None:
            row = index * self.rows
            for lane, cache in zip(run.lanes, slot.caches, strict=True):
                self.grid.admit(slice(row, row + lane.rows), cache)
                row += lane.rows
        slot.is_ready = True
        self._selection = None

    def _select(self, indices: Sequence[int]) -> _Selection:
        """Index tensors for a step of these slots. On a grid, free slots are computed too: they change nothing."""
        settings, conditional, partial, null = [], [], [], []
        slot_of_row: list[int] = []
        caches: list[KVCache] = []
        for position, index in enumerate(indices):
            slot = self._slots[index]
            run = slot.run if slot is not None and slot.is_ready else None
            first = index * self.rows if self.grid is not None else len(slot_of_row)
            rows = self.rows if self.grid is not None or run is None else run.num_rows
            slot_of_row += [position] * rows
            conditional.append(first)
            partial.append(first + 1 if run is not None and run.has_partial else first)
            null.append(first + run.num_rows - 1 if run is not None and run.has_null else first)
            guided = (Settings(), False, False) if run is None else (run.settings, run.has_partial, run.has_null)
            settings.append(guided)
            caches += [] if slot is None or self.grid is not None else slot.caches

        def tensor(values: Sequence[float]) -> Tensor:
            return torch.tensor(values, device=self.device)

        def column(values: Sequence[float]) -> Float[Tensor, "n 1 1"]:
            return tensor(values)[:, None, None]

        of_probabilities = [one.of_probabilities and has_null for one, _, has_null in settings]
        cache: StepCache = self.grid if self.grid is not None else Lanes(caches) if len(caches) > 1 else caches[0]
        return _Selection(
            tensor(list(indices)),
            cache,
            tensor(slot_of_row),
            tensor(conditional),
            tensor(partial) if any(has_partial for _, has_partial, _ in settings) else None,
            tensor(null) if any(has_null for _, _, has_null in settings) else None,
            column([one.scale if has_null else 1.0 for one, _, has_null in settings]),
            column([one.beta if has_partial else 1.0 for one, has_partial, _ in settings]),
            tensor(of_probabilities).bool()[:, None, None] if any(of_probabilities) else None,
            Choice.of(
                [(one.temperature, one.top_k, one.top_p, one.greedy) for one, _, _ in settings],
                self.codebook_size,
                self.device,
            ),
        )


def _bucket(context: int) -> int:
    """Contexts that share a recording: few enough to record, close enough to waste little."""
    return next((size for size in (128, 256, 512, 768, 1024) if size >= context), -(-context // 512) * 512)


def _kernels(chosen: _Selection) -> tuple[Any, ...]:
    """What decides which kernels a step runs."""
    return (
        len(chosen.slots), chosen.partial is not None, chosen.null is not None, chosen.of_probabilities is not None,
        chosen.choice.largest_k, chosen.choice.any_top_p, chosen.choice.any_greedy, chosen.choice.all_greedy,
    )  # fmt: skip
