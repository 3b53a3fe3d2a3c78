"""Grooves of percussionists (notation in `patterns`), from the calmest to the fullest."""

from cadenza.corpus.drumkit import (
    AGOGO,
    AGOGO_LOW,
    BONGO,
    BONGO_LOW,
    CLAVES,
    CONGA,
    CONGA_LOW,
    CONGA_SLAP,
    COWBELL,
    CRASH,
    FLOOR_TOM,
    HAT,
    KICK,
    LOW_TOM,
    MID_TOM,
    OPEN,
    PEDAL,
    RIDE,
    RIM,
    SHAKER,
    SNARE,
    TAMBOURINE,
    TIMBALE,
    TIMBALE_LOW,
)

Groove = dict[int, str]

_FOUR = "A...A...A...A..."
_OFF = "..x...x...x...x."

HAND_PATTERNS: dict[str, dict[str, tuple[Groove, ...]]] = {
    "bossa": {
        "4/4": (
            {RIM: "x.....x.....x...|....x.....x.....", HAT: "x.x.x.x.x.x.x.x."},
            {KICK: "A.....x.A.....x.", RIM: "x.....x.....x...|....x.....x.....", HAT: "x.x.x.x.x.x.x.x."},
            {
                KICK: "A.....x.A.....x.",
                RIM: "x.....x.....x...|....x.....x.....",
                HAT: "x.x.x.x.x.x.x.x.",
                SHAKER: "A.o.x.o.A.o.x.o.",
            },
            {
                KICK: "A.....x.A.....x.",
                RIM: "x.....x.....x...|....x.....x.....",
                RIDE: "x.x.x.x.x.x.x.x.",
                PEDAL: "....x.......x...",
                SHAKER: "AoxoAoxoAoxoAoxo",
            },
        )
    },
    "samba": {
        "4/4": (
            {KICK: "x...A...x...A...", SHAKER: "AoxoAoxoAoxoAoxo"},
            {KICK: "x..xA..xx..xA..x", SNARE: "xooxooxoxooxooxo", SHAKER: "AoxoAoxoAoxoAoxo"},
            {
                KICK: "x..xA..xx..xA..x",
                SNARE: "x.xox.oxxooxoxox",
                SHAKER: "AoxoAoxoAoxoAoxo",
                AGOGO: "x.x....x.x.x....",
                AGOGO_LOW: "....x.x.......xx",
                TAMBOURINE: "x..xx..xx..xx..x",
            },
        )
    },
    "latin": {
        "4/4": (
            {CONGA: "..o...xx..o...xx", CLAVES: "x..x..x...x.x..."},
            {
                CONGA_SLAP: "..x.......x.....",
                CONGA: "......xx......xx",
                CONGA_LOW: "....o.......o...",
                SHAKER: "AoxoAoxoAoxoAoxo",
            },
            {
                CONGA_SLAP: "..x.......x.....",
                CONGA: "......xx......xx",
                CLAVES: "x..x..x...x.x...",
                COWBELL: "A...x.x.A.x.x.x.",
                BONGO: "x.o.x.o.x.o.x...",
                BONGO_LOW: "..............x.",
            },
            {
                CONGA_SLAP: "..x.......x.....",
                CONGA: "......xx......xx",
                CLAVES: "x..x..x...x.x...",
                TIMBALE: "x.x.xx.xx.x.xx.x",
                TIMBALE_LOW: "....x.......x...",
                COWBELL: "A...A...A...A...",
                SHAKER: "AoxoAoxoAoxoAoxo",
            },
        )
    },
    "calypso": {
        "4/4": (
            {SHAKER: "AoxoAoxoAoxoAoxo", COWBELL: "x...x...x...x..."},
            {KICK: _FOUR, SNARE: "...x..x....x..x.", SHAKER: "AoxoAoxoAoxoAoxo", CONGA: "..x...xx..x...xx"},
            {
                KICK: _FOUR,
                SNARE: "...A..A....A..Ao",
                COWBELL: "x.xxx.xxx.xxx.xx",
                OPEN: _OFF,
                TIMBALE: "............x.xx",
            },
        )
    },
    "bodhran": {
        "6/8": (
            {CONGA_LOW: "A.....x....."},
            {CONGA_LOW: "A.o.o.x.o.o."},
            {CONGA_LOW: "A.o.x.A.o.o.|A.o.x.A.oooo", TAMBOURINE: "......x....."},
            {CONGA_LOW: "AooxooAooxoo", TAMBOURINE: "x.....x.....", SHAKER: "x.o.o.x.o.o."},
        ),
        "4/4": (
            {CONGA_LOW: "A.......A......."},
            {CONGA_LOW: "A.o.A.o.A.o.A.o."},
            {CONGA_LOW: "A.ooA.ooA.ooA.oo", TAMBOURINE: "....x.......x..."},
            {CONGA_LOW: "AoxoAooxAoxoAoxx", TAMBOURINE: "....x.......x...", SHAKER: "AoxoAoxoAoxoAoxo"},
        ),
        "3/4": ({CONGA_LOW: "A...o...o..."}, {CONGA_LOW: "A...o.o.x.o.", TAMBOURINE: "....x...x..."}),
        "5/4": (
            {CONGA_LOW: "A.......o...A...o..."},
            {CONGA_LOW: "A.o.x.o.x.o.A.o.x.oo", TAMBOURINE: "........x.......x..."},
        ),
    },
    "pipes": {
        "6/8": ({SNARE: "A...o.x...o.", KICK: "A..........."}, {SNARE: "A.oox.A.ooxx", KICK: "A.....x....."}),
        "4/4": (
            {SNARE: "A...x.x.A...x...", KICK: "A.......x......."},
            {SNARE: "A..xx.oxA..xxoxo", KICK: "A...x...A...x..."},
        ),
    },
    "hands": {
        "4/4": (
            {SHAKER: "x.o.x.o.x.o.x.o."},
            {SHAKER: "A.x.A.x.A.x.A.x.", TAMBOURINE: "....x.......x..."},
            {
                CONGA_LOW: "A.....x.A.......",
                SHAKER: "AoxoAoxoAoxoAoxo",
                TAMBOURINE: "....x.......x...",
            },
        ),
        "3/4": ({SHAKER: "x.o.x.o.x.o."}, {CONGA_LOW: "A...........", SHAKER: "A.x.x.x.x.x."}),
        "6/8": ({SHAKER: "x.o.o.x.o.o."}, {CONGA_LOW: "A.........x.", SHAKER: "A.o.o.A.o.o."}),
        "5/4": (
            {SHAKER: "x.o.x.o.x.o.x.o.x.o."},
            {CONGA_LOW: "A...........A.......", SHAKER: "A.o.x.o.x.o.A.o.x.o."},
        ),
    },
    "cinematic": {
        "4/4": (
            {FLOOR_TOM: "A..............."},
            {FLOOR_TOM: "A.....x.A.......", LOW_TOM: "............x..."},
            {FLOOR_TOM: "A..x..x.A..x..x.", LOW_TOM: "....x.......x.x.", KICK: "A.......A......."},
            {
                FLOOR_TOM: "AxxAxxAxAxxAxxAx",
                MID_TOM: "....x.......x.x.",
                KICK: "A...A...A...A...",
                CRASH: "A...............|................",
            },
        ),
        "3/4": (
            {FLOOR_TOM: "A..........."},
            {FLOOR_TOM: "A.x.x.A.x.x.", LOW_TOM: "....x...x...", KICK: "A..........."},
        ),
        "6/8": (
            {FLOOR_TOM: "A..........."},
            {FLOOR_TOM: "A.x.x.A.x.x.", LOW_TOM: "..........xx", KICK: "A.....A....."},
        ),
        "5/4": (
            {FLOOR_TOM: "A...........x......."},
            {FLOOR_TOM: "A..x..x.....A...A...", LOW_TOM: "........x.x.....x.x.", KICK: "A...........A......."},
        ),
    },
}
