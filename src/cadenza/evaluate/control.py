"""Does the music do what the words say? What was asked and what was heard in, a score per fact out.

A fact that is not asked for, or that the ear was never taught, gives no score. `report.clipwise` counts what sets of
clips reach, beside chance and true music. Tempo: "Accuracy 1" and "2" of Gouyon et al. (2006); key: the weights of
MIREX.
"""

from cadenza.evaluate.clips import Asked
from cadenza.evaluate.key import Key, mirex_score, parse_key
from cadenza.evaluate.measurements import Heard
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


def _mode(key: str) -> str:
    return key if key in ("major", "minor") else parse_key(key).mode
