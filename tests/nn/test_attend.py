"""The written-out attention equals PyTorch's, forward and backward."""

import pytest
import torch
from torch.nn import functional as F

from cadenza.nn.attend import _written_out, attend, attend_biased, attend_one


@pytest.mark.parametrize(
    ("steps", "length", "causal", "masked"), [(7, 7, True, False), (5, 9, False, True), (5, 9, False, False)]
)
def test_written_out_attention_equals_the_fused_kernel(steps: int, length: int, causal: bool, masked: bool) -> None:
    generator = torch.Generator().manual_seed(0)
    query, keys, values = (
        torch.randn(2, 3, n, 4, generator=generator, dtype=torch.float32, requires_grad=True)
        for n in (steps, length, length)
    )
    mask = torch.rand(2, 1, 1, length, generator=generator) < 0.7 if masked else None
    if mask is not None:
        mask[..., 0] = True
    weight = torch.randn(2, 3, steps, 4, generator=generator)
    expected = F.scaled_dot_product_attention(query, keys, values, mask, is_causal=causal)
    wanted = torch.autograd.grad((expected * weight).sum(), (query, keys, values))
    ours = _written_out(query, keys, values, mask, causal)
    found = torch.autograd.grad((ours * weight).sum(), (query, keys, values))
    # float32 sums in another order
    torch.testing.assert_close(ours, expected, rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(found, wanted, rtol=1e-5, atol=1e-6)


def test_training_in_bf16_on_a_cpu_agrees_with_inference() -> None:
    query, keys, values = (
        torch.randn(1, 2, 6, 8, generator=torch.Generator().manual_seed(i)).bfloat16() for i in range(3)
    )
    inference = attend(query, keys, values, causal=True)
    training = attend(query.requires_grad_(), keys, values, causal=True)
    # bf16 keeps 8 bits: values of about 1 agree to 2^-7
    torch.testing.assert_close(training, inference, rtol=0, atol=2**-6)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@torch.no_grad()
def test_one_query_has_the_same_bits_in_any_company(dtype: torch.dtype) -> None:
    """Threads, rows and room behind the end change nothing: what continuous batching and adaptive threads rest on."""
    draw = torch.Generator().manual_seed(0)
    query = torch.randn(6, 4, 1, 32, generator=draw).to(dtype)
    keys = torch.randn(24, 32, 512, generator=draw).to(dtype)
    values = torch.randn(24, 512, 32, generator=draw).to(dtype)
    before = torch.get_num_threads()
    try:
        for length in (1, 37, 64, 100, 300):
            seen = -(-length // 64) * 64
            bias = torch.zeros(1, 1, 512, dtype=dtype)
            bias[:, :, length:] = float("-inf")
            alone = attend_one(query[:2], keys[:8, :, :seen], values[:8, :seen], bias[:, :, :seen])
            for threads in (1, 2):
                torch.set_num_threads(threads)
                together = attend_one(query, keys, values, bias)
                assert torch.equal(together[:2], alone), (length, threads)
            expected = F.scaled_dot_product_attention(
                query[:2].float(),
                keys[:8, :, :length].mT.reshape(2, 4, length, 32).float(),
                values[:8, :length].reshape(2, 4, length, 32).float(),
            )
            # bfloat16 rounds scores and weights to 8 bits.
            atol = 1e-6 if dtype == torch.float32 else 0.03
            torch.testing.assert_close(alone.float(), expected, atol=atol, rtol=1e-5)
    finally:
        torch.set_num_threads(before)


def biased_inputs(width: int, length: int) -> tuple[torch.Tensor, ...]:
    draw = torch.Generator().manual_seed(0)
    query = torch.randn(3, 2, 1, width, generator=draw)
    keys, values = (torch.randn(3, 2, length, width, generator=draw) for _ in range(2))
    hidden = torch.arange(length) > torch.tensor([0, 5, length - 1])[:, None]
    return query, keys, values, torch.zeros(3, length).masked_fill(hidden, float("-inf"))[:, None, None]


def test_a_bias_of_minus_infinity_is_a_mask() -> None:
    query, keys, values, bias = biased_inputs(8, 64)
    expected = attend(query, keys, values, bias == 0)
    torch.testing.assert_close(attend_biased(query, keys, values, bias), expected, rtol=1e-5, atol=1e-6)


@pytest.mark.gpu
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
@pytest.mark.parametrize("width", [64, 6])  # 6: no kernel of its own
def test_a_longer_context_that_is_hidden_changes_no_bit_on_cuda(dtype: torch.dtype, width: int) -> None:
    query, keys, values, bias = (tensor.cuda().to(dtype) for tensor in biased_inputs(width, 128))
    short = attend_biased(query, keys, values, bias)
    expected = F.scaled_dot_product_attention(*(tensor.float() for tensor in (query, keys, values, bias)))
    torch.testing.assert_close(short.float(), expected, atol=1e-5 if dtype == torch.float32 else 0.02, rtol=1e-3)
    if width % 8:
        return
    more = torch.zeros(3, 2, 1024 - 128, width, device="cuda", dtype=dtype)
    hidden = torch.full((3, 1, 1, 1024 - 128), float("-inf"), device="cuda", dtype=dtype)
    keys, values = (torch.cat((tensor, more), 2) for tensor in (keys, values))
    assert torch.equal(attend_biased(query, keys, values, torch.cat((bias, hidden), 3)), short)
