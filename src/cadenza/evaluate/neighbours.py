"""Is a take a training piece again? Takes and training music in, for every take its nearest pieces and copies out.

Copies are found by their fingerprints (`data.duplicates`), whatever was done to level, tone or format: composed music
of one genre and one set of instruments can be nearer to each other, for an ear that hears those, than a copy with the
treble turned down is to its original. What resembles without being a copy is found by two
distances, both 1 - cosine of embeddings less the mean of the training windows: of the clips' mean vectors, and of
windows side by side, averaged over the overlap at the best offset. What is near is told by a floor: how far music that
the model never saw lies from its nearest training clip. Whoever made the takes is not known here.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from jaxtyping import Bool, Float, Float32

from cadenza.data.duplicates import find_near, fingerprint
from cadenza.errors import UserError
from cadenza.evaluate.clips import ClipSet, read_sound
from cadenza.evaluate.measurements import Measurements

LEVEL = 0.01
"""Share of music that was never seen which may be called suspicious by one distance."""
FLOOR_CLIPS = 300  # of the training music itself, where none was held out
_LEAST_OVERLAP = 0.5  # of the take's windows
_AT_ONCE = 32


@dataclass(frozen=True)
class Neighbour:
    """A training clip; `offset_windows` is where in it the take begins, at the best fit."""

    clip: str
    whole: float
    aligned: float
    offset_windows: int


@dataclass(frozen=True)
class Copy:
    """The training clip that a take copies, where in it the take begins, and the share of the fingerprint's bits that
    differ: up to 0.15 for copies, 0.3 or more for other music."""

    clip: str
    offset_seconds: float
    error: float


@dataclass(frozen=True)
class Found:
    """A take with its nearest training clips.

    Args:
        whole, aligned: Distances to the nearest clip by either; not always the same one.
        whole_percentile, aligned_percentile: Share of the floor that lies as near or nearer, counting the take itself
            (so never 0): below `LEVEL` is suspicious.
        closeness: The smaller of both distances, each over the floor's median: 1 is usual.
        suspicious: It is a copy, or nearer than `level` of the floor by either distance.
    """

    take: str
    whole: float
    aligned: float
    whole_percentile: float
    aligned_percentile: float
    closeness: float
    suspicious: bool
    copy: Copy | None
    nearest: tuple[Neighbour, ...]


@dataclass(frozen=True)
class Neighbourhood:
    """All takes, copies first, then the closest, and what they were judged by."""

    found: tuple[Found, ...]
    floor: str
    floor_count: int
    floor_median: tuple[float, float]
    """Of the whole and of the aligned distance."""
    level: float

    def record(self) -> dict[str, Any]:
        return asdict(self) | {"suspicious": [one.take for one in self.found if one.suspicious]}


class TrainingMusic:
    """Embedded training clips, laid side by side so that all offsets of all clips are one matrix product.

    `most_windows`: of the longest clip that will be looked for.
    """

    def __init__(self, windows: Sequence[Float32[np.ndarray, "_ D"]], most_windows: int) -> None:
        self.mean: np.ndarray = np.concatenate(windows).astype(np.float64).mean(0)
        self.means = _unit(np.stack([self._less_mean(one).mean(0) for one in windows]))
        gap = most_windows - 1
        lengths = np.array([len(one) for one in windows])
        # A gap before each clip and one after the last: no offset of a clip reaches into another.
        self.begins = np.concatenate([[0], np.cumsum(lengths[:-1] + gap)])
        self.gap = gap
        self.rows = np.zeros((int(lengths.sum()) + gap * (len(windows) + 1), len(self.mean)), dtype=np.float32)
        self.real: Bool[np.ndarray, "R"] = np.zeros(len(self.rows), dtype=bool)
        for begin, one in zip(self.begins, windows, strict=True):
            place = slice(begin + gap, begin + gap + len(one))
            self.rows[place], self.real[place] = _unit(self._less_mean(one)), True

    def whole(self, windows: Float32[np.ndarray, "W D"]) -> Float[np.ndarray, "N"]:
        """Distance of the mean vectors to every clip."""
        cosines = self.means @ _unit(self._less_mean(windows).mean(0)[None])[0]
        distances: np.ndarray = np.maximum(1.0 - cosines, 0.0)  # rounding makes equal ones more than equal
        return distances

    def aligned(self, windows: Float32[np.ndarray, "W D"]) -> tuple[Float[np.ndarray, "N"], Float[np.ndarray, "N"]]:
        """Mean distance of windows side by side at the best offset in every clip, and that offset.

        At least half of the windows have to overlap; a clip shorter than that has distance 2, the largest there is.
        """
        count = len(windows)
        assert count <= self.gap + 1, "a longer clip than was announced"
        directions = _unit(self._less_mean(windows)).astype(np.float32)
        places = len(self.rows) - count + 1
        sums, overlaps = np.zeros(places), np.zeros(places, dtype=np.int64)
        for start in range(0, count, _AT_ONCE):  # windows of a long take times those of all training music are many
            for i, row in enumerate(directions[start : start + _AT_ONCE] @ self.rows.T, start):
                sums += row[i : i + places]
                overlaps += self.real[i : i + places]
        enough = overlaps >= max(1, int(np.ceil(_LEAST_OVERLAP * count)))
        means = np.where(enough, sums / np.maximum(overlaps, 1), -1.0)
        best = np.maximum.reduceat(means, self.begins)
        ends = [*self.begins[1:], places]
        offsets = [int(means[a:b].argmax()) - self.gap for a, b in zip(self.begins, ends, strict=True)]
        return np.maximum(1.0 - best, 0.0), np.array(offsets, dtype=np.float64)

    def _less_mean(self, windows: Float32[np.ndarray, "W D"]) -> Float[np.ndarray, "W D"]:
        centred: np.ndarray = windows.astype(np.float64) - self.mean
        return centred


def find_copies(
    takes: ClipSet, training: ClipSet, on_progress: Callable[[int, int], None] = lambda done, total: None
) -> dict[str, Copy]:
    """By the ids of takes, the training clip that each copies, if it does, for four fifths of the shorter one.

    Clips that cannot be read or last less than 0.44 s have no fingerprint, and no copies.
    """
    prints = []
    clips = (*training.clips, *takes.clips)
    for number, clip in enumerate(clips):
        on_progress(number, len(clips))
        try:
            audio = read_sound(clip.path).with_channels(1)
            prints.append(fingerprint(audio.samples[0], audio.sample_rate))
        except UserError:
            prints.append(np.zeros(0, dtype=np.uint32))
    on_progress(len(clips), len(clips))
    first = len(training)
    return {
        clips[match.item].id: Copy(clips[match.of].id, match.offset_seconds, match.error)
        for match in find_near(prints)
        if match.item >= first > match.of
    }


def find_neighbours(
    takes: Measurements,
    training: Measurements,
    embedder: str,
    held_out: Measurements | None = None,
    level: float = LEVEL,
    nearest: int = 3,
    copies: Mapping[str, Copy] | None = None,
) -> Neighbourhood:
    """For every take its nearest training clips, and whether they are nearer than music that was never seen.

    `copies` by the ids of takes, from `find_copies`, where there is sound. Without `held_out` the floor is of training
    clips themselves, their own pieces left out. Raises UserError for levels that are none, and for training music of
    one piece, that has no floor.
    """
    if not 0 < level < 1:
        raise UserError(f"level {level:g}: choose a share between 0 and 1, such as 0.01")
    known, asked = training.embeddings[embedder].windows, takes.embeddings[embedder].windows
    pieces = np.array([clip.piece for clip in training.clips])
    if held_out is None:
        step = max(1, -(-len(known) // FLOOR_CLIPS))
        floor_windows = known[::step]
        own = [pieces == piece for piece in pieces[::step]]
        source = "training clips, less their own pieces"
        if len(set(pieces.tolist())) < 2:
            raise UserError("the training music is one piece: give --held-out, music that the model never saw")
    else:
        floor_windows = held_out.embeddings[embedder].windows
        own = [np.zeros(len(known), dtype=bool)] * len(floor_windows)
        source = held_out.name
    music = TrainingMusic(known, max(len(one) for one in (*asked, *floor_windows)))
    floor = np.array(
        [
            [
                float(np.where(hidden, np.inf, distances).min())
                for distances in (music.whole(one), music.aligned(one)[0])
            ]
            for one, hidden in zip(floor_windows, own, strict=True)
        ]
    )
    medians = np.maximum(np.median(floor, axis=0), 1e-9)
    limit = max(level, 1 / (len(floor) + 1))
    found = []
    for clip, one in zip(takes.clips, asked, strict=True):
        whole, (aligned, offsets) = music.whole(one), music.aligned(one)
        closest = np.array([float(whole.min()), float(aligned.min())])
        percentiles = (1 + (floor <= closest).sum(axis=0)) / (len(floor) + 1)
        copy = (copies or {}).get(clip.id)
        order = np.argsort(np.minimum(whole / medians[0], aligned / medians[1]), kind="stable")[:nearest]
        found.append(
            Found(
                clip.id,
                whole=float(closest[0]),
                aligned=float(closest[1]),
                whole_percentile=float(percentiles[0]),
                aligned_percentile=float(percentiles[1]),
                closeness=float((closest / medians).min()),
                suspicious=copy is not None or bool(percentiles.min() <= limit),
                copy=copy,
                nearest=tuple(
                    Neighbour(training.clips[i].id, float(whole[i]), float(aligned[i]), int(offsets[i])) for i in order
                ),
            )
        )
    found.sort(key=lambda one: (1.0 if one.copy is None else one.copy.error, one.closeness, one.take))
    return Neighbourhood(tuple(found), source, len(floor), (float(medians[0]), float(medians[1])), level)


def _unit(rows: Float[np.ndarray, "W D"]) -> Float[np.ndarray, "W D"]:
    return rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-12)
