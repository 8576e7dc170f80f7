"""Logistic regressions of one set of features at many penalties, each solved to its optimum; for `probes`.

Why not scikit-learn's: its solvers meet raw pixels, whose directions differ in spread by factors of a
thousand, with hundreds of steps that do not settle, and what does not settle depends on the scaling in a
second way. Here the variables are transformed by a Cholesky factor of the features' own covariance, so that
some twenty steps of L-BFGS suffice; penalties start from each other. A test compares the optimum with
scikit-learn's.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import cholesky, qr, solve_triangular
from scipy.optimize import minimize
from scipy.special import log_softmax, softmax

__all__ = ["SoftmaxPath"]

# Rows handled together when the covariance is summed: sums of so few products keep float32's digits.
_ROWS_AT_ONCE = 2048


class SoftmaxPath:
    """Multinomial logistic regressions on features with mean zero, for one penalty after another.

    Minimised is the sum over samples of the cross-entropy plus half the penalty times the sum of squared
    weights, as in scikit-learn with `C = 1 / penalty`; intercepts are free.

    Args:
        features: shape (n, d), float32 or float64, mean zero.
        classes: shape (n,), from 0 to n_classes - 1.
        n_classes: at least 2.
        max_steps: of the solver, for each penalty.

    Attributes:
        unsettled: how many of the penalties solved so far came to no optimum within `max_steps`.
    """

    def __init__(
        self,
        features: NDArray[np.floating],
        classes: NDArray[np.int64],
        n_classes: int,
        max_steps: int = 200,
    ):
        self._basis: NDArray[np.floating] | None = None
        if len(features) < features.shape[1]:
            # The optimum is a sum of samples: with fewer samples than features solve in their span.
            self._basis, corner = qr(features.T, mode="economic")
            features = np.ascontiguousarray(corner.T)
        self._features = features
        self._classes = classes
        self._n_classes = n_classes
        self._max_steps = max_steps
        self._gram = _gram(features)
        self.unsettled = 0
        self._solved: dict[float, tuple[NDArray[np.float64], NDArray[np.float64]]] = {}

    def solve(self, penalty: float) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return the weights, shape (d, n_classes), and the intercepts, shape (n_classes,), for a penalty."""
        # scikit-learn gives two classes one row of weights between them instead of two opposite ones.
        strength = 2 * penalty if self._n_classes == 2 else penalty
        if strength not in self._solved:
            self._solved[strength] = self._minimise(strength)
        weights, intercepts = self._solved[strength]
        return (weights if self._basis is None else self._basis @ weights), intercepts

    def _start(self, penalty: float) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return the solution at the nearest penalty; at first, the shares of the classes."""
        if self._solved:
            nearest = min(self._solved, key=lambda solved: abs(np.log(solved / penalty)))
            return self._solved[nearest]
        shares = np.bincount(self._classes, minlength=self._n_classes) / len(self._classes)
        return np.zeros((self._features.shape[1], self._n_classes)), np.log(shares)

    def _minimise(self, penalty: float) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Minimise over u and c: weights = L^-T u, intercepts = c / root, and L L^T is near the Hessian."""
        features, classes, rows = self._features, self._classes, np.arange(len(self._classes))
        n_samples, n_features, n_classes = *features.shape, self._n_classes
        weights, intercepts = self._start(penalty)
        chances = softmax(_logits(features, weights, intercepts), axis=1)
        curvature = max(float(np.mean(chances * (1 - chances))), 1e-3)
        hessian = curvature * self._gram
        # What float32 may have lost in the sums; it changes the way to the optimum, not the optimum.
        hessian[np.diag_indices(n_features)] += penalty + 1e-6 * hessian.diagonal().mean()
        factor = cholesky(hessian, lower=True, overwrite_a=True, check_finite=False)
        root = np.sqrt(curvature * n_samples)

        def unpack(packed: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
            packed = packed.reshape(n_features + 1, n_classes)
            there = solve_triangular(factor, packed[:-1], lower=True, trans=1, check_finite=False)
            return there, packed[-1] / root

        def loss_and_gradient(packed: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
            weights, intercepts = unpack(packed)
            log_chances = log_softmax(_logits(features, weights, intercepts), axis=1)
            loss = -log_chances[rows, classes].sum(dtype=np.float64) + penalty / 2 * np.square(weights).sum()
            wrong = np.exp(log_chances)
            wrong[rows, classes] -= 1
            of_weights = (features.T @ wrong).astype(np.float64) + penalty * weights
            of_weights = solve_triangular(factor, of_weights, lower=True, check_finite=False)
            of_intercepts = wrong.sum(axis=0, dtype=np.float64) / root
            return float(loss), np.vstack([of_weights, of_intercepts]).ravel()

        start = np.vstack([factor.T @ weights, intercepts * root]).ravel()
        # Sums in float32 are too rough for the last steps.
        rough = features.dtype == np.float32
        enough = 3e-3 if rough else 1e-4
        options = {"maxiter": self._max_steps, "maxcor": 20, "gtol": enough, "ftol": 1e-10}
        found = minimize(loss_and_gradient, start, jac=True, method="L-BFGS-B", options=options)
        # Near the optimum rounding can stop the search for a step: that is no failure.
        self.unsettled += int(not found.success and np.abs(found.jac).max() > 10 * enough)
        return unpack(found.x)


def _logits(
    features: NDArray[np.floating], weights: NDArray[np.float64], intercepts: NDArray[np.float64]
) -> NDArray[np.floating]:
    kind = features.dtype
    result: NDArray[np.floating] = features @ weights.astype(kind) + intercepts.astype(kind)
    return result


def _gram(features: NDArray[np.floating]) -> NDArray[np.float64]:
    """Return features.T @ features, summed in float64 over blocks of rows."""
    total = np.zeros((features.shape[1],) * 2)
    for start in range(0, len(features), _ROWS_AT_ONCE):
        block = features[start : start + _ROWS_AT_ONCE]
        total += block.T @ block
    return total
