"""Is it music? `cadenza data filter` against composed music, synthetic noise and synthetic talk, and how it was fitted.

    python benchmarks/content.py --fit CORPUS                     # prints the weights of data/filter_signal.py
    python benchmarks/content.py CORPUS [--tagger NAME]           # confusions, and what singing costs

CORPUS is a folder with a manifest of music without voices (`cadenza corpus build`), for the measurement another than
for the fit. Noises and talk are those of `content_sounds.py`, of other seeds than the fit's. `--leave-out` fits anew
without each kind in turn before it is judged: what to expect of a noise or voice that was never met.
"""

import argparse
import json
import sys
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from cadenza.audio import Audio
from cadenza.data import filter_signal
from cadenza.data.filter_signal import FIGURES, SignalTagger, measure
from cadenza.data.manifest import read_manifest
from cadenza.data.tags import AstTagger, Tagger
from content_sounds import NOISES, RATE, VOICES, make, sing

FIT_SEEDS, TEST_SEEDS = range(20), range(1000, 1015)
FIT_CLIPS, TEST_CLIPS = 400, 200
PENALTY = 0.005  # on the squared weights of standardised figures
CLASSES = ("music", "noise", "talk")


def class_of(kind: str) -> int:
    return 1 if kind in NOISES else 2 if kind in VOICES else 0


def clips(corpus: str, count: int) -> list[Audio]:
    entries = read_manifest(corpus)
    chosen = np.random.default_rng(1).permutation(len(entries))[:count]
    return [Audio.read(entries[i].path) for i in chosen]


def sounds(corpus: str, count: int, seeds: range) -> dict[str, list[Audio]]:
    made = {kind: [make(kind, seed) for seed in seeds] for kind in (*NOISES, *VOICES)}
    return {"composed music": clips(corpus, count)} | made


def figures(audios: list[Audio]) -> NDArray[np.float64]:
    found = [measure(audio) for audio in audios]
    return np.array([[one[name] for name in FIGURES] for one in found if one is not None])


def fit(groups: dict[str, NDArray[np.float64]]) -> NDArray[np.float64]:
    """Multinomial logistic regression, every class of equal weight; the weights of plain figures and the constant."""
    import torch

    inputs = np.concatenate(list(groups.values()))
    labels = torch.tensor(np.concatenate([[class_of(kind)] * len(rows) for kind, rows in groups.items()]))
    mean, spread = inputs.mean(0), inputs.std(0)
    standard = torch.tensor((inputs - mean) / spread)
    share = (1 / torch.bincount(labels, minlength=3).double())[labels] / 3
    weights = torch.zeros(3, standard.shape[1] + 1, dtype=torch.float64, requires_grad=True)
    optimizer = torch.optim.LBFGS([weights], max_iter=200, line_search_fn="strong_wolfe")

    def loss() -> torch.Tensor:
        optimizer.zero_grad()
        logits = standard @ weights[:, :-1].T + weights[:, -1]
        value = (share * torch.nn.functional.cross_entropy(logits, labels, reduction="none")).sum()
        value = value + PENALTY * weights[:, :-1].square().sum()
        value.backward()
        return value

    optimizer.step(loss)
    found = weights.detach().numpy()
    plain = found[:, :-1] / spread
    return np.column_stack([plain, found[:, -1] - plain @ mean])


def verdict(tagger: Tagger, audio: Audio) -> int:
    """The likeliest of music, noise and talk; 3 for none (silence)."""
    scores = tagger.judge(audio)
    values = (scores.music, scores.noise, scores.vocals)
    return int(np.argmax(values)) if max(values) > 0 else 3


def auc(positive: list[float], negative: list[float]) -> float:
    """The chance that a positive scores above a negative."""
    pairs = np.subtract.outer(np.array(positive), np.array(negative))
    return float((pairs > 0).mean() + 0.5 * (pairs == 0).mean())


def singing(tagger: Tagger, music: list[Audio]) -> dict[str, float]:
    """Scores for voices: of a voice that sings alone, of music with it 0 dB on top, and of the same music without."""
    alone, mixed, without = [], [], []
    for seed, clip in enumerate(music):
        voice = sing(np.random.default_rng([77, seed]), 10 * RATE)
        voice *= 0.1 / voice.std()
        under = clip.with_channels(1).resample(RATE).slice(0, 10).samples[0].astype(np.float64)
        under *= 0.1 / max(under.std(), 1e-9)
        for scores, samples in (
            (alone, voice),
            (mixed, under + voice[: len(under)]),
            (without, under),
        ):
            scores.append(tagger.judge(Audio(np.clip(samples, -1, 1).astype(np.float32), RATE)).vocals)
    return {"alone against music": auc(alone, without), "over music against music": auc(mixed, without)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("corpus", help="folder with a manifest of music without voices")
    parser.add_argument("--fit", action="store_true", help="fit the weights and print them")
    parser.add_argument("--leave-out", metavar="CORPUS", help="the corpus of the fit: leave out each kind in turn")
    parser.add_argument("--tagger", help="folder or name of a trained tagger")
    options = parser.parse_args()
    if options.fit:
        found = fit({kind: figures(audios) for kind, audios in sounds(options.corpus, FIT_CLIPS, FIT_SEEDS).items()})
        print(np.array2string(found, precision=3, separator=", ", suppress_small=True))
        return
    tagger: Tagger = AstTagger(options.tagger) if options.tagger else SignalTagger()
    taught = None
    if options.leave_out:
        taught = {k: figures(a) for k, a in sounds(options.leave_out, FIT_CLIPS, FIT_SEEDS).items()}
    groups = sounds(options.corpus, TEST_CLIPS, TEST_SEEDS)
    table = np.zeros((3, 4), int)
    print(f"{'':16}" + "".join(f"{name:>8}" for name in (*CLASSES, "silent")))
    for kind, audios in groups.items():
        if taught and class_of(kind):
            filter_signal.WEIGHTS = fit({name: rows for name, rows in taught.items() if name != kind})
        counts = np.bincount([verdict(tagger, audio) for audio in audios], minlength=4)
        table[class_of(kind)] += counts
        print(f"{kind:16}" + "".join(f"{count:8}" for count in counts))
    right = table[range(3), range(3)] / table.sum(1)
    result = {
        "tagger": tagger.name,
        "corpus": Path(options.corpus).name,
        "right": dict(zip(CLASSES, right.round(3).tolist(), strict=True)),
        "balanced_accuracy": round(float(right.mean()), 3),
        "singing_auc": {} if taught else singing(tagger, groups["composed music"][:60]),
    }
    print(json.dumps(result))


if __name__ == "__main__":
    sys.exit(main())
