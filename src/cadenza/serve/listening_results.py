"""Answers and key together: what each listener said about which system. The only reader of `key.json`.

In: a test folder with answers. Out: `Results` for `evaluate.ratings`.
"""

from pathlib import Path
from typing import Any, cast

from cadenza.errors import UserError
from cadenza.evaluate.ratings.records import Preference, Rating, Results, Rules
from cadenza.serve.listening_checks import passed
from cadenza.serve.listening_design import KEY, RESULTS, Design, read_json
from cadenza.serve.listening_store import Answer, Store


def read_results(folder: str | Path) -> tuple[Results, Rules]:
    """Raises UserError for a folder that is no test, whose key is missing or another's, or that nobody listened to."""
    folder = Path(folder)
    design = Design.read(folder)
    key = cast(dict[str, Any], read_json(folder / KEY, "copy it from where the test was made"))
    if key.get("test") != design.id:
        raise UserError(f"{folder / KEY} is the key of another test: copy it from where this one was made")
    if not (folder / RESULTS).is_file():
        raise UserError(f"{folder} has no answers yet: invite listeners to the page of `cadenza listen serve`")
    store = Store(folder / RESULTS, design.id, read_only=True)
    try:
        answers, listeners = store.answers(), store.listeners()
    finally:
        store.close()
    try:
        return _joined(design, key, answers, listeners)
    except (LookupError, TypeError, ValueError, AttributeError) as error:
        raise UserError(f"{folder / KEY} was changed ({error!r}): copy it from where the test was made") from error


def _joined(
    design: Design, key: dict[str, Any], answers: list[Answer], listeners: dict[int, str]
) -> tuple[Results, Rules]:
    known = design.screens()
    ratings: list[Rating] = []
    preferences: list[Preference] = []
    checks: dict[int, list[bool]] = {}
    for answer in answers:
        section, _, screen = known[answer.screen]
        truth = key["screens"][answer.screen]
        turned = section.kind == "pair" and answer.clips != screen.clips
        value = -answer.answer if turned else answer.answer
        if answer.kind == "check":
            checks.setdefault(answer.listener, []).append(passed(truth["check"], truth["expected"], value))
        elif section.kind == "pair":
            first, second = truth["systems"]
            preferences.append(Preference(answer.listener, truth["prompt"], first, second, value, turned))
        else:
            ratings.append(Rating(answer.listener, section.protocol, truth["system"], truth["prompt"], value))
    results = Results(
        test=design.id,
        title=design.title,
        systems=tuple(key["systems"]),
        ratings=tuple(ratings),
        preferences=tuple(preferences),
        checks={listener: (len(found), found.count(False)) for listener, found in checks.items()},
        listeners=listeners,
        ratings_per_item=key["ratings_per_item"],
        items={section.protocol: sum(len(b.screens) for b in section.blocks) for section in design.sections},
        published=tuple(key["published"]),
        questions={section.protocol: section.question for section in design.sections},
        left_out=tuple(key["left_out"]),
        notes=tuple(key["notes"]),
    )
    names = ("failures_allowed", "least_correlation", "reference", "reference_least")
    return results, Rules(**{name: key[name] for name in names})
