"""What is to be judged: a folder, a manifest or takes with their prompts in, clips with what was asked for out.

Nothing that is wrong with a file stops the rest: it is listed with its reason (`Refused`) and counted in the report.
Headers are read here, samples only once, later, in `evaluate.measure`, which may refuse more: what is silent, or breaks
off in the middle.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Annotated, Any

import pydantic

from cadenza.audio import Audio
from cadenza.data.manifest import NAMES, Entry, read_manifest
from cadenza.data.scan import find_recordings
from cadenza.errors import UserError
from cadenza.evaluate.key import parse_key
from cadenza.evaluate.words import facts_in

PROMPTS, RECORD = "prompts.jsonl", "record.json"
LEAST_SECONDS = 1.0  # MusicGen's authors leave out shorter clips
TAKE_MARK = "__"  # "p07__2.wav" is another take of prompt "p07"

_LONGEST_NOTE = 4096  # characters of JSON: codes of an audio prompt are no setting
_PEEK_SECONDS = 1e-3


@dataclass(frozen=True)
class Asked:
    """What a clip was asked to be; None and () where nothing was said.

    Args:
        text: The prompt or caption.
        tempo_bpm: A tempo, or the lowest and highest that will do.
        key: "D minor", or a mode alone: "minor".
        instruments: Each is to be heard; of "a/b" either will do.
        duration_seconds: How long it was to be.
        melody: A recording whose tune it was to follow.
        parsed: The facts were not given but found in the text.
    """

    text: str = ""
    tempo_bpm: float | tuple[float, float] | None = None
    key: str | None = None
    instruments: tuple[str, ...] = ()
    genre: str | None = None
    duration_seconds: float | None = None
    melody: Path | None = None
    parsed: bool = False

    @property
    def has_facts(self) -> bool:
        """Whether anything is asked for that the control figures judge."""
        return bool(self.tempo_bpm or self.key or self.instruments or self.genre)


@dataclass(frozen=True)
class Clip:
    """One sound to judge.

    Args:
        id: Unique within its set.
        piece: Clips of one piece are not independent of each other (excerpts of a track, takes of a prompt).
        record: How it was made, as far as the file or `record.json` beside it says.
    """

    id: str
    path: Path
    piece: str
    asked: Asked = field(default_factory=Asked)
    record: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Refused:
    """What could not be judged, and why, without a place on any disk."""

    name: str
    reason: str


@dataclass(frozen=True)
class ClipSet:
    """Clips in the order of their file or, for a folder, of their names."""

    name: str
    clips: tuple[Clip, ...]
    refused: tuple[Refused, ...] = ()

    def __len__(self) -> int:
        return len(self.clips)


def read_clips(
    source: str | Path,
    prompts: str | Path | Mapping[str, Asked] | None = None,
    name: str | None = None,
    least_seconds: float = LEAST_SECONDS,
    parse_texts: bool = True,
) -> ClipSet:
    """The clips of a folder, a manifest (or a folder with one), or one recording.

    Args:
        source: A folder of recordings, or `manifest.jsonl` of `cadenza data scan` or of composed music.
        prompts: What was asked for by id, or JSON lines of it (`read_prompts`); the takes of a folder are paired with
            them by their file names: `ID.wav`, or `ID__2.wav` and so on for more than one. By default `prompts.jsonl`
            in the folder, if there is one.
        name: What the set is called in reports; by default the name of the folder or file.
        least_seconds: Shorter clips are refused.
        parse_texts: Read facts out of texts that come without any (`Asked.parsed` then says so).

    What Cadenza wrote into its takes is read; `record.json` in a folder says how all recordings of that folder were
    made. Raises UserError where nothing is left to judge, and for a prompts file or manifest that is none.
    """
    source = Path(source).absolute()
    if not source.exists():
        raise UserError(f"{source}: no such file or folder; give a folder of recordings or a manifest.jsonl")
    if source.suffix == ".safetensors":
        raise UserError(f"{source} was measured already: load it with Measurements.load, no clips are needed")
    name = name or (source.parent.name if source.name in NAMES else source.name if source.is_dir() else source.stem)
    if prompts is None and (source / PROMPTS).is_file():
        prompts = source / PROMPTS
    if prompts is None and (source.suffix in (".jsonl", ".gz") or any((source / known).is_file() for known in NAMES)):
        found, refused = _from_manifest(source)
    else:
        found, refused = _from_folder(source)
        if prompts is not None:
            found, refused = _paired(found, refused, prompts if isinstance(prompts, Mapping) else read_prompts(prompts))
    clips, ids = [], set()
    records = _Records(source)
    for clip in found:
        reason = f"a second recording of id {clip.id!r}: the first was taken" if clip.id in ids else None
        reason, record = (reason, {}) if reason else _peek(clip.path, least_seconds)
        if reason is not None:
            refused.append(Refused(_shown(clip.path, source), reason))
            continue
        ids.add(clip.id)
        record = {**records.beside(clip.path), **clip.record, **record}
        asked = clip.asked if clip.asked.text else replace(clip.asked, text=_text_of(record))
        if parse_texts and asked.text and not asked.has_facts:
            asked = replace(asked_from_text(asked.text), duration_seconds=asked.duration_seconds, melody=asked.melody)
        clips.append(replace(clip, record=record, asked=asked))
    if not clips:
        raise UserError(f"{source}: nothing to judge{_first(refused)}; give recordings of {least_seconds:g} s or more")
    return ClipSet(name, tuple(clips), tuple(refused))


def asked_from_text(text: str) -> Asked:
    """A text and the facts that it plainly names (`evaluate.words`); nothing that is ambiguous or denied."""
    asked = Asked(text, *facts_in(text))
    return replace(asked, parsed=asked.has_facts)


# ---------------------------------------------------------------------------------------------------------- prompts


_Positive = Annotated[float, pydantic.Field(gt=0, allow_inf_nan=False)]


class _Row(pydantic.BaseModel):
    """One line of a prompts file."""

    model_config = pydantic.ConfigDict(extra="forbid", frozen=True)

    id: str = pydantic.Field(min_length=1)
    text: str = ""
    tempo_bpm: _Positive | tuple[_Positive, _Positive] | None = None
    tempo_range: tuple[_Positive, _Positive] | None = None
    key: str | None = None
    instruments: tuple[str, ...] = ()
    genre: str | None = None
    duration: _Positive | None = None
    melody: str | None = None

    def asked(self, folder: Path) -> Asked:
        """Raises ValueError for facts that contradict each other."""
        if self.tempo_range is not None and self.tempo_bpm is not None:
            raise UserError("tempo_bpm and tempo_range: give one of them")
        tempo = self.tempo_range or self.tempo_bpm
        if isinstance(tempo, tuple) and not tempo[0] < tempo[1]:
            raise UserError(f"a tempo of {tempo[0]:g} to {tempo[1]:g} bpm: give the lower number first")
        if self.key not in (None, "major", "minor"):
            parse_key(self.key)
        melody = None if self.melody is None else folder / self.melody
        if melody is not None and not melody.is_file():
            raise UserError(f"melody {self.melody}: no such file beside the prompts")
        return Asked(self.text, tempo, self.key, self.instruments, self.genre, self.duration, melody)


def read_prompts(path: str | Path) -> dict[str, Asked]:
    """What each prompt asks for, by id, in the order of the file.

    Each line is a JSON object: `id`, `text`, `tempo_bpm` (a number, or the lowest and highest that will
    do, also as `tempo_range`), `key` ("D minor", or a mode),
    `instruments` (a list; "a/b": either), `genre`, `duration` (seconds), `melody` (a recording, relative to the file);
    all but the id may be left out. Raises UserError that names the line.
    """
    path = Path(path)
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"{path}: cannot be read as prompts ({error}); give JSON lines with id and text") from error
    prompts: dict[str, Asked] = {}
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            row = _Row.model_validate(json.loads(line))
            asked = row.asked(path.parent)
        except pydantic.ValidationError as error:
            first = error.errors()[0]
            field_name = ".".join(str(part) for part in first["loc"]) or "the line"
            raise UserError(f"{path} line {number}: {field_name}: {first['msg']}; correct it") from error
        except (ValueError, RecursionError) as error:
            raise UserError(f"{path} line {number}: {error}; correct it") from error
        if row.id in prompts:
            raise UserError(f"{path} line {number}: a second prompt of id {row.id!r}; give each its own")
        prompts[row.id] = asked
    if not prompts:
        raise UserError(f"{path} holds no prompts; give JSON lines with id and text")
    return prompts


def _paired(
    found: Iterable[Clip], refused: list[Refused], prompts: Mapping[str, Asked]
) -> tuple[list[Clip], list[Refused]]:
    """Takes with what was asked for; in the order of the prompts."""
    order = {prompt: number for number, prompt in enumerate(prompts)}
    takes: list[Clip] = []
    for clip in found:
        prompt = clip.path.stem if clip.path.stem in prompts else clip.path.stem.rpartition(TAKE_MARK)[0]
        if prompt in prompts:
            takes.append(replace(clip, id=clip.path.stem, piece=prompt, asked=prompts[prompt]))
        else:
            refused.append(Refused(clip.path.name, "a take without a prompt: no id of the prompts is its name"))
    if refused and not takes:
        raise UserError(
            f"{refused[0].name}: no recording is named as a prompt is; name them {next(iter(prompts))}.wav and so on, "
            "or do without prompts (`prompts: null` in a configuration)"
        )
    takes.sort(key=lambda take: order[take.piece])
    made = {take.piece for take in takes}
    refused += [Refused(prompt, "a prompt without a take") for prompt in prompts if prompt not in made]
    return takes, refused


# -------------------------------------------------------------------------------------------------- folder, manifest


def _from_folder(source: Path) -> tuple[list[Clip], list[Refused]]:
    if source.is_file():
        return [Clip(source.stem, source, source.stem)], []
    paths, skipped = find_recordings(source)
    clips = []
    for path in map(Path, paths):
        name = path.relative_to(source).with_suffix("").as_posix()
        clips.append(Clip(name, path, name))
    return clips, [Refused(_shown(Path(item.path), source), item.reason) for item in skipped]


def _from_manifest(source: Path) -> tuple[list[Clip], list[Refused]]:
    clips: list[Clip] = []
    refused: list[Refused] = []

    def fault(number: int, reason: str) -> None:
        refused.append(Refused(f"line {number} of the manifest", f"not an entry: {reason}"))

    for entry in read_manifest(source, missing="keep", on_fault=fault):
        asked, doubts = _asked_of(entry)
        refused += [Refused(entry.id, doubt) for doubt in doubts]
        tags = entry.tags
        piece = next((str(tags[name]) for name in ("piece", "seed") if tags.get(name) is not None), entry.id)
        clips.append(Clip(entry.id, Path(entry.path), piece, asked))
    return clips, refused


def _asked_of(entry: Entry) -> tuple[Asked, list[str]]:
    """What is known about a recording, as if it had been asked for; facts that make no sense are named and left out."""
    tags, info = entry.tags, entry.info
    doubts: list[str] = []
    tempo = tags.get("tempo_bpm", info.get("bpm"))
    if tempo is not None and not (type(tempo) in (int, float) and 0 < tempo < 1e4):
        doubts.append(f"its tempo {tempo!r:.40} was not used: give bpm as a number")
        tempo = None
    key = tags.get("key", info.get("key"))
    if key not in (None, ""):
        try:
            key = parse_key(str(key)).name
        except UserError:
            doubts.append(f"its key {key!r:.40} was not used: write it like 'C minor'")
            key = None
    key = key or None
    instruments = tags.get("instruments", info.get("instrument", ()))
    if isinstance(instruments, str):
        instruments = [part.strip() for part in instruments.split(",")]
    elif instruments is not None and not isinstance(instruments, list | tuple):
        doubts.append(f"its instruments {instruments!r:.40} were not used: give a list of names")
        instruments = None
    genre = tags.get("genre", info.get("genre"))
    text = entry.captions[0] if entry.captions else str(info.get("description", ""))
    return (
        Asked(
            text,
            None if tempo is None else float(tempo),
            key,
            tuple(str(part) for part in instruments or () if part),
            None if genre is None else str(genre),
        ),
        doubts,
    )


# ------------------------------------------------------------------------------------------------------------- files


def _peek(path: Path, least_seconds: float) -> tuple[str | None, dict[str, Any]]:
    """Why a file cannot be used, as far as its header tells, else what is written in it."""
    import soundfile

    try:
        record = Audio.read(path, 0.0, _PEEK_SECONDS).metadata
        seconds = soundfile.info(str(path)).duration
    except (UserError, soundfile.SoundFileError, OSError, RuntimeError) as error:
        return reason_of(error, path), {}
    if seconds < least_seconds:
        return f"too short: {seconds:.3g} s", {}
    return None, {key: value for key, value in record.items() if len(json.dumps(value)) <= _LONGEST_NOTE}


def read_sound(path: Path, *part: float) -> Audio:
    """A recording, or a part of it like `Audio.read`; whatever is wrong with the file is a UserError."""
    try:
        return Audio.read(path, *part)
    except UserError:
        raise
    except (MemoryError, ValueError, ArithmeticError, RuntimeError) as error:  # headers that promise the impossible
        raise UserError(f"{path}: damaged: {type(error).__name__} while it was read") from error


def reason_of(error: Exception, path: Path) -> str:
    """An error of one file as a reason in a list: without its place and without the remedy of a single file."""
    return str(error).removeprefix(f"{path}: ").split("; ")[0]


class _Records:
    """`record.json` of each folder between the source and a recording, the nearest last."""

    def __init__(self, source: Path) -> None:
        self.source = source if source.is_dir() else source.parent
        self.known: dict[Path, dict[str, Any]] = {}

    def beside(self, path: Path) -> dict[str, Any]:
        folder = path.parent
        if folder not in self.known:
            self.known[folder] = self._read(folder)
        return self.known[folder]

    def _read(self, folder: Path) -> dict[str, Any]:
        outer = {}
        if folder != self.source and folder.is_relative_to(self.source):
            outer = self._read(folder.parent)
        path = folder / RECORD
        if not path.is_file():
            return outer
        try:
            value = json.loads(path.read_text(encoding="utf-8"))
        except (OSError, ValueError, RecursionError) as error:
            raise UserError(f"{path} is not JSON ({str(error).splitlines()[0]}); correct or delete it") from error
        if not isinstance(value, dict):
            raise UserError(f"{path}: give a JSON object with what the recordings were made with")
        return {**outer, **value}


def _text_of(record: Mapping[str, Any]) -> str:
    """The prompt in a record; of a timeline, all its texts."""
    text = record.get("text", "")
    if isinstance(text, str):
        return text
    if isinstance(text, Sequence):
        return ", ".join(str(part[1]) for part in text if isinstance(part, Sequence) and len(part) == 2)
    return ""


def _shown(path: Path, source: Path) -> str:
    folder = source if source.is_dir() else source.parent
    return path.relative_to(folder).as_posix() if path.is_relative_to(folder) else path.name


def _first(refused: Sequence[Refused]) -> str:
    return f" ({len(refused)} refused, the first: {refused[0].name}: {refused[0].reason})" if refused else ""
