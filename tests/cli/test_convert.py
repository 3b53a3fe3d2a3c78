"""`cadenza convert` to another library's files and back gives the same music; to fewer bits, to stereo."""

import numpy as np
import pytest

from cadenza import Audio
from cadenza.checkpoint import weights_hash
from cadenza.pipelines.jukebox import Jukebox
from cadenza.testing import tiny_jukebox


@pytest.mark.parametrize("form", ["cadenza", "transformers"])
def test_there_and_back(cadenza, model, form):
    assert cadenza("convert", model, "other", "--to", form).code == 0
    for name, source in (("a.wav", model), ("b.wav", "other")):
        assert cadenza("generate", "x", "--seed", 1, "--duration", 0.3, "-o", name, "--model", source).code == 0
    np.testing.assert_array_equal(Audio.read("a.wav").samples, Audio.read("b.wav").samples)


@pytest.mark.parametrize("precision", ["int8", "int4"])
def test_fewer_bits(cadenza, model, precision):
    result = cadenza("convert", model, "small", "--to", "cadenza", "--precision", precision)
    assert (result.code, result.out) == (0, f"small: cadenza, {precision}\n")
    for name, source in (("a.wav", (model, "--precision", precision)), ("b.wav", ("small",))):
        arguments = ("x", "--seed", 1, "--duration", 0.3, "-o", name, "--model", *source)
        assert cadenza("generate", *arguments).code == 0
    audio = Audio.read("a.wav")
    assert audio.metadata["precision"] == precision
    assert audio.num_samples == Audio.read("b.wav").num_samples
    other = {"int8": "int4", "int4": "int8"}[precision]
    for arguments, words in (
        ((model, "x", "--to", "transformers", "--precision", precision), f"has no place for weights in {precision}"),
        (("small", "x", "--to", "transformers"), f"has no place for weights in {precision}"),
        (("small", "x", "--to", "cadenza", "--precision", other), f"are in {precision} already"),
        ((model, "x", "--to", "cadenza", "--precision", "int3"), "'int3': use int8 or int4"),
    ):
        result = cadenza("convert", *arguments)
        assert (result.code, result.err.count("\n")) == (2, 1), result.err
        assert words in result.err


def test_stereo_start(cadenza, model):
    result = cadenza("convert", model, "stereo", "--stereo-start")
    assert (result.code, result.out) == (0, "stereo: cadenza, stereo start\n")
    assert cadenza("convert", model, "other", "--stereo-start", "--to", "audiocraft").code == 0
    assert cadenza("generate", "x", "--seed", 1, "--duration", 0.3, "-o", "a.wav", "--model", "stereo").code == 0
    audio = Audio.read("a.wav")
    assert audio.samples.shape == (2, 9600)
    assert not np.array_equal(*audio.samples)
    for arguments, words in (
        (("stereo", "x"), "tiny (stereo start) is in stereo already"),
        ((f"{model}/codec", "x"), "is a codec, which both channels share: give the directory of a whole model"),
        ((model, "x", "--precision", "int8"), "weights of int8 cannot be: leave one away"),
        ((model, "stereo"), "exists already"),
        (("nope", "x"), "no model 'nope'"),
    ):
        result = cadenza("convert", *arguments, "--stereo-start")
        assert (result.code, result.err.count("\n")) == (2, 1), result.err
        assert words in result.err


def test_a_jukebox_is_written_in_our_form_alone(cadenza, tmp_path):
    tiny_jukebox().save_pretrained(tmp_path / "jukebox")
    result = cadenza("convert", tmp_path / "jukebox", "other", "--to", "cadenza")
    assert (result.code, result.out) == (0, "other: cadenza\n")
    assert Jukebox.from_pretrained("other", "cpu").weights == weights_hash(tmp_path / "jukebox")
    for options in (["--to", "transformers"], ["--precision", "int8"], ["--stereo-start"]):
        result = cadenza("convert", tmp_path / "jukebox", "x", *options)
        assert (result.code, result.err.count("\n")) == (2, 1), result.err
        assert "is a Jukebox: it is written --to cadenza, without other options" in result.err


def test_bad_input(cadenza, model, tmp_path):
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "file").write_text("")
    for arguments, words in (
        ((model, "x", "--to", "onnx"), "unknown format 'onnx': use cadenza, audiocraft, transformers"),
        ((model, "full", "--to", "cadenza"), "exists already"),
        (("nope", "x", "--to", "cadenza"), "no model 'nope'"),
        ((model, "x"), "missing option --to: give one of cadenza, audiocraft, transformers"),
    ):
        result = cadenza("convert", *arguments)
        assert (result.code, result.err.count("\n")) == (2, 1), result.err
        assert words in result.err
