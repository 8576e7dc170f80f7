"""What can be read off a representation with a linear classifier, tuned as well for each representation.

A probe is a simple classifier on features that stay as they are (Alain and Bengio 2016, "Understanding
intermediate layers using linear classifier probes", arXiv:1610.01644). Labels are used here, and here only:
no network in this book sees them. What lies near what is the question of `neighbours`.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.exceptions import ConvergenceWarning
from threadpoolctl import threadpool_limits

from dae_utils.evaluation.choosing import (
    Parts,
    accuracy,
    features_and_labels,
    flat_features,
    parts_to_choose_by,
    search,
)
from dae_utils.evaluation.intervals import Interval
from dae_utils.evaluation.softmax import SoftmaxPath
from dae_utils.validation import check_choice, check_count

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["PENALTIES", "SCALINGS", "GridPoint", "LinearProbe", "tuned_linear_probe"]

SCALINGS = ("none", "one scale", "standardised")
PENALTIES = (0.1, 1.0, 10.0, 100.0, 1000.0)


class GridPoint(NamedTuple):
    """A setting that was tried, and the share of right answers on the validation data."""

    scaling: str
    penalty: float
    accuracy: float


@dataclass(frozen=True)
class LinearProbe:
    """A linear classifier with the scaling and penalty that were best on validation data.

    Attributes:
        scaling, penalty: the choice; see `tuned_linear_probe`.
        validation_accuracy: share of right answers on the validation data with this choice. It was chosen by
            it, so it is a little too good.
        grid: everything that was tried, in the order tried.
        edge: whether the chosen penalty is still at an end of its grid.
        classes: shape (n_classes,), the labels.
        mean: shape (d,), subtracted from the features first.
        weights, intercepts: shapes (d, n_classes) and (n_classes,), for features as they come.
    """

    scaling: str
    penalty: float
    validation_accuracy: float
    grid: tuple[GridPoint, ...]
    edge: bool
    classes: NDArray[np.int64] = field(repr=False, compare=False)
    mean: NDArray[np.float64] = field(repr=False, compare=False)
    weights: NDArray[np.float64] = field(repr=False, compare=False)
    intercepts: NDArray[np.float64] = field(repr=False, compare=False)

    def decision_function(self, features: ArrayLike) -> NDArray[np.float64]:
        """Return the logarithms of the classes' chances, up to a sum: shape (n, n_classes), of (n, ...)."""
        flat = flat_features(features, "features", len(self.mean))
        result: NDArray[np.float64] = (flat - self.mean) @ self.weights + self.intercepts
        return result

    def predict(self, features: ArrayLike) -> NDArray[np.int64]:
        """Return the likeliest class of each sample, shape (n,), of features (n, ...)."""
        answers: NDArray[np.int64] = self.classes[self.decision_function(features).argmax(axis=1)]
        return answers

    def is_right(self, features: ArrayLike, labels: ArrayLike) -> NDArray[np.bool_]:
        """Return for which samples the answer is right, shape (n,): for `paired_difference`."""
        flat, checked = features_and_labels(features, labels, "features")
        right: NDArray[np.bool_] = self.predict(flat) == checked
        return right

    def score(self, features: ArrayLike, labels: ArrayLike, groups: ArrayLike | None = None) -> Interval:
        """Return the share of right answers with its 95 % interval.

        Args:
            features: shape (n, ...), of samples that had no part in fitting or choosing.
            labels: shape (n,), whole numbers.
            groups: shape (n,), the patient or writer of each sample: the interval comes from drawing whole
                groups. Without groups it is Wilson's.
        """
        return accuracy(self.is_right(features, labels), groups)

    def table(self) -> pd.DataFrame:
        """Return the validation accuracies as a table, a row for each scaling, a column for each penalty."""
        import pandas as pd

        long = pd.DataFrame(self.grid)
        wide = long.pivot_table("accuracy", index="scaling", columns="penalty")
        return wide.reindex([name for name in SCALINGS if name in wide.index])


def tuned_linear_probe(
    train: ArrayLike,
    train_labels: ArrayLike,
    validation: ArrayLike | None = None,
    validation_labels: ArrayLike | None = None,
    *,
    scalings: Sequence[str] = SCALINGS,
    penalties: Sequence[float] = PENALTIES,
    max_widenings: int = 4,
    held_out: float = 0.2,
    groups: ArrayLike | None = None,
    seed: int = 0,
    max_steps: int = 200,
) -> LinearProbe:
    """Return a logistic regression whose scaling and penalty were chosen on validation data.

    Every scaling is tried with every penalty. Where the best penalty of a scaling lies at an end of its grid,
    the grid grows by a decade on that side, up to `max_widenings` times for each scaling, until it lies
    inside. Of equal accuracies the simpler scaling wins, in the order none, one scale, standardised, and
    within a scaling the stronger penalty.

    The scaling matters because the penalty holds back weights, and so features of small spread: "none" takes
    features as they are; "one scale" divides all by one number, the root of their mean variance, which is the
    same as another penalty; "standardised" divides each by its own spread, which raises pixels that hardly
    vary, and the noise axes of a PCA, to the level of all others.

    Args:
        train: features to learn from, shape (n, ...), made flat.
        train_labels: shape (n,), whole numbers.
        validation: features to choose by, shape (m, ...); if the probe will be asked about damaged images,
            there should be damaged ones among them. The probe stays as it was fitted on `train`. None holds
            out a share of `train` instead and then fits the choice to all of it.
        validation_labels: shape (m,).
        scalings: out of "none", "one scale", "standardised".
        penalties: rising; scikit-learn's 1 / C.
        max_widenings: 0 leaves the grid as it is.
        held_out: the share of `train` held out, class by class, where there is no validation data.
        groups: shape (n,), the patient or writer of each sample of `train`: whole groups are held out.
        seed: decides what is held out.
        max_steps: of the solver, for each fit.

    Returns:
        The fitted probe with its grid. Warns where the choice is at an end of its grid all the same, and
        where a fit did not settle within `max_steps`.

    Raises:
        ValueError: NaN, shapes that do not go together, a single class, or a setting out of range.
    """
    x, y, parts = parts_to_choose_by(
        train, train_labels, validation, validation_labels, held_out=held_out, groups=groups, seed=seed
    )
    grid = _checked_grid(scalings, penalties, max_widenings)
    max_steps = check_count(max_steps, "max_steps")
    # With several threads the solver's many small products mostly wait for each other: on a busy machine,
    # that took 15 to 30 times as long as one thread.
    with threadpool_limits(1, user_api="blas"):
        regressions = _Regressions(parts.x, parts.y, max_steps)
        probe = _choose(regressions, parts, *grid)
        unsettled = regressions.unsettled
        if validation is None:
            whole = _Regressions(x, y, max_steps)
            weights, intercepts = whole.solve(probe.scaling, probe.penalty)
            unsettled += whole.unsettled
            probe = replace(
                probe, classes=whole.classes, mean=whole.mean, weights=weights, intercepts=intercepts
            )
    if unsettled:
        warnings.warn(
            f"the solver did not settle within {max_steps} steps in {unsettled} of its fits, so the probe "
            "may depend on where it stopped: raise `max_steps`.",
            ConvergenceWarning,
            stacklevel=2,
        )
    if probe.edge:
        tried = sorted(point.penalty for point in probe.grid if point.scaling == probe.scaling)
        warnings.warn(
            f"the best penalty, {probe.penalty:g} ({probe.scaling}), is at an end of its grid "
            f"({tried[0]:g} to {tried[-1]:g}): give wider `penalties`, or more `max_widenings`.",
            stacklevel=2,
        )
    return probe


def _choose(
    regressions: _Regressions,
    parts: Parts,
    scalings: Sequence[str],
    penalties: Sequence[float],
    max_widenings: int,
) -> LinearProbe:
    """Return the best probe of the grid."""
    judged = parts.x_judged - regressions.mean
    points: list[GridPoint] = []
    best: LinearProbe | None = None
    for scaling in scalings:
        fits: dict[float, LinearProbe] = {}

        def accuracy_at(
            penalty: float, scaling: str = scaling, fits: dict[float, LinearProbe] = fits
        ) -> float:
            weights, intercepts = regressions.solve(scaling, penalty)
            answers = regressions.classes[(judged @ weights + intercepts).argmax(axis=1)]
            share = float(np.mean(answers == parts.y_judged))
            about = (regressions.classes, regressions.mean, weights, intercepts)
            fits[penalty] = LinearProbe(scaling, penalty, share, (), False, *about)
            return share

        chosen, edge = search(accuracy_at, penalties, max_widenings)
        points += [GridPoint(scaling, penalty, fit.validation_accuracy) for penalty, fit in fits.items()]
        if best is None or fits[chosen].validation_accuracy > best.validation_accuracy:
            best = replace(fits[chosen], edge=edge)
    assert best is not None
    return replace(best, grid=tuple(points))


class _Regressions:
    """Logistic regressions of some training data under every scaling and penalty, each solved once.

    Attributes:
        classes: the labels that occur, shape (n_classes,).
        mean: of the features, shape (d,).
    """

    def __init__(self, x: NDArray[np.floating], y: NDArray[np.int64], max_steps: int):
        self.classes, self._numbers = np.unique(y, return_inverse=True)
        self.mean: NDArray[np.float64] = x.mean(axis=0, dtype=np.float64)
        self._centred = x - self.mean.astype(x.dtype)
        spread = self._centred.std(axis=0, dtype=np.float64)
        # Of a constant feature rounding may leave a spread, which is not to be raised to that of others.
        constant = spread <= 10 * np.finfo(x.dtype).eps * np.abs(self.mean)
        self._own_scales = np.where(constant, 1.0, spread)
        self._one_scale = float(np.sqrt(np.square(spread).mean())) or 1.0
        self._max_steps = max_steps
        self._paths: dict[bool, SoftmaxPath] = {}

    @property
    def unsettled(self) -> int:
        """How many of the fits so far came to no optimum."""
        return sum(path.unsettled for path in self._paths.values())

    def solve(self, scaling: str, penalty: float) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return the weights (d, n_classes) of centred, unscaled features, and the intercepts."""
        standardised = scaling == "standardised"
        scales = self._own_scales[:, np.newaxis] if standardised else np.array(self._one_scale)
        if standardised not in self._paths:
            scaled = self._centred / scales.ravel().astype(self._centred.dtype)
            n_classes = len(self.classes)
            self._paths[standardised] = SoftmaxPath(scaled, self._numbers, n_classes, self._max_steps)
        if scaling == "none":
            # Weights of features that are s times as small are s times as large: the same regression.
            penalty /= self._one_scale**2
        weights, intercepts = self._paths[standardised].solve(penalty)
        return weights / scales, intercepts


def _checked_grid(
    scalings: Sequence[str], penalties: Sequence[float], max_widenings: int
) -> tuple[list[str], list[float], int]:
    for scaling in scalings:
        check_choice(scaling, "every one of scalings", SCALINGS)
    if not (scalings and len(penalties) and all(np.isfinite(one) and one > 0 for one in penalties)):
        raise ValueError("scalings and penalties must not be empty, and every penalty must be positive.")
    # In the order of simplicity, which decides between equals.
    ordered = [name for name in SCALINGS if name in scalings]
    return ordered, [float(one) for one in penalties], check_count(max_widenings, "max_widenings", least=0)
