"""Measuring sets: everything heard once, the same for any number of workers, and nothing lost on the way to a file."""

import pickle
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import pytest

from cadenza.audio import Audio
from cadenza.errors import CadenzaError, UserError
from cadenza.evaluate.chroma import chroma_similarity
from cadenza.evaluate.clips import Asked, Clip, ClipSet, read_clips
from cadenza.evaluate.embedders.base import Embedder, Identity, JointEmbedder, Labeller
from cadenza.evaluate.embedders.listener import Listener
from cadenza.evaluate.embedders.listener_network import ListenerConfig
from cadenza.evaluate.hearing import Ear
from cadenza.evaluate.measure import measure, sound_hash
from cadenza.evaluate.measurements import Measurements, is_measured
from cadenza.testing import noise, tone


@dataclass
class Peaks:
    """Hears the level and the length of a clip, as everything that can be heard, and counts how often it did."""

    weights: str = "1" * 64
    name: str = "peaks"
    least_seconds: float = 0.5
    dim: int = 2
    labels: tuple[str, ...] = ("loud", "long")
    asked: list[str] = field(default_factory=list)

    @property
    def identity(self) -> Identity:
        return Identity(self.name, self.weights)

    def embed(self, audio: Audio) -> np.ndarray:
        self.asked.append("embed")
        parts = max(1, int(audio.duration_seconds))
        return np.array([[np.abs(audio.samples).max(), audio.duration_seconds]] * parts, np.float32)

    def probabilities(self, audio: Audio) -> np.ndarray:
        return self.embed(audio)[:1]

    def embed_audio(self, audio: Audio) -> np.ndarray:
        return self.embed(audio)[0]

    def embed_text(self, texts: Sequence[str]) -> np.ndarray:
        self.asked.append("text")
        return np.array([[len(text), 1.0] for text in texts], np.float32)

    def instrument_probabilities(self, audio: Audio) -> dict[str, float]:
        return {"tone": 0.9, "noise": 0.1}

    def heard(self, probabilities: dict[str, float]) -> list[str]:
        return ["tone"]

    def genre_probabilities(self, audio: Audio) -> dict[str, float]:
        return {"test": 1.0}


@pytest.fixture
def clips(tmp_path: Path) -> ClipSet:
    """Two tones, and much that cannot be judged."""
    folder = tmp_path / "clips"
    tone(440.0, 1.5, 16000, level=0.01).write(folder / "a.wav", None)
    tone(330.0, 2.5, 8000, channels=2).write(folder / "b.wav", None)
    tone(440.0, 1.5, 16000, level=0.0).write(folder / "silent.wav", None)
    broken = tone(440.0, 4.0, 16000).write(folder / "cut.flac", None)
    broken.write_bytes(broken.read_bytes()[:-3000])
    tone(440.0, 0.2, 16000).write(folder / "short.wav", None)
    found = read_clips(folder)
    first = replace(found.clips[0], asked=Asked("a tone"), piece="p")
    return replace(found, clips=(first, *found.clips[1:]))


def test_the_stand_in_is_all_four() -> None:
    for kind in (Embedder, Labeller, JointEmbedder, Ear):
        assert isinstance(Peaks(), kind)


def test_everything_is_heard_once_and_what_is_wrong_is_listed(clips: ClipSet, tmp_path: Path) -> None:
    ear, told = Peaks(), []
    found = measure(clips, [ear], [ear], [ear], ear, cache=tmp_path / "c", progress=lambda *n: told.append(n))
    assert found.ids == ("a", "b")
    assert told[-1] == (len(clips), len(clips))
    reasons = {refused.name: refused.reason for refused in found.refused}
    assert reasons.keys() == {"short.wav", "silent", "cut"}
    assert reasons["silent"] == "silent: below -70 LUFS throughout"
    assert str(tmp_path) not in str(reasons)
    a, b = found.clips
    assert a.heard.loudness_lufs == pytest.approx(
        -43.6, abs=0.1
    )  # a sine of 0.01 has -43.0 dB; at 440 Hz 0.6 less count
    assert (b.heard.channels, b.heard.sample_rate, b.heard.duration_seconds) == (2, 8000, 2.5)
    assert (a.heard.named, a.heard.genre) == (("tone",), "test")
    assert set(a.pitches.tolist()) == {9}  # A
    # Networks hear -14 LUFS: 29.6 dB more than the file holds.
    level = found.embeddings["peaks"].windows
    assert [len(windows) for windows in level] == [1, 2]
    assert level[0][0, 0] == pytest.approx(0.302, abs=0.004)
    assert found.labels["peaks"].windows[1].shape == (1, 2)
    assert np.array_equal(found.joint["peaks"].text, [[6.0, 1.0], [0.0, 0.0]])
    assert found.pieces("peaks")[0].shape == (1, 2)
    assert found.settings["ear"]["name"] == "peaks"


def test_an_interrupted_run_goes_on(clips: ClipSet, tmp_path: Path) -> None:
    def stop(done: int, total: int) -> None:
        if done == 1:
            raise KeyboardInterrupt

    cache = tmp_path / "c"
    first, second = Peaks(), Peaks()
    with pytest.raises(KeyboardInterrupt):
        measure(clips, [first], [], [first], first, cache=cache, progress=stop)
    found = measure(clips, [second], [], [second], second, cache=cache)
    assert first.asked == ["embed", "embed"]
    assert second.asked == ["embed", "embed", "text"]  # clip "b", and the words
    third = Peaks()
    assert measure(clips, [third], [], [third], third, cache=cache) == found
    assert third.asked == []
    # Another loudness, another network, and a damaged file of the cache are heard anew.
    assert measure(clips, [third], loudness_lufs=None, cache=cache).embeddings["peaks"].windows[0][0, 0] < 0.02
    measure(clips, [other := Peaks("2" * 64)], cache=cache)
    assert other.asked == ["embed", "embed"]
    for path in cache.rglob("*.npz"):
        path.write_bytes(path.read_bytes()[:20])
    assert measure(clips, [third], [], [third], third, cache=cache) == found


@pytest.mark.slow
def test_workers_change_nothing(clips: ClipSet, tmp_path: Path) -> None:
    ear = Peaks()
    alone = measure(clips, [ear], [ear], [ear], ear, cache=tmp_path / "one")
    assert measure(clips, [ear], [ear], [ear], ear, cache=tmp_path / "two", workers=2) == alone


def test_the_tune(tmp_path: Path) -> None:
    """Its similarity is that of `evaluate.chroma` if there is no rest."""
    pitches = (440.0, 494.0, 523.0, 587.0)
    tune = Audio.concatenate([tone(f, 0.7, 16000) for f in pitches])
    music = Audio.concatenate([tone(f, 0.7, 16000) for f in (440.0, 494.0, 392.0, 587.0, 440.0)])
    tune.write(tmp_path / "tune.wav", None)
    music.write(tmp_path / "music.wav", None)
    asked = Asked(melody=tmp_path / "tune.wav")
    gone = Asked(melody=tmp_path / "gone.wav")
    clips = ClipSet("s", (Clip("m", tmp_path / "music.wav", "m", asked), Clip("n", tmp_path / "music.wav", "n", gone)))
    found = measure(clips, cache=tmp_path / "c")
    (clip,) = found.clips
    expected = chroma_similarity(Audio.read(tmp_path / "tune.wav"), Audio.read(tmp_path / "music.wav"))
    assert clip.heard.melody_similarity == pytest.approx(expected, abs=1e-6)
    assert 0.6 < expected < 0.9
    assert found.refused[0].reason == "its melody gone.wav: no such file"
    assert Measurements.load(found.save(tmp_path / "m.safetensors")).clips[0].asked.melody == Path("tune.wav")


def test_nothing_to_judge(tmp_path: Path) -> None:
    tone(440.0, 1.5, 16000, level=0.0).write(tmp_path / "a.wav", None)
    with pytest.raises(UserError, match=r"nothing to judge; of 1 the first was refused as silent"):
        measure(read_clips(tmp_path), cache=tmp_path / "c")
    with pytest.raises(UserError, match="0 workers"):
        measure(read_clips(tmp_path), workers=0)


def test_two_networks_of_one_name(clips: ClipSet, tmp_path: Path) -> None:
    one, other = Peaks("1" * 64), Peaks("2" * 64)
    found = measure(clips, [one, other], cache=tmp_path / "c")
    assert found.embeddings.keys() == {f"peaks-{one.identity.digest[:8]}", f"peaks-{other.identity.digest[:8]}"}
    with pytest.raises(UserError, match="peaks was named twice"):
        measure(clips, [one, Peaks("1" * 64)], cache=tmp_path / "c")


def test_the_ear_travels_to_workers() -> None:
    """Also after it has heard something: what it remembers of that stays behind."""
    config = ListenerConfig(instruments=("tone",), thresholds=(0.5,), genres=("test",), widths=(2, 2, 2, 2),
                            hidden_dim=4, dim=3, text_buckets=8)  # fmt: skip
    ear = Listener(config).eval()
    heard = ear.instrument_probabilities(audio := tone(440.0, 2.0))
    assert pickle.loads(pickle.dumps(ear)).instrument_probabilities(audio) == heard


def test_the_hash_is_of_the_sound() -> None:
    samples = noise(0.3, 16000).samples
    assert sound_hash(Audio(samples, 16000)) == sound_hash(Audio(samples, 16000, {"seed": 1}))
    others = (Audio(samples, 8000), Audio(-samples, 16000), Audio(samples.reshape(2, -1), 16000))
    assert len({sound_hash(audio) for audio in (Audio(samples, 16000), *others)}) == 4


# ---------------------------------------------------------------------------------------------------------- measured


@pytest.fixture
def measured(clips: ClipSet, tmp_path: Path) -> Measurements:
    ear = Peaks()
    return measure(clips, [ear], [ear], [ear], ear, cache=tmp_path / "c")


def test_a_full_disk_is_told(measured: Measurements, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(path: Path, data: bytes) -> int:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(CadenzaError, match="No space left on device; free space"):
        measured.save(tmp_path / "sets" / "a.safetensors")
    assert not list((tmp_path / "sets").iterdir())


def test_saved_sets_are_the_same(measured: Measurements, tmp_path: Path) -> None:
    path = measured.save(tmp_path / "m.safetensors")
    assert Measurements.load(path) == measured
    assert str(tmp_path).encode() not in path.read_bytes()
    assert measured.save(tmp_path / "again.safetensors").read_bytes() == path.read_bytes()
    assert is_measured(path)
    assert not is_measured(tmp_path / "clips" / "a.wav")
    with pytest.raises(UserError, match="measured already"):
        read_clips(path)
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(UserError):
        Measurements.load(path)
    with pytest.raises(UserError, match=r"\.safetensors"):
        measured.save(tmp_path / "m.json")
    with pytest.raises(UserError, match="not a measured set"):
        Measurements.load(tmp_path / "clips" / "a.wav")


def test_parts_make_the_whole(measured: Measurements) -> None:
    parts = [measured.of(["a"]), measured.of(["b"])]
    assert Measurements.merge(parts) == measured
    assert measured.of(["b", "a"]) != measured
    assert measured.of(["b", "a"]).of(["a", "b"]) == measured
    assert measured.of_pieces({"p"}) == parts[0]
    with pytest.raises(UserError, match="no clip 'c'"):
        measured.of(["c"])


def test_only_alike_sets_merge(measured: Measurements, clips: ClipSet, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="two clips of id 'a'"):
        Measurements.merge([measured, measured])
    other = measure(clips, [Peaks("2" * 64)], cache=tmp_path / "c")
    with pytest.raises(UserError, match="not measured with the same 'peaks'"):
        Measurements.merge([measured, other])
    softer = replace(measured, settings={**measured.settings, "loudness_lufs": -23.0})
    with pytest.raises(UserError, match="other settings"):
        Measurements.merge([measured, softer])
