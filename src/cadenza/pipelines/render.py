"""Requests -> jobs for the engine -> sound, as it is made.

texts --> conditions of each section --.
                                       v
audio prompt --> codes ----> windows of the language model --> codes --> codec --> samples
"""

import logging
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from typing import NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor

from cadenza.audio import Audio
from cadenza.codec.base import Codec
from cadenza.conditioning.base import Features, Opening
from cadenza.conditioning.cache import FeatureCache
from cadenza.conditioning.provider import ConditionProvider, Prepared
from cadenza.diffusion.decoder import DiffusionDecoder
from cadenza.engine.memory import available_bytes, orderly_shortage, release, require
from cadenza.engine.scheduler import Scheduler
from cadenza.engine.slots import Slots
from cadenza.engine.threads import ThreadGovernor
from cadenza.errors import UserError
from cadenza.lm.generate import CodesJob, GenerationConfig, new_slots
from cadenza.lm.guidance import GuidedConditions
from cadenza.lm.model import LM
from cadenza.lm.windows import Window, plan_windows
from cadenza.pipelines.adapters import gains_of
from cadenza.pipelines.decoding import Diffusion, StepDecoder
from cadenza.pipelines.requests import Request
from cadenza.pipelines.streaming import decode_stream

log = logging.getLogger("cadenza")

Progress = Callable[[float, float], None]
"""Called with the seconds of audio made so far, and in all (summed over a batch, audio prompts not counted)."""

EMIT_EVERY_ON_CUDA = 4
"""Frames fetched at once: the kernels that fetch them are launched one by one, beside the recorded steps."""

MOST_TOGETHER = {"cpu": 8, "cuda": 32, "mps": 4}
"""Pieces that are made at once; more bring little and take memory."""

PREFIX_STEPS = 1024
"""Room for conditions in front of the codes, where an engine must serve requests that are not known yet."""

KEPT_ENGINES = 2


class Rendition(NamedTuple):
    """One request on its way."""

    request: Request
    job: CodesJob
    num_samples: int
    seconds: float
    """Of new audio, the audio prompt not counted."""

    @property
    def seconds_made(self) -> float:
        return self.seconds * self.job.steps_done / self.job.total_steps


class Renderer:
    """The parts of a model at work. Between calls it keeps engines that are costly to set up (CUDA), and no music."""

    def __init__(
        self,
        codec: Codec,
        lm: LM,
        conditioning: ConditionProvider,
        text_condition: str,
        max_duration_seconds: float,
        guides_twice: bool = False,
    ) -> None:
        self.codec = codec
        self.lm = lm
        self.conditioning = conditioning
        self.text_condition = text_condition
        self.max_duration_seconds = max_duration_seconds
        self.guides_twice = guides_twice
        self.decoder: DiffusionDecoder | None = None
        self.remembered = FeatureCache()
        self._idle: list[Slots] = []
        self._idle_lock = threading.Lock()

    @torch.no_grad()
    def encode(self, audio: Audio) -> Int[Tensor, "K P"]:
        """Codes of an audio prompt, whole frames only: a padded one would put silence where the music goes on."""
        audio = audio.resample(self.codec.sample_rate).with_channels(self.codec.channels)
        frames = audio.num_samples // self.codec.hop_length
        if not frames:
            least = self.codec.hop_length / self.codec.sample_rate
            raise UserError(
                f"the audio prompt lasts {audio.duration_seconds:.4f} s ({audio.num_samples} samples): "
                f"give at least {least:.4f} s"
            )
        if not audio.samples.any():
            log.warning("the audio prompt is silent: the music goes on from silence")
        samples = torch.from_numpy(audio.samples[None, :, : frames * self.codec.hop_length])
        return self.codec.encode(samples.to(_device(self.codec))).codes[0]

    # ---- requests to jobs ------------------------------------------------------------------------------------------

    def prepare(self, request: Request, settings: GenerationConfig) -> Rendition:
        """The job that makes a request. Raises UserError for lengths that cannot be."""
        num_samples = round(settings.duration * self.codec.sample_rate)
        if num_samples < 1:
            raise UserError(f"duration {settings.duration} s is less than one sample: make it longer")
        rate = self.codec.frame_rate
        num_frames = -(-num_samples // self.codec.hop_length)
        prompt_frames = 0 if request.prompt_codes is None else request.prompt_codes.shape[1]
        if prompt_frames >= num_frames:
            raise UserError(
                f"the audio prompt lasts {prompt_frames / rate:g} s, the piece with it {settings.duration:g} s: "
                "make the piece longer or the prompt shorter"
            )
        starts = [round(section.start_seconds * rate) for section in request.piece]
        length = self.window_frames
        stride = round(settings.extend_stride * rate)
        if stride >= length:  # nothing would be left in view: advance as MusicGen does by default, 18 s of 30
            stride = round(0.6 * length)
        stride = max(1, min(length - 1, stride))
        windows = plan_windows(num_frames, length, stride, prompt_frames, starts[1:])
        if not any(self.conditioning.conditioner(name).follows_time for name in request.conditions):
            # A melody's moments pass: there the opening would stand beside another part of the tune.
            windows = [
                window._replace(opening=max(start for start in starts if start <= window.begin)) for window in windows
            ]
        prepared: dict[int, Prepared] = {}

        def conditions_for(window: Window) -> GuidedConditions:
            section = max(i for i, start in enumerate(starts) if start <= window.begin)
            if section not in prepared:
                prepared[section] = self._prepare(request, section)
            kept = window.remembered(round(settings.anchor * rate))
            opening = Opening((window.opening or 0) / rate, kept / rate) if kept else None
            return self._conditions(prepared[section], window.start / rate, settings, opening)

        job = CodesJob(
            self.lm,
            settings,
            num_frames,
            request.seed,
            windows,
            conditions_for,
            request.prompt_codes,
            emit_every=EMIT_EVERY_ON_CUDA if self.lm.device.type == "cuda" else 1,
            anchor_frames=round(settings.anchor * rate),
            gains=gains_of(request.adapters),
        )
        return Rendition(request, job, num_samples, settings.duration - prompt_frames / rate)

    @property
    def window_frames(self) -> int:
        return max(1, int(self.max_duration_seconds * self.codec.frame_rate))

    @torch.no_grad()
    def features(self, values: Mapping[str, object]) -> dict[str, Features]:
        """What the frozen encoders make of values, by condition; UserError for those that cannot be listened to."""
        prepared = self.remembered.prepare(self.conditioning, values)
        return {name: rows[0] for name, rows in prepared.items() if rows[0] is not None}

    @torch.no_grad()
    def _prepare(self, request: Request, section: int) -> Prepared:
        text: dict[str, object] = {self.text_condition: request.piece[section].text}
        held: dict[str, object] = {
            name: self.conditioning.conditioner(name).section(features, section)
            for name, features in request.conditions.items()
        }
        return self.remembered.prepare(self.conditioning, text | held)

    @torch.no_grad()
    def _conditions(
        self, prepared: Prepared, start_seconds: float, settings: GenerationConfig, opening: Opening | None = None
    ) -> GuidedConditions:
        """With nothing to listen to there is nothing to strengthen: guidance is left out, and half the work with it."""
        null = self.conditioning.null(1)
        if all(feature is None for features in prepared.values() for feature in features):
            return GuidedConditions(self.conditioning(null).to(self.lm.device))
        seen = self.conditioning.window(prepared, start_seconds, opening)
        passes = [seen, null]
        said = [name for name, rows in seen.items() if rows[0] is not None]
        # Text over the rest, where there are both; of a text alone it would be guidance, beta times as strong.
        if settings.guidance_beta is not None and self.text_condition in said and len(said) > 1:
            passes.append(self.conditioning.drop(seen, self.text_condition))
        if settings.two_step_guidance or not self._several_in_a_row:
            heard = [self.conditioning(one) for one in passes]
        else:
            # One batch: each condition is as long in every prediction, and the next one begins at the same place.
            together = self.conditioning({name: [row for one in passes for row in one[name]] for name in seen})
            heard = [together.rows(i, i + 1) for i in range(len(passes))]
        return GuidedConditions(*(one.to(self.lm.device) for one in heard))

    @property
    def _several_in_a_row(self) -> bool:
        fuser = self.conditioning.config.fuser
        return len(fuser.prepend) > 1 or len(fuser.cross) > 1

    # ---- jobs to sound ---------------------------------------------------------------------------------------------

    def places(self, count: int, most: int | None = None) -> int:
        """How many pieces to make at once, of `count` that are asked for. On CUDA there are few sizes of engines."""
        places = min(count, most or MOST_TOGETHER.get(self.lm.device.type, 1))
        return 1 << (places - 1).bit_length() if self.lm.device.type == "cuda" else places

    def largest_needs(self) -> tuple[int, int]:
        """Rows and steps that are enough for any request."""
        steps = self.lm.pattern.num_steps(self.window_frames)
        prefix = PREFIX_STEPS if self.conditioning.config.fuser.prepend else 0
        can_guide_twice = len(self.conditioning.config.conditioners) > 1
        # On CUDA every place computes all its rows; elsewhere only those that a request needs.
        is_worth_it = self.guides_twice or self.lm.device.type != "cuda"
        return 3 if can_guide_twice and is_worth_it else 2, steps + prefix

    @contextmanager
    def engine(self, places: int, rows: int, steps: int) -> Iterator[Scheduler]:
        """A scheduler with so many places for runs of `rows` predictions and `steps`. UserError if memory is short."""
        who = f"{places} pieces at once" if places > 1 else "a piece"
        with ExitStack() as stack:
            stack.enter_context(orderly_shortage(self.lm.device, who))
            slots = self._take(places, rows, steps, who)
            if self.lm.device.type == "cpu":
                slots.measure = stack.enter_context(ThreadGovernor()).measure
            scheduler = Scheduler(slots)
            is_well = True
            try:
                yield scheduler
            except Exception as error:
                is_well = False
                scheduler.close(error)
                raise
            finally:
                scheduler.close()
                if is_well and slots.grid is not None:
                    with self._idle_lock:
                        self._idle = [*self._idle, slots][-KEPT_ENGINES:]

    def _take(self, places: int, rows: int, steps: int, who: str) -> Slots:
        """An engine of this size: one that is idle, or a new one."""
        if self.lm.device.type == "cuda":
            # Allocated and recorded for the longest window, so that the next piece finds it ready.
            steps = max(steps, self.lm.pattern.num_steps(self.window_frames))
        needed = self.lm.cache_bytes(places * rows, steps)
        with self._idle_lock:
            for slots in self._idle:
                grid = slots.grid
                if grid is not None and slots.capacity == places and slots.rows >= rows and grid.unused >= steps:
                    self._idle.remove(slots)
                    return slots
            if self._idle and (available_bytes(self.lm.device) or 0) < needed:
                self._idle.clear()
                del slots
                release(self.lm.device)
        require(needed, self.lm.device, who, "keys and values", items=places)
        return new_slots(self.lm, places, rows, steps)

    def codes(self, rendition: Rendition, drive: Callable[[], None]) -> Iterator[Int[Tensor, "1 K _"]]:
        """All codes of a piece in order: those of its audio prompt, then new ones; `drive` makes more."""
        job = rendition.job
        if rendition.request.prompt_codes is not None:
            yield rendition.request.prompt_codes[None]
        while True:
            while job.frames:
                yield job.frames.popleft().codes[None]
            if job.is_done:
                if job.error is not None:
                    raise job.error
                return
            drive()

    @property
    def diffusion(self) -> Diffusion | None:
        """What new requests are decoded with in place of the codec."""
        return None if self.decoder is None else Diffusion(self.decoder, self.decoder.settings)

    def voice(self, request: Request) -> StepDecoder:
        """What makes sound of a request's codes."""
        return self.codec if request.diffusion is None else request.diffusion.voice(request.seed)

    def sound(self, rendition: Rendition, drive: Callable[[], None]) -> Iterator[Float[Tensor, "C _"]]:
        """The samples of a piece, in the pieces in which they are decoded."""
        for audio in decode_stream(self.voice(rendition.request), self.codes(rendition, drive), rendition.num_samples):
            yield audio[0].float()

    def render(
        self,
        requests: Sequence[Request],
        settings: GenerationConfig,
        progress: Progress | None = None,
        should_stop: Callable[[], bool] | None = None,
        places: int | None = None,
    ) -> Iterator[tuple[int, Float[Tensor, "C _"]]]:
        """Sound of all requests as (which of them, samples): the first as it is made, the others behind it.

        `places`: how many are made at once; by default as many as are worth while.
        """
        renditions = [self.prepare(request, settings) for request in requests]
        total = sum(rendition.seconds for rendition in renditions)
        reported = 0.0
        needs = [rendition.job.needs() for rendition in renditions]
        rows, steps = max(rows for rows, _ in needs), max(steps for _, steps in needs)
        with self.engine(places or self.places(len(requests)), rows, steps) as scheduler:
            for rendition in renditions:
                scheduler.submit(rendition.job)

            def drive() -> None:
                nonlocal reported
                scheduler.step()
                made = sum(rendition.seconds_made for rendition in renditions)
                if made == reported:
                    return
                reported = made
                if progress is not None:
                    progress(made, total)
                if should_stop is not None and should_stop():
                    for rendition in renditions:
                        rendition.job.is_cancelled = True

            for i, rendition in enumerate(renditions):
                for audio in self.sound(rendition, drive):
                    yield i, audio


def _device(module: torch.nn.Module) -> torch.device:
    return next(module.parameters()).device
