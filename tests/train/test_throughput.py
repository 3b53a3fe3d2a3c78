"""Operations of a step, against a count of what PyTorch runs, and what a device could do."""

import pytest
import torch
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from cadenza.conditioning.fuser import FusedConditions
from cadenza.lm.model import LM, LMConfig
from cadenza.train.throughput import lm_work, peak

SHAPE = LMConfig(num_codebooks=2, codebook_size=32, dim=16, num_layers=2, num_heads=2, feed_forward_dim=48)


@pytest.mark.parametrize("listens", [True, False])
def test_the_formula_is_what_pytorch_counts(listens: bool):
    """With attention written out, which computes both halves of what is causal."""
    config = SHAPE.model_copy(update={"cross_attention": listens})
    lm = LM(config)
    steps, source, prefix = 10, 7, 0 if listens else 3
    cross = torch.randn(3, source, 16, requires_grad=True) if listens else None
    front = torch.randn(3, prefix, 16, requires_grad=True) if prefix else None
    with FlopCounterMode(display=False) as counter, sdpa_kernel(SDPBackend.MATH):
        lm(torch.zeros(3, 2, steps, dtype=torch.int64), FusedConditions(cross=cross, prefix=front)).sum().backward()
    hidden_half = 3 * 12 * 16 * 2 * (steps + prefix) ** 2 / 2
    expected = lm_work(config, 3, steps, prefix, source if listens else 0)
    assert expected.positions == 30
    assert counter.get_total_flops() == expected.operations + hidden_half


def test_a_frozen_model_has_two_thirds_of_the_work_in_its_matrices():
    whole, frozen = (lm_work(SHAPE, 1, 1, is_frozen=frozen).operations for frozen in (False, True))
    attention = 12 * 16 * 2 / 2
    assert (frozen - attention) * 1.5 == whole - attention


def test_the_small_model_is_six_times_its_weights_and_a_little_more():
    """420 million weights, of which 8.4 million are tables: 30 s in 1500 steps."""
    config = LMConfig()
    weights = sum(p.numel() for p in LM(config.model_copy(update={"num_layers": 1})).layers.parameters())
    work = lm_work(config, 1, 1500, source=1)
    assert work.operations == pytest.approx(6 * 1500 * 24 * weights, rel=0.13)


def test_a_device_that_is_not_known_is_measured(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("cadenza.train.throughput._SIZE", 64)
    monkeypatch.setattr("cadenza.train.throughput._SECONDS", 0.01)
    found = peak(torch.device("cpu"), "fp32")
    assert found.operations_per_second > 1e6
    assert found.source == f"matrix products in fp32, measured ({torch.get_num_threads()} threads)"


GPUS = {
    "NVIDIA H100 80GB HBM3": 989e12,
    "NVIDIA H100 PCIe": 756e12,
    "NVIDIA A100-SXM4-80GB": 312e12,
    "NVIDIA L4": 121e12,
    "NVIDIA L40S": 362e12,
}


@pytest.mark.parametrize("name", GPUS)
def test_a_gpu_that_is_known_has_the_figure_of_its_data_sheet(name: str, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda device: name)
    assert peak(torch.device("cuda"), "bf16") == (GPUS[name], f"{name}'s data sheet")


@pytest.mark.parametrize("name", ["NVIDIA L40", "NVIDIA T400 4GB"])
def test_a_gpu_of_a_similar_name_is_measured(name: str, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda device: name)
    monkeypatch.setattr("cadenza.train.throughput._measured", lambda *_: 1.0)
    assert peak(torch.device("cuda"), "bf16") == (1.0, "matrix products in bf16, measured (cuda)")
