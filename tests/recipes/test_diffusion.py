"""Diffusion recipes: what their sizes are, and that a shrunk one runs to a decoder that decodes."""

from pathlib import Path
from typing import Any

import pytest
import torch

from cadenza.checkpoint import on_meta
from cadenza.diffusion.decoder import DiffusionDecoder
from cadenza.diffusion.schedule import NoiseSchedule
from cadenza.diffusion.unet import DiffusionUnet
from cadenza.train.run import build, read_recipe
from filemap import ROOT
from train.tiny import RATE, write_audio, write_codec

RECIPES = ROOT / "recipes"
EMBEDDED = ["config", "gpu", "gpu_deaf", "published", "deaf"]


def objective(name: str) -> Any:
    return read_recipe(RECIPES / name).objective


def parameters(name: str, condition_dim: int | None) -> list[int]:
    counts = []
    for band in objective(name).bands:
        changes = {"condition_dim": condition_dim, "num_steps": band.schedule.num_steps}
        with on_meta():
            network = DiffusionUnet(band.unet.model_copy(update=changes))
        counts.append(sum(p.numel() for p in network.parameters()))
    return counts


def test_the_published_recipe_hears_its_condition_and_has_a_bottleneck():
    """467.7 M parameters is what the original's class has with this configuration, a transformer and 128 channels."""
    found = parameters("multiband_diffusion.py", 128)
    assert len(found) == 4
    assert [round(count / 1e6, 1) for count in found] == [467.7] * 4
    assert objective("multiband_diffusion.py").conditioned
    assert objective("multiband_diffusion.py:khz24").num_codebooks == 4
    assert not objective("multiband_diffusion.py:deaf").conditioned


@pytest.mark.parametrize("name", EMBEDDED)
def test_the_small_decoder_has_at_most_15_megabytes(name: str):
    assert 2 * sum(parameters(f"embedded_diffusion.py:{name}", 64)) < 15e6


def test_its_fewer_steps_go_from_noise_to_the_sound_with_as_much_of_both_in_the_middle():
    kept = NoiseSchedule(objective("embedded_diffusion.py").bands[0].schedule).alpha_bar
    assert len(kept) == 50
    assert float(kept[-1]) < 0.005  # of the signal's power
    assert float(kept[24]) == pytest.approx(0.5, abs=0.05)
    assert float(1 - kept[0]) < 2e-7  # what noise is left at the end: -67 dB of each band


@pytest.mark.parametrize(
    "recipe",
    ["embedded_diffusion.py", "embedded_diffusion.py:mended", "embedded_diffusion.py:deaf", "multiband_diffusion.py"],
)
def test_shrunk_it_runs_to_a_decoder(recipe: str, tmp_path: Path):
    config = read_recipe(RECIPES / recipe)
    bands = [
        band.model_dump()
        | {"unet": band.unet.model_dump() | {"hidden": 8, "growth": 1.0, "depth": 2, "bottleneck": "none"}}
        for band in config.objective.bands
    ]
    for band in bands:
        band["unet"] |= {"kernel_size": 8, "stride": 4}
        if band["processor"] is not None:
            band["processor"] |= {"sample_rate": RATE}
    shrunk = {
        "bands": bands,
        "codec": str(write_codec(tmp_path / "codec")),
        "segment_seconds": 1200 / RATE,  # the mel distance has windows of 2048 samples, reflected at both ends
        "num_codebooks": None,
        "start_from": None,
    }
    values = config.model_dump()
    values |= {
        "objective": values["objective"] | shrunk | {"valid_decodes": False},
        "data": str(write_audio(tmp_path / "audio")),
        "steps": 1, "batch_size": 1, "device": "cpu", "threads": None, "tensorboard": False, "curves": False,
        "sample_prompts": 0, "prefetch": 0,
    }  # fmt: skip
    trainer = build(type(config).model_validate(values), tmp_path / "run")
    trainer.run()
    decoder = DiffusionDecoder.from_pretrained(tmp_path / "run" / "snapshots" / "last" / "model")
    codes = torch.randint(16, (1, 2, 10), generator=torch.Generator().manual_seed(0))
    sound = decoder.decode(codes, calls=2)
    assert sound.shape == (1, 1, 200)
    assert bool(torch.isfinite(sound).all())
