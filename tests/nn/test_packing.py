"""The packed form of a layer computes the same, streams the same, and never outlives the weights it was made of."""

import pytest
import torch

from cadenza.nn.conv import Conv1d, ConvState, ConvTranspose1d, TransposeState
from cadenza.nn.lstm import LSTMState, ResidualLSTM
from cadenza.nn.packing import join_time, packs

pytestmark = pytest.mark.skipif(not packs(torch.zeros(8, 8)), reason="oneDNN cannot pack here")

LAYERS = {
    "short kernel": (lambda: Conv1d(6, 4, 3, dilation=2), ConvState),
    "one frame": (lambda: Conv1d(6, 4, 1), ConvState),
    "windows as rows": (lambda: Conv1d(6, 256, 3, dilation=2, causal=True), ConvState),
    "depthwise": (lambda: Conv1d(6, 6, 7, groups=6, norm="none", pad_mode="constant", right_context=1), ConvState),
    "transposed": (lambda: ConvTranspose1d(6, 4, 10, stride=5), TransposeState),
    "transposed, causal": (lambda: ConvTranspose1d(6, 4, 8, stride=4, causal=True), TransposeState),
    "transposed, short overlap": (lambda: ConvTranspose1d(6, 4, 7, stride=5), TransposeState),
    "recurrent": (lambda: ResidualLSTM(6, 2), LSTMState),
}


def is_packed(layer):
    return layer.is_packed if isinstance(layer, ResidualLSTM) else layer.conv.is_packed


@pytest.mark.parametrize("name", LAYERS)
@pytest.mark.parametrize("sizes", [(40,), (1,), (3, 0, 9)])
@torch.no_grad()
def test_packed_layers_compute_and_stream_the_same(name, sizes):
    torch.manual_seed(0)
    build, new_state = LAYERS[name]
    layer = build().eval()
    x = torch.randn(2, 6, 40)
    expected = layer(x)
    layer.pack()
    assert is_packed(layer)
    torch.testing.assert_close(layer(x), expected, atol=2e-6, rtol=0)  # the same products, summed in another order
    state, pieces, start = new_state(), [], 0
    while start < 40:
        size = sizes[len(pieces) % len(sizes)]
        pieces.append(layer.stream(x[..., start : start + size], state, start + size >= 40))
        start += size
    torch.testing.assert_close(torch.cat(pieces, dim=-1), expected, atol=2e-6, rtol=0)


@pytest.mark.parametrize("name", LAYERS)
@pytest.mark.parametrize("change", ["train", "convert", "load"])
def test_whatever_may_change_the_weights_unpacks(name, change):
    layer = LAYERS[name][0]().eval()
    before = {key: value.clone() for key, value in layer.state_dict().items()}
    layer.pack()
    assert {key: value.tolist() for key, value in layer.state_dict().items()} == {
        key: value.tolist() for key, value in before.items()
    }
    layer.eval()
    assert is_packed(layer)
    if change == "train":
        layer.train()
    elif change == "convert":
        layer.to(torch.float64)
    else:
        layer.load_state_dict(before)
    assert not is_packed(layer)


def test_other_precisions_stay_plain():
    layer = Conv1d(4, 4, 3).to(torch.float64)
    layer.pack()
    assert not is_packed(layer)


def test_pieces_join_in_the_order_of_the_longest():
    frames = torch.arange(12.0).view(1, 4, 3).transpose(1, 2)
    joined = join_time(frames[..., :1].contiguous(), frames[..., 1:])
    assert torch.equal(joined, frames)
    assert joined.stride(1) == 1
