"""Many requests at once, from any thread: each comes and goes while the others play on.

In: requests, as to `MusicGen.generate`. Out: a `Rendering` each, to be heard as it is made. One thread computes:
between two steps of the model it takes in what is new, lets go of what is cancelled and decodes what is complete, so
that the model and the codec do not fight for the processor. What a request sounds like does not depend on the others.
"""

import functools
import queue
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Protocol, runtime_checkable

import numpy as np
import torch

from cadenza.audio import Audio
from cadenza.conditioning.chroma import Melody
from cadenza.conditioning.plan import Plan
from cadenza.conditioning.style import Style
from cadenza.engine.scheduler import Scheduler
from cadenza.errors import CadenzaError, UserError
from cadenza.lm.generate import GenerationConfig
from cadenza.pipelines.adapters import Adapters
from cadenza.pipelines.asking import Asked, Desk
from cadenza.pipelines.hearing import Heard
from cadenza.pipelines.prompts import Text
from cadenza.pipelines.render import Renderer, Rendition
from cadenza.pipelines.requests import Request
from cadenza.pipelines.streaming import SoundStream
from cadenza.pipelines.take import Take

UNHEARD_SECONDS = 60.0
"""A piece whose listener lags so far behind waits in its place."""

MOST_WAITING = 1024
"""Requests that may wait for a place."""

_NAP_SECONDS = 0.02


class Rendering:
    """One request under way: an iterator of `Audio` chunks, each as soon as it is made.

    Iterate, or ask for the `result`, in one thread; the other methods may be called from any.
    """

    def __init__(self, rendition: Rendition, renderer: Renderer, metadata: Callable[[bool], dict[str, Any]]) -> None:
        self.rendition = rendition
        self._metadata = functools.cache(metadata)  # asked for with every chunk
        self._sample_rate = renderer.codec.sample_rate
        self._channels = renderer.codec.channels
        self._stream = SoundStream(renderer.voice(rendition.request), rendition.num_samples)
        self._chunks: queue.Queue[np.ndarray | None] = queue.Queue()
        self._unheard = 0  # samples in the queue
        self._lock = threading.Lock()
        self._finished = threading.Event()
        self._begun = False
        self._error: BaseException | None = None

    # ---- for the listener ------------------------------------------------------------------------------------------

    def __iter__(self) -> Iterator[Audio]:
        return self

    def __next__(self) -> Audio:
        """The next chunk; waits for it. Raises what went wrong, once all that was made is heard."""
        samples = self._chunks.get()
        if samples is None:
            self._chunks.put(None)  # for the next call
            if self._error is not None:
                raise self._error
            raise StopIteration
        with self._lock:
            self._unheard -= samples.shape[1]
        return Audio(samples, self._sample_rate, self._metadata(self.is_complete))

    def result(self) -> Audio:
        """All that has not been heard yet, as one piece; if it was cancelled, what there is of it."""
        parts = [np.zeros((self._channels, 0), np.float32), *(chunk.samples for chunk in self)]
        return Audio(np.concatenate(parts, axis=1), self._sample_rate, self._metadata(self.is_complete))

    def cancel(self) -> None:
        """Stop before the next step; what is made so far can still be heard."""
        self.rendition.job.is_cancelled = True

    @property
    def done(self) -> bool:
        """Whether nothing more will be made."""
        return self._finished.is_set()

    @property
    def is_complete(self) -> bool:
        """Whether it was made to its end."""
        return self.rendition.job.steps_done == self.rendition.job.total_steps

    @property
    def seconds_made(self) -> float:
        """Seconds of new audio, as far as the language model is."""
        return self.rendition.seconds_made

    # ---- for the thread that computes ------------------------------------------------------------------------------

    def pump(self) -> bool:
        """Decode what is there, if it is time to; True when nothing more will come."""
        job = self.rendition.job
        try:
            prompt = self.rendition.request.prompt_codes
            if prompt is not None and not self._begun:
                self._put(self._stream.push(prompt[None]))
            self._begun = True
            while job.frames:
                self._put(self._stream.push(job.frames.popleft().codes[None]))
            self._put(self._stream.poll())
            if not job.is_done:
                job.is_waiting = self._unheard > UNHEARD_SECONDS * self._sample_rate
                return False
            self._put(self._stream.finish())
            self.finish(job.error)
        except Exception as error:
            job.is_cancelled = True
            self.finish(error)
        return True

    def finish(self, error: BaseException | None) -> None:
        """Nothing more will come."""
        self._error = error
        self._finished.set()
        self._chunks.put(None)

    def _put(self, pieces: Iterator[torch.Tensor]) -> None:
        for piece in pieces:
            samples = piece[0].float().numpy()
            with self._lock:
                self._unheard += samples.shape[1]
            self._chunks.put(samples)


@runtime_checkable
class Model(Protocol):
    """What the scheduler needs of a pipeline."""

    @property
    def desk(self) -> Desk:
        """Where arguments become requests."""

    def describe(self, request: Request, settings: GenerationConfig, complete: bool, places: int) -> dict[str, Any]:
        """The metadata of its audio."""

    def asked_again(self, take: Audio) -> tuple[Take, Request]:
        """The record of a take, and what makes it again."""


class MusicScheduler:
    """Makes up to `max_requests` pieces at once; more of them wait for their turn.

        with music.scheduler(max_requests=8) as scheduler:
            rendering = scheduler.submit("a slow waltz", duration=20, seed=7)
            for chunk in rendering: ...

    Raises UserError if so many do not fit into memory.
    """

    def __init__(self, model: Model, renderer: Renderer, max_requests: int) -> None:
        if max_requests < 1:
            raise UserError(f"max_requests = {max_requests}: give at least 1")
        self._model = model
        self._renderer = renderer
        self._places = renderer.places(max_requests, most=max_requests)
        self._inbox: queue.Queue[Rendering | None] = queue.Queue()
        self._active: list[Rendering] = []
        self._closed = False
        self._entrance = threading.Lock()  # nobody comes in while the last one is seen out
        self._opened = threading.Event()
        self._failure: BaseException | None = None
        self._thread = threading.Thread(target=self._run, name="cadenza-scheduler", daemon=True)
        self._thread.start()
        self._opened.wait()
        if self._failure is not None:
            raise self._failure

    def submit(
        self,
        text: Text,
        duration: float | None = None,
        seed: int | None = None,
        *,
        prompt: Audio | None = None,
        melody: Audio | Melody | None = None,
        style: Audio | Style | None = None,
        plan: Plan | None = None,
        conditions: Mapping[str, object] | None = None,
        adapters: Adapters | None = None,
        config: GenerationConfig | None = None,
        top_k: int | None = None,
        top_p: float | None = None,
        temperature: float | None = None,
        guidance: float | None = None,
        greedy: bool | None = None,
    ) -> Rendering:
        """Ask for one piece of music; see `MusicGen.generate` for the arguments. Returns at once, from any thread."""
        given = {"duration": duration, "top_k": top_k, "top_p": top_p, "temperature": temperature}
        given |= {"guidance": guidance, "greedy": greedy}
        heard = Heard(melody, style, conditions or {}, plan)
        asked = Asked(text, seed, prompt, heard, adapters, config, given)
        return self._enter(*self._model.desk.one_request(asked))

    def submit_again(self, take: Audio) -> Rendering:
        """Ask for the music of a take once more, from its own record; raises UserError as `regenerate` does.

        On a CPU it is equal where as many threads compute as did then; `regenerate` sees to that, and to CUDA's batch.
        """
        record, request = self._model.asked_again(take)
        return self._enter(request, record.generation)

    def _enter(self, request: Request, settings: GenerationConfig) -> Rendering:
        rendition = self._renderer.prepare(request, settings)
        if self.num_requests >= MOST_WAITING + self._places:
            raise UserError(f"{MOST_WAITING} requests are waiting already: try again later")
        rendering = Rendering(
            rendition,
            self._renderer,
            lambda complete: self._model.describe(request, settings, complete, self._places),
        )
        with self._entrance:
            if self._closed:
                raise CadenzaError("the scheduler is closed: make a new one")
            self._inbox.put(rendering)
        return rendering

    @property
    def is_open(self) -> bool:
        """Whether it takes requests: not once it is closed, nor after a failure that ended its thread."""
        return not self._closed

    @property
    def num_requests(self) -> int:
        """Requests under way or waiting."""
        return len(self._active) + self._inbox.qsize()

    def close(self) -> None:
        """Cancel what is under way, and end the thread. What was made can still be heard."""
        self._closed = True
        self._inbox.put(None)
        self._thread.join()

    def __enter__(self) -> "MusicScheduler":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # ---- the thread that computes ----------------------------------------------------------------------------------

    def _run(self) -> None:
        try:
            with self._renderer.engine(self._places, *self._renderer.largest_needs()) as scheduler:
                self._opened.set()
                while not self._closed:
                    self._work(scheduler)
        except BaseException as error:
            self._failure = error
        finally:
            with self._entrance:
                self._closed = True
            self._end(self._failure)
            self._opened.set()

    def _work(self, scheduler: Scheduler) -> None:
        self._take_in(scheduler, wait=not self._active)
        moved = scheduler.step()
        self._active = [rendering for rendering in self._active if not rendering.pump()]
        if self._active and not moved:  # all listeners lag: nothing to do until one of them listens
            time.sleep(_NAP_SECONDS)

    def _take_in(self, scheduler: Scheduler, wait: bool) -> None:
        while True:
            try:
                rendering = self._inbox.get(block=wait)
            except queue.Empty:
                return
            if rendering is None:
                return
            wait = False
            self._active.append(rendering)
            scheduler.submit(rendering.rendition.job)

    def _end(self, error: BaseException | None) -> None:
        """Let nobody wait for what will not come."""
        waiting: list[Rendering] = []
        while not self._inbox.empty():
            rendering = self._inbox.get()
            waiting += [] if rendering is None else [rendering]
        for rendering in (*self._active, *waiting):
            if not rendering.rendition.job.is_done:
                rendering.rendition.job.ended(error)
            rendering.pump()
        self._active = []
