"""A training step of a language model, ours beside `transformers`' in one run. The last line is JSON.

    python benchmarks/training.py [--precision fp32,bf16] [--layers 4] [--batch 2] [--frames 250] [--device cpu]
    python benchmarks/training.py --run TOKENS CODEC [--steps 20]

Forward, loss and backward of MusicGen-small's layers (few of them, so that rounds are short): the same weights, codes,
words and targets on both sides, each with its own loss, whose results are compared first. The sides take turns; figures
are medians, the ratio is the median of the rounds' ratios. `cadenza.train.throughput` says what MFU counts.

`--run` trains such a shape on a token cache for some steps, through the trainer, and reports what its log says:
positions per second, MFU, and the share of time that was spent waiting for data.
"""

import argparse
import json
import statistics
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from cadenza.conditioning.fuser import FusedConditions
from cadenza.convert.names import scatter, transformers_lm
from cadenza.lm.model import LM, LMConfig
from cadenza.train.objectives.lm import code_losses
from cadenza.train.throughput import lm_work, peak
from machine import describe, device_peak_bytes, rounded, timed
from shapes import SHAPES, transformers_decoder

WORDS = 12
"""Tokens of the text."""
TYPES = {"fp32": None, "bf16": torch.bfloat16, "fp16": torch.float16}


def main(arguments: Sequence[str] | None = None) -> dict[str, Any]:
    options = parse(arguments)
    device = torch.device(options.device)
    record = run_record(options) if options.run else step_record(options, device)
    print(json.dumps(record))
    return record


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--shape", choices=list(SHAPES), default="small")
    parser.add_argument("--layers", type=int, default=4)
    parser.add_argument("--batch", type=int, default=2)
    parser.add_argument("--frames", type=int, default=250)
    parser.add_argument("--precision", default="fp32,bf16", help=f"of {', '.join(TYPES)}")
    parser.add_argument("--device", default="cpu", help="cpu or cuda")
    parser.add_argument("--threads", type=int, help="processor threads; by default torch's own choice")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--no-transformers", action="store_true", help="ours alone")
    parser.add_argument("--checkpointing", action="store_true", help="compute activations again (ours)")
    parser.add_argument("--run", nargs=2, metavar=("TOKENS", "CODEC"), help="a real run on a token cache instead")
    parser.add_argument("--steps", type=int, default=20, help="updates of a real run")
    options = parser.parse_args(arguments)
    if options.threads is not None:
        torch.set_num_threads(options.threads)
    return options


# ---- one step --------------------------------------------------------------------------------------------------------


class Sides:
    """Both models on one batch."""

    def __init__(self, config: LMConfig, batch: int, frames: int, device: torch.device, with_theirs: bool) -> None:
        generator = torch.Generator().manual_seed(0)
        self.lm = LM(config)
        self.lm.initialize(generator)
        self.lm.to(device).train()
        codes = torch.randint(config.codebook_size, (batch, config.num_codebooks, frames), generator=generator)
        sequence, mask = self.lm.pattern.build(codes.to(device), config.special_token, valid_only=True)
        self.sequence, targets = sequence[:, :, :-1].contiguous(), sequence[:, :, 1:]
        self.targets = targets.masked_fill(~mask[:, 1:], -1).contiguous()
        self.words = torch.randn(batch, WORDS, config.dim, generator=generator).to(device)
        self.theirs = None
        if with_theirs:
            self.theirs = transformers_decoder(config).to(device).train()
            self.theirs.load_state_dict(scatter(transformers_lm(self.lm), self.lm.state_dict()))

    def our_loss(self) -> Tensor:
        losses = code_losses(self.lm(self.sequence, FusedConditions(cross=self.words)), self.targets)
        return (losses.total / losses.codes).mean()

    def their_loss(self) -> Tensor:
        """Rows are items times codebooks; what does not count is -100. Their mean is that of the codebooks' means."""
        assert self.theirs is not None
        labels = self.targets.masked_fill(self.targets < 0, -100).transpose(1, 2).contiguous()
        loss: Tensor = self.theirs(
            input_ids=self.sequence.flatten(0, 1), encoder_hidden_states=self.words, labels=labels, use_cache=False
        ).loss
        return loss

    def clear(self) -> None:
        for model in (self.lm, self.theirs):
            if model is not None:
                model.zero_grad(set_to_none=True)


def step_record(options: argparse.Namespace, device: torch.device) -> dict[str, Any]:
    config = SHAPES[options.shape].lm.model_copy(update={"num_layers": options.layers})
    sides = Sides(config, options.batch, options.frames, device, not options.no_transformers)
    sides.lm.gradient_checkpointing = options.checkpointing
    work = lm_work(config, options.batch, sides.sequence.shape[2], source=WORDS)
    settings = {name: getattr(options, name) for name in ("shape", "layers", "batch", "frames", "checkpointing")}
    record: dict[str, Any] = {"machine": describe(device), "settings": settings, "precisions": {}}
    for precision in options.precision.split(","):
        record["precisions"][precision] = found = measure(sides, precision, options.rounds, device)
        limit = peak(device, precision)
        found["positions_per_second"] = rounded(work.positions / found["ours_seconds"])
        found["mfu"] = rounded(work.operations / found["ours_seconds"] / limit.operations_per_second)
        found["peak"] = {"operations_per_second": rounded(limit.operations_per_second), "source": limit.source}
        line = f"{precision}: ours {found['ours_seconds']:.3f} s"
        if sides.theirs is not None:
            line += f", transformers {found['transformers_seconds']:.3f} s, ratio {found['ratio']:.3f}"
        print(f"{line}, {found['positions_per_second']:g} positions/s, MFU {found['mfu']:.1%} of {limit.source}")
    record["peak_bytes"] = device_peak_bytes(device)
    return record


def measure(sides: Sides, precision: str, rounds: int, device: torch.device) -> dict[str, float]:
    kind = TYPES[precision]

    def step(loss: Callable[[], Tensor]) -> float:
        sides.clear()
        with torch.autocast(device.type, kind or torch.bfloat16, enabled=kind is not None):
            value = loss()
        value.backward()  # type: ignore[no-untyped-call]
        return float(value.detach())

    ours, theirs = sides.our_loss, sides.their_loss
    first = step(ours)
    if sides.theirs is None:
        return {"ours_seconds": statistics.median(timed(lambda: step(ours), device) for _ in range(rounds))}
    difference = abs(step(theirs) - first)
    assert difference < (1e-4 if kind is None else 2e-2), f"the losses differ by {difference}"
    times = []
    for number in range(rounds):
        pair = {side: timed(lambda side=side: step(side), device) for side in (ours, theirs)[:: 1 - 2 * (number % 2)]}
        times.append((pair[ours], pair[theirs]))
    return {
        "ours_seconds": rounded(statistics.median(a for a, _ in times)),
        "transformers_seconds": rounded(statistics.median(b for _, b in times)),
        "ratio": rounded(statistics.median(a / b for a, b in times)),
        "loss": first,
        "loss_difference": rounded(difference),
    }


# ---- a real run ------------------------------------------------------------------------------------------------------


def run_record(options: argparse.Namespace) -> dict[str, Any]:
    from cadenza.conditioning.fuser import FuserConfig
    from cadenza.conditioning.provider import ConditioningConfig
    from cadenza.conditioning.t5 import T5Config
    from cadenza.conditioning.text import TextConfig
    from cadenza.data.tokens import TokenCache
    from cadenza.train.config import TrainConfig
    from cadenza.train.objectives.lm_config import LMObjectiveConfig
    from cadenza.train.run import build

    tokens, codec = options.run
    cache = TokenCache(tokens)
    lm = SHAPES[options.shape].lm.model_copy(
        update={
            "num_layers": options.layers,
            "num_codebooks": cache.num_codebooks,
            "codebook_size": cache.codebook_size,
        }
    )
    text = T5Config(vocab_size=512, dim=64, head_dim=16, num_heads=4, num_layers=1, feed_forward_dim=128)
    objective = LMObjectiveConfig(
        codec=codec,
        lm=lm,
        conditioning=ConditioningConfig(
            dim=lm.dim,
            conditioners={"description": TextConfig(dim=text.dim, max_tokens=64, truncate=True)},
            fuser=FuserConfig(cross=("description",)),
        ),
        text_encoder=text,
        window_seconds=options.frames / cache.frame_rate,
        gradient_checkpointing=options.checkpointing,
    )
    values = {"steps": options.steps, "log_every": options.steps // 2, "validate_every": 0, "snapshot_every": 10**9}
    precision = options.precision.split(",")[-1]
    with tempfile.TemporaryDirectory() as folder:
        config = TrainConfig(
            data=tokens,
            objective=objective,
            batch_size=options.batch,
            device=options.device,
            precision=precision,
            threads=options.threads,
            tensorboard=False,
            sample_prompts=0,
            **values,
        )
        build(config, Path(folder)).run()
        rows = [json.loads(line) for line in (Path(folder) / "log.jsonl").read_text().splitlines()]
    last = [row for row in rows if row["kind"] == "train"][-1]  # the first line holds the start
    names = ("steps_per_second", "tokens_per_second", "mfu", "data_wait")
    return {
        "machine": describe(torch.device(options.device)),
        "precision": precision,
        **{name: last.get(name) for name in names},
    }


if __name__ == "__main__":
    main()
