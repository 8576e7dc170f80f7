"""The old path of `dae_utils.detection.scoring`, for notebooks that are not rewritten yet."""

from dae_utils.detection.scoring import (
    CalibratedSum,
    ConformalThreshold,
    LatentMahalanobis,
    LatentNeighbours,
    NeighbourDetector,
    PathwayScore,
    PCADetector,
    ReconstructionDetector,
    SklearnDetector,
    binary_cross_entropy,
    cross_entropy_floor,
    encoder_activations,
    predict_in_batches,
    reconstruction_error,
)

__all__ = [
    "CalibratedSum",
    "ConformalThreshold",
    "LatentMahalanobis",
    "LatentNeighbours",
    "NeighbourDetector",
    "PCADetector",
    "PathwayScore",
    "ReconstructionDetector",
    "SklearnDetector",
    "binary_cross_entropy",
    "cross_entropy_floor",
    "encoder_activations",
    "predict_in_batches",
    "reconstruction_error",
]
