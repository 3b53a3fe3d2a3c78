"""Tags: what is dropped where the tagger is known, and what the signal says of sounds with a known answer."""

import json
import sys
import warnings
from pathlib import Path

import numpy as np
import pytest

from cadenza.audio import Audio
from cadenza.data import filter as module
from cadenza.data.filter import content_of, filter_manifest, tag_recording
from cadenza.data.filter_signal import SignalTagger, measure
from cadenza.data.manifest import Entry, read_manifest, write_manifest
from cadenza.data.tags import AstTagger, Scores, Tagger
from cadenza.errors import UserError

RATE = 8000


class Known:
    """Takes the scores from the level of the first sample: a hundred of it counts voices, and so on."""

    name = "known"
    heard = 0

    def judge(self, audio: Audio) -> Scores:
        type(self).heard += 1
        code = round(float(audio.samples[0, 0]) * 1000)
        return Scores(code // 100 / 10, code // 10 % 10 / 10, code % 10 / 10)


@pytest.fixture
def known(monkeypatch: pytest.MonkeyPatch) -> type[Known]:
    Known.heard = 0
    monkeypatch.setattr(module, "AstTagger", lambda source: Known())
    return Known


def write(folder: Path, codes: dict[str, int], seconds: float = 0.5) -> Path:
    """Recordings whose samples are all `code / 1000`, for `Known`."""
    entries = []
    for name, code in codes.items():
        Audio(np.full((1, round(seconds * RATE)), code / 1000, np.float32), RATE).write(folder / f"{name}.wav", None)
        entries.append(Entry(path=str(folder / f"{name}.wav"), duration=seconds, sample_rate=RATE, captions=("words",)))
    write_manifest(folder / "manifest.jsonl", entries)
    return folder


def rows(path: Path) -> list[dict]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_tags_stand_in_a_new_manifest_with_their_method(tmp_path: Path, known: type[Known]) -> None:
    report = filter_manifest(write(tmp_path, {"song": 809, "rain": 91}), tagger="known")
    song, rain = read_manifest(tmp_path / "tagged.jsonl")
    assert content_of(song) == {"vocals": 0.8, "noise": 0.0, "non-music": 0.1, "method": "known"}
    assert content_of(rain) == {"vocals": 0.0, "noise": 0.9, "non-music": 0.9, "method": "known"}
    assert (song.id, song.captions) == ("song", ("words",))
    assert not (tmp_path / "filtered.jsonl").exists()
    assert not (tmp_path / "dropped.jsonl").exists()
    assert report.lines() == [f"{tmp_path / 'tagged.jsonl'}: 2 recordings with tags"]
    assert "content" not in rows(tmp_path / "manifest.jsonl")[0]


@pytest.mark.parametrize(
    ("drop", "threshold", "kept"),
    [
        (("vocals",), 0.5, ["music", "rain"]),
        (("noise",), 0.5, ["music", "song"]),
        (("noise",), 0.95, ["music", "song", "rain"]),
        (("vocals", "noise", "non-music"), 0.5, ["music"]),
        (("vocals",), 0.8, ["music", "rain"]),  # at the threshold counts
    ],
)
def test_dropping(tmp_path: Path, known: type[Known], drop: tuple[str, ...], threshold: float, kept: list[str]) -> None:
    folder = write(tmp_path, {"music": 109, "song": 809, "rain": 91})
    report = filter_manifest(folder, None, drop, threshold, "known")
    assert [entry.id for entry in read_manifest(tmp_path / "filtered.jsonl")] == kept == [e.id for e in report.kept]
    assert [entry.id for entry in read_manifest(tmp_path / "tagged.jsonl")] == ["music", "song", "rain"]
    assert len(list(tmp_path.glob("*.wav"))) == 3


def test_the_list_of_what_was_dropped_says_why_and_does_not_outlive_its_run(tmp_path: Path, known: type[Known]) -> None:
    folder = write(tmp_path, {"music": 109, "song": 809})
    filter_manifest(folder, None, ("vocals", "non-music"), 0.5, "known")
    (row,) = rows(tmp_path / "dropped.jsonl")
    assert row == {"id": "song", "path": str(tmp_path / "song.wav"), "reason": "vocals 0.80 (known)"}
    filter_manifest(folder, None, ("noise",), 0.5, "known")
    assert not (tmp_path / "dropped.jsonl").exists()


def test_what_cannot_be_read_is_listed_and_the_rest_goes_on(tmp_path: Path, known: type[Known]) -> None:
    folder = write(tmp_path, {"music": 109, "broken": 109, "gone": 109})
    (folder / "broken.wav").write_bytes(b"RIFF nothing")
    (folder / "gone.wav").unlink()
    report = filter_manifest(folder, None, ("noise",), 0.5, "known")
    assert [entry.id for entry in report.kept] == ["music"]
    assert [row["id"] for row in rows(folder / "dropped.jsonl")] == ["broken", "gone"]
    assert "no such file" in rows(folder / "dropped.jsonl")[1]["reason"]
    assert [entry.id for entry in read_manifest(folder / "tagged.jsonl")] == ["music"]


def test_what_was_judged_is_not_judged_again_by_the_same_method(tmp_path: Path, known: type[Known]) -> None:
    folder = write(tmp_path, {"music": 109, "song": 809})
    filter_manifest(folder, tagger="known")
    assert known.heard == 2
    assert [e.id for e in filter_manifest(folder, None, ("vocals",), 0.9, "known").kept] == ["music", "song"]
    assert known.heard == 2
    filter_manifest(folder, tagger="another")
    assert known.heard == 4
    assert content_of(read_manifest(folder / "tagged.jsonl")[0])["method"] == "another"


def test_an_interrupted_run_goes_on(tmp_path: Path, known: type[Known], monkeypatch: pytest.MonkeyPatch) -> None:
    folder = write(tmp_path, {"one": 109, "two": 109, "three": 109})
    monkeypatch.setattr(module, "_SAVE_SECONDS", -1.0)

    def stop(done: int, total: int) -> None:
        if done == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        filter_manifest(folder, tagger="known", progress=stop)
    filter_manifest(folder, tagger="known")
    assert known.heard == 3 + 1


def test_voices_count_in_a_quarter_of_a_long_recording_and_noise_on_the_whole() -> None:
    class Sometimes:
        name = "sometimes"
        turn = 0

        def judge(self, audio: Audio) -> Scores:
            self.turn += 1
            here = self.turn in (2, 3)
            return Scores(0.9 * here, 0.6 * here, 1.0)

    audio = Audio(np.zeros((1, 60 * 100), np.float32), 100)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Audio, "read", lambda path, start, seconds: audio.slice(start, seconds))
        assert tag_recording(Sometimes(), "any", 60.0) == {"vocals": 0.675, "noise": 0.2, "non-music": 0.0}


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"drop": ("voices",)}, "cannot drop 'voices': choose among vocals, noise, non-music"),
        ({"threshold": 0.0}, "threshold 0.0"),
        ({"workers": 0}, "0 workers"),
        ({"tagger": "/nowhere/at/all"}, "no tagger /nowhere/at/all"),
    ],
)
def test_mistakes(tmp_path: Path, settings: dict, message: str) -> None:
    with pytest.raises(UserError, match=message) as caught:
        filter_manifest(write(tmp_path, {"music": 109}), **settings)
    assert "\n" not in str(caught.value)


# -------------------------------------------------------------------------------------------------------------- signal


def chord(seconds: float = 6.0) -> Audio:
    """A tune of chords with overtones that decay: as musical as sines can be."""
    time = np.arange(round(seconds * 16000)) / 16000
    beat = (time * 2).astype(int)
    root = 220 * 2 ** (np.array([0, 5, 7, 3])[beat % 4] / 12)
    wave = sum(np.sin(2 * np.pi * root * k * time) / k for k in (1, 1.25, 1.5, 2, 3, 4, 5))
    return Audio((0.1 * np.asarray(wave) * np.exp(-2 * (time * 2 % 1))).astype(np.float32), 16000)


def hiss(seconds: float = 6.0, rate: int = 16000) -> Audio:
    return Audio(0.1 * np.random.default_rng(0).standard_normal(round(seconds * rate)).astype(np.float32), rate)


@pytest.fixture
def talk(monkeypatch: pytest.MonkeyPatch) -> Audio:
    monkeypatch.syspath_prepend(str(Path(__file__).parents[2] / "benchmarks"))
    import content_sounds

    made = content_sounds.make("man", 3, 6.0)
    sys.modules.pop("content_sounds")
    return made


def test_the_signal_tells_music_noise_and_talk_apart(talk: Audio) -> None:
    tagger = SignalTagger()
    assert isinstance(tagger, Tagger)
    scores = [tagger.judge(audio) for audio in (chord(), hiss(), talk)]
    assert [int(np.argmax([s.music, s.noise, s.vocals])) for s in scores] == [0, 1, 2]
    assert all(sum(s) == pytest.approx(1) for s in scores)


def test_each_figure_says_what_it_is_said_to_say(talk: Audio) -> None:
    music, noise, voice = (measure(audio) for audio in (chord(), hiss(), talk))
    assert music is not None and noise is not None and voice is not None
    # White noise: E[ln x] of a chi-square with 2 degrees of freedom is -0.577 below the mean, -0.25 in powers of ten.
    assert noise["flatness"] == pytest.approx(-0.2507, abs=0.01)
    assert music["flatness"] < -1 and voice["flatness"] < -1
    assert music["held"] > 0.8 > voice["held"] > noise["held"]
    assert voice["swing"] > 0.8 > music["swing"] > noise["swing"]
    assert voice["gaps"] > 0.1 > noise["gaps"]


@pytest.mark.parametrize("gain", [0.05, 4.0])
def test_level_and_rate_do_not_matter(gain: float) -> None:
    plain, tagger = SignalTagger().judge(chord()), SignalTagger()
    louder = Audio(chord().samples * np.float32(gain), 16000)
    np.testing.assert_allclose(tagger.judge(louder), plain, atol=1e-4)  # rounding to float32
    # Up to 44.1 kHz and down again costs the band next to 8 kHz only.
    np.testing.assert_allclose(tagger.judge(chord().resample(44100)), plain, atol=0.02)


def test_silence_is_no_music_and_no_noise(tmp_path: Path) -> None:
    Audio(np.zeros((2, 16000), np.float32), 16000).write(tmp_path / "silence.wav", None)
    assert tag_recording(SignalTagger(), tmp_path / "silence.wav", 1.0) == {"vocals": 0, "noise": 0, "non-music": 1}


@pytest.mark.parametrize("samples", [1, 500, 1024, 1025])
def test_the_shortest_sounds_are_judged(samples: int) -> None:
    assert sum(SignalTagger().judge(Audio(np.full(samples, 0.5, np.float32), 16000))) == pytest.approx(1)


@pytest.mark.slow  # two processes import torch
def test_processes_find_what_one_finds(tmp_path: Path) -> None:
    for name, audio in (("chord", chord(2.0)), ("hiss", hiss(2.0))):
        audio.write(tmp_path / f"{name}.wav", None)
    paths = sorted(tmp_path.glob("*.wav"))
    write_manifest(tmp_path / "manifest.jsonl", [Entry(path=str(p), duration=2.0, sample_rate=16000) for p in paths])
    alone = filter_manifest(tmp_path, tmp_path / "alone")
    many = filter_manifest(tmp_path, tmp_path / "many", workers=2)
    assert [content_of(e) for e in many.kept] == [content_of(e) for e in alone.kept]
    assert content_of(many.kept[1])["noise"] > 0.9
    with pytest.raises(
        UserError, match="no tagger /nowhere/at/all"
    ):  # and does not wait for processes that never begin
        filter_manifest(tmp_path, tmp_path / "none", tagger="/nowhere/at/all", workers=2)


# ------------------------------------------------------------------------------------------------------ trained tagger


@pytest.fixture(scope="module")
def ast(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny AST with random weights and six of AudioSet's classes."""
    import torch
    import transformers

    folder = tmp_path_factory.mktemp("ast")
    torch.manual_seed(0)
    names = ["Dog", "Speech", "Rain", "Music", "Singing", "Musical instrument"]
    config = transformers.ASTConfig(
        hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=16, max_length=64, num_labels=6
    )
    config.id2label, config.label2id = dict(enumerate(names)), {name: i for i, name in enumerate(names)}
    transformers.ASTForAudioClassification(config).save_pretrained(folder)
    with warnings.catch_warnings(action="ignore"):
        transformers.ASTFeatureExtractor(max_length=64).save_pretrained(folder)
    return folder


def test_a_trained_tagger_gives_the_likeliest_class_of_each_group(ast: Path) -> None:
    import torch
    import transformers

    tagger = AstTagger(ast)
    found = tagger.judge(hiss(1.0, 22050))
    model = transformers.ASTForAudioClassification.from_pretrained(ast).eval()
    wave = hiss(1.0, 22050).resample(16000).samples[0]
    features = tagger._front_end(wave, sampling_rate=16000, return_tensors="pt")
    with torch.no_grad():
        chance = model(**features).logits[0].sigmoid().tolist()
    assert found == pytest.approx((max(chance[1], chance[4]), chance[2], max(chance[3], chance[5])))
    assert tagger.name == str(ast)


def test_a_tagger_of_other_classes_is_refused(ast: Path, tmp_path: Path) -> None:
    for file in ast.iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    config = json.loads((tmp_path / "config.json").read_text())
    config["id2label"] = {str(i): f"bird {i}" for i in range(6)}
    (tmp_path / "config.json").write_text(json.dumps(config))
    with pytest.raises(UserError, match="no class for speech, noise or music"):
        AstTagger(tmp_path)
    with pytest.raises(UserError, match=r"holds no config.json: give the folder"):
        AstTagger(tmp_path.parent)


def test_without_transformers_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "transformers", None)
    with pytest.raises(UserError, match=r"pip install cadenza\[hub\]"):
        AstTagger("any")
