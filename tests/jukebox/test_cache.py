"""What layers remember: a sequence step by step equals the whole, at the size that each kind needs."""

import pytest
import torch
from torch import Tensor

from cadenza.checkpoint import on_meta
from cadenza.convert.openai_jukebox_prior import RELEASED, prior_config
from cadenza.engine.protocol import Decoder, StepCache
from cadenza.jukebox.attention import LayerKind
from cadenza.jukebox.labels import Piece
from cadenza.jukebox.lyrics import EncodedLyrics, SequenceLyrics
from cadenza.jukebox.prior import Prior, PriorConditions, PriorConfig
from cadenza.jukebox.timing import TimingConfig
from cadenza.jukebox.transformer import TransformerConfig
from cadenza.nn.attention import Memory
from jukebox_priors import PRIORS, farthest, oracle

# Products over one row and over many round differently; measured 9e-7.
CLOSE = 1e-5
KINDS: tuple[LayerKind, ...] = ("row", "column", "previous_row", "dense", "prime")


def prior_of(*layers: LayerKind, lyrics: bool = False) -> Prior:
    """5 rows of 4 or, with lyrics, of 6 columns."""
    stack = TransformerConfig(dim=16, num_heads=2, attention_dim=8, feed_forward_dim=16, layers=layers, num_rows=5)
    reader = stack.model_copy(update={"layers": ("row", "column"), "num_rows": 2})
    config = PriorConfig(codebook_size=32, context_length=20, transformer=stack, timing=TimingConfig(min_seconds=0))
    if "cross" in layers:
        config = config.model_copy(update={"lyrics": EncodedLyrics(num_tokens=6, encoder=reader)})
    elif lyrics:
        config = config.model_copy(update={"lyrics": SequenceLyrics(num_tokens=10)})
    prior = Prior(config).eval()
    generator = torch.Generator().manual_seed(6)
    with torch.no_grad():
        for parameter in prior.parameters():
            torch.nn.init.normal_(parameter, 0.0, 0.5, generator=generator)
    return prior


def conditions(prior: Prior) -> PriorConditions:
    return prior.conditions([Piece(total_length=1000, lyrics=(1, 2, 3)), Piece(total_length=900, offset=100)])


def tokens(prior: Prior, length: int = 20) -> tuple[Tensor, Tensor]:
    """Codes, and what is fed for them."""
    codes = torch.randint(32, (2, length), generator=torch.Generator().manual_seed(7))
    before = torch.full((2, 1), prior.special_token)
    return codes, torch.cat([before, codes + prior.num_symbols], dim=1)[:, None, :length]


@torch.no_grad()
@pytest.mark.parametrize("by_views", [True, False])
@pytest.mark.parametrize(
    ("kind", "lyrics"), [*((kind, lyrics) for kind in KINDS for lyrics in (False, True)), ("cross", False)]
)
def test_steps_equal_the_whole(kind: LayerKind, lyrics: bool, by_views: bool) -> None:
    prior = prior_of(kind, "dense", kind, lyrics=lyrics)
    heard = conditions(prior)
    codes, fed = tokens(prior)
    whole = prior(codes, heard)[:, -20:]
    cache = prior.new_cache(2)
    assert cache.by_views, "the form for a CPU"
    cache.by_views = by_views
    for pieces in ([1] * 20, [20], [3, 1, 9, 7], [8, 4, 8], [13, 1, 1, 5]):
        cache.reset()
        prior.prefill(cache, heard)
        parts = [prior.step(part, cache)[:, 0] for part in fed.split(pieces, dim=2)]
        torch.testing.assert_close(torch.cat(parts, dim=1), whole, rtol=1e-4, atol=1e-4)


@torch.no_grad()
@pytest.mark.parametrize("by_views", [True, False])
@pytest.mark.parametrize("name", PRIORS)
def test_the_references_priors_step_by_step(name: str, by_views: bool) -> None:
    found = oracle(name)
    prior, heard, given = found.prior, found.conditions(), found.io["codes"]
    fed = torch.cat([torch.full((2, 1), prior.special_token), given + prior.num_symbols], dim=1)[:, None]
    cache = prior.new_cache(2)
    cache.by_views = by_views
    prior.prefill(cache, heard)
    prior.feed(fed[:, :, :70], cache)
    parts = [prior.step(part, cache)[:, 0] for part in fed[:, :, 70:96].split([1, 1, 20, 1, 3], dim=2)]
    assert farthest(torch.cat(parts, dim=1), found.io["logits"][:, -26:]) < CLOSE


def test_each_kind_holds_what_it_needs() -> None:
    """Section 4.5 of the reference, in positions of 8 floats, keys and values, for one item."""
    for kind, positions in (("row", 6), ("column", 30), ("previous_row", 12), ("dense", 30), ("prime", 15 + 1)):
        cache = prior_of(kind, lyrics=True).new_cache(1)
        assert cache.num_bytes == positions * 8 * 4 * 2, kind
    assert prior_of("cross").new_cache(1).num_bytes == 0
    assert prior_of("column").new_cache(3, max_steps=9).num_bytes == 3 * 12 * 8 * 4 * 2  # three rows of four


def test_what_the_published_priors_take() -> None:
    """In half precision at full context. Column layers dominate: 0.94 GB of 5b (section 4.5 of the reference)."""
    positions = {
        "5b": 24 * 8192 + 24 * 64 + 24 * 128,
        "upsampler_level_0": 24 * 8192 + 24 * 64 + 24 * 128,
        # Columns and one dense layer, rows, previous rows, and the beginning that three layers look at.
        "1b_lyrics": 24 * 6528 + 22 * 102 + 23 * 204 + 3 * 449,
    }
    for name, expected in positions.items():
        with on_meta():
            prior = Prior(prior_config(RELEASED[name], name)).half()
        assert prior.cache_bytes(1) == expected * prior.config.transformer.attention_dim * 2 * 2


def test_the_engines_protocol_is_spoken() -> None:
    prior = prior_of("row")
    cache = prior.new_cache(2, max_steps=20)
    assert isinstance(prior, Decoder)
    assert isinstance(cache, StepCache)
    assert isinstance(cache.layer(0), Memory)


@torch.no_grad()
def test_a_cache_forgets() -> None:
    prior = prior_of(*KINDS, lyrics=True)
    heard, (_, fed) = conditions(prior), tokens(prior)
    cache = prior.new_cache(2)
    prior.prefill(cache, heard)
    first = prior.step(fed, cache)
    cache.reset()
    assert (cache.length, int(cache.at)) == (0, 0)
    prior.prefill(cache, heard)
    assert torch.equal(prior.step(fed, cache), first)
    with pytest.raises(AssertionError, match="no room: 30 \\+ 1 of 30"):
        prior.step(fed[:, :, :1], cache)


@torch.no_grad()
@pytest.mark.parametrize("by_views", [True, False])
def test_what_is_not_yet_there_is_never_seen(by_views: bool) -> None:
    """Poison in all that is held but not filled must not reach a step."""
    prior = prior_of(*KINDS)
    heard, (_, fed) = conditions(prior), tokens(prior)
    logits = []
    for poison in (0.0, 1e4):
        cache = prior.new_cache(2)
        cache.by_views = by_views
        prior.prefill(cache, heard)
        prior.feed(fed[:, :, :9], cache)  # two rows and a position of the third
        for layer in cache.layers:
            assert layer.held is not None
            free = {"row": slice(1, 4), "previous_row": slice(1, 4), "prime": slice(5, 6)}.get(layer.kind, slice(9, 20))
            for part in layer.held:
                part[:, :, free] = poison
        logits.append(torch.cat([prior.step(fed[:, :, i : i + 1], cache) for i in range(9, 16)], dim=2))
    assert torch.equal(*logits)


@torch.no_grad()
@pytest.mark.parametrize("num_heads", [1, 2])
def test_a_step_has_the_same_bits_on_any_number_of_threads(num_heads: int) -> None:
    """Of wide heads and a long context, which threads share; what `cadenza.engine.threads` changes between steps."""
    layers: tuple[LayerKind, ...] = ("row", "column", "previous_row", "dense")
    stack = TransformerConfig(
        dim=256, num_heads=num_heads, attention_dim=480, feed_forward_dim=256, layers=layers, num_rows=64
    )
    prior = Prior(PriorConfig(codebook_size=2048, context_length=4096, transformer=stack)).eval()
    prior.initialize(torch.Generator().manual_seed(3))
    prior.pack()
    heard, found = prior.conditions([Piece()]), torch.get_num_threads()
    logits = []
    try:
        for threads in (1, 2, 3):
            torch.set_num_threads(threads)
            cache = prior.new_cache(1)
            prior.prefill(cache, heard)
            generator = torch.Generator().manual_seed(4)
            for layer in cache.layers:
                assert layer.held is not None
                for part in layer.held:
                    part.normal_(generator=generator)
            cache.advance(4000)
            logits.append(prior.step(torch.tensor([[[7]]]), cache))
    finally:
        torch.set_num_threads(found)
    assert torch.equal(logits[0], logits[1])
    assert torch.equal(logits[0], logits[2])
