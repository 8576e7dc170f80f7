"""How strange a difference from one's own template is, as a small network has learnt it from other people.

`own_shape` gives the differences. The network is an autoencoder that was trained on those of normal beats; it
is run here as plain arrays, so that a shipped detector needs no Keras. Nothing here trains.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from dae_utils.signals.ventricular import difference_size

__all__ = ["DenseNetwork", "LearntDifferences"]


@dataclass(frozen=True, eq=False)
class DenseNetwork:
    """A dense network as plain arrays.

    Args:
        kernels: (inputs, outputs) of each layer, floating.
        biases: (outputs,) of each layer, floating.
        activations: of each layer, "elu" or "linear".
    """

    kernels: Sequence[NDArray[np.floating]]
    biases: Sequence[NDArray[np.floating]]
    activations: Sequence[str]

    def __call__(self, x: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the output for `x`, shape (n, inputs), as shape (n, outputs)."""
        for kernel, bias, activation in zip(self.kernels, self.biases, self.activations, strict=True):
            x = x @ kernel + bias
            if activation == "elu":
                x = np.where(x > 0, x, np.expm1(np.minimum(x, 0)))
        return x


@dataclass(frozen=True, eq=False)
class LearntDifferences:
    """Says how strange differences from a template are.

    Args:
        network: copies differences in units of `unit`.
        unit: the standard deviation of the differences that trained it, in heights of the template.
    """

    network: DenseNetwork
    unit: float

    def errors(self, rows: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the error of each difference, shape (n,), as `VentricularAlarm` wants it.

        It is the geometric mean of two lengths: that of the difference, and that of what the network cannot
        copy of it.

        Args:
            rows: (n, values), in heights of the template, as `OwnShape.differences` gives them.
        """
        rest = rows - self.unit * self.network(rows / self.unit)
        errors: NDArray[np.float64] = np.sqrt(difference_size(rest) * difference_size(rows))
        return errors
