"""`cadenza data`: folders, tables and data sets to a manifest."""

import json
from pathlib import Path

from data.recordings import save, tune


def test_from_a_folder_to_a_checked_split(cadenza, tmp_path: Path):
    for seed in range(5):
        save(tune(seed, 1.2), tmp_path / "mine" / f"song {seed} x.wav")
    (tmp_path / "mine" / "bad.wav").write_bytes(b"x")
    done = cadenza("data", "scan", "mine", "--captions-from-names")
    assert done.code == 0
    assert done.out.splitlines() == [
        f"{tmp_path}/mine/manifest.jsonl: 5 recordings, 0.1 min",
        f"{tmp_path}/mine/skipped.jsonl: 1 file left out or faulty: 1 damaged",
        "5 captions made from names",
    ]
    assert cadenza("data", "split", "mine").out == "mine/manifest.jsonl: 3 train, 1 valid, 1 test\n"
    done = cadenza("data", "check", "mine")
    assert (done.code, done.out) == (0, "mine/manifest.jsonl: 5 recordings (3 train, 1 valid, 1 test), 0 wrong\n")
    (tmp_path / "mine" / "song 1 x.wav").unlink()
    done = cadenza("data", "check", "mine")
    assert done.code == 2 and "song 1 x.wav: is not there" in done.out and "1 of 5 recordings" in done.err
    assert cadenza("data", "check", "mine", "--drop").code == 0
    assert cadenza("data", "check", "mine", "--decode").code == 0


def test_known_data_sets(cadenza, tmp_path: Path):
    save(tune(1, 10.0, 8000), tmp_path / "clips" / "aaaaaaaaaaa.wav")
    header = "ytid,start_s,end_s,audioset_positive_labels,aspect_list,caption,author_id,is_balanced_subset,"
    rows = [f"{name},0,10,,\"['a']\",Words,1,True,True" for name in ("aaaaaaaaaaa", "bbbbbbbbbbb")]
    (tmp_path / "m.csv").write_text("\n".join([header + "is_audioset_eval", *rows]))
    done = cadenza("data", "musiccaps", "m.csv", "--out", "m", "--audio", "clips", "--no-fetch")
    assert done.code == 0
    assert done.out.splitlines()[1:] == ["m/missing.jsonl: 1 clips missing: 1 x not on disk, and nothing is fetched"]
    (tmp_path / "s.csv").write_text("track_id,caption,path\n7,Words,07/7.mp3\n")
    save(tune(2, 1.2), tmp_path / "songs" / "07" / "7.2min.mp3")
    assert cadenza("data", "songdescriber", "s.csv", "--audio", "songs", "--out", "s/manifest.jsonl").code == 0
    row = json.loads((tmp_path / "s" / "manifest.jsonl").read_text())
    assert (row["captions"], row["split"]) == (["Words"], "test")
    (tmp_path / "clips" / "metadata.csv").write_text("file_name,text\naaaaaaaaaaa.wav,Words\n")
    assert cadenza("data", "hub", "clips", "--out", "h", "--limit", "1").code == 0
    assert (tmp_path / "h" / "audio" / "train-000000.wav").exists()


def test_ctrl_c_says_how_to_go_on(cadenza, tmp_path: Path, monkeypatch):
    def interrupted(*arguments: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("cadenza.data.scan.scan", interrupted)
    done = cadenza("data", "scan", ".")
    assert (done.code, done.err) == (130, "cadenza: interrupted; give the same command to go on\n")


def test_mistakes(cadenza, tmp_path: Path):
    for arguments, message in [
        (("scan", "nowhere"), "no such folder"),
        (("split", "."), "no manifest in"),
        (("split", ".", "--by", "album"), "give artist or track"),
        (("musiccaps", "no.csv", "--out", "x"), "cannot be read"),
        (("songdescriber", "no.csv", "--audio", "."), "cannot be read"),
    ]:
        done = cadenza("data", *arguments)
        assert done.code == 2 and message in done.err and done.err.count("\n") == 1, arguments
