"""The diffusion decoder: codes to audio by denoising, one network per frequency band (San Roman et al. 2023, "From
Discrete Tokens to High-Fidelity Audio Using Multi-Band Diffusion", arXiv 2308.02560).

    codes --> codec --> latent --> network of each band --> sum --> levels of bands as the codec's --> audio
                 |                       ^                                   ^
                 |                 noise of a seed                           |
                 '-----------------> the codec's own sound -----------------'

Clips longer than a window are decoded window by window (see `windows`), each as a clip of its own with the noise of its
place, so that memory does not grow and sound comes while codes are made. Left and right of stereo codes are two items
with the same noise, matched together so that balance and width are the codec's.
"""

import hashlib
import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

import torch
from jaxtyping import Float, Int
from pydantic import Field
from torch import Tensor, nn

from cadenza.audio import Audio
from cadenza.checkpoint import CONFIG_FILE, Config, read_config, weights_hash, write_json
from cadenza.codec.base import Codec
from cadenza.codec.encodec import EnCodec
from cadenza.diffusion.band import Band, BandConfig, load_band, save_band
from cadenza.diffusion.bands import BandSplitter, match_spectrum
from cadenza.diffusion.codes import CodeFacts, joined, means_the_same, mono_of, seeds_of_rows
from cadenza.diffusion.levels import match_levels, mend, showing_gain
from cadenza.diffusion.noise import draws
from cadenza.diffusion.sampler import Solver, steps_for
from cadenza.diffusion.settings import DiffusionSettings
from cadenza.diffusion.unet import Precision
from cadenza.diffusion.windows import Joiner, Window, WindowPlan
from cadenza.engine.memory import is_shortage, release
from cadenza.errors import CheckpointError, UserError
from cadenza.files import atomic_directory

Progress = Callable[[int, int], None]
"""Called with the network calls made so far, and in all."""

_CODEC = "codec"


class DiffusionDecoderConfig(Config):
    """What the bands share, and which codec they belong to."""

    format: Literal[1] = Field(1, description="version of the model directory")
    type: Literal["diffusion_decoder"] = Field("diffusion_decoder", description="kind of model")
    name: str = Field("unnamed", description="what the decoder is called")
    licence: str = Field("unknown", description="licence of the weights, and what they may be used for")
    sample_rate: int = Field(32000, ge=1, le=1_000_000, description="Hz, of the codec")
    channels: int = Field(1, ge=1, le=64, description="audio channels of the networks")
    bands: tuple[BandConfig, ...] = Field(..., min_length=1, max_length=64, description="bands, lowest first")
    match_bands: int = Field(32, ge=1, le=256, description="bands whose levels are matched (arXiv 2308.02560)")
    condition_dim: int = Field(128, ge=1, le=65536, description="width of the codec's latent")
    frame_rate: float = Field(50.0, gt=0, description="frames per second of the codec")
    num_codebooks: int = Field(4, ge=1, le=65536, description="codes per frame of the codec")
    codebook_size: int = Field(2048, ge=2, le=65536, description="entries per codebook of the codec")
    level: float = Field(
        0.25, gt=0, description="deviation at which recordings are shown to it (its authors, audiocraft issue 236)"
    )
    settings: DiffusionSettings = Field(DiffusionSettings(), description="used where none are given")


class DecodeState:
    """A clip on its way: the frames that are still needed, and what waits to be joined."""

    def __init__(self, seed: int | Sequence[int], settings: DiffusionSettings, plan: WindowPlan, hop: int) -> None:
        self.seed, self.settings, self.plan = seed, settings, plan
        self.rows: Tensor | None = None  # codes, one row per channel
        self.first = 0  # number of the first frame that is kept
        self.next_window = 0
        self.joiner = Joiner(plan, hop)


class DiffusionDecoder(nn.Module):
    """Decodes what `codec` encoded; the signatures are those of `Codec.decode` and `Codec.decode_step`.

    Differences from the original: noise comes from a seed per item, levels are matched per item rather than over the
    batch, silence stays silence, stereo and long clips are decoded. `exact=True` does as the original.
    """

    def __init__(
        self,
        config: DiffusionDecoderConfig,
        codec: Codec,
        bands: Sequence[Band] | None = None,
        load: Callable[[int], Band] | None = None,
    ) -> None:
        """Args:
        bands: the networks, if they are there already; else new ones.
        load: gives a band whenever it is needed, where not all of them shall be in memory; then there are no `bands`.
        """
        super().__init__()
        self.config = config
        self.codec = mono_of(codec)
        self.splitter = BandSplitter(config.sample_rate, config.match_bands)
        self.settings = config.settings
        self.on_call: Progress | None = None  # told of streamed decodes, as `progress` is of others
        self._load = load
        self._source: Path | None = None  # the directory that the weights came from, to know them by
        self._weights: str | None = None
        wanted = CodeFacts(config.num_codebooks, config.codebook_size, config.frame_rate, config.sample_rate)
        self._check(CodeFacts.of(self.codec), wanted)
        if self.codec.channels != config.channels:
            raise UserError(f"the decoder {config.name} has {config.channels} channels, its codec {codec.channels}")
        if bands is None:
            bands = [Band(band) for band in config.bands] if load is None else []
        self.bands = nn.ModuleList(bands)

    # ---- what a codec says of itself --------------------------------------------------------------------------------

    @property
    def sample_rate(self) -> int:
        return self.config.sample_rate

    @property
    def hop_length(self) -> int:
        return self.codec.hop_length

    @property
    def frame_rate(self) -> float:
        return self.codec.frame_rate

    @property
    def lookahead_frames(self) -> float:
        """Frames that must follow before a sample is final: a window and its context."""
        return float(self._plan(self.settings).lookahead)

    @property
    def device(self) -> torch.device:
        return next(self.codec.parameters()).device

    @property
    def weights(self) -> str:
        """SHA-256 that tells these weights from others: of the files they came from, else of the tensors."""
        if self._weights is None:
            self._weights = self._hash_tensors() if self._source is None else weights_hash(self._source)
        return self._weights

    def check_fits(self, codec: Codec) -> None:
        """Raise UserError unless codes of `codec` are those that this decoder was trained with."""
        mono = mono_of(codec)
        self._check(CodeFacts.of(mono), CodeFacts.of(self.codec))
        if not means_the_same(self.codec, mono):
            raise UserError(
                f"the decoder {self.config.name} was trained with another codec, whose codes mean other sounds: use "
                "the decoder of this one"
            )

    def choose(self, settings: DiffusionSettings | None = None, **given: Any) -> DiffusionSettings:
        """Those given by name win over `settings`, and these over the decoder's own. UserError for what cannot be."""
        chosen = {name: value for name, value in given.items() if value is not None}
        settings = DiffusionSettings(**(settings or self.settings).model_dump() | chosen)
        least = min(band.schedule.num_steps for band in self.config.bands)
        if settings.calls >= least:
            raise UserError(f"calls = {settings.calls}: {self.config.name} has {least} steps, use 1 to {least - 1}")
        self._plan(settings)
        return settings

    def pack(self, precision: Precision = "fp32") -> None:
        """Prepare for decoding on a CPU, where that helps. Training, moving, converting or loading undoes it."""
        self.codec.pack()
        for band in self.bands:
            assert isinstance(band, Band)
            band.unet.pack(precision)

    # ---- codes to audio ---------------------------------------------------------------------------------------------

    @torch.no_grad()
    def decode(
        self,
        codes: Int[Tensor, "B K T"],
        scale: Float[Tensor, "B G"] | None = None,
        *,
        seed: int | Sequence[int] = 0,
        calls: int | None = None,
        solver: Solver | None = None,
        match: bool | None = None,
        settings: DiffusionSettings | None = None,
        exact: bool = False,
        progress: Progress | None = None,
    ) -> Float[Tensor, "B C N"]:
        """Codes to audio, `N = T * hop_length`; twice the codebooks are left and right in turn (`StereoCodec`).

        Args:
            scale: one factor per item.
            seed: of the first item (the others count up), or one per item; an item's sound depends on its own alone.
            calls, solver, match: win over `settings`, and these over the decoder's own.
            exact: the whole clip at once, levels matched over the batch as in the original, silence not mended.

        Raises UserError for codes of another codec, settings that cannot be, and too little memory.
        """
        if scale is not None and scale.shape[1] != 1:
            raise UserError(f"{scale.shape[1]} scales per clip: codecs of separate segments (48 kHz) have no decoder")
        settings = self.choose(settings, calls=calls, solver=solver, match=match)
        if exact:
            audio = self._decode_exactly(codes, seed, settings, progress)
        else:
            audio = self._advance(codes, self.new_decode_state(seed, settings), True, progress)
        return audio if scale is None else audio * scale[:, None].to(audio)

    def new_decode_state(self, seed: int | Sequence[int] = 0, settings: DiffusionSettings | None = None) -> DecodeState:
        """The state of a streamed decode, to be passed to every `decode_step`."""
        settings = self.choose(settings)
        return DecodeState(seed, settings, self._plan(settings), self.hop_length)

    @torch.no_grad()
    def decode_step(self, codes: Int[Tensor, "B K t"], state: DecodeState, last: bool) -> Float[Tensor, "B C n"]:
        """The next frames -> all samples that are final by now, a window at a time; joined, they equal `decode`."""
        return self._advance(codes, state, last, self.on_call)

    @torch.no_grad()
    def decode_with(
        self,
        condition: Float[Tensor, "B D T"],
        noise: Iterator[Float[Tensor, "B C N"]],
        steps: Sequence[int] | None = None,
        solver: Solver = "ancestral",
    ) -> Float[Tensor, "B C N"]:
        """The sum of all bands from given noise: for each band its beginning, then what its solver asks for."""
        made: list[Tensor] = []
        for number in range(len(self.config.bands)):
            band = self._band(number)
            walk = steps or steps_for(band.schedule, self.settings.calls, solver)
            made.append(band.denoise(condition, noise, walk, solver))
            del band  # or its weights would stay while the next ones are read
        return torch.stack(made).sum(0)

    @torch.no_grad()
    def regenerate(
        self,
        audio: Audio,
        *,
        seed: int = 0,
        settings: DiffusionSettings | None = None,
        exact: bool = False,
        progress: Progress | None = None,
    ) -> Audio:
        """A recording through codec and diffusion: as long, as loud and with as many channels as it was.

        It is shown to both at the level they know (`config.level`). `exact` does as the original: no change of level
        before, no matching behind, the whole clip at once. Silence comes back as it is.
        """
        settings = self.choose(settings)
        if not audio.num_samples:
            raise UserError("the audio holds no samples: give some to regenerate")
        shown = audio.resample(self.sample_rate)
        several = self.config.channels > 1
        samples = shown.with_channels(self.config.channels).samples[None] if several else shown.samples[:, None]
        rows = torch.from_numpy(samples).to(self.device)
        gain = 1.0 if exact else showing_gain(rows, self.config.level)
        if gain is None:
            return Audio(audio.samples.copy(), audio.sample_rate, audio.metadata)
        plan = self._plan(settings if not exact else settings.model_copy(update={"window_seconds": 86400.0}))
        with self._orderly():
            codes = self._encode(rows * gain, plan)
        made = self._rows_to_audio(codes, seed, settings, exact, progress)[..., : rows.shape[-1]] / gain
        sound = Audio(made.reshape(-1, made.shape[-1]).cpu().numpy(), self.sample_rate)
        back = sound.resample(audio.sample_rate).samples[:, : audio.num_samples]
        return Audio(back, audio.sample_rate)

    # ---- windows ----------------------------------------------------------------------------------------------------

    def _plan(self, settings: DiffusionSettings) -> WindowPlan:
        """Windows begin where the networks' deepest frames do, so that convolutions see the same in each of them."""
        strides = [band.unet.total_stride for band in self.config.bands]
        unit = math.lcm(self.hop_length, *strides) // self.hop_length
        return WindowPlan.of(settings.window_seconds, settings.context_seconds, self.frame_rate, unit)

    def _advance(self, codes: Tensor, state: DecodeState, last: bool, progress: Progress | None = None) -> Tensor:
        rows, channels = CodeFacts.of(self.codec).rows(codes, may_be_empty=state.rows is not None)
        return self._advance_rows(rows.to(self.device), channels, state, last, progress)

    def _advance_rows(
        self, rows: Tensor, channels: int, state: DecodeState, last: bool, progress: Progress | None
    ) -> Tensor:
        kept = rows if state.rows is None else torch.cat([state.rows, rows], dim=2)
        windows: list[Window] = []
        while (window := state.plan.window(state.next_window, state.first + kept.shape[2], last)) is not None:
            windows.append(window)
            state.next_window += 1
        pieces = [kept[:, :, window.start - state.first : window.stop - state.first] for window in windows]
        seeds = seeds_of_rows(state.seed, len(kept) // channels, channels)
        parts = [torch.zeros(len(kept) // channels, channels * self.config.channels, 0, device=self.device)]
        with self._orderly():
            starts = [window.start * self.hop_length for window in windows]
            made = self._sums(pieces, starts, seeds, state.settings, progress)
            for window, piece in zip(windows, pieces, strict=True):
                audio, reference = joined(made.pop(0), channels), joined(self.codec.decode(piece), channels)
                audio = mend(audio, reference)
                if state.settings.match:
                    audio = match_levels(audio, reference, self.splitter)
                parts.append(state.joiner.join(audio, window, last and window is windows[-1]))
        needed = max(state.first, state.next_window * state.plan.size - state.plan.context)
        state.rows, state.first = kept[:, :, needed - state.first :], needed
        return torch.cat(parts, dim=-1)

    def _sums(
        self,
        pieces: Sequence[Tensor],
        starts: Sequence[int],
        seeds: Sequence[int],
        settings: DiffusionSettings,
        progress: Progress | None,
    ) -> list[Tensor]:
        """The sum of all bands for each piece of a clip. A band makes all pieces before the next is needed."""
        conditions = [self.codec.decode_latent(piece).float() for piece in pieces]
        hears = any(band.hears_codec for band in self.config.bands)
        sounds = [self.codec.decode(piece) for piece in pieces] if hears else []
        made: list[Tensor] = []
        calls, in_all = 0, settings.calls * len(pieces) * len(self.config.bands)

        def called() -> None:
            nonlocal calls
            calls += 1
            if progress is not None:
                progress(calls, in_all)

        for number in range(len(self.config.bands) if pieces else 0):
            band = self._band(number)
            steps = steps_for(band.schedule, settings.calls, settings.solver)
            for place, (condition, start) in enumerate(zip(conditions, starts, strict=True)):
                size = condition.shape[2] * self.hop_length
                noise = draws(seeds, start, size, self.config.channels, number, condition.device)
                heard = sounds[place] if band.config.hears_codec else None
                audio = band.denoise(condition, noise, steps, settings.solver, called, heard)
                if number:
                    made[place] += audio
                else:
                    made.append(audio)
            del band
        return made

    def _decode_exactly(
        self, codes: Tensor, seed: int | Sequence[int], settings: DiffusionSettings, progress: Progress | None
    ) -> Tensor:
        rows, channels = CodeFacts.of(self.codec).rows(codes)
        rows, seeds = rows.to(self.device), seeds_of_rows(seed, len(codes), channels)
        with self._orderly():
            (made,) = self._sums([rows], [0], seeds, settings, progress)
            if settings.match:
                made = match_spectrum(made, self.codec.decode(rows), self.splitter, together=True)
        return joined(made, channels)

    def _encode(self, rows: Float[Tensor, "R C N"], plan: WindowPlan) -> Int[Tensor, "R K T"]:
        """Codes, made in windows too: an encoder's memory grows with its clip as well."""
        frames = -(-rows.shape[-1] // self.hop_length)
        parts: list[Tensor] = []
        while (window := plan.window(len(parts), frames, is_all=True)) is not None:
            piece = rows[..., window.start * self.hop_length : window.stop * self.hop_length]
            parts.append(
                self.codec.encode(piece).codes[..., window.begin - window.start :][..., : window.end - window.begin]
            )
        return torch.cat(parts, dim=-1)

    def _rows_to_audio(
        self, rows: Tensor, seed: int, settings: DiffusionSettings, exact: bool, progress: Progress | None
    ) -> Tensor:
        """Channels of one recording, all with the noise of one seed."""
        if exact:
            with self._orderly():
                return self._sums([rows], [0], [seed] * len(rows), settings, progress)[0]
        return self._advance_rows(rows, len(rows), self.new_decode_state(seed, settings), True, progress)

    def _band(self, number: int) -> Band:
        """A band; one that was loaded for this is in memory while the caller keeps it."""
        band = self.bands[number] if self._load is None else self._load(number)
        assert isinstance(band, Band)
        return band

    @contextmanager
    def _orderly(self) -> Iterator[None]:
        """Too little memory is one line that says what helps."""
        try:
            yield
        except (MemoryError, RuntimeError) as error:
            if not is_shortage(error):
                raise
            release(self.device)
            raise UserError(
                f"the diffusion decoder needs more memory than {self.device} has left: decode shorter windows "
                "(window_seconds), one band at a time (one_band), or fewer clips at once"
            ) from None

    def _check(self, given: CodeFacts, wanted: CodeFacts) -> None:
        if given != wanted:
            raise UserError(
                f"the decoder {self.config.name} reads codes of {wanted}, not of {given}: use the decoder of that codec"
            )

    # ---- the model directory ----------------------------------------------------------------------------------------

    @classmethod
    def from_pretrained(
        cls,
        directory: str | Path,
        device: str | torch.device = "cpu",
        precision: Precision = "fp32",
        one_band: bool = False,
    ) -> "DiffusionDecoder":
        """Load a model directory: `config.json`, `band_{i}.safetensors` and `codec/`; the codec always in fp32.

        `one_band` keeps the weights of one band at a time in memory, and reads each from its file whenever its turn
        comes. Raises CheckpointError for a directory that is none.
        """
        directory = Path(directory)
        config = read_config(DiffusionDecoderConfig, directory / CONFIG_FILE)
        codec = EnCodec.from_pretrained(directory / _CODEC, device, torch.float32)

        def load(number: int) -> Band:
            band = load_band(config.bands[number], directory, number, device)
            band.unet.pack(precision)
            return band

        try:
            numbers = range(len(config.bands))
            decoder = cls(config, codec, None if one_band else [load(i) for i in numbers], load if one_band else None)
        except CheckpointError:
            raise
        except UserError as error:
            raise CheckpointError(f"{directory}: {error}") from error
        decoder._source = directory
        decoder.codec.pack()
        return decoder.eval()

    def save_pretrained(self, directory: str | Path, dtype: torch.dtype | None = None, card: str | None = None) -> None:
        """Write the model directory, the networks' tensors as `dtype` if given; `card` is its README.md."""
        directory = Path(directory)
        if directory.exists() and not (directory / CONFIG_FILE).is_file() and any(directory.iterdir()):
            raise UserError(f"{directory} holds something else than a model: choose an empty or new directory")
        assert isinstance(self.codec, EnCodec), "only EnCodec has a place in the model directory"
        with atomic_directory(directory) as temporary:
            for number in range(len(self.config.bands)):
                save_band(self._band(number), temporary, number, dtype)
            self.codec.save_pretrained(temporary / _CODEC)
            write_json(temporary / CONFIG_FILE, self.config.model_dump(mode="json"))
            text = (
                card or f"# {self.config.name}\n\nA diffusion decoder for Cadenza.\n\nLicence: {self.config.licence}\n"
            )
            (temporary / "README.md").write_text(text, encoding="utf-8")

    def _hash_tensors(self) -> str:
        total = hashlib.sha256()
        for name, tensor in sorted(self.state_dict().items()):
            total.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}\n".encode())
            total.update(tensor.detach().cpu().flatten().contiguous().view(torch.uint8).numpy().tobytes())
        return total.hexdigest()
