"""How a piece is mixed: places in the room, reverb, tone, dynamics and the colours of its genre, drawn from its seed.

Two stems in (the rhythm: bass and drums; the body: everything else), one mix out. Colours are moderate: key, tempo and
instruments stay as clear as they were.
"""

from dataclasses import dataclass, field

import numpy as np
from jaxtyping import Float, Float32

from cadenza.corpus import effects
from cadenza.corpus.score import Part, Score
from cadenza.corpus.synth import SAMPLE_RATE

Range = tuple[float, float]


@dataclass(frozen=True)
class Habit:
    """What a genre's mixes are like: ranges to draw from, and shares of pieces that have a colour at all."""

    room: Range = (0.6, 1.2)
    send: Range = (0.12, 0.3)
    tilt: Range = (-0.6, 0.4)
    ratio: Range = (1.0, 1.6)
    drive: Range = (0.0, 0.4)
    pump: Range = (0.0, 0.0)
    echo: float = 0.05
    tape: float = 0.08
    vinyl: float = 0.0
    dull: float = 0.05
    dry: float = 0.08
    surf: float = 0.0


@dataclass(frozen=True)
class Mix:
    """What was drawn for one piece. Sends are amplitudes of the reverb beside the dry sound."""

    rt60_seconds: float = 1.0
    treble_share: float = 0.6
    predelay_seconds: float = 0.01
    send: float = 0.2
    rhythm_send: float = 0.05
    tilt_db: float = 0.0
    high_cut_hz: float | None = None
    ratio: float = 1.0
    drive: float = 0.0
    pump: float = 0.0
    echo_seconds: float = 0.0
    echo_level: float = 0.0
    wow: float = 0.0
    crackle_db: float | None = None
    surf: bool = False
    pans: dict[str, float] = field(default_factory=dict)


_HALL = Habit(room=(1.4, 2.6), send=(0.25, 0.5), tilt=(-0.8, 0.1), ratio=(1.0, 1.2), drive=(0.0, 0.1), echo=0.0)
_CLUB = Habit(
    room=(0.5, 1.3), send=(0.1, 0.25), tilt=(-0.2, 0.6), ratio=(1.5, 2.5), drive=(0.2, 0.9), pump=(0.25, 0.65),
    echo=0.3, tape=0.0, dull=0.0,
)  # fmt: skip
_STAGE = Habit(ratio=(1.4, 2.4), drive=(0.2, 1.0), send=(0.08, 0.22))
_PARLOUR = Habit(room=(0.4, 1.0), send=(0.1, 0.3), vinyl=0.03)

_HABITS: dict[str, Habit] = {
    "piano ballad": Habit(room=(0.9, 2.0), send=(0.2, 0.4), tape=0.1),
    "classical": _HALL,
    "baroque": Habit(room=(1.2, 3.0), send=(0.25, 0.5), ratio=(1.0, 1.1), drive=(0.0, 0.05), echo=0.0, tape=0.02),
    "orchestral": _HALL,
    "waltz": Habit(room=(0.9, 2.2), send=(0.2, 0.4), vinyl=0.08, dull=0.08),
    "jazz": Habit(room=(0.4, 1.1), send=(0.12, 0.3), tilt=(-0.9, 0.0), vinyl=0.15, dull=0.15, tape=0.15, echo=0.0),
    "bossa nova": Habit(room=(0.4, 0.9), send=(0.1, 0.25), tilt=(-0.9, 0.0), vinyl=0.1, tape=0.15),
    "latin": Habit(room=(0.4, 1.0), send=(0.1, 0.25), ratio=(1.2, 2.0)),
    "blues": Habit(room=(0.4, 1.0), drive=(0.2, 0.8), vinyl=0.12, dull=0.12, tape=0.15),
    "rock": _STAGE,
    "metal": Habit(room=(0.4, 0.9), send=(0.06, 0.15), tilt=(0.0, 0.6), ratio=(1.6, 2.6), drive=(0.4, 1.1), echo=0.0),
    "funk": Habit(room=(0.3, 0.8), send=(0.06, 0.16), tilt=(-0.1, 0.5), ratio=(1.4, 2.2), drive=(0.1, 0.6)),
    "disco": Habit(room=(0.5, 1.1), send=(0.1, 0.25), ratio=(1.4, 2.2), pump=(0.0, 0.3), drive=(0.1, 0.6)),
    "lo-fi hip hop": Habit(
        room=(0.4, 1.0), send=(0.1, 0.3), tilt=(-1.4, -0.4), ratio=(1.4, 2.4), drive=(0.4, 1.2), pump=(0.0, 0.35),
        tape=0.75, vinyl=0.7, dull=0.6, dry=0.0,
    ),
    "hip hop": Habit(room=(0.3, 0.9), ratio=(1.4, 2.2), drive=(0.2, 0.9), vinyl=0.2, tape=0.15, echo=0.1),
    "house": _CLUB,
    "techno": _CLUB,
    "trance": Habit(
        room=(1.0, 2.2), send=(0.18, 0.35), tilt=(0.0, 0.6), ratio=(1.4, 2.2), drive=(0.1, 0.6), pump=(0.3, 0.7),
        echo=0.6, tape=0.0, dull=0.0,
    ),
    "synthwave": Habit(
        room=(0.9, 2.0), send=(0.18, 0.35), ratio=(1.3, 2.0), drive=(0.2, 0.8), pump=(0.1, 0.4), echo=0.4, tape=0.3
    ),
    "ambient": Habit(room=(2.2, 3.6), send=(0.35, 0.7), tilt=(-1.2, 0.0), echo=0.4, tape=0.3, surf=0.2),
    "country": Habit(room=(0.4, 1.0), send=(0.1, 0.25), drive=(0.1, 0.5)),
    "folk": _PARLOUR,
    "reggae": Habit(room=(0.4, 1.2), tilt=(-0.9, 0.0), ratio=(1.2, 2.0), echo=0.45),
    "celtic": _PARLOUR,
    "march": Habit(room=(0.5, 1.4), send=(0.12, 0.3), vinyl=0.08, dull=0.08),
    "solo": Habit(room=(0.4, 2.2), send=(0.1, 0.45), ratio=(1.0, 1.3), drive=(0.0, 0.3), vinyl=0.02),
}  # fmt: skip
_EVERYWHERE = Habit()
_PAN = {"melody": 0.12, "counter": 0.4, "chords": 0.38, "pad": 0.2, "bass": 0.0, "drums": 0.0}


def draw_mix(score: Score) -> Mix:
    """The mix of a piece, from its genre's habits and its seed."""
    rng = np.random.default_rng(np.random.SeedSequence([0x313C, score.seed]))
    habit = _HABITS.get(score.genre, _EVERYWHERE)
    rt60 = float(np.exp(rng.uniform(*np.log(habit.room))))
    send, tilt = float(rng.uniform(*habit.send)), float(rng.uniform(*habit.tilt))
    ratio, drive, pump = (float(rng.uniform(*r)) for r in (habit.ratio, habit.drive, habit.pump))
    has = {name: rng.random() < getattr(habit, name) for name in ("echo", "tape", "vinyl", "dull", "dry", "surf")}
    beats = float(rng.choice((0.5, 0.75, 1.0)))
    cut, crackle_db = float(np.exp(rng.uniform(np.log(3800), np.log(8000)))), float(rng.uniform(-14.0, -5.0))
    treble, predelay = float(rng.uniform(0.4, 0.8)), float(rng.uniform(0.0, 0.03))
    # Players sit to both sides in turn, so that a mix does not lean over.
    side = float(rng.choice((-1.0, 1.0)))
    pans: dict[str, float] = {}
    for part in score.parts:
        spread = _PAN.get(part.role, 0.3) * float(rng.uniform(0.5, 1.0))
        pans[place(part)] = pans.get(place(part), side * spread)
        side = -side
    return Mix(
        rt60_seconds=round(rt60, 2),
        treble_share=round(treble, 2),
        predelay_seconds=round(predelay, 3),
        send=0.03 if has["dry"] else send,
        rhythm_send=0.0 if has["dry"] else 0.25 * send,
        tilt_db=tilt,
        high_cut_hz=cut if has["dull"] else None,
        ratio=ratio,
        drive=drive,
        pump=pump if pump > 0.1 else 0.0,
        echo_seconds=beats * 60.0 / score.tempo_bpm,
        echo_level=float(rng.uniform(0.12, 0.28)) if has["echo"] else 0.0,
        wow=float(rng.uniform(0.0006, 0.002)) if has["tape"] else 0.0,
        crackle_db=crackle_db if has["vinyl"] else None,
        surf=has["surf"],
        pans=pans,
    )


def place(part: Part) -> str:
    """What a part is panned by: its role and instrument."""
    return f"{part.role} {part.instrument}"


def pan_gains(pan: float) -> tuple[float, float]:
    """Left and right amplitude of a place from -1 (left) to 1 (right); their power is 1 wherever it is."""
    angle = (pan + 1) * np.pi / 4
    return float(np.cos(angle)), float(np.sin(angle))


def is_rhythm(part: Part) -> bool:
    """Whether a part belongs to the rhythm's stem, which stays nearly dry."""
    return part.role in ("bass", "drums")


def kicks(score: Score) -> Float[np.ndarray, "K"]:
    """When bass drums are struck firmly, in seconds."""
    struck = [
        note.start * score.seconds_per_quarter
        for part in score.parts
        if part.role == "drums"
        for note in part.notes
        if note.pitch in (35, 36) and note.velocity > 70
    ]
    return np.array(sorted(struck))


def mix_down(
    rhythm: Float32[np.ndarray, "C N"], body: Float32[np.ndarray, "C N"], score: Score, mix: Mix
) -> Float32[np.ndarray, "C N"]:
    """One mix of two stems, mono or stereo."""
    channels, count = body.shape
    if mix.pump:
        body = body * effects.ducking(kicks(score), count, mix.pump)
    response = effects.room(mix.rt60_seconds, mix.treble_share, mix.predelay_seconds, score.seed, channels)
    echo = effects.echoes(mix.echo_seconds, 0.45) if mix.echo_level else np.zeros((1, 1), np.float32)
    size = effects.fast_length(count + max(response.shape[1], echo.shape[1]))
    wet = effects.spectrum(response, size)
    total = effects.spectrum(body, size) * (1 + mix.send * wet + mix.echo_level * effects.spectrum(echo, size))
    if rhythm.any():
        total += effects.spectrum(rhythm, size) * (1 + mix.rhythm_send * wet)
    frequencies = np.fft.rfftfreq(size, 1 / SAMPLE_RATE)
    total *= effects.tone(frequencies, mix.tilt_db, 28.0, mix.high_cut_hz)
    sound: Float32[np.ndarray, "C N"] = np.fft.irfft(total, size)[:, :count].astype(np.float32)
    sound = effects.saturate(effects.compress(sound, mix.ratio), mix.drive)
    if mix.wow:
        sound = effects.waver(sound, mix.wow, score.seed)
    if mix.crackle_db is not None:
        # A usual click (0.14 of a loud one) peaks at `crackle_db` beside the music's mean level.
        level = np.sqrt(np.mean(np.square(sound))) * 10 ** (mix.crackle_db / 20) / 0.14
        sound = sound + np.float32(level) * effects.crackle(count, 10.0, score.seed)
    return sound
