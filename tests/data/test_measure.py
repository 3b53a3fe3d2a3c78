"""Measuring: the same facts from one process or several, a block at a time or at once, and nothing twice."""

import os
from collections.abc import Iterator
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path

import numpy as np
import pytest
import soundfile

from cadenza.audio import Audio
from cadenza.data import measure as measuring
from cadenza.data.measure import measure, measure_all
from cadenza.errors import CadenzaError, UserError
from data.recordings import save, transcode, tune


def test_facts(tmp_path: Path):
    audio = tune(1)
    facts = measure(str(save(audio, tmp_path / "a.wav")))
    assert (facts.problem, facts.duration, facts.sample_rate, facts.channels) == (None, 3.0, 16000, 1)
    read = Audio.read(tmp_path / "a.wav")
    assert facts.loudness_lufs == pytest.approx(read.loudness_lufs(), abs=0.005)
    assert facts.peak == pytest.approx(np.abs(read.samples).max(), abs=1e-6)
    assert facts.print.dtype == np.uint32 and len(facts.print) > 90


def test_the_same_sound_in_another_container(tmp_path: Path):
    path = save(tune(1), tmp_path / "a.wav")
    wav, flac = measure(str(path)), measure(str(transcode(path, tmp_path / "a.flac")))
    assert wav.sound == flac.sound
    assert wav.sound != measure(str(save(tune(2), tmp_path / "b.wav"))).sound


@pytest.mark.parametrize("rate", [16000, 11025])  # at 11,025 Hz a block is no whole number of hops
def test_blocks_change_nothing(rate: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    path = str(save(tune(3, 5.0, rate), tmp_path / "a.flac"))
    whole = measure(path)
    monkeypatch.setattr(measuring, "BLOCK_SECONDS", 2)
    blocks = measure(path)
    # The filter's response is cut after 1 s, at which it has fallen below -200 dB.
    assert blocks == whole


def test_tags_of_the_file(tmp_path: Path):
    with soundfile.SoundFile(tmp_path / "a.flac", "w", 16000, 1) as file:
        file.title, file.artist, file.comment = "Blue ", "Someone", "not kept"
        file.write(tune(1).samples[0])
    assert measure(str(tmp_path / "a.flac")).tags == {"title": "Blue", "artist": "Someone"}


@pytest.mark.parametrize(
    ("content", "problem"),
    [(b"", "empty"), (b"no music at all " * 50, "not audio"), (None, "No such file")],
)
def test_what_cannot_be_used_is_told(content: bytes | None, problem: str, tmp_path: Path):
    path = tmp_path / "a.mp3"
    if content is not None:
        path.write_bytes(content)
    facts = measure(str(path))
    assert facts.problem is not None and problem in facts.problem and str(tmp_path) not in facts.problem


def test_what_could_not_be_opened_is_tried_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    path = save(tune(1, 1.0), tmp_path / "a.wav")

    def refused(*args: object, **kwargs: object) -> None:
        raise PermissionError(13, "Permission denied")

    with monkeypatch.context() as patch:
        patch.setattr(Path, "open", refused)
        assert measure(str(path)).problem == "unreadable: Permission denied"
    journal = tmp_path / "journal"
    with monkeypatch.context() as patch:
        patch.setattr(measuring, "measure", lambda path: measuring.Facts(size=0, mtime_ns=0, problem="unreadable: x"))
        assert measure_all([str(path)], journal)[0].problem is not None
    assert measure_all([str(path)], journal)[0].problem is None  # its rights, not its time, have changed


def test_no_file_stops_the_others(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    os.mkfifo(tmp_path / "pipe.wav")
    assert measure(str(tmp_path / "pipe.wav")).problem == "unreadable: not a file"
    monkeypatch.setattr(measuring, "fingerprint", lambda mono, rate: np.zeros(2**62))
    assert measure(str(save(tune(1, 1.0), tmp_path / "a.wav"))).problem == "damaged: ValueError while it was read"


def test_silence_has_no_loudness(tmp_path: Path):
    assert measure(str(save(Audio(np.zeros(32000, np.float32), 16000), tmp_path / "a.wav"))).loudness_lufs is None


def test_only_what_has_changed_is_read_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    paths = [str(save(tune(seed, 1.0), tmp_path / f"{seed}.wav")) for seed in range(3)]
    read: list[str] = []

    def counted(path: str) -> measuring.Facts:
        read.append(path)
        return measure(path)

    monkeypatch.setattr(measuring, "measure", counted)
    first = measure_all(paths, tmp_path / "journal")
    assert read == paths
    assert measure_all(paths, tmp_path / "journal") == first and read == paths
    save(tune(9, 1.0), Path(paths[1]))
    os.utime(paths[1], ns=(1, 1))
    assert measure_all(paths, tmp_path / "journal")[1] != first[1]
    assert read[3:] == [paths[1]]
    # A run that was killed in the middle of a line.
    journal = tmp_path / "journal"
    journal.write_text(journal.read_text()[:-40])
    measure_all(paths, journal)
    assert read[4:] == [paths[2]]
    # A data set that moved as a whole: nothing is read.
    folder = tmp_path.rename(tmp_path.with_name("moved"))
    measure_all([str(folder / Path(path).name) for path in paths], folder / "journal")
    assert len(read) == 5


def test_what_was_measured_before_an_interruption_stays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    paths = [str(save(tune(seed, 1.0), tmp_path / f"{seed}.wav")) for seed in range(3)]

    def interrupted(path: str) -> measuring.Facts:
        if path == paths[2]:
            raise KeyboardInterrupt
        return measure(path)

    monkeypatch.setattr(measuring, "measure", interrupted)
    with pytest.raises(KeyboardInterrupt):
        measure_all(paths, tmp_path / "journal")
    assert len((tmp_path / "journal").read_text().splitlines()) == 2


def test_several_processes_give_the_same(tmp_path: Path):
    paths = [str(save(tune(seed, 1.0), tmp_path / f"{seed}.wav")) for seed in range(3)]
    (tmp_path / "bad.wav").write_bytes(b"RIFF")
    paths.append(str(tmp_path / "bad.wav"))
    told: list[tuple[int, int]] = []
    several = measure_all(paths, tmp_path / "a", workers=2, on_progress=lambda done, total: told.append((done, total)))
    assert several == measure_all(paths, tmp_path / "b")
    assert (tmp_path / "a").read_text() == (tmp_path / "b").read_text()
    assert told[-1] == (4, 4)


def test_a_file_that_ends_its_process_costs_no_other(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """As a fault in a decoder would; what had begun is measured again, each in a process of its own."""
    paths = [str(tmp_path / str(number)) for number in range(20)]
    alone: list[str] = []

    class Pool:
        def shutdown(self, cancel_futures: bool) -> None:
            assert cancel_futures

    def in_order(pool: object, rest: list[str], ahead: int) -> Iterator[measuring.Facts]:
        for path in rest:
            if path == paths[5]:
                raise BrokenProcessPool
            yield measuring.Facts(size=int(Path(path).name), mtime_ns=0)

    def by_itself(path: str) -> measuring.Facts:
        alone.append(path)
        return measuring.Facts(size=int(Path(path).name), mtime_ns=0)

    monkeypatch.setattr(measuring, "_pool", lambda workers: Pool())
    monkeypatch.setattr(measuring, "_in_order", in_order)
    monkeypatch.setattr(measuring, "_measured_alone", by_itself)
    facts = measure_all(paths, tmp_path / "journal", workers=2)
    assert [fact.size for fact in facts] == list(range(20))
    assert alone == paths[5:13]


def test_mistakes(tmp_path: Path):
    with pytest.raises(UserError, match="0 workers"):
        measure_all([], tmp_path / "a", workers=0)
    (tmp_path / "file").touch()
    with pytest.raises(CadenzaError, match="cannot write"):
        measure_all([], tmp_path / "file" / "journal")
