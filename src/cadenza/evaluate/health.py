"""Is something wrong with a clip that no listener would forgive? A sound in, the rules that it breaks out.

Each rule is a figure and a limit, set above what true music reaches: of 500 composed clips of 30 s none breaks a rule,
of 500 of 10 s one (its piece ends, 16 dB softer). A clip collapses where its last third has lost level, width or
movement against its first. Spectral flatness after Johnston (1988): 0.56 for white noise, whatever its level. A stuck
note is found where it is all that sounds; under drums or loud noise it is not.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float32

from cadenza.audio import Audio
from cadenza.errors import UserError
from cadenza.evaluate.drift import SEGMENT_SECONDS, SILENCE_DB, clipped_share, gated_loudness_lufs, slope_per_minute
from cadenza.evaluate.intervals import Interval, mean_interval, share_interval
from cadenza.evaluate.repetition import levels_of, stuck_seconds
from cadenza.evaluate.spectra import SAMPLE_RATE, mono, power_spectrum

LEAST_SECONDS = 3.0
"""Of a clip: below, its thirds say nothing."""
LONG_SECONDS, DRIFT_SECONDS, DRIFT_DB = 60.0, 300.0, 2.0
"""Clips of a minute and more have a trend; how much loudness may drift in five minutes."""

_SIZE, _HOP = 2048, 512
_NOISE_HZ = (200.0, 7000.0)
_ROLLOFF = 0.95  # of the amplitude lies below
_STEP_SECONDS = 0.25
_EPSILON = 1e-14


@dataclass(frozen=True)
class Rule:
    """What must not be above its limit."""

    name: str
    limit: float
    unit: str
    what: str

    def breaks(self, value: float) -> bool:
        """Also what is no number."""
        return not value <= self.limit


RULES = (
    Rule("silence", 0.4, "share of time", "tenths of a second below -60 dB"),
    Rule("gap", 2.0, "s", "the longest such stretch"),
    Rule("clipping", 1e-4, "share of samples", "samples at full scale"),
    Rule("stuck", 4.0, "s", "the longest stretch that sounds and does not change"),
    Rule("level lost", 12.0, "dB", "last third below the first"),
    Rule("width lost", 2.0, "octaves", "how far the treble's end fell from the first third to the last"),
    Rule("movement lost", 3.0, "octaves", "how often the change within a quarter of a second halved"),
    Rule("noise", 0.45, "flatness", "spectral flatness of the noisiest third, 200 to 7000 Hz, median over frames"),
)
NOT_FINITE = "not a number"
"""The rule that a file breaks which holds NaN or infinity: nothing else can be measured in it."""


def measure_health(audio: Audio) -> dict[str, float]:
    """The figure of each rule. Raises UserError for clips below `LEAST_SECONDS`."""
    if audio.duration_seconds < LEAST_SECONDS:
        raise UserError(f"{audio.duration_seconds:.1f} s: health is judged from {LEAST_SECONDS:g} s on")
    samples = mono(audio)
    tenth = SAMPLE_RATE // 10
    tenths = samples[: samples.size // tenth * tenth].reshape(-1, tenth)
    quiet = np.square(tenths).mean(axis=1) < 10 ** (SILENCE_DB / 10)
    power = power_spectrum(samples, _SIZE, _HOP)
    levels = levels_of(audio)
    first, last = _ends(power)
    return {
        "silence": float(quiet.mean()),
        "gap": _longest(quiet) / 10,
        "clipping": clipped_share(audio),
        "stuck": stuck_seconds(levels),
        "level lost": 10 * math.log10((float(first.mean()) + _EPSILON) / (float(last.mean()) + _EPSILON)),
        "width lost": math.log2(_width(first) / _width(last)),
        "movement lost": math.log2(_movement(_ends(levels.T)[0]) / _movement(_ends(levels.T)[1])),
        "noise": max(_flatness(part) for part in np.array_split(power, 3, axis=1)),
    }


def faults(values: Mapping[str, float]) -> list[str]:
    """The rules that a clip breaks, by their names."""
    return [rule.name for rule in RULES if rule.name in values and rule.breaks(values[rule.name])]


def _ends(frames: Float32[np.ndarray, "F T"]) -> tuple[Float32[np.ndarray, "F N"], Float32[np.ndarray, "F N"]]:
    """The first and the last third."""
    third = frames.shape[1] // 3
    return frames[:, :third], frames[:, -third:]


def _longest(flags: Bool[np.ndarray, "T"]) -> int:
    edges = np.flatnonzero(np.diff(np.concatenate([[0], flags.astype(np.int8), [0]]))).reshape(-1, 2)
    return int((edges[:, 1] - edges[:, 0]).max(initial=0))


def _width(power: Float32[np.ndarray, "F T"]) -> float:
    """The frequency bin below which 95 % of the amplitude lies."""
    amplitude = np.cumsum(np.sqrt(power).mean(axis=1, dtype=np.float64))
    return float(max(1, np.searchsorted(amplitude, _ROLLOFF * amplitude[-1])))


def _movement(levels: Float32[np.ndarray, "F T"]) -> float:
    """Mean change of the levels per band within a quarter of a second, in decibels."""
    step = round(_STEP_SECONDS * SAMPLE_RATE / 256)
    return float(np.abs(levels[:, step:] - levels[:, :-step]).mean()) + 1e-3


def _flatness(power: Float32[np.ndarray, "F T"]) -> float:
    """Geometric by arithmetic mean over frequencies, median over the frames that sound."""
    low, high = (round(edge * _SIZE / SAMPLE_RATE) for edge in _NOISE_HZ)
    heard = power[low:high].astype(np.float64) + _EPSILON
    loud = heard.mean(axis=0)
    sounds = loud > max(1e-4 * float(loud.max(initial=0.0)), 1e-12)
    if not sounds.any():
        return 0.0
    return float(np.median(np.exp(np.log(heard[:, sounds]).mean(axis=0)) / loud[sounds]))


# ---------------------------------------------------------------------------------------------------------------- sets


@dataclass(frozen=True)
class Verdict:
    """How many of `count` clips break a rule, with the 95 % interval of the share."""

    rule: str
    broken: int
    share: Interval
    worst: float | None
    """The highest figure of all clips."""


def judge(clips: Sequence[Mapping[str, float]]) -> list[Verdict]:
    """All rules over the figures of all clips; a clip without figures (`NOT_FINITE`) breaks that rule alone."""
    found = []
    for rule in RULES:
        values = [one[rule.name] for one in clips if rule.name in one]
        broken = sum(rule.breaks(value) for value in values)
        worst = max(values, default=None)
        found.append(Verdict(rule.name, broken, share_interval(broken, len(clips)), worst))
    lost = sum(not one for one in clips)
    return [*found, Verdict(NOT_FINITE, lost, share_interval(lost, len(clips)), None)]


def loudness_drift_db(audio: Audio) -> float | None:
    """How much louder the music would become in five minutes by its own trend; None for less than a minute."""
    if audio.duration_seconds < LONG_SECONDS:
        return None
    count = int(audio.duration_seconds / SEGMENT_SECONDS + 1e-9)
    segments = [gated_loudness_lufs(audio.slice(number * SEGMENT_SECONDS, SEGMENT_SECONDS)) for number in range(count)]
    return slope_per_minute(segments) * DRIFT_SECONDS / 60


def drift(pieces: Iterable[float | None]) -> Interval | None:
    """Mean drift over pieces and its interval: a piece may swell, a model that drifts takes them all one way."""
    known = [one for one in pieces if one is not None]
    return mean_interval(known) if known else None
