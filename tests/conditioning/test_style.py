"""Style conditions: which part of a recording is heard, what the bottleneck lets through, what is refused."""

import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from cadenza.audio import Audio
from cadenza.checkpoint import on_meta
from cadenza.codec.stereo import StereoCodec
from cadenza.conditioning.fuser import FuserConfig
from cadenza.conditioning.provider import ConditioningConfig, ConditionProvider
from cadenza.conditioning.style import CodecExtractor, Style, StyleBottleneck, StyleConditioner, StyleConfig
from cadenza.errors import UserError
from cadenza.nn.positional import sinusoidal_positions
from cadenza.testing import NUM_CODEBOOKS, noise, tiny_codec
from tiny_style import STYLE_CONFIG, random_weights, tiny_mert, tiny_style

RAMP = Audio(np.arange(1, 80001, dtype=np.float32) / 80000, 8000)
"""Ten seconds in which every sample says where it is."""
TIME = np.arange(160000) / 32000
CLIP = Audio((np.sin(2 * np.pi * (100 + 300 * TIME) * TIME) * (TIME % 1.0)).astype(np.float32), 32000)
"""Five seconds of a rising tone, struck once a second."""
CODEC_CONFIG = StyleConfig(
    extractor="encodec", codec_codebooks=3, codec_codebook_size=32, dim=32, num_layers=2, codebook_size=64
)


# ---- the excerpt -----------------------------------------------------------------------------------------------------


def test_the_same_seed_is_the_same_excerpt() -> None:
    part = tiny_style()

    def start(style: Style) -> float:
        return round(float(part.excerpt(style).samples[0, 0]) * 80000 - 1) / 8000

    starts = [start(Style(RAMP, seed)) for seed in range(200)]
    assert starts == [start(Style(RAMP, seed)) for seed in range(200)]
    assert len(set(starts)) > 190
    assert all(0 <= start <= 7 for start in starts)
    # Uniform on 7 s: the mean of 200 has a standard deviation of 0.14 s.
    assert abs(float(np.mean(starts)) - 3.5) < 0.6
    assert (min(starts) < 0.5, max(starts) > 6.5) == (True, True)
    assert start(Style(RAMP)) == starts[0]


def test_where_and_how_long_can_be_said() -> None:
    part = tiny_style().excerpt(Style(RAMP, excerpt_seconds=1.5, start_seconds=8.5))
    assert part.num_samples == 12000
    assert np.array_equal(part.samples, RAMP.samples[:, 68000:])
    whole = tiny_style().excerpt(Style(RAMP, 5, excerpt_seconds=10.0))
    assert np.array_equal(whole.samples, RAMP.samples)


def test_the_middle_needs_no_seed() -> None:
    middle = tiny_style(STYLE_CONFIG.model_copy(update={"middle": True}))
    parts = [middle.excerpt(Style(RAMP, seed)) for seed in (0, 1)]
    assert all(np.array_equal(part.samples, RAMP.samples[:, 28000:52000]) for part in parts)


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (noise(1.2), "the style clip lasts 1.20 s, its excerpt 3 s: give at least 3 s of audio, or ask for a shorter"),
        (Style(CLIP, excerpt_seconds=5.5), "lasts 5.00 s, its excerpt 5.5 s"),
        (Audio(np.zeros((2, 160000), np.float32), 32000), "the style clip is silent from .* give a recording that"),
        (Style(CLIP, start_seconds=2.5), "cannot begin at 2.5 s: choose 0 to 2 s"),
        (Style(CLIP, start_seconds=-1.0), "cannot begin at -1 s"),
        (Style(CLIP, start_seconds=float("nan")), "cannot begin at nan s"),
        (Style(CLIP, excerpt_seconds=0.1), "an excerpt of 0.1 s says nothing: give at least 0.2 s"),
        (Style(CLIP, excerpt_seconds=float("inf")), "an excerpt of inf s"),
        (Style(CLIP, num_codebooks=0), "a style has 1 to 6 codebooks, not 0"),
        (Style(CLIP, num_codebooks=7), "not 7"),
        (Style(CLIP, seed=-1), "seed -1: choose a whole number"),
        ("rock", "a str has no style: give a recording"),
        (torch.zeros(15, 31), r"a tensor \[15, 31\] is no condition: give \[length, 32\]"),
    ],
)
def test_what_cannot_be_is_refused_in_one_line(value: object, message: str) -> None:
    with pytest.raises(UserError, match=message) as caught:
        tiny_style().prepare([value])
    assert "\n" not in str(caught.value)


def test_without_what_hears_there_is_no_style() -> None:
    part = tiny_style()
    part.extractor = None
    with pytest.raises(UserError, match="put MERT into the folder 'style_encoder'"):
        part.prepare([CLIP])
    with pytest.raises(UserError, match="hand the codec over"):
        tiny_style(CODEC_CONFIG).prepare([CLIP])
    given = torch.randn(15, 32)
    missing, kept = part.prepare([None, given])
    assert missing is None
    assert kept is not None
    assert torch.equal(kept, given)


# ---- what comes out --------------------------------------------------------------------------------------------------


@torch.no_grad()
def test_three_seconds_are_fifteen_vectors_and_nothing_is_zero() -> None:
    part = tiny_style()
    prepared = part.prepare([CLIP, None, Style(CLIP, excerpt_seconds=1.5)])
    condition = part(prepared)
    assert [None if one is None else tuple(one.shape) for one in prepared] == [(15, 32), None, (8, 32)]
    assert condition.embedding.shape == (3, 15, 8)
    assert condition.mask.sum(1).tolist() == [15, 0, 8]
    assert not bool(condition.embedding[~condition.mask].any())
    assert bool(condition.embedding[condition.mask].any(-1).all())
    assert part.null() is None


@torch.no_grad()
def test_a_batch_equals_its_items_and_the_seed_decides() -> None:
    part = tiny_style()
    values = [Style(CLIP, 1), CLIP, Style(noise(4.0, 44100, 2), 1), Style(CLIP, 1)]
    together = part.prepare(values)
    assert all(torch.equal(one, part.prepare([value])[0]) for one, value in zip(together, values, strict=True))
    assert torch.equal(together[0], together[3])
    assert not torch.equal(together[0], together[1])
    for row, one in enumerate(together):
        # Products of other batch sizes sum in another order: measured 2e-7 on values of size 1.
        torch.testing.assert_close(part(together).embedding[row], part([one]).embedding[0], atol=1e-5, rtol=1e-5)


def latents(part: StyleConditioner) -> torch.Tensor:
    """What reaches the codebooks, `[E, T]`, from the published description and PyTorch's own layers."""
    bottleneck = part.bottleneck
    x = bottleneck.embed(part.extractor.extract(part.excerpt(Style(CLIP)), torch.device("cpu")))[None]
    x = x + sinusoidal_positions(x.shape[1], x.shape[2])
    for layer in bottleneck.layers:
        theirs = nn.TransformerEncoderLayer(32, 8, 128, 0.0, "gelu", batch_first=True, norm_first=True)
        for parameter in theirs.parameters():
            parameter.zero_()
        theirs.load_state_dict(
            {
                "self_attn.in_proj_weight": layer.self_attention.in_projection.weight,
                "self_attn.out_proj.weight": layer.self_attention.out_projection.weight,
                "linear1.weight": layer.feed_forward.linear1.weight,
                "linear2.weight": layer.feed_forward.linear2.weight,
                "norm1.weight": layer.norm_self.weight,
                "norm1.bias": layer.norm_self.bias,
                "norm2.weight": layer.norm_feed_forward.weight,
                "norm2.bias": layer.norm_feed_forward.bias,
            },
            strict=False,
        )
        x = theirs.eval()(x)
    norm = bottleneck.batch_norm
    return ((x[0] - norm.running_mean) / torch.sqrt(norm.running_var + 1e-5)).T


@pytest.mark.parametrize("count", [None, 1, 3, 6])
@torch.no_grad()
def test_what_comes_out_is_a_sum_of_the_nearest_entries(count: int | None) -> None:
    """Of the first `count` codebooks (None: the model's own three), for every 15th frame."""
    part = tiny_style()
    found = part.prepare([Style(CLIP, num_codebooks=count)])[0]
    rest = latents(part)[:, ::15].T
    expected = torch.zeros_like(rest)
    for book in list(part.bottleneck.quantizer.layers)[: count or 3]:
        chosen = book.embed[torch.cdist(rest, book.embed).argmin(1)]
        expected, rest = expected + chosen, rest - chosen
    # The same entries, summed in another order.
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-5)


def test_more_codebooks_come_closer() -> None:
    bottleneck = tiny_style().bottleneck
    latent = torch.randn(1, 32, 200, generator=torch.Generator().manual_seed(0))
    for book in bottleneck.quantizer.layers:  # entries of the size of what is left over, as k-means makes them
        book.embed.mul_(0.3)
    far = [
        float((bottleneck.quantizer.decode(bottleneck.quantizer.encode(latent, count)) - latent).square().mean())
        for count in range(1, 7)
    ]
    assert far == sorted(far, reverse=True)


@torch.no_grad()
def test_the_codec_can_be_what_hears() -> None:
    part, codec = tiny_style(CODEC_CONFIG), tiny_codec()
    assert {name for name, _ in part.bottleneck.embed.named_parameters()} == {"0.weight", "1.weight", "2.weight"}
    part.attach(codec)
    features = part.prepare([CLIP])[0]
    assert features.shape == (10, 32)  # 50 frames a second, every 15th
    start = part.excerpt(Style(CLIP))
    codes = codec.encode(torch.from_numpy(start.samples[None])).codes
    heard = part.extractor.extract(start, torch.device("cpu"))
    assert codes.shape[1] == NUM_CODEBOOKS
    assert torch.equal(heard.long(), codes[0, :3].T)
    part.attach(StereoCodec(codec))
    both = Audio(CLIP.samples.repeat(2, axis=0), 32000)
    assert torch.equal(part.prepare([both])[0], features)
    assert not any("codec" in name or "encoder" in name for name in part.state_dict())


# ---- precision, training ---------------------------------------------------------------------------------------------


@torch.no_grad()
def test_the_bottleneck_computes_in_float32() -> None:
    part = tiny_style()
    exact = part.prepare([CLIP])[0]
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(part.prepare([CLIP])[0], exact)
    part.to(torch.bfloat16)
    rounded = part.prepare([CLIP])
    assert rounded[0].dtype == torch.float32
    assert part(rounded).embedding.dtype == torch.bfloat16


@pytest.mark.gpu
@torch.no_grad()
def test_a_gpu_hears_the_same() -> None:
    part = tiny_style()
    expected = part.prepare([CLIP])[0]
    found = part.to("cuda").prepare([CLIP])
    assert found[0].is_cuda and part(found).embedding.is_cuda
    # Sums in another order; where two entries are nearly as near, that may choose the other one.
    same = torch.isclose(found[0].cpu(), expected, atol=1e-4).all(dim=1)
    assert int(same.sum()) >= 13


def test_training_reaches_all_of_the_bottleneck_and_nothing_frozen() -> None:
    part = tiny_style(STYLE_CONFIG.model_copy(update={"dropout": 0.0, "codebook_size": 16})).train()
    before = {name: tensor.clone() for name, tensor in part.state_dict().items()}
    torch.manual_seed(0)
    heard = part.prepare([Style(CLIP, 1), None, Style(CLIP, 2)])
    assert [None if one is None else tuple(one.shape) for one in heard] == [(224, 16), None, (224, 16)]
    condition = part(heard)
    assert condition.mask.sum(1).tolist() == [15, 0, 15]
    condition.embedding.square().sum().backward()
    without = [name for name, one in part.named_parameters() if one.grad is None or not bool(one.grad.any())]
    assert without == []
    after = part.state_dict()
    moved = {name for name in before if not torch.equal(before[name], after[name])}
    assert {"bottleneck.batch_norm.running_mean", "bottleneck.quantizer.layers.0.embed"} <= moved
    assert not any("layers.0.norm" in name for name in moved)
    assert part.extractor.model.training is False


def test_quantiser_dropout_draws_how_many_codebooks_learn() -> None:
    part = tiny_style().train()
    heard = part.prepare([CLIP])[0][None]
    used = set()
    for seed in range(30):
        for book in part.bottleneck.quantizer.layers:
            book.inited.fill_(1)
            book.cluster_size.fill_(7.0)
        part.bottleneck(heard, generator=torch.Generator().manual_seed(seed))
        used.add(sum(not bool((book.cluster_size == 7.0).all()) for book in part.bottleneck.quantizer.layers))
    assert used == {1, 2, 3, 4, 5, 6}


def test_the_official_size() -> None:
    """Reference 5.5: 25.2 million parameters in the transformer, all of them in matrices and norms without biases."""
    with on_meta():
        bottleneck = StyleBottleneck(StyleConfig())
    assert sum(one.numel() for one in bottleneck.layers.parameters()) == 25_182_208
    assert bottleneck.embed.weight.shape == (512, 768)
    assert len(bottleneck.quantizer.layers) == 6
    assert not any(layer.self_attention.causal for layer in bottleneck.layers)


def test_numbers_that_contradict_each_other_are_a_broken_file(tmp_path: Path) -> None:
    with pytest.raises(AssertionError, match="more codebooks used than there are"):
        StyleConditioner(STYLE_CONFIG.model_copy(update={"used_codebooks": 7}), 8)


# ---- in a model ------------------------------------------------------------------------------------------------------


def provider(config: StyleConfig = STYLE_CONFIG) -> ConditionProvider:
    built = ConditionProvider(
        ConditioningConfig(dim=8, conditioners={"self_wav": config}, fuser=FuserConfig(prepend=("self_wav",)))
    )
    built.load_state_dict(random_weights(built))
    return built.eval()


@torch.no_grad()
def test_saved_and_loaded_with_what_hears(tmp_path: Path) -> None:
    made = provider()
    made.attach_style_encoder(tiny_mert())
    made.save_pretrained(tmp_path)
    assert sorted(path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*.*")) == [
        "config.json",
        "model.safetensors",
        "style_encoder/config.json",
        "style_encoder/model.safetensors",
    ]
    items = [{"self_wav": Style(CLIP, 4)}, {}]
    expected = made(made.prepare(items)).prefix
    for dtype in (None, torch.float16, torch.bfloat16):
        loaded = ConditionProvider.from_pretrained(tmp_path, dtype=dtype)
        assert torch.equal(loaded.prepare(items)["self_wav"][0], made.prepare(items)["self_wav"][0])
        assert loaded.conditioner("self_wav").output_projection.weight.dtype == (dtype or torch.float32)
    assert torch.equal(ConditionProvider.from_pretrained(tmp_path)(made.prepare(items)).prefix, expected)
    shutil.rmtree(tmp_path / "style_encoder")
    without = ConditionProvider.from_pretrained(tmp_path)
    assert without({"self_wav": [torch.ones(3, 32)]}).prefix.shape == (1, 3, 8)
    with pytest.raises(UserError, match="put MERT into the folder 'style_encoder'"):
        without.prepare(items)


def test_what_hears_must_fit() -> None:
    with pytest.raises(UserError, match="the style encoder is 16 wide, the model expects 768"):
        provider(STYLE_CONFIG.model_copy(update={"extractor_dim": 768})).attach_style_encoder(tiny_mert())
    with pytest.raises(UserError, match="the codec has 4 codebooks of 32, the style condition hears 5 of 32"):
        provider(CODEC_CONFIG.model_copy(update={"codec_codebooks": 5})).attach_codec(tiny_codec())
    by_codec, by_mert = provider(CODEC_CONFIG), provider()
    by_codec.attach_codec(tiny_codec())
    by_codec.attach_style_encoder(tiny_mert())
    assert isinstance(by_codec.conditioner("self_wav").extractor, CodecExtractor)
    by_mert.attach_codec(tiny_codec())
    assert by_mert.conditioner("self_wav").extractor is None
