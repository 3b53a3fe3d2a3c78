"""The diffusion objective: it learns to find noise, hears the codes, and leaves a decoder behind."""

from pathlib import Path
from typing import Any

import pytest
import torch

from cadenza.diffusion.band import BandConfig
from cadenza.diffusion.decoder import DiffusionDecoder
from cadenza.diffusion.processor import BandProcessorConfig
from cadenza.diffusion.schedule import NoiseScheduleConfig
from cadenza.diffusion.settings import DiffusionSettings
from cadenza.diffusion.unet import DiffusionUnetConfig
from cadenza.errors import UserError
from cadenza.evaluate.fidelity import mel_distance
from cadenza.train.config import TrainConfig
from cadenza.train.objective import Turn
from cadenza.train.objectives.diffusion import DiffusionObjective
from cadenza.train.objectives.diffusion_config import DiffusionObjectiveConfig
from cadenza.train.run import build
from train.tiny import RATE, write_audio, write_codec

BAND = BandConfig(
    unet=DiffusionUnetConfig(hidden=8, depth=2, kernel_size=8, stride=4, embed_all_levels=True, bottleneck="lstm"),
    schedule=NoiseScheduleConfig(num_steps=20, beta_start=1e-4, beta_end=0.5),
)
LEVELLED = BAND.model_copy(update={"processor": BandProcessorConfig(sample_rate=RATE, num_bands=2, max_items=6)})

HEARING = BAND.model_copy(
    update={"unet": BAND.unet.model_copy(update={"channels": 2}), "prediction": "velocity", "hears_codec": True}
)


@pytest.fixture
def codec(tmp_path: Path) -> Path:
    return write_codec(tmp_path / "codec")


def settings(codec: Path, **changes: Any) -> DiffusionObjectiveConfig:
    values = {"codec": str(codec), "bands": (BAND, LEVELLED), "segment_seconds": 0.1, "valid_seconds": 0.1}
    values["settings"] = DiffusionSettings(calls=3)
    return DiffusionObjectiveConfig(**values | changes)


def objective(codec: Path, **changes: Any) -> DiffusionObjective:
    torch.manual_seed(0)
    return DiffusionObjective(settings(codec, **changes))


def run(data: Path, codec: Path, objective: dict[str, Any] | None = None, **changes: Any) -> TrainConfig:
    values = {"steps": 4, "batch_size": 2, "validate_every": 2, "snapshot_every": 2, "prefetch": 0, "log_every": 1}
    quiet = {"tensorboard": False, "curves": False, "sample_prompts": 0}
    return TrainConfig(data=str(data), objective=settings(codec, **objective or {}), **values | quiet | changes)


def turn(band: int = 0, step: int = 0, rows: range = range(2)) -> Turn:
    return Turn(f"band_{band}", step, 0, 1, rows, 0, torch.Generator().manual_seed(step))


def audio(batch: int = 2, size: int = 400) -> torch.Tensor:
    time = torch.arange(size) / RATE
    return 0.5 * torch.stack([torch.sin(2 * torch.pi * 220 * (i + 1) * time) for i in range(batch)])[:, None]


def learn(part: DiffusionObjective, steps: int) -> list[float]:
    """The losses of a single batch at steps and noise that stay as they are."""
    losses = []
    for _ in range(steps):
        total = 0.0
        for phase in part.phases(0):
            phase.optimizer.zero_grad()
            loss = part.loss({"audio": audio()}, turn(int(phase.name[-1])))
            loss.value.backward()
            phase.optimizer.step()
            total += float(loss.value.detach())
        losses.append(total)
    return losses


def test_it_overfits_one_batch(codec: Path):
    losses = learn(objective(codec, learning_rate=1e-2), 40)
    assert losses[-1] < 0.25 * losses[0]  # 0.12 measured


def test_an_items_loss_depends_on_its_row_alone(codec: Path):
    """So that processes that share a batch compute the same as one."""
    part, sounds = objective(codec), audio()
    both = float(part.loss({"audio": sounds}, turn()).value.detach())
    apart = [
        float(part.loss({"audio": sounds[i : i + 1]}, turn(rows=range(i, i + 1))).value.detach()) for i in range(2)
    ]
    assert both == pytest.approx(sum(apart) / 2, rel=1e-5)
    assert apart[0] != pytest.approx(apart[1], rel=1e-2)


def test_bands_draw_their_own_noise(codec: Path):
    part = objective(codec, bands=(BAND, BAND))
    part.decoder.bands[1].load_state_dict(part.decoder.bands[0].state_dict())
    losses = [float(part.loss({"audio": torch.zeros(2, 1, 400)}, turn(band)).value.detach()) for band in range(2)]
    assert losses[0] != pytest.approx(losses[1], rel=1e-3)


def test_quarters_sum_to_the_mean(codec: Path):
    part = objective(codec)
    metrics = part.loss({"audio": audio()}, turn()).metrics
    quarters = [float(metrics[f"noise_band0_q{number}"]) for number in range(4)]
    assert sum(quarters) / 4 == pytest.approx(float(metrics["noise_band0"]), rel=1e-5)
    assert sum(value > 0 for value in quarters) in (1, 2)  # two items


def test_the_condition_is_heard_unless_it_is_taken_away(codec: Path):
    other = {"audio": audio().flip(0)}
    for conditioned in (True, False):
        part = objective(codec, conditioned=conditioned)
        heard = part._hear({"audio": audio()})
        noisy = torch.randn(2, 1, 400, generator=torch.Generator().manual_seed(0))
        found = [part.decoder.bands[0].unet(noisy, 3, one) for one in (heard.condition, part._hear(other).condition)]
        assert torch.equal(*found) != conditioned


def test_the_condition_is_that_of_the_whole_sound(codec: Path):
    """Bands are filtered after encoding, and sum to the sound."""
    part = objective(codec)
    heard = part._hear({"audio": audio()})
    assert torch.equal(heard.codes, part.codec.encode(audio()).codes)
    torch.testing.assert_close(heard.bands.sum(0), audio(), atol=1e-5, rtol=0)


def test_levels_are_taken_from_the_first_items_and_then_stay(codec: Path):
    part = objective(codec)
    processor = part.decoder.bands[1].processor
    counts = []
    for step in range(5):
        part.loss({"audio": audio() * (1 + step)}, turn(1, step))
        counts.append(float(processor.counts))
    assert counts == [2, 4, 6, 6, 6]
    before = processor.sum_x2.clone()
    part.evaluate([{"audio": audio()}])
    assert torch.equal(before, processor.sum_x2)


def test_segments_are_brought_to_the_level(codec: Path):
    part = objective(codec, level=0.2)
    found = part._level({"audio": torch.cat([audio(), torch.zeros(1, 1, 400)])})
    assert found.std(-1).flatten().tolist() == pytest.approx([0.2, 0.2, 0.0], rel=1e-4)


def test_distances(codec: Path):
    """MSE by the power of the noisy sound's distance: an estimate of zero has the noise's power over it."""
    clean, noise = audio(), torch.randn(2, 1, 400, generator=torch.Generator().manual_seed(1))
    steps = torch.tensor([19, 19])
    values = {}
    for name, changes in {"mse": {}, "l1": {"distance": "l1"}, "norm": {"norm_power": 1.0}}.items():
        part = objective(codec, **changes)
        part.decoder.bands[0].unet.decoders[-1].up.weight.data.zero_()
        values[name] = part._losses(0, clean, steps, noise, part._hear({"audio": clean}))
    noisy = part.decoder.bands[0].schedule.noisy(clean, steps, noise)
    power = noise.square().mean((1, 2))
    torch.testing.assert_close(values["mse"], power)
    torch.testing.assert_close(values["l1"], noise.abs().mean((1, 2)))
    torch.testing.assert_close(values["norm"], power / (noisy - noise).square().mean((1, 2)))


def test_what_a_velocity_says_of_the_noise_is_what_the_sampler_uses(codec: Path):
    """A network that knows the velocity has no loss, and one call takes the sound out of any noise."""
    part = objective(codec, bands=(HEARING,))
    band, noise = part.decoder.bands[0], torch.randn(2, 1, 400, generator=torch.Generator().manual_seed(1))
    heard, clean = part._hear({"audio": audio()}), audio()
    for step in (0, 10, 19):
        kept = band.schedule.alpha_bar[step]
        velocity = kept.sqrt() * noise - (1 - kept).sqrt() * clean
        band.say = lambda noisy, step, condition, heard, velocity=velocity: velocity
        losses = part._losses(0, clean, torch.tensor([step, step]), noise, heard)
        assert float(losses.detach().max()) < 1e-6
        noisy = band.schedule.noisy(clean, torch.tensor([step, step]), noise)
        if step:
            made = band.denoise(heard.condition, iter([noisy]), (step, 0), "ddim", heard=heard.decoded)
            torch.testing.assert_close(made, clean, atol=0.05, rtol=0)


def test_a_band_that_hears_the_codecs_decode_depends_on_it(codec: Path):
    part = objective(codec, bands=(HEARING,), conditioned=False)
    heard = part._hear({"audio": audio()})
    assert heard.decoded is not None
    torch.testing.assert_close(heard.decoded, part.codec.decode(heard.codes))
    steps, noise = torch.tensor([10, 10]), torch.zeros(2, 1, 400)
    losses = [part._losses(0, audio(), steps, noise, heard._replace(decoded=other)) for other in (heard.decoded, noise)]
    assert not torch.equal(*losses)
    codes = heard.codes
    assert part.decoder.decode(codes, calls=2).shape == (2, 1, 400)


def test_validation_is_the_same_each_time_and_however_it_is_cut(codec: Path):
    part = objective(codec)
    for phase in part.modules.values():
        phase.eval()
    sounds = audio(3)
    whole = part.evaluate([{"audio": sounds}])
    pieces = part.evaluate([{"audio": sounds[:2]}, {"audio": sounds[2:]}])
    assert whole == pytest.approx(pieces, rel=1e-4)
    assert whole["loss"] == pytest.approx((whole["noise_band0"] + whole["noise_band1"]) / 2)


def test_decodes_are_judged_beside_the_codecs_own(codec: Path):
    part = objective(codec, valid_decodes=True)
    assert part.best_metric == "mel"
    found = part.evaluate([{"audio": audio(1, 2000)}])
    assert {"mel", "rvm", "codec_mel", "codec_rvm", "loss"} <= found.keys()
    assert found["mel"] != found["codec_mel"]


def test_a_run_leaves_a_decoder_and_goes_on_from_a_snapshot(codec: Path, tmp_path: Path):
    data = write_audio(tmp_path / "audio")
    whole = build(run(data, codec, sample_prompts=1), tmp_path / "whole")
    whole.run()
    first = build(run(data, codec, steps=2), tmp_path / "cut")
    first.run()
    second = build(run(data, codec), tmp_path / "cut")
    assert second.resume()
    second.run()
    models = [tmp_path / name / "snapshots" / "step_00000004" / "model" for name in ("whole", "cut")]
    decoders = [DiffusionDecoder.from_pretrained(path) for path in models]
    codes = torch.randint(16, (1, 2, 20), generator=torch.Generator().manual_seed(0))
    sounds = [decoder.decode(codes) for decoder in decoders]
    assert sounds[0].shape == (1, 1, 400)
    assert torch.equal(*sounds)
    assert sounds[0].abs().max() > 0
    names = sorted(path.name for path in (tmp_path / "whole" / "samples" / "step_00000004").iterdir())
    assert names == ["00_codec.wav", "00_diffusion.wav", "00_recording.wav"]


def test_one_band_learns_and_the_others_stay(codec: Path, tmp_path: Path):
    part = objective(codec, train_bands=(1,))
    before = [{k: v.clone() for k, v in band.state_dict().items()} for band in part.decoder.bands]
    assert [phase.name for phase in part.all_phases()] == ["band_1"]
    learn(part, 1)
    moved = [
        any(not torch.equal(old[name], tensor) for name, tensor in band.state_dict().items())
        for old, band in zip(before, part.decoder.bands, strict=True)
    ]
    assert moved == [False, True]
    part.save_playable(tmp_path / "model")
    further = objective(codec, start_from=str(tmp_path / "model"), train_bands=(0,))
    again = further.decoder.bands[1].state_dict()
    assert all(torch.equal(again[name], tensor) for name, tensor in part.decoder.bands[1].state_dict().items())
    first = further.decoder.bands[0].unet.encoders[0].down.weight.clone()
    assert learn(further, 2)[0] > 0
    assert not torch.equal(first, further.decoder.bands[0].unet.encoders[0].down.weight)


def test_what_does_not_fit_is_refused(codec: Path, tmp_path: Path):
    for wrong in ((2,), (), (-1,)):
        with pytest.raises(UserError, match="the decoder has 2, counted from 0"):
            objective(codec, train_bands=wrong)
    with pytest.raises(UserError, match="num_codebooks 3: the codec has 2"):
        objective(codec, num_codebooks=3)
    objective(codec).save_playable(tmp_path / "model")
    with pytest.raises(UserError, match="has other bands than this recipe"):
        objective(codec, bands=(BAND,), start_from=str(tmp_path / "model"))


def test_fewer_codebooks_are_heard(codec: Path):
    part = objective(codec, num_codebooks=1)
    assert part._hear({"audio": audio()}).codes.shape[1] == 1
    assert part.decoder.config.num_codebooks == 1


# ---- departures from the codec's own sound ---------------------------------------------------------------------------

DEPARTING = HEARING.model_copy(
    update={
        "prediction": "departure",
        "processor": BandProcessorConfig(sample_rate=RATE, num_bands=2),
        "levelled": True,
    }
)


def test_it_begins_with_the_codecs_distance_and_gets_below(codec: Path):
    """The mel distance counts beside the squared error, which is relative to what the codec misses: 1 where there is as
    much noise as nothing is known by."""
    sounds = {"audio": audio(size=4000)}
    part = objective(codec, bands=(DEPARTING,), mel_weight=2.0, learning_rate=1e-2)
    heard = part._hear(sounds)
    band, clean = part.decoder.bands[0], part._project(0, heard.bands[0], heard)
    steps, noise = torch.tensor([0, 19]), torch.randn(2, 1, 4000, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        first = part._losses(0, clean, steps, noise, heard)
    codecs = [mel_distance(ours, wanted, RATE) for ours, wanted in zip(heard.decoded, sounds["audio"], strict=True)]
    kept = band.schedule.alpha_bar[steps]
    weights = (kept / (1 - kept)).clamp(max=1)
    assert first.tolist() == pytest.approx((2 * torch.tensor(codecs) + weights).tolist(), rel=1e-3)
    for _ in range(40):
        part.phases(0)[0].optimizer.zero_grad()
        losses = part._losses(0, clean, steps, noise, heard)
        losses.mean().backward()
        part.phases(0)[0].optimizer.step()
    assert float(losses.detach().mean()) < 0.97 * float(first.mean())  # 0.94 measured


def test_deaf_bands_know_the_codecs_levels_alone(codec: Path):
    """They are trained and saved like others, and what they make has no codes in it but by its levels."""
    deaf = BAND.model_copy(update={"processor": DEPARTING.processor, "levelled": True, "prediction": "velocity"})
    part = objective(codec, bands=(deaf,), conditioned=False)
    assert part.decoder.config.bands[0].needs_codec
    found = part.evaluate([{"audio": audio(size=2000)}])
    assert found["loss"] > 0
    codes = part._hear({"audio": audio(size=2000)}).codes
    assert part.decoder.decode(codes, calls=2).isfinite().all()


def test_own_states_are_those_of_the_decoders_walk(codec: Path):
    """A new network says nothing beyond the codec's sound, so the walk leads from noise to that sound under noise."""
    walk = DiffusionSettings(calls=3, solver="ddim")
    unclipped = DEPARTING.model_copy(update={"schedule": DEPARTING.schedule.model_copy(update={"clip": 1e4})})
    part = objective(codec, bands=(unclipped,), own_states=1.0, settings=walk)
    heard = part._hear({"audio": audio()})
    schedule, beside = part.decoder.bands[0].schedule, part._beside(0, heard)
    noise = torch.randn(2, 1, 400, generator=torch.Generator().manual_seed(0))
    steps = schedule.to_steps(3)
    within = (noise - schedule.signal(steps[0]) * beside) / schedule.noise(
        steps[0]
    )  # the noise that the first call finds
    seen = set()
    for seed in range(12):
        step, state = part._own_state(0, noise, heard, torch.Generator().manual_seed(seed))
        seen.add(step)
        expected = schedule.signal(step) * beside + schedule.noise(step) * within
        torch.testing.assert_close(state, noise if step == steps[0] else expected, rtol=1e-4, atol=1e-4)
    assert seen == set(steps[:-1])
    said = part.loss({"audio": audio()}, turn())
    quarters = [said.metrics[f"noise_band0_q{number}"] for number in range(4)]
    assert sum(bool(value) for value in quarters) == 1, "all items stand at one step"
    said.value.backward()
    assert part.modules["band_0"].decoders[-1].up.weight.grad.abs().sum() > 0


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"bands": (HEARING,), "settings": DiffusionSettings(calls=3, solver="ddim")}, "prediction = departure"),
        ({"bands": (DEPARTING,), "settings": DiffusionSettings(calls=3, solver="ancestral")}, "choose ddim or dpm"),
    ],
)
def test_own_states_need_a_walk_that_is_the_networks_own(codec: Path, changes: dict[str, Any], message: str):
    with pytest.raises(ValueError, match=message):
        settings(codec, own_states=0.5, **changes)
