"""Detectors without a network: principal components, Mahalanobis distance, neighbours, any of scikit-learn's.

Every network of the book stands beside these. Nothing here imports Keras.

None of them changes the scale of its input: their verdicts stay the same when all values are multiplied by
one number. Where columns have different units, those with large numbers decide alone, except in the
Mahalanobis distance with all components; put a `StandardScaler` before the detector in a `Pipeline` then.
Images need none: standardising every pixel by itself would blow up the noise of the pixels at the edge.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.base import BaseEstimator, clone
from sklearn.decomposition import PCA
from sklearn.ensemble import IsolationForest

from dae_utils.detection.base import AnomalyDetector, RandomState, flat
from dae_utils.detection.errors import reconstruction_error
from dae_utils.detection.neighbours import NeighbourIndex
from dae_utils.validation import Samples, check_count

__all__ = ["MahalanobisDetector", "NeighbourDetector", "PCADetector", "SklearnDetector"]

_MOST_COMPONENTS = 32


class _Components:
    """The leading principal components of samples, computed in float64 around their mean.

    The mean is subtracted before anything is squared. Far from the origin, a temperature in kelvin or an air
    pressure in pascal, the digits that tell samples apart would be lost otherwise.

    Args:
        X: shape (n, values).
        n_components: how many to keep.

    Attributes:
        mean: shape (values,).
        axes: orthonormal directions, shape (n_components, values).
        variances: of the samples along each, largest first.
        variance_outside: mean variance along the directions left out.

    Raises:
        ValueError: more components than samples or values, or samples that are all the same.
    """

    def __init__(self, X: Samples, n_components: int) -> None:
        check_count(
            n_components,
            "n_components",
            least=0,
            most=min(X.shape),
            reason=f" for data of shape {X.shape} (n, values)",
        )
        self.mean: NDArray[np.float64] = X.mean(axis=0, dtype=np.float64)
        centred = self.centred(X)
        # Less than this is what the values' own last digits vary by.
        if np.abs(centred).max() <= 4 * np.finfo(np.float64).eps * np.abs(self.mean).max():
            raise ValueError(
                "All normal samples are the same, so there is no scale; fit more varied samples."
            )
        # The eigenvectors of the small covariance matrix: many times faster than a singular value
        # decomposition of a tall matrix. In float64, because the covariance squares the spread of the values.
        solver = "covariance_eigh" if len(X) >= X.shape[1] else "full"
        pca = PCA(n_components, svd_solver=solver).fit(centred)
        self.axes: NDArray[np.float64] = pca.components_
        self.variances: NDArray[np.float64] = pca.explained_variance_
        self.variance_outside = float(pca.noise_variance_)

    def centred(self, X: Samples) -> NDArray[np.float64]:
        """Return samples, shape (n, values), minus the mean."""
        centred: NDArray[np.float64] = X - self.mean
        return centred


class PCADetector(AnomalyDetector):
    """Anomalies are what a principal component analysis reconstructs badly: the linear autoencoder.

    The best that a linear network with as many code values can do, so every autoencoder stands beside it. The
    score is the mean squared error of the reconstruction.

    It may miss a new word in a table from `TableEncoder`. Such a word is zero in all columns, and that is
    nearer to the mean than any word that is known: where the components of the words are left out, the row
    is reconstructed better than normal ones. `MahalanobisDetector` finds it.

    Args:
        n_components: how many principal components to keep, at most the number of samples and of values in
            one. None keeps half of the smaller of the two, at most 32: with all of them every sample is
            reconstructed and nothing is found.
        false_alarm_rate, held_out_share, random_state: see `AnomalyDetector`.

    Attributes:
        n_components_: how many were kept.
    """

    def __init__(
        self,
        n_components: int | None = None,
        *,
        false_alarm_rate: float = 0.05,
        held_out_share: float = 0.2,
        random_state: RandomState = 0,
    ) -> None:
        super().__init__(
            false_alarm_rate=false_alarm_rate, held_out_share=held_out_share, random_state=random_state
        )
        self.n_components = n_components

    def _fit(self, X: Samples) -> None:
        X = flat(X)
        n_components = self.n_components
        if n_components is None:
            n_components = min(_MOST_COMPONENTS, min(X.shape) // 2)
        self._components = _Components(X, n_components)
        self.n_components_ = int(n_components)

    def _score(self, X: Samples) -> NDArray[np.float64]:
        # Written out, because scikit-learn's inverse transformation refuses codes without a component.
        centred, axes = self._components.centred(flat(X)), self._components.axes
        return reconstruction_error(centred, centred @ axes.T @ axes)


class MahalanobisDetector(AnomalyDetector):
    """Anomalies are what is far from the mean of the normal samples, measured by their covariance.

    Within the leading principal components the distance is measured by the variance of each, outside of them
    by one variance for all, the mean of those left out: the covariance of probabilistic principal components
    (Tipping and Bishop, Journal of the Royal Statistical Society B 61, 1999). What never varied, such as a
    column that was constant or a word that was never met, so counts as far away as soon as it varies. This
    holds where all components are kept in which the samples vary; in a table with more of them than 32, say
    how many.

    Args:
        n_components: how many principal components to keep, at most as many as the samples vary in. None
            keeps that many, at most 32.
        false_alarm_rate, held_out_share, random_state: see `AnomalyDetector`.

    Attributes:
        n_components_: how many were kept.
    """

    def __init__(
        self,
        n_components: int | None = None,
        *,
        false_alarm_rate: float = 0.05,
        held_out_share: float = 0.2,
        random_state: RandomState = 0,
    ) -> None:
        super().__init__(
            false_alarm_rate=false_alarm_rate, held_out_share=held_out_share, random_state=random_state
        )
        self.n_components = n_components

    def _fit(self, X: Samples) -> None:
        X = flat(X)
        wanted = min(_MOST_COMPONENTS, *X.shape) if self.n_components is None else self.n_components
        check_count(wanted, "n_components")
        components = _Components(X, wanted)
        variances = components.variances
        # Less than this is what the values' own last digits vary by.
        rounding = 4 * np.finfo(np.float64).eps * np.abs(components.mean).max()
        least = max(1e-10 * variances[0], rounding**2)
        rank = int(np.sum(variances > least))
        if rank == 0:
            raise ValueError(
                "All normal samples are the same, so there is no scale; fit more varied samples."
            )
        if self.n_components is not None and rank < wanted:
            raise ValueError(
                f"The normal samples vary in {rank} directions only; set n_components to {rank} or less."
            )
        self.n_components_ = min(rank, wanted)
        kept = slice(self.n_components_)
        self._components = components
        self._whitening: NDArray[np.float64] = components.axes[kept].T / np.sqrt(variances[kept])
        # Samples span one direction fewer than there are of them, so that few samples do not tell how much
        # others vary outside: taken is what is surely not too little.
        spanned = self.n_components_ == len(X) - 1
        outside = variances[self.n_components_ - 1] if spanned else max(components.variance_outside, least)
        self._spread_outside = float(np.sqrt(outside))

    def _score(self, X: Samples) -> NDArray[np.float64]:
        centred, axes = self._components.centred(flat(X)), self._components.axes[: self.n_components_]
        within = np.linalg.norm(centred @ self._whitening, axis=1)
        outside = np.linalg.norm(centred - centred @ axes.T @ axes, axis=1) / self._spread_outside
        distances: NDArray[np.float64] = np.hypot(within, outside)
        return distances


class NeighbourDetector(AnomalyDetector):
    """Anomalies are what is far from the normal samples: mean distance to the nearest few, in the input.

    Simple, without any training, and hard to beat on small images. A sample that was itself learnt from finds
    itself at distance 0, so score other samples only.

    In a table from `TableEncoder` a word that was never met is no further away than another known word would
    be, and so is found in tables of very few columns only.

    Args:
        n_neighbours: how many of the nearest training samples to average over; all, with a warning, where
            there are fewer.
        false_alarm_rate, held_out_share, random_state: see `AnomalyDetector`.

    Attributes:
        n_neighbours_: how many are averaged over.
    """

    def __init__(
        self,
        n_neighbours: int = 5,
        *,
        false_alarm_rate: float = 0.05,
        held_out_share: float = 0.2,
        random_state: RandomState = 0,
    ) -> None:
        super().__init__(
            false_alarm_rate=false_alarm_rate, held_out_share=held_out_share, random_state=random_state
        )
        self.n_neighbours = n_neighbours

    def _fit(self, X: Samples) -> None:
        self._index = NeighbourIndex(flat(X), self.n_neighbours)
        self.n_neighbours_ = self._index.n_neighbours

    def _score(self, X: Samples) -> NDArray[np.float64]:
        return self._index.mean_distance(flat(X))


class SklearnDetector(AnomalyDetector):
    """Any scikit-learn detector with the book's sign and threshold, for example OneClassSVM.

    Args:
        estimator: an unfitted scikit-learn outlier detector with `score_samples`; a clone of it is fitted.
            Its own threshold is not used. It gets the samples as they are: where values lie far from 0
            compared with their spread, put a `StandardScaler` before it in a `Pipeline`. None takes an
            `IsolationForest` with this detector's `random_state`, on samples minus their mean.
        false_alarm_rate, held_out_share, random_state: see `AnomalyDetector`.

    Attributes:
        estimator_: the fitted detector.
    """

    def __init__(
        self,
        estimator: BaseEstimator | None = None,
        *,
        false_alarm_rate: float = 0.05,
        held_out_share: float = 0.2,
        random_state: RandomState = 0,
    ) -> None:
        super().__init__(
            false_alarm_rate=false_alarm_rate, held_out_share=held_out_share, random_state=random_state
        )
        self.estimator = estimator

    def _fit(self, X: Samples) -> None:
        # Trees turn values into float32, which holds too few digits of values far from 0. A shift means
        # nothing to them, but it may to an estimator that was given.
        self._shift: NDArray[np.float64] | None = None
        if self.estimator is None:
            estimator = IsolationForest(random_state=self.random_state)
            self._shift = flat(X).mean(axis=0, dtype=np.float64)
        elif hasattr(self.estimator, "score_samples"):
            estimator = clone(self.estimator)
        else:
            raise ValueError(
                f"{type(self.estimator).__name__} has no score_samples; give an outlier detector such as "
                "IsolationForest(), OneClassSVM() or LocalOutlierFactor(novelty=True)."
            )
        self.estimator_: Any = estimator.fit(self._shifted(X))

    def _score(self, X: Samples) -> NDArray[np.float64]:
        scores: NDArray[np.float64] = -self.estimator_.score_samples(self._shifted(X))
        return scores

    def _shifted(self, X: Samples) -> Samples:
        return flat(X) if self._shift is None else flat(X) - self._shift
