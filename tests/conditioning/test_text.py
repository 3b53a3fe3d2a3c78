"""Text conditions: the reference's embeddings, empty sentences, limits, normalisation."""

from pathlib import Path

import pytest
import torch

from cadenza.conditioning.text import TextConditioner, TextConfig, TextEncoder
from cadenza.errors import UserError
from musicgen_oracles import NAMES, oracle

T5_TINY = Path(__file__).parents[1] / "parity" / "t5_tiny"


def conditioner(**changes: object) -> TextConditioner:
    torch.manual_seed(0)
    part = TextConditioner(TextConfig(dim=48, **changes), 16)
    part.encoder = TextEncoder.from_pretrained(T5_TINY)
    return part


@pytest.mark.parametrize("name", NAMES)
@torch.no_grad()
def test_embeddings_of_the_reference(name: str) -> None:
    reference = oracle(name)
    condition = reference.provider.conditions(reference.prepared())["description"]
    assert torch.equal(condition.mask, reference.expected["condition.description.mask"].bool())
    # Float32 sums in another order through T5: measured 1e-6 on values of size 3.
    torch.testing.assert_close(condition.embedding, reference.expected["condition.description"], atol=1e-5, rtol=1e-5)


@torch.no_grad()
def test_nothing_said_is_exactly_zero() -> None:
    part = conditioner()
    torch.nn.init.ones_(part.output_projection.bias)
    condition = part(part.prepare(["piano", None, "", "  \n"]))
    assert condition.mask.any(1).tolist() == [True, False, False, False]
    assert not bool(condition.embedding[1:].any())
    alone = part(part.prepare([None]))
    assert alone.embedding.shape == (1, 1, 16)
    assert not bool(alone.embedding.any())


@torch.no_grad()
def test_a_batch_equals_its_items() -> None:
    part = conditioner()
    texts = ["slow sad piano melody", "rock", "slow sad piano melody"]
    together = part.prepare(texts)
    for text, features in zip(texts, together, strict=True):
        torch.testing.assert_close(features, part.prepare([text])[0], atol=1e-5, rtol=1e-5)


@torch.no_grad()
def test_long_texts_are_refused_or_cut() -> None:
    long = "piano " * 10_000
    with pytest.raises(UserError, match="tokens, at most 512 fit: shorten it") as caught:
        conditioner().prepare([long])
    assert len(str(caught.value)) < 120
    part = conditioner(max_tokens=20, truncate=True, pad_to=25)
    condition = part(part.prepare([long, "rock"]))
    assert condition.embedding.shape == (2, 25, 16)
    assert int(condition.mask[0].sum()) == 20


def test_what_is_not_text_or_has_no_encoder_is_refused() -> None:
    with pytest.raises(UserError, match="not int"):
        conditioner().prepare([3])
    part = conditioner()
    part.encoder = None
    with pytest.raises(UserError, match="text_encoder"):
        part.prepare(["rock"])
    assert part.prepare([None]) == [None]


@torch.no_grad()
def test_the_encoder_keeps_its_precision_and_stays_out_of_the_state() -> None:
    part = conditioner()
    exact = part.prepare(["rock"])[0]
    assert all(name.startswith("output_projection") for name in part.state_dict())
    part.to(torch.bfloat16)
    half = part.prepare(["rock"])
    assert torch.equal(half[0], exact)
    assert part(half).embedding.dtype == torch.bfloat16


def test_features_pass_gradients_to_a_trained_encoder() -> None:
    part = conditioner()
    part.encoder.model.requires_grad_(True)
    features = part.encoder.encode(["slow piano", "rock"])
    part(features).embedding.square().sum().backward()
    assert float(part.encoder.model.shared.weight.grad.abs().sum()) > 0


def test_two_linear_layers() -> None:
    part = TextConditioner(TextConfig(dim=512, projection_layers=2), 1024)
    shapes = {name: tuple(tensor.shape) for name, tensor in part.state_dict().items()}
    assert shapes == {
        "output_projection.0.weight": (1024, 512),
        "output_projection.0.bias": (1024,),
        "output_projection.2.weight": (1024, 1024),
        "output_projection.2.bias": (1024,),
    }


@torch.no_grad()
def test_normalised_text() -> None:
    """Sentences with the same meaningful words are one; a sentence of stop words says nothing."""
    part = conditioner(normalize=True)
    slow, other, nothing = part.prepare(["the slow sad pianos, playing", "Slow sad piano play!", "to the"])
    assert torch.equal(slow, other)
    assert nothing is None
    assert torch.equal(slow, conditioner().prepare(["slow sad piano play"])[0])
