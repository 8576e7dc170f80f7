"""Training with Keras alone, on any of its backends. Nothing here imports a backend.

`PlainTrainer` takes the steps with ``fit`` of a Keras model that contains the reader's network. So the
network's own ``compile``, its optimiser and its metrics stay what they were: ``model.optimizer`` is the
reader's, or None, before and after.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras
import numpy as np
from keras import ops
from numpy.typing import NDArray

from dae_utils.training.batches import FloatArray, TrainingPairs
from dae_utils.training.trainer import Change

__all__ = ["PlainTrainer"]

# Without training, larger batches give the same loss sooner.
_LEAST_BATCH_WITHOUT_TRAINING = 128


class PlainTrainer:
    """A `Trainer`, see there, that uses ``model.fit`` on the samples in their order."""

    def __init__(
        self,
        model: keras.Model,
        loss_function: Callable[[Any, Any], Any],
        rates: NDArray[np.float32],
        batch_size: int,
    ):
        self._model = model
        self._batch_size = batch_size
        self._steps = _Steps(model, loss_function)
        # TensorFlow's own routines are the faster ones for convolutions on a processor, and XLA, which Keras
        # would choose there, takes seconds to compile for every call. On JAX there is only XLA.
        compiled = keras.backend.backend() == "jax"
        self._steps.compile(optimizer=keras.optimizers.Adam(_RateOfStep(rates)), jit_compile=compiled)

    def train_epoch(self, samples: TrainingPairs, order: NDArray[np.integer], change: Change | None) -> float:
        """Train on all samples in an order and return their mean loss."""
        summed = 0.0
        for piece in samples.pieces(order, self._batch_size):
            inputs = piece.inputs if change is None else change(piece.inputs)
            past = self._steps.fit(
                inputs, piece.targets, batch_size=self._batch_size, shuffle=False, epochs=1, verbose=0
            )
            summed += past.history["mean_loss"][0] * len(piece)
        return summed / len(order)

    def mean_loss(self, samples: TrainingPairs) -> float:
        """Return the mean loss of the samples, without training."""
        summed, batch_size = 0.0, max(self._batch_size, _LEAST_BATCH_WITHOUT_TRAINING)
        for piece in samples.pieces(np.arange(len(samples)), batch_size):
            measured = self._steps.evaluate(
                piece.inputs, piece.targets, batch_size=batch_size, verbose=0, return_dict=True
            )
            summed += measured["mean_loss"] * len(piece)
        return summed / len(samples)

    def get_weights(self) -> list[FloatArray]:
        """Return the weights as they are now."""
        return list(self._model.get_weights())

    def set_weights(self, weights: list[FloatArray]) -> None:
        """Go on from these weights."""
        self._model.set_weights(weights)


class _Steps(keras.Model):
    """A network with the mean loss that `fit` records, which Keras's own lacks: it adds the penalties."""

    def __init__(self, network: keras.Model, loss_function: Callable[[Any, Any], Any]):
        super().__init__(name="training")
        self.network = network
        self.loss_function = loss_function
        self.mean_loss = keras.metrics.Mean(name="mean_loss")

    def call(self, inputs: Any, training: bool | None = None) -> Any:
        """Return the outputs of the network.

        Keras tells all layers inside whether this is training, but only where this method takes the argument.
        """
        return self.network(inputs)

    def compute_loss(
        self,
        x: Any = None,
        y: Any = None,
        y_pred: Any = None,
        sample_weight: Any = None,
        training: bool = True,
    ) -> Any:
        """Return the mean loss of a batch with the penalties, and note it without them."""
        value = ops.mean(self.loss_function(y, y_pred))
        self.mean_loss.update_state(value, sample_weight=ops.shape(x)[0])
        return sum(self.losses, start=value)


class _RateOfStep(keras.optimizers.schedules.LearningRateSchedule):
    """The learning rate of every step, looked up by its number."""

    def __init__(self, rates: NDArray[np.float32]):
        self._rates = rates

    def __call__(self, step: Any) -> Any:
        last = len(self._rates) - 1
        return ops.take(ops.convert_to_tensor(self._rates), ops.minimum(ops.cast(step, "int32"), last))

    def get_config(self) -> dict[str, Any]:
        """Return the rates, as Keras asks of a schedule."""
        return {"rates": self._rates.tolist()}
