"""Jukebox, whole: what stops goes on as if it had not, and its levels are the reference's."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from cadenza.audio import Audio
from cadenza.convert.openai_jukebox_vqvae import read_vqvae
from cadenza.errors import CheckpointError, UserError
from cadenza.jukebox.song import Song
from cadenza.pipelines.jukebox import Jukebox, JukeboxConfig
from cadenza.pipelines.jukebox_labels import LabelBook
from cadenza.pipelines.jukebox_making import JukeboxProgress
from cadenza.pipelines.jukebox_parts import PriorShelf
from cadenza.pipelines.jukebox_request import JukeboxAsked, understand
from cadenza.testing import noise, tiny_jukebox
from jukebox_priors import LEVEL_0, LEVEL_1, LYRICS_BESIDE, PARITY, oracle

MODEL = tiny_jukebox(context_length=16)
"""4 kHz: windows of 16 codes, which begin 2 codes apart at the top and 8 below."""
ASKED: dict[str, Any] = {"artist": "ada", "genre": "folk", "lyrics": "la la la, oh la la", "duration": 0.64, "seed": 4}
"""20 codes of the top level in 3 windows, 80 of the middle one in 9."""


def codes_of(directory: Path, level: int) -> torch.Tensor:
    return Song.open(directory).codes(level)


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Audio, list[JukeboxProgress], dict[int, Audio]]:
    """A song that was made at once, what it reported and its previews."""
    state = tmp_path_factory.mktemp("jukebox") / "song"
    told: list[JukeboxProgress] = []
    heard: dict[int, Audio] = {}
    audio = MODEL.generate(
        **ASKED,
        down_to=1,
        state=state,
        progress=told.append,
        preview=lambda level, audios: heard.update({level: audios[0]}),
    )
    return state, audio, told, heard


def test_a_song_is_as_long_as_asked_and_says_how_far_it_is(whole: Any) -> None:
    _, audio, told, heard = whole
    assert audio.samples.shape == (1, 2560)
    assert [one.done for one in told] == list(range(1, 101))
    assert {one.total for one in told} == {100}
    assert told[19] == JukeboxProgress(20, 100, 2, 20, 20)
    assert told[20] == JukeboxProgress(21, 100, 1, 1, 80)
    assert list(heard) == [2, 1]
    assert np.array_equal(heard[1].samples, audio.samples)
    assert not np.array_equal(heard[2].samples, audio.samples)
    assert (heard[2].metadata["level"], heard[2].metadata["complete"]) == (2, False)


def test_stopped_after_every_window_it_goes_on_bit_by_bit_the_same(whole: Any, tmp_path: Path) -> None:
    state, audio, _, _ = whole
    seen = 0

    def when_a_window_is_through() -> bool:
        """One code into the next one, which is lost."""
        nonlocal seen
        count = sum(path.stat().st_mtime_ns for path in (tmp_path / "song").glob("codes_*"))
        seen, before = count, seen
        return count != before

    made, stops = MODEL.generate(**ASKED, down_to=1, state=tmp_path / "song", should_stop=when_a_window_is_through), 0
    while not made.metadata["complete"]:
        stops += 1
        made = MODEL.resume(tmp_path / "song", should_stop=when_a_window_is_through)
    assert stops == 11  # windows but the last
    assert np.array_equal(made.samples, audio.samples)
    for level in (1, 2):
        assert torch.equal(codes_of(tmp_path / "song", level), codes_of(state, level))


def test_an_interruption_in_the_midst_of_a_window_loses_no_finished_one(whole: Any, tmp_path: Path) -> None:
    def interrupt(progress: JukeboxProgress) -> None:
        if progress.done == 45:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        MODEL.generate(**ASKED, down_to=1, state=tmp_path / "song", progress=interrupt)
    assert codes_of(tmp_path / "song", 1).shape == (1, 24)
    assert np.array_equal(MODEL.resume(tmp_path / "song").samples, whole[1].samples)


def test_what_was_made_until_a_stop_is_returned() -> None:
    calls = iter(range(100))
    audio = MODEL.generate(**ASKED, should_stop=lambda: next(calls) == 17)
    assert audio.samples.shape == (1, 16 * 128)  # the first window of the top level
    assert audio.metadata["complete"] is False
    assert MODEL.generate(**ASKED, should_stop=lambda: True).num_samples == 0


def test_a_finer_level_can_be_asked_for_later(whole: Any, tmp_path: Path) -> None:
    top = MODEL.generate(**ASKED, down_to=2, state=tmp_path / "song")
    assert np.array_equal(top.samples, whole[3][2].samples)
    assert np.array_equal(MODEL.resume(tmp_path / "song", down_to=1).samples, whole[1].samples)
    finished = MODEL.resume(tmp_path / "song")
    assert np.array_equal(finished.samples, whole[1].samples)
    with pytest.raises(UserError, match="no level 7"):
        MODEL.resume(tmp_path / "song", down_to=7)


def test_items_do_not_depend_on_their_company(whole: Any) -> None:
    """One beside another has the codes that it has alone; so it has again from what it says about itself."""
    both = MODEL.generate(**ASKED | {"artist": ["bela", "ada"], "seed": [1, 4]}, down_to=2)
    alone = whole[3][2].samples
    rounding = {"rtol": 0, "atol": 1e-5 * np.abs(alone).max()}  # of the decoder; another code is seen at once
    np.testing.assert_allclose(both[1].samples, alone, **rounding)
    assert not np.allclose(both[0].samples, alone, **rounding)
    np.testing.assert_allclose(MODEL.regenerate(both[1]).samples, alone, **rounding)


def test_a_song_goes_on_from_a_recording_and_is_made_again_from_its_file(tmp_path: Path) -> None:
    prompt = noise(0.3, sample_rate=8000, channels=2)
    audio = MODEL.generate(duration=0.32, prompt=prompt, seed=1, down_to=1)
    expected = MODEL.vqvae.encode(torch.from_numpy(prompt.resample(4000).with_channels(1).samples[None, :, :1152]))
    again = MODEL.regenerate(Audio.read(audio.write(tmp_path / "x.wav")))
    assert np.array_equal(again.samples, audio.samples)
    assert again.metadata == audio.metadata
    # Far enough from the end of the prompt, its sound is that of its codes alone.
    alone = MODEL.vqvae.decode(expected[1], 1)[0, :, :640]
    np.testing.assert_allclose(audio.samples[:, :640], alone, rtol=0, atol=1e-4 * float(alone.abs().max()))


def test_it_says_what_was_sung_when(whole: Any) -> None:
    state, _, _, _ = whole
    (sung,) = MODEL.align(state)
    assert sung.text == ASKED["lyrics"]
    assert sung.weights.shape == (20, len(ASKED["lyrics"]))
    assert sung.codes_per_second == 31.25
    assert (sung.weights >= 0).all()
    assert (sung.weights.sum(1) > 0).all()


def test_there_must_be_something_to_align(tmp_path: Path) -> None:
    stopped = iter([False, True])
    MODEL.generate(**ASKED, state=tmp_path / "half", should_stop=lambda: next(stopped))
    with pytest.raises(UserError, match="is not complete: resume it first"):
        MODEL.align(tmp_path / "half")
    MODEL.generate(duration=0.032, down_to=2, state=tmp_path / "mute")
    with pytest.raises(UserError, match="has no lyrics"):
        MODEL.align(tmp_path / "mute")


@pytest.mark.parametrize("level", range(3))
def test_a_reconstruction_is_the_vqvaes_own(level: int) -> None:
    audio = noise(0.1, 4000)
    made = MODEL.reconstruct(audio, level)
    hop = (8, 32, 128)[level]
    assert made.num_samples == 400 // hop * hop
    codes = MODEL.vqvae.encode(torch.from_numpy(audio.samples[None]), [level])[0]
    np.testing.assert_allclose(made.samples, MODEL.vqvae.decode(codes, level)[0], rtol=0, atol=1e-5)
    with pytest.raises(UserError, match="no level 3"):
        MODEL.reconstruct(audio, 3)


# ---- the model directory ---------------------------------------------------------------------------------------------


def test_a_saved_model_is_the_same_and_holds_one_prior(whole: Any, tmp_path: Path) -> None:
    MODEL.save_pretrained(tmp_path / "model")
    assert json.loads((tmp_path / "model" / "config.json").read_text())["type"] == "jukebox"
    loaded = Jukebox.from_pretrained(tmp_path / "model", "cpu")
    seen = []
    for level in (2, 1):
        seen.append(loaded.priors[level])
        assert [held for held, _ in filter(None, [loaded.priors._held])] == [level]
    for ours, theirs in zip(seen, (MODEL.priors[2], MODEL.priors[1]), strict=True):
        ours.train()  # takes weights out of their packed form
        for name, tensor in theirs.state_dict().items():
            assert torch.equal(ours.state_dict()[name], tensor)
    assert loaded.labels.artist("ada", ["v3"]) == {"v3": 1}
    loaded.save_pretrained(tmp_path / "copy")
    assert Jukebox.from_pretrained(tmp_path / "copy", "cpu").weights == loaded.weights
    with pytest.raises(UserError, match="something else than a model"):
        loaded.save_pretrained(tmp_path)


def test_a_song_of_other_weights_is_not_gone_on_with(whole: Any) -> None:
    other = tiny_jukebox(seed=1, context_length=16)
    with pytest.raises(UserError, match="the song was begun by tiny-jukebox with a vqvae of weights"):
        other.resume(whole[0])
    with pytest.raises(UserError, match="load that model"):
        other.regenerate(whole[1])


def test_parts_that_do_not_fit_are_refused() -> None:
    with pytest.raises(CheckpointError, match="prior_2 is for codes of another VQ-VAE"):
        Jukebox(MODEL.vqvae, PriorShelf(priors={2: oracle(LYRICS_BESIDE).prior}))
    with pytest.raises(CheckpointError, match="3 levels need as many hop_fractions"):
        Jukebox(MODEL.vqvae, MODEL.priors, JukeboxConfig(hop_fractions=(0.5,)))


# ---- against the reference -------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def reference() -> Jukebox:
    """The four parts of the oracles as one model; labels by id."""
    priors = {level: oracle(name).prior for level, name in enumerate((LEVEL_0, LEVEL_1, LYRICS_BESIDE))}
    vqvae = read_vqvae(PARITY / "jukebox_vqvae_tiny" / "vqvae.pth.tar")
    return Jukebox(vqvae, PriorShelf(priors=priors), JukeboxConfig(name="oracle"), LabelBook())


@pytest.mark.parametrize("key", ["windowed_argmax", "windowed_argmax_primed"])
@pytest.mark.parametrize("level", [2, 1, 0])
def test_every_level_ends_as_in_the_reference(level: int, key: str, reference: Jukebox, tmp_path: Path) -> None:
    """Greedy tokens of its last two windows, from labels in seconds and lyrics in words; a song that was stopped."""
    found = oracle((LEVEL_0, LEVEL_1, LYRICS_BESIDE)[level])
    expected, item = found.io[key][:1], found.settings["label_records"][0]
    hop, rate = (8, 32, 128)[level], 44100
    ids = {"artist": {"v2": item["artist_id"]}, "genre": {"v2": tuple(item["genre_ids"])}}
    asked = JukeboxAsked(
        **ids,
        lyrics=item["lyrics"],
        duration=160 * hop / rate,
        total_duration=item["total_length"] / rate if level == 2 else None,
        offset=item["offset"] / rate if level == 2 else 0.0,
        temperature=0.0,
        down_to=level,
        seed=0,
    )
    request, _ = understand(asked, reference.facts)
    window = found.settings["runs"]["windowed"]
    assert request.sampling[level].hop == window["hop"]
    given = expected[:, : window["starts"][-2] + 96 - 4]
    codes = {level: given}
    if level < 2:
        codes |= {level + 1: found.io["windowed.upper_codes"][:1]}
    if level == 0:
        codes |= {2: torch.zeros(1, 10, dtype=torch.long)}
    Song.begin(request, codes, tmp_path / "song")
    reference.resume(tmp_path / "song")
    assert torch.equal(codes_of(tmp_path / "song", level), expected)
