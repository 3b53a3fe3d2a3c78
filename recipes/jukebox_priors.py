"""Jukebox' priors: `cadenza train recipes/jukebox_priors.py:NAME --set data=TOKENS`.

Dhariwal et al. 2020 (arXiv 2005.00341), sections 4 and 5, appendix; one prior per level. `data` is a folder of
music, coded while training (as published), or one of codes that are made once, here of the top and of what is over it:

    cadenza data tokens MUSIC TOKENS/level_2 --codec VQVAE --level 2

Of a manifest's fields `artist`, `genre` and `lyrics` are told to the model; `objective.fields` names others.

On the published VQ-VAE (`vqvae.pth.tar`), 44.1 kHz:

    top_5b             72 layers of width 4800, artist, genres and timing: 512 x 310,500 windows of 23.8 s
    top_5b_lyrics      the same with seven layers that listen to lyrics, begun from 5b: 512 x 461,600
    top_1b_lyrics      72 layers of width 2048, lyrics in one sequence with 17.8 s of music
    upsampler_middle   72 layers of width 1920 over the level above, 5.9 s: 184 x 279,000
    upsampler_bottom   the same, 1.5 s: 192 x 265,000
    finetune           the published 1b_lyrics, taught music, artists and genres of your own
    small_labelled_prior, small_single_enc_dec_prior, small_sep_enc_dec_prior   48 layers of width 1024: a single GPU

On the small VQ-VAE (`jukebox_vqvae.py:khz22`): small_prior, small_upsampler, without labels.

On `jukebox_vqvae.py:one_thread`, for one thread of a CPU: one_thread_top (8.2 s), one_thread_middle (2.0 s) and
one_thread_bottom (0.5 s), 2.3 million weights each.

Validation tells bits per code, and the same without labels, without lyrics, under the codes of other music
(`bits_shuffled`), and by the frequencies of codes alone (`bits_chance`). Sizes, rates and lengths are the published
ones as notes on the paper have them (of 1b_lyrics and the small ones, batch or length are ours): compare them before
quoting. Not run at those sizes here.
"""

from typing import Any

from cadenza.convert.openai_jukebox_prior import RELEASED, prior_config
from cadenza.jukebox.attention import layer_kinds
from cadenza.jukebox.conditioner import ConditionerConfig
from cadenza.jukebox.labels import LabelConfig
from cadenza.jukebox.lyrics import EncodedLyrics, SequenceLyrics
from cadenza.jukebox.prior import PriorConfig
from cadenza.jukebox.timing import TimingConfig
from cadenza.jukebox.transformer import TransformerConfig
from cadenza.train.config import TrainConfig
from cadenza.train.objectives.prior_config import PriorObjectiveConfig, Released
from cadenza.train.optim import AdamWConfig, MuonConfig
from cadenza.train.schedule import ConstantSchedule, CosineSchedule

VQVAE = "vqvae.pth.tar"


def config() -> TrainConfig:
    return small_labelled_prior()


# ---- as published ----------------------------------------------------------------------------------------------------


def top_5b() -> TrainConfig:
    return _released("5b", 310_500, 512, AdamWConfig(learning_rate=1.5e-4, betas=(0.9, 0.925), weight_decay=0.002))


def top_5b_lyrics() -> TrainConfig:
    optimizer = AdamWConfig(learning_rate=1.5e-4, betas=(0.9, 0.925), weight_decay=0.002)
    return _released("5b_lyrics", 461_600, 512, optimizer, start_from="prior_level_2.pth.tar", start_name="5b")


def top_1b_lyrics() -> TrainConfig:
    optimizer = AdamWConfig(learning_rate=3e-4, betas=(0.9, 0.999), weight_decay=0.01)
    return _released("1b_lyrics", 310_500, 512, optimizer)


def upsampler_middle() -> TrainConfig:
    optimizer = AdamWConfig(learning_rate=3e-4, betas=(0.9, 0.95), weight_decay=0.01)
    return _released("upsampler_level_1", 279_000, 184, optimizer)


def upsampler_bottom() -> TrainConfig:
    optimizer = AdamWConfig(learning_rate=3e-4, betas=(0.9, 0.95), weight_decay=0.01)
    return _released("upsampler_level_0", 265_000, 192, optimizer)


def finetune() -> TrainConfig:
    """`objective.labels_from`, the folder of published names, lets those keep their rows; others get new ones."""
    objective = PriorObjectiveConfig(
        vqvae=VQVAE, start_from="prior_level_2.pth.tar", start_name="1b_lyrics", gradient_checkpointing=True
    )
    return _run(objective, steps=10_000, batch_size=1)


def _released(name: Released, steps: int, batch_size: int, optimizer: AdamWConfig, **more: Any) -> TrainConfig:
    return _published(prior_config(RELEASED[name], name), steps, batch_size, optimizer=optimizer, **more)


# ---- the small ones --------------------------------------------------------------------------------------------------


def small_prior() -> TrainConfig:
    return _published(_small(1, 256, 1024, labels=None, timing=None, **_KHZ22), 250_000, 4, vqvae=_KHZ22_VQVAE)


def small_upsampler() -> TrainConfig:
    conditioner = ConditionerConfig(width=512, depth=16, num_ups=3)
    prior = _small(0, 32, 1024, labels=None, timing=None, conditioner=conditioner, **_KHZ22)
    return _published(prior, 250_000, 4, vqvae=_KHZ22_VQVAE)


def small_labelled_prior() -> TrainConfig:
    return _published(_small(2, 128, 2048), 250_000, 4)


def small_single_enc_dec_prior() -> TrainConfig:
    prior = _small(2, 128, 2048, context=6144, order=12, heads=2, lyrics=SequenceLyrics(num_tokens=384))
    return _published(prior, 250_000, 4)


def small_sep_enc_dec_prior() -> TrainConfig:
    encoder = _stack(256, layers=9, rows=32, heads=2)
    lyrics = EncodedLyrics(version="v3", num_tokens=384, encoder=encoder)
    return _published(_small(2, 128, 2048, context=6144, order=8, layers=50, heads=2, lyrics=lyrics), 250_000, 4)


_KHZ22: dict[str, Any] = {"sample_rate": 22050}
_KHZ22_VQVAE = "runs/jukebox_vqvae_khz22/model"


def _small(
    level: int,
    hop: int,
    codes: int,
    context: int = 8192,
    order: int = 2,
    layers: int = 48,
    heads: int = 1,
    **more: Any,
) -> PriorConfig:
    values: dict[str, Any] = {
        "labels": LabelConfig(version="v3", num_genres=10, num_artists=100, max_genres=1),
        "timing": TimingConfig(num_bins=64),
    }
    stack = _stack(1024, layers, 64, heads, order)
    shape: dict[str, Any] = {"level": level, "hop_length": hop, "codebook_size": codes, "context_length": context}
    return PriorConfig(transformer=stack, init_scale=0.7, **shape, **values | more)


# ---- one thread ------------------------------------------------------------------------------------------------------


def one_thread_top() -> TrainConfig:
    """Pieces from 8 s to two minutes."""
    return _one_thread(2, 9, timing=TimingConfig(num_bins=32, min_seconds=8.0, max_seconds=120.0))


def one_thread_middle() -> TrainConfig:
    return _one_thread(1, 8, conditioner=_NARROW)


def one_thread_bottom() -> TrainConfig:
    return _one_thread(0, 8, conditioner=_NARROW)


_NARROW = ConditionerConfig(width=48, depth=4, dilation_cycle=4)


def _one_thread(level: int, layers: int, **more: Any) -> TrainConfig:
    prior = PriorConfig(
        level=level,
        sample_rate=16000,
        hop_length=8 * 4**level,
        codebook_size=512,
        context_length=1024,
        transformer=_stack(256, layers, 32),
        labels=LabelConfig(version="v3", num_genres=1, num_artists=1, max_genres=1),
        init_scale=0.7,
        **more,
    )
    objective = PriorObjectiveConfig(
        vqvae="runs/jukebox_vqvae_one_thread/model", prior=prior, optimizer=MuonConfig(learning_rate=2e-3)
    )
    return _run(
        objective,
        steps=1500,
        batch_size=8,
        device="cpu",
        threads=1,
        ema_decay=0.98,
        ema_every=1,
        schedule=CosineSchedule(warmup_steps=60, min_ratio=0.05),
        log_every=20,
        validate_every=250,
        valid_items=32,
        snapshot_every=250,
        data="tokens",
    )


# ---- parts -----------------------------------------------------------------------------------------------------------


def _stack(dim: int, layers: int, rows: int, heads: int = 1, order: int = 2) -> TransformerConfig:
    kinds = layer_kinds(order, layers)
    return TransformerConfig(
        dim=dim, num_heads=heads, attention_dim=dim // 4, feed_forward_dim=dim, layers=kinds, num_rows=rows
    )


def _published(prior: PriorConfig, steps: int, batch_size: int, vqvae: str = VQVAE, **more: Any) -> TrainConfig:
    """Without dropout of labels, which the published code has a setting for but does not use."""
    objective = PriorObjectiveConfig(
        vqvae=vqvae, prior=prior, label_dropout=0.0, lyrics_dropout=0.0, gradient_checkpointing=True, **more
    )
    return _run(objective, steps, batch_size)


def _run(objective: PriorObjectiveConfig, steps: int, batch_size: int, **changes: Any) -> TrainConfig:
    """Weights are averaged with `1 - batch / 8 / 1000` per update, every hundredth (as its `cpu_ema` has it)."""
    settings: dict[str, Any] = {
        "data": "music",
        "device": "cuda",
        "precision": "bf16",
        "ema_decay": (1 - batch_size / 8 / 1000) ** 100,
        "ema_every": 100,
        "schedule": ConstantSchedule(warmup_steps=100),
        "validate_every": 2000,
        "snapshot_every": 10_000,
    }
    return TrainConfig(objective=objective, steps=steps, batch_size=batch_size, **settings | changes)
