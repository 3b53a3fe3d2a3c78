"""audiocraft's CLAP condition: settings, names, whole checkpoints."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from cadenza.checkpoint import on_meta
from cadenza.conditioning.clap import ClapConfig
from cadenza.conditioning.clap_encoder import ClapEncoder
from cadenza.conditioning.fuser import FuserConfig
from cadenza.conditioning.provider import ConditioningConfig, ConditionProvider
from cadenza.convert.audiocraft import read_musicgen, write_musicgen
from cadenza.convert.audiocraft_clap import read_clap, write_clap
from cadenza.convert.audiocraft_conditions import condition_names
from cadenza.convert.audiocraft_lm import LMCheckpoint, read_lm, write_lm
from cadenza.errors import CheckpointError, UserError
from cadenza.lm.model import LM, LMConfig
from cadenza.pipelines.musicgen import MusicGen, MusicGenConfig
from cadenza.testing import DIM as TINY_DIM
from cadenza.testing import tiny_codec, tiny_lm
from tiny_clap import DIM, write_tiny_clap

# config/conditioner/clapemb2music.yaml of audiocraft
OFFICIAL: dict[str, Any] = {
    "checkpoint": "//reference/clap/music_audioset_epoch_15_esc_90.14.pt",
    "model_arch": "HTSAT-base",
    "enable_fusion": False,
    "sample_rate": 48000,
    "max_audio_length": 10,
    "audio_stride": 1,
    "dim": 512,
    "attribute": "description",
    "normalize": True,
    "quantize": True,
    "n_q": 12,
    "bins": 1024,
    "kmeans_iters": 50,
    "text_p": 0.0,
    "cache_path": None,
}


def test_the_official_settings_are_our_defaults_and_come_back() -> None:
    config = ClapConfig.model_validate(read_clap(OFFICIAL, {}, "here"))
    assert config == ClapConfig(truncate=True)  # audiocraft cuts long sentences, we ask
    assert write_clap(config) == OFFICIAL


def test_the_official_names() -> None:
    with on_meta():
        provider = ConditionProvider(
            ConditioningConfig(
                dim=1536,
                conditioners={"description": ClapConfig()},
                fuser=FuserConfig.cross_text(),
            )
        )
    state = provider.state_dict()
    shapes = {names[0]: tuple(state[name].shape) for name, names in condition_names(provider).items()}
    prefix = "condition_provider.conditioners.description."
    expected: dict[str, tuple[int, ...]] = {
        f"{prefix}output_proj.weight": (1536, 512),
        f"{prefix}output_proj.bias": (1536,),
    }
    for k in range(12):
        book = f"{prefix}quantizer.vq.layers.{k}._codebook."
        expected |= {f"{book}inited": (1,), f"{book}cluster_size": (1024,)}
        expected |= {f"{book}embed": (1024, 512), f"{book}embed_avg": (1024, 512)}
    assert shapes == expected


@pytest.mark.parametrize("quantize", [True, False])
@torch.no_grad()
def test_a_whole_checkpoint_comes_back(tmp_path: Path, quantize: bool) -> None:
    torch.manual_seed(0)
    clap = ClapConfig(dim=16, num_codebooks=3, codebook_size=8, window_seconds=5, quantize=quantize, truncate=True)
    provider = ConditionProvider(
        ConditioningConfig(dim=24, conditioners={"description": clap}, fuser=FuserConfig.cross_text())
    ).eval()
    lm = LM(LMConfig(codebook_size=32, dim=24, num_layers=2, num_heads=3, feed_forward_dim=48)).eval()
    write_lm(tmp_path / "state_dict.bin", LMCheckpoint(lm, provider, None, 4, False, 30.0, 3.0), 32000, 1)
    content = torch.load(tmp_path / "state_dict.bin", weights_only=True)["best_state"]
    name = "condition_provider.conditioners.description.quantizer.vq.layers.2._codebook.embed"
    assert (name in content) == quantize
    read = read_lm(tmp_path / "state_dict.bin")
    assert read.conditioning.config == provider.config
    assert read.text_encoder is None
    vectors = [torch.randn(1, 16), None]
    ours, theirs = provider({"description": vectors}), read.conditioning.eval()({"description": vectors})
    assert torch.equal(ours.cross, theirs.cross)
    assert ours.cross.shape == (2, 1, 24)


@pytest.mark.parametrize(("key", "value"), [("enable_fusion", True), ("sample_rate", 44100)])
def test_settings_without_a_meaning_here_are_refused(key: str, value: object) -> None:
    with pytest.raises(CheckpointError, match=f"here: {key} is {value}, only"):
        read_clap(OFFICIAL | {key: value}, {}, "here")


def test_what_audiocraft_cannot_say_is_refused() -> None:
    with pytest.raises(UserError, match="takes 100 tokens, not 77"):
        write_clap(ClapConfig(max_tokens=100))


def test_a_directory_keeps_the_towers_beside_the_weights(tmp_path: Path) -> None:
    clap = ClapConfig(dim=DIM, num_codebooks=2, codebook_size=8, truncate=True)
    config = ConditioningConfig(dim=TINY_DIM, conditioners={"prompt": clap}, fuser=FuserConfig.cross_text("prompt"))
    provider = ConditionProvider(config)
    provider.conditioner("prompt").attach(ClapEncoder.from_pretrained(write_tiny_clap(tmp_path)))
    model = MusicGen(tiny_codec(), tiny_lm(), provider, MusicGenConfig(text_condition="prompt"))
    write_musicgen(model, tmp_path / "theirs")
    again = read_musicgen(tmp_path / "theirs", lambda name, part: pytest.fail(f"{part} {name} was looked for"))
    assert again.config.text_condition == "prompt"
    assert np.array_equal(again.generate("piano", 0.1, 1).samples, model.generate("piano", 0.1, 1).samples)
