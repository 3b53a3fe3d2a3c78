"""The two sides of a comparison, ours and `transformers`', and where the time of one call goes.

In: a shape, a precision, a device. Out: `Split`s of whole calls of the public `generate`, and the seconds to the first
chunk of the public `stream`.
"""

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

import cadenza
from cadenza.lm.windows import plan_windows
from machine import synchronize
from shapes import FOLDER, PROMPT, model_directory, prompt_tokens, transformers_model

DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}


@dataclass(frozen=True)
class Split:
    """Seconds of one call and of its parts (`codec` may overlap with `lm`), and the language model's steps."""

    total: float
    text: float
    lm: float
    codec: float
    steps: int

    @property
    def steps_per_second(self) -> float:
        return self.steps / self.lm

    def scaled(self, to_steps: int, codec_factor: float) -> "Split":
        """A longer piece at the same pace; that attention to a longer past is slower is not counted."""
        lm, codec = self.lm * to_steps / self.steps, self.codec * codec_factor
        return Split(self.total - self.lm - self.codec + lm + codec, self.text, lm, codec, to_steps)


class Clock:
    """Hangs on the parts of a model and times one call.

    The language model's time runs from the end of the text encoder to the last step, less what its thread spent in the
    codec meanwhile. `waits`: every part waits for the device, so that a GPU's work is told apart too.
    """

    def __init__(self, text_encoder: nn.Module, codec: Any, device: torch.device) -> None:
        self.device = device
        self.begin(waits=True)
        text_encoder.register_forward_pre_hook(lambda *_: self._begin_text())
        text_encoder.register_forward_hook(lambda *_: self._end_text())
        for name in ("decode", "decode_step"):
            if hasattr(codec, name):
                setattr(codec, name, self._timed(getattr(codec, name)))

    def begin(self, waits: bool) -> None:
        synchronize(self.device)
        self.waits = waits
        self.began = self.text_end = self.lm_end = time.perf_counter()
        self.text = 0.0
        self.decodes: list[tuple[float, float, int]] = []
        self.lm_thread = threading.get_ident()

    def step(self, is_last: bool = False) -> None:
        """The language model has made a step (on a GPU: it is on its way)."""
        self.lm_end = self._now() if is_last else time.perf_counter()
        self.lm_thread = threading.get_ident()

    def end(self, steps: int) -> Split:
        synchronize(self.device)
        total = time.perf_counter() - self.began
        between = [
            min(end, self.lm_end) - start
            for start, end, thread in self.decodes
            if thread == self.lm_thread and self.text_end <= start < self.lm_end
        ]
        codec = sum(end - start for start, end, _ in self.decodes)
        return Split(total, self.text, self.lm_end - self.text_end - sum(between), codec, steps)

    def _now(self) -> float:
        if self.waits:
            synchronize(self.device)
        return time.perf_counter()

    def _begin_text(self) -> None:
        self.text_begun = self._now()

    def _end_text(self) -> None:
        self.text_end = self._now()
        self.text += self.text_end - self.text_begun

    def _timed(self, decode: Callable[..., Any]) -> Callable[..., Any]:
        def timed_decode(*arguments: Any, **named: Any) -> Any:
            start = self._now()
            decoded = decode(*arguments, **named)
            self.decodes.append((start, self._now(), threading.get_ident()))
            return decoded

        return timed_decode


class Ours:
    """A pipeline loaded by the public `cadenza.load`."""

    def __init__(self, name: str, precision: str, device: torch.device, folder: Path = FOLDER) -> None:
        self.music = cadenza.load(model_directory(name, folder), device, precision)
        conditioner: Any = self.music.conditioning.conditioner(self.music.config.text_condition)
        self.clock = Clock(conditioner.encoder.model, self.music.codec, device)

    def generate(self, duration: float, waits: bool = True) -> Split:
        """One guided piece. `waits` tells a GPU's work apart, and may cost it an overlap."""
        self.music.forget()  # theirs encodes the text every time, too
        self.clock.begin(waits)
        audio = self.music.generate(
            PROMPT, duration, 1, progress=lambda done, total: self.clock.step(done >= total * (1 - 1e-9))
        )
        split = self.clock.end(num_steps(self.music, duration))
        assert audio.num_samples == round(duration * self.music.sample_rate)
        return split

    def first_audio(self, duration: float) -> float:
        """Seconds from the call of `stream` to its first chunk; the rest is not made."""
        self.music.forget()
        start = time.perf_counter()
        chunks: Any = self.music.stream(PROMPT, duration, 1)
        next(chunks)
        seconds = time.perf_counter() - start
        chunks.close()
        return seconds


def num_steps(music: Any, duration: float) -> int:
    """Steps of the language model for a piece: a frame each, and in each window those that the delays add."""
    rate = music.codec.frame_rate
    length = max(1, int(music.config.max_duration_seconds * rate))
    stride = max(1, min(length - 1, round(music.config.generation.extend_stride * rate)))
    windows = plan_windows(num_frames(music, duration), length, stride, 0, [])
    return sum(window.end - window.begin + music.lm.config.num_codebooks - 1 for window in windows)


def num_frames(music: Any, duration: float) -> int:
    return -(-round(duration * music.sample_rate) // music.codec.hop_length)


class Theirs:
    """`transformers`' model of the same shape."""

    def __init__(self, name: str, precision: str, device: torch.device) -> None:
        self.model = transformers_model(name, DTYPES[precision], device)
        self.ids = torch.tensor([prompt_tokens()], device=device)
        self.clock = Clock(self.model.text_encoder, self.model.audio_encoder, device)
        self.model.decoder.register_forward_hook(lambda *_: self.clock.step())

    @torch.no_grad()
    def generate(self, frames: int) -> Split:
        codebooks = self.model.decoder.num_codebooks
        self.clock.begin(waits=True)
        audio = self.model.generate(
            input_ids=self.ids, attention_mask=torch.ones_like(self.ids), max_new_tokens=frames + codebooks - 1
        )
        split = self.clock.end(frames + codebooks - 1)
        assert audio.shape[-1] == frames * self.model.audio_encoder.config.hop_length, "another duration than ours"
        return split
