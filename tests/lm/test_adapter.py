"""Adapters beside a language model: they begin as nothing, learn, and survive being saved."""

from pathlib import Path

import pytest
import torch

from cadenza.checkpoint import read_metadata, write_weights
from cadenza.errors import CheckpointError, UserError
from cadenza.lm.adapter import (
    Adapter,
    AdapterConfig,
    AdapterRecord,
    LowRank,
    adapter_of,
    attach,
    detach,
    mount,
    read_adapter,
    sites,
)
from cadenza.lm.model import LM
from cadenza.nn.linear import quantize_linears
from cadenza.nn.quantize import Kind
from cadenza.testing import CODEBOOK_SIZE, NUM_CODEBOOKS, tiny_lm

ALL = ("self_attention", "cross_attention", "feed_forward", "heads")


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def codes(batch: int = 2, frames: int = 6) -> torch.Tensor:
    return torch.randint(CODEBOOK_SIZE, (batch, NUM_CODEBOOKS, frames), generator=generator(7))


def random_adapter(lm: LM, seed: int = 0, **settings: object) -> Adapter:
    config = AdapterConfig.model_validate({"rank": 4, **settings})
    branches = attach(lm, config, generator(seed))
    for branch in branches.by_name().values():
        torch.nn.init.normal_(branch.up, 0, 0.1, generator=generator(seed + 1))
    detach(lm)
    return adapter_of(branches, config, AdapterRecord(base="tiny"))


def test_new_branches_change_nothing_and_are_all_that_is_trained() -> None:
    lm = tiny_lm()
    before = lm(codes())
    branches = attach(lm, AdapterConfig(rank=4, targets=ALL), generator())
    assert torch.equal(lm(codes()), before)
    assert not any(parameter.requires_grad for parameter in lm.parameters())
    names = lm.state_dict().keys()
    lm.train()
    lm(codes()).square().mean().backward()
    assert lm.state_dict().keys() == names == tiny_lm().state_dict().keys()  # saved without branches
    for name, branch in branches.by_name().items():
        is_heard = "encoder_attn" not in name  # without conditions cross-attention is left out
        assert (branch.up.grad is not None and bool(branch.up.grad.any())) == is_heard


def test_targets_choose_the_places() -> None:
    lm = tiny_lm()
    assert {site.target for site in sites(lm).values()} == set(ALL)
    assert len(sites(lm)) == 2 * 10 + NUM_CODEBOOKS
    branches = attach(lm, AdapterConfig(targets=("feed_forward",)), generator()).by_name()
    assert sorted(branches) == [f"decoder.model.decoder.layers.{i}.{name}" for i in (0, 1) for name in ("fc1", "fc2")]
    first, second = (branches[f"decoder.model.decoder.layers.{i}.fc1"].down for i in (0, 1))
    assert not torch.equal(first, second)
    detach(lm)
    assert not any(site.layer.branches for site in sites(lm).values())


@pytest.mark.parametrize("kind", ["int8", "int4"])
def test_gradients_flow_through_quantised_weights(kind: Kind) -> None:
    """The branches of the first layer learn through all that follow, as they would beside the dequantised weights."""
    gradients = []
    for quantised in (True, False):
        lm = tiny_lm()
        quantize_linears(lm, kind)
        if not quantised:
            lm = dequantised(lm)
        lm.gradient_checkpointing = quantised
        branches = attach(lm, AdapterConfig(rank=4), generator())
        for branch in branches.by_name().values():
            torch.nn.init.constant_(branch.up, 0.01)
        lm.train()
        branches.train()
        lm(codes()).square().mean().backward()
        down = branches.by_name()["decoder.model.decoder.layers.0.self_attn.v_proj"].down
        assert down.grad is not None
        gradients.append(down.grad)
    ours, exact = gradients
    assert (ours - exact).norm() < 0.03 * exact.norm()  # products in bf16


def dequantised(lm: LM) -> LM:
    from cadenza.nn.linear import Linear
    from cadenza.nn.quantize import dequantize

    plain = tiny_lm()
    for name, part in plain.named_modules():
        if isinstance(part, Linear):
            theirs = lm.get_submodule(name)
            assert isinstance(theirs, Linear)
            part.weight.data = dequantize(theirs._canonical(), part.in_features)
    return plain


def test_quantised_weights_alone_cannot_be_trained() -> None:
    lm = tiny_lm()
    quantize_linears(lm, "int8")
    with pytest.raises(UserError, match="cannot be trained"):
        lm.train()
    attach(lm, AdapterConfig(), generator())
    lm.train()
    detach(lm.eval())
    with pytest.raises(UserError, match="cannot be trained"):
        lm.train()


def test_saved_and_read(tmp_path: Path) -> None:
    made = random_adapter(tiny_lm(), rank_stabilized=True, alpha=3.0)
    record = AdapterRecord(base="tiny", base_weights="ab", licence="CC0-1.0", notes="say tiny", training={"steps": 3})
    made = made._replace(record=record)
    for name in ("a.safetensors", "folder"):
        made.save(tmp_path / name)
        read = read_adapter(tmp_path / name)
        assert read.config == made.config
        assert read.record == record
        assert read.hash == made.hash
        assert all(
            torch.equal(a, b) for key in made.weights for a, b in zip(read.weights[key], made.weights[key], strict=True)
        )
    changed = dict(made.weights)
    first = next(iter(changed))
    changed[first] = changed[first]._replace(up=changed[first].up * 1.001)
    assert made._replace(weights=changed).hash != made.hash


def test_the_hash_tells_where_numbers_end() -> None:
    """A B whose last numbers spell out another branch is not the two branches."""
    numbers = torch.arange(16.0).view(8, 2)
    name, config = "y" * 12, AdapterConfig(rank=2)
    line = f"{name} (2, 2) {config.scale!r}\n".encode()
    assert len(line) % 8 == 0, "whole rows of B"
    spelt = torch.frombuffer(bytearray(line), dtype=torch.float32).view(-1, 2)
    two = {"x": LowRank(numbers[:2], numbers[2:4]), name: LowRank(numbers[4:6], numbers[6:])}
    one = {"x": LowRank(numbers[:2], torch.cat([numbers[2:4], spelt, numbers[4:]]))}
    assert Adapter(config, one).hash != Adapter(config, two).hash


def test_training_goes_on(tmp_path: Path) -> None:
    lm = tiny_lm()
    start = random_adapter(lm, alpha=8.0)
    branches = attach(lm, start.config, generator(5), start)
    again = adapter_of(branches, start.config, start.record)
    assert again.hash == start.hash
    with pytest.raises(UserError, match="give the same rank"):
        attach(lm, AdapterConfig(rank=2), generator(), start)


def test_what_is_no_adapter_is_said_in_one_line(tmp_path: Path) -> None:
    file = tmp_path / "a.safetensors"
    with pytest.raises(UserError, match="no adapter at"):
        read_adapter(file)
    write_weights(file, {"x": torch.zeros(2)})
    with pytest.raises(CheckpointError, match="is no adapter"):
        read_adapter(file)
    made = random_adapter(tiny_lm())
    made.save(file)
    header = read_metadata(file)
    file.write_bytes(file.read_bytes()[:-8])
    with pytest.raises(CheckpointError, match="truncated"):
        read_adapter(file)
    for change, message in (
        ('"peft_type": "IA3"', "kind 'IA3'"),
        ('"peft_type": "LORA", "use_dora": true', "use_dora"),
        ('"peft_type": "LORA", "bias": "all"', "biases"),
        ('"peft_type": "LORA", "init_lora_weights": "pissa_niter_4"', "changes the model itself"),
    ):
        settings = header["adapter_config"].replace('"peft_type": "LORA"', change, 1)
        settings = settings.replace('"bias": "none", ', "") if "biases" in message else settings
        settings = settings.replace('"init_lora_weights": true, ', "") if "itself" in message else settings
        write_weights(file, {"x": torch.zeros(2)}, metadata={"adapter_config": settings})
        with pytest.raises(UserError, match=message):
            read_adapter(file)
    made.save(tmp_path / "folder")
    settings = (tmp_path / "folder" / "adapter_config.json").read_text()
    for pattern in ('["fc1"]', '{"(": 2}', '{"fc1": "much"}', '{"fc1": NaN}', f'{{"fc1": {10**400}}}'):
        changed = settings.replace('"alpha_pattern": {}', f'"alpha_pattern": {pattern}')
        (tmp_path / "folder" / "adapter_config.json").write_text(changed)
        with pytest.raises(CheckpointError, match="alpha_pattern"):
            read_adapter(tmp_path / "folder")
    (tmp_path / "folder" / "adapter_model.safetensors").rename(tmp_path / "folder" / "adapter_model.bin")
    with pytest.raises(UserError, match="as a pickle"):
        read_adapter(tmp_path / "folder")
    write_weights(file, {"base_model.model.enc_to_dec_proj.lora_A.weight": torch.zeros(2, 3)}, metadata=header)
    with pytest.raises(CheckpointError, match="do not fit each other"):
        read_adapter(file)


def test_numbers_beyond_reason_are_not_played() -> None:
    """They would be infinite in another precision, and on a grid NaN in everybody's music."""
    lm = tiny_lm()
    with pytest.raises(UserError, match=r"loud has numbers beyond 10000"):
        mount(lm, random_adapter(lm, alpha=1e6), "loud")
