"""Several detectors in one: their scores on one scale, and the mean of them.

Nothing here sees a label or imports Keras.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import ceil
from typing import Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.base import clone
from sklearn.utils import check_random_state

from dae_utils.detection.base import AnomalyDetector, RandomState
from dae_utils.detection.classical import NeighbourDetector, PCADetector
from dae_utils.validation import Samples, check_choice, check_count, check_fraction, check_scores

__all__ = ["CalibratedSum", "combine_scores"]


def combine_scores(
    scores: Sequence[ArrayLike], normal_scores: Sequence[ArrayLike], scale: str = "log"
) -> NDArray[np.float64]:
    """Return the mean of several detectors' scores after each is put on the same scale.

    Each detector's scores are standardised: its mean score on held-out normal samples becomes 0, its standard
    deviation there 1. Errors and distances are positive with a long tail on the right; their logarithm is
    nearly symmetric, so "log" keeps one detector's few extreme scores from drowning the others.

    Args:
        scores: one array of shape (m,) for each detector, the samples to score.
        normal_scores: one array of shape (n,) for each detector, n >= 2 held-out normal samples.
        scale: "log" (scores of at least 0; those under the smallest positive normal score count as equal to
            it) or "linear" (any scores).

    Returns:
        Shape (m,), higher = more anomalous, in standard deviations of the normal samples.

    Raises:
        ValueError: bad scores, lists that differ in length, negative scores with "log", or a detector that
            gives all normal samples the same score.
    """
    check_choice(scale, "scale", ("log", "linear"))
    if len(scores) != len(normal_scores) or not len(scores):
        raise ValueError(
            f"scores come from {len(scores)} detectors and normal_scores from {len(normal_scores)}; "
            "give both for each detector."
        )
    standardised = [
        _standardised(
            check_scores(new, f"scores[{k}]"), check_scores(normal, f"normal_scores[{k}]"), scale, k
        )
        for k, (new, normal) in enumerate(zip(scores, normal_scores, strict=True))
    ]
    mean: NDArray[np.float64] = np.mean(standardised, axis=0)
    return mean


def _standardised(
    new: NDArray[np.float64], normal: NDArray[np.float64], scale: str, number: int
) -> NDArray[np.float64]:
    """Return `new` in standard deviations of `normal` from its mean; errors give the detector's `number`."""
    if scale == "log":
        if min(new.min(), normal.min()) < 0:
            raise ValueError(
                f"Detector {number} gives negative scores, which have no logarithm; take scale='linear'."
            )
        least = normal[normal > 0].min(initial=np.inf)
        # All zero: left as it is, to be refused just below for having no spread.
        if np.isfinite(least):
            new, normal = np.log(np.maximum(new, least)), np.log(np.maximum(normal, least))
    spread = normal.std()
    if not spread > 1e-12 * abs(normal.mean()):
        raise ValueError(
            f"Detector {number} gives all held-out normal samples the same score, so it has no scale; "
            "leave it out or give more samples."
        )
    standardised: NDArray[np.float64] = (new - normal.mean()) / spread
    return standardised


class CalibratedSum(AnomalyDetector):
    """Several detectors in one: the mean of their scores after each is put on the same scale.

    See `combine_scores` for the scale. It is learnt on normal samples that the detectors did not learn from,
    so that no detector counts for more because it overfits, and that do not set the threshold either, so that
    its promise holds. No label and no test sample takes part.

    Args:
        detectors: unfitted detectors; clones of them are fitted, on all samples that are theirs (nothing is
            held out a second time). Wrap those of scikit-learn in `SklearnDetector`. None takes
            `PCADetector()` and `NeighbourDetector()`.
        scale: "log" or "linear", see `combine_scores`; "linear" where a detector gives negative scores, as
            `OneClassSVM` does.
        scale_share: share of the samples to learn from that sets the scale instead, when `fit` gets no
            samples for that purpose; between 0 and 1.
        false_alarm_rate, held_out_share, random_state: see `AnomalyDetector`.

    Attributes:
        detectors_: the fitted detectors.
    """

    def __init__(
        self,
        detectors: Sequence[AnomalyDetector] | None = None,
        scale: str = "log",
        *,
        scale_share: float = 0.2,
        false_alarm_rate: float = 0.05,
        held_out_share: float = 0.2,
        random_state: RandomState = 0,
    ) -> None:
        super().__init__(
            false_alarm_rate=false_alarm_rate, held_out_share=held_out_share, random_state=random_state
        )
        self.detectors = detectors
        self.scale = scale
        self.scale_share = scale_share

    def fit(self, X: ArrayLike, y: object = None, X_scale: ArrayLike | None = None) -> Self:
        """Fit the detectors, set their common scale, and set the threshold.

        Args:
            X: normal samples, shape (n, ...).
            y: ignored.
            X_scale: normal samples for the scale, shape (m, ...), m >= 2. Networks inside the detectors are
                trained already: give samples that they did not see in training, or their scale comes out too
                small. None takes a share of `X`, drawn at random.

        Raises:
            ValueError: as for `AnomalyDetector.fit`, or a detector that gives no usable scale.
        """
        self._X_scale = X_scale
        try:
            return super().fit(X, y)
        finally:
            del self._X_scale

    def _fit(self, X: Samples) -> None:
        check_choice(self.scale, "scale", ("log", "linear"))
        detectors = [PCADetector(), NeighbourDetector()] if self.detectors is None else self.detectors
        check_count(len(detectors), "The number of detectors")
        for number, detector in enumerate(detectors):
            if not hasattr(detector, "anomaly_score"):
                raise ValueError(
                    f"detectors[{number}] is {detector!r}, which has no anomaly_score; if it is a "
                    "detector of scikit-learn, wrap it in SklearnDetector."
                )
        if self._X_scale is None:
            X, X_scale = self._split(X)
        else:
            X_scale = self._validated_like_fit(self._X_scale)
        self.detectors_ = [self._fitted_clone(detector, X) for detector in detectors]
        self._normal_scores = [detector.anomaly_score(X_scale) for detector in self.detectors_]
        # Now rather than at the first score: an error when a detector gives no usable scale.
        combine_scores(self._normal_scores, self._normal_scores, self.scale)

    def _split(self, X: Samples) -> tuple[Samples, Samples]:
        """Return the samples for the detectors and those for the scale."""
        n_scale = max(2, ceil(check_fraction(self.scale_share, "scale_share") * len(X)))
        if len(X) - n_scale < 1:
            raise ValueError(
                f"scale_share={self.scale_share:g} leaves none of {len(X)} normal samples to learn from; "
                "lower it or give more samples."
            )
        order = check_random_state(self.random_state).permutation(len(X))
        return X[np.sort(order[n_scale:])], X[np.sort(order[:n_scale])]

    @staticmethod
    def _fitted_clone(detector: AnomalyDetector, X: Samples) -> AnomalyDetector:
        detector = clone(detector)
        if "held_out_share" in detector.get_params(deep=False):
            detector.set_params(held_out_share=0)
        return detector.fit(X)

    def _score(self, X: Samples) -> NDArray[np.float64]:
        scores = [detector.anomaly_score(X) for detector in self.detectors_]
        return combine_scores(scores, self._normal_scores, self.scale)
