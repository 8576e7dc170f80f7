"""The old path of `dae_utils.detection` and `dae_utils.networks.inner`, for notebooks not rewritten yet.

The first edition's signatures, defaults and results: `fit` learns from all samples and holds nothing out,
`calibrate` takes the false-alarm rate and refuses too few samples for it, and whole numbers that look like
pixels are refused. New code imports the detectors from `dae_utils.detection`.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import ceil
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from dae_utils import detection
from dae_utils.detection import binary_cross_entropy, cross_entropy_floor
from dae_utils.detection import errors as _errors
from dae_utils.detection.thresholds import scores_needed
from dae_utils.networks import inner as _inner
from dae_utils.networks.inner import Network
from dae_utils.validation import Samples, check_count, check_fraction, check_samples

__all__ = [
    "CalibratedSum",
    "ConformalThreshold",
    "NeighbourDetector",
    "PCADetector",
    "ReconstructionDetector",
    "binary_cross_entropy",
    "cross_entropy_floor",
    "predict_in_batches",
    "reconstruction_error",
]


def predict_in_batches(
    model: Network, x: ArrayLike, batch_size: int = 1024
) -> NDArray[Any] | list[NDArray[Any]]:
    """`dae_utils.networks.inner.predict_in_batches` that refuses pixels which were not scaled."""
    return _inner.predict_in_batches(model, check_samples(x), batch_size)


def reconstruction_error(
    x: ArrayLike, reconstruction: ArrayLike, mask: ArrayLike | None = None, kind: str = "squared"
) -> NDArray[np.float64]:
    """`dae_utils.detection.reconstruction_error` that refuses pixels which were not scaled."""
    x, reconstruction = check_samples(x), check_samples(reconstruction, "reconstruction")
    return _errors.reconstruction_error(x, reconstruction, mask, kind)


def _refuse_too_few(n_scores: int, false_alarm_rate: float) -> None:
    needed = scores_needed(false_alarm_rate)
    if n_scores < needed:
        raise ValueError(
            f"{n_scores} held-out normal scores are too few for a false-alarm rate of {false_alarm_rate:g}; "
            f"at least {needed} are needed (or a higher rate)."
        )


class ConformalThreshold(detection.ConformalThreshold):
    """The threshold of the first edition: too few scores for the rate are an error."""

    def fit(self, scores: ArrayLike, y: None = None) -> Self:
        """Set the threshold on the anomaly scores of held-out normal samples, shape (n,)."""
        _refuse_too_few(np.size(scores), self.false_alarm_rate)
        return super().fit(scores)


class _FirstEdition(detection.AnomalyDetector):
    """What the first edition's detectors did in another way; each class below adds its old signature."""

    false_alarm_rate = 0.05
    held_out_share = 0.0
    random_state = 0
    epochs = 10

    def calibrate(self, x_held_out_normal: ArrayLike, false_alarm_rate: float | None = 0.05) -> Self:
        """Set the threshold on normal samples that took no part in training, shape (n, ...)."""
        rate = self.false_alarm_rate if false_alarm_rate is None else false_alarm_rate
        _refuse_too_few(len(self._validated_like_fit(x_held_out_normal)), rate)
        return super().calibrate(x_held_out_normal, rate)

    def _validated(self, X: ArrayLike, reset: bool, least: int = 1) -> Samples:
        name, shape = ("x_normal", None) if reset else ("x", getattr(self, "sample_shape_", None))
        return super()._validated(check_samples(X, name, shape), reset, least)

    def _rounding(self) -> float:
        return 0.0


class ReconstructionDetector(_FirstEdition, detection.ReconstructionDetector):
    """`dae_utils.detection.ReconstructionDetector` with the first edition's signature."""

    def __init__(self, autoencoder: Network, kind: str = "squared") -> None:
        self.autoencoder = autoencoder
        self.kind = kind


class PCADetector(_FirstEdition, detection.PCADetector):
    """`dae_utils.detection.PCADetector` with the first edition's signature and default."""

    def __init__(self, n_components: int = 32) -> None:
        self.n_components = n_components


class NeighbourDetector(_FirstEdition, detection.NeighbourDetector):
    """`dae_utils.detection.NeighbourDetector` with the first edition's signature."""

    def __init__(self, n_neighbours: int = 5) -> None:
        self.n_neighbours = n_neighbours


class CalibratedSum(_FirstEdition, detection.CalibratedSum):
    """`dae_utils.detection.CalibratedSum` with the first edition's signature."""

    def __init__(
        self,
        detectors: Sequence[detection.AnomalyDetector],
        held_out_fraction: float = 0.2,
        seed: int = 0,
        scale: str = "log",
    ) -> None:
        self.detectors = detectors
        self.held_out_fraction = held_out_fraction
        self.seed = seed
        self.scale = scale

    def fit(self, x_normal: ArrayLike, y: object = None, x_held_out_normal: ArrayLike | None = None) -> Self:
        """Fit the detectors on `x_normal` and set the scale on `x_held_out_normal`, both shape (n, ...)."""
        x = check_samples(x_normal, "x_normal")
        if x_held_out_normal is None:
            n_held_out = ceil(check_fraction(self.held_out_fraction, "held_out_fraction") * len(x))
            check_count(len(x) - n_held_out, "The number of normal samples left to fit on")
            order = np.random.default_rng(self.seed).permutation(len(x))
            x_held_out_normal, x = x[order[:n_held_out]], x[order[n_held_out:]]
        return super().fit(x, X_scale=x_held_out_normal)
