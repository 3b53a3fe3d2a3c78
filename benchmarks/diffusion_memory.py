"""How much memory a diffusion decoder takes for a clip, beyond its weights. Ends in JSON.

    python benchmarks/diffusion_memory.py [--shape 32khz] [--bottleneck none] [--bands 2] [--seconds 300] [--calls 1]
        [--one-band]

Random weights are written to a temporary directory and loaded as anybody would; then random codes are decoded in the
default windows, on a CPU. Figures are megabytes (2^20) of resident memory over what the process had before loading;
peaks are the kernel's own (Linux, VmHWM). The codec is a tiny one: its weights do not blur the figures.
"""

import argparse
import gc
import json
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from cadenza.checkpoint import on_meta
from cadenza.diffusion.band import Band, BandConfig
from cadenza.diffusion.decoder import DiffusionDecoder
from cadenza.diffusion.decoder_config import DiffusionDecoderConfig
from cadenza.diffusion.processor import BandProcessorConfig
from cadenza.diffusion.unet import DiffusionUnetConfig
from cadenza.testing import tiny_codec
from diffusion import SHAPES
from machine import describe, rounded

MEGA = 2**20


def main(arguments: Sequence[str] | None = None) -> dict[str, Any]:
    options = parse(arguments)
    torch.manual_seed(0)
    codec = tiny_codec()
    facts = {"num_codebooks": codec.num_codebooks, "codebook_size": codec.codebook_size}
    with tempfile.TemporaryDirectory() as folder:
        config = config_of(options, codec.config.latent_dim, **facts)
        DiffusionDecoder(config, codec).save_pretrained(Path(folder) / "model")
        gc.collect()
        before = resident("VmRSS")
        decoder = DiffusionDecoder.from_pretrained(Path(folder) / "model", one_band=options.one_band)
        loaded = resident("VmRSS") - before
        frames = round(options.seconds * decoder.frame_rate)
        codes = torch.randint(codec.codebook_size, (1, codec.num_codebooks, frames))
        forget_peak()
        start = time.process_time()
        decoder.decode(codes, calls=options.calls, progress=told)
        spent, peak = time.process_time() - start, resident("VmHWM") - before
    with on_meta():
        one = sum(tensor.numel() * tensor.element_size() for tensor in Band(config.bands[0]).parameters()) / MEGA
    weights = one * (1 if options.one_band else options.bands)
    record = {
        "benchmark": "diffusion_memory",
        **vars(options),
        "weights_of_a_band": rounded(one),
        "loaded": rounded(loaded),
        "peak": rounded(peak),
        "peak_beyond_weights": rounded(peak - weights),
        "processor_seconds": rounded(spent),
        "machine": describe(torch.device("cpu")),
    }
    print(json.dumps(record))
    return record


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--shape", choices=list(SHAPES), default="tiny", help="of each network; 32khz: as published")
    parser.add_argument("--bottleneck", default="none", help="none, lstm, transformer")
    parser.add_argument("--bands", type=int, default=2)
    parser.add_argument("--seconds", type=float, default=300.0, help="of audio at 32 kHz")
    parser.add_argument("--calls", type=int, default=1, help="network calls per band; memory does not depend on them")
    parser.add_argument("--one-band", action="store_true", help="one band's weights in memory at a time")
    return parser.parse_args(arguments)


def config_of(options: argparse.Namespace, latent_dim: int, **facts: int) -> DiffusionDecoderConfig:
    shape = SHAPES[options.shape] | {"condition_dim": latent_dim, "bottleneck": options.bottleneck}
    band = BandConfig(
        unet=DiffusionUnetConfig(**shape, embed_all_levels=True),
        processor=BandProcessorConfig(sample_rate=32000),
    )
    return DiffusionDecoderConfig(bands=(band,) * options.bands, condition_dim=latent_dim, **facts)


def told(done: int, in_all: int) -> None:
    print(f"{done} of {in_all} calls", file=sys.stderr, flush=True)


def resident(name: str) -> float:
    """Megabytes that the kernel counts under this name: VmRSS now, VmHWM the most since `forget_peak`."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(f"{name}:")) / 1024


def forget_peak() -> None:
    Path("/proc/self/clear_refs").write_text("5")


if __name__ == "__main__":
    main()
