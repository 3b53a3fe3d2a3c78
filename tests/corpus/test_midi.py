"""The MIDI writer: bytes of a note, channels, controllers and their order."""

from cadenza.corpus.instruments import Patch, patches_of
from cadenza.corpus.midi import TICKS_PER_QUARTER, Player, is_general_midi, write_midi
from cadenza.corpus.score import Meter, Note, Part, Score, Section
from cadenza.corpus.theory import Key


def _write(*players: Player) -> bytes:
    section = Section("verse", 0, 2, ("I", "") * 2, Key(0, "major"))
    parts = tuple(player.part for player in players)
    return write_midi(Score(0, "jazz", 120.0, Key(0, "major"), Meter(4), (), (section,), parts), players)


def _player(name: str, *notes: Note, role: str = "melody", pan: float = 0.0) -> Player:
    return Player(Part(name, role, notes), patches_of(name)[0], pan)


def test_bytes_of_one_note() -> None:
    midi = _write(_player("piano", Note(1.0, 0.5, 60, 90)))
    assert midi[:14] == b"MThd" + bytes([0, 0, 0, 6, 0, 0, 0, 1]) + TICKS_PER_QUARTER.to_bytes(2, "big")
    assert b"\xff\x51\x03" + (500_000).to_bytes(3, "big") in midi
    # 480 ticks are the variable-length number 83 60, 240 ticks are 81 70.
    assert bytes([0x83, 0x60, 0x90, 60, 90, 0x81, 0x70, 0x80, 60, 0]) in midi
    assert midi.endswith(b"\xff\x2f\x00")


def test_each_player_has_a_channel_and_drums_the_tenth() -> None:
    names = ("piano", "violin", "drums", "cello")
    midi = _write(*(_player(name, Note(0.0, 1.0, 60, 80)) for name in names))
    for channel, program in ((0, 0), (1, 40), (9, 0), (2, 42)):
        assert bytes([0xC0 | channel, program]) in midi
        assert bytes([0x90 | channel, 60, 80]) in midi


def test_places_are_pan_controllers() -> None:
    for pan, value in ((-1.0, 1), (0.0, 64), (1.0, 127)):
        assert bytes([0xB0, 10, value]) in _write(_player("piano", Note(0.0, 1.0, 60, 80), pan=pan))


def test_a_note_is_struck_again_and_not_cut_off_and_controllers_come_before_it() -> None:
    midi = _write(_player("violin", Note(0.0, 2.0, 60, 80), Note(2.0, 2.0, 60, 80)))
    off, on = midi.index(bytes([0x80, 60, 0])), midi.rindex(bytes([0x90, 60, 80]))
    assert off < on
    vibrato, swell = bytes([0xB0, 1, 0]), bytes([0xB0, 11])
    assert vibrato in midi[: midi.index(bytes([0x90, 60, 80]))]
    assert swell in midi[: midi.index(bytes([0x90, 60, 80]))]


def test_what_the_soundfont_plays() -> None:
    assert is_general_midi(Patch(0, 0.0))
    assert is_general_midi(Patch("kit 25", 0.0))
    assert not is_general_midi(Patch("machine", 0.0))
