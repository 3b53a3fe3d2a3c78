"""Jukebox, assembled: artist, genre and lyrics in, sung music out. Dhariwal et al. (2020), arXiv 2005.00341.

    labels, lyrics --> top prior --> upsampler --> upsampler --> VQ-VAE --> Audio
    audio prompt ----> codes of every level -->|

Each level's codes are kept after every window; a stopped song goes on where it was, with the same codes.
"""

import hashlib
import logging
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, ClassVar, Literal, NamedTuple

import numpy as np
import torch
from jaxtyping import Float, Int
from pydantic import Field
from torch import Tensor

from cadenza.audio import Audio
from cadenza.checkpoint import WEIGHTS_FILE, Config, file_hash, read_config, weights_hash, write_json
from cadenza.engine.pages import prefer_large_pages
from cadenza.errors import CheckpointError, UserError
from cadenza.files import atomic_directory
from cadenza.jukebox.alignment import align
from cadenza.jukebox.song import Song, SongRequest
from cadenza.jukebox.vqvae import JukeboxVQVAE
from cadenza.pipelines.jukebox_labels import LABELS_FILE, LabelBook
from cadenza.pipelines.jukebox_making import Making, Preview, Progress
from cadenza.pipelines.jukebox_parts import PriorShelf, tensors_hash
from cadenza.pipelines.jukebox_request import JukeboxAsked, JukeboxFacts, PerLevel, encode_levels, understand
from cadenza.pipelines.jukebox_take import JukeboxTake
from cadenza.pipelines.jukebox_upsample import UpsampleAsked, understand_upsampling
from cadenza.pipelines.placement import choose_device, choose_precision, companion_device

log = logging.getLogger("cadenza")


class JukeboxConfig(Config):
    """What the model directory says about the whole; each part has its own configuration in its own folder.

    Defaults: the published models (arXiv 2005.00341 and the settings published with its code). Levels are counted from
    the finest, 0.
    """

    format: Literal[1] = Field(1, description="version of the model directory")
    type: Literal["jukebox"] = Field("jukebox", description="kind of pipeline")
    name: str = Field("unnamed", description="what the model is called, such as openai/jukebox-1b-lyrics")
    licence: str = Field("unknown", description="licence of the weights, and what they may be used for")
    hop_fractions: tuple[float, ...] = Field(
        (0.5, 0.5, 0.125), description="how far windows are apart, as a share of a level's context"
    )
    temperatures: tuple[float, ...] = Field((0.99, 0.99, 0.98), description="of each level, where none is given")


class SungLyrics(NamedTuple):
    """How much each code of the top level attends to each character while it is sung."""

    text: str
    """The lyrics as the model reads them."""
    weights: Float[np.ndarray, "T characters"]
    codes_per_second: float


class Jukebox:
    """A VQ-VAE, a prior of each of its levels, and lists of names.

    Build it from parts, or load a model directory with `from_pretrained`; then one prior at a time is in memory.
    """

    config_class: ClassVar[type[Config]] = JukeboxConfig

    def __init__(
        self,
        vqvae: JukeboxVQVAE,
        priors: PriorShelf,
        config: JukeboxConfig | None = None,
        labels: LabelBook | None = None,
    ) -> None:
        self.config = config or JukeboxConfig()
        self.vqvae = vqvae.eval()
        self.priors = priors
        self.labels = labels or LabelBook()
        """Lists of names; set them to `LabelBook.read(folder)` for published models."""
        self._directory: Path | None = None
        self._hashes: dict[str, str] | None = None
        levels = vqvae.num_levels
        if {len(self.config.hop_fractions), len(self.config.temperatures)} != {levels}:
            raise CheckpointError(f"{levels} levels need as many hop_fractions and temperatures in the configuration")
        for level in priors:
            own = priors.config(level)
            theirs = (vqvae.sample_rate, vqvae.hop_lengths[level] if level < levels else 0, vqvae.codebook_size)
            if (own.sample_rate, own.hop_length, own.codebook_size) != theirs:
                raise CheckpointError(f"the parts do not fit: prior_{level} is for codes of another VQ-VAE")

    # ---- making music ------------------------------------------------------------------------------------------------

    def generate(
        self,
        *,
        artist: object = None,
        genre: object = None,
        lyrics: object = "",
        duration: float = 20.0,
        total_duration: float | None = None,
        offset: float = 0.0,
        prompt: Audio | Sequence[Audio] | None = None,
        seed: int | Sequence[int] | None = None,
        count: int | None = None,
        temperature: PerLevel = None,
        top_k: int | Sequence[int] | None = None,
        top_p: PerLevel = None,
        down_to: int = 0,
        state: str | Path | None = None,
        progress: Progress | None = None,
        should_stop: Callable[[], bool] | None = None,
        preview: Preview | None = None,
    ) -> Any:
        """A song (one `Audio`), or several that are made together (a list of `Audio`).

        Args:
            artist: A name, its id, or ids by list such as `{"v3": 6785, "v2": 145}`; None: nobody in particular. A list
                makes one item of each, and so with `genre`, `lyrics`, `prompt` and `seed`.
            genre: A name, an id, a tuple of ids, or ids by list.
            lyrics: What is sung in the whole piece (`total_duration`), at an even pace. Characters that the model does
                not know are left out, and that is said.
            duration: Length in seconds of what is made, an audio prompt included.
            total_duration: Length of the whole piece that it is part of; by default it ends where the audio does, or is
                as short as the model knows pieces.
            offset: Where in that piece the audio begins, seconds.
            prompt: Audio to go on from, of any rate, mono or stereo. What is returned begins with it, as the VQ-VAE
                renders it. Of several the length of the shortest is used.
            seed: One number for the first item (the others count up from it) or one per item; drawn if None. The same
                seed draws the same random numbers, whatever else is made beside it.
            count: Items to make, where nothing else says so.
            temperature, top_k, top_p: Of all levels, or one per level, the finest first; 0 turns the latter two off.
            down_to: The finest level to make: 0 is all, 2 the top level alone, which is heard first and can be
                upsampled later.
            state: A new directory in which the song is kept after every window, for `resume` and `upsample`.
            progress: Told after every code (a `JukeboxProgress`).
            should_stop: Asked after every code; when it is true, what was made so far is returned.
            preview: Given the audio of every level as soon as it is complete.

        Returns audio at the model's own level (`write` normalises) of `round(duration * sample_rate)` samples. Raises
        UserError for what cannot be, before any work is done.
        """
        asked = JukeboxAsked(
            artist,
            genre,
            lyrics,
            duration,
            total_duration,
            offset,
            prompt,
            seed,
            count,
            temperature,
            top_k,
            top_p,
            down_to,
        )
        request, codes = understand(asked, self.facts)
        return self._making(progress, should_stop, preview).make(Song.begin(request, codes, state))

    def resume(
        self,
        state: str | Path,
        *,
        down_to: int | None = None,
        progress: Progress | None = None,
        should_stop: Callable[[], bool] | None = None,
        preview: Preview | None = None,
    ) -> Any:
        """Go on with a song that was stopped, as if it had not been. `down_to` changes the finest level to make.

        Raises UserError for a directory that holds no song or a damaged one (it stays as it is), or one of other
        weights.
        """
        song = Song.open(state)
        self._check(song.request)
        if song.request.precision != self.precision:
            log.warning("the song was begun in %s and goes on in %s", song.request.precision, self.precision)
        if down_to is not None and down_to != song.request.down_to:
            song.ask(down_to)
        return self._making(progress, should_stop, preview).make(song)

    def upsample(
        self,
        source: str | Path | Audio | Int[Tensor, "B T"],
        *,
        items: Sequence[int] | None = None,
        artist: object = None,
        genre: object = None,
        seed: int | Sequence[int] | None = None,
        temperature: PerLevel = None,
        top_k: int | Sequence[int] | None = None,
        top_p: PerLevel = None,
        down_to: int = 0,
        state: str | Path | None = None,
        progress: Progress | None = None,
        should_stop: Callable[[], bool] | None = None,
        preview: Preview | None = None,
    ) -> Any:
        """The lower levels for codes of the top level, made anew.

        Args:
            source: The directory of a song whose top level is complete; or audio, whose top codes are its own; or codes
                of the top level.
            items: Which items of a song, in which order; None: all.
            artist, genre, seed, temperature, top_k, top_p: None: as the song has it.
            down_to, state, progress, should_stop, preview: As for `generate`. The song at `source` stays as it is: what
                is made is kept in `state`. (To go on in the same directory, `resume` it.)
        """
        settings = UpsampleAsked(items, artist, genre, seed, temperature, top_k, top_p, down_to)
        request, codes = understand_upsampling(source, settings, self.facts)
        return self._making(progress, should_stop, preview).make(Song.begin(request, codes, state))

    def regenerate(
        self,
        take: Audio,
        *,
        progress: Progress | None = None,
        should_stop: Callable[[], bool] | None = None,
        preview: Preview | None = None,
    ) -> Audio:
        """The same song again, from what a file or an `Audio` of `generate` says about itself.

        One of several that were made together is made alone, and may differ where sums round otherwise. Raises
        UserError for audio without such a record, or made with other weights than these.
        """
        request, codes = JukeboxTake.from_metadata(take.metadata).request()
        self._check(request)
        made: Audio = self._making(progress, should_stop, preview).make(Song.begin(request, codes))
        return made

    def align(self, source: str | Path | Song) -> list[SungLyrics]:
        """Which character of the lyrics is sung when, for each item of a song whose top level is complete.

        Raises UserError for a model of which no head is known to follow lyrics, and for a song without them.
        """
        song = source if isinstance(source, Song) else Song.open(source)
        request = song.request
        self._check(request, [f"prior_{request.top}"])
        if not song.is_complete(request.top):
            raise UserError("the top level of this song is not complete: resume it first")
        if not any(item.lyrics for item in request.items):
            raise UserError("this song has no lyrics: there is nothing to align")
        prior = self.priors[request.top]
        weights = align(prior, song.codes(request.top), request.pieces(prior.config), request.sampling[request.top].hop)
        rate = request.sample_rate / request.hop_lengths[-1]
        return [
            SungLyrics(item.lyrics, row.float().cpu().numpy(), rate)
            for item, row in zip(request.items, weights, strict=True)
        ]

    def reconstruct(self, audio: Audio, level: int = 0) -> Audio:
        """What the VQ-VAE makes of a recording of any rate at one level: the best that songs can sound there."""
        self.vqvae.codebook(level)
        codes = encode_levels([audio], self.vqvae, [level], "the audio", self.vqvae.hop_lengths[level])[level]
        device = next(self.vqvae.parameters()).device
        return Audio(self.vqvae.decode(codes.to(device), level)[0].float().cpu().numpy(), self.sample_rate)

    @property
    def facts(self) -> JukeboxFacts:
        """Where arguments become requests."""
        config = self.config
        return JukeboxFacts(
            config.name,
            config.licence,
            self.part_weights,
            self.precision,
            self.vqvae,
            self.priors.configs,
            self.labels,
            config.hop_fractions,
            config.temperatures,
        )

    # ---- the model directory -----------------------------------------------------------------------------------------

    @classmethod
    def from_pretrained(
        cls, directory: str | Path, device: str | torch.device | None = None, precision: str | None = None
    ) -> "Jukebox":
        """Load a model directory. `precision` (fp32, bf16, fp16, int8, int4) is that of the priors' layers.

        The VQ-VAE runs in fp32; a prior is read when its level is made. Raises CheckpointError for a directory that is
        none, UserError for a precision that cannot be.
        """
        directory = Path(directory)
        place = choose_device(device)
        precision = choose_precision(precision, place)
        if place.type == "cpu":
            prefer_large_pages()
        config = read_config(JukeboxConfig, directory / "config.json")
        vqvae = JukeboxVQVAE.from_pretrained(directory / "vqvae", companion_device(place), torch.float32)
        priors = PriorShelf(directory, place, precision)
        has_own = (directory / LABELS_FILE).is_file()
        tables = (prior.labels for prior in priors.configs.values())
        labels = LabelBook.read(directory) if has_own else LabelBook.fetched(tables)
        model = cls(vqvae, priors, config, labels)
        model._directory = directory
        return model

    def save_pretrained(self, directory: str | Path, card: str | None = None) -> None:
        """Write the model directory; `card` is its README.md. Replaces a model directory, but nothing else."""
        directory = Path(directory)
        if directory.exists() and not (directory / "config.json").is_file() and any(directory.iterdir()):
            raise UserError(f"{directory} holds something else than a model: choose an empty or new directory")
        with atomic_directory(directory) as temporary:
            self.vqvae.save_pretrained(temporary / "vqvae")
            self.priors.save(temporary)
            if self.labels.sets:
                self.labels.save(temporary / LABELS_FILE)
            write_json(temporary / "config.json", self.config.model_dump(mode="json"))
            text = card or f"# {self.config.name}\n\nA Jukebox for Cadenza.\n\nLicence: {self.config.licence}\n"
            (temporary / "README.md").write_text(text, encoding="utf-8")

    @property
    def part_weights(self) -> dict[str, str]:
        """SHA-256 of each part's weights."""
        if self._hashes is None:
            folder = self._directory
            vqvae = tensors_hash(self.vqvae) if folder is None else file_hash(folder / "vqvae" / WEIGHTS_FILE)
            self._hashes = {"vqvae": vqvae, **{f"prior_{level}": self.priors.weights(level) for level in self.priors}}
        return dict(self._hashes)

    @property
    def weights(self) -> str:
        """SHA-256 that tells these weights from others: of the files they came from, else of the tensors."""
        if self._directory is not None:
            return weights_hash(self._directory)
        parts = "".join(f"{name}\0{digest}\n" for name, digest in sorted(self.part_weights.items()))
        return hashlib.sha256(parts.encode()).hexdigest()

    @property
    def sample_rate(self) -> int:
        return self.vqvae.sample_rate

    @property
    def precision(self) -> str:
        return self.priors.precision

    @property
    def device(self) -> torch.device:
        return self.priors.device

    def _making(
        self, progress: Progress | None, should_stop: Callable[[], bool] | None, preview: Preview | None
    ) -> Making:
        return Making(self.vqvae, self.priors, progress, should_stop, preview)

    def _check(self, request: SongRequest, parts: Sequence[str] | None = None) -> None:
        """Raise UserError for a song of another model; `parts`: those that must be the same."""
        own = self.part_weights
        for part in parts or request.weights:
            theirs = request.weights.get(part, "none")
            if own.get(part) != theirs:
                raise UserError(
                    f"the song was begun by {request.model} with a {part} of weights {theirs[:12]}, this is "
                    f"{self.config.name} with {own.get(part, 'none')[:12]}: load that model"
                )
