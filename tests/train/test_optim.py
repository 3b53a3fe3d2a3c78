"""Muon takes the hidden matrices, AdamW the rest; together they act as one optimiser."""

import torch

from cadenza.lm.model import LM, LMConfig
from cadenza.train.optim import AdamWConfig, JointOptimizer, MuonConfig, build_optimizer

TINY = LMConfig(codebook_size=16, dim=16, num_layers=2, num_heads=2, feed_forward_dim=32)


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
    for config in (AdamWConfig(), MuonConfig()):
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


def test_a_rate_set_on_the_groups_reaches_the_step():
    lm = model()
    optimizer = build_optimizer({"lm": lm}, MuonConfig())
    before = {name: p.clone() for name, p in lm.named_parameters()}
    for group in optimizer.param_groups:
        group["lr"] = 0.0
    train(lm, optimizer, 2)
    assert all(torch.equal(before[name], p) for name, p in lm.named_parameters())


def test_restored_state_continues_exactly():
    straight, resumed = model(), model()
    first = build_optimizer({"lm": straight}, MuonConfig())
    train(straight, first, 4)
    second = build_optimizer({"lm": resumed}, MuonConfig())
    train(resumed, second, 2)
    state = second.state_dict()
    third = build_optimizer({"lm": resumed}, MuonConfig())
    third.load_state_dict(state)
    train(resumed, third, 2, start=2)
    for a, b in zip(straight.parameters(), resumed.parameters(), strict=True):
        assert torch.equal(a, b)


def test_adamw_separates_text_encoder_and_vectors():
    config = AdamWConfig(learning_rate=1e-3, text_encoder_learning_rate=1e-4, weight_decay=0.2, decay_vectors=False)
    optimizer = build_optimizer({"lm": model(), "text_encoder": torch.nn.Linear(3, 4)}, config)
    found = [(group["lr"], group["weight_decay"]) for group in optimizer.param_groups]
    assert found == [(1e-3, 0.2), (1e-3, 0.0), (1e-4, 0.2), (1e-4, 0.0)]
