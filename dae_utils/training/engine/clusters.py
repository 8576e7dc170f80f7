"""What follows a convolution, compiled by XLA to one pass over the memory, forwards and backwards.

Bias, pooling, phases, activation and loss would else be six passes. The convolutions themselves stay with
TensorFlow's own routines, which are the faster ones.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import tensorflow as tf

from dae_utils.training.engine.pooling import pooled
from dae_utils.training.engine.upsampling import Phases, interleaved

__all__ = ["Epilogue", "activated", "cross_entropy"]


@dataclass(frozen=True)
class Epilogue:
    """What follows a convolution: its phases put in place or its pooling, then its bias and activation.

    Attributes:
        activation: a function of tensors that acts on each value.
        factors: those of an up-sampling before the convolution, if any, see `Phases`.
        starts: likewise.
        pool_size: the windows of a pooling after the activation, if any. It is done before it: for an
            activation that never falls, the largest of the activated values is the activated largest value.
    """

    activation: Callable[[Any], Any]
    factors: tuple[int, int] | None = None
    starts: tuple[tuple[int, ...], tuple[int, ...]] | None = None
    pool_size: tuple[int, int] | None = None

    @staticmethod
    def of(
        activation: Callable[[Any], Any], phases: Phases | None, pool_size: tuple[int, int] | None
    ) -> Epilogue:
        """Return the epilogue of a convolution with these phases or this pooling."""
        if phases is None:
            return Epilogue(activation, pool_size=pool_size)
        return Epilogue(activation, phases.factors, phases.starts, pool_size)

    def before_activation(self, convolved: tf.Tensor, bias: tf.Tensor) -> tf.Tensor:
        """Return what the activation is applied to."""
        if self.pool_size:
            return pooled(convolved, self.pool_size) + bias
        if self.factors and self.starts:
            return interleaved(convolved + bias, self.factors, self.starts)
        return convolved + bias


@functools.cache
def activated(epilogue: Epilogue, compiled: bool) -> Callable[[tf.Tensor, tf.Tensor], tf.Tensor]:
    """Return the function (convolved, bias) -> activated output, with a compiled gradient of its own."""

    @functools.partial(tf.function, jit_compile=compiled, autograph=False)
    def forward(convolved: tf.Tensor, bias: tf.Tensor) -> tf.Tensor:
        return epilogue.activation(epilogue.before_activation(convolved, bias))

    @functools.partial(tf.function, jit_compile=compiled, autograph=False)
    def backward(convolved: tf.Tensor, bias: tf.Tensor, upstream: tf.Tensor) -> Any:
        with tf.GradientTape() as tape:
            tape.watch(convolved)
            placed = epilogue.before_activation(convolved, bias)
            output = epilogue.activation(placed)
        if epilogue.pool_size is None:
            return tape.gradient(output, [convolved], upstream)
        # Of the pooled values there are fewer: the bias gets its gradient from them.
        return tape.gradient(output, [convolved, placed], upstream)

    @tf.custom_gradient
    def function(convolved: tf.Tensor, bias: tf.Tensor) -> Any:
        def gradient(upstream: tf.Tensor) -> Any:
            gradients = backward(convolved, bias, upstream)
            return gradients[0], _sum_over_pixels(gradients[-1])

        return forward(convolved, bias), gradient

    return function  # type: ignore[no-any-return]


@functools.cache
def cross_entropy(
    epilogue: Epilogue, compiled: bool
) -> Callable[[tf.Tensor, tf.Tensor, tf.Tensor], tf.Tensor]:
    """Return the function (convolved, bias, targets) -> mean binary cross-entropy of a sigmoid of them.

    It starts from the logits, in place of a logarithm of a rounded probability.
    """

    @functools.partial(tf.function, jit_compile=compiled, autograph=False)
    def forward(convolved: tf.Tensor, bias: tf.Tensor, targets: tf.Tensor) -> tf.Tensor:
        logits = epilogue.before_activation(convolved, bias)
        # The logarithm of 1 + e, not log1p of e, which XLA computes one number at a time: e is at most 1, and
        # what is lost below 1e-7 is lost to the rounding of the sum as well.
        rest = tf.math.log(1 + tf.exp(-tf.abs(logits)))
        return tf.reduce_mean(tf.nn.relu(logits) - logits * targets + rest)

    @functools.partial(tf.function, jit_compile=compiled, autograph=False)
    def backward(convolved: tf.Tensor, bias: tf.Tensor, targets: tf.Tensor, upstream: tf.Tensor) -> Any:
        with tf.GradientTape() as tape:
            tape.watch(convolved)
            logits = epilogue.before_activation(convolved, bias)
        difference = (tf.sigmoid(logits) - targets) * (upstream / tf.cast(tf.size(logits), tf.float32))
        if epilogue.pool_size is None:
            return tape.gradient(logits, [convolved], difference)
        return [*tape.gradient(logits, [convolved], difference), difference]

    @tf.custom_gradient
    def function(convolved: tf.Tensor, bias: tf.Tensor, targets: tf.Tensor) -> Any:
        def gradient(upstream: tf.Tensor) -> Any:
            gradients = backward(convolved, bias, targets, upstream)
            return gradients[0], _sum_over_pixels(gradients[-1]), None

        return forward(convolved, bias, targets), gradient

    return function  # type: ignore[no-any-return]


def _sum_over_pixels(gradient: tf.Tensor) -> tf.Tensor:
    """Return the sum over all axes but the last one, as a matrix product with a row of ones.

    TensorFlow would fuse the sum into the gradient of the kernel, which made the latter two to six times
    slower in our measurements.
    """
    flat = tf.reshape(gradient, (-1, gradient.shape[-1]))
    ones = tf.ones((1, tf.shape(flat)[0] if flat.shape[0] is None else flat.shape[0]))
    return tf.reshape(tf.matmul(ones, flat), flat.shape[-1:])
