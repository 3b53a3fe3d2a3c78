"""Packing changes where the weights lie, not what they say; quantising says less, in the same words."""

import pytest
import torch

from cadenza.errors import UserError
from cadenza.nn.linear import Linear, pack_linears, quantize_linears, quantized_kind
from cadenza.nn.quantize import KINDS, Kind
from cadenza.nn.reorder import packable

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


@torch.no_grad()
def test_a_row_is_the_same_alone_and_among_others() -> None:
    """To the bit, or a request would depend on its company. Deep enough for oneDNN to sum a single row otherwise."""
    layer = Linear(1280, 320)
    layer.pack()
    x = torch.randn(64, 1280, generator=torch.Generator().manual_seed(0))
    whole = layer(x)
    for rows in (1, 2, 3, 17):
        assert torch.equal(layer(x[:rows]), whole[:rows]), rows
    assert layer(x[:1, None]).shape == (1, 1, 320)


@torch.no_grad()
def test_a_hurried_row_is_the_product_and_others_keep_their_bits() -> None:
    layer = Linear(1280, 320, bias=True)
    x = torch.randn(64, 1280, generator=torch.Generator().manual_seed(0))
    plain = layer(x)
    layer.pack()
    whole = layer(x)
    layer.unpack()
    layer.pack(hurried=True)
    torch.testing.assert_close(layer(x[:1]), plain[:1], atol=1e-5, rtol=1e-5)
    assert layer(x[:1, None]).shape == (1, 1, 320)
    for rows in (2, 3, 17, 64):
        assert torch.equal(layer(x[:rows]), whole[:rows]), rows


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


# ---- 8 and 4 bits ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
@torch.no_grad()
def test_quantised_product(kind: Kind, dtype: torch.dtype, layer: Linear) -> None:
    x = torch.randn(2, 5, 48)
    plain = layer(x)
    layer.quantize(kind)
    assert layer.compute_dtype == torch.bfloat16
    loose = layer(x.to(dtype))
    layer.pack()
    packed = layer(x.to(dtype))
    assert packed.shape == plain.shape
    assert packed.dtype == torch.bfloat16
    assert torch.equal(torch.cat([layer.part(x.to(dtype), 0), layer.part(x.to(dtype), 1)], -1), packed)
    torch.testing.assert_close(packed, loose, rtol=2**-7, atol=1e-2)  # bf16
    error = float((packed.float() - plain).norm() / plain.norm())
    assert error < {"int8": 0.01, "int4": 0.09}[kind]


@pytest.mark.parametrize("kind", KINDS)
def test_state_dict_of_a_quantised_layer_is_canonical(kind: Kind, layer: Linear) -> None:
    layer.quantize(kind)
    plain = {name: tensor.clone() for name, tensor in layer.state_dict().items()}
    expected = {"bias", f"weight_{kind}", "weight_scale"} | ({"weight_zero"} if kind == "int4" else set())
    assert plain.keys() == expected
    assert quantized_kind(f"layers.0.{name}" for name in plain) == kind
    layer.pack()
    packed = layer.state_dict()
    assert all(torch.equal(plain[name], packed[name]) for name in expected)
    other = Linear(48, 96, bias=True, parts=(32, 64))
    other.quantize(kind)
    other.pack()
    other.load_state_dict(packed)
    x = torch.randn(2, 48)
    layer.unpack()
    assert torch.equal(other(x), layer(x))


@pytest.mark.parametrize("kind", KINDS)
def test_a_quantised_shape_is_loaded(kind: Kind, layer: Linear) -> None:
    layer.quantize(kind)
    with torch.device("meta"):
        empty = Linear(48, 96, bias=True, parts=(32, 64))
    quantize_linears(empty, kind)
    assert all(tensor.is_meta for tensor in empty.state_dict().values())
    empty.load_state_dict(layer.state_dict(), assign=True)
    x = torch.randn(2, 48)
    assert torch.equal(empty(x), layer(x))


@pytest.mark.parametrize("kind", KINDS)
def test_moving_a_quantised_layer_converts_nothing(kind: Kind, layer: Linear) -> None:
    layer.quantize(kind)
    before = {name: tensor.clone() for name, tensor in layer.state_dict().items() if name != "bias"}
    layer.pack()
    layer.to(torch.float64)
    after = layer.state_dict()
    assert all(
        after[name].dtype == tensor.dtype and torch.equal(after[name], tensor) for name, tensor in before.items()
    )
    assert layer(torch.zeros(1, 48)).dtype == torch.bfloat16


@pytest.mark.parametrize("kind", KINDS)
def test_a_quantised_layer_cannot_be_trained(kind: Kind, layer: Linear) -> None:
    layer.quantize(kind)
    with pytest.raises(UserError, match=f"{kind} cannot be trained: load the model in fp32 or bf16"):
        layer.train()
    layer.eval()
    assert not any(parameter.requires_grad for parameter in layer.parameters())


def test_bf16_is_packed_too() -> None:
    torch.manual_seed(0)
    layer = Linear(64, 96).bfloat16()
    if not packable(layer.weight):
        pytest.skip("oneDNN has no bf16 on this processor")
    x = torch.randn(5, 64)
    with torch.no_grad():
        plain = layer(x)
        layer.pack()
        assert layer.weight.is_meta
        torch.testing.assert_close(layer(x), plain, rtol=2**-7, atol=1e-3)
        assert torch.equal(torch.cat([layer(row) for row in x.split(1)]), layer(x))
