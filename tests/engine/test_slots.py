"""The engine: sequences alone and in company, ragged and on a grid, recorded and not."""

import gc
import threading
from collections.abc import Callable, Sequence
from typing import Any

import pytest
import torch
from torch import Tensor

from cadenza.conditioning.fuser import FusedConditions
from cadenza.engine.graphs import MOST_RECORDED, Graphs
from cadenza.engine.slots import Run, Settings, Slots
from cadenza.lm.adapter import mount
from cadenza.lm.guidance import GuidedConditions, predictions
from cadenza.lm.model import LM, LMConfig
from cadenza.nn.beside import Gains, Mounted
from cadenza.testing import tiny_adapter

TINY = LMConfig(codebook_size=64, dim=32, num_layers=2, num_heads=2, feed_forward_dim=64)


@pytest.fixture(scope="module")
def lm() -> LM:
    lm = LM(TINY).eval()
    lm.initialize(torch.Generator().manual_seed(0))
    lm.pack()  # plain float32 products differ in the last bit between numbers of rows
    return lm


def run(seed: int, steps: int = 12, given: int = 0, prefix: int = 0, length: int = 5, two_step: bool = False,
        partial: bool = False, **settings: Any) -> Run:  # fmt: skip
    draw = torch.Generator().manual_seed(seed)

    def conditions(scale: float, cross: int) -> FusedConditions:
        return FusedConditions(
            cross=scale * torch.randn(1, cross, 32, generator=draw),
            prefix=torch.randn(1, prefix, 32, generator=draw) if prefix else None,
        )

    chosen = Settings(**{"top_k": 20, "scale": 3.0, "beta": 2.0 if partial else 1.0} | settings)
    heard = GuidedConditions(conditions(1, length), conditions(0, 1), conditions(1, length) if partial else None)
    made = predictions(heard, chosen.scale, chosen.beta, two_step)
    sequence = torch.full((4, steps + 1), 64)
    sequence[:, 1 : given + 1] = torch.randint(0, 64, (4, given), generator=draw)
    writes = torch.zeros(4, steps + 1, dtype=torch.bool)
    writes[:, given + 1 :] = True
    uniforms = torch.rand(4, steps + 1, generator=draw)
    return Run(made.lanes, sequence, writes, uniforms, given + 1, steps, chosen, made.has_partial, made.has_null)


def finish(slots: Slots, runs: Sequence[Run]) -> list[Tensor]:
    """All runs to their ends, opened together."""
    for i, one in enumerate(runs):
        slots.open(i, one)
    done: dict[int, Tensor] = {}
    while len(done) < len(runs):
        for i in slots.preparing:
            slots.prepare(i)
        ready = slots.ready
        for i, step in zip(ready, slots.step(ready), strict=True):
            if step == runs[i].last:
                done[i] = slots.close(i)
    return [done[i] for i in range(len(runs))]


def ragged(lm: LM, capacity: int) -> Slots:
    return Slots(lm, capacity, 4, 64, "cpu", rows=3)


def grid(lm: LM, capacity: int, graphs: Graphs | None = None, steps: int = 40) -> Slots:
    return Slots(lm, capacity, 4, 64, "cpu", rows=3, max_steps=steps, graphs=graphs)


MIXED = [
    run(1),
    run(2, steps=30, given=7),
    run(3, steps=5, scale=1.0),
    run(4, prefix=4, length=9),
    run(5, steps=20, top_p=0.8, temperature=0.7),
    run(6, two_step=True, length=3),
    run(7, partial=True),
    run(8, greedy=True),
    run(9, scale=0.8, of_probabilities=True),
]


@torch.no_grad()
def test_a_run_alone_is_the_loop_over_the_full_forward(lm: LM) -> None:
    one = run(1, scale=1.0, greedy=True)
    (made,) = finish(ragged(lm, 1), [one])
    conditions = one.lanes[0].conditions
    sequence = one.sequence[None].clone()
    for step in range(1, 13):
        sequence[0, :, step] = lm(sequence[:, :, :step], conditions)[0, :, -1].argmax(-1)
    assert torch.equal(made, sequence[0])


def test_every_run_is_in_company_what_it_is_alone(lm: LM) -> None:
    """Different lengths, beginnings, prefixes, texts, guidance and sampling side by side: not a code differs."""
    alone = [finish(ragged(lm, 1), [one])[0] for one in MIXED]
    together = finish(ragged(lm, len(MIXED)), MIXED)
    for i, (one, other) in enumerate(zip(alone, together, strict=True)):
        assert torch.equal(one, other), i


def test_logits_are_in_company_what_they_are_alone_to_the_bit(lm: LM) -> None:
    class Listening:
        def __init__(self) -> None:
            self.heard: list[Tensor] = []

        def __getattr__(self, name: str) -> Any:
            return getattr(lm, name)

        def step(self, sequence: Tensor, cache: Any) -> Tensor:
            self.heard.append(lm.step(sequence, cache))
            return self.heard[-1]

    alone, together = Listening(), Listening()
    finish(Slots(alone, 1, 4, 64, "cpu", rows=3), MIXED[:1])
    finish(Slots(together, len(MIXED), 4, 64, "cpu", rows=3), MIXED)
    for one, other in zip(alone.heard, together.heard, strict=False):
        assert torch.equal(one, other[:2])


def test_a_grid_gives_the_same_codes(lm: LM) -> None:
    """Twin of what CUDA runs: masked attention over all rows at once."""
    assert all(
        torch.equal(one, other)
        for one, other in zip(finish(grid(lm, len(MIXED)), MIXED), finish(ragged(lm, 9), MIXED), strict=True)
    )


def test_runs_on_a_grid_do_not_hear_who_was_there_before(lm: LM) -> None:
    slots = grid(lm, 2)
    finish(slots, [MIXED[1], MIXED[3]])
    again = finish(slots, [MIXED[0], MIXED[2]])
    fresh = finish(grid(lm, 2), [MIXED[0], MIXED[2]])
    assert all(torch.equal(one, other) for one, other in zip(again, fresh, strict=True))


def test_what_overflowed_is_gone_with_its_piece(lm: LM) -> None:
    """Weights of zero do not help against NaN: every place of the rows is poisoned, then taken by others."""
    slots = grid(lm, 2)
    finish(slots, [MIXED[1], MIXED[3]])
    assert slots.grid is not None
    for layer in (*slots.grid.cache.layers, *slots.grid.sources):
        layer.keys.fill_(float("nan"))
        layer.values.fill_(float("nan"))
    slots.open(0, MIXED[0])
    slots.prepare(0)
    slots.step([0])  # slot 1 computes on what is left there, and writes it
    slots.open(1, MIXED[1])
    slots.step([0])
    slots.prepare(1)
    made: dict[int, Tensor] = {}
    while len(made) < 2:
        ready = slots.ready
        for i, step in zip(ready, slots.step(ready), strict=True):
            if step == MIXED[i].last:
                made[i] = slots.close(i)
    expected = finish(grid(lm, 2), MIXED[:2])
    assert all(torch.equal(made[i], one) for i, one in enumerate(expected))


def test_a_slot_that_is_free_for_long_stays_where_it_is(lm: LM) -> None:
    """All slots of a grid are computed at every step: one that went on counting would leave its memory."""
    slots = grid(lm, 2, steps=40)
    finish(slots, [run(1, steps=30), run(2, steps=5)])
    slots.open(0, again := run(3, steps=39))
    slots.prepare(0)
    while slots.step([0])[0] < again.last:
        pass
    assert torch.equal(slots.close(0), finish(grid(lm, 2), [again])[0])


class Recorder:
    """Stands in for CUDA graphs: replays the recorded function, and sees that it reads what it read then."""

    def __init__(self, slots: Callable[[], Slots]) -> None:
        self.slots = slots
        self.records = 0

    def __call__(self, step: Callable[[], None], pool: Any) -> Callable[[], None]:
        self.records += 1
        then = self._addresses()

        def replay() -> None:
            assert self._addresses() == then, "a recording would read memory that is no longer meant"
            step()

        return replay

    def _addresses(self) -> list[int]:
        slots = self.slots()
        grid = slots.grid
        assert grid is not None
        assert grid.bias_rows is not None and grid.source_bias is not None
        held = [slots.sequence, slots._writes, slots._uniforms, slots._at, slots._moves, grid.positions, grid.active]
        held += [
            grid.bias_rows,
            grid.source_bias,
            *(tensor for layer in (*grid.cache.layers, *grid.sources) for tensor in layer),
        ]
        if grid.beside is not None:
            held += [share.gain for share in grid.beside.shares if isinstance(share.gain, Tensor)]
        return [tensor.data_ptr() for tensor in held]


def test_recorded_steps_are_plain_steps(lm: LM) -> None:
    """Twin of CUDA graphs. The recorded function is bound to the tensors of its first selection: were they replaced
    rather than written into, the replays would go on with the old ones."""
    recorder = Recorder(lambda: slots)
    graphs = Graphs(recorder, object)
    slots = grid(lm, 3, graphs)
    plain = grid(lm, 3)
    for members in ([0, 1, 5], [2, 3, 4], [4, 8, 6], [0, 1, 5]):
        runs = [MIXED[i] for i in members]
        assert all(torch.equal(one, other) for one, other in zip(finish(slots, runs), finish(plain, runs), strict=True))
    assert recorder.records > 0


@pytest.fixture(scope="module")
def mounted(lm: LM) -> list[Mounted]:
    return [
        mount(lm, tiny_adapter(lm, seed, targets=("self_attention", "cross_attention", "heads"))) for seed in (0, 1)
    ]


ADAPTED = [
    run(1, steps=5),
    run(2, steps=6, given=3),
    run(3, steps=5, scale=1.0),
    run(4, steps=7, prefix=4, length=9),
    run(6, steps=5, two_step=True, length=3),
]


def with_adapters(mounted: Sequence[Mounted], runs: Sequence[Run]) -> list[Run]:
    """Every third run without, the others with one or both, differently strong."""
    first, second = mounted
    choices: list[Gains] = [(), ((first, 1.0),), ((second, 0.3), (first, -0.7))]
    return [one._replace(gains=choices[i % 3]) for i, one in enumerate(runs)]


def test_every_run_has_its_own_adapters(lm: LM, mounted: list[Mounted]) -> None:
    """Alone and in company: not a code differs, and whoever has none is as if there were none."""
    runs = with_adapters(mounted, ADAPTED)
    together = finish(ragged(lm, len(runs)), runs)
    without = finish(ragged(lm, len(runs)), ADAPTED)
    for i, one in enumerate(runs):
        assert torch.equal(together[i], finish(ragged(lm, 1), [one])[0]), i
        assert torch.equal(together[i], without[i]) == (not one.gains), i


def test_the_order_of_adapters_does_not_count(lm: LM, mounted: list[Mounted]) -> None:
    first, second = mounted
    gains = ((first, 0.5), (second, 2.0))
    one, other = ADAPTED[0]._replace(gains=gains), ADAPTED[0]._replace(gains=gains[::-1])
    assert torch.equal(*(finish(ragged(lm, 1), [each])[0] for each in (one, other)))


def test_adapters_on_a_grid(lm: LM, mounted: list[Mounted]) -> None:
    """Twin of what CUDA runs: recorded, with others in the same places before and after."""
    recorder = Recorder(lambda: slots)
    graphs = Graphs(recorder, object)
    slots = grid(lm, 3, graphs)
    runs = with_adapters(mounted, ADAPTED)
    for members in ([0, 1, 2], [0, 3, 3], [4, 2, 0]):
        chosen = [runs[i] for i in members]
        made, plain = finish(slots, chosen), finish(ragged(lm, 3), chosen)
        assert all(torch.equal(one, other) for one, other in zip(made, plain, strict=True)), members
    assert recorder.records > 0
    assert slots.grid is not None
    assert slots.grid.mounted == ()


def test_a_grid_forgets_adapters_that_are_gone(lm: LM) -> None:
    slots = grid(lm, 1)
    for seed in range(3):
        finish(slots, [ADAPTED[0]._replace(gains=((mount(lm, tiny_adapter(lm, seed)), 1.0),))])
    gc.collect()
    assert slots.grid is not None
    assert len(slots.grid._gains) == 0


def test_a_kind_of_step_is_recorded_at_its_second_time() -> None:
    log: list[str] = []

    def record(step: Callable[[], None], pool: Any) -> Callable[[], None]:
        log.append("record")
        return lambda: log.append("replay")

    graphs = Graphs(record, object)
    for _ in range(3):
        graphs.run("a", lambda: log.append("plain"))
    assert log == ["plain", "record", "replay", "replay"]
    graphs.forget()
    graphs.run("a", lambda: log.append("plain"))
    assert log[-1] == "plain"
    assert graphs.num_recorded == 0


def test_a_kind_of_step_is_met_by_each_thread_before_it_records() -> None:
    """Libraries set themselves up for each thread that uses them, and must not do so inside of a recording."""
    log: list[str] = []

    def record(step: Callable[[], None], pool: Any) -> Callable[[], None]:
        log.append("record")
        return lambda: log.append("replay")

    graphs = Graphs(record, object)
    thread = threading.Thread(target=graphs.run, args=("a", lambda: log.append("plain")))
    thread.start()
    thread.join()
    for _ in range(2):
        graphs.run("a", lambda: log.append("plain"))
    assert log == ["plain", "plain", "record", "replay"]


def test_recordings_share_memory_and_the_least_used_makes_room() -> None:
    pools: list[Any] = []
    log: list[str] = []

    def record(step: Callable[[], None], pool: Any) -> Callable[[], None]:
        pools.append(pool)
        return lambda: log.append("replay")

    graphs = Graphs(record, object)
    for kind in range(MOST_RECORDED):
        graphs.run(kind, lambda: None)
        graphs.run(kind, lambda: None)
    graphs.run(0, lambda: None)
    for _ in range(2):
        graphs.run("new", lambda: None)
    assert graphs.num_recorded == MOST_RECORDED
    assert len(set(map(id, pools))) == 1
    before = len(pools)
    graphs.run(0, lambda: None)
    assert len(pools) == before
    graphs.run(1, lambda: None)
    assert len(pools) == before + 1
    graphs.forget()
    for _ in range(2):
        graphs.run(2, lambda: None)
    assert pools[-1] is not pools[0]  # CUDA's allocator has ended the pool with its last recording


def test_where_recording_fails_steps_stay_plain(lm: LM, caplog: pytest.LogCaptureFixture) -> None:
    tried: list[int] = []

    def record(step: Callable[[], None], pool: Any) -> Callable[[], None]:
        tried.append(1)
        raise RuntimeError("operation not permitted when stream is capturing\nsome more")

    made = finish(grid(lm, 3, Graphs(record, object)), MIXED[:3])
    assert all(torch.equal(one, other) for one, other in zip(made, finish(grid(lm, 3), MIXED[:3]), strict=True))
    assert len(tried) == 1
    assert [message for message in caplog.messages if "recorded" in message] == [
        "steps cannot be recorded here, generation is slower: operation not permitted when stream is capturing"
    ]


def test_too_little_memory_to_record_is_no_reason_to_be_slow_for_ever() -> None:
    def record(step: Callable[[], None], pool: Any) -> Callable[[], None]:
        raise torch.OutOfMemoryError("CUDA out of memory")

    graphs = Graphs(record, object)
    graphs.run("a", lambda: None)
    for _ in range(2):
        with pytest.raises(torch.OutOfMemoryError):
            graphs.run("a", lambda: None)


def test_a_long_beginning_is_fed_in_parts(lm: LM, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = finish(ragged(lm, 1), [run(2, steps=30, given=20)])
    monkeypatch.setattr("cadenza.engine.slots.PREFILL_STEPS", 6)
    slots = ragged(lm, 2)
    slots.open(0, run(1, steps=25))
    slots.prepare(0)
    slots.open(1, run(2, steps=30, given=20))
    turns = 0
    while 1 in slots.preparing:
        slots.prepare(1)
        slots.step(slots.ready) if 1 not in slots.ready else None
        turns += 1
    assert turns == 4  # 20 given steps, of which the last is fed by the step that follows
    while slots.run_of(1).last != slots.step([1])[0]:
        pass
    assert torch.equal(slots.close(1), whole[0])


def test_a_closed_slot_gives_what_it_has(lm: LM) -> None:
    slots = ragged(lm, 1)
    whole = finish(ragged(lm, 1), [run(1)])[0]
    slots.open(0, run(1))
    slots.prepare(0)
    for _ in range(5):
        slots.step([0])
    part = slots.close(0)
    assert torch.equal(part[:, :6], whole[:, :6])
    assert slots.free == [0]
