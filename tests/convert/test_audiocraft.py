"""Whole MusicGens in audiocraft's files. What their logits are is tested in tests/lm."""

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml

from cadenza.checkpoint import on_meta
from cadenza.codec.stereo import StereoCodec
from cadenza.conditioning.provider import ConditioningConfig, ConditionProvider
from cadenza.conditioning.t5 import T5Config, T5Encoder
from cadenza.conditioning.text import TextConfig, TextEncoder
from cadenza.convert import audiocraft
from cadenza.convert.audiocraft import find_codec, read_musicgen, write_musicgen
from cadenza.convert.audiocraft_codec import save_checkpoint
from cadenza.convert.audiocraft_lm import read_lm, write_lm
from cadenza.convert.formats import read_model, write_model
from cadenza.convert.unpickle import read_pickle
from cadenza.errors import CheckpointError, UserError
from cadenza.lm.patterns import CoarseFirstConfig, DelayConfig, FlattenConfig, MusicLMConfig, ParallelConfig
from cadenza.pipelines.musicgen import MusicGen
from cadenza.testing import tiny_musicgen, tiny_tokenizer

PARITY = Path(__file__).parents[1] / "parity"
MODELS = ("musicgen_text_tiny", "musicgen_stereo_tiny", "musicgen_melody_tiny")


def directory_of(name: str, tmp_path: Path) -> Path:
    """A directory as audiocraft distributes it: both files side by side."""
    target = tmp_path / name
    target.mkdir()
    shutil.copy(PARITY / name / "state_dict.bin", target)
    shutil.copy(PARITY / "encodec_32khz_tiny" / "compression_state_dict.bin", target)
    return target


def find(name: str, part: str) -> Path:
    assert (name, part) == ("t5-base", "text encoder")
    return PARITY / "t5_tiny"


def edited(tmp_path: Path, name: str = "musicgen_text_tiny", **changes: Any) -> Path:
    """A `state_dict.bin` with other settings: keys are dotted paths with `__` for dots."""
    content = read_pickle(PARITY / name / "state_dict.bin")
    settings = yaml.safe_load(content["xp.cfg"])
    for path, value in changes.items():
        *parents, last = path.split("__")
        node = settings
        for key in parents:
            node = node[key]
        node[last] = value
    save_checkpoint(tmp_path / "x.bin", content["best_state"], settings)
    return tmp_path / "x.bin"


@pytest.mark.parametrize("name", MODELS)
def test_there_and_back_and_into_a_directory(name: str, tmp_path: Path) -> None:
    source = directory_of(name, tmp_path)
    model = read_musicgen(source, find, "tiny", "none")
    assert isinstance(model.codec, StereoCodec) == (name == "musicgen_stereo_tiny") == model.config.stereo
    assert (model.config.name, model.config.licence, model.config.max_duration_seconds) == ("tiny", "none", 3.0)
    assert model.config.generation.guidance == 3.0

    model.save_pretrained(tmp_path / "ours")
    ours = MusicGen.from_pretrained(tmp_path / "ours", "cpu")
    assert ours.config == model.config
    write_musicgen(ours, tmp_path / "back")
    for file in ("state_dict.bin", "compression_state_dict.bin"):
        written, original = read_pickle(tmp_path / "back" / file), read_pickle(source / file)
        assert written["best_state"].keys() == original["best_state"].keys()
        assert all(torch.equal(written["best_state"][key], value) for key, value in original["best_state"].items())
    settings = yaml.safe_load(read_pickle(source / "state_dict.bin")["xp.cfg"])
    again = yaml.safe_load(read_pickle(tmp_path / "back" / "state_dict.bin")["xp.cfg"])
    for key in ("codebooks_pattern", "fuser", "dataset", "sample_rate", "channels"):
        expected = 2 if key == "channels" and model.config.stereo else settings[key]
        assert again[key] == expected, key
    assert settings["transformer_lm"].items() <= {**again["transformer_lm"], "cross_attention": False}.items()


@pytest.mark.parametrize("name", MODELS[:2])  # transformers has another class for the third
def test_round_all_formats_the_logits_stay(name: str, tmp_path: Path) -> None:
    """audiocraft -> ours -> transformers -> ours -> audiocraft -> ours: copies of numbers, so equal to the bit."""
    first = read_musicgen(directory_of(name, tmp_path), find, "tiny", "none")
    model = first
    for i, form in enumerate(("cadenza", "transformers", "cadenza", "audiocraft")):
        write_model(model, tmp_path / f"{i}", form)
        model = read_model(tmp_path / f"{i}", text_encoder=PARITY / "t5_tiny")
    shape = (1, first.lm.config.num_codebooks, 7)
    codes = torch.randint(first.lm.config.codebook_size, shape, generator=torch.Generator().manual_seed(0))
    for one in (first, model):
        one.lm.eval()
    outputs = []
    for one in (first, model):
        heard = one.conditioning(one.conditioning.prepare([{one.config.text_condition: "a slow waltz"}]))
        logits, mask = one.lm.logits_for_codes(codes, heard, fill=0.0)
        outputs.append((logits.detach(), mask, one.codec.decode(codes)))
    for ours, theirs in zip(*outputs, strict=True):
        assert torch.equal(ours, theirs)


def test_a_text_encoder_of_its_own_travels_beside_the_files(tmp_path: Path) -> None:
    model = read_musicgen(directory_of("musicgen_text_tiny", tmp_path), find)
    write_musicgen(model, tmp_path / "back")
    again = read_musicgen(tmp_path / "back", lambda name, _: pytest.fail(f"{name} should not be looked for"))
    first, second = (one.generate("slow piano", 0.4, 1) for one in (model, again))
    assert np.array_equal(first.samples, second.samples)


def test_sixteen_bit_files_stay_small_and_play_in_32(tmp_path: Path) -> None:
    source = directory_of("musicgen_text_tiny", tmp_path)
    content = read_pickle(source / "state_dict.bin")
    half = {name: tensor.half() for name, tensor in content["best_state"].items()}
    save_checkpoint(source / "state_dict.bin", half, yaml.safe_load(content["xp.cfg"]))
    read_musicgen(source, find).save_pretrained(tmp_path / "ours")
    assert (tmp_path / "ours" / "lm" / "model.safetensors").stat().st_size < 0.6 * sum(
        4 * tensor.numel() for tensor in half.values()
    )
    model = MusicGen.from_pretrained(tmp_path / "ours", "cpu", "fp32")
    assert {parameter.dtype for parameter in model.lm.parameters()} == {torch.float32}
    assert torch.equal(model.lm.out_norm.weight, half["out_norm.weight"].float())


# ---- configurations --------------------------------------------------------------------------------------------------


def test_older_configurations_name_the_pattern_elsewhere(tmp_path: Path) -> None:
    path = edited(tmp_path, codebooks_pattern={"modeling": None}, transformer_lm__q_modeling="delay")
    assert read_lm(path).lm.pattern.layout(3) == read_lm(
        PARITY / "musicgen_text_tiny/state_dict.bin"
    ).lm.pattern.layout(3)


@pytest.mark.parametrize(
    "pattern",
    [
        DelayConfig(delays=(0, 1, 1, 1), flatten_first=2),
        ParallelConfig(),
        FlattenConfig(flattening=(0, 1, 1, 1), delays=(0, 0, 0, 0)),
        CoarseFirstConfig(delays=(0, 1, 2)),
        MusicLMConfig(group_by=2),
    ],
    ids=lambda pattern: pattern.kind,
)
def test_every_pattern_goes_there_and_back(tmp_path: Path, pattern: Any) -> None:
    checkpoint = read_lm(PARITY / "musicgen_text_tiny" / "state_dict.bin")
    checkpoint.lm.config = checkpoint.lm.config.model_copy(update={"pattern": pattern})
    write_lm(tmp_path / "x.bin", checkpoint, 32000, 1)
    assert read_lm(tmp_path / "x.bin").lm.config.pattern == pattern


@pytest.mark.parametrize(
    ("shape", "name"),
    [
        ({}, "t5-base"),
        ({"dim": 1024, "num_layers": 24, "num_heads": 16, "feed_forward_dim": 4096}, "t5-large"),
        ({"dim": 1024, "num_layers": 24, "num_heads": 32, "head_dim": 128, "feed_forward_dim": 16384}, "t5-3b"),
        ({"feed_forward_dim": 2048, "feed_forward": "gated-gelu"}, "google/flan-t5-base"),
        ({"feed_forward_dim": 2048}, "text_encoder"),
    ],
)
def test_encoders_that_audiocraft_knows_are_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, shape: dict[str, Any], name: str
) -> None:
    model = tiny_musicgen()
    with on_meta():
        encoder = T5Encoder(T5Config(**shape))
        dim = encoder.config.dim
        conditioning = ConditionProvider(
            ConditioningConfig(dim=model.lm.config.dim, conditioners={"description": TextConfig(dim=dim)})
        )
    conditioning.load_state_dict(
        {key: torch.zeros(value.shape) for key, value in conditioning.state_dict().items()}, assign=True
    )
    conditioning.attach_text_encoder(TextEncoder(encoder, tiny_tokenizer()))
    monkeypatch.setattr(audiocraft, "write_text_encoder", lambda _, directory: directory.mkdir())
    write_musicgen(MusicGen(model.codec, model.lm, conditioning), tmp_path / "x")
    settings = yaml.safe_load(read_pickle(tmp_path / "x" / "state_dict.bin")["xp.cfg"])
    assert settings["conditioners"]["description"]["t5"]["name"] == name
    assert (tmp_path / "x" / "text_encoder").is_dir() == (name == "text_encoder")


def test_normalised_text_goes_there_and_back(tmp_path: Path) -> None:
    source = directory_of("musicgen_text_tiny", tmp_path)
    shutil.move(edited(tmp_path, conditioners__description__t5__normalize_text=True), source / "state_dict.bin")
    model = read_musicgen(source, find)
    write_musicgen(model, tmp_path / "back")
    again = read_musicgen(tmp_path / "back", find)
    for one in (model, again):
        long, short = one.conditioning.prepare([{"description": "the slow pianos"}, {"description": "slow piano"}])[
            "description"
        ]
        assert torch.equal(long, short)
    with pytest.raises(UserError, match="its text is normalised"):
        write_model(model, tmp_path / "other", "transformers")


def test_first_release_files_lack_a_version(tmp_path: Path) -> None:
    content = read_pickle(PARITY / "musicgen_text_tiny" / "state_dict.bin")
    torch.save({"best_state": content["best_state"], "xp.cfg": content["xp.cfg"]}, tmp_path / "x.bin")
    assert read_lm(tmp_path / "x.bin").text_encoder == "t5-base"


def test_plain_attention_has_longer_names(tmp_path: Path) -> None:
    content = read_pickle(PARITY / "musicgen_text_tiny" / "state_dict.bin")
    content["best_state"] = {
        name.replace("self_attn.", "self_attn.mha."): tensor for name, tensor in content["best_state"].items()
    }
    torch.save(content, tmp_path / "x.bin")
    assert read_lm(tmp_path / "x.bin").lm.config.num_layers == 3


def test_conditions_are_fused_in_the_order_of_the_reference() -> None:
    fuser = read_lm(PARITY / "musicgen_melody_tiny" / "state_dict.bin").conditioning.config.fuser
    assert (fuser.prepend, fuser.cross, fuser.mask_padding) == (("self_wav", "description"), (), False)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"lm_model": "transformer_lm_magnet"}, "lm_model is 'transformer_lm_magnet'"),
        ({"transformer_lm__positional_embedding": "rope"}, "positional_embedding is 'rope'"),
        ({"transformer_lm__qk_layer_norm": True}, "qk_layer_norm is True"),
        ({"transformer_lm__kv_repeat": 2}, "kv_repeat is 2"),
        ({"transformer_lm__norm_first": False}, "norm_first is False"),
        ({"transformer_lm__activation": "swish"}, "activation: .*'swish'"),
        ({"transformer_lm__dim": "wide"}, "malformed|dim"),
        ({"transformer_lm": {"dim": 8}}, "lacks 'n_q'"),
        ({"transformer_lm__num_layers": 2}, "holds, beyond"),
        ({"transformer_lm__num_layers": 4}, "lacks transformer.layers.3"),
        ({"transformer_lm__card": 63}, "of another shape: embeddings.0.weight"),
        ({"codebooks_pattern__modeling": "spiral"}, "pattern 'spiral' is unknown, the known ones are delay"),
        ({"fuser__input_interpolate": ["description"]}, "input_interpolate"),
        ({"fuser__cross_attention_pos_emb": True}, "cross_attention_pos_emb is True"),
        ({"interleave_stereo_codebooks": {"use": True, "per_timestep": True}}, "per_timestep is True"),
        ({"conditioners__description__model": "lut"}, "condition 'description' is of kind 'lut'"),
        ({"conditioners": {"self_wav": {"model": "lut", "lut": {}}}}, "of kind 'lut', which is not supported"),
        ({"conditioners__description__t5": {}}, "lacks 'name'"),
        ({"conditioners__description__t5__finetune": True}, "finetune is True"),
    ],
)
def test_other_models_are_refused_in_one_line(tmp_path: Path, changes: dict[str, Any], message: str) -> None:
    path = edited(tmp_path, **changes)
    with pytest.raises(CheckpointError, match=message) as caught:
        read_lm(path)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("content", [[1], {}, {"best_state": {"model": {}, "ema": {}}, "xp.cfg": "a: 1"}])
def test_files_of_another_kind_are_refused(tmp_path: Path, content: Any) -> None:
    torch.save(content, tmp_path / "x.bin")
    with pytest.raises(CheckpointError, match=r"x\.bin"):
        read_lm(tmp_path / "x.bin")


def test_an_unusual_analysis_window_is_refused(tmp_path: Path) -> None:
    content = read_pickle(PARITY / "musicgen_melody_tiny" / "state_dict.bin")
    content["best_state"]["condition_provider.conditioners.self_wav.chroma.spec.window"].zero_()
    torch.save(content, tmp_path / "x.bin")
    with pytest.raises(CheckpointError, match="not a Hann window"):
        read_lm(tmp_path / "x.bin")


def test_parts_that_do_not_belong_together_are_refused(tmp_path: Path) -> None:
    source = directory_of("musicgen_text_tiny", tmp_path)
    edited(tmp_path, interleave_stereo_codebooks={"use": True, "per_timestep": False}).replace(
        source / "state_dict.bin"
    )
    model = read_musicgen(source, find)  # 4 codebooks in stereo: 2 of the codec's 4 a channel
    assert (model.codec.channels, model.codec.num_codebooks) == (2, 4)
    shutil.copy(PARITY / "encodec_24khz_causal_tiny" / "compression_state_dict.bin", source)
    with pytest.raises(CheckpointError, match="64 codes per codebook, the other 32"):
        read_musicgen(source, find)


def test_a_pointer_is_followed(tmp_path: Path) -> None:
    def codec(name: str, part: str) -> Path:
        assert (name, part) == ("facebook/encodec_32khz", "codec")
        return PARITY / "encodec_32khz_tiny"

    assert find_codec(PARITY / "compression_pointer.bin", codec).sample_rate == 32000
    torch.save({"pretrained": "dac_44khz"}, tmp_path / "x.bin")
    with pytest.raises(CheckpointError, match="'dac_44khz': only EnCodec"):
        find_codec(tmp_path / "x.bin", codec)


def test_what_audiocraft_cannot_express_is_refused(tmp_path: Path) -> None:
    model = read_musicgen(directory_of("musicgen_text_tiny", tmp_path), find)
    model.lm.config = model.lm.config.model_copy(update={"num_special_tokens": 2})
    with pytest.raises(UserError, match=r"2 special tokens.*keep it as a Cadenza directory"):
        write_musicgen(model, tmp_path / "back")
    assert not (tmp_path / "back").exists()


@pytest.mark.parametrize(
    ("model", "condition", "changes", "message"),
    [
        ("musicgen_text_tiny", "description", {"pad_to": 64}, "padded to a fixed length"),
        ("musicgen_melody_tiny", "self_wav", {"length": 100}, "its length is 100, not the .* frames of the longest"),
        ("musicgen_melody_tiny", "self_wav", {"length": None}, "its length is None"),
        ("musicgen_melody_tiny", "self_wav", {"stems": "none"}, "its drums and bass are left in"),
        ("musicgen_melody_tiny", "self_wav", {"quiet_db": 40.0}, "it tells silence from tones"),
        ("musicgen_melody_tiny", "self_wav", {"null": "nothing"}, "a missing melody is nothing"),
    ],
)
def test_no_setting_of_a_condition_is_lost_on_the_way(
    tmp_path: Path, model: str, condition: str, changes: dict[str, Any], message: str
) -> None:
    music = read_musicgen(directory_of(model, tmp_path), find)
    write_musicgen(music, tmp_path / "back")
    config = music.conditioning.config
    parts = config.conditioners
    changed = {**parts, condition: parts[condition].model_copy(update=changes)}
    music.conditioning.config = config.model_copy(update={"conditioners": changed})
    with pytest.raises(UserError, match=message):
        write_musicgen(music, tmp_path / "other")
    assert not (tmp_path / "other").exists()
