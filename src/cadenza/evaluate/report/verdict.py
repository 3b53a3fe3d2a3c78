"""What a report comes to, in words: figures and tests in, a few sentences out, by a rule that leaves nothing to choose.

Each main figure of a system is held against true music that was heard alike, and against chance (the same clips with
the captions of other prompts). Where 95 % intervals meet, the two are not told apart; between systems the paired tests
speak. A figure with a warning is named, but nothing follows from it.
"""

from itertools import combinations

from cadenza.evaluate.report.compare import LEAST_PROMPTS
from cadenza.evaluate.report.figures import Figure, Gap, Range, Report, Test, shown
from cadenza.evaluate.report.metrics import metric

MAIN = ("fad", "text_alignment", "chroma", "tempo or its octave", "key, MIREX", "instruments", "genre")
AS_TRUE, SHORT, ABOVE, CHANCE, DOUBTFUL = STANDINGS = (
    "not told from true music",
    "short of true music",
    "better than chance",
    "not told from chance",
    "too little to say",
)


def verdicts(report: Report) -> list[tuple[str, list[str]]]:
    """Who, and what is to be said of it: the systems that are judged, then every pair of them."""
    judged = [system.name for system in report.systems if system.kind not in ("truth", "ceiling")]
    truth = next((system.name for system in report.systems if system.kind == "truth"), "")
    found: list[tuple[str, list[str]]] = []
    for system in judged:
        groups: dict[str, list[str]] = {}
        for name, heard_by in report.rows(MAIN):
            figure, true = report.figure(name, system, heard_by), report.figure(name, truth, heard_by)
            standing = None if figure is None else _standing(figure, true)
            if figure is not None and standing is not None:
                groups.setdefault(standing, []).append(_words(figure, true))
        parts = [f"{standing}: {', '.join(groups[standing])}" for standing in STANDINGS if standing in groups]
        if parts:
            found.append((system, parts))
        found += _sets(report.gaps, system)
    found += [(f"{a} against {b}", _between(report.tests, a, b)) for a, b in combinations(judged, 2)]
    return found


def _sets(gaps: tuple[Gap, ...], system: str) -> list[tuple[str, list[str]]]:
    """Each further set of prompts against the first: whether it is at most 15 points lower, figure by figure."""
    own = [gap for gap in gaps if gap.system == system]
    first = {gap.metric: gap for gap in own if gap.difference is None}
    found: dict[str, list[str]] = {}
    for gap in own:
        if gap.difference is None or gap.metric not in first:
            continue
        answer = "yes" if gap.surely else "yes, but not surely" if gap.within else "no"
        found.setdefault(f"{system}, {gap.prompts} at most 15 points below {first[gap.metric].prompts}", []).append(
            f"{gap.title} {answer}: {gap.result.text()} of {gap.count} prompts against "
            f"{first[gap.metric].result.text()} of {first[gap.metric].count}, difference {_signed(gap.difference)}"
        )
    return list(found.items())


def _signed(difference: Range) -> str:
    values = (difference.value, difference.low, difference.high)
    value, low, high = ("–" if one is None else f"{one:+.2f}" for one in values)
    return f"{value} ({low} to {high})"


def _standing(figure: Figure, true: Figure | None) -> str | None:
    """Where a figure lies; None where there is nothing to hold it against."""
    if true is None and figure.floor is None:
        return None
    low, high = figure.result.low, figure.result.high
    if low is None or high is None or figure.notes:
        return DOUBTFUL
    floor = figure.floor or (None if true is None else true.floor)  # one clip alone has no other's captions
    if floor is not None and not _is_better(figure.result, floor, figure.better == "higher"):
        return CHANCE
    if true is None:
        return ABOVE
    return SHORT if _is_better(true.result, figure.result, figure.better == "higher") else AS_TRUE


def _is_better(one: Range, two: Range, higher: bool) -> bool:
    """Whether the whole interval of `one` lies on the better side of that of `two`."""
    above, below = (one, two) if higher else (two, one)
    return above.low is not None and below.high is not None and above.low > below.high


def _words(figure: Figure, true: Figure | None) -> str:
    kind = metric(figure.metric)
    beside = [] if true is None or true.middle is None else [f"true music {shown(true.middle, kind.digits)}"]
    if figure.floor is not None and figure.floor.value is not None:
        beside.append(f"chance {shown(figure.floor.value, kind.digits)}")
    heard = f" by {figure.heard_by}" if figure.heard_by else ""
    value = "–" if figure.middle is None else shown(figure.middle, kind.digits)
    return f"{kind.title}{heard} {value} ({', '.join(beside)})"


def _between(tests: tuple[Test, ...], one: str, two: str) -> list[str]:
    known = [test for test in tests if (test.first, test.second) == (one, two)]
    if not known:
        return [f"nothing is tested, they share fewer than {LEAST_PROMPTS} prompts with figures"]
    parts = []
    for name in (one, two):
        won = [
            f"{t.title}{f' ({t.heard_by})' if t.heard_by else ''}" for t in known if t.verdict == f"{name} is better"
        ]
        if won:
            parts.append(f"{name} is better by {', '.join(won)}")
    told = sum(test.verdict != "cannot be told apart" for test in known)
    return [*parts, f"{len(known) - told} of {len(known)} tests tell no difference"]
