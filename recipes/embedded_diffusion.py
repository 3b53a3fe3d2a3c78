"""A small diffusion decoder for the codec inside: `cadenza train recipes/embedded_diffusion.py --set data=corpus`.

One network of 7.0 M parameters (14.0 MB in bf16). Four things differ from what was published
(`recipes/multiband_diffusion.py`), for a run of an hour instead of weeks:

- it hears the codec's own decode beside its latent, and says what the sound has beyond it (`departure`), in proportion
  to its spectrogram: before the first update it makes the codec's sound, and every update goes on from there;
- audio is in units of the codec's levels, band by band, so that high bands are no smaller than low ones;
- the mel distance of the clean sound that an answer means is part of the loss, at every step: a decoder that draws from
  all that is possible is further from the original than the codec's medians, however well it learns
  (docs/diffusion.md);
- the schedule has 50 steps, half of them with more noise than signal.

    config       1,000 updates of a CPU thread, 0.7 s each where it is free
    mended       400 more, most of them in the states that its own walk of four calls leads to: a network that drew from
                 what is possible draws nearer to what was coded. Goes on from `runs/diffusion` (objective.start_from)
    gpu          the same network, batches sixteen times as large, fifteen times as many: a large GPU's hour, by guess
    deaf         no codes heard, only the codec's levels: what is the condition worth?
    gpu_deaf     deaf, as long as gpu
    published    the same network, the published way: latent alone, noise predicted, squared error

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
SCHEDULE = NoiseScheduleConfig(num_steps=50, beta_start=1e-7, beta_end=0.3, beta_exponent=2.0, clip=30.0)
"""As much noise as signal in the middle. Levelled attacks reach many deviations, so little is clipped."""
NETWORK = DiffusionUnetConfig(
    hidden=64, depth=3, growth=2.5, kernel_size=16, stride=8, num_residual_blocks=2, embed_all_levels=True
)
LEVELS = BandProcessorConfig(sample_rate=SAMPLE_RATE, num_bands=8)
LARGE: dict[str, Any] = {"steps": 15_000, "batch_size": 64, "device": "cuda", "threads": None, "ema_decay": 0.999}


def config() -> TrainConfig:
    return _run(_band(prediction="departure", hears_codec=True))


def mended() -> TrainConfig:
    run = config()
    objective = run.objective.model_copy(
        update={"own_states": 0.7, "start_from": "runs/diffusion/snapshots/last/model"}
    )
    return run.model_copy(update={"objective": objective, "steps": 400, "validate_every": 100, "snapshot_every": 100})


def gpu() -> TrainConfig:
    return config().model_copy(update=LARGE)


def deaf() -> TrainConfig:
    return _run(_band(prediction="velocity"), conditioned=False)


def gpu_deaf() -> TrainConfig:
    return deaf().model_copy(update=LARGE)


def published() -> TrainConfig:
    return _run(_band(prediction="noise"), mel_weight=0.0)


def _band(prediction: Literal["noise", "velocity", "departure"], hears_codec: bool = False) -> BandConfig:
    return BandConfig(
        unet=NETWORK.model_copy(update={"channels": 2 if hears_codec else 1}),
        schedule=SCHEDULE,
        processor=LEVELS,
        prediction=prediction,
        hears_codec=hears_codec,
        levelled=True,
    )


def _run(band: BandConfig, conditioned: bool = True, mel_weight: float = 3.0) -> TrainConfig:
    return TrainConfig(
        data="corpus",
        objective=DiffusionObjectiveConfig(
            name="embedded diffusion decoder",
            licence="as the embedded model",
            bands=(band,),
            conditioned=conditioned,
            segment_seconds=1.0,
            learning_rate=1e-3,
            mel_weight=mel_weight,
            max_grad_norm=1.0,
            settings=DiffusionSettings(calls=4, solver="ddim", match=not band.hears_codec),
            valid_decodes=True,
        ),
        steps=1000,
        batch_size=4,
        schedule=CosineSchedule(warmup_steps=50, min_ratio=0.05),
        threads=1,
        ema_decay=0.995,
        log_every=20,
        validate_every=250,
        valid_items=8,
        snapshot_every=250,
    )
