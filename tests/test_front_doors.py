"""Examples that live in other people's programs, run with stand-ins for those programs."""

import runpy
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch

import cadenza
from cadenza.audio import Audio
from cadenza.testing import tiny_musicgen

EXAMPLES = Path(__file__).parents[1] / "examples"


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    music = tiny_musicgen(melody=True)
    monkeypatch.setattr(cadenza, "load", lambda name=None: music, raising=False)


def test_the_space(monkeypatch):
    class Gradio(ModuleType):
        Error = type("Error", (Exception,), {})

        def __getattr__(self, name: str) -> Any:
            return lambda *arguments, **choices: (name, arguments)

    monkeypatch.setitem(sys.modules, "gradio", Gradio("gradio"))
    page = runpy.run_path(str(EXAMPLES / "space" / "app.py"))
    play = page["play"]
    assert page["demo"][1][0] is play
    chunks = list(play("harp", 0.5, 3))
    rate, sound = chunks[0][0], np.concatenate([samples for _, samples in chunks])
    assert (sound.dtype, len(sound)) == (np.int16, round(0.5 * rate))
    with pytest.raises(sys.modules["gradio"].Error, match="duration"):
        list(play("harp", -1, None))
    assert {line.split(">")[0] for line in (EXAMPLES / "space" / "requirements.txt").read_text().split()} == {
        "cadenza",
        "gradio",
    }


def test_the_node():
    node = runpy.run_path(str(EXAMPLES / "comfyui" / "__init__.py"))
    kind = node["NODE_CLASS_MAPPINGS"]["CadenzaMusic"]
    assert node["NODE_DISPLAY_NAME_MAPPINGS"].keys() == node["NODE_CLASS_MAPPINGS"].keys()
    inputs = kind.INPUT_TYPES()
    given = {name: field[1].get("default", "") for name, field in inputs["required"].items()} | {"duration": 0.5}
    (made,) = getattr(kind(), kind.FUNCTION)(**given)
    assert made["waveform"].shape == (1, 1, round(0.5 * made["sample_rate"]))
    assert made["waveform"].dtype == torch.float32
    assert Audio(made["waveform"][0].numpy(), made["sample_rate"]).loudness_lufs() == pytest.approx(-14, abs=3)
    (other,) = kind().generate(**given, melody=made)
    assert not torch.equal(other["waveform"], made["waveform"])
