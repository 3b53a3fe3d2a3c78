"""Patterns against the reference's layouts and sequences, and their inverse."""

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from cadenza.errors import UserError
from cadenza.lm.patterns import (
    CoarseFirstConfig,
    CodebookPattern,
    DelayConfig,
    FlattenConfig,
    MusicLMConfig,
    ParallelConfig,
    PatternConfig,
    stereo_pattern,
)

PARITY = Path(__file__).parents[1] / "parity"
LAYOUTS = json.loads((PARITY / "patterns.json").read_text())
SEQUENCES = load_file(PARITY / "patterns.safetensors")
PATTERNS: dict[str, tuple[PatternConfig, int]] = {
    "delay_0123": (DelayConfig(), 4),
    "delay_0123_flatten_first_1": (DelayConfig(delays=(0, 1, 2, 3), flatten_first=1), 4),
    "delay_empty_initial_2": (DelayConfig(empty_initial=2), 4),
    "partial_delay_0111": (DelayConfig.partial(4), 4),
    "stereo_delay": (DelayConfig.stereo(8), 8),
    "stereo_partial_delay": (DelayConfig.stereo_partial(8), 8),
    "parallel": (ParallelConfig(), 4),
    "flatten": (FlattenConfig(), 4),
    "partial_flatten_0112": (FlattenConfig(flattening=(0, 1, 1, 2)), 4),
    "partial_flatten_delay": (FlattenConfig(flattening=(0, 1, 1, 1), delays=(0, 3, 3, 3)), 4),
    "coarse_first": (CoarseFirstConfig(), 4),
    "coarse_first_delay_012": (CoarseFirstConfig(delays=(0, 1, 2)), 4),
    "musiclm_group2": (MusicLMConfig(), 4),
}
SPECIAL = 999


def test_every_reference_pattern_is_here() -> None:
    assert {name.split("/")[0] for name in LAYOUTS} == PATTERNS.keys()


@pytest.fixture(params=PATTERNS)
def named(request: pytest.FixtureRequest) -> tuple[str, CodebookPattern]:
    config, num_codebooks = PATTERNS[request.param]
    return request.param, CodebookPattern(config, num_codebooks)


@pytest.mark.parametrize("frames", [5, 8])
def test_layouts_and_sequences_equal_the_references(named: tuple[str, CodebookPattern], frames: int) -> None:
    name, pattern = named
    expected = LAYOUTS[f"{name}/T{frames}"]["layout"]
    assert [[list(coordinate) for coordinate in step] for step in pattern.layout(frames)] == expected
    codes = torch.arange(pattern.num_codebooks * frames).view(1, -1, frames)
    for which, valid_only in (("all", False), ("valid", True)):
        sequence, mask = pattern.build(codes, SPECIAL, valid_only)
        assert torch.equal(sequence, SEQUENCES[f"{name}.T{frames}.sequence.{which}"])
        assert torch.equal(mask, SEQUENCES[f"{name}.T{frames}.mask.{which}"].bool())


@pytest.mark.parametrize("frames", [1, 2, 13])
def test_revert_undoes_build(named: tuple[str, CodebookPattern], frames: int) -> None:
    _, pattern = named
    codes = torch.randint(0, 900, (3, pattern.num_codebooks, frames))
    sequence, mask = pattern.build(codes, SPECIAL)
    assert int(mask.sum()) == codes[0].numel()  # each code has its step
    reverted, present = pattern.revert(sequence, frames, fill=-1)
    assert bool(present.all())
    assert torch.equal(reverted, codes)
    shorter, _ = pattern.build(codes, SPECIAL, valid_only=True)
    reverted, present = pattern.revert(shorter, frames, fill=-1, valid_only=True)
    assert torch.equal(reverted, codes.masked_fill(~present, -1))


def test_logits_are_those_of_the_step_before(named: tuple[str, CodebookPattern]) -> None:
    _, pattern = named
    frames = 6
    steps = pattern.num_steps(frames)
    # The "logits" at step s are s + 1, the step they predict.
    logits = (torch.arange(steps) + 1.0)[None, None, :, None].expand(1, pattern.num_codebooks, -1, 2)
    reverted, mask = pattern.revert_logits(logits, frames)
    assert bool(mask.all())
    for step, coordinates in enumerate(pattern.layout(frames)):
        for t, k in coordinates:
            if t < frames:
                assert float(reverted[0, k, t, 0]) == step
    dropped, _ = pattern.revert_logits(logits[:, :, :-1], frames)
    assert torch.equal(dropped, reverted)


def test_the_delay_pattern_masks_what_training_never_sees() -> None:
    pattern = CodebookPattern(DelayConfig(), 4)
    assert pattern.num_steps(1500, valid_only=True) == 1501
    assert pattern.num_steps(1500) == 1504
    logits, mask = pattern.revert_logits(torch.zeros(1, 4, 11, 2), 10, valid_only=True)
    assert mask.sum(1).tolist() == [10, 9, 8, 7]
    assert torch.equal(logits.isnan().all(-1)[0], ~mask)
    filled, _ = pattern.revert_logits(torch.zeros(1, 4, 11, 2), 10, valid_only=True, fill=0.0)
    assert not bool(filled.any())


def test_frames_are_complete_when_their_last_codebook_is() -> None:
    assert CodebookPattern(DelayConfig(), 4).index(3).complete.tolist() == [0, 0, 0, 0, 1, 2, 3]
    assert CodebookPattern(ParallelConfig(), 4).index(3).complete.tolist() == [0, 1, 2, 3]
    assert CodebookPattern(CoarseFirstConfig(), 2).index(2).complete.tolist() == [0, 0, 0, 1, 2]


def test_first_step_of_a_continuation() -> None:
    assert CodebookPattern(DelayConfig(), 4).first_step(20, 7) == 8
    assert CodebookPattern(FlattenConfig(), 4).first_step(20, 7) == 29


def test_named_patterns() -> None:
    assert DelayConfig.partial(4) == DelayConfig(delays=(0, 1, 1, 1))
    assert DelayConfig.stereo(8) == DelayConfig(delays=(0, 0, 1, 1, 2, 2, 3, 3))
    assert DelayConfig.stereo_partial(8) == DelayConfig(delays=(0, 0, 1, 1, 1, 1, 1, 1))
    assert FlattenConfig.partial(4) == FlattenConfig(flattening=(0, 1, 1, 1))
    for odd in (0, 1, 7):
        with pytest.raises(UserError, match=f"{odd} codebooks are no stereo"):
            DelayConfig.stereo(odd)


@pytest.mark.parametrize("frames", [1, 6])
def test_in_stereo_both_channels_take_the_steps_of_mono(named: tuple[str, CodebookPattern], frames: int) -> None:
    _, mono = named
    if isinstance(mono.config, CoarseFirstConfig):
        with pytest.raises(UserError, match="coarse_first pattern has no stereo form"):
            stereo_pattern(mono.config, mono.num_codebooks)
        return
    stereo = CodebookPattern(stereo_pattern(mono.config, mono.num_codebooks), 2 * mono.num_codebooks)
    step_of = stereo.index(frames).step_of
    one_by_one = isinstance(mono.config, MusicLMConfig) or getattr(mono.config, "flatten_first", 0)
    if one_by_one:  # left and right are no exception
        assert bool((step_of[0::2] < step_of[1::2]).any())
        assert bool((step_of[0::2] <= step_of[1::2]).all())
    else:
        assert torch.equal(step_of[0::2], mono.index(frames).step_of)
        assert torch.equal(step_of[1::2], step_of[0::2])


@pytest.mark.parametrize(
    ("config", "message"),
    [
        (DelayConfig(delays=(0, 1)), "2 entries, 4 expected"),
        (DelayConfig(delays=(0, 2, 1, 3)), "must ascend"),
        (CoarseFirstConfig(delays=(0, 1, 2, 3)), "4 entries, 3 expected"),
        (FlattenConfig(flattening=(0, 1, 1, 1), delays=(0, 1, 2, 3)), "give them the same"),
    ],
)
def test_impossible_patterns_are_refused(config: PatternConfig, message: str) -> None:
    with pytest.raises(UserError, match=message):
        CodebookPattern(config, 4)
