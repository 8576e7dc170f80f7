"""What `fit` asks of whoever takes the steps of a training; nothing here takes any.

There are two: Keras itself, see `plain`, and the fast engine for TensorFlow, see `engine`. For the same
weights and the same order of samples both do the same, up to rounding.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from dae_utils.training.batches import FloatArray, TrainingPairs

__all__ = ["Change", "Loss", "Trainer"]

Loss = str | Callable[[Any, Any], Any]
Change = Callable[[FloatArray], FloatArray]


class Trainer(Protocol):
    """Takes the steps of one training of one network with Adam.

    It was given the network, its loss, the size of the batches and the learning rate of every step.
    """

    def train_epoch(self, samples: TrainingPairs, order: NDArray[np.integer], change: Change | None) -> float:
        """Train on all samples in an order, batch after batch.

        Args:
            samples: inputs and targets, n of each. An array in memory that is the same object as in an epoch
                before holds the same numbers, and need not be looked at again.
            order: indices of the samples, shape (n,).
            change: applied to every piece of inputs that is read, if any.

        Returns:
            The mean loss of the samples, each measured when its batch came up, without penalties.
        """

    def mean_loss(self, samples: TrainingPairs) -> float:
        """Return the mean loss of samples with the weights as they are, without training or penalties."""

    def get_weights(self) -> list[FloatArray]:
        """Return the weights as they are now."""

    def set_weights(self, weights: list[FloatArray]) -> None:
        """Go on from these weights."""
