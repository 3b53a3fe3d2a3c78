"""The loss balancer: every loss contributes a fixed share of the gradient, whatever its scale.

In: losses of the model's output. Out: one gradient with respect to that output. Défossez et al. 2022, section 3.4.
"""

from collections.abc import Mapping

import torch
from torch import Tensor

from cadenza.nn.ranks import mean_over_ranks, num_ranks

EPSILON = 1e-12


class Balancer:
    """`G = sum_i (w_i / sum w) * g_i / N_i`, `g_i = dL_i / d output`, `N_i` the averaged norm of `g_i`.

    The norm is taken per item and averaged over the batch; the moving average is bias-corrected. Only the losses passed
    in share the weights, so a run may start without its adversarial losses.
    """

    def __init__(self, weights: Mapping[str, float], decay: float = 0.999, balance: bool = True) -> None:
        self.weights = dict(weights)
        self.decay = decay
        self.balance = balance
        self.totals: dict[str, float] = {}
        self.counts: dict[str, float] = {}

    def gradient(self, losses: Mapping[str, Tensor], output: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        """The gradient with respect to `output`, `[B, ...]`, and the norm of each loss's own gradient.

        `output` requires a gradient and the losses are functions of it: means over the items of this process, of which
        the mean over all processes is differentiated. Losses of weight 0 are skipped.
        """
        active = {name: loss for name, loss in losses.items() if self.weights[name] > 0}
        if not self.balance:
            total = torch.stack([self.weights[name] * loss for name, loss in active.items()]).sum()
            return torch.autograd.grad(total, output)[0] / num_ranks(), {}
        share = sum(self.weights[name] for name in active)
        mixed, norms = torch.zeros_like(output), {}
        for i, (name, loss) in enumerate(active.items()):
            # Losses may share a graph (adversarial and feature losses do): it is kept until the last one.
            (gradient,) = torch.autograd.grad(loss, output, retain_graph=i + 1 < len(active))
            gradient = gradient / num_ranks()
            norm = mean_over_ranks(gradient.flatten(1).norm(dim=1).mean())
            norms[name] = norm
            mixed += gradient * (self.weights[name] / share / (self._averaged(name, float(norm)) + EPSILON))
        return mixed, norms

    def _averaged(self, name: str, norm: float) -> float:
        self.totals[name] = self.totals.get(name, 0.0) * self.decay + norm
        self.counts[name] = self.counts.get(name, 0.0) * self.decay + 1.0
        return self.totals[name] / self.counts[name]

    def state_dict(self) -> dict[str, dict[str, float]]:
        return {"totals": dict(self.totals), "counts": dict(self.counts)}

    def load_state_dict(self, state: Mapping[str, Mapping[str, float]]) -> None:
        self.totals, self.counts = dict(state["totals"]), dict(state["counts"])
