"""The maximum over windows, in a form that XLA compiles to one pass over the memory."""

from __future__ import annotations

import functools
from collections.abc import Callable

import tensorflow as tf

__all__ = ["pooled"]


def pooled(x: tf.Tensor, size: tuple[int, int]) -> tf.Tensor:
    """Return the maximum of every window; its gradient goes to the first of equals, as in TensorFlow.

    Args:
        x: images, shape (n, height, width, channels).
        size: height and width of the windows, which lie side by side; what is left over is cut off.
    """
    return tf.custom_gradient(lambda values: _maximum_and_gradient(values, size))(x)


def _maximum_and_gradient(
    x: tf.Tensor, size: tuple[int, int]
) -> tuple[tf.Tensor, Callable[[tf.Tensor], tf.Tensor]]:
    height, width, channels = x.shape[1:]
    n_rows, n_columns = height // size[0], width // size[1]
    rest = [[0, 0], [0, height - n_rows * size[0]], [0, width - n_columns * size[1]], [0, 0]]
    whole = x[:, : n_rows * size[0], : n_columns * size[1]]
    windows = tf.reshape(whole, (-1, n_rows, size[0], n_columns, size[1], channels))
    values = [[windows[:, :, a, :, b] for b in range(size[1])] for a in range(size[0])]
    maximum = functools.reduce(tf.maximum, [value for row in values for value in row])

    def gradient(upstream: tf.Tensor) -> tf.Tensor:
        remaining, rows = upstream, []
        for values_of_row in values:
            row = []
            for value in values_of_row:
                is_first = tf.equal(value, maximum)
                row.append(tf.where(is_first, remaining, 0.0))
                remaining = tf.where(is_first, 0.0, remaining)
            rows.append(tf.stack(row, 3))
        return tf.pad(tf.reshape(tf.stack(rows, 2), (-1, *whole.shape[1:])), rest)

    return maximum, gradient
