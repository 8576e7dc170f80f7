"""Bootstrap intervals of a metric or a mean: what other test sets, drawn in the same way, would have shown.

As they are called in the first edition, without groups, they are plain percentile intervals, which are too
short of few samples; its printed numbers rest on that, so it stays. New work says `corrected=True`, names
`groups`, or asks for a difference, which is always corrected.

The difference of two methods has an interval of its own, see `comparisons`.
"""

from __future__ import annotations

import warnings

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
    smallest_stratum,
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

# From so many samples of a class on, the plain percentile interval of an area is nearly as good as it says.
FEW_OF_A_CLASS = 20


def bootstrap(
    labels: ArrayLike,
    scores: ArrayLike,
    metric: str = "auroc",
    n_resamples: int = 1000,
    confidence: float = 0.95,
    seed: int = 0,
    *,
    corrected: bool = False,
) -> Interval:
    """Return a metric with its percentile bootstrap interval (Efron and Tibshirani 1993, chapter 13).

    Normal samples and anomalies are drawn anew, with replacement, each as many as there are: the share of
    anomalies is a decision of whoever made the test set, not chance.

    Of few samples the plain interval is too short. In a simulation with 500 normal samples and 5, 10 and 20
    anomalies, the 95 % interval of the AUROC held the truth in about 78, 86 and 90 % of the tries; the
    corrected one in 88, 91 and 93 %. Take more anomalies where you can.

    Args:
        labels: shape (n,), 1 = anomaly, 0 = normal; both must occur.
        scores: shape (n,), higher = more anomalous.
        metric: "auroc" or "average_precision".
        n_resamples: how many times the test set is drawn anew.
        confidence: between 0 and 1.
        seed: decides the draws.
        corrected: move the quantiles outwards for the number of the rarer class, see
            `weighted.expanded_tail`. False is the rule of the first edition, whose numbers stay; for new work
            take True.

    Returns:
        The metric on the samples as they are, and the interval in which it would lie for other test sets
        drawn in the same way. It says nothing about training the detector again. Warns where the interval is
        too short, because a class has fewer than 20 samples and nothing is corrected.

    Raises:
        ValueError: NaN, empty, lengths that differ, a single class, an unknown metric; a class with one
            sample, where `corrected`.
    """
    flags, checked = check_pair(labels, scores)
    result = _of_problems(checked[np.newaxis], flags, metric, n_resamples, confidence, seed, corrected)
    return Interval(result.value, result.low, result.high)


def bootstrap_mean(
    values: ArrayLike,
    n_resamples: int = 1000,
    confidence: float = 0.95,
    seed: int = 0,
    *,
    groups: ArrayLike | None = None,
    corrected: bool = False,
) -> Interval:
    """Return the mean of a quantity measured on every sample, with its percentile bootstrap interval.

    The samples are drawn anew, with replacement (Efron and Tibshirani 1993, chapter 13).

    There are two rules for the quantiles: plain without `groups`, moved outwards with them. The plain one is
    that of the first edition, whose printed numbers must not change; of a few dozen samples it is too short.
    For new work name `groups`, or say `corrected=True` where every sample is independent; two methods on the
    same samples are compared by `comparisons.paired_difference`.

    Args:
        values: shape (n_samples,), or (n_seeds, n_samples), whose mean over the seeds is taken first: one
            draw of the samples serves all seeds. True and false count as 1 and 0.
        n_resamples: how many times the samples are drawn anew.
        confidence: between 0 and 1.
        seed: decides the draws.
        groups: shape (n_samples,), the patient, writer or record of each sample. Whole groups are drawn then,
            because samples of one group tell less than as many independent ones, and the interval is
            widened for their small number, see `weighted.expanded_tail`.
        corrected: widen the interval of single samples in the same way. With groups it always is.

    Returns:
        The mean, and the interval in which it would lie for other samples drawn in the same way. It says
        nothing about training again.

    Raises:
        ValueError: NaN, empty, another number of axes, groups that do not fit, or one sample to correct for.
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
        if corrected:
            if len(of_sample) < 2:
                raise ValueError("values: one sample shows no spread; at least two are needed.")
            tail = expanded_tail(confidence, len(of_sample))
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
    *,
    corrected: bool = False,
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
        corrected: move the quantiles outwards for the number of samples in the smallest group, as in
            `bootstrap`; for new work take True.

    Returns:
        The mean over problems and seeds with its percentile bootstrap interval, which counts the chance in
        the test samples only; `seed_spread` tells what training again does, `per_problem` holds the single
        values. Warns as `bootstrap` does, where a class of a problem has fewer than 20 samples.

    Raises:
        ValueError: NaN, empty, shapes that do not fit, a problem with a single class, an unknown metric; a
            group of one sample, where `corrected`.
    """
    return _of_problems(scores, labels, metric, n_resamples, confidence, seed, corrected)


def _of_problems(
    scores: ArrayLike,
    labels: ArrayLike,
    metric: str,
    n_resamples: int,
    confidence: float,
    seed: int,
    corrected: bool,
) -> ProblemsInterval:
    """Do the work of `bootstrap_problems`; warnings point at whoever called its caller."""
    check_choice(metric, "metric", tuple(METRICS))
    n_resamples = check_count(n_resamples, "n_resamples", least=2)
    tail = (1 - check_fraction(confidence, "confidence")) / 2
    checked, flags = check_problems(scores, labels)
    strata = label_strata(flags)
    if corrected:
        tail = expanded_tail(confidence, smallest_stratum(strata))
    else:
        _warn_of_few(flags)
    n_problems, n_seeds, _ = checked.shape
    exact, resampled = METRICS[metric]

    per_problem = np.array(
        [[exact(y, s) for s in of_seeds] for y, of_seeds in zip(flags, checked, strict=True)],
        dtype=np.float64,
    )
    plans = [[SortedPair(y, s) for s in of_seeds] for y, of_seeds in zip(flags, checked, strict=True)]
    means = np.zeros(n_resamples)
    start = 0
    for weights in resamples(strata, n_resamples, seed):
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


def _warn_of_few(flags: NDArray[np.bool_]) -> None:
    anomalies = flags.sum(axis=1)
    fewest = int(np.minimum(anomalies, flags.shape[1] - anomalies).min())
    if fewest < FEW_OF_A_CLASS:
        warnings.warn(
            f"the rarer class has {fewest} samples, so the plain percentile interval is too short: say "
            "`corrected=True`, or compare two methods by `paired_difference`.",
            stacklevel=4,
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
