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

_FOUR = "X...X...X...X..."
_OFF = "..x...x...x...x."

HAND_PATTERNS: dict[str, dict[str, tuple[Groove, ...]]] = {
    "bossa": {
        "4/4": (
            {RIM: "x.....x.....x...|....x.....x.....", HAT: "x.x.x.x.x.x.x.x."},
            {KICK: "X.....x.X.....x.", RIM: "x.....x.....x...|....x.....x.....", HAT: "x.x.x.x.x.x.x.x."},
            {
                KICK: "X.....x.X.....x.",
                RIM: "x.....x.....x...|....x.....x.....",
                HAT: "x.x.x.x.x.x.x.x.",
                SHAKER: "X.o.x.o.X.o.x.o.",
            },
            {
                KICK: "X.....x.X.....x.",
                RIM: "x.....x.....x...|....x.....x.....",
                RIDE: "x.x.x.x.x.x.x.x.",
                PEDAL: "....x.......x...",
                SHAKER: "XoxoXoxoXoxoXoxo",
            },
        )
    },
    "samba": {
        "4/4": (
            {KICK: "x...X...x...X...", SHAKER: "XoxoXoxoXoxoXoxo"},
            {KICK: "x..xX..xx..xX..x", SNARE: "xooxooxoxooxooxo", SHAKER: "XoxoXoxoXoxoXoxo"},
            {
                KICK: "x..xX..xx..xX..x",
                SNARE: "x.xox.oxxooxoxox",
                SHAKER: "XoxoXoxoXoxoXoxo",
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
                SHAKER: "XoxoXoxoXoxoXoxo",
            },
            {
                CONGA_SLAP: "..x.......x.....",
                CONGA: "......xx......xx",
                CLAVES: "x..x..x...x.x...",
                COWBELL: "X...x.x.X.x.x.x.",
                BONGO: "x.o.x.o.x.o.x...",
                BONGO_LOW: "..............x.",
            },
            {
                CONGA_SLAP: "..x.......x.....",
                CONGA: "......xx......xx",
                CLAVES: "x..x..x...x.x...",
                TIMBALE: "x.x.xx.xx.x.xx.x",
                TIMBALE_LOW: "....x.......x...",
                COWBELL: "X...X...X...X...",
                SHAKER: "XoxoXoxoXoxoXoxo",
            },
        )
    },
    "calypso": {
        "4/4": (
            {SHAKER: "XoxoXoxoXoxoXoxo", COWBELL: "x...x...x...x..."},
            {KICK: _FOUR, SNARE: "...x..x....x..x.", SHAKER: "XoxoXoxoXoxoXoxo", CONGA: "..x...xx..x...xx"},
            {
                KICK: _FOUR,
                SNARE: "...X..X....X..Xo",
                COWBELL: "x.xxx.xxx.xxx.xx",
                OPEN: _OFF,
                TIMBALE: "............x.xx",
            },
        )
    },
    "bodhran": {
        "6/8": (
            {CONGA_LOW: "X.....x....."},
            {CONGA_LOW: "X.o.o.x.o.o."},
            {CONGA_LOW: "X.o.x.X.o.o.|X.o.x.X.oooo", TAMBOURINE: "......x....."},
            {CONGA_LOW: "XooxooXooxoo", TAMBOURINE: "x.....x.....", SHAKER: "x.o.o.x.o.o."},
        ),
        "4/4": (
            {CONGA_LOW: "X.......X......."},
            {CONGA_LOW: "X.o.X.o.X.o.X.o."},
            {CONGA_LOW: "X.ooX.ooX.ooX.oo", TAMBOURINE: "....x.......x..."},
            {CONGA_LOW: "XoxoXooxXoxoXoxx", TAMBOURINE: "....x.......x...", SHAKER: "XoxoXoxoXoxoXoxo"},
        ),
        "3/4": ({CONGA_LOW: "X...o...o..."}, {CONGA_LOW: "X...o.o.x.o.", TAMBOURINE: "....x...x..."}),
        "5/4": (
            {CONGA_LOW: "X.......o...X...o..."},
            {CONGA_LOW: "X.o.x.o.x.o.X.o.x.oo", TAMBOURINE: "........x.......x..."},
        ),
    },
    "pipes": {
        "6/8": ({SNARE: "X...o.x...o.", KICK: "X..........."}, {SNARE: "X.oox.X.ooxx", KICK: "X.....x....."}),
        "4/4": (
            {SNARE: "X...x.x.X...x...", KICK: "X.......x......."},
            {SNARE: "X..xx.oxX..xxoxo", KICK: "X...x...X...x..."},
        ),
    },
    "hands": {
        "4/4": (
            {SHAKER: "x.o.x.o.x.o.x.o."},
            {SHAKER: "X.x.X.x.X.x.X.x.", TAMBOURINE: "....x.......x..."},
            {
                CONGA_LOW: "X.....x.X.......",
                SHAKER: "XoxoXoxoXoxoXoxo",
                TAMBOURINE: "....x.......x...",
            },
        ),
        "3/4": ({SHAKER: "x.o.x.o.x.o."}, {CONGA_LOW: "X...........", SHAKER: "X.x.x.x.x.x."}),
        "6/8": ({SHAKER: "x.o.o.x.o.o."}, {CONGA_LOW: "X.........x.", SHAKER: "X.o.o.X.o.o."}),
        "5/4": (
            {SHAKER: "x.o.x.o.x.o.x.o.x.o."},
            {CONGA_LOW: "X...........X.......", SHAKER: "X.o.x.o.x.o.X.o.x.o."},
        ),
    },
    "cinematic": {
        "4/4": (
            {FLOOR_TOM: "X..............."},
            {FLOOR_TOM: "X.....x.X.......", LOW_TOM: "............x..."},
            {FLOOR_TOM: "X..x..x.X..x..x.", LOW_TOM: "....x.......x.x.", KICK: "X.......X......."},
            {
                FLOOR_TOM: "XxxXxxXxXxxXxxXx",
                MID_TOM: "....x.......x.x.",
                KICK: "X...X...X...X...",
                CRASH: "X...............|................",
            },
        ),
        "3/4": (
            {FLOOR_TOM: "X..........."},
            {FLOOR_TOM: "X.x.x.X.x.x.", LOW_TOM: "....x...x...", KICK: "X..........."},
        ),
        "6/8": (
            {FLOOR_TOM: "X..........."},
            {FLOOR_TOM: "X.x.x.X.x.x.", LOW_TOM: "..........xx", KICK: "X.....X....."},
        ),
        "5/4": (
            {FLOOR_TOM: "X...........x......."},
            {FLOOR_TOM: "X..x..x.....X...X...", LOW_TOM: "........x.x.....x.x.", KICK: "X...........X......."},
        ),
    },
}
