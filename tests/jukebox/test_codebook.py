"""Codebooks that learn: the reference's training steps, with the draws it recorded; restarts; several processes."""

import math
import threading
from collections.abc import Callable

import pytest
import torch

from cadenza.errors import CheckpointError
from cadenza.jukebox import codebook
from cadenza.jukebox.codebook import Codebook, CodebookLearner, Draw, LearningConfig, candidates, draw
from jukebox.vqvae_oracle import audio, recorded, tiny

RUNS = {"train_init": 1.0, "train_restart": 0.995, "train_resume": 1.0}  # and their thresholds
METRICS = {"entropy": "entropy", "used": "used_curr", "usage": "usage", "movement": "dk", "fit": "fit", "spread": "pn"}


@pytest.mark.parametrize(("run", "threshold"), RUNS.items())
def test_a_training_step_is_that_of_the_reference(run: str, threshold: float, monkeypatch: pytest.MonkeyPatch) -> None:
    """First entries, averages, restarts, averages rebuilt from entries alone, and every metric."""
    io, model = recorded(), tiny().train()
    config = LearningConfig(restart_threshold=threshold)
    learners = [CodebookLearner(model.codebook(level), config) for level in range(3)]
    draws: dict[int, list[Draw]] = {}
    for level, learner in enumerate(learners):
        before = f"{run}.codebook_before.level{level}"
        learner.book.vectors.copy_(io[f"{before}.k"])
        if run == "train_restart":
            learner.load_state_dict({"uses": io[f"{before}.k_elem"], "sums": io[f"{before}.k_sum"]})
        elif run == "train_resume":  # a sequence of 16,384 samples; 64 entries
            learner.go_on(16384 // model.hop_lengths[level] / 64)
            assert torch.equal(learner.uses, io[f"{before}.k_elem"])
            assert torch.equal(learner.sums, io[f"{before}.k_sum"])
        name = f"{run}.draw.level{level}"
        vectors = audio(f"{run}.wav")[:, :, :: model.hop_lengths[level]].numel()
        draws[vectors] = [
            Draw(io[f"{name}.permutation{i}"], io.get(f"{name}.noise{i}"))
            for i in range(2)
            if f"{name}.permutation{i}" in io
        ]
    monkeypatch.setattr(codebook, "draw", lambda vectors, size, dim, generator: draws[vectors].pop(0))
    made = model.forward_train(audio(f"{run}.wav"), learners)
    for level, (part, learner) in enumerate(zip(made.levels, learners, strict=True)):
        after = f"{run}.codebook_after.level{level}"
        assert torch.equal(part.codes, io[f"{run}.codes.level{level}"])
        # Sums in another order; measured 2e-6 and less.
        torch.testing.assert_close(part.latent, io[f"{run}.latent.level{level}"], rtol=1e-5, atol=1e-6)
        torch.testing.assert_close(made.audio[level], audio(f"{run}.decoded.level{level}"), rtol=1e-5, atol=5e-6)
        torch.testing.assert_close(learner.book.vectors, io[f"{after}.k"], rtol=1e-5, atol=1e-6)
        torch.testing.assert_close(learner.uses, io[f"{after}.k_elem"], rtol=1e-6, atol=0)
        torch.testing.assert_close(learner.sums, io[f"{after}.k_sum"], rtol=1e-5, atol=1e-5)
        torch.testing.assert_close(part.commitment, io[f"{run}.loss.commit.level{level}"], rtol=1e-5, atol=1e-8)
        for name, theirs in METRICS.items():
            expected = io[f"{run}.metric.level{level}.{theirs}"]
            # `fit` of entries that are their own vectors is a difference of equal numbers: 4e-8 of 0.3.
            torch.testing.assert_close(getattr(part.metrics, name), expected, rtol=1e-5, atol=1e-7)


def test_nearest_is_euclidean_and_first_on_ties(monkeypatch: pytest.MonkeyPatch) -> None:
    book = Codebook(3, 2)
    book.vectors.copy_(torch.tensor([[0.0, 0.0], [1.0, 0.0], [1.0, 0.0]]))
    x = torch.tensor([[0.9, 0.1], [0.1, 0.0], [2.0, 0.0]])
    for rows in (100, 2):  # at once, and in turns
        monkeypatch.setattr(codebook, "ROWS", rows)
        codes, distances = book.nearest(x)
        assert codes.tolist() == [1, 0, 1]
        torch.testing.assert_close(distances, torch.tensor([0.02, 0.01, 1.0]))


def test_too_few_vectors_are_repeated_and_blurred() -> None:
    x = torch.tensor([[0.0, 0.0], [10.0, 0.0], [0.0, 10.0]])
    drawn = draw(3, 8, 2, torch.Generator().manual_seed(0))
    found = candidates(x, 8, drawn)
    apart, number = torch.cdist(found, x).min(dim=1)
    assert sorted(torch.bincount(number).tolist()) == [2, 3, 3]  # nine in all, of which eight are taken
    assert 0 < float(apart.max()) < 5 * 0.01
    assert draw(8, 8, 2, None).noise is None


def learner(config: LearningConfig | None = None, size: int = 8) -> CodebookLearner:
    torch.manual_seed(0)
    return CodebookLearner(Codebook(size, 2), config or LearningConfig())


def test_a_dead_entry_is_drawn_anew_until_it_is_used() -> None:
    part, generator = learner(size=2), torch.Generator().manual_seed(0)
    near, far = torch.zeros(50, 2), torch.full((50, 2), 5.0)
    part.book.vectors.copy_(torch.tensor([[0.0, 0.0], [8.0, 8.0]]))
    part.go_on(1.0)
    part.learn(near, generator)
    assert part.book.vectors[1].tolist() == [0.0, 0.0]  # of this batch
    assert float(part.uses[1]) == pytest.approx(0.99)  # its averages go on
    part.learn(near, generator)
    assert float(part.uses[1]) == pytest.approx(0.99**2)  # of two equal entries the first is chosen: dead again
    for _ in range(20):
        part.learn(torch.cat([near, far]), generator)
    assert float(part.uses.min()) > 1  # both live
    assert part.book.nearest(torch.tensor([[0.0, 0.0], [5.0, 5.0]]))[0].tolist() == [0, 1]


def test_without_restarts_an_unused_entry_stays() -> None:
    part = learner(LearningConfig(restarts=False, decay=0.5), size=2)
    part.book.vectors.copy_(torch.tensor([[0.0, 0.0], [1e3, 1e3]]))
    part.go_on(1.0)
    for _ in range(60):  # its averages fade to nothing
        part.learn(torch.ones(1, 2))
    assert part.uses[1] < codebook.FORGOTTEN
    torch.testing.assert_close(part.book.vectors, torch.tensor([[1.0, 1.0], [1e3, 1e3]]))


def test_entropy_counts_what_the_batch_uses() -> None:
    part = learner(size=4)
    part.book.vectors.copy_(torch.tensor([[0.0, 0.0], [1.0, 0.0], [2.0, 0.0], [9.0, 9.0]]))
    part.go_on(10.0)
    metrics = part.learn(torch.tensor([[0.0, 0.0], [0.0, 0.0], [1.0, 0.0], [2.0, 0.0]])).metrics
    assert float(metrics.entropy) == pytest.approx(1.5 * math.log(2))  # shares 1/2, 1/4, 1/4
    assert (float(metrics.used), float(metrics.usage), float(metrics.fit)) == (3, 4, 0)


def test_averages_go_on_where_they_were() -> None:
    first, x = learner(), torch.randn(3, 40, 2, generator=torch.Generator().manual_seed(1))
    first.learn(x[0], torch.Generator().manual_seed(0))
    second = learner()
    assert second.state_dict() == {}
    second.book.load_state_dict(first.book.state_dict())
    second.load_state_dict(first.state_dict())
    for part in (first, second):
        for batch in x[1:]:
            part.learn(batch, torch.Generator().manual_seed(2))
    assert torch.equal(first.book.vectors, second.book.vectors)
    assert torch.equal(first.sums, second.sums)
    second.load_state_dict({})
    assert second.uses is None
    with pytest.raises(CheckpointError, match=r"shape \[8, 2\], expected \[4, 2\]: use the same recipe"):
        learner(size=4).load_state_dict(first.state_dict())


class Together:
    """Two processes as two threads: each has a rank, and sums wait for both."""

    def __init__(self) -> None:
        self.here, self.barrier, self.shares = threading.local(), threading.Barrier(2, timeout=20), {}

    def sum(self, tensor: torch.Tensor) -> torch.Tensor:
        self.shares[self.here.rank] = tensor
        self.barrier.wait()
        total = self.shares[0] + self.shares[1]
        self.barrier.wait()
        return total

    def run(self, act: Callable[[int], None]) -> None:
        def begin(rank: int) -> None:
            self.here.rank = rank
            act(rank)

        threads = [threading.Thread(target=begin, args=(rank,)) for rank in range(2)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()


@pytest.mark.parametrize("rows", [3, 40])  # a process: fewer than entries, and more
def test_two_processes_learn_the_codebook_of_one(rows: int, monkeypatch: pytest.MonkeyPatch) -> None:
    batches = torch.randn(6, 2 * rows, 2, generator=torch.Generator().manual_seed(3))
    batches[:, rows:] += 4.0  # what one of them hears is not what the other hears

    def learn(part: CodebookLearner, chosen: slice) -> CodebookLearner:
        for number, batch in enumerate(batches):
            part.learn(batch[chosen], torch.Generator().manual_seed(number))
        return part

    alone, parts = learn(learner(), slice(None)), [learner(), learner()]
    both = Together()
    monkeypatch.setattr(codebook, "num_ranks", lambda: 2)
    monkeypatch.setattr(codebook, "rank", lambda: both.here.rank)
    monkeypatch.setattr(codebook, "sum_over_ranks", both.sum)
    both.run(lambda rank: learn(parts[rank], slice(rank * rows, (rank + 1) * rows)) and None)
    assert torch.equal(parts[0].book.vectors, parts[1].book.vectors)
    for part in parts:  # halves are summed in another order
        torch.testing.assert_close(part.book.vectors, alone.book.vectors, rtol=1e-5, atol=1e-5)
        torch.testing.assert_close(part.uses, alone.uses)
