"""A token cache against the codec alone: `python benchmarks/tokens.py DATA [--codec M] [--runs 5]`; then a JSON line.

DATA is a folder with a manifest. The codec alone codes the same recordings, decoded and resampled beforehand, in the
same batches with one thread; the whole call (`write_tokens`, one process) reads, resamples, codes, checks and writes
them. Both alternate within one process, and figures are medians. `share` is how much of the codec's speed is left, 1 at
best; `share_computed` the same in time that the process itself computed, its reading thread included, which others on
the machine disturb less. `different_lengths`: time to code 12 clips of different lengths, by that for 12 equal ones of
the same sound.
"""

import argparse
import json
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import torch

import cadenza
from cadenza.codec.base import Codec
from cadenza.codec.encodec import EnCodec, EnCodecConfig
from cadenza.data.coding import TokenConfig, plan_batches, read_recording
from cadenza.data.manifest import Entry, read_manifest
from cadenza.data.writing import write_tokens
from cadenza.loading import load_codec

CLIPS = 12
CLIP_SECONDS = 5.0


def ready(codec: Codec, entries: list[Entry], config: TokenConfig) -> list[torch.Tensor]:
    """The batches of `write_tokens`, as the codec takes them."""
    batches = []
    for batch in (one for start in range(0, len(entries), config.shard_items) for one in _plan(entries, start, config)):
        sounds = [read_recording(entry, config.first_seconds) for entry in batch]
        samples = [sound.with_channels(codec.channels).resample(codec.sample_rate).samples for sound in sounds]
        lengths = dict.fromkeys(part.shape[1] for part in samples)
        batches += [torch.stack([torch.from_numpy(s) for s in samples if s.shape[1] == length]) for length in lengths]
    return batches


def _plan(entries: list[Entry], start: int, config: TokenConfig) -> list[list[Entry]]:
    return plan_batches(entries[start : start + config.shard_items], config)


def alternate(sides: dict[str, Callable[[], object]], runs: int) -> dict[str, tuple[float, float]]:
    """Median seconds per side, of the clock and of this process; the first round, which warms up, does not count."""
    clock: dict[str, list[float]] = {name: [] for name in sides}
    computed: dict[str, list[float]] = {name: [] for name in sides}
    for _ in range(runs + 1):
        for name, side in sides.items():
            start, begun = time.perf_counter(), time.process_time()
            side()
            clock[name].append(time.perf_counter() - start)
            computed[name].append(time.process_time() - begun)
    return {name: (statistics.median(clock[name][1:]), statistics.median(computed[name][1:])) for name in sides}


def different_lengths(codec: Codec, runs: int) -> float:
    """What it costs that no two lengths are equal: nothing is known of a length before its turn."""
    size = int(CLIP_SECONDS * codec.sample_rate)
    offsets = [(2 * i - CLIPS + 1) * codec.hop_length for i in range(CLIPS)]  # their sum is 0
    noise = 0.1 * torch.randn(codec.channels, size + max(offsets) + runs, generator=torch.Generator().manual_seed(0))
    turn = iter(range(runs + 1))

    def unequal() -> None:
        more = next(turn)  # lengths that were not seen in the turn before
        for offset in offsets:
            codec.encode(noise[None, :, : size + offset + more])

    def equal() -> None:
        for _ in offsets:
            codec.encode(noise[None, :, :size])

    medians = alternate({"unequal": unequal, "equal": equal}, runs)
    return medians["unequal"][1] / medians["equal"][1]


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", help="folder with a manifest")
    parser.add_argument("--codec", help="a codec or a model; `musicgen`: the official shape, random weights")
    parser.add_argument("--items", type=int, default=128, help="recordings")
    parser.add_argument("--runs", type=int, default=5)
    options = parser.parse_args(arguments)
    torch.set_num_threads(1)
    entries, config = read_manifest(options.data)[: options.items], TokenConfig()
    codec = EnCodec(EnCodecConfig()).eval() if options.codec == "musicgen" else load_codec(options.codec, "cpu")
    batches = ready(codec, entries, config)
    seconds = sum(batch.shape[0] * batch.shape[2] for batch in batches) / codec.sample_rate

    def alone() -> None:
        for batch in batches:
            codec.encode(batch)

    def whole() -> None:
        with tempfile.TemporaryDirectory() as folder:
            write_tokens(codec, entries, Path(folder) / "tokens", config)

    medians = alternate({"codec": alone, "cache": whole}, options.runs)
    (codec_clock, codec_computed), (cache_clock, cache_computed) = medians["codec"], medians["cache"]
    result = {
        "cadenza": cadenza.__version__,
        "torch": torch.__version__,
        "recordings": len(entries),
        "audio_seconds": round(seconds, 1),
        "codec_seconds": round(codec_clock, 3),
        "cache_seconds": round(cache_clock, 3),
        "share": round(codec_clock / cache_clock, 3),
        "share_computed": round(codec_computed / cache_computed, 3),
        "different_lengths": round(different_lengths(codec, options.runs), 3),
    }
    print(f"{seconds:.0f} s of sound: codec {codec_clock:.2f} s, cache {cache_clock:.2f} s")
    print(json.dumps(result))


if __name__ == "__main__":
    main()
