"""An answer that is held to a sound's strength: loud where that is loud, nothing where that is nothing."""

import pytest
import torch

from cadenza.diffusion.shaping import shaped


def noise(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def level(audio: torch.Tensor) -> float:
    return float(audio.std())


def test_white_noise_becomes_noise_of_the_sounds_level():
    sound = 0.1 * noise(1, 1, 32000, seed=1)
    assert level(shaped(noise(1, 1, 32000), sound)) == pytest.approx(0.1, rel=0.05)


def test_it_is_silent_where_the_sound_is():
    """In time, a window away from what sounds, and in frequency: a tone's answer is around the tone."""
    sound = noise(1, 1, 8000, seed=1)
    sound[..., 4000:] = 0
    made = shaped(noise(1, 1, 8000), sound)
    assert level(made[..., :3500]) == pytest.approx(1, rel=0.1)
    assert level(made[..., 5200:]) == 0
    tone = torch.sin(2 * torch.pi * 1000 * torch.arange(32000) / 32000)[None, None]
    power = torch.fft.rfft(shaped(noise(1, 1, 32000), tone)[0, 0]).abs().square()
    assert float(power[500:1500].sum() / power.sum()) > 0.999  # hertz


def test_it_is_linear_in_the_answer_and_in_the_sounds_level():
    answer, sound = noise(2, 1, 5000), noise(2, 1, 5000, seed=1)
    made = shaped(answer, sound)
    torch.testing.assert_close(shaped(3 * answer, sound), 3 * made, atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(shaped(answer, 3 * sound), 3 * made, atol=1e-5, rtol=1e-4)
    assert not shaped(0 * answer, sound).any()


@pytest.mark.parametrize("size", [1, 100, 512, 700])
def test_any_length(size):
    made = shaped(noise(2, 3, size), noise(2, 3, size, seed=1))
    assert made.shape == (2, 3, size)
    assert made.isfinite().all()


def test_gradients_reach_the_answer_alone():
    answer = noise(1, 1, 2000).requires_grad_()
    shaped(answer, torch.zeros(1, 1, 2000)).sum().backward()  # of a silent sound, too
    assert answer.grad is not None
    assert not answer.grad.any()
