"""What was heard in a set of clips: every figure and vector that comparisons need, without the sound itself.

One safetensors file: the vectors as float32, so that figures from a saved set are the same to the last digit, and the
facts as JSON. Sets can be cut, merged and shared; nothing in them names a place on a disk.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pydantic
from jaxtyping import Float32, UInt8
from safetensors.numpy import save

from cadenza.checkpoint import read_metadata, read_weights
from cadenza.errors import UserError
from cadenza.evaluate.clips import Asked, Refused
from cadenza.evaluate.embedders.base import Identity
from cadenza.evaluate.key import Key
from cadenza.evaluate.tempo import Tempo
from cadenza.files import atomic_file

FORMAT = "cadenza measurements 1"
REST = 12
"""Added to the pitch class of a frame below -60 dB, in `MeasuredClip.pitches`."""


@dataclass(frozen=True)
class Heard:
    """What is measured in one clip.

    Args:
        loudness_lufs: Integrated, of the file as it is.
        true_peak_db: Relative to full scale.
        silent_share, clipped_share: Of its time below -60 dB; of its samples at full scale.
        tempo, key: With how sure they are; what the ear says, if it has learnt them, else what is computed.
        computed_tempo, computed_key: By the formulas of `evaluate.tempo` and `evaluate.key` alone, whatever the ear.
        instruments, genres: A probability for each that the ear knows, most probable first; empty without an ear.
        named: The instruments above their thresholds.
        repetition: Share of the clip, 0 to 1, that nearly copies an earlier stretch (`evaluate.repetition`).
        repetition_seconds: How much later it does.
        stuck_seconds: The longest stretch in which nothing changes.
        loudness_segments, brightness_segments: LUFS, and centroid of the spectrum in Hz, of each whole 10 s;
            empty below 20 s.
        melody_similarity: Share of frames that have the tune's pitch class; None where no tune was asked for.
    """

    duration_seconds: float
    sample_rate: int
    channels: int
    loudness_lufs: float
    true_peak_db: float
    silent_share: float
    clipped_share: float
    tempo: Tempo
    key: Key | None
    instruments: dict[str, float] = field(default_factory=dict)
    named: tuple[str, ...] = ()
    genres: dict[str, float] = field(default_factory=dict)
    repetition: float = 0.0
    repetition_seconds: float = 0.0
    stuck_seconds: float = 0.0
    loudness_segments: tuple[float, ...] = ()
    brightness_segments: tuple[float, ...] = ()
    melody_similarity: float | None = None
    computed_tempo: Tempo | None = None
    computed_key: Key | None = None

    @property
    def genre(self) -> str | None:
        """The most probable one."""
        return next(iter(self.genres), None)


@dataclass(frozen=True, eq=False)
class MeasuredClip:
    """A clip without its sound.

    Args:
        sound: SHA-256 of its samples and their rate.
        pitches: The strongest pitch class of each frame of 0.128 s; C is 0, and `REST` more where it is a rest.
        tune: The same of the melody that was asked for; empty without one.
    """

    id: str
    piece: str
    asked: Asked
    heard: Heard
    sound: str
    record: Mapping[str, Any]
    pitches: UInt8[np.ndarray, "T"]
    tune: UInt8[np.ndarray, "_"] = field(default_factory=lambda: np.zeros(0, np.uint8))


@dataclass(frozen=True, eq=False)
class Embeddings:
    """What one embedder heard: an array `[W, D]` for each clip."""

    identity: Identity
    windows: tuple[Float32[np.ndarray, "_ D"], ...]


@dataclass(frozen=True, eq=False)
class Labels:
    """What one labeller heard: probabilities `[P, L]` of `labels` for each clip."""

    identity: Identity
    labels: tuple[str, ...]
    windows: tuple[Float32[np.ndarray, "_ L"], ...]


@dataclass(frozen=True, eq=False)
class Joint:
    """Sound and words in one space, unit vectors; `text` is 0 for a clip without words."""

    identity: Identity
    audio: Float32[np.ndarray, "N D"]
    text: Float32[np.ndarray, "N D"]


@dataclass(frozen=True, eq=False)
class Measurements:
    """A measured set: everything is in the order of `clips`.

    `refused` lists what could not be judged; `settings` says how the rest was measured (loudness before the
    embedders, versions).
    """

    name: str
    clips: tuple[MeasuredClip, ...]
    embeddings: Mapping[str, Embeddings] = field(default_factory=dict)
    labels: Mapping[str, Labels] = field(default_factory=dict)
    joint: Mapping[str, Joint] = field(default_factory=dict)
    refused: tuple[Refused, ...] = ()
    settings: Mapping[str, Any] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.clips)

    @property
    def ids(self) -> tuple[str, ...]:
        return tuple(clip.id for clip in self.clips)

    def pieces(self, embedder: str) -> list[Float32[np.ndarray, "_ D"]]:
        """The vectors of each independent piece: those of all its clips, in the order in which pieces first appear."""
        windows: dict[str, list[np.ndarray]] = {}
        for clip, found in zip(self.clips, self.embeddings[embedder].windows, strict=True):
            windows.setdefault(clip.piece, []).append(found)
        return [np.concatenate(parts) for parts in windows.values()]

    def of(self, ids: Iterable[str]) -> "Measurements":
        """Some of the clips, in the given order. Raises UserError for an id that is not there."""
        places = {clip.id: place for place, clip in enumerate(self.clips)}
        ids = list(ids)
        unknown = [name for name in ids if name not in places]
        if unknown:
            raise UserError(f"{self.name} has no clip {unknown[0]!r}: give ids of its {len(self)} clips")
        return self._at([places[name] for name in ids])

    def of_pieces(self, pieces: Iterable[str]) -> "Measurements":
        """The clips of some pieces, in the order of the set."""
        wanted = set(pieces)
        return self._at([place for place, clip in enumerate(self.clips) if clip.piece in wanted])

    def _at(self, places: Sequence[int]) -> "Measurements":
        def chosen(windows: Sequence[np.ndarray]) -> tuple[np.ndarray, ...]:
            return tuple(windows[place] for place in places)

        return replace(
            self,
            clips=tuple(self.clips[place] for place in places),
            embeddings={name: replace(e, windows=chosen(e.windows)) for name, e in self.embeddings.items()},
            labels={name: replace(e, windows=chosen(e.windows)) for name, e in self.labels.items()},
            joint={
                name: replace(e, audio=e.audio[list(places)], text=e.text[list(places)])
                for name, e in self.joint.items()
            },
        )

    @staticmethod
    def merge(sets: "Sequence[Measurements]", name: str | None = None) -> "Measurements":
        """The clips of several sets as one. Raises UserError where they were not measured alike, or share an id."""
        assert sets, "no sets"
        first = sets[0]
        for other in sets[1:]:
            for kind in ("embeddings", "labels", "joint"):
                ours, theirs = (
                    {key: value.identity.digest for key, value in getattr(m, kind).items()} for m in (first, other)
                )
                different = sorted(key for key in ours.keys() | theirs.keys() if ours.get(key) != theirs.get(key))
                if different:
                    raise UserError(
                        f"{first.name} and {other.name} were not measured with the same {different[0]!r}: measure both "
                        "with the same embedders and weights"
                    )
            if first.settings != other.settings:
                raise UserError(f"{first.name} and {other.name} were measured with other settings: measure them alike")
        ids = [clip.id for m in sets for clip in m.clips]
        if len(set(ids)) < len(ids):
            twice = next(one for place, one in enumerate(ids) if one in ids[:place])
            raise UserError(f"two clips of id {twice!r} in the sets to merge: rename or leave out one of them")
        return Measurements(
            name or first.name,
            tuple(clip for m in sets for clip in m.clips),
            {
                key: replace(value, windows=sum((m.embeddings[key].windows for m in sets), ()))
                for key, value in first.embeddings.items()
            },
            {
                key: replace(value, windows=sum((m.labels[key].windows for m in sets), ()))
                for key, value in first.labels.items()
            },
            {
                key: replace(
                    value,
                    audio=np.concatenate([m.joint[key].audio for m in sets]),
                    text=np.concatenate([m.joint[key].text for m in sets]),
                )
                for key, value in first.joint.items()
            },
            tuple(dict.fromkeys(refused for m in sets for refused in m.refused)),
            first.settings,
        )

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Measurements):
            return NotImplemented
        ours, theirs = self._tensors(), other._tensors()
        return (
            self._facts() == other._facts()
            and ours.keys() == theirs.keys()
            and all(np.array_equal(ours[key], theirs[key]) for key in ours)
        )

    __hash__ = None  # type: ignore[assignment]

    # ------------------------------------------------------------------------------------------------------- files

    def save(self, path: str | Path, half: bool = False) -> Path:
        """Write one file, `.safetensors`, whole or not at all; the same set gives the same bytes.

        `half`: vectors in 16 bits, off by up to 0.05 %, for sets to ship.
        """
        path = Path(path)
        if path.suffix != ".safetensors":
            raise UserError(f"{path}: measured sets are .safetensors files; give such a name")
        facts = np.frombuffer(json.dumps(self._facts(), ensure_ascii=False).encode(), np.uint8)
        tensors = {"facts": facts, **self._tensors()}
        if half:
            tensors = {k: v.astype(np.float16) if v.dtype == np.float32 else v for k, v in tensors.items()}
        with atomic_file(path) as temporary:
            # One entry of metadata: safetensors writes several in no fixed order. Bytes: a full disk is an OSError.
            ordered = {key: np.ascontiguousarray(tensors[key]) for key in sorted(tensors)}
            temporary.write_bytes(save(ordered, metadata={"format": FORMAT}))
        return path

    @classmethod
    def load(cls, path: str | Path) -> "Measurements":
        """Read what `save` wrote. Raises UserError for any other file."""
        path = Path(path)
        if not is_measured(path):
            raise UserError(f"{path}: not a measured set; make one with `cadenza evaluate` or Measurements.save")
        tensors = {key: value.numpy().copy() for key, value in read_weights(path).items()}
        tensors = {k: v.astype(np.float32) if v.dtype == np.float16 else v for k, v in tensors.items()}
        try:
            return cls._from(_FACTS.validate_json(tensors.pop("facts").tobytes()), tensors)
        except (pydantic.ValidationError, KeyError, ValueError) as error:
            raise UserError(f"{path}: damaged or of another version ({type(error).__name__}); measure again") from error

    def _facts(self) -> dict[str, Any]:
        clips = [
            _ClipFacts(c.id, c.piece, _portable(c.asked), c.heard, c.sound, dict(c.record)) for c in self.clips
        ]  # fmt: skip
        facts = _Facts(
            self.name,
            clips,
            {key: value.identity.record() for key, value in self.embeddings.items()},
            {key: (value.identity.record(), value.labels) for key, value in self.labels.items()},
            {key: value.identity.record() for key, value in self.joint.items()},
            list(self.refused),
            dict(self.settings),
        )
        return dict(_FACTS.dump_python(facts, mode="json"))

    def _tensors(self) -> dict[str, np.ndarray]:
        tensors = _packed("pitches", [clip.pitches for clip in self.clips])
        tensors |= _packed("tunes", [clip.tune for clip in self.clips])
        for key, value in self.embeddings.items():
            tensors |= _packed(f"embeddings/{key}", value.windows)
        for key, labels in self.labels.items():
            tensors |= _packed(f"labels/{key}", labels.windows)
        for key, joint in self.joint.items():
            tensors |= {f"joint/{key}/audio": joint.audio, f"joint/{key}/text": joint.text}
        return tensors

    @classmethod
    def _from(cls, facts: "_Facts", tensors: Mapping[str, np.ndarray]) -> "Measurements":
        pitches, tunes = _unpacked("pitches", tensors), _unpacked("tunes", tensors)
        clips = tuple(
            MeasuredClip(c.id, c.piece, c.asked, c.heard, c.sound, c.record, *classes)
            for c, *classes in zip(facts.clips, pitches, tunes, strict=True)
        )
        return cls(
            facts.name,
            clips,
            {
                key: Embeddings(Identity.from_record(record), _unpacked(f"embeddings/{key}", tensors))
                for key, record in facts.embeddings.items()
            },
            {
                key: Labels(Identity.from_record(record), labels, _unpacked(f"labels/{key}", tensors))
                for key, (record, labels) in facts.labels.items()
            },
            {
                key: Joint(Identity.from_record(record), tensors[f"joint/{key}/audio"], tensors[f"joint/{key}/text"])
                for key, record in facts.joint.items()
            },
            tuple(facts.refused),
            facts.settings,
        )


def is_measured(path: str | Path) -> bool:
    """Whether a file is a measured set."""
    path = Path(path)
    if path.suffix != ".safetensors" or not path.is_file():
        return False
    try:
        return read_metadata(path).get("format") == FORMAT
    except UserError:
        return False


@dataclass(frozen=True)
class _ClipFacts:
    id: str
    piece: str
    asked: Asked
    heard: Heard
    sound: str
    record: dict[str, Any]


@dataclass(frozen=True)
class _Facts:
    """What is stored as JSON."""

    name: str
    clips: list[_ClipFacts]
    embeddings: dict[str, dict[str, Any]]
    labels: dict[str, tuple[dict[str, Any], tuple[str, ...]]]
    joint: dict[str, dict[str, Any]]
    refused: list[Refused]
    settings: dict[str, Any]


_FACTS = pydantic.TypeAdapter(_Facts)


def _portable(asked: Asked) -> Asked:
    """Of the tune's place only its name travels."""
    return asked if asked.melody is None else replace(asked, melody=Path(asked.melody.name))


def _packed(key: str, arrays: Sequence[np.ndarray]) -> dict[str, np.ndarray]:
    """Arrays of different lengths as one, and their lengths."""
    counts = np.array([len(array) for array in arrays], np.int64)
    joined = np.concatenate(arrays) if arrays else np.zeros(0, np.float32)
    return {f"{key}/values": joined, f"{key}/counts": counts}


def _unpacked(key: str, tensors: Mapping[str, np.ndarray]) -> tuple[np.ndarray, ...]:
    ends = np.cumsum(tensors[f"{key}/counts"])
    return tuple(np.split(tensors[f"{key}/values"], ends[:-1])) if len(ends) else ()
