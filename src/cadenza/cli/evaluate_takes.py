"""The music that a report judges: prompts to takes through the public API, and true music through a model's codec.

One take per prompt and seed, none picked, none left out. Every file appears whole; what is there and was made just so
is not made again, so that a run that was ended goes on where it stopped.
"""

import json
import os
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from cadenza.errors import UserError

if TYPE_CHECKING:
    from cadenza.audio import Audio
    from cadenza.codec.base import Codec
    from cadenza.evaluate.clips import Asked, Clip, ClipSet
    from cadenza.evaluate.report.config import SamplingConfig
    from cadenza.pipelines.musicgen import MusicGen

SEED_STEP = 100_000
"""Between the seeds of two takes of one prompt."""
Progress = Callable[[float, int], None]
"""Told how many of how many are done; a part of one counts as such."""


class Wanted(NamedTuple):
    """One take to be: its file, what is asked for and the seed that draws it."""

    prompt: str
    asked: "Asked"
    path: Path
    seed: int


class TakeMaker:
    """Takes of one model into one folder; the model is loaded when the first take is missing.

    Args:
        load: Gives the model.
        weights: SHA-256 of its weights; takes of others are made anew.
        together: Takes made at once, if they are equally long and follow no melody: none hears the others.
    """

    def __init__(
        self, load: "Callable[[], MusicGen]", weights: str, sampling: "SamplingConfig", folder: Path, together: int = 1
    ) -> None:
        self.load, self.weights, self.sampling, self.folder = load, weights, sampling, folder
        self.together = together
        self.seconds: dict[str, float] = {}
        """How long each take of this run took."""
        self._model: MusicGen | None = None

    def make(self, name: str, prompts: "Mapping[str, Asked]", progress: Progress, most: int | None = None) -> "ClipSet":
        """All takes as clips, in the order of prompts and seeds; what a model cannot do is listed as refused.

        `most`: only so many, the takes of the first seed first.
        """
        from cadenza.evaluate.clips import Clip, ClipSet, Refused

        odd = next((prompt for prompt in prompts if Path(prompt).name != prompt or prompt.startswith(".")), None)
        if odd is not None:
            raise UserError(f"prompt {odd!r}: takes are files of this name, choose one without slashes")
        self.folder.mkdir(parents=True, exist_ok=True)
        _write_prompts(self.folder / "prompts.jsonl", prompts, self.sampling.duration_seconds)
        wanted = self._wanted(prompts, most)
        found: dict[Path, dict[str, Any] | str] = {
            one.path: record for one in wanted if (record := self._kept(one)) is not None
        }
        for group in _groups([one for one in wanted if one.path not in found], self.together):
            progress(len(found), len(wanted))
            found |= self._takes(group, _share_of(progress, len(found), len(group), len(wanted)))
        clips: list[Clip] = []
        refused: list[Refused] = []
        for one in wanted:
            made = found[one.path]
            if isinstance(made, str):
                refused.append(Refused(one.path.stem, made))
            else:
                clips.append(Clip(one.path.stem, one.path, one.prompt, one.asked, made))
        if not clips:
            raise UserError(f"{name} made no take: {refused[0].reason if refused else 'there are no prompts'}")
        return ClipSet(name, tuple(clips), tuple(refused))

    def _wanted(self, prompts: "Mapping[str, Asked]", most: int | None) -> list[Wanted]:
        """All takes; of `most` the first seed's of each prompt, then the second's."""
        from cadenza.evaluate.clips import TAKE_MARK

        rounds, rest = divmod(most or 0, len(prompts) or 1)
        wanted = []
        for place, (prompt, asked) in enumerate(prompts.items(), 1):
            asked = replace(asked, duration_seconds=asked.duration_seconds or self.sampling.duration_seconds)
            count = len(self.sampling.seeds) if most is None else rounds + (place <= rest)
            for number, seed in enumerate(self.sampling.seeds[:count], 1):
                path = self.folder / f"{prompt}{'' if number == 1 else f'{TAKE_MARK}{number}'}.flac"
                wanted.append(Wanted(prompt, asked, path, SEED_STEP * seed + place))
        return wanted

    def _kept(self, one: Wanted) -> dict[str, Any] | None:
        """What a file that is there says about itself; None where it is not the take that is wanted."""
        from cadenza.audio import Audio

        if not one.path.is_file():
            return None
        try:
            record = Audio.read(one.path, 0.0, 1e-3).metadata
        except UserError:  # what somebody left there
            return None
        return _settings(record) if self._is(record, one.asked, one.seed) else None

    def _takes(
        self, group: list[Wanted], progress: Callable[[float, float], None] | None = None
    ) -> dict[Path, dict[str, Any] | str]:
        """Made and written: the record of each file, or why it cannot be. `progress` is told seconds made, and all."""
        from cadenza.audio import Audio

        if self._model is None:
            self._model = self.load()
        sampling, first = self.sampling, group[0].asked
        began = time.perf_counter()
        try:
            melody = None if first.melody is None else Audio.read(first.melody)
            texts, seeds = [one.asked.text for one in group], [one.seed for one in group]
            made = self._model.generate(
                texts[0] if len(group) == 1 else texts, duration=first.duration_seconds,
                seed=seeds[0] if len(group) == 1 else seeds, melody=melody, top_k=sampling.top_k, top_p=sampling.top_p,
                temperature=sampling.temperature, guidance=sampling.guidance,
                progress=progress,
            )  # fmt: skip
        except UserError as error:
            if len(group) == 1:
                return {group[0].path: str(error)}
            return {path: record for one in group for path, record in self._takes([one]).items()}
        spent = (time.perf_counter() - began) / len(group)
        records: dict[Path, dict[str, Any] | str] = {}
        for one, audio in zip(group, [made] if len(group) == 1 else made, strict=True):
            self.seconds[one.path.stem] = spent
            audio.write(one.path, loudness_lufs=None)  # levels are judged too
            records[one.path] = _settings(audio.metadata)
        return records

    def _is(self, record: Mapping[str, Any], asked: "Asked", seed: int) -> bool:
        """Whether a file is the take that is wanted."""
        made = record.get("generation")
        if not isinstance(made, dict):
            return False
        chosen = self.sampling.model_dump(include={"top_k", "top_p", "temperature", "guidance"}, exclude_none=True)
        wanted = {**chosen, "duration": asked.duration_seconds}
        return (
            (record.get("weights"), record.get("seed")) == (self.weights, seed)
            and _fits(record.get("text"), asked.text)
            and record.get("complete") is not False
            and self.sampling.precision in (None, record.get("precision"))
            and all(made.get(name) == value for name, value in wanted.items())
        )


def _share_of(progress: Progress, before: int, count: int, in_all: int) -> Callable[[float, float], None]:
    """What tells `progress` how far the next `count` takes are, which are made together."""
    return lambda made, whole: progress(before + count * min(1.0, made / whole), in_all)


def _fits(text: object, asked: str) -> bool:
    """Whether a record's text is what was asked; a model that reads only so many words says which."""
    return text == asked or (isinstance(text, str) and text != "" and asked.startswith(text))


def _groups(wanted: list[Wanted], size: int) -> Iterator[list[Wanted]]:
    """Runs of up to `size` takes of one length; each that follows a melody alone."""
    group: list[Wanted] = []
    for one in wanted:
        alike = group and one.asked.melody is None and group[0].asked.melody is None
        if group and not (
            alike and len(group) < size and one.asked.duration_seconds == group[0].asked.duration_seconds
        ):
            yield group
            group = []
        group.append(one)
    if group:
        yield group


def _settings(record: Mapping[str, Any]) -> dict[str, Any]:
    """Without what no setting is: the codes and features of a recording that it listened to."""
    return {name: value for name, value in record.items() if name not in ("prompt", "conditions", "batch")}


def _write_prompts(path: Path, prompts: "Mapping[str, Asked]", seconds: float) -> None:
    """So that the folder can be judged again without this run, with what was asked for (`read_clips`)."""
    from cadenza.files import atomic_file

    rows = []
    for prompt, asked in prompts.items():
        row: dict[str, Any] = {"id": prompt, "text": asked.text, "duration": asked.duration_seconds or seconds}
        if asked.tempo_bpm is not None:
            row["tempo_bpm"] = asked.tempo_bpm
        row |= {name: value for name in ("key", "genre") if (value := getattr(asked, name)) is not None}
        if asked.instruments:
            row["instruments"] = asked.instruments
        if asked.melody is not None:
            row["melody"] = os.path.relpath(asked.melody, path.parent)
        rows.append(json.dumps(row, ensure_ascii=False) + "\n")
    with atomic_file(path) as temporary:
        temporary.write_text("".join(rows), encoding="utf-8")


# ------------------------------------------------------------------------------------------------------------- ceiling


def through_codec(
    clips: "ClipSet", codec: "Codec", name: str, folder: Path, most: int, progress: Progress
) -> "ClipSet":
    """True music encoded and decoded: the best that a model which speaks these codes could do.

    `most` clips, evenly spread over the set. A file that is there is taken for what it should be: the folder is named
    after the codec's weights.
    """
    from cadenza.evaluate.clips import ClipSet, Refused

    chosen = [clips.clips[place * len(clips) // min(most, len(clips))] for place in range(min(most, len(clips)))]
    folder.mkdir(parents=True, exist_ok=True)
    made: list[Clip] = []
    refused: list[Refused] = []
    for number, clip in enumerate(chosen):
        progress(number, len(chosen))
        path = folder / f"{clip.id.replace('/', '--')}.flac"
        try:
            if not path.is_file():
                resynthesise(_read(clip), codec).write(path, loudness_lufs=None)
        except UserError as error:
            refused.append(Refused(clip.id, str(error)))
            continue
        made.append(replace(clip, path=path, record={}))
    if not made:
        raise UserError(f"{clips.name}: nothing could be passed through the codec ({refused[0].reason})")
    return ClipSet(name, tuple(made), tuple(refused))


def resynthesise(audio: "Audio", codec: "Codec") -> "Audio":
    """The sound through the codec, at the codec's rate and channels."""
    import torch

    from cadenza.audio import Audio

    audio = audio.resample(codec.sample_rate).with_channels(codec.channels)
    device = next(codec.parameters()).device
    with torch.inference_mode():
        codes = codec.encode(torch.from_numpy(audio.samples)[None].to(device))
        decoded = codec.decode(codes.codes, codes.scale)
    return Audio(decoded[0, :, : audio.num_samples].float().cpu().numpy(), codec.sample_rate)


def _read(clip: "Clip") -> "Audio":
    from cadenza.audio import Audio

    return Audio.read(clip.path)
