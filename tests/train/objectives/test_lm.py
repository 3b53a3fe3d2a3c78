"""The language-model objective: known losses, masks, dropout of conditions, and learning."""

import math
from pathlib import Path

import pytest
import torch
from torch.nn import functional as F

from cadenza.checkpoint import read_json, weights_hash
from cadenza.codec.stereo import StereoCodec
from cadenza.conditioning.chroma import ChromaConfig
from cadenza.conditioning.fuser import FuserConfig
from cadenza.conditioning.provider import ConditioningConfig
from cadenza.conditioning.text import TextConfig
from cadenza.convert.stereo import stereo_start
from cadenza.data.captions import CaptionConfig
from cadenza.data.manifest import read_manifest
from cadenza.data.writing import write_tokens
from cadenza.errors import UserError
from cadenza.lm.adapter import AdapterConfig, read_adapter
from cadenza.pipelines.musicgen import MusicGen
from cadenza.train.objective import Turn
from cadenza.train.objectives.lm import LMObjective, masked_cross_entropy
from cadenza.train.objectives.lm_parts import build_parts
from cadenza.train.run import build
from train.tiny import lm_run

AS_THEY_ARE = CaptionConfig(merge=0, word_dropout=0)
CAPTIONS = ["slow tone", "fast tone"] * 10


def make(folder: Path, **changes) -> LMObjective:
    config = lm_run(folder, objective=changes).objective
    return LMObjective(config, build_parts(config, CAPTIONS, seed=0))


def batch(frames: tuple[int, ...] = (12, 12)) -> dict:
    codes = torch.randint(16, (2, 2, 12), generator=torch.Generator().manual_seed(0))
    return {"codes": codes, "frames": torch.tensor(frames), "captions": ["slow tone", "fast tone"]}


def turn(step: int = 0) -> Turn:
    return Turn("lm", step, 0, 1, range(2), 0, torch.Generator().manual_seed(step))


def test_masked_cross_entropy_of_uniform_logits_is_log_v():
    targets = torch.tensor([[[0, 1, -1], [2, -1, -1]]])
    assert masked_cross_entropy(torch.zeros(1, 2, 3, 8), targets).tolist() == pytest.approx([math.log(8)] * 2)


def test_masked_cross_entropy_takes_the_mean_per_codebook_over_what_is_left():
    logits = torch.randn(2, 2, 3, 5, generator=torch.Generator().manual_seed(0))
    targets = torch.tensor([[[0, 1, -1], [2, -1, -1]], [[4, -1, -1], [3, 3, 0]]])
    expected = [F.cross_entropy(logits[:, k].flatten(0, 1), targets[:, k].flatten(), ignore_index=-1) for k in (0, 1)]
    torch.testing.assert_close(masked_cross_entropy(logits, targets), torch.stack(expected))


def test_the_loss_equals_the_one_taken_on_frames(tmp_path: Path):
    """In pattern steps and after reverting the logits to frames, where the model's own method masks."""
    part = make(tmp_path, condition_dropout=1.0)
    part.lm.eval()
    data = batch((12, 7))
    found = part.loss(data, turn())
    logits, mask = part.lm.logits_for_codes(data["codes"], part.conditioning(part.conditioning.null(2)))
    mask = mask & (torch.arange(12) < data["frames"][:, None])[:, None]
    for k in range(2):
        expected = F.cross_entropy(logits[:, k][mask[:, k]], data["codes"][:, k][mask[:, k]])
        # float32 sums in another order
        torch.testing.assert_close(found.metrics[f"ce_q{k}"], expected.detach(), rtol=1e-5, atol=1e-6)


def test_padding_does_not_count(tmp_path: Path):
    part = make(tmp_path, condition_dropout=1.0)
    data, other = batch((12, 5)), batch((12, 5))
    other["codes"][1, :, 5:] = 0
    part.lm.eval()
    assert torch.equal(part.loss(data, turn()).value, part.loss(other, turn()).value)


@pytest.mark.parametrize("trained", [True, False])
def test_the_text_encoder_learns_only_when_asked(trained: bool, tmp_path: Path):
    part = make(tmp_path, condition_dropout=0.0, captions=AS_THEY_ARE, train_text_encoder=trained)
    part.loss(batch(), turn()).value.backward()
    gradients = [p.grad is not None for p in part.text_encoder.model.parameters()]
    assert all(gradients) if trained else not any(gradients)
    assert ("text_encoder" in part.averaged) == trained
    assert all(p.grad is not None for p in part.conditioning.parameters())


def test_it_overfits_one_batch_and_uses_the_text(tmp_path: Path):
    """Two items that differ from the first code on: only the text tells which one comes."""
    part = make(tmp_path, condition_dropout=0.1, captions=AS_THEY_ARE)
    data = batch()
    for step in range(70):
        for phase in part.phases(step):
            phase.optimizer.zero_grad()
            part.loss(data, turn(step)).value.backward()
            phase.optimizer.step()
    with torch.no_grad():
        values = part.evaluate([data])
    assert values["ce"] < 0.1 < math.log(16)
    assert values["ce_null"] > values["ce"] + 0.02
    assert values["ppl"] == pytest.approx(math.exp(values["ce"]))


def test_a_snapshot_plays_through_the_pipeline(tmp_path: Path):
    config = lm_run(tmp_path, steps=2, objective={"name": "tiny", "licence": "MIT"})
    trainer = build(config, tmp_path / "run")
    trainer.run()
    music = MusicGen.from_pretrained(trainer.snapshots / "step_00000002" / "model")
    assert music.config.name == "tiny"
    assert music.generate("slow tone", duration=0.1, seed=1).num_samples == 400
    assert trainer.objective.modules["lm"].training, "saving must not leave the model in evaluation mode"


def test_training_continues_from_a_model_directory(tmp_path: Path):
    first = build(lm_run(tmp_path, steps=2), tmp_path / "run")
    first.run()
    model = first.snapshots / "step_00000002" / "model"
    second = build(lm_run(tmp_path, objective={"start_from": str(model)}), tmp_path / "more")
    with first.ema.applied():
        for name, tensor in first.objective.modules["lm"].state_dict().items():
            assert torch.equal(tensor, second.objective.modules["lm"].state_dict()[name])


WITH_MELODY = {
    "dim": 16,
    "conditioners": {
        "description": TextConfig(dim=16),
        "melody": ChromaConfig(dim=12, length=24, steps_per_second=20.0, null="nothing", stems="none"),
    },
    "fuser": FuserConfig(cross=("description",), sum=("melody",)),
}


def with_melody(folder: Path, **changes) -> LMObjective:
    config = lm_run(folder).objective
    conditioning = ConditioningConfig(**WITH_MELODY | {"dim": config.lm.dim})
    text = config.conditioning.conditioners["description"]
    parts = conditioning.conditioners | {"description": text}
    conditioning = conditioning.model_copy(update={"conditioners": parts})
    return make(folder, conditioning=conditioning.model_dump(), **changes)


def melody_batch() -> dict:
    """Two items with the same words whose codes follow their tunes."""
    melody = torch.tensor([[0] * 6 + [4] * 6, [7] * 6 + [2] * 6], dtype=torch.uint8)
    codes = melody.long()[:, None].expand(-1, 2, -1).clone()
    return {
        "codes": codes,
        "frames": torch.tensor([12, 12]),
        "captions": ["tone", "tone"],
        # 20 frames of codes a second, as many of chroma as there are hops in a second
        "melody": melody.repeat_interleave(1, 1),
        "melody_frames": torch.tensor([12, 12]),
        "start_seconds": torch.tensor([0.0, 0.0], dtype=torch.float64),
    }


def test_a_start_without_its_text_encoder_takes_the_one_that_is_named(tmp_path: Path):
    first = build(lm_run(tmp_path, steps=1), tmp_path / "run")
    first.run()
    model = first.snapshots / "step_00000001" / "model"
    encoder = (model / "conditioning" / "text_encoder").rename(tmp_path / "encoder")
    named = make(tmp_path, start_from=str(model), text_encoder=str(encoder))
    before, after = (part.text_encoder.model.state_dict() for part in (first.objective, named))
    assert before.keys() == after.keys()
    with pytest.raises(UserError, match=r"name one in objective\.text_encoder"):
        make(tmp_path, start_from=str(model), text_encoder=None)


def test_it_learns_to_follow_a_melody(tmp_path: Path):
    part = with_melody(tmp_path, condition_dropout=0.1, melody_dropout=0.2, captions=AS_THEY_ARE)
    data = melody_batch()
    for step in range(70):
        for phase in part.phases(step):
            phase.optimizer.zero_grad()
            part.loss(data, turn(step)).value.backward()
            phase.optimizer.step()
    with torch.no_grad():
        values = part.evaluate([data])
    assert values["ce"] < 0.1
    assert values["ce_text"] > values["ce"] + 0.02, "only the melody tells which one comes"
    assert "ce_null" in values


def test_a_condition_joins_a_model_that_was_trained_without_it(tmp_path: Path):
    """It begins by adding nothing: the model is the one it was."""
    first = build(lm_run(tmp_path, steps=2), tmp_path / "run")
    first.run()
    model = first.snapshots / "step_00000002" / "model"
    before = make(tmp_path, start_from=str(model))
    after = with_melody(tmp_path, start_from=str(model))
    for part in (before, after):
        part.lm.eval()
    data = melody_batch()
    with torch.no_grad():
        assert before.evaluate([data])["ce"] == after.evaluate([data])["ce"]


def test_a_condition_that_joins_learns_through_two_layers(tmp_path: Path):
    first = build(lm_run(tmp_path, steps=1), tmp_path / "run")
    first.run()
    melody = WITH_MELODY["conditioners"]["melody"].model_copy(update={"projection_layers": 2})
    conditioning = first.objective.config.conditioning
    deep = conditioning.model_copy(
        update={"conditioners": {**conditioning.conditioners, "melody": melody}, "fuser": WITH_MELODY["fuser"]}
    )
    model = first.snapshots / "step_00000001" / "model"
    objective = make(tmp_path, start_from=str(model), conditioning=deep.model_dump(), melody_dropout=0.0)
    objective.loss(melody_batch(), turn(0)).value.backward()
    projection = objective.conditioning.conditioner("melody").output_projection
    assert projection[2].weight.grad.abs().max() > 0


def test_a_stereo_start_is_fine_tuned_and_plays(tmp_path: Path):
    """Mono model -> stereo start -> codes of left and right -> training -> two channels that differ."""
    first = build(lm_run(tmp_path, steps=2), tmp_path / "run")
    first.run()
    mono = MusicGen.from_pretrained(first.snapshots / "step_00000002" / "model")
    stereo_start(mono).save_pretrained(tmp_path / "start")
    write_tokens(StereoCodec(mono.codec), read_manifest(tmp_path / "audio"), tmp_path / "stereo")
    start = {"start_from": str(tmp_path / "start")}
    with pytest.raises(UserError, match=r"holds 2 codebooks, the model has 4: compute the cache for it \(in stereo"):
        build(lm_run(tmp_path, steps=2, objective=dict(start)), tmp_path / "wrong")
    config = lm_run(tmp_path, steps=2, objective=dict(start)).model_copy(update={"data": str(tmp_path / "stereo")})
    trainer = build(config, tmp_path / "more")
    trainer.run()
    music = MusicGen.from_pretrained(trainer.snapshots / "step_00000002" / "model")
    audio = music.generate("slow tone", duration=0.2, seed=1)
    assert audio.channels == 2
    assert not (audio.samples[0] == audio.samples[1]).all()


def test_an_adapter_is_all_that_is_trained_and_saved(tmp_path: Path):
    first = build(lm_run(tmp_path, steps=1), tmp_path / "run")
    first.run()
    model = first.snapshots / "step_00000001" / "model"
    adapter = AdapterConfig(rank=2, alpha=2.0)
    config = lm_run(tmp_path, steps=3, objective={"start_from": str(model), "adapter": adapter, "licence": "MIT"})
    trainer = build(config, tmp_path / "tuned")
    objective = trainer.objective
    before = {name: tensor.clone() for name, tensor in objective.lm.state_dict().items()}
    assert list(objective.modules) == ["adapter"]
    trainer.run()
    assert all(torch.equal(tensor, before[name]) for name, tensor in objective.lm.state_dict().items())
    folder = trainer.snapshots / "step_00000003" / "model"
    saved = read_adapter(folder / "adapter.safetensors")
    assert any(pair.up.any() for pair in saved.weights.values()), "branches begin at zero, and have learnt"
    assert (saved.record.base, saved.record.licence) == ("unnamed", "MIT")
    assert saved.record.base_weights == weights_hash(model)
    assert read_json(folder / "config.json") == {"format": 1, "type": "adapter"}


def test_an_adapter_resumes_exactly(tmp_path: Path):
    first = build(lm_run(tmp_path, steps=1), tmp_path / "run")
    first.run()
    start = {"start_from": str(first.snapshots / "step_00000001" / "model"), "adapter": AdapterConfig(rank=2)}
    config = lm_run(tmp_path, steps=4, objective=start)
    whole = build(config, tmp_path / "whole")
    whole.run()
    part = build(config, tmp_path / "part")
    part.train_step()
    part.save()
    again = build(config, tmp_path / "part")
    assert again.resume()
    again.run()
    for name, tensor in whole.ema.average.items():
        assert torch.equal(tensor, again.ema.average[name])


def test_an_adapter_needs_a_model(tmp_path: Path):
    with pytest.raises(UserError, match=r"name its directory in objective\.start_from"):
        make(tmp_path, adapter=AdapterConfig())


def test_checkpointed_layers_have_the_same_gradients(tmp_path: Path):
    make(tmp_path)  # codes and codec are there from now on, and no random numbers go to them
    gradients = []
    for checkpointing in (False, True):
        torch.manual_seed(0)
        part = make(tmp_path, gradient_checkpointing=checkpointing)
        part.loss(batch(), turn()).value.backward()
        gradients.append([p.grad for p in part.lm.parameters()])
    assert all(torch.equal(a, b) for a, b in zip(*gradients, strict=True))


def test_validation_does_not_depend_on_how_it_is_divided(tmp_path: Path):
    part = make(tmp_path)
    part.lm.eval()
    data = batch((12, 3))
    rows = [{name: value[i : i + 1] for name, value in data.items()} for i in range(2)]
    with torch.no_grad():
        whole, parts = part.evaluate([data]), part.evaluate(rows)
    assert whole == pytest.approx(parts, rel=1e-5)  # float32 sums in another order


def test_a_model_that_diverged_is_validated_too(tmp_path: Path):
    trainer = build(lm_run(tmp_path), tmp_path / "run")
    with torch.no_grad():
        for parameter in trainer.objective.modules["lm"].parameters():
            parameter.mul_(1e3)
    values = trainer.evaluate()
    assert values["ce"] > 710, "more than a float holds the exponential of"
    assert values["ppl"] == math.inf
