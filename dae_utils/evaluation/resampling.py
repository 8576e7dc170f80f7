"""Bootstrap intervals of a metric or a mean: what other test sets, drawn in the same way, would have shown.

The difference of two methods has an interval of its own, see `comparisons`.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from dae_utils.evaluation.intervals import Interval, ProblemsInterval
from dae_utils.evaluation.metrics import check_pair
from dae_utils.evaluation.weighted import (
    METRICS,
    SortedPair,
    expanded_tail,
    group_numbers,
    label_strata,
    resamples,
)
from dae_utils.validation import (
    check_choice,
    check_count,
    check_flags,
    check_fraction,
    check_numbers,
    check_scores,
)

__all__ = ["bootstrap", "bootstrap_mean", "bootstrap_problems"]


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
    flags, checked = check_pair(labels, scores)
    result = bootstrap_problems(checked[np.newaxis], flags, metric, n_resamples, confidence, seed)
    return Interval(result.value, result.low, result.high)


def bootstrap_mean(
    values: ArrayLike,
    n_resamples: int = 1000,
    confidence: float = 0.95,
    seed: int = 0,
    *,
    groups: ArrayLike | None = None,
) -> Interval:
    """Return the mean of a quantity measured on every sample, with its percentile bootstrap interval.

    The samples are drawn anew, with replacement (Efron and Tibshirani 1993, chapter 13).

    Args:
        values: shape (n_samples,), or (n_seeds, n_samples), whose mean over the seeds is taken first: one
            draw of the samples serves all seeds. True and false count as 1 and 0.
        n_resamples: how many times the samples are drawn anew.
        confidence: between 0 and 1.
        seed: decides the draws.
        groups: shape (n_samples,), the patient, writer or record of each sample. Whole groups are drawn then,
            because samples of one group tell less than as many independent ones, and the interval is
            widened for their small number, see `weighted.expanded_tail`.

    Returns:
        The mean, and the interval in which it would lie for other samples drawn in the same way. It says
        nothing about training again.

    Raises:
        ValueError: NaN, empty, another number of axes, or groups that do not fit.
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
    if groups is None:
        generator = np.random.default_rng(seed)
        draws = np.array([generator.choice(of_sample, len(of_sample)).mean() for _ in range(n_resamples)])
    else:
        numbers, n_groups = group_numbers(groups, len(of_sample))
        draws = _group_means(of_sample, numbers, n_groups, n_resamples, seed)
        tail = expanded_tail(confidence, n_groups)
    low, high = np.quantile(draws, [tail, 1 - tail])
    # Rounding may put the mean of equal values a hair outside.
    mean = float(of_sample.mean())
    return Interval(mean, min(float(low), mean), max(float(high), mean))


def _group_means(
    values: NDArray[np.float64], numbers: NDArray[np.int64], n_groups: int, n_resamples: int, seed: int
) -> NDArray[np.float64]:
    """Return the mean over all samples of the groups drawn, for each resample."""
    sums, sizes = np.bincount(numbers, values), np.bincount(numbers)
    blocks = resamples([np.arange(n_groups)], n_resamples, seed)
    return np.concatenate([(sums @ weights) / (sizes @ weights) for weights in blocks])


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
    check_choice(metric, "metric", tuple(METRICS))
    n_resamples = check_count(n_resamples, "n_resamples", least=2)
    tail = (1 - check_fraction(confidence, "confidence")) / 2
    checked, flags = check_problems(scores, labels)
    n_problems, n_seeds, _ = checked.shape
    exact, resampled = METRICS[metric]

    per_problem = np.array(
        [[exact(y, s) for s in of_seeds] for y, of_seeds in zip(flags, checked, strict=True)],
        dtype=np.float64,
    )
    plans = [[SortedPair(y, s) for s in of_seeds] for y, of_seeds in zip(flags, checked, strict=True)]
    means = np.zeros(n_resamples)
    start = 0
    for weights in resamples(label_strata(flags), n_resamples, seed):
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


def check_problems(scores: ArrayLike, labels: ArrayLike) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """Return scores (n_problems, n_seeds, n_samples) and labels (n_problems, n_samples), checked."""
    several = check_numbers(scores, "scores")
    if several.ndim == 2:
        several = several[:, np.newaxis]
    if several.ndim != 3:
        raise ValueError(
            f"scores has shape {several.shape}; it must be (n_problems, n_seeds, n_samples), or "
            "(n_problems, n_samples) for one seed."
        )
    rows = check_numbers(labels, "labels")
    if rows.ndim == 1:
        rows = np.broadcast_to(rows, (len(several), len(rows)))
    if rows.shape != (several.shape[0], several.shape[2]):
        raise ValueError(
            f"labels has shape {rows.shape} but scores {several.shape}; give labels of shape "
            "(n_problems, n_samples) for scores of shape (n_problems, n_seeds, n_samples)."
        )
    checked = check_scores(several.ravel()).reshape(several.shape)
    flags = [check_flags(row, f"labels[{number}]", both=True) for number, row in enumerate(rows)]
    return checked, np.array(flags)
