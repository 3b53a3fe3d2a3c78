"""One level of the hierarchy: the reference's numbers, and what must hold for any prior."""

import math
from pathlib import Path

import pytest
import torch
from torch import Tensor

from cadenza.errors import UserError
from cadenza.jukebox.conditioner import ConditionerConfig
from cadenza.jukebox.labels import LabelConfig, Piece
from cadenza.jukebox.lyrics import EncodedLyrics, SequenceLyrics
from cadenza.jukebox.prior import Prior, PriorConfig
from cadenza.jukebox.timing import TimingConfig
from cadenza.jukebox.transformer import TransformerConfig
from jukebox_priors import LYRICS_BESIDE, PRIORS, WITH_LYRICS, farthest, oracle

# Float32 through up to 48 layers, sums in another order than the reference's; measured 1e-6.
CLOSE = 1e-5
STACK = TransformerConfig(
    dim=16,
    num_heads=2,
    attention_dim=8,
    feed_forward_dim=16,
    layers=("row", "column", "previous_row", "dense"),
    num_rows=4,
)
TINY = PriorConfig(codebook_size=32, context_length=24, transformer=STACK)


def built(config: PriorConfig = TINY) -> Prior:
    prior = Prior(config).eval()
    prior.initialize(torch.Generator().manual_seed(3))
    return prior


def codes(length: int = 24) -> Tensor:
    return torch.randint(32, (2, length), generator=torch.Generator().manual_seed(4))


@torch.no_grad()
@pytest.mark.parametrize("name", PRIORS)
def test_outputs_are_those_of_the_reference(name: str) -> None:
    found = oracle(name)
    prior, io, settings, _ = found
    conditions = found.conditions()
    assert torch.equal(conditions.start, io["start_embedding"])
    assert conditions.added is not None
    assert farthest(conditions.added, io["x_cond"]) < CLOSE
    hidden, _ = prior.hidden(io["codes"], conditions)
    assert farthest(hidden, io["hidden"]) < CLOSE
    logits = prior(io["codes"], conditions)
    assert farthest(logits, io["logits"]) < CLOSE
    differ = logits.argmax(-1) != io["logits_argmax"]
    gaps = io["logits"].topk(2, -1).values
    assert not differ.any() or float((gaps[..., 0] - gaps[..., 1])[differ].max()) < 1e-4
    loss = prior.loss(io["codes"], conditions)
    torch.testing.assert_close(loss.total, io["loss"], rtol=CLOSE, atol=0)
    torch.testing.assert_close(loss.music, io["gen_loss"], rtol=CLOSE, atol=0)
    assert (loss.lyrics is None) == (settings["n_tokens"] == 0)
    if loss.lyrics is not None:
        torch.testing.assert_close(loss.lyrics, io["prime_loss"], rtol=CLOSE, atol=0)


@torch.no_grad()
@pytest.mark.parametrize("name", WITH_LYRICS)
def test_lyrics_are_heard_as_in_the_reference(name: str) -> None:
    found = oracle(name)
    conditions = found.conditions()
    assert conditions.lyrics is not None
    assert torch.equal(conditions.lyrics, found.io["lyric_tokens"])
    if name == LYRICS_BESIDE:
        encoder = found.prior.lyric_encoder
        assert encoder is not None
        assert conditions.source is not None
        assert farthest(encoder.hidden(conditions.lyrics), found.io["lyric_encoder.hidden"]) < CLOSE
        assert farthest(conditions.source, found.io["encoder_kv"]) < CLOSE
        assert farthest(encoder.logits(conditions.source), found.io["lyric_logits"]) < CLOSE


@torch.no_grad()
def test_half_precision_keeps_its_head_in_float32(tmp_path: Path) -> None:
    found = oracle(LYRICS_BESIDE)
    found.prior.save_pretrained(tmp_path)
    half = Prior.from_pretrained(tmp_path, dtype=torch.float16)
    assert half.head is not None
    assert (half.head.weight.dtype, half.transformer.compute_dtype) == (torch.float32, torch.float16)
    pieces = found.pieces[:1]
    logits = half(found.io["codes"][:1], half.conditions(pieces))
    # Half precision through 30 layers; the reference's own half-precision run is 3e-3 from its float32 one.
    assert farthest(logits, found.io["logits_fp16_activations"]) < 1e-2


@torch.no_grad()
def test_an_untrained_prior_knows_nothing() -> None:
    prior = built()
    loss = prior.loss(codes(), prior.conditions([Piece(), Piece()]))
    assert loss.lyrics is None
    torch.testing.assert_close(loss.total, torch.full((2,), math.log2(32)), rtol=1e-3, atol=0)


@torch.no_grad()
def test_packed_it_computes_the_same_until_it_is_trained() -> None:
    prior = built()
    heard = prior.conditions([Piece(), Piece()])
    plain, names = prior(codes(), heard), set(prior.state_dict())
    prior.pack()
    torch.testing.assert_close(prior(codes(), heard), plain)
    assert set(prior.state_dict()) == names
    prior.train()
    prior.embedding.weight.mul_(2)
    assert not torch.allclose(prior(codes(), heard), plain)


@torch.no_grad()
def test_the_future_does_not_change_the_past() -> None:
    prior, conditions = built(), None
    conditions = prior.conditions([Piece(), Piece()])
    first = codes()
    second = first.clone()
    second[:, 11] = (second[:, 11] + 1) % 32
    one, other = prior(first, conditions), prior(second, conditions)
    assert torch.equal(one[:, :12], other[:, :12])
    assert not torch.equal(one[:, 12:], other[:, 12:])
    # A window that is not full is the beginning of one that is.
    torch.testing.assert_close(prior(first[:, :9], conditions), one[:, :9])


def test_layers_that_listen_begin_as_nothing() -> None:
    stack = STACK.model_copy(update={"layers": ("row", "cross", "column")})
    reading = EncodedLyrics(num_tokens=8, encoder=STACK)
    prior = built(TINY.model_copy(update={"transformer": stack, "lyrics": reading, "tied_head": False}))
    sung, silent = Piece(total_length=24 * 8, lyrics=(1, 2, 3)), Piece(total_length=24 * 8)
    with torch.no_grad():
        assert torch.equal(prior(codes()[:1], prior.conditions([sung])), prior(codes()[:1], prior.conditions([silent])))
        torch.nn.init.normal_(prior.transformer.layers[1].attention.out_projection.weight)
        assert not torch.equal(
            prior(codes()[:1], prior.conditions([sung])), prior(codes()[:1], prior.conditions([silent]))
        )


@torch.no_grad()
def test_the_level_above_is_heard_where_it_lies() -> None:
    prior = built(TINY.model_copy(update={"conditioner": ConditionerConfig(width=4, depth=1, num_ups=2)}))
    upper = torch.randint(32, (1, 6), generator=torch.Generator().manual_seed(5))
    whole = prior.conditions([Piece()], upper_codes=upper).added
    assert whole is not None
    assert whole.shape == (1, 24, 16)
    short = prior.conditions([Piece()], upper_codes=upper[:, :3]).added
    assert short is not None
    assert short.shape == (1, 12, 16)
    with pytest.raises(UserError, match="level 0 needs the codes of level 1"):
        prior.conditions([Piece()])


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"context_length": 23}, "23 positions do not make 4 equal rows"),
        ({"transformer": STACK.model_copy(update={"num_heads": 3})}, "8 is not a multiple of num_heads 3"),
        ({"lyrics": EncodedLyrics(num_tokens=8, encoder=STACK)}, "cross and encoded lyrics need each other"),
        ({"conditioner": ConditionerConfig(), "timing": TimingConfig()}, "not both"),
        ({"timing": TimingConfig(min_seconds=9, max_seconds=8)}, "no length is both"),
    ],
)
def test_what_does_not_fit_is_said_in_one_line(changes: dict[str, object], message: str) -> None:
    with pytest.raises(UserError, match=message):
        Prior(TINY.model_copy(update=changes))


def test_wrong_pieces_are_refused_in_one_line() -> None:
    prior = built(
        TINY.model_copy(
            update={
                "labels": LabelConfig(num_genres=3, num_artists=4, max_genres=2),
                "lyrics": SequenceLyrics(num_tokens=4),
            }
        )
    )
    for piece, message in (
        (Piece(artist=4), "artist 4 is unknown"),
        (Piece(genres=(0, 1, 2)), "takes 2 at most"),
        (Piece(genres=(3,)), "genre 3 is unknown"),
        (Piece(lyrics=(79,)), "79 is no character"),
        (Piece(lyrics=(1, 2, 3, 4)), "give total_length"),
    ):
        with pytest.raises(UserError, match=message):
            prior.conditions([piece])
