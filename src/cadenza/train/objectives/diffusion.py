"""The objective of a diffusion decoder: find the noise in one band of a sound, given the codes of all of it.

In: batches `{"audio": [B, 1, N]}`. Out: a `DiffusionDecoder`. Multi-Band Diffusion (San Roman et al. 2023, arXiv
2308.02560). Networks of different bands share nothing, so each has a phase of its own, and bands may as well be trained
in runs of their own (`train_bands`) and their files put into one directory. The codec is frozen. Statistics of bands
are taken from the first items and then stay.
"""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor, nn

from cadenza.codec.base import Codec
from cadenza.convert.parts import mono_codec
from cadenza.data.batches import Batch, random_for
from cadenza.diffusion.band import Band, BandConfig
from cadenza.diffusion.bands import BandSplitter
from cadenza.diffusion.decoder import DiffusionDecoder
from cadenza.diffusion.decoder_config import DiffusionDecoderConfig
from cadenza.diffusion.sampler import steps_for
from cadenza.errors import UserError
from cadenza.evaluate.fidelity import mel_distance, mel_distances
from cadenza.evaluate.rvm import relative_volume
from cadenza.loading import load_codec
from cadenza.nn.ranks import gather_rows
from cadenza.train.objective import Loss, Phase, Turn
from cadenza.train.objectives.diffusion_config import DiffusionObjectiveConfig

QUARTERS = 4
"""Losses are told apart by how much noise there is: by quarters of the schedule, the first with the least."""
_MOST_WEIGHT = 1.0
"""Signal over noise, as powers, up to which the distance from the clean sound counts by it (Hang et al. 2023, arXiv
2303.09556)."""
_SILENCE = 1e-4
"""Standard deviations below it are not raised: there is nothing to hear."""


class Heard(NamedTuple):
    """What a decoder learns from: the bands of the sound, its codes and latent, and the codec's own decode of them, if
    any band hears that."""

    bands: Float[Tensor, "n B 1 N"]
    codes: Int[Tensor, "B K T"]
    condition: Float[Tensor, "B D T"]
    decoded: Float[Tensor, "B 1 N"] | None


class DiffusionObjective:
    """Phases `band_0` ..., one for each band that learns; all see the same segments, each its own noise."""

    def __init__(self, config: DiffusionObjectiveConfig, device: str | torch.device = "cpu") -> None:
        self.config = config
        self.decoder = _begin(config).to(device)
        self.codec = self.decoder.codec
        self.splitter = BandSplitter(self.codec.sample_rate, len(config.bands)).to(device)
        self.learning = tuple(range(len(config.bands))) if config.train_bands is None else config.train_bands
        wrong = [band for band in self.learning if not 0 <= band < len(config.bands)]
        if wrong or not self.learning:
            raise UserError(f"train_bands {list(self.learning)}: the decoder has {len(config.bands)}, counted from 0")
        self.modules: dict[str, nn.Module] = {}
        for band in self.learning:
            network, processor = self._band(band).unet, self._band(band).processor
            self.modules[f"band_{band}"] = network.train()
            if processor is not None:
                self.modules[f"processor_{band}"] = processor
        self.averaged: Sequence[str] = tuple(f"band_{band}" for band in self.learning)
        self.best_metric = "mel" if config.valid_decodes else "loss"
        self._phases = [Phase(f"band_{band}", self._adam(band), config.max_grad_norm) for band in self.learning]
        self._heard: tuple[Batch, Heard] | None = None

    def phases(self, step: int) -> Sequence[Phase]:
        return self._phases

    def all_phases(self) -> Sequence[Phase]:
        return self._phases

    def loss(self, batch: Batch, turn: Turn) -> Loss:
        band = int(turn.phase.removeprefix("band_"))
        heard = self._hear_once(batch)
        steps, noise = [], []
        for row in turn.rows:
            draw = turn.draw(row)
            seed = [draw.getrandbits(62) for _ in range(band + 1)][band]
            step, unit = _draw(seed, self._band(band).schedule.config.num_steps, heard.bands.shape[2:])
            steps.append(step)
            noise.append(unit)
        clean = self._project(band, heard.bands[band], heard, turn.generator)
        place, unit_noise, state = torch.tensor(steps, device=clean.device), torch.stack(noise).to(clean), None
        if self.config.own_states and float(torch.rand((), generator=turn.generator)) < self.config.own_states:
            step, state = self._own_state(band, unit_noise, heard, turn.generator)
            place = torch.full_like(place, step)
        losses = self._losses(band, clean, place, unit_noise, heard, state)
        return Loss(losses.mean(), self._by_quarter(band, losses.detach(), place))

    @torch.no_grad()
    def evaluate(self, batches: Iterable[Batch]) -> dict[str, float]:
        """Losses at fixed steps with fixed noise, one in each quarter of the schedule, so that curves compare.

        With `valid_decodes` also of whole decodes: mel distance and relative volume of the mel error, and those of the
        codec's own decoder from the same codes.
        """
        sums: dict[str, float] = {}
        items = 0
        for batch in batches:
            heard = self._hear(batch)
            found = self._fixed_losses(heard, items)
            if self.config.valid_decodes:
                found |= self._distances(batch, heard, items)
            for name, values in found.items():
                sums[name] = sums.get(name, 0.0) + float(values.sum())
            items += len(heard.condition)
        return {name: value / items for name, value in sums.items()}

    def state_dict(self) -> dict[str, Any]:
        return {}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        assert not state

    def save_playable(self, directory: Path) -> None:
        self.decoder.save_pretrained(directory)

    def _adam(self, band: int) -> torch.optim.Optimizer:
        config = self.config
        return torch.optim.Adam(self._band(band).unet.parameters(), config.learning_rate, config.betas, fused=True)

    def _band(self, number: int) -> Band:
        band = self.decoder.bands[number]
        assert isinstance(band, Band)
        return band

    # ---- parts of a step -----------------------------------------------------------------------------------------

    def _hear_once(self, batch: Batch) -> Heard:
        """With one micro-batch per step the bands share it; else it is made anew, and memory stays that of one."""
        if self._heard is None or self._heard[0] is not batch:
            self._heard = batch, self._hear(batch)
        return self._heard[1]

    @torch.no_grad()
    def _hear(self, batch: Batch) -> Heard:
        audio = self._level(batch)
        with torch.autocast(audio.device.type, enabled=False):
            codes = self.codec.encode(audio).codes
            hears = any(band.needs_codec for band in self.config.bands)
            decoded = self.codec.decode(codes)[..., : audio.shape[-1]] if hears else None
            return Heard(self.splitter(audio), codes, self.codec.decode_latent(codes), decoded)

    def _level(self, batch: Batch) -> Float[Tensor, "B 1 N"]:
        audio = batch["audio"]
        assert isinstance(audio, Tensor)
        if self.config.level is None:
            return audio
        return audio * (self.config.level / audio.std(-1, keepdim=True).clamp_min(_SILENCE))

    @torch.no_grad()
    def _project(
        self, band: int, audio: Tensor, heard: Heard, generator: torch.Generator | None = None
    ) -> Float[Tensor, "B 1 N"]:
        """The band as its network sees it; with a generator its levels are noted first, while they are being taken."""
        processor = self._band(band).processor
        with torch.autocast(audio.device.type, enabled=False):
            levels = self._band(band).levels(heard.decoded)
            if processor is not None and levels is None and generator is not None and not processor.is_complete:
                processor.observe(gather_rows(audio), generator)
            return self._band(band).project(audio, levels)

    @torch.no_grad()
    def _own_state(
        self, number: int, noise: Tensor, heard: Heard, generator: torch.Generator
    ) -> tuple[int, Float[Tensor, "B 1 N"]]:
        """A step of the decoder's walk, drawn for the batch, and where the network's own answers lead by then."""
        band, settings = self._band(number), self.config.settings
        steps = steps_for(band.schedule, settings.calls, settings.solver)
        call = int(torch.randint(settings.calls, (), generator=generator))
        beside = self._beside(number, heard)
        state = band.walk(heard.condition, iter([noise]), steps[: call + 1], settings.solver, beside=beside)
        return steps[call], state

    def _beside(self, number: int, heard: Heard) -> Float[Tensor, "B 1 N"] | None:
        """The codec's own decode as the network sees it, if it hears that."""
        if not self._band(number).config.hears_codec or heard.decoded is None:
            return None
        return self._project(number, heard.decoded, heard)

    def _losses(
        self,
        number: int,
        clean: Tensor,
        steps: Tensor,
        noise: Tensor,
        heard: Heard,
        state: Float[Tensor, "B 1 N"] | None = None,
    ) -> Float[Tensor, " B"]:
        """Per item: how far what the network says is from what is true. `state`: what it hears, where that is not the
        true sound under noise."""
        band = self._band(number)
        noisy = band.schedule.noisy(clean, steps, noise) if state is None else state
        beside = self._beside(number, heard)
        said, wanted = band.say(noisy, steps, heard.condition, beside).float(), noise
        kept = band.schedule.alpha_bar.to(steps.device)[steps][:, None, None]
        if band.config.prediction == "velocity":
            wanted = kept.sqrt() * noise - (1 - kept).sqrt() * clean
        elif beside is not None and band.config.prediction == "departure":
            wanted = clean - beside
        apart = F.mse_loss if self.config.distance == "mse" else F.l1_loss
        losses = apart(said, wanted, reduction="none").mean((1, 2))
        if band.config.prediction == "departure":
            # Relative to what the codec misses, which a few clips have a hundred times as much of as others, and as far
            # as the noise is off, but no more than at some noise: where there is none, all is known.
            missed = apart(torch.zeros_like(wanted), wanted, reduction="none").mean((1, 2)).clamp_min(1e-8)
            weight = (kept / (1 - kept)).clamp_max(_MOST_WEIGHT)[:, 0, 0]
            losses = losses / missed * (weight if state is None else _MOST_WEIGHT)
        if self.config.norm_power:
            losses = losses / (noisy - noise).square().mean((1, 2)).clamp_min(1e-8) ** self.config.norm_power
        if self.config.mel_weight:
            found = band.clean(noisy, steps, said, beside)
            losses = losses + self.config.mel_weight * self._mel_distances(number, found, beside, heard)
        return losses

    def _mel_distances(self, number: int, found: Tensor, beside: Tensor | None, heard: Heard) -> Float[Tensor, " B"]:
        """Of what the network takes for its band, among the true sound of the others."""
        band = self._band(number)
        with torch.autocast(found.device.type, enabled=False):
            whole = heard.bands.sum(0)
            made = band.sound(found, beside, heard.decoded) + (whole - heard.bands[number])
            return mel_distances(made.flatten(0, 1), whole.flatten(0, 1), self.codec.sample_rate)

    def _by_quarter(self, band: int, losses: Tensor, steps: Tensor) -> dict[str, Tensor]:
        """The mean, and those of quarters of the schedule. A quarter is drawn as often as the others, so that over many
        steps four times its share of the mean is its mean, and no batch has to have all of them."""
        quarters = steps * QUARTERS // self._band(band).schedule.config.num_steps
        name = f"noise_band{band}"
        parts = {
            f"{name}_q{number}": QUARTERS * torch.where(quarters == number, losses, 0.0).mean()
            for number in range(QUARTERS)
        }
        return {name: losses.mean()} | parts

    # ---- validation ------------------------------------------------------------------------------------------------

    def _fixed_losses(self, heard: Heard, first: int) -> dict[str, Tensor]:
        found: dict[str, Tensor] = {}
        for band in self.learning:
            clean, size = self._project(band, heard.bands[band], heard), self._band(band).schedule.config.num_steps
            for number in range(QUARTERS):
                draws = [random_for(0, first + i, band, number) for i in range(len(clean))]
                low, high = (-(-size * edge // QUARTERS) for edge in (number, number + 1))
                steps = torch.tensor([int(draw.integers(low, high)) for draw in draws], device=clean.device)
                noise = torch.stack([torch.from_numpy(draw.standard_normal(clean.shape[1:], "f")) for draw in draws])
                losses = self._losses(band, clean, steps, noise.to(clean), heard)
                found[f"noise_band{band}_q{number}"] = losses
            names = [f"noise_band{band}_q{number}" for number in range(QUARTERS)]
            found[f"noise_band{band}"] = torch.stack([found[name] for name in names]).mean(0)
        found["loss"] = torch.stack([found[f"noise_band{band}"] for band in self.learning]).mean(0)
        return found

    def _distances(self, batch: Batch, heard: Heard, first: int) -> dict[str, Tensor]:
        audio, rate = self._level(batch), self.codec.sample_rate
        seeds = list(range(first, first + len(audio)))
        with torch.autocast(audio.device.type, enabled=False):
            made = {
                "": self.decoder.decode(heard.codes, seed=seeds),
                "codec_": self.codec.decode(heard.codes),
            }
        found: dict[str, Tensor] = {}
        original = audio.cpu()
        for who, sounds in made.items():
            pairs = list(zip(sounds[..., : audio.shape[-1]].cpu(), original, strict=True))
            found[f"{who}mel"] = torch.tensor([mel_distance(ours, wanted, rate) for ours, wanted in pairs])
            found[f"{who}rvm"] = torch.tensor([relative_volume(ours, wanted, rate).mean for ours, wanted in pairs])
        return found


def _begin(config: DiffusionObjectiveConfig) -> DiffusionDecoder:
    """A new decoder of a codec, or one to go on from."""
    if config.start_from is not None:
        found = DiffusionDecoder.from_pretrained(config.start_from)
        found.codec.requires_grad_(False)
        if found.config.bands != _bands(config, found.codec):
            raise UserError(f"{config.start_from} has other bands than this recipe: give it the same")
        return found
    codec = mono_codec(load_codec(config.codec, "cpu")).float().eval().requires_grad_(False)
    if config.num_codebooks is not None:
        if config.num_codebooks > codec.config.num_codebooks:
            raise UserError(f"num_codebooks {config.num_codebooks}: the codec has {codec.config.num_codebooks}")
        codec.config = codec.config.model_copy(update={"used_codebooks": config.num_codebooks})
    return DiffusionDecoder(
        DiffusionDecoderConfig(
            name=config.name,
            licence=config.licence,
            sample_rate=codec.sample_rate,
            channels=codec.channels,
            bands=_bands(config, codec),
            condition_dim=_latent_dim(codec),
            frame_rate=codec.frame_rate,
            num_codebooks=codec.num_codebooks,
            codebook_size=codec.codebook_size,
            settings=config.settings,
            **({} if config.level is None else {"level": config.level}),
        ),
        codec,
    )


def _latent_dim(codec: Codec) -> int:
    return codec.decode_latent(torch.zeros(1, codec.num_codebooks, 1, dtype=torch.int64)).shape[1]


def _bands(config: DiffusionObjectiveConfig, codec: Codec) -> tuple[BandConfig, ...]:
    """As configured, each network with the condition that this codec gives, or none."""
    heard = _latent_dim(codec) if config.conditioned else None
    return tuple(
        band.model_copy(
            update={"unet": band.unet.model_copy(update={"condition_dim": heard, "num_steps": band.schedule.num_steps})}
        )
        for band in config.bands
    )


def _draw(seed: int, num_steps: int, shape: Sequence[int]) -> tuple[int, Tensor]:
    """A step and unit noise for one item, which depend on its seed alone."""
    generator = torch.Generator().manual_seed(seed)
    return int(torch.randint(num_steps, (), generator=generator)), torch.randn(*shape, generator=generator)
