"""The codec objective: it learns, in the order that it should, and touches only what it should."""

from pathlib import Path

import pytest
import torch

from cadenza.codec.encodec import EnCodec
from cadenza.data.manifest import read_manifest
from cadenza.errors import UserError
from cadenza.train.objective import Turn
from cadenza.train.objectives.codec import CodecObjective
from cadenza.train.run import build
from train.tiny import CODEC, codec_run, write_audio


def turn(phase: str, step: int = 0, num_micro: int = 1) -> Turn:
    return Turn(phase, step, 0, num_micro, range(2), 0, torch.Generator().manual_seed(step))


def objective(**changes) -> CodecObjective:
    torch.manual_seed(0)
    settings = {"adversarial_start_step": 0} | changes
    return CodecObjective(codec_run(Path("unused"), objective=settings).objective)


def audio(batch: int = 2) -> torch.Tensor:
    time = torch.arange(400) / CODEC.sample_rate
    return 0.5 * torch.stack([torch.sin(2 * torch.pi * 220 * (i + 1) * time) for i in range(batch)])[:, None]


def test_it_overfits_one_batch():
    part = objective(learning_rate=1e-2, adversarial_start_step=50)
    wave, losses = audio(), []
    for step in range(60):
        for phase in part.phases(step):
            phase.optimizer.zero_grad()
            loss = part.loss({"audio": wave}, turn(phase.name, step))
            loss.value.backward()
            phase.optimizer.step()
        losses.append(float(loss.metrics["mel"]))
    assert losses[-1] < 0.2 * losses[0]  # 0.05 measured


def test_the_discriminator_learns_before_the_generator_and_joins_when_told():
    part = objective(adversarial_start_step=5, discriminator_share=0.5)
    names = [[phase.name for phase in part.phases(step)] for step in (4, 5, 6, 7)]
    assert names == [["generator"], ["discriminator", "generator"], ["generator"], ["discriminator", "generator"]]
    assert "adversarial" not in part.loss({"audio": audio()}, turn("generator", 4)).metrics
    assert "adversarial" in part.loss({"audio": audio()}, turn("generator", 6)).metrics


@pytest.mark.parametrize(("share", "steps"), [(1.0, [0, 1, 2, 3, 4, 5]), (2 / 3, [0, 1, 3, 4]), (0.5, [0, 2, 4])])
def test_the_discriminator_learns_in_its_share_of_the_steps(share: float, steps: list[int]):
    part = objective(discriminator_share=share)
    assert [step for step in range(6) if len(part.phases(step)) == 2] == steps
    assert sum(len(part.phases(step)) == 2 for step in range(3000)) == round(3000 * share)


def test_one_number_of_codebooks_is_drawn_for_a_whole_step():
    part = objective(train_codebooks=(1, 2))
    last = part.codec.quantizer.layers[1]
    moved = []
    steps = range(12, 24)
    for step in steps:
        before = last.cluster_size.clone()
        part.loss({"audio": audio()}, turn("discriminator", step))
        moved.append(not torch.equal(before, last.cluster_size))
        before = last.cluster_size.clone()
        for _ in range(2):  # with the shared pass, and with one of its own
            part.loss({"audio": audio()}, turn("generator", step))
        assert moved[-1] != torch.equal(before, last.cluster_size)
    assert 2 < sum(moved) < 10  # of 12 fair draws, 99 in 100 are between
    other = objective(train_codebooks=(1, 2))  # the draw depends on the step, not on what was drawn before
    drawn = [len(other._forward(audio(), turn("generator", step)).codes[0]) for step in reversed(steps)]
    assert moved == [count == 2 for count in reversed(drawn)]


def test_validation_measures_every_bandwidth():
    part = objective(train_codebooks=(1, 2))
    for step in range(30):
        part.codec.forward_train(audio(), torch.Generator().manual_seed(step))
    part.codec.eval()
    with torch.no_grad():
        values = part.evaluate([{"audio": audio()}])
        codes = part.codec.encode(audio()).codes
        alone = part.codec.decode(codes[:, :1])
    assert {name for name in values if name.startswith("mel")} == {"mel", "mel_0.8kbps"}  # 1 codebook, 4 bits, 200 Hz
    assert values["mel_0.8kbps"] == pytest.approx(float(part.mel_loss(alone, audio())), rel=1e-5)
    assert values["mel"] != values["mel_0.8kbps"]


def test_a_number_of_codebooks_that_is_not_there_is_refused():
    with pytest.raises(UserError, match="train_codebooks 3: the codec has 2"):
        objective(train_codebooks=(1, 3))


def test_each_phase_gives_gradients_to_its_own_modules_only():
    part = objective()
    part.loss({"audio": audio()}, turn("discriminator")).value.backward()
    assert all(p.grad is None for p in part.codec.parameters())
    assert all(p.grad is not None for p in part.discriminator.parameters())
    part.discriminator.zero_grad(set_to_none=True)
    part.loss({"audio": audio()}, turn("generator")).value.backward()
    assert all(p.grad is not None for p in part.codec.parameters())
    assert all(p.grad is None for p in part.discriminator.parameters())


def test_both_phases_of_a_step_share_one_forward():
    part = objective()
    part.loss({"audio": audio()}, turn("discriminator"))
    sizes = part.codec.quantizer.layers[0].cluster_size.clone()
    part.loss({"audio": audio()}, turn("generator"))
    assert torch.equal(sizes, part.codec.quantizer.layers[0].cluster_size)
    part.loss({"audio": audio()}, turn("generator"))
    assert not torch.equal(sizes, part.codec.quantizer.layers[0].cluster_size)


def test_under_accumulation_the_discriminator_phase_leaves_codebooks_alone():
    part = objective()
    before = {name: tensor.clone() for name, tensor in part.codec.state_dict().items()}
    part.loss({"audio": audio()}, turn("discriminator", num_micro=2))
    assert all(torch.equal(before[name], tensor) for name, tensor in part.codec.state_dict().items())
    assert part.codec.training


def test_gradient_at_the_output_is_that_of_the_balancer():
    """With one loss the balanced gradient has norm 1 per item, whatever the loss's scale."""
    part = objective(discriminator=None, weights={"mel": 5.0, "l1": 0.0, "commitment": 0.0})
    seen = []
    part.codec.decoder.register_full_backward_hook(lambda module, into, out: seen.append(out[0]))
    part.loss({"audio": audio()}, turn("generator")).value.backward()
    assert float(seen[0].flatten(1).norm(dim=1).mean()) == pytest.approx(1, rel=1e-4)


def test_validation_measures_and_leaves_the_codec_as_it_was():
    part = objective()
    part.codec.forward_train(audio(), None)
    before = {name: tensor.clone() for name, tensor in part.codec.state_dict().items()}
    part.codec.eval()
    with torch.no_grad():
        values = part.evaluate([{"audio": audio()}, {"audio": audio(1)}])
    assert {"si_sdr", "mel", "l1", "bandwidth_kbps", "usage_q1", "perplexity_q0"} <= values.keys()
    assert values["bandwidth_kbps"] == pytest.approx(2 * 4 * 200 / 1000)  # 2 codebooks of 4 bits at 200 Hz
    assert 1 <= values["perplexity_q0"] <= 16 * values["usage_q0"] + 1e-4
    assert all(torch.equal(before[name], tensor) for name, tensor in part.codec.state_dict().items())


def test_a_snapshot_is_playable_and_holds_the_averaged_weights(tmp_path: Path):
    trainer = build(codec_run(write_audio(tmp_path / "audio"), steps=4, ema_decay=0.9), tmp_path / "run")
    trainer.run()
    codec = EnCodec.from_pretrained(trainer.snapshots / "step_00000004" / "model" / "codec")
    entry = read_manifest(tmp_path / "audio")[0]
    assert entry.duration == 0.5
    assert codec.decode(codec.encode(audio()).codes).shape == (2, 1, 400)
    name = "encoder.layers.0.conv.weight_v"
    assert torch.equal(codec.state_dict()[name], trainer.ema.average[f"codec.{name}"])
    assert not torch.equal(codec.state_dict()[name], trainer.objective.modules["codec"].state_dict()[name])
