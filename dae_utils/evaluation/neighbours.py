"""What lies near what in a representation: votes of the nearest neighbours, and retrieval.

Distances are Euclidean and right to the last digits of float64. What a linear classifier reads off is the
question of `probes`.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike, NDArray

from dae_utils.evaluation.choosing import (
    accuracy,
    check_several_classes,
    features_and_labels,
    flat_features,
    parts_to_choose_by,
)
from dae_utils.evaluation.intervals import Interval
from dae_utils.neighbours import NeighbourSearch
from dae_utils.validation import check_count

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["NeighbourProbe", "Retrieval", "nearest_neighbours", "retrieval", "tuned_neighbour_probe"]

N_NEIGHBOURS = (1, 2, 5, 10, 20, 50)


def nearest_neighbours(database: ArrayLike, queries: ArrayLike, n_neighbours: int = 10) -> NDArray[np.int64]:
    """Return which samples of a database are nearest to each query (Euclidean), the nearest first.

    Args:
        database: features to search in, shape (n, ...), made flat.
        queries: features to search for, shape (m, ...).
        n_neighbours: from 1 to n.

    Returns:
        Row numbers of the database, shape (m, n_neighbours). Of equal distances the lower row comes first.

    Raises:
        ValueError: NaN, shapes that do not go together, or too many neighbours.
    """
    flat = flat_features(database, "database")
    asked = flat_features(queries, "queries", flat.shape[1], "database")
    check_count(n_neighbours, "n_neighbours", most=len(flat))
    return NeighbourSearch(flat).nearest(asked, n_neighbours)


@dataclass(frozen=True)
class NeighbourProbe:
    """A vote of the nearest neighbours whose number was chosen on validation data.

    Attributes:
        n_neighbours: the choice.
        validation_accuracy: share of right answers on the validation data with this choice, by which it was
            chosen.
        grid: each number that was tried, and its accuracy.
        edge: whether the choice is the largest number tried (the smallest, 1, can't be undercut).
        train, train_labels: what is searched.
    """

    n_neighbours: int
    validation_accuracy: float
    grid: tuple[tuple[int, float], ...]
    edge: bool
    train: NDArray[np.floating] = field(repr=False, compare=False)
    train_labels: NDArray[np.int64] = field(repr=False, compare=False)

    def predict(self, features: ArrayLike) -> NDArray[np.int64]:
        """Return the class with most votes, shape (n,), of features (n, ...); of equals the lowest."""
        flat = flat_features(features, "features", self.train.shape[1])
        return _votes(self.train, self.train_labels, flat, [self.n_neighbours])[self.n_neighbours]

    def is_right(self, features: ArrayLike, labels: ArrayLike) -> NDArray[np.bool_]:
        """Return for which samples the answer is right, shape (n,): for `paired_difference`."""
        flat, checked = features_and_labels(features, labels, "features")
        right: NDArray[np.bool_] = self.predict(flat) == checked
        return right

    def score(self, features: ArrayLike, labels: ArrayLike, groups: ArrayLike | None = None) -> Interval:
        """Return the share of right answers with its 95 % interval, see `LinearProbe.score`."""
        return accuracy(self.is_right(features, labels), groups)

    def table(self) -> pd.DataFrame:
        """Return the validation accuracies as a table, a row for each number of neighbours."""
        import pandas as pd

        return pd.DataFrame(self.grid, columns=["n_neighbours", "accuracy"]).set_index("n_neighbours")


def tuned_neighbour_probe(
    train: ArrayLike,
    train_labels: ArrayLike,
    validation: ArrayLike | None = None,
    validation_labels: ArrayLike | None = None,
    *,
    n_neighbours: Sequence[int] = N_NEIGHBOURS,
    held_out: float = 0.2,
    groups: ArrayLike | None = None,
    seed: int = 0,
) -> NeighbourProbe:
    """Return a vote of the nearest neighbours, their number chosen on validation data.

    Features are taken as they are. Of equal accuracies the smaller number wins. Arguments that are not named
    here are those of `tuned_linear_probe`; the vote is then among all of `train`.

    Args:
        n_neighbours: the numbers to try. Those above the number of training samples are left out.

    Raises:
        ValueError: NaN, shapes that do not go together, a single class, or no number that can be tried.
    """
    x, y, parts = parts_to_choose_by(
        train, train_labels, validation, validation_labels, held_out=held_out, groups=groups, seed=seed
    )
    numbers = sorted({check_count(number, "every one of n_neighbours") for number in n_neighbours})
    numbers = [number for number in numbers if number <= len(parts.x)]
    if not numbers:
        raise ValueError(f"n_neighbours must name a number up to {len(parts.x)}, the training samples.")
    votes = _votes(parts.x, parts.y, parts.x_judged, numbers)
    grid = tuple((number, float(np.mean(votes[number] == parts.y_judged))) for number in numbers)
    best, share = max(grid, key=lambda point: (point[1], -point[0]))
    edge = best == numbers[-1] and best > 1
    if edge:
        warnings.warn(
            f"the best number of neighbours, {best}, is the largest that was tried: try more.", stacklevel=2
        )
    return NeighbourProbe(best, share, grid, edge, x, y)


def _votes(
    train: NDArray[np.floating], labels: NDArray[np.int64], asked: NDArray[np.floating], numbers: list[int]
) -> dict[int, NDArray[np.int64]]:
    """Return the winner of the vote of each number of neighbours, shape (len(asked),)."""
    classes, positions = np.unique(labels, return_inverse=True)
    voters = positions[nearest_neighbours(train, asked, max(numbers))]
    counts, winners, counted = np.zeros((len(asked), len(classes)), np.int64), {}, 0
    for number in sorted(numbers):
        for column in voters[:, counted:number].T:
            counts[np.arange(len(asked)), column] += 1
        counted = number
        winners[number] = classes[counts.argmax(axis=1)]
    return winners


@dataclass(frozen=True)
class Retrieval:
    """How well a search by distance finds samples of the query's own class.

    Attributes:
        precision_at_1, precision_at_10: share of the query's class among the nearest 1 and 10, mean over the
            queries.
        mean_average_precision: precision after each sample of the query's class, averaged over them and then
            over the queries (Manning, Raghavan and Schütze 2008, "Introduction to information retrieval",
            section 8.4).
        per_query: the three for each query, shape (queries, 3).
    """

    precision_at_1: float
    precision_at_10: float
    mean_average_precision: float
    per_query: NDArray[np.float64]


def retrieval(
    database: ArrayLike,
    database_labels: ArrayLike,
    queries: ArrayLike,
    query_labels: ArrayLike,
    block_size: int = 256,
) -> Retrieval:
    """Return how well the nearest samples of a database (Euclidean) share the class of the query.

    Args:
        database: features to search in, shape (n, ...), made flat; n is at least 10.
        database_labels: shape (n,), whole numbers.
        queries: features to search for, shape (m, ...); none of them should be in the database.
        query_labels: shape (m,); each class must occur in the database.
        block_size: queries handled together, which bounds the memory: 8 bytes · n · `block_size` and more.

    Raises:
        ValueError: NaN, shapes that do not go together, a small database, or a class that is not in it.
    """
    flat, labels = features_and_labels(database, database_labels, "database")
    asked, asked_labels = features_and_labels(queries, query_labels, "queries", flat.shape[1], "database")
    check_several_classes(labels, "database")
    check_count(len(flat), "the number of samples in the database", least=10)
    missing = np.setdiff1d(asked_labels, labels)
    if len(missing):
        raise ValueError(f"class {missing[0]} is asked for, but no sample of the database belongs to it.")
    search = NeighbourSearch(flat)
    ranks = np.arange(1, len(flat) + 1)
    measured = np.empty((len(asked), 3))
    for block, squared, bounds in search.blocks(asked, block_size):
        order = _all_in_order(search, asked[block], squared, bounds)
        is_right = labels[order] == asked_labels[block, np.newaxis]
        measured[block, 0] = is_right[:, 0]
        measured[block, 1] = is_right[:, :10].mean(axis=1)
        precision = np.cumsum(is_right, axis=1) / ranks
        measured[block, 2] = (precision * is_right).sum(axis=1) / is_right.sum(axis=1)
    at_1, at_10, average = measured.mean(axis=0).tolist()
    return Retrieval(at_1, at_10, average, measured)


def _all_in_order(
    search: NeighbourSearch,
    queries: NDArray[np.floating],
    squared: NDArray[np.float64],
    bounds: NDArray[np.float64],
) -> NDArray[np.int64]:
    """Return all samples of the database, the nearest first, for one of `NeighbourSearch.blocks`."""
    order = np.argsort(squared, axis=1)
    close = np.diff(np.take_along_axis(squared, order, axis=1)) <= 2 * bounds[:, np.newaxis]
    for row in np.flatnonzero(close.any(axis=1)):
        # Neighbours in the order that rounding may have exchanged; in exact distances they find their place.
        doubtful = order[row][np.append(close[row], False) | np.insert(close[row], 0, False)]
        squared[row, doubtful] = search.squared_distances(queries[row], doubtful)
        order[row] = np.argsort(squared[row], kind="stable")
    return order
