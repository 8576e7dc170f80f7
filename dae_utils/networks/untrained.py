"""The untrained network: the baseline that says what the architecture does without any learning."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np

__all__ = ["untrained_copy"]


def untrained_copy(model: keras.Model, seed: int = 0) -> keras.Model:
    """Return a network like a given one with new random weights; the given one stays as it is.

    Weights are drawn by the layers' own initialisers, as they were before training. What a layer learnt
    without training, such as the mean of a `Normalization` layer, is gone too.

    Args:
        model: a Sequential or functional model, its parts may be models themselves.
        seed: decides the weights; the random state of Keras and NumPy is neither used nor changed.

    Returns:
        A model of the same class and names; where the given one has the attributes ``encoder`` and
        ``decoder``, so has the copy.

    Raises:
        ValueError: a model that cannot be made from its configuration, such as a subclassed one.
    """
    generator = np.random.default_rng(seed)
    try:
        copy = type(model).from_config(_seeded(model.get_config(), generator))
    except (NotImplementedError, TypeError) as error:
        raise ValueError(
            "this model cannot be made again from its configuration: "
            "build it as a Sequential or functional model."
        ) from error
    if not copy.built and model.built:
        copy.build(model.input_shape)
    for part in ("encoder", "decoder"):
        if hasattr(model, part):
            setattr(copy, part, copy.get_layer(part))
    return copy


def _seeded(config: Any, generator: np.random.Generator) -> Any:
    """Return a configuration in which every seed, of initialisers above all, is a new one."""
    if isinstance(config, dict):
        return {
            key: int(generator.integers(2**31))
            if key == "seed" and not isinstance(value, dict)
            # A SeedGenerator holds its seed one level below.
            else _seeded(value, generator)
            for key, value in config.items()
        }
    if isinstance(config, (list, tuple)):
        return type(config)(_seeded(value, generator) for value in config)
    return config
