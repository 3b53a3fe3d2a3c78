"""What each level of a Jukebox knows: `python benchmarks/jukebox_levels.py MODEL HELDOUT --out DIR [--clips 40]`.

HELDOUT is a manifest of music that MODEL was not trained on, with the fields that its priors were trained with
(`artist`, `genre`, `start_seconds`, `piece_seconds`). Of each piece one window in the middle of a clip, per level. In
bits per code: the prior; the prior that does not know the labels; upsamplers that hear the codes above another piece; a
fixed table of frequencies, that of these very codes, so that no guess without context does better; and log2 of the
codebook. In dB: spectral convergence of each level's decode, whose codes are those of the sound. All with 95 %
intervals over pieces, and differences of the same pieces. Writes jukebox_levels.md and jukebox_levels.json; the last
line is JSON.

Dhariwal et al. 2020 (arXiv 2005.00341), section 5, gives such figures in a graph alone.
"""

import argparse
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from cadenza.cli.progress import counter
from cadenza.data.dataset import Recordings
from cadenza.data.manifest import Entry, read_manifest
from cadenza.evaluate.intervals import cluster_interval
from cadenza.files import atomic_file
from cadenza.jukebox.labels import LabelSet, Piece
from cadenza.jukebox.prior import Prior
from cadenza.jukebox.vqvae import JukeboxVQVAE
from cadenza.pipelines.jukebox import Jukebox
from cadenza.train.vqvae_losses import spectral_convergence


def one_of_each_piece(
    place: Path, count: int, seconds: float, seed: int, longest_piece: float = math.inf
) -> list[Entry]:
    """`count` recordings of different pieces, each `seconds` long at least, drawn by seed."""
    first: dict[object, Entry] = {}
    for entry in read_manifest(place):
        if entry.duration >= seconds and float(entry.tags.get("piece_seconds", entry.duration)) < longest_piece:
            first.setdefault(entry.tags.get("seed", entry.id), entry)
    order = np.random.default_rng(seed).permutation(len(first))[:count]
    entries = list(first.values())
    return [entries[number] for number in order]


def piece_of(entry: Entry, start: float, rate: int, labels: LabelSet | None) -> Piece:
    """What a prior is told of a window; a label that it does not know is unknown."""
    tags = entry.tags
    offset = round((float(tags.get("start_seconds", 0.0)) + start) * rate)
    total = round(float(tags.get("piece_seconds", entry.duration)) * rate)
    if labels is None:
        return Piece(total, offset)
    artist = labels.artists.get(str(tags.get("artist", "")).lower(), 0)
    return Piece(total, offset, artist, (labels.genres.get(str(tags.get("genre", "")).lower(), 0),))


@torch.no_grad()
def level_bits(prior: Prior, codes: Tensor, upper: Tensor | None, pieces: Sequence[Piece]) -> dict[str, list[float]]:
    """Bits per code of each item, by what the prior is told."""
    blank = [replace(piece, artist=0, genres=(0,)) for piece in pieces]
    ways: dict[str, tuple[Tensor | None, Sequence[Piece]]] = {"prior": (upper, pieces)}
    if prior.labels is not None:
        ways["no labels"] = (upper, blank)
    if upper is not None:
        ways["codes above of another piece"] = (upper.roll(1, 0), pieces)
    found: dict[str, list[float]] = {name: [] for name in ways}
    for item in range(len(codes)):
        for name, (above, told) in ways.items():
            heard = prior.conditions([told[item]], upper_codes=None if above is None else above[item : item + 1])
            found[name].append(float(prior.loss(codes[item : item + 1], heard).music[0]))
    counts = torch.bincount(codes.flatten(), minlength=prior.config.codebook_size).double()
    table = -(counts / counts.sum()).clamp_min(1e-12).log2()
    found["table of frequencies"] = [float(table[row].mean()) for row in codes]
    return found


def figures(found: Mapping[str, Sequence[float]]) -> dict[str, Any]:
    """Means and intervals, and by how much the prior is below each other row, of the same pieces."""
    names = range(len(found["prior"]))
    result: dict[str, Any] = {name: cluster_interval(values, names).record() for name, values in found.items()}
    for name in found:
        if name != "prior":
            apart = [mine - other for mine, other in zip(found["prior"], found[name], strict=True)]
            result[f"prior less {name}"] = cluster_interval(apart, names).record()
    return result


def convergences(vqvae: JukeboxVQVAE, audio: Tensor) -> dict[str, list[float]]:
    """Spectral convergence (dB) of every level's decode of each item."""
    result = {}
    for level, codes in enumerate(vqvae.encode(audio)):
        made = F.pad(vqvae.decode(codes, level), (0, audio.shape[-1] - codes.shape[1] * vqvae.hop_lengths[level]))
        ratios = spectral_convergence(made, audio).clamp_min(1e-6)
        result[f"level {level}"] = [20 * math.log10(float(ratio)) for ratio in ratios]
    return result


def measure(model: Jukebox, entries: Sequence[Entry], labels: LabelSet | None) -> dict[str, Any]:
    """All figures, by level."""
    vqvae, rate = model.vqvae, model.sample_rate
    recordings = Recordings(list(entries), rate, 1)
    result: dict[str, Any] = {"levels": {}, "clips": len(entries), "most_bits": math.log2(vqvae.codebook_size)}
    said = counter("levels")
    for done, level in enumerate(reversed(list(model.priors)), start=1):
        prior, shape = model.priors[level], model.priors.config(level)
        starts = [int((entry.duration * rate - shape.window_samples) / 2) for entry in entries]
        windows = [
            torch.from_numpy(recordings.read(item, start, shape.window_samples)) for item, start in enumerate(starts)
        ]
        audio = torch.stack(windows)
        pieces = [piece_of(entry, start / rate, rate, labels) for entry, start in zip(entries, starts, strict=True)]
        upper = None if shape.conditioner is None else vqvae.encode(audio, [level + 1])[0]
        result["levels"][str(level)] = figures(level_bits(prior, vqvae.encode(audio, [level])[0], upper, pieces))
        said(done, vqvae.num_levels)
    longest = min(round(entry.duration * rate) for entry in entries)
    whole = [torch.from_numpy(recordings.read(item, 0, longest)) for item in range(len(entries))]
    found: dict[str, list[float]] = {}
    for audio in whole:
        for name, values in convergences(vqvae, audio[None]).items():
            found.setdefault(name, []).extend(values)
    result["convergence_db"] = {
        name: cluster_interval(values, range(len(values))).record() for name, values in found.items()
    }
    for finer, coarser in zip(list(found), list(found)[1:], strict=False):
        apart = [a - b for a, b in zip(found[finer], found[coarser], strict=True)]
        result["convergence_db"][f"{finer} less {coarser}"] = cluster_interval(apart, range(len(apart))).record()
    return result


def markdown(result: Mapping[str, Any]) -> str:
    """A table of bits per code, and one of convergence."""
    lines = ["| level | told | bits per code | the prior's less that |", "|--:|---|--:|--:|"]
    for level, found in result["levels"].items():
        for name, one in found.items():
            if not name.startswith("prior less "):
                less = found.get(f"prior less {name}")
                lines.append(f"| {level} | {name} | {_shown(one)} | {'' if less is None else _shown(less)} |")
        lines.append(f"| {level} | nothing at all | {result['most_bits']:.3f} | |")
    lines += ["", "| decoded | spectral convergence, dB |", "|---|--:|"]
    lines += [f"| {name} | {_shown(one)} |" for name, one in result["convergence_db"].items()]
    return "\n".join([*lines, "", f"{result['clips']} pieces; 95 % intervals over pieces.", ""])


def _shown(one: Mapping[str, Any]) -> str:
    ends = "no interval" if one["low"] is None else f"{one['low']:.3f} to {one['high']:.3f}"
    return f"{one['mean']:.3f} ({ends})"


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure, and write it down."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=Path)
    parser.add_argument("heldout", type=Path)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--clips", type=int, default=40)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args(arguments)
    torch.set_num_threads(options.threads)
    model = Jukebox.from_pretrained(options.model, "cpu", "fp32")
    shapes = [model.priors.config(level) for level in model.priors]
    seconds = max(shape.window_samples for shape in shapes) / model.sample_rate
    longest = min((shape.timing.max_seconds for shape in shapes if shape.timing is not None), default=math.inf)
    entries = one_of_each_piece(options.heldout, options.clips, seconds, options.seed, longest)
    result = measure(model, entries, next(iter(model.labels.sets.values()), None))
    options.out.mkdir(parents=True, exist_ok=True)
    for name, text in (
        ("jukebox_levels.md", markdown(result)),
        ("jukebox_levels.json", json.dumps(result, indent=1) + "\n"),
    ):
        with atomic_file(options.out / name) as temporary:
            temporary.write_text(text, encoding="utf-8")
    print(markdown(result))
    print(json.dumps(result))


if __name__ == "__main__":
    main()
