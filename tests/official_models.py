"""The published models, written down from the reference document (sections 1, 4.1 to 4.3, 5.3, 5.5, 6.6): sizes, and
every tensor with its shape under audiocraft's and under transformers' names.

In: a model's name. Out: its shapes, at the official size or as a twin of the same structure, small enough to play.
"""

from collections.abc import Callable, Mapping
from math import prod
from typing import Literal, NamedTuple

Shapes = dict[str, tuple[int, ...]]


class Size(NamedTuple):
    dim: int
    layers: int
    heads: int


class T5(NamedTuple):
    name: str
    dim: int
    layers: int
    heads: int
    head_dim: int = 64
    vocabulary: int = 32128


class Codec(NamedTuple):
    """`parameters`: without codebooks."""

    sample_rate: int = 32000
    ratios: tuple[int, ...] = (8, 5, 4, 4)
    filters: int = 64
    latent: int = 128
    parameters: int = 56_884_674


class Style(NamedTuple):
    """The style conditioner: width and layers of its transformer, width of MERT, entries per codebook."""

    dim: int = 512
    layers: int = 8
    mert: int = 768
    codes: int = 1024


class Model(NamedTuple):
    """A published model. `parameters`: its language model with all that listens, without T5, MERT and codec."""

    size: Size
    parameters: int
    audio: Literal["melody", "style"] | None = None
    stereo: bool = False
    text: T5 = T5("t5-base", 768, 12, 12)
    codec: Codec = Codec()
    style: Style = Style()
    codes: int = 2048
    seconds: int = 30

    @property
    def num_codebooks(self) -> int:
        return 8 if self.stereo else 4


SMALL, MEDIUM, LARGE = Size(1024, 24, 16), Size(1536, 48, 24), Size(2048, 48, 32)

MODELS = {
    "musicgen-small": Model(SMALL, 420_371_456),
    "musicgen-medium": Model(MEDIUM, 1_838_737_920),
    "musicgen-large": Model(LARGE, 3_256_956_928),
    "musicgen-melody": Model(MEDIUM, 1_385_625_600, "melody"),
    "musicgen-melody-large": Model(LARGE, 2_451_480_576, "melody"),
    "musicgen-stereo-small": Model(SMALL, 437_152_768, stereo=True),
    "musicgen-stereo-medium": Model(MEDIUM, 1_863_909_888, stereo=True),
    "musicgen-stereo-large": Model(LARGE, 3_290_519_552, stereo=True),
    "musicgen-stereo-melody": Model(MEDIUM, 1_410_797_568, "melody", stereo=True),
    "musicgen-stereo-melody-large": Model(LARGE, 2_485_043_200, "melody", stereo=True),
    # As melody without its projection of 12 classes; the style's transformer, its input and its output projection.
    "musicgen-style": Model(MEDIUM, 1_385_605_632 + 25_182_208 + 393_728 + 787_968, "style"),
    # As medium, but for T5-large's 256 more columns; as the codec above, but for one stride of 2 instead of 4 a half.
    "audiogen-medium": Model(
        MEDIUM,
        1_838_737_920 + 256 * 1536,
        text=T5("t5-large", 1024, 24, 16),
        codec=Codec(16000, (8, 5, 4, 2), parameters=56_884_674 - 2 * 64 * 128 * 4),
        seconds=10,
    ),
}
TRANSFORMERS = [name for name, model in MODELS.items() if model.audio != "style" and name.startswith("musicgen")]
"""The models that transformers has a class for."""

T5_BASE_PARAMETERS = 109_628_544


def twin(model: Model) -> Model:
    """The same structure in small. Its text encoder is `tests/parity/t5_tiny`, its MERT `tiny_style.tiny_mert()`."""
    return model._replace(
        size=Size(32, 2, 4),
        text=T5(model.text.name, 48, 2, 4, 12, 128),
        codec=model.codec._replace(filters=4, latent=16),
        style=Style(32, 2, 16, 64),
        codes=32,
    )


# ---- tensors ---------------------------------------------------------------------------------------------------------


def audiocraft_lm(model: Model) -> Shapes:
    """`state_dict.bin` (section 4.3)."""
    dim, layers, _ = model.size
    shapes: Shapes = {"out_norm.weight": (dim,), "out_norm.bias": (dim,)}
    for k in range(model.num_codebooks):
        shapes |= {f"emb.{k}.weight": (model.codes + 1, dim), f"linears.{k}.weight": (model.codes, dim)}
    for i in range(layers):
        layer = f"transformer.layers.{i}"
        shapes |= _layer(layer, dim)
        if model.audio is None:
            shapes |= {f"{layer}.cross_attention.in_proj_weight": (3 * dim, dim)}
            shapes |= {f"{layer}.cross_attention.out_proj.weight": (dim, dim)}
            shapes |= {f"{layer}.norm_cross.{leaf}": (dim,) for leaf in ("weight", "bias")}
    shapes |= _linear("condition_provider.conditioners.description.output_proj", dim, model.text.dim)
    audio = "condition_provider.conditioners.self_wav"
    if model.audio == "melody":
        shapes |= _linear(f"{audio}.output_proj", dim, 12) | {f"{audio}.chroma.spec.window": (16384,)}
    elif model.audio == "style":
        shapes |= _style(audio, model)
    return shapes


def _layer(layer: str, dim: int) -> Shapes:
    shapes = {f"{layer}.linear1.weight": (4 * dim, dim), f"{layer}.linear2.weight": (dim, 4 * dim)}
    shapes |= {f"{layer}.self_attn.in_proj_weight": (3 * dim, dim), f"{layer}.self_attn.out_proj.weight": (dim, dim)}
    return shapes | {f"{layer}.{norm}.{leaf}": (dim,) for norm in ("norm1", "norm2") for leaf in ("weight", "bias")}


def _linear(name: str, dim: int, width: int) -> Shapes:
    return {f"{name}.weight": (dim, width), f"{name}.bias": (dim,)}


def _style(prefix: str, model: Model) -> Shapes:
    """Section 5.5: MERT's numbers, a transformer, a batch norm without weights, 6 codebooks."""
    dim = model.style.dim
    shapes = _linear(f"{prefix}.embed", dim, model.style.mert) | _linear(f"{prefix}.output_proj", model.size.dim, dim)
    for i in range(model.style.layers):
        shapes |= _layer(f"{prefix}.transformer.layers.{i}", dim)
    shapes |= {f"{prefix}.batch_norm.{leaf}": (dim,) for leaf in ("running_mean", "running_var")}
    shapes |= {f"{prefix}.batch_norm.num_batches_tracked": ()}
    return shapes | _codebooks(f"{prefix}.rvq.vq.layers.{{}}._codebook.", 6, model.style.codes, dim)


def transformers_model(model: Model) -> Shapes:
    """`MusicgenForConditionalGeneration` or `MusicgenMelodyForConditionalGeneration` (sections 1.7 and 4.3)."""
    dim, layers, _ = model.size
    top = "decoder.model.decoder"
    shapes: Shapes = {f"{top}.layer_norm.weight": (dim,), f"{top}.layer_norm.bias": (dim,)}
    for k in range(model.num_codebooks):
        shapes |= {f"{top}.embed_tokens.{k}.weight": (model.codes + 1, dim)}
        shapes |= {f"decoder.lm_heads.{k}.weight": (model.codes, dim)}
    cross = model.audio is None
    for i in range(layers):
        layer = f"{top}.layers.{i}"
        shapes |= {f"{layer}.fc1.weight": (4 * dim, dim), f"{layer}.fc2.weight": (dim, 4 * dim)}
        for attention in ("self_attn", "encoder_attn") if cross else ("self_attn",):
            shapes |= {f"{layer}.{attention}.{part}_proj.weight": (dim, dim) for part in ("q", "k", "v", "out")}
        norms = ["self_attn_layer_norm", "final_layer_norm", *(["encoder_attn_layer_norm"] if cross else [])]
        shapes |= {f"{layer}.{norm}.{leaf}": (dim,) for norm in norms for leaf in ("weight", "bias")}
    shapes |= _linear("enc_to_dec_proj", dim, model.text.dim)
    if model.audio == "melody":
        shapes |= _linear("audio_enc_to_dec_proj", dim, 12)
    shapes |= {f"audio_encoder.{name}": shape for name, shape in transformers_codec(model).items()}
    return shapes | {f"text_encoder.{name}": shape for name, shape in t5(model.text).items()}


def audiocraft_codec(model: Model) -> Shapes:
    """`compression_state_dict.bin` (section 1.7)."""
    halves = _seanet(model.codec, lambda half, i: f"{half}.model.{i}", "conv.conv", "convtr.convtr")
    return halves | _codebooks("quantizer.vq.layers.{}._codebook.", 4, model.codes, model.codec.latent)


def transformers_codec(model: Model) -> Shapes:
    """`EncodecModel` as in files of the Hub (section 1.7)."""
    halves = _seanet(model.codec, lambda half, i: f"{half}.layers.{i}", "conv", "conv")
    return halves | _codebooks("quantizer.layers.{}.codebook.", 4, model.codes, model.codec.latent)


def _seanet(codec: Codec, layer: Callable[[str, int], str], conv: str, convtr: str) -> Shapes:
    """Both halves (section 1.2)."""
    shapes: Shapes = {}

    def add(name: str, out: int, into: int, kernel: int, transposed: bool = False) -> None:
        shapes[f"{name}.bias"] = (out,)
        shapes[f"{name}.weight_v"] = (into, out, kernel) if transposed else (out, into, kernel)
        shapes[f"{name}.weight_g"] = (into if transposed else out, 1, 1)

    def block(name: str, dim: int) -> None:
        add(f"{name}.block.1.{conv}", dim // 2, dim, 3)
        add(f"{name}.block.3.{conv}", dim, dim // 2, 1)

    first, top = codec.filters, 16 * codec.filters
    down = [(first * 2**i, stride) for i, stride in enumerate(reversed(codec.ratios))]
    add(f"{layer('encoder', 0)}.{conv}", first, 1, 7)
    for i, (dim, stride) in enumerate(down):
        block(layer("encoder", 1 + 3 * i), dim)
        add(f"{layer('encoder', 3 + 3 * i)}.{conv}", 2 * dim, dim, 2 * stride)
    add(f"{layer('encoder', 15)}.{conv}", codec.latent, top, 7)
    add(f"{layer('decoder', 0)}.{conv}", top, codec.latent, 7)
    for i, (dim, stride) in enumerate(reversed(down)):
        add(f"{layer('decoder', 3 + 3 * i)}.{convtr}", dim, 2 * dim, 2 * stride, transposed=True)
        block(layer("decoder", 4 + 3 * i), dim)
    add(f"{layer('decoder', 15)}.{conv}", 1, first, 7)
    for lstm in (layer("encoder", 13), layer("decoder", 1)):
        for n in (0, 1):
            shapes |= {f"{lstm}.lstm.weight_{kind}_l{n}": (4 * top, top) for kind in ("ih", "hh")}
            shapes |= {f"{lstm}.lstm.bias_{kind}_l{n}": (4 * top,) for kind in ("ih", "hh")}
    return shapes


def _codebooks(prefix: str, count: int, codes: int, dim: int) -> Shapes:
    leaves = {"inited": (1,), "cluster_size": (codes,), "embed": (codes, dim), "embed_avg": (codes, dim)}
    return {prefix.format(k) + leaf: shape for k in range(count) for leaf, shape in leaves.items()}


def t5(config: T5) -> Shapes:
    """`T5EncoderModel` of the first T5: feed-forward 4 x width with a rectifier, positions in the first block."""
    dim, inner = config.dim, config.heads * config.head_dim
    feed_forward = 96 if config.dim == 48 else 4 * dim
    shapes: Shapes = {"shared.weight": (config.vocabulary, dim), "encoder.final_layer_norm.weight": (dim,)}
    shapes["encoder.block.0.layer.0.SelfAttention.relative_attention_bias.weight"] = (32, config.heads)
    for i in range(config.layers):
        block = f"encoder.block.{i}.layer"
        shapes |= {f"{block}.{n}.layer_norm.weight": (dim,) for n in (0, 1)}
        shapes |= {f"{block}.0.SelfAttention.{part}.weight": (inner, dim) for part in ("q", "k", "v")}
        shapes[f"{block}.0.SelfAttention.o.weight"] = (dim, inner)
        shapes[f"{block}.1.DenseReluDense.wi.weight"] = (feed_forward, dim)
        shapes[f"{block}.1.DenseReluDense.wo.weight"] = (dim, feed_forward)
    return shapes


NOT_TRAINED = (".window", ".inited", ".cluster_size", ".embed", ".embed_avg", ".num_batches_tracked")
NOT_TRAINED += (".running_mean", ".running_var")


def count(shapes: Mapping[str, tuple[int, ...]]) -> int:
    """Parameters, without buffers."""
    return sum(prod(shape) for name, shape in shapes.items() if not name.endswith(NOT_TRAINED))
