"""Files and rows: whole or not there, never where a client says, and no more of them than there is room for."""

import json
import time

import numpy as np
import pytest

from cadenza.audio import Audio
from cadenza.errors import CadenzaError, UserError
from cadenza.pipelines.take import Take as Record
from cadenza.serve.studio.house import Studio
from cadenza.serve.studio.library import Full, Library, Missing, new_id, read_cursor, write_cursor
from cadenza.serve.studio.settings import StudioSettings
from cadenza.serve.studio.tables import Database, Job, Take
from cadenza.testing import noise, tone


@pytest.fixture
def library(tmp_path, new_address):
    database = Database(new_address(tmp_path))
    yield Library(tmp_path, database, quota_gb=1.0)
    database.close()


def add(library: Library, name: str, age_days: float = 0.0, **facts: object) -> Take:
    row = {"title": name, "text": name, "asked": {}, "seed": 1, "model": "tiny", "seconds_asked": 1.0, "item": 0}
    row |= {"status": "done", "duration": 1.0, "size_bytes": 1000, "created": time.time() - age_days * 86400}
    take = Take(**row | {"id": name, "job": f"job{name}"} | facts)
    with library.database.writing() as session:
        session.add(Job(id=take.job, status="done", asked={}, created=take.created))
        session.flush()
        session.add(take)
    return take


def test_a_take_is_kept_with_its_record_its_level_and_its_peaks(library, tiny):
    audio = tiny.generate("x", 0.7, 3)
    kept = library.keep("abc", audio)
    path = library.take_path("abc")
    written = Audio.read(path)
    assert written.metadata == audio.metadata
    assert kept.loudness_lufs == pytest.approx(written.loudness_lufs(), abs=0.3)
    assert (kept.duration, kept.sample_rate, kept.channels, kept.complete) == (0.7, 32000, 1, True)
    assert kept.size_bytes == path.stat().st_size + path.with_suffix(".json").stat().st_size
    drawn = json.loads(library.peaks("abc"))
    assert drawn["seconds"] == 0.7
    assert np.max(drawn["peaks"]) == pytest.approx(np.abs(written.samples).max(), abs=0.1)
    assert library.sound("abc").num_samples == audio.num_samples
    assert library.has_sound("abc")
    assert not library.has_sound("abd")
    with pytest.raises(Missing, match="may have been deleted"):
        library.sound("abd")


def test_the_mark_is_set_where_it_is_wanted_and_the_record_stays_readable(library, tiny):
    audio = tiny.generate("x", 0.2, 3)
    library.keep("plain", audio)
    library.mark = True
    library.keep("marked", audio)
    plain, marked = (Record.from_metadata(Audio.read(library.take_path(one)).metadata) for one in ("plain", "marked"))
    assert plain.provenance is None
    assert marked.provenance is not None
    assert "machine" in marked.provenance
    assert "trainedAlgorithmicMedia" in marked.provenance


def test_silence_has_no_loudness(library):
    kept = library.keep("abc", Audio(np.zeros(32000, np.float32), 32000))
    assert kept.loudness_lufs is None


def test_a_record_too_long_for_a_format_is_left_out_of_the_copy(library):
    audio = tone(440, 1.0)
    long = Audio(audio.samples, audio.sample_rate, {"model": "tiny", "data": "x" * 70_000})
    library.keep("abc", long)
    for form in ("opus", "mp3", "wav"):
        copy = Audio.read(library.file("abc", form))
        assert copy.duration_seconds == pytest.approx(1.0, abs=0.1)
        assert ("data" in copy.metadata) == (form == "wav" or copy.metadata == long.metadata)
    assert library.file("abc", "wav") == library.file("abc", "wav")
    with pytest.raises(Missing):
        library.file("abd", "wav")


def test_names_are_only_ever_ours(library):
    names = {new_id() for _ in range(100)}
    assert len(names) == 100
    assert all(name.isalnum() and len(name) == 16 for name in names)
    for bad in ("../x", "a/b", "", "a.b"):
        with pytest.raises(AssertionError):
            library.take_path(bad)


def test_full_is_full_and_nothing_is_deleted_for_it(library):
    add(library, "a", size_bytes=6 * 10**8)
    library.check_room()
    add(library, "b", size_bytes=4 * 10**8)
    with pytest.raises(Full, match=r"holds 1.00 GB of 1 GB: delete takes"):
        library.check_room()
    library.delete("a")
    library.check_room()


def test_old_takes_go_unless_they_have_a_star(library):
    add(library, "old", age_days=9)
    add(library, "starred", age_days=9, starred=True)
    add(library, "waiting", age_days=9, status="queued", duration=0.0)
    add(library, "new")
    library.keep("old", noise(0.1))
    assert library.expire(8) == 1
    assert not library.has_sound("old")
    assert {take.id for take in library.page()[0]} == {"starred", "new"}
    assert library.take("waiting").status == "queued"
    assert library.expire(8) == 0


def test_copies_do_not_grow_without_end(library, monkeypatch):
    monkeypatch.setattr("cadenza.serve.studio.library._COPIES_BYTES", 10_000)
    for name in ("a", "b", "c"):
        library.keep(name, noise(0.2))
        library.file(name, "wav")
    assert [path.name for path in library.copies.iterdir()] == ["c.wav"]


def test_half_a_file_of_a_killed_run_is_cleared_away(library):
    (library.takes / ".abc.flac.0123").write_bytes(b"half")
    add(library, "whole")
    library.keep("whole", noise(0.1))
    again = Library(library.directory, library.database, 1.0)
    assert sorted(path.name for path in again.takes.iterdir()) == ["whole.flac", "whole.json"]


def test_cursors_come_back_as_they_were():
    assert read_cursor(write_cursor(1.5, "a"), float) == (1.5, "a")
    assert read_cursor(write_cursor("é", "a"), str) == ("é", "a")
    for wrong in (
        "",
        "x",
        "====",
        write_cursor(1),
        write_cursor("a", "b"),
        write_cursor(1.5, 2),
        "é" * 8,
        "W1tb" * 900,
    ):
        with pytest.raises(UserError, match="no cursor"):
            read_cursor(wrong, float)


def test_a_disk_that_refuses_is_told(library, tmp_path):
    (tmp_path / "file").touch()
    library.takes = tmp_path / "file" / "no folder"
    with pytest.raises(CadenzaError, match="cannot write"):
        library.keep("abc", noise(0.1))


def test_one_studio_at_a_time_and_errors_close_what_was_opened(tmp_path, tiny_directory):
    settings = StudioSettings(directory=tmp_path / "library", model=str(tiny_directory))
    studio = Studio(settings)
    with pytest.raises(UserError, match="another studio uses"):
        Studio(settings)
    studio.close()
    (tmp_path / "library" / "studio.sqlite").write_bytes(b"no database" * 1000)
    with pytest.raises(UserError, match=r"cannot be opened as a library .*restore a copy"):
        Studio(settings)
    (tmp_path / "library" / "studio.sqlite").unlink()
    Studio(settings).close()
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match="choose another"):
        Studio(StudioSettings(directory=tmp_path / "file" / "x", model=str(tiny_directory)))
