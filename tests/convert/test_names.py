"""Names and shapes of the official checkpoints, written down from the reference document, against our tables."""

from collections.abc import Callable

import pytest
import torch
from torch import nn

from cadenza.codec.encodec import EnCodec, EnCodecConfig
from cadenza.codec.seanet import SEANetConfig
from cadenza.conditioning.chroma import ChromaConfig
from cadenza.conditioning.fuser import FuserConfig
from cadenza.conditioning.provider import ConditioningConfig, ConditionProvider
from cadenza.conditioning.text import TextConfig
from cadenza.convert import names as tables
from cadenza.convert.audiocraft_conditions import condition_names
from cadenza.convert.names import Names, gather, scatter, weight_norm_names
from cadenza.errors import CheckpointError
from cadenza.lm.model import LM, LMConfig
from cadenza.lm.patterns import DelayConfig

Shapes = dict[str, tuple[int, ...]]

SIZES = {"small": (1024, 24, 16), "medium": (1536, 48, 24), "large": (2048, 48, 32)}
# Parameters with condition projections, without T5 and codec (reference, section 4.1).
PARAMETERS = {
    ("small", 4, False): 420_371_456,
    ("medium", 4, False): 1_838_737_920,
    ("large", 4, False): 3_256_956_928,
    ("small", 8, False): 437_152_768,
    ("medium", 8, False): 1_863_909_888,
    ("large", 8, False): 3_290_519_552,
    ("medium", 4, True): 1_385_625_600,
    ("large", 4, True): 2_451_480_576,
    ("medium", 8, True): 1_410_797_568,
    ("large", 8, True): 2_485_043_200,
}


def published(size: str, num_codebooks: int, melody: bool) -> tuple[LM, ConditionProvider]:
    """A published model's shape, without memory."""
    dim, layers, heads = SIZES[size]
    delays = tuple(k // 2 if num_codebooks == 8 else k for k in range(num_codebooks))
    config = LMConfig(
        num_codebooks=num_codebooks,
        dim=dim,
        num_layers=layers,
        num_heads=heads,
        feed_forward_dim=4 * dim,
        cross_attention=not melody,
        pattern=DelayConfig(delays=delays),
    )
    conditioners = {"description": TextConfig()}
    fuser = FuserConfig(cross=("description",))
    if melody:
        conditioners = {"self_wav": ChromaConfig(), **conditioners}
        fuser = FuserConfig(prepend=("self_wav", "description"))
    with torch.device("meta"):
        return LM(config), ConditionProvider(ConditioningConfig(dim=dim, conditioners=conditioners, fuser=fuser))


def audiocraft_file(size: str, num_codebooks: int, melody: bool) -> Shapes:
    """Every tensor of a `state_dict.bin` (reference, section 4.3), the melody's window apart."""
    dim, layers, _ = SIZES[size]
    shapes: Shapes = {"out_norm.weight": (dim,), "out_norm.bias": (dim,)}
    for k in range(num_codebooks):
        shapes |= {f"emb.{k}.weight": (2049, dim), f"linears.{k}.weight": (2048, dim)}
    for i in range(layers):
        layer = f"transformer.layers.{i}"
        shapes |= {f"{layer}.linear1.weight": (4 * dim, dim), f"{layer}.linear2.weight": (dim, 4 * dim)}
        attentions, norms = ["self_attn"], ["norm1", "norm2"]
        if not melody:
            attentions, norms = [*attentions, "cross_attention"], [*norms, "norm_cross"]
        for attention in attentions:
            shapes[f"{layer}.{attention}.in_proj_weight"] = (3 * dim, dim)
            shapes[f"{layer}.{attention}.out_proj.weight"] = (dim, dim)
        for norm in norms:
            shapes |= {f"{layer}.{norm}.weight": (dim,), f"{layer}.{norm}.bias": (dim,)}
    for name, width in {"description": 768, **({"self_wav": 12} if melody else {})}.items():
        prefix = f"condition_provider.conditioners.{name}.output_proj"
        shapes |= {f"{prefix}.weight": (dim, width), f"{prefix}.bias": (dim,)}
    return shapes


def transformers_file(size: str, num_codebooks: int) -> Shapes:
    """Every tensor of the `decoder` in a text model's directory (reference, section 4.3)."""
    dim, layers, _ = SIZES[size]
    top = "model.decoder"
    shapes: Shapes = {f"{top}.layer_norm.weight": (dim,), f"{top}.layer_norm.bias": (dim,)}
    for k in range(num_codebooks):
        shapes |= {f"{top}.embed_tokens.{k}.weight": (2049, dim), f"lm_heads.{k}.weight": (2048, dim)}
    for i in range(layers):
        layer = f"{top}.layers.{i}"
        shapes |= {f"{layer}.fc1.weight": (4 * dim, dim), f"{layer}.fc2.weight": (dim, 4 * dim)}
        for attention in ("self_attn", "encoder_attn"):
            for projection in ("q", "k", "v", "out"):
                shapes[f"{layer}.{attention}.{projection}_proj.weight"] = (dim, dim)
        for norm in ("self_attn_layer_norm", "encoder_attn_layer_norm", "final_layer_norm"):
            shapes |= {f"{layer}.{norm}.weight": (dim,), f"{layer}.{norm}.bias": (dim,)}
    return shapes


def foreign(module: nn.Module, names: Names) -> Shapes:
    """What the table makes of a module's tensors; each foreign name exactly once."""
    pieces = [piece for group in names.values() for piece in group]
    assert len(pieces) == len(set(pieces))
    return {name: tuple(tensor.shape) for name, tensor in scatter(names, module.state_dict()).items()}


@pytest.mark.parametrize(("size", "num_codebooks", "melody"), PARAMETERS)
def test_language_models_have_the_official_tensors(size: str, num_codebooks: int, melody: bool) -> None:
    lm, provider = published(size, num_codebooks, melody)
    shapes = foreign(lm, tables.audiocraft_lm(lm)) | foreign(provider, condition_names(provider))
    assert shapes == audiocraft_file(size, num_codebooks, melody)
    total = sum(torch.Size(shape).numel() for shape in shapes.values())
    assert total == PARAMETERS[size, num_codebooks, melody]


@pytest.mark.parametrize("num_codebooks", [4, 8])
@pytest.mark.parametrize("size", SIZES)
def test_language_models_have_the_tensors_of_transformers(size: str, num_codebooks: int) -> None:
    lm, _ = published(size, num_codebooks, melody=False)
    assert foreign(lm, tables.transformers_lm(lm)) == transformers_file(size, num_codebooks)


def seanet_file(layer: Callable[[str, int], str], conv: str, convtr: str) -> Shapes:
    """Every tensor of the halves of the 32 kHz codec (reference, sections 1.2 and 1.7)."""
    shapes: Shapes = {}

    def add(name: str, out: int, into: int, kernel: int, transposed: bool = False) -> None:
        shapes[f"{name}.bias"] = (out,)
        shapes[f"{name}.weight_v"] = (into, out, kernel) if transposed else (out, into, kernel)
        shapes[f"{name}.weight_g"] = (into if transposed else out, 1, 1)

    def block(name: str, dim: int) -> None:
        add(f"{name}.block.1.{conv}", dim // 2, dim, 3)
        add(f"{name}.block.3.{conv}", dim, dim // 2, 1)

    down = [(64, 4), (128, 4), (256, 5), (512, 8)]
    add(f"{layer('encoder', 0)}.{conv}", 64, 1, 7)
    for i, (dim, stride) in enumerate(down):
        block(layer("encoder", 1 + 3 * i), dim)
        add(f"{layer('encoder', 3 + 3 * i)}.{conv}", 2 * dim, dim, 2 * stride)
    add(f"{layer('encoder', 15)}.{conv}", 128, 1024, 7)
    add(f"{layer('decoder', 0)}.{conv}", 1024, 128, 7)
    for i, (dim, stride) in enumerate(reversed(down)):
        add(f"{layer('decoder', 3 + 3 * i)}.{convtr}", dim, 2 * dim, 2 * stride, transposed=True)
        block(layer("decoder", 4 + 3 * i), dim)
    add(f"{layer('decoder', 15)}.{conv}", 1, 64, 7)
    for lstm in (layer("encoder", 13), layer("decoder", 1)):
        for n in (0, 1):
            shapes |= {f"{lstm}.lstm.weight_{kind}_l{n}": (4096, 1024) for kind in ("ih", "hh")}
            shapes |= {f"{lstm}.lstm.bias_{kind}_l{n}": (4096,) for kind in ("ih", "hh")}
    return shapes


def codebooks_file(prefix: str) -> Shapes:
    leaves = {"inited": (1,), "cluster_size": (2048,), "embed": (2048, 128), "embed_avg": (2048, 128)}
    return {prefix.format(k) + leaf: shape for k in range(4) for leaf, shape in leaves.items()}


def test_the_32_khz_codec_has_the_official_tensors() -> None:
    half = SEANetConfig(pad_mode="constant")
    with torch.device("meta"):
        codec = EnCodec(EnCodecConfig(encoder=half, decoder=half))
    expected = seanet_file(lambda part, i: f"{part}.model.{i}", "conv.conv", "convtr.convtr")
    assert foreign(codec, tables.audiocraft_codec(codec)) == expected | codebooks_file(
        "quantizer.vq.layers.{}._codebook."
    )
    assert sum(torch.Size(shape).numel() for shape in expected.values()) == 56_884_674

    expected = seanet_file(lambda part, i: f"{part}.layers.{i}", "conv", "conv")
    assert foreign(codec, tables.transformers_codec(codec)) == expected | codebooks_file(
        "quantizer.layers.{}.codebook."
    )


def test_stacked_tensors_come_apart_and_together() -> None:
    lm = LM(LMConfig(num_codebooks=2, codebook_size=8, dim=16, num_layers=1, num_heads=2, feed_forward_dim=8))
    names = tables.transformers_lm(lm)
    state = scatter(names, lm.state_dict())
    query = state["model.decoder.layers.0.encoder_attn.q_proj.weight"]
    assert torch.equal(query, lm.layers[0].cross_attention.in_projection.weight[:16])
    again = gather(names, state, "file")
    assert all(torch.equal(again[name], tensor) for name, tensor in lm.state_dict().items())


def test_missing_and_left_over_tensors_are_named() -> None:
    state = {"a": torch.zeros(1), "b": torch.zeros(1)}
    with pytest.raises(CheckpointError, match=r"file lacks c: it is of another kind"):
        gather({"x": ("a",), "y": ("b",), "z": ("c",)}, state, "file")
    with pytest.raises(CheckpointError, match=r"file holds, beyond what its configuration describes, b"):
        gather({"x": ("a",)}, state, "file")


def test_weight_norm_is_known_under_both_names() -> None:
    conv = torch.nn.utils.parametrizations.weight_norm(nn.Conv1d(2, 3, 1))
    renamed = weight_norm_names(nn.ModuleDict({"conv": conv}).state_dict())
    assert sorted(renamed) == ["conv.bias", "conv.weight_g", "conv.weight_v"]
    rebuilt = torch._weight_norm(renamed["conv.weight_v"], renamed["conv.weight_g"], 0)
    torch.testing.assert_close(rebuilt, conv.weight)
    assert weight_norm_names(renamed).keys() == renamed.keys()
