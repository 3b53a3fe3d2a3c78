"""What listeners said, with the names of the systems put back; and the rules by which some of it is left out."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Rating:
    """One judgement of one system on a scale."""

    listener: int
    protocol: str
    system: str
    item: str
    """The prompt, or the prompts of a group."""
    value: float


@dataclass(frozen=True)
class Preference:
    """One judgement of two systems: `value` below 0 prefers the first, above 0 the second, 0 neither.

    `turned`: the first stood on side B of the screen.
    """

    listener: int
    item: str
    first: str
    second: str
    value: float
    turned: bool = False


@dataclass(frozen=True)
class Rules:
    """Who is left out of the filtered figures."""

    failures_allowed: int = 1
    """Attention checks that a listener may fail."""
    least_correlation: float = 0.25
    """Of a rater with the mean of the others (`screening`)."""
    reference: str | None = None
    reference_least: float | None = None
    """Who rates the hidden reference lower than this on average; the authors of MusicGen took 85."""


@dataclass(frozen=True)
class Results:
    """Everything a test gave.

    Args:
        checks: By listener, how many attention checks were answered and how many of them wrongly.
        listeners: What each hears with.
        published: Figures of papers, as they came; shown beside and never mixed in.
    """

    test: str
    title: str
    systems: tuple[str, ...]
    ratings: tuple[Rating, ...]
    preferences: tuple[Preference, ...]
    checks: Mapping[int, tuple[int, int]]
    listeners: Mapping[int, str]
    ratings_per_item: int = 5
    items: Mapping[str, int] = field(default_factory=dict)
    """By protocol, how many screens the test has."""
    published: tuple[Mapping[str, Any], ...] = ()
    questions: Mapping[str, str] = field(default_factory=dict)
    left_out: tuple[Mapping[str, str], ...] = ()
    """Takes and prompts that could not be used, with the reason."""
    notes: tuple[Mapping[str, str], ...] = ()
    """What was done to clips: cut, or brought down in level."""
