"""Requests -> sound: conditions, windows, codes and decoding, a second at a time.

texts --> conditions of each section --.
                                       v
audio prompt --> codes ----> windows of the language model --> codes --> codec --> samples
"""

import logging
from collections.abc import Callable, Iterator, Sequence

import numpy as np
import torch
from jaxtyping import Int
from torch import Tensor

from cadenza.audio import Audio
from cadenza.codec.base import Codec
from cadenza.conditioning.provider import ConditionProvider, Prepared
from cadenza.conditioning.text import TextConditioner
from cadenza.errors import UserError
from cadenza.lm.generate import GenerationConfig, generate_codes
from cadenza.lm.guidance import GuidedConditions
from cadenza.lm.model import LM
from cadenza.lm.windows import Window, plan_windows
from cadenza.pipelines.requests import Request
from cadenza.pipelines.streaming import decode_stream

log = logging.getLogger("cadenza")

Progress = Callable[[float, float], None]
"""Called with the seconds of audio made so far, and in all (summed over a batch, audio prompts not counted)."""


class Renderer:
    """The parts of a model at work. It holds no state between calls."""

    def __init__(
        self,
        codec: Codec,
        lm: LM,
        conditioning: ConditionProvider,
        text_condition: str,
        melody_condition: str | None,
        max_duration_seconds: float,
    ) -> None:
        self.codec = codec
        self.lm = lm
        self.conditioning = conditioning
        self.text_condition = text_condition
        self.melody_condition = melody_condition
        self.max_duration_seconds = max_duration_seconds

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
        return self.codec.encode(samples.to(self._device)).codes[0]

    def batches(self, requests: Sequence[Request]) -> list[list[int]]:
        """Which requests share a batch: those of one shape, so that no item hears another.

        Texts of different lengths do not share one: where padding is attended to (see `conditioning.fuser`), the
        length of the longest would change the music of the others.
        """
        groups: dict[object, list[int]] = {}
        for i, request in enumerate(requests):
            groups.setdefault(self._shape(request), []).append(i)
        return list(groups.values())

    def seconds_to_make(self, requests: Sequence[Request], settings: GenerationConfig) -> float:
        """Seconds of new audio, audio prompts not counted."""
        prompts = [0 if request.prompt_codes is None else request.prompt_codes.shape[1] for request in requests]
        return sum(max(0.0, settings.duration - frames / self.codec.frame_rate) for frames in prompts)

    def chunks(
        self,
        requests: Sequence[Request],
        settings: GenerationConfig,
        progress: Progress | None,
        should_stop: Callable[[], bool] | None,
    ) -> Iterator[np.ndarray]:
        """Sound [B, C, n] of requests of one shape, as it is made."""
        num_samples = round(settings.duration * self.codec.sample_rate)
        if num_samples < 1:
            raise UserError(f"duration {settings.duration} s is less than one sample: make it longer")
        prompts = [request.prompt_codes for request in requests if request.prompt_codes is not None]
        prompt = torch.stack(prompts).to(self._device) if prompts else None
        num_frames = -(-num_samples // self.codec.hop_length)
        if prompt is not None and prompt.shape[2] >= num_frames:
            raise UserError(
                f"the audio prompt lasts {prompt.shape[2] / self.codec.frame_rate:g} s, the piece with it "
                f"{settings.duration:g} s: make the piece longer or the prompt shorter"
            )
        codes = self._codes(requests, settings, num_frames, prompt, progress, should_stop)
        for audio in decode_stream(self.codec, codes, num_samples):
            yield audio.float().cpu().numpy()

    @property
    def _device(self) -> torch.device:
        return next(self.lm.parameters()).device

    def _shape(self, request: Request) -> object:
        if len(request.piece) > 1 or request.melody is not None:
            return id(request)
        text = request.piece[0].text
        prompt = 0 if request.prompt_codes is None else request.prompt_codes.shape[1]
        conditioner = self.conditioning.conditioner(self.text_condition)
        if not isinstance(conditioner, TextConditioner) or conditioner.encoder is None:
            return prompt, 0, bool(text)
        return prompt, len(conditioner.encoder.tokenizer([text])[0]), bool(text)

    def _codes(
        self,
        requests: Sequence[Request],
        settings: GenerationConfig,
        num_frames: int,
        prompt: Int[Tensor, "B K P"] | None,
        progress: Progress | None,
        should_stop: Callable[[], bool] | None,
    ) -> Iterator[Int[Tensor, "B K _"]]:
        """All codes of the pieces in order: those of the prompt, then new ones as they are made."""
        rate = self.codec.frame_rate
        prompt_frames = 0 if prompt is None else prompt.shape[2]
        starts = [round(section.start_seconds * rate) for section in requests[0].piece]
        length = max(1, int(self.max_duration_seconds * rate))
        stride = max(1, min(length - 1, round(settings.extend_stride * rate)))
        windows = plan_windows(num_frames, length, stride, prompt_frames, starts[1:])
        prepared = [self._prepare(requests, i) for i in range(len(starts))]

        def conditions_for(window: Window) -> GuidedConditions:
            section = max(i for i, start in enumerate(starts) if start <= window.begin)
            return self._conditions(prepared[section], window.start / rate)

        seconds = self.seconds_to_make(requests, settings)

        def on_step(done: int, total: int) -> None:
            if progress is not None:
                progress(seconds * done / total, seconds)

        if prompt is not None:
            yield prompt
        for frames in generate_codes(
            self.lm,
            None,
            None,
            settings,
            num_frames,
            [request.seed for request in requests],
            prompt,
            on_step=on_step,
            should_stop=should_stop,
            windows=windows,
            conditions_for=conditions_for,
        ):
            yield frames.codes

    @torch.no_grad()
    def _prepare(self, requests: Sequence[Request], section: int) -> Prepared:
        items: list[dict[str, object]] = []
        for request in requests:
            item: dict[str, object] = {self.text_condition: request.piece[section].text}
            if request.melody is not None and self.melody_condition is not None:
                item[self.melody_condition] = request.melody
            items.append(item)
        return self.conditioning.prepare(items)

    @torch.no_grad()
    def _conditions(self, prepared: Prepared, start_seconds: float) -> GuidedConditions:
        """With nothing to listen to there is nothing to strengthen: guidance is left out, and half the work with it."""
        null = self.conditioning(self.conditioning.null(len(next(iter(prepared.values())))))
        if all(feature is None for features in prepared.values() for feature in features):
            return GuidedConditions(null)
        seen = self.conditioning.window(prepared, start_seconds)
        partial = None
        if self.melody_condition is not None:
            partial = self.conditioning(self.conditioning.drop(seen, self.text_condition))
        return GuidedConditions(self.conditioning(seen), null, partial)
