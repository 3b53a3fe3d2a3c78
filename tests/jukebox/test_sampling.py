"""From priors to codes: the reference's tokens, and what must hold for any sampling."""

import pytest
import torch
from torch import Tensor

from cadenza.errors import UserError
from cadenza.jukebox import sampling
from cadenza.jukebox.prior import PriorConditions
from cadenza.jukebox.sampling import Draws, sample_level, sample_window
from cadenza.nn.sampling import Choice, probabilities
from jukebox_priors import LEVEL_0, LEVEL_1, PRIORS, TOP, oracle

NOTHING = torch.zeros(2, 0, dtype=torch.long)


def greedy(logits: Tensor, place: int) -> Tensor:
    return logits.argmax(-1)


def race(logits: Tensor, exponentials: Tensor, temperature: float, top_k: int) -> Tensor:
    """The reference's draw: the largest of probability over exponential."""
    choice = Choice.of([(temperature, top_k, 0.0, False)] * len(logits), logits.shape[-1])
    return (probabilities(logits, choice) / exponentials).argmax(-1)


RUNS = {"argmax_full": None, "sampled_temp0.98": (0.98, 0), "sampled_top5": (0.9, 5)}


@torch.no_grad()
@pytest.mark.parametrize("run", RUNS)
@pytest.mark.parametrize("name", PRIORS)
def test_every_token_is_the_one_that_the_reference_chose(name: str, run: str) -> None:
    """Given the tokens before it; that steps equal the whole is another test's."""
    found = oracle(name)
    prior, io = found.prior, found.io
    tokens = io.get(f"{run}.raw", io[run])
    logits = prior(tokens - prior.num_symbols, found.conditions())[:, -96:]
    if run == "argmax_full":
        torch.testing.assert_close(logits, io["argmax_full.logits"], rtol=0, atol=1e-4)
    settings = RUNS[run]
    chosen = logits.argmax(-1) if settings is None else race(logits, io[f"{run}.exponentials"], *settings)
    assert torch.equal(chosen, tokens)


@torch.no_grad()
@pytest.mark.parametrize("name", PRIORS)
def test_a_window_goes_on_as_in_the_reference(name: str) -> None:
    """The end of its shorter run: the 37 codes given there, and all but three of those it chose."""
    found = oracle(name)
    expected = found.io["argmax_partial"]
    new = sample_window(found.prior, found.conditions(), expected[:, :47], 3, greedy, codes_only=False)
    assert torch.equal(new, expected[:, 47:])


@torch.no_grad()
def test_a_whole_window_is_the_references() -> None:
    found = oracle(LEVEL_0)
    given = found.io["codes"][:, :37]
    new = sample_window(found.prior, found.conditions(), given, 59, greedy)
    assert torch.equal(torch.cat([given, new], dim=1), found.io["argmax_primed"])


@torch.no_grad()
@pytest.mark.parametrize(
    ("name", "key"), [*((name, "windowed_argmax_primed") for name in PRIORS), (LEVEL_1, "windowed_argmax")]
)
def test_windows_follow_each_other_as_in_the_reference(name: str, key: str) -> None:
    """The end of the last window but one, and the last: from where a stopped run would go on."""
    found = oracle(name)
    expected, run = found.io[key], found.settings["runs"]["windowed"]
    end = run["starts"][-2] + 96
    given = expected[:, : end - 4]
    states = list(sample_level(found.prior, found.conditions_at, given, 160, run["hop"], greedy, codes_only=False))
    assert [state.shape[1] for state in states] == [end, 160]
    assert torch.equal(states[-1], expected)


# ---- our own draws ---------------------------------------------------------------------------------------------------


@torch.no_grad()
def test_an_item_does_not_depend_on_its_company_nor_on_stops() -> None:
    found = oracle(LEVEL_1)
    prior, upper = found.prior, found.io["windowed.upper_codes"][:, :26]
    begun = found.io["codes"][:, :88]

    def drawn(items: slice, seeds: list[int], given: Tensor) -> list[Tensor]:
        """96 codes, then 104."""
        pieces, above = found.pieces[items], upper[items]
        draws = Draws(seeds, prior.config.level, prior.vocabulary_size, temperature=0.9, top_k=20)

        def heard(start: int) -> PriorConditions:
            return prior.conditions(pieces, start, above[:, start // 4 :])

        return list(sample_level(prior, heard, given, 104, 24, draws))

    first, both = drawn(slice(2), [1, 2], begun)
    assert torch.equal(drawn(slice(1, 2), [2], begun[1:])[-1], both[1:])
    assert torch.equal(drawn(slice(2), [1, 2], first)[-1], both)
    assert not torch.equal(drawn(slice(2), [1, 3], begun)[-1][1], both[1])


@torch.no_grad()
def test_a_long_window_is_handed_over_in_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is there by then is all that counts: a run that begins with it goes on the same."""
    monkeypatch.setattr(sampling, "KEEP_EVERY", 16)
    found = oracle(LEVEL_0)

    def heard(start: int) -> PriorConditions:
        assert start == 0
        return found.conditions()

    def drawn(given: Tensor) -> list[Tensor]:
        return list(sample_level(found.prior, heard, given, 96, 48, Draws([1, 2], 0, 64, 0.9)))

    parts = drawn(found.io["codes"][:, :60])
    assert [part.shape[1] for part in parts] == [64, 80, 96]
    assert torch.equal(drawn(parts[1])[0], parts[2])
    monkeypatch.setattr(sampling, "KEEP_EVERY", 96)
    (whole,) = drawn(found.io["codes"][:, :60])
    assert torch.equal(whole, parts[2])


def test_levels_draw_other_numbers() -> None:
    flat = torch.zeros(1, 64)
    chosen = [[int(Draws([5], level, 64)(flat, place)) for place in range(250, 266)] for level in (0, 1, 0)]
    assert chosen[0] == chosen[2] != chosen[1]
    assert int(Draws([5], 0, 64, temperature=0)(torch.arange(64.0)[None], 3)) == 63


@torch.no_grad()
def test_lyrics_are_never_sung_as_codes() -> None:
    found = oracle(TOP)
    symbols = found.prior.num_symbols
    places: list[int] = []

    def lyrics_first(logits: Tensor, place: int) -> Tensor:
        assert bool(torch.isinf(logits[:, :symbols]).all())
        assert bool(torch.isfinite(logits[:, symbols:]).all())
        return logits.argmax(-1)

    new = sample_window(
        found.prior, found.conditions(), found.io["codes"][:, :60], 2, lyrics_first, 100, on_code=places.append
    )
    assert places == [1, 2]
    assert int(new.min()) >= 0
    free = sample_window(
        found.prior,
        found.conditions(),
        NOTHING,
        2,
        lambda logits, place: torch.tensor([3, symbols + 5]),
        codes_only=False,
    )
    assert free.tolist() == [[0, 0], [5, 5]]  # a character becomes code 0, as in the original


def test_too_much_is_refused_in_one_line() -> None:
    found = oracle(LEVEL_0)
    with pytest.raises(UserError, match="a window of 97 codes: this prior's context is 96"):
        sample_window(found.prior, found.conditions(), NOTHING, 97, greedy)
    short = found.prior.conditions(found.pieces, upper_codes=found.io["upper_codes"][:, :10])
    with pytest.raises(UserError, match="41 codes need conditions for each, there are 40"):
        sample_window(found.prior, short, NOTHING, 41, greedy)
