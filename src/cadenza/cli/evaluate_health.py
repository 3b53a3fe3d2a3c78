"""`cadenza evaluate health`: silence, clipping, stuck notes, collapse and noise, in clips or in what a model makes."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cadenza.cli.progress import counter, resumable
from cadenza.cli.values import Device, Precision, Threads, number, set_threads, show_notices, whole_number
from cadenza.errors import UserError

if TYPE_CHECKING:
    from cadenza.evaluate.clips import ClipSet

EMBEDDED = "embedded"
_ROUNDS = 1000  # seeds of takes of one prompt that a --seed may draw before it meets those of the next


def health(
    clips: Annotated[
        Path | None,
        typer.Argument(metavar="[CLIPS]", show_default=False, help="A folder or manifest; without: give --model."),
    ] = None,
    model: Annotated[
        str | None, typer.Option(metavar="MODEL", help="Judge what it makes; embedded: the one that comes along.")
    ] = None,
    prompts: Annotated[
        str, typer.Option(metavar="P", help="default, quick, strangers or a file: what the model is asked.")
    ] = "default",
    count: Annotated[
        int, typer.Option(metavar="N", parser=whole_number, help="Clips in all, prompt after prompt, again and again.")
    ] = 500,
    seconds: Annotated[float, typer.Option(metavar="S", parser=number, help="Length of each clip.")] = 30.0,
    seed: Annotated[int, typer.Option(metavar="N", parser=whole_number, help="Draws the clips.")] = 0,
    together: Annotated[
        int, typer.Option(metavar="N", parser=whole_number, help="Made at once; faster, and the same music.")
    ] = 4,
    out: Annotated[Path, typer.Option(metavar="DIR", help="Where takes and health.json go.")] = Path("evaluation")
    / "health",
    as_json: Annotated[bool, typer.Option("--json", help="Print nothing but the JSON object.")] = False,
    device: Device = None,
    precision: Precision = None,
    threads: Threads = None,
) -> None:
    """Faults that no listener forgives: each a rule with a limit that true music keeps.

    With --model the clips are made first; takes are kept, and the same command goes on where it stopped. Clips of a
    minute and more also tell how far loudness drifts in five minutes. The last line is JSON.
    """
    show_notices()
    if (clips is None) == (model is None):
        raise UserError("give CLIPS to judge or --model to make them, one of the two")
    for name, value, most in (("--count", count, 100_000), ("--together", together, 256), ("--seed", seed, 10**5)):
        if not (0 if name == "--seed" else 1) <= value <= most:
            raise UserError(f"{name} {value}: choose 1 to {most}")
    from cadenza.evaluate.clips import read_clips
    from cadenza.evaluate.health import LEAST_SECONDS
    from cadenza.files import atomic_file

    if not LEAST_SECONDS <= seconds <= 3600:
        raise UserError(f"--seconds {seconds:g}: choose {LEAST_SECONDS:g} to 3600")
    with resumable():
        if model is not None:
            set_threads(threads)
            chosen = _takes(model, prompts, count, seconds, seed, together, out, device, precision)
        else:
            assert clips is not None
            chosen = read_clips(clips, least_seconds=LEAST_SECONDS)
        lines, result = _judged(chosen)
    if model is not None:
        result |= {"model": model, "prompts": prompts, "seconds": seconds, "seed": seed}
        with atomic_file(out / "health.json") as temporary:
            temporary.write_text(json.dumps(result, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    if not as_json:
        print("\n".join(lines))
    print(json.dumps(result, ensure_ascii=False))


def _takes(
    model: str, prompts: str, count: int, seconds: float, seed: int, together: int, out: Path,
    device: str | None, precision: str | None,
) -> "ClipSet":  # fmt: skip
    """What the model makes of the prompts, as many times as `count` needs."""
    from dataclasses import replace

    from cadenza.checkpoint import weights_hash
    from cadenza.cli.evaluate_takes import TakeMaker
    from cadenza.evaluate.prompts import load as load_prompts
    from cadenza.evaluate.report.config import SamplingConfig
    from cadenza.loading import find_model, load_musicgen

    asked = {name: replace(one, duration_seconds=None) for name, one in load_prompts(prompts).items()}
    rounds = -(-count // len(asked))
    if rounds > _ROUNDS:
        raise UserError(f"--count {count} of {len(asked)} prompts: choose {_ROUNDS * len(asked)} at most")
    directory = find_model(None if model == EMBEDDED else model)
    sampling = SamplingConfig(
        duration_seconds=seconds, seeds=tuple(_ROUNDS * seed + turn for turn in range(1, rounds + 1)),
        device=device, precision=precision,
    )  # fmt: skip
    maker = TakeMaker(
        lambda: load_musicgen(directory, device, precision), weights_hash(directory), sampling, out / "takes", together
    )
    return maker.make(model, asked, counter("clips made"), count)


def _judged(chosen: "ClipSet") -> tuple[list[str], dict[str, Any]]:
    """Lines for a person, and the JSON object."""
    from cadenza.audio import Audio
    from cadenza.evaluate.health import DRIFT_DB, NOT_FINITE, RULES, drift, faults, judge, loudness_drift_db
    from cadenza.evaluate.health import measure_health as measure
    from cadenza.evaluate.intervals import share_interval
    from cadenza.evaluate.report.figures import Range

    report = counter("clips judged")
    figures: dict[str, dict[str, float]] = {}
    drifts: list[float | None] = []
    refused = [(one.name, one.reason) for one in chosen.refused]
    for place, clip in enumerate(chosen.clips):
        report(place, len(chosen))
        try:
            audio = Audio.read(clip.path)
            figures[clip.id] = measure(audio)
            drifts.append(loudness_drift_db(audio))
        except UserError as error:
            refused.append((clip.id, str(error)))
    # What holds NaN cannot be read, nor made: it is judged, by that alone.
    figures |= {name: {} for name, reason in refused if NOT_FINITE in reason}
    refused = [(name, reason) for name, reason in refused if NOT_FINITE not in reason]
    if not figures:
        raise UserError(f"{chosen.name}: nothing to judge ({refused[0][1]})")
    found = {name: faults(values) or [NOT_FINITE] * (not values) for name, values in figures.items()}
    found = {name: broken for name, broken in found.items() if broken}
    rules = judge(list(figures.values()))
    limits = {rule.name: rule for rule in RULES}
    lines = []
    for one in rules:
        rule = limits.get(one.rule)
        limit = "" if rule is None else f" above {rule.limit:g} {rule.unit}"
        worst = "" if one.worst is None else f", highest {one.worst:.3g}"
        lines.append(f"{one.rule}: {one.broken} of {len(figures)}{limit}{worst}")
    lines += [f"  {name}: {', '.join(broken)}" for name, broken in found.items()]
    lines += [f"not judged: {name}: {reason}" for name, reason in refused]
    trend = drift(drifts)
    if trend is not None:
        lines.append(
            f"loudness drift over 5 minutes: {Range.of(trend).text(1)} dB, mean of {trend.count} pieces; at most "
            f"{DRIFT_DB:g} dB: {'yes' if abs(trend.mean) <= DRIFT_DB else 'no'}"
        )
    share = share_interval(len(found), len(figures))
    lines.append(
        f"{len(found)} of {len(figures)} clips have a fault ({share.mean:.1%}, 95 % interval {share.low:.1%} to "
        f"{share.high:.1%})"
    )
    return lines, {
        "faulty": len(found),
        "clips": len(figures),
        "share": [share.mean, max(0.0, share.low), share.high],
        "rules": {one.rule: {"broken": one.broken, "highest": one.worst} for one in rules},
        "limits": {rule.name: rule.limit for rule in RULES},
        "faults": found,
        "loudness_drift_db": None if trend is None else Range.of(trend).model_dump() | {"pieces": trend.count},
        "refused": [{"name": name, "reason": reason} for name, reason in refused],
    }
