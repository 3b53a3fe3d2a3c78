"""A whole decode by diffusion: by network calls, bands one after the other or together. Ends in JSON.

    python benchmarks/diffusion_decode.py [DECODER] [--calls 4,20] [--solver ancestral] [--seconds 5] [--runs 3]
        [--together] [--shape 32khz --bottleneck none --bands 4] [--device cpu] [--precision fp32]

A decoder's directory, or bands of one shape with random weights and a tiny codec. Random codes are decoded; the sides
take turns within each round, figures are medians of the rounds, ratios medians of the rounds' ratios. Seconds are those
of the processor in this process (one thread: OMP_NUM_THREADS=1), on CUDA those that passed until the device was done.
What does not depend on calls is measured by itself in every round: the codec's decode, and holding the levels to it.
`--together` adds the bands as one network, and counts the operations that PyTorch starts for a call of all bands, views
aside: what a GPU waits for where they are small.
"""

import argparse
import json
import logging
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from cadenza.diffusion.band import BandConfig
from cadenza.diffusion.decoder import DiffusionDecoder
from cadenza.diffusion.decoder_config import DiffusionDecoderConfig
from cadenza.diffusion.levels import match_levels
from cadenza.diffusion.sampler import SOLVERS
from cadenza.diffusion.unet import DiffusionUnetConfig
from cadenza.testing import tiny_codec
from diffusion import SHAPES, medians, ratios, spent
from machine import describe, load_average, rounded, timed

CODEC, LEVELS = "codec's decode", "levels"


def main(arguments: Sequence[str] | None = None) -> dict[str, Any]:
    options = parse(arguments)
    device = torch.device(options.device)
    logging.getLogger("cadenza").setLevel(logging.ERROR)  # random networks make noise, and are told so at every decode
    decoders = {"": decoder_of(options)}
    asked = {"seconds_of_audio" if name == "seconds" else name: value for name, value in vars(options).items()}
    record: dict[str, Any] = {"benchmark": "diffusion_decode", **asked, "machine": describe(device)}
    codec = decoders[""].codec
    shape = (1, codec.num_codebooks, round(options.seconds * codec.frame_rate))
    codes = torch.randint(codec.codebook_size, shape, generator=torch.Generator().manual_seed(0)).to(device)
    if options.together:
        decoders[" together"] = decoder_of(options)
        decoders[" together"].together = True
        record["operations"] = {name.strip() or "alone": operations(part, codes) for name, part in decoders.items()}
    decoders[""].together = False
    for decoder in decoders.values():
        decoder.pack(options.precision)
    sides: dict[str, Callable[[], Tensor]] = {
        f"{calls} calls{name}": decode(part, codes, calls, options.solver)
        for calls in options.calls
        for name, part in decoders.items()
    }
    with torch.inference_mode():
        reference = codec.decode(codes)
        sides[CODEC] = lambda: codec.decode(codes)
        sides[LEVELS] = lambda: match_levels(reference, reference, decoders[""].splitter)
        made = {name: call() for name, call in sides.items()}  # warm
        clock = spent if device.type == "cpu" else lambda call: timed(call, device)
        seconds: dict[str, list[float]] = {name: [] for name in sides}
        for number in range(options.runs):
            for name, call in sides.items():
                seconds[name].append(clock(call))
            print(number, {name: rounded(times[-1]) for name, times in seconds.items()}, file=sys.stderr, flush=True)
    slowest = f"{max(options.calls)} calls"
    record["seconds"], record["ratio"] = medians(seconds), ratios(seconds, slowest)
    if options.together:
        record["deviation_of_together"] = rounded(float((made[f"{slowest} together"] - made[slowest]).abs().max()))
    record["machine"]["load_at_end"] = rounded(load_average())
    for name, value in record["seconds"].items():
        print(f"{name:20} {value:8.3f} s  {record['ratio'][name]:6.2f} times as fast as {slowest}")
    print(json.dumps(record))
    return record


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("decoder", nargs="?", help="a decoder's directory; else random weights")
    parser.add_argument("--calls", type=lambda text: [int(one) for one in text.split(",")], default=[4, 20])
    parser.add_argument("--solver", choices=SOLVERS, default="ancestral")
    parser.add_argument("--seconds", type=float, default=5.0, help="of audio")
    parser.add_argument("--runs", type=int, default=3, help="rounds; the medians are reported")
    parser.add_argument("--together", action="store_true", help="bands as one network, beside one after the other")
    parser.add_argument("--shape", choices=list(SHAPES), default="tiny", help="of random networks")
    parser.add_argument("--bottleneck", default="none", help="of random networks: none, lstm, transformer")
    parser.add_argument("--bands", type=int, default=4, help="how many random networks")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--precision", choices=["fp32", "bf16"], default="fp32", help="of the networks")
    return parser.parse_args(arguments)


def decoder_of(options: argparse.Namespace) -> DiffusionDecoder:
    if options.decoder is not None:
        return DiffusionDecoder.from_pretrained(Path(options.decoder), options.device, options.precision)
    torch.manual_seed(0)
    codec = tiny_codec()
    shape = SHAPES[options.shape] | {"condition_dim": codec.config.latent_dim, "bottleneck": options.bottleneck}
    band = BandConfig(unet=DiffusionUnetConfig(**shape, embed_all_levels=True))
    facts = {"num_codebooks": codec.num_codebooks, "codebook_size": codec.codebook_size}
    config = DiffusionDecoderConfig(bands=(band,) * options.bands, condition_dim=codec.config.latent_dim, **facts)
    return DiffusionDecoder(config, codec).eval().to(options.device)


def decode(decoder: DiffusionDecoder, codes: Tensor, calls: int, solver: Any) -> Callable[[], Tensor]:
    return lambda: decoder.decode(codes, calls=calls, solver=solver)


class _Count(TorchDispatchMode):
    """Counts what is started; what only looks at memory in another way is not."""

    total = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        results = func._schema.returns
        self.total += not any(part.alias_info is not None and not part.alias_info.is_write for part in results)
        return func(*args, **(kwargs or {}))


def operations(decoder: DiffusionDecoder, codes: Tensor) -> int:
    """Of one more call of all bands."""
    counts = []
    for calls in (1, 1, 2):  # the first makes what is made once
        with _Count() as count:
            decoder.decode(codes, calls=calls, solver="ddim", match=False)
        counts.append(count.total)
    return counts[2] - counts[1]


if __name__ == "__main__":
    main()
