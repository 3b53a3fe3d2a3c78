"""Embedders by name: what is known, what is refused, and that every entry opens what it says."""

import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from cadenza.errors import UserError
from cadenza.evaluate.embedders.base import Embedder
from cadenza.evaluate.embedders.registry import describe_embedders, open_embedder, open_joint, open_labeller
from cadenza.testing import noise, tiny_codec
from tiny_clap import write_tiny_clap
from tiny_style import tiny_mert


def test_unknown_names_list_those_that_fit() -> None:
    with pytest.raises(
        UserError, match=r"no embedder 'vgish': choose mel, vggish, vggish-consecutive, clap, mert, mert-33"
    ):
        open_embedder("vgish")
    with pytest.raises(UserError, match="'vggish' is no network that tells labels: choose mel, passt, passt-10s, ast"):
        open_labeller("vggish")
    with pytest.raises(UserError, match="'mert' is no network that also hears words: choose mel, clap"):
        open_joint("mert")
    with pytest.raises(UserError, match="'vggish:' names no path: write vggish alone, or vggish:PATH"):
        open_embedder("vggish:")
    with pytest.raises(UserError, match="only mert has layers"):
        open_embedder("vggish@3")
    with pytest.raises(UserError, match="only mert has layers"):
        open_embedder("mert@last")
    for device in ("gpu", "cuda:99"):
        with pytest.raises(UserError, match=rf"device '{device}' is none that torch finds here: give cpu"):
            open_embedder("encodec", device)


def test_names_with_paths_open(tmp_path: Path) -> None:
    tiny_mert().save_pretrained(tmp_path / "mert")
    tiny_codec().save_pretrained(tmp_path / "codec@2")
    opened = open_embedder(f"mert@1:{tmp_path / 'mert'}")
    assert isinstance(opened, Embedder)
    assert opened.identity.settings["layer"] == 1
    assert opened.identity.name == "mert@1"  # two layers can be measured beside each other
    assert open_embedder(f"mert:{tmp_path / 'mert'}").identity.name == "mert"
    assert open_embedder(f"encodec:{tmp_path / 'codec@2'}").embed(noise(1.0, 32000)).shape[0] == 1
    (tmp_path / "clap").mkdir()
    write_tiny_clap(tmp_path / "clap")
    assert open_joint(f"clap:{tmp_path / 'clap'}").identity.name == "clap"


@pytest.mark.parametrize("name", ["vggish", "vggish-consecutive", "passt", "passt-10s"])
def test_missing_weights_say_where_they_come_from(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CADENZA_CACHE", str(tmp_path))
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with pytest.raises(UserError, match=r"MB\) cannot be fetched .*download https://github.com/.* give its path as"):
        (open_labeller if name.startswith("passt") else open_embedder)(name)


@pytest.mark.parametrize("name", ["clap", "mert"])
def test_missing_repositories_say_where_they_come_from(name: str, tmp_path: Path) -> None:
    with pytest.raises(
        UserError, match=rf"no weights of {name} at .*: give a folder with config.json, .*huggingface.co"
    ):
        open_embedder(f"{name}:{tmp_path / 'nowhere'}")


def test_every_embedder_is_described(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CADENZA_CACHE", str(tmp_path))
    lines = {line.name: line for line in describe_embedders()}
    assert set(lines) == {"mel", "vggish", "vggish-consecutive", "clap", "mert", "mert-330m", "encodec", "passt",
                          "passt-10s", "ast"}  # fmt: skip
    assert lines["mel"].is_there
    assert lines["encodec"].is_there
    assert lines["encodec"].dim == open_embedder("encodec").dim
    assert lines["mel"].kinds == ("embedder", "labeller", "joint")
    assert not lines["vggish"].is_there
    assert all(line.origin and line.licence and line.hears for line in lines.values())
    (tmp_path / "embedders").mkdir()
    (tmp_path / "embedders" / "vggish-10086976.pth").touch()
    assert {line.name for line in describe_embedders() if line.name.startswith("vggish") and line.is_there} == {
        "vggish",
        "vggish-consecutive",
    }


def test_without_transformers_it_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "config.json").write_text('{"model_type": "audio-spectrogram-transformer"}')
    (tmp_path / "preprocessor_config.json").write_text("{}")
    save_file({"x": torch.zeros(1)}, tmp_path / "model.safetensors")
    monkeypatch.setitem(sys.modules, "transformers", None)
    with pytest.raises(UserError, match=r'AST needs .* transformers \(extra "hub"\): pip install "transformers>=5.0"'):
        open_labeller(f"ast:{tmp_path}")
