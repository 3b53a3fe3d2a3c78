"""One call of a diffusion U-Net: ours packed, in fp32 and bf16, beside the same arithmetic done plainly. Ends in JSON.

    python benchmarks/diffusion.py [--bottleneck transformer,lstm] [--seconds 1] [--runs 5] [--parts]

The 32 kHz shape of arXiv 2308.02560 with random weights (widths 48, 192, 768, 3072), on a CPU. The sides take turns
within each round; figures are medians of the rounds, ratios medians of the rounds' ratios. Seconds are
those of the processor in this process (one thread: OMP_NUM_THREADS=1), so that who else works on the machine counts
little. The limit: the products' operations at the rate that this process measures for a large packed product of the
same precision, in the same run. `--parts` measures the means one by one.
"""

import argparse
import copy
import json
import sys
import time
from collections.abc import Callable, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from cadenza.diffusion.bottleneck import FEED_FORWARD_DIM, LSTM_LAYERS, TRANSFORMER_LAYERS
from cadenza.diffusion.unet import DiffusionUnet, DiffusionUnetConfig
from cadenza.nn.packing import pack_lstm_layer, run_lstm_layer
from cadenza.nn.reorder import Reordered
from machine import describe, load_average, median, rounded
from plain_unet import PlainUnet

CPU = torch.device("cpu")
SHAPES: dict[str, dict[str, Any]] = {
    "32khz": {"hidden": 48, "depth": 4, "growth": 4, "kernel_size": 8, "stride": 4, "condition_dim": 128},
    "small": {"hidden": 32, "depth": 4, "growth": 2, "kernel_size": 8, "stride": 4, "condition_dim": 128},
    "tiny": {"hidden": 8, "depth": 2, "growth": 2, "kernel_size": 8, "stride": 4, "condition_dim": 16},
}
STEP = 500


def main(arguments: Sequence[str] | None = None) -> dict[str, Any]:
    options = parse(arguments)
    record: dict[str, Any] = {
        "benchmark": "diffusion",
        "shape": options.shape,
        "seconds_of_audio": options.seconds,
        "runs": options.runs,
        "machine": describe(CPU),
    }
    with torch.inference_mode():
        record["bands"] = {kind: band(options, kind) for kind in options.bottleneck.split(",")}
        if options.parts:
            record["parts"] = parts(options)
    record["machine"]["load_at_end"] = rounded(load_average())
    print("\n" + table(record) + "\n")
    print(json.dumps(record))
    return record


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--shape", choices=list(SHAPES), default="32khz")
    parser.add_argument("--bottleneck", default="transformer,lstm", help="none, lstm, transformer; several with commas")
    parser.add_argument("--seconds", type=float, default=1.0, help="of audio at 32 kHz")
    parser.add_argument("--runs", type=int, default=3, help="rounds; the medians are reported")
    parser.add_argument("--parts", action="store_true", help="measure each means by itself, too")
    return parser.parse_args(arguments)


# ---- a whole call ----------------------------------------------------------------------------------------------------


def band(options: argparse.Namespace, kind: str) -> dict[str, Any]:
    """One network: its three sides in turns, and how far each is from the plain one."""
    torch.manual_seed(0)
    config = DiffusionUnetConfig(**SHAPES[options.shape], embed_all_levels=True, bottleneck=kind)
    ours = DiffusionUnet(config).eval()
    exact, half = copy.deepcopy(ours), copy.deepcopy(ours)
    plain = PlainUnet(config).load(ours)
    exact.pack()
    half.pack("bf16")
    samples = int(32000 * options.seconds)
    audio, condition = torch.randn(1, 1, samples), torch.randn(1, config.condition_dim, int(50 * options.seconds))
    sides = {name: side_call(net, audio, condition) for name, net in
             (("plain", plain), ("fp32", exact), ("bf16", half))}  # fmt: skip
    reference = sides["plain"]()
    deviation = {name: rounded(float((call() - reference).std() / reference.std())) for name, call in sides.items()}
    seconds = in_turns(sides, options.runs)
    rates = {"fp32": product_rate(torch.float32), "bf16": product_rate(torch.bfloat16)}
    operations = count_operations(config, samples)
    limits = {name: operations / rates["bf16" if name == "bf16" else "fp32"] for name in sides}
    return {
        "weights_millions": rounded(sum(part.numel() for part in ours.parameters()) / 1e6),
        "giga_operations": rounded(operations / 1e9),
        "giga_operations_per_second": {name: rounded(rate / 1e9) for name, rate in rates.items()},
        "seconds": {name: rounded(median(times)) for name, times in seconds.items()},
        "limit_seconds": {name: rounded(limit) for name, limit in limits.items()},
        "ratio_to_plain": ratios(seconds, "plain"),
        "deviation_over_spread": deviation,
    }


def side_call(net: torch.nn.Module, audio: Tensor, condition: Tensor) -> Callable[[], Tensor]:
    return lambda: net(audio, STEP, condition)


def in_turns(sides: dict[str, Callable[[], object]], runs: int) -> dict[str, list[float]]:
    """Processor seconds of each side, round by round; all were called before."""
    seconds: dict[str, list[float]] = {name: [] for name in sides}
    for number in range(runs):
        for name, call in sides.items():
            seconds[name].append(spent(call))
        print(number, {name: rounded(times[-1]) for name, times in seconds.items()}, file=sys.stderr, flush=True)
    return seconds


def spent(call: Callable[[], object]) -> float:
    """Processor seconds of a call, of all threads together."""
    start = time.process_time()
    call()
    return time.process_time() - start


def ratios(seconds: dict[str, list[float]], base: str) -> dict[str, float]:
    """How many times faster than the base each side is."""
    return {
        name: rounded(median([a / b for a, b in zip(seconds[base], times, strict=True)]))
        for name, times in seconds.items()
    }


def count_operations(config: DiffusionUnetConfig, samples: int) -> float:
    """Multiplications and additions of all products of one call, attention's scores left out (below 1 %)."""
    total, frames, outer = 0.0, samples, config.channels
    for width in config.widths:
        frames = -(-frames // config.stride)
        change = config.kernel_size * outer * width
        blocks = config.num_residual_blocks * 2 * 3 * width * width
        total += 2 * frames * 2 * (change + blocks)  # encoder and decoder
        outer = width
    if config.bottleneck == "transformer":
        total += 2 * frames * TRANSFORMER_LAYERS * (4 * outer * outer + 2 * outer * FEED_FORWARD_DIM)
    elif config.bottleneck == "lstm":
        layers = sum(2 * 4 * outer * (outer * (1 + bool(layer)) + outer) for layer in range(LSTM_LAYERS))
        total += 2 * frames * (layers + 2 * outer * outer)
    return total


def product_rate(dtype: torch.dtype) -> float:
    """Operations per second of a product of 512 rows by a packed 2048 x 2048 weight: best of five."""
    multiply = Reordered.pack(torch.randn(2048, 2048).to(dtype))
    rows = torch.randn(512, 2048).to(dtype)
    multiply(rows)
    return 2 * 512 * 2048 * 2048 / min(spent(lambda: multiply(rows)) for _ in range(5))


# ---- the means, one by one -------------------------------------------------------------------------------------------


def parts(options: argparse.Namespace) -> dict[str, Any]:
    """Ratios to PyTorch's own module in fp32: the deepest convolution, a layer of the LSTM, two bands as one."""
    dim = DiffusionUnetConfig(**SHAPES[options.shape]).widths[-1]
    frames = int(125 * options.seconds)
    x, weight, bias = torch.randn(1, dim, frames), torch.randn(dim, dim, 3) * dim**-0.5, torch.randn(dim)
    rows = x.transpose(1, 2).contiguous()
    matrix = weight.transpose(1, 2).flatten(1)
    packed, packed_half = Reordered.pack(matrix), Reordered.pack(matrix.bfloat16())
    convolution = {
        "conv1d": lambda: F.conv1d(x, weight, bias, padding=1),
        "conv1d bf16": lambda: F.conv1d(x.bfloat16(), half_weight, half_bias, padding=1),
        "windows": lambda: F.linear(windows(rows), matrix, bias),
        "windows packed": lambda: packed(windows(rows), bias),
        "windows packed bf16": lambda: packed_half(windows(rows.bfloat16()), half_bias),
    }
    half_weight, half_bias = weight.bfloat16(), bias.bfloat16()
    for call in convolution.values():
        call()
    seconds = in_turns(convolution, options.runs)
    found = {"convolution": {"seconds": medians(seconds), "ratio": ratios(seconds, "conv1d")}}

    layer = torch.nn.LSTM(dim, dim)
    steps, zeros = torch.randn(frames, 1, dim), torch.zeros(1, 1, dim)
    weights = pack_lstm_layer(layer.all_weights[0])
    halves = pack_lstm_layer([tensor.bfloat16() for tensor in layer.all_weights[0]])
    half_steps, half_zeros = steps.bfloat16(), zeros.bfloat16()
    seconds = in_turns(
        {
            "nn.LSTM": lambda: layer(steps),
            "packed": lambda: run_lstm_layer(steps, weights, zeros, zeros),
            "packed bf16": lambda: run_lstm_layer(half_steps, halves, half_zeros, half_zeros),
        },
        options.runs,
    )
    found["lstm layer, one direction"] = {"seconds": medians(seconds), "ratio": ratios(seconds, "nn.LSTM")}

    stacked, two = torch.stack([matrix.T, matrix.T]).contiguous(), rows.expand(2, -1, -1)
    seconds = in_turns(
        {
            "two packed products": lambda: (packed(windows(rows), bias), packed(windows(rows), bias)),
            "stacked weights": lambda: torch.bmm(windows(two), stacked),
        },
        options.runs,
    )
    found["two bands"] = {"seconds": medians(seconds), "ratio": ratios(seconds, "two packed products")}
    return found


def windows(rows: Tensor) -> Tensor:
    padded = F.pad(rows, (0, 0, 1, 1))
    return torch.cat([padded[:, tap : tap + rows.shape[1]] for tap in range(3)], dim=2)


def medians(seconds: dict[str, list[float]]) -> dict[str, float]:
    return {name: rounded(median(times)) for name, times in seconds.items()}


def table(record: dict[str, Any]) -> str:
    lines = [
        "| bottleneck (weights) | who | s per call | products' limit, s | share | plain's time over this "
        "| deviation over spread |",
        "|---|---|--:|--:|--:|--:|--:|",
    ]
    for kind, found in record["bands"].items():
        for name, seconds in found["seconds"].items():
            limit = found["limit_seconds"][name]
            lines.append(
                f"| {kind} ({found['weights_millions']:.0f} M) | {name} | {seconds:.3g} | {limit:.3g} "
                f"| {limit / seconds:.0%} | {found['ratio_to_plain'][name]:.2f} "
                f"| {found['deviation_over_spread'][name]:.1e} |"
            )
    if "parts" in record:
        lines += ["", "| part | how | s | first's time over this |", "|---|---|--:|--:|"]
        for part, found in record["parts"].items():
            lines += [f"| {part} | {name} | {seconds:.3g} | {found['ratio'][name]:.2f} |"
                      for name, seconds in found["seconds"].items()]  # fmt: skip
    return "\n".join(lines)


if __name__ == "__main__":
    main()
