"""Codebook patterns: how K parallel streams of codes become the steps of one autoregressive sequence, and back.

In: codes `[B, K, T]`. Out: a sequence `[B, K, S]` with a special token wherever a codebook has nothing to say. A
pattern is data: its layout lists, for each step, the coordinates (timestep, codebook) that the step holds; one engine
builds and reverts from the layout alone. Copet et al. (2023, "Simple and controllable music generation", section 2.2);
coarse first: Borsos et al. (2023, AudioLM); groups: Agostinelli et al. (2023, MusicLM).

Stereo needs no pattern of its own: left and right of a mono codec interleave as 2K codebooks, and what a mono pattern
says of a codebook holds for both of its channels: stereo delay is a delay of `[0, 0, 1, 1, ...]` (`stereo_pattern`).
"""

import functools
from collections.abc import Iterable
from typing import Annotated, Literal, NamedTuple

import torch
from jaxtyping import Bool, Float, Int
from pydantic import Field
from torch import Tensor

from cadenza.checkpoint import Config
from cadenza.errors import UserError

Coordinate = tuple[int, int]
"""(timestep, codebook)"""
Layout = list[list[Coordinate]]


class DelayConfig(Config):
    """Codebook k runs `delays[k]` steps behind: delay, partial delay `[0, 1, 1, 1]`, and their stereo forms."""

    kind: Literal["delay"] = "delay"
    delays: tuple[int, ...] | None = Field(None, description="steps of delay per codebook, ascending; None: 0 .. K-1")
    flatten_first: int = Field(0, ge=0, description="timesteps at the start that are emitted one codebook per step")
    empty_initial: int = Field(0, description="further empty steps at the start; negative: not even the first one")

    @classmethod
    def partial(cls, num_codebooks: int) -> "DelayConfig":
        """Partial delay: all codebooks but the first run one step behind it, `[0, 1, 1, 1]`."""
        return cls(delays=_one_then_rest(num_codebooks))

    @classmethod
    def stereo(cls, num_codebooks: int) -> "DelayConfig":
        """Stereo delay, `num_codebooks` of both channels together: `[0, 0, 1, 1, 2, 2, 3, 3]` for 8."""
        return cls(delays=_twice(range(_per_channel(num_codebooks))))

    @classmethod
    def stereo_partial(cls, num_codebooks: int) -> "DelayConfig":
        """Stereo partial delay, `num_codebooks` of both channels together: `[0, 0, 1, 1, 1, 1, 1, 1]` for 8."""
        return cls(delays=_twice(_one_then_rest(_per_channel(num_codebooks))))

    def layout(self, num_codebooks: int, num_frames: int) -> Layout:
        delays = self.delays or tuple(range(num_codebooks))
        steps = _initial_steps(self.empty_initial)
        steps += [[(t, k)] for t in range(min(num_frames, self.flatten_first)) for k in range(num_codebooks)]
        for step in range(self.flatten_first, num_frames + max(delays)):
            steps.append([(step - delay, k) for k, delay in enumerate(delays) if step - delay >= self.flatten_first])
        return steps


class ParallelConfig(Config):
    """All codebooks of a timestep at once."""

    kind: Literal["parallel"] = "parallel"
    empty_initial: int = Field(0, description="further empty steps at the start; negative: not even the first one")

    def layout(self, num_codebooks: int, num_frames: int) -> Layout:
        steps = _initial_steps(self.empty_initial)
        return steps + [[(t, k) for k in range(num_codebooks)] for t in range(num_frames)]


class FlattenConfig(Config):
    """Codebooks of a timestep one after the other: flattening; partial flattening where several share an inner step.

    With delays, whole inner steps move back in time and are sorted anew by (timestep + delay, coordinates).
    """

    kind: Literal["unroll"] = "unroll"
    flattening: tuple[int, ...] | None = Field(None, description="inner step per codebook, ascending; None: 0 .. K-1")
    delays: tuple[int, ...] | None = Field(None, description="delay in timesteps per codebook, ascending; None: none")

    @classmethod
    def partial(cls, num_codebooks: int) -> "FlattenConfig":
        """Partial flattening: the first codebook alone, then the others together, `[0, 1, 1, 1]`."""
        return cls(flattening=_one_then_rest(num_codebooks))

    def layout(self, num_codebooks: int, num_frames: int) -> Layout:
        flattening = self.flattening or tuple(range(num_codebooks))
        delays = self.delays or (0,) * num_codebooks
        inner: dict[int, list[int]] = {}
        for k, step in enumerate(flattening):
            inner.setdefault(step, []).append(k)
        total = num_frames + max(delays)
        timed: list[tuple[int, list[Coordinate]]] = []
        for step in range(max(flattening) + 1):
            group = inner.get(step, [])
            delay = delays[group[0]] if group else 0
            timed += [(t + delay, [(t, k) for k in group]) for t in range(total - delay)]
        return [[], *(coordinates for _, coordinates in sorted(timed))]


class CoarseFirstConfig(Config):
    """All of the first codebook, then the others in parallel (with delays). Works at the length of training alone."""

    kind: Literal["coarse_first"] = "coarse_first"
    delays: tuple[int, ...] | None = Field(None, description="delays of codebooks 1 .. K-1, ascending; None: none")

    def layout(self, num_codebooks: int, num_frames: int) -> Layout:
        delays = self.delays or (0,) * (num_codebooks - 1)
        coarse: Layout = [[(t, 0)] for t in range(num_frames)]
        fine: Layout = [
            [(step - delay, k) for k, delay in enumerate(delays, start=1) if step >= delay]
            for step in range(num_frames + max(delays, default=0) if delays else 0)
        ]
        return [[], *coarse, *fine]


class MusicLMConfig(Config):
    """Groups of codebooks one after the other; within a group, flattened."""

    kind: Literal["musiclm"] = "musiclm"
    group_by: int = Field(2, ge=1, description="codebooks per group")

    def layout(self, num_codebooks: int, num_frames: int) -> Layout:
        steps: Layout = [[]]
        for first in range(0, num_codebooks, self.group_by):
            group = range(first, min(first + self.group_by, num_codebooks))
            steps += [[(t, k)] for t in range(num_frames) for k in group]
        return steps


PatternConfig = Annotated[
    DelayConfig | ParallelConfig | FlattenConfig | CoarseFirstConfig | MusicLMConfig, Field(discriminator="kind")
]


def stereo_pattern(mono: PatternConfig, num_codebooks: int) -> PatternConfig:
    """The pattern of left and right in turn, `2 * num_codebooks` streams, that treats both as `mono` treats one.

    Raises UserError for coarse first, whose first part has room for one codebook only.
    """
    if isinstance(mono, CoarseFirstConfig):
        raise UserError(
            "a coarse_first pattern has no stereo form: its first part holds one codebook, stereo needs two"
        )
    changes: dict[str, object] = {}
    if isinstance(mono, DelayConfig):
        changes["delays"] = _twice(mono.delays or range(num_codebooks))
    elif isinstance(mono, FlattenConfig):
        changes["flattening"] = _twice(mono.flattening or range(num_codebooks))
        changes["delays"] = mono.delays and _twice(mono.delays)
    elif isinstance(mono, MusicLMConfig):
        changes["group_by"] = 2 * mono.group_by
    return mono.model_copy(update=changes)


class PatternIndex(NamedTuple):
    """A layout for T timesteps as index tensors."""

    frame_of: Int[Tensor, "K S"]
    """Timestep that codebook k holds at step s, or T where it holds the special token."""
    step_of: Int[Tensor, "K T"]
    """Step that holds timestep t of codebook k, or S where no step does."""
    complete: Int[Tensor, "S"]
    """Timesteps of which all codebooks are known once step s is (counted from the first)."""


class CodebookPattern:
    """Builds sequences from codes and reverts them, for one `PatternConfig` and number of codebooks."""

    def __init__(self, config: PatternConfig, num_codebooks: int) -> None:
        self.config = config
        self.num_codebooks = num_codebooks
        _check(config, num_codebooks)

    def layout(self, num_frames: int) -> Layout:
        """For each step, the (timestep, codebook) pairs it holds; timesteps at or beyond `num_frames` are padding."""
        return self.config.layout(self.num_codebooks, num_frames)

    def index(self, num_frames: int, valid_only: bool = False, device: torch.device | str = "cpu") -> PatternIndex:
        """The layout as tensors, cached per length. `valid_only` leaves out the last steps, where delayed codebooks
        run out one by one (training does: with delays, S is then T + 1)."""
        return _index(self.config, self.num_codebooks, num_frames, valid_only, torch.device(device))

    def num_steps(self, num_frames: int, valid_only: bool = False) -> int:
        return self.index(num_frames, valid_only).frame_of.shape[1]

    def first_step(self, num_frames: int, frame: int) -> int:
        """The first step that holds timestep `frame` in any codebook."""
        return int(self.index(num_frames).step_of[:, frame].min())

    def build(
        self, codes: Int[Tensor, "B K T"], special: int, valid_only: bool = False
    ) -> tuple[Int[Tensor, "B K S"], Bool[Tensor, "K S"]]:
        """Codes to the sequence and the mask of its positions that hold a code; the others hold `special`."""
        batch, _, num_frames = codes.shape
        frame_of = self.index(num_frames, valid_only, codes.device).frame_of
        padded = torch.nn.functional.pad(codes, (0, 1), value=special)
        return padded.gather(2, frame_of.expand(batch, -1, -1)), frame_of < num_frames

    def revert(
        self, sequence: Int[Tensor, "B K S"], num_frames: int, fill: int, valid_only: bool = False
    ) -> tuple[Int[Tensor, "B K T"], Bool[Tensor, "K T"]]:
        """The sequence back to `num_frames` codes; `fill` (and False in the mask) where the sequence lacks one."""
        batch, _, steps = sequence.shape
        step_of = self.index(num_frames, valid_only, sequence.device).step_of
        present = step_of < steps
        padded = torch.nn.functional.pad(sequence, (0, 1), value=fill)
        return padded.gather(2, step_of.clamp(max=steps).expand(batch, -1, -1)), present

    def revert_logits(
        self,
        logits: Float[Tensor, "B K S V"],
        num_frames: int,
        valid_only: bool = False,
        fill: float = float("nan"),
    ) -> tuple[Float[Tensor, "B K T V"], Bool[Tensor, "K T"]]:
        """Logits per step to logits per code: the output at step s predicts what step s + 1 holds.

        Logits of the last step may be left out. Codes that no output predicts get `fill` and False in the mask.
        """
        steps = logits.shape[2]
        step_of = self.index(num_frames, valid_only, logits.device).step_of - 1
        num_steps = self.num_steps(num_frames, valid_only)
        assert num_steps - 1 <= steps <= num_steps, f"{steps} steps of logits for a sequence of {num_steps}"
        present = (step_of >= 0) & (step_of < num_steps - 1)
        rows = step_of.clamp(0, steps - 1)
        picked = torch.stack([logits[:, k].index_select(1, rows[k]) for k in range(logits.shape[1])], dim=1)
        if not bool(present.all()):
            picked = picked.masked_fill(~present[None, :, :, None], fill)
        return picked, present


def _twice(values: Iterable[int]) -> tuple[int, ...]:
    return tuple(value for value in values for _ in range(2))


def _one_then_rest(num_codebooks: int) -> tuple[int, ...]:
    return tuple(min(k, 1) for k in range(num_codebooks))


def _per_channel(num_codebooks: int) -> int:
    if num_codebooks < 2 or num_codebooks % 2:
        raise UserError(f"{num_codebooks} codebooks are no stereo: left and right have the same number, give it twice")
    return num_codebooks // 2


def _initial_steps(empty_initial: int) -> Layout:
    return [] if empty_initial < 0 else [[] for _ in range(1 + empty_initial)]


@functools.lru_cache(maxsize=100)
def _index(
    config: PatternConfig, num_codebooks: int, num_frames: int, valid_only: bool, device: torch.device
) -> PatternIndex:
    layout = config.layout(num_codebooks, num_frames)
    if valid_only:
        padding = max((t + 1 for step in layout for t, _ in step), default=0) - num_frames
        layout = layout[: len(layout) - padding]
    steps = len(layout)
    frame_of = torch.full((num_codebooks, steps), num_frames)
    step_of = torch.full((num_codebooks, num_frames), steps)
    for s, step in enumerate(layout):
        for t, k in step:
            if t < num_frames:
                frame_of[k, s] = t
                step_of[k, t] = s
    # A timestep counts as complete only when those before it are: streams are emitted in order.
    last = step_of.amax(dim=0).cummax(dim=0).values if num_frames else step_of.new_zeros(0)
    complete = torch.searchsorted(last, torch.arange(steps), right=True)
    return PatternIndex(frame_of.to(device), step_of.to(device), complete)


def _check(config: PatternConfig, num_codebooks: int) -> None:
    """A layout must name each codebook and keep its timesteps in order."""
    lists: dict[str, tuple[tuple[int, ...] | None, int]] = {}
    if isinstance(config, DelayConfig | FlattenConfig):
        lists["delays"] = (config.delays, num_codebooks)
    if isinstance(config, CoarseFirstConfig):
        lists["delays"] = (config.delays, num_codebooks - 1)
    if isinstance(config, FlattenConfig):
        lists["flattening"] = (config.flattening, num_codebooks)
    for name, (values, expected) in lists.items():
        if values is None:
            continue
        if len(values) != expected:
            raise UserError(f"{config.kind} pattern: {name} has {len(values)} entries, {expected} expected")
        if list(values) != sorted(values) or (values and values[0] < 0):
            raise UserError(f"{config.kind} pattern: {name} {list(values)} must ascend from 0 or more")
    if isinstance(config, FlattenConfig) and config.flattening and config.delays:
        for step in set(config.flattening):
            shared = {delay for delay, inner in zip(config.delays, config.flattening, strict=True) if inner == step}
            if len(shared) > 1:
                raise UserError(
                    f"unroll pattern: codebooks of inner step {step} have delays {sorted(shared)}; give them the same"
                )
