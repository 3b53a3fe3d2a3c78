"""MusicGen, assembled: words in, music out. Copet et al. (2023), "Simple and controllable music generation".

    text --> conditioning --> language model --> codes --> codec --> Audio
    audio prompt --> codec --> codes -->|

The same object plays the embedded model, the official checkpoints and whatever the recipes train.
"""

import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np
import torch
from pydantic import Field

from cadenza import __version__
from cadenza.audio import Audio
from cadenza.checkpoint import WEIGHTS_FILE, Config, RestingWeights, read_config, weights_hash, write_json
from cadenza.codec.base import Codec
from cadenza.codec.encodec import EnCodec
from cadenza.codec.stereo import StereoCodec
from cadenza.conditioning.chroma import Melody
from cadenza.conditioning.plan import Plan
from cadenza.conditioning.provider import ConditionProvider
from cadenza.conditioning.style import Style
from cadenza.diffusion.decoder import DiffusionDecoder
from cadenza.engine.quantize import load_module, stored_kind
from cadenza.errors import CheckpointError, UserError
from cadenza.files import atomic_directory
from cadenza.lm.adapter import Source
from cadenza.lm.generate import GenerationConfig
from cadenza.lm.model import LM
from cadenza.nn.linear import kind_of
from cadenza.nn.quantize import KINDS
from cadenza.pipelines.adapters import Adapters, Wardrobe
from cadenza.pipelines.asking import Asked, Desk
from cadenza.pipelines.decoding import again
from cadenza.pipelines.hearing import Ears, Heard
from cadenza.pipelines.placement import PRECISIONS, choose_device, choose_precision, companion_device
from cadenza.pipelines.planning import Planner
from cadenza.pipelines.prompts import Section, Text
from cadenza.pipelines.render import Progress, Renderer
from cadenza.pipelines.requests import Request
from cadenza.pipelines.scheduling import MusicScheduler
from cadenza.pipelines.take import PackedCodes, PackedFeatures, Take, WornAdapter, describe_device


class MusicGenConfig(Config):
    """What the model directory says about the whole; each part has its own configuration in its own folder."""

    format: Literal[1] = Field(1, description="version of the model directory")
    type: Literal["musicgen"] = Field("musicgen", description="kind of pipeline")
    name: str = Field("unnamed", description="what the model is called, such as facebook/musicgen-small")
    licence: str = Field("unknown", description="licence of the weights, and what they may be used for")
    stereo: bool = Field(False, description="the codec is mono, used once per channel with interleaved codebooks")
    text_condition: str = Field("description", description="the condition that hears the prompt")
    melody_condition: str | None = Field(None, description="the condition that hears a melody; None: there is none")
    style_condition: str | None = Field(
        None, description="the condition that hears a style excerpt; None: there is none"
    )
    plan_condition: str | None = Field(None, description="the condition that is told a plan; None: there is none")
    max_duration_seconds: float = Field(30.0, gt=0, description="longest piece seen at once, seconds")
    generation: GenerationConfig = Field(GenerationConfig(), description="settings used where none are given")
    cpu_precision: Literal["fp32", "bf16", "int8", "int4"] | None = Field(
        None, description="what a CPU plays it in unless told otherwise; None: as stored, else fp32"
    )


class MusicGen:
    """A codec, a language model over its codes, and what the language model listens to.

    Build it from parts, or load a model directory with `from_pretrained`.
    """

    config_class: ClassVar[type[Config]] = MusicGenConfig

    def __init__(
        self, codec: Codec, lm: LM, conditioning: ConditionProvider, config: MusicGenConfig | None = None
    ) -> None:
        self.config = config or MusicGenConfig(stereo=isinstance(codec, StereoCodec))
        self.codec = codec.eval()
        self.lm = lm.eval()
        self.conditioning = conditioning.eval()
        conditioning.attach_codec(codec)
        self._renderer = Renderer(
            codec,
            lm,
            conditioning,
            self.config.text_condition,
            self.config.max_duration_seconds,
            self.config.style_condition is not None or self.config.generation.guidance_beta is not None,
        )
        self._wardrobe = Wardrobe(lm, lambda: self.weights)
        self._directory: Path | None = None  # where the weights came from, to know them by
        self._weights: str | None = None
        for ours, theirs, what in (
            (lm.config.num_codebooks, codec.num_codebooks, "codebooks"),
            (lm.config.codebook_size, codec.codebook_size, "codes per codebook"),
            (lm.config.dim, conditioning.config.dim, "as the width of the conditions"),
        ):
            if ours != theirs:
                raise CheckpointError(f"the parts do not fit: the language model has {ours} {what}, the other {theirs}")

    # ---- making music -------------------------------------------------------------------------------------------

    @property
    def desk(self) -> Desk:
        """Where arguments become requests."""
        config = self.config
        ears = Ears(config.name, self.conditioning, config.melody_condition, config.style_condition)
        planner = Planner(config.name, self.conditioning, config.plan_condition, config.melody_condition)
        return Desk(self._renderer, ears, planner, self._wardrobe, config.generation)

    def generate(
        self,
        text: Text,
        duration: float | None = None,
        seed: int | Sequence[int] | None = None,
        *,
        prompt: Audio | Sequence[Audio] | None = None,
        melody: Audio | Melody | Sequence[Audio | Melody | None] | None = None,
        style: Audio | Style | Sequence[Audio | Style | None] | None = None,
        plan: Plan | Sequence[Plan | None] | None = None,
        conditions: Mapping[str, object] | None = None,
        adapters: Adapters | None = None,
        config: GenerationConfig | None = None,
        top_k: int | None = None,
        top_p: float | None = None,
        temperature: float | None = None,
        guidance: float | None = None,
        greedy: bool | None = None,
        progress: Progress | None = None,
        should_stop: Callable[[], bool] | None = None,
    ) -> Any:
        """Music for a sentence or a timeline (one `Audio`), or for a list of sentences (a list of `Audio`).

        Args:
            text: A sentence, a list of sentences, or a timeline such as `[(0, "calm piano"), (20, "drums enter")]`.
                An empty sentence leaves the music to the model.
            duration: Length in seconds, an audio prompt included; by default that of `config`, behind the prompt.
            seed: One number for the first item (the others count up from it) or one per item; drawn if None. The same
                seed, text and settings draw the same random numbers, whatever else is in the batch.
            prompt: Audio to go on from. What is returned begins with it, as the codec renders it.
            melody: Audio whose melody to follow, from the beginning of the piece (its audio prompt included) and again
                when it ends; only for models that have a melody condition.
            style: Audio to sound like, or a `Style`; only for models that have a style condition. `guidance_beta` of
                `config` weighs the text against it (double guidance; 5 is advised for musicgen-style).
            plan: A `Plan` of tempo, key, meter, genre, instruments and moods, for models that are told one: what it
                leaves open is read from the text, or drawn from what the text suggests.
            conditions: Further values by the condition's name, or its features `[L, E]` computed elsewhere; those of
                the text stand in its place. One for all items, or a list.
            adapters: Files (or `lm.adapter.Adapter`s) to play with, each alone or with what it counts, such as
                `[("a.safetensors", 0.7), "b.safetensors"]`; the same for all items, or a list of lists.
            config: Settings; those given by name win over it, and it over the model's own.
            progress, should_stop: See `Progress`; when `should_stop()` is true the music made so far is returned.

        Returns audio at the model's own level (`write` normalises) of exactly `round(duration * sample_rate)` samples;
        its metadata is a `Take`, from which `regenerate` makes it again. Raises UserError for what cannot be.
        """
        given = {"duration": duration, "top_k": top_k, "top_p": top_p, "temperature": temperature}
        given |= {"guidance": guidance, "greedy": greedy}
        heard = Heard(melody, style, conditions or {}, plan)
        requests, settings, is_batch = self.desk.requests(Asked(text, seed, prompt, heard, adapters, config, given))
        made = self._make(requests, settings, progress, should_stop)
        return made if is_batch else made[0]

    def stream(
        self,
        text: Text,
        duration: float | None = None,
        seed: int | None = None,
        *,
        prompt: Audio | None = None,
        melody: Audio | Melody | None = None,
        style: Audio | Style | None = None,
        plan: Plan | None = None,
        conditions: Mapping[str, object] | None = None,
        adapters: Adapters | None = None,
        config: GenerationConfig | None = None,
        top_k: int | None = None,
        top_p: float | None = None,
        temperature: float | None = None,
        guidance: float | None = None,
        greedy: bool | None = None,
        progress: Progress | None = None,
        should_stop: Callable[[], bool] | None = None,
    ) -> Iterator[Audio]:
        """The music of `generate`, in pieces of about a second, each as soon as it is made; joined, they are equal."""
        given = {"duration": duration, "top_k": top_k, "top_p": top_p, "temperature": temperature}
        given |= {"guidance": guidance, "greedy": greedy}
        heard = Heard(melody, style, conditions or {}, plan)
        request, settings = self.desk.one_request(Asked(text, seed, prompt, heard, adapters, config, given))
        metadata = self.describe(request, settings)
        for _, samples in self._renderer.render([request], settings, progress, should_stop):
            yield Audio(samples.numpy(), self.codec.sample_rate, metadata)

    def scheduler(self, max_requests: int = 8) -> MusicScheduler:
        """Many requests at once, from any thread, each a stream: see `MusicScheduler`. Use it in a `with` statement.

        Every place takes memory for keys and values: at once on CUDA, on a CPU when it is used.
        """
        return MusicScheduler(self, self._renderer, max_requests)

    def regenerate(
        self,
        take: Audio,
        progress: Progress | None = None,
        should_stop: Callable[[], bool] | None = None,
        adapters: Sequence[Source] = (),
    ) -> Audio:
        """The same music again, from what a file or an `Audio` of Cadenza says about itself.

        `adapters` are the files of those that took part. Raises UserError for audio without such a record, made with
        other weights than these, or with adapters that are not given.
        """
        record, request = self.asked_again(take, adapters)
        # On CUDA sums depend on the number of rows; the codec's on any device depend on the number of threads.
        with _threads(record.threads):
            return self._make([request], record.generation, progress, should_stop, places=record.batch[1])[0]

    def asked_again(self, take: Audio, adapters: Sequence[Source] = ()) -> tuple[Take, Request]:
        """The record of a take, and what makes it again. Raises UserError as `regenerate` does."""
        record = Take.from_metadata(take.metadata)
        if record.weights != self.weights:
            raise UserError(
                f"the take was made by {record.model} with weights {record.weights[:12]}, this is {self.config.name} "
                f"with weights {self.weights[:12]}: load that model to render it again"
            )
        sections = ((0.0, record.text),) if isinstance(record.text, str) else record.text
        return record, Request(
            tuple(Section(*section) for section in sections),
            record.seed,
            None if record.prompt is None else record.prompt.unpack(),
            {name: features.unpack() for name, features in record.conditions.items()},
            self._wardrobe.again(adapters, [(one.name, one.hash, one.gain) for one in record.adapters]),
            again(self.decoder, record.decoder),
        )

    # ---- the model directory --------------------------------------------------------------------------------------

    @classmethod
    def from_pretrained(
        cls, directory: str | Path, device: str | torch.device | None = None, precision: str | None = None
    ) -> "MusicGen":
        """Load a model directory. `precision` (fp32, bf16, fp16, int8, int4) is that of the language model.

        int8 and int4 are those of its linear layers, made once and kept in the user's cache; the rest of it is bf16. A
        directory that was saved so is loaded so. The codec and the text encoder always run in fp32. Raises
        CheckpointError for a directory that is none, UserError for a precision that cannot be.
        """
        directory = Path(directory)
        place = choose_device(device)
        beside = companion_device(place)
        config = read_config(MusicGenConfig, directory / "config.json")
        usual = config.cpu_precision if place.type == "cpu" else None
        precision = choose_precision(precision or stored_kind(directory / "lm") or usual, place)
        dtype = PRECISIONS[precision]
        kind = next((kind for kind in KINDS if kind == precision), None)
        codec = EnCodec.from_pretrained(directory / "codec", beside, torch.float32)
        plain = RestingWeights(codec, directory / "codec" / WEIGHTS_FILE)
        model = cls(
            StereoCodec(codec) if config.stereo else codec,
            load_module(LM, directory / "lm", place, dtype, kind),
            ConditionProvider.from_pretrained(directory / "conditioning", beside, dtype),
            config,
        )
        model._directory = directory
        model.pack()
        plain.rest()  # what plays is the packed form
        return model

    def pack(self) -> None:
        """Bring the weights into the order in which this processor reads them fastest; loading does.

        The audio differs by rounding. `train()` of a part undoes it; what is saved is the same.
        """
        self.lm.pack()
        self.codec.pack()

    def forget(self) -> None:
        """Forget what sentences and recordings were heard as, needed only after an encoder's weights were changed, and
        let go of adapters; what plays goes on."""
        self._renderer.remembered.clear()
        self._wardrobe.forget()

    def save_pretrained(self, directory: str | Path, dtype: torch.dtype | None = None, card: str | None = None) -> None:
        """Write the model directory, floating-point tensors as `dtype` if given; `card` is its README.md.

        Quantised weights are written as they are. Replaces a model directory that is there, but nothing else.
        """
        directory = Path(directory)
        if directory.exists() and not (directory / "config.json").is_file() and any(directory.iterdir()):
            raise UserError(f"{directory} holds something else than a model: choose an empty or new directory")
        codec = self.codec.mono if isinstance(self.codec, StereoCodec) else self.codec
        assert isinstance(codec, EnCodec), "only EnCodec has a place in the model directory"
        with atomic_directory(directory) as temporary:
            codec.save_pretrained(temporary / "codec", dtype)
            self.lm.save_pretrained(temporary / "lm", dtype)
            self.conditioning.save_pretrained(temporary / "conditioning", dtype)
            write_json(temporary / "config.json", self.config.model_dump(mode="json"))
            text = (
                card
                or f"# {self.config.name}\n\nA text-to-music model for Cadenza.\n\nLicence: {self.config.licence}\n"
            )
            (temporary / "README.md").write_text(text, encoding="utf-8")

    @property
    def weights(self) -> str:
        """SHA-256 that tells these weights from others: of the files they came from, else of the tensors."""
        if self._weights is None:
            self._weights = weights_hash(self._directory) if self._directory is not None else self._hash_tensors()
        return self._weights

    @property
    def decoder(self) -> DiffusionDecoder | None:
        """What new pieces are decoded with in place of the codec's own decoder; None: that one.

        Set it to a `DiffusionDecoder` of this model's codec (`cadenza.load_diffusion`), whose `settings` say how.
        Raises UserError for the decoder of another codec.
        """
        return self._renderer.decoder

    @decoder.setter
    def decoder(self, decoder: DiffusionDecoder | None) -> None:
        if decoder is not None:
            decoder.check_fits(self.codec)
        self._renderer.decoder = decoder

    @property
    def sample_rate(self) -> int:
        return self.codec.sample_rate

    @property
    def precision(self) -> str:
        if (kind := kind_of(self.lm)) is not None:
            return kind
        dtype = next(self.lm.parameters()).dtype
        return next((name for name, kind in PRECISIONS.items() if kind == dtype), str(dtype))

    @property
    def device(self) -> torch.device:
        return next(self.lm.parameters()).device

    # ---- from arguments to audio ------------------------------------------------------------------------------------

    def _make(
        self,
        requests: Sequence[Request],
        settings: GenerationConfig,
        progress: Progress | None,
        should_stop: Callable[[], bool] | None,
        places: int | None = None,
    ) -> list[Audio]:
        """Every request; `places` as in `Renderer.render`."""
        num_samples = round(settings.duration * self.codec.sample_rate)
        places = places or self._renderer.places(len(requests))
        pieces: list[list[np.ndarray]] = [[np.zeros((self.codec.channels, 0), np.float32)] for _ in requests]
        for i, audio in self._renderer.render(requests, settings, progress, should_stop, places):
            pieces[i].append(audio.numpy())
        made = []
        for request, parts in zip(requests, pieces, strict=True):
            samples = np.concatenate(parts, axis=1)
            metadata = self.describe(request, settings, samples.shape[1] == num_samples, places)
            made.append(Audio(samples, self.codec.sample_rate, metadata))
        return made

    # ---- the record -------------------------------------------------------------------------------------------------

    def describe(
        self, request: Request, settings: GenerationConfig, complete: bool = True, places: int = 1
    ) -> dict[str, Any]:
        """What the audio of a request carries: a `Take`, as metadata."""
        piece = request.piece
        return Take(
            cadenza=__version__,
            model=self.config.name,
            weights=self.weights,
            licence=self.config.licence,
            text=piece[0].text if len(piece) == 1 else tuple((part.start_seconds, part.text) for part in piece),
            seed=request.seed,
            generation=settings,
            precision=self.precision,
            device=describe_device(self.device),
            torch=torch.__version__,
            threads=torch.get_num_threads(),
            batch=(0, places if self.device.type == "cuda" else 1),
            prompt=None if request.prompt_codes is None else PackedCodes.pack(request.prompt_codes),
            conditions={name: PackedFeatures.pack(row) for name, row in request.conditions.items()},
            plan=self.desk.planner.words(request.conditions),
            adapters=tuple(WornAdapter(name=one.name, hash=one.hash, gain=one.gain) for one in request.adapters),
            decoder=None if request.diffusion is None else request.diffusion.record(),
            complete=complete,
        ).metadata()

    def _hash_tensors(self) -> str:
        total = hashlib.sha256()
        for part in (self.codec, self.lm, self.conditioning):
            for name, tensor in sorted(part.state_dict().items()):
                total.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}\n".encode())
                total.update(tensor.detach().cpu().flatten().contiguous().view(torch.uint8).numpy().tobytes())
        return total.hexdigest()


@contextmanager
def _threads(count: int) -> Iterator[None]:
    """Compute with `count` processor threads."""
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)
