"""General MIDI parts of a score as a Standard MIDI File (format 0), written with nothing but the standard library."""

import struct
from collections.abc import Sequence
from typing import NamedTuple

from cadenza.corpus.expression import BEND, expression
from cadenza.corpus.instruments import Patch
from cadenza.corpus.score import Part, Score

TICKS_PER_QUARTER = 480
_DRUM_CHANNEL = 9


class Player(NamedTuple):
    """A part, what sounds it, and its place from -1 (left) to 1 (right)."""

    part: Part
    patch: Patch
    pan: float = 0.0


def is_general_midi(patch: Patch) -> bool:
    """Whether the soundfont plays a patch, rather than our own synthesiser."""
    return isinstance(patch.sound, int) or patch.sound.startswith("kit")


def write_midi(score: Score, players: Sequence[Player]) -> bytes:
    """The bytes of a MIDI file with General MIDI parts of a score, one channel each (at most 15, and the drums)."""
    # Tick, rank among events of one tick, bytes.
    events: list[tuple[int, int, bytes]] = [(0, 0, _tempo(score))]
    channels = iter([c for c in range(16) if c != _DRUM_CHANNEL])
    for part, patch, pan in players:
        assert is_general_midi(patch)
        if isinstance(patch.sound, str):
            channel, program = _DRUM_CHANNEL, int(patch.sound.split()[1])
        else:
            channel, program = next(channels), patch.sound
        events.append((0, 1, bytes([0xC0 | channel, program])))
        # Controller 7 acts on amplitude as its square, so 40 dB a decade.
        fader = min(127.0, 90 * part.level * 10 ** (patch.trim_db / 40))
        events.append((0, 1, bytes([0xB0 | channel, 7, round(fader)])))
        events.append((0, 1, bytes([0xB0 | channel, 10, round(64 + 63 * pan)])))
        for position, controller, value in expression(part, score):
            tick = max(0, round(position * TICKS_PER_QUARTER))
            if controller == BEND:
                events.append((tick, 2, bytes([0xE0 | channel, value & 0x7F, value >> 7])))
            else:
                events.append((tick, 2, bytes([0xB0 | channel, controller, value])))
        for note in part.notes:
            start = round(note.start * TICKS_PER_QUARTER)
            end = max(start + 1, round((note.start + note.duration) * TICKS_PER_QUARTER))
            events.append((start, 4, bytes([0x90 | channel, note.pitch, note.velocity])))
            # Ends sort before starts at the same tick, so that a repeated pitch is struck again and not cut off.
            events.append((end, 3, bytes([0x80 | channel, note.pitch, 0])))
    end_of_piece = round((score.num_bars * score.meter.bar_quarters + 0.25) * TICKS_PER_QUARTER)
    events.append((max(end_of_piece, max(e[0] for e in events)), 5, b"\xff\x2f\x00"))
    events.sort(key=lambda event: event[:2])
    track = bytearray()
    now = 0
    for tick, _, data in events:
        track += _variable_length(tick - now) + data
        now = tick
    header = struct.pack(">4sIHHH", b"MThd", 6, 0, 1, TICKS_PER_QUARTER)
    return header + struct.pack(">4sI", b"MTrk", len(track)) + bytes(track)


def _tempo(score: Score) -> bytes:
    microseconds = round(score.seconds_per_quarter * 1e6)
    return b"\xff\x51\x03" + microseconds.to_bytes(3, "big")


def _variable_length(value: int) -> bytes:
    groups = [value & 0x7F]
    while value := value >> 7:
        groups.append((value & 0x7F) | 0x80)
    return bytes(reversed(groups))
