"""The comparisons of Jukebox' VQ-VAE: `python benchmarks/jukebox_vqvae.py CORPUS HELDOUT --out DIR [--model NAME=DIR]`.

Dhariwal et al. 2020 (arXiv 2005.00341), section 3: with and without the spectral loss, with and without restarts, an
autoencoder of its own for each level or one for all. Each variant is `recipes/jukebox_vqvae.py:one_thread` in a smaller
shape, trained on CORPUS for the same number of updates; `--model` adds VQ-VAEs that were trained elsewhere, and Opus
stands beside them. All hear the same clips of HELDOUT, one of each piece. Figures: spectral convergence (dB; smaller is
better) of each level decoded on its own, the entropy of its codes (bits), the share of its entries that is used, kbit/s
as the codes are and as an entropy coder would store them. Intervals are over pieces; differences are of the same clips.

Writes jukebox_vqvae.md and jukebox_vqvae.json; the same command goes on where it was ended. The last line is JSON.
"""

import argparse
import json
import math
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from cadenza.audio import Audio
from cadenza.cli.progress import counter
from cadenza.evaluate.clips import Clip, read_clips, read_sound
from cadenza.evaluate.codec_quality import Coder, NeuralCoder, OpusCoder
from cadenza.evaluate.intervals import Interval, cluster_interval
from cadenza.files import atomic_file
from cadenza.jukebox.level import VQVAELevel
from cadenza.jukebox.vqvae import JukeboxVQVAE
from cadenza.train.run import build, read_recipe
from cadenza.train.snapshot import last_snapshot
from cadenza.train.vqvae_losses import spectral_convergence
from ladder import one_of_each_piece

RECIPE = Path(__file__).parents[1] / "recipes" / "jukebox_vqvae.py"
FULL = "as published"
VARIANTS: dict[str, tuple[str, ...]] = {
    FULL: (),
    "no spectral loss": ("objective.weights.multispectral=0.0",),
    "no restarts": ("objective.codebooks.restarts=false",),
    "shared autoencoder": ("objective.vqvae.layout=shared",),
}
SHAPE = ("objective.vqvae.widths=[32, 32, 32]", "objective.vqvae.depths=[2, 2, 2]")
SECONDS = 10.0  # of each clip
LOWEST = 1e-6  # of a ratio: -120 dB


@dataclass
class Row:
    """One coder's figures on every clip."""

    name: str
    coder: Coder
    level: int | None
    decibels: list[float]
    kbps: list[float]


def train(corpus: Path, folder: Path, changes: Sequence[str], updates: int, threads: int) -> JukeboxVQVAE:
    """A variant, trained in `folder` or found there. SystemExit if it is asked to end before it is done."""
    told = [f"data={corpus}", f"steps={updates}", f"threads={threads}", "sample_prompts=0", "validate_every=0"]
    config = read_recipe(f"{RECIPE}:one_thread", [*told, *SHAPE, *changes])
    trainer = build(config, folder)
    trainer.resume()
    trainer.run()
    found = last_snapshot(trainer.snapshots)
    if trainer.step < updates or found is None:
        sys.exit("interrupted: the same command goes on")
    return JukeboxVQVAE.from_pretrained(found / "model")


def rows_of(models: Mapping[str, JukeboxVQVAE], opus: Sequence[float]) -> list[Row]:
    """A row per level of each model, then one per rate of Opus."""
    rows = [
        Row(name, NeuralCoder(VQVAELevel(model, level)), level, [], [])
        for name, model in models.items()
        for level in range(model.num_levels)
    ]
    return rows + [Row(f"Opus, {rate:g}", OpusCoder(rate), None, [], []) for rate in opus]


def hear(rows: Sequence[Row], clip: Clip, sample_rate: int) -> None:
    """One clip through every coder."""
    sound = read_sound(clip.path, 0.0, SECONDS)
    mono = Audio(sound.samples.mean(0, keepdims=True), sound.sample_rate).resample(sample_rate)
    original = torch.from_numpy(mono.samples)[None]
    for row in rows:
        made = row.coder.code(mono, clip)
        ratio = float(spectral_convergence(torch.from_numpy(made.audio.samples)[None], original))
        row.decibels.append(20 * math.log10(max(ratio, LOWEST)))
        assert made.kbps is not None
        row.kbps.append(made.kbps)


def record(row: Row, full: Row | None, pieces: Sequence[str]) -> dict[str, Any]:
    """Figures of a row; `full` is the published variant at the same level."""
    found: dict[str, Any] = {"name": row.name, "level": row.level}
    found["convergence_db"] = cluster_interval(row.decibels, pieces).record()
    found["kbps"] = sum(row.kbps) / len(row.kbps)
    if full is not None and full is not row:
        apart = [mine - others for mine, others in zip(row.decibels, full.decibels, strict=True)]
        found["over_published_db"] = cluster_interval(apart, pieces).record()
    if isinstance(row.coder, NeuralCoder):
        use, codec = row.coder.counts.uses()[0], row.coder.codec
        found |= {"entropy_bits": use.entropy_bits, "used": use.usage, "most_bits": math.log2(codec.codebook_size)}
        found |= {"hop": codec.hop_length, "entropy_kbps": row.coder.counts.entropy_kbps(codec.frame_rate)}
    return found


def markdown(records: Sequence[Mapping[str, Any]]) -> str:
    """A line per row."""
    heads = ["", "hop", "kbit/s", "as entropy", "spectral convergence, dB", "over as published, dB"]
    heads += ["entropy, bits", "entries used"]
    lines = ["| " + " | ".join(heads) + " |", "|---" + "|--:" * (len(heads) - 1) + "|"]
    for one in records:
        coded = "entropy_bits" in one
        cells = [one["name"], str(one["hop"]) if coded else "", f"{one['kbps']:.2f}"]
        cells += [f"{one['entropy_kbps']:.2f}" if coded else "", _shown(one["convergence_db"])]
        cells.append(_shown(one["over_published_db"]) if "over_published_db" in one else "")
        cells += [f"{one['entropy_bits']:.2f} of {one['most_bits']:g}", f"{one['used']:.0%}"] if coded else ["", ""]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


def _shown(interval: Mapping[str, Any]) -> str:
    low, high = (math.inf if interval[end] is None else interval[end] for end in ("low", "high"))
    return format(Interval(interval["mean"], low, high, interval["count"]), ".1f")


def main(arguments: Sequence[str] | None = None) -> None:
    """Train the variants, measure everything, write it down."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("corpus", type=Path, help="manifest of the music to learn from")
    parser.add_argument("heldout", type=Path, help="manifest of other music")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--updates", type=int, default=300, help="of each variant")
    parser.add_argument("--set", dest="changes", action="append", default=[], metavar="NAME=VALUE", help="for all")
    parser.add_argument("--model", action="append", default=[], metavar="NAME=DIR", help="a trained VQ-VAE")
    parser.add_argument("--opus", default="6,8,12,18", help="kbit/s; empty: none")
    parser.add_argument("--clips", type=int, default=40)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args(arguments)
    torch.set_num_threads(options.threads)
    models = {
        name: train(
            options.corpus,
            options.out / name.replace(" ", "_"),
            [*options.changes, *changes],
            options.updates,
            options.threads,
        )
        for name, changes in VARIANTS.items()
    }
    for given in options.model:
        name, _, folder = given.partition("=")
        models[name] = JukeboxVQVAE.from_pretrained(folder)
    rows = rows_of(models, [float(rate) for rate in options.opus.split(",") if rate])
    clips = one_of_each_piece(read_clips(options.heldout), options.clips, options.seed)[0].clips
    said = counter("clips")
    for number, clip in enumerate(clips, start=1):
        hear(rows, clip, models[FULL].sample_rate)
        said(number, len(clips))
    full = {row.level: row for row in rows if row.name == FULL}
    pieces = [clip.piece for clip in clips]
    records = [record(row, full.get(row.level) if row.name in VARIANTS else None, pieces) for row in rows]
    whole = {"clips": len(clips), "updates": options.updates, "rows": records}
    table = markdown(records)
    options.out.mkdir(parents=True, exist_ok=True)
    for name, text in (("jukebox_vqvae.md", table), ("jukebox_vqvae.json", json.dumps(whole, indent=1) + "\n")):
        with atomic_file(options.out / name) as temporary:
            temporary.write_text(text, encoding="utf-8")
    print(table)
    print(json.dumps(whole))


if __name__ == "__main__":
    main()
