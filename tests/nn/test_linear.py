"""Packing changes where the weights lie, not what they say."""

import pytest
import torch

from cadenza.nn.linear import Linear, pack_linears, packable

pytestmark = pytest.mark.skipif(not packable(torch.zeros(8, 8)), reason="oneDNN cannot pack here")


@pytest.fixture
def layer() -> Linear:
    torch.manual_seed(0)
    return Linear(48, 96, bias=True, parts=(32, 64))


@pytest.mark.parametrize("rows", [1, 2, 7, 300])
@torch.no_grad()
def test_packed_product_is_the_product(layer: Linear, rows: int) -> None:
    x = torch.randn(rows, 48)
    whole, first, second = layer(x), layer.part(x, 0), layer.part(x, 1)
    layer.pack()
    assert layer.weight.is_meta
    # Another order of summation over 48 products.
    torch.testing.assert_close(layer(x), whole, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(layer.part(x, 0), first, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(layer.part(x, 1), second, atol=1e-5, rtol=1e-5)


def test_the_state_dict_of_a_packed_layer_is_the_plain_one(layer: Linear) -> None:
    plain = {name: tensor.clone() for name, tensor in layer.state_dict().items()}
    layer.pack()
    packed = layer.state_dict()
    assert plain.keys() == packed.keys()
    assert all(torch.equal(plain[name], packed[name]) for name in plain)


def test_converting_and_loading_unpack(layer: Linear) -> None:
    weight = layer.weight.detach().clone()
    pack_linears(layer)
    layer.to(torch.float64)
    assert torch.equal(layer.weight, weight.double())
    layer.float().pack()
    layer.load_state_dict({"weight": weight + 1, "bias": torch.zeros(96)})
    assert torch.equal(layer.weight, weight + 1)
    assert torch.equal(layer(torch.zeros(1, 48)), torch.zeros(1, 96))


def test_training_unpacks(layer: Linear) -> None:
    layer.eval().pack()
    layer.train()
    layer(torch.ones(1, 48)).sum().backward()
    assert layer.weight.grad is not None


def test_what_cannot_be_packed_stays_as_it_is() -> None:
    layer = Linear(8, 8).double()
    layer.pack()
    assert layer.weight.dtype == torch.float64
    assert not layer.weight.is_meta
