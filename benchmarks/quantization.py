"""What fewer bits cost: a model in every precision against itself in fp32, over real codes. The last line is JSON.

    python benchmarks/quantization.py [MODEL] [--corpus DIR] [--clips N] [--precisions bf16,int8,int4]

MODEL is what `cadenza.load` takes; by default the model that comes with Cadenza. DIR is a folder with a manifest of
recordings and captions; without one a few pieces are composed (`cadenza.corpus`), and where the synthesizer for that is
missing, the model's own music is used. All is teacher forced: every precision sees the same codes and words.

logit error    RMS of the difference to fp32 over that of fp32, both less their mean over the codes (which softmax
               ignores); "guided" is the same of what is sampled from, `null + guidance (text - null)`
cross entropy  nats per code, by codebook
same argmax    share of steps whose most likely code is that of fp32
same draw      share of steps whose sampled code is, with the model's settings and the same random numbers
file, peak     bytes of the language model on disk; of a process that loads it and makes two seconds of music
"""

import argparse
import json
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

import cadenza
from cadenza.data.manifest import read_manifest
from cadenza.errors import UserError
from cadenza.nn.sampling import Choice, sample, uniforms
from cadenza.pipelines.musicgen import MusicGen
from machine import describe, host_peak_bytes

WORDS = ("a slow sad piano piece in D minor", "driving techno with a squelchy acid line, 132 bpm", "gentle folk guitar")


class Clip(NamedTuple):
    """Words and the codes `[1, K, T]` of the music they describe."""

    text: str
    codes: Tensor


class Prediction(NamedTuple):
    """Logits `[N, K, V]` (codes that are predicted; N of every clip), with the words and guided, and the codes."""

    logits: Tensor
    guided: Tensor
    codes: Tensor
    uniform: Tensor


# ---- what is predicted ----------------------------------------------------------------------------------------------


def clips_of(music: MusicGen, corpus: str | None, count: int) -> tuple[list[Clip], str]:
    """`count` clips spread evenly over a data set, and where they are from."""
    with tempfile.TemporaryDirectory() as folder:
        source = corpus
        if source is None:
            source = _composed(folder, count)
        if source is None:
            seconds = min(10.0, music.config.max_duration_seconds)
            made = (music.generate(words, duration=seconds, seed=seed) for seed in range(count) for words in WORDS)
            texts = [words for _ in range(count) for words in WORDS][:count]
            return [_clip(music, text, audio) for text, audio in zip(texts, made, strict=False)], "the model's own"
        entries = [entry for entry in read_manifest(source) if entry.captions]
        chosen = entries[:: max(1, len(entries) // count)][:count]
        seconds = min(10.0, music.config.max_duration_seconds)
        clips = [
            _clip(music, entry.captions[0], cadenza.Audio.read(entry.path, 0.0, min(seconds, entry.duration)))
            for entry in chosen
        ]
        return clips, corpus or "composed"


def _composed(folder: str, count: int) -> str | None:
    from cadenza.corpus.build import build

    try:
        build(folder, hours=count * 12 / 3600, seed=4711, quiet=True)
    except UserError as error:
        print(f"no pieces can be composed here ({error}): the model's own music is used", file=sys.stderr)
        return None
    return folder


@torch.no_grad()
def _clip(music: MusicGen, text: str, audio: cadenza.Audio) -> Clip:
    audio = audio.resample(music.sample_rate).with_channels(music.codec.channels)
    return Clip(text, music.codec.encode(torch.from_numpy(audio.samples)[None])[0])


@torch.no_grad()
def predict(music: MusicGen, clips: Sequence[Clip]) -> Prediction:
    """What the model says about every clip, as it would while it plays."""
    parts: list[tuple[Tensor, ...]] = []
    for seed, (text, codes) in enumerate(clips):
        prepared = music.conditioning.prepare([{music.config.text_condition: text}])
        words, mask = music.lm.logits_for_codes(codes, music.conditioning(prepared), fill=0.0)
        null, _ = music.lm.logits_for_codes(codes, music.conditioning(music.conditioning.null(1)), fill=0.0)
        kept = mask[0].all(0)  # frames whose every codebook is predicted
        guided = null + music.config.generation.guidance * (words - null)
        uniform = uniforms([seed], 0, codes.shape[2], codes.shape[1])[0]
        parts.append(
            (
                words[0][:, kept].transpose(0, 1),
                guided[0][:, kept].transpose(0, 1),
                codes[0][:, kept].t(),
                uniform[:, kept].t(),
            )
        )
    return Prediction(*(torch.cat(column) for column in zip(*parts, strict=True)))


# ---- figures --------------------------------------------------------------------------------------------------------


def compare(found: Prediction, reference: Prediction, choice: Choice) -> dict[str, Any]:
    """Every figure of one precision."""
    entropy = F.cross_entropy(found.logits.flatten(0, 1), found.codes.flatten().long(), reduction="none")
    draws, expected = (sample(side.guided[None], side.uniform[None], choice) for side in (found, reference))
    return {
        "logit_error": _error(found.logits, reference.logits),
        "guided_error": _error(found.guided, reference.guided),
        "cross_entropy": [round(float(value), 4) for value in entropy.view(found.codes.shape).mean(0)],
        "cross_entropy_mean": float(entropy.mean()),
        "same_argmax": float((found.guided.argmax(-1) == reference.guided.argmax(-1)).float().mean()),
        "same_draw": float((draws == expected).float().mean()),
    }


def _error(found: Tensor, reference: Tensor) -> float:
    found, reference = (side - side.mean(-1, keepdim=True) for side in (found, reference))
    return float((found - reference).square().mean().sqrt() / reference.square().mean().sqrt())


def peak_of(model: str | None, precision: str) -> float:
    """MB of a process of its own that loads the model and plays."""
    command = [sys.executable, __file__, *([] if model is None else [model]), "--peak", precision]
    return float(subprocess.run(command, check=True, capture_output=True, text=True).stdout.split()[-1])


def play(model: str | None, precision: str) -> None:
    cadenza.load(model, "cpu", precision).generate(WORDS[0], duration=2, seed=1)
    print(host_peak_bytes() / 1e6)


def size_of(music: MusicGen) -> float:
    """MB of the language model on disk."""
    with tempfile.TemporaryDirectory() as folder:
        music.lm.save_pretrained(folder)
        return (Path(folder) / "model.safetensors").stat().st_size / 1e6


# ---- the table ------------------------------------------------------------------------------------------------------


def table(results: dict[str, dict[str, Any]]) -> str:
    lines = [
        "| | logit error | guided | cross entropy | by codebook | same argmax | same draw | LM file, MB | peak, MB |",
        "|---|--:|--:|--:|---|--:|--:|--:|--:|",
    ]
    for name, row in results.items():
        books = " ".join(f"{value:.3f}" for value in row["cross_entropy"])
        lines.append(
            f"| {name} | {row['logit_error']:.4f} | {row['guided_error']:.4f} | {row['cross_entropy_mean']:.4f} "
            f"| {books} | {row['same_argmax']:.1%} | {row['same_draw']:.1%} | {row['file_mb']:.1f} "
            f"| {row['peak_mb']:.0f} |"
        )
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description="What fewer bits cost.")
    parser.add_argument("model", nargs="?", help="as for cadenza.load; by default the embedded model")
    parser.add_argument("--corpus", help="a folder with a manifest of recordings and captions")
    parser.add_argument("--clips", type=int, default=24)
    parser.add_argument("--precisions", default="bf16,int8,int4")
    parser.add_argument("--peak", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.peak:
        play(arguments.model, arguments.peak)
        return
    music = cadenza.load(arguments.model, "cpu", "fp32")
    clips, source = clips_of(music, arguments.corpus, arguments.clips)
    settings = music.config.generation
    choice = Choice.of(
        [(settings.temperature, settings.top_k, settings.top_p, settings.greedy)], music.codec.codebook_size
    )
    seconds = sum(clip.codes.shape[2] for clip in clips) / music.codec.frame_rate
    print(f"{music.config.name}: {len(clips)} clips, {seconds:.0f} s, {source}; guidance {settings.guidance:g}")
    reference = predict(music, clips)
    results = {}
    for precision in ("fp32", *arguments.precisions.split(",")):
        other = music if precision == "fp32" else cadenza.load(arguments.model, "cpu", precision)
        figures = compare(predict(other, clips), reference, choice)
        results[precision] = figures | {"file_mb": size_of(other), "peak_mb": peak_of(arguments.model, precision)}
    print(table(results))
    print(json.dumps({"machine": describe(torch.device("cpu")), "source": source, "precisions": results}))


if __name__ == "__main__":
    main()
