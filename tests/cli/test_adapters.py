"""Adapters on the command line: played, looked at, merged, and one line for what is wrong."""

import json
from pathlib import Path

import numpy as np
import pytest

from cadenza import Audio
from cadenza.cli.values import adapter
from cadenza.errors import UserError
from cadenza.lm.adapter import AdapterRecord
from cadenza.testing import tiny_adapter, tiny_lm

RECORD = AdapterRecord(base="tiny", licence="CC-BY-4.0", notes="say harp", training={"steps": 30, "tracks": 6})
SHORT = ("x", "--seed", 1, "--duration", 0.2)


@pytest.fixture
def files(tmp_path: Path) -> None:
    for seed, name in enumerate(("a.safetensors", "b.safetensors")):
        tiny_adapter(tiny_lm(), seed, RECORD).save(tmp_path / name)


@pytest.mark.parametrize(
    ("text", "path", "gain"),
    [
        ("a.safetensors", "a.safetensors", 1.0),
        ("a.safetensors:0.7", "a.safetensors", 0.7),
        ("a.safetensors:-1", "a.safetensors", -1.0),
        ("C:\\music\\a.safetensors", "C:\\music\\a.safetensors", 1.0),
        ("C:\\music\\a.safetensors:.3", "C:\\music\\a.safetensors", 0.3),
        ("D:/a.safetensors", "D:/a.safetensors", 1.0),
    ],
)
def test_file_and_strength(text: str, path: str, gain: float) -> None:
    assert adapter(text) == (Path(path), gain)


@pytest.mark.parametrize("text", ["a.safetensors:", "a.safetensors:much", "a.safetensors:nan", "a:1e999"])
def test_a_strength_that_is_none(text: str) -> None:
    with pytest.raises(UserError, match=r"give FILE or FILE:0\.7"):
        adapter(text)


def test_played_and_rendered_again(cadenza, model, files):
    both = ("--adapter", "a.safetensors:0.7", "--adapter", "b.safetensors")
    assert cadenza("generate", *SHORT, "-o", "x.flac", "--model", model, *both).code == 0
    assert cadenza("generate", *SHORT, "-o", "plain.flac", "--model", model).code == 0
    audio = Audio.read("x.flac")
    assert [(one["name"], one["gain"]) for one in audio.metadata["adapters"]] == [
        ("a.safetensors", 0.7),
        ("b.safetensors", 1.0),
    ]
    assert not np.array_equal(audio.samples, Audio.read("plain.flac").samples)
    again = ("generate", "--from", "x.flac", "-o", "again.flac", "--model", model)
    result = cadenza(*again)
    assert (result.code, result.err.count("\n")) == (2, 1)
    assert "made with the adapter a.safetensors" in result.err
    result = cadenza(*again, *both)
    assert "leave out :0.7" in result.err
    assert cadenza(*again, "--adapter", "b.safetensors", "--adapter", "a.safetensors").code == 0
    assert Path("again.flac").read_bytes() == Path("x.flac").read_bytes()


def test_mistakes(cadenza, model, files):
    tiny_adapter(tiny_lm(num_codebooks=8), 0, RECORD, targets=("heads",)).save("other.safetensors")
    for text, words in (
        ("nope.safetensors:0.5", "no adapter at nope.safetensors"),
        ("a.safetensors:loud", "'loud' is not a number"),
        ("a.safetensors:1e9", "give a number up to 10000"),
        (f"{'x' * 300}:0.5", "no adapter at xxx"),
        (f"{model}/lm/model.safetensors", "is no adapter"),
        ("other.safetensors", "other.safetensors changes decoder.lm_heads.4, which this model has not"),
    ):
        result = cadenza("generate", *SHORT, "--model", model, "--adapter", text)
        assert (result.code, result.err.count("\n")) == (2, 1), result.err
        assert words in result.err


def test_info(cadenza, files):
    facts = json.loads(cadenza("info", "a.safetensors", "--json").out)
    assert (facts["base"], facts["rank"], facts["licence"]) == ("tiny", 4, "CC-BY-4.0")
    assert facts["training"] == {"steps": 30, "tracks": 6}
    shown = cadenza("info", "a.safetensors").out
    for words in ("an adapter for tiny", "licence: CC-BY-4.0", "rank 4, alpha 4", "say harp", "steps: 30"):
        assert words in shown


def test_merged(cadenza, model, files):
    result = cadenza("convert", model, "whole", "--adapter", "a.safetensors:0.5", "--adapter", "b.safetensors")
    assert (result.code, result.out) == (0, "whole: cadenza, with 0.5 a.safetensors, with 1 b.safetensors\n")
    facts = json.loads(cadenza("info", "whole", "--json").out)
    assert facts["name"] == "tiny + 0.5 a.safetensors + 1 b.safetensors"
    assert facts["licence"] == "CC0-1.0; a.safetensors: CC-BY-4.0"
    both = ("--adapter", "a.safetensors:0.5", "--adapter", "b.safetensors")
    assert cadenza("generate", *SHORT, "-o", "a.wav", "--model", "whole").code == 0
    assert cadenza("generate", *SHORT, "-o", "b.wav", "--model", model, *both).code == 0
    # The same codes; the level of the files is a sum over other roundings.
    np.testing.assert_allclose(Audio.read("a.wav").samples, Audio.read("b.wav").samples, atol=1e-4)
    result = cadenza("convert", f"{model}/codec", "x", "--to", "cadenza", "--adapter", "a.safetensors")
    assert "is a codec, which takes up no adapter" in result.err
