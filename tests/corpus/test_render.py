"""Rendering: programs and soundfonts are found where they are said to be, stems are mixed, and all repeats."""

import sys
from pathlib import Path

import numpy as np
import pytest

from cadenza.corpus import render as render_module
from cadenza.corpus.render import find_fluidsynth, find_soundfont, render, render_dry, render_stereo
from cadenza.corpus.score import Meter, Note, Part, Score, Section
from cadenza.corpus.synth import SAMPLE_RATE
from cadenza.corpus.theory import Key
from cadenza.errors import UserError

# A player of MIDI files that writes half a second of a square wave, and says with which libraries it was started.
_PROGRAM = """#!{python} -S
import array, os, sys
target = sys.argv[sys.argv.index("-F") + 1]
array.array("f", ([0.25, 0.125] * 16 + [-0.25, -0.125] * 16) * 500).tofile(open(target, "wb"))
open({log!r}, "a").write(os.environ.get("LD_LIBRARY_PATH", "") + "\\n")
"""


@pytest.fixture
def bundle(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A soundfont with a player beside it, and none on the path."""
    folder = tmp_path / "fluidsynth"
    folder.mkdir()
    program = folder / "fluidsynth"
    program.write_text(_PROGRAM.format(python=sys.executable, log=str(tmp_path / "log")))
    program.chmod(0o755)
    (tmp_path / "small.sf3").write_bytes(b"RIFF\x04\x00\x00\x00sfbk")
    monkeypatch.setenv("PATH", str(tmp_path / "nothing"))
    monkeypatch.delenv("CADENZA_FLUIDSYNTH", raising=False)
    monkeypatch.delenv("CADENZA_SOUNDFONT", raising=False)
    return tmp_path


def _score(*parts: Part, genre: str = "trance", seed: int = 1) -> Score:
    section = Section("verse", 0, 1, ("I", ""), Key(0, "major"))
    return Score(seed, genre, 120.0, Key(0, "major"), Meter(4), (), (section,), parts)


_SYNTHS = (
    Part("synth pluck", "melody", tuple(Note(float(i), 0.8, 60 + i, 90) for i in range(4))),
    Part("acid bass", "bass", (Note(0.0, 4.0, 40, 90),)),
)


def test_electronic_pieces_need_no_program_and_repeat_exactly(bundle: Path) -> None:
    samples = render(_score(*_SYNTHS))
    assert samples.shape == (int(3.5 * SAMPLE_RATE),)
    assert samples.dtype == np.float32
    assert np.isfinite(samples).all()
    assert 0.01 < np.sqrt(np.mean(samples**2)) < 0.5
    np.testing.assert_array_equal(samples, render(_score(*_SYNTHS)))
    assert not np.array_equal(samples, render(_score(*_SYNTHS, seed=2)))


def test_stereo_has_two_sides_and_the_level_of_mono(bundle: Path) -> None:
    mono, stereo = render(_score(*_SYNTHS)), render_stereo(_score(*_SYNTHS))
    assert stereo.shape == (2, len(mono))
    assert not np.allclose(stereo[0], stereo[1], atol=1e-3)
    both = np.sqrt(np.mean(stereo**2))
    assert 20 * np.log10(both / np.sqrt(np.mean(mono**2))) == pytest.approx(0.0, abs=1.5)


def test_dry_is_what_the_program_gave(bundle: Path) -> None:
    flute = _score(Part("flute", "melody", (Note(0.0, 1.0, 70, 90),)))
    dry = render_dry(flute, bundle / "small.sf3")
    wave = np.array([0.25, 0.125] * 16 + [-0.25, -0.125] * 16, np.float32).reshape(-1, 2).mean(axis=1)
    assert dry.dtype == np.float32
    np.testing.assert_array_equal(dry, np.tile(wave, 500)[: int(3.5 * SAMPLE_RATE)])
    assert not np.allclose(render(flute, bundle / "small.sf3")[: dry.size], dry, atol=1e-3)


def test_dry_is_for_the_instruments_of_general_midi(bundle: Path) -> None:
    with pytest.raises(AssertionError, match="mixed only"):
        render_dry(_score(*_SYNTHS), bundle / "small.sf3")


def test_the_program_beside_the_soundfont_plays_with_its_own_libraries(bundle: Path) -> None:
    (bundle / "fluidsynth" / "libfluidsynth.so.3").touch()
    played = render(_score(Part("piano", "melody", (Note(0.0, 1.0, 60, 90),))), bundle / "small.sf3")
    assert 0.1 < np.abs(played[3200:12800]).mean() < 0.3
    assert (bundle / "log").read_text().splitlines() == [str(bundle / "fluidsynth")]


def test_rhythm_and_body_are_two_stems(bundle: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CADENZA_SOUNDFONT", str(bundle / "small.sf3"))
    parts = [Part(name, role, (Note(0.0, 1.0, 40, 90),)) for name, role in (("piano", "chords"), ("drums", "drums"))]
    render(_score(*parts))
    assert len((bundle / "log").read_text().splitlines()) == 2


def test_variables_name_program_and_soundfont(bundle: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program = bundle / "fluidsynth" / "fluidsynth"
    with pytest.raises(UserError, match="apt install fluidsynth"):
        find_fluidsynth()
    monkeypatch.setenv("CADENZA_FLUIDSYNTH", str(program))
    assert find_fluidsynth() == str(program)
    monkeypatch.setenv("CADENZA_FLUIDSYNTH", str(bundle))
    with pytest.raises(UserError, match=r"CADENZA_FLUIDSYNTH=.* is no program"):
        find_fluidsynth()
    monkeypatch.setenv("CADENZA_SOUNDFONT", str(bundle / "small.sf3"))
    assert find_soundfont() == bundle / "small.sf3"
    with pytest.raises(UserError, match="no soundfont at"):
        find_soundfont(bundle / "absent.sf2")


def test_the_sea_is_only_heard_where_it_is_drawn(bundle: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    written = []
    monkeypatch.setattr(render_module, "write_midi", lambda score, players: written.append(players) or b"")
    monkeypatch.setenv("CADENZA_SOUNDFONT", str(bundle / "small.sf3"))
    pad = Part("synth pad", "pad", (Note(0.0, 4.0, 60, 80),))
    sea = 0
    for seed in range(16):
        written.clear()
        score = _score(pad, genre="ambient", seed=seed)
        heard = render_module.draw_mix(score).surf
        sea += heard
        if heard:
            render(score)
            assert any(player.patch.sound == 122 for player in written[0])
    assert 0 < sea < 12
