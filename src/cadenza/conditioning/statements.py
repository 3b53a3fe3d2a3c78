"""What a text says in figures: tempo, key and meter, by rules.

In: a sentence, or tags. Out: a `Plan` with tempo, key and meter where they are plain, None elsewhere. Figures are read
by rules because a rule reads all of them alike: a network that has read "92 bpm" need not have read "93 bpm". What
only looks like music ("a minor issue", "80s", "24/7", "320 kbps") is left alone; of two tempos the first counts.
"""

import re
from collections.abc import Iterator

from cadenza.conditioning.plan import METERS, TEMPO_RANGE, Plan, spell_key


def stated_in(text: str) -> Plan:
    """Tempo, key (or a mode alone) and meter that the text states."""
    plain = re.sub(r"[‐-―−]", "-", text.replace("’", "'").replace("♯", "#").replace("♭", "b"))
    plain = plain.replace("_", ", " if " " in text else " ")
    plain = _HASHTAG.sub(lambda match: f", {_opened(match[1])}, ", plain)
    return Plan(tempo_bpm=_tempo(plain), key=_key(plain), meter=_meter(plain))


_NOT = r"(?:\bnot|\bno|\bnever|n't|\bwithout|\bisn't|\bthan)\s+(?:in\s+|at\s+|a\s+|an\s+|any\s+)?$"
_TAG_BEGINS, _TAG_ENDS = r"(?:^|[,;|/\n(\[]|\s-)\s*", r"\s*(?:$|[,;|/\n)\].!]|-\s)"
"""Where an item of a list begins and ends."""
_AFTER_FACT = (
    r"(?=\s*(?:$|[^\w\s#'-]|-(?!\w)|\d)|\s+(?:with|and|at|for|on|by|from|over|then|but|using|featuring|played|around|about|"
    r"please|throughout|tempo|bpm|time|is|please)\b)"
)
"""What may follow a fact that ends in a common word: "in three, ..." but not "in three parts"."""


def _said(pattern: re.Pattern[str], text: str) -> Iterator[re.Match[str]]:
    """Matches that are not denied."""
    return (match for match in pattern.finditer(text) if not re.search(_NOT, text[: match.start()], re.IGNORECASE))


def _slips(word: str) -> str:
    """A pattern for a word, and for it with a letter lost, doubled or swapped with the next."""
    forms = {word}
    for i in range(len(word)):
        forms |= {word[:i] + word[i + 1 :], word[: i + 1] + word[i:], word[:i] + word[i : i + 2][::-1] + word[i + 2 :]}
    return "|".join(sorted(forms, key=lambda form: (-len(form), form)))


# ---- hashtags --------------------------------------------------------------------------------------------------------

_HASHTAG = re.compile(r"(?<![\w#])#(\w{2,})")
_TAG_OF_METER = re.compile(r"(3|4|5|6|12)(4|8)(?:time|meter)?", re.IGNORECASE)
_TAG_OF_KEY = re.compile(
    r"(?:in)?(?:the)?(?:key)?(?:of)?([A-G])(sharp|flat|b|)(major|minor|maj|min|m|dur|moll)(?:key)?", re.IGNORECASE
)
_JOINED = re.compile(
    r"(?<=[a-z])(?=\d)|(?<=\d)(?=[a-z])|(?<=beats)(?=per)|(?<=per)(?=minute)|"
    r"(?:(?<=three)|(?<=four)|(?<=five)|(?<=six)|(?<=eight)|(?<=common)|(?<=triple))(?=four|eight|time|meter)",
    re.IGNORECASE,
)
"""Where the words of a hashtag meet."""


def _opened(tag: str) -> str:
    """A hashtag as one would write it otherwise: "68time" is 6/8, "inFsharpminor" F sharp minor, "bpm92" bpm 92."""
    if meter := _TAG_OF_METER.fullmatch(tag):
        return f"{meter[1]}/{meter[2]}"
    if key := _TAG_OF_KEY.fullmatch(tag):
        sign = key[2].lower()
        mode = "minor" if key[3].lower() in ("m", "min", "minor", "moll") else "major"
        return f"{key[1].upper()}{sign if sign == 'b' else f' {sign}'} {mode}"
    return _JOINED.sub(" ", tag)


# ---- tempo -----------------------------------------------------------------------------------------------------------

_ONES = ["one", "two", "three", "four", "five", "six", "seven", "eight", "nine"]
_TEENS = ["ten", "eleven", "twelve", "thirteen", "fourteen", "fifteen", "sixteen", "seventeen", "eighteen", "nineteen"]
_TENS = ["twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety"]
_WORDS = {
    **{word: number for number, word in enumerate(_ONES, 1)},
    **{word: number for number, word in enumerate(_TEENS, 10)},
    **{word: 10 * number for number, word in enumerate(_TENS, 2)},
}
_NUMBER_WORDS = re.compile(
    rf"\b(?:(?P<hundred>a|one|two)[\s-]hundred(?:[\s-]and)?|(?P<over>one)(?=[\s-](?:{'|'.join(_TEENS + _TENS)})\b))?"
    rf"[\s-]?(?:(?P<tens>{'|'.join(_TENS)})(?:[\s-](?P<ones>{'|'.join(_ONES)}))?|(?P<teens>{'|'.join(_TEENS)})"
    rf"|(?<=\s)(?P<rest>{'|'.join(_ONES)}))?\b(?=[\s-]*(?:bpm|beats?)\b)",
    re.IGNORECASE,
)
_NUMBER = r"(?<![\d.:/#])(\d{2,3}(?:\.\d+)?)(?![\d:/]|'?s\b)"
_UNIT = r"(?:b\.?\s?p\.?\s?m\b|be+a*t+s?\s?(?:per|a|/|each)\s?min)"
_NAME = (
    r"(?:\b(?:bpm|tempo|metronome|m\.?m\.?)(?![a-z])|(?:\b(?:quarter|crotchet)(?:[\s-]?notes?)?|[♩𝅘𝅥]\.?)\s*=|@)"
    r"\s*(?:of|is|at|to|:|=|around|about|approx\.?|ca?\.|roughly|~)*\s*(?:around|about|approx\.?|ca?\.|~)?\s*"
)
_NO_UNIT = (  # nor the name of a drum machine
    r"(?!(?<=303|808|909))(?!\s*(?:%|°|[a-z]*bps|k?hz|rpm|m?s\b|secs?|seconds?|minutes?|hours?|years?|degrees?|percent))"
)
_UPTO = rf"{_NUMBER}(?:\s*bpm)?\s*(?:-|to|and|or)\s*{_NUMBER}"
_TEMPOS = [
    re.compile(pattern, re.IGNORECASE)
    for pattern in (
        rf"{_UPTO}[\s-]*{_UNIT}|{_NAME}(?:between\s+|from\s+)?{_UPTO}",
        rf"{_NUMBER}\s*-?(?:ish)?\s*{_UNIT}|{_NUMBER}\s+(?:to|for)\s+the\s+(?:quarter|crotchet)",
        rf"{_NAME}{_NUMBER}{_NO_UNIT}",
        rf"\bat\s+{_NUMBER}(?=\s*(?:$|[,;|]|\.\s|\.$))",
    )
]
_LONE_NUMBER = re.compile(rf"(?:{_TAG_BEGINS}|:\s){_NUMBER}(?={_TAG_ENDS})")
_LONE_RANGE = (40.0, 200.0)
_LAST_NUMBER = re.compile(
    rf"\b(?P<word>[a-z]{{3,}})\s+{_NUMBER}\s*[.!]?\s*$|\b(?:major|minor|maj|min)\s+{_NUMBER}\s", re.IGNORECASE
)
_LAST_RANGE = (70.0, 180.0)
_COUNTED = re.compile(
    r"opus|number|route|area|studio|highway|level|vol|volume|part|chapter|bwv|track|take|day|top|summer|the|for"
)
"""Words whose number is no tempo."""
_KEPT = (20.0, 520.0)
"""Of what can be a tempo at all; what lies outside the range that a plan keeps is halved or doubled."""


def _tempo(text: str) -> float | None:
    text = _NUMBER_WORDS.sub(lambda match: str(_number(match)) if match[0].strip() else match[0], text)
    for pattern in _TEMPOS:
        for match in _said(pattern, text):
            numbers = [float(part) for part in match.groups() if part]
            bpm = sum(numbers) / len(numbers)
            if _KEPT[0] <= bpm <= _KEPT[1]:
                return _in_range(bpm)
    alone = [float(match[1]) for match in _LONE_NUMBER.finditer(text)]
    if len(alone) == 1 and _LONE_RANGE[0] <= alone[0] <= _LONE_RANGE[1]:
        return alone[0]
    for match in _LAST_NUMBER.finditer(text):
        bpm = float(match[2] or match[3])
        if _LAST_RANGE[0] <= bpm <= _LAST_RANGE[1] and not _COUNTED.fullmatch((match["word"] or "").lower()):
            return bpm
    return None


def _number(match: re.Match[str]) -> int:
    """ "one hundred and twenty", "one twenty", "ninety-two" in digits; what is no number comes back as it was."""
    hundreds = (2 if match["hundred"].lower() == "two" else 1) if match["hundred"] else int(bool(match["over"]))
    rest = sum(_WORDS[match[name].lower()] for name in ("tens", "ones", "teens", "rest") if match[name])
    return 100 * hundreds + rest


def _in_range(bpm: float) -> float:
    while bpm > TEMPO_RANGE[1]:
        bpm /= 2
    while bpm < TEMPO_RANGE[0]:
        bpm *= 2
    return bpm


# ---- key -------------------------------------------------------------------------------------------------------------

_SIGN = r"(?:#|b(?![a-z])|b(?=m(?:aj|in)?\b)|[\s-]?(?:sharp|flat)(?=\b|m[aio]))"
_MODE_WORDS = {
    **dict.fromkeys(("min", "moll", "dorian", "phrygian", "aeolian", *_slips("minor").split("|")), "minor"),
    **dict.fromkeys(("maj", "dur", "lydian", "mixolydian", "ionian", *_slips("major").split("|")), "major"),
}
_MODE = "|".join(sorted(_MODE_WORDS, key=len, reverse=True))
_GERMAN = {
    "cis": "C#", "dis": "D#", "es": "Eb", "fis": "F#", "ges": "Gb", "gis": "G#", "as": "Ab", "des": "Db", "h": "B",
    "b": "Bb",
}  # fmt: skip
_WHOLE = re.compile(
    rf"(?<![\w'#])(?P<letter>[a-g])(?P<sign>{_SIGN}|)[\s-]*(?P<mode>{_MODE})\b"
    r"(?!\s*(?:7|9|11|13|sevenths?|thirds?|sixths?|chords?|label|league)\b)",
    re.IGNORECASE,
)
_IN_GERMAN = re.compile(rf"\b({'|'.join(_GERMAN)})[\s-](dur|moll)\b", re.IGNORECASE)
_NAMED_KEY = re.compile(
    rf"\bkey\b\s*(?:signature\s*)?(?:of|is|in|:|=)*\s*(?P<letter>[a-g])(?P<sign>{_SIGN}|)(?P<mode>m|)(?![\w#']|-\w)",
    re.IGNORECASE,
)
_IN_KEY = re.compile(
    rf"\b[Ii][Nn]\s+(?P<letter>[A-G]|[b-g](?=\s*(?:$|[,;.|]))|[a-g](?=[#b]?m\b))(?P<sign>#|b|[\s-](?:sharp|flat)\b|)(?P<mode>m|){_AFTER_FACT}"
)
_TAGGED_KEY = re.compile(
    rf"{_TAG_BEGINS}(?P<letter>[A-Ga-g])(?P<sign>#|b|)(?P<mode>m){_TAG_ENDS}|"
    rf"{_TAG_BEGINS}(?P<letter2>[A-G])(?P<sign2>#|b|[\s-](?:sharp|flat)){_TAG_ENDS}|"
    rf"[,;|]\s*(?P<letter3>[B-G])(?=\s*[,;|]|\s*$)|(?<![\w'#])(?P<letter4>[A-G]|[a-g](?=#))(?P<sign4>#|b)(?P<mode4>m)(?![\w#'])|"
    rf"(?<=\s)(?P<letter5>[A-G])(?P<mode5>m)(?=\s+\d{{2,3}}\s?bpm|\s+key\b)",
)
_A_MODE = re.compile(
    r"\b(major|minor)[\s-]+(?:keys?|mode|tonality|scale|feel|mood|chords?|harmon(?:y|ies)|progression|melody|blues|"
    rf"waltz|ballad|tune|piece|song|theme|jazz|swing)\b|\bin\s+(?:a\s+|the\s+)?(major|minor){_AFTER_FACT}|"
    rf"{_TAG_BEGINS}(major|minor){_TAG_ENDS}",
    re.IGNORECASE,
)


def _key(text: str) -> str | None:
    for match in _said(_IN_GERMAN, text):
        return spell_key(f"{_GERMAN[match[1].lower()]} {_MODE_WORDS[match[2].lower()]}")
    for match in _said(_WHOLE, text):
        if match["letter"] not in "aA" or match["sign"] or _means_a_key(text, match):
            return _spelled(match["letter"], match["sign"], _MODE_WORDS[match["mode"].lower()])
    for pattern in (_NAMED_KEY, _IN_KEY):
        for match in _said(pattern, text):
            return _spelled(match["letter"], match["sign"], match["mode"])
    for match in _said(_TAGGED_KEY, text):
        parts = {name.rstrip("2345"): part for name, part in match.groupdict().items() if part}
        return _spelled(parts["letter"], parts.get("sign", ""), parts.get("mode", ""))
    for match in _said(_A_MODE, text):
        return next(part for part in match.groups() if part).lower()
    return None


def _spelled(letter: str, sign: str, mode: str) -> str:
    return spell_key(f"{letter.upper()} {sign.strip(' -').lower()} {mode.lower()}")


def _means_a_key(text: str, match: re.Match[str]) -> bool:
    """Whether "a minor" is A minor: by what follows it, or a capital that no sentence begins with."""
    rest = text[match.end() :]
    if re.match(r"(?i:[\s-]+(?:keys?|mode|tonality|scale|feel|mood)\b)", rest):
        # "in A minor key" is A minor, "in a minor key" is none.
        return match["letter"] == "A" and bool(re.search(r"\b[a-z]\w*\s+$", text[: match.start()]))
    if re.match(_AFTER_FACT, rest, re.IGNORECASE):
        return True
    begins = not re.search(r"[\w,]\s*$", text[: match.start()])
    return match["letter"] == "A" and not begins and text != text.upper()


# ---- meter -----------------------------------------------------------------------------------------------------------

_AS_PLAYED = {"2/4": "4/4", "2/2": "4/4", "3/8": "3/4", "12/8": "6/8"} | {meter: meter for meter in METERS}
"""Meters that can be kept, and what others are played as."""
_SIGNATURE = re.compile(r"(?<![\d/.])(\d{1,2})\s?/\s?([248])(?![\d/]|\s*(?:of|inch|size)\b)")
_IN_WORDS = {
    "3/4": rf"three[\s-](?:four|quarter)(?:[\s-](?:time|meter|metre))?|(?:triple|waltz)[\s-](?:time|meter|metre|feel)|"
    rf"\bin\s+(?:three|3){_AFTER_FACT}|waltz(?:es|ing)?",
    "6/8": rf"six[\s-]eight|compound\s+(?:time|meter|metre)|\bin\s+(?:six|6){_AFTER_FACT}",
    "5/4": rf"five[\s-](?:four|quarter)|\bin\s+(?:five|5){_AFTER_FACT}",
    "4/4": rf"four[\s-](?:four|quarter)|common\s+time|cut\s+time|four[\s-](?:on|to)[\s-]the[\s-]floor|"
    rf"\bin\s+(?:four|4){_AFTER_FACT}",
}
_WORDS_FOR = [(meter, re.compile(rf"\b(?:{words})", re.IGNORECASE)) for meter, words in _IN_WORDS.items()]


def _meter(text: str) -> str | None:
    for match in _said(_SIGNATURE, text):
        meter = f"{match[1]}/{match[2]}"
        return _AS_PLAYED.get(meter)
    return next((meter for meter, pattern in _WORDS_FOR for _ in _said(pattern, text)), None)
