"""The codec's ladder: `python benchmarks/ladder.py CORPUS --out DIR [--codec DIR ...] [--clips 60] [--opus 6,8,12]`.

CORPUS is a manifest of composed music that no codec here was trained on. Every coder hears the same clips, one of each
piece: the codec with one codebook, two and so on, further codecs (`--codec`, as many as wanted), Opus, and nothing at
all ("original"). Figures: those of `cadenza evaluate codec`; what the evaluator's ear still hears of each clip's key,
instruments, genre and tempo; the Fréchet distance of the sounds to other pieces; holes, which are loud frames that come
back more than 20 dB softer. Writes ladder.md, ladder.png and ladder.json. The last line is JSON.
"""

import argparse
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float32

from cadenza.audio import Audio
from cadenza.cli.progress import counter
from cadenza.evaluate.clips import Clip, ClipSet, read_clips, read_sound
from cadenza.evaluate.codec_quality import Coded, Coder, NeuralCoder, OpusCoder, Trial, hold_trial
from cadenza.evaluate.control import control_scores
from cadenza.evaluate.embedders.listener import Listener
from cadenza.evaluate.fidelity import FRAME_SECONDS
from cadenza.evaluate.frechet import frechet_distance
from cadenza.evaluate.hearing import hear
from cadenza.evaluate.statistics import GaussianStatistics
from cadenza.files import atomic_file
from cadenza.loading import load_codec

HEARD = {"key, MIREX": "key", "instruments": "instruments", "genre": "genre", "tempo or its octave": "tempo"}
"""Scores of `evaluate.control`, and what the table calls them."""
LOUDNESS_LUFS = -14.0  # of what the ear hears, as in reports
LOUD_DB = -6.0  # of a frame, relative to the clip's mean power
HOLE_DB = -20.0
SECONDS = 10.0


class Original:
    """No coder: what the figures are of the sound itself."""

    name = "original"
    most_delay_seconds = 0.0

    def code(self, audio: Audio, clip: Clip) -> Coded:
        return Coded(audio, None)


class Hearing:
    """Listens to what each coder made; given to the trial as `keep`."""

    def __init__(self) -> None:
        self.ear = Listener.embedded()
        self.scores: dict[str, dict[str, list[float]]] = {}
        self.windows: dict[str, list[np.ndarray]] = {}
        self.holes: dict[str, list[int]] = {}
        self._originals: dict[str, Float32[np.ndarray, "C N"]] = {}

    def keep(self, clip: Clip, coder: str, audio: Audio) -> None:
        """The original comes first."""
        original = self._originals.setdefault(clip.id, audio.samples)
        self.holes.setdefault(coder, []).append(holes(audio.samples, original, audio.sample_rate))
        levelled = audio.normalize(LOUDNESS_LUFS)
        self.windows.setdefault(coder, []).append(self.ear.embed(levelled))
        found = control_scores(clip.asked, hear(audio, self.ear, levelled))
        for name, shown in HEARD.items():
            self.scores.setdefault(coder, {}).setdefault(shown, []).extend(found.get(name, []))

    def figures(self, coder: str, reference: GaussianStatistics) -> dict[str, float]:
        """Means of what was heard, the distance, and how many clips have holes."""
        windows = GaussianStatistics.of_pieces(self.windows[coder], self.ear.identity)
        means = {name: float(np.mean(values)) for name, values in self.scores[coder].items() if values}
        return means | {
            "fad": frechet_distance(windows, reference),
            "hole_frames": float(np.sum(self.holes[coder])),
            "clips_with_holes": float(np.count_nonzero(self.holes[coder])),
        }


def holes(made: Float32[np.ndarray, "C N"], original: Float32[np.ndarray, "C N"], sample_rate: int) -> int:
    """How many loud frames of 20 ms lost more than 20 dB."""
    size = round(FRAME_SECONDS * sample_rate)
    count = min(made.shape[1], original.shape[1]) // size
    x, y = (
        np.square(samples[:, : count * size].astype(np.float64)).mean(0).reshape(count, size).mean(1)
        for samples in (made, original)
    )
    loud = y > y.mean() * 10 ** (LOUD_DB / 10)
    return int(np.count_nonzero(loud & (x < y * 10 ** (HOLE_DB / 10))))


def one_of_each_piece(clips: ClipSet, count: int, seed: int) -> tuple[ClipSet, list[Clip]]:
    """`count` clips of different pieces, and as many of others for the reference, drawn by seed."""
    first: dict[str, Clip] = {}
    for clip in clips.clips:
        first.setdefault(clip.piece, clip)
    order = np.random.default_rng(seed).permutation(len(first))
    chosen = [list(first.values())[number] for number in order]
    return replace(clips, clips=tuple(chosen[:count])), chosen[count : 2 * count]


def markdown(trial: Trial, heard: dict[str, dict[str, float]]) -> str:
    """A row per coder."""
    names = [*HEARD.values()]
    heads = ["", "kbit/s", "SI-SDR, dB", "mel distance", *names, "FAD", "drop-outs", "clips with holes"]
    lines = ["| " + " | ".join(heads) + " |", "|---" * len(heads) + "|"]
    for coder in trial.results:
        found, kbps = heard[coder], trial.kbps(coder)
        cells = [coder, "" if kbps is None else f"{kbps.mean:.2f}"]
        if coder == Original.name:
            cells += ["", ""]
        else:
            cells += [
                f"{trial.interval(coder, 'si_sdr_db').mean:.1f}",
                format(trial.interval(coder, "mel_distance"), ".2f"),
            ]
        cells += [f"{found[name]:.2f}" if name in found else "" for name in names]
        cells += [f"{found['fad']:.2f}", f"{trial.interval(coder, 'dropout_share').mean:.2%}"]
        lines.append("| " + " | ".join([*cells, f"{found['clips_with_holes']:.0f}"]) + " |")
    pieces = len(set(trial.pieces))
    return "\n".join(
        [*lines, "", f"{len(trial.ids)} clips of {pieces} pieces, {SECONDS:g} s each; 95 % intervals over pieces.", ""]
    )


def draw(trial: Trial, path: Path) -> None:
    """Mel distance over rate: the codec's rungs as a line, Opus as another, other codecs as points."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6.0, 3.6), dpi=110, layout="constrained")
    axes = figure.add_subplot()
    lines: dict[str, list[tuple[float, float]]] = {}
    for coder in trial.results:
        kbps = trial.kbps(coder)
        if kbps is not None:
            family = "Opus" if coder.startswith("opus") else "Cadenza" if coder.startswith("codec") else coder
            lines.setdefault(family, []).append((kbps.mean, trial.interval(coder, "mel_distance").mean))
    for family, points in lines.items():
        axes.plot(*zip(*sorted(points), strict=True), marker="o", label=family)
    axes.set(xscale="log", xlabel="kbit/s", ylabel="mel distance (lower is better)", ylim=(0, None))
    ticks = [1, 2, 4, 8, 16, 24]
    axes.set_xticks(ticks, [str(tick) for tick in ticks])
    axes.minorticks_off()
    axes.grid(alpha=0.3)
    axes.legend()
    figure.savefig(path, format="png", metadata={"Software": None})


def main(arguments: list[str] | None = None) -> None:
    """Hold the trial and write it down."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("corpus", type=Path)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--codec", action="append", default=[], help="directory or name; the first climbs the ladder")
    parser.add_argument("--opus", default="6,8,12,16,24", help="kbit/s; empty: none")
    parser.add_argument("--rungs", default="1,2,3", help="codebooks of the first codec beside all of them; empty: none")
    parser.add_argument("--clips", type=int, default=60)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args(arguments)
    torch.set_num_threads(options.threads)
    main_codec, *others = [load_codec(name, "cpu") for name in options.codec or [None]]
    coders: list[Coder] = [Original(), NeuralCoder(main_codec)]
    coders += [NeuralCoder(main_codec, int(rung)) for rung in options.rungs.split(",") if rung]
    for name, other in zip(options.codec[1:], others, strict=True):
        coder = NeuralCoder(other)
        coder.name = name
        coders.append(coder)
    coders += [OpusCoder(float(rate)) for rate in options.opus.split(",") if rate]
    clips, rest = one_of_each_piece(read_clips(options.corpus), options.clips, options.seed)
    hearing = Hearing()
    trial = hold_trial(clips, coders, main_codec.sample_rate, 1, SECONDS, counter("clips"), hearing.keep)
    embeddings = [hearing.ear.embed(read_sound(clip.path, 0.0, SECONDS).normalize(LOUDNESS_LUFS)) for clip in rest]
    reference = GaussianStatistics.of_pieces(embeddings, hearing.ear.identity)
    heard = {coder.name: hearing.figures(coder.name, reference) for coder in coders}
    table = markdown(trial, heard)
    record: dict[str, Any] = trial.record() | {"heard": heard}
    options.out.mkdir(parents=True, exist_ok=True)
    for name, text in (("ladder.md", table), ("ladder.json", json.dumps(record, indent=1) + "\n")):
        with atomic_file(options.out / name) as temporary:
            temporary.write_text(text, encoding="utf-8")
    with atomic_file(options.out / "ladder.png") as temporary:
        draw(trial, temporary)
    print(table)
    print(json.dumps({"clips": len(trial.ids), "heard": heard}))


if __name__ == "__main__":
    main()
