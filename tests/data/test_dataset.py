"""Segments: the right samples, the same at every call, whether preloaded or read from files."""

from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch

from cadenza.data.dataset import FixedSegments, RandomSegments, Recordings
from cadenza.data.manifest import Entry
from cadenza.errors import UserError

RATE = 1000


def ramp(folder: Path, name: str, seconds: float, channels: int = 1, rate: int = RATE) -> Entry:
    """Sample `n` has the value `n / 10000` in the first channel, its negative half in others."""
    count = round(seconds * rate)
    line = np.arange(count, dtype=np.float32) / 10000
    samples = np.stack([line] + [-line / 2] * (channels - 1), axis=1)
    soundfile.write(folder / f"{name}.wav", samples, rate, subtype="FLOAT")
    return Entry(path=str(folder / f"{name}.wav"), duration=seconds, sample_rate=rate, id=name)


@pytest.mark.parametrize("memory_bytes", [0, 1e9])
def test_segments_hold_the_samples_of_their_place(memory_bytes: float, tmp_path: Path):
    recordings = Recordings([ramp(tmp_path, "a", 3.0), ramp(tmp_path, "b", 0.3)], RATE, 1, memory_bytes)
    audio = RandomSegments(recordings, 0.5, 32, seed=1).batch(0)["audio"]
    assert audio.shape == (32, 1, 500)
    for row in audio[:, 0]:
        expected = row[0] + torch.arange(500) / 10000
        real = 300 if float(row[-1]) == 0 else 500
        # 16-bit storage: half a step of 1 / 32767 in the first sample and in each
        torch.testing.assert_close(row[:real], expected[:real], rtol=0, atol=3.2e-5)
        assert not row[real:].any()


def test_a_batch_depends_on_its_number_and_the_seed_alone(tmp_path: Path):
    recordings = Recordings([ramp(tmp_path, "a", 3.0)], RATE, 1)
    one, two = RandomSegments(recordings, 0.5, 4, seed=1), RandomSegments(recordings, 0.5, 4, seed=1)
    two.batch(7)
    assert torch.equal(one.batch(3)["audio"], two.batch(3)["audio"])
    assert not torch.equal(one.batch(3)["audio"], one.batch(4)["audio"])
    assert not torch.equal(one.batch(3)["audio"], RandomSegments(recordings, 0.5, 4, seed=2).batch(3)["audio"])


def test_a_process_reads_its_own_rows_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    recordings = Recordings([ramp(tmp_path, "a", 3.0)], RATE, 1)
    whole = RandomSegments(recordings, 0.5, 4, seed=1).batch(3)
    read, count = recordings.read, 0

    def counted(*args):
        nonlocal count
        count += 1
        return read(*args)

    monkeypatch.setattr(recordings, "read", counted)
    part = RandomSegments(recordings, 0.5, 4, seed=1, rows=range(2, 4)).batch(3)
    assert torch.equal(part["audio"][2:], whole["audio"][2:])
    assert part["ids"] == whole["ids"]
    assert count == 2


def test_long_recordings_are_drawn_more_often(tmp_path: Path):
    recordings = Recordings([ramp(tmp_path, "a", 0.4), ramp(tmp_path, "b", 1.6)], RATE, 1)
    source = RandomSegments(recordings, 0.4, 500, seed=0)
    first = source.batch(0)["audio"][:, 0, 0]
    assert [name == "a" for name in source.batch(0)["ids"]] == [float(value) == 0 for value in first]
    # the short one is only ever drawn from its start: 100 of 500 expected, 9 is one standard deviation
    assert 60 < int((first == 0).sum()) < 140


def test_channels_are_mixed_and_rates_converted(tmp_path: Path):
    stereo = Recordings([ramp(tmp_path, "s", 1.0, channels=2)], RATE, 1)
    np.testing.assert_allclose(stereo.whole(0)[0, 500], 500 / 10000 / 4, atol=2e-5)
    faster = Recordings([ramp(tmp_path, "f", 1.0, rate=2000)], RATE, 1)
    assert faster.lengths == [1000]
    np.testing.assert_allclose(faster.whole(0)[0, 500], 1000 / 10000, atol=1e-3)
    doubled = Recordings([ramp(tmp_path, "m", 1.0)], RATE, 2)
    assert np.array_equal(*doubled.whole(0))


def test_validation_covers_every_recording_once(tmp_path: Path):
    recordings = Recordings([ramp(tmp_path, str(i), 1.0) for i in range(5)], RATE, 1)
    source = FixedSegments(recordings, 0.2, 2)
    batches = [source.batch(i)["audio"] for i in range(len(source))]
    assert [len(batch) for batch in batches] == [2, 2, 1]
    assert [source.batch(i)["ids"] for i in range(3)] == [["0", "1"], ["2", "3"], ["4"]]
    torch.testing.assert_close(batches[0][0, 0, 0], torch.tensor(0.04), rtol=0, atol=2e-5)


def test_unreadable_files_are_named(tmp_path: Path):
    (tmp_path / "bad.wav").write_bytes(b"RIFF")
    entry = Entry(path=str(tmp_path / "bad.wav"), duration=1, sample_rate=RATE)
    with pytest.raises(UserError, match=r"cannot read .*bad\.wav"):
        Recordings([entry], RATE, 1)
    wrong = ramp(tmp_path, "w", 1.0).model_copy(update={"sample_rate": 44100})
    with pytest.raises(UserError, match="its manifest entry says 44100"):
        Recordings([wrong], RATE, 1)
