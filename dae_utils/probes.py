"""The old path of `dae_utils.evaluation.probes`, for notebooks that are not rewritten yet."""

from dae_utils.evaluation.probes import (
    fit_linear_probe,
    linear_probe,
    retrieval,
)

__all__ = [
    "fit_linear_probe",
    "linear_probe",
    "retrieval",
]
