"""Score to sound: General MIDI parts through FluidSynth, electronic parts through our own synthesiser, one mono mix.

FluidSynth runs as a program on a MIDI file. Measured against it (two AMD EPYC cores, 64 s of eight voices and drums):
the program renders 70 times real time with start-up, the library in process 79 times, and the Python package symusic
returns no array under NumPy 2.4. The program needs no binding and isolates a crash.
A whole corpus (compose, render, level, encode) is made at 55 times real time on one busy core.
"""

import os
import shutil
import subprocess
import tempfile
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from cadenza.corpus.midi import is_general_midi, write_midi
from cadenza.corpus.score import Score
from cadenza.corpus.synth import SAMPLE_RATE, synthesize
from cadenza.errors import UserError

Samples = NDArray[np.float32]

SOUNDFONT_PLACES = (
    "/usr/share/sounds/sf2/FluidR3_GM.sf2",
    "/usr/share/soundfonts/FluidR3_GM.sf2",
    "/usr/share/sounds/sf2/default-GM.sf2",
    "/usr/share/sounds/sf3/default-GM.sf3",
    "/usr/share/soundfonts/default.sf2",
)
_TAIL_SECONDS = 1.5
_SETTINGS = (
    "synth.chorus.active=0", "synth.reverb.active=1", "synth.reverb.room-size=0.35", "synth.reverb.damp=0.4",
    "synth.reverb.level=0.35", "synth.reverb.width=0.3", "synth.gain=1.2", "synth.dynamic-sample-loading=1",
    "synth.polyphony=128", "synth.cpu-cores=1", "audio.file.endian=little",
)  # fmt: skip


def find_soundfont(path: str | Path | None = None) -> Path:
    """The soundfont to use: the one given, or the first found in the usual places.

    Raises:
        UserError: there is none; the message names the Debian package.
    """
    if path is not None:
        if Path(path).is_file():
            return Path(path)
        raise UserError(f"no soundfont at {str(path)!r}: give the path of a .sf2 file")
    for place in SOUNDFONT_PLACES:
        if Path(place).is_file():
            return Path(place)
    raise UserError("no soundfont found: install one (Debian: apt install fluid-soundfont-gm) or give soundfont=PATH")


def find_fluidsynth() -> str:
    """Path of the fluidsynth program.

    Raises:
        UserError: it is not installed; the message names the Debian package.
    """
    program = shutil.which("fluidsynth")
    if program is None:
        raise UserError("the program fluidsynth is not installed (Debian: apt install fluidsynth fluid-soundfont-gm)")
    return program


def render(score: Score, soundfont: str | Path | None = None) -> Samples:
    """Play a whole score.

    Args:
        score: what to play.
        soundfont: path of a General MIDI soundfont; by default the first in the usual places.

    Returns:
        [N] mono at 32 kHz, the piece and 1.5 s of tail, not normalised.

    Raises:
        UserError: FluidSynth or the soundfont is missing, or FluidSynth fails.
    """
    num_samples = int((score.duration_seconds + _TAIL_SECONDS) * SAMPLE_RATE)
    mix = synthesize(score, num_samples)
    if any(is_general_midi(part) for part in score.parts):
        acoustic = _play_midi(write_midi(score), find_fluidsynth(), find_soundfont(soundfont))[:num_samples]
        mix[: len(acoustic)] += acoustic
    return mix


def _play_midi(midi: bytes, program: str, soundfont: Path) -> Samples:
    with tempfile.TemporaryDirectory(prefix="cadenza-") as folder:
        source, target = os.path.join(folder, "piece.mid"), os.path.join(folder, "piece.raw")
        Path(source).write_bytes(midi)
        command = [program, "-n", "-i", "-q", "-r", str(SAMPLE_RATE), "-T", "raw", "-O", "float", "-F", target]
        for setting in _SETTINGS:
            command += ["-o", setting]
        result = subprocess.run([*command, str(soundfont), source], capture_output=True, text=True, check=False)
        if not _is_soundfont(soundfont) or "Failed to load" in result.stderr:
            # FluidSynth would go on with its default soundfont, or play silence, and report success.
            raise UserError(
                f"{str(soundfont)!r} cannot be read as a soundfont: give a General MIDI file (.sf2 or .sf3)"
            )
        if result.returncode != 0 or not os.path.exists(target):
            lines = result.stderr.strip().splitlines() or ["no message"]
            raise UserError(f"fluidsynth failed on {str(soundfont)!r}: {lines[-1]}")
        stereo = np.fromfile(target, dtype="<f4")
    mono: Samples = stereo[: len(stereo) // 2 * 2].reshape(-1, 2).mean(axis=1, dtype=np.float32)
    return mono


def _is_soundfont(path: Path) -> bool:
    with path.open("rb") as file:
        head = file.read(12)
    return head[:4] == b"RIFF" and head[8:] == b"sfbk"
