"""The layer against torch's own, and its invariants."""

import pytest
import torch
from torch import Tensor, nn

from cadenza.nn.attention import CrossAttention, SelfAttention
from cadenza.nn.transformer import LayerNorm, TransformerLayer


def of_torch(layer: nn.TransformerDecoderLayer) -> dict[str, Tensor]:
    names = {
        "self_attn": "self_attention",
        "multihead_attn": "cross_attention",
        "in_proj_weight": "in_projection.weight",
        "in_proj_bias": "in_projection.bias",
        "out_proj": "out_projection",
        "linear": "feed_forward.linear",
        "norm1": "norm_self",
        "norm2": "norm_cross",
        "norm3": "norm_feed_forward",
    }
    state = {}
    for name, tensor in layer.state_dict().items():
        for theirs, ours in names.items():
            name = name.replace(theirs, ours)
        state[name] = tensor
    return state


@pytest.mark.parametrize("norm_first", [False, True])
@pytest.mark.parametrize("activation", ["relu", "gelu"])
@torch.no_grad()
def test_layer_equals_torchs_decoder_layer(norm_first: bool, activation: str) -> None:
    torch.manual_seed(1)
    theirs = nn.TransformerDecoderLayer(32, 4, 48, 0.0, activation, batch_first=True, norm_first=norm_first).eval()
    for parameter in theirs.parameters():
        nn.init.normal_(parameter, std=0.3)
    ours = TransformerLayer(
        32,
        4,
        48,
        cross_attention=True,
        norm_first=norm_first,
        attention_bias=True,
        feed_forward_bias=True,
        activation=activation,
    ).eval()
    ours.load_state_dict(of_torch(theirs))
    x, source = torch.randn(2, 9, 32), torch.randn(2, 5, 32)
    mask = torch.tensor([[True] * 5, [True] * 3 + [False] * 2])
    causal = nn.Transformer.generate_square_subsequent_mask(9)
    expected = theirs(x, source, tgt_mask=causal, memory_key_padding_mask=torch.where(mask, 0.0, -torch.inf))
    projected = ours.cross_attention.project_source(source)
    # Two orders of summation in float32, over activations of size 10.
    torch.testing.assert_close(ours(x, projected, mask), expected, atol=2e-5, rtol=1e-5)


@torch.no_grad()
def test_causal_or_not() -> None:
    torch.manual_seed(3)
    x = torch.randn(1, 6, 16)
    changed = x.clone()
    changed[:, 4:] += 1
    causal, free = SelfAttention(16, 2), SelfAttention(16, 2, causal=False)
    assert torch.equal(causal(x)[:, :4], causal(changed)[:, :4])
    assert not torch.allclose(free(x)[:, :4], free(changed)[:, :4])


@torch.no_grad()
def test_masked_source_positions_do_not_exist() -> None:
    torch.manual_seed(4)
    attention = CrossAttention(16, 2)
    x, source = torch.randn(1, 3, 16), torch.randn(1, 5, 16)
    mask = torch.tensor([[True, True, True, False, False]])
    masked = attention(x, attention.project_source(source), mask)
    cut = attention(x, attention.project_source(source[:, :3]))
    torch.testing.assert_close(masked, cut, atol=1e-6, rtol=1e-5)


@torch.no_grad()
def test_residual_stream_stays_in_float32() -> None:
    layer = TransformerLayer(16, 2, 32).to(torch.bfloat16)
    x = torch.randn(1, 4, 16)
    out = layer(x)
    assert out.dtype == torch.float32
    # Were the stream rounded to bfloat16, this would be lost.
    nudged = layer(x + 1e-4) - out
    torch.testing.assert_close(nudged, torch.full_like(nudged, 1e-4), atol=5e-5, rtol=0)


def test_norm_takes_its_input_precision() -> None:
    norm = LayerNorm(8).to(torch.bfloat16)
    assert norm(torch.randn(2, 8)).dtype == torch.float32


def test_dropout_acts_in_training_only() -> None:
    torch.manual_seed(5)
    layer = TransformerLayer(16, 2, 32, dropout=0.5)
    x = torch.randn(1, 4, 16)
    assert not torch.equal(layer(x), layer(x))
    layer.eval()
    assert torch.equal(layer(x), layer(x))
