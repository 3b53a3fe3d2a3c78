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

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from cadenza.audio import Audio
from cadenza.checkpoint import weights_hash
from cadenza.codec.base import Codec
from cadenza.diffusion.band import Band
from cadenza.diffusion.bands import BandSplitter
from cadenza.diffusion.codes import CodeFacts, joined, means_the_same, mono_of, seeds_of_rows
from cadenza.diffusion.decoder_config import DiffusionDecoderConfig
from cadenza.diffusion.directory import read_directory, tensors_hash, write_directory
from cadenza.diffusion.ensemble import Ensemble, Progress
from cadenza.diffusion.levels import showing_gain
from cadenza.diffusion.sampler import Solver, steps_for
from cadenza.diffusion.settings import DiffusionSettings
from cadenza.diffusion.unet import Precision
from cadenza.diffusion.windowed import DecodeState, WindowedDecode
from cadenza.errors import CheckpointError, UserError


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
        together: bool | None = None,
    ) -> None:
        """Args:
        bands: the networks, if they are there already; else new ones.
        load: gives a band whenever it is needed, where not all of them shall be in memory; then there are no `bands`.
        together: run bands of equal shapes as one network (see `together`); None: on CUDA, where that is faster.
        """
        super().__init__()
        self.config = config
        self.codec = mono_of(codec)
        self.splitter = BandSplitter(config.sample_rate, config.match_bands)
        self.settings = config.settings
        self.on_call: Progress | None = None  # told of streamed decodes, as `progress` is of others
        self._source: Path | None = None  # the directory that the weights came from, to know them by
        self._weights: str | None = None
        wanted = CodeFacts(config.num_codebooks, config.codebook_size, config.frame_rate, config.sample_rate)
        self._check(CodeFacts.of(self.codec), wanted)
        if self.codec.channels != config.channels:
            raise UserError(f"the decoder {config.name} has {config.channels} channels, its codec {codec.channels}")
        if bands is None:
            bands = [Band(band) for band in config.bands] if load is None else []
        self.bands = nn.ModuleList(bands)
        self._ensemble = Ensemble(config.bands, self.bands, load)
        self._windowed = WindowedDecode(self.codec, self._ensemble, self.splitter, config.channels)
        self.together = together

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
        return float(self._windowed.plan(self.settings).lookahead)

    @property
    def device(self) -> torch.device:
        return next(self.codec.parameters()).device

    @property
    def together(self) -> bool | None:
        """Whether bands of equal shapes run as one network; None: on CUDA, unless one is in memory at a time."""
        return self._ensemble.together

    @together.setter
    def together(self, together: bool | None) -> None:
        self._ensemble.together = together

    @property
    def weights(self) -> str:
        """SHA-256 that tells these weights from others: of the files they came from, else of the tensors."""
        if self._weights is None:
            self._weights = tensors_hash(self.state_dict()) if self._source is None else weights_hash(self._source)
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
        self._windowed.plan(settings)
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
            rows, channels = CodeFacts.of(self.codec).rows(codes)
            seeds = seeds_of_rows(seed, len(codes), channels)
            audio = joined(
                self._windowed.exactly(rows.to(self.device), seeds, settings, settings.match, progress), channels
            )
        else:
            audio = self._advance(codes, self.new_decode_state(seed, settings), True, progress)
        return audio if scale is None else audio * scale[:, None].to(audio)

    def new_decode_state(self, seed: int | Sequence[int] = 0, settings: DiffusionSettings | None = None) -> DecodeState:
        """The state of a streamed decode, to be passed to every `decode_step`."""
        return self._windowed.begin(seed, self.choose(settings))

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

        def walk(band: Band) -> Sequence[int]:
            return steps or steps_for(band.schedule, self.settings.calls, solver)

        return self._ensemble.sum_of(condition, noise, walk, solver)

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
        codes = self._windowed.encode(rows * gain, None if exact else settings)
        if exact:
            made = self._windowed.exactly(codes, [seed] * len(rows), settings, False, progress)
        else:  # the channels of one item
            made = self._windowed.advance(codes, len(rows), self.new_decode_state(seed, settings), True, progress)
        made = made[..., : rows.shape[-1]] / gain
        sound = Audio(made.reshape(-1, made.shape[-1]).cpu().numpy(), self.sample_rate)
        back = sound.resample(audio.sample_rate).samples[:, : audio.num_samples]
        return Audio(back, audio.sample_rate)

    def _advance(self, codes: Tensor, state: DecodeState, last: bool, progress: Progress | None) -> Tensor:
        rows, channels = CodeFacts.of(self.codec).rows(codes, may_be_empty=state.rows is not None)
        return self._windowed.advance(rows.to(self.device), channels, state, last, progress)

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
        together: bool | None = None,
    ) -> "DiffusionDecoder":
        """Load a model directory: `config.json`, `band_{i}.safetensors` and `codec/`; the codec always in fp32.

        `one_band` keeps the weights of one band at a time in memory, and reads each from its file whenever its turn
        comes; `together` runs bands of equal shapes as one network. Raises CheckpointError for a directory that is
        none.
        """
        directory = Path(directory)
        config, codec, load = read_directory(directory, device, precision)
        try:
            bands = None if one_band else [load(number) for number in range(len(config.bands))]
            decoder = cls(config, codec, bands, load if one_band else None)
        except CheckpointError:
            raise
        except UserError as error:
            raise CheckpointError(f"{directory}: {error}") from error
        decoder.together, decoder._source = together, directory
        decoder.codec.pack()
        return decoder.eval()

    def save_pretrained(self, directory: str | Path, dtype: torch.dtype | None = None, card: str | None = None) -> None:
        """Write the model directory, the networks' tensors as `dtype` if given; `card` is its README.md."""
        write_directory(Path(directory), self.config, self.codec, self._ensemble.band, dtype, card)
