"""What the layers of Keras are called in a diagram. Nothing here knows models or pictures."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

__all__ = ["FOLDABLE", "TIMES", "activation_of", "operation_of"]

TIMES = "\N{MULTIPLICATION SIGN}"

_ACTIVATIONS = {
    "relu": "ReLU",
    "elu": "ELU",
    "selu": "SELU",
    "gelu": "GELU",
    "silu": "SiLU",
    "leaky_relu": "leaky ReLU",
    "linear": "",
}

# Layers that an expert would not count: they keep the shape of what comes before them. First words of them.
FOLDABLE = frozenset(
    {
        "dropout",
        "dropout,",
        "noise",
        "batch",
        "layer",
        "ReLU",
        "ELU",
        "GELU",
        "SiLU",
        "SELU",
        "leaky",
        "sigmoid",
        "tanh",
        "softmax",
    }
)


def _size(value: Any) -> str:
    """Return the sides of a window, such as 3 by 3, as one word."""
    sides = value if isinstance(value, list | tuple) else (value,)
    return TIMES.join(str(side) for side in sides)


def _convolution(words: str) -> Callable[[Any], str]:
    def name(layer: Any) -> str:
        strides = max(layer.strides)
        return f"{words} {_size(layer.kernel_size)}" + (f" stride {strides}" if strides > 1 else "")

    return name


def _window(words: str, attribute: str) -> Callable[[Any], str]:
    return lambda layer: f"{words} {_size(getattr(layer, attribute))}"


def _fixed(words: str) -> Callable[[Any], str]:
    return lambda layer: words


_OPERATIONS: dict[str, Callable[[Any], str]] = {
    "Dense": _fixed("dense"),
    "Flatten": _fixed("flatten"),
    "Reshape": _fixed("reshape"),
    "Dropout": lambda layer: f"dropout {layer.rate:g}",
    "SpatialDropout2D": lambda layer: f"dropout {layer.rate:g}",
    "GaussianNoise": lambda layer: f"noise \N{GREEK SMALL LETTER SIGMA} = {layer.stddev:g}",
    "GaussianDropout": lambda layer: f"dropout, Gaussian {layer.rate:g}",
    "BatchNormalization": _fixed("batch normalisation"),
    "LayerNormalization": _fixed("layer normalisation"),
    "Activation": lambda layer: _activation_word(layer) or "linear",
    "ReLU": _fixed("ReLU"),
    "Relu": _fixed("ReLU"),
    "LeakyReLU": _fixed("leaky ReLU"),
    "ELU": _fixed("ELU"),
    "Softmax": _fixed("softmax"),
    "MultiHeadAttention": lambda layer: f"{layer.num_heads}-head attention",
    "Concatenate": _fixed("concatenate"),
    "Add": _fixed("add"),
    "Multiply": _fixed("multiply"),
    "Embedding": _fixed("embedding"),
}
for _axes in "123":
    _OPERATIONS |= {
        f"Conv{_axes}D": _convolution("convolution"),
        f"SeparableConv{_axes}D": _convolution("separable convolution"),
        f"Conv{_axes}DTranspose": _convolution("transposed convolution"),
        f"MaxPooling{_axes}D": _window("max-pooling", "pool_size"),
        f"AveragePooling{_axes}D": _window("average-pooling", "pool_size"),
        f"UpSampling{_axes}D": _window("up-sampling", "size"),
        f"GlobalAveragePooling{_axes}D": _fixed("mean of all positions"),
        f"GlobalMaxPooling{_axes}D": _fixed("maximum of all positions"),
    }


def operation_of(layer: Any) -> str:
    """Return what a layer does; a class that is not known here is called by its name: "Draw code"."""
    name = type(layer).__name__
    if name in _OPERATIONS:
        return _OPERATIONS[name](layer)
    words = re.sub(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", " ", name.lstrip("_"))
    return words if words.isupper() else words.lower()


def activation_of(layer: Any) -> tuple[str, ...]:
    """Return the activation of a layer as a tuple of one word, or () for none, or where the layer is one."""
    word = "" if type(layer).__name__ == "Activation" else _activation_word(layer)
    return (word,) if word else ()


def _activation_word(layer: Any) -> str:
    activation = getattr(layer, "activation", None)
    name = getattr(activation, "__name__", "") or getattr(activation, "name", "") or ""
    return _ACTIVATIONS.get(name, name.replace("_", " "))
