"""Every recipe takes a step: the embedded ones as they are on a small batch, the large ones shrunk."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
import torch

from cadenza.codec.encodec import EnCodec, EnCodecConfig
from cadenza.codec.seanet import SEANetConfig
from cadenza.conditioning.provider import ConditionProvider
from cadenza.conditioning.t5 import T5Config, T5Encoder
from cadenza.conditioning.text import TextEncoder
from cadenza.data.manifest import Entry, read_manifest, write_manifest
from cadenza.data.writing import write_tokens
from cadenza.lm.model import LM
from cadenza.train.run import build, read_recipe
from cadenza.train.tokenizer import train_tokenizer

RECIPES = Path(__file__).parents[2] / "recipes"
SMALL = ["steps=1", "batch_size=1", "threads=null", "tensorboard=false", "valid_items=1"]


@pytest.fixture
def music(tmp_path: Path) -> Path:
    """Two recordings at 32 kHz."""
    entries = []
    for split in ("train", "valid"):
        path = tmp_path / f"{split}.wav"
        soundfile.write(path, 0.3 * np.sin(np.arange(40000) / 20), 32000)
        captions = ("a slow waltz for harp and strings in D minor, 82 bpm", "fast techno")
        entries.append(Entry(path=str(path), duration=1.25, sample_rate=32000, split=split, captions=captions))
    write_manifest(tmp_path / "manifest.jsonl", entries)
    return tmp_path


def tokens(music: Path, codebook_size: int) -> list[str]:
    half = SEANetConfig(num_filters=2, num_lstm_layers=0, pad_mode="constant")
    codec = EnCodec(EnCodecConfig(codebook_size=codebook_size, latent_dim=4, encoder=half, decoder=half))
    codec.save_pretrained(music / "codec")
    write_tokens(codec.eval(), read_manifest(music), music / "tokens")
    return [f"data={music / 'tokens'}", f"objective.codec={music / 'codec'}"]


def step(name: str, overrides: list[str], folder: Path) -> dict[str, torch.Tensor]:
    trainer = build(read_recipe(RECIPES / name, SMALL + overrides), folder)
    before = [p.detach().clone() for phase in trainer.objective.phases(0) for p in phase.parameters()]
    metrics = trainer.train_step()
    after = [p for phase in trainer.objective.phases(0) for p in phase.parameters()]
    assert any(not torch.equal(old, new) for old, new in zip(before, after, strict=True))
    return metrics


def test_embedded_codec(music: Path):
    metrics = step("embedded_codec.py", [f"data={music}"], music / "run")
    assert float(metrics["spectrum"]) > 0


def test_embedded_codec_against_its_judge(music: Path):
    """Of the later phases the one that has all their parts; and the others can be read."""
    recipes = {name: f"embedded_codec.py:{name}" for name in ("low_notes", "together", "sharpen")}
    objectives: dict[str, Any] = {name: read_recipe(RECIPES / place).objective for name, place in recipes.items()}
    assert [name for name, one in objectives.items() if getattr(one, "decoder_only", False)] == ["low_notes", "sharpen"]
    codec = objectives["low_notes"].codec
    EnCodec(codec).save_pretrained(music / "codec")
    metrics = step(recipes["sharpen"], [f"data={music}", f"objective.start_from={music / 'codec'}"], music / "run")
    assert {"discriminator", "adversarial", "features", "spectrum"} <= metrics.keys()


def test_embedded_lm(music: Path):
    objective = read_recipe(RECIPES / "embedded_lm.py").objective
    size = objective.lm.codebook_size
    changes = tokens(music, size)
    codec = EnCodec.from_pretrained(music / "codec")
    write_tokens(codec, read_manifest(music), music / "tokens", melody=objective.melody)
    metrics = step("embedded_lm.py", [*changes, "objective.window_seconds=1.0"], music / "run")
    # of the first step: about log V
    assert float(metrics["ce"]) == pytest.approx(np.log(size), rel=0.25)


def test_embedded_reader(music: Path):
    metrics = step("embedded_reader.py", [f"data={music}", "objective.vocab_size=128"], music / "run")
    assert float(metrics["mode"]) == 0.0  # no key is known of these recordings


SYSTEM_1 = {
    "ncnu_musicgen_1.py": 119_171_072,
    "ncnu_musicgen_2.py": 844_689_408,
    "ncnu_musicgen_2.py:stable": 844_689_408 + 2 * 2048,  # a final norm
}


@pytest.mark.parametrize(("recipe", "parameters"), SYSTEM_1.items())
def test_system_1_has_the_published_size_and_takes_a_step(recipe: str, parameters: int, music: Path):
    config = read_recipe(RECIPES / recipe).objective
    with torch.device("meta"):
        parts = (LM(config.lm), ConditionProvider(config.conditioning))
    assert sum(p.numel() for part in parts for p in part.parameters()) == parameters
    encoder = T5Encoder(T5Config(vocab_size=100, dim=512, head_dim=8, num_heads=2, num_layers=1, feed_forward_dim=8))
    encoder.initialize()
    TextEncoder(encoder, train_tokenizer(["a slow waltz"], 100)).save_pretrained(music / "t5")
    shrunk = ["lm.dim=16", "lm.num_heads=2", "lm.num_layers=1", "lm.feed_forward_dim=16", "conditioning.dim=16"]
    overrides = [f"objective.{text}" for text in shrunk] + [f"objective.text_encoder={music / 't5'}"]
    overrides += ["accumulation=2", "objective.window_seconds=0.5"]
    metrics = step(recipe, [*tokens(music, 2048), *overrides], music / "run")
    assert float(metrics["ce"]) == pytest.approx(np.log(2048), rel=0.25)
