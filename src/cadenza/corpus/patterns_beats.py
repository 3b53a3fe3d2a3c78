"""Grooves of dance floors and drum machines (notation in `patterns`), from the calmest to the fullest.

The calmest groove of a dance genre is its breakdown, which has no kick.
"""

from cadenza.corpus.drumkit import (
    CLAP,
    CONGA,
    COWBELL,
    HAT,
    HIGH_TOM,
    KICK,
    LOW_TOM,
    OPEN,
    RIDE,
    RIM,
    SHAKER,
    SNARE,
    TAMBOURINE,
)

Groove = dict[int, str]

_FOUR = "A...A...A...A..."
_BACK = "....A.......A..."
_OFF = "..x...x...x...x."

BEAT_PATTERNS: dict[str, dict[str, tuple[Groove, ...]]] = {
    "disco": {
        "4/4": (
            {HAT: "x.x.x.x.x.x.x.x.", CLAP: "....x.......x..."},
            {KICK: _FOUR, SNARE: _BACK, HAT: "x.o.x.o.x.o.x.o.", OPEN: _OFF},
            {KICK: _FOUR, CLAP: _BACK, OPEN: _OFF, TAMBOURINE: "xoxxxoxxxoxxxoxx"},
            {KICK: _FOUR, SNARE: "....A.......A..o", HAT: "xx..xx..xx..xx..", OPEN: _OFF, COWBELL: "x.x.x.x.x.x.x.x."},
        )
    },
    "house": {
        "4/4": (
            {OPEN: _OFF, SHAKER: "xoxoxoxoxoxoxoxo"},
            {KICK: _FOUR, OPEN: _OFF, CLAP: "............x..."},
            {KICK: _FOUR, CLAP: _BACK, OPEN: _OFF},
            {KICK: _FOUR, CLAP: _BACK, HAT: "xo.xxo.xxo.xxo.x", OPEN: _OFF, RIM: "...x..x....x..x."},
            {KICK: _FOUR, CLAP: _BACK, OPEN: _OFF, SHAKER: "AoxoAoxoAoxoAoxo", CONGA: "..x...xx..x.x..x"},
        )
    },
    "techno": {
        "4/4": (
            {HAT: "..x...x...x...x.", RIM: "...x..x....x..x."},
            {KICK: _FOUR, HAT: "..x...x...x...x."},
            {KICK: _FOUR, HAT: "..x...x...x...x.", RIM: "...x..x....x..x."},
            {KICK: _FOUR, HAT: "oxAxoxAxoxAxoxAx", CLAP: "....x.......x..."},
            {
                KICK: "A...A...A...A...|A...A...A...A..x",
                HAT: "oxoxoxoxoxoxoxox",
                OPEN: _OFF,
                CLAP: _BACK,
                LOW_TOM: "...x.....x....x.",
            },
        )
    },
    "trance": {
        "4/4": (
            {OPEN: _OFF, HAT: "x.......x......."},
            {KICK: _FOUR, OPEN: _OFF},
            {KICK: _FOUR, CLAP: _BACK, OPEN: _OFF, HAT: "xx.xxx.xxx.xxx.x"},
            {KICK: _FOUR, CLAP: _BACK, SNARE: "....x.......x..x", OPEN: _OFF, RIDE: "x.x.x.x.x.x.x.x."},
        )
    },
    "trap": {
        "4/4": (
            {CLAP: "........A.......", HAT: "x...x...x...x..."},
            {KICK: "A.....x...x.....", CLAP: "........A.......", HAT: "x.x.x.xxx.x.xxxx"},
            {
                KICK: "A......x..A.....|A......x..A..x..",
                CLAP: "........A.......",
                HAT: "x.x.x.x.x.x.xxxxx.x.x.xoxox.x.x.|x.x.x.xxxxx.x.x.x.x.x.x.xoxoxoxo",
            },
            {
                KICK: "A..x..x...A..x..",
                CLAP: "........A.......",
                SNARE: "........x....o.o",
                HAT: "x.x.xoxox.x.x.x.x.x.xxx.x.x.xxxx",
                OPEN: "..............x.",
            },
        )
    },
    "hip hop": {
        "4/4": (
            {KICK: "A.........x.....", RIM: "....x.......x...", HAT: "x.x.x.x.x.x.x.x."},
            {KICK: "A.....x..x......", SNARE: _BACK, HAT: "x.x.x.x.x.x.x.x."},
            {KICK: "A.x......xx.....|A.x......xx..x..", SNARE: "....A.......A..o", HAT: "x.x.x.xxx.x.x.x."},
            {KICK: "A..x..x..xx.....", SNARE: "....A..o.o..A..o", HAT: "x.xxx.x.x.xxx.x.", OPEN: "..............x."},
        )
    },
    "lofi": {
        "4/4": (
            {RIM: "....x.......x...", HAT: "x.o.x.o.x.o.x.o."},
            {KICK: "A.........x.....", RIM: "....x.......x...", HAT: "x.x.x.x.x.x.x.x."},
            {KICK: "A......x..x.....", SNARE: "....x.......x...", HAT: "x.o.x.o.x.o.x.oo"},
            {
                KICK: "A.x.......x..x..|A......x..x.....",
                SNARE: "....x.......x..o",
                HAT: "x.xox.x.x.xox.x.",
                OPEN: "..............o.",
            },
        )
    },
    "synthwave": {
        "4/4": (
            {HAT: "x.x.x.x.x.x.x.x.", KICK: "A.......A......."},
            {KICK: "A.......A.x.....", SNARE: _BACK, HAT: "x.x.x.x.x.x.x.x."},
            {KICK: _FOUR, SNARE: _BACK, HAT: "x.x.x.x.x.x.x.x."},
            {
                KICK: "A.....x.A.x.....",
                SNARE: _BACK,
                HAT: "xxxxxxxxxxxxxxxx",
                HIGH_TOM: "................|..............x.",
                LOW_TOM: "................|...............x",
            },
            {KICK: _FOUR, SNARE: _BACK, HAT: "xxxxxxxxxxxxxxxx", OPEN: _OFF},
        )
    },
}
