"""Letters of other alphabets in ASCII."""

import pytest

from cadenza.jukebox.transliterate import transliterate


@pytest.mark.parametrize(
    ("text", "spelt"),
    [
        ("plain\ttext\n", "plain\ttext\n"),
        ("Ærøskøbing, Straße, Łódź, Þór", "AEroskobing, Strasse, Lodz, Thor"),
        ("Щука, объезд, ёлка", 'Shchuka, ob"ezd, elka'),
        ("Ωδή, ψυχής", "Ode, psukhes"),
        ("“a” – b — c…", '"a" - b -- c...'),
        ("2½ €", "2 1/2 EUR"),
        ("e\u0301\u00a0\u2028", "e \n"),
        ("夜 ♪", " "),
    ],
)
def test_alphabets_are_spelt_out(text: str, spelt: str) -> None:
    assert transliterate(text) == spelt
    assert spelt.isascii()
