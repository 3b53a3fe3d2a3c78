"""Many requests at once through `music.scheduler`: throughput and waiting times. The last line is JSON.

    python benchmarks/serving.py [--shape embedded] [--precision fp32] [--concurrency 1,2,4,8,16,32] [--device cpu]

For each concurrency a scheduler with as many slots, twice: all requests at once, then arrivals by chance (Poisson) at
`--load` of the throughput just measured. Texts of several lengths, guided. Every request has a listener of its own that
takes the chunks as they come; times count from a request's arrival. The overhead is what the stepping thread does
outside of the engine and the codec, as a share of the engine's steps.
"""

import argparse
import gc
import json
import random
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

import cadenza
from cadenza.engine.slots import Slots
from cadenza.engine.threads import decide_threads
from machine import (
    describe,
    device_peak_bytes,
    host_peak_bytes,
    load_average,
    percentile,
    read_bandwidth,
    rounded,
    synchronize,
)  # fmt: skip
from roofline import step_bytes
from shapes import FOLDER, NAMES, model_directory, prompt_tokens, use_folder
from sides import num_steps
from tables import serving_table

TEXTS = (
    "warm lo-fi beat with electric piano, 82 bpm",
    "a slow sad piano piece in D minor",
    "fast techno",
    "late-night jazz trio: piano, walking bass and brushes, 140 bpm",
)


def main(arguments: Sequence[str] | None = None) -> dict[str, Any]:
    options = parse(arguments)
    use_folder(options.models)
    decide_threads(options.threads)
    facts = describe(options.place)
    directory = model_directory(options.shape, options.models)
    bandwidth = read_bandwidth(options.place)
    levels = []
    for slots in options.concurrency:
        # Loaded anew: a pipeline keeps engines of other sizes, and their memory.
        music = cadenza.load(directory, options.place, options.precision)
        levels.append(level(music, slots, options, bandwidth))
        precision = music.precision
        del music
        gc.collect()
        say(json.dumps(levels[-1]))
    record = {
        "benchmark": "serving",
        "shape": options.shape,
        "precision": precision,
        "duration": options.duration,
        "load": options.load,
        "machine": {**facts, "load_at_end": rounded(load_average())},
        "bandwidth_gb_per_second": rounded(bandwidth / 1e9),
        "host_peak_mb": rounded(host_peak_bytes() / 1e6),
        "levels": levels,
        "best_throughput": max(one["throughput"] for one in levels),
        "overhead_share": levels[-1]["overhead_share"],
    }
    print("\n" + serving_table([record]) + "\n")
    print(json.dumps(record))
    return record


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--shape", choices=NAMES, default="embedded")
    parser.add_argument("--precision", help="fp32, bf16, fp16, int8 or int4; by default what loading picks")
    parser.add_argument("--concurrency", default="1,2,4,8,16,32", help="requests at once")
    parser.add_argument("--duration", type=float, default=5.0, help="seconds of audio per request")
    parser.add_argument("--load", type=float, default=0.8, help="arrivals by chance, over the throughput")
    parser.add_argument("--device", default="cpu", help="cpu or cuda")
    parser.add_argument("--threads", type=int, help="processor threads; by default torch's and the engine's own choice")
    parser.add_argument("--models", type=Path, default=FOLDER, help="where the random models are kept")
    options = parser.parse_args(arguments)
    try:
        options.concurrency = [int(number) for number in options.concurrency.split(",")]
    except ValueError:
        parser.error(f"--concurrency {options.concurrency!r}: give numbers with commas between them")
    if min(options.concurrency) < 1 or options.duration < 0.2 or options.load <= 0:
        parser.error("--concurrency of at least 1, --duration of at least 0.2 s and --load above 0, please")
    if options.device.startswith("cuda") and not torch.cuda.is_available():
        parser.error("this machine has no CUDA device that torch can use: leave out --device")
    options.place = torch.device(options.device)
    return options


# ---- requests --------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Served:
    """One request: seconds since the start of the test."""

    arrived: float
    first: float
    done: float


def serve(scheduler: Any, arrivals: Sequence[float], duration: float) -> list[Served]:
    """Submit a request at each of `arrivals` (seconds from now) and listen to all of them to the end."""
    began = time.perf_counter()
    served: list[Served] = []
    failures: list[BaseException] = []

    def listen(rendering: Any, arrived: float) -> None:
        try:
            chunks, seconds = iter(rendering), 0.0
            seconds += next(chunks).duration_seconds
            first = time.perf_counter() - began
            seconds += sum(chunk.duration_seconds for chunk in chunks)
            assert abs(seconds - duration) < 1e-3, f"{seconds} s of audio instead of {duration} s"
            served.append(Served(arrived, first, time.perf_counter() - began))
        except BaseException as error:
            failures.append(error)

    listeners = []
    for number, arrival in enumerate(arrivals):
        time.sleep(max(0.0, began + arrival - time.perf_counter()))
        arrived = time.perf_counter() - began
        rendering = scheduler.submit(TEXTS[number % len(TEXTS)], duration=duration, seed=number)
        listeners.append(threading.Thread(target=listen, args=(rendering, arrived)))
        listeners[-1].start()
    for listener in listeners:
        listener.join()
    if failures:
        raise failures[0]
    return served


def poisson(count: int, per_second: float, seed: int = 0) -> list[float]:
    """Times of `count` arrivals, the first at 0."""
    generator, now = random.Random(seed), 0.0
    times = []
    for _ in range(count):
        times.append(now)
        now += generator.expovariate(per_second)
    return times


def level(music: Any, slots: int, options: argparse.Namespace, bandwidth: float) -> dict[str, Any]:
    """One concurrency, all at once and by chance."""
    device, duration = options.place, options.duration
    if device.type == "cuda":
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats(device)
    with music.scheduler(max_requests=slots) as scheduler:
        # Not counted: kernels are chosen, graphs captured, for this number of slots.
        serve(scheduler, [0.0] * slots, duration if device.type == "cuda" else min(duration, 0.2))
        synchronize(device)
        with watched(music.codec) as watch:
            at_once = serve(scheduler, [0.0] * slots, duration)
        throughput = slots * duration / max(one.done for one in at_once)
        count = max(4, 2 * slots)
        by_chance = serve(scheduler, poisson(count, options.load * throughput / duration), duration)
    steps = num_steps(music, duration)
    read = step_bytes(music.lm.config, music.precision, steps, len(prompt_tokens()), slots)
    peak = device_peak_bytes(device)
    return {
        "slots": slots,
        "throughput": rounded(throughput),
        "limit": rounded(slots * bandwidth / read.total * duration / steps),
        "each_real_time": rounded(throughput / slots),
        "steps_per_second": rounded(watch.steps_per_second),
        "overhead_share": rounded(watch.overhead_share),
        "device_peak_mb": None if peak is None else rounded(peak / 1e6),
        "at_once": waiting(at_once),
        "poisson": {"requests": count, **waiting(by_chance)},
    }


def waiting(served: Sequence[Served]) -> dict[str, float]:
    """Median and 95th percentile of the seconds to the first chunk and to the last."""
    first, done = [one.first - one.arrived for one in served], [one.done - one.arrived for one in served]
    return {
        "first_p50": rounded(percentile(first, 50)),
        "first_p95": rounded(percentile(first, 95)),
        "done_p50": rounded(percentile(done, 50)),
        "done_p95": rounded(percentile(done, 95)),
    }


# ---- the scheduler's own time ----------------------------------------------------------------------------------------


_ENGINE = ("open", "prepare", "step")


class Watch:
    """What one thread does from its first step of the engine to its last."""

    def __init__(self) -> None:
        self.calls: list[tuple[str, float, float, int]] = []
        """Name, begin, end, thread of calls into the engine and the codec."""

    def _stepping(self) -> list[tuple[str, float, float]]:
        steps = [call for call in self.calls if call[0] == "step"]
        first, last, thread = steps[0][1], steps[-1][2], steps[0][3]
        return [call[:3] for call in self.calls if call[3] == thread and first <= call[1] < last]

    @property
    def steps_per_second(self) -> float:
        steps = [call for call in self._stepping() if call[0] == "step"]
        return len(steps) / (steps[-1][2] - steps[0][1])

    @property
    def overhead_share(self) -> float:
        """Seconds outside of the engine and the codec, over those in the engine's steps."""
        calls = self._stepping()
        stepping = sum(end - start for name, start, end in calls if name == "step")
        other = sum(end - start for name, start, end in calls if name != "step")
        begin, end = calls[0][1], max(call[2] for call in calls)
        return (end - begin - stepping - other) / stepping


@contextmanager
def watched(codec: Any) -> Iterator[Watch]:
    """Note every call into the engine and the codec while inside; on a GPU that is the host's time, which an engine
    that keeps the device busy hides."""
    watch = Watch()

    def noted(name: str, call: Callable[..., Any]) -> Callable[..., Any]:
        def noted_call(*arguments: Any, **named: Any) -> Any:
            start = time.perf_counter()
            try:
                return call(*arguments, **named)
            finally:
                watch.calls.append((name, start, time.perf_counter(), threading.get_ident()))

        return noted_call

    kept = {name: getattr(Slots, name) for name in _ENGINE}
    for name, call in kept.items():
        setattr(Slots, name, noted(name, call))
    codec.decode_step = noted("decode_step", codec.decode_step)
    try:
        yield watch
    finally:
        for name, call in kept.items():
            setattr(Slots, name, call)
        del codec.decode_step


def say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
