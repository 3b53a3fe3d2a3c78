"""CLAP: sentences and sounds in one space, through the `transformers` package (extra `hub`).

In: sentences, or a waveform. Out: vectors `[N, E]` of unit length; a sentence and a sound that fit point the same way.
Wu et al. (2023), "Large-scale contrastive language-audio pretraining with feature fusion and keyword-to-caption
augmentation".

The folder is that of Hugging Face's `ClapModel` (such as `laion/larger_clap_music`): `config.json`,
`preprocessor_config.json`, `tokenizer.json`, `model.safetensors`. The towers are built when they are first needed,
because importing `transformers` takes seconds.
"""

import shutil
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float
from pydantic import ConfigDict, Field
from torch import Tensor

from cadenza.checkpoint import (
    CONFIG_FILE,
    WEIGHTS_FILE,
    Config,
    RestingWeights,
    read_config,
    read_json,
    read_weights,
    weight_shapes,
    write_weights,
)
from cadenza.conditioning.t5 import TextTokenizer
from cadenza.errors import CheckpointError, UserError
from cadenza.files import atomic_file

FRONT_END_FILE = "preprocessor_config.json"
KNOWN_GOOD = "laion/larger_clap_music"
_FLOOR = 1e-10  # -100 dB: what the power of a mel band is raised to before its logarithm
_CALCULATED = ("position_ids", "token_type_ids", "relative_position_index", "num_batches_tracked")
"""Ends of names that some files hold and others leave out, because the model makes them itself."""
_BUILDING = threading.Lock()  # while transformers builds a model, it changes what torch does in the whole process
_BATCH = 8  # windows at a time, so that an hour of sound takes no more memory than a minute


class ClapFrontEnd(Config):
    """What `preprocessor_config.json` says of the spectrogram; its other fields concern fused models."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    sampling_rate: int = Field(48000, ge=1, description="of the waveform, Hz")
    max_length_s: float = Field(10, gt=0, description="the only length that the tower takes, s")
    fft_window_size: int = Field(1024, ge=2, description="analysis window, samples")
    hop_length: int = Field(480, ge=1, description="from frame to frame, samples")
    feature_size: int = Field(64, ge=1, description="mel bands")
    frequency_min: float = Field(50, ge=0, description="lower end of the lowest band, Hz")
    frequency_max: float = Field(14000, gt=0, description="upper end of the highest band, Hz")

    @property
    def num_samples(self) -> int:
        return round(self.max_length_s * self.sampling_rate)


class ClapEncoder:
    """Both towers and what stands before them, frozen, in float32."""

    def __init__(self, directory: Path, dim: int, front_end: ClapFrontEnd, tokenizer: TextTokenizer) -> None:
        """Use `from_pretrained`."""
        self.directory = directory
        self.dim = dim
        """Width of the joint space, E."""
        self.front_end = front_end
        self.tokenizer = tokenizer
        self.device = torch.device("cpu")
        self._towers: Any = None
        self._resting: RestingWeights | None = None

    @classmethod
    def from_pretrained(cls, directory: str | Path, device: str | torch.device = "cpu") -> "ClapEncoder":
        """An encoder over the files in `directory`, which stay where they are. Raises CheckpointError."""
        directory = Path(directory)
        if directory.is_file():
            raise CheckpointError(
                f"{directory} is no directory: CLAP is read as transformers keeps it, such as {KNOWN_GOOD}; "
                "a checkpoint of LAION's becomes that with cadenza.convert.laion_clap"
            )
        settings = read_json(directory / CONFIG_FILE)
        if settings.get("model_type") != "clap":
            kind = settings.get("model_type")
            raise CheckpointError(f"{directory} holds a model of type {kind!r}: expected a CLAP such as {KNOWN_GOOD}")
        audio, text = settings.get("audio_config") or {}, settings.get("text_config") or {}
        if audio.get("enable_fusion"):
            raise CheckpointError(
                f"{directory} is a fused CLAP, which draws windows at random: take an unfused one, such as {KNOWN_GOOD}"
            )
        weight_shapes(directory / WEIGHTS_FILE)  # whole, before seconds are spent on an import
        front_end = read_config(ClapFrontEnd, directory / FRONT_END_FILE)
        tokenizer = TextTokenizer.from_pretrained(directory)
        size = text.get("vocab_size", 50265)
        if tokenizer.tokenizer.get_vocab_size() > size:
            raise CheckpointError(
                f"{directory}: its tokenizer has {tokenizer.tokenizer.get_vocab_size()} words, its model {size}: "
                "these two do not belong together"
            )
        encoder = cls(directory, int(settings.get("projection_dim", 512)), front_end, tokenizer)
        encoder.to(device)
        return encoder

    def save_pretrained(self, directory: str | Path, dtype: torch.dtype | None = None) -> None:
        """Write a folder that `from_pretrained` reads, floating-point tensors as `dtype` if given."""
        directory = Path(directory)
        write_weights(directory / WEIGHTS_FILE, read_weights(self.directory / WEIGHTS_FILE), dtype)
        for name in (CONFIG_FILE, FRONT_END_FILE):
            with atomic_file(directory / name) as temporary:
                shutil.copyfile(self.directory / name, temporary)
        self.tokenizer.save_pretrained(directory)

    def to(self, device: str | torch.device) -> None:
        """Where the towers run."""
        device = torch.device(device)
        if self._towers is not None and device != self.device:
            self._towers.to(device)
        self.device = device

    def rest(self) -> None:
        """Give the memory of the weights back until they are needed again (see `RestingWeights`)."""
        if self._resting is not None:
            self._resting.rest()

    # ---- text --------------------------------------------------------------------------------------------------------

    def tokens(self, texts: Sequence[str], max_tokens: int) -> list[list[int]]:
        """Token ids, of longer sentences the first `max_tokens - 1` and the end mark."""
        return [ids if len(ids) <= max_tokens else ids[: max_tokens - 1] + ids[-1:] for ids in self.tokenizer(texts)]

    @torch.no_grad()
    def encode_text(self, texts: Sequence[str], max_tokens: int) -> Float[Tensor, "N E"]:
        """One vector per sentence."""
        ids = self.tokens(texts, max_tokens)
        longest = max(map(len, ids))
        lengths = torch.tensor([len(row) for row in ids], device=self.device)
        mask = torch.arange(longest, device=self.device) < lengths[:, None]
        pad = self.towers.config.text_config.pad_token_id  # positions are counted over whatever is not this token
        padded = torch.tensor([row + [pad] * (longest - len(row)) for row in ids], device=self.device)
        with torch.autocast(self.device.type, enabled=False):
            return _pooled(self.towers.get_text_features(input_ids=padded, attention_mask=mask.long()))

    # ---- sound -------------------------------------------------------------------------------------------------------

    @torch.no_grad()
    def encode_windows(self, windows: Float[Tensor, "N T"]) -> Float[Tensor, "N E"]:
        """One vector per window of samples at the front end's rate, none longer than the tower takes."""
        vectors = []
        for some in windows.split(_BATCH):
            features = self.log_mel(some)[:, None].to(self.device)
            with torch.autocast(self.device.type, enabled=False):
                vectors.append(_pooled(self.towers.get_audio_features(input_features=features)))
        return torch.cat(vectors)

    def log_mel(self, windows: Float[Tensor, "N T"]) -> Float[Tensor, "N F M"]:
        """Power of the mel bands in dB. Short windows are repeated as often as they fit, the rest is silence.

        In float64 on the CPU: between the partials of a tone the power is a small difference of large numbers.
        """
        front = self.front_end
        given, wanted = windows.shape[1], front.num_samples
        assert 0 < given <= wanted
        windows = windows.cpu().double().repeat(1, wanted // given)
        windows = torch.nn.functional.pad(windows, (0, wanted - windows.shape[1]))
        spectrum = torch.stft(
            windows,
            front.fft_window_size,
            front.hop_length,
            window=torch.hann_window(front.fft_window_size, dtype=torch.float64),
            return_complex=True,
        )
        power = spectrum.abs().square().transpose(1, 2) @ self._filters
        return (10 * power.clamp_min(_FLOOR).log10()).float()

    # ---- transformers ------------------------------------------------------------------------------------------------

    @property
    def towers(self) -> Any:
        """The `ClapModel`, built on first use. Raises UserError where `transformers` is not installed."""
        with _BUILDING:
            if self._towers is None:
                self._build()
        return self._towers

    def _build(self) -> None:
        transformers = _transformers()
        with _silent(transformers.utils.logging):
            try:
                towers, found = transformers.ClapModel.from_pretrained(
                    self.directory,
                    local_files_only=True,
                    use_safetensors=True,
                    dtype=torch.float32,
                    output_loading_info=True,
                )
            except (RuntimeError, ValueError, TypeError, LookupError, AttributeError, OSError) as error:
                reason = (str(error).splitlines() or [type(error).__name__])[0]
                raise CheckpointError(
                    f"{self.directory} holds no CLAP that can be built ({reason}): fetch or convert it again"
                ) from error
        missing = sorted(name for name in found["missing_keys"] if not name.endswith(_CALCULATED))
        if missing:
            rest = f" and {len(missing) - 3} more" if len(missing) > 3 else ""
            raise CheckpointError(
                f"{self.directory / WEIGHTS_FILE} lacks {', '.join(missing[:3])}{rest}: fetch or convert it again"
            )
        towers.eval().requires_grad_(False)
        self._resting = RestingWeights(towers, self.directory / WEIGHTS_FILE)
        self._towers = towers.to(self.device)

    @cached_property
    def _filters(self) -> Float[Tensor, "K M"]:
        """Triangles of equal area on Slaney's scale, the ones that unfused models were trained with."""
        front = self.front_end
        filters = _transformers().audio_utils.mel_filter_bank(
            num_frequency_bins=front.fft_window_size // 2 + 1,
            num_mel_filters=front.feature_size,
            min_frequency=front.frequency_min,
            max_frequency=front.frequency_max,
            sampling_rate=front.sampling_rate,
            norm="slaney",
            mel_scale="slaney",
        )
        return torch.from_numpy(filters)


def _pooled(output: Any) -> Tensor:
    """The joint vectors: older releases return them alone."""
    return output if isinstance(output, Tensor) else output.pooler_output


def _transformers() -> Any:
    try:
        import transformers
        import transformers.audio_utils
    except ImportError as error:
        raise UserError('CLAP needs the package transformers (extra "hub"): pip install "transformers>=5.0"') from error
    return transformers


@contextmanager
def _silent(logging: Any) -> Iterator[None]:
    """No progress bar and no report while the weights are read: what is wrong becomes one line of ours."""
    bars, level = logging.is_progress_bar_enabled(), logging.get_verbosity()
    logging.disable_progress_bar()
    logging.set_verbosity_error()
    try:
        yield
    finally:
        logging.set_verbosity(level)
        if bars:
            logging.enable_progress_bar()
