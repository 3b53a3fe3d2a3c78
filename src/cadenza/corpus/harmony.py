"""Chords for a form: sections without chords in, the same with two numerals a bar out.

A kind of section has one progression, drawn once, so that what returns returns with its harmony. Idioms that think in
phrases (classical, folk, jazz, song verses) close the first phrase of a section with a half cadence and the last with a
full one; loops go round. Bridges lead to the dominant, a change of key is announced by the dominant of the new key, and
the piece ends on its tonic, sometimes after a deceptive or through a plagal cadence.
"""

from dataclasses import replace

import numpy as np

from cadenza.corpus.form import PHRASE_BARS
from cadenza.corpus.melody import ChordSpan
from cadenza.corpus.progressions import BRIDGES, CADENCES, TONICS
from cadenza.corpus.score import Meter, Section
from cadenza.corpus.theory import chord_from_numeral, dominant_of

Bars = list[str]
"""One word for each bar: a numeral, or two joined by "_"."""

_CADENTIAL = ("classical", "folk", "jazz")
_LEADING = ("pre-chorus", "build-up", "bridge")
_BORROWERS = {"intro": 0, "outro": 0, "breakdown": 1, "solo": 0, "drop": 1, "build-up": 0}
"""Sections that go over another's chords: those of the first (0) or second (1) progression of the piece."""


def harmonise(
    rng: np.random.Generator, idiom: str, progressions: dict[str, tuple[str, ...]], sections: tuple[Section, ...]
) -> tuple[Section, ...]:
    """Chords for every section.

    Args:
        idiom: a name in `progressions.CADENCES`.
        progressions: four-bar progressions of the tradition, for "major" and "minor".
        sections: from `form.lay_out`.
    """
    orders = {mode: rng.permutation(len(rows)) for mode, rows in sorted(progressions.items())}
    home: dict[tuple[str, str], Bars] = {}
    seeds = rng.integers(0, 2**31, 2)
    harmonised = []
    for index, section in enumerate(sections):
        mode = section.key.mode
        if (section.name, mode) not in home:
            rows = progressions[mode]
            if section.name in ("bridge", "pre-chorus", "episode") and idiom != "blues":
                rows = BRIDGES[idiom][mode] if section.name != "episode" or section.key == sections[0].key else rows
                row = rows[int(rng.integers(len(rows)))]
            else:
                place = _BORROWERS.get(section.name, 1 if section.name in ("chorus", "second episode") else 0)
                row = rows[orders[mode][place % len(rows)]]
            home[section.name, mode] = _colour(rng, row.split(), idiom, mode)
        base = home[section.name, mode]
        following = sections[index + 1] if index + 1 < len(sections) else None
        # What returns draws the same cadences: the generator is one for each kind of section.
        own = np.random.default_rng([int(seeds[0]), *section.name.encode()])
        if section.name == "ending":
            bars = _ending(rng, idiom, mode, section.num_bars)
        elif idiom == "blues":
            bars = _blues(progressions[mode], section)
        elif section.name == "intro" and section.num_bars < PHRASE_BARS:
            bars = [TONICS[idiom][mode], _draw(own, CADENCES[idiom][mode]["half"]).split()[-1]]
        else:
            bars = _phrases(own, base, idiom, section)
        if following is None or following.name == "ending":
            bars = _close(rng, bars, idiom, mode, 0 if following is None else following.num_bars)
        if index and section.key != sections[index - 1].key:
            bars[0] = "_".join([TONICS[idiom][mode], *bars[0].split("_")[1:]])
        if following is not None and following.key != section.key:
            bars[-1] = f"{bars[-1].split('_')[0]}_{dominant_of(following.key, section.key)}"
        harmonised.append(replace(section, numerals=_slots(bars)))
    return tuple(harmonised)


def chord_spans(meter: Meter, section: Section) -> list[ChordSpan]:
    """The chords of a section on the timeline."""
    bar, middle = meter.bar_quarters, meter.middle_quarters
    spans: list[ChordSpan] = []
    for slot, numeral in enumerate(section.numerals):
        start = (section.first_bar + slot // 2) * bar + (middle if slot % 2 else 0.0)
        length = bar - middle if slot % 2 else middle
        if numeral:
            spans.append(ChordSpan(start, length, chord_from_numeral(numeral, section.key)))
        else:
            spans[-1] = replace(spans[-1], duration=spans[-1].duration + length)
    return spans


def _slots(bars: Bars) -> tuple[str, ...]:
    slots: list[str] = []
    for word in bars:
        first, _, second = word.partition("_")
        slots += [first, second if second != first else ""]
    return tuple(slots)


def _phrases(rng: np.random.Generator, base: Bars, idiom: str, section: Section) -> Bars:
    """The progression once for each phrase, with the cadences that the idiom wants."""
    cadences = CADENCES[idiom][section.key.mode]
    half, full = _draw(rng, cadences["half"]), _draw(rng, cadences["full"])
    count = -(-section.num_bars // PHRASE_BARS)
    cadential = idiom in _CADENTIAL or (idiom == "pop" and section.name == "verse" and rng.random() < 0.5)
    bars: Bars = []
    for phrase in range(count):
        own = list((base * PHRASE_BARS)[:PHRASE_BARS])
        last = phrase == count - 1
        if section.name in _LEADING and last:
            own[2:] = half.split()
        elif cadential and section.name not in _LEADING:
            own[2:] = (full if last else half).split()
        bars += _resolved(own, section.key.mode)
    return bars[: section.num_bars]


def _resolved(bars: Bars, mode: str) -> Bars:
    """Applied dominants that a cadence has cut off from their goal give way to a plain chord."""
    kept = list(bars)
    for index, following in enumerate(bars[1:]):
        first, _, second = bars[index].partition("_")
        head, _, goal = (second or first).partition("/")
        if head == "V7" and goal and goal != _root_name(following):
            kept[index] = first if second else "ii" if mode == "major" else "iv"
    return kept


def _blues(rows: tuple[str, ...], section: Section) -> Bars:
    """Twelve bars in three phrases; a single phrase (an introduction, an outro) is the turnaround."""
    order = {1: (2,), 2: (0, 2), 3: (0, 1, 2)}[-(-section.num_bars // PHRASE_BARS)]
    return [bar for phrase in order for bar in rows[phrase % len(rows)].split()][: section.num_bars]


def _close(rng: np.random.Generator, bars: Bars, idiom: str, mode: str, after: int) -> Bars:
    """The piece's last phrase (`after` is the number of bars of an ending that follows): it comes home."""
    kind = "deceptive" if after >= 2 and rng.random() < 0.35 else "plagal" if rng.random() < 0.2 else "full"
    return [*bars[:-2], *_draw(rng, CADENCES[idiom][mode][kind]).split()] if len(bars) >= 2 else bars


def _ending(rng: np.random.Generator, idiom: str, mode: str, num_bars: int) -> Bars:
    """One bar is the tonic; more bars are a last cadence, after a step aside."""
    if num_bars == 1:
        return [TONICS[idiom][mode]]
    kind = "plagal" if rng.random() < 0.4 else "full"
    cadence = _draw(rng, CADENCES[idiom][mode][kind]).split()
    aside = CADENCES[idiom][mode]["deceptive"][0].split()[-1]
    return [*[aside] * (num_bars - 2), *cadence]


def _colour(rng: np.random.Generator, bars: Bars, idiom: str, mode: str) -> Bars:
    """At most one applied dominant, now and then an inversion, a suspension or a borrowed chord."""
    bars = list((bars * PHRASE_BARS)[:PHRASE_BARS])
    chance = float(rng.random())
    if idiom in ("classical", "jazz", "pop", "folk") and chance < {"classical": 0.4, "jazz": 0.3}.get(idiom, 0.2):
        places = [i for i in range(1, 3) if _plain(bars[i]) and _applicable(bars[i + 1], mode)]
        if places:
            at = places[int(rng.integers(len(places)))]
            bars[at] = f"{bars[at]}_V7/{_root_name(bars[at + 1])}"
    if idiom == "pop" and mode == "major" and rng.random() < 0.2:
        bars = [f"{bar}_iv" if bar == "IV" and i in (1, 3) else bar for i, bar in enumerate(bars)]
    if idiom in ("classical", "pop"):
        for index in range(1, PHRASE_BARS - 1):
            if bars[index] in ("V", "I", "bVII") and rng.random() < 0.35 and bars[index - 1] != bars[index]:
                bars[index] += "^3"
    if idiom in ("classical", "pop", "folk") and rng.random() < 0.3:
        bars = [f"Vsus4_{bar}" if bar in ("V", "V7") else bar for bar in bars]
    return bars


def _plain(bar: str) -> bool:
    return "_" not in bar and "/" not in bar and "^" not in bar


def _applicable(bar: str, mode: str) -> bool:
    """Whether the dominant of a chord may go before it: not the tonic, and a triad that can rest."""
    name = _root_name(bar)
    steady = ("ii", "iii", "IV", "V", "vi") if mode == "major" else ("iv", "V")
    return _plain(bar) and name in steady and "dim" not in bar and "b5" not in bar


def _root_name(bar: str) -> str:
    """The numeral without its suffix: "ii7" is "ii"."""
    head = bar.split("_")[0]
    end = next((i for i, c in enumerate(head) if c not in "b#IViv"), len(head))
    return head[:end]


def _draw(rng: np.random.Generator, choices: tuple[str, ...]) -> str:
    return choices[int(rng.integers(len(choices)))]
