"""Detection: errors, thresholds with a guarantee, and detectors. Nothing here sees a label.

Detectors without a network start without Keras; the others are imported when they are first asked for.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from dae_utils.detection.base import AnomalyDetector
from dae_utils.detection.classical import (
    MahalanobisDetector,
    NeighbourDetector,
    PCADetector,
    SklearnDetector,
)
from dae_utils.detection.combined import CalibratedSum, combine_scores
from dae_utils.detection.errors import binary_cross_entropy, cross_entropy_floor, reconstruction_error
from dae_utils.detection.thresholds import ConformalThreshold, scores_needed

if TYPE_CHECKING:
    from dae_utils.detection.autoencoder_detector import AutoencoderDetector
    from dae_utils.detection.latent import LatentMahalanobis, LatentNeighbours
    from dae_utils.detection.pathway import PathwayScore
    from dae_utils.detection.reconstruction import ReconstructionDetector

__all__ = [
    "AnomalyDetector",
    "AutoencoderDetector",
    "CalibratedSum",
    "ConformalThreshold",
    "LatentMahalanobis",
    "LatentNeighbours",
    "MahalanobisDetector",
    "NeighbourDetector",
    "PCADetector",
    "PathwayScore",
    "ReconstructionDetector",
    "SklearnDetector",
    "binary_cross_entropy",
    "combine_scores",
    "cross_entropy_floor",
    "reconstruction_error",
    "scores_needed",
]

# The module of each detector that needs Keras.
_WITH_A_NETWORK = {
    "AutoencoderDetector": "autoencoder_detector",
    "LatentMahalanobis": "latent",
    "LatentNeighbours": "latent",
    "PathwayScore": "pathway",
    "ReconstructionDetector": "reconstruction",
}


def __getattr__(name: str) -> Any:
    if name not in _WITH_A_NETWORK:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_WITH_A_NETWORK[name]}"), name)
