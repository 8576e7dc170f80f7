"""Shares of samples with their intervals, and what the alarms of a detector with a threshold are worth.

Labels are 1 for an anomaly, the positive class, and 0 for a normal sample.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.stats import binomtest

from dae_utils.evaluation.intervals import Interval
from dae_utils.evaluation.resampling import bootstrap_mean
from dae_utils.evaluation.weighted import group_numbers
from dae_utils.validation import check_choice, check_count, check_flags, check_fraction

__all__ = ["detection_table", "false_alarm_rate", "precision_at_prevalence", "proportion", "share"]


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


def share(
    flags: NDArray[np.bool_], groups: ArrayLike | None, confidence: float = 0.95, method: str = "wilson"
) -> Interval:
    """Return the share of true flags: the interval of `proportion`, or one from drawing whole groups.

    Args:
        flags: shape (n,).
        groups: shape (n,), the patient, writer or record of each sample, see `bootstrap_mean`. None counts
            every sample for itself.
        confidence: between 0 and 1.
        method: without groups, see `proportion`.

    Raises:
        ValueError: empty, or groups that do not fit.
    """
    n_true = int(flags.sum())
    if groups is None:
        return proportion(n_true, len(flags), confidence, method)
    if 0 < n_true < len(flags):
        return bootstrap_mean(flags, confidence=confidence, groups=groups)
    # Where all groups are alike, every resample is the same, but another group may differ all the same: as
    # many tries as there are groups, and all of them with one outcome.
    _, n_groups = group_numbers(groups, len(flags))
    return proportion(n_groups if n_true else 0, n_groups, confidence, method)


def false_alarm_rate(
    alarms_on_normals: ArrayLike, confidence: float = 0.95, *, groups: ArrayLike | None = None
) -> Interval:
    """Return the share of normal samples that raise an alarm, with its interval.

    Args:
        alarms_on_normals: shape (n,), True or 1 where a normal sample raises an alarm.
        confidence: between 0 and 1.
        groups: shape (n,), the patient, writer or record of each sample: the interval comes from drawing
            whole groups, see `share`. Without groups it is Wilson's, which takes every sample as independent.

    Raises:
        ValueError: NaN, empty, values other than 0 and 1, or groups that do not fit.
    """
    alarms = check_flags(alarms_on_normals, "alarms_on_normals")
    return share(alarms, groups, confidence)


def detection_table(
    labels: ArrayLike,
    alarms: ArrayLike,
    confidence: float = 0.95,
    method: str = "wilson",
    *,
    groups: ArrayLike | None = None,
) -> dict[str, int | Interval | None]:
    """Return what a detector with a threshold finds, misses and raises for nothing.

    Args:
        labels: shape (n,), 1 = anomaly, 0 = normal; both must occur.
        alarms: shape (n,), True or 1 where the detector raises an alarm (for a scikit-learn prediction,
            `prediction == -1`).
        confidence: between 0 and 1.
        method: see `proportion`.
        groups: shape (n,), the patient, writer or record of each sample: the intervals come from drawing
            whole groups, see `share`, out of those that have anomalies, normal samples or alarms.

    Returns:
        Counts "true_positives" (anomalies found), "false_negatives" (missed), "false_alarms" (normal samples
        with an alarm), "true_negatives"; intervals "sensitivity" (share of anomalies found, also called
        recall), "false_alarm_rate" (share of normal samples with an alarm) and "precision" (share of alarms
        that are anomalies; None without any alarm, or where all alarms are of one group).

    Raises:
        ValueError: NaN, empty, lengths that differ, values other than 0 and 1, a single class, or all
            anomalies or all normal samples of one group.
    """
    is_anomaly = check_flags(labels, "labels", both=True)
    raised = check_flags(alarms, "alarms", length=len(is_anomaly))
    found = int(np.sum(raised & is_anomaly))
    false_alarms = int(np.sum(raised & ~is_anomaly))
    n_anomalies = int(is_anomaly.sum())
    n_normals = len(is_anomaly) - n_anomalies
    whose = np.arange(len(raised)) if groups is None else group_numbers(groups, len(raised))[0]

    def of(flags: NDArray[np.bool_], among: NDArray[np.bool_], name: str) -> Interval:
        if groups is not None and len(np.unique(whose[among])) < 2:
            raise ValueError(f"groups: all {name} are of one group, which says nothing about another one.")
        return share(flags[among], None if groups is None else whose[among], confidence, method)

    # Which groups raise alarms is the detector's doing, not a fault of the call.
    has_precision = len(np.unique(whose[raised])) >= (1 if groups is None else 2)
    return {
        "true_positives": found,
        "false_negatives": n_anomalies - found,
        "false_alarms": false_alarms,
        "true_negatives": n_normals - false_alarms,
        "sensitivity": of(raised, is_anomaly, "anomalies"),
        "false_alarm_rate": of(raised, ~is_anomaly, "normal samples"),
        "precision": of(is_anomaly, raised, "alarms") if has_precision else None,
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
