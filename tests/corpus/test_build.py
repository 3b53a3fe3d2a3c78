"""Datasets: cutting, splitting, resuming, and what is said when a renderer is missing."""

import hashlib
import itertools
import json
import shutil
from multiprocessing.pool import ThreadPool
from pathlib import Path

import numpy as np
import pytest
import soundfile

from cadenza.corpus import build as build_module
from cadenza.corpus import render as render_module
from cadenza.corpus.build import build, piece_seconds, redescribe
from cadenza.corpus.clips import COMPOSER
from cadenza.corpus.compose import compose
from cadenza.corpus.score import Score
from cadenza.errors import UserError

RATE = 32_000


def _hum(score: Score, soundfont: str | None = None) -> np.ndarray:
    """A renderer without FluidSynth: noise from the seed, as long as the piece."""
    rng = np.random.default_rng(score.seed)
    return (0.1 * rng.standard_normal(int((score.duration_seconds + 1.5) * RATE))).astype(np.float32)


@pytest.fixture
def no_fluidsynth(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(build_module, "render", _hum)
    monkeypatch.setattr(build_module, "find_fluidsynth", lambda soundfont: "")
    monkeypatch.setattr(build_module, "find_soundfont", lambda path: Path())


def _fingerprint(directory: Path) -> dict[str, str]:
    files = [p for p in sorted(directory.rglob("*")) if p.is_file()]
    return {str(p.relative_to(directory)): hashlib.sha256(p.read_bytes()).hexdigest() for p in files}


def test_lengths_of_pieces() -> None:
    """Most are short; the long ones, in which a form is heard, are a fifth of the hours."""
    lengths = np.array([piece_seconds(seed) for seed in range(4000)])
    long = lengths > 60
    assert set(lengths[~long]) == {22.0, 30.0, 44.0}
    assert 90.0 <= lengths[long].min() < 100.0 < 170.0 < lengths[long].max() <= 180.0
    assert 0.15 < lengths[long].sum() / lengths.sum() < 0.27


@pytest.mark.usefixtures("no_fluidsynth")
def test_manifest_and_files(tmp_path: Path) -> None:
    manifest = build(tmp_path / "a", hours=0.03, seed=3, quiet=True)
    rows = [json.loads(line) for line in manifest.read_text().splitlines()]
    assert sum(r["duration"] for r in rows) >= 0.03 * 3600
    assert len({r["id"] for r in rows}) == len(rows)
    pieces: dict[int, set[str]] = {}
    for row in rows:
        info = soundfile.info(tmp_path / "a" / row["path"])
        assert (info.samplerate, info.channels) == (RATE, 1) == (row["sample_rate"], 1)
        assert info.frames / RATE == pytest.approx(row["duration"], abs=1e-4)
        pieces.setdefault(row["seed"], set()).add(row["split"])
        assert row["instruments"]
        assert all(row["captions"])
        assert row["composer"] == COMPOSER
        assert ("held_out_captions" in row) == (row["split"] == "test")
    assert all(len(splits) == 1 for splits in pieces.values())
    assert {f"audio/{p.name}" for p in (tmp_path / "a" / "audio").iterdir()} == {r["path"] for r in rows}


@pytest.mark.usefixtures("no_fluidsynth")
def test_interrupted_build_ends_with_the_same_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    build(tmp_path / "whole", hours=0.02, seed=1, quiet=True)
    calls = 0

    def failing(score: Score, soundfont: str | None = None) -> np.ndarray:
        nonlocal calls
        calls += 1
        if calls == 2:
            raise KeyboardInterrupt
        return _hum(score)

    monkeypatch.setattr(build_module, "render", failing)
    with pytest.raises(KeyboardInterrupt):
        build(tmp_path / "parts", hours=0.02, seed=1, quiet=True)
    build(tmp_path / "parts", hours=0.02, seed=1, quiet=True)
    assert _fingerprint(tmp_path / "parts") == _fingerprint(tmp_path / "whole")


@pytest.mark.usefixtures("no_fluidsynth")
def test_no_piece_is_left_out_between_chunks_of_a_pool(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, no_fluidsynth: None
) -> None:
    class Threads:
        """A pool of this process, so that the patched renderer is met: chunks are cut before it."""

        def __init__(self, workers: int) -> None:
            self.workers = workers

        def Pool(self, workers: int) -> ThreadPool:
            return ThreadPool(workers)

    monkeypatch.setattr(build_module.multiprocessing, "get_context", Threads)
    monkeypatch.setattr(build_module, "make_piece", lambda directory, seed, soundfont: 1.0)
    # Two workers take eight pieces at a time.
    indices = [index for index, _, _ in itertools.islice(build_module._pieces(tmp_path, 3, 2, None), 20)]
    assert indices == list(range(20))


def test_redescribe_restores_captions_and_refuses_moved_clips(tmp_path: Path) -> None:
    manifest = build(tmp_path, hours=0.008, seed=2, quiet=True)
    before = manifest.read_text()
    manifest.unlink()
    assert redescribe(tmp_path).read_text() == before
    record = next((tmp_path / "pieces").iterdir())
    rows = [json.loads(line) for line in record.read_text().splitlines()]
    rows[0]["start_seconds"] += 1.0
    record.write_text("".join(json.dumps(r) + "\n" for r in rows))
    with pytest.raises(UserError, match="another composer"):
        redescribe(tmp_path)


@pytest.mark.usefixtures("no_fluidsynth")
def test_pieces_of_another_composer_are_neither_kept_nor_described(tmp_path: Path) -> None:
    build(tmp_path, hours=0.003, seed=4, quiet=True)
    for record in (tmp_path / "pieces").iterdir():
        record.write_text(record.read_text().replace(f'"composer": {COMPOSER}, ', ""))
    for work in (lambda: build(tmp_path, hours=0.003, seed=4, quiet=True), lambda: redescribe(tmp_path)):
        with pytest.raises(UserError, match="by composer 1, this is composer 2: build into another folder"):
            work()


@pytest.mark.usefixtures("no_fluidsynth")
def test_a_full_disk_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*args: object, **options: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(soundfile, "write", full)
    with pytest.raises(UserError, match=r"flac: cannot be written .*No space left.*same seed to go on"):
        build(tmp_path, hours=0.003, seed=4, quiet=True)


@pytest.mark.parametrize(("seed", "workers"), [(-1, 1), (10**6, 1), (0, 0)])
def test_absurd_seeds_and_workers_are_refused(tmp_path: Path, seed: int, workers: int) -> None:
    with pytest.raises(UserError, match=r"seed=|workers="):
        build(tmp_path / "x", hours=0.01, seed=seed, workers=workers)
    assert not (tmp_path / "x").exists()


@pytest.mark.parametrize("hours", [0.0, -1.0, float("nan"), 1e9])
def test_absurd_hours_are_refused(tmp_path: Path, hours: float) -> None:
    with pytest.raises(UserError, match="hours="):
        build(tmp_path / "x", hours=hours)
    assert not (tmp_path / "x").exists()


def test_missing_programs_and_soundfonts_name_the_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UserError, match=r"nowhere\.sf2"):
        render_module.find_soundfont(tmp_path / "nowhere.sf2")
    monkeypatch.setattr(render_module, "SOUNDFONT_PLACES", ())
    with pytest.raises(UserError, match="fluid-soundfont-gm"):
        render_module.find_soundfont()
    monkeypatch.setattr(render_module.shutil, "which", lambda name: None)
    with pytest.raises(UserError, match="apt install fluidsynth"):
        render_module.find_fluidsynth()


_INSTALLED = shutil.which("fluidsynth") is not None and any(Path(p).exists() for p in render_module.SOUNDFONT_PLACES)
needs_fluidsynth = pytest.mark.skipif(not _INSTALLED, reason="fluidsynth or its soundfont is not installed")


@needs_fluidsynth
def test_rendering_is_deterministic_and_in_tune() -> None:
    score = next(s for s in (compose(n, 8.0) for n in range(200)) if s.genre == "piano ballad")
    first, second = render_module.render(score), render_module.render(score)
    np.testing.assert_array_equal(first, second)
    assert first.dtype == np.float32
    assert 0.001 < np.abs(first).max() < 4.0
    spectrum = np.abs(np.fft.rfft(first)) ** 2
    pitches = 69 + 12 * np.log2(np.fft.rfftfreq(len(first), 1 / RATE)[1:] / 440.0)
    inside = (pitches > 48) & (pitches < 84)
    chroma = np.bincount(np.round(pitches[inside]).astype(int) % 12, weights=spectrum[1:][inside], minlength=12)
    in_key = sum(chroma[c] for c in score.key.scale)
    assert in_key / chroma.sum() > 0.8


@needs_fluidsynth
@pytest.mark.parametrize("content", [b"not a soundfont", b"RIFF\x10\0\0\0sfbkjunkjunk"])
def test_a_bad_soundfont_is_named(tmp_path: Path, content: bytes) -> None:
    fake = tmp_path / "fake.sf2"
    fake.write_bytes(content)
    score = next(s for s in (compose(n, 8.0) for n in range(50)) if s.genre == "classical")
    with pytest.raises(UserError, match=r"fake\.sf2"):
        render_module.render(score, fake)


def test_a_file_where_the_folder_should_be(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="file: no folder can be made there"):
        build(tmp_path / "file", hours=0.01)
