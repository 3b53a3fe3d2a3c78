"""Logits and greedy tokens of the reference implementation, exactly, and transformers' padding semantics."""

import pytest
import torch
from torch import Tensor

from cadenza.conditioning.fuser import FusedConditions
from cadenza.lm.generate import GenerationConfig, generate_codes
from cadenza.lm.model import LM, LMConfig
from musicgen_oracles import NAMES, Oracle, oracle


@pytest.fixture(params=NAMES)
def reference(request: pytest.FixtureRequest) -> Oracle:
    return oracle(request.param)


@torch.no_grad()
def test_teacher_forced_logits(reference: Oracle) -> None:
    for key, conditions in (("logits", reference.conditions()), ("logits_null", reference.null())):
        logits, mask = reference.lm.logits_for_codes(reference.expected["codes"], conditions, fill=0.0)
        assert torch.equal(mask, reference.expected["logits_mask"])
        # Float32 sums in another order: measured 2e-6 on logits of size 5.
        torch.testing.assert_close(logits, reference.expected[key], atol=1e-5, rtol=1e-5)


def greedy(
    lm: LM, conditions: FusedConditions | None, null: FusedConditions | None, prompt: Tensor | None = None, **kw: float
) -> Tensor:
    settings = GenerationConfig(greedy=True, **kw)
    batch = 1 if conditions is None else conditions.batch
    frames = generate_codes(lm, conditions, null, settings, 20, [0] * batch, prompt_codes=prompt)
    codes = [part.codes for part in frames]
    return torch.cat(codes if prompt is None else [prompt, *codes], dim=-1)


def test_greedy_generation(reference: Oracle) -> None:
    lm, conditions, null, expected = reference.lm, reference.conditions(), reference.null(), reference.expected
    assert torch.equal(greedy(lm, conditions, null), expected["greedy_cfg3"])
    assert torch.equal(greedy(lm, conditions, null, guidance=1.0), expected["greedy_cfg1"])
    prompt = expected["codes"][:, :, :7]
    assert torch.equal(greedy(lm, conditions, null, prompt), expected["greedy_continue"])


def test_greedy_generation_without_conditions(reference: Oracle) -> None:
    """The reference runs both halves of its guidance on null conditions; one pass is enough."""
    lm, null, expected = reference.lm, reference.null(1), reference.expected["greedy_unconditional"]
    assert torch.equal(greedy(lm, null, None), expected)
    assert torch.equal(greedy(lm, null, null), expected)


def test_greedy_generation_with_packed_weights(reference: Oracle) -> None:
    lm = LM(reference.lm.config).eval()
    lm.load_state_dict(reference.lm.state_dict())
    lm.pack()
    assert torch.equal(greedy(lm, reference.conditions(), reference.null()), reference.expected["greedy_cfg3"])


@pytest.fixture(scope="module")
def padded() -> tuple[LM, Tensor, Tensor, Tensor, Tensor]:
    """A model of transformers and ours with the same weights; a batch with padding; what theirs says to it."""
    from transformers import MusicgenDecoderConfig, MusicgenForCausalLM

    from cadenza.convert.names import transformers_lm

    torch.manual_seed(0)
    shape = {"num_codebooks": 4, "num_hidden_layers": 2, "num_attention_heads": 3, "ffn_dim": 48, "hidden_size": 24}
    theirs = MusicgenForCausalLM(
        MusicgenDecoderConfig(vocab_size=32, pad_token_id=32, bos_token_id=32, dropout=0.0, **shape)
    ).eval()
    config = LMConfig(codebook_size=32, dim=24, num_layers=2, num_heads=3, feed_forward_dim=48)
    ours = LM(config).eval()
    state = theirs.state_dict()
    ours.load_state_dict(
        {name: torch.cat([state[part] for part in parts]) for name, parts in transformers_lm(ours).items()}
    )
    sequence = torch.randint(0, 33, (2, 4, 7))
    mask = torch.tensor([[True] * 6, [True] * 2 + [False] * 4])
    cross = torch.randn(2, 6, 24) * mask[..., None]
    with torch.no_grad():
        logits = theirs(
            sequence.reshape(8, 7), encoder_hidden_states=cross, encoder_attention_mask=mask.long()
        ).logits.view(2, 4, 7, 32)
    return ours, sequence, cross, mask, logits


@torch.no_grad()
def test_transformers_masks_padding_and_audiocraft_attends_to_it(
    padded: tuple[LM, Tensor, Tensor, Tensor, Tensor],
) -> None:
    lm, sequence, cross, mask, expected = padded
    masked = lm(sequence, FusedConditions(cross=cross, cross_mask=mask))
    attended = lm(sequence, FusedConditions(cross=cross))
    # Float32 sums in another order.
    torch.testing.assert_close(masked, expected, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(attended[0], expected[0], atol=1e-5, rtol=1e-5)  # the item without padding
    assert not torch.allclose(attended[1], expected[1], atol=1e-3)
