"""Music on its way to the ear: a player, standard output or a file that grows, piece by piece as it is made.

In: the pieces of a stream. Out: the same sound at the model's own level in every outlet, and in the end, where a file
was wanted, the file that `cadenza generate` writes without `--stream`, byte for byte: loudness normalised, with the
record of how it was made.
"""

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cadenza.cli import INTERRUPTED
from cadenza.cli.progress import GenerationProgress
from cadenza.files import refusal

if TYPE_CHECKING:
    from cadenza.audio import Audio

STANDARD_OUTPUT = Path("-")

# Programs that play a WAV of open length from standard input, the ones that need no desktop last.
PLAYERS = (
    ("ffplay", "-v", "quiet", "-nodisp", "-autoexit", "-"),
    ("mpv", "--really-quiet", "--no-video", "-"),
    ("play", "-q", "-t", "wav", "-"),  # SoX
    ("aplay", "-q", "-"),  # ALSA
)


def listen(
    stream: "Callable[[GenerationProgress], Iterator[Audio]]",
    path_for: Callable[[int], Path],
    play: bool,
    level: dict[str, float | None],
) -> int:
    """Send the pieces of `stream` where `path_for(seed)` says, and to a player if `play`; then write the finished file.

    `level` goes to `Audio.write`. A listener who leaves ends a stream to standard output, but not a file. Says on
    stderr how soon and how fast the music came. Returns the exit code.
    """
    began = time.perf_counter()
    making = first = 0.0
    path = STANDARD_OUTPUT
    outlets: list[Outlet] = []
    kept: list[Audio] = []
    record: dict[str, Any] = {}
    num_samples = 0
    with ExitStack() as stack:
        with GenerationProgress() as progress:
            for chunk in stream(progress):
                making += time.perf_counter() - began
                if not num_samples:
                    first, record = making, chunk.metadata
                    path = path_for(record["seed"])
                    outlets = _open(path, play, chunk, stack)
                num_samples += chunk.num_samples
                if path != STANDARD_OUTPUT:  # which may be endless
                    kept.append(chunk)
                for outlet in outlets:
                    outlet.write(chunk)
                outlets = [outlet for outlet in outlets if outlet.open]
                if not outlets:
                    break
                began = time.perf_counter()
        code = INTERRUPTED if progress.stopped else 0
        if not num_samples:
            return code
        complete = num_samples == round(record["generation"]["duration"] * chunk.sample_rate)
        message = describe(path, num_samples / chunk.sample_rate, record | {"complete": complete})
        for outlet in outlets:
            outlet.finish()
        if kept:
            audio = kept[0].concatenate(kept)
            replace(audio, metadata=record | {"complete": complete}).write(path, **level)
            print(message, flush=True)
        else:
            print(message, file=sys.stderr)
        speed = progress.made_seconds / making
        print(f"cadenza: first sound after {first:.2f} s; {speed:.1f} times real time", file=sys.stderr)
        for outlet in outlets:
            outlet.wait()
    return code


def describe(path: Path, duration_seconds: float, record: dict[str, Any]) -> str:
    """The line that says what was made."""
    name = "standard output" if path == STANDARD_OUTPUT else path
    cut = "" if record["complete"] else ", stopped early"
    planned = " | ".join(plan for plan in record.get("plan", ()) if plan)
    return f"{name}: {duration_seconds:.2f} s, seed {record['seed']}{cut}" + (f" ({planned})" if planned else "")


class Outlet:
    """One place that the sound goes to. `open` is false once nobody listens there any more."""

    def __init__(self, file: Any, name: str, chunk: "Audio", in_place: bool = False) -> None:
        from cadenza.audio import WavStream

        self.name = name
        self.file = file
        self.open = True
        self.wav = WavStream(file, chunk.sample_rate, chunk.channels, in_place)

    def write(self, chunk: "Audio") -> None:
        try:
            self.wav.write(chunk.samples)
        except OSError as error:
            self.open = False
            self.left()
            if not isinstance(error, BrokenPipeError):
                raise refusal(self.name, error) from error

    def left(self) -> None:
        """The listener has gone."""

    def finish(self) -> None:
        """All is written."""

    def wait(self) -> None:
        """Until all is heard."""


class StandardOutput(Outlet):
    """A pipe, whose reader may have heard enough: that is no failure."""

    def __init__(self, chunk: "Audio") -> None:
        super().__init__(sys.stdout.buffer, "standard output", chunk)

    def left(self) -> None:
        # What is still buffered would fail once more when Python ends.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


class Player(Outlet):
    """A program that plays what it is told on its standard input."""

    def __init__(self, command: tuple[str, ...], chunk: "Audio") -> None:
        self.process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        super().__init__(self.process.stdin, command[0], chunk)

    def left(self) -> None:
        print(f"cadenza: {self.name} has ended; the file is made all the same", file=sys.stderr)

    def finish(self) -> None:
        with suppress(BrokenPipeError):
            self.file.close()

    def wait(self) -> None:
        if self.process.wait():
            print(f"cadenza: {self.name} could not play it: open the file in another player", file=sys.stderr)

    def close(self) -> None:
        """Whatever happened: no player stays behind."""
        self.process.terminate()
        self.process.wait()
        self.finish()


def _open(path: Path, play: bool, chunk: "Audio", stack: ExitStack) -> list[Outlet]:
    if path == STANDARD_OUTPUT:
        return [StandardOutput(chunk)]
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        file = stack.enter_context(path.open("wb"))
    except OSError as error:
        raise refusal(path, error) from error
    outlets = [Outlet(file, str(path), chunk, in_place=True)]
    if play:
        command = next((player for player in PLAYERS if shutil.which(player[0])), None)
        if command is None:
            names = ", ".join(player[0] for player in PLAYERS)
            print(f"cadenza: no player here ({names}): open {path}, which grows, in one of yours", file=sys.stderr)
        else:
            player = Player(command, chunk)
            stack.callback(player.close)
            outlets.append(player)
    return outlets
