"""Takes of several systems to clips that differ in nothing but the music: same prompts, length, rate, level, format.

In: the folders of a `ListeningConfig`. Out: prompts that every system has, and their sound, trimmed to the shortest
take of the prompt, faded, at one loudness. What could not be used is listed with its reason.

-14 LUFS is what Copet et al. (2023) listened at. True peaks stay below -1 dB and are limited by at most 6 dB: where
music has more dynamics than that, all clips of the prompt come down to the level that the softest can reach, and the
list says so, since the louder of two versions is liked better.
"""

import io
import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from cadenza.audio import Audio
from cadenza.errors import UserError
from cadenza.evaluate.clips import TAKE_MARK, ClipSet, read_clips, reason_of
from cadenza.serve.listening_config import ListeningConfig

FADE_SECONDS = (0.01, 0.1)  # in: only against a click; out: where a clip was cut
LOWPASS_HZ = 3500  # the low anchor of ITU-R BS.1534
MOST_RATE, MOST_CHANNELS = 48000, 2
_LEVEL_TOLERANCE_LU = 0.1
_AUDIBLE_LU = 1.0

Take = tuple[str, int]
"""A system and the number of its take."""


@dataclass
class Prompt:
    """One prompt and its takes by every system."""

    id: str
    text: str
    takes: dict[str, list[Path]]
    contradictory: bool = False
    """The systems say that they were asked for different things."""


@dataclass
class Matched:
    """The prompts that all systems have, and what was left out and why."""

    prompts: list[Prompt]
    left_out: list[dict[str, str]] = field(default_factory=list)


@dataclass(frozen=True)
class Prepared:
    """The clips of one prompt, by system and take, ready to be heard."""

    clips: dict[Take, Audio]
    seconds: float
    loudness_lufs: float
    notes: tuple[str, ...]
    """What was cut, and where peaks pulled the level down."""


def match(config: ListeningConfig) -> Matched:
    """Find the prompts that every system has. Raises UserError where there is none."""
    found: dict[str, dict[str, list[tuple[Path, str]]]] = {}
    left_out: list[dict[str, str]] = []
    for system, folders in config.systems.items():
        prompts: dict[str, list[tuple[Path, str]]] = {}
        for folder in folders:
            clips = read_clips(folder, config.prompts, least_seconds=config.least_seconds)
            left_out += [{"system": system, "what": one.name, "reason": one.reason} for one in clips.refused]
            for name, path, text in _named(clips):
                prompts.setdefault(name, []).append((path, text))
        found[system] = prompts
    shared = [name for name in next(iter(found.values())) if all(name in prompts for prompts in found.values())]
    if not shared:
        some = "; ".join(f"{system}: {', '.join(list(prompts)[:3])}" for system, prompts in found.items())
        raise UserError(f"no prompt that all systems have ({some}): name the takes of a prompt alike, as ID.wav")
    for system, prompts in found.items():
        lonely = [name for name in prompts if name not in set(shared)]
        left_out += [{"system": system, "what": name, "reason": "not every system has it"} for name in lonely]
    made = []
    for name in shared:
        texts = {text for prompts in found.values() for _, text in prompts[name] if text}
        takes = {system: [path for path, _ in prompts[name]] for system, prompts in found.items()}
        first = next((text for prompts in found.values() for _, text in prompts[name] if text), "")
        made.append(Prompt(name, first, takes, len(texts) > 1))
    return Matched(made, left_out)


def _named(clips: ClipSet) -> list[tuple[str, Path, str]]:
    """Id of the prompt, path and text of each take: `ID.wav`, `ID__2.wav`."""
    named = []
    for clip in clips.clips:
        stem, _, number = clip.id.rpartition(TAKE_MARK)
        named.append((stem if stem and number.isdigit() else clip.id, clip.path, clip.asked.text))
    return named


def common_format(paths: Sequence[Path], to_opus: bool) -> tuple[int, int]:
    """Sample rate and channels that hold every take: the largest of each, at most 48 kHz stereo."""
    import soundfile

    headers = [soundfile.info(str(path)) for path in paths]
    rate = MOST_RATE if to_opus else min(MOST_RATE, max(header.samplerate for header in headers))
    return rate, min(MOST_CHANNELS, max(header.channels for header in headers))


def prepare(prompt: Prompt, takes: int, rate: int, channels: int, config: ListeningConfig) -> Prepared:
    """The clips of a prompt, anchors included. Raises UserError with the reason why it cannot be heard."""
    sounds: dict[Take, Audio] = {}
    for system, paths in prompt.takes.items():
        for take, path in enumerate(paths[:takes]):
            try:
                read = Audio.read(path)
            except UserError as error:
                raise UserError(f"{system}: {reason_of(error, path)}") from error
            if not math.isfinite(read.loudness_lufs()):
                raise UserError(f"{system}: silent")
            sounds[system, take] = Audio(
                read.resample(rate).with_channels(channels).samples, rate
            )  # without its record
    lengths = {key: sound.duration_seconds for key, sound in sounds.items()}
    seconds = min((*lengths.values(), config.seconds or math.inf))
    notes = [
        f"{system}: the first {seconds:.2f} s of {length:.2f} s"
        for (system, take), length in lengths.items()
        if take == 0 and length > seconds + 0.05
    ]
    sounds = {key: _faded(sound.slice(0, seconds)) for key, sound in sounds.items()}
    clips, level, softest = matched_levels(sounds, config.loudness_lufs)
    if softest is not None:
        notes.append(f"all at {level:.1f} LUFS: the peaks of {softest[0]} allow no more")
    source = config.anchor_of or config.reference or next(iter(prompt.takes))
    for name, anchor in config.anchor_systems.items():  # what is bad on purpose pulls nobody down
        for take in [take for system, take in sounds if system == source]:
            made = _ANCHORS[anchor](sounds[source, take]).normalize(level)
            clips[name, take] = made
            if take == 0 and made.loudness_lufs() < level - _AUDIBLE_LU:
                notes.append(f"{name}: at {made.loudness_lufs():.1f} LUFS, its peaks allow no more")
    return Prepared(clips, seconds, level, tuple(notes))


def matched_levels(sounds: dict[Take, Audio], target_lufs: float) -> tuple[dict[Take, Audio], float, Take | None]:
    """All sounds at one loudness: the target, or what the softest of them (named) reaches below the peak limit."""
    made = {key: sound.normalize(target_lufs) for key, sound in sounds.items()}
    reached = {key: sound.loudness_lufs() for key, sound in made.items()}
    softest = min(reached, key=lambda key: reached[key])
    if reached[softest] >= target_lufs - _LEVEL_TOLERANCE_LU:
        return made, target_lufs, None
    level = reached[softest]
    near = level + _LEVEL_TOLERANCE_LU
    lowered = {key: made[key] if reached[key] <= near else sound.normalize(level) for key, sound in sounds.items()}
    return lowered, level, softest


def _faded(audio: Audio) -> Audio:
    samples = audio.samples.copy()
    for seconds, backwards in zip(FADE_SECONDS, (False, True), strict=True):
        size = min(round(seconds * audio.sample_rate), audio.num_samples)
        ramp = np.sin(np.linspace(0, np.pi / 2, size, dtype=np.float32)) ** 2
        if backwards:
            samples[:, audio.num_samples - size :] *= ramp[::-1]
        else:
            samples[:, :size] *= ramp
    return replace(audio, samples=samples)


def low_passed(audio: Audio) -> Audio:
    """Nothing above 3.5 kHz."""
    return _as_long(audio.resample(2 * LOWPASS_HZ).resample(audio.sample_rate), audio)


def squeezed(audio: Audio) -> Audio:
    """Through Opus at the lowest bitrate that libsndfile offers (about 5 kb/s per channel)."""
    import soundfile

    rate = 48000
    content = io.BytesIO()
    samples = np.clip(audio.resample(rate).samples, -1, 1)
    with soundfile.SoundFile(
        content, "w", rate, audio.channels, format="OGG", subtype="OPUS", compression_level=1.0
    ) as file:
        file.write(samples.T)
    content.seek(0)
    decoded, _ = soundfile.read(content, dtype="float32", always_2d=True)
    return _as_long(Audio(decoded.T, rate).resample(audio.sample_rate), audio)


def _as_long(made: Audio, model: Audio) -> Audio:
    samples = np.zeros_like(model.samples)
    size = min(made.num_samples, model.num_samples)
    samples[:, :size] = made.samples[:, :size]
    return Audio(samples, model.sample_rate)


_ANCHORS = {"lowpass": low_passed, "opus": squeezed}
