"""Detectors in the code: anomalies are what has a code unlike those of normal samples.

Nothing here sees a label.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.covariance import LedoitWolf

from dae_utils.detection.base import AnomalyDetector, RandomState
from dae_utils.detection.neighbours import NeighbourIndex
from dae_utils.detection.own_network import FLOAT32_ROUNDING, OwnNetwork
from dae_utils.networks.inner import Network, codes
from dae_utils.validation import Samples, check_count

__all__ = ["LatentMahalanobis", "LatentNeighbours"]


class _LatentDetector(AnomalyDetector):
    """What detectors in the code share: the encoder, given or its own."""

    encoder: Network | None
    epochs: int

    def _fit_codes(self, X: Samples) -> NDArray[np.float64]:
        """Train an encoder where none was given, and return the codes of `X`, shape (n, code values)."""
        self._own: OwnNetwork | None = None
        if self.encoder is None:
            self._own = OwnNetwork(X, self.epochs, self.random_state)
        self.network_: Any = self._own.model.get_layer("encoder") if self._own else self.encoder
        return self._codes(X)

    def _codes(self, X: Samples) -> NDArray[np.float64]:
        return self._own.encode(X) if self._own else codes(self.network_, X)

    def _rounding(self) -> float:
        return super()._rounding() if self._own else FLOAT32_ROUNDING


class LatentMahalanobis(_LatentDetector):
    """Anomalies are what has a code far from the mean code, measured by the covariance of normal codes.

    The covariance is shrunk by the rule of Ledoit and Wolf (Journal of Multivariate Analysis 88, 2004), so
    that code values that are rarely active, or more code values than samples, do not make it singular. The
    other common rule, OAS, is derived for Gaussian data; codes behind a ReLU, half of them zero, are anything
    but.

    Args:
        encoder: a trained Keras model, or any function from a batch to its codes. It gets the samples as they
            are. None trains a small dense autoencoder on the samples of `fit`, which it scales itself, see
            `OwnNetwork`.
        epochs: how often the network of its own sees each sample.
        false_alarm_rate, held_out_share, random_state: see `AnomalyDetector`.

    Attributes:
        network_: the encoder: the one given, or its own as a Keras model of scaled samples.
        shrinkage_: how much of the plain covariance was replaced, between 0 and 1.
    """

    def __init__(
        self,
        encoder: Network | None = None,
        *,
        epochs: int = 10,
        false_alarm_rate: float = 0.05,
        held_out_share: float = 0.2,
        random_state: RandomState = 0,
    ) -> None:
        super().__init__(
            false_alarm_rate=false_alarm_rate, held_out_share=held_out_share, random_state=random_state
        )
        self.encoder = encoder
        self.epochs = epochs

    def _fit(self, X: Samples) -> None:
        check_count(len(X), "The number of normal samples", least=2)
        self._covariance = LedoitWolf().fit(self._fit_codes(X))
        self.shrinkage_ = float(self._covariance.shrinkage_)

    def _score(self, X: Samples) -> NDArray[np.float64]:
        distances: NDArray[np.float64] = np.sqrt(self._covariance.mahalanobis(self._codes(X)))
        return distances


class LatentNeighbours(_LatentDetector):
    """Anomalies are what has a code far from the codes of normal samples: mean distance to the nearest few.

    A sample that was itself learnt from finds itself at distance 0, so score other samples only.

    Args:
        encoder: a trained Keras model, or any function from a batch to its codes. It gets the samples as they
            are. None trains a small dense autoencoder on the samples of `fit`, which it scales itself, see
            `OwnNetwork`.
        n_neighbours: how many of the nearest training codes to average over; all, with a warning, where there
            are fewer.
        epochs: how often the network of its own sees each sample.
        false_alarm_rate, held_out_share, random_state: see `AnomalyDetector`.

    Attributes:
        network_: the encoder: the one given, or its own as a Keras model of scaled samples.
        n_neighbours_: how many are averaged over.
    """

    def __init__(
        self,
        encoder: Network | None = None,
        n_neighbours: int = 5,
        *,
        epochs: int = 10,
        false_alarm_rate: float = 0.05,
        held_out_share: float = 0.2,
        random_state: RandomState = 0,
    ) -> None:
        super().__init__(
            false_alarm_rate=false_alarm_rate, held_out_share=held_out_share, random_state=random_state
        )
        self.encoder = encoder
        self.n_neighbours = n_neighbours
        self.epochs = epochs

    def _fit(self, X: Samples) -> None:
        check_count(self.n_neighbours, "n_neighbours")  # before any training
        self._index = NeighbourIndex(self._fit_codes(X), self.n_neighbours)
        self.n_neighbours_ = self._index.n_neighbours

    def _score(self, X: Samples) -> NDArray[np.float64]:
        return self._index.mean_distance(self._codes(X))
