"""Training a reader of plans: captions and facts in, a reader that tells them apart out."""

import gzip
import json
from pathlib import Path

import numpy as np
import pytest
import torch

from cadenza.conditioning.plan import METERS
from cadenza.conditioning.reader import PlanReader, PlanReaderConfig
from cadenza.conditioning.t5 import T5Config
from cadenza.data.batches import random_for
from cadenza.errors import UserError
from cadenza.train.config import TrainConfig
from cadenza.train.objectives.reading import ReadingObjectiveConfig
from cadenza.train.objectives.reading_pairs import (
    UNKNOWN,
    PairBatches,
    PairsInOrder,
    divide,
    names_in,
    pairs_of,
    read_rows,
    spoil,
)
from cadenza.train.optim import AdamWConfig
from cadenza.train.run import build

ROWS = [
    {"captions": ["slow jazz on a piano", "calm piano jazz"], "genre": "jazz", "instruments": ["piano"],
     "moods": ["calm"], "tempo_bpm": 60, "key": "A minor", "meter": "3/4"},
    {"captions": ["fast techno, drums", "dark techno with drums and a flute"], "genre": "techno",
     "instruments": ["drums", "flute"], "moods": ["dark"], "tempo_bpm": 140, "key": "C major", "meter": "4/4"},
    {"captions": ["something"]},
]  # fmt: skip
TEXT = T5Config(vocab_size=120, dim=16, head_dim=8, num_heads=2, num_layers=1, feed_forward_dim=32)


def write(path: Path, rows: list[dict], zipped: bool = False) -> Path:
    lines = "".join(json.dumps(row) + "\n" for row in rows).encode()
    path.write_bytes(gzip.compress(lines) if zipped else lines)
    return path


def run(data: Path, **objective) -> TrainConfig:
    family = ReadingObjectiveConfig(
        reader=PlanReaderConfig(encoder=TEXT), vocab_size=120, optimizer=AdamWConfig(learning_rate=2e-2), **objective
    )
    return TrainConfig(
        data=str(data), objective=family, steps=40, batch_size=4, tensorboard=False, curves=False, sample_prompts=0,
        validate_every=20, snapshot_every=40, prefetch=0,
    )  # fmt: skip


def test_rows_are_read_from_files_and_folders(tmp_path: Path):
    assert read_rows(write(tmp_path / "a.jsonl.gz", ROWS, zipped=True)) == ROWS
    write(tmp_path / "manifest.jsonl", [*ROWS, {"path": "no captions here"}])
    assert read_rows(tmp_path) == ROWS
    for wrong in (tmp_path / "nothing.jsonl", write(tmp_path / "empty.jsonl", [])):
        with pytest.raises(UserError, match="holds no captions"):
            read_rows(wrong)
    (tmp_path / "broken.jsonl").write_text('{"captions": [\n')
    with pytest.raises(UserError, match="holds no captions"):
        read_rows(tmp_path / "broken.jsonl")


def test_rows_are_divided():
    many = [{"captions": [str(i)]} for i in range(100)]
    learn, validate = divide(many)
    assert len(validate) == 2
    assert len(learn) == 98
    split = [{**row, "split": "valid" if i else "train"} for i, row in enumerate(ROWS)]
    assert divide(split) == (split[:1], split[1:])


def test_facts_in_numbers():
    names = names_in(ROWS)
    assert names == {
        "genres": ("jazz", "techno"), "instruments": ("drums", "flute", "piano"), "moods": ("calm", "dark")
    }  # fmt: skip
    config = PlanReaderConfig(encoder=TEXT, **names)
    batch = PairsInOrder(pairs_of(ROWS, config), 5).batch(0)
    assert batch["genre"].tolist() == [0, 0, 1, 1, UNKNOWN]
    assert batch["instruments"].tolist() == [[0, 0, 1]] * 2 + [[1, 1, 0]] * 2 + [[0, 0, 0]]
    assert batch["tempo"].tolist() == [config.tempo_bin(60)] * 2 + [config.tempo_bin(140)] * 2 + [UNKNOWN]
    assert batch["meter"].tolist() == [METERS.index("3/4")] * 2 + [METERS.index("4/4")] * 2 + [UNKNOWN]
    assert batch["mode"].tolist() == [1, 1, 0, 0, UNKNOWN]


def test_batches_by_number():
    pairs = pairs_of(ROWS, PlanReaderConfig(encoder=TEXT, **names_in(ROWS)))
    source, again = (PairBatches(pairs, 4, seed=3, spoiled=0.5) for _ in range(2))
    late, early = source.batch(70), source.batch(2)
    assert again.batch(2)["captions"] == early["captions"]
    assert late["captions"] != early["captions"]
    plain = PairBatches(pairs, 4, seed=3, spoiled=0.0).batch(2)
    assert set(plain["captions"]) <= {caption for row in ROWS for caption in row["captions"]}
    assert torch.equal(plain["genre"], early["genre"])  # what is true does not depend on how it is typed


def test_spoiled_text_keeps_its_figures():
    text = "smoky jazz, saxophone, upright bass, 92 bpm, relaxed, in F# minor"
    spoiled = [spoil(text, random_for(1, number)) for number in range(200)]
    assert spoiled == [spoil(text, random_for(1, number)) for number in range(200)]
    assert len(set(spoiled)) > 120
    assert sum("92" in one for one in spoiled) > 170
    assert sum("saxophone" in one.lower() for one in spoiled) > 120
    assert all(spoil(word, random_for(2, n)).strip() for word in ("a", "music") for n in range(50))


def test_it_learns_what_words_mean(tmp_path: Path):
    data = write(tmp_path / "rows.jsonl", [row for row in ROWS[:2] for _ in range(30)])
    config = run(data, spoiled=0.2)
    trainer = build(config, tmp_path / "run")
    before = trainer.evaluate()
    trainer.run()
    after = trainer.evaluate()
    assert after["loss"] < 0.5 * before["loss"]
    assert after["genre_accuracy"] == after["meter_accuracy"] == 1.0
    reader = PlanReader.from_pretrained(tmp_path / "run" / "snapshots" / "last" / "model")
    jazz, techno = reader.read(["calm piano jazz", "fast techno, drums, 140 bpm"])
    assert (jazz.stated.genre, jazz.stated.instruments) == ("jazz", ("piano",))
    assert (techno.stated.genre, techno.stated.tempo_bpm) == ("techno", 140)
    assert int(np.argmax(jazz.tempo)) == reader.config.tempo_bin(60)
    further = build(run(data, start_from=str(tmp_path / "run" / "snapshots" / "last" / "model")), tmp_path / "further")
    assert further.evaluate()["loss"] == pytest.approx(after["loss"], rel=1e-3)


def test_a_loss_counts_only_what_is_known(tmp_path: Path):
    trainer = build(run(write(tmp_path / "rows.jsonl", ROWS * 20)), tmp_path / "run")
    objective, batch = trainer.objective, PairsInOrder(trainer.data.pairs, 5).batch(0)
    with torch.no_grad():
        parts = objective._losses(batch, objective._logits(batch))
        rows = [row for row, genre in enumerate(batch["genre"]) if genre != UNKNOWN]
        assert len(rows) == 4
        known = {name: [value[row] for row in rows] for name, value in batch.items()}
        known = {name: torch.stack(v) if isinstance(batch[name], torch.Tensor) else v for name, v in known.items()}
        alone = objective._losses(known, objective._logits(known))
    for name in ("genre", "tempo", "meter", "mode"):
        assert float(parts[name]) == pytest.approx(float(alone[name]), rel=1e-4)
