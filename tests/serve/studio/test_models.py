"""What a studio offers: a list, and nothing beyond it."""

import pytest

from cadenza.errors import UserError
from cadenza.serve.studio.asked import Asked
from cadenza.serve.studio.library import Missing
from cadenza.serve.studio.models import Shelf
from cadenza.serve.studio.settings import StudioSettings


def test_the_own_model_comes_first_and_the_rest_is_known_without_loading(tiny_directory, tiny):
    asked: list[str | None] = []
    shelf = Shelf(StudioSettings(model=str(tiny_directory)), lambda source: asked.append(source) or tiny)
    names = list(shelf.offers)
    assert names[:2] == ["tiny", "cadenza-embedded"]
    assert "facebook/musicgen-melody" in names
    assert (shelf.default, shelf.find(None).name, shelf.find("embedded").name) == ("tiny", "tiny", "cadenza-embedded")
    own = shelf.find("tiny")
    assert (own.sample_rate, own.conditions) == (32000, ("text", "melody", "plan"))
    assert shelf.find("facebook/musicgen-melody").conditions == ("text", "melody")
    assert not asked
    assert shelf.open("tiny") is tiny
    assert shelf.open("cadenza-embedded") is tiny
    assert asked == [str(tiny_directory), None]
    for name in (str(tiny_directory), "../tiny", "facebook/other"):
        with pytest.raises(Missing, match="choose one of tiny"):
            shelf.find(name)


def test_what_a_model_does_not_hear_is_refused(tiny_directory):
    shelf = Shelf(StudioSettings(model=str(tiny_directory)))
    asked = Asked(text="x", plan={"tempo_bpm": 100})
    shelf.check(shelf.find("tiny"), asked)
    with pytest.raises(UserError, match="is told no plan"):
        shelf.check(shelf.find("facebook/musicgen-small"), asked)


def test_words(tiny_directory):
    words = Shelf(StudioSettings(model=str(tiny_directory))).vocabulary()
    assert words.genres == ["jazz", "techno"]
    embedded = Shelf(StudioSettings()).vocabulary()
    assert "bossa nova" in embedded.genres
    assert "piano" in embedded.instruments
    assert embedded.moods
    assert "A minor" in embedded.keys
    assert embedded.examples
    assert Shelf(StudioSettings(model="facebook/musicgen-small")).vocabulary().genres == []


def test_a_model_that_is_not_there(tmp_path):
    with pytest.raises(UserError, match="no model"):
        Shelf(StudioSettings(model="musicgen-smal"))
    with pytest.raises(UserError):
        Shelf(StudioSettings(model=str(tmp_path)))
