"""The plan of a recording, from what its manifest entry says: ground truth for a model that is told plans.

In: the fields of an entry (`tempo_bpm`, `key`, `meter`, `genre`, `instruments`, `moods`, `start_seconds`), as composed
corpora have them. Out: a `Plan`. A tempo without the place of its beats makes no clock, and is left out.
"""

from collections.abc import Mapping
from typing import Any

from cadenza.conditioning.plan import METERS, TEMPO_RANGE, Plan, spell_key
from cadenza.errors import UserError


def plan_of(fields: Mapping[str, Any]) -> Plan | None:
    """What an entry says that a plan can hold; None if that is nothing. What cannot be read is left out."""
    tempo, start = _number(fields.get("tempo_bpm")), _number(fields.get("start_seconds"))
    keeps_time = tempo is not None and start is not None and TEMPO_RANGE[0] <= tempo <= TEMPO_RANGE[1]
    meter, genre = fields.get("meter"), fields.get("genre")
    plan = Plan(
        tempo_bpm=tempo if keeps_time else None,
        key=_key(fields.get("key")),
        meter=meter if meter in METERS else None,
        genre=genre if isinstance(genre, str) else None,
        instruments=_names(fields.get("instruments")),
        moods=_names(fields.get("moods")),
        phase_seconds=start if keeps_time and start is not None else 0.0,
    )
    return None if plan == Plan() else plan


def _number(value: object) -> float | None:
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else None


def _names(value: object) -> tuple[str, ...]:
    return tuple(name for name in value if isinstance(name, str)) if isinstance(value, list | tuple) else ()


def _key(value: object) -> str | None:
    try:
        return spell_key(value) if isinstance(value, str) else None
    except UserError:
        return None
