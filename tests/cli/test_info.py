"""`cadenza info` counts what is there."""

import json
import shutil

import pytest

from cadenza.testing import tiny_musicgen


def test_counts(cadenza, model):
    facts = json.loads(cadenza("info", model, "--json").out)
    music = tiny_musicgen()
    for name, module in (("codec", music.codec), ("lm", music.lm), ("conditioning", music.conditioning)):
        assert facts["parts"][name]["parameters"] == sum(parameter.numel() for parameter in module.parameters())
    assert set(facts["parts"]) == {"codec", "lm", "conditioning", "conditioning/text_encoder"}
    assert facts["parameters"] == sum(part["parameters"] for part in facts["parts"].values())
    assert (facts["sample_rate"], facts["frame_rate"], facts["licence"]) == (32000, 50.0, "CC0-1.0")


def test_the_table(cadenza, model):
    result = cadenza("info", model)
    assert result.code == 0
    assert "tiny: mono, 32000 Hz, 50 frames a second" in result.out
    assert "licence of the weights: CC0-1.0" in result.out


def test_a_reader_is_a_part(cadenza, tmp_path):
    tiny_musicgen(plan=True).save_pretrained(tmp_path / "plan")
    result = cadenza("info", tmp_path / "plan")
    assert "plan (plan)" in result.out
    assert "reads plans: 2 genres, 3 instruments" in result.out


def test_what_weights_are_stored_as(cadenza, model, tmp_path):
    plain = json.loads(cadenza("info", model, "--json").out)
    assert cadenza("convert", model, "small", "--to", "cadenza", "--precision", "int4").code == 0
    small = json.loads(cadenza("info", "small", "--json").out)
    assert (plain["parts"]["lm"]["precision"], small["parts"]["lm"]["precision"]) == ("fp32", "int4")
    assert small["parts"]["codec"]["precision"] == "fp32"
    assert small["parts"]["lm"]["parameters"] == plain["parts"]["lm"]["parameters"]
    assert small["parts"]["lm"]["bytes"] < 0.5 * plain["parts"]["lm"]["bytes"]
    assert " int4 " in cadenza("info", "small").out


def test_no_model(cadenza, tmp_path):
    result = cadenza("info", tmp_path)
    assert (result.code, result.err.count("\n")) == (2, 1)


def test_corrupt_models(cadenza, tmp_path):
    directory = tmp_path / "model"
    tiny_musicgen().save_pretrained(directory)
    weights = directory / "lm" / "model.safetensors"
    content = weights.read_bytes()
    for damage in (content[:1000], b"", b"\xff" * 1000):
        weights.write_bytes(damage)
        result = cadenza("generate", "x", "--model", directory)
        assert (result.code, result.err.count("\n")) == (2, 1)
        assert "model.safetensors" in result.err
    (directory / "config.json").write_text("{")
    result = cadenza("info", directory)
    assert (result.code, result.err.count("\n")) == (2, 1)


def test_damage_is_found_before_it_is_loaded(cadenza, tmp_path):
    directory = tmp_path / "model"
    tiny_musicgen().save_pretrained(directory)
    weights = directory / "lm" / "model.safetensors"
    content = weights.read_bytes()
    for damage in (content[: len(content) // 2], b"", None):
        weights.unlink() if damage is None else weights.write_bytes(damage)
        result = cadenza("info", directory)
        assert (result.code, result.err.count("\n")) == (2, 1), result.err
        assert "lm/model.safetensors" in result.err
    weights.write_bytes(content)
    assert cadenza("info", directory).code == 0


@pytest.mark.parametrize(
    ("part", "changes"),
    [
        ("lm", {"num_layers": 10**7}),  # would take all memory, or all day
        ("lm", {"num_heads": 3}),
        ("lm", {"dim": -32}),
        ("codec", {"sample_rate": 0}),
        ("codec", {"latent_dim": 0}),
        ("codec", {"used_codebooks": 9}),
        ("codec", {"segment_overlap": 2}),
        ("codec", {"hops": [0]}),
        ("codec", {"ratios": [2, 2]}),
        ("conditioning", {"fuser": {"cross": ["nobody"]}}),
    ],
)
def test_hostile_configurations(cadenza, tmp_path, model, part, changes):
    directory = tmp_path / "model"
    shutil.copytree(model, directory)
    path = directory / part / "config.json"
    config = json.loads(path.read_text())
    if "ratios" in changes:
        config["decoder"] |= changes
    else:
        config |= changes
    path.write_text(json.dumps(config))
    for arguments in (("info", directory), ("generate", "x", "--model", directory, "--duration", 0.3)):
        result = cadenza(*arguments)
        assert (result.code, result.err.count("\n")) == (2, 1), result.err


def test_json_without_end(cadenza, tmp_path, model):
    directory = tmp_path / "model"
    shutil.copytree(model, directory)
    (directory / "lm" / "config.json").write_text("[" * 100_000)
    result = cadenza("info", directory)
    assert (result.code, result.err.count("\n")) == (2, 1), result.err
