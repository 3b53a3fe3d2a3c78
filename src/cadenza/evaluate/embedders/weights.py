"""Where the weights of published networks are: a path that the user gives, the user's cache, else their public origin.

In: what was published (`Published`), or a repository of the Hugging Face Hub, and perhaps a path. Out: the file or
folder, and the tensors in it. Weights of others never ship with Cadenza; who has no network puts the file where the
message says. Pickled files are read by torch's restricted reader, which runs nothing that they bring along.
"""

import hashlib
import urllib.request
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from http.client import HTTPException
from os import environ
from pathlib import Path

import torch
from torch import Tensor

from cadenza.checkpoint import cache_directory, read_weights
from cadenza.errors import CadenzaError, CheckpointError, UserError
from cadenza.files import atomic_file

Progress = Callable[[int, int], None]
"""Called with bytes done and wanted."""

_BLOCK = 2**20
_TIMEOUT_SECONDS = 30.0  # without a byte
_LEAST_SHARE = 0.9  # of what was published: a page that says sorry is shorter


@dataclass(frozen=True)
class Published:
    """Weights in one file at one address.

    Args:
        name: the embedder's, as the registry calls it.
        file: its name in the cache.
        url: the public origin.
        megabytes: how much there is to fetch.
        licence: of the weights.
        paper: where the network is described.
    """

    name: str
    file: str
    url: str
    megabytes: int
    licence: str
    paper: str

    @property
    def origin(self) -> str:
        return self.url

    @property
    def is_there(self) -> bool:
        return self.place.is_file()

    @property
    def place(self) -> Path:
        """Where a fetched copy is kept."""
        return cache_directory() / "embedders" / self.file

    def find(self, path: str | Path | None = None, on_progress: Progress | None = None) -> Path:
        """The file: `path` if given, else the copy in the cache, which is fetched if it is not there.

        Raises UserError that says where the weights come from and what to do.
        """
        if path is not None:
            if not Path(path).is_file():
                raise UserError(f"no weights of {self.name} at {path}: they come from {self.url}, fetch that file")
            return Path(path)
        if not self.is_there:
            self._fetch(on_progress)
        return self.place

    def _fetch(self, on_progress: Progress | None) -> None:
        try:
            if is_offline():
                raise OSError("HF_HUB_OFFLINE forbids it")
            with (
                urllib.request.urlopen(self.url, timeout=_TIMEOUT_SECONDS) as answer,
                atomic_file(self.place) as temporary,
                temporary.open("wb") as file,
            ):
                total, done = int(answer.headers.get("Content-Length") or 0), 0
                while block := answer.read(_BLOCK):
                    file.write(block)
                    done += len(block)
                    if on_progress is not None:
                        on_progress(done, max(total, done))
                if done < (least := max(total, round(_LEAST_SHARE * self.megabytes * 1_000_000))):
                    raise OSError(f"only {done} of {least} bytes came")
        except (OSError, HTTPException, CadenzaError) as error:
            cause = getattr(error, "reason", error)  # what urllib's errors are about
            reason = (str(cause).splitlines() or [type(error).__name__])[0]
            raise UserError(
                f"the weights of {self.name} ({self.megabytes} MB) cannot be fetched ({reason}): download {self.url}, "
                f"and put the file at {self.place} or give its path as {self.name}:PATH"
            ) from error


@dataclass(frozen=True)
class Repository:
    """Weights in a repository of the Hugging Face Hub, with what else their folder must hold."""

    name: str
    repository: str
    files: tuple[str, ...]
    licence: str
    paper: str

    @property
    def origin(self) -> str:
        return f"https://huggingface.co/{self.repository}"

    @property
    def is_there(self) -> bool:
        return self._cached() is not None

    def find(self, path: str | Path | None = None) -> Path:
        """The folder: `path` if given, else that in the Hub's own cache, else downloaded there.

        Raises UserError that says where the weights come from and what to do.
        """
        if path is not None:
            if not Path(path).exists():
                raise UserError(
                    f"no weights of {self.name} at {path}: give a folder with {', '.join(self.files)}, such as "
                    f"{self.origin}"
                )
            return Path(path)
        if (folder := self._cached()) is not None:
            return folder
        from huggingface_hub import get_hf_file_metadata, hf_hub_download, hf_hub_url
        from huggingface_hub.errors import LocalEntryNotFoundError

        try:
            get_hf_file_metadata(hf_hub_url(self.repository, self.files[0]))  # fails at once; a download tries for 25 s
            places = [Path(hf_hub_download(self.repository, file)) for file in self.files]
        except Exception as error:  # connection, time-out, server, full disk: each library below has its own classes
            reason = (str(error).splitlines() or [type(error).__name__])[0]
            reason = "the Hub cannot be reached" if isinstance(error, LocalEntryNotFoundError) else reason
            raise UserError(
                f"the weights of {self.name} cannot be fetched ({reason}): download {', '.join(self.files)} from "
                f"{self.origin} into a folder, and give it as {self.name}:PATH"
            ) from error
        return places[0].parent

    def _cached(self) -> Path | None:
        from huggingface_hub import try_to_load_from_cache

        found = [try_to_load_from_cache(self.repository, file) for file in self.files]
        places = [Path(place).parent for place in found if isinstance(place, str)]
        return places[0] if len(places) == len(found) else None


def is_offline() -> bool:
    """Whether the user forbids downloads, by the variable that also holds for the Hugging Face Hub."""
    return environ.get("HF_HUB_OFFLINE", "").upper() in {"1", "ON", "YES", "TRUE"}


def read_state(path: str | Path) -> dict[str, Tensor]:
    """The tensors of a safetensors file or of a file of `torch.save`, in float32. Raises CheckpointError."""
    path = Path(path)
    if path.suffix == ".safetensors":
        state: object = read_weights(path)
    else:
        try:
            state = torch.load(path, map_location="cpu", weights_only=True)
        except Exception as error:  # of whatever else may stand in a file the reader makes errors of ten classes
            raise CheckpointError(f"{path} is damaged or no file of weights: delete it and fetch it again") from error
    if isinstance(state, Mapping) and isinstance(state.get("model"), Mapping):
        state = state["model"]
    if not isinstance(state, Mapping) or not all(isinstance(value, Tensor) for value in state.values()):
        raise CheckpointError(f"{path} holds no named tensors: give a file of weights")
    return {str(name): value.float() if value.is_floating_point() else value for name, value in state.items()}


def state_hash(state: Mapping[str, Tensor]) -> str:
    """SHA-256 over names, shapes and values: the identity of weights that came from no single file."""
    total = hashlib.sha256()
    for name, tensor in sorted(state.items()):
        values = tensor.detach().to("cpu").contiguous()
        total.update(f"{name}\0{values.dtype}\0{tuple(values.shape)}\n".encode())
        total.update(values.view(-1).view(torch.uint8).numpy().data)
    return total.hexdigest()
