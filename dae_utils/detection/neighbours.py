"""Mean distance to the nearest of a set of points, right in float64.

Nothing here knows what the points are, and nothing imports Keras.
"""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.neighbors import NearestNeighbors

from dae_utils.validation import check_count, stack_level_of_caller

__all__ = ["NeighbourIndex"]

# So many differences of a query and a point at once: 64 MiB of them.
_VALUES_AT_ONCE = 8 * 2**20


class NeighbourIndex:
    """Points, shape (m, values), and the mean Euclidean distance of queries to the nearest few of them.

    scikit-learn finds the neighbours in float64. In many dimensions it does so by |q|^2 - 2 q.p + |p|^2,
    which is exact to some 1e-16 of the squared *length* of a point, and so not for a near one: between a
    point and itself it may find 1e-8. Points and queries are therefore centred first, and the distances of
    the neighbours found are computed anew from the differences.

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
        points = points.astype(np.float64)
        self._centre: NDArray[np.float64] = points.mean(axis=0)
        self._points: NDArray[np.float64] = points - self._centre
        self._search = NearestNeighbors(n_neighbors=self.n_neighbours).fit(self._points)

    def mean_distance(self, queries: NDArray[Any]) -> NDArray[np.float64]:
        """Return the mean distance of each query, shape (n, values), to its nearest points, shape (n,)."""
        queries = queries.astype(np.float64) - self._centre
        nearest = self._search.kneighbors(queries, return_distance=False)
        rows = max(1, _VALUES_AT_ONCE // (self.n_neighbours * queries.shape[1]))
        distances = np.empty(len(queries))
        for start in range(0, len(queries), rows):
            block = slice(start, start + rows)
            gaps = queries[block, np.newaxis] - self._points[nearest[block]]
            distances[block] = np.linalg.norm(gaps, axis=2).mean(axis=1)
        return distances
