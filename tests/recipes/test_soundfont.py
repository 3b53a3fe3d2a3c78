"""A small soundfont holds what is played of a large one, and nothing else."""

import io
import struct
from pathlib import Path

import numpy as np
import pytest
import soundfile

from cadenza.corpus import render
from cadenza.errors import UserError
from soundfont import SEASHORE, _chunk, _list, _lists, played, shrink

RATE = 32000
TONES = [(0.3 * 32767 * np.sin(2 * np.pi * hertz * np.arange(4000) / RATE)).astype("<i2") for hertz in (440, 660)]


def _terminated(pattern: str, *rows: tuple[object, ...]) -> bytes:
    return b"".join(struct.pack(pattern, *row) for row in rows)


@pytest.fixture
def large(tmp_path: Path) -> Path:
    """Programs 0 and 1, each by one instrument with one sample and silence between them."""
    gap = np.zeros(46, "<i2")
    samples = np.concatenate([TONES[0], gap, TONES[1], gap])
    zones = _terminated("<HH", (0, 0), (1, 0), (2, 0))
    pdta = [
        (b"phdr", _terminated("<20sHHHIII", *((b"p", n, 0, n, 0, 0, 0) for n in range(3)))),
        (b"pbag", zones), (b"pmod", bytes(10)), (b"pgen", _terminated("<HH", (41, 0), (41, 1), (0, 0))),
        (b"inst", _terminated("<20sH", *((b"i", n) for n in range(3)))),
        (b"ibag", zones), (b"imod", bytes(10)), (b"igen", _terminated("<HH", (53, 0), (53, 1), (0, 0))),
        (b"shdr", _terminated("<20sIIIIIBbHH", *(
            (b"s", n * 4046, n * 4046 + 4000, n * 4046 + 100, n * 4046 + 3900, RATE, 69, 0, 0, 1) for n in range(2)
        ), (b"EOS", *[0] * 9))),
    ]  # fmt: skip
    info = [(b"ifil", struct.pack("<HH", 2, 1))]
    body = b"sfbk" + _list(b"INFO", info) + _list(b"sdta", [(b"smpl", samples.tobytes())]) + _list(b"pdta", pdta)
    (tmp_path / "large.sf2").write_bytes(_chunk((b"RIFF", body)))
    return tmp_path / "large.sf2"


def test_the_sample_that_is_played_stays(large: Path, tmp_path: Path) -> None:
    shrink(large, tmp_path / "small.sf3", 0.2, {(0, 1)})
    before, after = _lists(large), _lists(tmp_path / "small.sf3")
    old, new = dict(before[b"pdta"]), dict(after[b"pdta"])
    assert {name for name in old if old[name] != new[name]} == {b"shdr"}
    assert dict(after[b"INFO"])[b"ifil"] == struct.pack("<HH", 3, 0)
    silent, (_, start, end, *loop, rate, key, _, _, kind), _ = struct.iter_unpack("<20sIIIIIBbHH", new[b"shdr"])
    assert silent[1:5] == (0, 0, 0, 0)
    assert (start, *loop, rate, key, kind) == (0, 100, 3900, RATE, 69, 17)
    heard, found = soundfile.read(io.BytesIO(dict(after[b"sdta"])[b"smpl"][start:end]))
    assert (len(heard), found) == (4000, RATE)
    assert np.corrcoef(heard, TONES[1])[0, 1] > 0.99


def test_what_cannot_be_shrunk(large: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="lacks 1 presets"):
        shrink(large, tmp_path / "small.sf3", 0.5, {(0, 1), (128, 0)})
    (tmp_path / "noise.sf2").write_bytes(bytes(100))
    with pytest.raises(UserError, match="is no soundfont"):
        shrink(tmp_path / "noise.sf2", tmp_path / "small.sf3", 0.5)


def test_the_corpus_plays_programs_kits_and_the_sea() -> None:
    assert SEASHORE == render._SEASHORE
    assert {(0, 0), (0, 48), (0, 110), (128, 0), (128, 40), (0, SEASHORE)} <= played()
    assert all(bank in (0, 128) and 0 <= program < 128 for bank, program in played())
