"""Words on the command line -> numbers, and the options that several commands share."""

import logging
import math
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cadenza.errors import UserError

if TYPE_CHECKING:
    from cadenza.codec.base import Codec
    from cadenza.diffusion.decoder import DiffusionDecoder


def number(text: str | float) -> float:
    try:
        value = float(text)
    except ValueError:
        raise typer.BadParameter(f"{text!r} is not a number") from None
    if not math.isfinite(value):
        raise typer.BadParameter(f"{text!r} is not a number that can be used")
    return value


def whole_number(text: str | int) -> int:
    try:
        return int(text)
    except ValueError:
        raise typer.BadParameter(f"{text!r} is not a whole number") from None


def loudness(text: str) -> float:
    """LUFS, or `off` as NaN."""
    return math.nan if text.lower() in ("off", "none") else number(text)


def adapter(text: str) -> tuple[Path, float]:
    """`FILE` or `FILE:0.7`. A file's own name may have colons, as `C:\\a.safetensors` has."""
    name, colon, last = text.rpartition(":")
    if not colon or not name or "/" in last or "\\" in last or os.path.exists(text):
        return Path(text), 1.0
    try:
        return Path(name), number(last)
    except typer.BadParameter as error:
        raise UserError(f"--adapter {text}: {error}, give FILE or FILE:0.7") from None


Adapters = Annotated[
    list[str] | None,
    typer.Option(
        "--adapter",
        metavar="FILE[:S]",
        help="Play with this adapter, S times as strong as it was trained. As often as you like.",
    ),
]
Device = Annotated[
    str | None, typer.Option(metavar="D", help="cpu, cuda, cuda:1, mps. [default: cuda if there is one]")
]
Precision = Annotated[
    str | None,
    typer.Option(metavar="P", help="fp32, bf16, fp16, int8 or int4. [default: fp32 on cpu, bf16 on cuda, fp16 on mps]"),
]
Threads = Annotated[
    int | None,
    typer.Option(metavar="N", parser=whole_number, help="Processor threads. [default: one per core that is free]"),
]


Decoder = Annotated[
    str | None,
    typer.Option(
        "--decoder",
        metavar="mbd[=M]",
        help="Decode by multi-band diffusion: cleaner and slower. M: a directory, file or name. [default: the codec]",
    ),
]
Calls = Annotated[
    int | None,
    typer.Option(metavar="N", parser=whole_number, help="Network calls of the diffusion, per band. [default: 20]"),
]
SolverName = Annotated[
    str | None,
    typer.Option("--solver", metavar="S", help="Of the diffusion: ancestral, ddim or dpm. [default: ancestral]"),
]
OneBand = Annotated[
    bool, typer.Option("--one-band", help="Of the diffusion, keep the weights of one band at a time in memory.")
]


def load_decoder(
    decoder: str,
    codec: "Codec",
    device: str | None,
    calls: int | None = None,
    solver: str | None = None,
    one_band: bool = False,
) -> "DiffusionDecoder":
    """`mbd`, or `mbd=MODEL` -> the decoder for this codec's codes, with its settings."""
    kind, is_named, name = decoder.partition("=")
    if kind != "mbd" or (is_named and not name):
        raise UserError(f"--decoder {decoder}: give mbd, or mbd=MODEL")
    from cadenza.loading import load_diffusion

    loaded = load_diffusion(name or None, device, codec=codec, one_band=one_band)
    loaded.settings = loaded.choose(calls=calls, solver=solver)
    return loaded


def set_threads(threads: int | None) -> None:
    """Before the first computation: exactly `threads` threads; None leaves the choice to the engine."""
    if threads is None:
        return
    if not 1 <= threads <= 1024:
        raise typer.BadParameter(f"{threads} threads: choose 1 to 1024", param_hint="--threads")
    from cadenza.engine.threads import decide_threads

    decide_threads(threads)


def show_notices(level: int = logging.INFO, once: bool = False) -> None:
    """Let what the library has to say reach the person, one line each on stderr; `once`: nothing twice."""
    os.environ.setdefault("HF_HUB_VERBOSITY", "error")  # our own error follows when its retries are through
    logger = logging.getLogger("cadenza")
    logger.handlers = [logging.StreamHandler(sys.stderr)]
    logger.handlers[0].setFormatter(logging.Formatter("cadenza: %(message)s"))
    if once:
        logger.handlers[0].addFilter(_Once())
    logger.setLevel(level)
    logger.propagate = False


class _Once(logging.Filter):
    """Lets each message through the first time."""

    def __init__(self) -> None:
        super().__init__()
        self._seen: set[str] = set()

    def filter(self, record: logging.LogRecord) -> bool:
        message = record.getMessage()
        if message in self._seen:
            return False
        self._seen.add(message)
        return True
