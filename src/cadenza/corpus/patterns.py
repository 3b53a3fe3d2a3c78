"""Rhythm as text: accompaniment, bass and drum patterns, one bar each, as rows of characters.

A row divides its bar evenly; "." rests and "-" holds what sounds. Other characters mean:

- chords: "x" / "X" the voicing (soft / accented), "u" its upper voices, "b" the low root, "0".."3" one voice
- bass: "R" root, "5" fifth, "3" third, "O" octave, "A" a step below or above the next root, "W" walk towards it
- drums: "x" stroke, "X" accent, "o" ghost note

A pattern has one row per meter name that it can be played in.
"""

CHORD_PATTERNS: dict[str, dict[str, tuple[str, ...]]] = {
    "held": {"4/4": ("x-------",), "3/4": ("x-----",), "6/8": ("x-----",), "5/4": ("x---------",)},
    "halves": {"4/4": ("x---x---",), "3/4": ("x---x-",), "6/8": ("x--x--",), "5/4": ("x-----x---",)},
    "beats": {"4/4": ("X-x-x-x-", "x-x-X-x-"), "3/4": ("X-x-x-",), "6/8": ("X--x--",), "5/4": ("X-x-x-X-x-",)},
    "eighths": {"4/4": ("XxxxXxxx",), "3/4": ("Xxxxxx",), "6/8": ("XxxXxx",)},
    "ballad": {
        "4/4": ("b-u-x-u-", "b-u-0-u-", "b-x-b-x-"),
        "3/4": ("b-u-u-",),
        "6/8": ("b-uu-u",),
        "5/4": ("b-u-u-b-u-",),
    },
    "rising": {
        "4/4": ("b0123210", "b0121012", "b1020123"),
        "3/4": ("b01232", "b01210"),
        "6/8": ("b01232", "b01210"),
        "5/4": ("b012321012",),
    },
    "rolling": {"4/4": ("b012321001232100", "b020102010201020"), "3/4": ("b01232101210",), "6/8": ("b01232101210",)},
    "alberti": {"4/4": ("02120212", "0212021202120212"), "3/4": ("021212",), "6/8": ("012021",)},
    "waltz": {"3/4": ("b-x-x-", "b-x.x."), "4/4": ("b-x-b-x-",), "6/8": ("b-xb-x",)},
    "march": {"4/4": ("b.x.b.x.",), "6/8": ("b-xb-x",), "3/4": ("b.x.x.",)},
    "fingers": {
        "4/4": ("b-1-0-2-", "b10213b2", "b-201-02", "b0120b21"),
        "3/4": ("b-1-2-", "b01212", "b-2010"),
        "6/8": ("b12321", "b-12-1"),
    },
    "strum": {
        "4/4": ("X---x-xu--xux-xu", "X-x-X-xuX-x-X-xu", "X---x---X-xux-xu"),
        "3/4": ("X-x-xux-xu--", "X---x-xux-xu"),
        "6/8": ("X--xuxX--xux",),
    },
    "skank": {"4/4": ("..x...x.", "..x...xx")},
    "comp": {"4/4": ("x..x....", "...x..x-", "..x-...x", "x--x-...", "x...x--."), "3/4": ("x..x..", "..x-..")},
    "bossa": {"4/4": ("x..x..x...x..x..", "..x..x..x..x...x", "x..x...x..x..x..")},
    "offbeat": {"4/4": ("..x...x...x...x.",)},
    "stabs": {"4/4": ("x..x..x...x.x...", "..x..x....x..x..", "x..x....x..x....")},
    "funk": {"4/4": ("x.xu..x..ux..xu.", "x..x..xu..x..x.x", "..x.xu.x..x.x.xu")},
    "power": {"4/4": ("XxxxXxxx", "XxxxxxXx", "X-x-XxXx")},
    "gallop": {"4/4": ("X-xxX-xxX-xxX-xx", "X-xxX-xxX-x-X-x-")},
    "chug": {"4/4": ("X.xxX.xx..X.X.xx", "X-xx..xxX-..xxX-")},
    "sixteenths": {"4/4": ("0123012301230123", "0213021302130213", "3210321032103210"), "3/4": ("012301230123",)},
    "chopped": {"4/4": ("x--...x-..x-....", "x---..x-...-x-..", "..x---..x--.x-..")},
    "motor": {"4/4": ("0120120101201201",), "3/4": ("012012",), "6/8": ("012012",)},
}

BASS_PATTERNS: dict[str, dict[str, tuple[str, ...]]] = {
    "roots": {"4/4": ("R-------",), "3/4": ("R-----",), "6/8": ("R-----",), "5/4": ("R---------",)},
    "two": {"4/4": ("R---5---",), "3/4": ("R---5-",), "6/8": ("R--5--",), "5/4": ("R-----5---",)},
    "ballad": {"4/4": ("R---R-5-", "R-----R-", "R--RR-5-"), "3/4": ("R---5-",), "6/8": ("R--R-5",)},
    "waltz": {"3/4": ("R-....", "R-----"), "6/8": ("R--5--",), "4/4": ("R.5.",)},
    "eighths": {"4/4": ("RRRRRRRR", "RRRRRRRA", "RRRRRR5A"), "3/4": ("RRRRRR",), "6/8": ("RRRRRR",)},
    "rock": {"4/4": ("R-RR--R-", "R--RR-R-", "R-R-RR5A")},
    "walking": {"4/4": ("RWWA",), "3/4": ("RWA",)},
    "shuffle": {"4/4": ("R335", "R355", "RR5O")},
    "bossa": {"4/4": ("R--55--R", "R--55--5")},
    "reggae": {"4/4": ("R-R...5-", "..R-R-5.", "R-..5-RO")},
    "funk": {"4/4": ("R..R..O...R.O..A", "R.RO..R..R..5.OA", "R..RO...R..O.5.A")},
    "disco": {"4/4": ("RORORORO", "R.O.R.O.R.O.R.OO")},
    "house": {"4/4": ("..R...R...R...R.", "..RR..RO..RR..RO", "R..R..R...R..R..")},
    "acid": {"4/4": ("R.RO.R5R.ROR.R3O", "RR.RO.R.RRO.R5.O", "R.O.RRO.R.5OR.RO")},
    "synthwave": {"4/4": ("RRRRRRRRRRRRRRRR", "R.RRR.RRR.RRR.RO")},
    "lofi": {"4/4": ("R-----.R5-------", "R---..R-...-R-5-", "R------.RR--5-A-")},
    "march": {"4/4": ("R.5.R.5.", "R.5.R.5A"), "6/8": ("R--5--",), "3/4": ("R.5.5.",)},
    "country": {"4/4": ("R-5-R-5-", "R-5-R-5A"), "3/4": ("R-5-5-",), "6/8": ("R--5--",)},
    "drone": {"4/4": ("R-------",), "3/4": ("R-----",), "6/8": ("R-----",)},
}

_KICK, _RIM, _SNARE, _CLAP, _HAT, _PEDAL, _OPEN, _RIDE = 36, 37, 38, 39, 42, 44, 46, 51
_CRASH, _TAMBOURINE, _SHAKER, _CLAVES, _CONGA, _CONGA_LOW, _BELL = 49, 54, 70, 75, 63, 64, 56

DRUM_PATTERNS: dict[str, dict[str, tuple[dict[int, str], ...]]] = {
    "rock": {
        "4/4": (
            {_KICK: "X.......X.x.....", _SNARE: "....X.......X...", _HAT: "x.x.x.x.x.x.x.x."},
            {_KICK: "X.....x.X.......", _SNARE: "....X.......X...", _HAT: "X.x.X.x.X.x.X.x."},
            {_KICK: "X..x..x...x.....", _SNARE: "....X.......X..o", _RIDE: "x.x.x.x.x.x.x.x."},
        ),
        "6/8": ({_KICK: "X...........", _SNARE: "......X.....", _HAT: "x.x.x.x.x.x."},),
        "3/4": ({_KICK: "X...........", _SNARE: "....x...x...", _HAT: "x.x.x.x.x.x."},),
    },
    "ballad": {
        "4/4": (
            {_KICK: "X.........x.....", _RIM: "....x.......x...", _HAT: "x.x.x.x.x.x.x.x."},
            {_KICK: "X.......x.......", _SNARE: "....x.......x...", _HAT: "x...x...x...x..."},
        ),
        "6/8": ({_KICK: "X...........", _SNARE: "......x.....", _HAT: "x.x.x.x.x.x."},),
        "3/4": ({_KICK: "X...........", _RIM: "....x...x...", _HAT: "x...x...x..."},),
    },
    "metal": {
        "4/4": (
            {
                _KICK: "X.xxX.xxX.xxX.xx",
                _SNARE: "....X.......X...",
                _CRASH: "X...............",
                _OPEN: "....x...x...x...",
            },
            {_KICK: "XxXxXxXxXxXxXxXx", _SNARE: "....X.......X...", _RIDE: "X...x...X...x..."},
            {_KICK: "X.X.X.X.X.X.X.X.", _SNARE: "..x...x...x...x.", _OPEN: "x...x...x...x..."},
        )
    },
    "shuffle": {
        "4/4": (
            {_KICK: "X.......x.......", _SNARE: "....X.......X...", _HAT: "x.x.x.x.x.x.x.x."},
            {_KICK: "X.....x.x.......", _SNARE: "....X.......X...", _RIDE: "x.x.x.x.x.x.x.x."},
        )
    },
    "swing": {
        "4/4": (
            {_RIDE: "X...x.x.X...x.x.", _PEDAL: "....x.......x...", _KICK: "o...o...o...o..."},
            {_RIDE: "X...x.x.X...x.x.", _PEDAL: "....x.......x...", _SNARE: "......o.......o."},
            {_RIDE: "X...x.x.x...X.x.", _PEDAL: "....x.......x...", _SNARE: "..o.......o....."},
        ),
        "3/4": ({_RIDE: "X...x.x.x.x.", _PEDAL: "....x...x...", _KICK: "o..........."},),
    },
    "bossa": {
        "4/4": (
            {
                _KICK: "X..xX..xX..xX..x",
                _RIM: "x..x..x...x..x..",
                _HAT: "x.x.x.x.x.x.x.x.",
                _SHAKER: "xoxoxoxoxoxoxoxo",
            },
            {_KICK: "X..xX..xX..xX..x", _RIM: "..x..x..x..x...x", _HAT: "x.x.x.x.x.x.x.x."},
        )
    },
    "samba": {
        "4/4": (
            {
                _KICK: "x..Xx..Xx..Xx..X",
                _SNARE: "x.xox.ox.oxox.xo",
                _SHAKER: "XoxoXoxoXoxoXoxo",
                _CLAVES: "x..x..x...x.x...",
            },
        )
    },
    "latin": {
        "4/4": (
            {
                _CONGA: "..o...xx..o...xx",
                _CONGA_LOW: "x.......x.......",
                _CLAVES: "x..x..x...x.x...",
                _BELL: "x...x.x.x...x.x.",
            },
            {_CONGA: "..x...xx..x...xx", _CONGA_LOW: "......o.......o.", _SHAKER: "XoxoXoxoXoxoXoxo"},
        )
    },
    "funk": {
        "4/4": (
            {_KICK: "X.x....x..x.....", _SNARE: "....X..o.o..X..o", _HAT: "xxxxxxxxxxxxxxxx"},
            {
                _KICK: "X..x..x...x..x..",
                _SNARE: "....X..o....X.o.",
                _HAT: "x.x.x.x.x.x.x.xx",
                _OPEN: "..............x.",
            },
        )
    },
    "disco": {
        "4/4": (
            {
                _KICK: "X...X...X...X...",
                _SNARE: "....X.......X...",
                _HAT: "x.o.x.o.x.o.x.o.",
                _OPEN: "..x...x...x...x.",
            },
            {
                _KICK: "X...X...X...X...",
                _CLAP: "....X.......X...",
                _OPEN: "..x...x...x...x.",
                _TAMBOURINE: "xxxxxxxxxxxxxxxx",
            },
        )
    },
    "house": {
        "4/4": (
            {_KICK: "X...X...X...X...", _CLAP: "....X.......X...", _OPEN: "..x...x...x...x."},
            {_KICK: "X...X...X...X...", _CLAP: "....X.......X...", _HAT: "xoxxxoxxxoxxxoxx", _OPEN: "..x...x...x...x."},
        )
    },
    "techno": {
        "4/4": (
            {_KICK: "X...X...X...X...", _HAT: "..x...x...x...x.", _RIM: "...x..x....x..x."},
            {_KICK: "X...X...X...X...", _HAT: "oxXxoxXxoxXxoxXx", _CLAP: "....x.......x..."},
        )
    },
    "trap": {
        "4/4": (
            {_KICK: "X.....x...x.....", _CLAP: "........X.......", _HAT: "x.x.x.xxx.x.xxxx"},
            {_KICK: "X......x..X.....", _CLAP: "........X.......", _HAT: "xxx.x.x.x.xxxxx."},
        )
    },
    "hip hop": {
        "4/4": (
            {_KICK: "X.....x..x......", _SNARE: "....X.......X...", _HAT: "x.x.x.x.x.x.x.x."},
            {_KICK: "X.x......xx.....", _SNARE: "....X.......X..o", _HAT: "x.x.x.xxx.x.x.x."},
        )
    },
    "lofi": {
        "4/4": (
            {_KICK: "X......x..x.....", _SNARE: "....x.......x...", _HAT: "x.x.x.x.x.x.x.x."},
            {_KICK: "X.x.......x..x..", _RIM: "....x.......x...", _HAT: "x.o.x.o.x.o.x.oo"},
        )
    },
    "synthwave": {
        "4/4": (
            {_KICK: "X...X...X...X...", _SNARE: "....X.......X...", _HAT: "x.x.x.x.x.x.x.x."},
            {_KICK: "X.......X.x.....", _SNARE: "....X.......X...", _HAT: "xxxxxxxxxxxxxxxx"},
        )
    },
    "reggae": {
        "4/4": (
            {_KICK: "........X.......", _RIM: "........X.......", _HAT: "x.x.X.x.x.x.X.x."},
            {_KICK: "X.......X.......", _SNARE: "........x.......", _HAT: "..x...x...x...x."},
        )
    },
    "country": {
        "4/4": (
            {_KICK: "X.......X.......", _SNARE: "....x.......x...", _HAT: "x.x.x.x.x.x.x.x."},
            {_KICK: "X...x...X...x...", _SNARE: "..x...x...x...x."},
        ),
        "3/4": ({_KICK: "X...........", _SNARE: "....x...x..."},),
        "6/8": ({_KICK: "X.....x.....", _SNARE: "....x.....x."},),
    },
    "march": {
        "4/4": (
            {_KICK: "X.......X.......", _SNARE: "x.xxx.xxx.xxX.X.", _CRASH: "x..............."},
            {_KICK: "X...x...X...x...", _SNARE: "X.xxX.xxX.xxXxxx"},
        ),
        "6/8": ({_KICK: "X.....x.....", _SNARE: "X..xx.X.xxx."},),
    },
    "bodhran": {
        "6/8": ({_CONGA_LOW: "X.o.o.x.o.o.", _TAMBOURINE: "......x....."}, {_CONGA_LOW: "X.o.x.X.o.o."}),
        "4/4": ({_CONGA_LOW: "X.ooX.ooX.ooX.oo", _TAMBOURINE: "....x.......x..."},),
        "3/4": ({_CONGA_LOW: "X...o.o.x.o."},),
    },
    "waltz": {"3/4": ({_KICK: "X...........", _SNARE: "....o...o..."}, {_RIDE: "X...x...x...", _KICK: "x..........."})},
}

FILLS: dict[str, tuple[dict[int, str], ...]] = {
    "4/4": (
        {_KICK: "X.......", _SNARE: "....XxXx", 50: "........", 45: "......xX"},
        {_SNARE: "X.x.....", 50: "....xx..", 47: "......x.", 45: ".......X"},
        {_KICK: "X...X...", _SNARE: "..xx..XX"},
    ),
    "3/4": ({_KICK: "X.....", _SNARE: "..xx..", 45: "....Xx"},),
    "6/8": ({_KICK: "X.....", _SNARE: "...xxx"},),
}
