"""Excerpts beside windows: the recording's own audio, inside the window, of one length per batch."""

from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch

from cadenza.data.excerpts import WithExcerpts
from cadenza.data.manifest import Entry
from cadenza.errors import UserError

RATE = 4000
RAMP = np.arange(2 * RATE, dtype=np.float32) / (2 * RATE)
"""Two seconds in which every sample says where it is."""


class Windows:
    """Two windows of one second at 20 frames a second: from 0.25 s, and one of which half is real, from 1.5 s."""

    def batch(self, index):
        starts, frames = torch.tensor([0.25, 1.5], dtype=torch.float64), torch.tensor([20, 10])
        return {"ids": ["ramp", "ramp"], "start_seconds": starts, "frames": frames}

    def __len__(self):
        return 1


@pytest.fixture
def entries(tmp_path: Path) -> list[Entry]:
    soundfile.write(tmp_path / "ramp.wav", RAMP, RATE, subtype="FLOAT")
    return [Entry(path=str(tmp_path / "ramp.wav"), duration=2.0, sample_rate=RATE, id="ramp")]


def test_excerpts_are_the_recording_inside_the_window(entries: list[Entry]):
    source = WithExcerpts(Windows(), entries, RATE, 20.0, (0.2, 0.4), seed=3)
    lengths = set()
    for index in range(20):
        batch = source.batch(index)
        seconds = float(batch["excerpt_seconds"][0])
        size = batch["excerpt"].shape[1]
        assert (0.2 <= seconds <= 0.4, size) == (True, round(seconds * RATE))
        lengths.add(size)
        for row, (begin, real) in enumerate(((0.25, 1.0), (1.5, 0.5))):
            start = float(batch["excerpt_start"][row])
            assert 0 <= start <= real - seconds + 1e-6
            first = round((begin + start) * RATE)
            assert np.array_equal(batch["excerpt"][row].numpy(), RAMP[first : first + size])
    assert len(lengths) > 10


def test_a_process_reads_its_own_rows_and_the_others_are_the_same(entries: list[Entry]):
    whole, part = (WithExcerpts(Windows(), entries, RATE, 20.0, (0.2, 0.4), 3, rows) for rows in (None, range(1, 2)))
    a, b = whole.batch(7), part.batch(7)
    assert torch.equal(a["excerpt"][1], b["excerpt"][1])
    assert not b["excerpt"][0].any()
    assert torch.equal(a["excerpt_start"], b["excerpt_start"])


def test_in_validation_it_is_the_middle(entries: list[Entry]):
    source = WithExcerpts(Windows(), entries, RATE, 20.0, (0.2, 0.2), fixed=True)
    assert source.batch(0)["excerpt_start"].tolist() == pytest.approx([0.4, 0.15])
    assert len(source) == 1


def test_a_recording_that_is_not_in_the_manifest_is_named(entries: list[Entry]):
    with pytest.raises(UserError, match="ramp is in the token cache, but not in the manifest"):
        WithExcerpts(Windows(), [], RATE, 20.0, (0.2, 0.4)).batch(0)
