"""The adversarial codec objective: reconstruct audio through codes so that discriminators cannot tell.

In: batches `{"audio": [B, C, N]}`. Out: a codec. Défossez et al. 2022 (EnCodec), sections 3.3 and 3.4, with the weights
of MusicGen's 32 kHz codec; as in audiocraft, features are not compared relative to their size. Differences: the run may
start without its adversarial losses (`adversarial_start_step`), and the discriminators may see a random crop of every
segment, both to afford them on a CPU; which steps update the discriminators is a rhythm, not a draw.
"""

import math
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, Literal

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, nn

from cadenza.checkpoint import Config, write_json
from cadenza.codec.encodec import EnCodec, EnCodecConfig, EncodecTraining
from cadenza.codec.spectral_decoder import SpectralDecoder
from cadenza.convert.parts import mono_codec
from cadenza.data.batches import Batch, random_for
from cadenza.errors import UserError
from cadenza.evaluate.fidelity import si_sdr
from cadenza.loading import load_codec
from cadenza.nn.ranks import num_ranks
from cadenza.train.balancer import Balancer
from cadenza.train.colours import colour
from cadenza.train.discriminators import (
    Discriminator,
    DiscriminatorConfig,
    SpectraDiscriminator,
    SpectraDiscriminatorConfig,
)
from cadenza.train.losses import MelLoss, MelLossConfig, discriminator_hinge, feature_matching, generator_hinge
from cadenza.train.objective import Loss, Phase, Turn
from cadenza.train.optim import MuonConfig, build_optimizer


class CodecWeights(Config):
    """Shares of the gradient (balanced), or plain weights. The commitment loss is never balanced."""

    adversarial: float = Field(4.0, description="generator hinge")
    features: float = Field(4.0, description="L1 of discriminator features")
    mel: float = Field(2.0, description="multi-scale mel")
    l1: float = Field(0.1, description="waveform L1")
    commitment: float = Field(1.0, description="latent toward its codebook entries; never balanced")
    spectrum: float = Field(1.0, description="distance of magnitudes of a spectral decoder; never balanced")


class CodecObjectiveConfig(Config):
    """Defaults: the 32 kHz codec of MusicGen (400,000 steps of 64 one-second segments)."""

    kind: Literal["codec"] = "codec"
    codec: EnCodecConfig = Field(default_factory=EnCodecConfig, description="the model")
    start_from: str | None = Field(
        None,
        description="codec to continue from, alone or of a whole model: a directory or file of Cadenza, audiocraft or "
        "transformers, or a name such as facebook/encodec_32khz; overrides `codec`",
    )
    reshape: bool = Field(
        False, description="the codec begun from takes the shape of `codec`; parts that it does not have begin anew"
    )
    train_codebooks: tuple[int, ...] = Field(
        (), description="numbers of codebooks, one of which is drawn for every step: one model for several bandwidths"
    )
    decoder_only: bool = Field(False, description="keep encoder and codebooks, so that codes made with them stay valid")
    segment_seconds: float = Field(1.0, gt=0, description="length of a training segment, seconds")
    valid_seconds: float = Field(5.0, gt=0, description="length of a validation segment, seconds")
    coloured_share: float = Field(
        0.0, ge=0, le=1, description="share of training segments in another level, tone and room (`train.colours`)"
    )
    learning_rate: float = Field(3e-4, gt=0, description="of the codec (Adam)")
    muon: MuonConfig | None = Field(None, description="for the codec instead of Adam (spectral codecs)")
    discriminator_learning_rate: float = Field(3e-4, gt=0, description="of the discriminators (Adam)")
    betas: tuple[float, float] = Field((0.5, 0.9), description="of both Adams")
    max_grad_norm: float = Field(0.0, ge=0, description="clip both gradients to this norm; 0: off, as published")
    weights: CodecWeights = Field(default_factory=CodecWeights)
    balance: bool = Field(True, description="weights are shares of the gradient, not factors of the losses")
    mel: MelLossConfig = Field(default_factory=MelLossConfig)
    discriminator: DiscriminatorConfig | None = Field(
        default_factory=DiscriminatorConfig, description="None: no adversary that hears waveforms"
    )
    spectra_discriminator: SpectraDiscriminatorConfig | None = Field(
        None,
        description="adversary of a spectral decoder's magnitudes, instead of the other; the weights of its losses are "
        "then shares of the gradient of `spectrum`",
    )
    adversarial_start_step: int = Field(0, ge=0, description="steps of plain reconstruction before the adversary joins")
    discriminator_share: float = Field(1.0, gt=0, le=1, description="share of steps that update the discriminators")
    discriminator_seconds: float | None = Field(None, description="crop that the discriminators see; None: all")


class CodecObjective:
    """Phases: `discriminator` (hinge on real and detached fake), then `generator` (balanced losses and commitment).

    With one micro-batch per step both phases share one forward of the codec. With accumulation the discriminator phase
    runs the codec apart, without gradients and without moving its codebooks: memory stays that of one micro-batch.
    """

    averaged: Sequence[str] = ("codec",)
    best_metric = "mel"

    def __init__(self, config: CodecObjectiveConfig, device: str | torch.device = "cpu") -> None:
        self.config = config
        self.codec = _begin(config).to(device)
        wrong = [count for count in config.train_codebooks if not 1 <= count <= self.codec.num_codebooks]
        if wrong:
            raise UserError(f"train_codebooks {wrong[0]}: the codec has {self.codec.num_codebooks}, use 1 to as many")
        self._continues = config.start_from is not None and not config.decoder_only
        self._train_mode()
        self.mel_loss = MelLoss(config.mel, self.codec.sample_rate).to(device)
        self.balancer = Balancer(config.weights.model_dump(exclude={"commitment", "spectrum"}), balance=config.balance)
        self.modules: dict[str, nn.Module] = {"codec": self.codec}
        learning = self.codec.decoder if config.decoder_only else self.codec
        optimizer = (
            build_optimizer({"codec": learning}, config.muon)
            if config.muon
            else self._adam(learning, config.learning_rate)
        )
        self._generator = Phase("generator", optimizer, config.max_grad_norm)
        self.discriminator = self._build_discriminator()
        self._phases = [self._generator]
        if self.discriminator is not None:
            self.discriminator.to(device)
            self.modules["discriminator"] = self.discriminator
            optimizer = self._adam(self.discriminator, config.discriminator_learning_rate)
            self._phases.insert(0, Phase("discriminator", optimizer, config.max_grad_norm))
        self._shared: EncodecTraining | None = None

    def _build_discriminator(self) -> Discriminator | SpectraDiscriminator | None:
        config, decoder = self.config, self.codec.decoder
        if config.spectra_discriminator is None:
            return None if config.discriminator is None else Discriminator(config.discriminator)
        if config.discriminator is not None or not isinstance(decoder, SpectralDecoder):
            raise UserError("spectra_discriminator judges a spectral decoder, alone: set discriminator to None")
        return SpectraDiscriminator(config.spectra_discriminator, decoder.num_transforms)

    def _adam(self, module: nn.Module, learning_rate: float) -> torch.optim.Optimizer:
        # fused: one pass over the weights per step instead of a dozen.
        return torch.optim.Adam(module.parameters(), learning_rate, self.config.betas, fused=True)

    def phases(self, step: int) -> Sequence[Phase]:
        if not self._adversarial(step):
            return (self._generator,)
        # Spread evenly, the first at once. The hair's breadth keeps rounding from making 2 of 3 * (2 / 3) more than 2.
        turn, share = step - self.config.adversarial_start_step, self.config.discriminator_share
        learns = math.ceil((turn + 1) * share - 1e-9) > math.ceil(turn * share - 1e-9)
        return self._phases if learns else (self._generator,)

    def all_phases(self) -> Sequence[Phase]:
        return self._phases

    def loss(self, batch: Batch, turn: Turn) -> Loss:
        audio = batch["audio"]
        assert isinstance(audio, Tensor)
        if self.config.coloured_share:  # drawn alike in every phase
            draws = [random_for(turn.seed, turn.step, turn.micro, row, 2) for row in turn.rows]
            audio = colour(audio, self.codec.sample_rate, self.config.coloured_share, draws)
        if self._continues and turn.step == 0:  # of a resumed run the counts are right already
            frames = -(-audio.shape[-1] // self.codec.hop_length)
            self.codec.quantizer.go_on(num_ranks() * len(audio) * frames)
        self._continues = False
        if turn.phase == "discriminator":
            return self._discriminator_loss(audio, turn)
        output, self._shared = self._shared, None
        return self._generator_loss(audio, output or self._forward(audio, turn), turn)

    def _forward(self, audio: Tensor, turn: Turn) -> EncodecTraining:
        """Through as many codebooks as are drawn for this step, the same in every phase, micro-batch and process."""
        counts = self.config.train_codebooks
        count = counts[int(random_for(turn.seed, turn.step, 0, 0, 0, 1).integers(len(counts)))] if counts else None
        return self.codec.forward_train(audio, turn.generator, count)

    def evaluate(self, batches: Iterable[Batch]) -> dict[str, float]:
        """SI-SDR (dB), mel distance, L1, bandwidth, and per codebook the share of entries used and the perplexity.

        Of what a listener gets: codes decoded in full precision, phases included, not of the training pass. Of a codec
        of several bandwidths the distances are those of all codebooks; those of fewer follow, as in `mel_1.5kbps`.
        """
        sums: dict[str, float] = {}
        fewer = sorted({count for count in self.config.train_codebooks if count < self.codec.num_codebooks})
        counts = torch.zeros(self.codec.num_codebooks, self.codec.codebook_size)
        items = 0
        for batch in batches:
            audio = batch["audio"]
            assert isinstance(audio, Tensor)
            with torch.autocast(audio.device.type, enabled=False):
                codes, scale = self.codec.encode(audio)
                for used in (self.codec.num_codebooks, *fewer):
                    rebuilt = self.codec.decode(codes[:, :used], scale)[..., : audio.shape[-1]]
                    end = f"_{self.codec.kbps_of(used):g}kbps" if used < self.codec.num_codebooks else ""
                    for name, value in self._distances(rebuilt, audio).items():
                        sums[name + end] = sums.get(name + end, 0.0) + value * len(audio)
            for k, chosen in enumerate(codes.unbind(1)):
                counts[k] += torch.bincount(chosen.flatten().cpu(), minlength=counts.shape[1])
            items += len(audio)
        shares = counts / counts.sum(1, keepdim=True)
        perplexity = torch.exp(-(shares * shares.clamp_min(1e-12).log()).sum(1))
        metrics = {name: value / items for name, value in sums.items()} | {"bandwidth_kbps": self.codec.bandwidth_kbps}
        for k in range(len(counts)):
            metrics[f"usage_q{k}"] = float((counts[k] > 0).float().mean())
            metrics[f"perplexity_q{k}"] = float(perplexity[k])
        return metrics

    def _distances(self, rebuilt: Tensor, audio: Tensor) -> dict[str, float]:
        ratio = si_sdr(rebuilt.flatten(1), audio.flatten(1)).mean()
        mel, l1 = self.mel_loss(rebuilt, audio), F.l1_loss(rebuilt, audio)
        return {"si_sdr": float(ratio), "mel": float(mel), "l1": float(l1)}

    def state_dict(self) -> dict[str, Any]:
        return {"balancer": self.balancer.state_dict()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.balancer.load_state_dict(state["balancer"])

    def save_playable(self, directory: Path) -> None:
        self.codec.save_pretrained(directory / "codec")
        write_json(directory / "config.json", {"format": 1, "type": "codec"})

    def _train_mode(self) -> None:
        self.codec.train()
        if self.config.decoder_only:
            self.codec.encoder.eval().requires_grad_(False)
            self.codec.quantizer.eval()

    # ---- phases --------------------------------------------------------------------------------------------------

    def _adversarial(self, step: int) -> bool:
        return self.discriminator is not None and step >= self.config.adversarial_start_step

    def _discriminator_loss(self, audio: Tensor, turn: Turn) -> Loss:
        assert self.discriminator is not None
        if turn.num_micro == 1:
            output = self._shared = self._forward(audio, turn)
        else:
            self.codec.eval()
            with torch.no_grad():
                output = self._forward(audio, turn)
            self._train_mode()
        if isinstance(self.discriminator, SpectraDiscriminator):
            judged = self.discriminator([torch.cat(pair) for pair in self._crop_spectra(turn, output, detach=True)])
        else:
            real, fake = self._crop(turn, audio, output.audio.detach())
            judged = self.discriminator(torch.cat([real, fake]))
        logits = [both.float().chunk(2) for both in judged.logits]
        value = discriminator_hinge([real for real, _ in logits], [fake for _, fake in logits])
        return Loss(value, {"discriminator": value.detach()})

    def _generator_loss(self, audio: Tensor, output: EncodecTraining, turn: Turn) -> Loss:
        """A scalar with the balanced gradient at the output, plus the losses that are never balanced."""
        weights = self.config.weights
        heard = output.audio.detach().requires_grad_()
        losses = {}
        with torch.autocast(audio.device.type, enabled=False):
            if weights.l1:
                losses["l1"] = F.l1_loss(heard, audio)
            if weights.mel:
                losses["mel"] = self.mel_loss(heard, audio)
        value = weights.commitment * output.commitment + weights.spectrum * output.spectrum
        direct: dict[str, Tensor] = {}
        if self._adversarial(turn.step):
            if isinstance(self.discriminator, SpectraDiscriminator):
                direct = self._spectra_losses(output, turn)
                value = value + self._beside_spectrum(direct, output.spectrum)
            else:
                losses |= self._adversarial_losses(audio, heard, turn)
        norms: dict[str, Tensor] = {}
        if losses:
            gradient, norms = self.balancer.gradient(losses, heard)
            # A sum over the items of all processes, which average their gradients.
            value = value + num_ranks() * (output.audio * gradient).sum()
        metrics = {name: loss.detach() for name, loss in (losses | direct).items()} | {
            "commitment": output.commitment.detach(),
            "spectrum": output.spectrum.detach(),
            "codebook_usage": output.codebook_usage,
        }
        return Loss(value, metrics | {f"gradient/{name}": norm for name, norm in norms.items()})

    def _adversarial_losses(self, audio: Tensor, heard: Tensor, turn: Turn) -> dict[str, Tensor]:
        assert isinstance(self.discriminator, Discriminator)
        real, fake = self._crop(turn, audio, heard)
        return self._fool(real, fake)

    def _spectra_losses(self, output: EncodecTraining, turn: Turn) -> dict[str, Tensor]:
        pairs = self._crop_spectra(turn, output)
        return self._fool([wanted for wanted, _ in pairs], [made for _, made in pairs])

    def _beside_spectrum(self, losses: dict[str, Tensor], spectrum: Tensor) -> Tensor:
        """The weighted sum, each loss scaled until its gradient at the last layers is as large as the spectrum's.

        Esser et al. 2021 ("Taming Transformers"), equation 7.
        """
        assert isinstance(self.codec.decoder, SpectralDecoder)
        heads = self.codec.decoder.last_weights

        def size(loss: Tensor) -> Tensor:
            found = torch.autograd.grad(loss, heads, retain_graph=True, allow_unused=True)
            return torch.stack([gradient.norm() for gradient in found if gradient is not None]).norm()

        aim, weights = size(spectrum), self.config.weights.model_dump()
        scaled = [weights[name] * aim / (size(loss) + 1e-6) * loss for name, loss in losses.items() if weights[name]]
        return torch.stack(scaled).sum()

    def _fool(self, real: Any, fake: Any) -> dict[str, Tensor]:
        """What the generator minimises, of whatever the discriminator judges."""
        assert self.discriminator is not None
        self.discriminator.requires_grad_(False)
        with torch.no_grad():
            wanted = self.discriminator(real).features
        judged = self.discriminator(fake)
        self.discriminator.requires_grad_(True)
        return {
            "adversarial": generator_hinge([logits.float() for logits in judged.logits]),
            "features": feature_matching(wanted, judged.features).float(),
        }

    def _crop(self, turn: Turn, *audios: Tensor) -> list[Tensor]:
        """The same random excerpt of all, for the discriminators."""
        if self.config.discriminator_seconds is None:
            return list(audios)
        length = round(self.config.discriminator_seconds * self.codec.sample_rate)
        spare = max(0, audios[0].shape[-1] - length)
        start = int(torch.randint(spare + 1, (), generator=turn.generator))
        return [audio[..., start : start + length] for audio in audios]

    def _crop_spectra(self, turn: Turn, output: EncodecTraining, detach: bool = False) -> list[tuple[Tensor, Tensor]]:
        """The same random excerpt of the magnitudes of every transform, the original's first; whole latent frames."""
        frames = output.codes.shape[-1]
        seconds = self.config.discriminator_seconds
        length = frames if seconds is None else min(frames, round(seconds * self.codec.frame_rate))
        start = int(torch.randint(frames - length + 1, (), generator=turn.generator))
        pairs = []
        for made, wanted in output.spectra:
            rate = made.shape[-1] // frames
            excerpt = slice(start * rate, (start + length) * rate)
            pairs.append((wanted[..., excerpt], (made.detach() if detach else made)[..., excerpt]))
        return pairs


def _begin(config: CodecObjectiveConfig) -> EnCodec:
    """A new codec, or one to continue from: of any form that can be loaded, of a stereo model its mono codec."""
    if config.start_from is None:
        return EnCodec(config.codec)
    found = mono_codec(load_codec(config.start_from, "cpu"))
    if not config.reshape:
        return found
    codec = EnCodec(config.codec)
    own, given = codec.state_dict(), found.state_dict()
    lost = [name for name in given if name not in own or own[name].shape != given[name].shape]
    if lost:
        raise UserError(f"{config.start_from}: {lost[0]} has no place in `codec`: give it as many layers, as wide")
    codec.load_state_dict(given, strict=False)
    return codec
