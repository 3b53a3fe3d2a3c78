"""Who plays where: a line-up and a form in, the sections in which each player rests out.

One line-up serves the whole piece; introductions and breakdowns thin it, verses leave room, choruses bring everyone.
Somebody with a pitch plays in every section, so that the key is never in doubt.
"""

import numpy as np

from cadenza.corpus.genre import Line
from cadenza.corpus.score import Section

_REST: dict[str, dict[str, float]] = {
    # section -> role -> how likely the role rests there
    "intro": {"melody": 0.75, "counter": 0.9, "drums": 0.45, "bass": 0.45, "pad": 0.3, "chords": 0.1},
    "breakdown": {"drums": 0.85, "bass": 0.6, "counter": 0.5, "melody": 0.35},
    "build-up": {"melody": 0.6, "counter": 0.8, "bass": 0.3},
    "outro": {"melody": 0.4, "counter": 0.6, "drums": 0.3},
    "bridge": {"drums": 0.25, "bass": 0.1, "counter": 0.3, "pad": 0.2},
    "episode": {"drums": 0.1, "counter": 0.15, "pad": 0.3, "chords": 0.1},
    "solo": {"counter": 0.8, "pad": 0.3},
}
_LATE = ("pad", "counter")
"""Roles that may wait with their entry until a section comes back."""


def resting(
    rng: np.random.Generator, lineup: tuple[Line, ...], sections: tuple[Section, ...], imitating: bool
) -> list[list[bool]]:
    """For each line and section, whether the line rests.

    Args:
        imitating: the counter voice carries the piece (a fugue, a canon) and rests nowhere.
    """
    rests = [[False] * len(sections) for _ in lineup]
    if len(lineup) < 2:
        return rests
    decided: dict[str, list[bool]] = {}
    for index, section in enumerate(sections):
        first_time = section.name not in decided
        if first_time:
            chances = _REST.get(section.name, {})
            decided[section.name] = [bool(rng.random() < chances.get(line.role, 0.0)) for line in lineup]
        late = first_time and section.name in ("verse", "theme") and index + 2 < len(sections)
        for number, line in enumerate(lineup):
            waits = late and line.role in _LATE and len(lineup) > 2 and bool(rng.random() < 0.4)
            rests[number][index] = decided[section.name][number] or waits
            if imitating and line.role == "counter":
                rests[number][index] = False
        _keep_pitch(lineup, rests, index)
    return rests


def _keep_pitch(lineup: tuple[Line, ...], rests: list[list[bool]], index: int) -> None:
    """Call back the first chordal player, or else the first pitched one, where only drums or a bass are left."""
    playing = [line.role for number, line in enumerate(lineup) if not rests[number][index]]
    if any(role in ("chords", "pad", "melody", "counter") for role in playing):
        return
    for wanted in (("chords", "pad"), ("melody", "counter"), ("bass",), ("drums",)):
        found = [number for number, line in enumerate(lineup) if line.role in wanted]
        if found:
            rests[found[0]][index] = False
            return
