"""Which of many points lie nearest to a query: Euclidean distances, right to the last digits of float64.

Nothing here knows what the points are, and nothing imports Keras.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.neighbors import NearestNeighbors

__all__ = ["NeighbourSearch"]

# So many differences of a query and a point at once: 64 MiB of them.
_VALUES_AT_ONCE = 8 * 2**20


class NeighbourSearch:
    """A search among points for the nearest to a query.

    |q - p|^2 is fast to compute as |q|^2 - 2 q.p + |p|^2, of which the middle is a product of matrices; so do
    scikit-learn, in many dimensions, and faiss. Far from the origin the three are large and nearly cancel,
    which costs digits: all of them in float32, and some in float64 even when the mean is removed, as here.
    Here whatever may be out of order is measured again, by the sum of squared differences.

    Args:
        points: shape (n, values), n >= 1, finite.
    """

    def __init__(self, points: NDArray[Any]) -> None:
        self._centre: NDArray[np.float64] = points.mean(axis=0, dtype=np.float64)
        self._points: NDArray[np.float64] = points - self._centre
        self._squares: NDArray[np.float64] = np.einsum("ij,ij->i", self._points, self._points)

    @cached_property
    def _search(self) -> NearestNeighbors:
        return NearestNeighbors().fit(self._points)

    def near(self, queries: NDArray[Any], n_neighbours: int) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        """Return the points that scikit-learn finds nearest, the nearest first, and their squared distances.

        The distances are exact. A point may be missing for one that is further by less than the rounding of
        scikit-learn's distances, some 1e-16 of the squared length of the longest point.

        Args:
            queries: shape (m, values).
            n_neighbours: from 1 to n.

        Returns:
            Row numbers of points and squared distances, each of shape (m, n_neighbours). Of equal distances
            the lower row comes first.
        """
        queries = queries - self._centre
        found: NDArray[np.int64] = self._search.kneighbors(queries, n_neighbours, return_distance=False)
        squared = np.empty(found.shape)
        rows = max(1, _VALUES_AT_ONCE // (n_neighbours * queries.shape[1]))
        for start in range(0, len(queries), rows):
            block = slice(start, start + rows)
            gaps = self._points[found[block]]
            gaps -= queries[block, np.newaxis]
            np.einsum("ijk,ijk->ij", gaps, gaps, out=squared[block])
        order = np.lexsort((found, squared))
        return np.take_along_axis(found, order, axis=1), np.take_along_axis(squared, order, axis=1)

    def nearest(self, queries: NDArray[Any], n_neighbours: int) -> NDArray[np.int64]:
        """Return the nearest points, as `near` does, but without an exception."""
        # One more than asked for shows by how much those left out are further at least.
        found, squared = self.near(queries, min(n_neighbours + 1, len(self._points)))
        nearest = found[:, :n_neighbours].copy()
        if n_neighbours == len(self._points):
            return nearest
        bounds = self._bounds(queries - self._centre)
        doubtful = np.flatnonzero(squared[:, -1] - squared[:, -2] <= 2 * bounds)
        for block, estimates, block_bounds in self.blocks(queries[doubtful]):
            kth = np.partition(estimates, n_neighbours - 1, axis=1)[:, n_neighbours - 1]
            may_belong = estimates <= (kth + 2 * block_bounds)[:, np.newaxis]
            for query, members in zip(doubtful[block], map(np.flatnonzero, may_belong), strict=True):
                order = np.argsort(self.squared_distances(queries[query], members), kind="stable")
                nearest[query] = members[order[:n_neighbours]]
        return nearest

    def blocks(
        self, queries: NDArray[Any], block_size: int = 256
    ) -> Iterator[tuple[slice, NDArray[np.float64], NDArray[np.float64]]]:
        """Yield which queries, their squared distances to all points, and by how much these may be wrong.

        The shapes are (b, n) and (b,), with b queries in a block.
        """
        for start in range(0, len(queries), block_size):
            block = slice(start, min(start + block_size, len(queries)))
            centred = queries[block] - self._centre
            own = np.einsum("ij,ij->i", centred, centred)
            squared = self._squares - 2 * centred @ self._points.T + own[:, np.newaxis]
            yield block, squared, self._bounds(centred)

    def squared_distances(self, query: NDArray[Any], members: NDArray[np.int64]) -> NDArray[np.float64]:
        """Return the squared distances of one query to some points, as sums of squared differences."""
        difference = self._points[members] - (query - self._centre)
        result: NDArray[np.float64] = np.einsum("ij,ij->i", difference, difference)
        return result

    def _bounds(self, centred: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return by how much the squared distances of centred queries may be wrong, shape (m,)."""
        # A sum of d products is off by at most d roundings of the largest sum of sizes that can occur.
        unit = np.finfo(np.float64).eps * (centred.shape[1] + 4)
        bounds: NDArray[np.float64] = (
            2 * unit * (np.einsum("ij,ij->i", centred, centred) + self._squares.max())
        )
        return bounds
