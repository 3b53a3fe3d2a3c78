"""Generation: conditions and seeds to codes, frame by frame.

In: a language model, fused conditions, one seed per item. Out: an iterator of codes as they become complete, so that
audio can be decoded while the rest is made. Copet et al. (2023); the token loop keeps what a prompt fixes, writes what
is unknown, and feeds each step back.
"""

import functools
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

import pydantic
import torch
from jaxtyping import Int
from pydantic import Field
from torch import Tensor

from cadenza.checkpoint import Options
from cadenza.conditioning.fuser import FusedConditions
from cadenza.engine.graphs import Graphs
from cadenza.engine.scheduler import Scheduler
from cadenza.engine.slots import Run, Settings, Slots
from cadenza.errors import UserError
from cadenza.lm.guidance import GuidanceDomain, GuidedConditions, Predictions, predictions
from cadenza.lm.model import LM
from cadenza.lm.windows import Window
from cadenza.nn.beside import Gains
from cadenza.nn.sampling import uniforms


class GenerationConfig(Options):
    """How to generate. One object for Python, command line, HTTP and file metadata. The defaults are MusicGen's."""

    subject = "generation"

    duration: float = Field(10.0, gt=0, le=86400, allow_inf_nan=False, description="length, seconds, prompt included")
    top_k: int = Field(250, ge=0, description="sample among this many best codes (ties kept); 0: all")
    top_p: float = Field(0.0, ge=0, le=1, description="sample within this probability mass; wins over top_k; 0: off")
    temperature: float = Field(1.0, ge=0, allow_inf_nan=False, description="flattens (>1) or sharpens (<1); 0: greedy")
    guidance: float = Field(3.0, allow_inf_nan=False, description="strength of the conditions; 1: none")
    guidance_beta: float | None = Field(None, allow_inf_nan=False, description="text over style (double guidance)")
    guidance_domain: GuidanceDomain = Field("logits", description="probabilities: mixes those, guidance in 0 .. 1")
    two_step_guidance: bool = Field(False, description="separate passes, each with its own text length")
    greedy: bool = Field(False, description="always the most likely code; seeds have no effect")
    extend_stride: float = Field(
        18.0, gt=0, allow_inf_nan=False, description="advance of windows in long pieces, seconds"
    )
    anchor: float = Field(
        0.0,
        ge=0,
        allow_inf_nan=False,
        description="in long pieces, seconds of the opening kept in view in place of as much of the oldest; 0: none",
    )

    @pydantic.model_validator(mode="after")
    def _domain(self) -> "GenerationConfig":
        if self.guidance_domain == "probabilities" and not 0 <= self.guidance <= 1:
            raise ValueError(f"guidance {self.guidance} mixes probabilities: choose it from 0 to 1")
        return self


class Frames(NamedTuple):
    """New codes: `codes[..., i]` is frame `first + i` of the piece."""

    first: int
    codes: Int[Tensor, "*B K n"]


class CodesJob:
    """One item on its way through the engine: window after window, frames as they become complete.

    Args:
        num_frames: length of the piece, prompt included.
        windows: from `plan_windows`; `conditions_for` gives each its conditions (of one item).
        anchor_frames: how much of the opening is kept in view (see `Window.remembered`).
        first_frame: the place of the prompt's first frame in a longer piece; frames are numbered from there.
        gains: adapters, and how much each counts.
        emit_every: frames to collect before they are put out; on a device whose work is queued, fetching has a price.
    """

    def __init__(
        self,
        lm: LM,
        config: GenerationConfig,
        num_frames: int,
        seed: int,
        windows: Sequence[Window],
        conditions_for: Callable[[Window], GuidedConditions],
        prompt_codes: Int[Tensor, "K P"] | None = None,
        first_frame: int = 0,
        emit_every: int = 1,
        anchor_frames: int = 0,
        gains: Gains = (),
    ) -> None:
        self.lm = lm
        self.config = config
        self.windows = deque(windows)
        self.conditions_for = conditions_for
        self.seed = seed
        self.first_frame = first_frame
        self.emit_every = emit_every
        self.anchor_frames = anchor_frames
        self.gains = gains
        self.codes = torch.zeros(lm.config.num_codebooks, num_frames, dtype=torch.int64, device=lm.device)
        if prompt_codes is not None:
            self.codes[:, : prompt_codes.shape[1]] = prompt_codes
        self.frames: deque[Frames] = deque()
        """What is complete and not yet taken, codes `[K, n]`."""
        self.steps_done = 0
        self.total_steps = sum(_steps(lm, window)[1] - _steps(lm, window)[0] + 1 for window in windows)
        self.is_cancelled = False
        self.is_waiting = False
        self.is_done = False
        self.error: BaseException | None = None
        self._window: Window | None = None
        self._ready: tuple[Tensor, int] | None = None
        """The sequence of the window under way, and how many frames of it are complete."""

    def needs(self) -> tuple[int, int]:
        """Rows, and steps of a cache, that its largest runs take: texts may change on the way, or begin later."""
        heard = [self._predictions(window).lanes for window in self.windows]
        steps = max(_steps(self.lm, window)[1] for window in self.windows)
        prefix = max(lane.prefix_steps for lanes in heard for lane in lanes)
        return max(sum(lane.rows for lane in lanes) for lanes in heard), steps + prefix

    # ---- what the scheduler calls ----------------------------------------------------------------------------------

    @torch.no_grad()
    def next_run(self) -> Run | None:
        if not self.windows:
            return None
        window = self._window = self.windows.popleft()
        lm, config = self.lm, self.config
        length, context = window.end - window.start, window.begin - window.start
        self._index = index = lm.pattern.index(length, device=lm.device)
        self._complete: list[int] = index.complete.tolist()
        self._emitted, self._ready = context, None
        sequence, _ = lm.pattern.build(self._view(window)[None], lm.config.special_token)
        writes = (index.frame_of >= context) & (index.frame_of < length)
        draws = None
        if not config.greedy and config.temperature > 0:  # drawn for frames, used at the steps that hold them
            frames = uniforms([self.seed], self.first_frame + window.start, length, lm.config.num_codebooks)[0]
            frame_of = lm.pattern.index(length).frame_of
            draws = torch.nn.functional.pad(frames, (0, 1), value=0.5).gather(1, frame_of)
        beta = 1.0 if config.guidance_beta is None else config.guidance_beta
        heard = self._predictions(window)
        return Run(
            heard.lanes,
            sequence[0],
            writes,
            draws,
            *_steps(lm, window),
            Settings(
                config.temperature,
                config.top_k,
                config.top_p,
                config.greedy,
                config.guidance,
                beta,
                config.guidance_domain == "probabilities",
            ),
            heard.has_partial,
            heard.has_null,
            self.gains,
        )

    def _view(self, window: Window) -> Int[Tensor, "K w"]:
        """What the model sees of the piece, and room for what it adds.

        A model that hears nothing but its own last seconds narrows down to them; the opening reminds it of the rest.
        """
        view = self.codes[:, window.start : window.end]
        remembered = window.remembered(self.anchor_frames)
        if not remembered:
            return view
        assert window.opening is not None
        return torch.cat([self.codes[:, window.opening : window.opening + remembered], view[:, remembered:]], dim=1)

    @torch.no_grad()
    def stepped(self, sequence: Int[Tensor, "K S"], step: int) -> None:
        assert self._window is not None
        self.steps_done += 1
        ready = self._complete[step]
        self._ready = sequence, ready
        at_end = ready == self._window.end - self._window.start
        if ready - self._emitted >= (1 if at_end else self.emit_every):
            self._emit(sequence, ready)

    @torch.no_grad()
    def ended(self, error: BaseException | None) -> None:
        """Who is cancelled keeps all frames that are complete."""
        if error is None and self._ready is not None and self._ready[1] > self._emitted:
            self._emit(*self._ready)
        self._ready = None
        self.error = error
        self.is_done = True

    def _emit(self, sequence: Int[Tensor, "K S"], ready: int) -> None:
        window = self._window
        assert window is not None
        new = sequence.gather(1, self._index.step_of[:, self._emitted : ready])
        first = window.start + self._emitted
        self.codes[:, first : window.start + ready] = new
        self.frames.append(Frames(self.first_frame + first, new))
        self._emitted = ready

    @torch.no_grad()
    def _predictions(self, window: Window) -> Predictions:
        config = self.config
        conditions = self.conditions_for(window)
        return predictions(conditions, config.guidance, config.guidance_beta, config.two_step_guidance)


def generate_codes(
    lm: LM,
    conditions: FusedConditions | None,
    null_conditions: FusedConditions | None,
    config: GenerationConfig,
    num_frames: int,
    seeds: Sequence[int],
    prompt_codes: Int[Tensor, "B K P"] | None = None,
    first_frame: int = 0,
    on_step: Callable[[int, int], None] | None = None,
    should_stop: Callable[[], bool] | None = None,
    *,
    partial_conditions: FusedConditions | None = None,
    windows: Sequence[Window] | None = None,
    conditions_for: Callable[[Window], GuidedConditions] | None = None,
) -> Iterator[Frames]:
    """Yield the frames behind the prompt, in order, each as soon as all its codebooks are known in every item.

    `num_frames` counts the prompt. `null_conditions` None: nothing to drop, no guidance; `partial_conditions` serve
    double guidance. `windows` (from `plan_windows`) cut a long piece; without them it is one run. `conditions_for`
    gives each window its own conditions, in place of the three arguments. `first_frame` is the place of the prompt's
    first frame in the whole piece: frames are numbered, and random numbers drawn, from there.

    `on_step(done, total)` is called after each step of the model; when `should_stop()` is true before one, the
    iterator ends. Raises UserError for lengths, seeds or prompts that cannot be.
    """
    batch = len(seeds)
    _check(lm, num_frames, batch, prompt_codes, conditions)
    if windows is None:
        windows = [Window(0, 0 if prompt_codes is None else prompt_codes.shape[2], num_frames)]
    given = GuidedConditions(conditions, null_conditions, partial_conditions)

    @functools.lru_cache(maxsize=2)  # items reach a window one after another
    def all_conditions(window: Window) -> GuidedConditions:
        return given if conditions_for is None else conditions_for(window)

    def conditions_of(item: int, window: Window) -> GuidedConditions:
        return all_conditions(window).rows(item, item + 1)

    jobs = [
        CodesJob(
            lm,
            config,
            num_frames,
            seed,
            windows,
            functools.partial(conditions_of, i),
            None if prompt_codes is None else prompt_codes[i],
            first_frame,
        )
        for i, seed in enumerate(seeds)
    ]
    scheduler = Scheduler(new_slots(lm, batch, *jobs[0].needs()))
    for job in jobs:
        scheduler.submit(job)
    total, done = jobs[0].total_steps, 0
    while not all(job.is_done for job in jobs):
        scheduler.step()
        for error in (job.error for job in jobs if job.error is not None):
            raise error
        reached = min(job.steps_done for job in jobs)
        if reached == done:
            continue
        done = reached
        if on_step is not None:
            on_step(done, total)
        while all(job.frames for job in jobs):
            parts = [job.frames.popleft() for job in jobs]
            yield Frames(parts[0].first, torch.stack([part.codes for part in parts]))
        if should_stop is not None and done < total and should_stop():
            return


def new_slots(lm: LM, capacity: int, rows: int, max_steps: int) -> Slots:
    """An engine for this model. On CUDA a grid of slots of `rows` predictions and `max_steps` (prefixes included),
    stepped as graphs; else every run brings the room it needs."""
    on_cuda = lm.device.type == "cuda"
    return Slots(
        lm,
        capacity,
        lm.config.num_codebooks,
        lm.config.codebook_size,
        lm.device,
        rows=rows,
        max_steps=max_steps if on_cuda else None,
        graphs=Graphs() if on_cuda else None,
    )


def _steps(lm: LM, window: Window) -> tuple[int, int]:
    """The first and the last step that a window has to fill."""
    length, context = window.end - window.start, window.begin - window.start
    frame_of = lm.pattern.index(length).frame_of
    filled = ((frame_of >= context) & (frame_of < length)).any(0).nonzero().flatten()
    return int(filled[0]), int(filled[-1])


def _check(
    lm: LM, num_frames: int, batch: int, prompt_codes: Tensor | None, conditions: FusedConditions | None
) -> None:
    if batch < 1:
        raise UserError("no seeds: give one per item to generate")
    if conditions is not None and conditions.has_parts and conditions.batch != batch:
        raise UserError(f"{batch} seeds for {conditions.batch} items: give one seed per item")
    prompt_frames = 0
    if prompt_codes is not None:
        prompt_frames = prompt_codes.shape[2]
        if prompt_codes.shape[:2] != (batch, lm.config.num_codebooks):
            expected = [batch, lm.config.num_codebooks]
            raise UserError(f"a prompt of codes {list(prompt_codes.shape[:2])}, expected {expected} x frames")
        if (
            prompt_codes.numel()
            and not 0 <= int(prompt_codes.min()) <= int(prompt_codes.max()) < lm.config.codebook_size
        ):
            raise UserError(
                f"the prompt has codes outside 0 .. {lm.config.codebook_size - 1}: encode it with this codec"
            )
    if num_frames <= prompt_frames:
        raise UserError(f"{num_frames} frames in all with a prompt of {prompt_frames}: ask for a longer duration")
    pattern = lm.config.pattern
    if getattr(pattern, "empty_initial", 0) < 0:
        raise UserError("a pattern without its first empty step cannot be generated step by step")
