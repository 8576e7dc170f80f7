"""Up-sampling by copying and the convolution after it as one smaller convolution."""

from __future__ import annotations

import functools
import math
from dataclasses import dataclass

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

__all__ = ["Phases", "interleaved"]


@dataclass(frozen=True)
class Phases:
    """How up-sampling by copying and a convolution with zeros around become one smaller convolution.

    Every output pixel of the same phase (the same place inside its s by s block) sees the small image through
    the same, smaller kernel, whose entries are sums of the large one's. One convolution of the small image
    yields all phases, with 4/9 of the multiplications for s = 2 and a kernel of 3 by 3. Shi et al. 2016, "Is
    the deconvolution layer the same as a convolutional layer?", arXiv:1609.07009, show the same for sub-pixel
    convolution.

    Along one axis, with factor s and a kernel of k entries of which p lie before its middle, output pixel
    s·i + a is the sum over t of w[t] · x[i + floor((a + t - p) / s)], where x is zero outside. So phase a
    sees neighbours from floor((a - p) / s) on, and the entry for each is the sum of all w[t] that fall on it.

    Attributes:
        factors: the factors s of the two axes.
        starts: for both axes, where the window of each phase starts in the padded small image.
        padding: zeros around the small image, as `tf.pad` takes it.
        mixing: the matrix that turns the k1·k2 entries of the large kernel into those of all small ones, rows
            in the order (entry along the first axis, along the second, phase of the first, of the second).
        sizes: the size of the small kernels.
    """

    factors: tuple[int, int]
    starts: tuple[tuple[int, ...], tuple[int, ...]]
    padding: list[list[int]]
    mixing: NDArray[np.float32]
    sizes: tuple[int, int]

    @staticmethod
    @functools.cache
    def of(factors: tuple[int, int], kernel_size: tuple[int, int]) -> Phases:
        """Return the phases for an up-sampling by factors and a kernel of a size."""
        starts, sizes, mixings = [], [], []
        padding = [[0, 0]]
        for factor, size in zip(factors, kernel_size, strict=True):
            before = (size - 1) // 2  # where Keras and TensorFlow put the middle of a kernel of even size
            neighbours = [[(a + t - before) // factor for t in range(size)] for a in range(factor)]
            first, last = neighbours[0][0], neighbours[-1][-1]
            length = max(row[-1] - row[0] + 1 for row in neighbours)
            # The window of every phase has the same length; the last ones may reach one further.
            last = max(last, *(row[0] + length - 1 for row in neighbours))
            mixing = np.zeros((length, factor, size), np.float32)
            for a, row in enumerate(neighbours):
                for t, neighbour in enumerate(row):
                    mixing[neighbour - row[0], a, t] = 1
            starts.append(tuple(row[0] - first for row in neighbours))
            sizes.append(length)
            padding.append([-first, last])
            mixings.append(mixing)
        # (i, a, t) and (j, b, u) to ((i, j, a, b), (t, u))
        both = np.einsum("iat,jbu->ijabtu", *mixings).reshape(-1, math.prod(kernel_size))
        return Phases(
            (factors[0], factors[1]),
            (starts[0], starts[1]),
            [*padding, [0, 0]],
            both,
            (sizes[0], sizes[1]),
        )

    @property
    def n_phases(self) -> int:
        """The number of output pixels for one of the small image."""
        return math.prod(self.factors)

    def small_kernel(self, kernel: tf.Tensor) -> tf.Tensor:
        """Return the kernels of all phases beside each other, shape (*sizes, channels in, phases · out)."""
        n_in, n_out = kernel.shape[2:]
        mixed = tf.matmul(tf.constant(self.mixing), tf.reshape(kernel, (-1, n_in * n_out)))
        mixed = tf.reshape(mixed, (*self.sizes, self.n_phases, n_in, n_out))
        return tf.reshape(tf.transpose(mixed, (0, 1, 3, 2, 4)), (*self.sizes, n_in, self.n_phases * n_out))


def interleaved(
    phases: tf.Tensor, factors: tuple[int, int], starts: tuple[tuple[int, ...], tuple[int, ...]]
) -> tf.Tensor:
    """Return the image whose phases stand beside each other in the channels, see `Phases`."""
    (s1, s2), (height, width, channels) = factors, phases.shape[1:]
    height, width = height - max(starts[0]), width - max(starts[1])
    channels //= s1 * s2
    rows = []
    for a, top in enumerate(starts[0]):
        row = []
        for b, left in enumerate(starts[1]):
            first = (a * s2 + b) * channels
            window = phases[:, top : top + height, left : left + width, first : first + channels]
            row.append(window)
        rows.append(tf.stack(row, 3))
    return tf.reshape(tf.stack(rows, 2), (-1, s1 * height, s2 * width, channels))
