"""The music that a report judges: prompts to takes through the public API, and true music through a model's codec.

One take per prompt and seed, none picked, none left out. Every file appears whole; what is there and was made just so
is not made again, so that a run that was ended goes on where it stopped.
"""

import json
import os
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cadenza.errors import UserError

if TYPE_CHECKING:
    from cadenza.audio import Audio
    from cadenza.codec.base import Codec
    from cadenza.evaluate.clips import Asked, Clip, ClipSet
    from cadenza.evaluate.report.config import SamplingConfig
    from cadenza.pipelines.musicgen import MusicGen

SEED_STEP = 100_000
"""Between the seeds of two takes of one prompt."""
Progress = Callable[[int, int], None]


class TakeMaker:
    """Takes of one model into one folder; the model is loaded when the first take is missing.

    Args:
        load: Gives the model.
        weights: SHA-256 of its weights; takes of others are made anew.
    """

    def __init__(self, load: "Callable[[], MusicGen]", weights: str, sampling: "SamplingConfig", folder: Path) -> None:
        self.load, self.weights, self.sampling, self.folder = load, weights, sampling, folder
        self.seconds: dict[str, float] = {}
        """How long each take of this run took."""
        self._model: MusicGen | None = None

    def make(self, name: str, prompts: "Mapping[str, Asked]", progress: Progress) -> "ClipSet":
        """All takes as clips, in the order of prompts and seeds; what a model cannot do is listed as refused."""
        from cadenza.evaluate.clips import TAKE_MARK, Clip, ClipSet, Refused

        odd = next((prompt for prompt in prompts if Path(prompt).name != prompt or prompt.startswith(".")), None)
        if odd is not None:
            raise UserError(f"prompt {odd!r}: takes are files of this name, choose one without slashes")
        clips: list[Clip] = []
        refused: list[Refused] = []
        self.folder.mkdir(parents=True, exist_ok=True)
        _write_prompts(self.folder / "prompts.jsonl", prompts, self.sampling.duration_seconds)
        total, done = len(prompts) * len(self.sampling.seeds), 0
        for place, (prompt, asked) in enumerate(prompts.items(), 1):
            asked = replace(asked, duration_seconds=asked.duration_seconds or self.sampling.duration_seconds)
            for number, seed in enumerate(self.sampling.seeds, 1):
                path = self.folder / f"{prompt}{'' if number == 1 else f'{TAKE_MARK}{number}'}.flac"
                progress(done, total)
                done += 1
                try:
                    record = self._take(path, asked, SEED_STEP * seed + place)
                except UserError as error:
                    refused.append(Refused(path.stem, str(error)))
                    continue
                clips.append(Clip(path.stem, path, prompt, asked, record))
        if not clips:
            raise UserError(f"{name} made no take: {refused[0].reason if refused else 'there are no prompts'}")
        return ClipSet(name, tuple(clips), tuple(refused))

    def _take(self, path: Path, asked: "Asked", seed: int) -> dict[str, Any]:
        """What the file says about itself, after it was made or found."""
        from cadenza.audio import Audio

        if path.is_file():
            try:
                record = Audio.read(path, 0.0, 1e-3).metadata
            except UserError:  # what somebody left there
                record = {}
            if self._is(record, asked, seed):
                return _settings(record)
        if self._model is None:
            self._model = self.load()
        melody = None if asked.melody is None else Audio.read(asked.melody)
        sampling = self.sampling
        began = time.perf_counter()
        audio = self._model.generate(
            asked.text, duration=asked.duration_seconds, seed=seed, melody=melody, top_k=sampling.top_k,
            top_p=sampling.top_p, temperature=sampling.temperature, guidance=sampling.guidance,
        )  # fmt: skip
        self.seconds[path.stem] = time.perf_counter() - began
        audio.write(path, loudness_lufs=None)  # levels are judged too
        return _settings(audio.metadata)

    def _is(self, record: Mapping[str, Any], asked: "Asked", seed: int) -> bool:
        """Whether a file is the take that is wanted."""
        made = record.get("generation")
        if not isinstance(made, dict):
            return False
        chosen = self.sampling.model_dump(include={"top_k", "top_p", "temperature", "guidance"}, exclude_none=True)
        wanted = {**chosen, "duration": asked.duration_seconds}
        return (
            (record.get("weights"), record.get("text"), record.get("seed")) == (self.weights, asked.text, seed)
            and record.get("complete") is not False
            and self.sampling.precision in (None, record.get("precision"))
            and all(made.get(name) == value for name, value in wanted.items())
        )


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
