"""Trained networks written to a file that a page of the book can compute with, without a server.

A chapter hands over a network, the arrays a reader may play with and a few numbers; the page's own script
reads them and runs the network in the browser. The file is a script with one call, since a page opened from a
folder may load scripts from beside it but nothing else.
"""

from __future__ import annotations

import base64
import json
import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras
import numpy as np
from keras import layers
from numpy.typing import ArrayLike, NDArray

from dae_utils.data.storage import atomic_write
from dae_utils.profiles import Profile

__all__ = ["LiveFile", "export", "keras_model", "load", "round_weights"]

_NAME = re.compile(r"\d\d_[a-z0-9_]+")
_CALL = re.compile(r'daeLive\.add\("(?P<name>[a-z0-9_]+)", (?P<content>\{.*\})\);\n', re.DOTALL)
_DTYPES = ("float16", "float32", "uint8", "int16")
_ACTIVATIONS = ("linear", "relu", "elu", "sigmoid", "tanh")


@dataclass(frozen=True)
class LiveFile:
    """What one file holds.

    Attributes:
        layers: one mapping a layer, in order: its ``kind`` ("dense", "conv", "conv_transpose", "reshape" or
            "flatten") with ``weights``, ``bias``, ``activation``, ``strides`` or ``shape`` as it needs them.
        arrays: whatever else the page shows, such as images.
        numbers: such as a threshold.
        texts: such as the names of classes.
        input_shape: the shape of one sample, or () without layers.
    """

    layers: list[dict[str, Any]]
    arrays: dict[str, NDArray[Any]]
    numbers: dict[str, float]
    texts: dict[str, str]
    input_shape: tuple[int, ...]


def round_weights(model: keras.Model) -> keras.Model:
    """Round the weights of a model to half precision, in place, and return it.

    Half precision keeps three decimal digits and halves what a reader has to load. The model computes with
    the rounded weights from then on, so that a score or a threshold worked out afterwards is the page's too.

    Raises:
        ValueError: a weight that is not finite, or is too large for half precision (beyond 65504).
    """
    with np.errstate(over="ignore"):  # checked in the next line
        rounded = [weights.astype(np.float16) for weights in _finite(model)]
    if not all(np.isfinite(weights).all() for weights in rounded):
        raise ValueError("A weight is beyond 65504, the largest number of half precision.")
    model.set_weights([weights.astype(np.float32) for weights in rounded])
    return model


def export(
    name: str,
    profile: Profile,
    *,
    model: keras.Model | None = None,
    arrays: Mapping[str, ArrayLike] | None = None,
    numbers: Mapping[str, float] | None = None,
    texts: Mapping[str, str] | None = None,
    folder: str | os.PathLike[str] | None = None,
) -> Path:
    """Write a network and what belongs to it to ``live/NAME.js`` beside the notebook, and return the path.

    Args:
        name: the chapter's two digits and a word, such as "01_digit".
        profile: a quick run must not touch what is published and writes below ``_build`` instead.
        model: a chain of dense and convolutional layers, nested ones included, with weights that
            `round_weights` has rounded. None for arrays alone.
        arrays: float16, float32, uint8 or int16.
        numbers, texts: by name.
        folder: where to write instead.

    Raises:
        ValueError: a name of another form, a layer or an activation that the page cannot compute, weights
            that are not rounded, an array of another type, or a number that is not finite.
        OSError: the folder cannot be written or is full; an older file stays as it was.
    """
    if not _NAME.fullmatch(name):
        raise ValueError(f"{name!r} is not a name: write the chapter's digits and a word, as in 01_digit.")
    content: dict[str, object] = {"layers": [], "input_shape": []}
    if model is not None:
        for weights in _finite(model):
            with np.errstate(over="ignore"):
                rounded = weights.astype(np.float16).astype(np.float32)
            if not np.array_equal(rounded, weights):
                raise ValueError("The weights are not rounded: call round_weights(model) first.")
        content["layers"] = [_described(layer) for layer in _chain(model)]
        content["input_shape"] = [int(size) for size in model.input_shape[1:]]
    content["arrays"] = {key: _packed(key, np.asarray(value)) for key, value in (arrays or {}).items()}
    given = {key: float(value) for key, value in (numbers or {}).items()}
    content["numbers"] = given
    if not np.isfinite(list(given.values())).all():
        raise ValueError(f"{name}: a number is not finite.")
    content["texts"] = dict(texts or {})
    if folder is None:
        folder = "live" if profile.name == "full" else os.path.join("..", "_build", "quick_live")
    path = Path(folder) / f"{name}.js"
    path.parent.mkdir(parents=True, exist_ok=True)
    with atomic_write(path) as file:
        text = json.dumps(content, ensure_ascii=False, separators=(",", ":"))
        file.write(f'daeLive.add("{name}", {text});\n'.encode())
    return path


def load(path: str | os.PathLike[str]) -> LiveFile:
    """Return what `export` wrote.

    Raises:
        ValueError: the file is not one that `export` writes, or is cut short.
    """
    match = _CALL.fullmatch(Path(path).read_text(encoding="utf-8"))
    try:
        content = json.loads(match["content"] if match else "")
        unpacked = [
            {key: _unpacked(value) if isinstance(value, dict) else value for key, value in layer.items()}
            for layer in content["layers"]
        ]
        arrays = {key: _unpacked(value) for key, value in content["arrays"].items()}
        shape = tuple(content["input_shape"])
        return LiveFile(unpacked, arrays, content["numbers"], content["texts"], shape)
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(f"{path} is not a live model, or is cut short: run its chapter again.") from error


def keras_model(live: LiveFile) -> keras.Model:
    """Return the network of a file as a Keras model, for a comparison with what the page computes.

    Raises:
        ValueError: the file has no network.
    """
    if not live.layers:
        raise ValueError("This file holds no network.")
    made = [_layer_of(described) for described in live.layers]
    model = keras.Sequential([keras.Input(live.input_shape), *made])
    for layer, described in zip(made, live.layers, strict=True):
        if "weights" in described:
            layer.set_weights([described[part].astype(np.float32) for part in ("weights", "bias")])
    return model


def _layer_of(described: Mapping[str, Any]) -> layers.Layer:
    kind = described["kind"]
    if kind == "flatten":
        return layers.Flatten()
    if kind == "reshape":
        return layers.Reshape(described["shape"])
    activation, shape = described["activation"], described["weights"].shape
    if kind == "dense":
        return layers.Dense(shape[1], activation=activation)
    make = {"conv": layers.Conv2D, "conv_transpose": layers.Conv2DTranspose}[kind]
    filters = shape[3] if kind == "conv" else shape[2]
    strides = tuple(described["strides"])
    return make(filters, shape[:2], strides=strides, padding="same", activation=activation)


def _finite(model: keras.Model) -> list[NDArray[Any]]:
    weights: list[NDArray[Any]] = model.get_weights()
    if not all(np.isfinite(array).all() for array in weights):
        raise ValueError("The model has weights that are not finite: train it again.")
    return weights


def _chain(model: keras.Model) -> Iterator[layers.Layer]:
    for layer in model.layers:
        # Encoder and decoder are often models of their own, of either kind.
        if isinstance(layer, keras.Model):
            yield from _chain(layer)
        elif not isinstance(layer, layers.InputLayer):
            yield layer


def _described(layer: layers.Layer) -> dict[str, object]:
    if isinstance(layer, layers.Flatten):
        return {"kind": "flatten"}
    if isinstance(layer, layers.Reshape):
        return {"kind": "reshape", "shape": [int(size) for size in layer.target_shape]}
    # Subclasses, such as a depthwise convolution, compute something else.
    kind = {layers.Dense: "dense", layers.Conv2D: "conv", layers.Conv2DTranspose: "conv_transpose"}
    if type(layer) not in kind:
        raise ValueError(f"the page cannot compute a layer of the type {type(layer).__name__}.")
    described: dict[str, object] = {"kind": kind[type(layer)], "activation": layer.activation.__name__}
    if described["activation"] not in _ACTIVATIONS:
        raise ValueError(f"{described['activation']!r}: the page knows {', '.join(_ACTIVATIONS)}.")
    if not layer.use_bias:
        raise ValueError(f"the layer {layer.name!r} has no bias, and the page expects one.")
    if described["kind"] != "dense":
        if layer.padding != "same" or set(layer.dilation_rate) != {1} or getattr(layer, "groups", 1) != 1:
            raise ValueError(f"the layer {layer.name!r} must have padding 'same', one group and no dilation.")
        if layer.data_format != "channels_last":
            raise ValueError(f"the layer {layer.name!r} must have its channels last.")
        described["strides"] = [int(step) for step in layer.strides]
    kernel, bias = (array.astype(np.float16) for array in layer.get_weights())
    return described | {"weights": _packed("weights", kernel), "bias": _packed("bias", bias)}


def _packed(name: str, array: NDArray[Any]) -> dict[str, object]:
    if array.dtype.name not in _DTYPES:
        raise ValueError(f"{name} is {array.dtype}; convert it to one of {', '.join(_DTYPES)}.")
    if array.dtype.kind == "f" and not np.isfinite(array).all():
        raise ValueError(f"{name} holds NaN or infinite values.")
    little = np.ascontiguousarray(array, array.dtype.newbyteorder("<"))
    data = base64.b64encode(little.tobytes()).decode()
    return {"dtype": array.dtype.name, "shape": list(array.shape), "data": data}


def _unpacked(packed: Mapping[str, Any]) -> NDArray[Any]:
    dtype = np.dtype(packed["dtype"]).newbyteorder("<")
    flat = np.frombuffer(base64.b64decode(packed["data"]), dtype)
    return flat.reshape(packed["shape"]).astype(packed["dtype"])
