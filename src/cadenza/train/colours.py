"""Other rooms, other equalisers, other levels: what keeps a codec from knowing only the studio it was trained in.

In: waveforms `[B, C, N]`; out: the same music as it might have been mixed. One product of spectra per item does all.
"""

from collections.abc import Sequence

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

TONE_HZ = (60.0, 250.0, 1000.0, 4000.0, 12000.0)
"""Where the equaliser's gain is drawn; between these it runs straight in the logarithm of frequency."""
TONE_DB = 3.0  # standard deviation of those gains
LEVEL_DB = (-9.0, 3.0)
ROOM_SHARE = 0.4  # of the items that are changed at all
ROOM_SECONDS = (0.2, 1.6)  # until the reverberation has fallen by 60 dB
ROOM_DB = (-20.0, -6.0)  # energy of its impulse response, relative to the direct sound


def colour(
    audio: Float[Tensor, "B C N"], sample_rate: int, share: float, draws: Sequence[np.random.Generator]
) -> Float[Tensor, "B C N"]:
    """About `share` of the items with another level and tone, and some of these in a room; a generator per item."""
    return torch.stack(
        [
            _colour(item, sample_rate, random) if random.random() < share else item
            for item, random in zip(audio, draws, strict=True)
        ]
    )


def _colour(audio: Float[Tensor, "C N"], sample_rate: int, random: np.random.Generator) -> Float[Tensor, "C N"]:
    length = audio.shape[-1]
    room = _room(length, sample_rate, random)
    size = length + len(room)  # so that the end does not come round to the beginning
    frequencies = np.fft.rfftfreq(size, 1 / sample_rate)
    tone_db = random.normal(0.0, TONE_DB, len(TONE_HZ)) + random.uniform(*LEVEL_DB)
    curve = np.interp(np.log(np.maximum(frequencies, 1.0)), np.log(TONE_HZ), tone_db)
    filters = np.fft.rfft(room, size) * 10 ** (curve / 20)
    product = torch.fft.rfft(audio.float(), size) * torch.from_numpy(filters.astype(np.complex64)).to(audio.device)
    return torch.fft.irfft(product, size)[..., :length].to(audio.dtype)


def _room(length: int, sample_rate: int, random: np.random.Generator) -> np.ndarray:
    """An impulse response: the direct sound and, in a room, noise that dies away."""
    if random.random() >= ROOM_SHARE:
        return np.ones(1)
    seconds = random.uniform(*ROOM_SECONDS)
    time = np.arange(min(length, round(seconds * sample_rate))) / sample_rate
    tail = random.normal(size=len(time)) * 10 ** (-3 * time / seconds)
    tail[: round(0.01 * sample_rate)] = 0.0  # the first walls are some metres away
    tail *= 10 ** (random.uniform(*ROOM_DB) / 20) / np.sqrt(np.square(tail).sum())
    tail[0] = 1.0
    return tail
