"""Quantised once, then read; whatever happens to the copy in the cache, the model plays."""

import logging
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from cadenza.checkpoint import cache_directory
from cadenza.engine import quantize as engine_quantize
from cadenza.engine.quantize import load_module, stored_kind
from cadenza.errors import CadenzaError, CheckpointError, UserError
from cadenza.lm.model import LM
from cadenza.nn.linear import Linear, kind_of, num_weights, pack_linears, quantize_linears
from cadenza.nn.quantize import KINDS, Kind
from cadenza.testing import tiny_lm

BF16 = torch.bfloat16


@pytest.fixture
def directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("CADENZA_CACHE", str(tmp_path / "cache"))
    tiny_lm().save_pretrained(tmp_path / "lm")
    return tmp_path / "lm"


def never(*_: object) -> None:
    pytest.fail("quantised twice")


def kept(kind: Kind) -> Path:
    (path,) = (cache_directory() / "quantized").glob(f"*-{kind}-v*.safetensors")
    return path


def logits(lm: LM) -> torch.Tensor:
    with torch.no_grad():
        return lm(torch.arange(24).view(2, 4, 3) % 32)


@pytest.mark.parametrize("kind", KINDS)
def test_loading_is_quantising_the_module(directory: Path, kind: Kind, monkeypatch: pytest.MonkeyPatch) -> None:
    expected = tiny_lm()
    plain = num_weights(expected)
    quantize_linears(expected, kind)
    expected.to(BF16)
    lm = load_module(LM, directory, "cpu", BF16, kind)
    assert not lm.training
    assert kind_of(lm) == kind
    assert num_weights(lm) == plain
    ours, theirs = lm.state_dict(), expected.state_dict()
    assert ours.keys() == theirs.keys()
    assert all(torch.equal(ours[name], theirs[name]) for name in ours)
    assert torch.equal(logits(lm), logits(expected))
    monkeypatch.setattr(engine_quantize, "quantize", never)
    again = load_module(LM, directory, "cpu", BF16, kind)
    assert torch.equal(logits(again), logits(expected))


@pytest.mark.parametrize("kind", KINDS)
def test_saved_and_loaded(directory: Path, tmp_path: Path, kind: Kind, monkeypatch: pytest.MonkeyPatch) -> None:
    lm = load_module(LM, directory, "cpu", BF16, kind)
    pack_linears(lm)
    expected = logits(lm)
    lm.save_pretrained(tmp_path / "saved", torch.float16)  # what is quantised stays as it is
    monkeypatch.setattr(engine_quantize, "quantize", never)
    assert stored_kind(directory) is None
    assert stored_kind(tmp_path / "saved") == kind
    loaded = load_module(LM, tmp_path / "saved", "cpu", BF16, kind)
    pack_linears(loaded)
    assert torch.equal(logits(loaded), expected)
    assert LM.skeleton(tmp_path / "saved").state_dict().keys() == lm.state_dict().keys()


def test_what_int4_would_harm_most_has_8_bits(directory: Path) -> None:
    lm = load_module(LM, directory, "cpu", BF16, "int4")
    kinds = {name: part.quantized for name, part in lm.named_modules() if isinstance(part, Linear)}
    fine = {name for name, kind in kinds.items() if kind == "int8"}
    assert fine == {name for name in kinds if name.startswith(("layers.0.", "heads."))}
    assert set(kinds.values()) == {"int8", "int4"}


def test_quantised_weights_have_one_precision(directory: Path, tmp_path: Path) -> None:
    load_module(LM, directory, "cpu", BF16, "int8").save_pretrained(tmp_path / "saved")
    for other in (None, "int4"):
        with pytest.raises(UserError, match="holds weights in int8: load it with precision int8, or the model it was"):
            load_module(LM, tmp_path / "saved", "cpu", BF16, other)


def test_a_damaged_copy_is_made_again(directory: Path, caplog: pytest.LogCaptureFixture) -> None:
    expected = logits(load_module(LM, directory, "cpu", BF16, "int4"))
    kept("int4").write_bytes(kept("int4").read_bytes()[:-100])
    with caplog.at_level(logging.WARNING, "cadenza"):
        lm = load_module(LM, directory, "cpu", BF16, "int4")
    assert "quantising again" in caplog.text
    assert torch.equal(logits(lm), expected)


def test_a_cache_that_cannot_be_written_does_not_stop_the_music(
    directory: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    expected = logits(load_module(LM, directory, "cpu", BF16, "int4"))
    kept("int4").unlink()

    def full(*_: object) -> None:
        raise CadenzaError("cannot write: the disk is full")

    monkeypatch.setattr(engine_quantize, "write_weights", full)
    with caplog.at_level(logging.WARNING, "cadenza"):
        lm = load_module(LM, directory, "cpu", BF16, "int4")
    assert "the disk is full; the model plays" in caplog.text
    assert torch.equal(logits(lm), expected)


def test_a_copy_belongs_to_its_weights(directory: Path) -> None:
    first = logits(load_module(LM, directory, "cpu", BF16, "int4"))
    tiny_lm(seed=1).save_pretrained(directory)
    assert not torch.equal(logits(load_module(LM, directory, "cpu", BF16, "int4")), first)


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
@pytest.mark.parametrize("kind", KINDS)
def test_broken_numbers_are_named(directory: Path, kind: Kind, value: float) -> None:
    state = load_file(directory / "model.safetensors")
    state["layers.1.feed_forward.linear1.weight"][3, 5] = value
    save_file(state, directory / "model.safetensors")
    with pytest.raises(CheckpointError, match=r"layers\.1\.feed_forward\.linear1\.weight holds NaN or infinity"):
        load_module(LM, directory, "cpu", BF16, kind)


def test_a_damaged_quantised_file_is_named(directory: Path, tmp_path: Path) -> None:
    load_module(LM, directory, "cpu", BF16, "int4").save_pretrained(tmp_path / "saved")
    path = tmp_path / "saved" / "model.safetensors"
    good = load_file(path)
    name = "layers.1.self_attention.out_projection"
    for change, words in (
        ({f"{name}.weight_scale": good[f"{name}.weight_scale"].float()}, "weight_scale is torch.float32"),
        ({f"{name}.weight_int4": good[f"{name}.weight_int4"].to(torch.int8)}, "weight_int4 is torch.int8"),
        ({f"{name}.weight_zero": good[f"{name}.weight_zero"][:-1].clone()}, "of another shape"),
    ):
        save_file(good | change, path)
        with pytest.raises(CheckpointError, match=words):
            load_module(LM, tmp_path / "saved", "cpu", BF16, "int4")
    save_file({key: value for key, value in good.items() if key != f"{name}.weight_zero"}, path)
    with pytest.raises(CheckpointError, match=r"missing: .*weight_zero"):
        load_module(LM, tmp_path / "saved", "cpu", BF16, "int4")
    path.write_bytes(path.read_bytes()[:1000])
    with pytest.raises(CheckpointError, match="truncated"):
        load_module(LM, tmp_path / "saved", "cpu", BF16, "int4")
