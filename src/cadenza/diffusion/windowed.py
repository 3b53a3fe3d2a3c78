"""Rows of mono codes to audio, window by window: each is decoded by the codec and by the bands, held to the codec's
levels, and joined to the one before.

In: codes as they come, a row per channel of a clip. Out: the samples that are final by then. And recordings to codes,
in the same windows.
"""

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import torch
from jaxtyping import Float, Int
from torch import Tensor

from cadenza.codec.base import Codec
from cadenza.diffusion.bands import BandSplitter, match_spectrum
from cadenza.diffusion.codes import joined, seeds_of_rows
from cadenza.diffusion.ensemble import Ensemble, Piece, Progress
from cadenza.diffusion.levels import match_levels, mend
from cadenza.diffusion.settings import DiffusionSettings
from cadenza.diffusion.windows import Joiner, Window, WindowPlan
from cadenza.engine.memory import is_shortage, release
from cadenza.errors import UserError

_KEPT = 28 << 20
"""Bytes of a block that is got and given back once: from then on the C library keeps freed memory up to that size, and
a network's features are not handed over by the system page by page at every call (0.12 s of a small network, not 0.15).
It learns by itself, but from the largest block that it happened to see; above 32 MB from none."""


class DecodeState:
    """A clip on its way: the frames that are still needed, and what waits to be joined."""

    def __init__(self, seed: int | Sequence[int], settings: DiffusionSettings, plan: WindowPlan, hop: int) -> None:
        self.seed, self.settings, self.plan = seed, settings, plan
        self.rows: Tensor | None = None  # codes, one row per channel
        self.first = 0  # number of the first frame that is kept
        self.next_window = 0
        self.joiner = Joiner(plan, hop)

    def take(self, rows: Int[Tensor, "R K t"], last: bool) -> list[tuple[Window, Int[Tensor, "R K w"]]]:
        """With these frames, the windows that can be decoded by now, each with its codes."""
        kept = rows if self.rows is None else torch.cat([self.rows, rows], dim=2)
        found: list[tuple[Window, Tensor]] = []
        while (window := self.plan.window(self.next_window, self.first + kept.shape[2], last)) is not None:
            found.append((window, kept[:, :, window.start - self.first : window.stop - self.first]))
            self.next_window += 1
        needed = max(self.first, self.next_window * self.plan.size - self.plan.context)
        self.rows, self.first = kept[:, :, needed - self.first :], needed
        return found


class WindowedDecode:
    """What a codec and the bands make of codes."""

    def __init__(self, codec: Codec, ensemble: Ensemble, splitter: BandSplitter, channels: int) -> None:
        """`channels`: of the audio that a row becomes."""
        self.codec, self.ensemble, self.splitter, self.channels = codec, ensemble, splitter, channels
        torch.empty(_KEPT, dtype=torch.uint8, device="cpu")

    def plan(self, settings: DiffusionSettings) -> WindowPlan:
        """Windows begin where the networks' deepest frames do, so that convolutions see the same in each of them."""
        hop = self.codec.hop_length
        unit = math.lcm(hop, *(band.unet.total_stride for band in self.ensemble.configs)) // hop
        return WindowPlan.of(settings.window_seconds, settings.context_seconds, self.codec.frame_rate, unit)

    def begin(self, seed: int | Sequence[int], settings: DiffusionSettings) -> DecodeState:
        """A clip of which nothing is there."""
        return DecodeState(seed, settings, self.plan(settings), self.codec.hop_length)

    def advance(
        self, rows: Int[Tensor, "R K t"], channels: int, state: DecodeState, last: bool, progress: Progress | None
    ) -> Float[Tensor, "B C n"]:
        """The next frames -> what is final by now, each item of so many rows."""
        items = len(rows) // channels
        parts = [torch.zeros(items, channels * self.channels, 0, device=rows.device)]
        windows = state.take(rows, last)
        seeds = seeds_of_rows(state.seed, items, channels)
        with _orderly(rows.device):
            pieces = [self._piece(codes, window.start) for window, codes in windows]
            made = self.ensemble.sums(pieces, seeds, self.channels, state.settings, progress)
            for (window, codes), piece in zip(windows, pieces, strict=True):
                audio, reference = joined(made.pop(0), channels), joined(self._reference(codes, piece), channels)
                audio = mend(audio, reference)
                if state.settings.match:
                    audio = match_levels(audio, reference, self.splitter)
                parts.append(state.joiner.join(audio, window, last and window is windows[-1][0]))
        return torch.cat(parts, dim=-1)

    def exactly(
        self,
        rows: Int[Tensor, "R K T"],
        seeds: Sequence[int],
        settings: DiffusionSettings,
        match: bool,
        progress: Progress | None,
    ) -> Float[Tensor, "R C N"]:
        """The whole at once as the original does, levels matched over the batch."""
        with _orderly(rows.device):
            piece = self._piece(rows)
            (made,) = self.ensemble.sums([piece], seeds, self.channels, settings, progress)
            return match_spectrum(made, self._reference(rows, piece), self.splitter, together=True) if match else made

    def encode(self, audio: Float[Tensor, "R C N"], settings: DiffusionSettings | None) -> Int[Tensor, "R K T"]:
        """Codes, made in windows too: an encoder's memory grows with its clip as well. None: the whole at once."""
        with _orderly(audio.device):
            if settings is None:
                return self.codec.encode(audio).codes
            plan, hop = self.plan(settings), self.codec.hop_length
            frames = -(-audio.shape[-1] // hop)
            parts: list[Tensor] = []
            while (window := plan.window(len(parts), frames, is_all=True)) is not None:
                codes = self.codec.encode(audio[..., window.start * hop : window.stop * hop]).codes
                parts.append(codes[..., window.begin - window.start :][..., : window.end - window.begin])
            return torch.cat(parts, dim=-1)

    def _piece(self, codes: Int[Tensor, "R K T"], first_frame: int = 0) -> Piece:
        """A window as networks are given it."""
        heard = self.codec.decode(codes) if self.ensemble.hears_codec else None
        latent, hop = self.codec.decode_latent(codes).float(), self.codec.hop_length
        return Piece(latent, first_frame * hop, codes.shape[2] * hop, heard)

    def _reference(self, codes: Int[Tensor, "R K T"], piece: Piece) -> Float[Tensor, "R C N"]:
        """The codec's own decode; not made before it is needed unless networks heard it."""
        return self.codec.decode(codes) if piece.heard is None else piece.heard


@contextmanager
def _orderly(device: torch.device) -> Iterator[None]:
    """Too little memory is one line that says what helps."""
    try:
        yield
    except (MemoryError, RuntimeError) as error:
        if not is_shortage(error):
            raise
        release(device)
        raise UserError(
            f"the diffusion decoder needs more memory than {device} has left: decode shorter windows "
            "(window_seconds), one band at a time (one_band), or fewer clips at once"
        ) from None
