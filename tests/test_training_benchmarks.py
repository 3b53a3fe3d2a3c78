"""The experiments on training run, at tiny sizes, and compare what they say they compare."""

import importlib
import math
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from cadenza.lm.patterns import DelayConfig, FlattenConfig

FOLDER = Path(__file__).parents[1] / "benchmarks"
SIZE, FRAMES = 16, 12


@pytest.fixture
def benchmark(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Import one by name; all of them are forgotten again."""
    monkeypatch.syspath_prepend(str(FOLDER))
    yield importlib.import_module
    for name in ("machine", "takes", "convergence", "patterns", "guidance"):
        sys.modules.pop(name, None)


class Music:
    """Random codes and text."""

    codebook_size, text_dim = SIZE, 8

    def take(self, split: str, count: int) -> tuple[Tensor, list[Tensor]]:
        generator = torch.Generator().manual_seed(1)
        codes = torch.randint(SIZE, (count, 4, FRAMES), generator=generator)
        return codes, [torch.randn(3, 8, generator=generator) for _ in range(count)]


TINY = {"dim": 16, "layers": 2, "head_dim": 8, "items": 8, "batch": 4, "steps": 4, "valid_items": 2}


def test_a_run_starts_at_chance_and_traces_every_step(benchmark: Any):
    convergence = benchmark("convergence")
    run = convergence.train(convergence.Setting(**TINY), Music())
    assert len(run["losses"]) == len(run["norms"]) == 4
    # an untrained network is a little worse than a uniform guess
    assert run["losses"][0] == pytest.approx(math.log(SIZE), rel=0.3)
    assert len(run["first_norms"]) == len(run["last_norms"]) == 2
    assert -1 <= run["alike"] <= 1


def test_adam_takes_no_notice_of_a_loss_four_times_as_large(benchmark: Any):
    convergence = benchmark("convergence")
    losses = [convergence.train(convergence.Setting(**TINY, summed=summed), Music())["losses"] for summed in (0, 1)]
    assert losses[0] == pytest.approx(losses[1], abs=0.01)  # bf16; beside it Adam's epsilon alone


def test_torch_starts_all_layers_alike(benchmark: Any):
    convergence = benchmark("convergence")
    lm = convergence.Model(convergence.Setting(**TINY), Music()).lm
    first, second = (layer.state_dict() for layer in lm.layers)
    assert all(torch.equal(first[name], second[name]) for name in first)
    bound = math.sqrt(6 / (16 + 48))
    largest = float(lm.layers[0].self_attention.in_projection.weight.detach().abs().max())
    assert 0.9 * bound < largest <= bound


def test_runs_are_named_by_what_differs(benchmark: Any):
    convergence = benchmark("convergence")
    named = convergence.settings() | convergence.true_size()
    assert len({convergence.key(setting) for setting in named.values()}) == len(named)
    assert convergence.key(convergence.Setting(dim=64)) == "dim=64"


class Windows:
    def __init__(self, count: int) -> None:
        self.count = count

    def __len__(self) -> int:
        return self.count

    def batch(self, index: int) -> dict[str, Tensor]:
        return {"codes": torch.randint(SIZE, (2, 4, FRAMES), generator=torch.Generator().manual_seed(index))}


class Clips:
    codebook_size, num_codebooks, frames = SIZE, 4, FRAMES
    train, valid = Windows(100), Windows(2)


@pytest.mark.parametrize(("pattern", "steps"), [(DelayConfig(), 4 + FRAMES), (FlattenConfig(), 1 + 4 * FRAMES)])
def test_a_pattern_is_measured_at_both_budgets(benchmark: Any, monkeypatch: pytest.MonkeyPatch, pattern, steps: int):
    patterns = benchmark("patterns")
    monkeypatch.setattr(patterns, "UPDATES", 2)
    monkeypatch.setattr(patterns, "SECONDS", 0.0)
    monkeypatch.setattr(patterns, "EVERY", 1)
    run = patterns.train(patterns.Setting(pattern, dim=48, layers=1), Clips(), "tiny")
    assert [point[0] for point in run["curve"]] == [1, 2]
    assert (len(run["at_updates"]), len(run["at_seconds"][0])) == (4, 4)  # clips, codebooks
    assert run["updates_in_seconds"] == 1
    assert run["steps_per_second"] == pytest.approx(steps / patterns.WINDOW_SECONDS, abs=0.05)
    rows = patterns.table({"delay": run, "other": run}, ("delay", "other"), "delay")
    assert len(rows) == 4


def test_guidance_settings_are_ones_that_generation_accepts(benchmark: Any):
    from cadenza.lm.generate import GenerationConfig

    guidance = benchmark("guidance")
    for settings in guidance.SETTINGS.values():
        GenerationConfig(**settings)
    written = guidance.SETTINGS["as System 1 writes it, g = 0.2"]
    assert written == {"guidance": pytest.approx(1 - 0.2), "guidance_domain": "probabilities"}


def test_guidance_is_judged_setting_by_setting(benchmark: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """A model that plays noise for all settings but one, and for that one nothing but what it did before."""
    from types import SimpleNamespace

    from cadenza.lm.generate import GenerationConfig
    from cadenza.testing import noise, tiny_listener

    class Model:
        config = SimpleNamespace(generation=GenerationConfig())

        def generate(self, text: str, duration: float, seed: int, config: GenerationConfig) -> Any:
            return noise(1.0, level=0.05, seed=seed + (100 if config.guidance == 3.0 else 0))

    guidance = benchmark("guidance")
    quick = {number: asked for number, asked in guidance.prompts.load("quick").items() if number < "007"}
    monkeypatch.setattr(guidance.prompts, "load", lambda name: quick)
    folders = guidance.make(Model(), 1, tmp_path)
    assert sorted(path.name for path in folders["none (scale 1)"].iterdir()) == [f"00{n}__0.flac" for n in range(1, 7)]
    lines, figures = guidance.table(guidance.hear(folders, tiny_listener(), tmp_path / "heard"))
    assert len(lines) == 2 + len(guidance.SETTINGS)
    assert figures["none (scale 1)"] == figures["logits, scale 0.8"]
    assert "; 0.00 (0.00 to 0.00)" not in lines[-1]  # the usual setting is compared with nothing
    assert figures[guidance.USUAL]["text_alignment"] != figures["none (scale 1)"]["text_alignment"]
