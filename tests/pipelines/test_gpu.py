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


@pytest.mark.parametrize("precision", ["fp32", "bf16", "fp16", "int8", "int4"])
def test_same_seed_same_audio(directory, precision):
    music = MusicGen.from_pretrained(directory, "cuda", precision)
    first, second = (music.generate("harp", 0.5, 3, prompt=tone(duration_seconds=0.2)) for _ in range(2))
    np.testing.assert_array_equal(first.samples, second.samples)
    np.testing.assert_array_equal(music.regenerate(first).samples, first.samples)


def test_bf16_is_the_default(directory):
    assert MusicGen.from_pretrained(directory).precision == "bf16"


@pytest.fixture(scope="module")
def music(directory):
    return MusicGen.from_pretrained(directory, "cuda", "bf16")


def test_streamed_is_one_shot(music):
    whole = music.generate("harp", 2.0, 3)
    chunks = [chunk.samples for chunk in music.stream("harp", 2.0, 3)]
    np.testing.assert_allclose(np.concatenate(chunks, axis=1), whole.samples, atol=1e-5)


def test_many_at_once_are_what_they_are_alone_in_the_same_engine(music):
    texts = ["harp", "a slow waltz", "fast techno with drums"]
    with music.scheduler(max_requests=4) as scheduler:
        together = [scheduler.submit(text, 1.0, seed) for seed, text in enumerate(texts)]
        together = [rendering.result() for rendering in together]
        alone = [scheduler.submit(text, 1.0, seed).result() for seed, text in enumerate(texts)]
    for one, other in zip(together, alone, strict=True):
        np.testing.assert_array_equal(one.samples, other.samples)


def test_an_engine_is_kept_for_the_next_piece(music):
    music.generate("harp", 0.5, 1)
    (engine,) = [slots for slots in music._renderer._idle if slots.capacity == 1]
    recorded = engine.graphs.num_recorded
    assert recorded >= 1
    music.generate("organ", 0.5, 2)
    assert engine in music._renderer._idle
    assert engine.graphs.num_recorded == recorded


@pytest.mark.parametrize("steps", [3, 12])
@pytest.mark.parametrize("precision", ["int8", "int4"])
def test_quantised_weights_agree_with_the_cpu(directory, precision, steps):
    """The same integers and scales; sums in another order, in bfloat16."""
    import torch

    from cadenza.conditioning.fuser import FusedConditions

    cpu, gpu = (MusicGen.from_pretrained(directory, device, precision).lm for device in ("cpu", "cuda"))
    draw = torch.Generator().manual_seed(0)
    sequence = torch.randint(0, cpu.config.codebook_size, (2, cpu.config.num_codebooks, steps), generator=draw)
    cross = torch.randn(2, 5, cpu.config.dim, generator=draw)
    with torch.no_grad():
        ours = cpu(sequence, FusedConditions(cross=cross))
        theirs = gpu(sequence.cuda(), FusedConditions(cross=cross.cuda())).cpu()
    torch.testing.assert_close(theirs / ours.std(), ours / ours.std(), atol=0.1, rtol=0)


def test_more_places_than_memory_is_one_clear_line(music):
    from cadenza.errors import UserError

    with pytest.raises(UserError, match=r"pieces at once need .* for keys and values"):
        music.scheduler(max_requests=1_000_000)
