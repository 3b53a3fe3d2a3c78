"""Instruments and the sounds that go by their names."""

from collections import Counter

from cadenza.corpus.instruments import _OTHERS, INSTRUMENTS, draw_patch, patches_of
from cadenza.corpus.synth import _MIX, _RELEASE


def test_every_sound_is_listed_once_and_can_be_played() -> None:
    assert set(_OTHERS) <= set(INSTRUMENTS)
    for name, instrument in INSTRUMENTS.items():
        sounds = [patch.sound for patch in patches_of(name)]
        assert sounds[0] == instrument.sound
        assert len(set(sounds)) == len(sounds)
        for sound in sounds:
            if isinstance(sound, int):
                assert 0 <= sound <= 127
            elif sound.startswith("kit "):
                assert instrument.family == "drums"
                assert int(sound.split()[1]) in (0, 8, 16, 24, 25, 40, 48)  # the kits that soundfonts have
            else:
                assert sound in _MIX
                assert sound in _RELEASE or sound == "machine"


def test_no_program_goes_by_two_names() -> None:
    names: dict[int | str, set[str]] = {}
    for name in INSTRUMENTS:
        for patch in patches_of(name):
            names.setdefault(patch.sound, set()).add(name)
    shared = {sound: found for sound, found in names.items() if len(found) > 1}
    # This kit is told apart by what is played on it.
    assert shared == {"kit 0": {"drums", "percussion"}}


def test_usual_sounds_are_usual_and_rare_ones_rare() -> None:
    drawn = Counter(draw_patch(seed, "piano").sound for seed in range(600))
    assert set(drawn) == {0, 1, 3}
    assert drawn[0] > drawn[1] > 4 * drawn[3] > 0
    assert draw_patch(5, "synth pad") == draw_patch(5, "synth pad")
    assert {draw_patch(seed, "cello").sound for seed in range(5)} == {42}


def test_all_melodic_families_of_general_midi_are_played() -> None:
    programs = {p.sound for name in INSTRUMENTS for p in patches_of(name) if isinstance(p.sound, int)}
    # Families of eight; the last, sound effects, is played as an atmosphere and has no name.
    assert {program // 8 for program in programs} == set(range(15))
