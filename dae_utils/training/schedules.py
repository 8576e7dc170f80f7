"""The learning rate of every step of a training. Nothing here knows a network."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

__all__ = ["learning_rates"]


def learning_rates(n_steps: int, peak: float, schedule: str = "constant") -> NDArray[np.float32]:
    """Return the learning rate of every step.

    Args:
        n_steps: number of optimiser steps in the whole training, at least 1.
        peak: the highest learning rate, above 0.
        schedule: ``"constant"``, or ``"one_cycle"``: a linear rise from a tenth of `peak` over the first
            tenth of the steps (one step at least), then half a cosine down to a hundredth of it (after Smith
            and Topin 2019, "Super-convergence", arXiv:1708.07120, with the cosine descent in common use).

    Returns:
        Array (n_steps,) of float32.

    Raises:
        ValueError: `n_steps` or `peak` is not positive and finite, or the schedule is unknown.
    """
    if n_steps < 1 or not 0 < peak < math.inf:
        raise ValueError(f"n_steps and peak must be positive, got {n_steps} and {peak}.")
    if schedule == "constant":
        return np.full(n_steps, peak, np.float32)
    if schedule != "one_cycle":
        raise ValueError(f"unknown schedule {schedule!r}: use 'constant' or 'one_cycle'.")
    n_rise = max(1, n_steps // 10)
    rise = np.linspace(0.1, 1.0, n_rise, endpoint=False)
    progress = np.linspace(0.0, 1.0, n_steps - n_rise)  # empty if there is one step only
    descent = 0.01 + 0.99 * 0.5 * (1 + np.cos(np.pi * progress))
    return (peak * np.concatenate([rise, descent])).astype(np.float32)
