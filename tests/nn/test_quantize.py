"""Canonical values are near the weights, products are those of the canonical values, and packing loses no bit."""

import pytest
import torch

from cadenza.nn.quantize import GROUP, KINDS, Dequantized, Kind, Quantized, dequantize, empty, product, quantize


def normal(rows: int, columns: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(rows, columns, generator=torch.Generator().manual_seed(seed))


def relative(found: torch.Tensor, expected: torch.Tensor) -> float:
    return float((found.float() - expected).norm() / expected.norm())


# int8: rms of rounding is step / sqrt(12), step = 2 * 3.3 std / 255. int4: Lloyd's bound for 16 even steps is 0.11; a
# grid of its own per 32 weights halves it.
@pytest.mark.parametrize(("kind", "error"), [("int8", 0.009), ("int4", 0.08)])
def test_error_of_normal_weights(kind: Kind, error: float) -> None:
    weight = normal(64, 256)
    assert relative(dequantize(quantize(weight, kind), 256), weight) < error


def test_int4_finds_a_better_grid_than_the_range() -> None:
    weight = normal(256, GROUP)
    low, high = weight.amin(1, keepdim=True), weight.amax(1, keepdim=True)
    step = (high - low) / 15
    plain = ((weight - low) / step).round() * step + low  # its grid is not even rounded to bf16
    found = dequantize(quantize(weight, "int4"), GROUP)
    worse = (found - weight).square().sum(1) > 1.02 * (plain - weight).square().sum(1)
    assert relative(found, weight) < 0.95 * relative(plain, weight)
    assert worse.float().mean() < 0.05


def test_int4_holds_what_lies_on_its_grid() -> None:
    codes = torch.arange(16.0).repeat(4, 4)
    weight = (codes - 8) * 0.25 + 0.5  # scale and offset are exact in bf16
    assert torch.equal(dequantize(quantize(weight, "int4"), 64), weight)
    quantized = quantize(weight, "int4")
    assert quantized.values[0, :3].tolist() == [0x01, 0x23, 0x45]
    assert float(quantized.scale[0, 0]) == 0.25


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("value", [0.0, 1.0, -0.125])
def test_equal_weights_are_exact(kind: Kind, value: float) -> None:
    weight = torch.full((3, 40), value)
    # int8: value / 127 is rounded to bf16, 8 bits.
    torch.testing.assert_close(dequantize(quantize(weight, kind), 40), weight, rtol=2**-8, atol=1e-29)


@pytest.mark.parametrize("kind", KINDS)
def test_rows_are_quantised_alone_and_the_same_each_time(kind: Kind) -> None:
    weight = normal(600, 1000)  # more than one chunk
    whole = quantize(weight, kind)
    some = quantize(weight[250:300], kind)
    assert all(map(torch.equal, whole.rows(250, 300).tensors(), some.tensors()))
    assert all(map(torch.equal, whole.tensors(), quantize(weight.clone(), kind).tensors()))


def test_size() -> None:
    def size(weight: Quantized) -> float:
        return 8 * sum(tensor.numel() * tensor.element_size() for tensor in weight.tensors()) / (1024 * 1024)

    assert size(empty("int4", 1024, 1024)) == 5.0  # bits per weight
    assert size(empty("int8", 1024, 1024)) == 8 + 16 / 1024


SHAPES = [(48, 64), (16, 320), (320, 1280), (5, 7), (17, 33), (1, 1)]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("rows", "columns"), SHAPES)
def test_product_is_that_of_the_canonical_values(kind: Kind, rows: int, columns: int) -> None:
    weight = quantize(normal(rows, columns), kind)
    dense = dequantize(weight, columns)
    x = normal(3, columns, 1).bfloat16()
    expected = x.float() @ dense.t()
    scale = (x.float().abs() @ dense.abs().t()).amax()
    for multiply in (product(weight, columns), Dequantized(weight, columns)):
        found = multiply(x)
        assert found.dtype == torch.bfloat16
        # The result is rounded to 8 bits, and so may be each product.
        assert float((found.float() - expected).abs().amax()) <= 2**-8 * float(scale)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("rows", "columns"), [*SHAPES, (80, 1056)])
def test_canonical_values_come_back_from_the_packed_order(kind: Kind, rows: int, columns: int) -> None:
    weight = quantize(normal(rows, columns), kind)
    back = product(weight, columns).canonical()
    assert back.kind == kind
    assert all(map(torch.equal, back.tensors(), weight.tensors()))


@pytest.mark.parametrize("kind", KINDS)
def test_bits_depend_on_no_other_row_and_no_thread(kind: Kind) -> None:
    multiply = product(quantize(normal(192, 320), kind), 320)
    x = normal(64, 320, 1).bfloat16()
    threads = torch.get_num_threads()
    expected = torch.cat([multiply(row) for row in x.split(1)])
    try:
        for count in (1, 2, 3):
            torch.set_num_threads(count)
            for rows in (2, 3, 7, 64):
                assert torch.equal(torch.cat([multiply(part) for part in x.split(rows)]), expected), (count, rows)
    finally:
        torch.set_num_threads(threads)


def shifted(tensor: torch.Tensor, offset: int) -> torch.Tensor:
    """The same values `offset` bytes behind an address that is a multiple of 64."""
    size = tensor.numel() * tensor.element_size()
    memory = torch.empty(size + 128, dtype=torch.uint8)
    start = -memory.data_ptr() % 64 + offset
    return memory[start : start + size].view(tensor.dtype).view(tensor.shape).copy_(tensor)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("offset", [2, 8, 16, 32])
def test_values_may_lie_anywhere(kind: Kind, offset: int) -> None:
    """As those in a file do; the kernel for int8 would end the process."""
    weight = quantize(normal(48, 96), kind)
    x = normal(5, 96, 1).bfloat16()
    moved = Quantized(kind, *(shifted(tensor, offset) for tensor in weight.tensors()))
    assert torch.equal(product(moved, 96)(shifted(x, offset)), product(weight, 96)(x))


@pytest.mark.gpu
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("rows", "columns"), [(1024, 1024), (320, 1280), (48, 64), (5, 7)])
@pytest.mark.parametrize("count", [1, 2, 40])
def test_cuda_product_is_that_of_the_canonical_values(kind: Kind, rows: int, columns: int, count: int) -> None:
    weight = quantize(normal(rows, columns), kind)
    moved = Quantized(kind, *(tensor.cuda() for tensor in weight.tensors()))
    multiply = product(moved, columns)
    dense = dequantize(weight, columns)
    x = normal(count, columns, 1).bfloat16()
    scale = (x.float().abs() @ dense.abs().t()).amax()
    error = multiply(x.cuda()).float().cpu() - x.float() @ dense.t()
    assert float(error.abs().amax()) <= 2**-7 * float(scale)  # tensor cores take the weight as bf16
    assert all(torch.equal(a.cpu(), b) for a, b in zip(multiply.canonical().tensors(), weight.tensors(), strict=True))
