"""CLAP's vectors beside windows: kept by second, the mean of what lies within, refused when they are others'."""

from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch

from cadenza.audio import Audio
from cadenza.conditioning.clap import ClapConditioner, ClapConfig
from cadenza.conditioning.clap_encoder import ClapEncoder
from cadenza.data.manifest import Entry
from cadenza.data.sounds import WithSounds, read_sounds, write_sounds
from cadenza.errors import UserError
from tiny_clap import DIM, write_tiny_clap

RATE = 8000
CONFIG = ClapConfig(dim=DIM, window_seconds=1.0, stride_seconds=0.5, num_codebooks=2, codebook_size=4)


@pytest.fixture(scope="module")
def clap(tmp_path_factory: pytest.TempPathFactory) -> ClapConditioner:
    part = ClapConditioner(CONFIG, 8).eval()
    part.attach(ClapEncoder.from_pretrained(write_tiny_clap(tmp_path_factory.mktemp("clap"))))
    return part


class Windows:
    """From the start, from 1 s, and of a silent recording; two seconds of 20 frames each."""

    def batch(self, index):
        starts = torch.tensor([0.0, 1.0, 0.0], dtype=torch.float64)
        return {"ids": ["music", "music", "silence"], "start_seconds": starts, "frames": torch.tensor([40, 40, 40])}


def test_a_window_has_the_mean_that_the_condition_hears(clap: ClapConditioner, tmp_path: Path):
    noise = np.random.default_rng(0).normal(size=3 * RATE).astype(np.float32) * 0.2
    entries = []
    for name, samples in (("music", noise * np.linspace(0, 1, len(noise))), ("silence", np.zeros(RATE))):
        soundfile.write(tmp_path / f"{name}.wav", samples, RATE, subtype="FLOAT")
        path = str(tmp_path / f"{name}.wav")
        entries.append(Entry(path=path, duration=len(samples) / RATE, sample_rate=RATE, id=name))
    (tmp_path / "broken.wav").write_bytes(b"no sound")
    soundfile.write(tmp_path / "short.wav", noise[:5], RATE)
    entries += [
        Entry(path=str(tmp_path / f"{name}.wav"), duration=1.0, sample_rate=RATE, id=name)
        for name in ("broken", "short")
    ]
    skipped = write_sounds(clap, entries, tmp_path)
    assert list(skipped) == ["silence", "broken", "short"]
    assert "is silent for 1 s" in skipped["silence"]
    assert "5 samples" in skipped["short"]
    batch = WithSounds(Windows(), read_sounds(tmp_path, clap), CONFIG, 20.0).batch(0)
    whole = Audio.read(tmp_path / "music.wav")
    for row, start in enumerate((0.0, 1.0)):
        expected = clap.prepare([whole.slice(start, 2.0)])[0][0]
        # 16 bits; resampling sees more of the recording than of the cut
        torch.testing.assert_close(batch["sound"][row], expected, atol=0.02, rtol=0.02)
    assert not batch["sound"][2].any()


def test_vectors_of_other_windows_are_refused(clap: ClapConditioner, tmp_path: Path):
    with pytest.raises(UserError, match="holds no vectors of CLAP"):
        read_sounds(tmp_path, clap)
    write_sounds(clap, [], tmp_path)
    other = ClapConditioner(CONFIG.model_copy(update={"stride_seconds": 1.0}), 8)
    other.attach(clap.encoder)
    with pytest.raises(UserError, match="of another CLAP or other windows"):
        read_sounds(tmp_path, other)
