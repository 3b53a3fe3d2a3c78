"""The recipes of Jukebox' priors: the published sizes, those that fit on a thread, and a shrunk step."""

import runpy
from pathlib import Path
from types import FunctionType

import numpy as np
import pytest
import soundfile
import torch

from cadenza.data.manifest import Entry, write_manifest
from cadenza.jukebox.prior import Prior
from cadenza.jukebox.vqvae import JukeboxVQVAE
from cadenza.train.run import build, read_recipe

RECIPE = Path(__file__).parents[2] / "recipes" / "jukebox_priors.py"
VQVAE = RECIPE.with_name("jukebox_vqvae.py")
SIZES = {
    "top_5b": 5_060_452_800,
    "top_5b_lyrics": 5_640_506_800,
    "top_1b_lyrics": 942_643_200,
    "upsampler_middle": 981_298_176,
    "upsampler_bottom": 981_298_176,
}
"""As counted in the published files (reference, section 0)."""
SMALL = (
    "small_prior",
    "small_upsampler",
    "small_labelled_prior",
    "small_single_enc_dec_prior",
    "small_sep_enc_dec_prior",
)
ONE_THREAD = ("one_thread_top", "one_thread_middle", "one_thread_bottom")


def size(name: str) -> int:
    shape = read_recipe(f"{RECIPE}:{name}").objective.prior
    with torch.device("meta"):
        return sum(parameter.numel() for parameter in Prior(shape).parameters())


@pytest.mark.parametrize("name", SIZES)
def test_the_published_sizes(name: str) -> None:
    assert size(name) == SIZES[name]


def test_the_small_ones_fit_where_they_are_meant_to() -> None:
    assert all(size(name) <= 2_400_000 for name in ONE_THREAD)
    assert all(150e6 < size(name) < 250e6 for name in SMALL)


def test_every_recipe_of_the_file_is_named_here() -> None:
    functions = {name for name, value in runpy.run_path(str(RECIPE)).items() if isinstance(value, FunctionType)}
    recipes = {name for name in functions if name[0].islower() and name not in ("prior_config", "layer_kinds")}
    assert recipes == {"config", "finetune", *SIZES, *SMALL, *ONE_THREAD}


@pytest.mark.parametrize("name", ["one_thread_top", "one_thread_bottom"])
def test_a_shrunk_step(name: str, tmp_path: Path) -> None:
    """Of an untrained model, on the codes of an untrained VQ-VAE: 9 bits for 512 codes."""
    JukeboxVQVAE(read_recipe(f"{VQVAE}:one_thread").objective.vqvae).save_pretrained(tmp_path / "vqvae")
    soundfile.write(tmp_path / "tone.wav", 0.3 * np.sin(np.arange(48000) / 20), 16000)
    entry = Entry(path=str(tmp_path / "tone.wav"), duration=3.0, sample_rate=16000, split="train")
    write_manifest(tmp_path / "manifest.jsonl", [entry])
    changes = [f"data={tmp_path}", f"objective.vqvae={tmp_path / 'vqvae'}", "objective.prior.context_length=128"]
    changes += ["steps=1", "batch_size=1", "threads=null", "tensorboard=false"]
    if name == "one_thread_top":
        changes.append("objective.prior.timing.min_seconds=1")
    trainer = build(read_recipe(f"{RECIPE}:{name}", changes), tmp_path / "run")
    before = [parameter.detach().clone() for parameter in trainer.objective.modules["prior"].parameters()]
    metrics = trainer.train_step()
    after = trainer.objective.modules["prior"].parameters()
    assert any(not torch.equal(old, new) for old, new in zip(before, after, strict=True))
    assert float(metrics["bits"]) == pytest.approx(9.0, rel=0.1)
