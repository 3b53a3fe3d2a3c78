"""What the card of the embedded model says of its making, from the folder of a run.

In: the folder that `recipes/embedded.py` fills. Out: a word or a line for each `{name}` in `recipes/embedded_card.md`,
which `recipes/ship_embedded.py --facts` fills in. For a model that was made by hand the same file is written by hand.
Nothing is said that the folder does not show.
"""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from cadenza.evaluate.report.machine import processor

FACTS = "facts.json"
"""What `recipes/embedded.py` writes them to."""
_TRAINING = "| {name} | {steps:,} updates of {batch} | {minutes} |"


def facts(folder: Path, phases: Sequence[str], device: str, begun: str | None) -> dict[str, str]:
    """The words of the card.

    Args:
        folder: of the run.
        phases: stages that trained something, in order.
        device: on which.
        begun: the model that training went on from, if any.
    """
    rows = _lines(folder / "corpus" / "manifest.jsonl")
    genres = {row["genre"] for row in rows} - {"solo"}
    heldout = sum(row["duration"] for row in _lines(folder / "heldout" / "manifest.jsonl")) / 3600
    return {
        "hours": f"{sum(row['duration'] for row in rows) / 3600:.1f}",
        "clips": f"{len(rows):,}",
        "pieces": f"{len({row['seed'] for row in rows}):,}",
        "genres": str(len(genres)),
        "instruments": str(len({name for row in rows for name in row["instruments"]})),
        "composer": ", ".join(sorted({str(row["composer"]) for row in rows})),
        "seeds": ", ".join(sorted({str(row["seed"] // 1_000_000) for row in rows})),
        "heldout_hours": f"{heldout:.1f}",
        "training": "\n".join(_phase(folder, name) for name in phases if (folder / name).is_dir()),
        "machine": _machine(device),
        "begun": "nothing" if begun is None else begun,
        "validation": _validation(folder, [name for name in phases if name.startswith("lm-")]),
    }


def _phase(folder: Path, name: str) -> str:
    config = json.loads((folder / name / "config.json").read_text(encoding="utf-8"))
    record = json.loads((folder / "stages" / f"{name}.json").read_text(encoding="utf-8"))
    minutes = f"{record['minutes']:.0f}" if record["minutes"] >= 1 else "less than 1"
    return _TRAINING.format(name=name, steps=config["steps"], batch=_batch(config), minutes=minutes)


def _batch(config: Mapping[str, Any]) -> str:
    """What an update sees."""
    objective, count = config["objective"], config["batch_size"] * config["accumulation"]
    seconds = objective.get("segment_seconds", objective.get("window_seconds"))
    return f"{count} captions" if seconds is None else f"{count} x {seconds:g} s"


def _validation(folder: Path, phases: Sequence[str]) -> str:
    """Cross entropy of the last phase that was validated."""
    found = [line for name in phases for line in _lines(folder / name / "log.jsonl") if line["kind"] == "valid"]
    if not found:
        return "not measured"
    last = found[-1]
    words = {"ce": "with all that it can be told", "ce_text": "with the text alone", "ce_null": "with nothing"}
    return ", ".join(f"{last[name]:.2f} {what}" for name, what in words.items() if name in last)


def _machine(device: str) -> str:
    if device == "cpu":
        return f"one thread of {processor()}"
    import torch

    return f"{torch.cuda.get_device_name(torch.device(device))}, beside {processor()}"


def _lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()] if path.is_file() else []
