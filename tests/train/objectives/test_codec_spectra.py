"""A spectral codec in training: an adversary of magnitudes, growth of a shipped shape, and sound of other rooms."""

from pathlib import Path

import pytest
import torch

from cadenza.codec.encodec import EnCodec, EnCodecConfig
from cadenza.codec.spectral import SpectralConfig
from cadenza.errors import UserError
from cadenza.train.discriminators import SpectraDiscriminatorConfig
from cadenza.train.losses import MelLossConfig
from cadenza.train.objective import Turn
from cadenza.train.objectives.codec import CodecObjective, CodecObjectiveConfig, CodecWeights

SMALL = {"hop_length": 40, "dim": 16, "num_layers": 1, "fast_dim": 8, "fast_layers": 1, "num_mels": 8}
OLD = SpectralConfig(**SMALL, num_tones=16, tone_window=256)
NEW = OLD.model_copy(update={"low_bins": 20, "low_dim": 8})


def shape(decoder):
    return EnCodecConfig(sample_rate=8000, codebook_size=32, latent_dim=8, encoder=OLD, decoder=decoder)


def objective(decoder=NEW, **changes):
    torch.manual_seed(0)
    settings = {
        "codec": shape(decoder),
        "discriminator": None,
        "spectra_discriminator": SpectraDiscriminatorConfig(filters=(4, 4)),
        "discriminator_seconds": 0.1,
        "mel": MelLossConfig(windows=(64,), num_mels=8),
        "weights": CodecWeights(mel=0.0, l1=0.0, adversarial=0.5, features=0.5),
    }
    return CodecObjective(CodecObjectiveConfig(**settings | changes))


def audio():
    time = torch.arange(1600) / 8000
    return 0.5 * torch.stack([torch.sin(2 * torch.pi * f * time) for f in (220.0, 1330.0)])[:, None]


def step(part, number=0):
    losses = {}
    for phase in part.phases(number):
        turn = Turn(phase.name, number, 0, 1, range(2), 0, torch.Generator().manual_seed(number))
        phase.optimizer.zero_grad()
        loss = part.loss({"audio": audio()}, turn)
        loss.value.backward()
        phase.optimizer.step()
        losses |= {name: float(value) for name, value in loss.metrics.items()}
    return losses


def test_each_adversary_learns_from_the_other_and_touches_only_its_own():
    part = objective(decoder_only=True)
    encoder = {name: value.clone() for name, value in part.codec.encoder.state_dict().items()}
    judge, head = part.discriminator.parts[1].head.bias.clone(), part.codec.decoder.low.head.weight.clone()
    losses = step(part)
    assert {"discriminator", "adversarial", "features", "spectrum"} <= losses.keys()
    assert not torch.equal(judge, part.discriminator.parts[1].head.bias)
    assert not torch.equal(head, part.codec.decoder.low.head.weight)
    assert all(torch.equal(value, encoder[name]) for name, value in part.codec.encoder.state_dict().items())


def test_a_weight_is_a_share_of_the_gradient_of_the_spectrum():
    part = objective()
    output = part.codec.forward_train(audio(), torch.Generator().manual_seed(0))
    pulls = {"adversarial": 1e3 * output.spectra[0].made.mean(), "features": 1e-3 * output.spectra[1].made.mean()}
    heads = part.codec.decoder.last_weights

    def size(loss):
        return torch.cat([g.flatten() for g in torch.autograd.grad(loss, heads, retain_graph=True)]).norm()

    # The pulls act on one transform each, so that their sizes add as those of orthogonal vectors.
    expected = size(output.spectrum) * (0.5**2 + 0.5**2) ** 0.5
    torch.testing.assert_close(size(part._beside_spectrum(pulls, output.spectrum)), expected, rtol=1e-2, atol=0)


def test_only_a_spectral_decoder_alone_can_be_judged_so():
    with pytest.raises(UserError, match="set discriminator to None"):
        objective(codec=EnCodecConfig(sample_rate=8000, codebook_size=32, latent_dim=8))


def test_a_codec_takes_another_shape_and_keeps_what_it_had(tmp_path: Path):
    torch.manual_seed(1)
    old = EnCodec(shape(OLD))
    old.forward_train(audio())
    old.eval().save_pretrained(tmp_path)
    grown = objective(start_from=str(tmp_path), reshape=True).codec.eval()
    assert torch.equal(grown.encode(audio()).codes, old.encode(audio()).codes)
    assert torch.equal(grown.decoder.head.weight, old.decoder.head.weight)
    assert grown.decoder.low is not None
    with pytest.raises(UserError, match="has no place"):
        objective(OLD.model_copy(update={"dim": 24}), start_from=str(tmp_path), reshape=True)
    with pytest.raises(UserError, match="has no place"):
        objective(OLD.model_copy(update={"num_layers": 0}), start_from=str(tmp_path), reshape=True)


def test_coloured_segments_are_those_of_the_seed():
    losses = [step(objective(coloured_share=share))["spectrum"] for share in (1.0, 1.0, 0.0)]
    assert losses[0] == losses[1] != losses[2]
