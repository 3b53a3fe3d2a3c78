"""Normalised text: the words that carry meaning, in their base form.

In: a sentence. Out: its words, lower-case, without stop words and the signs between words, each in its base form
(`"Drums and guitars, playing slowly"` -> `"drum guitar play slowly"`). Copet et al. (2023), section 3.1, call it text
normalisation; audiocraft does it with spaCy where a configuration says `normalize_text`.

Differences from audiocraft: base forms come from a dictionary (lemminflect) that does not look at the sentence; numbers
stay figures instead of being written out, since a tempo is worth more than its words; `no`, `not`, `without` are no
stop words, since "no drums" is not "drums"; `a` before `minor`, `major` and the like is a note.
"""

import functools
import itertools
import re
from collections.abc import Callable

from cadenza.errors import UserError

_STOP_WORDS = """
a an the this that these those such
i me my mine myself we us our ours ourselves you your yours yourself yourselves he him his himself
she her hers herself it its itself they them their theirs themselves one's
who whom whose which what where when why how
am is are was were be been being do does did doing done have has had having
can could may might must shall should will would
i'm you're he's she's it's we're they're that's there's here's what's let's
i've you've we've they've i'd you'd he'd she'd we'd they'd i'll you'll he'll she'll it'll we'll they'll
and or but nor so yet if because as than then while whereas although though unless until
of at by for with about into onto to from in on upon among amongst between within through throughout
during per via toward towards
there here also just very really quite rather too some any each every both either neither other another
own same only even ever already
"""
STOP_WORDS = frozenset(_STOP_WORDS.split())
"""English words that say little by themselves. Directions (up, down, over) and negations are none: music has them."""

_NOTE_FOLLOWS = ("minor", "major", "flat", "sharp", "dorian", "phrygian", "lydian", "mixolydian", "aeolian", "locrian")
_READINGS = ("NOUN", "ADJ", "VERB", "ADV")
"""A word that can be several things is taken as the first of these: "strings" are "string", "driving" stays."""
_OWN_BASE = frozenset({"blues"})
"""Music's own words that the dictionary would take for the plural of something else."""
_BREAKS = re.compile(r"[\s;!?()\[\]{}\"“”„…]+|[,:](?!\d)|--+")
_EDGES = ".,:'’‘`-–—/*_"


def normalize_text(text: str) -> str:
    """The meaningful words of `text` in their base form, joined by single spaces; empty if it has none.

    Applied twice it may still change a word, as any dictionary of base forms does. Raises UserError if the package that
    holds the dictionary is missing.
    """
    words = [word for piece in _BREAKS.split(text.lower().replace("’", "'")) if (word := piece.strip(_EDGES))]
    kept = [word for word, after in itertools.pairwise([*words, ""]) if not _is_stop_word(word, after)]
    lemma = _dictionary()
    return " ".join(lemma(word.removesuffix("'s")) for word in kept)


def _is_stop_word(word: str, after: str) -> bool:
    return word in STOP_WORDS and not (word == "a" and after in _NOTE_FOLLOWS)


@functools.cache
def _dictionary() -> Callable[[str], str]:
    """From a word to its base form; a word that is not in the dictionary stays as it is."""
    try:
        from lemminflect import getAllLemmas
    except ImportError as error:
        raise UserError("normalised text needs the package lemminflect: pip install 'cadenza[text]'") from error

    @functools.lru_cache(maxsize=65536)
    def lemma(word: str) -> str:
        readings: dict[str, tuple[str, ...]] = {} if word in _OWN_BASE else getAllLemmas(word)
        found = next((readings[reading] for reading in _READINGS if reading in readings), None)
        return found[0] if found else word

    return lemma
