"""What the compiled forms of a network have in common, as a protocol; nothing here computes."""

from __future__ import annotations

from typing import Protocol

import keras
import numpy as np
from numpy.typing import NDArray

from dae_utils.training.batches import FloatArray, TrainingPairs
from dae_utils.training.trainer import Trainer

__all__ = ["CompiledTrainer"]


class CompiledTrainer(Trainer, Protocol):
    """A `Trainer` that trains one model after the other, all of the structure it was compiled for."""

    def start(self, model: keras.Model, rates: NDArray[np.float32]) -> None:
        """Take the weights of a model and forget all else, for a training with these learning rates."""

    def first_step(self, samples: TrainingPairs, start: int) -> tuple[float, list[FloatArray]]:
        """Return the loss of one batch and its gradients, as a step finds them, and change nothing.

        The batch is that of the samples, which are in memory, from number `start` on.
        The gradients are those of the loss with its penalties, in the order of the model's trainable
        variables. They are read off Adam after one step of rate zero: its first average is then the gradient
        times 1 - 0.9. So what is looked at is the very program that trains.
        """

    def finish(self, model: keras.Model) -> None:
        """Give the model the weights that were learnt, and let go of the data."""
