"""Tiny models with random weights, and synthetic sound: for tests, examples and documentation, ours and yours.

They make noise, not music, but in milliseconds and through exactly the code that the large models run.
"""

import numpy as np
import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors

from cadenza.audio import Audio
from cadenza.codec.base import Codec
from cadenza.codec.encodec import EnCodec, EnCodecConfig
from cadenza.codec.seanet import SEANetConfig
from cadenza.codec.stereo import StereoCodec
from cadenza.conditioning.chroma import ChromaConfig
from cadenza.conditioning.fuser import FuserConfig
from cadenza.conditioning.plan import PlanConfig
from cadenza.conditioning.provider import ConditionerConfig, ConditioningConfig, ConditionProvider
from cadenza.conditioning.reader import PlanReader, PlanReaderConfig
from cadenza.conditioning.style import StyleConfig
from cadenza.conditioning.t5 import T5Config, T5Encoder, TextTokenizer
from cadenza.conditioning.text import TextConfig, TextEncoder
from cadenza.diffusion.band import Band, BandConfig
from cadenza.diffusion.decoder import DiffusionDecoder
from cadenza.diffusion.decoder_config import DiffusionDecoderConfig
from cadenza.diffusion.processor import BandProcessorConfig
from cadenza.diffusion.settings import DiffusionSettings
from cadenza.diffusion.unet import DiffusionUnetConfig
from cadenza.evaluate.embedders.listener import Listener
from cadenza.evaluate.embedders.listener_network import ListenerConfig
from cadenza.jukebox import conditioner as jukebox_conditioner
from cadenza.jukebox.attention import layer_kinds
from cadenza.jukebox.labels import LabelConfig, LabelSet
from cadenza.jukebox.lyrics import SequenceLyrics
from cadenza.jukebox.prior import Prior, PriorConfig
from cadenza.jukebox.timing import TimingConfig
from cadenza.jukebox.transformer import TransformerConfig
from cadenza.jukebox.vqvae import JukeboxVQVAE, JukeboxVQVAEConfig
from cadenza.lm.adapter import Adapter, AdapterConfig, AdapterRecord, LowRank, sites
from cadenza.lm.generate import GenerationConfig
from cadenza.lm.model import LM, LMConfig
from cadenza.lm.patterns import DelayConfig
from cadenza.pipelines.jukebox import Jukebox, JukeboxConfig
from cadenza.pipelines.jukebox_labels import LabelBook
from cadenza.pipelines.jukebox_parts import PriorShelf
from cadenza.pipelines.musicgen import MusicGen, MusicGenConfig

NUM_CODEBOOKS = 4
CODEBOOK_SIZE = 32
DIM = 32
TEXT_DIM = 16
MAX_TOKENS = 64
JUKEBOX_RATE = 4000
PLAN_NAMES = {"genres": ("jazz", "techno"), "instruments": ("piano", "flute", "drums"), "moods": ("sad", "bright")}


def tone(
    frequency: float = 440.0,
    duration_seconds: float = 1.0,
    sample_rate: int = 32000,
    channels: int = 1,
    level: float = 0.3,
) -> Audio:
    """A sine."""
    time = np.arange(round(duration_seconds * sample_rate)) / sample_rate
    wave = level * np.sin(2 * np.pi * frequency * time)
    return Audio(np.repeat(wave[None], channels, axis=0), sample_rate)


def noise(
    duration_seconds: float = 1.0, sample_rate: int = 32000, channels: int = 1, level: float = 0.1, seed: int = 0
) -> Audio:
    """White noise of standard deviation `level`."""
    draws = np.random.default_rng(seed).normal(size=(channels, round(duration_seconds * sample_rate)))
    return Audio(level * draws, sample_rate)


def tiny_codec(seed: int = 0, sample_rate: int = 32000) -> EnCodec:
    """EnCodec with 50 frames a second at 32 kHz and two filters."""
    half = SEANetConfig(num_filters=2, num_lstm_layers=1, kernel_size=5, last_kernel_size=5)
    codec = EnCodec(
        EnCodecConfig(
            sample_rate=sample_rate,
            num_codebooks=NUM_CODEBOOKS,
            codebook_size=CODEBOOK_SIZE,
            latent_dim=16,
            encoder=half,
            decoder=half,
        )
    )
    _randomize(codec, seed)
    for name, buffer in codec.named_buffers():
        if name.endswith("inited"):
            buffer.fill_(1.0)  # the codebooks are as they shall be: no k-means over the first batch
        elif name.endswith("cluster_size"):
            buffer.fill_(1.0)
    return codec.eval()


def tiny_tokenizer() -> TextTokenizer:
    """One token per byte of UTF-8: it knows every script. `<pad>` 0, `</s>` 1, `<unk>` 2, as in T5."""
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    vocabulary = {piece: i for i, piece in enumerate(["<pad>", "</s>", "<unk>", *alphabet])}
    tokenizer = Tokenizer(models.BPE(vocab=vocabulary, merges=[], unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="$A </s>", pair="$A </s> $B </s>", special_tokens=[("</s>", 1)]
    )
    return TextTokenizer(tokenizer)


def tiny_text_encoder(seed: int = 0) -> TextEncoder:
    config = T5Config(vocab_size=259, dim=TEXT_DIM, head_dim=8, num_heads=2, num_layers=1, feed_forward_dim=32)
    encoder = T5Encoder(config)
    encoder.initialize(torch.Generator().manual_seed(seed))
    return TextEncoder(encoder.requires_grad_(False).eval(), tiny_tokenizer())


def tiny_reader(seed: int = 0) -> PlanReader:
    """Reads tempo, key and meter where they stand in figures, and guesses the rest."""
    encoder = T5Config(vocab_size=259, dim=TEXT_DIM, head_dim=8, num_heads=2, num_layers=1, feed_forward_dim=32)
    reader = PlanReader(PlanReaderConfig(encoder=encoder, **PLAN_NAMES, instrument_threshold=0.9, mood_threshold=0.9))
    _randomize(reader, seed)
    reader.tokenizer = tiny_tokenizer()
    return reader.eval()


def tiny_conditioning(
    seed: int = 0, mask_padding: bool = False, melody: bool = False, style: bool = False, plan: bool = False
) -> ConditionProvider:
    """Text by cross-attention; `melody` and `plan`: summed step by step; `style`: vectors in front of all."""
    parts: dict[str, ConditionerConfig] = {"description": TextConfig(dim=TEXT_DIM, max_tokens=MAX_TOKENS)}
    if melody:
        parts["melody"] = ChromaConfig(length=1600, steps_per_second=50.0, quiet_db=40.0, null="nothing", stems="none")
    if plan:
        parts["plan"] = PlanConfig(**PLAN_NAMES, length=1600, reader="reader")
    if style:  # heard by the model's own codec, so that nothing else is needed
        parts["style"] = StyleConfig(
            extractor="encodec",
            codec_codebook_size=CODEBOOK_SIZE,
            dim=16,
            num_heads=2,
            num_layers=1,
            batch_norm=False,
            codebook_size=16,
        )
    fuser = FuserConfig(
        cross=("description",),
        prepend=("style",) if style else (),
        sum=tuple(name for name in ("melody", "plan") if name in parts),
        mask_padding=mask_padding,
    )
    provider = ConditionProvider(ConditioningConfig(dim=DIM, conditioners=parts, fuser=fuser))
    _randomize(provider, seed)
    provider.attach_text_encoder(tiny_text_encoder(seed))
    if plan:
        provider.attach_reader(tiny_reader(seed))
    return provider.eval()


def tiny_lm(seed: int = 0, num_codebooks: int = NUM_CODEBOOKS) -> LM:
    """Two layers. Weights are larger than at the start of a training run, so that words make a difference."""
    delays = tuple(range(num_codebooks))
    config = LMConfig(
        num_codebooks=num_codebooks,
        codebook_size=CODEBOOK_SIZE,
        dim=DIM,
        num_layers=2,
        num_heads=2,
        feed_forward_dim=64,
        pattern=DelayConfig(delays=delays),
    )
    lm = LM(config)
    _randomize(lm, seed)
    return lm.eval()


def tiny_musicgen(
    seed: int = 0,
    stereo: bool = False,
    max_duration_seconds: float = 30.0,
    mask_padding: bool = False,
    melody: bool = False,
    style: bool = False,
    plan: bool = False,
) -> MusicGen:
    """A whole model that turns words into noise: 32 kHz, 50 frames a second, 4 codebooks of 32 (8 in stereo).

    `melody`, `style`, `plan`: it listens to those too.
    """
    codec: Codec = tiny_codec(seed)
    if stereo:
        codec = StereoCodec(codec)
    config = MusicGenConfig(
        name="tiny",
        licence="CC0-1.0",
        stereo=stereo,
        melody_condition="melody" if melody else None,
        style_condition="style" if style else None,
        plan_condition="plan" if plan else None,
        max_duration_seconds=max_duration_seconds,
        generation=GenerationConfig(duration=1.0, extend_stride=max_duration_seconds * 0.6),
    )
    conditioning = tiny_conditioning(seed, mask_padding, melody, style, plan)
    return MusicGen(codec, tiny_lm(seed, codec.num_codebooks), conditioning, config)


def tiny_jukebox_prior(level: int = 2, seed: int = 0, context_length: int = 64, lyrics: bool = True) -> Prior:
    """Three layers; the top level (2) hears timing and (in a fourth) lyrics, those below it the level above."""
    is_top = level == 2
    config = PriorConfig(
        level=level,
        sample_rate=JUKEBOX_RATE,
        hop_length=(8, 32, 128)[level],
        codebook_size=CODEBOOK_SIZE,
        context_length=context_length,
        transformer=TransformerConfig(
            dim=16,
            num_heads=1,
            attention_dim=8,
            feed_forward_dim=16,
            layers=(*layer_kinds(2, 3), *(("prime",) if is_top and lyrics else ())),
            num_rows=8,
        ),
        labels=LabelConfig(version="v3", num_genres=4, num_artists=4, max_genres=2),
        timing=TimingConfig(num_bins=8, min_seconds=0.5, max_seconds=60.0) if is_top else None,
        lyrics=SequenceLyrics(num_tokens=16, alignment=(3, 0)) if is_top and lyrics else None,
        conditioner=None if is_top else jukebox_conditioner.ConditionerConfig(width=8, depth=2, num_ups=2),
    )
    prior = Prior(config)
    _randomize(prior, seed + level)
    return prior.eval()


def tiny_jukebox(seed: int = 0, context_length: int = 64, lyrics: bool = True) -> Jukebox:
    """A whole Jukebox that makes noise: 4 kHz, hops of 8, 32 and 128, windows of 64 codes, three artists and genres.

    A window of the top level lasts 2 s, one of the lowest 0.13 s. Pieces last 0.5 s to 60 s.
    """
    vqvae = JukeboxVQVAE(
        JukeboxVQVAEConfig(
            sample_rate=JUKEBOX_RATE,
            widths=(4, 4, 4),
            depths=(1, 1, 1),
            latent_dim=4,
            codebook_size=CODEBOOK_SIZE,
        )
    )
    _randomize(vqvae, seed)
    artists = {"unknown": 0, "ada": 1, "bela": 2, "clara": 3}
    genres = {"unknown": 0, "jazz": 1, "techno": 2, "folk": 3}
    return Jukebox(
        vqvae,
        PriorShelf(priors={level: tiny_jukebox_prior(level, seed, context_length, lyrics) for level in range(3)}),
        JukeboxConfig(name="tiny-jukebox", licence="CC0-1.0"),
        LabelBook({"v3": LabelSet("v3", artists, genres)}),
    )


def tiny_diffusion_decoder(seed: int = 0, codec: EnCodec | None = None) -> DiffusionDecoder:
    """Two bands for the codes of `tiny_codec` (or another): noise at the codec's levels, after two calls each."""
    codec = codec or tiny_codec(seed)
    unet = DiffusionUnetConfig(
        hidden=4,
        depth=2,
        kernel_size=8,
        stride=4,
        norm_groups=2,
        embed_all_levels=True,
        condition_dim=codec.config.latent_dim,
    )
    processor = BandProcessorConfig(sample_rate=codec.sample_rate, num_bands=4)
    config = DiffusionDecoderConfig(
        name="tiny-diffusion",
        licence="CC0-1.0",
        sample_rate=codec.sample_rate,
        bands=(BandConfig(unet=unet), BandConfig(unet=unet, processor=processor)),
        condition_dim=codec.config.latent_dim,
        frame_rate=codec.frame_rate,
        num_codebooks=codec.num_codebooks,
        codebook_size=codec.codebook_size,
        settings=DiffusionSettings(calls=2),
    )
    decoder = DiffusionDecoder(config, codec)
    for number, band in enumerate(decoder.bands):
        assert isinstance(band, Band)
        _randomize(band.unet, seed + number)
    return decoder.eval()


def tiny_adapter(lm: LM, seed: int = 0, record: AdapterRecord | None = None, **settings: object) -> Adapter:
    """An adapter of rank 4 that makes a difference to `lm`, which stays as it is; `settings` as in `AdapterConfig`."""
    config = AdapterConfig.model_validate({"rank": 4, "alpha": 4.0} | settings)
    generator = torch.Generator().manual_seed(seed)
    weights = {}
    for name, site in sites(lm).items():
        if site.target in config.targets:
            rows, inputs = site.shape
            down = torch.randn(config.rank, inputs, generator=generator) / inputs**0.5
            weights[name] = LowRank(down, 0.5 * torch.randn(rows, config.rank, generator=generator))
    return Adapter(config, weights, record or AdapterRecord(base="tiny", licence="CC0-1.0"))


def tiny_listener(seed: int = 0) -> Listener:
    """The evaluator's ear with random weights: three instruments, two genres, embeddings of 8."""
    config = ListenerConfig(
        instruments=("piano", "flute", "drums"),
        thresholds=(0.5, 0.4, 0.6),
        genres=("jazz", "techno"),
        bands=32,
        widths=(2, 4, 4, 8),
        hidden_dim=8,
        dim=8,
        text_buckets=64,
        tempo_width=4,
        key_width=6,
    )
    listener = Listener(config)
    _randomize(listener, seed)
    return listener.eval()


@torch.no_grad()
def _randomize(module: torch.nn.Module, seed: int) -> None:
    """Every tensor drawn from one generator in the order of names: the same on every machine."""
    generator = torch.Generator().manual_seed(seed)
    for name, tensor in sorted(module.state_dict().items()):
        if not tensor.is_floating_point():
            continue
        if "norm" in name and tensor.ndim == 1:
            tensor.fill_(1.0 if name.endswith(("weight", "running_var")) else 0.0)
        elif name.endswith("weight_g"):
            tensor.fill_(1.0)
        else:
            fan_in = tensor[0].numel() if tensor.ndim > 1 else tensor.numel()
            tensor.normal_(0.0, 1.5 / fan_in**0.5, generator=generator)
