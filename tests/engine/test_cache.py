"""The static cache: one allocation, explicit state, and attention that does not know how it was filled."""

import pytest
import torch

from cadenza.engine.cache import KVCache
from cadenza.nn.attention import CrossAttention, SelfAttention


def test_sizes_and_reset() -> None:
    cache = KVCache.allocate(2, 10, num_layers=3, num_heads=4, head_dim=8, dtype=torch.bfloat16)
    assert (cache.batch, cache.max_steps, cache.length) == (2, 64, 0)  # whole blocks
    assert cache.num_bytes == 3 * 2 * (2 * 4 * 64 * 8) * 2
    storage = [layer.keys.data_ptr() for layer in cache.layers]
    cache.length, cache.sources, cache.input_bias = 7, list(cache.layers), torch.zeros(1, 10, 8)
    cache.reset()
    assert (cache.length, cache.sources, cache.input_bias, cache.source_mask) == (0, [], None, None)
    assert [layer.keys.data_ptr() for layer in cache.layers] == storage


@torch.no_grad()
def test_cached_pieces_equal_the_whole() -> None:
    torch.manual_seed(2)
    attention = SelfAttention(24, 3)
    x = torch.randn(2, 11, 24)
    whole = attention(x)
    cache = KVCache.allocate(2, 12, 1, 3, 8)
    cache.layers[0].keys.fill_(torch.nan)  # what is not filled is not read
    pieces = []
    for length in (4, 1, 3, 1, 2):  # a long first piece, single steps, and several steps on a filled cache
        pieces.append(attention(x[:, cache.length : cache.length + length], cache.layer(0)))
        cache.advance(length)
    torch.testing.assert_close(torch.cat(pieces, 1), whole, atol=1e-6, rtol=1e-5)


@pytest.mark.parametrize("steps", [1, 3])
@torch.no_grad()
def test_a_source_in_a_cache_is_heard_as_it_is(steps: int) -> None:
    torch.manual_seed(4)
    attention = CrossAttention(24, 3)
    x, source = torch.randn(2, steps, 24), torch.randn(2, 5, 24)
    mask = torch.tensor([[True] * 5, [True] * 2 + [False] * 3])
    cache = KVCache.allocate(2, 4, 1, 3, 8)
    projected = attention.project_source(source)
    for seen in (mask, None):
        cache.set_source([projected], seen)
        heard = attention(x, None, None, cache.layer(0))
        torch.testing.assert_close(heard, attention(x, projected, seen), atol=1e-6, rtol=1e-5)


def test_a_full_cache_says_so() -> None:
    cache = KVCache.allocate(1, 64, 1, 1, 8)
    cache.input_bias, cache.length = torch.zeros(1, 64, 8), 64
    with pytest.raises(AssertionError, match="the cache is full"):
        cache.bias(1)
