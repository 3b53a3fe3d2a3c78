"""Devices and precisions, on machines that have them and on those that do not."""

from pathlib import Path

import numpy as np
import pytest
import torch

import cadenza.pipelines.musicgen
import cadenza.testing
from cadenza.errors import UserError
from cadenza.nn.attend import in_products
from cadenza.pipelines.musicgen import MusicGen
from cadenza.pipelines.placement import PRECISIONS, choose_device, choose_precision, companion_device


@pytest.fixture
def gpus(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)


@pytest.fixture
def no_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)


@pytest.fixture
def mac(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.backends.mps, "is_built", lambda: True)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: True)


@pytest.mark.usefixtures("gpus")
def test_a_gpu_before_the_cpu() -> None:
    assert choose_device() == torch.device("cuda")
    assert choose_device("cuda:1") == torch.device("cuda:1")
    assert choose_device("cpu") == torch.device("cpu")
    with pytest.raises(UserError, match=r"'cuda:2': this machine has 2 CUDA"):
        choose_device("cuda:2")


@pytest.mark.usefixtures("no_gpu")
def test_without_a_gpu() -> None:
    assert choose_device() == torch.device("cpu")
    with pytest.raises(UserError, match=r"no CUDA device .*use cpu"):
        choose_device("cuda")


@pytest.mark.usefixtures("no_gpu", "mac")
def test_a_mac() -> None:
    assert choose_device() == torch.device("cpu")  # nobody has listened to MPS yet: it has to be asked for
    assert choose_device("mps") == torch.device("mps")
    assert companion_device(torch.device("mps")) == torch.device("cpu")
    with pytest.raises(UserError, match="a Mac has one"):
        choose_device("mps:1")


def test_no_mac(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.backends.mps, "is_built", lambda: False)
    with pytest.raises(UserError, match="not made for Macs"):
        choose_device("mps")
    monkeypatch.setattr(torch.backends.mps, "is_built", lambda: True)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    with pytest.raises(UserError, match="newer macOS"):
        choose_device("mps")


@pytest.mark.parametrize("device", ["xpu", "xpu:0", "meta", "xla", "hpu"])
def test_other_devices_are_refused(device: str) -> None:
    with pytest.raises(UserError, match=rf"'{device}' is not supported: use cpu, cuda or mps"):
        choose_device(device)


@pytest.mark.parametrize("device", ["gpu", "", "cuda:x", "CPU "])
def test_words_that_are_no_device(device: str) -> None:
    with pytest.raises(UserError, match="unknown device"):
        choose_device(device)


def test_companions_stay_together_elsewhere() -> None:
    for name in ("cpu", "cuda:1"):
        assert companion_device(torch.device(name)) == torch.device(name)


def test_a_model_is_loaded_with_its_companions_elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With `meta` in the place of the companions' device: no machine here has two."""
    model = cadenza.testing.tiny_musicgen()
    model.save_pretrained(tmp_path / "model")
    monkeypatch.setattr(cadenza.pipelines.musicgen, "companion_device", lambda device: torch.device("meta"))
    loaded = MusicGen.from_pretrained(tmp_path / "model", "cpu")
    assert loaded.device.type == "cpu"
    for part in (loaded.codec, loaded.conditioning):
        assert {parameter.device.type for parameter in part.parameters()} == {"meta"}


def test_a_cpu_takes_the_same_steps_as_mps(tmp_path: Path) -> None:
    """No machine here is a Mac: but attention by products and weights in fp16 are what MPS runs too."""
    assert in_products("mps")
    assert in_products("cpu")
    cadenza.testing.tiny_musicgen().save_pretrained(tmp_path / "model")
    model = MusicGen.from_pretrained(tmp_path / "model", "cpu", choose_precision(None, torch.device("mps")))
    assert model.precision == "fp16"
    audio = model.generate("a slow waltz", 0.3, seed=1)
    assert audio.num_samples == round(0.3 * model.sample_rate)
    assert np.isfinite(audio.samples).all()


def test_precisions() -> None:
    cpu, cuda, mps = map(torch.device, ("cpu", "cuda", "mps"))
    assert [choose_precision(None, device) for device in (cpu, cuda, mps)] == ["fp32", "bf16", "fp16"]
    for name in PRECISIONS:
        assert choose_precision(name, cpu) == choose_precision(name, cuda) == name
    for name in ("fp32", "bf16", "fp16"):
        assert choose_precision(name, mps) == name
    for name in ("int8", "int4"):
        with pytest.raises(UserError, match=f"'{name}' has no kernels on mps: use fp16"):
            choose_precision(name, mps)
    with pytest.raises(UserError, match=r"unknown precision 'fp64': use fp32, "):
        choose_precision("fp64", cpu)
