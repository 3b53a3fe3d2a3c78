"""Codebooks: nearest entries, residuals, straight-through gradients, learning and revival."""

import pytest
import torch

from cadenza.codec.quantize import Codebook, ResidualQuantizer


def test_nearest_is_euclidean_and_first_on_ties():
    book = Codebook(3, 2)
    book.embed.copy_(torch.tensor([[0.0, 0.0], [1.0, 0.0], [1.0, 0.0]]))
    assert book.nearest(torch.tensor([[0.9, 0.1], [0.1, 0.0]])).tolist() == [1, 0]


def test_each_codebook_reduces_the_residual():
    torch.manual_seed(0)
    quantizer = ResidualQuantizer(3, 16, 4)
    latent = torch.randn(2, 4, 50)
    generator = torch.Generator().manual_seed(0)
    for _ in range(20):
        quantizer(latent, None, generator)
    quantizer.eval()
    codes = quantizer.encode(latent)
    errors = [float((latent - quantizer.decode(codes[:, :k])).pow(2).mean()) for k in (1, 2, 3)]
    assert errors[0] > errors[1] > errors[2]


def test_gradient_passes_straight_through():
    quantizer = ResidualQuantizer(2, 8, 4).eval()
    latent = torch.randn(1, 4, 10, requires_grad=True)
    out = quantizer(latent)
    out.latent.sum().backward()
    torch.testing.assert_close(latent.grad, torch.ones_like(latent))
    torch.testing.assert_close(out.latent, quantizer.decode(out.codes), atol=1e-6, rtol=1e-5)  # x + (q - x) rounds


def test_kmeans_finds_separate_clusters():
    centres = torch.tensor([[0.0, 0.0], [10.0, 0.0], [0.0, 10.0], [10.0, 10.0]])
    points = (centres[:, None] + 0.1 * torch.randn(4, 50, 2)).reshape(-1, 2)
    book = Codebook(8, 2)
    book.learn(points, torch.Generator().manual_seed(1))
    assert bool(book.inited)
    distance = torch.cdist(points, book.embed).min(dim=1).values
    assert distance.mean() < 0.5


def test_dead_entries_come_back_with_vectors_of_the_batch():
    book = Codebook(8, 2)
    book.inited.fill_(1)
    book.embed.fill_(1e6)
    book.embed_avg.copy_(book.embed)
    x = torch.randn(64, 2)
    generator = torch.Generator().manual_seed(0)
    for _ in range(3):
        book.learn(x, generator)
    assert len(book.nearest(x).unique()) > 4
    assert book.embed.abs().max() < 1e3


def test_entries_learnt_elsewhere_survive_the_first_batches_of_another_size():
    torch.manual_seed(0)
    x = torch.randn(64, 2)
    book = Codebook(8, 2)
    for _ in range(50):
        book.learn(x[:16], torch.Generator().manual_seed(0))
    learnt, uses = book.embed.clone(), book.cluster_size.clone()
    book.cluster_size[3], book.embed_avg[3] = 0.0, 99.0  # as the reference leaves an entry that it has just replaced
    book.go_on(64)
    share = 64 / 8
    assert float(book.cluster_size[3]) == pytest.approx(0.2 * share)
    others = [i for i in range(8) if i != 3]
    expected = (uses[others] * 64 / uses[others].sum()).clamp_min(0.2 * share)
    torch.testing.assert_close(book.cluster_size[others], expected)
    book.learn(x, torch.Generator().manual_seed(0))
    # An average of decay 0.99 moves an entry by a hundredth of the way, by ten where it counts as rare.
    assert (book.embed - learnt).norm(dim=1).max() < 0.1 * x.norm(dim=1).max()


def test_codebooks_rest_outside_training():
    quantizer = ResidualQuantizer(1, 8, 4).eval()
    before = quantizer.layers[0].embed.clone()
    quantizer(torch.randn(1, 4, 10))
    assert torch.equal(before, quantizer.layers[0].embed)
