"""MusicGen's recipes: the published sizes, and a shrunk step of each."""

import runpy
from pathlib import Path
from types import FunctionType

import numpy as np
import pytest
import soundfile
import torch

import official_models
from cadenza.codec.base import Codec
from cadenza.codec.encodec import EnCodec, EnCodecConfig
from cadenza.codec.seanet import SEANetConfig
from cadenza.codec.stereo import StereoCodec
from cadenza.conditioning.chroma import ChromaConfig
from cadenza.conditioning.provider import ConditionProvider
from cadenza.conditioning.t5 import T5Config, T5Encoder
from cadenza.conditioning.text import TextEncoder
from cadenza.data.manifest import Entry, read_manifest, write_manifest
from cadenza.data.writing import write_tokens
from cadenza.lm.model import LM
from cadenza.loading import load
from cadenza.train.run import build, read_recipe
from cadenza.train.tokenizer import train_tokenizer
from tiny_style import MERT_CONFIG, tiny_mert

RECIPE = Path(__file__).parents[2] / "recipes" / "musicgen.py"
NAMES = ("small", "medium", "large", "stereo_small", "stereo_medium", "stereo_large", "melody", "style")
TEXT = T5Config(vocab_size=100, dim=16, head_dim=8, num_heads=2, num_layers=1, feed_forward_dim=8)
SHRUNK = [
    "steps=1",
    "batch_size=2",
    "device=cpu",
    "precision=bf16",
    "tensorboard=false",
    "valid_items=1",
    "objective.window_seconds=4.0",
    "objective.lm.dim=16",
    "objective.lm.num_layers=1",
    "objective.lm.num_heads=2",
    "objective.lm.feed_forward_dim=16",
    "objective.conditioning.dim=16",
    "objective.conditioning.conditioners.description.dim=16",
]


def recipe(name: str, overrides: list[str] | None = None):
    return read_recipe(f"{RECIPE}:{name}", overrides or [])


@pytest.fixture(scope="module")
def music(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two stereo recordings of five seconds, a codec, a text encoder, MERT, and the codes in mono and stereo."""
    folder = tmp_path_factory.mktemp("music")
    time = np.arange(5 * 32000) / 32000
    entries = []
    for i, split in enumerate(("train", "valid")):
        path = folder / f"{split}.wav"
        left, right = (0.3 * np.sin(2 * np.pi * 220 * 2 ** ((i + step) / 12) * time) for step in (0, 7))
        soundfile.write(path, np.stack([left, right], 1), 32000)
        entries.append(Entry(path=str(path), duration=5.0, sample_rate=32000, split=split, captions=("a slow waltz",)))
    write_manifest(folder / "manifest.jsonl", entries)
    half = SEANetConfig(num_filters=2, num_lstm_layers=0, pad_mode="constant")
    codec = EnCodec(EnCodecConfig(codebook_size=2048, latent_dim=4, encoder=half, decoder=half)).eval()
    codec.save_pretrained(folder / "codec")
    kinds: dict[str, Codec] = {"mono": codec, "stereo": StereoCodec(codec)}
    for name, kind in kinds.items():
        write_tokens(kind, read_manifest(folder), folder / name, melody=ChromaConfig(stems="none"))
    encoder = T5Encoder(TEXT)
    encoder.initialize()
    TextEncoder(encoder, train_tokenizer(["a slow waltz"], 100)).save_pretrained(folder / "t5")
    tiny_mert().save_pretrained(folder / "mert")
    return folder


@pytest.mark.parametrize("name", NAMES)
def test_the_published_sizes(name: str):
    config = recipe(name).objective
    with torch.device("meta"):
        parts = (LM(config.lm), ConditionProvider(config.conditioning))
    published = official_models.MODELS[f"musicgen-{name.replace('_', '-')}"]
    assert sum(p.numel() for part in parts for p in part.parameters()) == published.parameters


def test_every_recipe_of_the_file_is_named_here():
    functions = {name for name, value in runpy.run_path(str(RECIPE)).items() if isinstance(value, FunctionType)}
    assert {name for name in functions if name[0].islower()} == {*NAMES, "config"}


@pytest.mark.parametrize("name", NAMES)
def test_a_shrunk_step(name: str, music: Path, tmp_path: Path):
    stereo = name.startswith("stereo")
    changes = [f"data={music / ('stereo' if stereo else 'mono')}", f"objective.codec={music / 'codec'}"]
    changes += [f"objective.text_encoder={music / 't5'}"]
    if name == "melody":
        changes.append("objective.conditioning.conditioners.melody.stems=none")
    if name == "style":
        small = {"extractor_dim": MERT_CONFIG.dim, "dim": 16, "num_heads": 2, "num_layers": 1, "codebook_size": 16}
        changes += [f"objective.conditioning.conditioners.style.{key}={value}" for key, value in small.items()]
        changes += [f"objective.style_encoder={music / 'mert'}", f"objective.recordings={music}"]
        changes.append("objective.excerpt_seconds=[1.5, 3.0]")  # windows are shorter here
    if stereo:
        changes.append(f"objective.start_from={_start(name, music, [*SHRUNK, *changes], tmp_path / 'start')}")
    trainer = build(recipe(name, [*SHRUNK, *changes]), tmp_path / "run")
    before = {name: [p.detach().clone() for p in part.parameters()] for name, part in trainer.objective.modules.items()}
    metrics = trainer.train_step()
    for part, parameters in before.items():
        after = trainer.objective.modules[part].parameters()
        assert any(not torch.equal(old, new) for old, new in zip(parameters, after, strict=True)), part
    assert float(metrics["ce"]) == pytest.approx(np.log(2048), rel=0.3)


def _start(name: str, music: Path, changes: list[str], folder: Path) -> Path:
    """A model directory to continue, as `cadenza convert --stereo-start` writes it."""
    from cadenza.train.objectives.lm import LMObjective
    from cadenza.train.objectives.lm_parts import build_parts

    config = recipe(name, [*changes, "objective.start_from=null"]).objective
    folder.mkdir()
    LMObjective(config, build_parts(config, ["a slow waltz"], 0)).save_playable(folder)
    assert load(folder).config.stereo
    return folder
