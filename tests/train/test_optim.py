"""Which parameters each optimiser has, exact resume, and step sizes that are found."""

import io
import sys

import pytest
import torch

from cadenza.errors import UserError
from cadenza.lm.adapter import AdapterConfig, attach
from cadenza.lm.model import LM, LMConfig
from cadenza.train.optim import (
    AdamWConfig,
    DAdaptConfig,
    JointOptimizer,
    MuonConfig,
    ProdigyConfig,
    build_optimizer,
    step_size,
)

TINY = LMConfig(codebook_size=16, dim=16, num_layers=2, num_heads=2, feed_forward_dim=32)


ALL = (AdamWConfig(), MuonConfig(), DAdaptConfig(), ProdigyConfig())


def model():
    lm = LM(TINY)
    lm.initialize(torch.Generator().manual_seed(0))
    return lm


def train(lm, optimizer, steps, start=0):
    for step in range(start, start + steps):
        codes = torch.randint(0, 16, (2, 4, 8), generator=torch.Generator().manual_seed(step))
        logits, mask = lm.logits_for_codes(codes)
        loss = torch.nn.functional.cross_entropy(logits[mask], codes[mask])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()


def test_every_parameter_has_exactly_one_optimiser():
    lm = model()
    for config in ALL:
        optimizer = build_optimizer({"lm": lm}, config)
        held = [id(p) for group in optimizer.param_groups for p in group["params"]]
        assert sorted(held) == sorted(id(p) for p in lm.parameters())


def test_muon_has_the_matrices_of_the_layers_only():
    lm = model()
    joint = build_optimizer({"lm": lm}, MuonConfig())
    assert isinstance(joint, JointOptimizer)
    muon = {id(p) for group in joint.parts[0].param_groups for p in group["params"]}
    expected = {id(p) for name, p in lm.named_parameters() if name.startswith("layers.") and p.dim() == 2}
    assert muon == expected


def test_muon_has_the_branches_of_an_adapter():
    branches = attach(model(), AdapterConfig(rank=2), torch.Generator().manual_seed(0))
    joint = build_optimizer({"adapter": branches}, MuonConfig())
    assert [len(group["params"]) for group in joint.param_groups] == [len(list(branches.parameters()))]
    with pytest.raises(UserError, match="there are none to train: use adamw"):
        build_optimizer({"codec": torch.nn.Conv1d(2, 2, 3)}, MuonConfig())


def test_a_rate_set_on_the_groups_reaches_the_step():
    lm = model()
    optimizer = build_optimizer({"lm": lm}, MuonConfig())
    before = {name: p.clone() for name, p in lm.named_parameters()}
    for group in optimizer.param_groups:
        group["lr"] = 0.0
    train(lm, optimizer, 2)
    assert all(torch.equal(before[name], p) for name, p in lm.named_parameters())


@pytest.mark.parametrize("config", ALL, ids=lambda config: config.kind)
def test_restored_state_continues_exactly(config):
    """Through a file that is read without running any of it."""
    straight, resumed = model(), model()
    first = build_optimizer({"lm": straight}, config)
    train(straight, first, 6)
    second = build_optimizer({"lm": resumed}, config)
    train(resumed, second, 3)
    file = io.BytesIO()
    torch.save(second.state_dict(), file)
    file.seek(0)
    third = build_optimizer({"lm": resumed}, config)
    third.load_state_dict(torch.load(file, weights_only=True))
    assert step_size(third) == step_size(second)
    train(resumed, third, 3, start=3)
    assert step_size(third) == step_size(first)
    for a, b in zip(straight.parameters(), resumed.parameters(), strict=True):
        assert torch.equal(a, b)


@pytest.mark.parametrize("config", [DAdaptConfig(), ProdigyConfig()], ids=lambda config: config.kind)
def test_a_step_size_is_found_from_almost_nothing(config):
    """From 1e-6, with which nothing would be learnt in 60 steps, to what an AdamW run would be given."""
    lm = model()
    optimizer = build_optimizer({"lm": lm}, config)
    codes = torch.randint(0, 16, (2, 4, 8), generator=torch.Generator().manual_seed(0))
    losses = []
    for _ in range(100):
        logits, mask = lm.logits_for_codes(codes)
        loss = torch.nn.functional.cross_entropy(logits[mask], codes[mask])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(float(loss.detach()))
    assert 1e-4 < step_size(optimizer) < 1
    assert losses[-1] < 0.5 * losses[0]


def test_building_one_says_nothing(capsys):
    for config in ALL:
        build_optimizer({"lm": model()}, config)
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize("config", [DAdaptConfig(), ProdigyConfig()], ids=lambda config: config.kind)
def test_decay_of_a_found_step_size_is_decoupled(config):
    """Without a gradient in any direction but decay's, a weight shrinks by `1 - decay * rate * step size`."""
    layer = torch.nn.Linear(1, 1, bias=False)
    torch.nn.init.ones_(layer.weight)
    optimizer = build_optimizer({"lm": layer}, config.model_copy(update={"weight_decay": 0.5, "first_estimate": 0.1}))
    (group,) = optimizer.param_groups
    group["lr"] = 0.5
    layer.weight.grad = torch.full((1, 1), 1e-30)  # the smallest that counts as one
    optimizer.step()
    assert float(layer.weight.detach()) == pytest.approx(1 - 0.5 * 0.5 * 0.1, abs=1e-6)


def test_a_missing_library_is_named_with_its_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "prodigyopt", None)
    with pytest.raises(UserError, match=r"prodigy is not installed .*: pip install cadenza\[train\]"):
        build_optimizer({"lm": model()}, ProdigyConfig())


def test_adamw_separates_text_encoder_and_vectors():
    config = AdamWConfig(learning_rate=1e-3, text_encoder_learning_rate=1e-4, weight_decay=0.2, decay_vectors=False)
    optimizer = build_optimizer({"lm": model(), "text_encoder": torch.nn.Linear(3, 4)}, config)
    found = [(group["lr"], group["weight_decay"]) for group in optimizer.param_groups]
    assert found == [(1e-3, 0.2), (1e-3, 0.0), (1e-4, 0.2), (1e-4, 0.0)]
