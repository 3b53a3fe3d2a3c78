"""Score to sound: General MIDI parts through FluidSynth, electronic parts through our own synthesiser, then mixed.

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
from jaxtyping import Float32
from numpy.typing import NDArray

from cadenza.corpus.effects import ducking
from cadenza.corpus.instruments import Patch, draw_patch
from cadenza.corpus.midi import Player, is_general_midi, write_midi
from cadenza.corpus.mixing import draw_mix, is_rhythm, kicks, mix_down, pan_gains, place
from cadenza.corpus.score import Note, Part, Score
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
_SEASHORE = 122
_PROGRAM_VARIABLE, _SOUNDFONT_VARIABLE = "CADENZA_FLUIDSYNTH", "CADENZA_SOUNDFONT"
_SETTINGS = (
    "synth.chorus.active=0", "synth.reverb.active=0", "synth.gain=1.2", "synth.dynamic-sample-loading=1",
    "synth.polyphony=128", "synth.cpu-cores=1", "audio.file.endian=little", "audio.period-size=4096",
)  # fmt: skip


def find_soundfont(path: str | Path | None = None) -> Path:
    """The soundfont to use: the one given or named by CADENZA_SOUNDFONT, or the first found in the usual places.

    Raises:
        UserError: there is none; the message names the Debian package.
    """
    path = path if path is not None else os.environ.get(_SOUNDFONT_VARIABLE) or None
    if path is not None:
        if Path(path).is_file():
            return Path(path)
        raise UserError(f"no soundfont at {str(path)!r}: give the path of a .sf2 file")
    for usual in SOUNDFONT_PLACES:
        if Path(usual).is_file():
            return Path(usual)
    raise UserError("no soundfont found: install one (Debian: apt install fluid-soundfont-gm) or give soundfont=PATH")


def find_fluidsynth(soundfont: Path | None = None) -> str:
    """Path of the fluidsynth program: CADENZA_FLUIDSYNTH, or one on the path, or in `fluidsynth/` beside the soundfont.

    Raises:
        UserError: it is not installed; the message names the Debian package.
    """
    named = os.environ.get(_PROGRAM_VARIABLE)
    if named:
        if os.access(named, os.X_OK) and Path(named).is_file():
            return named
        raise UserError(f"{_PROGRAM_VARIABLE}={named!r} is no program: give the path of fluidsynth, or unset it")
    program = shutil.which("fluidsynth")
    if program is None and soundfont is not None:
        program = shutil.which(soundfont.parent / "fluidsynth" / "fluidsynth")
    if program is None:
        raise UserError("the program fluidsynth is not installed (Debian: apt install fluidsynth fluid-soundfont-gm)")
    return str(program)


def render(score: Score, soundfont: str | Path | None = None) -> Samples:
    """Play and mix a whole score.

    Args:
        score: what to play.
        soundfont: path of a General MIDI soundfont; by default the first in the usual places.

    Returns:
        [N] mono at 32 kHz, the piece and 1.5 s of tail, not normalised.

    Raises:
        UserError: FluidSynth or the soundfont is missing, or FluidSynth fails.
    """
    return _render(score, soundfont, 1)[0]


def render_stereo(score: Score, soundfont: str | Path | None = None) -> Float32[np.ndarray, "2 N"]:
    """The same mix with its places from left to right and a reverb that surrounds; arguments as for `render`."""
    return _render(score, soundfont, 2)


def render_dry(score: Score, soundfont: str | Path | None = None) -> Samples:
    """What the players of a score give without room, places or mixing; each part is one of General MIDI's.

    Arguments, result and errors as for `render`.
    """
    players = [Player(part, draw_patch(score.seed, part.instrument), 0.0) for part in score.parts]
    assert all(is_general_midi(player.patch) for player in players), "voices of our own synthesiser are mixed only"
    program = find_fluidsynth(font := find_soundfont(soundfont))
    samples: Samples = _play_midi(write_midi(score, players), program, font).mean(axis=0, dtype=np.float32)
    return samples[: int((score.duration_seconds + _TAIL_SECONDS) * SAMPLE_RATE)]


def _render(score: Score, soundfont: str | Path | None, channels: int) -> Float32[np.ndarray, "C N"]:
    num_samples = int((score.duration_seconds + _TAIL_SECONDS) * SAMPLE_RATE)
    mix = draw_mix(score)
    strokes = kicks(score) if any(part.instrument == "drum machine" for part in score.parts) else np.zeros(0)
    stems = []
    for rhythm in (True, False):
        stem = np.zeros((channels, num_samples), np.float32)
        sampled: list[Player] = []
        if not rhythm and mix.surf:
            sampled.append(_surf(score))
        for part in score.parts:
            if is_rhythm(part) != rhythm:
                continue
            player = Player(part, draw_patch(score.seed, part.instrument), mix.pans[place(part)])
            if is_general_midi(player.patch):
                sampled.append(player)
                continue
            sound = synthesize(part, player.patch, score, num_samples)
            if len(strokes) and part.role in ("pad", "bass", "chords"):
                # A synthesiser makes way for the drum machine's bass drum.
                sound *= ducking(strokes, num_samples, 0.6)
            left, right = pan_gains(player.pan)
            gains = np.array([[left], [right]] if channels == 2 else [[(left + right) / 2]], np.float32)
            # At the centre each side has the root of a half: brought back to what the part alone has.
            stem += gains * np.float32(np.sqrt(2.0)) * sound
        if sampled:
            program = find_fluidsynth(font := find_soundfont(soundfont))
            stereo = _play_midi(write_midi(score, sampled), program, font)[:, :num_samples]
            stem[:, : stereo.shape[1]] += stereo if channels == 2 else stereo.mean(axis=0, dtype=np.float32)
        stems.append(stem)
    return mix_down(stems[0], stems[1], score, mix)


def _surf(score: Score) -> Player:
    """The sea from afar under a whole piece: General MIDI's sound effects, too soft to be called an instrument."""
    length = 8.0
    count = int(score.num_bars * score.meter.bar_quarters / length)
    notes = tuple(Note(index * length, length, 60, 56) for index in range(count))
    return Player(Part("synth pad", "ambience", notes, 0.3), Patch(_SEASHORE, 0.0))


def _play_midi(midi: bytes, program: str, soundfont: Path) -> Float32[np.ndarray, "2 N"]:
    with tempfile.TemporaryDirectory(prefix="cadenza-") as folder:
        source, target = os.path.join(folder, "piece.mid"), os.path.join(folder, "piece.raw")
        Path(source).write_bytes(midi)
        command = [program, "-n", "-i", "-q", "-r", str(SAMPLE_RATE), "-T", "raw", "-O", "float", "-F", target]
        for setting in _SETTINGS:
            command += ["-o", setting]
        result = subprocess.run(
            [*command, str(soundfont), source], capture_output=True, text=True, check=False, env=_environment(program)
        )
        if not _is_soundfont(soundfont) or "Failed to load" in result.stderr:
            # FluidSynth would go on with its default soundfont, or play silence, and report success.
            raise UserError(
                f"{str(soundfont)!r} cannot be read as a soundfont: give a General MIDI file (.sf2 or .sf3)"
            )
        if result.returncode != 0 or not os.path.exists(target):
            lines = result.stderr.strip().splitlines() or ["no message"]
            raise UserError(f"fluidsynth failed on {str(soundfont)!r}: {lines[-1]}")
        samples = np.fromfile(target, dtype="<f4")
    stereo: Float32[np.ndarray, "2 N"] = samples[: len(samples) // 2 * 2].reshape(-1, 2).T.astype(np.float32)
    return stereo


def _environment(program: str) -> dict[str, str]:
    """What the program is started with: one that lies among its own libraries finds them there."""
    folder = Path(program).resolve().parent
    if not any(folder.glob("libfluidsynth.so*")):
        return dict(os.environ)
    return {**os.environ, "LD_LIBRARY_PATH": str(folder)}


def _is_soundfont(path: Path) -> bool:
    with path.open("rb") as file:
        head = file.read(12)
    return head[:4] == b"RIFF" and head[8:] == b"sfbk"
