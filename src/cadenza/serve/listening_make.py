"""From folders of takes to a test folder that needs nothing else: clips, screens, attention checks, and the key.

In: a `ListeningConfig`. Out: `clips/` under random names, `test.json` (what the server knows), `key.json` (who is who,
and what was done to each clip; never sent). The same settings, seed and takes give the same bytes (of Opus the same
sound: its container draws a number for each file).
"""

import hashlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np

from cadenza.audio import Audio
from cadenza.errors import UserError
from cadenza.files import atomic_directory
from cadenza.serve.listening_checks import BEEPS, INSTRUCTION, POINTS_PER_BEEP, beeping, calibration, ruined
from cadenza.serve.listening_clips import Matched, Prompt, common_format, match, prepare
from cadenza.serve.listening_config import QUESTIONS, ListeningConfig
from cadenza.serve.listening_design import CLIPS, KEY, Block, Design, Screen, Section, write_json

Progress = Callable[[int, int], None]
_SCREENS = 3  # attention checks that are made for a question of groups or pairs


@dataclass(frozen=True)
class Made:
    """What a test holds, and what whoever made it should know."""

    folder: Path
    design: Design
    prompts: int
    systems: tuple[str, ...]
    left_out: list[dict[str, str]]
    notes: list[dict[str, str]]


@dataclass
class _Writer:
    """Writes clips under names that tell nothing, and remembers how long they sound."""

    folder: Path
    suffix: str
    seed: int
    seconds: dict[str, float] = field(default_factory=dict)

    def write(self, audio: Audio) -> str:
        """The name: a hash, so that it follows from the sound and the seed and nobody can read anything from it."""
        digest = hashlib.sha256(f"{self.seed} {len(self.seconds)} ".encode() + audio.samples.tobytes())
        name = digest.hexdigest()[:20]
        audio.write(self.folder / f"{name}{self.suffix}", None)
        self.seconds[name] = round(audio.duration_seconds, 3)
        return name


def make_test(config: ListeningConfig, out: str | Path, progress: Progress = lambda done, total: None) -> Made:
    """Make the folder `out`. Raises UserError where it is taken, or where nothing is left to compare."""
    out = Path(out)
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise UserError(f"{out} is there already: a listening test is never overwritten, choose another --out")
    matched = match(config)
    random = np.random.default_rng(config.seed)
    if config.most_prompts is not None and config.most_prompts < len(matched.prompts):
        drawn = sorted(random.choice(len(matched.prompts), config.most_prompts, replace=False))
        matched.prompts = [matched.prompts[number] for number in drawn]
    with atomic_directory(out) as folder:
        (folder / CLIPS).mkdir()
        writer = _Writer(folder / CLIPS, f".{config.format}", config.seed)
        return _Maker(config, matched, writer, random).make(folder, out, progress)


class _Maker:
    def __init__(self, config: ListeningConfig, matched: Matched, writer: _Writer, random: np.random.Generator) -> None:
        self.config, self.matched, self.writer, self.random = config, matched, writer, random
        names = [*config.systems, *config.anchor_systems]
        self.systems = [names[number] for number in random.permutation(len(names))]  # their order tells nothing
        fewest = min(len(takes) for prompt in matched.prompts for takes in prompt.takes.values())
        self.takes = min(fewest, config.diversity_clips) if "diversity" in config.protocols else 1
        self.clips: dict[str, dict[tuple[str, int], str]] = {}  # prompt -> system and take -> name
        self.key: dict[str, Any] = {}
        self.notes: list[dict[str, str]] = []
        self.kept: list[Prompt] = []
        self.sample: Audio | None = None
        """One clip, from which the checks are made."""

    def make(self, folder: Path, out: Path, progress: Progress) -> Made:
        levels = self._write_clips(progress)
        config = self.config
        assert self.sample is not None, "clips were written"
        noise = calibration(self.sample.sample_rate, self.random).normalize(config.loudness_lufs)
        volume = self.writer.write(noise)
        sections = tuple(self._section(protocol) for protocol in config.protocols)
        design = Design(
            title=config.title,
            welcome=config.welcome,
            consent=config.consent,
            calibration=volume,
            seconds=self.writer.seconds,
            suffix=self.writer.suffix,
            ratings_per_item=config.ratings_per_item,
            screens_per_listener=config.screens_per_listener,
            training_screens=config.training_screens,
            checks=config.checks,
            least_heard=config.least_heard,
            seed=config.seed,
            sections=sections,
        ).identified()
        design.write(folder)
        key = {
            "test": design.id,
            "systems": [*config.systems, *config.anchor_systems],
            "reference": config.reference,
            "reference_least": config.reference_least,
            "failures_allowed": config.failures_allowed,
            "least_correlation": config.least_correlation,
            "least_heard": config.least_heard,
            "ratings_per_item": config.ratings_per_item,
            "published": [figure.model_dump() for figure in config.published],
            "screens": self.key,
            "clips": {name: [prompt, *take] for prompt, clips in self.clips.items() for take, name in clips.items()},
            "levels_lufs": levels,
            "notes": self.notes,
            "left_out": self.matched.left_out,
        }
        write_json(folder / KEY, key)
        return Made(out, design, len(self.kept), tuple(self.systems), self.matched.left_out, self.notes)

    def _write_clips(self, progress: Progress) -> dict[str, float]:
        """Every clip of every prompt; returns the level of each prompt."""
        prompts, config = self.matched.prompts, self.config
        paths = [path for prompt in prompts for takes in prompt.takes.values() for path in takes[: self.takes]]
        rate, channels = common_format(paths, config.format == "opus")
        levels = {}
        for number, prompt in enumerate(prompts):
            progress(number, len(prompts))
            try:
                prepared = prepare(prompt, self.takes, rate, channels, config)
            except UserError as error:
                self.matched.left_out.append({"system": "all", "what": prompt.id, "reason": str(error)})
                continue
            order = sorted(prepared.clips)
            keys = [order[i] for i in self.random.permutation(len(order))]
            self.clips[prompt.id] = {key: self.writer.write(prepared.clips[key]) for key in keys}
            self.notes += [{"prompt": prompt.id, "note": note} for note in prepared.notes]
            levels[prompt.id] = round(prepared.loudness_lufs, 2)
            self.kept.append(prompt)
            if self.sample is None:
                self.sample = prepared.clips[min(prepared.clips)]
        progress(len(prompts), len(prompts))
        if not self.kept:
            first = self.matched.left_out[-1]
            raise UserError(f"no prompt can be heard by all systems (the last: {first['what']}: {first['reason']})")
        return levels

    # ------------------------------------------------------------------------------------------------------- screens

    def _section(self, protocol: str) -> Section:
        question = QUESTIONS[protocol]
        if question.kind == "pair":
            blocks = list(self._pairs())
        elif question.kind == "group":
            blocks = list(self._groups(protocol))
        else:
            blocks = list(self._singles(protocol, question.shows_text))
        if not blocks:
            raise UserError(
                f"{protocol} shows the text, and no take says what it was asked for: give prompts (JSON lines with id "
                "and text)"
                if question.shows_text
                else f"{protocol} compares {self.config.diversity_clips} clips and there are {len(self.kept)} prompts: "
                "give more prompts, or several takes of each (ID__2.wav)"
            )
        text = self.config.questions.get(protocol, question.text)
        checks = tuple(self._checks(protocol, question.kind, len(blocks[0].screens[0].clips)))
        if checks and question.kind == "rating":
            text = f"{text} {INSTRUCTION}"
        return Section(
            protocol=protocol,
            kind=question.kind,
            title=question.title,
            question=text,
            low=question.low,
            high=question.high,
            shows_text=question.shows_text,
            blocks=tuple(blocks),
            checks=checks,
        )

    def _singles(self, protocol: str, shows_text: bool) -> Iterable[Block]:
        for prompt in self.kept:
            if shows_text and (prompt.contradictory or not prompt.text):
                reason = "the systems were asked for different things" if prompt.contradictory else "no text"
                self.matched.left_out.append({"system": "all", "what": f"{prompt.id} ({protocol})", "reason": reason})
                continue
            clips = self.clips[prompt.id]
            screens = [
                self._screen(protocol, (clips[system, 0],), prompt=prompt.id, system=system) for system in self.systems
            ]
            yield Block(text=prompt.text if shows_text else "", screens=tuple(screens))

    def _groups(self, protocol: str) -> Iterable[Block]:
        """Several takes of one prompt where every system has them, else the same few prompts by every system."""
        if self.takes > 1:
            groups = [[(prompt.id, take) for take in range(self.takes)] for prompt in self.kept]
        else:
            order = [self.kept[number].id for number in self.random.permutation(len(self.kept))]
            size = self.config.diversity_clips
            groups = [[(name, 0) for name in order[i : i + size]] for i in range(0, len(order) - size + 1, size)]
        for group in groups:
            name = "+".join(dict.fromkeys(prompt for prompt, _ in group))
            screens = []
            for system in self.systems:
                clips = tuple(self.clips[prompt][system, take] for prompt, take in group)
                screens.append(self._screen(protocol, clips, prompt=name, system=system))
            yield Block(text="", screens=tuple(screens))

    def _pairs(self) -> Iterable[Block]:
        for prompt in self.kept:
            clips = self.clips[prompt.id]
            for pair in combinations(self.systems, 2):
                names = (clips[pair[0], 0], clips[pair[1], 0])
                screen = self._screen("pairs", names, prompt=prompt.id, systems=list(pair))
                text = "" if prompt.contradictory else prompt.text
                yield Block(text=text, screens=(screen,))

    def _checks(self, protocol: str, kind: str, size: int) -> Iterable[Screen]:
        """Screens that look like those of the section, with `size` clips."""
        if not self.config.checks:
            return
        assert self.sample is not None, "clips were written"
        sample, level = self.sample, self.config.loudness_lufs
        if kind == "rating":
            for count in self.random.permutation(list(BEEPS)):
                name = self.writer.write(beeping(sample, int(count)))
                yield self._screen(protocol, (name,), check="beeps", expected=int(count) * POINTS_PER_BEEP)
        elif kind == "group":
            for _ in range(_SCREENS):
                names = tuple(self.writer.write(sample) for _ in range(size))
                yield self._screen(protocol, names, check="alike", expected=1)
        else:
            same = (self.writer.write(sample), self.writer.write(sample))
            yield self._screen(protocol, same, check="same", expected=0)
            for _ in range(_SCREENS - 1):
                names = (self.writer.write(sample), self.writer.write(ruined(sample, self.random).normalize(level)))
                yield self._screen(protocol, names, check="ruined", expected=-1)

    def _screen(self, protocol: str, clips: tuple[str, ...], **known: object) -> Screen:
        """A screen, and in the key who sounds on it."""
        screen = Screen(id=f"{protocol}-{len(self.key)}", clips=clips)
        self.key[screen.id] = {"protocol": protocol, **known}
        return screen
