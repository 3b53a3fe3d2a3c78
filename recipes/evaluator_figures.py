"""What the evaluator's own ear can be believed: its answers on held-out composed music, and what damage does to them.

A listener and a corpus that it has never met in, one JSON object out: every share with its 95 % interval (pieces are
resampled, since clips of one piece are not independent).
"""

import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from cadenza.audio import Audio
from cadenza.evaluate.embedders.listener import Impression, Listener
from cadenza.evaluate.frechet import frechet_distance
from cadenza.evaluate.intervals import Interval, cluster_interval, share_interval
from cadenza.evaluate.key import Key, estimate_key, mirex_score, parse_key
from cadenza.evaluate.statistics import GaussianStatistics
from cadenza.evaluate.tempo import Tempo, estimate_tempo, match_tempo
from cadenza.train.damage import add_noise, clip_peaks, low_pass, smear

Row = dict[str, Any]
DAMAGES: dict[str, tuple[Callable[..., np.ndarray], float]] = {
    # name -> (damage, severity as in cadenza.train.damage)
    "noise at 30 dB": (add_noise, 0.25),
    "noise at 20 dB": (add_noise, 0.5),
    "noise at 10 dB": (add_noise, 0.75),
    "low-pass at 8 kHz": (low_pass, 0.25),
    "low-pass at 4 kHz": (low_pass, 0.5),
    "low-pass at 2 kHz": (low_pass, 0.75),
    "clipping by 6 dB": (clip_peaks, 0.25),
    "clipping by 12 dB": (clip_peaks, 0.5),
    "smear 0.25": (smear, 0.25),
    "smear 0.5": (smear, 0.5),
}
GAPS = {"silent for 5 %": 0.05, "silent for 20 %": 0.2}
RETRIEVED = 200


def measure(listener: Listener, folder: Path, rows: Sequence[Row], progress: Callable[[str], None]) -> dict[str, Any]:
    """All figures of one corpus."""
    heard: list[Impression] = []
    for number, row in enumerate(rows, 1):
        heard.append(listener.hear(Audio.read(folder / row["path"])))
        if number % 200 == 0:
            progress(f"{number} of {len(rows)} clips heard")
    pieces = [row["seed"] for row in rows]
    return {
        "clips": len(rows),
        "pieces": len(set(pieces)),
        "hours": round(sum(row["duration"] for row in rows) / 3600, 2),
        "instruments": instrument_figures(listener, rows, heard),
        "genres": genre_figures(listener, rows, heard),
        "text": text_figures(listener, rows, heard),
        "tempo": tempo_figures(listener, folder, rows),
        "key": key_figures(listener, folder, rows),
        "damage": damage_figures(listener, folder, rows, heard, progress),
        "milliseconds_per_clip": round(1000 * _seconds_per_clip(listener, folder, rows[:20]), 1),
    }


def instrument_figures(listener: Listener, rows: Sequence[Row], heard: Sequence[Impression]) -> dict[str, Any]:
    """Average precision, and recall and precision at the thresholds, over all instruments and for each."""
    names, pieces = listener.config.instruments, np.array([row["seed"] for row in rows])
    scores = np.stack([one.instruments for one in heard])
    truth = np.array([[name in row["instruments"] for name in names] for row in rows])
    found = scores >= np.array(listener.config.thresholds, dtype=np.float32)
    each = {}
    for index, name in enumerate(names):
        true, guessed = truth[:, index], found[:, index]
        if true.any():
            each[name] = {
                "clips": int(true.sum()),
                "recall": rounded(share_interval(int((true & guessed).sum()), int(true.sum()))),
                "precision": round(float((true & guessed).sum() / max(1, guessed.sum())), 3),
                "average_precision": round(average_precision(scores[:, index], true), 3),
            }
    recall = rounded(cluster_interval(found[truth].astype(float), np.repeat(pieces, truth.sum(axis=1)).tolist()))
    precision = rounded(cluster_interval(truth[found].astype(float), np.repeat(pieces, found.sum(axis=1)).tolist()))
    return {
        "known": len(names),
        "measured": len(each),
        "recall": recall,
        "precision": precision,
        "f1": round(float(2 * (truth & found).sum() / (truth.sum() + found.sum())), 3),
        "mean_average_precision": round(float(np.mean([one["average_precision"] for one in each.values()])), 3),
        "all_stated_heard": rounded(cluster_interval((found | ~truth).all(axis=1).astype(float), pieces.tolist())),
        "each": each,
    }


def genre_figures(listener: Listener, rows: Sequence[Row], heard: Sequence[Impression]) -> dict[str, Any]:
    """How often the most probable genre is the true one, over all, among the ensembles, and for each."""
    names, pieces = listener.labels, [row["seed"] for row in rows]
    guessed = [names[int(one.genres.argmax())] for one in heard]
    right = [float(guess == row["genre"]) for guess, row in zip(guessed, rows, strict=True)]
    ensembles = [index for index, row in enumerate(rows) if row["genre"] != "solo"]
    each = {}
    for name in names:
        hits = [right[index] for index, row in enumerate(rows) if row["genre"] == name]
        if hits:
            each[name] = {"clips": len(hits), "accuracy": rounded(share_interval(sum(hits), len(hits)))}
    return {
        "known": len(names),
        "accuracy": rounded(cluster_interval(right, pieces)),
        "accuracy_without_solos": rounded(
            cluster_interval([right[i] for i in ensembles], [pieces[i] for i in ensembles])
        ),
        "each": each,
    }


def text_figures(listener: Listener, rows: Sequence[Row], heard: Sequence[Impression]) -> dict[str, Any]:
    """Finding a clip's caption among those of other pieces and the reverse, and true captions against shuffled ones."""
    rng = np.random.default_rng(0)
    by_piece = {row["seed"]: index for index, row in enumerate(rows)}
    chosen = rng.permutation(sorted(by_piece.values()))[:RETRIEVED]
    sound = np.stack([heard[index].joint for index in chosen])
    longest = [max(rows[index]["captions"], key=len) for index in chosen]
    drawn = [rows[index]["captions"][int(rng.integers(len(rows[index]["captions"])))] for index in chosen]
    figures: dict[str, Any] = {"clips": len(chosen)}
    for kind, texts in (("longest_caption", longest), ("any_caption", drawn)):
        likeness = sound @ listener.embed_text(texts).T
        own = np.diag(likeness)
        to_text, to_sound = ((likeness > own[:, None]).sum(axis=1), (likeness > own[None]).sum(axis=0))
        figures[kind] = {
            "sound_to_text": {
                f"recall_at_{k}": rounded(share_interval(int((to_text < k).sum()), len(chosen))) for k in (1, 10)
            },
            "text_to_sound": {
                f"recall_at_{k}": rounded(share_interval(int((to_sound < k).sum()), len(chosen))) for k in (1, 10)
            },
            "true_above_shuffled": round(float((own[:, None] > likeness)[~np.eye(len(own), dtype=bool)].mean()), 3),
            "cosine_true": round(float(own.mean()), 3),
            "cosine_shuffled": round(float(likeness[~np.eye(len(own), dtype=bool)].mean()), 3),
        }
    return figures


def tempo_figures(listener: Listener, folder: Path, rows: Sequence[Row]) -> dict[str, Any]:
    """Shares within 4 % of the tempo, and of it, its half or double: learnt, and as `estimate_tempo` finds it."""
    ways = {"learnt": listener.tempo, "estimated": estimate_tempo}
    return {name: _tempo_figures(way, folder, rows) for name, way in ways.items()}


def _tempo_figures(way: Callable[[Audio], Tempo], folder: Path, rows: Sequence[Row]) -> dict[str, Any]:
    matches = [match_tempo(row["tempo_bpm"], way(Audio.read(folder / row["path"])).bpm) for row in rows]
    pieces = [row["seed"] for row in rows]
    right = {"same": ("same",), "or_octave": ("same", "octave")}
    return {
        name: rounded(cluster_interval([float(match in found) for match in matches], pieces))
        for name, found in right.items()
    }


def key_figures(listener: Listener, folder: Path, rows: Sequence[Row]) -> dict[str, Any]:
    """Share of keys that are exact, and the mean MIREX score; learnt, and as `estimate_key` finds them."""
    ways = {"learnt": listener.key, "estimated": estimate_key}
    return {name: _key_figures(way, folder, rows) for name, way in ways.items()}


def _key_figures(way: Callable[[Audio], Key | None], folder: Path, rows: Sequence[Row]) -> dict[str, Any]:
    scores = [mirex_score(parse_key(row["key"]), way(Audio.read(folder / row["path"]))) for row in rows]
    pieces = [row["seed"] for row in rows]
    return {
        "same": rounded(cluster_interval([float(score == 1.0) for score in scores], pieces)),
        "mirex": rounded(cluster_interval(scores, pieces)),
    }


def damage_figures(
    listener: Listener, folder: Path, rows: Sequence[Row], heard: Sequence[Impression], progress: Callable[[str], None]
) -> dict[str, Any]:
    """Fréchet distance of clips of one half of the pieces to the other half: as they are, damaged, of one genre only.

    Beside it how well instruments and genres are still told from the damaged sound.
    """
    half = np.array([row["seed"] % 2 == 0 for row in rows])
    reference = _statistics(heard[index] for index in np.flatnonzero(half))
    others = np.flatnonzero(~half)[::2]
    figures: dict[str, Any] = {
        "undamaged": _judged(listener, reference, [rows[i] for i in others], [heard[i] for i in others])
    }
    for name in [*DAMAGES, *GAPS]:
        again = [listener.hear(_damaged(Audio.read(folder / rows[index]["path"]), name, index)) for index in others]
        figures[name] = _judged(listener, reference, [rows[i] for i in others], again)
        progress(f"{name}: {figures[name]['fad']}")
    for name in ("solo", "techno", "classical", "rock"):
        if alone := [heard[index] for index in others if rows[index]["genre"] == name]:
            figures[f"only {name}"] = {"fad": _fad(reference, alone)}
    return figures


def _damaged(audio: Audio, name: str, seed: int) -> Audio:
    samples, rng = audio.samples[0].copy(), np.random.default_rng(seed)
    if name in DAMAGES:
        make, severity = DAMAGES[name]
        return Audio(make(samples, audio.sample_rate, severity, rng), audio.sample_rate)
    length = round(0.1 * audio.sample_rate)  # gaps of a tenth of a second
    for start in rng.permutation(samples.size // length)[: round(GAPS[name] * samples.size / length)]:
        samples[start * length : (start + 1) * length] = 0.0
    return Audio(samples, audio.sample_rate)


def _judged(
    listener: Listener, reference: GaussianStatistics, rows: Sequence[Row], heard: Sequence[Impression]
) -> dict[str, float]:
    return {
        "fad": _fad(reference, heard),
        "instrument_recall": instrument_figures(listener, rows, heard)["recall"]["mean"],
        "genre_accuracy": genre_figures(listener, rows, heard)["accuracy"]["mean"],
    }


def _fad(reference: GaussianStatistics, heard: Sequence[Impression]) -> float:
    return round(frechet_distance(reference, _statistics(iter(heard))), 3)


def _statistics(heard: Iterator[Impression]) -> GaussianStatistics:
    return GaussianStatistics.of(np.concatenate([one.windows for one in heard]))


def _seconds_per_clip(listener: Listener, folder: Path, rows: Sequence[Row]) -> float:
    """Median time to hear ten seconds, features included, the file already read."""
    times = []
    for row in rows:
        audio = Audio.read(folder / row["path"], 0.0, 10.0)
        began = time.perf_counter()
        listener.hear(audio)
        times.append(time.perf_counter() - began)
    return float(np.median(times))


def average_precision(scores: np.ndarray, true: np.ndarray) -> float:
    """Mean over the true items of the precision down to each, best score first."""
    ranked = true[np.argsort(-scores, kind="stable")]
    precision = np.cumsum(ranked) / np.arange(1, ranked.size + 1)
    return float(precision[ranked].mean())


def rounded(interval: Interval) -> dict[str, float]:
    """An interval as JSON."""
    return {"mean": round(interval.mean, 3), "low": round(interval.low, 3), "high": round(interval.high, 3)}
