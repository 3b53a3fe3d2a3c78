"""Does the music do what the words say? What was asked and what was heard in, a score per fact out.

A fact that is not asked for, or that the ear was never taught, gives no score. Beside every figure stand a floor (each
clip against what others were asked, `shuffled_pairs`) and, where true music is measured alike, a ceiling: where that is
low, it is the measurement that fails. Tempo: "Accuracy 1" and "2" of Gouyon et al. (2006); key: the weights of MIREX.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice

import numpy as np

from cadenza.evaluate.clips import Asked
from cadenza.evaluate.intervals import Interval, share_interval
from cadenza.evaluate.key import Key, mirex_score, parse_key
from cadenza.evaluate.measurements import Heard, MeasuredClip
from cadenza.evaluate.tempo import TOLERANCE, Tempo, match_tempo

DURATION_TOLERANCE = 0.02

MEASURES = {
    "tempo": "bpm asked as a number: within 4 %",
    "tempo or its octave": "within 4 % of it, its half or its double",
    "tempo, octave or triple": "within 4 % of it, or a factor of 2 or 3 away",
    "tempo word": "within the range that was asked for",
    "key": "tonic and mode right",
    "key, MIREX": "1 right, 0.5 a fifth away, 0.3 relative, 0.2 parallel",
    "mode": "major or minor right",
    "instruments": "asked instruments that are heard",
    "genre": "the most probable genre is the one asked for",
    "genre, one of three": "the genre asked for is among the three most probable",
    "duration": "within 2 % of the length asked for",
}
"""What `control_scores` tells, and what counts; every score is 0 to 1, higher is better."""


def control_scores(asked: Asked, heard: Heard) -> dict[str, list[float]]:
    """The scores of what was asked for, one per fact (four instruments are four); what was not asked for is absent."""
    scores: dict[str, list[float]] = {}
    if isinstance(asked.tempo_bpm, tuple):
        # A range may span an octave: half or double the tempo would nearly always fit, so only the same counts.
        scores["tempo word"] = [float(tempo_verdict(asked.tempo_bpm, heard.tempo) == "same")]
    elif asked.tempo_bpm is not None:
        verdict = tempo_verdict(asked.tempo_bpm, heard.tempo)
        scores["tempo"] = [float(verdict == "same")]
        scores["tempo or its octave"] = [float(verdict in ("same", "octave"))]
        scores["tempo, octave or triple"] = [float(verdict != "other")]
    if asked.key is not None:
        if asked.key not in ("major", "minor"):
            score = key_score(asked.key, heard.key)
            scores["key"], scores["key, MIREX"] = [float(score == 1.0)], [score]
        scores["mode"] = [float(heard.key is not None and heard.key.mode == _mode(asked.key))]
    known = [known_options(choice, heard) for choice in asked.instruments]
    if any(known):
        scores["instruments"] = [float(any(name in heard.named for name in options)) for options in known if options]
    if asked.genre in heard.genres:
        ranked = list(heard.genres)
        scores["genre"] = [float(asked.genre == ranked[0])]
        scores["genre, one of three"] = [float(asked.genre in ranked[:3])]
    error = duration_error(asked, heard)
    if error is not None:
        scores["duration"] = [float(error <= DURATION_TOLERANCE)]
    return scores


def tempo_verdict(asked: float | tuple[float, float], heard: Tempo) -> str:
    """How the measured tempo relates to the one asked for: "same", "octave", "triple" or "other"; for a range, whether
    it, or its octave, lies within it or 4 % beside."""
    if not isinstance(asked, tuple):
        return match_tempo(asked, heard.bpm)
    if heard.bpm is None:
        return "other"
    low, high = asked[0] * (1 - TOLERANCE), asked[1] * (1 + TOLERANCE)
    readings = {"same": (1.0,), "octave": (0.5, 2.0)}
    fits = (name for name, factors in readings.items() if any(low <= heard.bpm * f <= high for f in factors))
    return next(fits, "other")


def key_score(asked: str, heard: Key | None) -> float:
    """MIREX score for a key, 1 or 0 for a mode alone."""
    if asked in ("major", "minor"):
        return float(heard is not None and heard.mode == asked)
    return mirex_score(parse_key(asked), heard)


def known_options(choice: str, heard: Heard) -> list[str]:
    """Of "a/b" those that the ear was taught."""
    return [name for name in choice.split("/") if name in heard.instruments]


def duration_error(asked: Asked, heard: Heard) -> float | None:
    """Relative to what was asked for; None where nothing was."""
    if asked.duration_seconds is None:
        return None
    return abs(heard.duration_seconds / asked.duration_seconds - 1.0)


def satisfied(asked: Asked, heard: Heard) -> float:
    """Share of the facts asked for that are right; octaves of a tempo are, near misses of a key count their part. 1
    where nothing was asked for."""
    scores = control_scores(asked, heard)
    facts = [score for name in ("tempo or its octave", "tempo word", "instruments", "genre") for score in
             scores.get(name, [])]  # fmt: skip
    facts += scores.get("key, MIREX", scores.get("mode", []))
    return float(np.mean(facts)) if facts else 1.0


# -------------------------------------------------------------------------------------------------------------- of sets

Pair = tuple[Asked, Heard]


@dataclass(frozen=True)
class ControlFigure:
    """One measure over a set: the mean over all facts, its 95 % interval, how many facts, and what chance reaches.

    The interval (Wilson 1927) counts pieces, not facts or clips: what belongs to one piece need not be independent.
    """

    interval: Interval
    facts: int
    floor: float | None


def control_figures(clips: Sequence[MeasuredClip]) -> dict[str, ControlFigure]:
    """Every measure that anything was asked for, in the order of `MEASURES`; `floor` None for a single piece."""
    figures: dict[str, ControlFigure] = {}
    values = collect((clip.asked, clip.heard) for clip in clips)
    floors = collect(shuffled_pairs(clips))
    for name, found in values.items():
        pieces = {clip.piece for clip in clips if name in control_scores(clip.asked, clip.heard)}
        mean = float(np.mean(found))
        chance = float(np.mean(floors[name])) if floors.get(name) else None
        figures[name] = ControlFigure(share_interval(mean * len(pieces), len(pieces)), len(found), chance)
    return figures


def collect(pairs: Iterable[Pair]) -> dict[str, list[float]]:
    """All scores of each measure over pairs of what was asked and what was heard."""
    values: dict[str, list[float]] = {}
    for asked, heard in pairs:
        for name, found in control_scores(asked, heard).items():
            values.setdefault(name, []).extend(found)
    return {name: values[name] for name in MEASURES if name in values}


def shuffled_pairs(clips: Sequence[MeasuredClip], most: int = 50) -> Iterator[Pair]:
    """Every clip with what each of the next `most` clips of other pieces were asked: what chance would reach."""
    for place, clip in enumerate(clips):
        others = (clips[(place + step) % len(clips)] for step in range(1, len(clips)))
        for other in islice((other for other in others if other.piece != clip.piece), most):
            yield other.asked, clip.heard


def separation(pairs: Sequence[Pair]) -> float | None:
    """How often an instrument is more probable in a clip that asks for it than in one that does not (chance: 0.5).

    It needs no threshold, and no alternatives: an instrument asked for as "a/b" is neither asked for nor not. None
    where no clip asks for an instrument that the ear knows while another does not.
    """
    wins: list[float] = []
    known = {name for _, heard in pairs for name in heard.instruments}
    for name in sorted(known & {choice for asked, _ in pairs for choice in asked.instruments}):
        wanted = [heard.instruments[name] for asked, heard in pairs if name in asked.instruments]
        others = np.array([
            heard.instruments[name] for asked, heard in pairs
            if not any(name in choice.split("/") for choice in asked.instruments)
        ])  # fmt: skip
        if others.size:
            wins += [float((probability > others).mean()) for probability in wanted]
    return float(np.mean(wins)) if wins else None


def _mode(key: str) -> str:
    return key if key in ("major", "minor") else parse_key(key).mode
