"""The same function as a convolutional Keras model, of the same weights, computed by faster means.

On a processor, a small convolutional autoencoder loses most of its time outside the multiplications. `fuse`
reads a Keras model that is a plain chain of layers and gives back a `FusedNetwork`, which computes what the
model computes, up to rounding, with these differences: up-sampling and convolution in one (`upsampling`),
pooling before the activation and compiled clusters after each convolution (`clusters`), cross-entropy from
logits, and the gradient of a bias as a matrix product.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras
import tensorflow as tf
from keras import layers

from dae_utils.training.engine.chain import plain_chain_of
from dae_utils.training.engine.fused_steps import steps_of
from dae_utils.training.trainer import Loss

__all__ = ["FusedNetwork", "fuse"]

_LOSSES = ("binary_crossentropy", "mean_squared_error", "mean_absolute_error")


def fuse(model: keras.Model, loss: Loss) -> FusedNetwork | None:
    """Return the fused form of a model for a loss, or None where there is nothing to gain or no safe way.

    Args:
        model: a built Keras model. It has a fused form if it is a chain of layers (sub-models that are chains
            themselves included) with at least one two-dimensional convolution, all in float32 and channels
            last, without a state beside its weights, without random numbers and without penalties.
        loss: the loss to be computed: the name of one that is a mean over the samples and their values,
            ``"binary_crossentropy"``, ``"mean_squared_error"`` or ``"mean_absolute_error"``.

    Returns:
        The `FusedNetwork`, or None.
    """
    if not isinstance(loss, str) or loss not in _LOSSES:
        return None
    chain = plain_chain_of(model)
    if chain is None or not any(isinstance(layer, layers.Conv2D) for layer in chain):
        return None
    return FusedNetwork(model, chain, loss)


class FusedNetwork:
    """A model's chain of layers as a function of explicit weights, see `fuse`.

    The functions below take and return TensorFlow tensors, also inside graphs. They run in two stages.
    `prepare` does what is done once a step, such as adding up the entries of a kernel; `outputs` and `loss`
    take what it returns, which lets several parts of a batch share it.

    `compiled` is for many calls with one number of samples n: XLA compiles the clusters for it, which takes
    about a second. Without it n may also be unknown.

    Attributes:
        weights: the model's variables in the order in which the functions expect their values; the order of
            ``model.trainable_variables``.
        steps: the parts that are computed one after the other.
    """

    def __init__(self, model: keras.Model, chain: Sequence[keras.Layer], loss: str):
        self.weights = list(model.trainable_variables)
        self.steps = steps_of(list(chain))
        places = {id(variable): place for place, variable in enumerate(self.weights)}
        self._places = [[places[id(v)] for v in step.variables] for step in self.steps]
        self._loss = loss

    def prepare(self, weights: Sequence[tf.Tensor]) -> list[list[Any]]:
        """Return the weights in the form that the steps use."""
        return [
            step.prepare([weights[place] for place in places])
            for step, places in zip(self.steps, self._places, strict=True)
        ]

    def outputs(self, prepared: list[list[Any]], x: tf.Tensor, compiled: bool = True) -> tf.Tensor:
        """Return the model's outputs for the inputs `x`, shape (n, ...)."""
        for step, tensors in zip(self.steps, prepared, strict=True):
            x = step.apply(tensors, x, compiled)
        return x

    def loss(
        self, prepared: list[list[Any]], x: tf.Tensor, targets: tf.Tensor, compiled: bool = True
    ) -> tf.Tensor:
        """Return the mean loss over the samples, a scalar."""
        for step, tensors in zip(self.steps[:-1], prepared[:-1], strict=True):
            x = step.apply(tensors, x, compiled)
        return self.steps[-1].loss(prepared[-1], x, targets, self._loss, compiled)
