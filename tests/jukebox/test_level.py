"""A level as a codec: the codes are the VQ-VAE's, and a streamed decode is that of the whole."""

import pytest
import torch

from cadenza.errors import UserError
from cadenza.jukebox.level import VQVAELevel
from cadenza.jukebox.vqvae import JukeboxVQVAE, JukeboxVQVAEConfig

CONFIG = JukeboxVQVAEConfig(downs=(2, 1), widths=(4, 4), depths=(2, 1), latent_dim=4, codebook_size=16)


def vqvae(layout: str = "separate") -> JukeboxVQVAE:
    torch.manual_seed(0)
    made = JukeboxVQVAE(CONFIG.model_copy(update={"layout": layout})).eval()
    for level in range(2):
        torch.nn.init.normal_(made.codebook(level).vectors, std=0.1)
    return made


@torch.no_grad()
@pytest.mark.parametrize("layout", ["separate", "shared"])
def test_codes_of_all_levels_cover_the_same_time(layout: str) -> None:
    whole, audio = vqvae(layout), torch.randn(2, 1, 801)
    levels = [VQVAELevel(whole, level) for level in range(2)]
    codes = [level.encode(audio).codes for level in levels]
    assert [tuple(part.shape) for part in codes] == [(2, 1, 202), (2, 1, 101)]
    filled = torch.cat([audio, torch.zeros(2, 1, 7)], dim=2)
    for part, expected, level in zip(codes, whole.encode(filled), levels, strict=True):
        assert torch.equal(part[:, 0], expected)
        assert torch.equal(level.decode(part), whole.decode(expected, level.level))
        assert level.decode_latent(part).shape == (2, 4, part.shape[2])


@torch.no_grad()
@pytest.mark.parametrize("level", [0, 1])
def test_a_streamed_decode_is_that_of_the_whole(level: int) -> None:
    codec = VQVAELevel(vqvae(), level)
    codes = torch.randint(16, (1, 1, 120))
    state, pieces = codec.new_decode_state(), []
    for start, end in ((0, 3), (3, 50), (50, 51), (51, 120)):
        pieces.append(codec.decode_step(codes[..., start:end], state, last=end == 120))
    assert pieces[1].shape[2] == max(0, 50 - int(codec.lookahead_frames)) * codec.hop_length
    # Sums of convolutions in another order.
    torch.testing.assert_close(torch.cat(pieces, 2), codec.decode(codes), rtol=1e-4, atol=1e-5)


def test_it_holds_nothing_of_other_levels() -> None:
    whole = vqvae()
    codec = VQVAELevel(whole, 1)
    own = sum(part.numel() for part in (*whole.encoders[1].parameters(), *whole.decoders[1].parameters()))
    assert sum(part.numel() for part in codec.parameters()) == own
    with pytest.raises(UserError, match="no level 2"):
        VQVAELevel(whole, 2)
