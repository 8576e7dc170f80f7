"""What linear and neighbour probes share: checks, rows held out for choosing, the search, the score."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.model_selection import GroupShuffleSplit, StratifiedShuffleSplit

from dae_utils.evaluation.intervals import Interval
from dae_utils.evaluation.rates import share
from dae_utils.evaluation.weighted import group_numbers
from dae_utils.validation import check_fraction, check_samples

__all__ = [
    "Parts",
    "accuracy",
    "check_several_classes",
    "features_and_labels",
    "flat_features",
    "held_out_rows",
    "parts_to_choose_by",
    "search",
]


class Parts(NamedTuple):
    """What a choice is made with: features (n, d) and labels (n,) to fit on, and those to judge by."""

    x: NDArray[np.floating]
    y: NDArray[np.int64]
    x_judged: NDArray[np.floating]
    y_judged: NDArray[np.int64]


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


def parts_to_choose_by(
    train: ArrayLike,
    train_labels: ArrayLike,
    validation: ArrayLike | None,
    validation_labels: ArrayLike | None,
    *,
    held_out: float,
    groups: ArrayLike | None,
    seed: int,
) -> tuple[NDArray[np.floating], NDArray[np.int64], Parts]:
    """Return features and labels of all of train, and the parts that a choice is made with.

    The parts are train and validation data, or where there is none what remains of train and what is held out
    of it. Arguments are those of `probes.tuned_linear_probe`.

    Raises:
        ValueError: NaN, shapes that do not go together, a single class, or groups beside validation data.
    """
    x, y = features_and_labels(train, train_labels, "train")
    check_several_classes(y)
    if validation is None:
        fit_on, judge_by = held_out_rows(y, held_out, groups, seed)
        return x, y, Parts(x[fit_on], y[fit_on], x[judge_by], y[judge_by])
    if validation_labels is None or groups is not None:
        raise ValueError("validation needs validation_labels, and no groups: nothing is held out of train.")
    judged = features_and_labels(validation, validation_labels, "validation", x.shape[1])
    return x, y, Parts(x, y, *judged)


def held_out_rows(
    labels: NDArray[np.int64], held_out: float, groups: ArrayLike | None, seed: int
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the rows to fit on and the rows to choose by: whole groups, or a share of each class."""
    check_fraction(held_out, "held_out")
    rows = np.arange(len(labels))
    if groups is None:
        splitter = StratifiedShuffleSplit(1, test_size=held_out, random_state=seed)
    else:
        groups, _ = group_numbers(groups, len(labels))
        splitter = GroupShuffleSplit(1, test_size=held_out, random_state=seed)
    fit_on, judge_by = next(splitter.split(rows, labels, groups))
    if len(np.unique(labels[fit_on])) < 2:
        raise ValueError("what is left of train holds one class only: hold out less, or other groups.")
    return fit_on, judge_by


def flat_features(
    features: ArrayLike, name: str, n_features: int | None = None, other: str = "train"
) -> NDArray[np.floating]:
    """Return features as rows, float32 or float64, checked; as many as argument `other` has, `n_features`."""
    checked = check_samples(features, name)
    flat: NDArray[np.floating] = checked.reshape(len(checked), -1)
    if n_features is not None and flat.shape[1] != n_features:
        raise ValueError(f"{other} has {n_features} features, but {name} has {flat.shape[1]}.")
    return flat


def features_and_labels(
    features: ArrayLike, labels: ArrayLike, name: str, n_features: int | None = None, other: str = "train"
) -> tuple[NDArray[np.floating], NDArray[np.int64]]:
    """Return features as rows and labels as int64, checked; `ValueError` unless they go together."""
    flat = flat_features(features, name, n_features, other)
    array = np.asarray(labels)
    if array.ndim != 1 or array.dtype.kind not in "iub" or len(array) != len(flat):
        raise ValueError(
            f"{name}: {len(flat)} samples need as many labels, whole numbers in one row; "
            f"got {array.dtype} of shape {array.shape}."
        )
    return flat, array.astype(np.int64)


def check_several_classes(labels: NDArray[np.int64], name: str = "train") -> None:
    """Raise `ValueError` unless labels name at least two classes."""
    if len(np.unique(labels)) < 2:
        raise ValueError(f"{name} holds one class only, so there is nothing to tell apart.")


def accuracy(is_right: NDArray[np.bool_], groups: ArrayLike | None) -> Interval:
    """Return the share of right answers: Wilson's interval, or one from drawing whole groups."""
    return share(is_right, groups)
