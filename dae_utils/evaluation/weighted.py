"""Metrics of many resamples at once: the arithmetic below `resampling` and `comparisons`.

A resample is the test set with a weight for each sample, how often it was drawn. Metrics are computed for
many resamples at once from cumulative sums of weights, so the scores are sorted only once; scikit-learn's
functions would sort them anew for each resample. What the numbers mean is said by the callers.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from dae_utils.evaluation.metrics import auroc, average_precision

__all__ = [
    "METRICS",
    "SortedPair",
    "expanded_tail",
    "group_numbers",
    "label_strata",
    "resamples",
    "smallest_stratum",
    "weighted_auroc",
    "weighted_average_precision",
]

# Resamples handled together: few enough that their weights stay in the processor's cache.
RESAMPLES_AT_ONCE = 100


def label_strata(labels: NDArray[np.bool_]) -> list[NDArray[np.int64]]:
    """Return the samples of each stratum, whose labels (n_problems, n_samples) agree in all problems."""
    _, stratum = np.unique(labels, axis=1, return_inverse=True)
    return [np.flatnonzero(stratum == number) for number in range(stratum.max() + 1)]


def smallest_stratum(strata: list[NDArray[np.int64]]) -> int:
    """Return how many samples the smallest stratum has: so many units the interval of an area may count on.

    Each stratum is drawn for itself, so its own small number makes the draws too alike: five anomalies vary
    too little by the factor sqrt(4 / 5), however many normal samples stand beside them.

    Raises:
        ValueError: a stratum of a single sample, which is the same in every resample.
    """
    size = min(map(len, strata))
    if size < 2:
        raise ValueError(
            "labels: one sample of a class, or one whose labels over the problems are its own, shows no "
            "spread; at least two are needed."
        )
    return size


def resamples(strata: list[NDArray[np.int64]], n_resamples: int, seed: int) -> Iterator[NDArray[np.float32]]:
    """Yield weights (n_samples, up to 100) of resamples drawn with replacement within each stratum."""
    generator = np.random.default_rng(seed)
    n_samples = sum(len(members) for members in strata)
    for start in range(0, n_resamples, RESAMPLES_AT_ONCE):
        count = min(RESAMPLES_AT_ONCE, n_resamples - start)
        # Counts up to 2^24 are exact in float32, and half the bytes are moved.
        weights = np.empty((n_samples, count), np.float32)
        for members in strata:
            size = len(members)
            draws = generator.integers(size, size=(count, size)) + size * np.arange(count)[:, np.newaxis]
            counts = np.bincount(draws.ravel(), minlength=count * size)
            weights[members] = counts.reshape(count, size).T
        yield weights


def group_numbers(groups: Any, n_samples: int) -> tuple[NDArray[np.int64], int]:
    """Return the number of each sample's group, 0 to n_groups - 1, and n_groups.

    Args:
        groups: shape (n_samples,), what says whose each sample is (numbers or words); None makes every sample
            its own group.

    Raises:
        ValueError: another shape, or a single group.
    """
    if groups is None:
        return np.arange(n_samples), n_samples
    array = np.asarray(groups)
    if array.shape != (n_samples,):
        raise ValueError(f"groups has shape {array.shape}; name one group for each of {n_samples} samples.")
    names, numbers = np.unique(array, return_inverse=True)
    if len(names) < 2:
        raise ValueError("groups names a single group, so nothing can be said about another one.")
    return numbers.astype(np.int64), len(names)


def expanded_tail(confidence: float, n_units: int) -> float:
    """Return the share to leave out on each side so that few units do not make the interval too narrow.

    Of n independent units (where several strata are drawn for themselves, of the smallest) the percentile
    interval is too short by the factor sqrt((n - 1) / n) and by taking the normal distribution for Student's.
    Moving the two quantiles outwards corrects both (Hesterberg 2015, "What teachers should know about the
    bootstrap", The American Statistician 69, section 3.1).
    """
    normal = stats.t.isf((1 - confidence) / 2, n_units - 1) * np.sqrt(n_units / (n_units - 1))
    return float(stats.norm.sf(normal))


class SortedPair:
    """Labels and scores of one problem, sorted once for all resamples.

    Attributes:
        positives, negatives: sample numbers of anomalies and of normal samples, by rising score.
        negatives_below, negatives_up_to: for each anomaly, how many normal samples score lower, and how many
            score lower or the same; shape (n_anomalies,).
        positives_below: for each anomaly, how many anomalies score lower.
    """

    def __init__(self, labels: NDArray[np.bool_], scores: NDArray[np.float64]):
        order = np.argsort(scores, kind="stable")
        self.positives = order[labels[order]]
        self.negatives = order[~labels[order]]
        of_positives, of_negatives = scores[self.positives], scores[self.negatives]
        self.negatives_below = np.searchsorted(of_negatives, of_positives, side="left")
        self.negatives_up_to = np.searchsorted(of_negatives, of_positives, side="right")
        self.positives_below = np.searchsorted(of_positives, of_positives, side="left")


def _cumulative(weights: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return sums of the first 0, 1, ..., n rows of `weights`, shape (n + 1, resamples)."""
    sums = np.zeros((len(weights) + 1, weights.shape[1]), weights.dtype)
    np.cumsum(weights, axis=0, out=sums[1:])
    return sums


def weighted_auroc(pair: SortedPair, weights: NDArray[np.float32]) -> NDArray[np.float64]:
    """Return the AUROC for each column of `weights`, shape (n_samples, resamples); nan without one class."""
    positive = weights[pair.positives]
    negative = _cumulative(weights[pair.negatives])
    won = negative[pair.negatives_below] + negative[pair.negatives_up_to]
    won *= positive
    pairs = positive.sum(axis=0, dtype=np.float64) * negative[-1]
    with np.errstate(invalid="ignore"):
        area: NDArray[np.float64] = won.sum(axis=0, dtype=np.float64) / (2 * pairs)
    return area


def weighted_average_precision(pair: SortedPair, weights: NDArray[np.float32]) -> NDArray[np.float64]:
    """Return the average precision for each column of `weights`, shape (n_samples, resamples)."""
    positive = weights[pair.positives]
    found = _cumulative(positive)
    total = found[-1]
    # With the threshold at an anomaly's own score, all samples from that score upwards raise an alarm.
    found = total - found[pair.positives_below]
    negative = _cumulative(weights[pair.negatives])
    false_alarms = negative[-1] - negative[pair.negatives_below]
    # An anomaly that was not drawn may leave no alarm at all at its score; its weight is zero anyway.
    precision = found / np.maximum(found + false_alarms, np.finfo(weights.dtype).tiny)
    with np.errstate(invalid="ignore"):
        mean: NDArray[np.float64] = (positive * precision).sum(axis=0, dtype=np.float64) / total
    return mean


# The exact metric of the samples as they are, and the one of many resamples.
METRICS: dict[str, tuple[Callable[..., float], Callable[..., NDArray[np.float64]]]] = {
    "auroc": (auroc, weighted_auroc),
    "average_precision": (average_precision, weighted_average_precision),
}
