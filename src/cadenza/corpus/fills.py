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
        Fill(1, {OPEN: "..A.", KICK: "A..."}),
        Fill(1, {SNARE: "xxAA"}),
        Fill(2, {KICK: "A.......", SNARE: "....AxAx", LOW_TOM: "......xA"}),
        Fill(2, {KICK: "A...A...", SNARE: "..xx..AA"}),
        Fill(2, {SNARE: "A.x.....", HIGH_TOM: "....xx..", MID_TOM: "......x.", LOW_TOM: ".......A"}),
        Fill(2, {SNARE: "AxAx....", HIGH_TOM: "....Ax..", FLOOR_TOM: "......AA"}),
        Fill(3, {SNARE: "AxxAxx......", HIGH_TOM: "......AxA...", FLOOR_TOM: ".........AxA", KICK: "A..A..A..A.."}),
        Fill(
            4,
            {
                SNARE: "AxAx........AAAA",
                HIGH_TOM: "....AxAx........",
                LOW_TOM: "........AxAx....",
                KICK: "A...A...A...A...",
            },
        ),
    ),
    "metal": (
        Fill(1, {SNARE: "AxAx", KICK: "A.A."}),
        Fill(2, {SNARE: "AxAx....", HIGH_TOM: "....Ax..", LOW_TOM: "......Ax", KICK: "xxxxxxxx"}),
        Fill(2, {SNARE: "AA..AA..", KICK: "..AA..AA", FLOOR_TOM: "AA..AA.."}),
        Fill(
            4,
            {
                SNARE: "AxAxAxAx........",
                HIGH_TOM: "........AxAx....",
                FLOOR_TOM: "............AxAx",
                KICK: "xxxxxxxxxxxxxxxx",
            },
        ),
    ),
    "jazz": (
        Fill(1, {SNARE: "..o."}),
        Fill(1, {SNARE: "x.x."}),
        Fill(2, {SNARE: "..x.x.A.", KICK: "x......."}),
        Fill(2, {SNARE: "x.x...x.", HIGH_TOM: "....x...", KICK: "...x...A"}),
        Fill(2, {SNARE: "AxxAxx", LOW_TOM: "....xA"}),
    ),
    "brushes": (
        Fill(1, {SNARE: "x.x."}),
        Fill(2, {SNARE: "x.x.xxx.", BRUSH: "x......."}),
        Fill(2, {SNARE: "xxxxAA"}),
    ),
    "beat": (
        Fill(1, {CLAP: "..xx"}),
        Fill(1, {SNARE: "xxxx"}),
        Fill(2, {SNARE: "x.x.xxxx"}),
        Fill(2, {CLAP: "A..A..A."}),
        Fill(4, {SNARE: "x...x...x.x.xxxx", KICK: "A...A...A......."}),
        Fill(4, {SNARE: "o.o.o.o.x.x.x.x.x.x.x.x.AAAAAAAA", CLAP: "x...............x..............."}),
    ),
    "tom machine": (
        Fill(1, {HIGH_TOM: "xx..", LOW_TOM: "..xx"}),
        Fill(2, {SNARE: "A.......", HIGH_TOM: "..xxx...", MID_TOM: ".....xx.", LOW_TOM: ".......A"}),
        Fill(2, {HIGH_TOM: "AAA.....", MID_TOM: "...AAA..", LOW_TOM: "......AA"}),
        Fill(
            4,
            {
                SNARE: "A.A.............",
                HIGH_TOM: "....AxAx........",
                MID_TOM: "........AxAx....",
                LOW_TOM: "............AxAA",
            },
        ),
    ),
    "sparse": (
        Fill(1, {RIM: "..x."}),
        Fill(1, {SNARE: "...o"}),
        Fill(1, {OPEN: "..x.", SNARE: "...o"}),
        Fill(2, {KICK: "A..x..x.", SNARE: "....x..o"}),
    ),
    "latin": (
        Fill(1, {TIMBALE: "x.xx"}),
        Fill(1, {TIMBALE: "xxxx"}),
        Fill(2, {TIMBALE: "x.xx....", TIMBALE_LOW: "....x.xA"}),
        Fill(2, {CONGA: "xxxx....", CONGA_LOW: "....xxxA"}),
        Fill(4, {TIMBALE: "A.xxx.xx........", TIMBALE_LOW: "........x.xxA.A.", CONGA: "........xxxxxxxx"}),
    ),
    "hands": (Fill(1, {CONGA_LOW: "xxAx"}), Fill(2, {CONGA_LOW: "A.xxA.xx"}), Fill(2, {CONGA_LOW: "AoxoAxAA"})),
    "rolls": (
        Fill(1, {SNARE: "xxxx"}),
        Fill(2, {SNARE: "oooooooox...A..."}),
        Fill(2, {SNARE: "xoxoxoxoxxxxAAAA"}),
    ),
    "big": (
        Fill(1, {FLOOR_TOM: "AxAx"}),
        Fill(2, {LOW_TOM: "AxAx....", FLOOR_TOM: "....AxAA"}),
        Fill(4, {HIGH_TOM: "AxAx............", LOW_TOM: "....AxAx........", FLOOR_TOM: "........AxAxAAAA"}),
    ),
}

SIX_FILLS: dict[str, tuple[Fill, ...]] = {
    "kit": (
        Fill(1, {SNARE: "...xxx"}),
        Fill(1, {SNARE: "A.x...", LOW_TOM: "...xxA"}),
        Fill(2, {SNARE: "A.xx.x......", HIGH_TOM: "......AxA...", LOW_TOM: ".........xxA", KICK: "A.....A....."}),
    ),
    "hands": (Fill(1, {CONGA_LOW: "A.xxxx"}), Fill(1, {CONGA_LOW: "AoxAox"})),
    "rolls": (Fill(1, {SNARE: "x.xxxx"}), Fill(2, {SNARE: "x.xxxxAxAxAA"})),
    "big": (Fill(1, {FLOOR_TOM: "AxxAxx"}), Fill(2, {LOW_TOM: "Axx...", FLOOR_TOM: "...AAA"})),
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
