"""Pairs found with annotated R peaks, to say how good a detector is. It knows sample numbers only.

`wfdb.processing.compare_annotations` gives the same pairs on all 48 records of MIT-BIH, but where annotations
lie close it pairs one found beat with two of them, and it refuses a record without beats; so ours is kept.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray


@dataclass(frozen=True, eq=False)
class BeatMatch:
    """Which found beats are which annotated ones.

    Args:
        found: (n,) int64, rows of the found beats that have a partner, rising.
        annotated: (n,) int64, rows of their partners, rising.
        n_found: how many beats were found.
        n_annotated: how many were annotated.
    """

    found: NDArray[np.int64]
    annotated: NDArray[np.int64]
    n_found: int
    n_annotated: int

    @property
    def sensitivity(self) -> float:
        """Share of the annotated beats that were found; nan if there are none."""
        return len(self.found) / self.n_annotated if self.n_annotated else math.nan

    @property
    def precision(self) -> float:
        """Share of the found beats that are annotated; nan if there are none."""
        return len(self.found) / self.n_found if self.n_found else math.nan


def match_beats(
    found: ArrayLike, annotated: ArrayLike, *, sampling_rate: int = 360, tolerance: float = 0.15
) -> BeatMatch:
    """Pair found with annotated R peaks, one to one: those that are each other's nearest.

    Args:
        found: shape (n,), sample numbers, rising.
        annotated: shape (m,), sample numbers, rising.
        sampling_rate: samples a second.
        tolerance: seconds by which the two of a pair may differ; 0.15 is that of the AAMI's standard EC57.

    Returns:
        The pairs, and how many beats there were on either side.

    Raises:
        ValueError: sample numbers that do not rise.
    """
    found, annotated = check_rising(found, "found"), check_rising(annotated, "annotated")
    if not len(found) or not len(annotated):
        none = np.empty(0, np.int64)
        return BeatMatch(none, none, len(found), len(annotated))
    partner = nearest(found, annotated)
    rows = np.arange(len(found))
    is_pair = nearest(annotated, found)[partner] == rows
    is_pair &= np.abs(annotated[partner] - found) <= tolerance * sampling_rate
    return BeatMatch(rows[is_pair], partner[is_pair], len(found), len(annotated))


def check_rising(values: ArrayLike, name: str) -> NDArray[Any]:
    """Return sample numbers or times as an array of shape (n,), or raise `ValueError` unless they rise."""
    array = np.asarray(values)
    if array.ndim != 1 or (np.diff(array) <= 0).any():
        raise ValueError(f"{name} must be in one row and rise from each to the next; np.unique sorts them.")
    return array


def nearest(values: NDArray[Any], others: NDArray[Any]) -> NDArray[np.int64]:
    """Return for each value the row of the nearest of the others, the earlier one of two as near.

    Args:
        values: shape (n,).
        others: shape (m,), rising, m at least 1.
    """
    right = np.searchsorted(others, values).clip(1, max(len(others) - 1, 1))
    left = right - 1
    right = np.minimum(right, len(others) - 1)
    return np.where(values - others[left] <= others[right] - values, left, right)
