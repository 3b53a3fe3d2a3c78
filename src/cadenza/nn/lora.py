"""Low-rank side branches of linear layers: `y += s (x A^T) B^T`, a few trained numbers beside many frozen ones.

In: the vectors that go into a layer. Out: what is added to those that come out. Hu et al. (2021), "LoRA: Low-Rank
Adaptation of Large Language Models": A is drawn, B starts as zeros, so that an untrained branch changes nothing. Over
quantised weights as Dettmers et al. (2023), "QLoRA".
"""

import math

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F


class Branch(nn.Module):
    """One branch, `[.., I] -> [.., O]` through `rank` numbers; computes in the precision of its own weights.

    Args:
        scale: alpha / rank, or alpha / sqrt(rank) (Kalajdzievski, 2023, "rsLoRA").
        dropout: chance that an input of the branch is left out, training only.
    """

    def __init__(
        self, in_features: int, out_features: int, rank: int, scale: float = 1.0, dropout: float = 0.0
    ) -> None:
        super().__init__()
        self.scale = scale
        self.dropout = dropout
        self.down: Float[Tensor, "R I"] = nn.Parameter(torch.zeros(rank, in_features))
        self.up: Float[Tensor, "O R"] = nn.Parameter(torch.zeros(out_features, rank))

    @torch.no_grad()
    def initialize(self, generator: torch.Generator) -> None:
        """A: uniform within `+-1 / sqrt(I)` (He et al., 2015, with a = sqrt(5), as linear layers begin); B: zeros."""
        bound = 1 / math.sqrt(self.down.shape[1])
        drawn = torch.empty(self.down.shape).uniform_(-bound, bound, generator=generator)  # the same on any device
        self.down.copy_(drawn)
        self.up.zero_()

    def forward(self, x: Float[Tensor, "*shape I"]) -> Float[Tensor, "*shape O"]:
        x = F.dropout(x.to(self.down.dtype), self.dropout, self.training)
        return F.linear(F.linear(x, self.down) * self.scale, self.up)
