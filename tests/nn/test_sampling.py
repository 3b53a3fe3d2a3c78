"""Draws that depend on nothing but (seed, frame, codebook), and the choices made with them."""

import pytest
import torch

from cadenza.errors import UserError
from cadenza.nn.sampling import Choice, choose, philox, probabilities, sample, uniforms


def philox_in_plain_integers(counter: list[int], key: list[int]) -> list[int]:
    """The definition in the paper, in Python's own integers."""
    a, b, c, d = counter
    low, high = key
    for _ in range(10):
        first, second = 0xD2511F53 * a, 0xCD9E8D57 * c
        a, b, c, d = (second >> 32) ^ b ^ low, second & 0xFFFFFFFF, (first >> 32) ^ d ^ high, first & 0xFFFFFFFF
        low, high = (low + 0x9E3779B9) & 0xFFFFFFFF, (high + 0xBB67AE85) & 0xFFFFFFFF
    return [a, b, c, d]


# The known answers that come with the authors' Random123 library.
@pytest.mark.parametrize(
    ("counter", "key", "expected"),
    [
        ([0] * 4, [0] * 2, [0x6627E8D5, 0xE169C58D, 0xBC57AC4C, 0x9B00DBD8]),
        ([0xFFFFFFFF] * 4, [0xFFFFFFFF] * 2, [0x408F276D, 0x41C83B0E, 0xA20BC7C6, 0x6D5451FD]),
        (
            [0x243F6A88, 0x85A308D3, 0x13198A2E, 0x03707344],
            [0xA4093822, 0x299F31D0],
            [0xD16CFE09, 0x94FDCCEB, 0x5001E420, 0x24126EA1],
        ),
    ],
)
def test_philox_gives_the_published_values(counter: list[int], key: list[int], expected: list[int]) -> None:
    words = philox(tuple(map(torch.tensor, counter)), tuple(map(torch.tensor, key)))
    assert [int(word) for word in words] == expected == philox_in_plain_integers(counter, key)


def test_uniforms_are_philox_of_seed_frame_and_codebook() -> None:
    seeds, first = [0, 7, 2**64 - 1, 2**33 + 5], 2**32 - 2
    drawn = uniforms(seeds, first, 4, 3)
    for b, seed in enumerate(seeds):
        for k in range(3):
            for i in range(4):
                frame = first + i
                word = philox_in_plain_integers(
                    [frame & 0xFFFFFFFF, k, frame >> 32, 0], [seed & 0xFFFFFFFF, seed >> 32]
                )[0]
                assert float(drawn[b, k, i]) == ((word >> 9) + 0.5) / 2**23


def test_uniforms_do_not_depend_on_the_batch_or_the_window() -> None:
    whole = uniforms([3, 4, 5], 0, 50, 8)
    assert torch.equal(uniforms([4], 20, 30, 4), whole[1:2, :4, 20:])
    assert torch.equal(uniforms([5, 5], 0, 50, 8), whole[2:].expand(2, -1, -1))


def test_uniforms_are_uniform_and_uncorrelated() -> None:
    drawn = uniforms(list(range(20)), 0, 500, 4)
    counts = torch.histc(drawn, 50, 0, 1)
    expected = drawn.numel() / 50
    # Chi-square with 49 degrees of freedom: mean 49, standard deviation 9.9.
    assert 20 < float(((counts - expected) ** 2 / expected).sum()) < 90
    centred = drawn - 0.5
    for shifted, original in (
        (centred[..., 1:], centred[..., :-1]),
        (centred[:, 1:], centred[:, :-1]),
        (centred[1:], centred[:-1]),
    ):
        # Correlation of n independent pairs has a standard deviation of 1 / sqrt(n), here 0.006.
        assert abs(float((shifted * original).mean() * 12)) < 0.03


@pytest.mark.parametrize("seed", [-1, 2**64])
def test_a_seed_out_of_range_is_refused(seed: int) -> None:
    with pytest.raises(UserError, match=str(seed)):
        uniforms([seed], 0, 1, 1)


def one(temperature: float = 1.0, top_k: int = 0, top_p: float = 0.0, greedy: bool = False, size: int = 64) -> Choice:
    return Choice.of([(temperature, top_k, top_p, greedy)], size)


def test_top_k_keeps_ties() -> None:
    logits = torch.tensor([[2.0, 1.0, 1.0, 1.0, 0.0]])
    assert (probabilities(logits, one(top_k=2, size=5)) > 0).tolist() == [[True, True, True, True, False]]
    assert (probabilities(logits, one(top_k=1, size=5)) > 0).tolist() == [[True, False, False, False, False]]
    assert (probabilities(logits, one(top_k=99, size=5)) > 0).all()


def test_top_p_keeps_what_is_not_yet_covered_and_wins_over_top_k() -> None:
    p = torch.tensor([[0.1, 0.5, 0.15, 0.25]])
    # In order .5 .25 .15 .1; before them lie 0, .5, .75, .9: those at most .6 stay.
    assert (probabilities(p.log(), one(top_k=1, top_p=0.6)) > 0).tolist() == [[False, True, False, True]]
    assert (probabilities(p.log(), one(top_p=0.1)) > 0).tolist() == [[False, True, False, False]]


def test_every_item_chooses_as_if_it_were_alone() -> None:
    settings = [
        (1.0, 12, 0.0, False),
        (0.7, 0, 0.9, False),
        (1.3, 0, 0.0, False),
        (1.0, 3, 0.0, True),
        (0.5, 99, 0, False),
    ]
    draw = torch.Generator().manual_seed(0)
    logits = torch.randn(5, 4, 64, generator=draw)
    uniform = torch.rand(5, 4, generator=draw)
    together = sample(logits, uniform, Choice.of(settings, 64))
    alone = [sample(logits[i : i + 1], uniform[i : i + 1], Choice.of([settings[i]], 64)) for i in range(5)]
    assert torch.equal(together, torch.cat(alone))
    assert torch.equal(together[3], logits[3].argmax(-1))


def test_choice_inverts_the_distribution() -> None:
    p = torch.tensor([[0.0, 0.25, 0.0, 0.5, 0.25, 0.0]]) * 8  # weights need not sum to one
    grid = (torch.arange(1000) + 0.5) / 1000
    chosen = choose(p.expand(1000, -1), grid)
    assert torch.bincount(chosen, minlength=6).tolist() == [0, 250, 0, 500, 250, 0]


def test_extreme_draws_never_choose_an_impossible_entry() -> None:
    p = torch.zeros(2, 2048)
    p[:, 100], p[:, 200] = 0.3, 0.7
    edges = torch.tensor([0.5 / 2**23, 1 - 0.5 / 2**23])
    assert choose(p, edges).tolist() == [100, 200]


def test_the_order_of_summing_decides_nothing() -> None:
    """A scan in a tree may let a cumulative float fall by its last bit; sums of whole numbers are the same anyhow."""
    draw = torch.Generator().manual_seed(0)
    p = torch.rand(64, 2048, generator=draw)
    p[:, 1::2] = 0
    uniform = uniforms(list(range(64)), 0, 1, 1)[:, 0, 0]
    chosen = choose(p, uniform)
    assert (p.gather(1, chosen[:, None]) > 0).all()
    exact = p.double().cumsum(-1)
    at = exact.gather(1, chosen[:, None])[:, 0]
    # Weights are rounded to 2^-24 of the largest: 2048 of them, off by sqrt(2048) of that.
    assert ((at - uniform * exact[:, -1]) > -1e-5).all()
    assert ((at - p.gather(1, chosen[:, None])[:, 0] - uniform * exact[:, -1]) < 1e-5).all()


def test_a_full_codebook_of_equal_weights_does_not_overflow() -> None:
    edges = torch.tensor([0.5 / 2**23, 0.5, 1 - 0.5 / 2**23])
    assert choose(torch.ones(3, 2**16), edges).tolist() == [0, 2**15, 2**16 - 1]


def test_weights_that_are_not_numbers_choose_within_the_codebook() -> None:
    p = torch.full((2, 16), float("nan"))
    chosen = choose(p, torch.tensor([0.1, 0.9]))
    assert ((chosen >= 0) & (chosen < 16)).all()


def test_few_kinds_of_steps_for_many_values_of_top_k() -> None:
    logits = torch.randn(1, 4, 300, generator=torch.Generator().manual_seed(0))
    kinds = set()
    for k in range(1, 300, 7):
        choice = one(top_k=k, size=300)
        kinds.add(choice.largest_k)
        exact = choice._replace(largest_k=k)
        assert torch.equal(probabilities(logits, choice), probabilities(logits, exact))
    assert kinds == {1, 8, 16, 32, 64, 128, 256, 300}
    assert one(top_k=0).largest_k == 0


def test_temperature_sharpens_and_zero_is_greedy() -> None:
    logits = torch.randn(1, 4, 64, generator=torch.Generator().manual_seed(0))
    best, low = logits.argmax(-1), torch.full((1, 4), 0.3)
    for choice in (one(0.0), one(greedy=True), one(1e-3), one(top_k=1), one(1e-40)):
        assert torch.equal(sample(logits, low, choice), best)
    cold, warm = probabilities(logits, one(0.5)), probabilities(logits, one(2.0))
    assert (cold.amax(-1) > warm.amax(-1)).all()


def test_frequencies_follow_the_probabilities() -> None:
    logits = torch.tensor([0.0, 1.0, -1.0, 0.5])
    draws = uniforms([11], 0, 20000, 1)[0, 0]
    frequencies = torch.bincount(sample(logits.expand(1, 20000, -1), draws[None], one(size=4))[0], minlength=4) / 20000
    # Four standard deviations of a frequency near one half over 20,000 draws.
    torch.testing.assert_close(frequencies, logits.softmax(0), atol=0.014, rtol=0)
