"""Networks: builders, and ways to take a network apart. Nothing here reads data or trains."""

from dae_utils.networks.builders import autoencoder, dense_autoencoder
from dae_utils.networks.inner import encoder_activations, predict_in_batches
from dae_utils.networks.untrained import untrained_copy

__all__ = [
    "autoencoder",
    "dense_autoencoder",
    "encoder_activations",
    "predict_in_batches",
    "untrained_copy",
]
