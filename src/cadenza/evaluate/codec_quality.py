"""Codecs on trial: clips and coders in; every figure of `evaluate.fidelity` for each, means and intervals out.

Every coder hears the same sound, the clip at the trial's rate and channels, and is compared with just that: what
resampling and mixing down lose is held against nobody. One clip is in memory at a time. Intervals are over pieces
(`evaluate.intervals.cluster_interval`): excerpts of one piece are not independent.
"""

import hashlib
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, NamedTuple, Protocol, runtime_checkable

import torch

from cadenza.audio import Audio
from cadenza.codec.base import Codec
from cadenza.data.shards import add_tensor
from cadenza.errors import UserError
from cadenza.evaluate.clips import Clip, ClipSet, Refused, read_sound, reason_of
from cadenza.evaluate.codebooks import FEW_CODES, CodebookCounts
from cadenza.evaluate.fidelity import DEFINITIONS, Fidelity, align, contour_correlation, measure_fidelity
from cadenza.evaluate.intervals import Interval, cluster_interval
from cadenza.evaluate.opus import code_opus, encoder_name, through_48k

FIGURES = tuple(DEFINITIONS)
SECONDS = 30.0  # of each clip: bounds the memory that a codec takes
OPUS_DELAY_SECONDS = 0.005  # what its file declares is taken out already; a few samples stay
THEIR_DELAY_SECONDS = 0.1  # of files that somebody else decoded
LENGTH_TOLERANCE_SECONDS = 0.25  # whole frames, and a delay
STRANGE_CORRELATION = 0.2  # of contours: below, it may well be another sound (pairs of other pieces: 0.05 at most)
_SCALE_BITS = 32  # of EnCodec's normalising models, per segment


class Coded(NamedTuple):
    """A sound that went through a coder, and the kbit/s it took; None where that cannot be told."""

    audio: Audio
    kbps: float | None


@runtime_checkable
class Coder(Protocol):
    """Something that loses part of a sound. `most_delay_seconds`: how late or early its sound may come."""

    name: str
    most_delay_seconds: float

    def code(self, audio: Audio, clip: Clip) -> Coded:
        """`audio` is the clip at the trial's rate. UserError where this clip cannot be had: all leave it out."""


class NeuralCoder:
    """A `Codec`, or its first codebooks; counts the codes that it makes. Its sound is in place by definition."""

    most_delay_seconds = 0.0

    def __init__(self, codec: Codec, num_codebooks: int | None = None) -> None:
        self.codec, self.used = codec, num_codebooks or codec.num_codebooks
        if not 1 <= self.used <= codec.num_codebooks:
            raise UserError(f"{self.used} codebooks of a codec that has {codec.num_codebooks}: choose as many or fewer")
        self.name = "codec" if self.used == codec.num_codebooks else f"codec, {self.used} of {codec.num_codebooks}"
        self.counts = CodebookCounts(self.used, codec.codebook_size)

    @torch.no_grad()
    def code(self, audio: Audio, clip: Clip) -> Coded:
        device = next(self.codec.parameters()).device
        codes, scale = self.codec.encode(torch.from_numpy(audio.samples)[None].to(device))
        codes = codes[:, : self.used]
        made = self.codec.decode(codes, scale)[0, :, : audio.num_samples].float().cpu()
        self.counts.add(codes[0].cpu().numpy())
        bits = codes[0].numel() * math.log2(self.codec.codebook_size) + _SCALE_BITS * (
            0 if scale is None else scale[0].numel()
        )
        return Coded(Audio(made.numpy(), audio.sample_rate), bits / audio.duration_seconds / 1000)

    def record(self) -> dict[str, Any]:
        """What is known about the codec and its codes, for JSON."""
        rate = self.codec.frame_rate
        uses = self.counts.uses()
        return {
            "sample_rate": self.codec.sample_rate,
            "channels": self.codec.channels,
            "frame_rate": rate,
            "codebook_size": self.codec.codebook_size,
            "nominal_kbps": self.counts.nominal_kbps(rate),
            "entropy_kbps": self.counts.entropy_kbps(rate),
            "codes_per_entry": self.counts.codes_per_entry,
            "enough_codes": self.counts.codes_per_entry >= FEW_CODES,
            "codebooks": [asdict(use) for use in uses],
            "weights": codec_hash(self.codec),
        }


class OpusCoder:
    """Opus at about `kbps` kbit/s (`evaluate.opus`)."""

    most_delay_seconds = OPUS_DELAY_SECONDS

    def __init__(self, kbps: float) -> None:
        self.kbps, self.name = kbps, f"opus {kbps:g}"

    def code(self, audio: Audio, clip: Clip) -> Coded:
        return Coded(*code_opus(audio, self.kbps))


class Resampler:
    """To 48 kHz and back: the part of Opus' loss that is not Opus'."""

    name = "48 kHz and back"
    most_delay_seconds = 0.0

    def code(self, audio: Audio, clip: Clip) -> Coded:
        return Coded(through_48k(audio), None)


class DecodedFolder:
    """What somebody else's codec made of the clips, found by their ids (a file's path in its folder, without suffix).

    A file of another rate is resampled to the trial's, which `remarks` counts.
    """

    most_delay_seconds = THEIR_DELAY_SECONDS

    def __init__(self, decoded: ClipSet, name: str = "decoded") -> None:
        self.name = name
        self.paths = {clip.id: clip.path for clip in decoded.clips}
        self.resampled = 0

    def unpaired(self, originals: ClipSet) -> list[Refused]:
        """Decoded files that no clip asks for."""
        known = {clip.id for clip in originals.clips}
        return [
            Refused(name, "decoded, but there is no original of its name") for name in self.paths if name not in known
        ]

    def code(self, audio: Audio, clip: Clip) -> Coded:
        if clip.id not in self.paths:
            raise UserError("no decoded file of its name")
        path = self.paths[clip.id]
        try:
            made = read_sound(path)
        except UserError as error:
            raise UserError(f"its decoded file: {reason_of(error, path)}") from error
        if made.channels != audio.channels:
            raise UserError(f"decoded to {made.channels} channels, the original has {audio.channels}")
        self.resampled += made.sample_rate != audio.sample_rate
        made = made.resample(audio.sample_rate).slice(0, audio.duration_seconds + THEIR_DELAY_SECONDS)
        if made.duration_seconds < audio.duration_seconds - LENGTH_TOLERANCE_SECONDS:
            raise UserError(
                f"decoded to {made.duration_seconds:.2f} s, the original lasts {audio.duration_seconds:.2f} s"
            )
        return Coded(made, None)


# ---- the trial -------------------------------------------------------------------------------------------------------


class Result(NamedTuple):
    """One clip through one coder."""

    fidelity: Fidelity
    kbps: float | None
    delay_samples: int
    contour_correlation: float


@dataclass(frozen=True)
class Trial:
    """All results. `results[coder][i]` is that of clip number i; every coder has every clip."""

    ids: tuple[str, ...]
    pieces: tuple[str, ...]
    results: Mapping[str, Sequence[Result]]
    refused: tuple[Refused, ...]
    remarks: tuple[Refused, ...]
    """Clips that were judged, but of which something is strange."""
    settings: Mapping[str, Any] = field(default_factory=dict)
    complete: bool = True
    """False where Ctrl-C ended it: what was judged until then."""

    def values(self, coder: str, figure: str) -> list[float]:
        return [getattr(result.fidelity, figure) for result in self.results[coder]]

    def interval(self, coder: str, figure: str) -> Interval:
        """Mean over clips; its interval is over pieces."""
        return cluster_interval(self.values(coder, figure), self.pieces)

    def difference(self, coder: str, other: str, figure: str) -> Interval:
        """Mean of the differences of the same clips, `coder` minus `other`."""
        pairs = zip(self.values(coder, figure), self.values(other, figure), strict=True)
        return cluster_interval([a - b for a, b in pairs], self.pieces)

    def kbps(self, coder: str) -> Interval | None:
        """What it really spent."""
        known = [result.kbps for result in self.results[coder] if result.kbps is not None]
        return cluster_interval(known, self.pieces) if len(known) == len(self.ids) else None

    def record(self) -> dict[str, Any]:
        """Everything as JSON: coders in order, the first one's differences from the others, and every clip."""
        first, *others = self.results
        return {
            "complete": self.complete,
            "clips": len(self.ids),
            "pieces": len(set(self.pieces)),
            "coders": {
                name: {"kbps": None if (kbps := self.kbps(name)) is None else kbps.record()}
                | {figure: self.interval(name, figure).record() for figure in FIGURES}
                for name in self.results
            },
            "differences": {
                other: {figure: self.difference(first, other, figure).record() for figure in FIGURES}
                for other in others
            },
            "refused": [asdict(one) for one in self.refused],
            "remarks": [asdict(one) for one in self.remarks],
            "settings": dict(self.settings),
            "definitions": DEFINITIONS,
        }

    def rows(self) -> list[dict[str, Any]]:
        """One flat row per clip and coder, for tables."""
        return [
            {"clip": clip, "piece": piece, "coder": name, "kbps": result.kbps, "delay_samples": result.delay_samples}
            | asdict(result.fidelity)
            for name, results in self.results.items()
            for clip, piece, result in zip(self.ids, self.pieces, results, strict=True)
        ]


def hold_trial(
    clips: ClipSet,
    coders: Sequence[Coder],
    sample_rate: int,
    channels: int,
    seconds: float = SECONDS,
    on_progress: Callable[[int, int], None] = lambda done, total: None,
    keep: Callable[[Clip, str, Audio], None] | None = None,
) -> Trial:
    """Every clip through every coder, at `sample_rate` and in `channels`, the first `seconds` of it.

    Clips of another rate or number of channels are brought to those, which the settings of the result count. A clip
    that is silent, cannot be read, or that a coder does not have is refused, for all coders alike. `keep` is
    given what each coder made. A KeyboardInterrupt ends it with the clips so far. Raises UserError where nothing is
    left.
    """
    assert len({coder.name for coder in coders}) == len(coders) > 0, "coders need names of their own"
    kept: list[Clip] = []
    results: dict[str, list[Result]] = {coder.name: [] for coder in coders}
    refused, remarks = list(clips.refused), []
    changed = {"resampled": 0, "mixed": 0}
    complete = True
    for number, clip in enumerate(clips.clips):
        on_progress(number, len(clips))
        try:
            own = read_sound(clip.path, 0.0, seconds)
            original = own.resample(sample_rate).with_channels(channels)
            if not math.isfinite(original.loudness_lufs()):
                raise UserError("silent")
            found = [_result(coder, original, clip, keep) for coder in coders]
        except UserError as error:
            refused.append(Refused(clip.id, reason_of(error, clip.path)))
            continue
        except KeyboardInterrupt:
            if not kept:
                raise
            complete = False
            break
        kept.append(clip)
        changed["resampled"] += own.sample_rate != sample_rate
        changed["mixed"] += own.channels != channels
        for coder, result in zip(coders, found, strict=True):
            results[coder.name].append(result)
            if result.contour_correlation < STRANGE_CORRELATION:
                remarks.append(
                    Refused(clip.id, f"{coder.name}: moves quite unlike the original, is it the same sound?")
                )
    else:
        on_progress(len(clips), len(clips))
    if not kept:
        raise UserError(f"{clips.name}: no clip is left ({refused[0].name}: {refused[0].reason}): give others")
    settings: dict[str, Any] = {"sample_rate": sample_rate, "channels": channels, "seconds": seconds} | changed
    if any(isinstance(coder, OpusCoder) for coder in coders):
        settings["opus"] = encoder_name()
    ids, pieces = tuple(clip.id for clip in kept), tuple(clip.piece for clip in kept)
    return Trial(ids, pieces, results, tuple(refused), tuple(remarks), settings, complete)


def common_form(clips: ClipSet) -> tuple[int, int]:
    """Rate and channels of most clips, for a trial without a codec; of equally many, the lower ones."""
    import soundfile

    forms: dict[tuple[int, int], int] = {}
    for clip in clips.clips:
        info = soundfile.info(str(clip.path))
        form = (int(info.samplerate), int(info.channels))
        forms[form] = forms.get(form, 0) + 1
    return min(forms, key=lambda form: (-forms[form], form))


def codec_hash(codec: Codec) -> str:
    """SHA-256 of all its weights, as they compute."""
    total = hashlib.sha256()
    for name, tensor in sorted(codec.state_dict().items()):
        add_tensor(total, name, tensor.float() if tensor.is_floating_point() else tensor)
    return total.hexdigest()


def sound_path(folder: Path, coder: str, clip: str) -> Path:
    """Where what a coder made of a clip is kept."""
    return folder / coder.replace(",", "").replace(" ", "-") / f"{clip}.flac"


def _result(coder: Coder, original: Audio, clip: Clip, keep: Callable[[Clip, str, Audio], None] | None) -> Result:
    coded = coder.code(original, clip)
    made, wanted, delay = align(coded.audio, original, coder.most_delay_seconds)
    if keep is not None:
        keep(clip, coder.name, coded.audio)
    return Result(measure_fidelity(made, wanted), coded.kbps, delay, contour_correlation(made, wanted))
