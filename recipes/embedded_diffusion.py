"""A small diffusion decoder for the codec inside: `cadenza train recipes/embedded_diffusion.py --set data=corpus`.

Two bands that meet at 2.7 kHz, 6.7 M parameters in all (13.4 MB in bf16). Three things differ from what was published
(`recipes/multiband_diffusion.py`), for a run of half an hour instead of weeks: networks hear the codec's own decode
beside its latent, and so begin with envelopes and notes; they predict velocities, which makes the first calls of a
decode as sure as the last; the schedule has 50 steps, so that each step's embedding is met often enough to be learnt.

    config       one CPU thread, about 35 minutes (103 steps of half the batch took 0.55 s of its time each)
    gpu          the same networks, batches eight times as large, seven times as many: one hour of a large GPU, by guess
    gpu_deaf     deaf, as long
    published    the same sizes, published ways: latent alone, noise predicted
    deaf         no codes heard at all: what is the condition worth?

`benchmarks/diffusion_quality.py` compares what comes out with the codec's own decoder. An interrupted run goes on with
`--resume`.
"""

from typing import Any, Literal

from cadenza.diffusion.band import BandConfig
from cadenza.diffusion.processor import BandProcessorConfig
from cadenza.diffusion.schedule import NoiseScheduleConfig
from cadenza.diffusion.settings import DiffusionSettings
from cadenza.diffusion.unet import DiffusionUnetConfig
from cadenza.train.config import TrainConfig
from cadenza.train.objectives.diffusion_config import DiffusionObjectiveConfig
from cadenza.train.schedule import CosineSchedule

SAMPLE_RATE = 32000
SCHEDULE = NoiseScheduleConfig(num_steps=50, beta_start=1e-5, beta_end=0.54, beta_exponent=5.0)
"""At each share of the way `alpha_bar` is that of the published one's 1000 steps, within 0.04."""
LARGE: dict[str, Any] = {"steps": 13_000, "batch_size": 64, "device": "cuda", "threads": None, "ema_decay": 0.999}


def config() -> TrainConfig:
    return _run(_objective())


def gpu() -> TrainConfig:
    return config().model_copy(update=LARGE)


def gpu_deaf() -> TrainConfig:
    return deaf().model_copy(update=LARGE)


def published() -> TrainConfig:
    return _run(_objective(hears_codec=False, prediction="noise"))


def deaf() -> TrainConfig:
    return _run(_objective(hears_codec=False, conditioned=False))


def _objective(
    hears_codec: bool = True, prediction: Literal["noise", "velocity"] = "velocity", conditioned: bool = True
) -> DiffusionObjectiveConfig:
    channels = 2 if hears_codec else 1
    # Low notes want long windows and few frames, so rate falls fast; what is high is short.
    low = DiffusionUnetConfig(
        channels=channels, hidden=96, depth=2, kernel_size=32, stride=16, num_residual_blocks=2, bottleneck="lstm"
    )
    high = DiffusionUnetConfig(channels=channels, hidden=32, depth=4, kernel_size=8, stride=4, num_residual_blocks=2)
    levels = {
        "low": BandProcessorConfig(sample_rate=SAMPLE_RATE, num_bands=1, max_items=1000),
        "high": BandProcessorConfig(sample_rate=SAMPLE_RATE, num_bands=4, power=0.75, max_items=1000),
    }
    bands = tuple(
        BandConfig(
            unet=network.model_copy(update={"embed_all_levels": True}),
            schedule=SCHEDULE,
            processor=levels[name],
            prediction=prediction,
            hears_codec=hears_codec,
        )
        for name, network in (("low", low), ("high", high))
    )
    return DiffusionObjectiveConfig(
        name="embedded diffusion decoder",
        licence="as the embedded model",
        bands=bands,
        conditioned=conditioned,
        learning_rate=1e-3,
        max_grad_norm=1.0,
        settings=DiffusionSettings(calls=8, solver="dpm"),
        valid_decodes=True,
    )


def _run(objective: DiffusionObjectiveConfig) -> TrainConfig:
    return TrainConfig(
        data="corpus",
        objective=objective,
        steps=1900,
        batch_size=8,
        schedule=CosineSchedule(warmup_steps=50, min_ratio=0.05),
        precision="bf16",
        threads=1,
        ema_decay=0.995,
        log_every=20,
        validate_every=500,
        valid_items=8,
        snapshot_every=250,
    )
