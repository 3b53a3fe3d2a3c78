"""Tables of names: moving tensors by them. Those of the published models are in test_official.py."""

import pytest
import torch
from torch import nn

from cadenza.convert import names as tables
from cadenza.convert.names import gather, scatter, weight_norm_names
from cadenza.errors import CheckpointError
from cadenza.lm.model import LM, LMConfig


def test_stacked_tensors_come_apart_and_together() -> None:
    lm = LM(LMConfig(num_codebooks=2, codebook_size=8, dim=16, num_layers=1, num_heads=2, feed_forward_dim=8))
    names = tables.transformers_lm(lm)
    state = scatter(names, lm.state_dict())
    query = state["model.decoder.layers.0.encoder_attn.q_proj.weight"]
    assert torch.equal(query, lm.layers[0].cross_attention.in_projection.weight[:16])
    again = gather(names, state, "file")
    assert all(torch.equal(again[name], tensor) for name, tensor in lm.state_dict().items())


def test_missing_and_left_over_tensors_are_named() -> None:
    state = {"a": torch.zeros(1), "b": torch.zeros(1)}
    with pytest.raises(CheckpointError, match=r"file lacks c: it is of another kind"):
        gather({"x": ("a",), "y": ("b",), "z": ("c",)}, state, "file")
    with pytest.raises(CheckpointError, match=r"file holds, beyond what its configuration describes, b"):
        gather({"x": ("a",)}, state, "file")


def test_weight_norm_is_known_under_both_names() -> None:
    conv = torch.nn.utils.parametrizations.weight_norm(nn.Conv1d(2, 3, 1))
    renamed = weight_norm_names(nn.ModuleDict({"conv": conv}).state_dict())
    assert sorted(renamed) == ["conv.bias", "conv.weight_g", "conv.weight_v"]
    rebuilt = torch._weight_norm(renamed["conv.weight_v"], renamed["conv.weight_g"], 0)
    torch.testing.assert_close(rebuilt, conv.weight)
    assert weight_norm_names(renamed).keys() == renamed.keys()
