"""A model read as a chain of plain layers, from its public configuration. Nothing here computes."""

from __future__ import annotations

from typing import Any

import keras
from keras import layers

__all__ = ["plain_chain_of"]

# Layers that compute a function of their weights and of one sample at a time, and nothing else: no state, no
# random numbers, no statistics over the batch.
_PLAIN_LAYERS = {
    layers.Activation,
    layers.AveragePooling2D,
    layers.Conv2D,
    layers.Conv2DTranspose,
    layers.Cropping2D,
    layers.Dense,
    layers.DepthwiseConv2D,
    layers.ELU,
    layers.Flatten,
    layers.GlobalAveragePooling2D,
    layers.GlobalMaxPooling2D,
    layers.InputLayer,
    layers.LayerNormalization,
    layers.LeakyReLU,
    layers.MaxPooling2D,
    layers.PReLU,
    layers.Permute,
    layers.ReLU,
    layers.Reshape,
    layers.SeparableConv2D,
    layers.UpSampling2D,
    layers.ZeroPadding2D,
}


def plain_chain_of(model: keras.Model) -> list[keras.Layer] | None:
    """Return the layers of a model in the order of their application, if that is all there is to the model.

    Args:
        model: a built Keras model, which may contain others.

    Returns:
        The layers, if each takes what the one before it returns, and all are plain functions of trainable
        weights in float32, channels last, without penalties or constraints; otherwise None.
    """
    chain = _chain_of(model)
    if chain is None or not all(_is_plain(layer) for layer in chain):
        return None
    # One variable per place: a model that uses a layer twice has fewer variables than its chain has places.
    if len({id(layer) for layer in chain if layer.weights}) < sum(bool(layer.weights) for layer in chain):
        return None
    if len(model.variables) != len(model.trainable_variables):
        return None  # a frozen layer
    return chain


def _chain_of(model: keras.Model) -> list[keras.Layer] | None:
    if isinstance(model, keras.Sequential):
        applied = list(model.layers)
    elif type(model).__name__ == "Functional":
        names = _names_in_a_row(model)
        if names is None:
            return None
        found = [model.get_layer(name) for name in names]
        applied = [layer for layer in found if not isinstance(layer, layers.InputLayer)]
    else:
        return None  # a class of the reader's own, which may do anything
    chain = []
    for layer in applied:
        part = _chain_of(layer) if isinstance(layer, keras.Model) else [layer]
        if part is None:
            return None
        chain += part
    return chain


def _names_in_a_row(model: keras.Model) -> list[str] | None:
    """Return the names of the layers of a functional model in their order, or None if it is no chain."""
    try:
        config = model.get_config()
    except (NotImplementedError, TypeError, ValueError):
        return None  # a layer of the reader's own that cannot be written down
    following: dict[str, str] = {}
    first = None
    for layer in config["layers"]:
        nodes = layer["inbound_nodes"]
        if not nodes:
            if first is not None:
                return None  # a second input
            first = layer["name"]
            continue
        tensors = _tensors_in(nodes)
        if len(nodes) != 1 or len(tensors) != 1 or tensors[0] in following:
            return None  # used twice, several inputs, or a branch
        following[tensors[0]] = layer["name"]
    names = [first] if first is not None else []
    while names and names[-1] in following:
        names.append(following[names[-1]])
    are_layers = all(isinstance(operation, keras.Layer) for operation in model.operations)
    return names if are_layers and len(names) == len(config["layers"]) else None


def _tensors_in(config: Any) -> list[str]:
    """Return the names of the layers whose outputs stand anywhere in a configuration."""
    if isinstance(config, dict):
        if config.get("class_name") == "__keras_tensor__":
            return [config["config"]["keras_history"][0]]
        return [name for value in config.values() for name in _tensors_in(value)]
    if isinstance(config, (list, tuple)):
        return [name for value in config for name in _tensors_in(value)]
    return []


def _is_plain(layer: keras.Layer) -> bool:
    if type(layer) not in _PLAIN_LAYERS or layer.compute_dtype != "float32" or layer.losses:
        return False
    config = layer.get_config()
    if config.get("data_format") == "channels_first":
        return False
    return all(
        value is None for key, value in config.items() if key.endswith(("_regularizer", "_constraint"))
    )
