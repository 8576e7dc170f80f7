"""The old path of `dae_utils.data.sources`, for notebooks that are not rewritten yet."""

from dae_utils.data.sources import (
    data_dir,
)

__all__ = [
    "data_dir",
]
