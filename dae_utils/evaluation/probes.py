"""What a representation is worth: what can be read off it with a simple classifier, and what lies near what.

A probe is a simple classifier on features that stay as they are (Alain and Bengio 2016, "Understanding
intermediate layers using linear classifier probes", arXiv:1610.01644). Labels are used here, and here only:
no network in this book sees them.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler
from threadpoolctl import threadpool_limits

from dae_utils.evaluation.metrics import Interval, proportion
from dae_utils.validation import check_count, check_samples

__all__ = ["Retrieval", "fit_linear_probe", "linear_probe", "neighbour_probe", "retrieval"]


def _checked(features: ArrayLike, labels: ArrayLike, name: str) -> tuple[NDArray, NDArray]:
    features = check_samples(features, name)
    features = features.reshape(len(features), -1)
    labels = np.asarray(labels)
    if labels.ndim != 1 or labels.dtype.kind not in "iub" or len(labels) != len(features):
        raise ValueError(
            f"{name}: {len(features)} samples need as many labels, whole numbers in one row; "
            f"got {labels.dtype} of shape {labels.shape}."
        )
    return features, labels


def _checked_both(train, train_labels, test, test_labels) -> tuple[NDArray, NDArray, NDArray, NDArray]:
    train, train_labels = _checked(train, train_labels, "train")
    test, test_labels = _checked(test, test_labels, "test")
    if train.shape[1] != test.shape[1]:
        raise ValueError(f"train has {train.shape[1]} features, but test has {test.shape[1]}.")
    _check_classes(train_labels)
    return train, train_labels, test, test_labels


def _check_classes(train_labels: NDArray) -> None:
    if len(np.unique(train_labels)) < 2:
        raise ValueError("train holds one class only, so there is nothing to tell apart.")


def fit_linear_probe(
    train: ArrayLike, train_labels: ArrayLike, penalty: float = 1.0, most_steps: int = 200
) -> Pipeline:
    """Return a logistic regression on standardised features, fitted; a scikit-learn classifier.

    Args:
        train: features to learn from, shape (n, ...), made flat; what the classifier is asked about later has
            to be flat.
        train_labels: shape (n,), whole numbers.
        penalty: how strongly large weights are held back; scikit-learn's 1 / C.
        most_steps: of the solver. A probe that has not settled by then is used as it is: its accuracy hardly
            moves any more.

    Raises:
        ValueError: NaN, shapes that do not go together, a single class, or a setting out of range.
    """
    train, train_labels = _checked(train, train_labels, "train")
    _check_classes(train_labels)
    if not penalty > 0:
        raise ValueError(f"penalty must be positive, got {penalty}.")
    most_steps = check_count(most_steps, "most_steps")
    classifier = make_pipeline(StandardScaler(), LogisticRegression(C=1 / penalty, max_iter=most_steps))
    # With several threads the solver's many small products mostly wait for each other: on a busy machine,
    # that took 15 to 30 times as long as one thread.
    with warnings.catch_warnings(), threadpool_limits(1, user_api="blas"):
        warnings.simplefilter("ignore", ConvergenceWarning)
        return classifier.fit(train, train_labels)


def linear_probe(
    train: ArrayLike,
    train_labels: ArrayLike,
    test: ArrayLike,
    test_labels: ArrayLike,
    penalty: float = 1.0,
    most_steps: int = 200,
) -> Interval:
    """Return the accuracy of a `fit_linear_probe`, with its 95 % Wilson interval.

    Args:
        train: features to learn from, shape (n, ...), made flat.
        train_labels: shape (n,), whole numbers.
        test: features to be judged on, shape (m, ...).
        test_labels: shape (m,).
        penalty: see `fit_linear_probe`.
        most_steps: see `fit_linear_probe`.

    Returns:
        The share of right answers on `test`, between 0 and 1.

    Raises:
        ValueError: NaN, shapes that do not go together, a single class, or a setting out of range.
    """
    train, train_labels, test, test_labels = _checked_both(train, train_labels, test, test_labels)
    classifier = fit_linear_probe(train, train_labels, penalty, most_steps)
    return _accuracy(classifier.predict(test), test_labels)


def neighbour_probe(
    train: ArrayLike,
    train_labels: ArrayLike,
    test: ArrayLike,
    test_labels: ArrayLike,
    n_neighbours: int = 10,
) -> Interval:
    """Return the accuracy of a vote of the nearest neighbours (Euclidean), with its 95 % Wilson interval.

    Arguments and errors as for `linear_probe`; features are taken as they are.
    """
    train, train_labels, test, test_labels = _checked_both(train, train_labels, test, test_labels)
    n_neighbours = check_count(n_neighbours, "n_neighbours", most=len(train))
    classifier = KNeighborsClassifier(n_neighbours, algorithm="brute", n_jobs=-1)
    return _accuracy(classifier.fit(train, train_labels).predict(test), test_labels)


def _accuracy(predicted: NDArray, labels: NDArray) -> Interval:
    return proportion(int((predicted == labels).sum()), len(labels))


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
    database, database_labels, queries, query_labels = _checked_both(
        database, database_labels, queries, query_labels
    )
    check_count(len(database), "the number of samples in the database", least=10)
    missing = np.setdiff1d(query_labels, database_labels)
    if len(missing):
        raise ValueError(f"class {missing[0]} is asked for, but no sample of the database belongs to it.")
    centre = database.mean(axis=0)
    database, queries = database - centre, queries - centre
    halves = 0.5 * np.einsum("ij,ij->i", database, database)
    ranks = np.arange(1, len(database) + 1)
    measured = np.empty((len(queries), 3))
    for start in range(0, len(queries), block_size):
        block = slice(start, start + block_size)
        # |q - p|^2 / 2 without the term that is the same for all p.
        order = np.argsort(halves - queries[block] @ database.T, axis=1)
        is_right = database_labels[order] == query_labels[block, np.newaxis]
        measured[block, 0] = is_right[:, 0]
        measured[block, 1] = is_right[:, :10].mean(axis=1)
        precision = np.cumsum(is_right, axis=1) / ranks
        measured[block, 2] = (precision * is_right).sum(axis=1) / is_right.sum(axis=1)
    return Retrieval(*measured.mean(axis=0).tolist(), measured)
