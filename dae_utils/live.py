"""The old path of `dae_utils.show.live`, for notebooks that are not rewritten yet."""

from dae_utils.show.live import (
    export,
    round_weights,
)

__all__ = [
    "export",
    "round_weights",
]
