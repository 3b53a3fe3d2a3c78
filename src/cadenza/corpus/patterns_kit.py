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

_BACK = "....X.......X..."
_EIGHTHS = "X.x.X.x.X.x.X.x."
_OFF = "..x...x...x...x."

KIT_PATTERNS: dict[str, dict[str, tuple[Groove, ...]]] = {
    "rock": {
        "4/4": (
            {KICK: "X.......X.......", RIM: "....x.......x...", HAT: _EIGHTHS},
            {KICK: "X.......X.x.....", SNARE: _BACK, HAT: _EIGHTHS},
            {KICK: "X.....x.X.......", SNARE: _BACK, HAT: "X.x.X.x.X.x.X...", OPEN: "..............x."},
            {KICK: "X..x..x...x.....|X..x..x...x...x.", SNARE: "....X..o.o..X..o", HAT: _EIGHTHS},
            {KICK: "X.....x.X.x.....|X..x..x.X.x.....", SNARE: "....X.......X..o", RIDE: "X.x.X.x.X.x.X.x."},
            {KICK: "X.x...x.X.x...x.", SNARE: _BACK, OPEN: "X...X...X...X..."},
        ),
        "3/4": (
            {KICK: "X...........", RIM: "....x...x...", HAT: "x.x.x.x.x.x."},
            {KICK: "X.....x.....", SNARE: "....X...X...", RIDE: "X.x.X.x.X.x."},
        ),
        "6/8": (
            {KICK: "X...........", SNARE: "......x.....", HAT: "x.x.x.x.x.x."},
            {KICK: "X...x.....x.", SNARE: "......X....o", RIDE: "X.x.x.X.x.x."},
        ),
        "5/4": (
            {KICK: "X...........x.......", SNARE: "........X.......X...", HAT: "x.x.x.x.x.x.x.x.x.x."},
            {KICK: "X.....x.....X.x.....", SNARE: "....o...X.......X..o", RIDE: "X.x.X.x.X.x.X.x.X.x."},
        ),
    },
    "ballad": {
        "4/4": (
            {HAT: "x...x...x...x...", KICK: "x..............."},
            {KICK: "X.........x.....", RIM: "....x.......x...", HAT: "x.x.x.x.x.x.x.x."},
            {KICK: "X.......x.x.....", SNARE: "....x.......x...", HAT: "x.x.x.x.x.x.x.x."},
            {KICK: "X.....x.X.......", SNARE: "....X.......X..o", RIDE: "x.x.x.x.x.x.x.x."},
        ),
        "3/4": (
            {KICK: "X...........", RIM: "....x...x...", HAT: "x...x...x..."},
            {KICK: "X.........x.", SNARE: "....x...x...", RIDE: "x.x.x.x.x.x."},
        ),
        "6/8": (
            {KICK: "X...........", RIM: "......x.....", HAT: "x.x.x.x.x.x."},
            {KICK: "X.........x.", SNARE: "......X.....", RIDE: "X.x.x.x.x.x."},
        ),
        "5/4": ({KICK: "X...........x.......", RIM: "........x.......x...", HAT: "x.x.x.x.x.x.x.x.x.x."},),
    },
    "metal": {
        "4/4": (
            {KICK: "X.......X.X.....", SNARE: "........X.......", CHINA: "X...x...X...x..."},
            {KICK: "X.X.X.X.X.X.X.X.", SNARE: _BACK, OPEN: "x...x...x...x..."},
            {
                KICK: "X.xxX.xxX.xxX.xx",
                SNARE: _BACK,
                OPEN: "x...x...x...x...",
                CRASH: "X...............|................",
            },
            {KICK: "XxXxXxXxXxXxXxXx", SNARE: _BACK, RIDE: "X...x...X...x..."},
            {KICK: "X.X.X.X.X.X.X.X.", SNARE: ".X.X.X.X.X.X.X.X", RIDE_BELL: "X...X...X...X..."},
        ),
        "5/4": (
            {KICK: "X.......X.X.........", SNARE: "............X.......", CHINA: "X...x...X...x...x..."},
            {KICK: "X.xxX.xxX.xxX.X.X.X.", SNARE: "........X.......X...", OPEN: "x...x...x...x...x..."},
        ),
        "6/8": ({KICK: "X.xxx.X.xxx.", SNARE: "......X.....", RIDE: "X.x.x.X.x.x."},),
    },
    "punk": {
        "4/4": (
            {KICK: "X...X...X...X...", FLOOR_TOM: "x.x.X.x.x.x.X.x."},
            {KICK: "X.......X.x.....", SNARE: "....X.......X...", OPEN: _EIGHTHS},
            {KICK: "X...X.x.X...X.x.", SNARE: "..X...X...X...X.", OPEN: "X...X...X...X..."},
        )
    },
    "shuffle": {
        "4/4": (
            {KICK: "X.......x.......", RIM: "....x.......x...", HAT: "x...x.x.x...x.x."},
            {KICK: "X.......x.......", SNARE: _BACK, HAT: "X.x.X.x.X.x.X.x."},
            {KICK: "X.....x.x.......", SNARE: "....X.o.....X.o.", RIDE: "X.x.X.x.X.x.X.x."},
            {KICK: "X.....x.X.....x.", SNARE: "o.o.X.o.o.o.X.o.", RIDE: "X.x.X.x.X.x.X.x."},
        ),
        "6/8": (
            {KICK: "X...........", RIM: "......x.....", HAT: "x.x.x.x.x.x."},
            {KICK: "X...x.....x.", SNARE: "......X....o", RIDE: "X.x.x.X.x.x."},
        ),
    },
    "swing": {
        "4/4": (
            {PEDAL: "....x.......x...", RIDE: "x...x...x...x...", RIM: "............o..."},
            {RIDE: "X...x.x.X...x.x.", PEDAL: "....x.......x...", KICK: "o...o...o...o..."},
            {RIDE: "X...x.x.X...x.x.", PEDAL: "....x.......x...", SNARE: "......o.........|..o.......o...o."},
            {
                RIDE: "X...x.x.x...X.x.|X.x.x...x...X.x.",
                PEDAL: "....x.......x...",
                SNARE: "..o.......x.....|......x.....o...",
                KICK: "o...o...o...o.x.",
            },
            {
                RIDE: "X.x.X.x.X...X.x.",
                PEDAL: "....x.......x...",
                SNARE: "..o...x...o...x.|......x.x.....o.",
                KICK: "o...o.x.o...o...",
            },
        ),
        "3/4": (
            {RIDE: "x...x...x...", PEDAL: "....x...x..."},
            {RIDE: "X...x.x.x.x.", PEDAL: "....x...x...", KICK: "o..........."},
            {
                RIDE: "X...x.x.x.x.|X.x.x...x.x.",
                PEDAL: "....x...x...",
                SNARE: "......o.....|..o.......x.",
                KICK: "x...........",
            },
        ),
        "5/4": (
            {RIDE: "x...x...x...x...x...", PEDAL: "....x...x.......x...", KICK: "x...........o......."},
            {
                RIDE: "X...x.x.x...X...x.x.",
                PEDAL: "....x...x.......x...",
                SNARE: "......o.....o.....o.",
                KICK: "x...........x.......",
            },
        ),
        "6/8": ({RIDE: "X.x.x.X.x.x.", PEDAL: "......x.....", SNARE: "........o..."},),
    },
    "brushes": {
        "4/4": (
            {BRUSH: "x.......x.......", PEDAL: "....x.......x..."},
            {BRUSH: "x.......x.......", SNARE: "x...x.x.x...x.x.", PEDAL: "....x.......x..."},
            {SNARE: "x...X.x.x...X.x.|x.x.X...x...X.x.", PEDAL: "....x.......x...", KICK: "o...o...o...o..."},
        ),
        "3/4": (
            {BRUSH: "x...........", SNARE: "x...x...x...", PEDAL: "....o...o..."},
            {SNARE: "x...X.x.X.x.", PEDAL: "....x...x...", KICK: "o..........."},
        ),
        "5/4": ({BRUSH: "x...........x.......", SNARE: "x...x.x.x...x...x.x.", PEDAL: "....x...x.......x..."},),
        "6/8": ({BRUSH: "x.....x.....", SNARE: "x.o.x.x.o.x."},),
    },
    "funk": {
        "4/4": (
            {KICK: "X.........x.....", RIM: "....x.......x...", HAT: "x.x.x.x.x.x.x.x."},
            {KICK: "X.x....x..x.....", SNARE: "....X..o.o..X..o", HAT: "XxxxXxxxXxxxXxxx"},
            {KICK: "X..x..x...x..x..", SNARE: "....X..o....X.o.", HAT: "x.x.x.x.x.x.x.x.", OPEN: "..............x."},
            {
                KICK: "X.x...x...x..x..|X.x....x..x.....",
                SNARE: "....X..o.o.oX..o|....X..o.o..X.oo",
                HAT: "XxxxXxxxXx.xXxxx",
                OPEN: "..........x.....",
            },
            {KICK: "X.x..x....xx.x..", SNARE: "....X..oxo.oX..o", RIDE_BELL: "X.x.X.x.X.x.X.x.", PEDAL: _OFF},
        )
    },
    "country": {
        "4/4": (
            {KICK: "X.......X.......", RIM: "....x.......x...", HAT: "x.x.x.x.x.x.x.x."},
            {KICK: "X.......X.......", SNARE: "....x.......x...", HAT: "x.x.x.x.x.x.x.x."},
            {KICK: "X...x...X...x...", SNARE: "..x...x...x...x."},
            {KICK: "X...x...X...x...", SNARE: "o.Xoo.Xoo.Xoo.Xo"},
        ),
        "3/4": (
            {KICK: "X...........", RIM: "....x...x..."},
            {KICK: "X...........", SNARE: "....x...x...", HAT: "x.x.x.x.x.x."},
        ),
        "6/8": ({KICK: "X.....x.....", SNARE: "....x.....x."},),
        "5/4": ({KICK: "X...........X.......", SNARE: "....x...x.......x..."},),
    },
    "reggae": {
        "4/4": (
            {KICK: "........X.......", RIM: "........X.......", HAT: "x.x.X.x.x.x.X.x."},
            {KICK: "....X.......X...", RIM: "....X.......X...", HAT: "x.x.x.x.x.x.x.xx"},
            {KICK: "........X.......", RIM: "...x..x.X..x....", HAT: "X.xxX.xxX.xxX.x.", OPEN: "..............x."},
            {KICK: "....X.......X...", RIM: "....X..x....X.xo", HAT: "x.xxx.xxx.xxx.xx"},
        )
    },
    "march": {
        "4/4": (
            {KICK: "X.......X.......", SNARE: "x...x...x...x.x."},
            {KICK: "X.......X.......", SNARE: "x.xxx.xxx.xxX.X.", CRASH: "x...............|................"},
            {KICK: "X...x...X...x...", SNARE: "X.xxX.xxX.xxXxxx"},
            {KICK: "X...X...X...X...", SNARE: "XoxoXoooXoxoXxxx", CRASH: "x.......x......."},
        ),
        "6/8": (
            {KICK: "X.....x.....", SNARE: "X...x.X...x."},
            {KICK: "X.....x.....", SNARE: "X..xx.X.xxx."},
            {KICK: "X.....X.....", SNARE: "X.xxx.X.xxxx", CRASH: "x..........."},
        ),
        "3/4": ({KICK: "X...........", SNARE: "x...x.xxx.x."},),
        "5/4": ({KICK: "X...........X.......", SNARE: "X.xxX.x.X.x.X.xxX.x."},),
    },
    "waltz": {
        "3/4": (
            {KICK: "X...........", SNARE: "....o...o..."},
            {RIDE: "X...x...x...", KICK: "x...........", PEDAL: "....x...x..."},
            {KICK: "X...........", SNARE: "....x...x.o.", TRIANGLE: "x..........."},
        )
    },
}
