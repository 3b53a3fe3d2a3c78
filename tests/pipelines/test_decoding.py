"""A diffusion decoder in place of the codec: in one piece, streamed, scheduled, in stereo, again from its record."""

import numpy as np
import pytest

from cadenza import UserError
from cadenza.diffusion.settings import DiffusionSettings
from cadenza.testing import tiny_codec, tiny_diffusion_decoder, tiny_musicgen


@pytest.fixture(scope="module")
def music():
    music = tiny_musicgen()
    music.decoder = tiny_diffusion_decoder()
    music.decoder.settings = DiffusionSettings(calls=1, window_seconds=0.2, context_seconds=0.1)
    return music


def test_every_way_of_making_it_is_the_same(music):
    whole = music.generate("x", 0.5, seed=3)
    streamed = list(music.stream("x", 0.5, seed=3))
    assert len(streamed) == 2  # two windows: the second is short, and in the first one's context begins
    np.testing.assert_array_equal(np.concatenate([part.samples for part in streamed], 1), whole.samples)
    with music.scheduler(1) as scheduler:
        np.testing.assert_array_equal(scheduler.submit("x", 0.5, seed=3).result().samples, whole.samples)
    np.testing.assert_array_equal(music.regenerate(whole).samples, whole.samples)


def test_it_is_the_decoder_that_sounds(music):
    made = music.generate("x", 0.2, seed=3)
    decoder, music.decoder = music.decoder, None
    plain = music.generate("x", 0.2, seed=3)
    assert plain.samples.shape == made.samples.shape
    assert not np.allclose(plain.samples, made.samples, atol=1e-3)
    assert "decoder" not in plain.metadata
    with pytest.raises(UserError, match=r"decoded by tiny-diffusion .* none is here"):
        music.regenerate(made)
    music.decoder = decoder
    np.testing.assert_array_equal(music.regenerate(plain).samples, plain.samples)


def test_the_record_says_what_decoded(music):
    record = music.generate("x", 0.1, seed=3).metadata["decoder"]
    assert record == {
        "name": "tiny-diffusion",
        "weights": music.decoder.weights,
        "settings": music.decoder.settings.model_dump(),
    }


def test_the_settings_of_the_record_count(music):
    made = music.generate("x", 0.2, seed=3)
    settings = music.decoder.settings
    music.decoder.settings = DiffusionSettings(calls=3, solver="dpm")
    np.testing.assert_array_equal(music.regenerate(made).samples, made.samples)
    music.decoder.settings = settings


def test_other_decoders_are_refused(music):
    with pytest.raises(UserError, match="codes mean other sounds"):
        music.decoder = tiny_diffusion_decoder(codec=tiny_codec(seed=1))
    made = music.generate("x", 0.1, seed=3)
    decoder, music.decoder = music.decoder, tiny_diffusion_decoder(seed=5, codec=tiny_codec())
    with pytest.raises(UserError, match="this is tiny-diffusion"):
        music.regenerate(made)
    music.decoder = decoder


def test_stereo():
    music = tiny_musicgen(stereo=True)
    music.decoder = tiny_diffusion_decoder()
    made = music.generate("x", 0.2, seed=3)
    assert made.samples.shape == (2, 6400)
    assert not np.array_equal(*made.samples)
    np.testing.assert_array_equal(music.regenerate(made).samples, made.samples)


def test_a_batch_is_its_items(music):
    a, b = music.generate(["x", "y"], 0.2, seed=[3, 8])
    np.testing.assert_array_equal(music.generate("y", 0.2, seed=8).samples, b.samples)
    assert a.metadata["seed"] == 3
