"""Records of benchmarks -> Markdown tables, each figure with its limit or its comparison beside it."""

from collections.abc import Sequence
from typing import Any

DECODE_HEAD = (
    "| shape, s | who | LM steps/s | memory's limit | share | whole, s | × real time | first audio, s "
    "| peak, MB (weights) | text / LM / codec, s | transformers' time over this |",
    "|---|---|--:|--:|--:|--:|--:|--:|--:|---|---|",
)


def decode_table(records: Sequence[dict[str, Any]]) -> str:
    """A row per shape, duration, side and precision."""
    lines = list(DECODE_HEAD)
    for record in records:
        what = f"{record['shape']}, {record['duration']:g}"
        for kind, side in record["ours"].items():
            ratios = ", ".join(f"{value:.2f} ({name})" for name, value in side["ratios"].items())
            memory = f"{side['peak_mb']:.0f}"
            if side["device_peak_mb"] is not None:
                memory = f"{side['device_peak_mb']:.0f} + host {memory}"
            shown = [f"{side['first_audio_seconds']:.2f}", f"{memory} ({side['weights_mb']:.0f})"]
            lines.append(_decode_row(what, f"**{kind}**", side, shown, ratios or "–"))
        for kind, side in record["transformers"].items():
            made = side["seconds_of_audio_measured"]
            scaled = "" if made == record["duration"] else f" (scaled per step from {made:g} s)"
            lines.append(_decode_row(what, f"transformers {kind}{scaled}", side, ["–", "–"], "1"))
    return "\n".join(lines)


def _decode_row(what: str, who: str, side: dict[str, Any], shown: Sequence[str], ratio: str) -> str:
    cells = [
        what,
        who,
        f"{side['steps_per_second']:.1f}",
        f"{side['limit_steps_per_second']:.1f}",
        f"{side['share_of_limit']:.0%}",
        f"{side['seconds']:.2f}",
        f"{side['real_time']:.2f}",
        *shown,
        f"{side['text_seconds']:.2f} / {side['lm_seconds']:.2f} / {side['codec_seconds']:.2f}",
        ratio,
    ]
    return "| " + " | ".join(cells) + " |"


SERVING_HEAD = (
    "| shape, precision, s | at once | s of audio per s | memory's limit | each × real time | first audio p50 / p95, s "
    "| done p50 / p95, s | by chance: first p50 / p95, s | done p50 / p95, s | overhead of a step | device peak, MB |",
    "|---|--:|--:|--:|--:|---|---|---|---|--:|--:|",
)


def serving_table(records: Sequence[dict[str, Any]]) -> str:
    """A row per model and concurrency."""
    lines = list(SERVING_HEAD)
    for record in records:
        what = f"{record['shape']}, {record['precision']}, {record['duration']:g}"
        for level in record["levels"]:
            once, chance, peak = level["at_once"], level["poisson"], level["device_peak_mb"]
            cells = [
                what,
                f"{level['slots']}",
                f"{level['throughput']:.2f}",
                f"{level['limit']:.2f}",
                f"{level['each_real_time']:.2f}",
                *(f"{when[f'{kind}_p50']:.2f} / {when[f'{kind}_p95']:.2f}" for when in (once, chance)
                  for kind in ("first", "done")),
                f"{level['overhead_share']:.1%}",
                "–" if peak is None else f"{peak:.0f}",
            ]  # fmt: skip
            lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)
