"""Generation: conditions and seeds to codes, frame by frame.

In: a language model, fused conditions, one seed per item. Out: an iterator of codes as they become complete, so that
audio can be decoded while the rest is made. Copet et al. (2023); the token loop keeps what a prompt fixes, writes what
is unknown, and feeds each step back.
"""

from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import pydantic
import torch
from jaxtyping import Bool, Float, Int
from pydantic import Field
from torch import Tensor

from cadenza.checkpoint import Config
from cadenza.conditioning.fuser import FusedConditions
from cadenza.errors import UserError
from cadenza.lm.guidance import GuidanceDomain, GuidedConditions, GuidedDecoder
from cadenza.lm.model import LM
from cadenza.lm.windows import Window
from cadenza.nn.sampling import sample, uniforms


class GenerationConfig(Config):
    """How to generate. One object for Python, command line, HTTP and file metadata. The defaults are MusicGen's."""

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

    if not TYPE_CHECKING:

        def __init__(self, **values: Any) -> None:
            try:
                super().__init__(**values)
            except pydantic.ValidationError as error:
                first = error.errors()[0]
                name = ".".join(map(str, first["loc"])) or "generation"
                raise UserError(f"{name} = {first['input']!r:.60}: {first['msg']}") from error

    @pydantic.model_validator(mode="after")
    def _domain(self) -> "GenerationConfig":
        if self.guidance_domain == "probabilities" and not 0 <= self.guidance <= 1:
            raise ValueError(f"guidance {self.guidance} mixes probabilities: choose it from 0 to 1")
        return self


class Frames(NamedTuple):
    """New codes: `codes[:, :, i]` is frame `first + i` of the piece."""

    first: int
    codes: Int[Tensor, "B K n"]


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
    """Yield the frames behind the prompt, in order, each as soon as all its codebooks are known.

    `num_frames` counts the prompt. `null_conditions` None: nothing to drop, no guidance; `partial_conditions` serve
    double guidance. `windows` (from `plan_windows`) cut a long piece; without them it is one run. `conditions_for`
    gives each window its own conditions, in place of the three arguments. `first_frame` is the place of the prompt's
    first frame in the whole piece: frames are numbered, and random numbers drawn, from there.

    `on_step(done, total)` is called after each step of the model; when `should_stop()` is true before one, the
    iterator ends. Raises UserError for lengths, seeds or prompts that cannot be.
    """
    batch = len(seeds)
    prompt_frames = 0 if prompt_codes is None else prompt_codes.shape[2]
    _check(lm, num_frames, batch, prompt_codes, conditions)
    device = lm.device
    codes = torch.zeros(batch, lm.config.num_codebooks, num_frames, dtype=torch.int64, device=device)
    if prompt_codes is not None:
        codes[:, :, :prompt_frames] = prompt_codes
    if windows is None:
        windows = [Window(0, prompt_frames, num_frames)]
    runs = [_Run(lm, window) for window in windows]
    total, done = sum(run.num_steps for run in runs), 0
    for run in runs:
        window = run.window
        if conditions_for is not None:
            guided = conditions_for(window)
        else:
            guided = GuidedConditions(conditions, null_conditions, partial_conditions)
        draws = None
        if not config.greedy and config.temperature > 0:
            length = window.end - window.start
            draws = uniforms(seeds, first_frame + window.start, length, lm.config.num_codebooks, device)
        for ready in run.steps(codes[:, :, window.start : window.end], guided, config, draws):
            done += 1
            if on_step is not None:
                on_step(done, total)
            if ready is not None:
                yield Frames(first_frame + window.start + ready.first, ready.codes)
            if should_stop is not None and done < total and should_stop():
                return


class _Run:
    """The token loop over one window."""

    def __init__(self, lm: LM, window: Window) -> None:
        self.lm = lm
        self.window = window
        self.context = window.begin - window.start
        length = window.end - window.start
        index = lm.pattern.index(length)
        frame_of = index.frame_of
        self.writes: Bool[Tensor, "K S"] = (frame_of >= self.context) & (frame_of < length)
        self.steps_to_run: list[int] = self.writes.any(0).nonzero().flatten().tolist()
        self.complete: list[int] = index.complete.tolist()

    @property
    def num_steps(self) -> int:
        return len(self.steps_to_run)

    @torch.no_grad()
    def steps(
        self,
        codes: Int[Tensor, "B K T"],
        conditions: GuidedConditions,
        config: GenerationConfig,
        draws: Float[Tensor, "B K T"] | None,
    ) -> Iterator[Frames | None]:
        """Fill `codes` (a view) behind the context; after each step, yield the frames that it completed, if any."""
        lm = self.lm
        batch, _, length = codes.shape
        device = codes.device
        index = lm.pattern.index(length, device=device)
        sequence, _ = lm.pattern.build(codes, lm.config.special_token)
        writes = self.writes.to(device)
        if draws is not None:  # from frames to the steps that hold them
            draws = torch.nn.functional.pad(draws, (0, 1), value=0.5).gather(2, index.frame_of.expand(batch, -1, -1))
        guided = GuidedDecoder(
            lm,
            conditions,
            batch,
            sequence.shape[2],
            config.guidance,
            config.guidance_beta,
            config.guidance_domain,
            config.two_step_guidance,
        )
        fed, emitted = 0, self.context
        for step in self.steps_to_run:
            logits = guided.step(sequence[:, :, fed:step])
            uniform = None if draws is None else draws[:, :, step]
            tokens = sample(logits, uniform, config.temperature, config.top_k, config.top_p)
            sequence[:, :, step] = torch.where(writes[:, step], tokens, sequence[:, :, step])
            fed = step
            ready = self.complete[step]
            if ready <= emitted:
                yield None
                continue
            new = sequence.gather(2, index.step_of[:, emitted:ready].expand(batch, -1, -1))
            codes[:, :, emitted:ready] = new
            first, emitted = emitted, ready
            yield Frames(first, new)


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
