"""Generation: streams, prompts, windows, seeds."""

from collections.abc import Sequence

import pytest
import torch
from torch import Tensor

from cadenza.conditioning.fuser import FusedConditions
from cadenza.engine.scheduler import Scheduler
from cadenza.errors import UserError
from cadenza.lm.generate import CodesJob, Frames, GenerationConfig, generate_codes, new_slots
from cadenza.lm.guidance import GuidedConditions
from cadenza.lm.model import LM, LMConfig
from cadenza.lm.patterns import ParallelConfig, PatternConfig
from cadenza.lm.windows import Window, plan_windows

TINY = LMConfig(codebook_size=32, dim=24, num_layers=2, num_heads=3, feed_forward_dim=48)
SAMPLED = GenerationConfig(top_k=12)
GREEDY = GenerationConfig(greedy=True)


def tiny(pattern: PatternConfig = TINY.pattern) -> LM:
    lm = LM(TINY.model_copy(update={"pattern": pattern})).eval()
    lm.initialize(torch.Generator().manual_seed(3))
    for embedding in lm.embeddings:
        embedding.weight.data *= 3  # so that what was chosen decides what comes next
    return lm


def conditions(batch: int, seed: int = 0) -> tuple[FusedConditions, FusedConditions]:
    draw = torch.Generator().manual_seed(seed)
    return FusedConditions(cross=torch.randn(batch, 4, 24, generator=draw)), FusedConditions(
        cross=torch.zeros(batch, 1, 24)
    )


def run(
    lm: LM, frames: int, seeds: Sequence[int], config: GenerationConfig = SAMPLED, prompt: Tensor | None = None, **kw
) -> Tensor:
    """All frames, prompt included."""
    parts = list(generate_codes(lm, *conditions(len(seeds)), config, frames, seeds, prompt_codes=prompt, **kw))
    codes = [part.codes for part in parts]
    return torch.cat(codes if prompt is None else [prompt, *codes], dim=-1)


def test_frames_stream_in_order_as_they_complete() -> None:
    lm, calls = tiny(), []
    frames = generate_codes(lm, *conditions(1), SAMPLED, 9, [1], on_step=lambda *at: calls.append(at))
    first = next(frames)
    assert first.first == 0
    assert calls == [(i, 12) for i in range(1, 5)]  # frame 0 needs its last codebook: three steps of delay
    rest = list(frames)
    assert [part.first for part in rest] == list(range(1, 9))
    assert calls[-1] == (12, 12)
    assert torch.equal(torch.cat([part.codes for part in (first, *rest)], -1), run(lm, 9, [1]))


@pytest.mark.parametrize("steps", [3, 4, 10, 20])
def test_who_is_cancelled_keeps_what_is_complete(steps: int) -> None:
    """Frames are put out four at a time; the last complete ones must not be lost. Windows of 12 in a piece of 20."""
    lm = tiny()
    heard = GuidedConditions(*conditions(1))
    windows = plan_windows(20, 12, 8)
    whole = run(lm, 20, [1], windows=windows)[0]
    job = CodesJob(lm, SAMPLED, 20, 1, windows, lambda window: heard, emit_every=4)
    scheduler = Scheduler(new_slots(lm, 1, *job.needs()))
    scheduler.submit(job)
    while job.steps_done < steps:
        scheduler.step()
    job.is_cancelled = True
    scheduler.step()
    assert job.is_done
    codes = torch.cat([part.codes for part in job.frames], -1) if job.frames else whole[:, :0]
    # Three steps of delay in each window; the first has 15 steps, the second goes on from 4 frames.
    complete = max(0, steps - 3) if steps < 15 else 12 + max(0, steps - 15 - 3)
    assert torch.equal(codes, whole[:, :complete])
    assert [part.first for part in job.frames] == list(range(0, complete, 4))


def test_a_seed_gives_the_same_music_in_any_batch() -> None:
    lm = tiny()
    together = run(lm, 12, [1, 2, 1])
    draw_apart = [
        torch.cat(
            [
                part.codes
                for part in generate_codes(lm, conditions(3)[0].rows(i, i + 1), conditions(1)[1], SAMPLED, 12, [seed])
            ],
            -1,
        )
        for i, seed in enumerate((1, 2, 1))
    ]
    assert torch.equal(together, torch.cat(draw_apart))
    assert torch.equal(together, run(lm, 12, [1, 2, 1]))
    assert not torch.equal(together[0], together[1])


def test_seeds_matter_and_greedy_ignores_them() -> None:
    lm = tiny()
    assert not torch.equal(run(lm, 12, [1]), run(lm, 12, [2]))
    assert torch.equal(run(lm, 12, [1], GREEDY), run(lm, 12, [2], GREEDY))
    cold = GenerationConfig(temperature=0.0)
    assert torch.equal(run(lm, 12, [1], cold), run(lm, 12, [1], GREEDY))
    assert torch.equal(run(lm, 12, [1], GenerationConfig(top_k=1)), run(lm, 12, [1], GREEDY))


def test_guidance_of_one_equals_no_guidance() -> None:
    lm = tiny()
    condition, null = conditions(2)
    one = GREEDY.model_copy(update={"guidance": 1.0})
    without = list(generate_codes(lm, condition, None, GREEDY, 12, [0, 0]))
    with_one = list(generate_codes(lm, condition, null, one, 12, [0, 0]))
    with_three = list(generate_codes(lm, condition, null, GREEDY, 12, [0, 0]))
    assert torch.equal(stack(with_one), stack(without))
    assert not torch.equal(stack(with_three), stack(without))


def test_two_step_guidance_equals_one_step_where_padding_is_not_seen() -> None:
    two = SAMPLED.model_copy(update={"two_step_guidance": True})
    assert torch.equal(run(tiny(), 12, [4, 5], two), run(tiny(), 12, [4, 5]))


def stack(parts: list[Frames]) -> Tensor:
    return torch.cat([part.codes for part in parts], -1)


def test_windows_continue_from_what_they_keep() -> None:
    lm, windows = tiny(), plan_windows(30, 12, 8)
    asked = []

    def conditions_for(window: Window) -> GuidedConditions:
        asked.append(window)
        return GuidedConditions(*conditions(1, seed=window.begin))

    parts = list(generate_codes(lm, None, None, SAMPLED, 30, [7], windows=windows, conditions_for=conditions_for))
    assert asked == [*windows, *windows]  # all of them to see how much room they take, then one by one
    assert [part.first for part in parts] == list(range(30))
    codes = stack(parts)
    # The second window alone, given what it keeps and its place in the piece, gives the same frames.
    start, begin, end, _ = windows[1]
    alone = generate_codes(
        lm,
        *conditions(1, seed=begin),
        SAMPLED,
        end - start,
        [7],
        prompt_codes=codes[:, :, start:begin],
        first_frame=start,
    )
    parts = list(alone)
    assert parts[0].first == begin
    assert torch.equal(stack(parts), codes[:, :, begin:end])


def test_a_change_of_conditions_leaves_the_past_alone() -> None:
    lm = tiny()

    def piece(changed: int) -> Tensor:
        def conditions_for(window: Window) -> GuidedConditions:
            return GuidedConditions(*conditions(1, seed=changed if window.begin >= 6 else 0))

        windows = plan_windows(12, 20, 10, changes=[6])
        return stack(
            list(generate_codes(lm, None, None, SAMPLED, 12, [7], windows=windows, conditions_for=conditions_for))
        )

    one, other = piece(1), piece(2)
    assert torch.equal(one[:, :, :6], other[:, :, :6])
    assert not torch.equal(one[:, :, 6:], other[:, :, 6:])


def test_stopping_keeps_what_is_done() -> None:
    steps = []
    frames = generate_codes(
        tiny(),
        *conditions(1),
        SAMPLED,
        20,
        [1],
        on_step=lambda done, total: steps.append(done),
        should_stop=lambda: len(steps) >= 9,
    )
    codes = stack(list(frames))
    assert steps[-1] == 9
    assert torch.equal(codes, run(tiny(), 20, [1])[:, :, :6])


def test_generated_codes_are_no_inference_tensors() -> None:
    """They may be trained on."""
    lm = tiny().train()
    codes = run(lm.eval(), 4, [1])
    lm.embeddings[0](codes[:, 0]).sum().backward()
    assert lm.embeddings[0].weight.grad is not None


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"duration": -1}, "duration = -1"),
        ({"duration": float("nan")}, "duration"),
        ({"duration": 1e9}, "duration"),
        ({"top_k": -3}, "top_k = -3"),
        ({"top_p": 1.5}, "top_p"),
        ({"temperature": -0.1}, "temperature"),
        ({"guidance": float("inf")}, "guidance"),
        ({"guidance_domain": "probabilities"}, "choose it from 0 to 1"),
        ({"tempo": 3}, "tempo"),
    ],
)
def test_settings_that_cannot_be_are_refused_in_one_line(values: dict, message: str) -> None:
    with pytest.raises(UserError, match=message) as caught:
        GenerationConfig(**values)
    assert "\n" not in str(caught.value)


def test_requests_that_cannot_be_are_refused() -> None:
    lm = tiny()
    condition, null = conditions(2)
    cases = [
        ({"num_frames": 5, "seeds": [1]}, "1 seeds for 2 items"),
        ({"num_frames": 5, "seeds": []}, "no seeds"),
        ({"num_frames": 0, "seeds": [1, 2]}, "longer duration"),
        ({"num_frames": 3, "seeds": [1, 2], "prompt_codes": torch.zeros(2, 4, 3, dtype=torch.long)}, "longer duration"),
        ({"num_frames": 9, "seeds": [1, 2], "prompt_codes": torch.zeros(2, 8, 3, dtype=torch.long)}, "expected"),
        ({"num_frames": 9, "seeds": [1, 2], "prompt_codes": torch.full((2, 4, 3), 32)}, "outside 0 .. 31"),
        ({"num_frames": 9, "seeds": [1, -2]}, "seed -2"),
    ]
    for arguments, message in cases:
        with pytest.raises(UserError, match=message):
            next(generate_codes(lm, condition, null, SAMPLED, **arguments))
    with pytest.raises(UserError, match="first empty step"):
        next(generate_codes(tiny(ParallelConfig(empty_initial=-1)), condition, null, SAMPLED, 5, [1, 2]))


def job(lm: LM, windows: Sequence[Window], anchor_frames: int, frames: int) -> Tensor:
    conditional, null = conditions(1)
    made = CodesJob(
        lm, GREEDY, frames, 0, windows, lambda _: GuidedConditions(conditional, null), None, anchor_frames=anchor_frames
    )
    scheduler = Scheduler(new_slots(lm, 1, *made.needs()))
    scheduler.submit(made)
    while not made.is_done:
        scheduler.step()
    return made.codes


def test_the_opening_stays_in_view() -> None:
    """A window behind the first goes on as from a prompt made of the opening and of the newest frames."""
    lm = tiny()
    windows = [window._replace(opening=0) for window in plan_windows(32, 20, 8)]
    assert [(w.start, w.begin, w.end) for w in windows] == [(0, 0, 20), (8, 20, 28), (16, 28, 32)]
    codes = job(lm, windows, 5, 32)
    assert torch.equal(codes[:, :20], run(lm, 20, [0], GREEDY)[0]), "the first window has nothing to be reminded of"
    for start, begin, end in ((8, 20, 28), (16, 28, 32)):
        context = torch.cat([codes[:, :5], codes[:, start + 5 : begin]], dim=1)
        expected = run(lm, end - start, [0], GREEDY, prompt=context[None])[0]
        assert torch.equal(codes[:, begin:end], expected[:, begin - start :])
    assert not torch.equal(codes, job(lm, windows, 0, 32))
    assert torch.equal(job(lm, windows, 0, 32), job(lm, plan_windows(32, 20, 8), 5, 32)), "no opening, no reminder"


@pytest.mark.parametrize(
    ("window", "anchor", "remembered"),
    [
        (Window(8, 20, 28, 0), 5, 5),
        (Window(8, 20, 28, 0), 50, 8),  # frames 0 to 8 are all that is out of view
        (Window(100, 110, 120, 0), 50, 8),  # four fifths of the ten frames in view
        (Window(100, 110, 120, 97), 50, 3),
        (Window(100, 110, 120, 108), 50, 0),  # this part of the piece began in view
        (Window(0, 5, 20, 0), 5, 0),
        (Window(100, 110, 120), 5, 0),
    ],
)
def test_how_much_of_the_opening_is_remembered(window: Window, anchor: int, remembered: int) -> None:
    assert window.remembered(anchor) == remembered
