"""The 32 kHz codec of the embedded model: spectral encoder and decoder, 4 x 1024 codes at 50 Hz (2.0 kbit/s).

Phases, each a run of its own that begins with what the one before left; one CPU thread, no GPU:

    cadenza train recipes/embedded_codec.py            one transform, all from the start        13 minutes
    cadenza train recipes/embedded_codec.py:low_notes  a long transform joins, decoder alone     5 minutes
    cadenza train recipes/embedded_codec.py:together   encoder, codebooks and both transforms   36 minutes

The first heard ten hours of composed music, the others 36. Keys survive the codec in 0.83 instead of 0.72 (MIREX; the
music itself: 0.88; 60 held-out clips of 10 s), mel distance 1.65 instead of 1.68 (docs/log.md).

    cadenza train recipes/embedded_codec.py:sharpen    the decoder alone, against an adversary  25 minutes

leaves every code as it is, so that a language model can be trained on them meanwhile. 1,000 of its updates on nine
hours of the second composer bring the distance to true music from 26.2 to 24.3 (Fréchet; the music itself: 23.4),
instruments that are recognised from 0.82 to 0.86 (0.94) and the mel distance from 1.67 to 1.64 (50 held-out clips).
"""

from pathlib import Path
from typing import Any

from cadenza.codec.encodec import EnCodecConfig
from cadenza.codec.spectral import SpectralConfig
from cadenza.train.config import TrainConfig
from cadenza.train.discriminators import SpectraDiscriminatorConfig
from cadenza.train.losses import MelLossConfig
from cadenza.train.objectives.codec import CodecObjectiveConfig, CodecWeights
from cadenza.train.optim import MuonConfig
from cadenza.train.schedule import CosineSchedule

ENCODER = SpectralConfig(dim=256, num_layers=3, fast_dim=96, fast_layers=2)
DECODER = SpectralConfig(dim=384, num_layers=4, fast_dim=256, fast_layers=2)
LOW_NOTES = DECODER.model_copy(update={"low_bins": 120, "knee": 0.75, "loudest": 1.0})  # low: below 1.2 kHz


def config() -> TrainConfig:
    """Everything from the start, one transform of 30 ms."""
    return _run(_plain(), steps=2400, batch_size=8, schedule=CosineSchedule(warmup_steps=50, min_ratio=0.1))


def low_notes() -> TrainConfig:
    """A transform of 100 ms for what lies below 1.2 kHz; the rest of the decoder makes room for it."""
    objective = _plain(
        start_from=_last("embedded_codec", 2400),
        codec=_codec(LOW_NOTES),
        reshape=True,
        decoder_only=True,
        segment_seconds=2.0,
        muon=_muon(1.5e-3),
    )
    return _run(objective, steps=700, batch_size=4, schedule=CosineSchedule(warmup_steps=20, min_ratio=0.3))


def together() -> TrainConfig:
    """All of it, also in other rooms and levels."""
    objective = _plain(
        start_from=_last("embedded_codec_low_notes", 700), coloured_share=0.4, segment_seconds=2.0, muon=_muon(1e-3)
    )
    return _run(objective, steps=4300, batch_size=4, schedule=CosineSchedule(warmup_steps=100, min_ratio=0.08))


def sharpen() -> TrainConfig:
    """The decoder against a judge of its magnitudes: what is right on average is blurred, music is not."""
    objective = _plain(
        start_from=_last("embedded_codec_together", 4300),
        decoder_only=True,
        coloured_share=0.4,
        segment_seconds=2.0,
        muon=MuonConfig(learning_rate=3e-4, weight_decay=0.01, betas=(0.5, 0.99)),
        discriminator_learning_rate=5e-4,
        weights=CodecWeights(mel=0.0, l1=0.0, spectrum=1.0, commitment=0.25, adversarial=0.3, features=0.6),
        spectra_discriminator=SpectraDiscriminatorConfig(),
        discriminator_share=0.5,
        discriminator_seconds=1.0,
    )
    return _run(objective, steps=1000, batch_size=4, schedule=CosineSchedule(warmup_steps=50, min_ratio=0.1))


def _plain(**changes: Any) -> CodecObjectiveConfig:
    """What all phases have in common: magnitudes are compared, nothing else."""
    settings: dict[str, Any] = {
        "codec": _codec(DECODER),
        "muon": _muon(2e-3),
        "max_grad_norm": 1.0,
        "weights": CodecWeights(mel=0.0, l1=0.0, spectrum=1.0, commitment=0.25),
        "mel": MelLossConfig(windows=(256, 512, 1024, 2048, 4096), num_mels=(20, 40, 80, 160, 320)),
        "discriminator": None,
    }
    return CodecObjectiveConfig(**settings | changes)


def _muon(learning_rate: float) -> MuonConfig:
    return MuonConfig(learning_rate=learning_rate, weight_decay=0.01, betas=(0.8, 0.99))


def _codec(decoder: SpectralConfig) -> EnCodecConfig:
    return EnCodecConfig(codebook_size=1024, latent_dim=64, encoder=ENCODER, decoder=decoder)


def _last(run: str, step: int) -> str:
    return str(Path("runs") / run / "snapshots" / f"step_{step:08}" / "model" / "codec")


def _run(objective: CodecObjectiveConfig, steps: int, batch_size: int, schedule: CosineSchedule) -> TrainConfig:
    return TrainConfig(
        data="corpus",
        objective=objective,
        steps=steps,
        batch_size=batch_size,
        schedule=schedule,
        precision="bf16",
        threads=1,
        ema_decay=0.99,
        log_every=20,
        validate_every=250,
        valid_items=16,
        snapshot_every=250,
    )
