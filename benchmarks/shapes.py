"""Model directories of the official shapes with random weights: speed does not depend on what the numbers are.

In: a name. Out: a directory that `cadenza.load` reads (made once, kept in runs/shapes), and the same shape as
`transformers` builds it. Sizes: the configurations that Meta published; words become about a dozen tokens.
"""

import os
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from cadenza.checkpoint import on_meta, read_config
from cadenza.codec.encodec import EnCodec, EnCodecConfig
from cadenza.codec.seanet import SEANetConfig
from cadenza.conditioning.fuser import FuserConfig
from cadenza.conditioning.provider import ConditioningConfig, ConditionProvider
from cadenza.conditioning.t5 import T5Config, T5Encoder, TextTokenizer
from cadenza.conditioning.text import TextConfig, TextEncoder
from cadenza.convert.transformers import t5_settings
from cadenza.convert.transformers_codec import codec_settings
from cadenza.lm.model import LM, LMConfig
from cadenza.loading import find_model
from cadenza.pipelines.musicgen import MusicGen, MusicGenConfig

PROMPT = "warm lo-fi beat with electric piano, 82 bpm"
"""Twelve tokens, `</s>` included."""
FOLDER = Path(__file__).parents[1] / "runs" / "shapes"


@dataclass(frozen=True)
class Shape:
    """Sizes of the three parts. `codec` is that of the comparison: `transformers` has no spectral codec."""

    lm: LMConfig
    codec: EnCodecConfig
    text: T5Config


def _official(dim: int, layers: int, heads: int) -> Shape:
    return Shape(
        LMConfig(dim=dim, num_layers=layers, num_heads=heads, feed_forward_dim=4 * dim), EnCodecConfig(), T5Config()
    )


_TINY_HALF = SEANetConfig(num_filters=2, num_lstm_layers=1)
SHAPES = {
    "small": _official(1024, 24, 16),
    "medium": _official(1536, 48, 24),
    "large": _official(2048, 48, 32),
    "tiny": Shape(  # to try the scripts themselves
        LMConfig(dim=64, num_layers=2, num_heads=2, feed_forward_dim=256, codebook_size=64),
        EnCodecConfig(codebook_size=64, latent_dim=16, encoder=_TINY_HALF, decoder=_TINY_HALF),
        T5Config(vocab_size=2048, dim=32, head_dim=16, num_heads=2, num_layers=1, feed_forward_dim=64),
    ),
}
NAMES = ("embedded", *SHAPES)


def shape_of(name: str) -> Shape:
    if name != "embedded":
        return SHAPES[name]
    directory = find_model()
    lm = read_config(LMConfig, directory / "lm" / "config.json")
    text = read_config(T5Config, directory / "conditioning" / "text_encoder" / "config.json")
    return Shape(lm, EnCodecConfig(codebook_size=lm.codebook_size), text)


def use_folder(folder: Path = FOLDER) -> None:
    """Keep what loading caches, such as quantised weights, beside the shapes: one folder to delete."""
    os.environ.setdefault("CADENZA_CACHE", str(folder / "cache"))


def model_directory(name: str, folder: Path = FOLDER) -> Path:
    """The model directory of a shape, written now unless it is there."""
    if name == "embedded":
        return find_model()
    directory = folder / name
    if not (directory / "config.json").is_file():
        shutil.rmtree(directory, ignore_errors=True)
        directory.parent.mkdir(parents=True, exist_ok=True)
        _write(SHAPES[name], name, directory)
    return directory


def _write(shape: Shape, name: str, directory: Path) -> None:
    """The language model in bf16 (half the disk), the codec and the text encoder in fp32, as loading wants them."""
    conditioning = ConditioningConfig(
        dim=shape.lm.dim,
        conditioners={"description": TextConfig(dim=shape.text.dim)},
        fuser=FuserConfig(cross=("description",)),
    )
    with on_meta():
        lm, codec, encoder = LM(shape.lm), EnCodec(shape.codec), T5Encoder(shape.text)
        provider = ConditionProvider(conditioning)
    for part, dtype in ((lm, torch.bfloat16), (codec, None), (encoder, None), (provider, None)):
        _fill(part, dtype)
    tokenizer = TextTokenizer.from_pretrained(find_model() / "conditioning" / "text_encoder")
    provider.attach_text_encoder(TextEncoder(encoder.requires_grad_(False), tokenizer))
    config = MusicGenConfig(name=f"random-{name}", licence="none: random numbers")
    MusicGen(codec, lm, provider, config).save_pretrained(directory)


def _fill(module: nn.Module, dtype: torch.dtype | None) -> None:
    """Normal weights of variance 1 / fan-in, cut from one pool: drawing billions of numbers would take minutes."""
    pool = torch.randn(2**20, generator=torch.Generator().manual_seed(0))
    state = {name: _values(name, tensor, pool, dtype) for name, tensor in module.state_dict().items()}
    module.load_state_dict(state, assign=True)


def _values(name: str, tensor: Tensor, pool: Tensor, dtype: torch.dtype | None) -> Tensor:
    if not tensor.is_floating_point():
        return torch.zeros(tensor.shape, dtype=tensor.dtype)
    if tensor.ndim < 2 or name.endswith(("weight_g", "original0")):
        is_one = ("norm" in name and name.endswith("weight")) or name.endswith(
            ("weight_g", "original0", "inited", "cluster_size")
        )
        return torch.full(tensor.shape, float(is_one), dtype=dtype or tensor.dtype)
    scaled = (pool / tensor[0].numel() ** 0.5).to(dtype or tensor.dtype)
    return scaled.repeat(-(-tensor.numel() // len(pool)))[: tensor.numel()].view(tensor.shape)


def transformers_model(name: str, dtype: torch.dtype, device: torch.device) -> Any:
    """`MusicgenForConditionalGeneration` of the same shape, its own random weights, set to sample as ours does."""
    import transformers

    transformers.logging.set_verbosity_error()  # its configuration calls the token for padding out of range
    shape = shape_of(name)
    codec, text = codec_settings(shape.codec), t5_settings(shape.text)
    config = transformers.MusicgenConfig(text_encoder=text, audio_encoder=codec, decoder=_decoder_settings(shape.lm))
    model: Any = transformers.MusicgenForConditionalGeneration(config)
    special = shape.lm.special_token
    model.generation_config.update(
        do_sample=True, top_k=250, guidance_scale=3.0, pad_token_id=special, bos_token_id=special,
        decoder_start_token_id=special, eos_token_id=None,
    )  # fmt: skip
    return model.to(device, dtype).eval()


def transformers_decoder(lm: LMConfig) -> Any:
    """`MusicgenForCausalLM` of the same shape: their language model alone."""
    import transformers
    from transformers.models.musicgen.configuration_musicgen import MusicgenDecoderConfig

    transformers.logging.set_verbosity_error()
    return transformers.MusicgenForCausalLM(MusicgenDecoderConfig(**_decoder_settings(lm), dropout=lm.dropout))


def _decoder_settings(lm: LMConfig) -> dict[str, Any]:
    return {
        "model_type": "musicgen_decoder",
        "vocab_size": lm.codebook_size,
        "num_codebooks": lm.num_codebooks,
        "hidden_size": lm.dim,
        "num_hidden_layers": lm.num_layers,
        "num_attention_heads": lm.num_heads,
        "ffn_dim": lm.feed_forward_dim,
        "activation_function": lm.activation,
        "audio_channels": 1,
        "scale_embedding": False,
        "pad_token_id": lm.special_token,
        "bos_token_id": lm.special_token,
        "tie_word_embeddings": False,
    }


def prompt_tokens() -> list[int]:
    """The prompt as both sides' text encoders see it."""
    tokenizer = TextTokenizer.from_pretrained(find_model() / "conditioning" / "text_encoder")
    return tokenizer([PROMPT])[0]
