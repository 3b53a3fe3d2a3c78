"""Grooves of a drummer's kit (notation in `patterns`): name to meter to grooves from the calmest to the fullest.

Calm grooves keep the time on a rim or a closed hi-hat; full ones move to the ride, to open hats, to both feet.
"""

from cadenza.corpus.drumkit import (
    BRUSH,
    CHINA,
    CRASH,
    FLOOR_TOM,
    HAT,
    KICK,
    OPEN,
    PEDAL,
    RIDE,
    RIDE_BELL,
    RIM,
    SNARE,
    TRIANGLE,
)

Groove = dict[int, str]

_BACK = "....A.......A..."
_EIGHTHS = "A.x.A.x.A.x.A.x."
_OFF = "..x...x...x...x."

KIT_PATTERNS: dict[str, dict[str, tuple[Groove, ...]]] = {
    "rock": {
        "4/4": (
            {KICK: "A.......A.......", RIM: "....x.......x...", HAT: _EIGHTHS},
            {KICK: "A.......A.x.....", SNARE: _BACK, HAT: _EIGHTHS},
            {KICK: "A.....x.A.......", SNARE: _BACK, HAT: "A.x.A.x.A.x.A...", OPEN: "..............x."},
            {KICK: "A..x..x...x.....|A..x..x...x...x.", SNARE: "....A..o.o..A..o", HAT: _EIGHTHS},
            {KICK: "A.....x.A.x.....|A..x..x.A.x.....", SNARE: "....A.......A..o", RIDE: "A.x.A.x.A.x.A.x."},
            {KICK: "A.x...x.A.x...x.", SNARE: _BACK, OPEN: "A...A...A...A..."},
        ),
        "3/4": (
            {KICK: "A...........", RIM: "....x...x...", HAT: "x.x.x.x.x.x."},
            {KICK: "A.....x.....", SNARE: "....A...A...", RIDE: "A.x.A.x.A.x."},
        ),
        "6/8": (
            {KICK: "A...........", SNARE: "......x.....", HAT: "x.x.x.x.x.x."},
            {KICK: "A...x.....x.", SNARE: "......A....o", RIDE: "A.x.x.A.x.x."},
        ),
        "5/4": (
            {KICK: "A...........x.......", SNARE: "........A.......A...", HAT: "x.x.x.x.x.x.x.x.x.x."},
            {KICK: "A.....x.....A.x.....", SNARE: "....o...A.......A..o", RIDE: "A.x.A.x.A.x.A.x.A.x."},
        ),
    },
    "ballad": {
        "4/4": (
            {HAT: "x...x...x...x...", KICK: "x..............."},
            {KICK: "A.........x.....", RIM: "....x.......x...", HAT: "x.x.x.x.x.x.x.x."},
            {KICK: "A.......x.x.....", SNARE: "....x.......x...", HAT: "x.x.x.x.x.x.x.x."},
            {KICK: "A.....x.A.......", SNARE: "....A.......A..o", RIDE: "x.x.x.x.x.x.x.x."},
        ),
        "3/4": (
            {KICK: "A...........", RIM: "....x...x...", HAT: "x...x...x..."},
            {KICK: "A.........x.", SNARE: "....x...x...", RIDE: "x.x.x.x.x.x."},
        ),
        "6/8": (
            {KICK: "A...........", RIM: "......x.....", HAT: "x.x.x.x.x.x."},
            {KICK: "A.........x.", SNARE: "......A.....", RIDE: "A.x.x.x.x.x."},
        ),
        "5/4": ({KICK: "A...........x.......", RIM: "........x.......x...", HAT: "x.x.x.x.x.x.x.x.x.x."},),
    },
    "metal": {
        "4/4": (
            {KICK: "A.......A.A.....", SNARE: "........A.......", CHINA: "A...x...A...x..."},
            {KICK: "A.A.A.A.A.A.A.A.", SNARE: _BACK, OPEN: "x...x...x...x..."},
            {
                KICK: "A.xxA.xxA.xxA.xx",
                SNARE: _BACK,
                OPEN: "x...x...x...x...",
                CRASH: "A...............|................",
            },
            {KICK: "AxAxAxAxAxAxAxAx", SNARE: _BACK, RIDE: "A...x...A...x..."},
            {KICK: "A.A.A.A.A.A.A.A.", SNARE: ".A.A.A.A.A.A.A.A", RIDE_BELL: "A...A...A...A..."},
        ),
        "5/4": (
            {KICK: "A.......A.A.........", SNARE: "............A.......", CHINA: "A...x...A...x...x..."},
            {KICK: "A.xxA.xxA.xxA.A.A.A.", SNARE: "........A.......A...", OPEN: "x...x...x...x...x..."},
        ),
        "6/8": ({KICK: "A.xxx.A.xxx.", SNARE: "......A.....", RIDE: "A.x.x.A.x.x."},),
    },
    "punk": {
        "4/4": (
            {KICK: "A...A...A...A...", FLOOR_TOM: "x.x.A.x.x.x.A.x."},
            {KICK: "A.......A.x.....", SNARE: "....A.......A...", OPEN: _EIGHTHS},
            {KICK: "A...A.x.A...A.x.", SNARE: "..A...A...A...A.", OPEN: "A...A...A...A..."},
        )
    },
    "shuffle": {
        "4/4": (
            {KICK: "A.......x.......", RIM: "....x.......x...", HAT: "x...x.x.x...x.x."},
            {KICK: "A.......x.......", SNARE: _BACK, HAT: "A.x.A.x.A.x.A.x."},
            {KICK: "A.....x.x.......", SNARE: "....A.o.....A.o.", RIDE: "A.x.A.x.A.x.A.x."},
            {KICK: "A.....x.A.....x.", SNARE: "o.o.A.o.o.o.A.o.", RIDE: "A.x.A.x.A.x.A.x."},
        ),
        "6/8": (
            {KICK: "A...........", RIM: "......x.....", HAT: "x.x.x.x.x.x."},
            {KICK: "A...x.....x.", SNARE: "......A....o", RIDE: "A.x.x.A.x.x."},
        ),
    },
    "swing": {
        "4/4": (
            {PEDAL: "....x.......x...", RIDE: "x...x...x...x...", RIM: "............o..."},
            {RIDE: "A...x.x.A...x.x.", PEDAL: "....x.......x...", KICK: "o...o...o...o..."},
            {RIDE: "A...x.x.A...x.x.", PEDAL: "....x.......x...", SNARE: "......o.........|..o.......o...o."},
            {
                RIDE: "A...x.x.x...A.x.|A.x.x...x...A.x.",
                PEDAL: "....x.......x...",
                SNARE: "..o.......x.....|......x.....o...",
                KICK: "o...o...o...o.x.",
            },
            {
                RIDE: "A.x.A.x.A...A.x.",
                PEDAL: "....x.......x...",
                SNARE: "..o...x...o...x.|......x.x.....o.",
                KICK: "o...o.x.o...o...",
            },
        ),
        "3/4": (
            {RIDE: "x...x...x...", PEDAL: "....x...x..."},
            {RIDE: "A...x.x.x.x.", PEDAL: "....x...x...", KICK: "o..........."},
            {
                RIDE: "A...x.x.x.x.|A.x.x...x.x.",
                PEDAL: "....x...x...",
                SNARE: "......o.....|..o.......x.",
                KICK: "x...........",
            },
        ),
        "5/4": (
            {RIDE: "x...x...x...x...x...", PEDAL: "....x...x.......x...", KICK: "x...........o......."},
            {
                RIDE: "A...x.x.x...A...x.x.",
                PEDAL: "....x...x.......x...",
                SNARE: "......o.....o.....o.",
                KICK: "x...........x.......",
            },
        ),
        "6/8": ({RIDE: "A.x.x.A.x.x.", PEDAL: "......x.....", SNARE: "........o..."},),
    },
    "brushes": {
        "4/4": (
            {BRUSH: "x.......x.......", PEDAL: "....x.......x..."},
            {BRUSH: "x.......x.......", SNARE: "x...x.x.x...x.x.", PEDAL: "....x.......x..."},
            {SNARE: "x...A.x.x...A.x.|x.x.A...x...A.x.", PEDAL: "....x.......x...", KICK: "o...o...o...o..."},
        ),
        "3/4": (
            {BRUSH: "x...........", SNARE: "x...x...x...", PEDAL: "....o...o..."},
            {SNARE: "x...A.x.A.x.", PEDAL: "....x...x...", KICK: "o..........."},
        ),
        "5/4": ({BRUSH: "x...........x.......", SNARE: "x...x.x.x...x...x.x.", PEDAL: "....x...x.......x..."},),
        "6/8": ({BRUSH: "x.....x.....", SNARE: "x.o.x.x.o.x."},),
    },
    "funk": {
        "4/4": (
            {KICK: "A.........x.....", RIM: "....x.......x...", HAT: "x.x.x.x.x.x.x.x."},
            {KICK: "A.x....x..x.....", SNARE: "....A..o.o..A..o", HAT: "AxxxAxxxAxxxAxxx"},
            {KICK: "A..x..x...x..x..", SNARE: "....A..o....A.o.", HAT: "x.x.x.x.x.x.x.x.", OPEN: "..............x."},
            {
                KICK: "A.x...x...x..x..|A.x....x..x.....",
                SNARE: "....A..o.o.oA..o|....A..o.o..A.oo",
                HAT: "AxxxAxxxAx.xAxxx",
                OPEN: "..........x.....",
            },
            {KICK: "A.x..x....xx.x..", SNARE: "....A..oxo.oA..o", RIDE_BELL: "A.x.A.x.A.x.A.x.", PEDAL: _OFF},
        )
    },
    "country": {
        "4/4": (
            {KICK: "A.......A.......", RIM: "....x.......x...", HAT: "x.x.x.x.x.x.x.x."},
            {KICK: "A.......A.......", SNARE: "....x.......x...", HAT: "x.x.x.x.x.x.x.x."},
            {KICK: "A...x...A...x...", SNARE: "..x...x...x...x."},
            {KICK: "A...x...A...x...", SNARE: "o.Aoo.Aoo.Aoo.Ao"},
        ),
        "3/4": (
            {KICK: "A...........", RIM: "....x...x..."},
            {KICK: "A...........", SNARE: "....x...x...", HAT: "x.x.x.x.x.x."},
        ),
        "6/8": ({KICK: "A.....x.....", SNARE: "....x.....x."},),
        "5/4": ({KICK: "A...........A.......", SNARE: "....x...x.......x..."},),
    },
    "reggae": {
        "4/4": (
            {KICK: "........A.......", RIM: "........A.......", HAT: "x.x.A.x.x.x.A.x."},
            {KICK: "....A.......A...", RIM: "....A.......A...", HAT: "x.x.x.x.x.x.x.xx"},
            {KICK: "........A.......", RIM: "...x..x.A..x....", HAT: "A.xxA.xxA.xxA.x.", OPEN: "..............x."},
            {KICK: "....A.......A...", RIM: "....A..x....A.xo", HAT: "x.xxx.xxx.xxx.xx"},
        )
    },
    "march": {
        "4/4": (
            {KICK: "A.......A.......", SNARE: "x...x...x...x.x."},
            {KICK: "A.......A.......", SNARE: "x.xxx.xxx.xxA.A.", CRASH: "x...............|................"},
            {KICK: "A...x...A...x...", SNARE: "A.xxA.xxA.xxAxxx"},
            {KICK: "A...A...A...A...", SNARE: "AoxoAoooAoxoAxxx", CRASH: "x.......x......."},
        ),
        "6/8": (
            {KICK: "A.....x.....", SNARE: "A...x.A...x."},
            {KICK: "A.....x.....", SNARE: "A..xx.A.xxx."},
            {KICK: "A.....A.....", SNARE: "A.xxx.A.xxxx", CRASH: "x..........."},
        ),
        "3/4": ({KICK: "A...........", SNARE: "x...x.xxx.x."},),
        "5/4": ({KICK: "A...........A.......", SNARE: "A.xxA.x.A.x.A.xxA.x."},),
    },
    "waltz": {
        "3/4": (
            {KICK: "A...........", SNARE: "....o...o..."},
            {RIDE: "A...x...x...", KICK: "x...........", PEDAL: "....x...x..."},
            {KICK: "A...........", SNARE: "....x...x.o.", TRIANGLE: "x..........."},
        )
    },
}
