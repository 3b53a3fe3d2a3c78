"""Facts in plain words: sentences written by hand, and what a person reads in them."""

import pytest

from cadenza.corpus.vocabulary_genres import GENRE_WORDS
from cadenza.corpus.vocabulary_instruments import INSTRUMENT_NAMES
from cadenza.evaluate.prompts import load
from cadenza.evaluate.words import _GENRES, _INSTRUMENTS, FAST, MEDIUM, SLOW, facts_in


@pytest.mark.parametrize(
    ("text", "tempo"),
    [
        ("techno at 132 bpm", 132.0),
        ("132BPM techno", 132.0),
        ("a 90-bpm groove", 90.0),
        ("BPM: 84, sad", 84.0),
        ("at a tempo of 72.5", 72.5),
        ("62 beats per minute, heavy", 62.0),
        ("quarter note = 54", 54.0),
        ("somewhere between 80 and 90 bpm", (80.0, 90.0)),
        ("house, 120-124 bpm", (120.0, 124.0)),
        ("a slow waltz", SLOW),
        ("mid-tempo rock", MEDIUM),
        ("a fast-paced jig", FAST),
        ("slow, 132 bpm", 132.0),
        ("from 90 bpm up to a frantic 180 bpm", None),
        ("starts slow and ends fast", None),
        ("not too fast", None),
        ("it isn't slow", None),
        ("breakfast music", None),
        ("slowly building pads", None),
        ("9000 bpm", None),
        ("BPM 1200", None),
        ("tempo 100-120", (100.0, 120.0)),
        ("sections at 90 and 120 bpm", None),
        ("tempo of 120 and 80s synths", 120.0),
        ("piano that will slow down at the end", None),
        ("neither fast nor loud", None),
        ("recorded in 1986 with 24 tracks", None),
    ],
)
def test_tempo(text: str, tempo: float | tuple[float, float] | None) -> None:
    assert facts_in(text).tempo_bpm == tempo


@pytest.mark.parametrize(
    ("text", "key"),
    [
        ("piano in D minor", "D minor"),
        ("F# minor, 138 bpm", "F# minor"),
        ("an étude in B flat major", "Bb major"),
        ("E-flat minor nocturne", "Eb minor"),
        ("SAD PIANO IN B FLAT MINOR", "Bb minor"),
        ("Bb major march", "Bb major"),
        ("in a minor, for guitar", "A minor"),
        ("A minor blues", "A minor"),
        ("a minor blues", "minor"),
        ("A minor key, dark mood", "minor"),
        ("sad, in a minor key", "minor"),
        ("in major", "major"),
        ("key of G", "G major"),
        ("riff in F#m", "F# minor"),
        ("c sharp min chords", "C# minor"),
        ("begins in C major and ends in A minor", None),
        ("a major label hit", None),
        ("in Berlin, minor damage", None),
        ("the best song in D", "D major"),
        ("song in A's style", None),
        ("track in B flat", "Bb major"),
        ("Key of D, 120", "D major"),
        ("a major breakthrough", None),
        ("changed in a minor way", None),
        ("set in A world of dreams", None),
        ("etude in A for guitar", "A major"),
    ],
)
def test_key(text: str, key: str | None) -> None:
    assert facts_in(text).key == key


@pytest.mark.parametrize(
    ("text", "instruments"),
    [
        ("piano, walking bass and brushes", ("piano", "upright bass", "brushed drums")),
        ("a Rhodes and an electric guitar", ("electric piano", "electric guitar")),
        ("acoustic guitar, a second guitar", ("acoustic guitar",)),
        ("saxophone over pads", ("saxophone", "synth pad")),
        ("flute without any drums", ("flute",)),
        ("no drums or piano, just a cello", ("cello",)),
        ("drums, but later no drums", ()),
        ("a piano ballad", ()),
        ("a bass drum", ()),
        ("neither piano nor flute", ()),
        ("a harp instead of drums", ("harp",)),
        ("guitar-free, lacking bass", ()),
        ("a kazoo with a violin-like tone, drums removed", ()),
        ("non-acoustic guitar", ()),
        ("harp, minus the vocals and drums", ("harp",)),
        ("orchestra hits", ()),
        ("acid line and 808s", ("acid bass", "drum machine")),
    ],
)
def test_instruments(text: str, instruments: tuple[str, ...]) -> None:
    assert facts_in(text).instruments == instruments


def test_a_word_for_a_family_means_any_of_it() -> None:
    (guitar,) = facts_in("a guitar").instruments
    assert set(guitar.split("/")) == {name for name in INSTRUMENT_NAMES if name.endswith("guitar")} - {"bass guitar"}


@pytest.mark.parametrize(
    ("text", "genre"),
    [
        ("late-night jazz trio", "jazz"),
        ("lo-fi hip hop", "lo-fi hip hop"),
        ("a jazz guitar at night", None),
        ("rock drums only", None),
        ("jazz-funk", None),
        ("deep house", "house"),
        ("a house on fire", None),
        ("anything but no metal", None),
        ("a Viennese waltz for strings", "waltz"),
        ("a piano ballad", "piano ballad"),
        ("in March", None),
    ],
)
def test_genre(text: str, genre: str | None) -> None:
    assert facts_in(text).genre == genre


def test_names_are_those_that_composed_music_teaches() -> None:
    assert {part for name in _INSTRUMENTS for part in name.split("/")} <= INSTRUMENT_NAMES.keys()
    assert _GENRES.keys() <= GENRE_WORDS.keys()


def test_of_the_facts_written_down_for_the_prompts_most_are_found_and_none_contradicted() -> None:
    known = found = 0
    for asked in load().values():
        facts = facts_in(asked.text)
        if facts.key is not None:
            assert facts.key == asked.key, asked.text
        if isinstance(facts.tempo_bpm, float):
            assert facts.tempo_bpm == asked.tempo_bpm, asked.text
        known += (asked.tempo_bpm is not None) + (asked.key is not None) + len(asked.instruments)
        found += (facts.tempo_bpm == asked.tempo_bpm is not None) + (facts.key == asked.key is not None)
        heard = [set(name.split("/")) for name in facts.instruments]
        found += sum(any(set(choice.split("/")) & names for names in heard) for choice in asked.instruments)
        for names in heard:  # nothing that nobody wrote down
            assert any(set(choice.split("/")) & names for choice in asked.instruments), asked.text
    assert found >= 0.9 * known
