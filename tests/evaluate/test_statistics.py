"""Streaming statistics: any way of cutting a set gives numpy's mean and covariance; what does not belong is refused."""

from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from cadenza.errors import UserError
from cadenza.evaluate.embedders.base import Identity
from cadenza.evaluate.statistics import GaussianStatistics

MEL = Identity("mel", "0a" * 32, {"rate": 32000, "window": 2.0})


def windows(count: int, dim: int = 5, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(3.0, 2.0, (count, dim))


@pytest.mark.parametrize("cuts", [[], [1, 2, 3], [50], [7, 60, 61, 99]])
def test_every_way_of_cutting_gives_the_statistics_of_the_whole(cuts: list[int]) -> None:
    whole = windows(100)
    streamed = GaussianStatistics(5)
    for part in np.split(whole, cuts):
        streamed.update(part)
    parts = [GaussianStatistics.of(part) for part in np.split(whole, cuts)]
    for found in (
        streamed,
        GaussianStatistics.total(parts),
        GaussianStatistics.of_pieces(np.split(whole, cuts)),
        GaussianStatistics.of(whole[:40]).merge(GaussianStatistics.of(whole[40:])),
        GaussianStatistics.of(np.concatenate([whole, windows(30, seed=1)])).without(
            GaussianStatistics.of(windows(30, seed=1))
        ),
    ):
        assert found.count == 100
        np.testing.assert_allclose(found.mean, whole.mean(axis=0), rtol=1e-13)
        np.testing.assert_allclose(found.covariance, np.cov(whole, rowvar=False), rtol=1e-11, atol=1e-12)


def test_values_far_from_zero_keep_their_digits() -> None:
    """A sum of squares of values near 1e8 would leave nothing of a variance of 1."""
    far = GaussianStatistics(5)
    for part in np.split(windows(1000), 10):
        far.update(part + 1e8)
    np.testing.assert_allclose(far.covariance, np.cov(windows(1000), rowvar=False), rtol=1e-6)


def test_blocks_of_long_sets_join_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cadenza.evaluate.statistics._BLOCK", 16)
    whole = windows(100).astype(np.float32)
    for found in (GaussianStatistics.of(whole), GaussianStatistics.of_pieces(np.array_split(whole, 17))):
        assert found.count == 100
        np.testing.assert_allclose(found.covariance, np.cov(whole.astype(float), rowvar=False), rtol=1e-11)


def test_one_window_has_no_spread_and_none_has_no_mean() -> None:
    one = GaussianStatistics.of(windows(1))
    assert not one.covariance.any()
    assert np.array_equal(one.mean, windows(1)[0])
    empty = GaussianStatistics(5)
    assert empty.count == 0
    np.testing.assert_array_equal(empty.merge(one).mean, one.mean)


def test_saved_statistics_come_back_to_the_last_bit_and_give_the_same_bytes(tmp_path: Path) -> None:
    known = GaussianStatistics.of(windows(20), MEL)
    known.save(tmp_path / "a.safetensors")
    known.save(tmp_path / "b.safetensors")
    assert (tmp_path / "a.safetensors").read_bytes() == (tmp_path / "b.safetensors").read_bytes()
    back = GaussianStatistics.load(tmp_path / "a.safetensors")
    assert (back.count, back.identity) == (20, MEL)
    assert np.array_equal(back.mean, known.mean)
    assert np.array_equal(back.scatter, known.scatter)
    GaussianStatistics.of(windows(20)).save(tmp_path / "c.safetensors")
    assert GaussianStatistics.load(tmp_path / "c.safetensors").identity is None


def test_files_of_something_else_are_refused(tmp_path: Path) -> None:
    ours = '{"content": "cadenza statistics 1", "count": 3, "identity": null}'
    mean, endless = torch.zeros(3), torch.full((3, 3), torch.inf)
    files: dict[str, tuple[str, torch.Tensor]] = {
        "newer": ('{"content": "cadenza statistics 9"}', torch.zeros(3, 3)),
        "cut": ('{"content": "cadenza statistics 1", "count": 3}', torch.zeros(3, 3)),
        "narrow": (ours, torch.zeros(2, 3)),
        "endless": (ours, endless),
    }
    save_file({"mean": mean.bfloat16()}, tmp_path / "model.safetensors")  # numpy has no such type
    for name, (text, scatter) in files.items():
        facts = torch.frombuffer(bytearray(text.encode()), dtype=torch.uint8)
        save_file({"mean": mean, "facts": facts, "scatter": scatter}, tmp_path / f"{name}.safetensors")
    for name in ("model", *files):
        with pytest.raises(UserError, match="no statistics of a set"):
            GaussianStatistics.load(tmp_path / f"{name}.safetensors")


@pytest.mark.parametrize(
    ("other", "words"),
    [
        (Identity("vggish", "0a" * 32), "embedder 'vggish' beside 'mel'"),
        (Identity("mel", "0b" * 32, MEL.settings), "mel with weights 0b0b0b0b0b0b beside 0a0a0a0a0a0a"),
        (Identity("mel", "0a" * 32, {"rate": 32000, "window": 1.0}), "mel with window 1.0 beside 2.0"),
    ],
)
def test_sets_of_different_embedders_do_not_meet(other: Identity, words: str) -> None:
    ours, theirs = GaussianStatistics.of(windows(9), MEL), GaussianStatistics.of(windows(9), other)
    with pytest.raises(UserError, match=words):
        ours.merge(theirs)


def test_a_set_that_does_not_say_its_embedder_takes_the_name_from_nobody() -> None:
    ours, unknown = GaussianStatistics.of(windows(9), MEL), GaussianStatistics.of(windows(9))
    assert ours.merge(unknown).identity is None
    moved = Identity(MEL.name, MEL.weights, MEL.settings, "another place")  # the same weights from another source
    assert ours.merge(GaussianStatistics.of(windows(9), moved)).identity is not None
    whole = Identity(MEL.name, MEL.weights, {**MEL.settings, "rate": 32000.0})  # the same number, written otherwise
    assert ours.merge(GaussianStatistics.of(windows(9), whole)).identity == MEL


def test_wrong_widths_and_values_are_refused() -> None:
    with pytest.raises(UserError, match="windows of 4 values beside 5"):
        GaussianStatistics.of(windows(9)).merge(GaussianStatistics.of(windows(9, 4)))
    with pytest.raises(UserError, match="windows of 4 values beside 5"):
        GaussianStatistics.of_pieces([windows(9), windows(9, 4)])
    with pytest.raises(UserError, match="no pieces"):
        GaussianStatistics.of_pieces([])
    bad = windows(9)
    bad[3, 2] = np.nan
    with pytest.raises(UserError, match="not finite"):
        GaussianStatistics.of(bad)
