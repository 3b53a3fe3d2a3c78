"""Losses between audio and its reconstruction, and the adversarial losses.

In: waveforms `[B, C, N]`, or the logits and feature maps of discriminators. Out: scalars. Défossez et al. 2022
(EnCodec), section 3.4, as trained for MusicGen's 32 kHz codec.
"""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from jaxtyping import Float
from pydantic import Field
from torch import Tensor, nn

from cadenza.checkpoint import Config
from cadenza.nn.spectral import mel_filters


class MelLossConfig(Config):
    """Scales of the mel loss. Windows are powers of two; hops are a quarter of the window."""

    windows: tuple[int, ...] = Field((64, 128, 256, 512, 1024), description="samples")
    num_mels: int | tuple[int, ...] = Field(64, description="mel bands, at every scale or one number per window")
    low_hz: float = Field(64.0, description="lower edge of the first band, Hz")
    floor: float = Field(1e-5, description="added to mel power before the logarithm")


class MelLoss(nn.Module):
    """`mean_scales 1/2 (L1(M x, M y) + MSE(log10(floor + M x), log10(floor + M y)))`, `M` a power mel spectrogram.

    The transform is normalised by the window's energy. Each scale reflects `(window - hop) / 2` samples at both ends
    and fills its last frame with zeros.
    """

    def __init__(self, config: MelLossConfig, sample_rate: int) -> None:
        super().__init__()
        self.config = config
        bands = config.num_mels
        counts = (bands,) * len(config.windows) if isinstance(bands, int) else bands
        for n_fft, num_mels in zip(config.windows, counts, strict=True):
            window = torch.hann_window(n_fft)
            self.register_buffer(f"window_{n_fft}", window / window.square().sum().sqrt(), persistent=False)
            filters = mel_filters(num_mels, n_fft, sample_rate, config.low_hz, sample_rate / 2)
            self.register_buffer(f"filters_{n_fft}", filters.t().contiguous(), persistent=False)

    def mel(self, audio: Float[Tensor, "B N"], n_fft: int) -> Float[Tensor, "B T M"]:
        """Power mel spectrogram at one scale."""
        hop = n_fft // 4
        pad = (n_fft - hop) // 2
        audio = F.pad(audio, (pad, pad), mode="reflect")
        audio = F.pad(audio, (0, -(audio.shape[-1] - n_fft) % hop))
        frames = audio.unfold(-1, n_fft, hop) * self.get_buffer(f"window_{n_fft}")
        power = torch.view_as_real(torch.fft.rfft(frames)).square().sum(-1)
        return power @ self.get_buffer(f"filters_{n_fft}")

    def forward(self, audio: Float[Tensor, "B C N"], target: Float[Tensor, "B C N"]) -> Float[Tensor, ""]:
        total = audio.new_zeros(())
        for n_fft in self.config.windows:
            x, y = (self.mel(wave.flatten(0, 1), n_fft) for wave in (audio, target))
            floor = self.config.floor
            total = total + F.l1_loss(x, y) + F.mse_loss(torch.log10(floor + x), torch.log10(floor + y))
        return total / (2 * len(self.config.windows))


def discriminator_hinge(real: Sequence[Tensor], fake: Sequence[Tensor]) -> Float[Tensor, ""]:
    """`mean(relu(1 - D(real))) + mean(relu(1 + D(fake)))`, averaged over the sub-discriminators."""
    losses = [F.relu(1 - r).mean() + F.relu(1 + f).mean() for r, f in zip(real, fake, strict=True)]
    return torch.stack(losses).mean()


def generator_hinge(fake: Sequence[Tensor]) -> Float[Tensor, ""]:
    """`-mean(D(fake))`, averaged over the sub-discriminators."""
    return torch.stack([-logits.mean() for logits in fake]).mean()


def feature_matching(real: Sequence[Sequence[Tensor]], fake: Sequence[Sequence[Tensor]]) -> Float[Tensor, ""]:
    """L1 between the feature maps of real and fake, averaged over maps, then over sub-discriminators."""
    return torch.stack(
        [
            torch.stack([F.l1_loss(f, r) for r, f in zip(real_maps, fake_maps, strict=True)]).mean()
            for real_maps, fake_maps in zip(real, fake, strict=True)
        ]
    ).mean()
