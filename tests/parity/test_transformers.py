"""Side by side with `transformers` on random weights: codec, logits, whole generation; and our files in theirs."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from cadenza.conditioning.base import Condition
from cadenza.conditioning.fuser import fuse
from cadenza.conditioning.t5 import T5Config, T5Encoder, TextTokenizer
from cadenza.conditioning.text import TextEncoder
from cadenza.convert import transformers as ours_transformers
from cadenza.convert import transformers_codec
from cadenza.convert.parts import text_encoder
from cadenza.convert.transformers import read_musicgen, write_musicgen, write_text_encoder
from cadenza.errors import CheckpointError, UserError
from cadenza.lm.patterns import ParallelConfig
from cadenza.pipelines.musicgen import MusicGen
from transformers_models import CLOSE, CODECS, FRAMES, T5, TEXTS, random_codec, random_musicgen, their_audio, tokens


@pytest.fixture(autouse=True)
def quiet() -> None:
    import transformers

    transformers.logging.set_verbosity_error()  # it warns that its own special token is beyond the vocabulary
    transformers.utils.logging.disable_progress_bar()


def conditions_of(model: MusicGen) -> Any:
    return model.conditioning(model.conditioning.prepare([{"description": text} for text in TEXTS]))


# ---- the codec -------------------------------------------------------------------------------------------------------


@torch.no_grad()
@pytest.mark.parametrize("kind", CODECS)
def test_codecs_agree_and_go_back(kind: str, tmp_path: Path) -> None:
    from transformers import AutoFeatureExtractor, EncodecModel

    theirs = random_codec(kind)
    theirs.save_pretrained(tmp_path / "theirs")
    ours = transformers_codec.read_codec(tmp_path / "theirs")
    samples = 4800 + 4752 if kind == "48 kHz" else 9600  # two whole segments
    audio = 0.3 * torch.randn(1, ours.channels, samples)
    coded = theirs.encode(audio, bandwidth=theirs.config.target_bandwidths[-1])
    codes, scale = ours.encode(audio)
    assert torch.equal(codes, torch.cat(list(coded.audio_codes), dim=-1)[..., : codes.shape[-1]])
    if kind != "48 kHz":  # how its segments are joined is tested with the codec
        decoded = theirs.decode(coded.audio_codes, coded.audio_scales)[0]
        torch.testing.assert_close(ours.decode(codes, scale), decoded, **CLOSE)

    transformers_codec.write_codec(ours, tmp_path / "back")
    again, report = EncodecModel.from_pretrained(tmp_path / "back", output_loading_info=True)
    assert not any(report.values()), report
    assert torch.equal(again.encode(audio).audio_codes, coded.audio_codes)
    assert transformers_codec.read_codec(tmp_path / "back").config == ours.config
    assert AutoFeatureExtractor.from_pretrained(tmp_path / "back").sampling_rate == ours.sample_rate


def test_files_of_the_hub_name_weight_norm_the_old_way(tmp_path: Path) -> None:
    theirs = random_codec("32 kHz")
    theirs.save_pretrained(tmp_path)
    old, new = ("weight_g", "weight_v"), ("parametrizations.weight.original0", "parametrizations.weight.original1")
    state = load_file(tmp_path / "model.safetensors")
    for before, after in zip(new, old, strict=True):
        state = {name.replace(before, after): tensor for name, tensor in state.items()}
    (tmp_path / "model.safetensors").unlink()
    torch.save(state, tmp_path / "pytorch_model.bin")
    codec = transformers_codec.read_codec(tmp_path)
    assert torch.equal(codec.decoder.layers[0].conv.weight_v, state["decoder.layers.0.conv.weight_v"])


# ---- the whole -------------------------------------------------------------------------------------------------------


@torch.no_grad()
@pytest.mark.parametrize("stereo", [False, True], ids=["mono", "stereo"])
def test_musicgen_agrees_and_goes_back(stereo: bool, tmp_path: Path) -> None:
    from transformers import AutoProcessor, AutoTokenizer, MusicgenForConditionalGeneration

    theirs, batch = random_musicgen(stereo), tokens()
    theirs.save_pretrained(tmp_path / "theirs")
    AutoTokenizer.from_pretrained(T5).save_pretrained(tmp_path / "theirs")
    read_musicgen(tmp_path / "theirs", "tiny").save_pretrained(tmp_path / "ours")
    ours = MusicGen.from_pretrained(tmp_path / "ours", "cpu")

    codebooks = ours.lm.config.num_codebooks
    codes = torch.randint(0, 64, (2, codebooks, 9))
    sequence, _ = ours.lm.pattern.build(codes, 64)
    their_logits = theirs(**batch, decoder_input_ids=sequence.flatten(0, 1)).logits.view(2, codebooks, -1, 64)
    torch.testing.assert_close(ours.lm(sequence, conditions_of(ours)), their_logits, **CLOSE)

    made = ours.generate(TEXTS, duration=FRAMES / 50, greedy=True, guidance=3.0)
    expected = their_audio(theirs, batch, guidance_scale=3.0)
    samples = np.stack([audio.samples for audio in made])
    assert samples.shape == (2, 2 if stereo else 1, FRAMES * 640) == expected.shape
    torch.testing.assert_close(torch.from_numpy(samples), expected, **CLOSE)

    write_musicgen(ours, tmp_path / "back")
    again, report = MusicgenForConditionalGeneration.from_pretrained(tmp_path / "back", output_loading_info=True)
    assert not any(report.values()), report
    processed = AutoProcessor.from_pretrained(tmp_path / "back")(text=TEXTS, padding=True, return_tensors="pt")
    assert all(torch.equal(processed[key], batch[key]) for key in batch)
    assert torch.equal(again(**batch, decoder_input_ids=sequence.flatten(0, 1)).logits, their_logits.flatten(0, 1))
    # Without settings of the caller's: start token, guidance and length come from the written generation_config.json.
    assert torch.equal(their_audio(again, processed), expected)
    assert again.generation_config.max_length == 1504  # 30 s


@torch.no_grad()
@pytest.mark.parametrize("feed_forward", ["relu", "gated-gelu"], ids=["T5", "FLAN-T5"])
def test_text_encoders_go_there_and_back(feed_forward: str, tmp_path: Path) -> None:
    """Alone, and inside a whole model."""
    from transformers import AutoTokenizer, MusicgenForConditionalGeneration, T5EncoderModel

    shape = {"vocab_size": 128, "dim": 48, "head_dim": 12, "num_heads": 4, "num_layers": 2, "feed_forward_dim": 96}
    module = T5Encoder(T5Config(**shape, feed_forward=feed_forward)).eval()
    module.initialize(torch.Generator().manual_seed(1))
    encoder = TextEncoder(module, TextTokenizer.from_pretrained(T5))
    write_text_encoder(encoder, tmp_path / "alone")
    random_musicgen(False).save_pretrained(tmp_path / "theirs")
    AutoTokenizer.from_pretrained(T5).save_pretrained(tmp_path / "theirs")
    model = read_musicgen(tmp_path / "theirs")
    model.conditioning.attach_text_encoder(encoder)
    write_musicgen(model, tmp_path / "whole")

    alone, report = T5EncoderModel.from_pretrained(tmp_path / "alone", output_loading_info=True)
    assert not any(report.values()), report
    whole, report = MusicgenForConditionalGeneration.from_pretrained(tmp_path / "whole", output_loading_info=True)
    assert not any(report.values()), report
    batch = AutoTokenizer.from_pretrained(tmp_path / "alone")(TEXTS, padding=True, return_tensors="pt")
    for theirs in (alone, whole.text_encoder):
        hidden = theirs(**batch).last_hidden_state
        for row, mask, own in zip(hidden, batch["attention_mask"].bool(), encoder.encode(TEXTS), strict=True):
            torch.testing.assert_close(own, row[mask], **CLOSE)
    again = text_encoder(read_musicgen(tmp_path / "whole"))
    assert again is not None
    assert again.model.config == module.config
    assert all(torch.equal(a, b) for a, b in zip(again.model.parameters(), module.parameters(), strict=True))


# ---- refusals --------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from transformers import AutoTokenizer

    path = tmp_path_factory.mktemp("theirs")
    random_musicgen(False).save_pretrained(path)
    AutoTokenizer.from_pretrained(T5).save_pretrained(path)
    return path


@pytest.mark.parametrize(
    ("section", "key", "value", "message"),
    [
        (None, "model_type", "llama", "holds a 'llama' model"),
        (None, "decoder", None, "no section 'decoder'"),
        ("audio_encoder", "model_type", "dac", "model_type is 'dac'"),
        ("decoder", "scale_embedding", True, "scale_embedding is True"),
        ("decoder", "num_codebooks", "four", "malformed"),
        ("decoder", "num_hidden_layers", 3, "lacks model.decoder.layers.2"),
        ("audio_encoder", "upsampling_ratios", [], "malformed|shape|lacks|greater than"),
        ("text_encoder", "d_model", 47, "of another shape"),
    ],
)
def test_broken_directories_are_refused_in_one_line(
    directory: Path, tmp_path: Path, section: str | None, key: str, value: Any, message: str
) -> None:
    import json
    import shutil

    shutil.copytree(directory, tmp_path / "x")
    settings = json.loads((tmp_path / "x" / "config.json").read_text())
    (settings if section is None else settings[section])[key] = value
    (tmp_path / "x" / "config.json").write_text(json.dumps(settings))
    with pytest.raises(CheckpointError, match=message) as caught:
        read_musicgen(tmp_path / "x")
    assert str(tmp_path / "x") in str(caught.value)
    assert "\n" not in str(caught.value)


def test_shards_are_joined_and_must_stay_inside(directory: Path, tmp_path: Path) -> None:
    import json
    import shutil

    from safetensors.torch import save_file

    shutil.copytree(directory, tmp_path / "x")
    whole = tmp_path / "x" / "model.safetensors"
    state = load_file(whole)
    whole.unlink()
    names = sorted(state)
    parts = {"one.safetensors": names[::2], "two.safetensors": names[1::2]}
    for file, part in parts.items():
        save_file({name: state[name] for name in part}, tmp_path / "x" / file)
    index = tmp_path / "x" / "model.safetensors.index.json"
    index.write_text(json.dumps({"weight_map": {name: file for file, part in parts.items() for name in part}}))
    read = read_musicgen(tmp_path / "x")
    assert torch.equal(read.lm.heads[0].weight, state["decoder.lm_heads.0.weight"])
    index.write_text(json.dumps({"weight_map": {"a": "../../secret.safetensors"}}))
    with pytest.raises(CheckpointError, match="outside its directory"):
        read_musicgen(tmp_path / "x")
    index.unlink()
    with pytest.raises(CheckpointError, match=r"no model\.safetensors and no pytorch_model\.bin"):
        read_musicgen(tmp_path / "x")


def test_mixed_precisions_are_written_as_one(directory: Path, tmp_path: Path) -> None:
    from transformers import MusicgenForConditionalGeneration

    model = read_musicgen(directory)
    model.lm.half()
    write_musicgen(model, tmp_path / "back")
    theirs = MusicgenForConditionalGeneration.from_pretrained(tmp_path / "back")
    assert {parameter.dtype for parameter in theirs.parameters()} == {torch.float32}
    assert torch.equal(theirs.decoder.lm_heads[0].weight, model.lm.heads[0].weight.float())


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"pattern": ParallelConfig()}, "not the plain delay"),
        ({"head_bias": True}, "it has biases"),
        ({"norm_first": False}, "norms come after"),
        ({"num_special_tokens": 2}, "2 special tokens"),
    ],
)
def test_what_transformers_cannot_express_is_refused(
    directory: Path, tmp_path: Path, changes: dict[str, Any], message: str
) -> None:
    model = read_musicgen(directory)
    model.lm.config = model.lm.config.model_copy(update=changes)
    with pytest.raises(UserError, match=message):
        write_musicgen(model, tmp_path / "back")
    assert not (tmp_path / "back").exists()


def test_configurations_may_leave_out_defaults() -> None:
    """What we take for a missing field is what transformers takes for it."""
    from transformers import EncodecConfig, MusicgenDecoderConfig, T5Config

    for own, theirs in (
        (transformers_codec._DEFAULTS, EncodecConfig()),
        (ours_transformers._DECODER_DEFAULTS, MusicgenDecoderConfig()),
        (ours_transformers._T5_DEFAULTS, T5Config()),
    ):
        for key, value in own.items():
            expected = getattr(theirs, key)
            assert value == (list(expected) if isinstance(expected, tuple) else expected), key


def test_conditions_are_masked_as_transformers_masks_them(directory: Path) -> None:
    model = read_musicgen(directory)
    mask = torch.tensor([[True, False]])
    condition = Condition(torch.randn(1, 2, 32), mask)
    fused = fuse({"description": condition}, model.conditioning.config.fuser)
    assert fused.cross_mask is not None
    assert torch.equal(fused.cross_mask, mask)
