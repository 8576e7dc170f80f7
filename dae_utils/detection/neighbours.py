"""Mean distance to the nearest of a set of points. Nothing here imports Keras."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dae_utils.neighbours import NeighbourSearch
from dae_utils.validation import check_count, stack_level_of_caller

__all__ = ["NeighbourIndex"]


class NeighbourIndex:
    """Points, shape (m, values), and the mean Euclidean distance of queries to the nearest few of them.

    Args:
        points: shape (m, values).
        n_neighbours: how many of the nearest to average over. More than there are points count as all of
            them, with a warning.

    Attributes:
        n_neighbours: how many are averaged over.

    Raises:
        ValueError: `n_neighbours` is not a whole number of at least 1.
    """

    def __init__(self, points: NDArray[Any], n_neighbours: int) -> None:
        check_count(n_neighbours, "n_neighbours")
        if n_neighbours > len(points):
            warnings.warn(
                f"n_neighbours is {n_neighbours}, but there are {len(points)} normal samples to learn from; "
                "the mean is taken over all of them.",
                UserWarning,
                stacklevel=stack_level_of_caller(),
            )
        self.n_neighbours = min(n_neighbours, len(points))
        self._search = NeighbourSearch(points)

    def mean_distance(self, queries: NDArray[Any]) -> NDArray[np.float64]:
        """Return the mean distance of each query, shape (n, values), to its nearest points, shape (n,)."""
        _, squared = self._search.near(queries, self.n_neighbours)
        mean: NDArray[np.float64] = np.sqrt(squared).mean(axis=1)
        return mean
