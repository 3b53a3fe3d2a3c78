"""`benchmarks/diffusion.py` runs, and counts the operations that PyTorch counts."""

import importlib
import json
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest

from cadenza.diffusion.unet import DiffusionUnetConfig


@pytest.fixture(scope="module")
def diffusion() -> Iterator[ModuleType]:
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(Path(__file__).parents[1] / "benchmarks"))
        yield importlib.import_module("diffusion")


def test_sides_agree_and_each_has_its_limit(diffusion: ModuleType, capsys: pytest.CaptureFixture[str]) -> None:
    record = diffusion.main(["--shape", "tiny", "--bottleneck", "none", "--seconds", "0.1", "--runs", "1", "--parts"])
    found = record["bands"]["none"]
    assert found["deviation_over_spread"]["fp32"] < 1e-5 < found["deviation_over_spread"]["bf16"] < 0.02
    assert set(found["seconds"]) == set(found["limit_seconds"]) == {"plain", "fp32", "bf16"}
    assert found["ratio_to_plain"]["plain"] == 1
    assert set(record["parts"]) == {"convolution", "lstm layer, one direction", "two bands"}
    printed = capsys.readouterr().out
    assert "| none (0 M) | bf16 |" in printed
    assert json.loads(printed.splitlines()[-1]) == record


@pytest.mark.parametrize(
    ("bottleneck", "operations"),
    [
        ("none", 4_341_760),  # this and the next: what torch.utils.flop_counter counts, whose import takes seconds
        ("transformer", 37_765_120),
        ("lstm", 4_341_760 + 2 * 10 * (2 * 4 * 64 * 128 + 2 * 4 * 64 * 192 + 2 * 64 * 64)),
    ],
)
def test_operations_are_those_of_the_products(diffusion: ModuleType, bottleneck: str, operations: int) -> None:
    config = DiffusionUnetConfig(hidden=16, kernel_size=8, stride=4, bottleneck=bottleneck)  # type: ignore[arg-type]
    assert diffusion.count_operations(config, 640) == operations


@pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="memory is counted by Linux")
def test_memory_of_one_band(diffusion: ModuleType) -> None:
    memory = importlib.import_module("diffusion_memory")
    record = memory.main(["--seconds", "0.2", "--bottleneck", "lstm", "--one-band"])
    assert record["peak"] >= record["peak_beyond_weights"] > 0
    decoder = memory.config_of(memory.parse([]), 16)
    assert (len(decoder.bands), decoder.bands[0].unet.condition_dim) == (2, 16)


def test_a_decode_alone_and_together(diffusion: ModuleType) -> None:
    decode = importlib.import_module("diffusion_decode")
    record = decode.main(["--seconds", "0.1", "--bands", "2", "--calls", "1,2", "--runs", "1", "--together"])
    sides = {f"{calls} calls{how}" for calls in (1, 2) for how in ("", " together")}
    assert set(record["seconds"]) == sides | {"codec's decode", "levels"}
    assert record["operations"]["together"] < 0.7 * record["operations"]["alone"]
    assert record["deviation_of_together"] < 1e-4
    assert record["ratio"]["2 calls"] == 1
