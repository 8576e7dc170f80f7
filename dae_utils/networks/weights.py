"""Weights at the start, drawn from a generator that is given."""

from __future__ import annotations

import keras
import numpy as np

__all__ = ["draw_weights"]


def draw_weights(network: keras.Model, random: np.random.RandomState) -> None:
    """Replace the weights of a network of dense layers by random ones, as they are before training.

    Uniform as Keras draws them by default (Glorot and Bengio, AISTATS 2010), and biases of 0; but from the
    given generator alone, so that Keras's own random state neither matters nor changes.

    Args:
        network: a model of dense layers; it is changed.
        random: the generator, which moves on.
    """
    drawn = []
    for weights in network.get_weights():
        limit = np.sqrt(6 / sum(weights.shape)) if weights.ndim == 2 else 0.0
        drawn.append(random.uniform(-limit, limit, weights.shape).astype(np.float32))
    network.set_weights(drawn)
