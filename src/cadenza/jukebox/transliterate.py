"""Letters of other alphabets in ASCII, as lyrics for singing need them.

In: any text. Out: text in ASCII; what has no spelling here is left out. Accents go, ligatures are written out,
punctuation becomes its plain form, and Cyrillic and Greek are romanised letter by letter. Scripts whose reading depends
on words (Chinese, Japanese, Arabic and others) have no spelling: write such lyrics in Latin letters.
"""

import unicodedata


def _pairs(text: str) -> dict[str, str]:
    """`"ж zh х kh"` as a table; spellings keep their case, and capitals are added."""
    words = text.split()
    table = dict(zip(words[::2], words[1::2], strict=True))
    return table | {letter.upper(): spelling.capitalize() for letter, spelling in table.items() if letter.isalpha()}


_LATIN = _pairs("æ ae œ oe ø o ł l đ d ð d þ th ħ h ŋ ng ı i ĸ k ŧ t ƒ f ə e") | {
    "Æ": "AE",
    "Œ": "OE",
    "ß": "ss",
    "ẞ": "SS",
}
_CYRILLIC = _pairs(
    "а a б b в v г g д d е e ж zh з z и i к k л l м m н n о o п p р r с s т t у u ф f х kh ц ts ч ch ш sh щ shch "
    "ъ \" ы y ь ' э e ю iu я ia є ie і i ђ dj ј j љ lj њ nj ћ c џ dzh ґ g"
)
_GREEK = _pairs(
    "α a β b γ g δ d ε e ζ z η e θ th ι i κ k λ l μ m ν n ξ x ο o π p ρ r σ s ς s τ t υ u φ ph χ kh ψ ps ω o"
)
_PUNCTUATION = {
    **dict.fromkeys("‘’‚‛′`´", "'"),
    **dict.fromkeys("“”„‟″", '"'),
    **dict.fromkeys("‐‑‒–−", "-"),
    **dict.fromkeys("—―", "--"),
    "«": "<<",
    "»": ">>",
    "¡": "!",
    "¿": "?",
    "×": "x",
    "÷": "/",
    "€": "EUR",
    "£": "PS",
    "¥": "Y=",
    "©": "(c)",
    "®": "(r)",
    "™": "(tm)",
    "°": "deg",
    "\u2028": "\n",
    "\u2029": "\n\n",
    "\u2044": "/",
    "、": ", ",
    "。": ". ",
}
_TABLE = _LATIN | _CYRILLIC | _GREEK | _PUNCTUATION


def transliterate(text: str) -> str:
    """The text in ASCII."""
    return "".join(_spell(character) for character in unicodedata.normalize("NFC", text))


def _spell(character: str) -> str:
    if character.isascii():
        return character
    if character in _TABLE:
        return _TABLE[character]
    parts = unicodedata.normalize("NFKD", character)
    # "2½" reads "2 1/2".
    space = " " if unicodedata.decomposition(character).startswith("<fraction>") else ""
    return space + "".join(part if part.isascii() else _TABLE.get(part, "") for part in parts)
