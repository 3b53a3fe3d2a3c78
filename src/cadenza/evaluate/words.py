"""Facts in plain words: a prompt or caption in, the tempo, key, instruments and genre that it names out.

For texts whose facts nobody wrote down. It only reads what is plain: what is said in two ways, denied ("no drums") or
ambiguous is left out, since a fact that was not asked for must not be judged. Names are those of the evaluator's ear.
Of the facts written down for the built-in prompts it finds 9 in 10, and no others.
"""

import re
from typing import NamedTuple

from cadenza.errors import UserError
from cadenza.evaluate.key import parse_key

SLOW, MEDIUM, FAST = (40.0, 86.0), (86.0, 112.0), (112.0, 220.0)
"""What the words for a tempo mean, in beats per minute; to the composer of Cadenza's training music too."""

Tempo = float | tuple[float, float]


class Facts(NamedTuple):
    """None and () where nothing is said."""

    tempo_bpm: Tempo | None = None
    key: str | None = None
    instruments: tuple[str, ...] = ()
    genre: str | None = None


def facts_in(text: str) -> Facts:
    """What a text asks for. Instruments are given as `Asked` wants them: "a/b" where either is meant."""
    plain = re.sub(r"[‐-―]", "-", text)
    instruments, rest = _instruments(plain)
    return Facts(_tempo(plain), _key(plain), instruments, _genre(rest))


# --------------------------------------------------------------------------------------------------------------- tempo

_NUMBER = r"(?<![\d.])(\d{2,3}(?:\.\d+)?)(?!\d)"
_UNIT = r"(?:bpm|beats?\s+(?:per|a)\s+minute)"
_NAMED = r"(?:\b(?:bpm|tempo)\b\s*(?:of|is|:|=)?|(?:\bquarter(?:[ -]note)?|♩)\s*=)"
_SPAN = rf"(?:between\s+{_NUMBER}\s+and|{_NUMBER}\s*(?:-|to))\s*{_NUMBER}"
_RANGE_BPM = re.compile(rf"{_SPAN}\s*-?{_UNIT}|{_NAMED}\s*{_SPAN}", re.IGNORECASE)
_TWO_BPM = re.compile(rf"{_NUMBER}\s*(?:and|or|then)\s*{_NUMBER}\s*-?{_UNIT}", re.IGNORECASE)
_BPM = re.compile(rf"{_NUMBER}\s*-?\s*{_UNIT}|{_NAMED}\s*{_NUMBER}(?!\s*%)", re.IGNORECASE)
_PLAUSIBLE = (20.0, 400.0)

_SLOW = r"slow(?!\s+down)(?:-paced|\s+paced|\s+tempo)?|down-?\s?tempo|adagio|largo|lento|unhurried|leisurely"
_MEDIUM = r"(?:mid|medium|moderate)-?\s?(?:tempo|paced?)|moderato|andante"
_FAST = r"fast(?:-paced|\s+paced|\s+tempo)?|up-?\s?tempo|allegro|presto|vivace|brisk|rapid"
_NOT = (
    r"(?:\b(?:not|no|without|never|free\s+of|neither|nor|instead\s+of|rather\s+than|avoid(?:ing|s)?|exclud(?:e|es|ing)|"
    r"lack(?:s|ing)?|minus|hardly|barely|absence\s+of|except(?:\s+for)?|anything\s+but)\b|n't\b)(?:\s+(?:any|a|an|the|too|so|very|really|that))*"
)


def _tempo(text: str) -> Tempo | None:
    ranges = {tuple(float(part) for part in match.groups() if part) for match in _RANGE_BPM.finditer(text)}
    if ranges:
        low, high = next(iter(ranges))
        return (low, high) if len(ranges) == 1 and _PLAUSIBLE[0] <= low < high <= _PLAUSIBLE[1] else None
    if _TWO_BPM.search(text):
        return None
    numbers = {float(first or second) for first, second in _BPM.findall(text)}
    if numbers:
        bpm = numbers.pop()
        return bpm if not numbers and _PLAUSIBLE[0] <= bpm <= _PLAUSIBLE[1] else None
    said = {
        place: re.search(rf"\b(?:{words})\b", text, re.IGNORECASE)
        for place, words in ((SLOW, _SLOW), (MEDIUM, _MEDIUM), (FAST, _FAST))
    }
    found = [place for place, match in said.items() if match]
    denied = re.search(rf"{_NOT}\s+(?:{_SLOW}|{_MEDIUM}|{_FAST})\b", text, re.IGNORECASE)
    return found[0] if len(found) == 1 and not denied else None


# ----------------------------------------------------------------------------------------------------------------- key

_KEY = re.compile(
    r"(?P<before>\b(?:in|key\s+of|key\s*:|key\s*=?)\s+)?"
    r"\b(?P<letter>[A-Ga-g])(?P<sign>#|♯|b(?=[\s-]|m\b)|♭|[\s-]?(?:sharp|flat))?"
    r"[\s-]*(?P<mode>major|minor|maj|min)\b(?![\s-]+(?:label|hit|part|role|change|work|star)\b)(?P<after>[\s-]+(?:key|mode|tonality|scale|feel|mood|chords?))?",
    re.IGNORECASE,
)
_SHORT_KEY = re.compile(
    r"\b(?:in|[Kk]ey\s+of|[Kk]ey\s*:)\s+(?:the\s+key\s+of\s+)?([A-G])([#♯b♭]|[\s-](?:sharp|flat)\b|)(m?)(?![\w#♯♭'])"
)
_MUSIC = re.compile(
    r"\s*(?:$|[^\w\s]|\d|(?:with|and|at|for|on|by|from|over|then|blues|songs?|pieces?|tracks?|tunes?|waltz|ballad|"
    r"melody|groove|riff|jam|progression|theme|prelude|piano|guitar)\b)"
)
"""What may follow "a minor", so that it speaks of music, and not of a minor detail."""
_MODE = re.compile(r"\b(major|minor)[\s-]+(?:key|mode|tonality)\b|\bin\s+(?:the\s+)?(major|minor)\b", re.IGNORECASE)


def _key(text: str) -> str | None:
    """A key, or a mode alone; a small "a" before "minor" is the key only behind "in" or "key of"."""
    keys: set[str] = set()
    modes: set[str] = set()
    for match in _KEY.finditer(text):
        if match["letter"] == "a" and not match["sign"] and not match["after"] and not _MUSIC.match(text, match.end()):
            continue
        mode = "major" if match["mode"].lower().startswith("maj") else "minor"
        is_article = match["letter"] in "aA" and not match["sign"] and (
            bool(match["after"]) or (match["letter"] == "a" and not match["before"])
        )  # fmt: skip
        if is_article:
            modes.add(mode)
        else:
            sign = (match["sign"] or "").strip(" -").lower()
            keys.add(_named(f"{match['letter']} {sign} {mode}"))
    for short in () if _KEY.search(text) else _SHORT_KEY.finditer(text):
        letter, sign, minor = short.groups()
        if letter != "A" or sign or minor or _MUSIC.match(text, short.end()):  # "in A world of its own"
            keys.add(_named(f"{letter}{sign.strip(' -')} {'minor' if minor else 'major'}"))
    if not keys:
        modes |= {(first or second).lower() for first, second in _MODE.findall(text)}
        return modes.pop() if len(modes) == 1 else None
    return keys.pop() if len(keys) == 1 else None


def _named(words: str) -> str:
    try:
        return parse_key(words).name
    except UserError as error:
        raise AssertionError(f"{words!r} was found by a pattern of keys") from error


# --------------------------------------------------------------------------------------------------------- instruments

_GUITARS = "acoustic guitar/classical guitar/jazz guitar/electric guitar/distorted guitar"
_BASSES = "bass guitar/upright bass/double bass/slap bass/synth bass/acid bass"
_DRUMS = "drums/rock drums/brushed drums/drum machine/marching drums"
_SYNTHS = "synth lead/synth pad/synth pluck/synth bass"
_ORGANS = "organ/hammond organ"
_FAMILIES = (_GUITARS, _BASSES, _DRUMS, _SYNTHS, _ORGANS)

_INSTRUMENTS = {
    "piano": r"(?:grand |acoustic |upright )?piano(?! (?:roll|ballads?\b))s?",
    "electric piano": r"electric pianos?|rhodes(?: piano)?|wurlitzer|e-piano",
    "harpsichord": r"harpsichords?|cembalo",
    "celesta": r"celest[ae]",
    "music box": r"music(?:al)? box(?:es)?",
    "vibraphone": r"vibraphones?|vibes(?= and| solo|,)",
    "marimba": r"marimbas?",
    "organ": r"(?:church|pipe) organs?",
    "hammond organ": r"hammond(?: organ)?|electric organ",
    _ORGANS: r"organs?",
    "accordion": r"accordions?|squeezebox",
    "harmonica": r"harmonicas?|mouth organ|blues harp",
    "acoustic guitar": r"(?:acoustic|steel-string) guitars?",
    "classical guitar": r"(?:classical|nylon(?:-string)?|spanish|flamenco) guitars?",
    "jazz guitar": r"jazz guitars?",
    "electric guitar": r"(?:clean )?electric guitars?|clean guitars?",
    "distorted guitar": r"(?:distorted|overdriven|heavy|crunchy|fuzz) (?:electric )?guitars?",
    _GUITARS: r"guitars?",
    "upright bass": r"(?:upright|walking|acoustic) bass",
    "bass guitar": r"bass guitars?|electric bass",
    "slap bass": r"slap(?:ped)? bass",
    "double bass/upright bass": r"double bass(?:es)?|contrabass",
    "synth bass": r"synth(?:esi[sz]er)? bass",
    "acid bass": r"acid (?:bass ?)?lines?|acid bass|303(?: bass)?(?: line)?",
    _BASSES: r"bass(?! (?:drum|drop|clarinet|voice|flute|trombone))(?:-?\s?lines?)?",
    "violin": r"violins?|fiddles?",
    "viola": r"violas?",
    "cello": r"(?:violon)?cellos?",
    "strings": r"string (?:section|ensemble|orchestra)|orchestral strings|strings",
    "strings/violin/viola/cello": r"string (?:quartet|trio)",
    "pizzicato strings": r"pizzicato(?: strings)?|plucked strings",
    "harp": r"harps?",
    "choir": r"choirs?|choral voices|choir aahs",
    "trumpet": r"trumpets?",
    "muted trumpet": r"muted trumpets?",
    "trombone": r"trombones?",
    "tuba": r"tubas?",
    "french horn": r"french horns?",
    "brass/trumpet/trombone/saxophone": r"horn section|horns",
    "brass/trumpet/trombone/french horn/tuba": r"brass(?: (?:section|band|ensemble))?",
    "saxophone": r"(?:(?:tenor|alto|soprano|baritone) )?sax(?:ophones?)?",
    "oboe": r"oboes?",
    "clarinet": r"clarinets?",
    "bassoon": r"bassoons?",
    "flute": r"flutes?",
    "piccolo": r"piccolo(?: flute)?s?",
    "tin whistle": r"(?:tin|penny|irish) whistles?",
    "pan flute": r"pan (?:flute|pipe)s?|panpipes?",
    "banjo": r"banjos?",
    "bagpipes": r"bagpipes?",
    "sitar": r"sitars?",
    "kalimba": r"kalimbas?|mbira|thumb piano",
    "steel drums": r"steel (?:drums?|pans?)|steelpans?",
    "glockenspiel": r"glockenspiels?",
    "timpani": r"timpani|kettledrums?",
    "rock drums/drums": r"(?:rock|powerful|hard-hitting) drums",
    "brushed drums": r"brushed drums|drums with brushes|brushes",
    "drum machine": r"drum machines?|(?:electronic|programmed|808) drums|808s?",
    "marching drums": r"(?:marching|military) drums|snare drums",
    _DRUMS: r"drums|drum ?(?:kit|set|beat)s?",
    "percussion": r"(?:hand )?percussions?|congas?|bongos?|hand drums",
    "synth lead": r"synth leads?|lead synths?",
    "synth pad": r"synth(?:esi[sz]er)? pads?|(?:warm )?pads",
    "synth pluck": r"synth plucks?|synth arpeggios?|plucked synths?",
    _SYNTHS: r"synth(?:esi[sz]er)?s?",
}
"""What the ear calls it, or which of them will do: the words for it. Of two that fit at one place the longer counts."""
_BEFORE_DENIED = re.compile(rf"{_NOT}\s+(?:[\w-]+\s+)?$|{_NOT}\s+[\w-]+\s+(?:or|and)\s+$|\bnon-$", re.IGNORECASE)
_AFTER_DENIED = re.compile(
    r"-(?:free|like)\b|\s+(?:(?:is|are|was|were)\s+)?(?:missing|absent|removed|muted)\b", re.IGNORECASE
)
_COMPILED = [(name, re.compile(rf"\b(?:{words})(?!\w)", re.IGNORECASE)) for name, words in _INSTRUMENTS.items()]


def _instruments(text: str) -> tuple[tuple[str, ...], str]:
    """In the order of the text, each once; and the text without the words for them."""
    found = [(match.start(), -match.end(), name) for name, words in _COMPILED for match in words.finditer(text)]
    chosen: dict[str, None] = {}
    denied: set[str] = set()
    rest, end = list(text), 0
    for start, negative_end, name in sorted(found):
        if start < end:
            continue
        end = -negative_end
        if _BEFORE_DENIED.search(text[:start]) or _AFTER_DENIED.match(text, end):
            denied.add(name)
        else:
            chosen[name] = None
        rest[start:end] = " " * (end - start)
    wanted = [name for name in chosen if name not in denied]
    # "guitar" says no more than the "acoustic guitar" that stands there too; "brass" beside a "tuba" does.
    exact = {part for name in wanted if name not in _FAMILIES for part in name.split("/")}
    kept = [name for name in wanted if name not in _FAMILIES or not exact & set(name.split("/"))]
    return tuple(kept), "".join(rest)


# --------------------------------------------------------------------------------------------------------------- genre

_A_KIND = r"(?:music|songs?|tracks?|tunes?|beats?|pieces?|grooves?|instrumentals?|anthems?|riffs?|jams?)"
_GENRES = {
    "piano ballad": r"piano ballads?",
    "classical": rf"classical(?: {_A_KIND})?|chamber (?:music|piece)|(?:like|by) mozart",
    "baroque": r"baroque|(?:like|by) (?:bach|vivaldi)",
    "orchestral": r"orchestral|symphonic|film (?:score|music)|(?:movie )?soundtrack|cinematic (?:music|score)",
    "waltz": r"waltz(?:es)?",
    "jazz": r"jazz|bebop|swing tune",
    "bossa nova": r"bossa(?: nova)?",
    "latin": r"salsa|latin (?:music|tune|dance|groove)|cuban music|mambo",
    "blues": r"blues",
    "rock": rf"(?:hard |guitar |indie |punk )?rock(?: {_A_KIND})?",
    "metal": r"(?:heavy |thrash |death )?metal",
    "funk": r"funk",
    "disco": r"disco",
    "lo-fi hip hop": r"lo-?\s?fi(?: (?:hip[ -]hop|beats?|study beats?))?|chill-?hop",
    "hip hop": r"hip[ -]hop|boom bap|trap beat|rap beat",
    "house": r"(?:deep|tech|progressive|acid) house|house (?:music|track|beat|groove)",
    "techno": r"techno",
    "trance": r"trance(?!-like)",
    "synthwave": r"synthwave|retrowave|outrun",
    "ambient": r"ambient|soundscapes?",
    "country": r"country (?:song|music|tune|ballad)|bluegrass|hoedown",
    "folk": r"folk",
    "reggae": r"reggae|ska",
    "celtic": r"celtic|irish (?:jig|reel|folk)|scottish folk|traditional irish",
    "march": r"(?:military |brass band |parade )march|marching band|a march",
    "children's music": r"children's (?:music|song)|nursery (?:tune|rhyme)",
}  # fmt: skip
_KINDS = [(name, re.compile(rf"\b(?:{words})(?!\w)", re.IGNORECASE)) for name, words in _GENRES.items()]


def _genre(text: str) -> str | None:
    """The one genre that is named; of two none. "lo-fi hip hop" is no hip hop, "acid techno" no house."""
    found = sorted((m.start(), -m.end(), name) for name, words in _KINDS for m in words.finditer(text))
    named, end = set(), 0
    for start, negative_end, name in found:
        if start >= end:
            end = -negative_end
            if not re.search(rf"{_NOT}\s+$", text[:start], re.IGNORECASE):
                named.add(name)
    return named.pop() if len(named) == 1 else None
