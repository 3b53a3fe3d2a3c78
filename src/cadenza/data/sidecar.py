"""What is known about a recording beside its sound: `song.json` and `song.txt` next to `song.wav`, tags, names.

In: files. Out: captions (texts that describe the recording) and cleaned fields (`data.captions.Info`). A `.json` is
audiocraft's music metadata (title, artist, key, bpm, genre, moods, keywords, description, name, instrument); `captions`
or `caption` in it count as well. Every line of a `.txt` is a caption. What cannot be used is told, never fatal.
"""

import json
import re
import zipfile
import zlib
from dataclasses import dataclass
from pathlib import Path, PurePath
from typing import Any

from cadenza.data.captions import Info, clean_info
from cadenza.errors import UserError

UNREADABLE = "unreadable metadata"


@dataclass(frozen=True)
class Sidecar:
    """What the files beside a recording say, and what in them could not be used (path and reason)."""

    captions: tuple[str, ...] = ()
    info: Info | None = None
    problems: tuple[tuple[str, str], ...] = ()


def read_sidecar(audio: str | Path, info_path: str | None = None) -> Sidecar:
    """The side-cars of an audio file, empty where there are none.

    `info_path` names the JSON instead: a path, or audiocraft's `archive.zip:inside/song.json`.
    """
    audio = Path(audio)
    problems: list[tuple[str, str]] = []
    raw: dict[str, Any] = {}
    lines: list[str] = []
    named = str(audio.with_suffix(".json")) if info_path is None else info_path
    try:
        text = _read_text(named, required=info_path is not None)
        if text is not None:
            raw = _parse(text)
    except (OSError, ValueError, KeyError, RuntimeError, zipfile.BadZipFile, zlib.error) as error:
        # RuntimeError: nested without end, an archive with a password or a compression that is unknown.
        problems.append((named, f"{UNREADABLE}: {_first_line(error)}"))
    beside = audio.with_suffix(".txt")
    try:
        lines = (_read_text(str(beside), required=False) or "").splitlines()
    except (OSError, ValueError) as error:
        problems.append((str(beside), f"unreadable caption: {_first_line(error)}"))
    info, wrong = usable_info(raw)
    problems += [(named, f"field left out: {reason}") for reason in wrong]
    told = [*lines, *_texts(raw.get("captions")), *_texts(raw.get("caption")), str(info.get("description", ""))]
    captions = tuple(dict.fromkeys(text.strip() for text in told if text.strip()))
    return Sidecar(captions, info, tuple(problems))


def usable_info(raw: dict[str, Any]) -> tuple[Info, list[str]]:
    """`clean_info` field by field: the fields that hold what they should, and why the others do not."""
    info: Info = {}
    wrong = []
    for name, value in raw.items():
        try:
            info |= clean_info({name: value})
        except UserError as error:
            wrong.append(str(error))
    return info, wrong


# ---- captions where nobody wrote any --------------------------------------------------------------------------------


def caption_from_info(info: Info) -> str | None:
    """One sentence from genre, moods, instrument, tempo and key: `Sad, calm jazz with piano at 90 bpm in A minor`.

    None where none of them is known: a title describes no sound.
    """
    moods, genre, instrument = _joined(info.get("moods")), _joined(info.get("genre")), _joined(info.get("instrument"))
    bpm, key, keywords = info.get("bpm"), _joined(info.get("key")), _joined(info.get("keywords"))
    if not any((moods, genre, instrument, bpm, key, keywords)):
        return None
    said = [word for word in (moods, genre or "music") if word]
    if instrument:
        said.append(f"with {instrument}")
    if isinstance(bpm, float | int):
        said.append(f"at {bpm:g} bpm")
    if key:
        said.append(f"in {key[0].upper()}{key[1:]}")
    sentence = " ".join(said) + (f", {keywords}" if keywords else "")
    return sentence[0].upper() + sentence[1:]


_NOISE = re.compile(
    r"\b(\d{2,3} ?kbps|\d{1,3}([.,]\d)? ?khz|(16|24|32) ?bit|final|master(ed)?|remaster(ed)?|mixdown|export(ed)?|"
    r"render(ed)?|bounce[ds]?|untitled|unknown|cop(y|ies)|official|audio|video|lyrics?|feat|ft|hq|hd|v\d+|track|tracks|wav|flac|mp3|ogg|"
    r"opus|music|data|dataset|train|valid|test|stereo|mono|part|take|clip|disc|disk|cd ?\d*)\b",
    re.IGNORECASE,
)


def caption_from_name(audio: str | PurePath, folder: str | PurePath) -> str | None:
    """What file and folder names say once numbers, underscores and words about the file itself are taken off.

    `Lo-Fi Jazz/03_-_blue_night_(final).wav` below `folder` gives `blue night, Lo-Fi Jazz`. None if nothing is left.
    """
    audio = PurePath(audio)
    within = audio.relative_to(folder) if audio.is_relative_to(folder) else PurePath(audio.name)
    # The folder that was given has a name too, and it is often the only one: `my techno loops/01.wav`.
    parents = [*within.parent.parts][::-1] or [PurePath(folder).name]
    words = [_clean_name(audio.stem), *(_clean_name(part) for part in parents)]
    return ", ".join(dict.fromkeys(word for word in words if word)) or None


def _clean_name(name: str) -> str:
    name = re.sub(r"[_.+~]+", " ", name)
    name = re.sub(r"(?<=[a-z])(?=[A-Z])", " ", name)  # BlueNight
    name = _NOISE.sub(" ", name)
    name = re.sub(r"\b\d+\b(?! ?bpm\b)", " ", name)  # track numbers, years; not a tempo
    name = re.sub(r"\b(?=\w*\d)[0-9a-fA-F]{6,}\b", " ", name)  # checksums
    name = re.sub(r"[()\[\]{}]", " ", name)
    name = re.sub(r"(?<!\w)-+|-+(?!\w)", " ", name)  # dashes between words stay: Lo-Fi
    name = re.sub(r"\s+", " ", name).strip(" -,;&")
    return name if re.search(r"[^\W\d_]{2}", name) else ""


# ---- files -----------------------------------------------------------------------------------------------------------


def _read_text(name: str, required: bool) -> str | None:
    """The text of a file or of a file inside a zip; None for one that need not be there and is not."""
    path = Path(name)
    if not path.is_file():
        archive, colon, inside = name.rpartition(":")
        if colon and Path(archive).is_file():
            with zipfile.ZipFile(archive) as packed:
                return packed.read(inside).decode("utf-8-sig")
        if not required:
            return None
    return path.read_text(encoding="utf-8-sig")


def _parse(text: str) -> dict[str, Any]:
    raw = json.loads(text)
    json.dumps(raw, ensure_ascii=False).encode()  # half a surrogate pair ("\ud800") is text that no file can hold
    if not isinstance(raw, dict):
        raise ValueError("holds no fields but a " + type(raw).__name__)
    return raw


def _texts(value: object) -> list[str]:
    if isinstance(value, str):
        return [value]
    return [text for text in value if isinstance(text, str)] if isinstance(value, list) else []


def _joined(value: str | float | tuple[str, ...] | None) -> str:
    return ", ".join(value) if isinstance(value, tuple) else "" if value is None else str(value)


def _first_line(error: Exception) -> str:
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return (str(error).splitlines() or [type(error).__name__])[0]
