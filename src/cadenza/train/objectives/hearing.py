"""What a language model hears of each item of a training batch.

In: a batch, and where in the run it stands. Out: for every condition of the model a value per item, None where it is
dropped; then their features. Copet et al. (2023), section 3.1, and Rouard et al. (2024) for the style. Unlike in
audiocraft what is dropped is drawn for each item, not for the whole batch.
"""

import random
from collections.abc import Iterator, Mapping
from typing import Any, TypeGuard

import torch
from jaxtyping import Bool
from torch import Tensor

from cadenza.audio import Audio
from cadenza.conditioning.base import Conditioner, Features
from cadenza.conditioning.chroma import ChromaConfig
from cadenza.conditioning.clap import ClapConditioner, ClapConfig
from cadenza.conditioning.fuser import FusedConditions
from cadenza.conditioning.plan import Plan, PlanConditioner, PlanConfig
from cadenza.conditioning.provider import ConditionProvider, Prepared
from cadenza.conditioning.style import Style, StyleConditioner, StyleConfig
from cadenza.conditioning.text import TextConditioner, TextConfig, TextEncoder
from cadenza.data.batches import Batch
from cadenza.data.captions import Info, training_caption
from cadenza.data.melodies import chroma_of
from cadenza.errors import UserError
from cadenza.train.objective import Turn
from cadenza.train.objectives.lm_config import LMObjectiveConfig

Values = dict[str, list[object]]
"""A value per item for every condition: a sentence, features, a style; None: dropped."""


class Hearing:
    """Values of a batch for a model's conditions, and their features."""

    def __init__(self, config: LMObjectiveConfig, conditioning: ConditionProvider, encoder: TextEncoder | None) -> None:
        self.config, self.conditioning, self.text_encoder = config, conditioning, encoder
        self.kinds = dict(config.conditioning.conditioners)
        silent = [name for name, part in self.kinds.items() if type(part) not in _DROPOUT]
        if silent:
            raise UserError(f"the condition {silent[0]!r} cannot be trained here: it has no source in a token cache")

    @property
    def hears_more_than_text(self) -> bool:
        return any(not isinstance(part, TextConfig) for part in self.kinds.values())

    def drawn(self, batch: Batch, turn: Turn) -> Values:
        """For training: captions merged and thinned out, conditions dropped; a function of the turn's rows alone."""
        config = self.config
        for child in self.conditioning.children():
            if isinstance(child, StyleConditioner | ClapConditioner):
                child.generator = turn.generator  # the same in every process
        values = self.whole(batch)
        captions, infos, cached = _captions(batch), _infos(batch), self._states(batch) is not None
        for item, row in enumerate(turn.rows):
            draw = turn.draw(row)
            nothing = draw.random() < config.condition_dropout
            dropped = {kind: draw.random() < getattr(config, chance) for kind, chance in _DROPOUT.items()}
            words_for_sound = draw.random() < config.sound_text
            # Beside states of the cache nothing is drawn: CLAP then hears the caption that they were made of.
            caption = captions[item] if cached else training_caption(infos[item], config.captions, draw)
            for name, part in self.kinds.items():
                if (isinstance(part, TextConfig) and not cached) or (isinstance(part, ClapConfig) and words_for_sound):
                    values[name][item] = caption
                value = values[name][item]
                if isinstance(value, Plan):
                    values[name][item] = thinned(value, config.plan_part_dropout, draw)
                if nothing or dropped[type(part)]:
                    values[name][item] = None
        return values

    def whole(self, batch: Batch) -> Values:
        """For validation: every condition of every item, captions as they are."""
        return {name: self._values(part, batch) for name, part in self.kinds.items()}

    def text_only(self, batch: Batch) -> Values:
        """Nothing but the words, to those conditions that take some."""
        values = self.nothing(batch)
        for name, part in self.kinds.items():
            if isinstance(part, TextConfig):
                values[name] = self._values(part, batch)
            elif isinstance(part, ClapConfig):
                values[name] = list(_captions(batch))
        return values

    def nothing(self, batch: Batch) -> Values:
        """Every condition dropped."""
        return {name: [None] * len(_captions(batch)) for name in self.kinds}

    def conditions(self, batch: Batch, values: Mapping[str, list[object]]) -> FusedConditions:
        """What the language model takes.

        Style and sound hear every item, also those whose condition is dropped, and it is taken away behind them: so
        their codebooks learn from all there is, as much in every process, and a prefix keeps its length.
        """
        others = {
            name: rows for name, rows in values.items() if not _hears_all(self.conditioning.conditioner(name), batch)
        }
        prepared, taken = self.prepare(others), {}
        for name, rows in values.items():
            part = self.conditioning.conditioner(name)
            if _hears_all(part, batch):
                prepared[name] = self._everything(part, batch, rows)
                taken[name] = torch.tensor([row is None for row in rows])
        fused: FusedConditions = self.conditioning(prepared, taken)
        return fused

    def _everything(
        self, part: StyleConditioner | ClapConditioner, batch: Batch, rows: list[object]
    ) -> list[Features | None]:
        if isinstance(part, StyleConditioner):
            if not part.training:
                return part.prepare(self._styles(batch))
            assert part.extractor is not None
            device, _ = part.parameters_like()
            return [part.extractor.extract(audio, device) for audio in self._excerpt_audio(batch)]
        heard = [row if row is not None else sound for row, sound in zip(rows, self._sounds(batch), strict=True)]
        silence = torch.zeros(1, part.config.dim)
        return [silence if vector is None else vector for vector in part.prepare(heard)]

    def prepare(self, values: Mapping[str, list[object]]) -> Prepared:
        """Features. A text encoder that is trained gets its gradient."""
        prepared: Prepared = {}
        for name, rows in values.items():
            conditioner = self.conditioning.conditioner(name)
            if isinstance(conditioner, TextConditioner):
                prepared[name] = self._encoded(conditioner, rows)
            elif isinstance(conditioner, PlanConditioner):
                prepared[name] = [conditioner.window(row, 0.0) for row in conditioner.prepare(rows)]
            elif isinstance(self.kinds[name], ChromaConfig):
                null = conditioner.null()
                prepared[name] = [null if row is None else row for row in rows]  # type: ignore[misc]
            else:
                prepared[name] = conditioner.prepare(rows)
        return prepared

    def excerpts(self, batch: Batch, values: Values, frame_rate: float) -> Bool[Tensor, "B T"] | None:
        """The frames that lie in an excerpt which is heard: not to be learnt, or the model would learn to copy."""
        name = self.config.name_of(StyleConfig)
        if name is None or "excerpt" not in batch:
            return None
        codes, starts = batch["codes"], batch["excerpt_start"]
        assert isinstance(codes, Tensor)
        assert isinstance(starts, Tensor)
        seconds = self._excerpt_seconds(batch)
        frames = torch.arange(codes.shape[2], device=codes.device)
        starts = starts.to(codes.device)[:, None]
        inside = (frames >= (starts * frame_rate).floor()) & (frames < ((starts + seconds) * frame_rate).ceil())
        heard = torch.tensor([value is not None for value in values[name]], device=codes.device)
        return inside & heard[:, None]

    # ---- values of one condition -------------------------------------------------------------------------------------

    def _values(self, part: object, batch: Batch) -> list[object]:
        match part:
            case TextConfig():
                return self._states(batch) or list(_captions(batch))
            case ChromaConfig():
                return self._melodies(part, batch)
            case StyleConfig():
                return self._styles(batch)
            case PlanConfig():
                return list(batch.get("plans") or self._no_values(batch))
            case _:
                return self._sounds(batch)

    def _states(self, batch: Batch) -> list[object] | None:
        """Text states from the cache, unless the encoder that made them is itself trained."""
        states, lengths = batch.get("text"), batch.get("text_length")
        if self.config.train_text_encoder or not isinstance(states, Tensor) or not isinstance(lengths, Tensor):
            return None
        return [row[:length].float() if length else None for row, length in zip(states, lengths.tolist(), strict=True)]

    def _melodies(self, part: ChromaConfig, batch: Batch) -> list[object]:
        name = self.config.name_of(ChromaConfig)
        assert name is not None
        if "melody" not in batch:
            return self._no_values(batch)
        conditioner = self.conditioning.conditioner(name)
        classes, lengths, starts = (batch[key] for key in ("melody", "melody_frames", "start_seconds"))
        assert isinstance(classes, Tensor)
        return [
            conditioner.window(chroma_of(row[: int(length)], part.dim), float(start))
            for row, length, start in zip(classes, lengths, starts, strict=True)
        ]

    def _styles(self, batch: Batch) -> list[object]:
        """Excerpts of the recordings themselves; one that is silent has no style."""
        if "excerpt" not in batch:
            return self._no_values(batch)
        seconds = self._excerpt_seconds(batch)
        return [
            Style(clip, start_seconds=0.0, excerpt_seconds=seconds) if clip.samples.any() else None
            for clip in self._excerpt_audio(batch)
        ]

    def _excerpt_audio(self, batch: Batch) -> list[Audio]:
        waves = batch["excerpt"]
        assert isinstance(waves, Tensor)
        rate = round(waves.shape[1] / self._excerpt_seconds(batch))
        return [Audio(wave[None].cpu().numpy(), rate) for wave in waves]

    @staticmethod
    def _no_values(batch: Batch) -> list[object]:
        """Of a batch that brings nothing for a condition: it is dropped."""
        return [None] * len(_captions(batch))

    @staticmethod
    def _excerpt_seconds(batch: Batch) -> float:
        seconds = batch["excerpt_seconds"]
        assert isinstance(seconds, Tensor)
        return float(seconds[0])

    def _sounds(self, batch: Batch) -> list[object]:
        """CLAP's vectors of each window; without any, CLAP hears the words."""
        if "sound" not in batch:
            return list(_captions(batch))
        vectors = batch["sound"]
        assert isinstance(vectors, Tensor)
        return [row[None] if row.any() else None for row in vectors]

    def _encoded(self, conditioner: TextConditioner, rows: list[object]) -> list[Features | None]:
        """Captions that say nothing are dropped; rows that are states already are taken as they are."""
        sentences = [None if isinstance(row, Tensor) else conditioner.sentence(row) for row in rows]
        texts = [text for text in sentences if text is not None]
        encoded: Iterator[Features] = iter(())
        if texts:
            with torch.set_grad_enabled(torch.is_grad_enabled() and self.config.train_text_encoder):
                assert self.text_encoder is not None, "a text condition without its encoder"
                encoded = iter(self.text_encoder.encode(texts, conditioner.config.max_tokens))
        features: list[Features | None] = []
        for row, text in zip(rows, sentences, strict=True):
            features.append(row if isinstance(row, Tensor) else None if text is None else next(encoded))
        return features


_DROPOUT: dict[type, str] = {
    TextConfig: "text_dropout",
    ClapConfig: "text_dropout",
    ChromaConfig: "melody_dropout",
    StyleConfig: "style_dropout",
    PlanConfig: "plan_dropout",
}
"""The chance, of each kind of condition, that an item goes without it."""


def thinned(plan: Plan, chance: float, draw: random.Random) -> Plan:
    """A plan as people give it: each part, and each name of a list, is left open with this chance."""

    def some(names: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(name for name in names if draw.random() >= chance)

    kept = [draw.random() >= chance for _ in range(6)]
    return Plan(
        tempo_bpm=plan.tempo_bpm if kept[0] else None,
        key=plan.key if kept[1] else None,
        meter=plan.meter if kept[2] else None,
        genre=plan.genre if kept[3] else None,
        instruments=some(plan.instruments) if kept[4] else (),
        moods=some(plan.moods) if kept[5] else (),
        phase_seconds=plan.phase_seconds,
    )


def _hears_all(part: Conditioner, batch: Batch) -> TypeGuard[StyleConditioner | ClapConditioner]:
    """Whether this condition hears every item of this batch, dropped or not."""
    if isinstance(part, StyleConditioner):
        return "excerpt" in batch
    return isinstance(part, ClapConditioner) and part.training and "sound" in batch


def _captions(batch: Batch) -> list[str]:
    return [str(caption) for caption in batch["captions"]]


def _infos(batch: Batch) -> list[Info]:
    """What is known of each item, its drawn caption as the description."""
    infos: Any = batch.get("infos") or [{}] * len(_captions(batch))
    found: list[Info] = []
    for caption, info in zip(_captions(batch), infos, strict=True):
        found.append({**info, "description": caption} if caption.strip() else dict(info))
    return found
