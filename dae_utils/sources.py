"""The old path of `dae_utils.data.storage`, for notebooks that are not rewritten yet."""

from dae_utils.data.storage import (
    data_dir,
)

__all__ = [
    "data_dir",
]
