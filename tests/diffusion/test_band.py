"""A band's file: nothing is lost but what a smaller type rounds, and statistics never."""

import pytest
import torch

from cadenza.diffusion.band import Band, BandConfig, load_band, save_band
from cadenza.diffusion.processor import BandProcessorConfig
from cadenza.diffusion.schedule import NoiseScheduleConfig
from cadenza.diffusion.unet import DiffusionUnetConfig


@pytest.fixture
def band() -> Band:
    torch.manual_seed(0)
    unet = DiffusionUnetConfig(hidden=8, depth=2, condition_dim=6, bottleneck="lstm", embed_all_levels=True)
    schedule = NoiseScheduleConfig(num_steps=50, beta_exponent=7.5)
    processor = BandProcessorConfig(sample_rate=32000, num_bands=4)
    made = Band(BandConfig(unet=unet, schedule=schedule, processor=processor)).eval()
    assert made.processor is not None
    made.processor.observe(0.1 * torch.randn(3, 1, 9000), torch.Generator().manual_seed(0))
    return made


def test_a_file_keeps_every_bit(band, tmp_path):
    wanted = {name: tensor.clone() for name, tensor in band.state_dict().items()}
    band.unet.pack()
    save_band(band, tmp_path, 3)
    again = load_band(band.config, tmp_path, 3)
    found = again.state_dict()
    assert found.keys() == wanted.keys()
    assert all(found[name].dtype == torch.float32 and torch.equal(found[name], wanted[name]) for name in wanted)
    assert again.config == band.config
    assert torch.equal(again.schedule.alpha_bar, band.schedule.alpha_bar)
    assert not again.training


def test_a_smaller_file_rounds_the_network_alone(band, tmp_path):
    save_band(band, tmp_path, 0, torch.bfloat16)
    found = load_band(band.config, tmp_path, 0).state_dict()
    for name, wanted in band.state_dict().items():
        kept = wanted.bfloat16().float() if name.startswith("unet.") else wanted
        assert found[name].dtype == torch.float32
        assert torch.equal(found[name], kept), name
    assert not torch.equal(found["unet.encoders.0.down.weight"], band.state_dict()["unet.encoders.0.down.weight"])
