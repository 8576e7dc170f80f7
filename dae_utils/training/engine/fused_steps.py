"""The parts of a fused network: layers as Keras computes them, and convolutions with what is beside them."""

from __future__ import annotations

from typing import Any, Protocol

import keras
import tensorflow as tf
from keras import layers

from dae_utils.training.engine.clusters import Epilogue, activated, cross_entropy
from dae_utils.training.engine.upsampling import Phases

__all__ = ["ConvolutionStep", "FusedStep", "LayerStep", "steps_of"]

Tensors = list[Any]

# Activations that never fall, so that a maximum may be taken before them.
_NEVER_FALLING = {
    keras.activations.linear,
    keras.activations.relu,
    keras.activations.relu6,
    keras.activations.leaky_relu,
    keras.activations.elu,
    keras.activations.selu,
    keras.activations.softplus,
    keras.activations.sigmoid,
    keras.activations.tanh,
}

# The options of the layers that are fused. A layer with another one, which a later Keras may bring, is left
# to Keras. Initializers, regularizers and constraints are not for the forward pass.
_COMMON_OPTIONS = {"name", "trainable", "dtype", "data_format", "padding", "strides"}
_CONVOLUTION_OPTIONS = {"filters", "kernel_size", "dilation_rate", "groups", "activation", "use_bias"}
_KNOWN_OPTIONS: dict[type, set[str]] = {
    layers.Conv2D: _COMMON_OPTIONS | _CONVOLUTION_OPTIONS,
    layers.MaxPooling2D: _COMMON_OPTIONS | {"pool_size"},
    layers.UpSampling2D: _COMMON_OPTIONS | {"size", "interpolation"},
}
_NOT_OF_THE_FORWARD_PASS = ("_initializer", "_regularizer", "_constraint")


class FusedStep(Protocol):
    """One or two layers of a chain as a function of explicit weights, in two stages.

    Attributes:
        variables: the variables whose values `prepare` takes, in this order.
    """

    variables: list[Any]

    def prepare(self, weights: Tensors) -> Tensors:
        """Return the weights in the form that the other methods take; done once a step of the training."""

    def apply(self, weights: Tensors, x: tf.Tensor, compiled: bool) -> tf.Tensor:
        """Return the outputs for inputs `x`; for `compiled` see `FusedNetwork`."""

    def loss(
        self, weights: Tensors, x: tf.Tensor, targets: tf.Tensor, loss: str, compiled: bool
    ) -> tf.Tensor:
        """Return the mean loss of the outputs, of a loss by name."""


class LayerStep:
    """A layer as Keras computes it."""

    def __init__(self, layer: keras.Layer):
        self._layer = layer
        self.variables: list[Any] = list(layer.trainable_variables)

    def prepare(self, weights: Tensors) -> Tensors:
        """Return the weights as they are."""
        return weights

    def apply(self, weights: Tensors, x: tf.Tensor, compiled: bool) -> tf.Tensor:
        """Return the outputs of the layer."""
        return self._layer.stateless_call(weights, [], x)[0]

    def loss(
        self, weights: Tensors, x: tf.Tensor, targets: tf.Tensor, loss: str, compiled: bool
    ) -> tf.Tensor:
        """Return the mean loss of the outputs."""
        return tf.reduce_mean(keras.losses.get(loss)(targets, self.apply(weights, x, compiled)))


class ConvolutionStep:
    """A convolution with its bias and activation, after an up-sampling or before a pooling, if any."""

    def __init__(
        self,
        layer: keras.Layer,
        upsampling: keras.Layer | None = None,
        pooling: keras.Layer | None = None,
    ):
        self.variables: list[Any] = [layer.kernel] + ([layer.bias] if layer.use_bias else [])
        self._layer = layer
        self._phases = Phases.of(tuple(upsampling.size), tuple(layer.kernel_size)) if upsampling else None
        pool_size = tuple(pooling.pool_size) if pooling else None
        self._epilogue = Epilogue.of(layer.activation, self._phases, pool_size)

    def prepare(self, weights: Tensors) -> Tensors:
        """Return the kernel, that of the phases if there are any, and the bias."""
        kernel = self._phases.small_kernel(weights[0]) if self._phases else weights[0]
        bias = weights[1] if self._layer.use_bias else tf.zeros(kernel.shape[-1:])
        if self._phases and self._layer.use_bias:
            bias = tf.tile(bias, [self._phases.n_phases])
        return [kernel, bias]

    def apply(self, weights: Tensors, x: tf.Tensor, compiled: bool) -> tf.Tensor:
        """Return the activated outputs."""
        return activated(self._epilogue, compiled)(self._convolved(weights[0], x), weights[1])

    def loss(
        self, weights: Tensors, x: tf.Tensor, targets: tf.Tensor, loss: str, compiled: bool
    ) -> tf.Tensor:
        """Return the mean loss of the outputs; cross-entropy of a sigmoid without computing the sigmoid."""
        if loss == "binary_crossentropy" and self._layer.activation is keras.activations.sigmoid:
            convolved = self._convolved(weights[0], x)
            return cross_entropy(self._epilogue, compiled)(convolved, weights[1], targets)
        return tf.reduce_mean(keras.losses.get(loss)(targets, self.apply(weights, x, compiled)))

    def _convolved(self, kernel: tf.Tensor, x: tf.Tensor) -> tf.Tensor:
        if self._phases:
            return tf.nn.conv2d(tf.pad(x, self._phases.padding), kernel, 1, "VALID")
        layer = self._layer
        return tf.nn.conv2d(x, kernel, layer.strides, layer.padding.upper(), dilations=layer.dilation_rate)


def steps_of(chain: list[keras.Layer]) -> list[FusedStep]:
    """Cut a chain into steps, each of one layer or of two that are computed as one."""
    steps: list[FusedStep] = []
    place = 0
    while place < len(chain):
        layer, following = chain[place], chain[place + 1 : place + 2]
        follower = following[0] if following else None
        if follower is not None and _can_join_upsampling(layer, follower):
            steps.append(ConvolutionStep(follower, upsampling=layer))
            place += 2
        elif follower is not None and _can_join_pooling(layer, follower):
            steps.append(ConvolutionStep(layer, pooling=follower))
            place += 2
        else:
            steps.append(ConvolutionStep(layer) if _is(layer, layers.Conv2D) else LayerStep(layer))
            place += 1
    return steps


def _is(layer: keras.Layer, kind: type) -> bool:
    """Return whether a layer is of exactly this kind, in one group, and has no option that is not known."""
    options = {key for key in layer.get_config() if not key.endswith(_NOT_OF_THE_FORWARD_PASS)}
    return type(layer) is kind and getattr(layer, "groups", 1) == 1 and options <= _KNOWN_OPTIONS[kind]


def _can_join_upsampling(layer: keras.Layer, follower: keras.Layer) -> bool:
    return (
        _is(layer, layers.UpSampling2D)
        and layer.interpolation == "nearest"
        and _is(follower, layers.Conv2D)
        and follower.padding == "same"
        and follower.strides == (1, 1)
        and follower.dilation_rate == (1, 1)
    )


def _can_join_pooling(layer: keras.Layer, follower: keras.Layer) -> bool:
    if not _is(layer, layers.Conv2D) or not _is(follower, layers.MaxPooling2D):
        return False
    height, width = layer.output.shape[1:3]
    if follower.strides != follower.pool_size or None in (height, width):
        return False
    is_whole = height % follower.pool_size[0] == 0 and width % follower.pool_size[1] == 0
    fits = height >= follower.pool_size[0] and width >= follower.pool_size[1]
    # With padding, windows at the border are filled up; without it, what is left over is cut off.
    return fits and (is_whole or follower.padding == "valid") and layer.activation in _NEVER_FALLING
