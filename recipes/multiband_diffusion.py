"""Multi-Band Diffusion (arXiv 2308.02560), with its condition: `cadenza train recipes/multiband_diffusion.py`.

San Roman et al. 2023 and audiocraft's configuration: four bands whose edges lie evenly in mel, a network each, 128
segments of one second a step, Adam at 2e-4 without decay, schedule or clipping, fp32, weights averaged with 0.99;
the levels of the two highest bands moved towards white noise. The configuration that was published names neither a
condition nor a bottleneck, and so trains networks that never hear the codes and put zeros in their middle; here both
are there. Its weights' own bottleneck is not documented: a transformer is taken.

    khz32     MusicGen's codec, 4 codebooks at 50 Hz
    khz24     EnCodec at 24 kHz, 4 codebooks at 75 Hz (3 kbit/s); set objective.num_codebooks to 2 or 8 for the others
    deaf      khz32 without the condition, to learn what that is worth

All bands learn in one run (468 M parameters each: 30 GB for weights, averages and moments), or each in one of its own:

    cadenza train recipes/multiband_diffusion.py --set objective.train_bands=[2] --out runs/band2

A snapshot's `model` is a decoder, whole; of runs apart, put `band_0.safetensors` to `band_3.safetensors` of the
four into one directory. Not run at this size here.
"""

from cadenza.diffusion.band import BandConfig
from cadenza.diffusion.processor import BandProcessorConfig
from cadenza.diffusion.schedule import NoiseScheduleConfig
from cadenza.diffusion.unet import DiffusionUnetConfig
from cadenza.train.config import TrainConfig
from cadenza.train.objectives.diffusion_config import DiffusionObjectiveConfig

POWERS = (None, None, 0.4, 0.75)
"""How far the levels of each band move towards white noise; None: not at all, nothing is measured."""
SCHEDULE = NoiseScheduleConfig(beta_start=1e-5, beta_end=2.9e-2, beta_exponent=7.5)
NETWORK = DiffusionUnetConfig(
    hidden=48, depth=4, growth=4.0, kernel_size=8, stride=4, embed_all_levels=True, bottleneck="transformer"
)
LEVEL = 0.22
"""Standard deviation of every segment, as in the original."""


def khz32() -> TrainConfig:
    return _run("facebook/encodec_32khz", 32000)


def config() -> TrainConfig:
    return khz32()


def khz24() -> TrainConfig:
    return _run("facebook/encodec_24khz", 24000, num_codebooks=4)


def deaf() -> TrainConfig:
    return _run("facebook/encodec_32khz", 32000, conditioned=False)


def _run(codec: str, sample_rate: int, num_codebooks: int | None = None, conditioned: bool = True) -> TrainConfig:
    processors = [
        None if power is None else BandProcessorConfig(sample_rate=sample_rate, power=power) for power in POWERS
    ]
    return TrainConfig(
        data="music",
        objective=DiffusionObjectiveConfig(
            codec=codec,
            num_codebooks=num_codebooks,
            bands=tuple(BandConfig(unet=NETWORK, schedule=SCHEDULE, processor=processor) for processor in processors),
            conditioned=conditioned,
            level=LEVEL,
            valid_decodes=True,
        ),
        steps=400_000,
        batch_size=128,
        device="cuda",
        validate_every=10_000,
        snapshot_every=10_000,
    )
