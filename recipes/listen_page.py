"""Thirty held-out prompts to listen to: the model's take, the true render, and that through the codec; a page out.

    python recipes/listen_page.py CORPUS                 writes docs/listen.html and docs/listen/
    cadenza listen make recipes/listen_embedded.yaml --out runs/listen/test      the same clips, blind, in pairs

CORPUS is a folder of `cadenza corpus build` whose test split the model never heard. Twenty prompts are captions of its
clips, in styles that training never sees; ten are prompts that come along and strangers', each beside the test piece
that comes nearest to its words. One take each, drawn by the seed, none picked. The page needs no network; a button
shuffles the three and hides who is who. What is made stays in --work, where the listening test finds it, and is not
made again.
"""

import argparse
import json
import sys
from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from cadenza.audio import Audio
from cadenza.checkpoint import weights_hash
from cadenza.cli.evaluate_takes import TakeMaker, resynthesise
from cadenza.cli.progress import counter
from cadenza.corpus.captions import HELD_OUT_STYLES, Facts, caption_said
from cadenza.errors import UserError
from cadenza.evaluate import prompts
from cadenza.evaluate.clips import Asked
from cadenza.evaluate.embedders.listener import Listener
from cadenza.evaluate.hearing import hear
from cadenza.evaluate.measurements import Heard
from cadenza.evaluate.report.config import SamplingConfig
from cadenza.evaluate.report.media import opus_file, spectrogram_png
from cadenza.evaluate.report.page import STYLE
from cadenza.evaluate.tempo import TOLERANCE
from cadenza.files import atomic_directory, atomic_file
from cadenza.loading import find_model, load, load_codec

ROOT = Path(__file__).parents[1]
PLAYERS = {"takes": "the model", "truth": "true render", "codec": "true render through the codec"}
"""Folders of `--work`, and what the page calls what is in them."""
MOST_BYTES = 5_000_000
LOUDNESS_LUFS = -14.0


class Item(NamedTuple):
    """A prompt, and the true clip beside it: a row of the corpus."""

    asked: Asked
    row: Mapping[str, Any]
    source: str
    """Where the words come from."""


# ------------------------------------------------------------------------------------------------------------- prompts


def choose(rows: Sequence[Mapping[str, Any]], count: int, seed: int) -> list[Item]:
    """Two of three prompts are captions of true clips, the rest of people; a piece is heard once, genres in turn."""
    rng = np.random.default_rng([seed, 0x115])
    by_genre: dict[str, list[Mapping[str, Any]]] = {}
    pieces: set[Any] = set()
    for number in rng.permutation(len(rows)):
        row = rows[number]
        if row["seed"] not in pieces:
            pieces.add(row["seed"])
            by_genre.setdefault(row["genre"], []).append(row)
    if len(pieces) < count:
        raise UserError(f"{len(pieces)} pieces for {count} prompts: give a larger corpus, --count, or --split all")
    turns = [row for turn in zip_longest(list(by_genre.values())) for row in turn]
    captioned = count - count // 3
    items = [
        told(row, rng, HELD_OUT_STYLES[place % len(HELD_OUT_STYLES)]) for place, row in enumerate(turns[:captioned])
    ]
    left = turns[captioned:]
    for place in range(count - captioned):
        name = ("strangers", "default")[place % 2]
        known = [one for one in prompts.load(name).values() if one.has_facts and one not in [i.asked for i in items]]
        asked = known[int(rng.integers(len(known)))]
        row = max(left, key=lambda row: (nearness(asked, row), row["id"]))
        left.remove(row)
        items.append(Item(asked, row, f"{name} prompt; the true piece is the nearest to it"))
    return items


def zip_longest(lists: Sequence[list[Mapping[str, Any]]]) -> list[list[Mapping[str, Any]]]:
    """The first of each list, then the second of those that have one, and so on."""
    longest = max(map(len, lists), default=0)
    return [[one[turn] for one in lists if turn < len(one)] for turn in range(longest)]


def told(row: Mapping[str, Any], rng: np.random.Generator, style: str) -> Item:
    """A caption of a clip, and those of its facts that it tells."""
    facts = Facts(
        row["genre"], tuple(row["instruments"]), tuple(row["moods"]), row["tempo_bpm"], row["key"], row["meter"]
    )
    text, said = caption_said(facts, rng, style)
    asked = Asked(text, said.tempo_bpm, said.key or said.mode or None, tuple(said.instruments), said.genre or None)
    return Item(asked, row, f"held-out caption style “{style}”")


def nearness(asked: Asked, row: Mapping[str, Any]) -> float:
    """How much of what is asked for a true clip has."""
    score = 3.0 * (asked.genre == row["genre"])
    score += sum(2.0 * bool(set(choice.split("/")) & set(row["instruments"])) for choice in asked.instruments)
    tempo, bpm = asked.tempo_bpm, row["tempo_bpm"]
    if isinstance(tempo, tuple):
        score += tempo[0] <= bpm <= tempo[1]
    elif tempo is not None:
        score += 2.0 * (abs(bpm / tempo - 1) <= TOLERANCE)
    return score + (asked.key is not None and row["key"].endswith(asked.key))


# --------------------------------------------------------------------------------------------------------------- sound


def make_clips(
    items: Mapping[str, Item], corpus: Path, model: str | None, work: Path, seconds: float, seed: int
) -> None:
    """Takes, true renders and those through the codec, under the prompts' numbers; what is there stays."""
    directory = find_model(model)
    sampling = SamplingConfig(duration_seconds=seconds, seeds=(seed,))
    asked = {name: item.asked for name, item in items.items()}
    TakeMaker(lambda: load(directory), weights_hash(directory), sampling, work / "takes", together=4).make(
        "the model", asked, counter("takes")
    )
    codec = load_codec(model)
    listed = (work / "takes" / "prompts.jsonl").read_bytes()
    for folder in ("truth", "codec"):
        (work / folder).mkdir(parents=True, exist_ok=True)
        (work / folder / "prompts.jsonl").write_bytes(listed)
    for name, item in items.items():
        true = Audio.read(corpus / item.row["path"], 0.0, min(seconds, item.row["duration"]))
        true.write(work / "truth" / f"{name}.flac", loudness_lufs=None)
        resynthesise(true, codec).write(work / "codec" / f"{name}.flac", loudness_lufs=None)


def words(heard: Heard) -> str:
    """What the ear heard, in one line."""
    tempo = "no tempo" if heard.tempo.bpm is None else f"{heard.tempo.bpm:.0f} bpm"
    key = "no key" if heard.key is None else heard.key.name
    return f"{tempo}, {key}, {heard.genre or 'no genre'}: {', '.join(heard.named) or 'no instrument it knows'}"


def wishes(asked: Asked) -> str:
    """What was asked for, in one line."""
    tempo = asked.tempo_bpm
    bpm = f"{tempo[0]:.0f} to {tempo[1]:.0f} bpm" if isinstance(tempo, tuple) else tempo and f"{tempo:.0f} bpm"
    found = [bpm, asked.key, asked.genre, *(choice.replace("/", " or ") for choice in asked.instruments)]
    return ", ".join(str(one) for one in found if one) or "a mood or a use alone"


# ---------------------------------------------------------------------------------------------------------------- page

EXTRA = """
.three { display: grid; grid-template-columns: repeat(auto-fit, minmax(15rem, 1fr)); gap: .8rem }
main > article { margin: 1rem 0 } figure { margin: 0 } figcaption { font-weight: 600; font-size: .9em }
button { font: inherit; color: var(--ink); background: var(--panel); border: 1px solid var(--line);
  border-radius: .4rem; padding: .4rem .8rem; cursor: pointer } .blind .heard { visibility: hidden }
"""
SCRIPT = """
const button = document.querySelector('button'), letters = 'ABC';
function order(group, blind) {
  const all = [...group.children].sort((a, b) => a.dataset.place - b.dataset.place);
  if (blind) for (let i = all.length - 1; i > 0; i--) {
    const j = Math.floor(Math.random() * (i + 1)); [all[i], all[j]] = [all[j], all[i]];
  }
  all.forEach((one, i) => {
    group.append(one);
    one.querySelector('figcaption').textContent = blind ? letters[i] : one.dataset.name;
    one.querySelector('audio').setAttribute('aria-label', blind ? letters[i] : one.dataset.name);
  });
}
button.hidden = false;
button.addEventListener('click', () => {
  const blind = document.body.classList.toggle('blind');
  button.setAttribute('aria-pressed', blind);
  button.textContent = blind ? 'Say who is who' : 'Shuffle, and hide who is who';
  document.querySelectorAll('.three').forEach(group => order(group, blind));
});
document.addEventListener('play', e => document.querySelectorAll('audio').forEach(
  one => one !== e.target && one.pause()), true);
"""


def player(place: int, folder: str, number: str, heard: Heard) -> str:
    """One of the three."""
    title, file = PLAYERS[folder], f"listen/{number}-{folder}"
    return (
        f'<figure data-place="{place}" data-name="{title}"><figcaption>{title}</figcaption>'
        f'<img src="{file}.png" alt="Spectrogram" loading="lazy"><audio controls preload="none" src="{file}.opus" '
        f'aria-label="{title}"></audio><small class="heard">heard: {escape(words(heard))}</small></figure>'
    )


def page(items: Mapping[str, Item], heard: Mapping[tuple[str, str], Heard], facts: str) -> str:
    """The page; it names files of `listen/` beside it."""
    cards = "".join(
        f'<article id="p{number}"><h3>{number}. {escape(item.asked.text)}</h3><p class="soft">'
        f"asked for: {escape(wishes(item.asked))}<br>{escape(item.source)}</p>"
        f'<div class="three">{"".join(player(n, f, number, heard[number, f]) for n, f in enumerate(PLAYERS))}</div>'
        "</article>\n"
        for number, item in items.items()
    )
    return (
        '<!doctype html>\n<html lang="en">\n<head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1"><title>Listen to Cadenza</title>'
        f'<link rel="icon" href="data:,"><style>\n{STYLE.read_text(encoding="utf-8")}{EXTRA}</style></head>\n<body>\n'
        f"<header><h1>Listen to Cadenza</h1><p>{len(items)} prompts that the model inside was never trained on. One "
        "take of each, drawn by its seed, none picked; beside it music of the composer that made its training data, "
        "from a piece that it never heard, as it is and through the model's codec: the best that a model which speaks "
        f'these codes could do. What the evaluator\'s ear hears stands below each.</p><p class="soft">{escape(facts)}'
        '</p><button type="button" aria-pressed="false" hidden>Shuffle, and hide who is who</button></header>\n'
        f"<main>\n{cards}</main>\n<script>{SCRIPT}</script>\n</body>\n</html>\n"
    )


def write(items: Mapping[str, Item], work: Path, out: Path, kbps: float, ear: Listener, facts: str) -> tuple[Path, int]:
    """Sounds, pictures and the page; its path and the bytes of all. UserError where they would be too many."""
    heard: dict[tuple[str, str], Heard] = {}
    report, total = counter("clips for the page"), 0
    with atomic_directory(out / "listen") as temporary:
        for place, number in enumerate(items):
            report(place, len(items))
            for folder in PLAYERS:
                audio = Audio.read(work / folder / f"{number}.flac").with_channels(1).normalize(LOUDNESS_LUFS)
                heard[number, folder] = hear(audio, ear)
                for ending, content in ((".opus", opus_file(audio, kbps)), (".png", spectrogram_png(audio))):
                    (temporary / f"{number}-{folder}{ending}").write_bytes(content)
                    total += len(content)
        if total > MOST_BYTES:
            raise UserError(f"{total / 1e6:.1f} MB of sound and pictures: choose a lower --kbps, or fewer seconds")
    with atomic_file(out / "listen.html") as temporary:
        temporary.write_text(page(items, heard, facts), encoding="utf-8")
    return out / "listen.html", total


def main(arguments: Sequence[str] | None = None, ear: Listener | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("corpus", type=Path, help="folder of `cadenza corpus build`")
    parser.add_argument("--model", help="a model; default: the one inside")
    parser.add_argument("--split", default="test", help="of the corpus; all: one that is held out as a whole")
    parser.add_argument("--count", type=int, default=30, help="prompts")
    parser.add_argument("--seconds", type=float, default=10.0, help="of each clip")
    parser.add_argument("--seed", type=int, default=1, help="of the choice and of the takes")
    parser.add_argument("--kbps", type=float, default=32.0, help="kbit/s of the sounds on the page (Opus)")
    parser.add_argument("--work", type=Path, default=ROOT / "runs" / "listen", help="where the clips stay, in FLAC")
    parser.add_argument("--out", type=Path, default=ROOT / "docs", help="where listen.html and listen/ go")
    options = parser.parse_args(arguments)
    try:
        lines = (options.corpus / "manifest.jsonl").read_text(encoding="utf-8").splitlines()
    except OSError as error:
        sys.exit(f"{options.corpus}: no manifest.jsonl to read ({error.strerror}): give a composed corpus")
    rows = [row for row in map(json.loads, lines) if row["duration"] >= options.seconds - 0.5]
    try:
        chosen = choose([r for r in rows if options.split in ("all", r["split"])], options.count, options.seed)
        items = {f"{number:02d}": item for number, item in enumerate(chosen, 1)}
        make_clips(items, options.corpus, options.model, options.work, options.seconds, options.seed)
        facts = f"Weights {weights_hash(find_model(options.model))[:16]}, seed {options.seed}."
        place, total = write(items, options.work, options.out, options.kbps, ear or Listener.embedded(), facts)
    except UserError as error:
        sys.exit(str(error))
    print(json.dumps({"page": str(place), "prompts": len(items), "bytes": total}))


if __name__ == "__main__":
    main()
