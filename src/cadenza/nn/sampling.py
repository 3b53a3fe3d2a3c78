"""From logits to a choice, with random numbers that depend on nothing but their names.

In: logits `[..., V]` and one uniform number per choice. Out: indices. The uniform for (seed, frame, codebook) is a
pure function of those three, by the counter-based generator Philox4x32-10 (Salmon et al., 2011, "Parallel random
numbers: as easy as 1, 2, 3"): it is the same in any batch, on any device and with any number of threads, and a run
that starts in the middle draws what the whole run would have drawn there.
"""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from cadenza.errors import UserError

_WORD = 0xFFFFFFFF
_MULTIPLIERS = (0xD2511F53, 0xCD9E8D57)
_KEY_STEPS = (0x9E3779B9, 0xBB67AE85)
_ROUNDS = 10

Words = tuple[Tensor, Tensor, Tensor, Tensor]
"""Four 32-bit words, each in an int64 tensor."""


def philox(counter: Words, key: tuple[Tensor, Tensor]) -> Words:
    """Philox4x32 with ten rounds: a 128-bit counter and a 64-bit key to 128 random bits."""
    a, b, c, d = counter
    low, high = key
    for _ in range(_ROUNDS):
        # The product of two 32-bit words wraps around in int64; shift and mask still give its two halves.
        first, second = a * _MULTIPLIERS[0], c * _MULTIPLIERS[1]
        a, b, c, d = (
            ((second >> 32) & _WORD) ^ b ^ low,
            second & _WORD,
            ((first >> 32) & _WORD) ^ d ^ high,
            first & _WORD,
        )
        low, high = (low + _KEY_STEPS[0]) & _WORD, (high + _KEY_STEPS[1]) & _WORD
    return a, b, c, d


def uniforms(
    seeds: Sequence[int], first_frame: int, num_frames: int, num_codebooks: int, device: torch.device | str = "cpu"
) -> Float[Tensor, "B K T"]:
    """One number in the open interval (0, 1) per item, codebook and frame: the seed is Philox's key, (frame, codebook)
    its counter, and the 23 upper bits of the first word make the number."""
    for seed in seeds:
        if not 0 <= seed < 2**64:
            raise UserError(f"seed {seed} is out of range: choose one from 0 to 2^64 - 1")
    shape = (len(seeds), num_codebooks, num_frames)
    low = torch.tensor([seed & _WORD for seed in seeds], device=device)[:, None, None].expand(shape)
    high = torch.tensor([seed >> 32 for seed in seeds], device=device)[:, None, None].expand(shape)
    frame = torch.arange(first_frame, first_frame + num_frames, device=device).expand(shape)
    codebook = torch.arange(num_codebooks, device=device)[:, None].expand(shape)
    zero = torch.zeros((), dtype=torch.int64, device=device).expand(shape)
    word = philox((frame & _WORD, codebook, frame >> 32, zero), (low, high))[0]
    return ((word >> 9).float() + 0.5) / 2**23  # with one bit more, the last number would round to 1


class Choice(NamedTuple):
    """How each item of a batch chooses. Numbers that differ between items are tensors; what they make necessary is
    said apart, so that no value has to be read back from a device."""

    temperature: Float[Tensor, "B"]
    top_k: Int[Tensor, "B"]
    """0: off."""
    top_p: Float[Tensor, "B"]
    """0: off; wins over `top_k`."""
    greedy: Bool[Tensor, "B"]
    largest_k: int = 0
    """What `top_k` is looked for in: at least the largest of them. Few values, for each is a kind of step."""
    any_top_p: bool = False
    any_greedy: bool = False
    all_greedy: bool = False

    @classmethod
    def of(
        cls,
        settings: "Sequence[tuple[float, int, float, bool]]",
        codebook_size: int,
        device: torch.device | str = "cpu",
    ) -> "Choice":
        """From (temperature, top_k, top_p, greedy) per item; a temperature of 0 is greedy, a top_k of V or more off."""
        rows = [
            (
                temperature or 1.0,
                0 if top_p > 0 or top_k >= codebook_size else top_k,
                top_p,
                greedy or temperature == 0,
            )
            for temperature, top_k, top_p, greedy in settings
        ]
        temperatures, ks, ps, greedies = zip(*rows, strict=True)
        sampled = [row for row in rows if not row[3]]
        return cls(
            torch.tensor(temperatures, dtype=torch.float32, device=device),
            torch.tensor(ks, device=device),
            torch.tensor(ps, dtype=torch.float32, device=device),
            torch.tensor(greedies, device=device),
            largest_k=_power_of_two(max((row[1] for row in sampled), default=0), codebook_size),
            any_top_p=any(row[2] > 0 for row in sampled),
            any_greedy=any(greedies),
            all_greedy=all(greedies),
        )


def _power_of_two(number: int, most: int) -> int:
    """The next power of two, or `most`; 0 stays 0."""
    return min(1 << (number - 1).bit_length(), most) if number else 0


def probabilities(logits: Float[Tensor, "B *shape V"], choice: Choice) -> Float[Tensor, "B *shape V"]:
    """What is sampled from, up to a factor: softmax, then the nucleus (`top_p`) or the `top_k` best.

    Ties with the k-th best are kept, so more than k may survive; the nucleus keeps an entry if what comes before it
    sums to at most `top_p` (reference, section 6.2).
    """
    logits = logits.float()
    column = (-1, *[1] * (logits.ndim - 1))
    # Relative to the best, so that no temperature however small makes infinity.
    p = torch.softmax((logits - logits.amax(-1, keepdim=True)) / choice.temperature.view(column), dim=-1)
    kept = p
    if choice.largest_k:
        top_k = choice.top_k.view(column)
        best = p.topk(choice.largest_k, dim=-1).values
        least = best.gather(-1, (top_k - 1).clamp(0, choice.largest_k - 1).expand(*best.shape[:-1], 1))
        kept = p.masked_fill((p < least) & (top_k > 0), 0.0)
    if choice.any_top_p:
        top_p = choice.top_p.view(column)
        ordered, order = p.sort(dim=-1, descending=True)
        ordered = ordered.masked_fill(ordered.cumsum(-1) - ordered > top_p, 0.0)
        kept = torch.where(top_p > 0, torch.zeros_like(p).scatter(-1, order, ordered), kept)
    return kept


def choose(p: Float[Tensor, "*shape V"], uniform: Float[Tensor, "*shape"]) -> Int[Tensor, "*shape"]:
    """The first entry where the cumulative weight exceeds `uniform` times the total (inversion of the distribution).

    Weights need not sum to 1; an entry of weight 0 is never chosen. That holds for whole numbers alone, whose sums are
    the same in any order: a device that adds in a tree gives cumulative floats that do not always grow. Weights count
    to 2^23 and up to 2^16 are summed, `uniform` is a multiple of 2^-24 (see `uniforms`): products stay below 2^63.
    """
    weights = (p * (2**23 / p.amax(-1, keepdim=True))).round().long()
    cumulative = weights.cumsum(-1)
    passed = ((uniform * 2**24).long()[..., None] * cumulative[..., -1:]) >> 24
    # Weights that are not numbers must not lead out of the codebook: on CUDA that would end the device for all.
    return torch.searchsorted(cumulative, passed, right=True).squeeze(-1).clamp(max=p.shape[-1] - 1)


def sample(
    logits: Float[Tensor, "B *shape V"], uniform: Float[Tensor, "B *shape"], choice: Choice
) -> Int[Tensor, "B *shape"]:
    """One index per row; the most likely one where the choice is greedy."""
    if choice.all_greedy:
        return logits.argmax(-1)
    chosen = choose(probabilities(logits, choice), uniform)
    if choice.any_greedy:
        chosen = torch.where(choice.greedy.view(-1, *[1] * (chosen.ndim - 1)), logits.argmax(-1), chosen)
    return chosen
