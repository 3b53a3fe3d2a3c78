"""How the evaluator's own ear learns: clips with all that is known of them to a trained `Listener`.

In: the mel levels of clips, whole and damaged, and who plays when. Out: weights. One loop over random crops, in which
the network learns four things at once:

- who plays, in every window and in the whole crop (binary cross entropy). Crops of two clips are mixed at times: the
  union of their players plays, so that rare instruments are met in company;
- the genre (cross entropy) and which caption belongs to the crop (contrastive, Radford et al. 2021);
- from the embedding of a window alone: players, genre, and the severity of each kind of damage, so that the vectors
  which distances compare hold quality as well as music (these maps are thrown away).

Everything is a function of the seed.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float32, UInt8
from torch import Tensor, nn

from cadenza.evaluate.embedders.listener import Listener
from cadenza.evaluate.embedders.listener_network import CEILING_DB, FLOOR_DB, cut_windows, pool

LEVEL_STEP_DB = 0.4
CELLS = 4  # per window: players are known cell by cell
_HELD_BACK = 0.03  # of 0.001 to 0.1 the best ratio of damaged to whole music's distance from other whole music


@dataclass(frozen=True)
class ListenerClip:
    """A clip to learn from. `whole` and `damaged` are levels as bytes (`pack_levels`).

    `severities` says what the damaged copy suffers from; `covered` [I, cells] for how many seconds of each cell (a
    quarter of a window) an instrument sounds and `strikes` [I, cells] how many notes it begins there.
    """

    whole: UInt8[np.ndarray, "F T"]
    damaged: UInt8[np.ndarray, "F T"]
    severities: Float32[np.ndarray, "K"]
    covered: np.ndarray
    strikes: np.ndarray
    genre: int
    captions: tuple[str, ...]


@dataclass(frozen=True)
class ListenerTraining:
    """The settings of the shipped one."""

    steps: int = 3000
    batch_windows: int = 128
    crop_windows: tuple[int, ...] = (4, 8)
    learning_rate: float = 3e-3
    weight_decay: float = 0.02
    damaged_share: float = 0.35
    gap_share: float = 0.15
    filtered_share: float = 0.3
    mixed_share: float = 0.25
    word_dropout: float = 0.15
    other_captions: int = 256
    seed: int = 0


@dataclass(frozen=True)
class _Crops:
    """A batch: levels [B, W, F, T], truth per crop and window, and which crops are of one clip alone."""

    levels: Tensor
    players: Tensor
    players_by_window: Tensor
    genres: Tensor
    severities: Tensor
    alone: Tensor
    captions: list[str]
    other_captions: list[str]


def pack_levels(levels: Float32[np.ndarray, "F T"]) -> UInt8[np.ndarray, "F T"]:
    """Decibels as bytes, in steps of 0.4 dB from the floor."""
    return np.round((levels - FLOOR_DB) / LEVEL_STEP_DB).astype(np.uint8)


def unpack_levels(packed: UInt8[np.ndarray, "F T"]) -> Float32[np.ndarray, "F T"]:
    """The inverse of `pack_levels`, to 0.2 dB."""
    return packed.astype(np.float32) * np.float32(LEVEL_STEP_DB) + np.float32(FLOOR_DB)


def train_listener(
    listener: Listener,
    clips: Sequence[ListenerClip],
    settings: ListenerTraining,
    report: Callable[[int, dict[str, float]], None],
) -> None:
    """Train in place; `report(step, losses)` is called every 100 steps. The listener ends in evaluation mode."""
    torch.manual_seed(settings.seed)
    rng = np.random.default_rng(settings.seed)
    lessons = _Lessons(listener, clips[0].severities.size + 1)
    rare = _rarity(clips)
    decayed = [p for p in lessons.parameters() if p.ndim > 1]
    others = [p for p in lessons.parameters() if p.ndim <= 1]
    optimizer = torch.optim.AdamW(
        [{"params": decayed, "weight_decay": settings.weight_decay}, {"params": others, "weight_decay": 0.0}],
        lr=settings.learning_rate,
    )
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, max_lr=settings.learning_rate, total_steps=settings.steps, pct_start=0.1, cycle_momentum=False
    )
    lessons.train()
    sums: dict[str, float] = {}
    for step in range(1, settings.steps + 1):
        crops = _draw(clips, rare, settings, listener.config.window_frames, rng)
        with torch.autocast("cpu", torch.bfloat16):
            losses = lessons(crops)
        optimizer.zero_grad(set_to_none=True)
        torch.stack(list(losses.values())).sum().backward()
        nn.utils.clip_grad_norm_(lessons.parameters(), 2.0)
        optimizer.step()
        schedule.step()
        for name, value in losses.items():
            sums[name] = sums.get(name, 0.0) + float(value.detach())
        if step % 100 == 0:
            report(step, {name: value / 100 for name, value in sums.items()})
            sums = {}
    listener.eval()


@torch.inference_mode()
def whiten_embedding(listener: Listener, clips: Sequence[ListenerClip]) -> None:
    """Turn and stretch the embedding so that over whole clips all its directions vary alike, about a mean of 0.

    Distances then count every direction, not above all those that tell genres apart; what whole music does not do, such
    as hiss, stands out. Directions that hardly vary are held back: 3 % of the mean variance is added to each.
    """
    frames = listener.config.window_frames
    embedding = listener.embedding
    windows = torch.cat(
        [
            embedding(listener.network(torch.from_numpy(cut_windows(unpack_levels(clip.whole), frames))))
            for clip in clips
        ]
    ).double()
    mean = windows.mean(dim=0)
    variances, directions = torch.linalg.eigh(torch.cov(windows.T))
    stretch = directions / (variances + _HELD_BACK * variances.mean()).sqrt()
    embedding.bias.copy_((embedding.bias.double() - mean) @ stretch)
    embedding.weight.copy_(stretch.T @ embedding.weight.double())


class _Lessons(nn.Module):
    """The listener with what it needs to learn and not to hear: crops in, losses out."""

    def __init__(self, listener: Listener, num_severities: int) -> None:
        super().__init__()
        config = listener.config
        self.listener = listener
        self.from_embedding = nn.ModuleDict(
            {
                "instruments": nn.Linear(config.dim, len(config.instruments)),
                "genres": nn.Linear(config.dim, len(config.genres)),
                "severities": nn.Linear(config.dim, num_severities),
            }
        )
        self.scale = nn.Parameter(torch.tensor(2.3))

    def forward(self, crops: _Crops) -> dict[str, Tensor]:
        listener, alone = self.listener, crops.alone
        held = listener(crops.levels)
        clip = pool(held)
        embedding = listener.embedding(held)
        guessed = {name: part(embedding).float() for name, part in self.from_embedding.items()}
        windows = held.shape[1]
        genres_by_window = crops.genres[alone].repeat_interleave(windows)
        return {
            "instruments": 20 * _players(listener.instruments(clip), crops.players),
            "instruments_by_window": 10 * _players(listener.instruments(held), crops.players_by_window),
            "genres": F.cross_entropy(listener.genres(clip[alone]).float(), crops.genres[alone]),
            "embedded_instruments": 10 * _players(guessed["instruments"], crops.players_by_window),
            "embedded_genres": 0.5 * F.cross_entropy(guessed["genres"][alone].flatten(0, 1), genres_by_window),
            "embedded_severities": 5 * F.mse_loss(guessed["severities"][alone], crops.severities[alone]),
            "captions": 0.5 * self._contrast(clip[alone], crops),
        }

    def _contrast(self, clip: Tensor, crops: _Crops) -> Tensor:
        """Each crop among all captions and some of other clips, each caption among all crops."""
        own = [text for text, single in zip(crops.captions, crops.alone.tolist(), strict=True) if single]
        sound = F.normalize(self.listener.joint(clip).float(), dim=-1)
        text = F.normalize(self.listener.text([*own, *crops.other_captions]).float(), dim=-1)
        likeness = self.scale.exp().clamp(max=50.0) * sound @ text.T
        truth = torch.arange(len(own))
        return F.cross_entropy(likeness, truth) + F.cross_entropy(likeness[:, : len(own)].T, truth)


def _players(logits: Tensor, truth: Tensor) -> Tensor:
    return F.binary_cross_entropy_with_logits(logits.float(), truth)


def _rarity(clips: Sequence[ListenerClip]) -> np.ndarray:
    """The chance of each clip to be drawn: larger, by a root, with an instrument that fewer than 100 clips have."""
    plays = np.stack([clip.strikes.sum(axis=1) > 0 for clip in clips])
    count = np.maximum(plays.sum(axis=0), 1)
    weight = np.where(plays, np.sqrt(np.maximum(100.0 / count, 1.0)), 1.0).max(axis=1)
    return weight / weight.sum()


def _draw(
    clips: Sequence[ListenerClip],
    chances: np.ndarray,
    settings: ListenerTraining,
    frames: int,
    rng: np.random.Generator,
) -> _Crops:
    windows = int(rng.choice(settings.crop_windows))
    drawn = [
        _crop(clips[i], windows, frames, settings, rng)
        for i in rng.choice(len(clips), settings.batch_windows // windows, p=chances)
    ]
    alone = np.ones(len(drawn), dtype=bool)
    for index in np.flatnonzero(rng.random(len(drawn)) < settings.mixed_share):
        other = _crop(clips[int(rng.choice(len(clips), p=chances))], windows, frames, settings, rng)
        drawn[index] = _mixed(drawn[index], other, rng)
        alone[index] = False
    levels = np.stack([_offset(crop.levels, settings, rng) for crop in drawn])
    batch, bands = levels.shape[:2]
    levels = levels.reshape(batch, bands, windows, frames).transpose(0, 2, 1, 3)
    severities = np.stack([crop.severities for crop in drawn])
    others = rng.choice(len(clips), settings.other_captions)
    return _Crops(
        torch.from_numpy(np.ascontiguousarray(levels)),
        torch.from_numpy(np.stack([crop.players for crop in drawn])),
        torch.from_numpy(np.stack([crop.players_by_window for crop in drawn])),
        torch.tensor([crop.genre for crop in drawn]),
        torch.from_numpy(severities),
        torch.from_numpy(alone),
        [_thinned(crop.captions, settings, rng) for crop in drawn],
        [_thinned(clips[i].captions, settings, rng) for i in others],
    )


@dataclass(frozen=True)
class _Crop:
    levels: np.ndarray
    players: np.ndarray
    players_by_window: np.ndarray
    severities: np.ndarray
    genre: int
    captions: tuple[str, ...]


def _crop(clip: ListenerClip, windows: int, frames: int, settings: ListenerTraining, rng: np.random.Generator) -> _Crop:
    """Some windows of a clip, whole or damaged, perhaps with a gap."""
    cell = frames // CELLS
    is_damaged = rng.random() < settings.damaged_share
    packed = clip.damaged if is_damaged else clip.whole
    needed = windows * frames
    start = cell * int(rng.integers(max(0, (packed.shape[1] - needed) // cell) + 1))
    levels = unpack_levels(packed[:, start : start + needed])
    levels = np.pad(levels, ((0, 0), (0, needed - levels.shape[1])), constant_values=FLOOR_DB)
    gaps = np.zeros(needed, dtype=np.float32)
    if rng.random() < settings.gap_share:
        for _ in range(int(rng.integers(1, 4))):
            length = int(rng.integers(3, frames))
            begin = int(rng.integers(needed - length))
            gaps[begin : begin + length] = 1.0
        levels[:, gaps > 0] = FLOOR_DB
    severities = np.empty((windows, clip.severities.size + 1), dtype=np.float32)
    severities[:, :-1] = clip.severities if is_damaged else 0.0
    severities[:, -1] = gaps.reshape(windows, frames).mean(axis=1)
    cells = slice(start // cell, start // cell + windows * CELLS)
    covered, strikes = (_by_window(roll[:, cells], windows) for roll in (clip.covered, clip.strikes))
    seconds = 0.02 * frames
    by_window = (covered >= 0.15 * seconds) | (strikes >= 1)
    crop = (covered.sum(axis=0) >= 0.15 * seconds * windows) | (strikes.sum(axis=0) >= seconds * windows / 2)
    return _Crop(levels, crop.astype(np.float32), by_window.astype(np.float32), severities, clip.genre, clip.captions)


def _by_window(roll: np.ndarray, windows: int) -> np.ndarray:
    """[I, cells] to sums [W, I]; cells beyond the clip are empty."""
    padded = np.pad(roll.astype(np.float32), ((0, 0), (0, windows * CELLS - roll.shape[1])))
    return padded.reshape(roll.shape[0], windows, CELLS).sum(axis=-1).T


def _mixed(first: _Crop, second: _Crop, rng: np.random.Generator) -> _Crop:
    """Both at once, one up to 9 dB below the other: both play; genre, captions and damage say nothing any more."""
    gain = float(rng.uniform(-9.0, 9.0))
    power = 10 ** (first.levels / 10) + 10 ** ((second.levels + gain) / 10)
    levels = 10 * np.log10(power / (1 + 10 ** (gain / 10)))
    return _Crop(
        levels.astype(np.float32),
        np.maximum(first.players, second.players),
        np.maximum(first.players_by_window, second.players_by_window),
        first.severities,
        first.genre,
        first.captions,
    )


def _offset(levels: np.ndarray, settings: ListenerTraining, rng: np.random.Generator) -> np.ndarray:
    """Up to 3 dB more or less, and sometimes a smooth filter: timbre of rooms and recordings, not of instruments."""
    bands = levels.shape[0]
    curve = np.full(bands, rng.uniform(-3.0, 3.0))
    if rng.random() < settings.filtered_share:
        curve += np.interp(np.arange(bands), np.linspace(0, bands - 1, 6), rng.normal(0.0, 3.0, 6))
    moved = np.clip(levels + curve[:, None].astype(np.float32), FLOOR_DB, CEILING_DB)
    return np.where(levels <= FLOOR_DB, FLOOR_DB, moved).astype(np.float32)


def _thinned(captions: tuple[str, ...], settings: ListenerTraining, rng: np.random.Generator) -> str:
    """One of the captions, some words left out."""
    words = captions[int(rng.integers(len(captions)))].split()
    kept = [word for word in words if rng.random() >= settings.word_dropout]
    return " ".join(kept or words)
