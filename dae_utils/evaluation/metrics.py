"""How good a score is: metrics with intervals, and what an alarm means.

Labels are 1 for an anomaly, the positive class, and 0 for a normal sample; scores are higher for anomalies.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.stats import binomtest
from sklearn.metrics import average_precision_score, roc_auc_score

from dae_utils.validation import (
    check_choice,
    check_count,
    check_flags,
    check_fraction,
    check_numbers,
    check_scores,
)

# Resamples handled together: few enough that their weights stay in the processor's cache.
_RESAMPLES_AT_ONCE = 100


@dataclass(frozen=True)
class Interval:
    """An estimate with its confidence interval; prints as "0.975 [0.972, 0.978]".

    A format code applies to all three numbers: f"{interval:.1%}" gives "97.5% [97.2%, 97.8%]".
    """

    value: float
    low: float
    high: float

    def __format__(self, spec: str) -> str:
        spec = spec or ".3f"
        return f"{self.value:{spec}} [{self.low:{spec}}, {self.high:{spec}}]"

    def __str__(self) -> str:
        return format(self)


@dataclass(frozen=True)
class ProblemsInterval(Interval):
    """The mean of a metric over problems and seeds; see `bootstrap_problems`.

    Attributes:
        per_problem: the metric itself, shape (n_problems, n_seeds).
        seed_spread: standard deviation over seeds of the mean over problems; None with one seed.
        resampled: the mean in each resample, shape (n_resamples,). Two calls with the same labels and seed
            draw the same samples, so the differences of their `resampled` give a paired interval for the
            difference of two methods.
    """

    per_problem: NDArray[np.float64] = field(compare=False, repr=False)
    seed_spread: float | None
    resampled: NDArray[np.float64] = field(compare=False, repr=False)


def auroc(labels: ArrayLike, scores: ArrayLike) -> float:
    """Return the area under the ROC curve: the chance that an anomaly scores higher than a normal sample.

    Args:
        labels: shape (n,), 1 = anomaly, 0 = normal; both must occur.
        scores: shape (n,), higher = more anomalous. Equal scores count one half.

    Returns:
        Between 0 and 1; 0.5 is chance, 1 is perfect separation.

    Raises:
        ValueError: NaN, empty, lengths that differ, or a single class.
    """
    labels, scores = _check_pair(labels, scores)
    return float(roc_auc_score(labels, scores))


def average_precision(labels: ArrayLike, scores: ArrayLike) -> float:
    """Return the average precision: the mean precision over the thresholds at which each anomaly is found.

    Args:
        labels: shape (n,), 1 = anomaly, 0 = normal; both must occur.
        scores: shape (n,), higher = more anomalous.

    Returns:
        Between 0 and 1; chance is the share of anomalies, so values from test sets with different shares
        cannot be compared.

    Raises:
        ValueError: NaN, empty, lengths that differ, or a single class.
    """
    labels, scores = _check_pair(labels, scores)
    # scikit-learn adds up many small steps, which may end a hair above 1.
    return min(float(average_precision_score(labels, scores)), 1.0)


def bootstrap(
    labels: ArrayLike,
    scores: ArrayLike,
    metric: str = "auroc",
    n_resamples: int = 1000,
    confidence: float = 0.95,
    seed: int = 0,
) -> Interval:
    """Return a metric with its percentile bootstrap interval (Efron and Tibshirani 1993, chapter 13).

    Normal samples and anomalies are drawn anew, with replacement, each as many as there are: the share of
    anomalies is a decision of whoever made the test set, not chance.

    Args:
        labels: shape (n,), 1 = anomaly, 0 = normal; both must occur.
        scores: shape (n,), higher = more anomalous.
        metric: "auroc" or "average_precision".
        n_resamples: how many times the test set is drawn anew.
        confidence: between 0 and 1.
        seed: decides the draws.

    Returns:
        The metric on the samples as they are, and the interval in which it would lie for other test sets
        drawn in the same way. It says nothing about training the detector again.

    Raises:
        ValueError: NaN, empty, lengths that differ, a single class, an unknown metric.
    """
    labels, scores = _check_pair(labels, scores)
    result = bootstrap_problems(scores[np.newaxis], labels, metric, n_resamples, confidence, seed)
    return Interval(result.value, result.low, result.high)


def bootstrap_mean(
    values: ArrayLike, n_resamples: int = 1000, confidence: float = 0.95, seed: int = 0
) -> Interval:
    """Return the mean of a quantity measured on every sample, with its percentile bootstrap interval.

    The samples are drawn anew, with replacement (Efron and Tibshirani 1993, chapter 13).

    Args:
        values: shape (n_samples,), or (n_seeds, n_samples), whose mean over the seeds is taken first: one
            draw of the samples serves all seeds. True and false count as 1 and 0.
        n_resamples: how many times the samples are drawn anew.
        confidence: between 0 and 1.
        seed: decides the draws.

    Returns:
        The mean, and the interval in which it would lie for other samples drawn in the same way. It says
        nothing about training again.

    Raises:
        ValueError: NaN, empty, or another number of axes.
    """
    values = np.asarray(values, dtype=np.float64)
    if values.ndim not in (1, 2):
        raise ValueError(
            f"values has shape {values.shape}; (n_samples,) or (n_seeds, n_samples) is expected."
        )
    check_scores(values.ravel(), "values")
    n_resamples = check_count(n_resamples, "n_resamples", least=2)
    tail = (1 - check_fraction(confidence, "confidence")) / 2
    of_sample = values if values.ndim == 1 else values.mean(axis=0)
    generator = np.random.default_rng(seed)
    draws = [generator.choice(of_sample, len(of_sample)).mean() for _ in range(n_resamples)]
    low, high = np.quantile(draws, [tail, 1 - tail])
    # Rounding may put the mean of equal values a hair outside.
    mean = float(of_sample.mean())
    return Interval(mean, min(float(low), mean), max(float(high), mean))


def bootstrap_problems(
    scores: ArrayLike,
    labels: ArrayLike,
    metric: str = "auroc",
    n_resamples: int = 1000,
    confidence: float = 0.95,
    seed: int = 0,
) -> ProblemsInterval:
    """Return the mean of a metric over several problems that share their test samples, with its interval.

    For example ten problems, "which digit is normal?", all scored on the same 10 000 test images. One draw of
    the test samples serves all problems and seeds, because what makes one image easy or hard does so in all
    of them: drawing for each problem separately would make the interval too narrow. Samples are drawn within
    groups whose labels agree in all problems (in the example, within each digit), so every problem keeps its
    share of anomalies.

    Args:
        scores: shape (n_problems, n_seeds, n_samples), or (n_problems, n_samples) for one seed; higher = more
            anomalous.
        labels: shape (n_problems, n_samples), or (n_samples,) when all problems have the same; 1 = anomaly.
        metric: "auroc" or "average_precision".
        n_resamples: how many times the test set is drawn anew.
        confidence: between 0 and 1.
        seed: decides the draws.

    Returns:
        The mean over problems and seeds with its percentile bootstrap interval, which counts the chance in
        the test samples only; `seed_spread` tells what training again does, `per_problem` holds the single
        values.

    Raises:
        ValueError: NaN, empty, shapes that do not fit, a problem with a single class, an unknown metric.
    """
    check_choice(metric, "metric", tuple(_METRICS))
    n_resamples = check_count(n_resamples, "n_resamples", least=2)
    tail = (1 - check_fraction(confidence, "confidence")) / 2
    scores, labels = _check_problems(scores, labels)
    n_problems, n_seeds, _ = scores.shape
    exact, resampled = _METRICS[metric]

    per_problem = np.array(
        [[exact(y, s) for s in of_seeds] for y, of_seeds in zip(labels, scores, strict=True)],
        dtype=np.float64,
    )
    plans = [[_SortedPair(y, s) for s in of_seeds] for y, of_seeds in zip(labels, scores, strict=True)]
    means = np.zeros(n_resamples)
    start = 0
    for weights in _resamples(_groups(labels), n_resamples, seed):
        stop = start + weights.shape[1]
        for problem in plans:
            for pair in problem:
                means[start:stop] += resampled(pair, weights) / (n_problems * n_seeds)
        start = stop
    low, high = np.quantile(means, [tail, 1 - tail])
    seed_means = per_problem.mean(axis=0)
    return ProblemsInterval(
        value=float(per_problem.mean()),
        low=float(low),
        high=float(high),
        per_problem=per_problem,
        seed_spread=float(seed_means.std(ddof=1)) if n_seeds > 1 else None,
        resampled=means,
    )


def proportion(successes: int, total: int, confidence: float = 0.95, method: str = "wilson") -> Interval:
    """Return a share, successes / total, with its confidence interval.

    Args:
        successes: from 0 to `total`.
        total: at least 1.
        confidence: between 0 and 1.
        method: "wilson" (Wilson 1927: close to the stated confidence) or "exact" (Clopper and Pearson 1934:
            at least the stated confidence, so wider).

    Returns:
        Fractions between 0 and 1.
    """
    total = check_count(total, "total")
    successes = check_count(successes, "successes", least=0, most=total)
    check_choice(method, "method", ("wilson", "exact"))
    limits = binomtest(successes, total).proportion_ci(
        check_fraction(confidence, "confidence"), method=method
    )
    return Interval(successes / total, float(limits.low), float(limits.high))


def false_alarm_rate(alarms_on_normals: ArrayLike, confidence: float = 0.95) -> Interval:
    """Return the share of normal samples that raise an alarm, with its Wilson interval.

    Args:
        alarms_on_normals: shape (n,), True or 1 where a normal sample raises an alarm.
        confidence: between 0 and 1.
    """
    alarms = check_flags(alarms_on_normals, "alarms_on_normals")
    return proportion(int(alarms.sum()), len(alarms), confidence)


def detection_table(
    labels: ArrayLike, alarms: ArrayLike, confidence: float = 0.95, method: str = "wilson"
) -> dict[str, int | Interval | None]:
    """Return what a detector with a threshold finds, misses and raises for nothing.

    Args:
        labels: shape (n,), 1 = anomaly, 0 = normal; both must occur.
        alarms: shape (n,), True or 1 where the detector raises an alarm (for a scikit-learn prediction,
            `prediction == -1`).
        confidence: between 0 and 1.
        method: see `proportion`.

    Returns:
        Counts "true_positives" (anomalies found), "false_negatives" (missed), "false_alarms" (normal samples
        with an alarm), "true_negatives"; intervals "sensitivity" (share of anomalies found, also called
        recall), "false_alarm_rate" (share of normal samples with an alarm) and "precision" (share of alarms
        that are anomalies; None without any alarm).

    Raises:
        ValueError: NaN, empty, lengths that differ, values other than 0 and 1, or a single class.
    """
    labels = check_flags(labels, "labels", both=True)
    alarms = check_flags(alarms, "alarms", length=len(labels))
    found = int(np.sum(alarms & labels))
    false_alarms = int(np.sum(alarms & ~labels))
    n_anomalies = int(labels.sum())
    n_normals = len(labels) - n_anomalies
    n_alarms = found + false_alarms
    return {
        "true_positives": found,
        "false_negatives": n_anomalies - found,
        "false_alarms": false_alarms,
        "true_negatives": n_normals - false_alarms,
        "sensitivity": proportion(found, n_anomalies, confidence, method),
        "false_alarm_rate": proportion(false_alarms, n_normals, confidence, method),
        "precision": proportion(found, n_alarms, confidence, method) if n_alarms else None,
    }


def precision_at_prevalence(sensitivity: float, false_alarm_rate: float, prevalence: float) -> float:
    """Return the share of alarms that are anomalies when a given share of all samples is anomalous.

    Bayes' rule. A test set that is half anomalies flatters: with 99 % of anomalies found and 5 % false
    alarms, precision is 0.95 at a prevalence of one half, and 0.02 at one in a thousand.

    Args:
        sensitivity: share of anomalies that raise an alarm, in [0, 1].
        false_alarm_rate: share of normal samples that raise an alarm, in [0, 1].
        prevalence: share of anomalies among all samples in use, in [0, 1].

    Returns:
        Between 0 and 1.

    Raises:
        ValueError: a value outside [0, 1], or a combination that never raises an alarm.
    """
    sensitivity = check_fraction(sensitivity, "sensitivity", closed=True)
    false_alarm_rate = check_fraction(false_alarm_rate, "false_alarm_rate", closed=True)
    prevalence = check_fraction(prevalence, "prevalence", closed=True)
    true_alarms = sensitivity * prevalence
    all_alarms = true_alarms + false_alarm_rate * (1 - prevalence)
    if all_alarms == 0:
        raise ValueError("With these values no alarm is ever raised, so precision is not defined.")
    return true_alarms / all_alarms


# ------------------------------------------------------------------------------------------------------------
# Checks


def _check_pair(labels: ArrayLike, scores: ArrayLike) -> tuple[NDArray[np.bool_], NDArray[np.float64]]:
    scores = check_scores(scores)
    return check_flags(labels, "labels", length=len(scores), both=True), scores


def _check_problems(scores: ArrayLike, labels: ArrayLike) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """Return scores (n_problems, n_seeds, n_samples) and labels (n_problems, n_samples)."""
    scores = check_numbers(scores, "scores")
    if scores.ndim == 2:
        scores = scores[:, np.newaxis]
    if scores.ndim != 3:
        raise ValueError(
            f"scores has shape {scores.shape}; it must be (n_problems, n_seeds, n_samples), or "
            "(n_problems, n_samples) for one seed."
        )
    labels = check_numbers(labels, "labels")
    if labels.ndim == 1:
        labels = np.broadcast_to(labels, (len(scores), len(labels)))
    if labels.shape != (scores.shape[0], scores.shape[2]):
        raise ValueError(
            f"labels has shape {labels.shape} but scores {scores.shape}; give labels of shape "
            "(n_problems, n_samples) for scores of shape (n_problems, n_seeds, n_samples)."
        )
    checked = check_scores(scores.ravel()).reshape(scores.shape)
    flags = [check_flags(row, f"labels[{number}]", both=True) for number, row in enumerate(labels)]
    return checked, np.array(flags)


# ------------------------------------------------------------------------------------------------------------
# The bootstrap: a resample is the test set with a weight for each sample, how often it was drawn. Metrics are
# computed for many resamples at once from cumulative sums of weights, so the scores are sorted only once.


def _groups(labels: NDArray[np.bool_]) -> list[NDArray[np.int64]]:
    """Return the sample numbers of each group whose labels agree in all problems."""
    _, group = np.unique(labels, axis=1, return_inverse=True)
    return [np.flatnonzero(group == number) for number in range(group.max() + 1)]


def _resamples(groups: list[NDArray[np.int64]], n_resamples: int, seed: int) -> Iterator[NDArray[np.float32]]:
    """Yield weights, shape (n_samples, up to 100), of resamples drawn with replacement within each group."""
    generator = np.random.default_rng(seed)
    n_samples = sum(len(members) for members in groups)
    for start in range(0, n_resamples, _RESAMPLES_AT_ONCE):
        count = min(_RESAMPLES_AT_ONCE, n_resamples - start)
        # Counts up to 2^24 are exact in float32, and half the bytes are moved.
        weights = np.empty((n_samples, count), np.float32)
        for members in groups:
            size = len(members)
            draws = generator.integers(size, size=(count, size)) + size * np.arange(count)[:, np.newaxis]
            counts = np.bincount(draws.ravel(), minlength=count * size)
            weights[members] = counts.reshape(count, size).T
        yield weights


class _SortedPair:
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


def _cumulative(weights: NDArray) -> NDArray:
    """Return sums of the first 0, 1, ..., n rows of `weights`, shape (n + 1, resamples)."""
    sums = np.zeros((len(weights) + 1, weights.shape[1]), weights.dtype)
    np.cumsum(weights, axis=0, out=sums[1:])
    return sums


def _weighted_auroc(pair: _SortedPair, weights: NDArray) -> NDArray[np.float64]:
    """Return the AUROC for each column of `weights`, shape (n_samples, resamples)."""
    positive = weights[pair.positives]
    negative = _cumulative(weights[pair.negatives])
    won = negative[pair.negatives_below] + negative[pair.negatives_up_to]
    won *= positive
    pairs = positive.sum(axis=0, dtype=np.float64) * negative[-1]
    return won.sum(axis=0, dtype=np.float64) / (2 * pairs)


def _weighted_average_precision(pair: _SortedPair, weights: NDArray) -> NDArray[np.float64]:
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
    return (positive * precision).sum(axis=0, dtype=np.float64) / total


_METRICS: dict[str, tuple[Callable, Callable]] = {
    "auroc": (auroc, _weighted_auroc),
    "average_precision": (average_precision, _weighted_average_precision),
}
