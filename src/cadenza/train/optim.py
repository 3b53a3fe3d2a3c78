"""Optimisers of language models: AdamW, Muon for the hidden matrices, or one that finds its own learning rate.

In: modules by name. Out: one `torch.optim.Optimizer`. Loshchilov & Hutter 2019 (AdamW); Jordan et al. 2024 (Muon:
momentum whose matrix updates are orthogonalised), its updates as large as AdamW's (Liu et al. 2025), so that both
share one learning rate; Defazio & Mishchenko 2023 (D-Adaptation), Mishchenko & Defazio 2024 (Prodigy): Adam whose step
size is an estimate of the distance to the solution, grown from almost nothing.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal

import torch
from pydantic import Field
from torch import nn

from cadenza.checkpoint import Config
from cadenza.errors import UserError


class AdamWConfig(Config):
    """Defaults: MusicGen's."""

    kind: Literal["adamw"] = "adamw"
    learning_rate: float = Field(1e-4, gt=0, description="of the language model and its projections")
    text_encoder_learning_rate: float | None = Field(
        None, gt=0, description="of a trained text encoder; None: the same"
    )
    betas: tuple[float, float] = Field((0.9, 0.95), description="decay of the two moments")
    weight_decay: float = Field(0.1, ge=0, description="decoupled decay")
    decay_vectors: bool = Field(True, description="decay biases and norms as well, as published")


class MuonConfig(Config):
    """Muon for the matrices inside transformer layers; AdamW for embeddings, heads, projections and vectors."""

    kind: Literal["muon"] = "muon"
    learning_rate: float = Field(2e-3, gt=0, description="of both, as an AdamW rate")
    momentum: float = Field(0.95, ge=0, lt=1, description="of Muon")
    betas: tuple[float, float] = Field((0.9, 0.95), description="decay of AdamW's two moments")
    weight_decay: float = Field(0.1, ge=0, description="decoupled decay of matrices")


class DAdaptConfig(Config):
    """D-Adaptation's Adam. Defaults: MusicGen small's."""

    kind: Literal["dadapt"] = "dadapt"
    learning_rate: float = Field(1.0, gt=0, description="factor on the step size that it finds")
    betas: tuple[float, float] = Field((0.9, 0.95), description="decay of the two moments")
    weight_decay: float = Field(0.1, ge=0, description="decoupled decay")
    first_estimate: float = Field(1e-6, gt=0, description="step size to begin with, d0")
    growth_rate: float | None = Field(None, gt=1, description="most by which an update enlarges the step size")


class ProdigyConfig(DAdaptConfig):
    """Prodigy: the same idea, with an estimate that grows faster."""

    kind: Literal["prodigy"] = "prodigy"  # type: ignore[assignment]
    coefficient: float = Field(1.0, gt=0, description="factor on the estimate; 0.5 and 2 work as well")
    safeguard_warmup: bool = Field(True, description="leave the warm-up's small rates out of the estimate")


AnyOptimizerConfig = AdamWConfig | MuonConfig | DAdaptConfig | ProdigyConfig
OptimizerConfig = Annotated[AnyOptimizerConfig, Field(discriminator="kind")]


class JointOptimizer(torch.optim.Optimizer):
    """Several optimisers stepped as one. The parameter groups are theirs, so a schedule reaches all of them."""

    def __init__(self, parts: Sequence[torch.optim.Optimizer]) -> None:
        self.parts = list(parts)
        super().__init__([{"params": [p for part in parts for g in part.param_groups for p in g["params"]]}], {})
        self.param_groups = [group for part in parts for group in part.param_groups]

    def step(self, closure: None = None) -> None:  # type: ignore[override]
        for part in self.parts:
            part.step()

    def state_dict(self) -> dict[str, Any]:
        return {"parts": [part.state_dict() for part in self.parts]}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        for part, state in zip(self.parts, state_dict["parts"], strict=True):
            part.load_state_dict(state)
        self.param_groups = [group for part in self.parts for group in part.param_groups]


def build_optimizer(modules: Mapping[str, nn.Module], config: AnyOptimizerConfig) -> torch.optim.Optimizer:
    """The optimiser of a language model's modules; `text_encoder` is the name whose rate may differ."""
    match config:
        case AdamWConfig():
            return _adamw(modules, config)
        case MuonConfig():
            return _muon(modules, config)
        case DAdaptConfig():
            return _adaptive(modules, config)


def step_size(optimizer: torch.optim.Optimizer) -> float:
    """What the learning rate is multiplied with: the estimate of D-Adaptation and Prodigy, 1 for the others."""
    return float(optimizer.param_groups[0].get("d", 1.0))


def _adamw(modules: Mapping[str, nn.Module], config: AdamWConfig) -> torch.optim.AdamW:
    """Up to four groups: (model, text encoder) x (matrices, vectors)."""
    text_rate = config.text_encoder_learning_rate or config.learning_rate
    groups: list[dict[str, Any]] = []
    for text in (False, True):
        parameters = [
            p for name, part in modules.items() if (name == "text_encoder") == text for p in part.parameters()
        ]
        for is_vector in (False, True):
            chosen = [p for p in parameters if p.requires_grad and (p.dim() < 2) == is_vector]
            decay = config.weight_decay if config.decay_vectors or not is_vector else 0.0
            if chosen:
                groups.append(
                    {"params": chosen, "lr": text_rate if text else config.learning_rate, "weight_decay": decay}
                )
    return torch.optim.AdamW(groups, betas=config.betas, fused=True)


HIDDEN_PARTS = frozenset({"layers", "block", "expand", "project", "fold", "unfold", "pitch"})
"""Names of modules whose matrices map features to features: transformer layers, ConvNeXt blocks and what joins them."""


def _muon(modules: Mapping[str, nn.Module], config: MuonConfig) -> JointOptimizer:
    hidden: list[nn.Parameter] = []
    tables: list[nn.Parameter] = []
    vectors: list[nn.Parameter] = []
    for module in modules.values():
        for name, parameter in module.named_parameters():
            if not parameter.requires_grad:
                continue
            # Tables and heads map codes and spectra, for which Muon is not meant.
            # Beside an adapter's layers stand the names that its file has, with slashes.
            if parameter.dim() == 2 and HIDDEN_PARTS.intersection(name.replace("/", ".").split(".")):
                hidden.append(parameter)
            else:
                (tables if parameter.dim() >= 2 else vectors).append(parameter)
    if not hidden:
        raise UserError("muon is for matrices of transformer layers, and there are none to train: use adamw")
    muon = torch.optim.Muon(
        hidden, config.learning_rate, config.weight_decay, config.momentum, adjust_lr_fn="match_rms_adamw"
    )
    decays = ((tables, config.weight_decay), (vectors, 0.0))
    groups = [{"params": chosen, "weight_decay": decay} for chosen, decay in decays if chosen]
    parts: list[torch.optim.Optimizer] = [muon]
    if groups:
        parts.append(torch.optim.AdamW(groups, config.learning_rate, config.betas, fused=True))
    return JointOptimizer(parts)


def _adaptive(modules: Mapping[str, nn.Module], config: DAdaptConfig) -> torch.optim.Optimizer:
    """One group: the step size is one number for all parameters."""
    parameters = [p for part in modules.values() for p in part.parameters() if p.requires_grad]
    # Decoupled decay is set on the group: as an argument both would print a line.
    groups = [{"params": parameters, "decouple": True, "weight_decay": config.weight_decay}]
    options: dict[str, Any] = {
        "lr": config.learning_rate,
        "betas": config.betas,
        "d0": config.first_estimate,
        "growth_rate": config.growth_rate or math.inf,
    }
    optimizer: torch.optim.Optimizer
    try:
        if isinstance(config, ProdigyConfig):
            from prodigyopt import Prodigy

            optimizer = Prodigy(groups, d_coef=config.coefficient, safeguard_warmup=config.safeguard_warmup, **options)
        else:
            from dadaptation import DAdaptAdam

            optimizer = DAdaptAdam(groups, **options)
    except ImportError as error:
        raise UserError(
            f"the optimiser {config.kind} is not installed ({error}): pip install cadenza[train]"
        ) from error
    return optimizer
