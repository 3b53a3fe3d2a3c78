"""Embedders by name: `"vggish"` or `"vggish:PATH"` in, the network that hears out.

In: what a user writes on the command line or in a configuration (of MERT also a layer: `"mert@7"`). Out: an `Embedder`,
`Labeller` or `JointEmbedder`; or, for `cadenza evaluate embedders`, the list of all of them. Each network is imported
when it is opened.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, NamedTuple

import torch

from cadenza.errors import UserError
from cadenza.evaluate.embedders.base import Embedder, JointEmbedder, Labeller
from cadenza.evaluate.embedders.weights import Progress, Published, Repository

Kind = Literal["embedder", "labeller", "joint"]
Opened = Embedder | Labeller | JointEmbedder

VGGISH = Published(
    "vggish",
    "vggish-10086976.pth",
    "https://github.com/harritaylor/torchvggish/releases/download/v0.1/vggish-10086976.pth",
    289,
    "Apache 2.0 (Google's weights, converted)",
    "Hershey et al. (2017), CNN architectures for large-scale audio classification",
)
_PASST = "https://github.com/kkoutini/PaSST/releases/download"
_PASST_PAPER = "Koutini et al. (2022), Efficient training of audio transformers with patchout"
PASST = Published(
    "passt",
    "passt-s-f128-20sec-p16-s10-ap.474-swa.pt",
    f"{_PASST}/v0.0.5/passt-s-f128-20sec-p16-s10-ap.474-swa.pt",
    345,
    "Apache 2.0",
    _PASST_PAPER,
)
PASST_10 = Published(
    "passt-10s",
    "passt-s-f128-p16-s10-ap.476-swa.pt",
    f"{_PASST}/v0.0.1-audioset/passt-s-f128-p16-s10-ap.476-swa.pt",
    345,
    "Apache 2.0",
    _PASST_PAPER,
)


CLAP = Repository(
    "clap",
    "laion/larger_clap_music",
    ("config.json", "preprocessor_config.json", "tokenizer.json", "model.safetensors"),
    "Apache 2.0",
    "Wu et al. (2023), Large-scale contrastive language-audio pretraining",
)
_MERT_FILES = ("config.json", "preprocessor_config.json", "pytorch_model.bin")
_MERT_PAPER = "Li et al. (2023), MERT: acoustic music understanding model"
MERT = Repository("mert", "m-a-p/MERT-v1-95M", _MERT_FILES, "CC BY-NC 4.0", _MERT_PAPER)
MERT_330 = Repository("mert-330m", "m-a-p/MERT-v1-330M", _MERT_FILES, "CC BY-NC 4.0", _MERT_PAPER)
AST = Repository(
    "ast",
    "MIT/ast-finetuned-audioset-10-10-0.4593",
    ("config.json", "preprocessor_config.json", "model.safetensors"),
    "BSD 3-Clause",
    "Gong et al. (2021), AST: audio spectrogram transformer",
)


@dataclass(frozen=True)
class Description:
    """One line of `cadenza evaluate embedders`.

    Args:
        kinds: what it can be opened as.
        dim: length of its vectors, or how many labels it knows; None: its weights tell.
        is_there: whether its weights are on this machine.
        origin: where they come from.
        hears: what it is and what it is for, in one line.
    """

    name: str
    kinds: tuple[Kind, ...]
    dim: int | None
    is_there: bool
    origin: str
    licence: str
    hears: str


class _Request(NamedTuple):
    path: str | None
    device: str
    layer: int | None


@dataclass(frozen=True)
class _Known:
    kinds: tuple[Kind, ...]
    open: Callable[[_Request], Opened]
    dim: int | None
    weights: Published | Repository | None
    hears: str


# ---- what is known -----------------------------------------------------------------------------------------------


def _mel(request: _Request) -> Opened:
    from cadenza.evaluate.embedders.listener import Listener

    listener = Listener.embedded() if request.path is None else Listener.open(request.path)
    return listener if request.device == "cpu" else listener.to(request.device)


def _vggish(request: _Request) -> Opened:
    from cadenza.evaluate.embedders.vggish import VggishEmbedder

    return VggishEmbedder.open(VGGISH, request.path, request.device)


def _vggish_consecutive(request: _Request) -> Opened:
    from cadenza.evaluate.embedders.vggish import VggishEmbedder

    return VggishEmbedder.open(VGGISH, request.path, request.device, "consecutive")


def _passt(request: _Request) -> Opened:
    from cadenza.evaluate.embedders.passt import PasstLabeller

    return PasstLabeller.open(PASST, request.path, request.device)


def _passt_10(request: _Request) -> Opened:
    from cadenza.evaluate.embedders.passt import PasstLabeller

    return PasstLabeller.open(PASST_10, request.path, request.device)


def _clap(request: _Request) -> Opened:
    from cadenza.evaluate.embedders.clap import ClapEmbedder

    return ClapEmbedder.open(CLAP, request.path, request.device)


def _mert(request: _Request) -> Opened:
    from cadenza.evaluate.embedders.mert import MertEmbedder

    return MertEmbedder.open(MERT, request.path, request.device, request.layer)


def _mert_330(request: _Request) -> Opened:
    from cadenza.evaluate.embedders.mert import MertEmbedder

    return MertEmbedder.open(MERT_330, request.path, request.device, request.layer)


def _ast(request: _Request) -> Opened:
    from cadenza.evaluate.embedders.ast import AstLabeller

    return AstLabeller.open(AST, request.path, request.device)


def _encodec(request: _Request) -> Opened:
    from cadenza.evaluate.embedders.encodec import EncodecEmbedder

    return EncodecEmbedder.open(request.path, request.device)


_ALL: dict[str, _Known] = {
    "mel": _Known(
        ("embedder", "labeller", "joint"),
        _mel,
        128,
        None,
        "Cadenza's own ear, trained on composed music; needs nothing",
    ),
    "vggish": _Known(
        ("embedder",), _vggish, 128, VGGISH, "FAD as published: 1 s windows every 0.5 s, as Google's pipeline"
    ),
    "vggish-consecutive": _Known(
        ("embedder",), _vggish_consecutive, 128, VGGISH, "FAD as the PyTorch packages do it: 0.96 s windows, no overlap"
    ),
    "clap": _Known(("embedder", "joint"), _clap, 512, CLAP, "sound and words in one space: the CLAP score, FAD"),
    "mert": _Known(("embedder",), _mert, 768, MERT, "music, self-supervised: FAD, KAD, MAD"),
    "mert-330m": _Known(("embedder",), _mert_330, 1024, MERT_330, "the larger one: MAD as published"),
    "encodec": _Known(
        ("embedder",),
        _encodec,
        64,
        None,
        "latents of the embedded model's codec, or of that at PATH: it flatters models of its codes",
    ),
    "passt": _Known(("labeller",), _passt, 527, PASST, "AudioSet's labels over 20 s: KL as published"),
    "passt-10s": _Known(("labeller",), _passt_10, 527, PASST_10, "AudioSet's labels over 10 s"),
    "ast": _Known(("labeller",), _ast, 527, AST, "AudioSet's labels over 10 s, another network"),
}


# ---- opening -----------------------------------------------------------------------------------------------------


def open_embedder(spec: str, device: str = "cpu", on_progress: Progress | None = None) -> Embedder:
    """The embedder of `"name"` or `"name:PATH"`. Raises UserError for names, paths or weights that are not there.

    `on_progress` is called with bytes done and wanted while weights are fetched.
    """
    opened = _open(spec, "embedder", device, on_progress)
    assert isinstance(opened, Embedder)
    return opened


def open_labeller(spec: str, device: str = "cpu", on_progress: Progress | None = None) -> Labeller:
    """The labeller of `"name"` or `"name:PATH"`. Raises UserError for names, paths or weights that are not there."""
    opened = _open(spec, "labeller", device, on_progress)
    assert isinstance(opened, Labeller)
    return opened


def open_joint(spec: str, device: str = "cpu", on_progress: Progress | None = None) -> JointEmbedder:
    """Sound and text in one space, of `"name"` or `"name:PATH"`. Raises UserError as the others do."""
    opened = _open(spec, "joint", device, on_progress)
    assert isinstance(opened, JointEmbedder)
    return opened


_WHAT: dict[Kind, str] = {
    "embedder": "network that gives vectors",
    "labeller": "network that tells labels",
    "joint": "network that also hears words",
}


def _open(spec: str, kind: Kind, device: str, on_progress: Progress | None) -> Opened:
    name, colon, path = spec.partition(":")
    name, at, layer = name.partition("@")
    fitting = [other for other, entry in _ALL.items() if kind in entry.kinds]
    if name not in _ALL:
        raise UserError(f"no embedder {name!r}: choose {', '.join(fitting)}")
    if name not in fitting:
        raise UserError(f"{name!r} is no {_WHAT[kind]}: choose {', '.join(fitting)}")
    if colon and not path:
        raise UserError(f"{spec!r} names no path: write {name} alone, or {name}:PATH")
    if at and (not name.startswith("mert") or not layer.isdecimal()):
        raise UserError(f"{spec!r}: only mert has layers to choose, as in mert@7")
    _check_device(device)
    known = _ALL[name]
    if not path and isinstance(known.weights, Published):
        known.weights.find(on_progress=on_progress)
    return known.open(_Request(path or None, device, int(layer) if at else None))


def _check_device(device: str) -> None:
    try:
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError) as error:  # an assertion where torch was built without the device
        raise UserError(
            f"device {device!r} is none that torch finds here: give cpu, or cuda or mps where there is one"
        ) from error


def describe_embedders() -> list[Description]:
    """All that can be opened, and whether their weights are on this machine. Fetches nothing."""
    lines = []
    for name, known in _ALL.items():
        there, origin, licence = True, "ships with Cadenza", "MIT"
        if known.weights is not None:
            there, origin, licence = known.weights.is_there, known.weights.origin, known.weights.licence
        lines.append(Description(name, known.kinds, known.dim, there, origin, licence, known.hears))
    return lines
