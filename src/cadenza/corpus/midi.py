"""A score's General MIDI parts as a Standard MIDI File (format 0), written with nothing but the standard library."""

import struct

from cadenza.corpus.instruments import INSTRUMENTS
from cadenza.corpus.score import Part, Score

TICKS_PER_QUARTER = 480
_DRUM_CHANNEL = 9
# Controller 91: how much of each family goes to the reverb.
_REVERB_SEND = {
    "strings": 70,
    "voice": 80,
    "brass": 60,
    "wind": 60,
    "organ": 60,
    "keys": 40,
    "mallets": 50,
    "guitar": 40,
    "bass": 8,
    "drums": 20,
    "synth": 40,
}


def is_general_midi(part: Part) -> bool:
    """Whether the soundfont plays this part, rather than our own synthesiser."""
    sound = INSTRUMENTS[part.instrument].sound
    return isinstance(sound, int) or sound.startswith("kit")


def write_midi(score: Score) -> bytes:
    """The bytes of a MIDI file with the score's General MIDI parts, one channel each (at most 15, and the drums)."""
    events: list[tuple[int, int, bytes]] = [(0, 0, _tempo(score))]
    channels = iter([c for c in range(16) if c != _DRUM_CHANNEL])
    for part in score.parts:
        if not is_general_midi(part):
            continue
        instrument = INSTRUMENTS[part.instrument]
        if isinstance(instrument.sound, str):
            channel, program = _DRUM_CHANNEL, int(instrument.sound.split()[1])
        else:
            channel, program = next(channels), instrument.sound
        events.append((0, 1, bytes([0xC0 | channel, program])))
        events.append((0, 1, bytes([0xB0 | channel, 91, _REVERB_SEND[instrument.family]])))
        # Controller 7 acts on amplitude as its square, so 40 dB a decade.
        fader = min(127.0, 90 * part.level * 10 ** (instrument.trim_db / 40))
        events.append((0, 1, bytes([0xB0 | channel, 7, round(fader)])))
        events.append((0, 1, bytes([0xB0 | channel, 10, 64])))
        for note in part.notes:
            start = round(note.start * TICKS_PER_QUARTER)
            end = max(start + 1, round((note.start + note.duration) * TICKS_PER_QUARTER))
            events.append((start, 3, bytes([0x90 | channel, note.pitch, note.velocity])))
            # Ends sort before starts at the same tick, so that a repeated pitch is struck again and not cut off.
            events.append((end, 2, bytes([0x80 | channel, note.pitch, 0])))
    end_of_piece = round((score.num_bars * score.meter.bar_quarters + 0.25) * TICKS_PER_QUARTER)
    events.append((max(end_of_piece, max(e[0] for e in events)), 4, b"\xff\x2f\x00"))
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
