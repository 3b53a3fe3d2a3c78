"""Numbers that a refactor must not change. `make golden` writes them anew, for a change that means to."""

import json
import sys
from pathlib import Path

import pytest
import torch

from cadenza.codec.encodec import EnCodec, EnCodecConfig
from cadenza.codec.spectral import SpectralConfig
from cadenza.testing import tiny_musicgen, tone
from cadenza.train.losses import MelLoss, MelLossConfig

GOLDEN = Path(__file__).parent / "golden.json"


def spectral_codec() -> EnCodec:
    torch.manual_seed(0)
    half = SpectralConfig(
        hop_length=640, dim=16, num_layers=2, fast_dim=8, fast_layers=2, num_mels=20, num_tones=60, tone_window=2048
    )
    return EnCodec(EnCodecConfig(codebook_size=32, latent_dim=8, encoder=half, decoder=half)).eval()


def measure() -> dict[str, list[float]]:
    """Codes as they are; sound and losses as a few figures."""
    music = tiny_musicgen()
    take = music.generate("a golden tune", duration=0.4, seed=3)
    mono = torch.from_numpy(tone(440.0, duration_seconds=0.5).samples)[None, :1]
    codec = spectral_codec()
    codes = codec.encode(mono).codes
    rebuilt = codec.decode(codes)
    mel = MelLoss(MelLossConfig(windows=(256, 1024), num_mels=(20, 64)), 32000)
    samples = torch.from_numpy(take.samples)
    return {
        "codec codes": codes.flatten().tolist(),
        "codec energy": [float(rebuilt.square().mean())],
        "mel loss": [float(mel(rebuilt[..., : mono.shape[-1]], mono))],
        "take energy": [float(samples.square().mean())],
        "take samples": samples[0, 100:12000:1700].tolist(),
    }


@pytest.mark.parametrize("name", list(json.loads(GOLDEN.read_text())) if GOLDEN.exists() else ["missing"])
def test_golden_numbers(name, measured):
    # One in a thousand: processors and versions of PyTorch sum in other orders.
    assert measured[name] == pytest.approx(json.loads(GOLDEN.read_text())[name], rel=1e-3, abs=1e-6)


@pytest.fixture(scope="module")
def measured():
    return measure()


if __name__ == "__main__":
    GOLDEN.write_text(json.dumps(measure(), indent=1) + "\n")
    sys.stderr.write(f"wrote {GOLDEN}\n")
