"""`cadenza evaluate memorization`: whether a model plays its training tracks by heart."""

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cadenza.cli import INTERRUPTED
from cadenza.cli.progress import counter
from cadenza.cli.values import Device, Precision, Threads, number, set_threads, show_notices, whole_number
from cadenza.errors import UserError

if TYPE_CHECKING:
    from torch import Tensor

    from cadenza.evaluate.continuations import CellFigures, Player
    from cadenza.pipelines.musicgen import MusicGen

EMBEDDED = "embedded"
NATURAL_PROMPTS = 200  # stretches of music that the model never saw, looked for in what it did


def memorization(
    model: Annotated[str, typer.Argument(metavar="MODEL", help="A model; embedded: the one that comes along.")],
    tokens: Annotated[Path, typer.Argument(metavar="TOKENS", help="Token cache of what it was trained on.")],
    prompts: Annotated[int, typer.Option(metavar="N", parser=whole_number, help="Places in training tracks.")] = 500,
    seconds: Annotated[float, typer.Option(metavar="S", parser=number, help="How long each is played on.")] = 5.0,
    opening: Annotated[
        str, typer.Option(metavar="S,...", help="Seconds of the track given before; 0: the caption alone.")
    ] = "0,1,3,5",
    text: Annotated[str, typer.Option(metavar="WHICH", help="Captions: given, none or both.")] = "both",
    held_out: Annotated[
        int,
        typer.Option(metavar="N", parser=whole_number, help="Also play on so many places of held-out tracks."),
    ] = 0,
    held_out_tokens: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Cache of held-out tracks. [default: valid and test of TOKENS]")
    ] = None,
    sample: Annotated[
        bool, typer.Option("--sample", help="Draw the codes as `cadenza generate` does, not the most likely ones.")
    ] = False,
    guidance: Annotated[
        float, typer.Option(metavar="G", parser=number, help="Strength of the caption; 1: none.")
    ] = 1.0,
    batch: Annotated[int, typer.Option(metavar="N", parser=whole_number, help="Continuations made together.")] = 16,
    seed: Annotated[int, typer.Option(metavar="N", parser=whole_number, help="Draws the places.")] = 0,
    out: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Keep what is made there: the same command goes on from it.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print nothing but the JSON object.")] = False,
    device: Device = None,
    precision: Precision = None,
    threads: Threads = None,
) -> None:
    """Greedy continuations of training tracks: how many are the track itself, code by code (Copet et al. 2023).

    Beside each figure, what other tracks agree by chance. Ctrl-C ends it with the figures so far. The last line is
    JSON.
    """
    show_notices()
    set_threads(threads)
    for name, value, most in (("--prompts", prompts, 10**6), ("--batch", batch, 1024)):
        if not 1 <= value <= most:
            raise UserError(f"{name} {value}: choose 1 to {most}")
    if held_out < 0:
        raise UserError(f"--held-out {held_out}: choose 0 or more")
    texts = {"both": (True, False), "given": (True,), "none": (False,)}.get(text)
    if texts is None:
        raise UserError(f"--text {text}: choose given, none or both")
    openings = sorted({number(part) for part in opening.split(",")})
    from cadenza.data.tokens import TokenCache, encoder_hash
    from cadenza.evaluate import continuations as experiment
    from cadenza.evaluate.memorization import StretchIndex
    from cadenza.loading import load_musicgen

    cache = TokenCache(tokens)
    other = cache if held_out_tokens is None else TokenCache(held_out_tokens)
    sources = {
        experiment.TRAIN: [item for item in cache.items if item.split == "train"],
        experiment.HELD_OUT: [item for item in other.items if other is not cache or item.split != "train"],
    }
    if not sources[experiment.TRAIN]:
        raise UserError(f"{tokens} holds no tracks of split train: give the cache that the model was trained on")
    music = load_musicgen(None if model == EMBEDDED else model, device, precision)
    codec = music.codec
    shape = (codec.num_codebooks, codec.codebook_size, codec.frame_rate)
    if any((one.num_codebooks, one.codebook_size, one.frame_rate) != shape for one in (cache, other)):
        raise UserError(f"these codes are not of the codec of {model}: code the tracks with `--codec {model}`")
    same_codec = all(one.codec_hash == encoder_hash(codec) for one in (cache, other))
    if not same_codec:
        print(
            f"cadenza: the codec of {model} is not exactly the one that made these codes: no harm if its weights were "
            "only rounded when they were saved, but codes of another codec would never match",
            file=sys.stderr,
        )
    rate, reach = cache.frame_rate, music.config.max_duration_seconds
    if not (seconds > 0 and openings[0] >= 0 and openings[-1] + seconds <= reach):
        raise UserError(f"openings {opening} and {seconds:g} s: 0 or more, and {reach:g} s at most together")
    wanted = {experiment.TRAIN: prompts} | ({experiment.HELD_OUT: held_out} if held_out else {})
    lengths = [round(one * rate) for one in openings]
    plan = experiment.plan(
        {name: sources[name] for name in wanted}, wanted, lengths, texts, max(1, round(seconds * rate)), seed
    )
    settings = {
        "format": 1,
        "weights": music.weights,
        "precision": music.precision,
        "tracks": {
            name: [[items[e.track].id, e.first] for e in plan.excerpts[name]]
            for name, items in sources.items()
            if name in wanted
        },
        "longest": plan.longest,
        "num_frames": plan.num_frames,
        "guidance": guidance,
        "sample": sample,
    }
    kept = experiment.Continuations(settings, None if out is None else out / "continuations.jsonl")
    interrupted = False
    try:
        experiment.play_on(plan, player_of(music, guidance, sample), kept, batch, counter("continuations"))
    except KeyboardInterrupt:
        interrupted = True
    index = StretchIndex([item.codes for item in sources[experiment.TRAIN]])
    ids = [item.id for item in sources[experiment.TRAIN]]
    cells = []
    alone: dict[str, int] | None = None
    for cell in plan.cells:
        figures = experiment.cell_figures(plan, kept, cell, index)
        if figures is None:
            continue
        names = [sources[cell.source][excerpt.track].id for excerpt in plan.excerpts[cell.source]]
        cells.append(experiment.record(figures, rate, names, ids))
        if cell == (experiment.TRAIN, 0, True):
            alone = by_heart(figures)
        if not as_json:
            print(_line(figures, rate))
    natural = experiment.natural_floor(sources[experiment.HELD_OUT], index, plan.num_frames, NATURAL_PROMPTS, seed)
    if natural is not None and not as_json:
        print(
            f"real held-out music, {natural.partial.count} tracks: codes equal to the most alike one of the "
            f"training tracks {natural.agreement:.1%}; 80 % {natural.partial:.1%}"
        )
    if alone is not None and not as_json:
        print(
            f"from the prompt alone, {plan.num_frames / rate:g} s: {alone['matching']} of {alone['count']} match a "
            f"training piece in 80 % of codes or more ({alone['stuck']} that stand still are held against their own "
            "piece only)"
        )
    found: dict[str, Any] = {
        "complete": len(kept.made) >= plan.total and not interrupted,
        "model": model,
        "weights": music.weights,
        "precision": music.precision,
        "same_codec": same_codec,
        "seconds": plan.num_frames / rate,
        "guidance": guidance,
        "sample": sample,
        "seed": seed,
        "tracks": {name: len(items) for name, items in sources.items()},
        "from_the_prompt_alone": alone,
        "cells": cells,
        "natural_floor": None if natural is None else experiment.anywhere_record(natural, rate, None, ids),
    }
    if out is not None and not interrupted:
        from cadenza.files import atomic_file

        with atomic_file(out / "memorization.json") as temporary:
            temporary.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    print(json.dumps(found))
    if interrupted:
        again = "" if out is None else "; give the same command to go on"
        print(f"cadenza: interrupted{again}", file=sys.stderr)
        raise typer.Exit(INTERRUPTED)


def by_heart(figures: "CellFigures") -> dict[str, int]:
    """How many continuations agree in 80 % of the first codebook with a training piece, at its own place or anywhere.

    What stands still is like any held tone and is not looked for elsewhere.
    """
    stuck = round(figures.stuck.mean * figures.count)
    own = round(figures.partial[0].mean * figures.count)
    elsewhere = 0 if figures.anywhere is None else round(figures.anywhere.partial.mean * (figures.count - stuck))
    return {"matching": max(own, elsewhere), "count": figures.count, "stuck": stuck}


def player_of(music: "MusicGen", guidance: float, sample: bool) -> "Player":
    """Plays on, greedily or not: by the caption, or by nothing but the opening."""
    import torch

    from cadenza.conditioning.text import TextConditioner
    from cadenza.lm.generate import GenerationConfig
    from cadenza.pipelines.prompts import Section, fit
    from cadenza.pipelines.requests import Request

    renderer, rate = music.desk.renderer, music.codec.frame_rate
    reader = music.conditioning.conditioner(music.config.text_condition)

    def asked(caption: str | None) -> Section:
        section = Section(0.0, caption or "")
        return fit(section, reader) if caption and isinstance(reader, TextConditioner) else section

    def play(openings: "Tensor", captions: Sequence[str | None], seeds: Sequence[int], num_frames: int) -> "Tensor":
        given = openings.shape[-1]
        settings = GenerationConfig(duration=(given + num_frames) / rate, greedy=not sample, guidance=guidance)
        jobs = []
        for codes, caption, seed in zip(openings, captions, seeds, strict=True):
            before = codes.to(music.device) if given else None
            jobs.append(renderer.prepare(Request((asked(caption),), seed, before, {}), settings).job)
        needs = [job.needs() for job in jobs]
        rows, steps = max(rows for rows, _ in needs), max(steps for _, steps in needs)
        with renderer.engine(renderer.places(len(jobs), len(jobs)), rows, steps) as scheduler:
            for job in jobs:
                scheduler.submit(job)
            while not all(job.is_done for job in jobs):
                scheduler.step()
        for error in (job.error for job in jobs if job.error is not None):
            raise error
        return torch.stack([job.codes[:, given:].cpu() for job in jobs])

    return play


def _line(figures: "CellFigures", rate: float) -> str:
    """For a person: the first codebook, as the paper has it."""
    cell = figures.cell
    asked = f"{cell.opening / rate:g} s" if cell.opening else "no opening"
    words = f"{cell.source}, {asked}, {'with' if cell.text else 'without'} text"
    by_chance = f", by chance {figures.chance_partial[0]:.1%}" if figures.chance_partial else ""
    line = (
        f"{words}: of {figures.count}, exact {figures.exact[0]:.1%}, 80 % {figures.partial[0]:.1%}{by_chance}; "
        f"codes equal {figures.agreement[0]:.1%}; stuck {figures.stuck.mean:.0%}"
    )
    if figures.anywhere is not None:
        found = figures.anywhere
        line += f"; the others, of any track: exact {found.exact:.1%}, 80 % {found.partial:.1%}"
        line += f", codes equal {found.agreement:.1%}"
    return line
