"""A copy of a dense network that computes in float64, with NumPy alone.

Keras computes in float32, where the last digit of a sample's output depends on the batch that the sample is
in. scikit-learn asks that a score does not, to 1e-7. A network of dense layers is small enough to be computed
in float64 at little cost, on any backend. Nothing here trains, scores or reads data.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray
from scipy.special import expit

__all__ = ["DenseCopy"]

_ACTIVATIONS: dict[str, Callable[[NDArray[np.float64]], NDArray[np.float64]]] = {
    "linear": lambda z: z,
    "relu": lambda z: np.maximum(z, 0.0),
    "sigmoid": expit,
    "tanh": np.tanh,
}


class DenseCopy:
    """A stack of dense layers in float64. It keeps the weights that the model had when it was copied.

    Args:
        model: a Sequential Keras model, or a list of its layers, all of them `Dense` with a linear, rectified
            linear, sigmoid or hyperbolic tangent activation.

    Raises:
        ValueError: another layer or activation.
    """

    def __init__(self, model: keras.Sequential) -> None:
        self._layers: list[tuple[NDArray[np.float64], NDArray[np.float64], str]] = []
        for layer in model.layers:
            activation = getattr(getattr(layer, "activation", None), "__name__", "")
            if not isinstance(layer, keras.layers.Dense) or activation not in _ACTIVATIONS:
                raise ValueError(
                    f"Layer {layer.name!r} has no copy in float64; only Dense layers with one of the "
                    f"activations {', '.join(_ACTIVATIONS)} have."
                )
            kernel = keras.ops.convert_to_numpy(layer.kernel).astype(np.float64)
            bias = (
                keras.ops.convert_to_numpy(layer.bias).astype(np.float64)
                if layer.use_bias
                else np.zeros(kernel.shape[1])
            )
            self._layers.append((kernel, bias, activation))

    def __call__(self, x: NDArray[Any]) -> NDArray[np.float64]:
        """Return the output for `x`, shape (n, values), as shape (n, outputs)."""
        return self.stages(x)[-1]

    def stages(self, x: NDArray[Any]) -> list[NDArray[np.float64]]:
        """Return the output of every layer for `x`, shape (n, values), from the first one on."""
        outputs = []
        current = np.asarray(x, np.float64)
        for kernel, bias, activation in self._layers:
            current = _ACTIVATIONS[activation](current @ kernel + bias)
            outputs.append(current)
        return outputs
