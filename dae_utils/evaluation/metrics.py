"""How well scores tell anomalies from normal samples. Intervals for these metrics are in `resampling`.

Labels are 1 for an anomaly, the positive class, and 0 for a normal sample; scores are higher for anomalies.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.metrics import average_precision_score, roc_auc_score

from dae_utils.validation import check_flags, check_scores

__all__ = ["auroc", "average_precision", "check_pair"]


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
    return float(roc_auc_score(*check_pair(labels, scores)))


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
    # scikit-learn adds up many small steps, which may end a hair above 1.
    return min(float(average_precision_score(*check_pair(labels, scores))), 1.0)


def check_pair(labels: ArrayLike, scores: ArrayLike) -> tuple[NDArray[np.bool_], NDArray[np.float64]]:
    """Return labels as booleans and scores as float64, both (n,); `ValueError` unless both classes occur."""
    checked = check_scores(scores)
    return check_flags(labels, "labels", length=len(checked), both=True), checked
