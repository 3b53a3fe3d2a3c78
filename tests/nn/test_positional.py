"""Position tables against their formulas."""

import math

import torch

from cadenza.nn.positional import interleaved_positions, sinusoidal_positions


def test_sinusoidal_is_cosines_then_sines_with_half_minus_one() -> None:
    table = sinusoidal_positions(40, 12, offset=3)
    for row in (0, 1, 39):
        for j in range(6):
            phase = (row + 3) / 10000 ** (j / 5)
            # float32: a phase of 42 is known to 2e-6
            assert math.isclose(float(table[row, j]), math.cos(phase), abs_tol=1e-5)
            assert math.isclose(float(table[row, 6 + j]), math.sin(phase), abs_tol=1e-5)


def test_interleaved_is_sine_and_cosine_in_turn() -> None:
    table = interleaved_positions(40, 12, offset=1)
    for row in (0, 39):
        for j in range(6):
            phase = (row + 1) / 10000 ** (2 * j / 12)
            assert math.isclose(float(table[row, 2 * j]), math.sin(phase), abs_tol=1e-5)
            assert math.isclose(float(table[row, 2 * j + 1]), math.cos(phase), abs_tol=1e-5)


def test_offset_only_shifts() -> None:
    assert torch.equal(sinusoidal_positions(10, 8, offset=5), sinusoidal_positions(15, 8)[5:])
