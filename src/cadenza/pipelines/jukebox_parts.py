"""The priors of a Jukebox: one of them in memory at a time.

In: a model directory, or priors that are in memory already. Out: a prior when it is asked for; the one before it is let
go first, so that memory is bounded by the largest.
"""

import hashlib
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path

import torch
from torch import nn

from cadenza.checkpoint import WEIGHTS_FILE, file_hash, read_config
from cadenza.engine.memory import release, require
from cadenza.engine.quantize import load_module, stored_kind
from cadenza.errors import CheckpointError, UserError
from cadenza.jukebox.prior import Prior, PriorConfig
from cadenza.nn.quantize import KINDS
from cadenza.pipelines.placement import PRECISIONS


class PriorShelf:
    """Priors by level, 0 the finest."""

    def __init__(
        self,
        directory: Path | None = None,
        device: torch.device | str = "cpu",
        precision: str = "fp32",
        priors: Mapping[int, Prior] | None = None,
    ) -> None:
        """The folders `prior_0` and so on in `directory`, or `priors`."""
        self.device, self.precision = torch.device(device), precision
        self._directory = directory
        self._given = {level: prior.eval() for level, prior in sorted((priors or {}).items())}
        self._held: tuple[int, Prior] | None = None
        if directory is None:
            self.configs = {level: prior.config for level, prior in self._given.items()}
        else:
            folders = {int(path.name[6:]): path for path in directory.glob("prior_[0-9]") if path.is_dir()}
            self.configs = {
                level: read_config(PriorConfig, path / "config.json") for level, path in sorted(folders.items())
            }
        for level, config in self.configs.items():
            if config.level != level:
                raise CheckpointError(f"prior_{level} says that it is of level {config.level}: convert it again")

    def __iter__(self) -> Iterator[int]:
        return iter(self.configs)

    def config(self, level: int) -> PriorConfig:
        """Raises UserError for a level that this model has no prior of."""
        if level not in self.configs:
            raise UserError(f"this model has no prior of level {level}, but of {', '.join(map(str, self)) or 'none'}")
        return self.configs[level]

    def __getitem__(self, level: int) -> Prior:
        """The prior of a level, ready to sample. Raises UserError where there is none, or too little memory."""
        self.config(level)
        if self._directory is None:
            return self._given[level]
        if self._held is None or self._held[0] != level:
            self.release()
            self._held = (level, self._load(self._directory / f"prior_{level}"))
        return self._held[1]

    def release(self) -> None:
        """Let go of the prior that is in memory, if it can be read again."""
        if self._held is not None:
            self._held = None
            release(self.device)

    def weights(self, level: int) -> str:
        """SHA-256 of a prior's weights."""
        if self._directory is None:
            return tensors_hash(self._given[level])
        return file_hash(self._directory / f"prior_{level}" / WEIGHTS_FILE)

    def save(self, directory: Path) -> None:
        """Write the folder of each prior; those that are in files are copied as they are."""
        for level in self:
            name = f"prior_{level}"
            if self._directory is None:
                self._given[level].save_pretrained(directory / name)
            else:
                shutil.copytree(self._directory / name, directory / name)

    def _load(self, directory: Path) -> Prior:
        dtype = PRECISIONS[self.precision]
        kind = next((kind for kind in KINDS if kind == self.precision), None)
        skeleton = Prior.skeleton(directory)
        numbers = sum(part.numel() for part in skeleton.parameters())
        width = {"int8": 1.1, "int4": 0.6}.get(self.precision, dtype.itemsize)
        require(int(numbers * width), self.device, directory.name, "its weights")
        prior = load_module(Prior, directory, self.device, dtype, kind or stored_kind(directory))
        prior.pack()
        return prior


def tensors_hash(module: nn.Module) -> str:
    """SHA-256 of a module's tensors, for weights that no file holds."""
    total = hashlib.sha256()
    for name, tensor in sorted(module.state_dict().items()):
        total.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}\n".encode())
        total.update(tensor.detach().cpu().flatten().contiguous().view(torch.uint8).numpy().tobytes())
    return total.hexdigest()
