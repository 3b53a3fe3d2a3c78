"""The language model: sizes, causality, caches, initialisation."""

import math
from pathlib import Path

import pytest
import torch
from torch import nn

from cadenza.conditioning.chroma import ChromaConfig
from cadenza.conditioning.fuser import FusedConditions, FuserConfig
from cadenza.conditioning.provider import ConditioningConfig, ConditionProvider
from cadenza.conditioning.text import TextConfig
from cadenza.errors import UserError
from cadenza.lm.model import LM, InterleavedConfig, LMConfig
from cadenza.lm.patterns import DelayConfig

TINY = LMConfig(codebook_size=32, dim=24, num_layers=3, num_heads=3, feed_forward_dim=48)
STEREO = DelayConfig(delays=(0, 0, 1, 1, 2, 2, 3, 3))
SIZES = {"small": (1024, 24), "medium": (1536, 48), "large": (2048, 48)}


def system1(dim: int, heads: int, layers: int, hidden: int) -> LMConfig:
    """The decoder of "音樂生成 Music Generation"."""
    return LMConfig(
        dim=dim,
        num_layers=layers,
        num_heads=heads,
        feed_forward_dim=hidden,
        num_special_tokens=2,
        norm_first=False,
        final_norm=False,
        attention_bias=True,
        feed_forward_bias=True,
        head_bias=True,
        activation="relu",
        positional=InterleavedConfig(),
    )


def count(config: LMConfig, conditioning: ConditioningConfig) -> int:
    with torch.device("meta"):
        modules: list[nn.Module] = [LM(config), ConditionProvider(conditioning)]
    return sum(parameter.numel() for module in modules for parameter in module.parameters())


# The exact integers of reference/musicgen.md, section 4.1.
@pytest.mark.parametrize(
    ("size", "melody", "num_codebooks", "expected"),
    [
        ("small", False, 4, 420_371_456),
        ("medium", False, 4, 1_838_737_920),
        ("large", False, 4, 3_256_956_928),
        ("small", False, 8, 437_152_768),
        ("medium", False, 8, 1_863_909_888),
        ("large", False, 8, 3_290_519_552),
        ("medium", True, 4, 1_385_625_600),
        ("large", True, 4, 2_451_480_576),
        ("medium", True, 8, 1_410_797_568),
        ("large", True, 8, 2_485_043_200),
    ],
)
def test_parameter_counts_of_musicgen(size: str, melody: bool, num_codebooks: int, expected: int) -> None:
    dim, layers = SIZES[size]
    config = LMConfig(
        num_codebooks=num_codebooks,
        dim=dim,
        num_layers=layers,
        num_heads=dim // 64,
        feed_forward_dim=4 * dim,
        cross_attention=not melody,
        pattern=DelayConfig() if num_codebooks == 4 else STEREO,
    )
    conditioning = ConditioningConfig(dim=dim)
    if melody:
        conditioning = ConditioningConfig(
            dim=dim,
            conditioners={"description": TextConfig(), "self_wav": ChromaConfig()},
            fuser=FuserConfig(prepend=("self_wav", "description")),
        )
    assert count(config, conditioning) == expected


@pytest.mark.parametrize(
    ("shape", "expected"), [((1024, 8, 8, 2048), 119_171_072), ((2048, 16, 16, 4096), 844_689_408)]
)
def test_parameter_counts_of_system_1(shape: tuple[int, int, int, int], expected: int) -> None:
    text = TextConfig(dim=512, projection_layers=2, max_tokens=250, truncate=True, pad_to=250)
    assert count(system1(*shape), ConditioningConfig(dim=shape[0], conditioners={"description": text})) == expected


def model(config: LMConfig = TINY, seed: int = 0) -> LM:
    lm = LM(config).eval()
    lm.initialize(torch.Generator().manual_seed(seed))
    return lm


def conditions(batch: int = 2, prefix: bool = False, added: int = 0) -> FusedConditions:
    draw = torch.Generator().manual_seed(9)
    return FusedConditions(
        cross=torch.randn(batch, 5, 24, generator=draw),
        cross_mask=torch.tensor([[True] * 5, [True] * 2 + [False] * 3])[:batch],
        prefix=torch.randn(batch, 4, 24, generator=draw) if prefix else None,
        sum=torch.randn(batch, added, 24, generator=draw) if added else None,
    )


CONFIGS = {
    "musicgen": TINY,
    "system 1": system1(24, 3, 3, 48).model_copy(update={"codebook_size": 32}),
}


@pytest.mark.parametrize("kind", CONFIGS)
@pytest.mark.parametrize(("prefix", "added"), [(False, 0), (True, 0), (True, 1), (False, 12)])
@torch.no_grad()
def test_cached_steps_equal_the_full_forward(kind: str, prefix: bool, added: int) -> None:
    lm = model(CONFIGS[kind])
    for parameter in lm.parameters():
        if parameter.ndim == 1:
            nn.init.normal_(parameter, 1.0, 0.1)  # biases and norms that matter
    condition = conditions(prefix=prefix, added=added)
    sequence = torch.randint(0, 33, (2, 4, 12))
    whole = lm(sequence, condition)
    cache = lm.new_cache(2, 16)
    lm.prefill(cache, condition)
    pieces, start = [], 0
    for length in (3, 1, 1, 5, 2):
        pieces.append(lm.step(sequence[:, :, start : start + length], cache))
        start += length
    # Attention over slices of a cache sums in another order.
    torch.testing.assert_close(torch.cat(pieces, 2), whole, atol=1e-5, rtol=1e-5)
    cache.reset()
    lm.prefill(cache, condition)
    torch.testing.assert_close(lm.step(sequence, cache), whole, atol=1e-5, rtol=1e-5)


@torch.no_grad()
def test_the_future_does_not_change_the_past() -> None:
    lm, condition = model(), conditions(prefix=True)
    sequence = torch.randint(0, 33, (2, 4, 12))
    changed = sequence.clone()
    changed[:, :, 7:] = (changed[:, :, 7:] + 1) % 33
    assert torch.equal(lm(sequence, condition)[:, :, :7], lm(changed, condition)[:, :, :7])


@torch.no_grad()
def test_a_batch_equals_its_items() -> None:
    lm, condition = model(), conditions(prefix=True)
    sequence = torch.randint(0, 33, (2, 4, 9))
    together = lm(sequence, condition)
    for i in range(2):
        alone = lm(sequence[i : i + 1], condition.rows(i, i + 1))
        # Matrix products of other sizes sum in another order.
        torch.testing.assert_close(together[i : i + 1], alone, atol=1e-5, rtol=1e-5)


@torch.no_grad()
def test_prefix_and_sum_reach_the_logits() -> None:
    lm = model()
    sequence = torch.randint(0, 33, (2, 4, 6))
    plain = lm(sequence, conditions())
    assert not torch.allclose(plain, lm(sequence, conditions(prefix=True)), atol=1e-3)
    assert not torch.allclose(plain, lm(sequence, conditions(added=1)), atol=1e-3)


@torch.no_grad()
def test_without_biases_no_condition_equals_the_null_condition() -> None:
    lm = model()
    sequence = torch.randint(0, 33, (2, 4, 6))
    # Attention to zeros adds exactly zero.
    assert torch.equal(lm(sequence), lm(sequence, FusedConditions(cross=torch.zeros(2, 3, 24))))


@torch.no_grad()
def test_initial_loss_is_the_logarithm_of_the_codebook_size() -> None:
    lm = model(TINY.model_copy(update={"dim": 96, "codebook_size": 512}))
    codes = torch.randint(0, 512, (4, 4, 60), generator=torch.Generator().manual_seed(1))
    logits, mask = lm.logits_for_codes(codes)
    loss = nn.functional.cross_entropy(logits[mask], codes[mask])
    # Logits of unit variance cost half a nat more than none.
    assert math.isclose(float(loss), math.log(512) + 0.5, abs_tol=0.15)


@torch.no_grad()
def test_logits_for_codes_are_predictions_of_the_codes() -> None:
    lm = model()
    codes = torch.randint(0, 32, (2, 4, 10))
    logits, mask = lm.logits_for_codes(codes, conditions())
    assert mask.shape == (2, 4, 10)
    assert mask.sum(-1).tolist() == [[10, 9, 8, 7]] * 2
    # A code does not see itself or what comes after it in the pattern.
    changed = codes.clone()
    changed[:, 0, 5] = (changed[:, 0, 5] + 1) % 32
    other, _ = lm.logits_for_codes(changed, conditions())
    assert torch.equal(other[:, 0, :6], logits[:, 0, :6])
    assert torch.equal(other[:, 1, :5], logits[:, 1, :5])  # codebook 1 of frame 5 is one step later: it does
    assert not torch.equal(other[:, 1, 5], logits[:, 1, 5])


@torch.no_grad()
def test_initialisation_follows_the_reference() -> None:
    config = TINY.model_copy(update={"dim": 192, "num_layers": 8, "feed_forward_dim": 768})
    lm = model(config)
    fan = 1 / math.sqrt(192)
    for depth in (1, 8):
        layer = lm.layers[depth - 1]
        attention = layer.self_attention.in_projection.weight
        assert float(attention.abs().max()) <= fan
        assert math.isclose(float(attention.std()), fan / math.sqrt(3), rel_tol=0.03)
        hidden = layer.feed_forward.linear2.weight
        std = 1 / math.sqrt(768) / math.sqrt(2 * depth)
        # A normal cut at three standard deviations keeps 98.7 % of its spread.
        assert math.isclose(float(hidden.std()), 0.987 * std, rel_tol=0.03)
        assert float(hidden.abs().max()) <= 3 * std
    assert math.isclose(float(lm.heads[0].weight.std()), 0.987 * fan, rel_tol=0.05)
    assert math.isclose(float(lm.embeddings[0].weight.std()), 0.987 * fan, rel_tol=0.05)
    assert torch.equal(model(config).heads[3].weight, lm.heads[3].weight)
    assert not torch.equal(model(config, seed=1).heads[3].weight, lm.heads[3].weight)


def test_gradient_checkpointing_changes_no_gradient() -> None:
    sequence = torch.randint(0, 33, (2, 4, 6))
    gradients = []
    for checkpointing in (False, True):
        lm = model().train()
        lm.gradient_checkpointing = checkpointing
        lm(sequence, conditions()).square().mean().backward()
        gradients.append(torch.cat([parameter.grad.flatten() for parameter in lm.parameters()]))
    assert torch.equal(*gradients)


@torch.no_grad()
def test_packed_model_speaks_the_same() -> None:
    lm = model()
    sequence, condition = torch.randint(0, 33, (2, 4, 6)), conditions(prefix=True)
    before = lm(sequence, condition)
    lm.pack()
    torch.testing.assert_close(lm(sequence, condition), before, atol=1e-5, rtol=1e-5)


@torch.no_grad()
def test_16_bit_weights_stay_close_and_answer_in_float32() -> None:
    lm, sequence, condition = model(), torch.randint(0, 33, (2, 4, 6)), conditions(prefix=True)
    exact = lm(sequence, condition)
    half = lm.to(torch.bfloat16)(sequence, condition)
    assert half.dtype == torch.float32
    # bfloat16 keeps 8 bits: products are off by up to 0.4 % of their largest terms.
    torch.testing.assert_close(half, exact, atol=0.05, rtol=0.02)


def test_save_and_load_are_bit_equal(tmp_path: Path) -> None:
    lm = model(CONFIGS["system 1"])
    lm.save_pretrained(tmp_path)
    loaded = LM.from_pretrained(tmp_path)
    assert loaded.config == lm.config
    assert all(torch.equal(a, b) for a, b in zip(lm.parameters(), loaded.parameters(), strict=True))


def test_impossible_shapes_are_refused() -> None:
    with pytest.raises(UserError, match="not a multiple of num_heads 5"):
        LM(TINY.model_copy(update={"num_heads": 5}))
