"""Cross entropy per track against the objective's own, and continuations of a model that knows its tracks."""

from pathlib import Path

import pytest
import torch

from cadenza.data.tokens import CodedItem, FixedWindows
from cadenza.testing import tiny_musicgen
from cadenza.train.finetune_measure import Listener, TrackLoss, measure_memorization, peak_memory_bytes, track_losses
from cadenza.train.objectives.lm import LMObjective, Parts
from cadenza.train.objectives.lm_config import LMObjectiveConfig


@pytest.fixture(scope="module")
def objective() -> LMObjective:
    music = tiny_musicgen(melody=True)
    config = LMObjectiveConfig(codec="unused", lm=music.lm.config, conditioning=music.conditioning.config)
    encoder = music.conditioning.conditioner("description").encoder
    made = LMObjective(config, Parts(music.lm, music.conditioning, encoder, music.codec))
    music.lm.eval()
    music.conditioning.eval()
    return made


@pytest.fixture(scope="module")
def listener(objective: LMObjective) -> Listener:
    return Listener(objective.lm, objective.hearing, 50.0)


def items(*frames: int) -> list[CodedItem]:
    generator = torch.Generator().manual_seed(0)
    return [
        CodedItem(f"track {i}", "valid", (f"words {i}",), torch.randint(32, (4, count), generator=generator))
        for i, count in enumerate(frames)
    ]


def test_of_tracks_of_one_window_the_mean_is_the_objectives(objective: LMObjective, listener: Listener):
    tracks = items(30, 30, 30)
    with torch.no_grad():
        expected = objective.evaluate([FixedWindows(tracks, 30, 3).batch(0)])
    found = track_losses(listener, tracks, 30)
    # Sums in another order, in float32.
    assert sum(loss.mean for loss in found) / 3 == pytest.approx(expected["ce_text"], rel=1e-5)
    for k in range(4):
        assert sum(loss.per_codebook[k] for loss in found) / 3 == pytest.approx(expected[f"ce_q{k}"], rel=1e-5)


def test_a_track_does_not_depend_on_those_beside_it(listener: Listener):
    together = track_losses(listener, items(70, 20), 30, batch_size=2, most=2)
    alone = [track_losses(listener, [track], 30, batch_size=1, most=2)[0] for track in items(70, 20)]
    for one, other in zip(together, alone, strict=True):
        assert one.id == other.id
        assert one.per_codebook == pytest.approx(other.per_codebook, rel=1e-5)  # sums in another order
    assert together[0] != together[1]
    assert TrackLoss("x", (1.0, 2.0)).mean == 1.5


def test_what_a_model_plays_by_itself_it_knows_by_heart(objective: LMObjective, listener: Listener):
    """A track that is a greedy continuation of its own opening is played on exactly; others are not."""
    opening = items(10)[0]
    known = _continued(listener, opening, 20)
    found = measure_memorization(listener, [known], 20, count=1, seed=0)
    assert found is not None
    assert found.exact == (1.0,) * 4
    assert found.count == 1
    other = measure_memorization(listener, items(20), 20, count=1, seed=0)
    assert other is not None
    assert max(other.exact) == 0.0
    assert measure_memorization(listener, items(19), 20, count=1, seed=0) is None


def _continued(listener: Listener, track: CodedItem, num_frames: int) -> CodedItem:
    from dataclasses import replace

    from cadenza.lm.generate import GenerationConfig, generate_codes

    with torch.no_grad():
        frames = generate_codes(
            listener.lm,
            listener.conditions([track]),
            None,
            GenerationConfig(greedy=True, guidance=1.0),
            num_frames,
            [0],
            track.codes[None],
        )
        made = torch.cat([part.codes[0] for part in frames], dim=-1)
    return replace(track, codes=torch.cat([track.codes, made], dim=1))


@pytest.mark.skipif(not Path("/proc/self/status").is_file(), reason="told by Linux alone")
def test_memory_is_that_of_this_process():
    found = peak_memory_bytes(torch.device("cpu"))
    assert found is not None
    assert 50e6 < found < 1e12
