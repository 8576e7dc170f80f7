"""Errors of reconstructions: one number per sample, higher = worse.

Nothing here runs a network, sees a label or imports Keras.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import entr

from dae_utils.detection.base import flat
from dae_utils.validation import (
    check_batch,
    check_choice,
    check_flags,
    check_same_shape,
    check_samples,
    check_unit_interval,
)

__all__ = ["binary_cross_entropy", "cross_entropy_floor", "reconstruction_error"]

# Keras keeps probabilities this far from 0 and 1 before it takes their logarithm.
_KERAS_EPSILON = 1e-7


def reconstruction_error(
    x: ArrayLike, reconstruction: ArrayLike, mask: ArrayLike | None = None, kind: str = "squared"
) -> NDArray[np.float64]:
    """Return the mean error of each sample's reconstruction.

    Args:
        x: the samples, shape (n, ...), any finite numbers.
        reconstruction: what the autoencoder made of them, same shape.
        mask: which values count (1 or True) and which do not (0 or False), shape of `x` or one that
            broadcasts to it: for zero-padded signals, the part that was recorded. None counts every value.
        kind: "squared" or "absolute" differences.

    Returns:
        Shape (n,), at least 0, in the units of `x` (squared for "squared").

    Raises:
        ValueError: shapes that differ, NaN or infinite values, or a sample in which the mask leaves nothing
            to count.
    """
    check_choice(kind, "kind", ("squared", "absolute"))
    x = check_batch(x)
    reconstruction = check_batch(reconstruction, "reconstruction")
    check_same_shape(x, reconstruction, "x", "reconstruction")
    error = x - reconstruction
    error = np.square(error, out=error) if kind == "squared" else np.abs(error, out=error)
    error = flat(error)
    if mask is None:
        mean: NDArray[np.float64] = error.mean(axis=1, dtype=np.float64)
        return mean

    counts = flat(_check_mask(mask, x.shape))
    counted = counts.sum(axis=1)
    if not counted.all():
        empty = np.flatnonzero(counted == 0)
        raise ValueError(
            f"mask leaves nothing to count in {len(empty)} samples (the first is number {empty[0]}); "
            "leave those samples out or correct their mask."
        )
    means: NDArray[np.float64] = error.sum(axis=1, where=counts, dtype=np.float64) / counted
    return means


def _check_mask(mask: ArrayLike, shape: tuple[int, ...]) -> NDArray[np.bool_]:
    """Return `mask` as booleans of the given shape."""
    mask = np.asarray(mask)
    flags = check_flags(mask.ravel(), "mask").reshape(mask.shape)
    try:
        return np.broadcast_to(flags, shape)
    except ValueError:
        raise ValueError(
            f"mask has shape {mask.shape}, which does not fit x of shape {shape}; give it the shape of x."
        ) from None


def binary_cross_entropy(x: ArrayLike, reconstruction: ArrayLike) -> NDArray[np.float64]:
    """Return the mean binary cross-entropy of each sample, as Keras computes it.

    Args:
        x: the samples, shape (n, ...), values in [0, 1].
        reconstruction: same shape, values in [0, 1]; they are kept 1e-7 away from 0 and 1, as in Keras.

    Returns:
        Shape (n,), in nats per value. A perfect copy does not reach 0 unless every value is 0 or 1: see
        `cross_entropy_floor`.

    Raises:
        ValueError: shapes that differ, values outside [0, 1], NaN.
    """
    x = check_samples(x).astype(np.float32, copy=False)
    reconstruction = check_samples(reconstruction, "reconstruction").astype(np.float32, copy=False)
    check_same_shape(x, reconstruction, "x", "reconstruction")
    check_unit_interval(x, "x")
    check_unit_interval(reconstruction, "reconstruction")
    # float32 on purpose: what a saturated pixel costs depends on the precision of 1 - 1e-7.
    probability = np.clip(reconstruction, np.float32(_KERAS_EPSILON), np.float32(1 - _KERAS_EPSILON))
    loss = -(x * np.log(probability) + (1 - x) * np.log(1 - probability))
    mean: NDArray[np.float64] = flat(loss).mean(axis=1, dtype=np.float64)
    return mean


def cross_entropy_floor(x: ArrayLike) -> float:
    """Return the mean binary cross-entropy of a perfect copy of `x`: the least that any network can reach.

    This is the entropy of the values themselves, zero only where all of them are 0 or 1.

    Args:
        x: the samples, shape (n, ...), values in [0, 1].

    Returns:
        Nats per value, between 0 and log 2 (0.0581 for the MNIST test images).

    Raises:
        ValueError: values outside [0, 1], NaN.
    """
    x = check_samples(x)
    check_unit_interval(x, "x")
    return float(np.mean(entr(x) + entr(1 - x), dtype=np.float64))
