"""Keras networks as plain data, so that a network can be looked at where it was not made.

A description has the kind of model, its configuration, and its weights as arrays. Keras would import whatever
a configuration names; here only Keras's own layers with nothing of a user's inside are made again.
"""

from __future__ import annotations

import sys
from typing import Any

from tools.coursework.wire import WireError

_LAYERS = """Activation ActivityRegularization Add AlphaDropout Average AveragePooling1D AveragePooling2D
    BatchNormalization CenterCrop Concatenate Conv1D Conv1DTranspose Conv2D Conv2DTranspose Cropping1D
    Cropping2D Dense DepthwiseConv2D Dropout ELU Flatten GaussianDropout GaussianNoise GlobalAveragePooling1D
    GlobalAveragePooling2D GlobalMaxPooling1D GlobalMaxPooling2D GroupNormalization Identity InputLayer
    LayerNormalization LeakyReLU Maximum MaxPooling1D MaxPooling2D Minimum Multiply Normalization Permute
    PReLU ReLU RepeatVector Rescaling Reshape SeparableConv2D Softmax SpatialDropout1D SpatialDropout2D
    Subtract
    UnitNormalization UpSampling1D UpSampling2D ZeroPadding1D ZeroPadding2D"""
_INITIALIZERS = """Constant GlorotNormal GlorotUniform HeNormal HeUniform Identity LecunNormal LecunUniform
Ones
    Orthogonal RandomNormal RandomUniform TruncatedNormal VarianceScaling Zeros"""
_ALLOWED = {
    **dict.fromkeys(_INITIALIZERS.split(), "keras.initializers"),
    **dict.fromkeys(["L1", "L2", "L1L2"], "keras.regularizers"),
    **dict.fromkeys(["MaxNorm", "MinMaxNorm", "NonNeg", "UnitNorm"], "keras.constraints"),
    **dict.fromkeys(_LAYERS.split(), "keras.layers"),
    **dict.fromkeys(["DTypePolicy", "Sequential"], "keras"),
    "Functional": "keras.src.models.functional",
    "__keras_tensor__": None,
}
_MODELS = ("Functional", "Sequential")


def describe(value: Any) -> dict[str, Any] | None:
    """Return the description of a network, None for anything else.

    Raises:
        WireError: it is a network, but not one of Keras's own layers alone.
    """
    keras = sys.modules.get("keras")
    if keras is None or not isinstance(value, keras.Model):
        return None
    kind = type(value).__name__
    if kind not in _MODELS or not type(value).__module__.startswith("keras."):
        raise WireError(
            f"{kind} is a class of your own: build a keras.Sequential or keras.Model of Keras's layers"
        )
    try:
        config = value.get_config()
    except Exception as error:
        raise WireError("this network cannot be described: use Keras's own layers only") from error
    return {"kind": kind, "config": _checked(config), "weights": [*map(_numbers, value.weights)]}


def _numbers(weight: Any) -> Any:
    import numpy as np

    return np.asarray(weight.numpy() if hasattr(weight, "numpy") else weight)


def _checked(part: Any, depth: int = 0) -> Any:
    """Return a configuration with nothing in it but what this module knows.

    Raises:
        WireError: something else is in it.
    """
    if depth > 20:
        raise WireError("this network is nested too deeply")
    if isinstance(part, list | tuple):
        return [_checked(value, depth + 1) for value in part]
    if not isinstance(part, dict):
        if part is not None and not isinstance(part, bool | int | float | str):
            part = part.item() if getattr(part, "ndim", None) == 0 else str(part)
        return part
    kept = {
        str(key): _checked(value, depth + 1)
        for key, value in part.items()
        if key not in ("build_config", "compile_config", "module", "registered_name")
    }
    if "class_name" in kept or "module" in part:
        name = kept.get("class_name")
        if name not in _ALLOWED:
            raise WireError(
                f"a network may have Keras's own layers only, and {name!r} is not among those known here"
            )
        if _ALLOWED[name]:
            kept |= {"module": _ALLOWED[name], "registered_name": None}
        if name == "Identity" and isinstance(part.get("module"), str) and "layers" in part["module"]:
            kept["module"] = "keras.layers"
    return kept


def rebuild(description: Any) -> Any:
    """Return the Keras model of a description.

    Raises:
        WireError: it is not the description of a network.
    """
    import keras

    try:
        kind = description["kind"]
        if kind not in _MODELS:
            raise WireError("what came is not a network of Keras's layers")
        config = {
            "module": "keras",
            "class_name": kind,
            "config": description["config"],
            "registered_name": None,
        }
        network = keras.saving.deserialize_keras_object(_checked(config), safe_mode=True)
        if not network.built:
            return network
        network.set_weights(description["weights"])
    except WireError:
        raise
    except Exception as error:
        raise WireError("what came is not a network that can be built again") from error
    return network
