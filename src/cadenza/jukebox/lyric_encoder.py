"""Reads lyrics for the prior to listen to.

In: characters `[B, L]`. Out: what cross layers attend to, `[B, L, D]`, and predictions of the next character. Dhariwal
et al. (2020), arXiv 2005.00341, section 5. It sees characters before each position alone, so that it can be trained to
predict them, beside what the music's loss teaches it.
"""

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn import functional as F

from cadenza.jukebox.lyrics import EncodedLyrics, Vocabulary
from cadenza.jukebox.transformer import Transformer
from cadenza.nn.linear import Linear
from cadenza.nn.transformer import LayerNorm


class LyricEncoder(nn.Module):
    """`norm(projection(transformer(shifted characters)))`; `head` makes predictions of it."""

    def __init__(self, config: EncodedLyrics, dim: int) -> None:
        super().__init__()
        self.config = config
        inner, length = config.encoder.dim, config.num_tokens
        self.start = nn.Parameter(torch.zeros(1, inner))
        self.embedding = nn.Embedding(len(Vocabulary(config.version)), inner)
        self.positions = nn.Parameter(torch.zeros(length, inner))
        self.transformer = Transformer(config.encoder, config.encoder.grid(length))
        self.projection = Linear(inner, dim, bias=True)
        self.norm = LayerNorm(dim)
        self.head = nn.Linear(dim, self.embedding.num_embeddings, bias=False)

    def hidden(self, lyrics: Int[Tensor, "B L"]) -> Float[Tensor, "B L I"]:
        """The transformer's own states."""
        x = self.embedding(lyrics[:, :-1]).float()
        x = torch.cat([self.start.float().expand(len(lyrics), 1, -1), x], dim=1)
        return self.transformer(x + self.positions.float())

    def forward(self, lyrics: Int[Tensor, "B L"]) -> Float[Tensor, "B L D"]:
        return self.norm(self.projection(self.hidden(lyrics)).float())

    def logits(self, source: Float[Tensor, "B L D"]) -> Float[Tensor, "B L V"]:
        """Predictions of the character at each position, from what `forward` returned."""
        with torch.autocast(source.device.type, enabled=False):  # in float32, as published
            return F.linear(source, self.head.weight.float())

    @torch.no_grad()
    def initialize(self, scale: float, generator: torch.Generator | None = None) -> None:
        """Random weights as published (reference, section 3.2); `scale` is the prior's, for the head."""
        own = self.config.init_scale
        nn.init.normal_(self.start, 0.0, 0.01 * own, generator=generator)
        nn.init.normal_(self.embedding.weight, 0.0, 0.02 * own, generator=generator)
        nn.init.normal_(self.positions, 0.0, 0.01 * own, generator=generator)
        self.transformer.initialize(own, generator)
        nn.init.normal_(self.projection.weight, 0.0, 0.02 * scale, generator=generator)
        nn.init.zeros_(self.projection.bias)
        nn.init.ones_(self.norm.weight)
        nn.init.zeros_(self.norm.bias)
        nn.init.normal_(self.head.weight, 0.0, 0.02 * scale, generator=generator)
