"""Samples for the tests of networks and detectors."""

import numpy as np


def samples(n: int, *shape: int, seed: int = 0) -> np.ndarray:
    """Return uniform numbers in [0, 1), float32 of shape (n, *shape)."""
    return np.random.default_rng(seed).random((n, *shape), dtype=np.float32)
