"""`cadenza evaluate measure`, `merge`, `embedders`: measured sets, and what can hear."""

import json
from pathlib import Path
from typing import Annotated

import typer

from cadenza.cli.evaluate_metrics import Level, Prompts, lufs
from cadenza.cli.evaluate_sets import Workers, about, measured, open_ears, show
from cadenza.cli.progress import counter, resumable
from cadenza.cli.values import Device, show_notices, whole_number
from cadenza.errors import UserError

Out = Annotated[Path, typer.Option("--out", "-o", metavar="FILE", help="The measured set, .safetensors.")]


def measure(
    source: Annotated[Path, typer.Argument(metavar="SOURCE", help="A folder of recordings, or a manifest.")],
    out: Out,
    prompts: Prompts = None,
    embedding: Annotated[
        list[str] | None, typer.Option(metavar="E", help="Embedders, as often as you like. [default: mel]")
    ] = None,
    labels: Annotated[list[str] | None, typer.Option(metavar="E", help="Labellers. [default: mel]")] = None,
    joint: Annotated[list[str] | None, typer.Option(metavar="E", help="Sound with text. [default: mel]")] = None,
    level: Level = "-14",
    name: Annotated[str | None, typer.Option(metavar="TEXT", help="What it is called. [default: the folder's]")] = None,
    half: Annotated[
        str | None, typer.Option(metavar="a|b", help="Only half of the pieces, by the hash of their names.")
    ] = None,
    most: Annotated[
        int | None,
        typer.Option(metavar="N", parser=whole_number, help="So many clips at most, by the hash of their names."),
    ] = None,
    through: Annotated[
        str | None,
        typer.Option(metavar="CODEC", help="Encode and decode first: the ceiling. embedded, or a codec or model."),
    ] = None,
    compact: Annotated[bool, typer.Option("--compact", help="To ship: without records, vectors in 16 bits.")] = False,
    device: Device = None,
    workers: Workers = 1,
) -> None:
    """Hear a set once, and keep what figures need of it, without the sound: to share, and to compare with later.

    Goes on where an earlier measuring stopped.
    """
    show_notices(once=True)
    if out.suffix != ".safetensors":
        raise UserError(f"{out}: measured sets are .safetensors files; give such a name")
    if half not in (None, "a", "b"):
        raise UserError(f"--half {half}: choose a or b")
    from dataclasses import replace

    from cadenza.evaluate.clips import read_clips
    from cadenza.evaluate.report.shipped import CODEC, at_most, half_of
    from cadenza.evaluate.report.shipped import compact as compacted

    level_lufs = lufs(level)
    default = ["mel"]
    ears = open_ears(embedding or default, labels or default, joint or default, True, device or "cpu")
    clips = read_clips(source, prompts)
    if half is not None:
        clips = half_of(clips, "a" if half == "a" else "b")
    if most is not None:
        clips = at_most(clips, most)
    settings: dict[str, str] = {}
    with resumable():
        if through is not None:
            from cadenza.checkpoint import cache_directory
            from cadenza.cli.evaluate_takes import through_codec
            from cadenza.evaluate.codec_quality import codec_hash
            from cadenza.loading import load_codec

            codec = load_codec(None if through == "embedded" else through, device)
            settings[CODEC] = codec_hash(codec)
            folder = cache_directory() / "ceilings" / settings[CODEC][:16] / source.absolute().name
            clips = through_codec(clips, codec, f"{clips.name}, through a codec", folder, len(clips), counter("clips"))
        found = measured(clips, ears, level_lufs, name=name, workers=workers)
    found = replace(found, settings={**found.settings, **settings})
    if compact:
        found = compacted(found)
    found.save(out, half=compact)
    size = out.stat().st_size
    lines = [f"{out}: {len(found)} clips of {len({c.piece for c in found.clips})} pieces, {size / 1e6:.2f} MB"]
    show(lines, {"measured": str(out), "bytes": size, **about({"source": found})}, as_json=False)


def merge(
    sets: Annotated[list[Path], typer.Argument(metavar="FILE...", help="Measured sets, measured alike.")],
    out: Out,
    name: Annotated[str | None, typer.Option(metavar="TEXT", help="What it is called. [default: the first's]")] = None,
) -> None:
    """Several measured sets as one."""
    from cadenza.evaluate.measurements import Measurements

    found = Measurements.merge([Measurements.load(path) for path in sets], name)
    found.save(out)
    print(f"{out}: {len(found)} clips of {len(sets)} sets")
    print(json.dumps({"measured": str(out), **about({"merged": found})}, ensure_ascii=False))


def embedders() -> None:
    """List what can hear, whether its weights are on this machine, and where they come from."""
    from cadenza.evaluate.embedders.registry import describe_embedders

    found = describe_embedders()
    for one in found:
        state = "ready" if one.is_there else "not here"
        print(f"{one.name}: {one.hears}\n    {', '.join(one.kinds)}; {state}; {one.origin}; {one.licence}")
    names = {one.name: {"ready": one.is_there, "kinds": list(one.kinds), "origin": one.origin} for one in found}
    print(json.dumps({"embedders": names}, ensure_ascii=False))
