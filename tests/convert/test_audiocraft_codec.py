"""EnCodec from audiocraft's files: the reference's numbers, and the way back."""

from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from safetensors.torch import load_file

from cadenza.checkpoint import on_meta
from cadenza.codec.encodec import EnCodec, EnCodecConfig
from cadenza.codec.seanet import SEANetConfig
from cadenza.codec.spectral import SpectralConfig
from cadenza.codec.stereo import StereoCodec
from cadenza.convert.audiocraft_codec import _original_config, codec_pointer, read_codec, save_checkpoint, write_codec
from cadenza.convert.names import audiocraft_codec, scatter
from cadenza.convert.unpickle import read_pickle
from cadenza.errors import CheckpointError, UserError

PARITY = Path(__file__).parents[1] / "parity"
CODECS = ("encodec_32khz_tiny", "encodec_24khz_causal_tiny")
# Float32 sums in another order than the reference's; measured 2e-7.
CLOSE = {"atol": 1e-5, "rtol": 1e-5}


def file_of(name: str) -> Path:
    return PARITY / name / "compression_state_dict.bin"


@torch.no_grad()
@pytest.mark.parametrize("name", CODECS)
def test_codes_are_those_of_the_reference(name: str) -> None:
    codec, expected = read_codec(file_of(name)), load_file(PARITY / name / "io.safetensors")
    torch.testing.assert_close(codec.encoder(expected["wav"]), expected["latent_before_quantiser"], **CLOSE)
    codes, scale = codec.encode(expected["wav"])
    assert scale is None
    assert torch.equal(codes, expected["codes"])
    torch.testing.assert_close(codec.decode_latent(codes), expected["latent_after_quantiser"], **CLOSE)
    torch.testing.assert_close(codec.decode(codes), expected["decoded"], **CLOSE)


@torch.no_grad()
def test_stereo_is_the_mono_codec_twice() -> None:
    codec = StereoCodec(read_codec(file_of("encodec_32khz_tiny")))
    expected = load_file(PARITY / "encodec_32khz_tiny" / "stereo_io.safetensors")
    codes = codec.encode(expected["wav"]).codes
    assert torch.equal(codes, expected["codes"])
    torch.testing.assert_close(codec.decode(codes), expected["decoded"], **CLOSE)


@pytest.mark.parametrize("name", CODECS)
def test_what_is_written_is_what_was_read(tmp_path: Path, name: str) -> None:
    codec = read_codec(file_of(name))
    write_codec(codec, tmp_path / "x.bin")
    again = read_codec(tmp_path / "x.bin")
    assert again.config == codec.config
    written, original = read_pickle(tmp_path / "x.bin"), read_pickle(file_of(name))
    assert written.keys() == original.keys()
    assert written["best_state"].keys() == original["best_state"].keys()
    assert all(torch.equal(written["best_state"][key], value) for key, value in original["best_state"].items())
    ours, theirs = yaml.safe_load(written["xp.cfg"]), yaml.safe_load(original["xp.cfg"])
    assert ours["seanet"] == theirs["seanet"]
    assert ours["encodec"] == theirs["encodec"]


def test_a_codec_directory_holds_the_same_codec(tmp_path: Path) -> None:
    codec = read_codec(file_of("encodec_32khz_tiny"))
    codec.save_pretrained(tmp_path)
    again = EnCodec.from_pretrained(tmp_path)
    assert all(torch.equal(again.state_dict()[key], value) for key, value in codec.state_dict().items())


def edited(tmp_path: Path, **changes: Any) -> Path:
    """The 32 kHz file with other settings: keys are dotted paths with `__` for dots."""
    content = read_pickle(file_of("encodec_32khz_tiny"))
    settings = yaml.safe_load(content["xp.cfg"])
    for path, value in changes.items():
        *parents, last = path.split("__")
        node = settings
        for key in parents:
            node = node[key]
        node[last] = value
    save_checkpoint(tmp_path / "x.bin", content["best_state"], settings)
    return tmp_path / "x.bin"


def test_the_pad_mode_is_the_files(tmp_path: Path) -> None:
    assert read_codec(file_of("encodec_32khz_tiny")).config.decoder.pad_mode == "constant"
    assert read_codec(edited(tmp_path, seanet__pad_mode="reflect")).config.encoder.pad_mode == "reflect"


def test_halves_may_override_the_shared_settings(tmp_path: Path) -> None:
    config = read_codec(edited(tmp_path, seanet__encoder={"pad_mode": "reflect"})).config
    assert (config.encoder.pad_mode, config.decoder.pad_mode) == ("reflect", "constant")


def test_references_in_the_configuration_are_followed(tmp_path: Path) -> None:
    path = edited(
        tmp_path, encodec__sample_rate="${sample_rate}", seanet__channels="${encodec.channels}", device="${oc.env:X}"
    )
    assert read_codec(path).config.sample_rate == 32000


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"compression_model": "dac"}, "compression_model is 'dac'"),
        ({"seanet__activation": "ReLU"}, "activation is 'ReLU'"),
        ({"seanet__disable_norm_outer_blocks": 2}, "disable_norm_outer_blocks is 2"),
        ({"seanet__norm": "spectral_norm"}, "norm: .*'spectral_norm'"),
        ({"rvq__n_q": 3}, "holds, beyond what its configuration describes"),
        ({"rvq__n_q": 5}, "lacks quantizer.vq.layers.4"),
        ({"rvq__bins": 65}, "of another shape"),
        ({"seanet__ratios": "wide"}, "ratios"),
        ({"rvq": None}, "its configuration is malformed"),
        ({"rvq": {"bins": 64}}, "its configuration lacks 'n_q'"),
    ],
)
def test_other_models_are_refused_in_one_line(tmp_path: Path, changes: dict[str, Any], message: str) -> None:
    path = edited(tmp_path, **changes)
    with pytest.raises(CheckpointError, match=message) as caught:
        read_codec(path)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_pointer_is_told_from_weights(tmp_path: Path) -> None:
    assert codec_pointer(PARITY / "compression_pointer.bin") == "facebook/encodec_32khz"
    assert codec_pointer(file_of("encodec_32khz_tiny")) is None
    with pytest.raises(CheckpointError, match="only points to the codec 'facebook/encodec_32khz'"):
        read_codec(PARITY / "compression_pointer.bin")
    torch.save({"pretrained": 3}, tmp_path / "x.bin")
    with pytest.raises(CheckpointError, match="'pretrained' is int"):
        codec_pointer(tmp_path / "x.bin")


@pytest.mark.parametrize("content", [[1], {}, {"best_state": {"model": {}}, "xp.cfg": "a: 1"}, {"best_state": {}}])
def test_files_of_another_kind_are_refused(tmp_path: Path, content: Any) -> None:
    torch.save(content, tmp_path / "x.bin")
    with pytest.raises(CheckpointError, match=r"x\.bin"):
        read_codec(tmp_path / "x.bin")


@pytest.mark.parametrize(("channels", "rate", "books"), [(1, 24000, 32), (2, 48000, 16)])
def test_the_original_files_of_encodec_need_no_configuration(
    tmp_path: Path, channels: int, rate: int, books: int
) -> None:
    """Names and shapes as distributed, at full size; weights random."""
    weight = torch.zeros(32, channels, 7)
    with torch.device("meta"):
        codec = EnCodec(_original_config({"encoder.model.0.conv.conv.weight_v": weight}, "x"))
    names = audiocraft_codec(codec)
    state = {name: torch.rand(tensor.shape) for name, tensor in scatter(names, codec.state_dict()).items()}
    torch.save(state, tmp_path / "encodec.th")
    read = read_codec(tmp_path / "encodec.th")
    assert (read.channels, read.sample_rate, read.num_codebooks, read.codebook_size) == (channels, rate, books, 1024)
    assert read.frame_rate == rate / 320
    assert ("encoder.model.0.conv.norm.weight" in state) == (channels == 2)
    assert ("encoder.model.1.shortcut.conv.conv.bias") in state
    bandwidths = {1: 24.0, 2: 24.0}
    assert read.bandwidth_kbps == bandwidths[channels]


def test_what_audiocraft_cannot_express_is_refused(tmp_path: Path) -> None:
    half = SEANetConfig()
    for config, message in (
        (EnCodecConfig(encoder=SpectralConfig(), decoder=SpectralConfig()), "no spectral codec"),
        (EnCodecConfig(segment_seconds=1.0), "48 kHz codec cannot be exported"),
        (EnCodecConfig(decoder=half.model_copy(update={"num_filters": 32})), "share one shape"),
    ):
        with on_meta():
            codec = EnCodec(config)
        with pytest.raises(UserError, match=message):
            write_codec(codec, tmp_path / "x.bin")
    assert not (tmp_path / "x.bin").exists()
