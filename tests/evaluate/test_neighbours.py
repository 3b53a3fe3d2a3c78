"""Neighbours: copies of training clips are found, whatever was done to them; other music is not."""

import io

import numpy as np
import pytest
import soundfile

from cadenza.audio import Audio
from cadenza.errors import UserError
from cadenza.evaluate.clips import Asked, read_clips
from cadenza.evaluate.embedders.base import Identity
from cadenza.evaluate.key import Key
from cadenza.evaluate.measurements import Embeddings, Heard, MeasuredClip, Measurements
from cadenza.evaluate.neighbours import TrainingMusic, find_copies, find_neighbours
from cadenza.evaluate.spectra import mel_bank, power_spectrum
from cadenza.evaluate.tempo import Tempo
from data.recordings import save, tune

WHO = Identity("bands", "0" * 64)


def bands(audio: Audio) -> np.ndarray:
    """A little ear: level in 24 mel bands every 0.256 s, less the clip's mean level."""
    power = mel_bank(16000, 2048, 24, 100.0, 4000.0) @ power_spectrum(audio.resample(16000).samples[0], 2048, 4096)
    levels = 10 * np.log10(power + 1e-9)
    return (levels - levels.mean()).T.astype(np.float32)


def measured(name: str, windows: dict[str, np.ndarray]) -> Measurements:
    heard = Heard(1.0, 16000, 1, -14.0, -1.0, 0.0, 0.0, Tempo(120.0, 0.5), Key(0, "major", 0.5))
    clips = tuple(
        MeasuredClip(clip, clip.partition("-")[0], Asked(), heard, clip, {}, np.zeros(0, np.uint8)) for clip in windows
    )
    return Measurements(name, clips, {"bands": Embeddings(WHO, tuple(windows.values()))})


def encoded(audio: Audio) -> Audio:
    """Through MP3, 12 dB softer, the treble turned down."""
    content = io.BytesIO()
    smooth = np.convolve(audio.samples[0], [0.25, 0.5, 0.25], mode="same")
    soundfile.write(content, 0.25 * smooth, 16000, format="MP3")
    content.seek(0)
    samples, rate = soundfile.read(content, dtype="float32")
    return Audio(samples, rate)


@pytest.fixture(scope="module")
def training() -> Measurements:
    return measured("training", {f"t{i}": bands(tune(i)) for i in range(60)})


@pytest.fixture(scope="module")
def unseen() -> Measurements:
    return measured("unseen", {f"u{i}": bands(tune(100 + i)) for i in range(40)})


def test_a_training_clip_as_mp3_softer_and_duller_is_the_first_and_the_only_one(training, unseen):
    takes = {f"new{i}": bands(tune(200 + i)) for i in range(5)} | {"copy": bands(encoded(tune(17)))}
    found = find_neighbours(measured("takes", takes), training, "bands", unseen)
    first, second = found.found[:2]
    assert (first.take, first.nearest[0].clip, first.suspicious) == ("copy", "t17", True)
    assert first.closeness < 0.5 * second.closeness
    assert [one.take for one in found.found if one.suspicious] == ["copy"]
    assert found.record()["suspicious"] == ["copy"]
    assert first.aligned_percentile == pytest.approx(1 / 41)
    assert (found.floor, found.floor_count) == ("unseen", 40)


def test_a_copied_part_is_found_by_its_windows(training, unseen):
    """The second half of a training clip, and then something else: the mean of the clip says nothing any more."""
    part = np.concatenate([bands(tune(23))[6:], bands(tune(300))[:4]])
    found = find_neighbours(measured("takes", {"part": part}), training, "bands", unseen).found[0]
    assert found.nearest[0].clip == "t23"
    assert found.nearest[0].offset_windows == 6
    assert found.aligned_percentile == pytest.approx(1 / 41)


def test_a_copy_is_told_by_its_fingerprint_when_its_tone_is_another(tmp_path, training, unseen):
    """For an ear that hears tone colour the copy is further away than many others; its fingerprint is not."""
    for i in range(12):
        save(tune(i), tmp_path / "training" / f"t{i}.wav")
    save(Audio(np.diff(encoded(tune(7)).samples[:, 8000:]), 16000), tmp_path / "takes" / "copy.wav")  # +6 dB an octave
    save(tune(200), tmp_path / "takes" / "new.wav")
    (tmp_path / "takes" / "broken.wav").write_bytes(b"RIFF")
    copies = find_copies(read_clips(tmp_path / "takes"), read_clips(tmp_path / "training"))
    assert list(copies) == ["copy"]
    assert copies["copy"].clip == "t7"
    assert copies["copy"].offset_seconds == pytest.approx(0.5, abs=0.1)
    takes = measured("takes", {"new": bands(tune(200)), "copy": bands(tune(201))})
    found = find_neighbours(takes, training, "bands", unseen, copies=copies)
    assert [(one.take, one.suspicious) for one in found.found] == [("copy", True), ("new", False)]
    assert found.record()["found"][0]["copy"]["clip"] == "t7"


def test_without_unseen_music_the_other_pieces_are_the_floor(training):
    pairs = {f"t{i}-{part}": bands(tune(i)) for i in range(20) for part in "ab"}  # two clips of each piece, equal
    found = find_neighbours(measured("takes", {"copy": bands(tune(3))}), measured("pairs", pairs), "bands")
    assert found.floor_median[0] > 0.05  # not 0: the clip's own piece does not count
    assert found.found[0].suspicious
    assert {one.clip for one in found.found[0].nearest[:2]} == {"t3-a", "t3-b"}
    with pytest.raises(UserError, match="one piece"):
        find_neighbours(measured("takes", {"x": bands(tune(3))}), measured("one", {"t-a": bands(tune(1))}), "bands")
    with pytest.raises(UserError, match="level 2"):
        find_neighbours(training, training, "bands", level=2)


def test_aligned_distances_are_those_of_every_offset_tried_by_hand():
    random = np.random.default_rng(0)
    clips = [random.normal(size=(length, 5)).astype(np.float32) for length in (4, 7, 1, 5)]
    take = random.normal(size=(4, 5)).astype(np.float32)
    music = TrainingMusic(clips, 6)
    distances, offsets = music.aligned(take)
    mean = np.concatenate(clips).mean(0)

    def unit(rows: np.ndarray) -> np.ndarray:
        return (rows - mean) / np.linalg.norm(rows - mean, axis=1, keepdims=True)

    for number, clip in enumerate(clips):
        tried = {}
        for offset in range(-3, len(clip)):
            rows = [(i, i + offset) for i in range(4) if 0 <= i + offset < len(clip)]
            if len(rows) >= 2:
                tried[offset] = np.mean([unit(take)[i] @ unit(clip)[j] for i, j in rows])
        if not tried:
            assert distances[number] == 2.0
            continue
        best = max(tried, key=lambda offset: tried[offset])
        assert distances[number] == pytest.approx(1 - tried[best], abs=1e-5)  # float32
        assert offsets[number] == best


def test_long_takes_are_compared_some_windows_at_a_time_to_the_same_effect(training, monkeypatch):
    take = np.concatenate([bands(tune(seed)) for seed in (23, 300, 301)])
    music = TrainingMusic(training.embeddings["bands"].windows, len(take))
    whole = music.aligned(take)
    monkeypatch.setattr("cadenza.evaluate.neighbours._AT_ONCE", 5)
    parts = music.aligned(take)
    assert np.allclose(whole[0], parts[0], atol=1e-6)  # float32
    assert np.array_equal(whole[1], parts[1])


def test_equal_music_is_never_nearer_than_0(training):
    windows = training.embeddings["bands"].windows
    music = TrainingMusic(windows, max(map(len, windows)))
    for one in windows[:20]:
        assert music.whole(one).min() >= 0
        assert music.aligned(one)[0].min() >= 0
