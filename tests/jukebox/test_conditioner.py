"""What an upsampler hears of the level above."""

import torch

from cadenza.jukebox.conditioner import Conditioner, ConditionerConfig


def built(**changes: object) -> Conditioner:
    torch.manual_seed(4)
    return Conditioner(ConditionerConfig(width=6, depth=10, **changes), codebook_size=16, dim=8)


def test_dilations_begin_anew_and_are_not_reversed() -> None:
    blocks = built().stage.ups[0].blocks
    assert [block.dilated.dilation for block in blocks] == [(3 ** (j % 8),) for j in range(10)]


@torch.no_grad()
def test_codes_become_four_times_as_many_vectors() -> None:
    codes = torch.randint(16, (2, 5), generator=torch.Generator().manual_seed(5))
    plain, scaled = built(), built(residual_scale=True)
    heard = plain(codes)
    assert heard.shape == (2, 20, 8)
    torch.testing.assert_close(heard.mean(-1), torch.zeros(2, 20), atol=1e-5, rtol=0)  # a norm comes last
    assert scaled.stage.ups[0].blocks[0].scale == 10**-0.5
    assert not torch.allclose(scaled(codes), heard)
    assert built(num_ups=3).config.stride == 8
