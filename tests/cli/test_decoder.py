"""`--decoder mbd`: music and codes decoded by diffusion, and any sound regenerated."""

import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from cadenza import Audio
from cadenza.testing import noise, tiny_codec, tiny_diffusion_decoder

PARITY = Path(__file__).parent.parent / "parity"


@pytest.fixture(scope="module")
def decoder(tmp_path_factory) -> str:
    directory = tmp_path_factory.mktemp("models") / "decoder"
    tiny_diffusion_decoder().save_pretrained(directory)
    return str(directory)


def test_generate_and_again(cadenza, model, decoder):
    arguments = ("x", "--seed", 1, "--duration", 0.2, "--model", model)
    result = cadenza("generate", *arguments, "-o", "a.flac", "--decoder", f"mbd={decoder}", "--calls", 1, "--one-band")
    assert result.code == 0, result.err
    assert cadenza("generate", *arguments, "-o", "plain.flac").code == 0
    made = Audio.read("a.flac")
    assert made.metadata["decoder"]["settings"]["calls"] == 1
    assert not np.allclose(made.samples, Audio.read("plain.flac").samples, atol=0.01)
    again = cadenza("generate", "--from", "a.flac", "--model", model, "--decoder", f"mbd={decoder}", "-o", "b.flac")
    assert again.code == 0, again.err
    np.testing.assert_array_equal(Audio.read("b.flac").samples, made.samples)
    result = cadenza("generate", "--from", "a.flac", "--model", model)
    assert (result.code, result.err.count("\n")) == (2, 1), result.err
    assert "a.flac was decoded by tiny-diffusion: give it with --decoder mbd=DIR" in result.err
    result = cadenza("generate", "--from", "plain.flac", "--model", model, "--decoder", f"mbd={decoder}")
    assert (result.code, "leave out --decoder" in result.err) == (2, True), result.err


def test_codec_decode_and_regenerate(cadenza, model, decoder):
    noise(0.21).write("in.wav", None)
    assert cadenza("codec", "encode", "in.wav", "c.safetensors", "--model", model).code == 0
    for name, seed in (("a.wav", 1), ("b.wav", 1), ("c.wav", 2)):
        options = ("--model", model, "--decoder", f"mbd={decoder}", "--seed", seed, "--solver", "dpm")
        result = cadenza("codec", "decode", "c.safetensors", name, *options)
        assert (result.code, result.out) == (0, f"{name}: 0.21 s\n"), result.err
    a, b, c = (Audio.read(name).samples for name in ("a.wav", "b.wav", "c.wav"))
    np.testing.assert_array_equal(a, b)
    assert not np.array_equal(a, c)
    noise(0.21, 44100, channels=2).write("stereo.wav", None)
    result = cadenza("codec", "regenerate", "stereo.wav", "d.flac", "--decoder", decoder)
    assert (result.code, result.out) == (0, "d.flac: 0.21 s by tiny-diffusion\n"), result.err
    made = Audio.read("d.flac")
    assert (made.sample_rate, made.samples.shape) == (44100, Audio.read("stereo.wav").samples.shape)


def test_convert_and_info(cadenza):
    shutil.copy(PARITY / "multiband_diffusion_tiny" / "mbd_tiny_32khz.th", "tiny.th")
    codec = PARITY / "encodec_32khz_tiny" / "compression_state_dict.bin"
    result = cadenza("convert", "tiny.th", "made", "--to", "cadenza", "--codec", codec)
    assert (result.code, result.out) == (0, "made: cadenza\n"), result.err
    result = cadenza("info", "made")
    assert "a diffusion decoder of 2 bands" in result.out, result.err
    assert "reads: 4 codebooks of 64 at 50 frames a second and 32000 Hz" in result.out
    assert '"num_codebooks": 4' in cadenza("info", "made", "--json").out
    for arguments, words in (
        (("convert", "tiny.th", "x", "--to", "cadenza"), "does not say whose codes it decodes"),
        (("convert", "tiny.th", "x", "--to", "transformers"), "it is written --to cadenza"),
        (("convert", "made", "x", "--precision", "int8"), "it is written --to cadenza"),
        (("convert", codec, "x", "--to", "cadenza", "--codec", codec), "--codec is about diffusion decoders"),
        (("generate", "x", "--model", "made"), "holds a diffusion decoder, which makes no music"),
    ):
        result = cadenza(*arguments)
        assert (result.code, result.err.count("\n")) == (2, 1), result.err
        assert words in result.err


def test_bad_input(cadenza, model, decoder):
    noise(0.1).write("in.wav", None)
    assert cadenza("codec", "encode", "in.wav", "c.safetensors", "--model", model).code == 0
    Audio(np.zeros(3200), 32000).write("silent.wav")
    music, codes = ("generate", "x", "--model", model), ("codec", "decode", "c.safetensors", "x.wav", "--model", model)
    for arguments, words in (
        ((*music, "--decoder", "vocoder"), "--decoder vocoder: give mbd, or mbd=MODEL"),
        ((*music, "--decoder", "mbd="), "give mbd, or mbd=MODEL"),
        ((*music, "--decoder", "mbd=nowhere"), "no model 'nowhere': give a directory, or a name such as mbd_musicgen"),
        ((*music, "--decoder", "mbd"), "no diffusion decoder is known for codes of 4 codebooks of 32"),
        ((*music, "--decoder", f"mbd={model}"), "holds a model: give the directory or the file of a diffusion decoder"),
        ((*music, "--calls", 3), "add --decoder mbd"),
        ((*codes, "--decoder", f"mbd={decoder}", "--calls", 0), "calls = 0"),
        ((*codes, "--decoder", f"mbd={decoder}", "--calls", 5000), "use 1 to 999"),
        ((*codes, "--decoder", f"mbd={decoder}", "--solver", "magic"), "solver = 'magic'"),
        (("codec", "regenerate", "missing.wav", "x.wav", "--decoder", decoder), "no such file"),
    ):
        result = cadenza(*arguments)
        assert (result.code, result.err.count("\n")) == (2, 1), result.err
        assert words in result.err
    result = cadenza("codec", "regenerate", "silent.wav", "x.wav", "--decoder", decoder)
    assert (result.code, "is silent" in result.err) == (0, True)
    assert not Audio.read("x.wav").samples.any()


@pytest.mark.parametrize("decoded", [False, True], ids=["by the codec", "by diffusion"])
def test_codes_that_are_not_this_codecs(cadenza, model, decoder, decoded):
    """Every one is a line that says what is wrong, and no file."""
    good = torch.zeros(4, 3, dtype=torch.int64)
    arguments = ("--model", model, "--decoder", f"mbd={decoder}") if decoded else ("--model", model)
    for codes, rate, words in (
        (good[:2], 32000, "2 codebooks at 32000 Hz, this codec has 4 of 32 entries at 32000 Hz; use --model"),
        (good, 24000, "4 codebooks at 24000 Hz, this codec has 4"),
        (good + 32, 32000, "this codec has 4 of 32 entries"),
        (good - 1, 32000, "this codec has 4 of 32 entries"),
        (good[:, :0], 32000, "holds no frame of codes"),
        (good[0], 32000, "of shape [3], codes are whole numbers [K, T]"),
        (good.float(), 32000, "holds a torch.float32"),
    ):
        save_file({"codes": codes.contiguous()}, "c.safetensors", {"num_samples": "1920", "sample_rate": str(rate)})
        result = cadenza("codec", "decode", "c.safetensors", "x.wav", *arguments)
        assert (result.code, result.err.count("\n")) == (2, 1), result.err
        assert words in result.err
        assert not Path("x.wav").exists()
    save_file({"codes": good[:, :1].contiguous()}, "c.safetensors", {"num_samples": "640", "sample_rate": "32000"})
    result = cadenza("codec", "decode", "c.safetensors", "x.wav", *arguments)
    assert (result.code, Audio.read("x.wav").num_samples) == (0, 640), result.err


def test_a_decoder_of_another_codec(cadenza, model, tmp_path):
    """Other rate, and equal shapes that mean other sounds."""
    noise(0.1).write("in.wav", None)
    assert cadenza("codec", "encode", "in.wav", "c.safetensors", "--model", model).code == 0
    for codec, words in ((tiny_codec(sample_rate=24000), "24000 Hz"), (tiny_codec(seed=1), "codes mean other sounds")):
        tiny_diffusion_decoder(codec=codec).save_pretrained("other")
        for command in (("codec", "decode", "c.safetensors", "x.wav"), ("generate", "x", "--duration", 0.1)):
            result = cadenza(*command, "--model", model, "--decoder", "mbd=other")
            assert (result.code, result.err.count("\n")) == (2, 1), result.err
            assert words in result.err
        assert not Path("x.wav").exists()


def test_too_little_memory(cadenza, model, decoder, monkeypatch):
    """The one fault that is made up here: a network that finds no memory."""

    def full(*arguments, **options):
        raise RuntimeError("[enforce fail at alloc_cpu.cpp:1] DefaultCPUAllocator: can't allocate memory")

    noise(0.1).write("in.wav", None)
    monkeypatch.setattr("cadenza.diffusion.unet.DiffusionUnet.forward", full)
    result = cadenza("codec", "regenerate", "in.wav", "x.wav", "--decoder", decoder)
    assert (result.code, result.err.count("\n")) == (2, 1), result.err
    assert "decode shorter windows" in result.err
    assert not Path("x.wav").exists()
