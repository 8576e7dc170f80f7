"""Is one method better than another? The difference on the same samples, with an interval of its own.

Two separate intervals that overlap decide nothing: what makes one image hard makes it hard for both methods,
and that chance cancels in the difference. Metrics of one method are in `resampling`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import stats

from dae_utils.evaluation.intervals import Interval
from dae_utils.evaluation.resampling import check_problems
from dae_utils.evaluation.weighted import (
    METRICS,
    SortedPair,
    expanded_tail,
    group_numbers,
    label_strata,
    resamples,
    smallest_stratum,
)
from dae_utils.validation import check_choice, check_count, check_flags, check_fraction, check_scores

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["Difference", "comparison_table", "holm", "mcnemar", "paired_difference"]


@dataclass(frozen=True)
class Difference(Interval):
    """A difference of two methods, first minus second, on the same samples; see `paired_difference`.

    Attributes:
        p_value: two-sided, of the hypothesis that there is no difference; below 0.05 where the 95 % interval
            leaves out zero. It is never below about 2 / `n_resamples`, and means little for few groups, see
            `paired_difference`.
        n_units: how many independent units were drawn, groups or samples, of all strata together.
        resampled: the difference in each resample, shape (n_resamples,).
    """

    p_value: float
    n_units: int
    resampled: NDArray[np.float64] = field(compare=False, repr=False)


def paired_difference(
    first: ArrayLike,
    second: ArrayLike,
    *,
    labels: ArrayLike | None = None,
    metric: str = "mean",
    groups: ArrayLike | None = None,
    n_resamples: int = 2000,
    confidence: float = 0.95,
    seed: int = 0,
) -> Difference:
    """Return how much larger a quantity is for one method than for another on the same samples.

    Samples are drawn anew with replacement, the same for both methods (Efron and Tibshirani 1993, chapter
    13), in whole groups where groups are given: patients, writers or records are independent, their beats and
    images are not. In the same draws the seeds are drawn as well, one fewer than there are, which gives the
    mean over seeds its right variance (Rao and Wu 1988, JASA 83). The quantiles are moved outwards for the
    number of units, see `weighted.expanded_tail`; for an area without groups, which draws each class for
    itself, that is the size of the smallest class. Of fewer than ten groups, or anomalies, any interval is a
    rough one. Two or three seeds show that seeds matter, not how much: where they differ more than the
    samples do, the interval is still too narrow.

    Few groups can't give a small p-value, however large the difference. Of G groups there are C(2G - 1, G)
    distinct resamples, 10 for three groups and 126 for five. Of signs there are 2^G patterns, so that an
    exact test, which exchanges the methods in each pattern, never comes below 2^(1 - G): 0.25 for three
    groups, 0.06 for five. Where the p-value here is smaller than that, it rests on an assumed distribution
    and not on the data. For fewer than ten groups report the interval, and the difference of each group, but
    no verdict.

    Args:
        first, second: for the mean, a number for each sample, such as right or wrong, an error, or average
            precision of a query; shape (n_samples,), or (n_seeds, n_samples). For an area the anomaly scores,
            shape (n_samples,), (n_seeds, n_samples) or (n_problems, n_seeds, n_samples). With equally many
            seeds, seed k of both methods is drawn together; with different numbers each method has its own
            draws. A method without chance has one row.
        labels: for an area, 1 = anomaly; shape (n_samples,) or (n_problems, n_samples). None for the mean.
        metric: "mean", "auroc" or "average_precision". The area of several problems is their mean.
        groups: shape (n_samples,), whose each sample is. Without groups each sample is drawn for itself, for
            an area within normal samples and anomalies.
        n_resamples: how many times samples and seeds are drawn anew. For many comparisons in one table take
            10 000, since Holm's correction multiplies p-values that can't fall below 2 / `n_resamples`.
        confidence: between 0 and 1.
        seed: decides the draws.

    Returns:
        The difference, first minus second, of the means over samples and seeds, and its interval.

    Raises:
        ValueError: NaN, shapes that do not go together, labels missing or not wanted, a single class or
            group, one sample of a class, or groups of which resamples often lack one class.
    """
    check_choice(metric, "metric", ("mean", *METRICS))
    n_resamples = check_count(n_resamples, "n_resamples", least=2)
    confidence = check_fraction(confidence, "confidence")
    a, b = _with_seeds(first, "first", metric), _with_seeds(second, "second", metric)
    if a.shape[::2] != b.shape[::2]:
        raise ValueError(
            f"first is for (problems, samples) {a.shape[::2]}, second for {b.shape[::2]}: measure both "
            "on the same samples, in the same order."
        )
    numbers, n_units = group_numbers(groups, a.shape[2])
    if n_units < 2:
        raise ValueError("one sample shows no spread; at least two are needed.")
    if metric == "mean":
        if labels is not None:
            raise ValueError("labels are for areas; for the mean leave them out, or name a metric.")
        measures: Sequence[_Mean | _Area] = [_Mean(a[0], numbers), _Mean(b[0], numbers)]
        strata = [np.arange(n_units)]
    else:
        if labels is None:
            raise ValueError(f"{metric} needs labels, 1 = anomaly.")
        _, flags = check_problems(a, labels)
        spread = None if groups is None else numbers
        measures = [_Area(a, flags, metric, spread), _Area(b, flags, metric, spread)]
        strata = label_strata(flags) if groups is None else [np.arange(n_units)]
    # With one stratum this is n_units.
    n_counting = smallest_stratum(strata)
    resampled = _drawn(measures, strata, n_resamples, seed)
    value = measures[0].value - measures[1].value
    tail = expanded_tail(confidence, n_counting)
    low, high = np.quantile(resampled, [tail, 1 - tail])
    p_value = _p_value(resampled, n_counting)
    # Rounding, or a handful of units, may put the difference itself a hair outside.
    return Difference(value, min(float(low), value), max(float(high), value), p_value, n_units, resampled)


def _with_seeds(values: ArrayLike, name: str, metric: str) -> NDArray[np.float64]:
    """Return values of shape (n_problems, n_seeds, n_samples), checked."""
    array = np.asarray(values)
    most = 2 if metric == "mean" else 3
    if not 1 <= array.ndim <= most:
        shapes = "(n_samples,), (n_seeds, n_samples)" + ", (n_problems, n_seeds, n_samples)" * (most - 2)
        raise ValueError(f"{name} has shape {array.shape}; one of {shapes} is expected.")
    shape = (1,) * (3 - array.ndim) + array.shape
    return check_scores(array.ravel(), name).reshape(shape)


class _Mean:
    """The mean over samples of one method; the units are groups."""

    def __init__(self, values: NDArray[np.float64], numbers: NDArray[np.int64]):
        self.value = float(values.mean())
        self.n_seeds = len(values)
        self._sums = np.array([np.bincount(numbers, row) for row in values])
        self._sizes = np.bincount(numbers).astype(np.float64)

    def of_seeds(self, weights: NDArray[np.float32]) -> NDArray[np.float64]:
        """Return the mean for each seed and resample, shape (n_seeds, resamples)."""
        exact = weights.astype(np.float64)
        result: NDArray[np.float64] = (self._sums @ exact) / (self._sizes @ exact)
        return result


class _Area:
    """An area of one method, mean over problems; the units are groups, or samples where `numbers` is None."""

    def __init__(
        self,
        scores: NDArray[np.float64],
        labels: NDArray[np.bool_],
        metric: str,
        numbers: NDArray[np.int64] | None,
    ):
        exact, self._resampled = METRICS[metric]
        rows = [[(y, s) for s in of_seeds] for y, of_seeds in zip(labels, scores, strict=True)]
        self.value = float(np.mean([[exact(*pair) for pair in problem] for problem in rows]))
        self.n_seeds = scores.shape[1]
        self._pairs = [[SortedPair(*pair) for pair in problem] for problem in rows]
        self._numbers = numbers

    def of_seeds(self, weights: NDArray[np.float32]) -> NDArray[np.float64]:
        """Return the mean over problems for each seed and resample, shape (n_seeds, resamples)."""
        if self._numbers is not None:
            weights = weights[self._numbers]
        values = [[self._resampled(pair, weights) for pair in problem] for problem in self._pairs]
        mean: NDArray[np.float64] = np.mean(values, axis=0)
        return mean


def _drawn(
    measures: Sequence[_Mean | _Area], strata: list[NDArray[np.int64]], n_resamples: int, seed: int
) -> NDArray[np.float64]:
    """Return the difference in each resample of samples and seeds."""
    # Draws of seeds have a generator of their own, so that the samples drawn do not depend on their number.
    generator = np.random.default_rng([seed, 1])
    same = measures[0].n_seeds == measures[1].n_seeds
    parts = []
    for weights in resamples(strata, n_resamples, seed):
        shares = [_seed_shares(generator, measures[0].n_seeds, weights.shape[1])]
        shares.append(shares[0] if same else _seed_shares(generator, measures[1].n_seeds, weights.shape[1]))
        first, second = (
            (share * one.of_seeds(weights)).sum(axis=0) for share, one in zip(shares, measures, strict=True)
        )
        parts.append(first - second)
    differences = np.concatenate(parts)
    defined = np.isfinite(differences)
    if defined.mean() < 0.9:
        raise ValueError(
            f"{1 - defined.mean():.0%} of the resamples hold one class only, since few groups have both: "
            "take more groups, or compare means instead of areas."
        )
    kept: NDArray[np.float64] = differences[defined]
    return kept


def _seed_shares(generator: np.random.Generator, n_seeds: int, n_resamples: int) -> NDArray[np.float64]:
    """Return how much each seed counts in each resample, (n_seeds, n_resamples), columns adding to 1."""
    if n_seeds == 1:
        return np.ones((1, n_resamples))
    counts = generator.multinomial(n_seeds - 1, np.full(n_seeds, 1 / n_seeds), size=n_resamples)
    shares: NDArray[np.float64] = counts.T / (n_seeds - 1)
    return shares


def _p_value(resampled: NDArray[np.float64], n_units: int) -> float:
    """Return the two-sided p-value that goes with an interval of moved quantiles."""
    beyond = min(np.sum(resampled <= 0), np.sum(resampled >= 0))
    share = min(1.0, 2 * (float(beyond) + 1) / (len(resampled) + 1))
    # The same correction as `expanded_tail`, backwards.
    student = stats.norm.isf(share / 2) * np.sqrt((n_units - 1) / n_units)
    return float(2 * stats.t.sf(student, n_units - 1))


def mcnemar(first_right: ArrayLike, second_right: ArrayLike) -> float:
    """Return the exact two-sided p-value of McNemar's test for two classifiers on the same samples.

    Only samples count on which one is right and the other wrong; without a difference each of the two is
    right in half of them (McNemar 1947, Psychometrika 12). The samples must be independent: for beats of few
    patients use `paired_difference` with groups.

    Args:
        first_right, second_right: shape (n,), True or 1 where the classifier is right.

    Returns:
        Between 0 and 1; 1 where the two never differ.

    Raises:
        ValueError: values other than 0 and 1, or lengths that differ.
    """
    first = check_flags(first_right, "first_right")
    second = check_flags(second_right, "second_right", length=len(first))
    only_first, only_second = int(np.sum(first & ~second)), int(np.sum(second & ~first))
    if only_first + only_second == 0:
        return 1.0
    return float(stats.binomtest(only_first, only_first + only_second).pvalue)


def holm(p_values: ArrayLike) -> NDArray[np.float64]:
    """Return p-values adjusted for their number by Holm's method (1979, Scand. J. Statist. 6).

    The chance of a single false verdict among all of them stays below the level at which adjusted values are
    judged, however they depend on each other. The smallest of m values is multiplied by m, the next by m - 1
    and so on; none becomes smaller than the one before it.

    Args:
        p_values: shape (m,), each in [0, 1].

    Returns:
        Shape (m,), in the order given, at most 1.

    Raises:
        ValueError: empty, NaN, or a value outside [0, 1].
    """
    values = check_scores(p_values, "p_values")
    if values.min() < 0 or values.max() > 1:
        raise ValueError(f"p_values must lie in [0, 1], but run from {values.min():g} to {values.max():g}.")
    order = np.argsort(values, kind="stable")
    adjusted = np.empty_like(values)
    adjusted[order] = np.maximum.accumulate(values[order] * np.arange(len(values), 0, -1))
    return np.minimum(adjusted, 1.0)


def comparison_table(differences: Mapping[str, Difference], level: float = 0.05) -> pd.DataFrame:
    """Return many paired comparisons as a table, corrected for their number by `holm`.

    Args:
        differences: the name of each comparison, such as "network - PCA, 10 labels", and its difference.
        level: of the family: the chance of a single false verdict in the whole table.

    Returns:
        A row for each comparison, with "difference", "low", "high" (intervals of the single comparison, not
        corrected), "p", "p_holm" and "verdict": "larger", "smaller" or "open", by `p_holm`.

    Raises:
        ValueError: no comparison, or a level outside (0, 1).
    """
    # It takes half a second to import, and only tables need it.
    import pandas as pd

    level = check_fraction(level, "level")
    if not differences:
        raise ValueError("differences is empty; at least one comparison is needed.")
    several = list(differences.values())
    adjusted = holm([one.p_value for one in several])
    verdicts = [
        ("larger" if one.value > 0 else "smaller") if p < level else "open"
        for one, p in zip(several, adjusted, strict=True)
    ]
    return pd.DataFrame(
        {
            "difference": [one.value for one in several],
            "low": [one.low for one in several],
            "high": [one.high for one in several],
            "p": [one.p_value for one in several],
            "p_holm": adjusted,
            "verdict": verdicts,
        },
        index=list(differences),
    )
