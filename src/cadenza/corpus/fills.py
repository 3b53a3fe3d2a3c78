"""Drum fills: what leads from the end of one phrase into the next, from a light tap to a full bar around the toms.

A fill takes the last beats of a bar; its rows divide those beats evenly. Each style has fills from light to heavy, for
beats of two (4/4, 3/4, 5/4) and of three parts (6/8). Notation as in `patterns`.
"""

from dataclasses import dataclass

from cadenza.corpus.drumkit import (
    BRUSH,
    CLAP,
    CONGA,
    CONGA_LOW,
    FLOOR_TOM,
    HIGH_TOM,
    KICK,
    LOW_TOM,
    MID_TOM,
    OPEN,
    RIM,
    SNARE,
    TIMBALE,
    TIMBALE_LOW,
)


@dataclass(frozen=True)
class Fill:
    """The last `beats` of a bar, as rows of strokes that divide them evenly."""

    beats: int
    rows: dict[int, str]


FILLS: dict[str, tuple[Fill, ...]] = {
    "kit": (
        Fill(1, {SNARE: "..xx"}),
        Fill(1, {OPEN: "..X.", KICK: "X..."}),
        Fill(1, {SNARE: "xxXX"}),
        Fill(2, {KICK: "X.......", SNARE: "....XxXx", LOW_TOM: "......xX"}),
        Fill(2, {KICK: "X...X...", SNARE: "..xx..XX"}),
        Fill(2, {SNARE: "X.x.....", HIGH_TOM: "....xx..", MID_TOM: "......x.", LOW_TOM: ".......X"}),
        Fill(2, {SNARE: "XxXx....", HIGH_TOM: "....Xx..", FLOOR_TOM: "......XX"}),
        Fill(3, {SNARE: "XxxXxx......", HIGH_TOM: "......XxX...", FLOOR_TOM: ".........XxX", KICK: "X..X..X..X.."}),
        Fill(
            4,
            {
                SNARE: "XxXx........XXXX",
                HIGH_TOM: "....XxXx........",
                LOW_TOM: "........XxXx....",
                KICK: "X...X...X...X...",
            },
        ),
    ),
    "metal": (
        Fill(1, {SNARE: "XxXx", KICK: "X.X."}),
        Fill(2, {SNARE: "XxXx....", HIGH_TOM: "....Xx..", LOW_TOM: "......Xx", KICK: "xxxxxxxx"}),
        Fill(2, {SNARE: "XX..XX..", KICK: "..XX..XX", FLOOR_TOM: "XX..XX.."}),
        Fill(
            4,
            {
                SNARE: "XxXxXxXx........",
                HIGH_TOM: "........XxXx....",
                FLOOR_TOM: "............XxXx",
                KICK: "xxxxxxxxxxxxxxxx",
            },
        ),
    ),
    "jazz": (
        Fill(1, {SNARE: "..o."}),
        Fill(1, {SNARE: "x.x."}),
        Fill(2, {SNARE: "..x.x.X.", KICK: "x......."}),
        Fill(2, {SNARE: "x.x...x.", HIGH_TOM: "....x...", KICK: "...x...X"}),
        Fill(2, {SNARE: "XxxXxx", LOW_TOM: "....xX"}),
    ),
    "brushes": (
        Fill(1, {SNARE: "x.x."}),
        Fill(2, {SNARE: "x.x.xxx.", BRUSH: "x......."}),
        Fill(2, {SNARE: "xxxxXX"}),
    ),
    "beat": (
        Fill(1, {CLAP: "..xx"}),
        Fill(1, {SNARE: "xxxx"}),
        Fill(2, {SNARE: "x.x.xxxx"}),
        Fill(2, {CLAP: "X..X..X."}),
        Fill(4, {SNARE: "x...x...x.x.xxxx", KICK: "X...X...X......."}),
        Fill(4, {SNARE: "o.o.o.o.x.x.x.x.x.x.x.x.XXXXXXXX", CLAP: "x...............x..............."}),
    ),
    "tom machine": (
        Fill(1, {HIGH_TOM: "xx..", LOW_TOM: "..xx"}),
        Fill(2, {SNARE: "X.......", HIGH_TOM: "..xxx...", MID_TOM: ".....xx.", LOW_TOM: ".......X"}),
        Fill(2, {HIGH_TOM: "XXX.....", MID_TOM: "...XXX..", LOW_TOM: "......XX"}),
        Fill(
            4,
            {
                SNARE: "X.X.............",
                HIGH_TOM: "....XxXx........",
                MID_TOM: "........XxXx....",
                LOW_TOM: "............XxXX",
            },
        ),
    ),
    "sparse": (
        Fill(1, {RIM: "..x."}),
        Fill(1, {SNARE: "...o"}),
        Fill(1, {OPEN: "..x.", SNARE: "...o"}),
        Fill(2, {KICK: "X..x..x.", SNARE: "....x..o"}),
    ),
    "latin": (
        Fill(1, {TIMBALE: "x.xx"}),
        Fill(1, {TIMBALE: "xxxx"}),
        Fill(2, {TIMBALE: "x.xx....", TIMBALE_LOW: "....x.xX"}),
        Fill(2, {CONGA: "xxxx....", CONGA_LOW: "....xxxX"}),
        Fill(4, {TIMBALE: "X.xxx.xx........", TIMBALE_LOW: "........x.xxX.X.", CONGA: "........xxxxxxxx"}),
    ),
    "hands": (Fill(1, {CONGA_LOW: "xxXx"}), Fill(2, {CONGA_LOW: "X.xxX.xx"}), Fill(2, {CONGA_LOW: "XoxoXxXX"})),
    "rolls": (
        Fill(1, {SNARE: "xxxx"}),
        Fill(2, {SNARE: "oooooooox...X..."}),
        Fill(2, {SNARE: "xoxoxoxoxxxxXXXX"}),
    ),
    "big": (
        Fill(1, {FLOOR_TOM: "XxXx"}),
        Fill(2, {LOW_TOM: "XxXx....", FLOOR_TOM: "....XxXX"}),
        Fill(4, {HIGH_TOM: "XxXx............", LOW_TOM: "....XxXx........", FLOOR_TOM: "........XxXxXXXX"}),
    ),
}

SIX_FILLS: dict[str, tuple[Fill, ...]] = {
    "kit": (
        Fill(1, {SNARE: "...xxx"}),
        Fill(1, {SNARE: "X.x...", LOW_TOM: "...xxX"}),
        Fill(2, {SNARE: "X.xx.x......", HIGH_TOM: "......XxX...", LOW_TOM: ".........xxX", KICK: "X.....X....."}),
    ),
    "hands": (Fill(1, {CONGA_LOW: "X.xxxx"}), Fill(1, {CONGA_LOW: "XoxXox"})),
    "rolls": (Fill(1, {SNARE: "x.xxxx"}), Fill(2, {SNARE: "x.xxxxXxXxXX"})),
    "big": (Fill(1, {FLOOR_TOM: "XxxXxx"}), Fill(2, {LOW_TOM: "Xxx...", FLOOR_TOM: "...XXX"})),
}

FILL_STYLES: dict[str, str] = {
    "rock": "kit", "ballad": "kit", "punk": "kit", "metal": "metal", "shuffle": "kit", "swing": "jazz",
    "brushes": "brushes", "funk": "kit", "country": "kit", "reggae": "kit", "march": "rolls",
    "waltz": "sparse", "disco": "kit", "house": "beat", "techno": "beat", "trance": "beat", "trap": "beat",
    "hip hop": "sparse", "lofi": "sparse", "synthwave": "tom machine", "bossa": "sparse", "samba": "latin",
    "latin": "latin", "calypso": "latin", "bodhran": "hands", "pipes": "rolls", "hands": "hands", "cinematic": "big",
}  # fmt: skip
"""The style that each drum pattern fills in."""


def fills_of(pattern: str, beat_quarters: float) -> tuple[Fill, ...]:
    """The fills of a drum pattern, from light to heavy, for beats of one quarter or of a dotted quarter."""
    style = FILL_STYLES[pattern]
    return FILLS[style] if beat_quarters == 1.0 else SIX_FILLS.get(style, SIX_FILLS["kit"])
