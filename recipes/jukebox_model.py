"""A trained VQ-VAE and its priors to one model directory: `python recipes/jukebox_model.py VQVAE PRIOR ... --out DIR`.

In: model directories as training leaves them, those of the priors in any order. Out: what `cadenza.load` reads, the
VQ-VAE in fp16 (its magnitudes need the finer steps), priors in bf16, the names of their labels, and a card with the
facts of `--facts`. SystemExit for what is larger than `--limit-mb`.
"""

import argparse
from collections.abc import Sequence
from pathlib import Path

import torch

from cadenza.checkpoint import write_json
from cadenza.files import atomic_directory
from cadenza.jukebox.labels import LabelSet, LabelVersion
from cadenza.jukebox.prior import Prior
from cadenza.jukebox.vqvae import JukeboxVQVAE
from cadenza.pipelines.jukebox import Jukebox, JukeboxConfig
from cadenza.pipelines.jukebox_labels import LABELS_FILE, LabelBook
from cadenza.pipelines.jukebox_parts import PriorShelf
from ship_embedded import filled

LIMIT_MB = 20.0


def labels_of(folders: dict[int, Path], priors: dict[int, Prior]) -> LabelBook:
    """The names that the top prior learnt; SystemExit where another learnt others."""
    top = max(priors)
    book: dict[LabelVersion, LabelSet] = {}
    for level, prior in sorted(priors.items(), reverse=True):
        if prior.config.labels is not None:
            version = prior.config.labels.version
            found = LabelBook.read(folders[level]).sets[version]
            if version in book and (book[version].artists, book[version].genres) != (found.artists, found.genres):
                raise SystemExit(f"levels {top} and {level} have other labels: train them on the same music")
            book[version] = found
    return LabelBook(book)


def main(arguments: Sequence[str] | None = None) -> None:
    """Write the model directory."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("vqvae", type=Path)
    parser.add_argument("priors", type=Path, nargs="+")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--name", default="cadenza-jukebox")
    parser.add_argument("--licence", default="MIT; what you make with it is yours")
    parser.add_argument("--card", type=Path, default=Path(__file__).parent / "jukebox_card.md")
    parser.add_argument("--facts", type=Path, help="JSON: words for each {name} in the card")
    parser.add_argument("--temperatures", type=float, nargs="+", help="of each level, the finest first")
    parser.add_argument("--limit-mb", type=float, default=LIMIT_MB)
    options = parser.parse_args(arguments)
    loaded = [(folder, Prior.from_pretrained(folder)) for folder in options.priors]
    folders = {prior.config.level: folder for folder, prior in loaded}
    priors = {prior.config.level: prior for _, prior in loaded}
    if len(priors) < len(loaded):
        raise SystemExit(f"two priors of one level: {', '.join(map(str, options.priors))}")
    vqvae = JukeboxVQVAE.from_pretrained(options.vqvae)
    below = vqvae.num_levels - 1
    config = JukeboxConfig(
        name=options.name,
        licence=options.licence,
        hop_fractions=(0.5,) * below + (0.125,),
        temperatures=tuple(options.temperatures or [0.99] * below + [0.98]),
    )
    model = Jukebox(vqvae, PriorShelf(priors=priors), config, labels_of(folders, priors))
    card = filled(options.card.read_text(encoding="utf-8"), options.facts, needed=options.facts is not None)
    with atomic_directory(options.out) as folder:
        vqvae.save_pretrained(folder / "vqvae", torch.float16)
        for level, prior in priors.items():
            prior.save_pretrained(folder / f"prior_{level}", torch.bfloat16)
        model.labels.save(folder / LABELS_FILE)
        write_json(folder / "config.json", model.config.model_dump(mode="json"))
        (folder / "README.md").write_text(card, encoding="utf-8")
        size = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file()) / 1e6
        if size > options.limit_mb:
            raise SystemExit(f"{size:.1f} MB: this model may have {options.limit_mb:g}")
    print(f"{options.out}: {size:.1f} MB")


if __name__ == "__main__":
    main()
