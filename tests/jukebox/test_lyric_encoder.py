"""The reader of lyrics."""

import torch

from cadenza.jukebox.lyric_encoder import LyricEncoder
from cadenza.jukebox.lyrics import EncodedLyrics
from cadenza.jukebox.transformer import TransformerConfig

CONFIG = EncodedLyrics(
    num_tokens=12,
    encoder=TransformerConfig(
        dim=16, num_heads=2, attention_dim=8, feed_forward_dim=16, layers=("row", "column", "dense"), num_rows=3
    ),
)


@torch.no_grad()
def test_a_character_is_read_by_those_behind_it_alone() -> None:
    encoder = LyricEncoder(CONFIG, dim=24)
    encoder.initialize(1.0, torch.Generator().manual_seed(6))
    one = torch.randint(80, (1, 12), generator=torch.Generator().manual_seed(7))
    other = one.clone()
    other[0, 5] = (other[0, 5] + 1) % 80
    first, second = encoder(one), encoder(other)
    assert first.shape == (1, 12, 24)
    assert torch.equal(first[:, :6], second[:, :6])
    assert not torch.equal(first[:, 6:], second[:, 6:])
    assert encoder.logits(first).shape == (1, 12, 80)
