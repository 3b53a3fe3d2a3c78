"""`cadenza info` counts what is there."""

import json

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
