"""`cadenza codec`: decode of encode is roundtrip."""

import numpy as np
import soundfile

from cadenza import Audio
from cadenza.testing import noise, tone


def test_encode_decode_is_roundtrip(cadenza, model):
    noise(1.01, sample_rate=48000, channels=2).write("in.wav")
    assert cadenza("codec", "encode", "in.wav", "codes.safetensors", "--model", model).out.startswith(
        "codes.safetensors: 4 x 51 codes, 1.00 kbit/s"
    )
    assert cadenza("codec", "decode", "codes.safetensors", "a.wav", "--model", model).code == 0
    assert "signal to noise" in cadenza("codec", "roundtrip", "in.wav", "b.wav", "--model", model).out
    a, b = Audio.read("a.wav"), Audio.read("b.wav")
    assert a.num_samples == round(1.01 * 32000)
    np.testing.assert_array_equal(a.samples, b.samples)


def test_roundtrip_of_extremes(cadenza, model):
    """Silence has no ratio; samples far beyond full scale must not overflow (warnings are errors)."""
    Audio(np.zeros(3200), 32000).write("silent.wav")
    assert "of silence" in cadenza("codec", "roundtrip", "silent.wav", "a.wav", "--model", model).out
    soundfile.write("loud.wav", np.full(3200, 1e30), 32000, subtype="FLOAT")
    result = cadenza("codec", "roundtrip", "loud.wav", "b.wav", "--model", model)
    assert result.code == 0, result.err
    assert "nan" not in result.out


def test_bad_input(cadenza, model):
    tone().write("good.wav")
    for arguments, words in (
        (("encode", "good.wav", "codes.txt"), "written as .safetensors"),
        (("encode", "missing.wav", "codes.safetensors"), "no such file"),
        (("decode", "good.wav", "x.wav"), "holds no codes"),
        (("decode", "missing", "x.wav"), "holds no codes"),
        (("encode",), "Missing argument"),
    ):
        result = cadenza("codec", *arguments, "--model", model)
        assert (result.code, result.err.count("\n")) == (2, 1), result.err
        assert words in result.err
