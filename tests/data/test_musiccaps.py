"""MusicCaps: the table, clips on disk, and clips that a program fetches (here one that makes them)."""

import json
import stat
import sys
from pathlib import Path

import pytest
import soundfile

from cadenza.audio import Audio
from cadenza.data.manifest import read_manifest
from cadenza.data.musiccaps import MISSING, import_musiccaps, missing_lines, read_clips
from cadenza.errors import UserError
from data.recordings import save, tune

HEADER = (
    "ytid,start_s,end_s,audioset_positive_labels,aspect_list,caption,author_id,is_balanced_subset,is_audioset_eval\n"
)
NAMES = ["-0Gj8-vB1q4", "aaaaaaaaaaa", "goneaaaaaaa", "shortaaaaaa", "netaaaaaaaa"]


def table(folder: Path, names: list[str]) -> Path:
    rows = [
        f'{name},{30 + n},{40 + n},"/m/0140xf,/m/02cjck","[\'slow piano\', \'sad\', ""80\'s""]",A slow tune {n}.,4,'
        f"{n == 0},{n % 2 == 0}\n"
        for n, name in enumerate(names)
    ]
    path = folder / "musiccaps-public.csv"
    path.write_text(HEADER + "".join(rows), encoding="utf-8")
    return path


@pytest.fixture
def ytdlp(tmp_path: Path) -> Path:
    """A program with yt-dlp's arguments that copies a file of 11 s, or fails as yt-dlp does."""
    save(tune(1, 11.0, 8000), tmp_path / "long.wav")
    save(tune(1, 4.0, 8000), tmp_path / "short.wav")
    program = tmp_path / "fake-yt-dlp"
    program.write_text(
        f"""#!{sys.executable} -IS
import shutil, sys
arguments, url = sys.argv[1:-1], sys.argv[-1]
with open({str(tmp_path / "calls")!r}, "a") as file:
    print(*sys.argv[1:], file=file)
if "gone" in url:
    sys.exit("ERROR: [youtube] goneaaaaaaa: Video unavailable. This video has been removed")
if "net" in url:
    sys.exit("WARNING: x\\nERROR: [youtube] netaaaaaaaa: Unable to download API page: Failed to resolve host")
target = arguments[arguments.index("--output") + 1].replace("%(ext)s", "wav")
shutil.copy({str(tmp_path)!r} + ("/short.wav" if "short" in url else "/long.wav"), target)
"""
    )
    program.chmod(program.stat().st_mode | stat.S_IXUSR)
    return program


def calls(folder: Path) -> list[str]:
    path = folder / "calls"
    return path.read_text().splitlines() if path.exists() else []


def test_rows(tmp_path: Path):
    first, second = read_clips(table(tmp_path, NAMES[:2]))
    assert (first.ytid, first.start, first.seconds, first.caption) == (NAMES[0], 30.0, 10.0, "A slow tune 0.")
    assert first.aspects == ("slow piano", "sad", "80's")
    assert (first.fields["is_audioset_eval"], second.fields["is_audioset_eval"]) == (True, False)
    assert first.fields["author_id"] == "4"


def test_fetched_resumed_and_listed(tmp_path: Path, ytdlp: Path):
    csv, out = table(tmp_path, NAMES), tmp_path / "out"
    report, missing = import_musiccaps(csv, out, ytdlp=str(ytdlp), jobs=1)
    assert {item.ytid: item.final for item in missing} == {NAMES[2]: True, NAMES[3]: False, NAMES[4]: False}
    assert missing[0].reason == "Video unavailable. This video has been removed"
    assert missing[1].reason == "has 4.0 of 10 s"
    assert "3 clips missing" in missing_lines(missing, out)[0]
    assert [json.loads(line)["ytid"] for line in (out / MISSING).read_text().splitlines()] == NAMES[2:]
    # Both clips are one tune here: a published set keeps its copies, or figures on it would count other clips.
    entry, copy = read_manifest(out)
    assert report.entries == [entry, copy] and not report.skipped
    assert soundfile.info(entry.path).frames == 10 * 8000
    assert entry.captions == (entry.info["description"],)
    assert entry.info["keywords"] == ("slow piano", "sad", "80's")
    assert entry.tags["is_audioset_eval"] is (entry.id == NAMES[0])
    assert (entry.tags["ytid"], entry.tags["start_seconds"]) == (entry.id, 30.0 + NAMES.index(entry.id))
    section = calls(tmp_path)[0].split("--download-sections ")[1].split()[0]
    assert section == "*30-41"
    assert calls(tmp_path)[0].endswith(f"-- https://www.youtube.com/watch?v={NAMES[0]}")
    before = len(calls(tmp_path))
    import_musiccaps(csv, out, ytdlp=str(ytdlp))
    again = {line.rsplit("=", 1)[1] for line in calls(tmp_path)[before:]}
    assert again == {NAMES[3], NAMES[4]}  # what is there, and what is gone for good, is not asked for again


def test_an_interruption_keeps_what_is_known(tmp_path: Path, ytdlp: Path):
    def interrupt(done: int, total: int) -> None:
        if done == 2:
            raise KeyboardInterrupt

    names = [NAMES[2], NAMES[0], NAMES[1]]
    with pytest.raises(KeyboardInterrupt):
        import_musiccaps(table(tmp_path, names), tmp_path / "out", ytdlp=str(ytdlp), jobs=1, on_progress=interrupt)
    listed = tmp_path / "out" / MISSING
    assert json.loads(listed.read_text())["ytid"] == NAMES[2]
    listed.write_text(f'{listed.read_text()}{{"ytid": 1}}\nedited by hand\n')
    import_musiccaps(table(tmp_path, names), tmp_path / "out", fetch=False)
    assert NAMES[2] in listed.read_text() and "by hand" not in listed.read_text()
    assert (tmp_path / "out" / "audio" / f"{NAMES[0]}.flac").exists()


def test_the_network_is_not_tried_for_ever(tmp_path: Path, ytdlp: Path):
    names = ["aaaaaaaaaaa"] + [f"net{n:08d}" for n in range(20)]
    _, missing = import_musiccaps(table(tmp_path, names), tmp_path / "out", ytdlp=str(ytdlp), jobs=1)
    assert len(missing) == 20
    assert missing[-1].reason == "not tried: the network fails"
    assert len(calls(tmp_path)) < 13


def test_clips_and_sound_tracks_on_disk(tmp_path: Path):
    stock = tmp_path / "stock"
    clip, track = tune(1, 10.2, 8000), tune(2, 45.0, 8000)
    save(clip, stock / "sub" / f"[{NAMES[0]}]-[30-40].wav")
    save(track, stock / f"{NAMES[1]}.flac")
    save(tune(3, 9.7, 8000), stock / f"{NAMES[2]}_32.wav")
    save(tune(4, 9.0, 8000), stock / f"{NAMES[3]}.wav")
    csv = table(tmp_path, NAMES)
    report, missing = import_musiccaps(csv, tmp_path / "out", stock, fetch=False)
    assert {entry.id for entry in report.entries} == set(NAMES[:3])
    assert {item.ytid: item.reason for item in missing} == {
        NAMES[3]: "has 9.0 of 10 s",
        NAMES[4]: "not on disk, and nothing is fetched",
    }
    for entry in report.entries:
        assert entry.duration == 10.0
    second = Audio.read(tmp_path / "out" / "audio" / f"{NAMES[1]}.flac").samples
    whole = Audio.read(stock / f"{NAMES[1]}.flac").samples
    assert abs(second - whole[:, 31 * 8000 : 41 * 8000]).max() < 1e-4  # 16 bits twice
    padded = Audio.read(tmp_path / "out" / "audio" / f"{NAMES[2]}.flac").samples
    assert not padded[:, int(9.75 * 8000) :].any() and padded[:, : int(9.6 * 8000)].any()


def test_mistakes(tmp_path: Path):
    csv = table(tmp_path, NAMES[:1])
    with pytest.raises(UserError, match=r"not one of 1 clips .*yt-dlp is not there"):
        import_musiccaps(csv, tmp_path / "out", ytdlp="no-such-program")
    with pytest.raises(UserError, match="no such folder"):
        import_musiccaps(csv, tmp_path / "out", tmp_path / "nowhere")
    csv.write_text("a,b\n1,2\n")
    with pytest.raises(UserError, match="no column ytid, start_s"):
        read_clips(csv)
    csv.write_text(HEADER + "x,20,10,,[],words,1,True,True\n")
    with pytest.raises(UserError, match="line 2: no clip"):
        read_clips(csv)
    with pytest.raises(UserError, match="cannot be read"):
        read_clips(tmp_path)
