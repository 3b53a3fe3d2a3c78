"""The moving average: bias correction, what it tracks, and swapping."""

import pytest
import torch
from torch import nn

from cadenza.errors import CheckpointError
from cadenza.train.ema import EMA


def module() -> nn.Module:
    part = nn.Linear(1, 1, bias=False)
    nn.init.constant_(part.weight, 1.0)
    part.register_buffer("level", torch.tensor(10.0))
    part.register_buffer("count", torch.tensor(3))
    return part


def test_the_first_update_is_a_copy_and_the_second_is_weighted():
    part = module()
    ema = EMA({"part": part}, decay=0.5)
    ema.update()
    assert float(ema.average["part.weight"]) == 1
    with torch.no_grad():
        part.weight.fill_(4)
    ema.update()
    # weights 0.5 and 1: (0.5 * 1 + 4) / 1.5
    assert float(ema.average["part.weight"]) == pytest.approx(3)


def test_float_buffers_are_tracked_and_frozen_parameters_are_not():
    part = module()
    part.weight.requires_grad_(False)
    assert set(EMA({"part": part}, 0.9).average) == {"part.level"}


def test_averages_are_carried_inside_the_block_only():
    part = module()
    ema = EMA({"part": part}, 0.9)
    ema.update()
    with torch.no_grad():
        part.weight.fill_(7)
    with ema.applied():
        assert float(part.weight.detach()) == 1
    assert float(part.weight.detach()) == 7
    assert float(ema.average["part.weight"]) == 1


def test_before_the_first_update_the_raw_weights_are_played():
    part = module()
    with EMA({"part": part}, 0.9).applied():
        assert float(part.weight.detach()) == 1


def test_averages_of_another_model_are_refused():
    with pytest.raises(CheckpointError, match=r"differ in part\.level"):
        EMA({"part": module()}, 0.9).load({"part.weight": torch.ones(1, 1)}, 1.0)
