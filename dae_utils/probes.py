"""The old path of `dae_utils.evaluation.probes`, for notebooks that are not rewritten yet.

`linear_probe` standardises every feature and takes one penalty as given. That cripples pixels and principal
components, whose small axes it raises to the level of the large ones: new work takes `tuned_linear_probe` of
`dae_utils.evaluation`. Kept so that what stands in the committed notebooks can be recomputed.
"""

from __future__ import annotations

import warnings

from numpy.typing import ArrayLike
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler
from threadpoolctl import threadpool_limits

from dae_utils.evaluation.choosing import accuracy, check_several_classes, features_and_labels
from dae_utils.evaluation.intervals import Interval
from dae_utils.evaluation.neighbours import retrieval
from dae_utils.validation import check_count

__all__ = ["fit_linear_probe", "linear_probe", "retrieval"]


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
    features, labels = features_and_labels(train, train_labels, "train")
    check_several_classes(labels)
    if not penalty > 0:
        raise ValueError(f"penalty must be positive, got {penalty}.")
    most_steps = check_count(most_steps, "most_steps")
    classifier = make_pipeline(StandardScaler(), LogisticRegression(C=1 / penalty, max_iter=most_steps))
    # With several threads the solver's many small products mostly wait for each other: on a busy machine,
    # that took 15 to 30 times as long as one thread.
    with warnings.catch_warnings(), threadpool_limits(1, user_api="blas"):
        warnings.simplefilter("ignore", ConvergenceWarning)
        return classifier.fit(features, labels)


def linear_probe(
    train: ArrayLike,
    train_labels: ArrayLike,
    test: ArrayLike,
    test_labels: ArrayLike,
    penalty: float = 1.0,
    most_steps: int = 200,
) -> Interval:
    """Return the accuracy of a `fit_linear_probe` on `test`, with its 95 % Wilson interval.

    Args:
        train, train_labels, penalty, most_steps: see `fit_linear_probe`.
        test, test_labels: features to be judged on, shape (m, ...), and their labels.

    Raises:
        ValueError: NaN, shapes that do not go together, a single class, or a setting out of range.
    """
    features, labels = features_and_labels(train, train_labels, "train")
    asked, asked_labels = features_and_labels(test, test_labels, "test", features.shape[1])
    classifier = fit_linear_probe(features, labels, penalty, most_steps)
    return accuracy(classifier.predict(asked) == asked_labels, None)
