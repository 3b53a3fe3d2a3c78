"""`cadenza jukebox`: songs level by level, names to ask by, lyrics with times, and what a level keeps of a sound."""

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cadenza.cli import jukebox_generate
from cadenza.cli.jukebox_generate import Labels, Model
from cadenza.cli.jukebox_job import load, load_maker
from cadenza.cli.values import Device, Precision, show_notices, whole_number
from cadenza.errors import UserError
from cadenza.files import atomic_file

if TYPE_CHECKING:
    from cadenza.pipelines.jukebox_labels import LabelBook

app = typer.Typer(help="Jukebox: music by artist, genre and lyrics, level by level.", no_args_is_help=True)
app.command()(jukebox_generate.generate)
app.command()(jukebox_generate.upsample)


@app.command()
def align(
    song: Annotated[Path, typer.Argument(metavar="SONG", help="The directory of a song with lyrics.")],
    output: Annotated[
        Path | None, typer.Option("--output", "-o", metavar="FILE", help=".lrc or .json. [default: LRC, on the screen]")
    ] = None,
    take: Annotated[int, typer.Option(metavar="N", parser=whole_number, help="Of several takes. [default: 1]")] = 1,
    model: Model = None,
    device: Device = None,
    precision: Precision = None,
) -> None:
    """Say when the lyrics are sung, word by word.

    By what the top level attends to while it writes.
    """
    show_notices()
    if output is not None and output.suffix not in (".lrc", ".json"):
        raise UserError(f"{output}: lyrics with times are written as .lrc or .json")
    from cadenza.cli.jukebox_lyrics import as_lrc, as_record, sung_lines
    from cadenza.jukebox.song import Song

    opened = Song.open(song)
    items = opened.request.items
    if not 1 <= take <= len(items):
        raise UserError(f"--take {take}: {song} has takes 1 to {len(items)}")
    item = items[take - 1]
    if not item.lyrics:
        raise UserError(f"{song} has no lyrics: give some to cadenza jukebox generate")
    jukebox = load_maker(song, opened.request.model, model, device, precision or opened.request.precision)
    sung = jukebox.align(opened)[take - 1]
    lines = sung_lines(sung.weights, sung.text, sung.codes_per_second)
    title = " ".join(word for word in (item.artist, item.genre) if word) or song.resolve().stem
    if output is None:
        print(as_lrc(lines, title), end="")
        return
    is_json = output.suffix == ".json"
    text = json.dumps({"lines": as_record(lines)}, indent=2) + "\n" if is_json else as_lrc(lines, title)
    with atomic_file(output) as temporary:
        temporary.write_text(text, encoding="utf-8")
    reached = sum(line.start is not None for line in lines)
    print(f"{output}: {reached} of {len(lines)} lines are sung")


@app.command()
def labels(
    search: Annotated[str | None, typer.Option(metavar="TEXT", help="Names with this in them, or near it.")] = None,
    model: Model = None,
    labels: Labels = None,
    fetch: Annotated[
        bool, typer.Option("--fetch", help="Fetch OpenAI's lists into the cache first (not for commercial use).")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="For programs.")] = False,
) -> None:
    """List artists and genres with their ids.

    Without --labels also which levels read which list.
    """
    show_notices()
    if fetch:
        if labels is not None:
            raise UserError("--fetch and --labels: give one of them")
        labels = _fetched()
        if search is None and model is None and not as_json:
            return
    from cadenza.loading import embedded_jukebox
    from cadenza.pipelines.jukebox_labels import LabelBook

    readers: dict[str, list[int]] = {}
    if model is not None or (labels is None and embedded_jukebox() is not None):
        jukebox = load(model, "cpu", None, labels)
        book = jukebox.labels
        for level, config in jukebox.priors.configs.items():
            if config.labels is not None:
                readers.setdefault(config.labels.version, []).append(level)
    elif labels is not None:
        book = LabelBook.read(labels)
    else:
        raise UserError("say whose names: --model DIR, or --labels with a copy of openai/jukebox")
    if not book.sets:
        raise UserError(
            f"{model or 'the model inside'} brings no names: add --labels with a copy of openai/jukebox, or ask by id"
        )
    found: dict[str, Any] = {
        version: {
            "levels": readers.get(version, []),
            "artists": _names(book, "artist", version, search),
            "genres": _names(book, "genre", version, search),
        }
        for version in book.sets
    }
    if search is not None and not any(one["artists"] or one["genres"] for one in found.values()):
        raise UserError(f"no artist and no genre is like {search!r:.60}: try a part of the name")
    if as_json:
        print(json.dumps(found, indent=2))
        return
    for version, one in found.items():
        read = f", read by level {', '.join(map(str, one['levels']))}" if one["levels"] else ""
        for kind in ("artists", "genres"):
            if one[kind]:
                print(f"{kind} ({version}{read})")
            for name, number in one[kind].items():
                print(f"{number:>7}  {name or '(nobody)'}")


def _fetched() -> Path:
    """Fetch the published lists, and say what came and under which licence."""
    from cadenza.convert.jukebox_labels import LICENCE, fetch_labels
    from cadenza.pipelines.jukebox_labels import LabelBook

    folder = fetch_labels()
    for version, one in LabelBook.read(folder).sets.items():
        print(f"cadenza: {version}: {len(one.artists)} artists, {len(one.genres)} genres", file=sys.stderr)
    print(f"cadenza: kept in {folder}; licence of the lists: {LICENCE}", file=sys.stderr)
    return folder


def _names(book: "LabelBook", kind: str, version: Any, search: str | None) -> dict[str, int]:
    found = book.sets[version]
    if search is not None:
        return dict(book.search(kind, search, version))
    return dict(sorted((found.artists if kind == "artist" else found.genres).items()))


@app.command()
def reconstruct(
    source: Annotated[Path, typer.Argument(metavar="IN", help="What to read.")],
    target: Annotated[Path, typer.Argument(metavar="OUT", help="What to write.")],
    level: Annotated[int, typer.Option(metavar="N", parser=whole_number, help="0: the finest. [default: 0]")] = 0,
    model: Model = None,
    device: Device = None,
) -> None:
    """Hear what a level keeps of a sound.

    Sound to codes of the level, and back to sound.
    """
    show_notices()
    import numpy as np

    from cadenza.audio import Audio

    audio, jukebox = Audio.read(source), load(model, device, None)
    made = jukebox.reconstruct(audio, level)
    made.write(target, loudness_lufs=None)
    wanted = audio.resample(made.sample_rate).with_channels(1).samples[:, : made.num_samples].astype(np.float64)
    signal, error = np.square(wanted).mean(), np.square(wanted - made.samples[:, : wanted.shape[1]]).mean()
    heard = f"signal to noise {10 * np.log10(signal / max(error, 1e-20)):.1f} dB" if signal else "of silence"
    print(f"{target}: {made.duration_seconds:.2f} s by level {level}, {heard}")
