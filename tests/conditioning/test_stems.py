"""Melodies without drums and bass. The package `demucs` is played by a small stand-in; one test takes the real one."""

import contextlib
import json
import logging
import sys
import threading
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from types import ModuleType
from typing import Any

import huggingface_hub
import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from cadenza.conditioning import stems
from cadenza.conditioning.stems import DemucsSeparator, demucs_separator, find_separator
from cadenza.errors import CheckpointError, UserError

GAINS = {"drums": -3.0, "bass": 2.0, "other": 0.25, "vocals": 0.5}
"""What the stand-in makes of a sound: every source is the whole sound, louder or softer."""
SEGMENT = Fraction(39, 5)


class StandIn(nn.Module):
    """A model with the attributes of an HTDemucs, and one parameter: the gains of its sources."""

    def __init__(self, sources: list[str], audio_channels: int = 2, samplerate: int = 44100, segment: Any = 10) -> None:
        super().__init__()
        self.sources, self.audio_channels, self.samplerate, self.segment = sources, audio_channels, samplerate, segment
        self.gains = nn.Parameter(torch.zeros(len(sources)))


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """Installs the stand-in; the settings of every call of `apply_model` are noted here."""
    noted: list[dict[str, Any]] = []

    def apply_model(model: StandIn, mix: torch.Tensor, **settings: Any) -> torch.Tensor:
        noted.append(
            {"shape": tuple(mix.shape), "model": model, "autocast": torch.is_autocast_enabled("cpu"), **settings}
        )
        assert not model.training and not torch.is_grad_enabled()
        return mix[:, None] * model.gains[None, :, None, None]

    for name, content in {"demucs": {}, "demucs.apply": {"apply_model": apply_model}, "demucs.htdemucs": {}}.items():
        module = ModuleType(name)
        module.__dict__.update(content)
        monkeypatch.setitem(sys.modules, name, module)
    sys.modules["demucs.htdemucs"].HTDemucs = StandIn  # type: ignore[attr-defined]
    return noted


def weights_file(path: Path, **changes: Any) -> Path:
    """A file like the published one: half precision, and the construction in its metadata."""
    options = {"sources": list(GAINS), "segment": {"_type": "fraction", "numerator": 39, "denominator": 5}, "gone": 1}
    metadata = {"klass": "demucs.htdemucs.HTDemucs", "args": "[]", "kwargs": json.dumps(options)} | changes
    tensors = metadata.pop("tensors", {"gains": torch.tensor(list(GAINS.values())).half()})
    save_file(tensors, path, metadata=metadata)
    return path


@pytest.fixture
def separator(calls: list[dict[str, Any]], tmp_path: Path) -> DemucsSeparator:
    return demucs_separator(weights_file(tmp_path / "htdemucs.safetensors"))


@contextlib.contextmanager
def notices() -> Iterator[list[str]]:
    """What the library says meanwhile; "auto" is decided anew."""
    heard: list[str] = []
    handler = logging.Handler()
    handler.emit = lambda record: heard.append(record.getMessage())  # type: ignore[method-assign]
    stems._automatic.cache_clear()
    stems.log.addHandler(handler)
    try:
        yield heard
    finally:
        stems.log.removeHandler(handler)
        stems._automatic.cache_clear()  # other tests find what is installed here


def hum(sample_rate: int, channels: int, num_samples: int) -> torch.Tensor:
    time = torch.arange(num_samples, dtype=torch.float64) / sample_rate
    return (0.3 * torch.sin(2 * torch.pi * 220 * time)).float().repeat(channels, 1)


# ---- what comes out ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("sample_rate", "channels"), [(8000, 1), (32000, 2), (44100, 2), (48000, 1), (48000, 6)])
def test_voices_and_the_rest_are_kept_drums_and_bass_are_not(
    separator: DemucsSeparator, calls: list[dict[str, Any]], sample_rate: int, channels: int
) -> None:
    wave = hum(sample_rate, channels, sample_rate + 1)
    melody = separator(wave, sample_rate)
    assert melody.shape == (1, sample_rate + 1)
    inner = slice(sample_rate // 10, -sample_rate // 10)  # resampling rings where the sound begins and ends
    torch.testing.assert_close(melody[:, inner], 0.75 * wave[:1, inner], atol=1e-3, rtol=0)  # 0.25 + 0.5; 16-bit-like
    assert calls[0]["shape"][:2] == (1, 2)
    assert calls[0]["shape"][2] == pytest.approx(44100 * (sample_rate + 1) / sample_rate, abs=1)


def test_the_settings_are_those_of_musicgen_without_chance(
    separator: DemucsSeparator, calls: list[dict[str, Any]]
) -> None:
    with torch.autocast("cpu", torch.bfloat16):
        first = separator(hum(32000, 1, 5000), 32000)
    assert torch.equal(first, separator(hum(32000, 1, 5000), 32000))
    settings = calls[0]
    assert (settings["shifts"], settings["split"], settings["overlap"]) == (0, True, 0.25)
    assert not settings["autocast"]
    assert settings["model"].segment == SEGMENT
    assert {p.dtype for p in settings["model"].parameters()} == {torch.float32}
    assert not any(p.requires_grad for p in settings["model"].parameters())


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16])
def test_the_precision_of_the_caller_comes_back(separator: DemucsSeparator, dtype: torch.dtype) -> None:
    assert separator(hum(32000, 1, 5000).to(dtype), 32000).dtype == dtype


def test_no_sound_has_no_melody(separator: DemucsSeparator, calls: list[dict[str, Any]]) -> None:
    assert separator(torch.zeros(2, 0), 32000).shape == (1, 0)
    assert not calls


def test_one_model_for_all_threads(separator: DemucsSeparator, calls: list[dict[str, Any]]) -> None:
    threads = [threading.Thread(target=separator, args=(hum(32000, 1, 2000), 32000)) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(calls) == 4
    assert len({id(call["model"]) for call in calls}) == 1


# ---- what is missing --------------------------------------------------------------------------------------------


@pytest.fixture
def without_demucs(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("demucs", "demucs.apply", "demucs.htdemucs"):
        monkeypatch.setitem(sys.modules, name, None)


def no_network(*args: Any, **options: Any) -> str:
    raise ConnectionError("no route to host.\nmore of it")


@pytest.mark.usefixtures("without_demucs")
def test_without_demucs_the_whole_recording_is_followed_and_it_is_said_once() -> None:
    with notices() as heard:
        assert find_separator() is None
        assert find_separator("auto") is None
    assert len(heard) == 1
    assert "whole recording, drums and bass included" in heard[0]
    assert 'pip install "demucs>=4.1"' in heard[0]


@pytest.mark.usefixtures("without_demucs")
def test_asked_for_but_not_installed() -> None:
    with notices() as heard, pytest.raises(UserError, match=r'demucs is not installed: pip install "demucs>=4\.1"'):
        find_separator("demucs")
    assert not heard


@pytest.mark.usefixtures("without_demucs")
def test_not_asked_for_nothing_said() -> None:
    with notices() as heard:
        assert find_separator("none") is None
    assert not heard


@pytest.mark.usefixtures("calls")
def test_an_older_demucs_that_needs_what_is_not_there(monkeypatch: pytest.MonkeyPatch) -> None:
    class Broken(ModuleType):
        def __getattr__(self, name: str) -> Any:
            raise OSError("libtorchaudio.so: undefined symbol")

    monkeypatch.setitem(sys.modules, "demucs.apply", Broken("demucs.apply"))
    with pytest.raises(UserError, match=r'undefined symbol\): pip install "demucs>=4\.1"'):
        find_separator("demucs")


@pytest.mark.usefixtures("calls")
def test_weights_out_of_reach(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(huggingface_hub, "try_to_load_from_cache", lambda *names: None)
    monkeypatch.setattr(huggingface_hub, "hf_hub_download", no_network)
    with pytest.raises(UserError, match=r"cannot be downloaded \(no route to host\): check the network, and run `hf"):
        find_separator("demucs")
    with notices() as heard:
        assert find_separator("auto") is None
    assert len(heard) == 1
    assert "no route to host" in heard[0]
    assert "\n" not in heard[0]


@pytest.mark.usefixtures("calls")
def test_weights_that_are_here_need_no_network(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    path = weights_file(tmp_path / "htdemucs.safetensors")
    monkeypatch.setattr(huggingface_hub, "try_to_load_from_cache", lambda *names: str(path))
    monkeypatch.setattr(huggingface_hub, "hf_hub_download", no_network)
    with notices() as heard:
        found = find_separator()
    assert found is not None
    assert found is demucs_separator(path)  # one model per process, however often it is asked for
    assert not heard


# ---- files of weights -------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("calls")
def test_a_file_cannot_choose_what_is_called(tmp_path: Path) -> None:
    """Demucs' own loader would call this with these arguments."""
    made = tmp_path / "made"
    path = weights_file(tmp_path / "x.safetensors", klass="os.mkdir", args=json.dumps([str(made)]), kwargs="{}")
    with pytest.raises(CheckpointError, match=r"no HTDemucs \(of the class 'os.mkdir'\)"):
        demucs_separator(path)(torch.zeros(1, 100), 32000)
    assert not made.exists()


@pytest.mark.usefixtures("calls")
@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"kwargs": "{"}, "is no HTDemucs"),
        ({"kwargs": '{"segment": {"_type": "fraction", "numerator": 1, "denominator": 0}}'}, "is no HTDemucs"),
        ({"kwargs": "{}"}, "is no HTDemucs"),  # no sources
        ({"kwargs": '{"sources": ["drums", "bass", "other", "piano"]}'}, "without the source 'vocals'"),
        ({"tensors": {"gains": torch.zeros(3)}}, "does not match its configuration"),
        ({"tensors": {"other": torch.zeros(4)}}, "does not match its configuration"),
    ],
    ids=lambda value: str(value)[:40],
)
def test_a_file_that_describes_no_htdemucs(tmp_path: Path, changes: dict[str, Any], message: str) -> None:
    separator = demucs_separator(weights_file(tmp_path / "x.safetensors", **changes))
    with pytest.raises(CheckpointError, match=message):
        separator(torch.zeros(1, 100), 32000)


@pytest.mark.usefixtures("calls")
def test_a_file_that_is_no_safetensors(tmp_path: Path) -> None:
    path = tmp_path / "x.safetensors"
    path.write_bytes(b"no weights")
    with pytest.raises(CheckpointError, match="not a safetensors file"):
        demucs_separator(path)(torch.zeros(1, 100), 32000)


# ---- the real package -------------------------------------------------------------------------------------------


def test_the_real_demucs_with_random_weights(tmp_path: Path) -> None:
    """The model built and read by us gives, bit for bit, what the package's own loader and `apply_model` give.

    At the model's own rate, with 1 s pieces; 2.5 s of sound are three pieces, overlapping.
    """
    pytest.importorskip("demucs", reason="the extra `melody` is not installed")
    from demucs.apply import apply_model
    from demucs.hf import load_safetensors_model
    from demucs.htdemucs import HTDemucs

    torch.manual_seed(0)
    options = {"channels": 8, "nfft": 1024, "depth": 3, "t_layers": 1, "t_heads": 2, "sources": list(GAINS)}
    state = HTDemucs(**options, segment=Fraction(1)).state_dict()
    segment = {"_type": "fraction", "numerator": 1, "denominator": 1}
    path = weights_file(
        tmp_path / "small.safetensors",
        kwargs=json.dumps(options | {"segment": segment}),
        tensors={name: tensor.half().contiguous() for name, tensor in state.items()},
    )
    wave = 0.1 * torch.randn(2, 110250)
    with torch.no_grad():
        sources = apply_model(load_safetensors_model(path).eval(), wave[None], shifts=0)[0]
    separator = demucs_separator(path)
    melody = separator(wave, 44100)
    assert torch.equal(melody, sources[3].mean(0, keepdim=True) + sources[2].mean(0, keepdim=True))
    assert torch.equal(melody, separator(wave, 44100))
    assert separator(wave[:1, :32001], 32000).shape == (1, 32001)
