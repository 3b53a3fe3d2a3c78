"""Padding, trimming, weight norm and the streaming invariant of the codec's convolutions."""

import math

import pytest
import torch

from cadenza.nn.conv import Conv1d, ConvState, ConvTranspose1d, TransposeState, pad_time
from cadenza.nn.lstm import LSTMState, ResidualLSTM


def stream(layer, x, sizes, state):
    """Run `layer.stream` over consecutive pieces of the given sizes (the last size repeats)."""
    pieces, start = [], 0
    while start < x.shape[-1]:
        size = sizes[min(len(pieces), len(sizes) - 1)]
        last = start + size >= x.shape[-1]
        pieces.append(layer.stream(x[..., start : start + size], state, last))
        start += size
    return torch.cat(pieces, dim=-1)


@pytest.mark.parametrize("mode", ["constant", "reflect", "replicate"])
@pytest.mark.parametrize(
    ("kernel", "dilation", "causal", "right"),
    [(7, 1, False, None), (3, 4, True, None), (7, 1, False, 1), (1, 1, False, None)],
)
@pytest.mark.parametrize("sizes", [(1,), (3, 1, 5), (50,)])
@torch.no_grad()
def test_streamed_convolution_equals_one_shot(mode, kernel, dilation, causal, right, sizes):
    torch.manual_seed(0)
    layer = Conv1d(2, 3, kernel, dilation=dilation, causal=causal, pad_mode=mode, right_context=right)
    x = torch.randn(2, 2, 40)
    torch.testing.assert_close(stream(layer, x, sizes, ConvState()), layer(x), atol=1e-6, rtol=0)  # fp32 rounding


@pytest.mark.parametrize("causal", [False, True])
@pytest.mark.parametrize("stride", [2, 5, 8])
@pytest.mark.parametrize("sizes", [(1,), (2, 0, 3)])
@torch.no_grad()
def test_streamed_transpose_equals_one_shot(causal, stride, sizes):
    torch.manual_seed(0)
    layer = ConvTranspose1d(2, 3, 2 * stride, stride=stride, causal=causal)
    x = torch.randn(1, 2, 9)
    whole = layer(x)
    assert whole.shape[-1] == 9 * stride
    torch.testing.assert_close(stream(layer, x, sizes, TransposeState()), whole, atol=1e-6, rtol=0)


@torch.no_grad()
def test_streamed_lstm_carries_its_state():
    torch.manual_seed(0)
    layer = ResidualLSTM(4, 2)
    x = torch.randn(2, 4, 11)
    torch.testing.assert_close(stream(layer, x, (4,), LSTMState()), layer(x), atol=1e-6, rtol=0)


@pytest.mark.parametrize("length", [1, 39, 40, 41])
@pytest.mark.parametrize("stride", [1, 4, 5])
def test_output_length_is_the_ceiling(length, stride):
    layer = Conv1d(1, 1, 2 * stride + 1, stride=stride)
    assert layer(torch.zeros(1, 1, length)).shape[-1] == math.ceil(length / stride)


def test_reflecting_a_short_input_appends_zeros_first():
    x = torch.tensor([[[1.0, 2.0]]])
    # [1 2] -> [1 2 0 0] -> [0 0 2 | 1 2 0 0 | 0 2 1] -> cut two samples from the right
    assert pad_time(x, 3, 3, "reflect").tolist() == [[[0, 0, 2, 1, 2, 0, 0, 0]]]


def test_weight_norm_keeps_the_direction_and_sets_the_length():
    layer = Conv1d(3, 2, 5)
    with torch.no_grad():
        layer.conv.weight_g.fill_(2.0)
    norms = layer.conv.kernel.flatten(1).norm(dim=1)
    torch.testing.assert_close(norms, torch.full((2,), 2.0))


def test_folded_weight_follows_an_update():
    layer = Conv1d(1, 1, 3)
    with torch.no_grad():
        before = layer(torch.ones(1, 1, 8))
        layer.conv.weight_g.mul_(2)
        after = layer(torch.ones(1, 1, 8))
    assert not torch.equal(before, after)


def test_transposed_weight_norm_is_per_input_channel():
    assert ConvTranspose1d(6, 3, 4, stride=2).conv.weight_g.shape == (6, 1, 1)
