"""Shares of samples with their intervals, and what the alarms of a detector with a threshold are worth.

Labels are 1 for an anomaly, the positive class, and 0 for a normal sample.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike
from scipy.stats import binomtest

from dae_utils.evaluation.intervals import Interval
from dae_utils.validation import check_choice, check_count, check_flags, check_fraction

__all__ = ["detection_table", "false_alarm_rate", "precision_at_prevalence", "proportion"]


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
    is_anomaly = check_flags(labels, "labels", both=True)
    raised = check_flags(alarms, "alarms", length=len(is_anomaly))
    found = int(np.sum(raised & is_anomaly))
    false_alarms = int(np.sum(raised & ~is_anomaly))
    n_anomalies = int(is_anomaly.sum())
    n_normals = len(is_anomaly) - n_anomalies
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
