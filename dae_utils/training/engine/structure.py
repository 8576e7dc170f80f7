"""Which models compute the same function of their weights, and copies of them. Nothing here trains."""

from __future__ import annotations

import json
from collections.abc import Hashable, Iterator
from typing import Any

import keras

from dae_utils.networks.configuration import without_names

__all__ = ["copy_of", "draws_random_numbers", "has_convolutions", "layers_of", "structure_of"]


def layers_of(model: keras.Model) -> Iterator[keras.Layer]:
    """Yield the layers of a model, those of models within it one by one."""
    for layer in model.layers:
        if isinstance(layer, keras.Model):
            yield from layers_of(layer)
        else:
            yield layer


def has_convolutions(model: keras.Model) -> bool:
    """Return whether a model has a convolutional layer of any kind."""
    return any("Conv" in type(layer).__name__ for layer in layers_of(model))


def draws_random_numbers(model: keras.Model) -> bool:
    """Return whether a model has a state beside its weights, which is that of a random generator."""
    return len(model.variables) != len(model.weights)


def structure_of(model: keras.Model) -> Hashable | None:
    """Return what models that compute the same function of their weights have in common, else None.

    None also for models with a random generator, such as that of a dropout layer: it has to stay the model's
    own.
    """
    is_plain = isinstance(model, keras.Sequential) or type(model).__name__ == "Functional"
    if not is_plain or draws_random_numbers(model):
        return None
    try:
        config = keras.saving.serialize_keras_object(model)
    except (NotImplementedError, TypeError, ValueError):
        return None  # a layer of the reader's own that cannot be written down, hence not copied either
    # The classes themselves, since two of them may have the same name.
    classes = tuple(type(layer) for layer in layers_of(model))
    return json.dumps(without_names(config), default=repr), classes


def copy_of(model: keras.Model) -> keras.Model:
    """Return a copy of a model, with weights of its own.

    The first values of its weights are of no use. They are drawn from a seed of their own, so that no copy
    moves the generator from which the reader's next model gets its weights.
    """

    def copied(layer: keras.Layer) -> keras.Layer:
        return type(layer).from_config(_seeded(layer.get_config()))

    return keras.models.clone_model(model, clone_function=copied)


def _seeded(config: Any) -> Any:
    """Return a configuration in which everything that draws without a seed has one."""
    if isinstance(config, dict):
        return {
            key: 0 if key == "seed" and value is None else _seeded(value) for key, value in config.items()
        }
    if isinstance(config, list):
        return [_seeded(value) for value in config]
    return config
