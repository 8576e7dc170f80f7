"""The detector of the book's first chapters: anomalies are what an autoencoder reconstructs badly.

Nothing here sees a label. The errors themselves are in `errors`.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from dae_utils.detection.base import AnomalyDetector, RandomState
from dae_utils.detection.errors import reconstruction_error
from dae_utils.detection.own_network import FLOAT32_ROUNDING, OwnNetwork
from dae_utils.networks.inner import Network, reconstruct
from dae_utils.validation import Samples, check_choice

__all__ = ["ReconstructionDetector"]


class ReconstructionDetector(AnomalyDetector):
    """Anomalies are what the autoencoder reconstructs badly.

    Args:
        autoencoder: a trained Keras model, or any function from a batch to its reconstruction. It gets the
            samples as they are, so give them in the scale that it was trained with, and give other samples
            than those that it was trained on. None trains a small dense autoencoder on the samples of `fit`,
            which it scales itself, see `OwnNetwork`.
        kind: "squared" or "absolute" error, see `reconstruction_error`.
        epochs: how often the network of its own sees each sample.
        false_alarm_rate, held_out_share, random_state: see `AnomalyDetector`.

    Attributes:
        network_: the network that reconstructs: the one given, or its own as a Keras model of scaled samples.
    """

    def __init__(
        self,
        autoencoder: Network | None = None,
        kind: str = "squared",
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
        self.epochs = epochs

    def _fit(self, X: Samples) -> None:
        check_choice(self.kind, "kind", ("squared", "absolute"))
        self._own: OwnNetwork | None = None
        if self.autoencoder is None:
            self._own = OwnNetwork(X, self.epochs, self.random_state)
        else:
            # Nothing to learn: the network is trained. Fails now rather than later when it does not fit.
            reconstruct(self.autoencoder, X[:1])
        self.network_: Any = self._own.model if self._own else self.autoencoder

    def _score(self, X: Samples) -> NDArray[np.float64]:
        reconstruction = self._own(X) if self._own else reconstruct(self.network_, X)
        return reconstruction_error(X, reconstruction, kind=self.kind)

    def _rounding(self) -> float:
        return super()._rounding() if self._own else FLOAT32_ROUNDING
