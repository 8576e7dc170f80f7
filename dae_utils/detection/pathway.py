"""Reconstruction along the pathway: SAP and NAP of Kim et al. (ICLR 2020).

Nothing here sees a label.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import keras
import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.decomposition import PCA

from dae_utils.detection.base import AnomalyDetector, RandomState, flat
from dae_utils.detection.own_network import FLOAT32_ROUNDING, OwnNetwork
from dae_utils.networks.inner import Network, encoder_activations, predict_in_batches, reconstruct
from dae_utils.validation import Samples, check_choice, check_count, check_fraction

__all__ = ["PathwayScore"]

# Above this many values in d the square matrices of "nap" need more than a gigabyte.
_MOST_VALUES = 8192


class PathwayScore(AnomalyDetector):
    """Reconstruction along the pathway: errors compared in the input and in every layer of the encoder.

    With h_0(x) = x, h_i(x) the activations of stage i of the encoder and x' the reconstruction of x,
    d(x) joins h_i(x) - h_i(x') over the stages. The score is

    - "sap", simple aggregation: the squared length of d;
    - "nap", normalised aggregation: the squared length of (d - m) V / s, with m the mean of d over the
      training samples and U s V' the singular value decomposition of the training samples' d - m. Up to the
      factor n - 1 this is the squared Mahalanobis distance of d.

    Directions in which d hardly varies would be divided by almost nothing, so those with a singular value
    under `relative_cutoff` times the largest are left out.

    Source: Kim et al., RaPP: Novelty Detection with Reconstruction along Projection Pathway, ICLR 2020.

    Args:
        autoencoder: a trained Keras model with a sub-model named "encoder", or any function from a batch to
            its reconstruction (then give `activations`). It gets the samples as they are. None trains a small
            dense autoencoder on the samples of `fit`, which it scales itself, see `OwnNetwork`; h_0 is then
            the scaled sample.
        kind: "sap" or "nap".
        start_layer: first stage that counts; 0 is the input itself.
        activations: function from a batch to its list of activations h_1, h_2, ...; None takes
            `encoder_activations(autoencoder.get_layer("encoder"))`.
        relative_cutoff: for "nap"; from 1e-7, the precision of the networks' float32 activations, to below 1.
        epochs: how often the network of its own sees each sample.
        false_alarm_rate, held_out_share, random_state: see `AnomalyDetector`.

    Attributes:
        network_: the network that reconstructs: the one given, or its own as a Keras model of scaled samples.
        rank_: for "nap", how many directions count.
    """

    def __init__(
        self,
        autoencoder: Network | None = None,
        kind: str = "sap",
        start_layer: int = 0,
        activations: Callable[[NDArray[Any]], Sequence[ArrayLike]] | None = None,
        relative_cutoff: float = 1e-5,
        *,
        epochs: int = 10,
        false_alarm_rate: float = 0.05,
        held_out_share: float = 0.2,
        random_state: RandomState = 0,
    ) -> None:
        super().__init__(
            false_alarm_rate=false_alarm_rate, held_out_share=held_out_share, random_state=random_state
        )
        self.autoencoder = autoencoder
        self.kind = kind
        self.start_layer = start_layer
        self.activations = activations
        self.relative_cutoff = relative_cutoff
        self.epochs = epochs

    def _fit(self, X: Samples) -> None:
        check_choice(self.kind, "kind", ("sap", "nap"))
        check_count(self.start_layer, "start_layer", least=0)
        if check_fraction(self.relative_cutoff, "relative_cutoff") < 1e-7:
            raise ValueError(
                "relative_cutoff must be at least 1e-7, the precision of float32, "
                f"not {self.relative_cutoff!r}."
            )
        self._own: OwnNetwork | None = None
        if self.autoencoder is not None:
            self._activations = self._find_activations()
        elif self.activations is None:
            self._own = OwnNetwork(X, self.epochs, self.random_state)
        else:
            raise ValueError("activations belong to an autoencoder: give it too, or leave out both.")
        self.network_: Any = self._own.model if self._own else self.autoencoder
        width = next(self._differences(X[:1])).shape[1]
        if self.kind == "nap":
            self._fit_normalisation(X, width)

    def _fit_normalisation(self, X: Samples, width: int) -> None:
        """Learn the mean of d and the directions in which it varies."""
        check_count(len(X), "The number of normal samples", least=2)
        if width > _MOST_VALUES:
            raise ValueError(
                f"kind 'nap' would compare {width} values per sample; more than {_MOST_VALUES} take too "
                "much memory. Raise start_layer to leave out the widest layers, or take kind 'sap'."
            )
        # float64: squaring the matrix squares the spread of its singular values.
        d = np.concatenate(list(self._differences(X))).astype(np.float64)
        self._mean: NDArray[np.float64] = d.mean(axis=0)
        d -= self._mean
        # Differences this small are rounding errors of the networks' float32 activations.
        if np.abs(d).max() <= 1e-7 * np.abs(self._mean).max():
            raise ValueError(
                "All normal samples have the same reconstruction error, so kind 'nap' cannot normalise it; "
                "take kind 'sap' or more varied samples."
            )
        solver = "covariance_eigh" if len(d) >= width else "full"
        pca = PCA(svd_solver=solver).fit(d)
        kept = pca.singular_values_ > self.relative_cutoff * pca.singular_values_[0]
        self.rank_ = int(kept.sum())
        self._projection: NDArray[np.float64] = pca.components_[kept].T / pca.singular_values_[kept]

    def _score(self, X: Samples) -> NDArray[np.float64]:
        scores: list[NDArray[np.float64]] = []
        for d in self._differences(X):
            if self.kind == "nap":
                d = (d - self._mean) @ self._projection
            scores.append(np.einsum("ij,ij->i", d, d, dtype=np.float64))
        return np.concatenate(scores)

    def _rounding(self) -> float:
        return super()._rounding() if self._own else FLOAT32_ROUNDING

    def _find_activations(self) -> Network:
        if self.activations is not None:
            return self.activations
        if not isinstance(self.autoencoder, keras.Model):
            raise ValueError(
                "autoencoder is a plain function, so the activations of its encoder are unknown; "
                "pass `activations`, a function from a batch to its list of activations."
            )
        try:
            encoder = self.autoencoder.get_layer("encoder")
        except ValueError:
            raise ValueError(
                "The autoencoder has no sub-model named 'encoder'; build one with keras.Model(..., "
                "name='encoder') or keras.Sequential(..., name='encoder'), or pass `activations`."
            ) from None
        return encoder_activations(encoder)

    def _differences(self, X: Samples, batch_size: int = 4096) -> Iterator[NDArray[Any]]:
        """Yield d for successive batches of `X`, shape (batch, values): all of it at once may not fit."""
        for start in range(0, len(X), batch_size):
            pairs = self._pairs(X[start : start + batch_size])
            if self.start_layer >= len(pairs):
                raise ValueError(
                    f"start_layer is {self.start_layer}, but this encoder has stages 0 (the input) to "
                    f"{len(pairs) - 1} (the code)."
                )
            yield np.concatenate([flat(h - h_copy) for h, h_copy in pairs[self.start_layer :]], axis=1)

    def _pairs(self, X: Samples) -> list[tuple[NDArray[Any], NDArray[Any]]]:
        """Return (h_i(x), h_i(x')) for every stage i from 0 on."""
        if self._own:
            scaled = self._own.scaled(X)
            copy = self._own.reconstruct_scaled(scaled)
            stages, copied_stages = self._own.stages_of_scaled(scaled), self._own.stages_of_scaled(copy)
            return [(scaled, copy), *zip(stages, copied_stages, strict=True)]
        copy = reconstruct(self.network_, X)
        return [(X, copy), *zip(self._hidden(X), self._hidden(copy), strict=True)]

    def _hidden(self, X: NDArray[Any]) -> list[NDArray[Any]]:
        hidden = predict_in_batches(self._activations, X)
        return hidden if isinstance(hidden, list) else [hidden]
