"""The old path of `dae_utils.data.features`, for notebooks that are not rewritten yet."""

from dae_utils.data.features import (
    gradient_orientations,
)

__all__ = [
    "gradient_orientations",
]
