"""The relative volume of the mel error: known answers."""

import pytest
import torch

from cadenza.evaluate.rvm import relative_volume


def noise(seed: int, seconds: float = 2.0) -> torch.Tensor:
    return 0.1 * torch.randn(1, round(32000 * seconds), generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize(("gain", "expected"), [(1.0, -25.0), (0.9, -20.0), (2.0, 0.0), (0.0, 0.0), (1000.0, 25.0)])
def test_a_change_of_level_is_an_error_of_that_share(gain: float, expected: float):
    """Of white noise every band is far above the floor."""
    found = relative_volume(gain * noise(0), noise(0), 32000)
    assert found.mean == pytest.approx(expected, abs=0.01)
    assert found.groups == pytest.approx([expected] * 4, abs=0.05)


def test_it_does_not_depend_on_level_unless_the_original_is_very_soft():
    made, original = noise(1), noise(2)
    plain = relative_volume(made, original, 32000).mean
    assert -13 < plain < -8  # two noises of one level: high bands sum many bins and hardly differ
    assert relative_volume(4 * made, 4 * original, 32000).mean == pytest.approx(plain, abs=1e-3)
    assert relative_volume(made / 1e4, original / 1e4, 32000).mean == pytest.approx(-25.0, abs=1e-3)


def test_groups_tell_where_the_error_is():
    """Low noise left out: about all is wrong there, nothing above."""
    original = noise(3)
    spectrum = torch.fft.rfft(original)
    frequencies = torch.fft.rfftfreq(original.shape[-1], 1 / 32000)
    spectrum[..., frequencies < 1100] = 0
    found = relative_volume(torch.fft.irfft(spectrum), original, 32000)
    assert found.groups[0] > -1
    assert max(found.groups[2:]) < -24
    assert found.mean == pytest.approx(sum(found.groups) / 4, abs=0.2)  # 79 bands make no equal groups


def test_channels_count_alike():
    x, y = noise(4), noise(5)
    both = relative_volume(torch.cat([y, x]), torch.cat([x, x]), 32000).mean
    assert both == pytest.approx((relative_volume(y, x, 32000).mean - 25.0) / 2, abs=0.2)
