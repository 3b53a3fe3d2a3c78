"""Adapters in requests: each piece with its own, on the way too, and in what a file says about itself."""

import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

from cadenza.audio import Audio
from cadenza.errors import UserError
from cadenza.lm.adapter import AdapterRecord, merge
from cadenza.pipelines import adapters
from cadenza.pipelines.musicgen import MusicGen
from cadenza.testing import tiny_adapter, tiny_lm, tiny_musicgen


@pytest.fixture(scope="module")
def music() -> MusicGen:
    music = tiny_musicgen()
    music.pack()  # as loading does
    return music


@pytest.fixture(scope="module")
def files(music: MusicGen, tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    folder = tmp_path_factory.mktemp("adapters")
    paths = [folder / "a.safetensors", folder / "b"]  # a file of ours, a directory of peft's
    for seed, path in enumerate(paths):
        tiny_adapter(music.lm, seed).save(path)
    return paths


def same(one: Audio, other: Audio) -> bool:
    return np.array_equal(one.samples, other.samples)


def test_each_piece_of_a_batch_has_its_own(music: MusicGen, files: list[Path]) -> None:
    a, b = files
    texts = ["harp", "harp", "harp", "a drum"]
    asked: list[list[object]] = [[], [(a, 0.7)], [(a, 0.7), (str(b), 0.3)], [(b, 0), a]]
    together = music.generate(texts, 0.2, [5, 5, 5, 6], adapters=asked)
    plain = music.generate("harp", 0.2, 5)
    assert same(together[0], plain)
    assert not same(together[1], plain)
    assert not same(together[2], together[1])
    for i, (text, seed) in enumerate(zip(texts, [5, 5, 5, 6], strict=True)):
        assert same(together[i], music.generate(text, 0.2, seed, adapters=asked[i]))
    assert same(music.generate("harp", 0.2, 5, adapters=[(a, 0.0)]), plain)
    assert "adapters" not in together[0].metadata
    assert [(one["name"], one["gain"]) for one in together[2].metadata["adapters"]] == [
        ("a.safetensors", 0.7),
        ("b", 0.3),
    ]


def test_streams_and_schedulers_too(music: MusicGen, files: list[Path], tmp_path: Path) -> None:
    """One that did not exist when the scheduler began, while another piece plays on."""
    a, b = files
    whole = music.generate("harp", 0.4, 5, adapters=[a])
    streamed = list(music.stream("harp", 0.4, 5, adapters=[a]))
    assert np.array_equal(np.concatenate([chunk.samples for chunk in streamed], axis=1), whole.samples)
    with music.scheduler(max_requests=2) as scheduler:
        first = scheduler.submit("harp", 0.4, 5, adapters=[a])
        next(first)
        shutil.copytree(b, tmp_path / "new")
        music.forget()  # what plays goes on
        second = scheduler.submit("harp", 0.2, 5, adapters=[tmp_path / "new"])
        third = scheduler.submit("harp", 0.2, 5)
        results = [first.result(), second.result(), third.result()]
    assert np.array_equal(results[0].samples, whole.samples[:, -results[0].num_samples :])
    assert same(results[1], music.generate("harp", 0.2, 5, adapters=[b]))
    assert same(results[2], music.generate("harp", 0.2, 5))


def test_a_take_asks_for_its_adapters(music: MusicGen, files: list[Path], tmp_path: Path) -> None:
    a, b = files
    made = music.generate("harp", 0.2, 5, adapters=[(a, 0.7), b])
    take = Audio.read(made.write(tmp_path / "take.flac"))
    assert same(music.regenerate(take), made)
    music.forget()
    with pytest.raises(UserError, match=r"with the adapter a\.safetensors \(.{12}\): give that file") as caught:
        music.regenerate(take)
    assert "\n" not in str(caught.value)
    assert same(music.regenerate(take, adapters=[b, a]), made)
    other = tmp_path / "other.safetensors"
    tiny_adapter(music.lm, 9).save(other)
    record = take.metadata | {"adapters": [{"name": "a", "hash": "b", "gain": float("nan")}]}
    with pytest.raises(UserError, match="cannot be read"):
        music.regenerate(Audio(take.samples, take.sample_rate, record))
    with pytest.raises(UserError, match=r"without the adapter other\.safetensors"):
        music.regenerate(take, adapters=[a, b, other])


def test_merged_is_the_same_music(files: list[Path]) -> None:
    """Sums in another order: logits of size 5 differ by 1e-5, and greedy codes not at all."""
    music = tiny_musicgen()
    adapter = tiny_adapter(music.lm, 0)
    beside = music.generate("harp", 0.2, 5, greedy=True, adapters=[(adapter, 0.7)])
    merge(music.lm, adapter, 0.7)
    np.testing.assert_allclose(music.generate("harp", 0.2, 5, greedy=True).samples, beside.samples, atol=1e-5)
    assert not same(tiny_musicgen().generate("harp", 0.2, 5, greedy=True), beside)


def test_quantised_models_play_adapters_and_refuse_to_swallow_them(music: MusicGen, tmp_path: Path) -> None:
    music.save_pretrained(tmp_path / "model")
    quantised = MusicGen.from_pretrained(tmp_path / "model", "cpu", "int8")
    adapter = tiny_adapter(music.lm, 0)
    pieces = quantised.generate(["harp", "harp"], 0.3, [5, 5], adapters=[[adapter], []])
    assert same(pieces[0], quantised.generate("harp", 0.3, 5, adapters=[adapter]))
    assert same(pieces[1], quantised.generate("harp", 0.3, 5))
    assert not same(*pieces)
    with pytest.raises(UserError, match="weights in int8 cannot take up an adapter"):
        merge(quantised.lm, adapter)


def test_read_once_and_only_so_many_kept(music: MusicGen, files: list[Path], monkeypatch: pytest.MonkeyPatch) -> None:
    music.forget()
    read: list[Path] = []
    monkeypatch.setattr(adapters, "read_adapter", lambda path: read.append(path) or tiny_adapter(music.lm, len(read)))
    for _ in range(3):
        music.generate("x", 0.1, 0, adapters=[files[0]])
    assert read == [files[0]]
    monkeypatch.setattr(adapters, "MOST_KEPT", 1)
    music.generate("x", 0.1, 0, adapters=[files[1]])
    music.generate("x", 0.1, 0, adapters=[files[0]])
    assert len(read) == 3
    assert len(music.desk.wardrobe._files) == 1
    music.forget()


def test_changed_settings_are_another_adapter(music: MusicGen, tmp_path: Path) -> None:
    """A directory of peft's holds them beside the weights."""
    tiny_adapter(music.lm, 0).save(tmp_path / "a")
    ((before,),) = music.desk.wardrobe.choose([tmp_path / "a"], 1)
    file = tmp_path / "a" / "adapter_config.json"
    file.write_text(file.read_text().replace('"lora_alpha": 4.0', '"lora_alpha": 8.0'))
    ((after,),) = music.desk.wardrobe.choose([tmp_path / "a"], 1)
    assert after.hash != before.hash
    assert after.hash == tiny_adapter(music.lm, 0, alpha=8.0).hash


def test_gains_of_numpy(music: MusicGen, files: list[Path]) -> None:
    ((worn,),) = music.desk.wardrobe.choose([(files[0], np.float32(0.5))], 1)
    assert worn.gain == 0.5


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ("a.safetensors", "give a list"),
        (["nowhere.safetensors"], "no adapter at nowhere.safetensors"),
        ([("a.safetensors", "much")], "counts 'much'"),
        ([("a.safetensors", float("nan"))], "counts nan"),
        ([("a.safetensors", True)], "counts True"),
        ([("a.safetensors", 10**400)], "counts 1000"),
        ([3], "3 is no adapter"),
        ([[], []], "2 lists of adapters for 1 prompts"),
        ([["a.safetensors"], "b.safetensors"], "2 lists of adapters for 1 prompts"),
    ],
)
def test_mistakes_are_one_line(music: MusicGen, given: object, message: str) -> None:
    with pytest.raises(UserError, match=message) as caught:
        music.desk.wardrobe.choose(given, 1)
    assert "\n" not in str(caught.value)


def test_adapters_of_other_models(music: MusicGen, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    stereo = tiny_adapter(tiny_lm(num_codebooks=8), targets=("heads",))
    with pytest.raises(UserError, match=r"changes decoder\.lm_heads\.4, which this model has not"):
        music.generate("x", 0.1, 0, adapters=[stereo])
    wide = tiny_adapter(music.lm)
    name, pair = next(iter(wide.weights.items()))
    wide = wide._replace(weights={**wide.weights, name: pair._replace(down=torch.zeros(4, 48))})
    with pytest.raises(UserError, match=r"for a model of another shape \(.* is 32 x 48 there, 32 x 32 here\)"):
        music.generate("x", 0.1, 0, adapters=[wide])
    foreign = tiny_adapter(music.lm, 3, AdapterRecord(base="other", base_weights="ab" * 32))
    music.generate("x", 0.1, 0, adapters=[foreign])
    assert [text for text in caplog.messages if "trained on other with weights abababababab" in text]
    with pytest.raises(UserError, match="given twice"):
        music.generate("x", 0.1, 0, adapters=[foreign, (foreign, 0.3)])
