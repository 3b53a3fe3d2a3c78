"""The small Jukebox: what is told of composed music, the stages, and the model directory."""

import json
from pathlib import Path

import pytest
import torch

import jukebox_model
import jukebox_music
import jukebox_small
from cadenza.jukebox.labels import LabelConfig, LabelSet
from cadenza.jukebox.prior import Prior, PriorConfig
from cadenza.jukebox.transformer import TransformerConfig
from cadenza.jukebox.vqvae import JukeboxVQVAE, JukeboxVQVAEConfig
from cadenza.pipelines.jukebox import Jukebox
from cadenza.pipelines.jukebox_labels import LabelBook
from stages import Run


def _row(seed: int, start: float, *instruments: str) -> dict[str, object]:
    return {"seed": seed, "start_seconds": start, "duration": 10.0, "instruments": list(instruments), "genre": "jazz"}


def test_the_lead_instrument_is_the_artist() -> None:
    rows = [_row(1, 0.0, "flute", "piano"), _row(1, 12.5, "piano"), _row(2, 0.0), _row(3, 0.0, "drums")]
    told = jukebox_music.told(rows)
    assert [(row["artist"], row["piece_seconds"]) for row in told] == [
        ("flute", 22.5),
        ("piano", 22.5),
        ("drums", 10.0),
    ]


def test_the_manifest_names_the_same_files(tmp_path: Path) -> None:
    corpus = tmp_path / "corpus"
    corpus.mkdir()
    (corpus / "manifest.jsonl").write_text(json.dumps(_row(1, 0.0, "flute") | {"path": "audio/a.flac"}) + "\n")
    jukebox_music.main([str(corpus), str(tmp_path / "music")])
    row = json.loads((tmp_path / "music" / "manifest.jsonl").read_text())
    assert row["path"] == "../corpus/audio/a.flac"


def test_every_stage_takes_what_is_made_before(tmp_path: Path) -> None:
    for target in (jukebox_small.CPU, jukebox_small.GPU, jukebox_small.small(jukebox_small.CPU)):
        stages = jukebox_small.Chain(target).stages()
        done: set[str] = set()
        for stage in stages:
            assert set(stage.after) <= done
            done.add(stage.name)
        assert {stage.name for stage in stages} >= {
            "corpus-music",
            "vqvae",
            "codes-2",
            "top",
            "middle",
            "bottom",
            "measured",
        }
        assert "left" in Run(stages, tmp_path).table(stages)


@pytest.fixture
def parts(tmp_path: Path) -> list[str]:
    torch.manual_seed(0)
    shape = JukeboxVQVAEConfig(
        sample_rate=8000, downs=(1, 1), widths=(4, 4), depths=(1, 1), latent_dim=4, codebook_size=8
    )
    JukeboxVQVAE(shape).save_pretrained(tmp_path / "vqvae")
    layers = TransformerConfig(dim=8, attention_dim=8, feed_forward_dim=8, layers=("row",), num_rows=4)
    labels = LabelConfig(version="v3", num_genres=2, num_artists=3, max_genres=1)
    for level in (0, 1):
        own = PriorConfig(
            level=level,
            sample_rate=8000,
            hop_length=shape.hop_lengths[level],
            codebook_size=8,
            context_length=16,
            transformer=layers,
            labels=labels,
        )
        Prior(own).save_pretrained(tmp_path / f"level{level}")
        names = LabelSet("v3", {"unknown": 0, "flute": 1, "drums": 2}, {"unknown": 0, "jazz": 1})
        LabelBook({"v3": names}).save(tmp_path / f"level{level}" / "labels.json")
    return [str(tmp_path / name) for name in ("vqvae", "level0", "level1")]


def test_a_model_directory_of_the_parts(parts: list[str], tmp_path: Path) -> None:
    jukebox_model.main([*parts, "--out", str(tmp_path / "model"), "--temperatures", "0.9", "0.8"])
    model = Jukebox.from_pretrained(tmp_path / "model", "cpu", "fp32")
    assert sorted(model.priors) == [0, 1]
    assert model.labels.sets["v3"].artist("Flute") == 1
    assert model.config.temperatures == (0.9, 0.8)


def test_what_does_not_fit_is_not_written(parts: list[str], tmp_path: Path) -> None:
    with pytest.raises(SystemExit, match="MB: this model may have"):
        jukebox_model.main([*parts, "--out", str(tmp_path / "model"), "--limit-mb", "0.001"])
    assert not (tmp_path / "model").exists()
    with pytest.raises(SystemExit, match="two priors of one level"):
        jukebox_model.main([*parts, parts[2], "--out", str(tmp_path / "model")])
