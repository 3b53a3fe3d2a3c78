"""Vectors by a formula, for figures that other packages gave: no generator of random numbers has to stay as it is."""

import numpy as np


def fixed_vectors(count: int, dim: int, phase: float = 0.0) -> np.ndarray:
    """[count, dim], of full rank, values within -2 .. 2."""
    i, j = np.arange(1, count + 1.0)[:, None], np.arange(1, dim + 1.0)[None]
    return np.sin(phase + 0.9 * j + 1.7 * i + 0.31 * i * i / j) * (1 + j / dim)
