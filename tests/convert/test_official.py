"""Every published model: its files at the official size, tensor by tensor, and a small twin of it that plays.

`pytest -k musicgen-stereo-melody-large` runs what holds one model.
"""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

import official_files as files
import official_models as models
from cadenza.audio import Audio
from cadenza.checkpoint import on_meta
from cadenza.cli.info import describe
from cadenza.conditioning.chroma import Melody
from cadenza.conditioning.mert import MERT, Mert, MertConfig
from cadenza.conditioning.t5 import T5Config, T5Encoder, TextTokenizer
from cadenza.conditioning.text import TextEncoder
from cadenza.convert import audiocraft, audiocraft_codec, audiocraft_lm, formats, official, transformers
from cadenza.convert.formats import write_model
from cadenza.convert.names import weight_norm_names
from cadenza.errors import UserError
from cadenza.lm.generate import GenerationConfig
from cadenza.loading import find_model, load
from cadenza.pipelines.musicgen import MusicGen
from tiny_style import tiny_mert

T5 = Path(__file__).parents[1] / "parity" / "t5_tiny"


def shapes_of(state: dict[str, Tensor]) -> models.Shapes:
    return {name: tuple(tensor.shape) for name, tensor in state.items()}


def parameters(model: MusicGen) -> int:
    parts = (*model.lm.parameters(), *model.conditioning.parameters())
    return sum(parameter.numel() for parameter in parts)


def test_every_published_model_is_here() -> None:
    assert {f"facebook/{name}" for name in models.MODELS} == official.MODELS.keys()
    for name, model in models.MODELS.items():
        known = official.MODELS[f"facebook/{name}"]
        assert known.channels == (2 if model.stereo else 1)
        assert known.conditions == ", ".join(["text", *([model.audio] if model.audio else [])])
        assert known.size == {models.SMALL: "300M", models.MEDIUM: "1.5B", models.LARGE: "3.3B"}[model.size]


# ---- official sizes, without weights ---------------------------------------------------------------------------------


@pytest.mark.parametrize("name", models.MODELS)
def test_files_of_audiocraft(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`state_dict.bin` and `compression_state_dict.bin` are read whole, and written with the same tensors."""
    model = models.MODELS[name]
    lm, codec = models.audiocraft_lm(model), models.audiocraft_codec(model)
    stored = {
        audiocraft.LM_FILE: files.container(files.weightless(lm), files.lm_settings(model)),
        audiocraft.CODEC_FILE: files.container(files.weightless(codec), files.codec_settings(model)),
    }
    written: dict[str, dict[str, Tensor]] = {}
    for module in (audiocraft_lm, audiocraft_codec):
        monkeypatch.setattr(module, "read_pickle", lambda path: stored[path.name])
        monkeypatch.setattr(module, "save_checkpoint", lambda path, state, _: written.update({path.name: state}))
    text = model.text
    with on_meta():
        encoder = T5Encoder(
            T5Config(dim=text.dim, num_layers=text.layers, num_heads=text.heads, feed_forward_dim=4 * text.dim)
        )
    assert shapes_of(encoder.state_dict()) == models.t5(text)
    monkeypatch.setattr(
        audiocraft.TextEncoder, "from_pretrained", lambda _: TextEncoder(encoder, TextTokenizer.from_pretrained(T5))
    )

    monkeypatch.setattr(audiocraft, "read_mert", lambda _: Mert(MertConfig(), {}))

    def find(wanted: str, part: str) -> Path:
        assert (wanted, part) in ((text.name, "text encoder"), (MERT, "style encoder"))
        return T5

    read = audiocraft.read_musicgen(tmp_path / name, find, name)
    assert parameters(read) == models.count(lm) == model.parameters
    assert models.count(codec) == model.codec.parameters
    assert (read.config.stereo, read.config.max_duration_seconds) == (model.stereo, model.seconds)
    assert (read.sample_rate, read.codec.frame_rate) == (model.codec.sample_rate, 50)
    # A window of long pieces keeps 40 % of the former one: 12 s of MusicGen's 30, 4 of AudioGen's 10.
    beta = 5.0 if "style" in name else None
    expected = GenerationConfig(guidance=3.0, guidance_beta=beta, extend_stride=0.6 * model.seconds)
    assert read.config.generation == expected

    audiocraft.write_musicgen(read, tmp_path / "back")
    assert {file: shapes_of(state) for file, state in written.items()} == {
        audiocraft.LM_FILE: lm,
        audiocraft.CODEC_FILE: codec,
    }


@pytest.mark.parametrize("name", models.TRANSFORMERS)
def test_files_of_transformers(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model = models.MODELS[name]
    expected = models.transformers_model(model)
    directory = files.write_settings(model, tmp_path / name)
    TextTokenizer.from_pretrained(T5).save_pretrained(directory)
    written: dict[str, Tensor] = {}
    monkeypatch.setattr(transformers, "read_state", lambda _: files.weightless(expected))
    monkeypatch.setattr(transformers, "write_tensors", lambda _, state, __: written.update(state))

    read = transformers.read_musicgen(directory, name)
    assert parameters(read) == model.parameters
    part = {first: {n: s for n, s in expected.items() if n.startswith(first)} for first in ("audio_encoder.", "text_")}
    assert models.count(part["audio_encoder."]) == model.codec.parameters
    assert models.count(part["text_"]) == models.T5_BASE_PARAMETERS
    assert (read.config.stereo, read.config.max_duration_seconds) == (model.stereo, 30)

    transformers.write_musicgen(read, tmp_path / "back")
    assert shapes_of(written) == expected


@pytest.mark.parametrize("name", models.TRANSFORMERS)
def test_transformers_itself_has_these_tensors(name: str) -> None:
    """The written-down names against the library's own class, at the official size."""
    from transformers import (
        MusicgenConfig,
        MusicgenForConditionalGeneration,
        MusicgenMelodyConfig,
        MusicgenMelodyForConditionalGeneration,
    )

    model = models.MODELS[name]
    config_class, model_class = MusicgenConfig, MusicgenForConditionalGeneration
    if model.audio == "melody":
        config_class, model_class = MusicgenMelodyConfig, MusicgenMelodyForConditionalGeneration
    with torch.device("meta"):
        theirs = model_class(config_class(**files.transformers_settings(model)))
    state = weight_norm_names(theirs.state_dict())
    state.pop("text_encoder.encoder.embed_tokens.weight")  # the same tensor as text_encoder.shared.weight
    assert shapes_of(state) == models.transformers_model(model)


# ---- twins that play -------------------------------------------------------------------------------------------------


@pytest.fixture
def twins(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where to write twins: their text encoder is at hand, and converted models go into an empty cache."""
    monkeypatch.setenv("CADENZA_CACHE", str(tmp_path / "cache"))

    def find(name: str, part: str) -> Path:
        if name != MERT:
            return T5
        tiny_mert().save_pretrained(tmp_path / "mert")
        return tmp_path / "mert"

    monkeypatch.setattr(formats, "find_part", find)
    return tmp_path


def recording(word: str, frequency: float = 440.0) -> Audio | Melody:
    """A tone, long enough for an excerpt of its style; for a melody, taken as it is, drums or not."""
    time = np.arange(32000 * 4) / 32000
    audio = Audio(0.3 * np.sin(2 * np.pi * frequency * time).astype(np.float32)[None], 32000)
    return Melody(audio, "none") if word == "melody" else audio


def play(model: MusicGen, **conditions: Any) -> np.ndarray:
    return model.generate("slow piano", 0.2, seed=1, **conditions).samples


@pytest.mark.parametrize("name", models.MODELS)
def test_a_twin_plays(name: str, twins: Path) -> None:
    """From the published containers to music, which follows every condition; and the same by way of transformers."""
    model = models.twin(models.MODELS[name])
    directory = files.write_audiocraft(model, twins / name)
    made = load(directory, "cpu", "fp32")
    assert made.config.name == name
    first = play(made)
    assert first.shape == (2 if model.stereo else 1, round(0.2 * model.codec.sample_rate))
    assert first.std() > 0
    assert not model.stereo or not np.array_equal(first[0], first[1])
    heard: dict[str, Any] = {}
    for word in ("melody", "style"):
        if model.audio == word:
            heard = {word: recording(word)}
            followed = play(made, **heard)
            assert np.array_equal(followed, play(made, **heard))
            assert not np.array_equal(followed, first)
            assert not np.array_equal(followed, play(made, **{word: recording(word, 587.3)}))
        else:
            with pytest.raises(UserError, match=rf"cannot .*{word}.*listens to .*use a model such as"):
                play(made, **{word: recording(word)})

    facts = describe(find_model(directory))["parts"]
    assert facts["lm"]["parameters"] + facts["conditioning"]["parameters"] == models.count(models.audiocraft_lm(model))
    assert ("conditioning/style_encoder" in facts) == (model.audio == "style")

    if name in models.TRANSFORMERS:
        write_model(made, twins / "theirs", "transformers")
        again = load(twins / "theirs", "cpu", "fp32")
        assert np.array_equal(play(again, **heard), play(made, **heard))
    elif model.audio == "style":
        with pytest.raises(UserError, match=r"transformers cannot express .*listen to a text"):
            write_model(made, twins / "theirs", "transformers")


def test_a_twin_of_the_first_release_plays(twins: Path) -> None:
    """Files without version; the pattern's name under `q_modeling`."""
    model = models.twin(models.MODELS["musicgen-small"])
    made = load(files.write_audiocraft(model, twins / "now"), "cpu", "fp32")
    before = load(files.write_audiocraft(model, twins / "before", first_release=True), "cpu", "fp32")
    assert np.array_equal(play(made), play(before))


def test_a_twin_whose_codec_is_elsewhere_plays(twins: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model = models.twin(models.MODELS["musicgen-stereo-medium"])
    whole = files.write_audiocraft(model, twins / "whole")
    pointing = files.write_audiocraft(model, twins / "pointing", pointer=True)
    places = {"t5-base": T5, "facebook/encodec_32khz": whole}
    monkeypatch.setattr(formats, "find_part", lambda name, part: places[name])
    assert np.array_equal(play(load(whole, "cpu", "fp32")), play(load(pointing, "cpu", "fp32")))
