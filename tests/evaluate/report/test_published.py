"""The papers' figures: each names its source and its setting."""

from cadenza.evaluate.report.published import PUBLISHED


def test_every_row_says_where_it_stands_and_what_it_was_measured_with() -> None:
    assert all(one.source and one.setting for one in PUBLISHED)
    assert all(any(v is not None for v in (one.fad, one.kl, one.text, one.chroma)) for one in PUBLISHED)


def test_the_cards_of_musicgen() -> None:
    cards = {one.model: one for one in PUBLISHED}
    small = cards["MusicGen small (300M)"]
    assert (small.fad, small.kl, small.text) == (4.88, 1.42, 0.27)
    assert cards["MusicGen melody (1.5B)"].chroma == 0.44
