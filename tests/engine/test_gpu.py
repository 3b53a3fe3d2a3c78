"""The engine on a CUDA device: what the CPU twins in test_slots.py promise, with real graphs."""

import pytest
import torch

from cadenza.conditioning.fuser import FusedConditions
from cadenza.engine.graphs import Graphs
from cadenza.engine.slots import Run, Settings, Slots
from cadenza.lm.guidance import GuidedConditions, predictions
from cadenza.lm.model import LM, LMConfig

pytestmark = pytest.mark.gpu

CONFIG = LMConfig(codebook_size=256, dim=256, num_layers=4, num_heads=4, feed_forward_dim=512)


@pytest.fixture(scope="module")
def lm() -> LM:
    lm = LM(CONFIG).eval()
    lm.initialize(torch.Generator().manual_seed(0))
    return lm.to("cuda", torch.bfloat16)


def run(seed: int, steps: int, given: int = 0, length: int = 5, **settings) -> Run:
    draw = torch.Generator().manual_seed(seed)
    cross = torch.randn(1, length, 256, generator=draw)
    heard = GuidedConditions(FusedConditions(cross=cross), FusedConditions(cross=torch.zeros(1, 1, 256)))
    chosen = Settings(**{"top_k": 50, "scale": 3.0} | settings)
    made = predictions(GuidedConditions(*(one and one.to("cuda") for one in heard)), chosen.scale)
    sequence = torch.full((4, steps + 1), 256)
    sequence[:, 1 : given + 1] = torch.randint(0, 256, (4, given), generator=draw)
    writes = torch.zeros(4, steps + 1, dtype=torch.bool)
    writes[:, given + 1 :] = True
    uniforms = torch.rand(4, steps + 1, generator=draw)
    return Run(made.lanes, sequence, writes, uniforms, given + 1, steps, chosen, made.has_partial, made.has_null)


@pytest.fixture(scope="module")
def runs() -> list[Run]:
    return [run(1, 200), run(2, 150, given=40), run(3, 60, length=20), run(4, 90, scale=1.0), run(5, 130, top_p=0.8)]


def slots(lm: LM, capacity: int, graphs: Graphs | None) -> Slots:
    return Slots(lm, capacity, 4, 256, "cuda", rows=2, max_steps=300, graphs=graphs)


def finish(engine: Slots, runs: list[Run]) -> list[torch.Tensor]:
    for i, one in enumerate(runs):
        engine.open(i, one)
    done = {}
    while len(done) < len(runs):
        for i in engine.preparing:
            engine.prepare(i)
        ready = engine.ready
        for i, step in zip(ready, engine.step(ready), strict=True):
            if step == runs[i].last:
                done[i] = engine.close(i)
    return [done[i].cpu() for i in range(len(runs))]


def test_graphs_replay_what_plain_steps_do(lm, runs):
    graphs = Graphs()
    recorded = slots(lm, 8, graphs)
    for _ in range(2):  # the second time from recordings alone, after slots were emptied and filled
        for one, other in zip(finish(recorded, runs), finish(slots(lm, 8, None), runs), strict=True):
            assert torch.equal(one, other)
    assert graphs.num_recorded >= 2  # at least two context buckets


def test_company_changes_nothing_in_an_engine_of_one_size(lm, runs):
    engine = slots(lm, 8, Graphs())
    together = finish(engine, runs)
    for i, one in enumerate(runs):
        assert torch.equal(finish(engine, [one])[0], together[i])


def test_other_sizes_differ_by_rounding_only(lm, runs):
    """cuBLAS picks other kernels for other numbers of rows: logits agree to bfloat16's precision."""
    heard = {}

    class Listening:
        def __init__(self, capacity):
            self.capacity = capacity

        def __getattr__(self, name):
            return getattr(lm, name)

        def step(self, sequence, cache):
            logits = lm.step(sequence, cache)
            heard.setdefault(self.capacity, logits[:2].float().cpu())
            return logits

    for capacity in (1, 8):
        engine = Slots(Listening(capacity), capacity, 4, 256, "cuda", rows=2, max_steps=300)
        engine.open(0, runs[0])
        engine.prepare(0)
        engine.step([0])
    spread = heard[1].std()
    # 8 bits of mantissa through 4 layers
    torch.testing.assert_close(heard[8] / spread, heard[1] / spread, atol=0.05, rtol=0)


def test_fp32_on_the_device_agrees_with_the_cpu():
    model = LM(CONFIG).eval()
    model.initialize(torch.Generator().manual_seed(0))
    on_cpu = Slots(model, 1, 4, 256, "cpu", rows=2)
    one = run(1, 40, greedy=True)
    cpu_lanes = [lane._replace(conditions=lane.conditions.to("cpu")) for lane in one.lanes]
    expected = finish(on_cpu, [one._replace(lanes=cpu_lanes)])[0]
    model = model.to("cuda")
    assert torch.equal(finish(Slots(model, 1, 4, 256, "cuda", rows=2, max_steps=64), [one])[0], expected)


def test_no_step_waits_for_the_device(lm, runs):
    """A synchronisation inside the loop would raise."""
    engine = slots(lm, 2, None)
    engine.open(0, runs[0])
    engine.prepare(0)
    engine.step([0])
    torch.cuda.set_sync_debug_mode("error")
    try:
        for _ in range(5):
            engine.step([0])
    finally:
        torch.cuda.set_sync_debug_mode("default")
