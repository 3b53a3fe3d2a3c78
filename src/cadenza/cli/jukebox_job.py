"""One song on the command line: where everything goes, and what happens around the making.

In: a Jukebox and a function that makes a song with it. Out: the music file, and beside it the song, a directory with
all codes and the sound of every finished level.
"""

import math
import shlex
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cadenza.cli import INTERRUPTED
from cadenza.cli.jukebox_progress import SongProgress
from cadenza.cli.take_files import keep, path_for
from cadenza.errors import CadenzaError, UserError

if TYPE_CHECKING:
    from cadenza.audio import Audio
    from cadenza.jukebox.song import SongRequest
    from cadenza.pipelines.jukebox import Jukebox

SONG = ".song"


class Job:
    """Where everything goes, and what happens around the making."""

    def __init__(self, output: Path | None, loudness_lufs: float | None, options: dict[str, str | None]) -> None:
        self.output = output
        self.level: dict[str, float | None] = {}
        if loudness_lufs is not None:
            self.level = {"loudness_lufs": None if math.isnan(loudness_lufs) else loudness_lufs}
            options = options | {"--loudness": "off" if math.isnan(loudness_lufs) else f"{loudness_lufs:g}"}
        self.options = options
        self.file = Path()
        self.state: Path | None = None
        """The song's directory; None: it is not kept."""

    def place(self, name: str, state: Path | None) -> None:
        """A new song: its file by default called `name`. Refuses a directory that holds something."""
        self.file = path_for(self.output, name)
        self.state = state or self.file.with_suffix(SONG)
        if self.state.is_dir() and any(self.state.iterdir()):
            raise UserError(f"{self.state} is there already: go on with --resume {self.state}, or choose another name")

    def resume(self, song: Path) -> None:
        self.state = song
        name = song.resolve().name.removesuffix(SONG) + ".wav"
        self.file = path_for(self.output, name) if self.output is not None else song.resolve().parent / name
        if self.output is None and Path.cwd() == self.file.parent:
            self.file = Path(name)

    def run(self, jukebox: "Jukebox", make: "Callable[[dict[str, Any]], Audio | list[Audio]]") -> int:
        """Make it, with a bar, previews and a Ctrl-C that loses nothing; write the files. Returns the exit code."""
        progress = SongProgress(jukebox)
        try:
            with progress:
                hooks: dict[str, Any] = {
                    "progress": progress.song,
                    "should_stop": progress.should_stop,
                    "preview": self._preview,
                }
                made = make(hooks)
        except KeyboardInterrupt:
            self._say_how_to_go_on()
            raise
        takes = made if isinstance(made, list) else [made]
        for take, path in zip(takes, numbered(self.file, len(takes)), strict=True):
            if take.num_samples:
                keep(take, path, self.level)
                print(_line(path, take))
        if "commercial" in jukebox.config.licence.lower():
            print(f"cadenza: licence of the weights: {jukebox.config.licence}", file=sys.stderr)
        if progress.stopped and not all(take.metadata["complete"] for take in takes):
            self._say_how_to_go_on()
        return INTERRUPTED if progress.stopped else 0

    def _preview(self, level: int, takes: "list[Audio]") -> None:
        """A level that is complete can be heard at once, while the ones below are made."""
        if takes[0].metadata["complete"] or self.state is None:
            return
        for take, path in zip(takes, numbered(self.state / f"level_{level}.wav", len(takes)), strict=True):
            try:
                take.write(path, **self.level)
            except CadenzaError as error:  # hours of work must not end for a preview
                print(f"cadenza: {error}", file=sys.stderr)
            else:
                print(f"{path}: level {level} can be heard", flush=True)

    def _say_how_to_go_on(self) -> None:
        if self.state is None or not self.state.is_dir():
            return
        words = ["cadenza", "jukebox", "generate", "--resume", str(self.state), "-o", str(self.file)]
        for option, value in self.options.items():
            words += [option, value] if value is not None else []
        print(f"cadenza: go on with: {shlex.join(words)}", file=sys.stderr)


def numbered(path: Path, count: int) -> list[Path]:
    """One file for each of several takes."""
    return [path] if count == 1 else [path.with_stem(f"{path.stem}-{i}") for i in range(1, count + 1)]


def _line(path: Path, take: "Audio") -> str:
    """What was made."""
    record = take.metadata
    song, level = record["song"], record["level"]
    cut = "" if record["complete"] else ", stopped early"
    alone = f", level {level} alone" if level else ""
    return f"{path}: {take.duration_seconds:.2f} s, seed {song['items'][0]['seed']}{alone}{cut}"


def load(model: str | None, device: str | None, precision: str | None, labels: Path | None = None) -> "Jukebox":
    """The Jukebox, with the names of `labels`; without a name the one that comes along."""
    from cadenza.loading import embedded_jukebox, load_jukebox
    from cadenza.pipelines.jukebox_labels import LabelBook

    if model is None and embedded_jukebox() is None:
        raise UserError(
            "say which Jukebox with --model: a directory, or openai/jukebox-1b-lyrics (not for commercial use)"
        )
    book = None if labels is None else LabelBook.read(labels)  # small files before large ones
    jukebox = load_jukebox(model, device, precision)
    if book is not None:
        jukebox.labels = book
    return jukebox


def load_maker(
    source: Path, maker: str, model: str | None, device: str | None, precision: str | None, labels: Path | None = None
) -> "Jukebox":
    """The Jukebox that made `source`: `model`, or the one of that name."""
    try:
        return load(model or _place_of(maker), device, precision, labels)
    except UserError as error:
        if model is not None:
            raise
        raise UserError(f"{source} was made by {maker!r}: say where that model is with --model ({error})") from error


def _place_of(maker: str) -> str:
    """Where the Jukebox of this name is to be had: songs know the one that comes along by its own name."""
    from cadenza.checkpoint import CONFIG_FILE, read_json
    from cadenza.loading import EMBEDDED_JUKEBOX, embedded_jukebox

    inside = embedded_jukebox()
    is_inside = inside is not None and read_json(inside / CONFIG_FILE).get("name") == maker
    return EMBEDDED_JUKEBOX if is_inside else maker


def song_request(song: Path) -> "SongRequest":
    """What was asked for; UserError for a directory that holds no song."""
    from cadenza.jukebox.song import Song

    return Song.open(song).request
