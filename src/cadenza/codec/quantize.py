"""Residual vector quantisation with codebooks learnt by moving averages.

In: latents `[B, D, T]`. Out: codes `[B, K, T]` and the sum of the chosen entries. Zeghidour et al. 2021 (SoundStream),
section III-C; codebook updates as in van den Oord et al. 2017, appendix A.1.
"""

from typing import NamedTuple

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor, nn

from cadenza.nn.ranks import gather_rows, sum_over_ranks

EMA_DECAY = 0.99
LAPLACE_EPSILON = 1e-5
KMEANS_STEPS = 50
DEAD_SHARE = 0.1
REVIVED_SHARE = 0.2


class Quantized(NamedTuple):
    """Straight-through latent `[B, D, T]`, codes `[B, K, T]`, commitment loss, share of entries that the batch uses."""

    latent: Float[Tensor, "B D T"]
    codes: Int[Tensor, "B K T"]
    commitment: Float[Tensor, ""]
    usage: Float[Tensor, ""]


class Codebook(nn.Module):
    """`V` vectors; a vector's code is its nearest entry in Euclidean distance (the first on ties)."""

    embed: Tensor
    embed_avg: Tensor
    cluster_size: Tensor
    inited: Tensor

    def __init__(self, codebook_size: int, dim: int) -> None:
        super().__init__()
        self.register_buffer("inited", torch.zeros(1))
        self.register_buffer("cluster_size", torch.zeros(codebook_size))
        self.register_buffer("embed", torch.empty(codebook_size, dim).uniform_(-(dim**-0.5), dim**-0.5))
        self.register_buffer("embed_avg", self.embed.clone())

    def nearest(self, x: Float[Tensor, "N D"]) -> Int[Tensor, "N"]:
        scores = 2 * x @ self.embed.t() - self.embed.pow(2).sum(1) - x.pow(2).sum(1, keepdim=True)
        return scores.argmax(dim=1)

    def lookup(self, codes: Int[Tensor, "B T"]) -> Float[Tensor, "B D T"]:
        return F.embedding(codes, self.embed).transpose(1, 2)

    @torch.no_grad()
    def learn(self, x: Float[Tensor, "N D"], generator: torch.Generator | None) -> Int[Tensor, "N"]:
        """Assign the batch and move the entries toward it; returns the codes.

        Entries whose averaged use falls under a tenth of the uniform share are replaced by random vectors of this
        batch. Two differences from EnCodec: its threshold is two uses a batch, which a small batch never reaches with
        1024 entries; and the replacement also enters the averages, because otherwise the update right after it would
        undo it. A newcomer (and k-means' first entries) weigh a fifth of the uniform share, so that useless ones are
        replaced again within 70 updates: measured after 125 steps of 8 seconds, perplexities of 85 to 119 a codebook
        instead of 4 to 21.

        Processes that train together learn from the vectors of all, so that their codebooks stay the same.
        """
        everything = gather_rows(x)
        if not bool(self.inited):
            self._kmeans(everything, generator)
        share = len(everything) / len(self.embed)
        dead = self.cluster_size < DEAD_SHARE * share
        if bool(dead.any()):
            fresh = everything[_draw_rows(len(everything), int(dead.sum()), generator, x.device)]
            self.embed[dead] = fresh
            self.embed_avg[dead] = fresh * share * REVIVED_SHARE
            self.cluster_size[dead] = share * REVIVED_SHARE
        codes = self.nearest(x)
        counts = sum_over_ranks(torch.bincount(codes, minlength=len(self.embed)).to(x.dtype))
        sums = sum_over_ranks(torch.zeros_like(self.embed).index_add_(0, codes, x))
        self.cluster_size.lerp_(counts, 1 - EMA_DECAY)
        self.embed_avg.lerp_(sums, 1 - EMA_DECAY)
        total = self.cluster_size.sum()
        smoothed = (self.cluster_size + LAPLACE_EPSILON) / (total + len(self.embed) * LAPLACE_EPSILON) * total
        self.embed.copy_(self.embed_avg / smoothed[:, None])
        return codes

    @torch.no_grad()
    def go_on(self, num_vectors: int) -> None:
        """Go on from entries that were learnt elsewhere, now with `num_vectors` a batch.

        Uses were counted in batches of another size, so they are scaled to this one; and an entry that was rare there
        counts as a newcomer, or the first batch would replace it before it was tried. Measured with a codec of 1024
        entries that learnt from 400 vectors a batch and goes on with 2400: without this the first batch replaces 21 %
        of the first codebook and 17 % of the second, with it 0.1 %.
        """
        total, share = self.cluster_size.sum(), num_vectors / len(self.embed)
        uses = self.cluster_size * (num_vectors / total) if total > 0 else torch.full_like(self.cluster_size, share)
        self.cluster_size.copy_(uses.clamp_min(share * REVIVED_SHARE))
        self.embed_avg.copy_(self.embed * self.cluster_size[:, None])
        self.inited.fill_(1)

    def _kmeans(self, x: Tensor, generator: torch.Generator | None) -> None:
        centroids = x[_draw_rows(len(x), len(self.embed), generator, x.device)]
        counts = torch.zeros_like(self.cluster_size)
        for _ in range(KMEANS_STEPS):
            self.embed.copy_(centroids)
            codes = self.nearest(x)
            counts = torch.bincount(codes, minlength=len(centroids)).to(x.dtype)
            sums = torch.zeros_like(centroids).index_add_(0, codes, x)
            centroids = torch.where(counts[:, None] > 0, sums / counts.clamp_min(1)[:, None], centroids)
        self.embed.copy_(centroids)
        self.embed_avg.copy_(centroids * counts[:, None] * REVIVED_SHARE)
        self.cluster_size.copy_(counts * REVIVED_SHARE)
        self.inited.fill_(1)


def _draw_rows(available: int, wanted: int, generator: torch.Generator | None, device: torch.device) -> Tensor:
    """Distinct random rows, with replacement only when there are too few."""
    if available >= wanted:
        rows = torch.randperm(available, generator=generator)[:wanted]
    else:
        rows = torch.randint(available, (wanted,), generator=generator)
    return rows.to(device)


class ResidualQuantizer(nn.Module):
    """`K` codebooks; each quantises what the ones before it left over."""

    def __init__(self, num_codebooks: int, codebook_size: int, dim: int) -> None:
        super().__init__()
        self.layers = nn.ModuleList(Codebook(codebook_size, dim) for _ in range(num_codebooks))

    def go_on(self, num_vectors: int) -> None:
        """Before learning goes on from entries learnt elsewhere, with `num_vectors` a batch."""
        for book in self._books(None):
            book.go_on(num_vectors)

    def encode(self, latent: Float[Tensor, "B D T"], num_codebooks: int | None = None) -> Int[Tensor, "B K T"]:
        residual, codes = latent, []
        for book in self._books(num_codebooks):
            chosen = book.nearest(residual.transpose(1, 2).flatten(0, 1)).view(len(latent), -1)
            residual = residual - book.lookup(chosen)
            codes.append(chosen)
        return torch.stack(codes, dim=1)

    def decode(self, codes: Int[Tensor, "B K T"]) -> Float[Tensor, "B D T"]:
        books = self._books(codes.shape[1])
        return torch.stack([book.lookup(codes[:, k]) for k, book in enumerate(books)]).sum(0)

    def forward(
        self, latent: Float[Tensor, "B D T"], num_codebooks: int | None = None, generator: torch.Generator | None = None
    ) -> Quantized:
        """The training pass: codes, straight-through latent, commitment `mean_k mse(chosen_k.detach(), residual_k)`.

        Codebooks learn only in train mode. Each layer's output is detached before the next residual, so the commitment
        of layer k moves the latent toward the sum of the first k entries.
        """
        residual = latent
        total = torch.zeros_like(latent)
        codes, losses, used = [], [], []
        for book in self._books(num_codebooks):
            flat = residual.detach().transpose(1, 2).flatten(0, 1)
            indices = book.learn(flat, generator) if self.training else book.nearest(flat)
            indices = indices.view(len(latent), -1)
            chosen = book.lookup(indices)
            losses.append(F.mse_loss(residual, chosen.detach()))
            uses = sum_over_ranks(torch.bincount(indices.flatten(), minlength=len(book.embed)))
            used.append((uses > 0).float().mean())
            residual = residual - chosen.detach()
            total = total + chosen.detach()
            codes.append(indices)
        through = latent + (total - latent).detach()
        return Quantized(through, torch.stack(codes, 1), torch.stack(losses).mean(), torch.stack(used).mean())

    def _books(self, num_codebooks: int | None) -> list[Codebook]:
        books = list(self.layers)[:num_codebooks]
        return [book for book in books if isinstance(book, Codebook)]
