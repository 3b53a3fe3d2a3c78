"""EnCodec's recipes: each has the published shape, and takes a step when it is shrunk."""

from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch

from cadenza.codec.encodec import EnCodec
from cadenza.data.manifest import Entry, write_manifest
from cadenza.train.run import build, read_recipe

RECIPE = Path(__file__).parents[2] / "recipes" / "encodec.py"
CODEC = Path(__file__).parents[1] / "parity" / "encodec_32khz_tiny"
SHRUNK = [
    *("steps=1", "batch_size=2", "device=cpu", "tensorboard=false", "valid_items=1"),
    *("objective.discriminator.filters=2", "objective.discriminator.windows=[128, 64]"),
    *("objective.mel.windows=[64, 128]", "objective.mel.num_mels=8"),
    *("objective.segment_seconds=0.1", "objective.valid_seconds=0.2"),
]
SMALL = [f"objective.codec.{half}.num_filters=2" for half in ("encoder", "decoder")] + [
    "objective.codec.latent_dim=4",
    "objective.codec.codebook_size=16",
]
# Parameters: the reference counts 56,884,674 at 32 kHz (section 1.1); the others as transformers builds them.
SIZES = {"khz32": 56_884_674, "khz24": 14_851_810, "khz48": 14_856_294}


def music(folder: Path, rate: int, channels: int) -> Path:
    time = np.arange(rate * 3 // 2) / rate
    wave = 0.3 * np.sin(2 * np.pi * 440 * time)[:, None] * np.linspace(1, 0.5, channels)
    entries = []
    for split in ("train", "valid"):
        soundfile.write(folder / f"{split}.wav", wave, rate)
        entries.append(Entry(path=str(folder / f"{split}.wav"), duration=1.5, sample_rate=rate, split=split))
    write_manifest(folder / "manifest.jsonl", entries)
    return folder


@pytest.mark.parametrize("name", SIZES)
def test_size(name: str) -> None:
    with torch.device("meta"):
        codec = EnCodec(read_recipe(f"{RECIPE}:{name}").objective.codec)
    assert sum(p.numel() for p in codec.parameters()) == SIZES[name]


@pytest.mark.parametrize(
    ("name", "rate", "channels", "kbps"),
    [
        ("khz32", 32000, 1, []),
        ("khz24", 24000, 1, [0.6, 1.2, 2.4, 4.8]),  # 4 bits a code instead of 10
        ("khz48", 48000, 2, [1.2, 2.4, 4.8]),
        ("continued", 32000, 1, []),
    ],
)
def test_step(name: str, rate: int, channels: int, kbps: list[float], tmp_path: Path) -> None:
    own = [f"objective.start_from={CODEC / 'compression_state_dict.bin'}"] if name == "continued" else SMALL
    overrides = [f"data={music(tmp_path, rate, channels)}", *SHRUNK, *own]
    trainer = build(read_recipe(f"{RECIPE}:{name}", overrides), tmp_path / "run")
    before = [p.detach().clone() for phase in trainer.objective.all_phases() for p in phase.parameters()]
    metrics = trainer.train_step()
    after = [p for phase in trainer.objective.all_phases() for p in phase.parameters()]
    # A tenth may not move: what leads to codebooks that were not used, biases under a norm.
    assert sum(not torch.equal(old, new) for old, new in zip(before, after, strict=True)) > 0.9 * len(after)
    assert all(bool(torch.isfinite(value)) for value in metrics.values())
    assert {"adversarial", "features", "mel", "l1", "discriminator"} <= metrics.keys()
    values = trainer.evaluate()
    assert {name for name in values if name.startswith("si_sdr_")} == {f"si_sdr_{rate:g}kbps" for rate in kbps}
    assert 0 < values["usage_q0"] <= 1
    trainer.save()
    saved = EnCodec.from_pretrained(trainer.snapshots / "step_00000001" / "model" / "codec")
    assert saved.channels == channels
