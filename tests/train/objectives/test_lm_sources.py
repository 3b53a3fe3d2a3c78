"""What a cache must hold for a model: text of its own encoder, sounds for CLAP."""

from pathlib import Path

import pytest
import torch

from cadenza.codec.encodec import EnCodec
from cadenza.conditioning.clap import ClapConfig
from cadenza.conditioning.fuser import FuserConfig
from cadenza.conditioning.provider import ConditioningConfig
from cadenza.conditioning.text import TextEncoder
from cadenza.data.manifest import read_manifest
from cadenza.data.texts import TextForm, Texts
from cadenza.data.writing import write_tokens
from cadenza.errors import UserError
from cadenza.train.run import build
from tiny_clap import DIM, write_tiny_clap
from train.objectives.test_lm import AS_THEY_ARE, turn
from train.tiny import lm_run


def test_encoded_captions_stand_for_the_encoder_that_made_them(tmp_path: Path):
    first = build(lm_run(tmp_path, steps=1), tmp_path / "run")
    first.run()
    folder = first.snapshots / "step_00000001" / "model" / "conditioning" / "text_encoder"
    texts = Texts(TextEncoder.from_pretrained(folder), TextForm(max_tokens=512))
    entries = read_manifest(tmp_path / "audio")
    write_tokens(EnCodec.from_pretrained(tmp_path / "codec"), entries, tmp_path / "encoded", texts=texts)

    def run(**objective: object):
        settings = {"text_encoder": str(folder), "train_text_encoder": False, "captions": AS_THEY_ARE} | objective
        config = lm_run(tmp_path, objective=settings)
        return build(config.model_copy(update={"data": str(tmp_path / "encoded")}), tmp_path / "more")

    trainer = run(condition_dropout=0.0)
    batch = trainer.data.batch(0)
    values = trainer.objective.hearing.drawn(batch, turn())["description"]
    assert all(isinstance(value, torch.Tensor) for value in values)
    assert torch.isfinite(trainer.train_step()["ce"])
    with pytest.raises(UserError, match="words cannot be drawn anew"):
        run(captions=AS_THEY_ARE.model_copy(update={"merge": 0.25}))
    with pytest.raises(UserError, match="holds the text of another encoder"):
        run(text_encoder=lm_run(tmp_path).objective.text_encoder.model_dump())


def test_a_model_that_hears_by_clap_trains_on_sound_and_is_asked_in_words(tmp_path: Path):
    clap = ClapConfig(dim=DIM, window_seconds=0.1, stride_seconds=0.05, num_codebooks=2, codebook_size=4)
    objective = {
        "conditioning": ConditioningConfig(
            dim=16, conditioners={"description": clap}, fuser=FuserConfig(cross=("description",))
        ),
        "text_encoder": None,
        "train_text_encoder": False,
        "clap_encoder": str(write_tiny_clap(tmp_path / "clap")),
        "condition_dropout": 0.5,
    }
    config = lm_run(tmp_path, objective=objective, steps=2, snapshot_every=2)
    with pytest.raises(UserError, match="holds no vectors of CLAP"):
        build(config, tmp_path / "run")
    from cadenza.conditioning.clap import ClapConditioner
    from cadenza.conditioning.clap_encoder import ClapEncoder
    from cadenza.data.sounds import write_sounds

    conditioner = ClapConditioner(clap, 16)
    conditioner.attach(ClapEncoder.from_pretrained(tmp_path / "clap"))
    write_sounds(conditioner, read_manifest(tmp_path / "audio"), tmp_path / "tokens")
    trainer = build(config, tmp_path / "run")
    trainer.run()
    part = trainer.objective.conditioning.conditioner("description")
    assert bool(part.quantizer.layers[0].inited), "its codebooks learn"
    with torch.no_grad():
        for module in trainer.objective.modules.values():
            module.eval()
        values = trainer.objective.evaluate([trainer.data.batch(0)])
    assert {"ce", "ce_null", "ce_text"} <= values.keys()
