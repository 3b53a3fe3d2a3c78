"""`benchmarks/jukebox_vqvae.py` and `jukebox_levels.py`: a row for everything, and what is known is told apart."""

import importlib
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest
import torch

from cadenza.jukebox.labels import LabelConfig, LabelSet, Piece
from cadenza.jukebox.prior import Prior, PriorConfig
from cadenza.jukebox.transformer import TransformerConfig
from cadenza.jukebox.vqvae import JukeboxVQVAE, JukeboxVQVAEConfig
from cadenza.testing import tone

FOLDER = Path(__file__).parents[1] / "benchmarks"


@pytest.fixture
def benchmark(monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> Iterator[ModuleType]:
    monkeypatch.syspath_prepend(str(FOLDER))
    yield importlib.import_module(request.param)
    for name in (request.param, "ladder"):
        sys.modules.pop(name, None)


def _tiny() -> JukeboxVQVAE:
    torch.manual_seed(0)
    shape = JukeboxVQVAEConfig(
        sample_rate=8000, downs=(3, 2), widths=(4, 4), depths=(1, 1), latent_dim=4, codebook_size=16
    )
    return JukeboxVQVAE(shape).eval()


@pytest.mark.parametrize("benchmark", ["jukebox_vqvae"], indirect=True)
def test_a_row_per_level_and_rate(benchmark: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for number, frequency in enumerate((220.0, 330.0)):
        tone(frequency, duration_seconds=1.0).write(tmp_path / "music" / f"{number}.wav")
    _tiny().save_pretrained(tmp_path / "vqvae")
    monkeypatch.setattr(benchmark, "train", lambda *_: _tiny())
    music, model = str(tmp_path / "music"), f"long={tmp_path / 'vqvae'}"
    benchmark.main([music, music, "--out", str(tmp_path / "out"), "--clips", "2", "--opus", "8", "--model", model])
    record = json.loads((tmp_path / "out" / "jukebox_vqvae.json").read_text())
    rows = {(row["name"], row["level"]): row for row in record["rows"]}
    assert len(rows) == 2 * len(benchmark.VARIANTS) + 2 + 1
    assert rows["shared autoencoder", 1]["over_published_db"]["mean"] == 0.0
    assert rows["long", 0]["convergence_db"] == rows[benchmark.FULL, 0]["convergence_db"]
    assert rows["long", 0]["kbps"] == pytest.approx(4.0)  # 1000 codes of 4 bits a second
    assert "entropy_bits" not in rows["Opus, 8", None]
    table = (tmp_path / "out" / "jukebox_vqvae.md").read_text()
    assert table.count("\n") == 2 + len(rows)


@pytest.mark.parametrize("benchmark", ["jukebox_levels"], indirect=True)
def test_a_level_that_knows_nothing_is_no_better_than_chance(benchmark: ModuleType) -> None:
    layers = TransformerConfig(dim=8, attention_dim=8, feed_forward_dim=8, layers=("row",), num_rows=4)
    shape = PriorConfig(
        codebook_size=16, context_length=16, transformer=layers, labels=LabelConfig(num_genres=2, num_artists=2)
    )
    torch.manual_seed(0)
    prior = Prior(shape)
    prior.initialize(torch.Generator().manual_seed(0))
    torch.nn.init.zeros_(prior.embedding.weight)
    codes = torch.arange(32).view(2, 16) % 16
    found = benchmark.level_bits(prior.eval(), codes, None, [Piece(artist=1), Piece()])
    assert found["prior"] == pytest.approx([4.0, 4.0])
    assert found["table of frequencies"] == pytest.approx([4.0, 4.0])
    assert found["no labels"] == pytest.approx(found["prior"])
    assert benchmark.figures(found)["prior less no labels"]["mean"] == pytest.approx(0.0)


@pytest.mark.parametrize("benchmark", ["jukebox_levels"], indirect=True)
def test_what_is_told_of_a_window(benchmark: ModuleType, tmp_path: Path) -> None:
    row = {
        "path": "a.wav",
        "duration": 11.0,
        "sample_rate": 8000,
        "artist": "Flute",
        "genre": "x",
        "start_seconds": 2.0,
    }
    tone(220.0, duration_seconds=0.1).write(tmp_path / "a.wav")
    (tmp_path / "manifest.jsonl").write_text(json.dumps(row | {"piece_seconds": 20.0, "seed": 1}) + "\n")
    entry = benchmark.one_of_each_piece(tmp_path, 5, 10.0, 0)[0]
    assert benchmark.one_of_each_piece(tmp_path, 5, 10.0, 0, longest_piece=20.0) == []
    names = LabelSet("v3", {"unknown": 0, "flute": 3}, {"unknown": 0})
    assert benchmark.piece_of(entry, 1.5, 8000, names) == Piece(160_000, 28_000, 3, (0,))


@pytest.mark.parametrize("benchmark", ["jukebox_levels"], indirect=True)
def test_silence_is_what_a_decoder_of_nothing_makes(benchmark: ModuleType) -> None:
    vqvae = _tiny()
    for part in vqvae.parameters():
        torch.nn.init.zeros_(part)
    found = benchmark.convergences(vqvae, torch.sin(torch.arange(8000) / 5.0)[None, None])
    assert found == {"level 0": [pytest.approx(0.0, abs=1e-4)], "level 1": [pytest.approx(0.0, abs=1e-4)]}
