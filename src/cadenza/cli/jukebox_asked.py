"""Words on the command line -> arguments of `Jukebox.generate`."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import typer

from cadenza.cli.values import number, whole_number
from cadenza.errors import UserError


def refuse(asked: dict[str, Any], why: str) -> None:
    """Raise UserError for the first option that was given."""
    for name, value in asked.items():
        if value is not None:
            raise UserError(f"{why}: leave out --{name.replace('_', '-')}")


def choices_of(asked: dict[str, Any]) -> dict[str, Any]:
    """Arguments of `Jukebox.generate`."""
    choices: dict[str, Any] = {
        name: asked[name] for name in ("duration", "total_duration", "offset", "count") if asked[name] is not None
    }
    for name in ("artist", "genre"):
        if asked[name] is not None and asked[f"{name}_id"] is not None:
            raise UserError(f"--{name} and --{name}-id: give one of them")
        ids = _ids(f"--{name}-id", asked[f"{name}_id"])
        if asked[name] is not None:
            choices[name] = asked[name]
        elif ids:
            choices[name] = _artist_ids(ids) if name == "artist" else _genre_ids(ids)
    choices |= per_level(asked["temperature"], asked["top_k"], asked["top_p"])
    text = _lyrics(asked["lyrics"], asked["lyrics_file"])
    if text is not None:
        choices["lyrics"] = text
    if asked["prompt_audio"] is not None:
        from cadenza.audio import Audio

        choices["prompt"] = Audio.read(asked["prompt_audio"], duration_seconds=asked["prompt_seconds"])
    elif asked["prompt_seconds"] is not None:
        raise UserError("--prompt-seconds is about an audio prompt: add --prompt-audio FILE, or leave it out")
    return choices


def _ids(option: str, texts: list[str] | None) -> list[tuple[str, int]]:
    """`6785` or `v3=6785`, each: the list ("" for that of the top level), and the id."""
    found = []
    for text in texts or ():
        match = re.fullmatch(r"(?:(v2|v3)=)?(\d{1,9})", text)
        if match is None:
            raise UserError(f"{option} {text!r:.40}: give a number, or the list and a number as in v3=6785")
        found.append((match[1] or "", int(match[2])))
    if len({bool(version) for version, _ in found}) > 1:
        raise UserError(f"{option}: name the list of every number or of none, as in v3=6785")
    return found


def _artist_ids(ids: list[tuple[str, int]]) -> int | dict[str, int]:
    if len({version for version, _ in ids}) < len(ids):
        raise UserError("--artist-id: one artist plays, give one number (of each list)")
    return dict(ids) if ids[0][0] else ids[0][1]


def _genre_ids(ids: list[tuple[str, int]]) -> tuple[int, ...] | dict[str, tuple[int, ...]]:
    by_list: dict[str, tuple[int, ...]] = {}
    for version, one in ids:
        by_list[version] = (*by_list.get(version, ()), one)
    return by_list.get("", by_list)


def per_level(temperature: str | None, top_k: str | None, top_p: str | None) -> dict[str, Any]:
    """`0.99`, or `0.99,0.99,0.98`: a number, or one per level."""
    chosen: dict[str, Any] = {}
    kinds: tuple[tuple[str, str | None, Callable[[str], float]], ...] = (
        ("temperature", temperature, number),
        ("top_k", top_k, whole_number),
        ("top_p", top_p, number),
    )
    for name, text, kind in kinds:
        if text is None:
            continue
        try:
            values = [kind(part) for part in text.split(",")]
        except typer.BadParameter as error:
            raise UserError(f"--{name.replace('_', '-')} {text!r:.40}: {error}") from error
        chosen[name] = values if len(values) > 1 else values[0]
    return chosen


def _lyrics(text: str | None, file: Path | None) -> str | None:
    if file is None:
        return None if text is None else text.replace("\\n", "\n")
    if text is not None:
        raise UserError("--lyrics and --lyrics-file: give one of them")
    try:
        read = file.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        reason = "it is no text in UTF-8" if isinstance(error, UnicodeDecodeError) else error.strerror
        raise UserError(f"{file}: {reason}; give a text file with lyrics") from error
    if not read.strip():
        raise UserError(f"{file} is empty: leave it out for music without words")
    return read
