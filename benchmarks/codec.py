"""Decoding codes to 10 s of audio: `python benchmarks/codec.py [--threads 1] [--runs 5]`. The last line is JSON.

The codec of MusicGen (official shape, random weights), plain and packed, at once and in pieces; the decoder of
transformers of the same shape with the same weights; the embedded codec. Sides alternate within one process; figures
are medians of wall time, and of the time that the process itself computed, which others on the machine disturb less.
"""

import argparse
import json
import os
import statistics
import sys
import time
from collections.abc import Callable
from typing import Any

import torch
import transformers
from torch import Tensor

import cadenza
from cadenza.codec.base import Codec
from cadenza.codec.encodec import EnCodec, EnCodecConfig

SECONDS = 10
PIECES = (5, 25, 50)


def decode_streamed(codec: Codec, codes: Tensor, frames: int) -> Tensor:
    """All the audio, `frames` frames of codes at a time."""
    state = codec.new_decode_state()
    starts = range(0, codes.shape[2], frames)
    ends = codes.shape[2]
    return torch.cat([codec.decode_step(codes[..., i : i + frames], state, i + frames >= ends) for i in starts], dim=2)


def first_audio(codec: Codec, codes: Tensor) -> tuple[int, float]:
    """The fewest frames of codes that give sound, and the seconds that a first piece of so many takes."""
    for frames in range(1, codes.shape[2]):
        start = time.perf_counter()
        audio = codec.decode_step(codes[..., :frames], codec.new_decode_state(), False)
        seconds = time.perf_counter() - start
        if audio.shape[2]:
            return frames, seconds
    raise AssertionError("no sound before the end")


def sides_of(name: str, codec: Codec, codes: Tensor) -> dict[str, Callable[[], Tensor]]:
    sides: dict[str, Callable[[], Tensor]] = {f"{name}, at once": lambda: codec.decode(codes)}
    for frames in PIECES:
        sides[f"{name}, {frames} frames a piece"] = lambda frames=frames: decode_streamed(codec, codes, frames)
    return sides


def theirs_of(codec: EnCodec) -> Any:
    """transformers' model of the same shape with the same weights."""
    config = transformers.EncodecConfig(
        sampling_rate=32000,
        upsampling_ratios=[8, 5, 4, 4],
        codebook_size=2048,
        num_filters=64,
        use_causal_conv=False,
        target_bandwidths=[2.2],
        norm_type="weight_norm",
        use_conv_shortcut=False,
    )
    theirs = transformers.EncodecModel(config).eval()
    names = {"weight_g": "parametrizations.weight.original0", "weight_v": "parametrizations.weight.original1"}
    state = {}
    for name, tensor in codec.state_dict().items():
        for ours, their in names.items():
            name = name.replace(ours, their)
        if name.startswith("quantizer."):
            part, _, field = name.rpartition(".")
            name = f"{part}.codebook.{field}"
        state[name] = tensor
    theirs.load_state_dict(state)
    return theirs


def measure(sides: dict[str, Callable[[], Tensor]], runs: int) -> dict[str, dict[str, float]]:
    """Medians over `runs` rounds, in which every side has its turn."""
    wall: dict[str, list[float]] = {name: [] for name in sides}
    own: dict[str, list[float]] = {name: [] for name in sides}
    for action in sides.values():
        action()
    for _ in range(runs):
        for name, action in sides.items():
            start, start_own = time.perf_counter(), time.process_time()
            action()
            wall[name].append(time.perf_counter() - start)
            own[name].append(time.process_time() - start_own)
    return {
        name: {
            "seconds": round(statistics.median(wall[name]), 4),
            "computing_seconds": round(statistics.median(own[name]), 4),
            "real_time": round(SECONDS / statistics.median(wall[name]), 1),
        }
        for name in sides
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--runs", type=int, default=5)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    torch.manual_seed(0)
    plain = EnCodec(EnCodecConfig()).eval()
    packed = EnCodec(EnCodecConfig()).eval()
    packed.load_state_dict(plain.state_dict())
    packed.pack()
    theirs = theirs_of(plain)
    embedded = cadenza.load(device="cpu").codec
    embedded.pack()
    codes = torch.randint(plain.codebook_size, (1, 4, SECONDS * 50))
    small = codes % embedded.codebook_size
    with torch.inference_mode():
        sides = sides_of("plain", plain, codes) | sides_of("packed", packed, codes)
        sides["transformers"] = lambda: theirs.decode(codes[None], [None])[0]
        sides |= sides_of("embedded", embedded, small)
        expected = sides["transformers"]()
        result: dict[str, Any] = {"threads": options.threads, "load": os.getloadavg()[0]}
        result["difference_to_transformers"] = float((packed.decode(codes) - expected).abs().max())
        for name, codec, given in (("packed", packed, codes), ("embedded", embedded, small)):
            frames, seconds = first_audio(codec, given)
            result[f"{name}, first sound"] = {"frames": frames, "seconds": round(seconds, 4)}
        result["sides"] = measure(sides, options.runs)
    for name, figures in result["sides"].items():
        sys.stdout.write(f"{name:32} {figures['seconds']:.3f} s  {figures['real_time']:.1f} x real time\n")
    sys.stdout.write(json.dumps(result) + "\n")


if __name__ == "__main__":
    main()
