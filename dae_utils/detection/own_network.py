"""The network of a detector that was given none: a small dense autoencoder, trained on its samples.

For the detectors that take a trained network and may be given none: the error, those in the code and the
pathway. `AutoencoderDetector` has a network of another design. Nothing here scores or sets a threshold.
"""

from __future__ import annotations

from math import prod
from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray
from sklearn.utils import check_random_state

from dae_utils.detection.base import RandomState, flat
from dae_utils.networks.builders import dense_autoencoder
from dae_utils.networks.float64 import DenseCopy
from dae_utils.networks.weights import draw_weights
from dae_utils.training import fit
from dae_utils.validation import Samples, check_count

__all__ = ["FLOAT32_ROUNDING", "OwnNetwork"]

# Relative rounding of the score of a network that Keras runs, which depends on the batch: a few last digits.
FLOAT32_ROUNDING = 4e-7

_HIDDEN_SIZE = 64
_MOST_CODE_VALUES = 32
# So many samples at once: what the layers give for them takes some megabytes.
_ROWS_AT_ONCE = 4096


class OwnNetwork:
    """A dense autoencoder (values, 64, code, 64, values) trained on samples of any shape and scale.

    The samples are shifted by the mean and divided by the standard deviation of all their values together:
    one common scale. A network needs values of about 1. Standardising each value by itself would blow up the
    noise of values that hardly vary, such as the pixels at the edge of an image; for a table whose columns
    have different units, put a `StandardScaler` before the detector in a `Pipeline`.

    What it returns is computed in float64 (see `DenseCopy`), so that a score does not depend on the batch.
    The weights at the start are Glorot's (Glorot and Bengio, AISTATS 2010), drawn from `random_state` alone.

    Args:
        X: samples to train on, shape (n, ...).
        epochs: how often each is seen.
        random_state: decides the weights at the start and the order of the samples.

    Attributes:
        model: the trained Keras model, from scaled flat samples to their reconstruction.
        shift, scale: the samples of the network are (X - shift) / scale.

    Raises:
        ValueError: epochs below 1, or values too large to have a standard deviation.
    """

    def __init__(self, X: Samples, epochs: int, random_state: RandomState) -> None:
        check_count(epochs, "epochs")
        random = check_random_state(random_state)
        with np.errstate(over="ignore", invalid="ignore"):  # told just below
            self.shift = float(np.mean(X, dtype=np.float64))
            self.scale = float(np.std(X, dtype=np.float64)) or 1.0
        if not np.isfinite(self.scale):
            raise ValueError(f"X holds values up to {np.abs(X).max():g}, too large for a network; scale it.")
        n_values = prod(X.shape[1:])
        self.model: keras.Model = dense_autoencoder(
            n_values,
            (_HIDDEN_SIZE,),
            code_size=min(_MOST_CODE_VALUES, max(1, n_values // 2)),
            code_activation="linear",
            output_activation="linear",
        )
        draw_weights(self.model, random)
        fit(
            self.model,
            self.scaled(X).astype(np.float32),
            epochs=epochs,
            seed=int(random.randint(2**31 - 1)),
            description="network of the detector",
        )
        self._encoder = DenseCopy(self.model.get_layer("encoder"))
        self._decoder = DenseCopy(self.model.get_layer("decoder"))

    def scaled(self, X: Samples) -> NDArray[np.float64]:
        """Return samples, shape (n, ...), as the network sees them, shape (n, values)."""
        scaled: NDArray[np.float64] = (flat(X).astype(np.float64) - self.shift) / self.scale
        return scaled

    def __call__(self, X: Samples) -> NDArray[np.float64]:
        """Return the reconstruction of samples, shape (n, ...), in their own units."""
        pieces = [self._decoder(self._encoder(self.scaled(piece))) for piece in _pieces(X)]
        return np.concatenate(pieces).reshape(X.shape) * self.scale + self.shift

    def encode(self, X: Samples) -> NDArray[np.float64]:
        """Return the codes of samples, shape (n, ...), as shape (n, code values)."""
        return np.concatenate([self._encoder(self.scaled(piece)) for piece in _pieces(X)])

    def reconstruct_scaled(self, scaled: NDArray[Any]) -> NDArray[np.float64]:
        """Return the reconstruction of samples that are scaled already, shape (n, values)."""
        return self._decoder(self._encoder(scaled))

    def stages_of_scaled(self, scaled: NDArray[Any]) -> list[NDArray[np.float64]]:
        """Return the activations of every layer of the encoder for scaled samples, shape (n, values)."""
        return self._encoder.stages(scaled)


def _pieces(X: Samples) -> list[Samples]:
    return [X[start : start + _ROWS_AT_ONCE] for start in range(0, len(X), _ROWS_AT_ONCE)]
