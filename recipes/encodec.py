"""EnCodec as published, at every rate: `cadenza train recipes/encodec.py:khz32`.

Défossez et al. 2022, and Copet et al. 2023 for 32 kHz: Adam (0.5, 0.9) at 3e-4 without decay, schedule or clipping, 64
segments of one second a step in fp32, weights averaged with 0.99; losses balanced, multi-scale STFT discriminators.

    khz32       MusicGen's codec: mono, not causal, 4 x 2048 codes at 50 Hz (2.2 kbit/s); 400,000 updates
    khz24       mono, causal, up to 32 x 1024 codes at 75 Hz: one model for 1.5, 3, 6, 12 and 24 kbit/s; 600,000 updates
    khz48       stereo, level taken out of every second, up to 16 x 1024 codes at 150 Hz: 3, 6, 12 and 24 kbit/s
    continued   from official weights, on music of one's own, at a tenth of the rate

The paper draws the steps that update the discriminators (2/3 of them at 24 kHz, half at 48 kHz); here they are spread
evenly. Its augmentations (mixtures, gain, reverberation) are left out, and the relative scale of its feature loss, as
MusicGen's authors did. Validation tells SI-SDR, the mel distance (at every bandwidth) and how much of each codebook is
used. On eight GPUs: `torchrun --nproc-per-node 8 -m cadenza train recipes/encodec.py:khz32 --set
device=cuda`; codebooks learn from the vectors of all. Not run at this size here; weights, windows and updates at 24 and
48 kHz were written down without the paper at hand: compare them before quoting.
"""

from cadenza.codec.encodec import EnCodecConfig
from cadenza.codec.seanet import SEANetConfig
from cadenza.train.config import TrainConfig
from cadenza.train.discriminators import DiscriminatorConfig
from cadenza.train.losses import MelLossConfig
from cadenza.train.objectives.codec import CodecObjectiveConfig, CodecWeights

SCALES = (32, 64, 128, 256, 512, 1024, 2048)
"""Windows of the paper's mel loss; MusicGen's authors left out the shortest and the longest."""


def khz32() -> TrainConfig:
    half = SEANetConfig(pad_mode="constant")
    return _run(CodecObjectiveConfig(codec=EnCodecConfig(encoder=half, decoder=half)), steps=400_000)


def config() -> TrainConfig:
    return khz32()


def khz24() -> TrainConfig:
    half = SEANetConfig(num_filters=32, ratios=(8, 5, 4, 2), causal=True, identity_shortcut=False)
    return _run(
        CodecObjectiveConfig(
            codec=EnCodecConfig(
                sample_rate=24000, codebook_size=1024, num_codebooks=32, latent_dim=128, encoder=half, decoder=half
            ),
            train_codebooks=(2, 4, 8, 16, 32),
            weights=CodecWeights(adversarial=3.0, features=3.0, mel=1.0, l1=0.1),
            mel=MelLossConfig(windows=SCALES),
            discriminator=DiscriminatorConfig(windows=(2048, 1024, 512, 256, 128)),
            discriminator_share=2 / 3,
        ),
        steps=600_000,
    )


def khz48() -> TrainConfig:
    half = SEANetConfig(num_filters=32, ratios=(8, 5, 4, 2), norm="time_group_norm", identity_shortcut=False)
    return _run(
        CodecObjectiveConfig(
            codec=EnCodecConfig(
                sample_rate=48000,
                channels=2,
                codebook_size=1024,
                num_codebooks=16,
                latent_dim=128,
                encoder=half,
                decoder=half,
                renormalize=True,
                segment_seconds=1.0,
            ),
            train_codebooks=(2, 4, 8, 16),
            weights=CodecWeights(adversarial=4.0, features=4.0, mel=1.0, l1=0.1),
            mel=MelLossConfig(windows=SCALES),
            discriminator=DiscriminatorConfig(channels=2, windows=(4096, 2048, 1024, 512, 256)),
            discriminator_share=0.5,
        ),
        steps=600_000,
    )


def continued() -> TrainConfig:
    """The discriminators are not published and begin anew, so the adversary counts for less than the features."""
    return _run(
        CodecObjectiveConfig(
            start_from="facebook/encodec_32khz",
            learning_rate=3e-5,
            weights=CodecWeights(adversarial=1.0, features=4.0),
        ),
        steps=50_000,
    )


def _run(objective: CodecObjectiveConfig, steps: int) -> TrainConfig:
    return TrainConfig(
        data="music",
        objective=objective,
        steps=steps,
        batch_size=64,
        device="cuda",
        validate_every=2000,
        snapshot_every=10_000,
    )
