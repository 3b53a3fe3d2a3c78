"""The static cache: one allocation, explicit state."""

import torch

from cadenza.engine.cache import KVCache


def test_sizes_and_reset() -> None:
    cache = KVCache.allocate(2, 10, num_layers=3, num_heads=4, head_dim=8, dtype=torch.bfloat16)
    assert (cache.batch, cache.max_steps, cache.length) == (2, 10, 0)
    assert cache.num_bytes == 3 * 2 * (2 * 4 * 10 * 8) * 2
    storage = [layer.keys.data_ptr() for layer in cache.layers]
    cache.length, cache.sources, cache.input_bias = 7, list(cache.layers), torch.zeros(1, 10, 8)
    cache.reset()
    assert (cache.length, cache.sources, cache.input_bias, cache.source_mask) == (0, [], None, None)
    assert [layer.keys.data_ptr() for layer in cache.layers] == storage
