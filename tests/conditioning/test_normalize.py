"""Normalised text: known answers, and what must hold for any sentence."""

import random
import sys

import pytest

from cadenza.conditioning import normalize
from cadenza.conditioning.normalize import STOP_WORDS, normalize_text
from cadenza.errors import UserError


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Drums and guitars, playing slowly", "drum guitar play slowly"),
        ("A slow sad piano piece in A minor, 82 bpm.", "slow sad piano piece a minor 82 bpm"),
        ("No drums; it's the singer’s lo-fi R&B (80s)...", "no drum singer lo-fi r&b 80s"),
        ("4/4, 120.5 BPM, at 3:45", "4/4 120.5 bpm 3:45"),
        ("She sang the blues without basses", "sing blues without bass"),
        ("key: a minor. bpm: 120.0. moods: happy, sad", "key a minor bpm 120.0 mood happy sad"),
        ("A# minor, Bb major, a sharp", "a# minor bb major a sharp"),
        ("музыка, 日本の音楽 🎹", "музыка 日本の音楽 🎹"),
        ("up-tempo 'quoted' synths -- rising", "up-tempo quote synths rise"),
        ("the", ""),
        (" ... -- ,\n", ""),
        ("", ""),
    ],
)
def test_known_answers(text: str, expected: str) -> None:
    assert normalize_text(text) == expected


def test_any_sentence() -> None:
    """Case, signs at the edges and white space do not matter; no stop word is left; words keep their order."""
    draw = random.Random(0)
    words = ["Guitars", "drums", "THE", "and", "singing", "with", "slower", "it's", "quickly", "Violins", "no", "of"]
    for _ in range(200):
        chosen = draw.choices(words, k=draw.randrange(1, 12))
        result = normalize_text(" ".join(chosen))
        assert normalize_text("  " + ",\n ".join(word.upper() for word in chosen) + "!") == result
        assert not STOP_WORDS.intersection(result.split())
        assert result.split() == [piece for word in chosen for piece in normalize_text(word).split()]


def test_a_missing_package_is_one_clear_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "lemminflect", None)
    normalize._dictionary.cache_clear()
    with pytest.raises(
        UserError, match=r"^normalised text needs the package lemminflect: pip install 'cadenza\[text\]'$"
    ):
        normalize_text("piano")
