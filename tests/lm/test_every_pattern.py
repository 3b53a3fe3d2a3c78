"""Every pattern of the paper through a small model, end to end: caches, greedy choices, prompts, windows."""

from collections.abc import Sequence

import pytest
import torch
from torch import Tensor

from cadenza.conditioning.fuser import FusedConditions
from cadenza.lm.generate import GenerationConfig, generate_codes
from cadenza.lm.model import LM, LMConfig
from cadenza.lm.patterns import (
    CoarseFirstConfig,
    DelayConfig,
    FlattenConfig,
    MusicLMConfig,
    ParallelConfig,
    PatternConfig,
)
from cadenza.lm.windows import plan_windows

SAMPLED = GenerationConfig(top_k=12)
GREEDY = GenerationConfig(greedy=True)
PATTERNS: dict[str, tuple[PatternConfig, int]] = {
    "delay": (DelayConfig(), 4),
    "partial delay": (DelayConfig.partial(4), 4),
    "stereo delay": (DelayConfig.stereo(8), 8),
    "stereo partial delay": (DelayConfig.stereo_partial(8), 8),
    "parallel": (ParallelConfig(), 4),
    "flattening": (FlattenConfig(), 4),
    "partial flattening": (FlattenConfig.partial(4), 4),
    "partial flattening, delayed": (FlattenConfig(flattening=(0, 1, 1, 1), delays=(0, 3, 3, 3)), 4),
    "coarse first": (CoarseFirstConfig(), 4),
    "coarse first, delayed": (CoarseFirstConfig(delays=(0, 1, 2)), 4),
    "groups": (MusicLMConfig(), 4),
    "flat beginning": (DelayConfig(delays=(0, 1, 1, 1), flatten_first=2), 4),
    "empty beginning": (DelayConfig(empty_initial=2), 4),
}


@pytest.fixture(params=PATTERNS)
def lm(request: pytest.FixtureRequest) -> LM:
    pattern, num_codebooks = PATTERNS[request.param]
    config = LMConfig(
        num_codebooks=num_codebooks,
        codebook_size=32,
        dim=24,
        num_layers=2,
        num_heads=3,
        feed_forward_dim=48,
        pattern=pattern,
    )
    lm = LM(config).eval()
    lm.initialize(torch.Generator().manual_seed(3))
    for embedding in lm.embeddings:
        embedding.weight.data *= 3  # so that what was chosen decides what comes next
    return lm


def conditions(batch: int) -> tuple[FusedConditions, FusedConditions]:
    heard = torch.randn(batch, 4, 24, generator=torch.Generator().manual_seed(0))
    return FusedConditions(cross=heard), FusedConditions(cross=torch.zeros(batch, 1, 24))


def run(
    lm: LM, frames: int, seeds: Sequence[int], config: GenerationConfig, prompt: Tensor | None = None, **options: object
) -> Tensor:
    """All frames, prompt included."""
    parts = list(generate_codes(lm, *conditions(len(seeds)), config, frames, seeds, prompt_codes=prompt, **options))
    assert [part.first for part in parts] == list(range(0 if prompt is None else prompt.shape[2], frames))
    codes = [part.codes for part in parts]
    codes = torch.cat(codes if prompt is None else [prompt, *codes], dim=-1)
    assert codes.shape == (len(seeds), lm.config.num_codebooks, frames)
    assert 0 <= int(codes.min()) <= int(codes.max()) < lm.config.codebook_size  # complete: no special token is left
    return codes


@torch.no_grad()
def test_cached_steps_equal_the_full_forward(lm: LM) -> None:
    codes = torch.randint(0, 32, (2, lm.config.num_codebooks, 7), generator=torch.Generator().manual_seed(1))
    sequence, _ = lm.pattern.build(codes, lm.config.special_token)
    heard, _ = conditions(2)
    cache = lm.new_cache(2, sequence.shape[2])
    lm.prefill(cache, heard)
    steps = [lm.step(sequence[:, :, s : s + 1], cache) for s in range(sequence.shape[2])]
    # Attention over slices of a cache sums in another order.
    torch.testing.assert_close(torch.cat(steps, dim=2), lm(sequence, heard), atol=1e-5, rtol=1e-5)


def test_greedy_choices_are_the_models_best(lm: LM) -> None:
    """Fed back teacher forced, the model predicts exactly what it generated."""
    codes = run(lm, 8, [0, 0], GREEDY.model_copy(update={"guidance": 1.0}))
    sequence, _ = lm.pattern.build(codes, lm.config.special_token)
    with torch.no_grad():
        logits, mask = lm.pattern.revert_logits(lm(sequence, conditions(2)[0]), 8)
    assert bool(mask.all())
    assert torch.equal(logits.argmax(-1), codes)


def test_a_prompt_is_kept_and_continued(lm: LM) -> None:
    whole = run(lm, 8, [5, 6], SAMPLED)
    continued = run(lm, 8, [5, 6], SAMPLED, prompt=whole[:, :, :3])
    # Draws are named by their frame: the rest is what it would have been.
    assert torch.equal(continued, whole)


def test_windows_continue_from_what_they_keep(lm: LM) -> None:
    """Windows of 6 frames, a new one after 4: each is what the model makes of the frames that it still sees."""
    prompt = run(lm, 2, [1], SAMPLED)
    windows = plan_windows(13, 6, 4, prompt_frames=2)
    assert [window[:3] for window in windows] == [(0, 2, 6), (4, 6, 10), (8, 10, 13)]
    codes = run(lm, 13, [0], GREEDY, prompt, windows=windows)
    assert torch.equal(codes[:, :, :2], prompt)
    for start, begin, end, _ in windows:
        alone = run(lm, end - start, [0], GREEDY, codes[:, :, start:begin])
        assert torch.equal(alone, codes[:, :, start:end])
