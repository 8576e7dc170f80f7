"""What linear and neighbour probes share: checks, rows held out for choosing, the search, the score."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.model_selection import GroupShuffleSplit, StratifiedShuffleSplit

from dae_utils.evaluation.intervals import Interval
from dae_utils.evaluation.rates import proportion
from dae_utils.evaluation.resampling import bootstrap_mean
from dae_utils.evaluation.weighted import group_numbers
from dae_utils.validation import check_fraction, check_samples

__all__ = [
    "accuracy",
    "check_several_classes",
    "features_and_labels",
    "flat_features",
    "held_out_rows",
    "search",
]


def search(
    accuracy_at: Callable[[float], float], values: Sequence[float], max_widenings: int
) -> tuple[float, bool]:
    """Return the largest of the best values of a grid, and whether it is at an end of the grid.

    The grid is tried from its largest value down, and grows by a factor of ten at the end where the best is.
    """
    found = {value: accuracy_at(value) for value in sorted(values, reverse=True)}
    for widening in range(max_widenings + 1):
        best = max(found, key=lambda value: (found[value], value))
        is_largest, is_smallest = best == max(found), best == min(found)
        if not (is_largest or is_smallest) or widening == max_widenings:
            break
        further = best * 10 if is_largest else best / 10
        found[further] = accuracy_at(further)
    return best, is_largest or is_smallest


def held_out_rows(
    labels: NDArray[np.int64], share: float, groups: ArrayLike | None, seed: int
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the rows to fit on and the rows to choose by: whole groups, or a share of each class."""
    check_fraction(share, "held_out")
    rows = np.arange(len(labels))
    if groups is None:
        splitter = StratifiedShuffleSplit(1, test_size=share, random_state=seed)
    else:
        groups, _ = group_numbers(groups, len(labels))
        splitter = GroupShuffleSplit(1, test_size=share, random_state=seed)
    fit_on, judge_by = next(splitter.split(rows, labels, groups))
    if len(np.unique(labels[fit_on])) < 2:
        raise ValueError("what is left of train holds one class only: hold out less, or other groups.")
    return fit_on, judge_by


def flat_features(features: ArrayLike, name: str, n_features: int | None = None) -> NDArray[np.floating]:
    """Return features as rows, float32 or float64, checked."""
    checked = check_samples(features, name)
    flat: NDArray[np.floating] = checked.reshape(len(checked), -1)
    if n_features is not None and flat.shape[1] != n_features:
        raise ValueError(f"train has {n_features} features, but {name} has {flat.shape[1]}.")
    return flat


def features_and_labels(
    features: ArrayLike, labels: ArrayLike, name: str, n_features: int | None = None
) -> tuple[NDArray[np.floating], NDArray[np.int64]]:
    """Return features as rows and labels as int64, checked; `ValueError` unless they go together."""
    flat = flat_features(features, name, n_features)
    array = np.asarray(labels)
    if array.ndim != 1 or array.dtype.kind not in "iub" or len(array) != len(flat):
        raise ValueError(
            f"{name}: {len(flat)} samples need as many labels, whole numbers in one row; "
            f"got {array.dtype} of shape {array.shape}."
        )
    return flat, array.astype(np.int64)


def check_several_classes(labels: NDArray[np.int64]) -> None:
    """Raise `ValueError` unless training labels name at least two classes."""
    if len(np.unique(labels)) < 2:
        raise ValueError("train holds one class only, so there is nothing to tell apart.")


def accuracy(is_right: NDArray[np.bool_], groups: ArrayLike | None) -> Interval:
    """Return the share of right answers: Wilson's interval, or one from drawing whole groups."""
    if groups is None:
        return proportion(int(is_right.sum()), len(is_right))
    return bootstrap_mean(is_right, groups=groups)
