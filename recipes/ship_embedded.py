"""A trained model into the package, if a report finds it better: `python recipes/ship_embedded.py MODEL --report R`.

First written elsewhere (`--out runs/candidate`) and judged beside the shipped one (`recipes/judge_embedded.yaml` has
the three commands). The language model and its text encoder are stored in bf16, the codec in fp16 (its magnitudes need
the finer steps). What is shipped comes with a card in which every fact of its making is filled in.
"""

import argparse
import json
import re
from pathlib import Path

import torch

from cadenza.checkpoint import weights_hash, write_json
from cadenza.codec.encodec import EnCodec
from cadenza.evaluate.report.figures import Report
from cadenza.files import atomic_directory
from cadenza.lm.generate import GenerationConfig
from cadenza.loading import ASSETS
from cadenza.pipelines.musicgen import MusicGen, MusicGenConfig

LIMIT_MB = 64
SHIPPED = ASSETS / "embedded"


def main() -> None:
    """Write the model directory, or say why not."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model", type=Path, help="model directory, such as runs/lm/snapshots/STEP/model")
    parser.add_argument("--card", type=Path, default=Path(__file__).parent / "embedded_card.md", help="model card")
    parser.add_argument("--facts", type=Path, help="JSON: words for each {name} in the card (embedded_facts.py)")
    parser.add_argument("--out", type=Path, default=SHIPPED, help="directory to write")
    parser.add_argument("--report", type=Path, help="report.json that judges it; needed to replace the shipped model")
    parser.add_argument("--codec", type=Path, help="codec with the same codes and a better decoder, to take its place")
    for name in ("top_k", "guidance", "temperature", "anchor"):
        parser.add_argument(f"--{name.replace('_', '-')}", type=float, help="default for generation")
    options = parser.parse_args()
    if options.out == SHIPPED and options.report is None:
        raise SystemExit("only what a report finds better replaces the shipped model: give --out or --report")
    music = MusicGen.from_pretrained(options.model, "cpu", "fp32")
    codec = music.codec if options.codec is None else same_codes(options.codec, options.model / "codec")
    chosen = {name: getattr(options, name) for name in ("top_k", "guidance", "temperature", "anchor")}
    settings = {name: value for name, value in chosen.items() if value is not None}
    window = music.config.max_duration_seconds
    config = MusicGenConfig(
        name="cadenza-embedded",
        licence="MIT; what you make with it is yours",
        melody_condition=music.config.melody_condition,
        plan_condition=music.config.plan_condition,
        max_duration_seconds=window,
        generation=GenerationConfig(duration=10.0, extend_stride=window / 2, **settings),
        cpu_precision="int8",  # 0.0002 nats per code worse, a third faster (benchmarks/results/quantization_*.md)
    )
    with atomic_directory(options.out) as folder:
        codec.save_pretrained(folder / "codec", torch.float16)  # type: ignore[operator]
        music.lm.save_pretrained(folder / "lm", torch.bfloat16)
        music.conditioning.save_pretrained(folder / "conditioning", torch.bfloat16)
        write_json(folder / "config.json", config.model_dump(mode="json"))
        card = filled(options.card.read_text(encoding="utf-8"), options.facts, needed=options.report is not None)
        if options.report is not None:
            card += f"\n{judged(options.report, weights_hash(folder))}"
        (folder / "README.md").write_text(card, encoding="utf-8")
        size = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file()) / 1e6
        if size > LIMIT_MB:
            raise SystemExit(f"{size:.1f} MB: the embedded model may have {LIMIT_MB}")
    print(f"{options.out}: {size:.1f} MB")


def filled(card: str, path: Path | None, needed: bool) -> str:
    """The card with its facts; SystemExit if one is missing that is needed."""
    facts = {} if path is None else json.loads(path.read_text(encoding="utf-8"))
    for name, words in facts.items():
        card = card.replace(f"{{{name}}}", str(words))
    missing = sorted(set(re.findall(r"\{(\w+)\}", card)))
    if missing and needed:
        raise SystemExit(f"the card does not say yet: {', '.join(missing)}; give --facts with these names")
    return card


def same_codes(path: Path, before: Path) -> EnCodec:
    """The codec of a folder; SystemExit if it would hear the codes of the one before as other sounds.

    By values, not by bytes: averaging what does not change makes 0 of -0.
    """
    codec = EnCodec.from_pretrained(path)
    mine, others = (
        {name: tensor for name, tensor in one.state_dict().items() if not name.startswith("decoder.")}
        for one in (codec, EnCodec.from_pretrained(before))
    )
    if mine.keys() != others.keys() or not all(torch.equal(mine[name], others[name]) for name in mine):
        raise SystemExit(f"{path} has other codes than {before}: train it with objective.decoder_only")
    return codec


def judged(path: Path, weights: str) -> str:
    """The card's section on what a report found; SystemExit unless it judged these weights and found them better.

    Better: of the tests against the other system, at least one is won and fewer are lost (Holm's correction).
    """
    report = Report.model_validate_json(path.read_bytes())
    mine = [system.name for system in report.systems if system.made_with.get("weights") == weights]
    if not mine:
        raise SystemExit(f"{path} judged other weights than {weights[:12]}: evaluate this very directory")
    tests = [test for test in report.tests if mine[0] in (test.first, test.second)]
    won = [test.title for test in tests if test.verdict == f"{mine[0]} is better"]
    lost = [test.title for test in tests if test.verdict.endswith(" is better") and test.title not in won]
    if len(won) <= len(lost) or not won:
        raise SystemExit(f"{path} does not find it better: ahead in {won or 'nothing'}, behind in {lost or 'nothing'}")
    lines = [
        "## Judged",
        "",
        f"Ahead of the model before it in: {', '.join(won)}; behind in: {', '.join(lost) or '-'}.",
    ]
    lines += ["", "| figure | value (95 % interval) | N |", "|---|---|--:|"]
    for figure in report.figures:
        if figure.system == mine[0]:
            result = figure.result
            ends = "" if result.low is None or result.high is None else f" ({result.low:.3g} to {result.high:.3g})"
            value = "" if result.value is None else f"{result.value:.3g}"
            lines.append(f"| {figure.title} | {value}{ends} | {figure.count} {figure.of} |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    main()
