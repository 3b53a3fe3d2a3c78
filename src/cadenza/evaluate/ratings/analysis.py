"""A listening test's answers to figures: with everybody, and without those who did not listen.

In: `Results`. Out: one JSON object: who was left out and why; for each question the mean of each system with its
interval, agreement, differences on the same prompts with Holm's correction; for pairs the strengths. Figures of papers
stand beside. The same answers give the same object, digit for digit.
"""

import math
from collections import Counter
from collections.abc import Iterable, Sequence
from itertools import combinations
from typing import Any

from cadenza.errors import UserError
from cadenza.evaluate.intervals import Interval, share_interval
from cadenza.evaluate.paired import holm
from cadenza.evaluate.ratings.agreement import krippendorff_alpha
from cadenza.evaluate.ratings.means import crossed_mean
from cadenza.evaluate.ratings.pairs import fit_pairs
from cadenza.evaluate.ratings.records import Preference, Rating, Results, Rules
from cadenza.evaluate.ratings.screening import outliers

_DIGITS = 6


def analyse(results: Results, rules: Rules) -> dict[str, Any]:
    """All figures of a test, ready for JSON. Raises UserError where nobody has answered."""
    if not results.ratings and not results.preferences:
        raise UserError("no answers yet: invite listeners to the page of `cadenza listen serve`")
    excluded = _careless(results, rules)
    questions: dict[str, Any] = {}
    for protocol in dict.fromkeys(rating.protocol for rating in results.ratings):
        everyone = [rating for rating in results.ratings if rating.protocol == protocol]
        careful = [rating for rating in everyone if rating.listener not in excluded]
        unlike = outliers(
            [rating.value for rating in careful],
            [rating.listener for rating in careful],
            [(rating.item, rating.system) for rating in careful],
            rules.least_correlation,
        )
        gone = {one.listener for one in unlike}
        kept = [rating for rating in careful if rating.listener not in gone]
        questions[protocol] = {
            "question": results.questions.get(protocol, ""),
            "unlike_the_others": [{"listener": one.listener, "correlation": one.correlation} for one in unlike],
            "filtered": _scale(kept, results.systems) if kept else None,
            "all": _scale(everyone, results.systems),
            "ratings_per_item": _filled(
                Counter((rating.item, rating.system) for rating in kept), results, results.items.get(protocol, 0)
            ),
            "published": [dict(figure) for figure in results.published if figure.get("protocol") == protocol],
        }
    pairs = None
    if results.preferences:
        kept_votes = [vote for vote in results.preferences if vote.listener not in excluded]
        pairs = {
            "question": results.questions.get("pairs", ""),
            "filtered": _pairs(kept_votes, results.systems) if kept_votes else None,
            "all": _pairs(results.preferences, results.systems),
            "ratings_per_item": _filled(
                Counter((vote.item, *sorted((vote.first, vote.second))) for vote in kept_votes),
                results,
                results.items.get("pairs", 0),
            ),
        }
    heard_with = Counter(results.listeners.values())
    return {
        "test": results.test,
        "title": results.title,
        "systems": list(results.systems),
        "reference": rules.reference,
        "rules": {
            "failures_allowed": rules.failures_allowed,
            "least_correlation": rules.least_correlation,
            "reference_least": rules.reference_least,
        },
        "listeners": {
            "count": len(results.listeners),
            "answered": len({one.listener for one in results.ratings} | {one.listener for one in results.preferences}),
            "heard_with": dict(sorted(heard_with.items())),
            "excluded": [{"listener": listener, "reason": reason} for listener, reason in sorted(excluded.items())],
        },
        "questions": questions,
        "pairs": pairs,
        "clips": {"left_out": [dict(row) for row in results.left_out], "notes": [dict(row) for row in results.notes]},
    }


def _careless(results: Results, rules: Rules) -> dict[int, str]:
    """Listeners who are left out everywhere, with the reason."""
    found: dict[int, str] = {}
    for listener, (asked, failed) in results.checks.items():
        if failed > rules.failures_allowed:
            found[listener] = f"failed {failed} of {asked} attention checks"
    if rules.reference is not None and rules.reference_least is not None:
        given: dict[int, list[float]] = {}
        for rating in results.ratings:
            if rating.system == rules.reference and rating.protocol == "ovl":
                given.setdefault(rating.listener, []).append(rating.value)
        for listener, values in given.items():
            mean = sum(values) / len(values)
            if mean < rules.reference_least and listener not in found:
                found[listener] = f"rated the hidden reference {mean:.1f} on average, below {rules.reference_least:g}"
    return found


def _filled(counts: Counter[Any], results: Results, items: int) -> dict[str, int]:
    """How far the number of ratings that every clip was to get is reached, by those who count."""
    enough = sum(count >= results.ratings_per_item for count in counts.values())
    fewest = min(counts.values(), default=0) if len(counts) >= items else 0
    return {"wanted": results.ratings_per_item, "fewest": fewest, "items": items, "below": max(0, items - enough)}


# ------------------------------------------------------------------------------------------------------------ figures


def _scale(ratings: Sequence[Rating], names: Sequence[str]) -> dict[str, Any]:
    """One question, by some listeners."""
    systems = {}
    for name in names:
        own = [rating for rating in ratings if rating.system == name]
        if own:
            found = crossed_mean(*_columns(own))
            systems[name] = _plain(found.interval) | {
                "listeners": found.listeners,
                "items": found.items,
                "listener_sd": _number(found.listener_sd),
                "item_sd": _number(found.item_sd),
                "residual_sd": _number(found.residual_sd),
            }
    alpha = krippendorff_alpha([r.value for r in ratings], [(r.item, r.system) for r in ratings])
    return {
        "ratings": len(ratings),
        "listeners": len({rating.listener for rating in ratings}),
        "systems": systems,
        "agreement_alpha": _number(alpha),
        "differences": _differences(ratings, list(systems)),
    }


def _differences(ratings: Sequence[Rating], names: Sequence[str]) -> list[dict[str, Any]]:
    """Each two systems, on what one listener said about both at one prompt."""
    said = {(rating.system, rating.listener, rating.item): rating.value for rating in ratings}
    rows: list[dict[str, Any]] = []
    for one, other in combinations(names, 2):
        shared = [(who, what) for system, who, what in said if system == one and (other, who, what) in said]
        if shared:
            values = [said[one, who, what] - said[other, who, what] for who, what in shared]
            found = crossed_mean(values, [who for who, _ in shared], [what for _, what in shared])
            rows.append({"first": one, "second": other, **_plain(found.interval), "p_value": found.p_value})
    return _corrected(rows)


def _pairs(votes: Sequence[Preference], names: Sequence[str]) -> dict[str, Any]:
    """Preferences, by some listeners."""
    present = [name for name in names if any(name in (vote.first, vote.second) for vote in votes)]
    number = {name: place for place, name in enumerate(present)}
    listeners = [vote.listener for vote in votes]
    items = [vote.item for vote in votes]
    model = fit_pairs(
        [number[vote.first] for vote in votes],
        [number[vote.second] for vote in votes],
        [vote.value for vote in votes],
        listeners,
        items,
        len(present),
    )
    rows = []
    for difference in model.differences:
        one, other = present[difference.first], present[difference.second]
        signed = [
            (-vote.value if vote.first == one else vote.value, vote.listener, vote.item)
            for vote in votes
            if {vote.first, vote.second} == {one, other}
        ]
        degree = crossed_mean(*map(list, zip(*signed, strict=True))).interval if signed else None
        rows.append(
            {
                "first": one,
                "second": other,
                **_plain(difference.interval),
                "chance": _number(model.chance(difference.first, difference.second)),
                "won": sum(value > 0 for value, _, _ in signed),
                "lost": sum(value < 0 for value, _, _ in signed),
                "tied": sum(value == 0 for value, _, _ in signed),
                "strength": None if degree is None else _plain(degree),
                "p_value": difference.p_value,
            }
        )
    alpha = krippendorff_alpha(
        [vote.value if vote.first < vote.second else -vote.value for vote in votes],
        [(vote.item, *sorted((vote.first, vote.second))) for vote in votes],
    )
    return {
        "votes": len(votes),
        "listeners": len(set(listeners)),
        "strengths": {name: _plain(model.strengths[place]) for name, place in number.items()},
        "tie": _number(model.tie),
        "prior": model.prior,
        "side_a": _side(votes),
        "agreement_alpha": _number(alpha),
        "differences": _corrected(rows),
    }


def _side(votes: Sequence[Preference]) -> dict[str, Any] | None:
    """How often the side that is named first was liked better, of the votes that are no tie."""
    sides = [(vote.value < 0) != vote.turned for vote in votes if vote.value]
    return _plain(share_interval(sum(sides), len(sides))) if sides else None


def _corrected(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """With Holm's p-values, all as they are shown."""
    adjusted = holm([row["p_value"] for row in rows])
    return [
        row | {"p_value": _number(row["p_value"]), "p_holm": _number(one)}
        for row, one in zip(rows, adjusted, strict=True)
    ]


def _columns(ratings: Iterable[Rating]) -> tuple[list[float], list[int], list[str]]:
    rows = list(ratings)
    return [row.value for row in rows], [row.listener for row in rows], [row.item for row in rows]


def _plain(interval: Interval) -> dict[str, Any]:
    return {
        "mean": _number(interval.mean),
        "low": _number(interval.low),
        "high": _number(interval.high),
        "count": interval.count,
    }


def _number(value: float) -> float | None:
    """As JSON holds it: rounded; None for what is endless or unknown."""
    return round(value, _DIGITS) if math.isfinite(value) else None
