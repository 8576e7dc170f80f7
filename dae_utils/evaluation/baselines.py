"""Baselines that need no network and no search: a result that does not beat them is no result.

The untrained network is `networks.untrained.untrained_copy`; neighbours in any of these features are in
`neighbours`. Nothing here sees a label.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.decomposition import PCA

from dae_utils.evaluation.choosing import flat_features
from dae_utils.validation import check_count, check_samples

__all__ = ["beat_timing", "pca_encoder", "raw_input", "without_mean"]


def raw_input(samples: ArrayLike) -> NDArray[np.floating]:
    """Return the samples as they are, as rows: shape (n, ...) becomes (n, values)."""
    return flat_features(samples, "samples")


def without_mean(samples: ArrayLike) -> NDArray[np.floating]:
    """Return the samples without their own mean, as rows: what is left when brightness or height is taken
    away.

    Args:
        samples: shape (n, ...). Of colour images, shape (n, height, width, channels), each channel loses its
            own mean, which is the mean colour of the image; all others lose one mean a sample.

    Returns:
        Shape (n, values), float32 or float64.
    """
    checked = check_samples(samples, "samples")
    axes = (1, 2) if checked.ndim == 4 else tuple(range(1, checked.ndim))
    mean = checked.mean(axis=axes, keepdims=True, dtype=np.float64)
    rows: NDArray[np.floating] = (checked - mean).astype(checked.dtype).reshape(len(checked), -1)
    return rows


def pca_encoder(train: ArrayLike, n_components: int) -> Callable[[ArrayLike], NDArray[np.floating]]:
    """Return a function from samples to their principal components, of the size of a code.

    Args:
        train: samples to learn the components from, shape (n, ...), made flat.
        n_components: as many as the code has dimensions, up to n and the values of a sample.

    Returns:
        A function from samples, shape (m, ...), to components, shape (m, n_components), the largest first.

    Raises:
        ValueError: NaN, or more components than there can be.
    """
    flat = flat_features(train, "train")
    check_count(n_components, "n_components", most=min(flat.shape))
    pca = PCA(n_components, random_state=0).fit(flat)

    def encode(samples: ArrayLike) -> NDArray[np.floating]:
        components: NDArray[np.floating] = pca.transform(flat_features(samples, "samples", flat.shape[1]))
        return components

    return encode


def beat_timing(rr_before: ArrayLike, rr_after: ArrayLike, record: ArrayLike) -> NDArray[np.float64]:
    """Return the timing of heartbeats alone: the intervals before and after each, against the record's usual
    one.

    The usual interval is the record's median RR interval, of all its beats, future ones too: a baseline for
    recordings, not for a stream. Of a record in which early beats are the rule, the median is an early one.

    Args:
        rr_before, rr_after: seconds to the beats before and after, shape (n,); nan at the ends of a record.
        record: whose each beat is, shape (n,).

    Returns:
        Shape (n, 2): the logarithms of interval before / usual and interval after / usual. Below 0 is early;
        an unknown interval counts as the usual one.

    Raises:
        ValueError: shapes that do not fit, an interval that is not above zero, or a record without any
            interval.
    """
    intervals = np.column_stack([np.asarray(rr_before, np.float64), np.asarray(rr_after, np.float64)])
    if np.asarray(rr_before).ndim != 1 or np.asarray(record).shape != (len(intervals),):
        raise ValueError("rr_before, rr_after and record must be of shape (n,), a value for each beat.")
    if (intervals <= 0).any():
        raise ValueError("rr_before and rr_after must be above zero, in seconds.")
    timing = np.empty_like(intervals)
    for number in np.unique(np.asarray(record)):
        rows = np.asarray(record) == number
        if np.isnan(intervals[rows, 0]).all():
            raise ValueError(f"record {number} has no interval before any of its beats.")
        timing[rows] = np.log(intervals[rows] / np.nanmedian(intervals[rows, 0]))
    return np.nan_to_num(timing, nan=0.0)
