"""LAION's checkpoints of CLAP, under the names that its own files have."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from cadenza.conditioning.clap_encoder import ClapEncoder
from cadenza.convert.laion_clap import convert_laion_clap
from cadenza.errors import CheckpointError
from cadenza.testing import noise
from tiny_clap import write_tiny_clap

BLOCK = [
    *(f"{part}.{leaf}" for part in ("norm1", "norm2", "attn.qkv", "attn.proj") for leaf in ("weight", "bias")),
    *(f"mlp.{part}.{leaf}" for part in ("fc1", "fc2") for leaf in ("weight", "bias")),
    "attn.relative_position_bias_table",
    "attn.relative_position_index",
]
"""Names of one block of the audio tower, as the error messages of LAION's own loader list them."""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny CLAP whose text tower has RoBERTa's heads and epsilon."""
    text = {"hidden_size": 64, "num_attention_heads": 1, "layer_norm_eps": 1e-5}
    return write_tiny_clap(tmp_path_factory.mktemp("clap"), text=text)


@pytest.fixture(scope="module")
def checkpoint(folder: Path) -> dict[str, Any]:
    """The same weights as LAION's training program would have kept them."""
    theirs = ClapEncoder.from_pretrained(folder).towers.state_dict()
    audio = "audio_model.audio_encoder."
    state = {}
    for i in range(3):
        block = f"{audio}layers.{i}.blocks.0."
        sources = {"norm1": "layernorm_before", "norm2": "layernorm_after", "attn.proj": "attention.output.dense"}
        sources |= {"mlp.fc1": "intermediate.dense", "mlp.fc2": "output.dense"}
        for name in BLOCK:
            part, _, leaf = name.rpartition(".")
            target = f"audio_branch.layers.{i}.blocks.0.{name}"
            if part == "attn.qkv":
                state[target] = torch.cat(
                    [theirs[f"{block}attention.self.{x}.{leaf}"] for x in ("query", "key", "value")]
                )
            elif part == "attn":
                state[target] = theirs[f"{block}attention.self.{leaf}"]
            else:
                state[target] = theirs[f"{block}{sources[part]}.{leaf}"]
    for name, tensor in theirs.items():
        if name.startswith(audio) and ".blocks." not in name:
            state[name.replace(audio, "audio_branch.").replace("batch_norm", "bn0")] = tensor
        elif name.startswith("text_model.") and not name.endswith("token_type_ids"):
            state[name.replace("text_model.", "text_branch.")] = tensor
        elif "_projection." in name:
            state[name.replace("linear1", "0").replace("linear2", "2")] = tensor
    state |= {"logit_scale_a": theirs["logit_scale_a"], "logit_scale_t": theirs["logit_scale_t"]}
    state |= {
        "audio_branch.spectrogram_extractor.stft.conv_real.weight": torch.zeros(2),
        "audio_branch.logmel_extractor.melW": torch.zeros(2),
        "audio_branch.tscam_conv.weight": torch.zeros(2),
        "audio_branch.head.weight": torch.zeros(2),
        "audio_branch.layers.0.blocks.0.attn_mask": torch.zeros(2),
        "text_transform.sequential.0.weight": torch.zeros(2),
        "audio_transform.sequential.3.bias": torch.zeros(2),
    }
    state = {f"module.{name}": tensor.clone() for name, tensor in state.items()}
    return {"epoch": 15, "name": "tiny", "best": np.float64(0.9), "state_dict": state}


def test_it_hears_what_transformers_hears(folder: Path, checkpoint: dict[str, Any], tmp_path: Path) -> None:
    torch.save(checkpoint, tmp_path / "clap.pt", pickle_protocol=4)
    convert_laion_clap(tmp_path / "clap.pt", folder, tmp_path / "made")
    ours, theirs = ClapEncoder.from_pretrained(tmp_path / "made"), ClapEncoder.from_pretrained(folder)
    pairs = zip(ours.towers.state_dict().items(), theirs.towers.state_dict().items(), strict=True)
    assert all(one == other and torch.equal(a, b) for (one, a), (other, b) in pairs)
    assert ours.towers.config.text_config.layer_norm_eps == 1e-5  # RoBERTa's, not the default of ClapModel
    wave = torch.from_numpy(noise(1.0, 48000).samples)
    # The same numbers at other places of a file: sums over memory that is aligned otherwise.
    torch.testing.assert_close(ours.encode_windows(wave), theirs.encode_windows(wave), atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(ours.encode_text(["slow piano"], 77), theirs.encode_text(["slow piano"], 77))


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"module.audio_branch.patch_embed.fusion_model.local_att.0.weight": torch.zeros(1)}, "fused CLAP"),
        ({"module.audio_branch.bn0.weight": None}, "lacks 'audio_branch.bn0.weight'"),
        ({"module.text_branch.pooler.dense.bias": None}, r"lacks text_model\.pooler\.dense\.bias"),
    ],
    ids=str,
)
def test_other_files_are_refused_and_leave_nothing(
    folder: Path, checkpoint: dict[str, Any], tmp_path: Path, change: dict[str, Any], words: str
) -> None:
    state = {name: tensor for name, tensor in (checkpoint["state_dict"] | change).items() if tensor is not None}
    torch.save({"state_dict": state}, tmp_path / "clap.pt")
    with pytest.raises(CheckpointError, match=words):
        convert_laion_clap(tmp_path / "clap.pt", folder, tmp_path / "made")
    assert not (tmp_path / "made").exists()


def test_the_tokenizer_it_needs_is_named(checkpoint: dict[str, Any], tmp_path: Path) -> None:
    torch.save(checkpoint, tmp_path / "clap.pt")
    with pytest.raises(CheckpointError, match="FacebookAI/roberta-base"):
        convert_laion_clap(tmp_path / "clap.pt", tmp_path, tmp_path / "made")
