"""The stack: its random weights, parts of it, and memory for time."""

import torch

from cadenza.jukebox.transformer import Transformer, TransformerConfig

CONFIG = TransformerConfig(
    dim=64,
    num_heads=2,
    attention_dim=16,
    feed_forward_dim=64,
    layers=("row", "column", "previous_row", "dense"),
    num_rows=4,
)


def built(scale: float = 1.0) -> Transformer:
    stack = Transformer(CONFIG, CONFIG.grid(12))
    stack.initialize(scale, torch.Generator().manual_seed(1))
    return stack


@torch.no_grad()
def test_random_weights_are_the_published_ones() -> None:
    stack = built(scale=0.5)
    for layer in stack.layers:
        for linear in (layer.attention.in_projection, layer.attention.out_projection, layer.feed_forward.linear1):
            # 1024 draws or more: their standard deviation is within 10 %.
            assert 0.009 < float(linear.weight.std()) < 0.011
            assert not linear.bias.any()
        assert bool((layer.norm_attention.weight == 1).all())


@torch.no_grad()
def test_a_part_of_the_stack_is_what_comes_first() -> None:
    stack, x = built(), torch.randn(1, 7, 64, generator=torch.Generator().manual_seed(2))
    assert torch.equal(stack(x, stop=0), x)
    half = stack(x, stop=2)
    torch.testing.assert_close(stack.layers[1](stack.layers[0](torch.cat([x, x[:, :2]], dim=1)))[:, :7], half)
    assert not torch.equal(half, stack(x))


def test_memory_for_time_changes_nothing() -> None:
    x, gradients = torch.randn(1, 12, 64, generator=torch.Generator().manual_seed(3)), []
    for checkpointing in (False, True):
        stack = built()
        stack.gradient_checkpointing = checkpointing
        stack(x).square().sum().backward()
        gradients.append(stack.layers[0].attention.in_projection.weight.grad)
    assert gradients[0] is not None
    torch.testing.assert_close(gradients[0], gradients[1])
