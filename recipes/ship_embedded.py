"""Put a trained model into the package: `python recipes/ship_embedded.py SNAPSHOT_MODEL_DIR [--card FILE]`.

The language model and its text encoder are stored in bf16, the codec in fp16 (its magnitudes need the finer steps).
"""

import argparse
from pathlib import Path

import torch

from cadenza.checkpoint import write_json
from cadenza.files import atomic_directory
from cadenza.lm.generate import GenerationConfig
from cadenza.loading import ASSETS
from cadenza.pipelines.musicgen import MusicGen, MusicGenConfig

LIMIT_MB = 64


def main() -> None:
    """Write the model directory, or say why not."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model", type=Path, help="model directory, such as runs/lm/snapshots/STEP/model")
    parser.add_argument("--card", type=Path, default=Path(__file__).parent / "embedded_card.md", help="model card")
    parser.add_argument("--out", type=Path, default=ASSETS / "embedded", help="directory to write")
    for name in ("top_k", "guidance", "temperature", "anchor"):
        parser.add_argument(f"--{name.replace('_', '-')}", type=float, help="default for generation")
    options = parser.parse_args()
    music = MusicGen.from_pretrained(options.model, "cpu", "fp32")
    chosen = {name: getattr(options, name) for name in ("top_k", "guidance", "temperature", "anchor")}
    settings = {name: value for name, value in chosen.items() if value is not None}
    window = music.config.max_duration_seconds
    config = MusicGenConfig(
        name="cadenza-embedded",
        licence="MIT; what you make with it is yours",
        melody_condition=music.config.melody_condition,
        max_duration_seconds=window,
        generation=GenerationConfig(duration=10.0, extend_stride=window / 2, **settings),
        cpu_precision="int8",  # 0.0002 nats per code worse, a third faster (benchmarks/results/quantization_*.md)
    )
    with atomic_directory(options.out) as folder:
        music.codec.save_pretrained(folder / "codec", torch.float16)  # type: ignore[operator]
        music.lm.save_pretrained(folder / "lm", torch.bfloat16)
        music.conditioning.save_pretrained(folder / "conditioning", torch.bfloat16)
        write_json(folder / "config.json", config.model_dump(mode="json"))
        (folder / "README.md").write_text(options.card.read_text(encoding="utf-8"), encoding="utf-8")
        size = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file()) / 1e6
        if size > LIMIT_MB:
            raise SystemExit(f"{size:.1f} MB: the embedded model may have {LIMIT_MB}")
    print(f"{options.out}: {size:.1f} MB")


if __name__ == "__main__":
    main()
