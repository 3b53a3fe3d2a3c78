"""The reader of plans inside the package: words to tempo, key, meter, genre, instruments and moods.

    python recipes/embedded_reader.py captions runs/captions.jsonl.gz    # half a minute
    cadenza train recipes/embedded_reader.py --out runs/reader           # five minutes on one thread of its own
    python recipes/embedded_reader.py figures runs/reader/snapshots/last/model

No sound is needed: captions and facts are drawn as the composer draws them, and no note is written.
"""

import argparse
import gzip
import json
from collections.abc import Iterator, Mapping
from itertools import groupby, islice
from pathlib import Path
from typing import Any

from cadenza.conditioning.plan import spell_key
from cadenza.conditioning.reader import PlanReader, PlanReaderConfig
from cadenza.conditioning.t5 import T5Config
from cadenza.corpus.pairs import pairs
from cadenza.evaluate.clips import Asked
from cadenza.evaluate.prompts import load
from cadenza.files import atomic_file
from cadenza.train.config import TrainConfig
from cadenza.train.objectives.reading import ReadingObjectiveConfig
from cadenza.train.optim import MuonConfig
from cadenza.train.schedule import CosineSchedule

_FIGURES = (
    "instruments, recall",
    "instruments, precision",
    "genre",
    "tempo",
    "no tempo",
    "drawn tempo",
    "key",
    "no key",
)


def config() -> TrainConfig:
    return TrainConfig(
        data="runs/captions.jsonl.gz",
        objective=ReadingObjectiveConfig(
            reader=PlanReaderConfig(
                encoder=T5Config(
                    dim=192, head_dim=32, num_heads=6, num_layers=2, feed_forward_dim=384, feed_forward="gated-gelu"
                )
            ),
            optimizer=MuonConfig(learning_rate=3e-3),
        ),
        steps=2000,
        batch_size=128,
        schedule=CosineSchedule(warmup_steps=50, min_ratio=0.02),
        ema_decay=0.98,
        precision="bf16",
        threads=1,
        log_every=100,
        validate_every=500,
        valid_items=500,
        snapshot_every=500,
        sample_prompts=0,
    )


def rows(seed: int, count: int) -> Iterator[dict[str, Any]]:
    """Captions of the same facts, and these; `count` captions in all."""
    for facts, told in groupby(islice(pairs(seed), count), key=lambda pair: pair.facts):
        yield {
            "captions": [pair.caption for pair in told],
            "genre": facts.genre,
            "instruments": facts.instruments,
            "moods": facts.moods,
            "tempo_bpm": facts.tempo_bpm,
            "key": facts.key,
            "meter": facts.meter,
        }


def write_captions(path: Path, seed: int, count: int) -> None:
    """JSON lines, gzipped; the same bytes for the same seed."""
    path.parent.mkdir(parents=True, exist_ok=True)
    lines = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows(seed, count))
    with atomic_file(path) as temporary:
        temporary.write_bytes(gzip.compress(lines.encode(), compresslevel=5, mtime=0))


def figures(reader: PlanReader, prompts: Mapping[str, Asked]) -> dict[str, tuple[int, int]]:
    """Of what prompts ask for, how much is read in them: right ones, and all."""
    sums: dict[str, list[bool]] = {name: [] for name in _FIGURES}
    for asked, reading in zip(prompts.values(), reader.read([asked.text for asked in prompts.values()]), strict=True):
        plan = reading.stated
        wanted = [name.split("/") for name in asked.instruments]
        sums["instruments, recall"] += [bool(set(names) & set(plan.instruments)) for names in wanted]
        if wanted:
            sums["instruments, precision"] += [any(name in names for names in wanted) for name in plan.instruments]
        if asked.genre:
            sums["genre"].append(plan.genre == asked.genre)
        if isinstance(asked.tempo_bpm, tuple):
            low, high = asked.tempo_bpm
            sums["drawn tempo"] += [low <= (reading.fill(s).tempo_bpm or 0) <= high for s in range(8)]
        elif asked.tempo_bpm:
            sums["tempo"].append(plan.tempo_bpm == asked.tempo_bpm)
        else:
            sums["no tempo"].append(plan.tempo_bpm is None)
        if asked.key:
            sums["key"].append(plan.key == spell_key(asked.key))
        else:
            sums["no key"].append(plan.key is None)
    return {name: (sum(right), len(right)) for name, right in sums.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(required=True, dest="command")
    captions = commands.add_parser("captions", help="write captions and facts to learn from")
    captions.add_argument("out", type=Path)
    captions.add_argument("--seed", type=int, default=23)
    captions.add_argument("--count", type=int, default=300_000)
    measured = commands.add_parser("figures", help="how much of what prompts ask for is read in them")
    measured.add_argument("reader", type=Path)
    measured.add_argument("prompts", help="default, strangers or a file", nargs="?", default="default")
    options = parser.parse_args()
    if options.command == "captions":
        write_captions(options.out, options.seed, options.count)
    else:
        found = figures(PlanReader.from_pretrained(options.reader), load(options.prompts))
        for name, (right, count) in found.items():
            print(f"{name}: {right} of {count} ({right / max(count, 1):.3f})")


if __name__ == "__main__":
    main()
