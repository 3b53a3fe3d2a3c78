"""The pipeline on a CUDA device: the same music where arithmetic allows it, and the same twice in any case."""

import numpy as np
import pytest

from cadenza.pipelines.musicgen import MusicGen
from cadenza.testing import tiny_musicgen, tone

pytestmark = pytest.mark.gpu


@pytest.fixture(scope="module")
def directory(tmp_path_factory):
    path = tmp_path_factory.mktemp("models") / "tiny"
    tiny_musicgen().save_pretrained(path)
    return path


def test_greedy_is_the_same_as_on_the_cpu(directory):
    cpu, gpu = (MusicGen.from_pretrained(directory, device, "fp32") for device in ("cpu", "cuda"))
    ours, theirs = (music.generate("harp", 1.0, 0, greedy=True) for music in (cpu, gpu))
    # 1e-3: the same codes, decoded by other convolutions; another code would differ by 1e-1
    np.testing.assert_allclose(ours.samples, theirs.samples, atol=1e-3)


@pytest.mark.parametrize("precision", ["fp32", "bf16", "fp16"])
def test_same_seed_same_audio(directory, precision):
    music = MusicGen.from_pretrained(directory, "cuda", precision)
    first, second = (music.generate("harp", 0.5, 3, prompt=tone(duration_seconds=0.2)) for _ in range(2))
    np.testing.assert_array_equal(first.samples, second.samples)
    np.testing.assert_array_equal(music.regenerate(first).samples, first.samples)


def test_bf16_is_the_default(directory):
    assert MusicGen.from_pretrained(directory).precision == "bf16"
