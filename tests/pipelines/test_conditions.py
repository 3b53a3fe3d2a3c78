"""Melodies, styles and given features through the whole pipeline, with a tiny model that follows none of them well."""

import logging
import threading
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

from cadenza.audio import Audio
from cadenza.conditioning.cache import FeatureCache, content_key
from cadenza.conditioning.chroma import ChromaConditioner, Melody
from cadenza.errors import UserError
from cadenza.lm.generate import GenerationConfig
from cadenza.pipelines.musicgen import MusicGen
from cadenza.testing import tiny_musicgen


@pytest.fixture(scope="module")
def music() -> MusicGen:
    model = tiny_musicgen(melody=True, max_duration_seconds=1.0)
    model.pack()
    return model


def tune(*hz: float, seconds: float = 0.5, rate: int = 32000) -> Audio:
    time = np.arange(int(seconds * rate)) / rate
    samples = np.concatenate([0.3 * np.sin(2 * np.pi * f * time) for f in hz])[None].astype(np.float32)
    return Audio(samples, rate)


RISING, FALLING = tune(262, 294, 330, 349), tune(349, 330, 294, 262)


def same(a: Audio, b: Audio) -> bool:
    return np.array_equal(a.samples, b.samples)


def test_a_melody_makes_a_difference_and_belongs_to_its_time(music: MusicGen) -> None:
    plain = music.generate("x", duration=0.8, seed=1, greedy=True)
    rising = music.generate("x", duration=0.8, seed=1, greedy=True, melody=RISING)
    assert not same(plain, rising)
    later = tune(262, 294, 440, 440)  # the same for one second, another behind the end of the piece
    assert same(rising, music.generate("x", duration=0.8, seed=1, greedy=True, melody=later))


def test_streams_schedulers_and_company_give_the_same(music: MusicGen) -> None:
    alone = music.generate("x", duration=1.4, seed=1, melody=RISING)
    pieces = list(music.stream("x", duration=1.4, seed=1, melody=RISING))
    assert np.array_equal(np.concatenate([piece.samples for piece in pieces], axis=1), alone.samples)
    both = music.generate(["x", "y", "z"], duration=1.4, seed=[1, 2, 3], melody=[RISING, FALLING, None])
    assert same(both[0], alone)
    assert same(both[2], music.generate("z", duration=1.4, seed=3))
    with music.scheduler(max_requests=2) as scheduler:
        first = scheduler.submit("x", duration=1.4, seed=1, melody=RISING)
        second = scheduler.submit("y", duration=1.4, seed=2, melody=FALLING)
        assert same(first.result(), alone)
        assert same(second.result(), both[1])


def test_a_melody_goes_with_an_audio_prompt_and_a_timeline(music: MusicGen) -> None:
    begun = music.generate("x", duration=0.4, seed=1, melody=RISING)
    longer = music.generate([(0, "x"), (1, "y")], duration=1.6, seed=2, melody=RISING, prompt=begun)
    assert longer.num_samples == round(1.6 * 32000)
    assert not same(longer, music.generate([(0, "x"), (1, "y")], duration=1.6, seed=2, prompt=begun))


def test_a_take_with_a_melody_is_rendered_again(music: MusicGen, tmp_path: Any) -> None:
    take = music.generate("x", duration=1.4, seed=1, melody=RISING)
    take.write(tmp_path / "take.flac")
    again = music.regenerate(Audio.read(tmp_path / "take.flac"))
    assert same(again, take)
    assert "conditions" not in music.generate("x", duration=0.1, seed=1).metadata


def test_features_stand_in_for_values(music: MusicGen, caplog: pytest.LogCaptureFixture) -> None:
    from_audio = music.generate("x", duration=1.4, seed=1, melody=RISING)
    chroma = music.conditioning.conditioner("melody").prepare([RISING])[0]
    assert same(music.generate("x", duration=1.4, seed=1, conditions={"melody": chroma}), from_audio)
    plain = music.generate("a slow waltz", duration=0.5, seed=1)
    words = music.conditioning.conditioner("description").prepare(["a slow waltz"])[0]
    caplog.clear()
    assert same(music.generate("", duration=0.5, seed=1, conditions={"description": words}), plain)
    assert not caplog.records  # no word about an empty prompt: it is not the one that is heard


@pytest.fixture
def analyses(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The lengths of the waveforms that were analysed."""
    seen: list[int] = []
    analyse: Callable[..., torch.Tensor] = ChromaConditioner.analyse

    def counted(self: ChromaConditioner, wave: torch.Tensor) -> torch.Tensor:
        seen.append(wave.shape[0])
        return analyse(self, wave)

    monkeypatch.setattr(ChromaConditioner, "analyse", counted)
    return seen


def test_a_melody_is_analysed_once(music: MusicGen, analyses: list[int]) -> None:
    """However many windows, sections of a timeline, chunks, requests: content decides."""
    melody = tune(500, 600, 700)
    for _ in music.stream([(0, "x"), (1.5, "y")], duration=3, seed=1, melody=melody):
        pass
    assert len(analyses) == 1
    music.generate(["p", "q"], duration=0.5, melody=Audio(melody.samples.copy(), 32000))
    assert len(analyses) == 1
    music.generate("x", duration=0.5, melody=tune(500, 600, 701))
    assert len(analyses) == 2
    music.forget()
    music.generate("x", duration=0.5, melody=melody)
    assert len(analyses) == 3


def test_content_decides() -> None:
    assert content_key(RISING) == content_key(Audio(RISING.samples.copy(), 32000))
    assert content_key(RISING) != content_key(FALLING)
    assert content_key(RISING) != content_key(Audio(RISING.samples, 16000))
    assert content_key(Melody(RISING)) != content_key(Melody(RISING, "none"))
    assert content_key("1") != content_key(1)
    assert content_key(torch.zeros(1, 12)) is None
    assert content_key((1, torch.zeros(1, 12))) is None


def test_the_cache_forgets_the_oldest(music: MusicGen, analyses: list[int]) -> None:
    tunes = [tune(300 + i, 400 + i) for i in range(3)]
    one = music.conditioning.conditioner("melody").prepare([tunes[0]])[0]
    assert one is not None
    analyses.clear()
    cache = FeatureCache(max_bytes=2 * one.nbytes)
    for melody in (tunes[0], tunes[1], tunes[0], tunes[2], tunes[0], tunes[1]):
        cache.prepare(music.conditioning, {"melody": melody})
    assert len(analyses) == 4  # tunes[1] was forgotten when tunes[2] came, because tunes[0] had been used since


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"melody": tune(440, seconds=0.1)}, r"the melody lasts 0\.1000 s \(3200 samples\): give at least 0\.128 s"),
        ({"melody": Audio(np.zeros((1, 32000), np.float32), 32000)}, "the melody is silent for 1 s: give a recording"),
        ({"conditions": {"melody": "tune.wav"}}, r"a str has no melody: give a recording with a melody \(Audio\)"),
        ({"melody": [RISING, FALLING]}, "2 melodies for 1 prompts"),
        ({"style": RISING}, r"tiny cannot take on a style, it listens to description: a sentence, melody: a recording"),
        ({"conditions": {"chords": "C F G"}}, "no condition 'chords': it listens to description: a sentence, melody"),
        (
            {"conditions": {"melody": torch.zeros(3, 11)}},
            r"a tensor \[3, 11\] is no condition: give \[length, 12\], or",
        ),
        ({"conditions": {"melody": torch.full((3, 12), torch.nan)}}, "holds NaN"),
        ({"conditions": {"melody": RISING}, "melody": RISING}, "are the same: give one of them"),
        ({"melody": Melody("tune.wav")}, "a str has no melody: give a recording"),  # type: ignore[arg-type]
    ],
)
def test_what_cannot_be_followed_is_refused(music: MusicGen, arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        music.generate("x", duration=0.5, **arguments)


def test_a_scheduler_hears_melodies_in_the_thread_that_asks(music: MusicGen, monkeypatch: pytest.MonkeyPatch) -> None:
    """Separating stems takes seconds: the others play on meanwhile. What cannot be followed is refused at once."""
    heard_in: list[int] = []
    analyse: Callable[..., torch.Tensor] = ChromaConditioner.analyse

    def noted(self: ChromaConditioner, wave: torch.Tensor) -> torch.Tensor:
        heard_in.append(threading.get_ident())
        return analyse(self, wave)

    monkeypatch.setattr(ChromaConditioner, "analyse", noted)
    with music.scheduler(max_requests=1) as scheduler:
        rendering = scheduler.submit("x", duration=0.2, seed=1, melody=tune(333, 444))
        with pytest.raises(UserError, match="the melody is silent"):
            scheduler.submit("x", duration=0.2, melody=Audio(np.zeros((1, 32000), np.float32), 32000))
        rendering.result()
    assert heard_in == [threading.get_ident()]


def test_given_features_may_have_any_precision(music: MusicGen) -> None:
    vectors = torch.randn(20, 12, generator=torch.Generator().manual_seed(0)).bfloat16()
    take = music.generate("x", duration=0.3, seed=1, conditions={"melody": vectors})
    assert same(take, music.generate("x", duration=0.3, seed=1, conditions={"melody": vectors.float()}))
    assert same(take, music.regenerate(take))


def test_contradicting_counts_are_refused(music: MusicGen) -> None:
    with pytest.raises(UserError, match="1 melodies for 2 prompts: give one per prompt, or a single one for all"):
        music.generate(["x", "y"], duration=0.5, melody=[RISING])
    with pytest.raises(UserError, match="3 seeds for 2 prompts"):
        music.generate(["x", "y"], duration=0.5, melody=RISING, seed=[1, 2, 3])


def test_a_melody_longer_than_the_piece_is_said(music: MusicGen, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, "cadenza"):
        music.generate("x", duration=0.5, melody=RISING)
    assert "the melody lasts 2.0 s, the piece 0.5 s: its beginning is followed" in caplog.text


def test_the_opening_is_kept_in_view_unless_a_melody_passes(music: MusicGen) -> None:
    plain, anchored = (
        GenerationConfig(duration=1.6, extend_stride=0.5),
        GenerationConfig(duration=1.6, extend_stride=0.5, anchor=0.3),
    )
    before, after = music.generate("x", seed=1, config=plain), music.generate("x", seed=1, config=anchored)
    assert np.array_equal(before.samples[:, :16000], after.samples[:, :16000])
    assert not same(before, after)
    assert same(music.regenerate(after), after)
    assert same(*(music.generate("x", seed=1, config=one, melody=RISING) for one in (plain, anchored)))
