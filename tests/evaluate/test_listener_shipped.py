"""The ear that ships: its file, its card, who plays on a few rendered notes, and that damage shows."""

import json
import runpy
import shutil
from pathlib import Path

import numpy as np
import pytest

from cadenza.audio import Audio
from cadenza.checkpoint import file_hash
from cadenza.corpus.render import SOUNDFONT_PLACES, render
from cadenza.corpus.score import Meter, Note, Part, Score, Section
from cadenza.corpus.theory import Key
from cadenza.evaluate.embedders.listener import ASSETS, Listener
from cadenza.testing import noise
from cadenza.train.damage import add_noise, low_pass

RECIPES = Path(__file__).parents[2] / "recipes"
HAS_FLUIDSYNTH = shutil.which("fluidsynth") and any(Path(place).is_file() for place in SOUNDFONT_PLACES)


@pytest.fixture(scope="module")
def listener() -> Listener:
    return Listener.embedded()


@pytest.fixture(scope="module")
def metrics() -> dict:
    return json.loads((ASSETS / "metrics.json").read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def music() -> Audio:
    return play("synth pad", (48, 55, 60, 64), "synth lead", (72, 74, 76, 79))


def play(*parts: str | tuple[int, ...]) -> Audio:
    """Eight seconds: names and pitches in turn, each pitch for half a second, again and again."""
    written = tuple(
        Part(name, "melody", tuple(Note(float(i), 0.95, pitches[i % len(pitches)], 90) for i in range(16)))
        for name, pitches in zip(parts[::2], parts[1::2], strict=True)
    )
    section = Section("verse", 0, 4, ("I", "") * 4, Key(0, "major"))
    score = Score(0, "test", 120.0, Key(0, "major"), Meter(4), (), (section,), written)
    return Audio(render(score)[: 8 * 32000], 32000)


def test_file_and_metrics_are_of_one_listener(listener: Listener, metrics: dict) -> None:
    config = listener.config
    assert metrics["parameters"] == sum(parameter.numel() for parameter in listener.parameters())
    assert metrics["held_out"]["instruments"]["known"] == len(set(config.instruments)) == len(config.instruments)
    assert metrics["held_out"]["genres"]["known"] == len(set(config.genres)) == len(config.genres)
    assert set(metrics["held_out"]["instruments"]["each"]) <= set(config.instruments)
    assert (ASSETS / "model.safetensors").stat().st_size < 4_000_000
    assert sum(path.stat().st_size for path in ASSETS.iterdir()) < 8_000_000  # measured true music included
    assert listener.identity.weights == file_hash(ASSETS / "model.safetensors")
    assert Listener.embedded() is listener


def test_the_card_says_what_was_measured(metrics: dict) -> None:
    card = runpy.run_path(str(RECIPES / "evaluator_card.py"))["card"]
    assert (ASSETS / "README.md").read_text(encoding="utf-8") == card(metrics)


def test_it_is_good_enough_to_judge_by(metrics: dict) -> None:
    held_out = metrics["held_out"]
    assert held_out["instruments"]["recall"]["low"] >= 0.9  # so that a missing instrument is the music's fault
    assert held_out["genres"]["accuracy"]["mean"] >= 0.88  # the second composer's genres lend each other more
    assert held_out["text"]["longest_caption"]["true_above_shuffled"] >= 0.9
    damage = {name: figures["fad"] for name, figures in held_out["damage"].items()}
    for kind, severities in {
        "noise at {} dB": (30, 20, 10), "low-pass at {} kHz": (8, 4, 2), "clipping by {} dB": (6, 12),
        "smear {}": (0.25, 0.5), "silent for {} %": (20,),
    }.items():  # fmt: skip
        distances = [damage["undamaged"], *(damage[kind.format(severity)] for severity in severities)]
        assert distances == sorted(distances), kind
    for what, how in (("tempo", "same"), ("tempo", "or_octave"), ("key", "same"), ("key", "mirex")):
        learnt, estimated = (held_out[what][way][how] for way in ("learnt", "estimated"))
        assert learnt["mean"] > estimated["mean"], (what, how)


def test_it_hears_our_synthesiser(listener: Listener, music: Audio) -> None:
    heard = listener.heard(listener.instrument_probabilities(music))
    assert {"synth pad", "synth lead"} <= set(heard)
    assert len(heard) <= 4


@pytest.mark.skipif(not HAS_FLUIDSYNTH, reason="needs fluidsynth and a soundfont")
@pytest.mark.parametrize(
    ("name", "pitches"),
    [("piano", (48, 60, 64, 67)), ("flute", (72, 76, 79)), ("trumpet", (60, 64, 67)), ("drums", (36, 42, 38, 42))],
)
def test_it_hears_a_player_alone(listener: Listener, name: str, pitches: tuple[int, ...]) -> None:
    assert next(iter(listener.instrument_probabilities(play(name, pitches)))) == name


@pytest.mark.parametrize("bpm", [90.0, 128.0])
def test_it_taps_along(listener: Listener, bpm: float) -> None:
    drums = Part("drum machine", "drums", tuple(Note(float(i), 0.2, (36, 38)[i % 2], 100) for i in range(24)))
    hats = Part("drum machine", "drums", tuple(Note(i / 2, 0.1, 42, 70) for i in range(48)))
    score = Score(
        0,
        "test",
        bpm,
        Key(0, "major"),
        Meter(4),
        (),
        (Section("verse", 0, 6, ("I", "") * 6, Key(0, "major")),),
        (drums, hats),
    )
    tempo = listener.tempo(Audio(render(score)[: 10 * 32000], 32000))
    assert tempo.bpm == pytest.approx(bpm, rel=0.04)


@pytest.mark.parametrize(("tonic", "third"), [(0, 4), (2, 3)])
def test_it_finds_the_tonic(listener: Listener, tonic: int, third: int) -> None:
    chords = tuple(48 + tonic + step for step in (0, third, 7, 12, 5, 9 if third == 4 else 8, 12, 7, 11, 14, 7, 12))
    found = listener.key(play("synth pad", chords, "synth bass", (36 + tonic, 36 + tonic, 41 + tonic, 43 + tonic)))
    assert found is not None and (found.tonic, found.mode) == (tonic, "major" if third == 4 else "minor")


def test_damage_shows_the_more_of_it_there_is(listener: Listener, music: Audio) -> None:
    whole = listener.embed(music).mean(axis=0)
    for kind in (add_noise, low_pass):
        distances = []
        for severity in (0.2, 0.5, 0.8):
            samples = kind(music.samples[0], 32000, severity, np.random.default_rng(0))
            distances.append(float(np.linalg.norm(listener.embed(Audio(samples, 32000)).mean(axis=0) - whole)))
        assert distances == sorted(distances), kind
        assert distances[0] > 0.1 * distances[-1]  # already mild damage is more than nothing


def test_level_and_number_of_channels_tell_nothing(listener: Listener, music: Audio) -> None:
    softer = Audio(0.1 * music.samples, 32000).with_channels(2)
    spread = float(np.abs(listener.embed(music)).mean())
    assert np.abs(listener.embed(softer) - listener.embed(music)).max() < 0.02 * spread  # float32 decibels
    assert listener.hear(softer).genres.argmax() == listener.hear(music).genres.argmax()


def test_words_find_their_sound(listener: Listener, music: Audio) -> None:
    sound, hiss = listener.embed_audio(music), listener.embed_audio(noise(8.0))
    own, other = listener.embed_text(["synth lead over a synth pad", "solo classical guitar"])
    assert sound @ own > sound @ other
    assert sound @ own > hiss @ own
