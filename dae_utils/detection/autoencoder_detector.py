"""The book in one class: an autoencoder that finds anomalies in tables, images and windows of signals.

It scales, compresses, trains, scores and sets its threshold by itself, on normal samples alone. Nothing here
sees a label. What it is made of, one thing at a time, is in the other modules of this package.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import ceil
from typing import Any

import keras
import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.covariance import LedoitWolf
from sklearn.decomposition import PCA
from sklearn.utils import check_random_state

from dae_utils.detection.base import AnomalyDetector, RandomState, flat
from dae_utils.networks.builders import dense_autoencoder
from dae_utils.networks.float64 import DenseCopy
from dae_utils.networks.weights import draw_weights
from dae_utils.training import History, fit
from dae_utils.validation import Samples, check_choice, check_count

__all__ = ["AutoencoderDetector"]

Matrix = NDArray[np.float64]

_BATCH_SIZE = 128
_N_STEPS = 500
_MOST_EPOCHS = 60
# Noise on what the network sees, in spreads of a component: it learns to lead samples back to normal ones.
_NOISE = 0.1
# So many samples are scored at once: what the layers give for them takes some megabytes.
_ROWS_AT_ONCE = 4096
# With more values (and samples) than this, the principal components are approximate.
_MOST_VALUES_EXACTLY = 1000
# Further away than a million spreads is all the same, and its square must stay a number.
_FARTHEST = 1e6


class AutoencoderDetector(AnomalyDetector):
    """Anomalies are what an autoencoder, trained on normal samples, reconstructs badly.

    ``AutoencoderDetector(false_alarm_rate=0.01).fit(X).predict(X_new)`` is a whole program. `fit` does this:

    1. A share of the samples is held out for the threshold; what follows sees the others only.
    2. Scaling. The mean of every value is subtracted. In a table, shape (n, columns), every column is then
       divided by its own standard deviation, since columns have units of their own. Images and windows, shape
       (n, ...) with more axes, are divided by one number, the standard deviation of all values together: they
       have one unit, and a pixel that is almost always black must not count as much as one in the middle.
    3. Principal components. The leading ones go into the network. What they leave out no small network could
       keep either; it counts in the error as it is. So a large image costs little more than a small one.
    4. A dense autoencoder is trained to return the components without the noise that was added to them
       (Vincent et al., ICML 2008).
    5. Two numbers for a sample x and its reconstruction x': the squared error between them, and the
       Mahalanobis distance of the differences between what x and x' do in the layers of the encoder (Kim et
       al., RaPP, ICLR 2020). The score is the sum of their logarithms, each divided by its spread on the
       training samples. Where every column has its own scale, the squared distance from the mean joins them
       as a third: tables often have few rows, and a network copies few rows too well to be trusted alone.
    6. The threshold comes from the held-out samples, see `ConformalThreshold`.

    Images as rows, shape (n, pixels), are a table to steps 2 and 5. Give them their shape back, or say
    ``scaling="common"``. So for a signal of one channel: `X[..., np.newaxis]` makes windows (n, length, 1).

    Args:
        code_size: values in the code; by default an eighth of the number of components, and 16 at most.
        hidden_sizes: sizes of the layers between components and code; the decoder has them in reverse
            order. One number is one layer.
        n_components: the most principal components to give to the network.
        epochs: how often each sample is seen; by default as often as makes 500 steps, and 60 times at most.
        scaling: "common" (one standard deviation for all values), "columns" (one for each), or "auto": the
            second for tables, the first for all else. It decides on step 5 as well.
        false_alarm_rate: highest acceptable share of normal samples that raise an alarm, between 0 and 1.
        held_out_share, random_state: see `AnomalyDetector`.

    Attributes:
        network_: the trained Keras model, from components to components, with `encoder` and `decoder`. It is
            there to look at: scores and reconstructions come from a copy in float64, made at the end of
            `fit`, and training this one or changing its weights changes nothing of them.
        history_: the losses of the training.
        threshold_, conformal_ and others: see `AnomalyDetector`.
    """

    _least_samples = 2

    def __init__(
        self,
        *,
        code_size: int | None = None,
        hidden_sizes: Sequence[int] | int = (128,),
        n_components: int = 256,
        epochs: int | None = None,
        scaling: str = "auto",
        false_alarm_rate: float = 0.05,
        held_out_share: float = 0.2,
        random_state: RandomState = 0,
    ) -> None:
        super().__init__(
            false_alarm_rate=false_alarm_rate, held_out_share=held_out_share, random_state=random_state
        )
        self.code_size = code_size
        self.hidden_sizes = hidden_sizes
        self.n_components = n_components
        self.epochs = epochs
        self.scaling = scaling

    def _fit(self, X: Samples) -> None:
        random = check_random_state(self.random_state)
        self._fit_scale(X)
        scaled = self._scaled(X)
        self._fit_components(scaled, random)
        components = self._components(scaled)
        n_components = components.shape[1]

        code_size = self.code_size if self.code_size is not None else min(16, ceil(n_components / 8))
        self.network_: keras.Model = dense_autoencoder(
            n_components, self.hidden_sizes, code_size, code_activation="linear", output_activation="linear"
        )
        draw_weights(self.network_, random)
        batch_size = min(_BATCH_SIZE, ceil(len(X) / 4))
        most = min(_MOST_EPOCHS, ceil(_N_STEPS * batch_size / len(X)))
        self.history_: History = fit(
            self.network_,
            components.astype(np.float32),
            epochs=most if self.epochs is None else check_count(self.epochs, "epochs"),
            batch_size=batch_size,
            learning_rate=2e-3,
            corrupt=_add_noise,
            seed=int(random.randint(2**31 - 1)),
            description="AutoencoderDetector",
        )
        # Computed in float64 from here on, so that a score does not depend on the batch.
        self._encoder = DenseCopy(self.network_.get_layer("encoder"))
        self._decoder = DenseCopy(self.network_.get_layer("decoder"))

        self._covariance = LedoitWolf().fit(self._differences(components))
        numbers = self._score_parts(scaled)
        # Added before the logarithm is taken, since a perfect copy has an error of 0.
        self._smallest: Matrix = np.maximum(1e-9 * numbers.mean(axis=0), 1e-30)
        spread = np.log(numbers + self._smallest).std(axis=0)
        self._spread_of_logs: Matrix = np.where(spread > 1e-9, spread, 1.0)

    def _score(self, X: Samples) -> Matrix:
        pieces = [X[start : start + _ROWS_AT_ONCE] for start in range(0, len(X), _ROWS_AT_ONCE)]
        numbers = np.concatenate([self._score_parts(self._scaled(piece)) for piece in pieces])
        score: Matrix = np.sum(np.log(numbers + self._smallest) / self._spread_of_logs, axis=1)
        return score

    def reconstruct(self, X: ArrayLike) -> Matrix:
        """Return what the autoencoder makes of samples, in their own shape and units.

        Where this differs from the sample is what the detector finds strange. The principal components that
        the network does not see are not in it.

        Raises:
            NotFittedError, ValueError: as for `anomaly_score`.
        """
        X = self._validated_like_fit(X)
        components = self._components(self._scaled(X))
        scaled = self._copy(components) * self._spread @ self._directions + self._centre
        copy: Matrix = (scaled * self._scale + self._mean).reshape(X.shape)
        return copy

    def _fit_scale(self, X: Samples) -> None:
        """Learn mean and standard deviation: one for each column, or one for all values."""
        check_choice(self.scaling, "scaling", ("auto", "common", "columns"))
        by_column = self.scaling == "columns" or (self.scaling == "auto" and X.ndim == 2)
        self._by_column = by_column
        values = flat(X).astype(np.float64)
        # In units of the largest value, so that no square overflows.
        largest = float(np.abs(values).max()) or 1.0
        values /= largest
        self._mean: Matrix = values.mean(axis=0) * largest
        spread = values.std(axis=0) if by_column else np.sqrt(values.var(axis=0).mean(keepdims=True))
        # A value that never varies has no spread of its own; its unit is left as it is.
        constant = spread <= 1e-12 * np.maximum(np.abs(values).max(axis=0) if by_column else 1.0, 1e-300)
        self._scale: Matrix = np.where(constant, 1.0, spread * largest)

    def _scaled(self, X: Samples) -> Matrix:
        # Halves, because the difference of two numbers that are both allowed may be too large for one.
        half = flat(X).astype(np.float64) / 2 - self._mean / 2
        with np.errstate(over="ignore"):
            return np.clip(half / self._scale * 2, -_FARTHEST, _FARTHEST)

    def _fit_components(self, scaled: Matrix, random: np.random.RandomState) -> None:
        """Learn the leading principal components, and one spread for all of them."""
        most = min(check_count(self.n_components, "n_components"), scaled.shape[1], len(scaled) - 1)
        n, n_values = scaled.shape
        # Through the covariance where it is small. For large images only the leading components are sought,
        # which is much faster and exact enough to put into a network.
        solver = "full" if n < n_values else "covariance_eigh"
        if min(n, n_values) > _MOST_VALUES_EXACTLY:
            solver = "randomized"
        with np.errstate(invalid="ignore"):  # samples that are all the same have no variance to explain
            pca = PCA(most, svd_solver=solver, random_state=random).fit(scaled)
        self._directions: Matrix = pca.components_
        self._centre: Matrix = pca.mean_
        self._spread = float(np.sqrt(np.mean(pca.explained_variance_))) or 1.0

    def _components(self, scaled: Matrix) -> Matrix:
        components: Matrix = (scaled - self._centre) @ self._directions.T / self._spread
        return components

    def _score_parts(self, scaled: Matrix) -> Matrix:
        """Return what the score is made of, none negative: shape (n, 2), by column (n, 3)."""
        components = self._components(scaled)
        from_mean = np.sum((scaled - self._centre) ** 2, axis=1) / self._spread**2
        # The directions are orthonormal, so the error is that in the components and that outside of them.
        outside = np.maximum(from_mean - np.sum(components**2, axis=1), 0.0)
        errors = np.sum((components - self._copy(components)) ** 2, axis=1) + outside
        distances = np.maximum(self._covariance.mahalanobis(self._differences(components)), 0.0)
        numbers = [errors, distances, from_mean] if self._by_column else [errors, distances]
        return np.stack(numbers, axis=1)

    def _copy(self, components: Matrix) -> Matrix:
        return self._decoder(self._encoder(components))

    def _differences(self, components: Matrix) -> Matrix:
        """Return how samples and their copies differ in the layers of the encoder, shape (n, units)."""
        stages = zip(
            self._encoder.stages(components), self._encoder.stages(self._copy(components)), strict=True
        )
        return np.concatenate([original - copy for original, copy in stages], axis=1)


def _add_noise(generator: np.random.Generator, x: NDArray[Any]) -> NDArray[Any]:
    noise: NDArray[Any] = x + _NOISE * generator.standard_normal(x.shape, dtype=np.float32)
    return noise
