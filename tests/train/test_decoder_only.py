"""Training the decoder alone leaves every code as it was."""

import torch

from cadenza.codec.encodec import EnCodecConfig
from cadenza.codec.spectral import SpectralConfig
from cadenza.train.losses import MelLossConfig
from cadenza.train.objective import Turn
from cadenza.train.objectives.codec import CodecObjective, CodecObjectiveConfig


def test_codes_stay_valid_while_the_decoder_learns():
    torch.manual_seed(0)
    half = SpectralConfig(
        hop_length=40, dim=16, num_layers=1, fast_dim=8, fast_layers=1, num_mels=8, num_tones=16, tone_window=256
    )
    codec = EnCodecConfig(sample_rate=8000, codebook_size=32, latent_dim=8, encoder=half, decoder=half)
    config = CodecObjectiveConfig(
        codec=codec, decoder_only=True, discriminator=None, mel=MelLossConfig(windows=(64, 128), num_mels=8)
    )
    objective = CodecObjective(config)
    audio = torch.randn(2, 1, 800) * 0.1
    codes = objective.codec.encode(audio).codes
    before = objective.codec.decode(codes)
    phase = objective.phases(0)[-1]
    for step in range(3):
        turn = Turn(phase.name, step, 0, 1, range(2), 0, torch.Generator().manual_seed(step))
        phase.optimizer.zero_grad()
        objective.loss({"audio": audio}, turn).value.backward()
        phase.optimizer.step()
    assert torch.equal(codes, objective.codec.encode(audio).codes)
    assert not torch.equal(before, objective.codec.decode(codes))
