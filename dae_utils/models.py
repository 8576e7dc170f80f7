"""The old path of `dae_utils.networks.builders`, for notebooks that are not rewritten yet."""

from dae_utils.networks.builders import (
    dense_autoencoder,
)

__all__ = [
    "dense_autoencoder",
]
