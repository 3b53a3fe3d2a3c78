"""An answer given the strength of another sound, instant by instant and frequency by frequency.

In: audio of unit strength, and the sound that it is to be held to, `[B, C, N]`. Out: that audio, loud where the sound
is loud. What a network adds to a sound is then small where the sound is soft: an ear, and a distance of logarithms,
notice noise in a gap that squared error does not see.
"""

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

_WINDOW = 512
_AROUND = (5, 3)
"""Bins and frames that the strength is a mean of."""


def shaped(answer: Float[Tensor, "B C N"], sound: Float[Tensor, "B C N"]) -> Float[Tensor, "B C N"]:
    """White noise as an answer comes out as noise of the sound's spectrogram; in float32, differentiable."""
    with torch.autocast(answer.device.type, enabled=False):
        window = torch.hann_window(_WINDOW, device=answer.device)
        rows, size = answer.float().flatten(0, 1), answer.shape[-1]
        padded = (F.pad(part, (0, max(0, _WINDOW - size))) for part in (rows, sound.float().flatten(0, 1)))
        ours, theirs = (torch.stft(part, _WINDOW, _WINDOW // 4, window=window, return_complex=True) for part in padded)
        power = theirs.abs().square()[:, None] / window.square().sum()
        edges = [side for width in reversed(_AROUND) for side in (width // 2, width // 2)]
        strength = F.avg_pool2d(F.pad(power, edges, mode="replicate"), _AROUND, 1)[:, 0].sqrt()
        made = torch.istft(ours * strength, _WINDOW, _WINDOW // 4, window=window, length=max(size, _WINDOW))
        return made[..., :size].view_as(answer)
