"""How to look inside a network: run it in batches, and take the activations of its encoder stage by stage.

Nothing here trains, scores or reads data.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

import keras
import numpy as np
from numpy.typing import ArrayLike, NDArray

from dae_utils.validation import check_batch, check_count, check_same_shape

__all__ = [
    "Network",
    "check_model",
    "codes",
    "encoder_activations",
    "fits",
    "predict_in_batches",
    "reconstruct",
    "shown",
]

# A Keras model, or any function from a batch to an array or to a list of arrays.
Network: TypeAlias = keras.Model | Callable[[NDArray[Any]], Any]

# Layers that rescale what the layer before them computed; they belong to that layer's stage of the encoder.
_RESCALING_LAYERS = (
    keras.layers.BatchNormalization,
    keras.layers.GroupNormalization,
    keras.layers.LayerNormalization,
    keras.layers.Normalization,
    keras.layers.PReLU,
)


def check_model(model: object) -> None:
    """Raise `TypeError` unless `model` is a Keras model; of a detector, say what its own is there for."""
    if not isinstance(model, keras.Model):
        way_out = (
            " (a detector trains in its own fit; a network that it trained is in .network_ to look at, and "
            "its scores come from a copy)"
        )
        raise TypeError(
            f"model must be a Keras model, not {type(model).__name__}"
            f"{way_out if hasattr(model, 'anomaly_score') else ''}."
        )


def fits(given: tuple[int, ...], wanted: tuple[int | None, ...]) -> bool:
    """Return whether a shape is the wanted one, in which None stands for any size."""
    return len(given) == len(wanted) and all(w is None or g == w for g, w in zip(given, wanted, strict=True))


def shown(shape: tuple[int | None, ...]) -> str:
    """Return a shape in words, with "any" for None."""
    return str(tuple("any" if size is None else size for size in shape)).replace("'", "")


def predict_in_batches(
    model: Network, x: ArrayLike, batch_size: int = 1024
) -> NDArray[Any] | list[NDArray[Any]]:
    """Return what `model` makes of `x`, in inference mode (no dropout, no noise, fixed batch statistics).

    The same numbers as `model.predict`, at less cost for each call. The arithmetic is float32: what comes out
    for a sample may differ in its last digit (1e-7 of it) with the batch that the sample is in.

    Args:
        model: a Keras model, or any function from a batch to an array (or to a list of arrays).
        x: shape (n, ...), any finite numbers, turned into float32.
        batch_size: samples per call, which bounds the memory used.

    Returns:
        Shape (n, ...) as the model's output; for a model with several outputs, a list of such arrays.

    Raises:
        ValueError: bad input, samples of another shape than the model takes, or a model that gives NaN (its
            training has diverged).
        TypeError: `model` is neither a Keras model nor a function, such as a name or a class.
    """
    _check_callable(model)
    x = check_batch(x).astype(np.float32, copy=False)
    batch_size = check_count(batch_size, "batch_size")
    # The model is called directly: `predict` sets up a data pipeline in each call, and `predict_on_batch` of
    # each new model is first traced, which takes longer than scoring a test set and makes TensorFlow warn.
    pieces = [_run(model, x[start : start + batch_size]) for start in range(0, len(x), batch_size)]
    if isinstance(pieces[0], (list, tuple)):
        return [_join(parts) for parts in zip(*pieces, strict=True)]
    return _join(pieces)


def _check_callable(model: object) -> None:
    if isinstance(model, type):
        raise TypeError(
            f"the network must be a Keras model or a function of a batch, not the class {model.__name__}: "
            "make an object of it, and train it."
        )
    if not callable(model):
        raise TypeError(
            f"the network must be a Keras model or a function of a batch, not {type(model).__name__}: give "
            "the trained model itself."
        )


def _run(model: Network, batch: NDArray[Any]) -> Any:
    """Return what a network makes of one batch; say in one line that samples have the wrong shape."""
    if not isinstance(model, keras.Model):
        return model(batch)
    try:
        return model(batch, training=False)
    except Exception:
        # Asked only now, because Keras itself adds or removes a last axis of 1.
        wanted = getattr(model, "input_shape", None) if model.built else None
        if not isinstance(wanted, tuple) or fits(batch.shape[1:], wanted[1:]):
            raise
        raise ValueError(
            f"the network takes samples of shape {shown(wanted[1:])}, but x holds samples of shape "
            f"{batch.shape[1:]}: reshape x, or give the network another keras.Input."
        ) from None


def _join(pieces: Sequence[ArrayLike]) -> NDArray[Any]:
    """Return the outputs for successive batches as one array, after a check that they are finite."""
    joined = np.concatenate([keras.ops.convert_to_numpy(piece) for piece in pieces])
    if not np.isfinite(joined).all():
        raise ValueError(
            "The model's output holds NaN or infinite values: its training has diverged. "
            "Train it again with a smaller learning rate and look at the loss."
        )
    return joined


def reconstruct(autoencoder: Network, x: ArrayLike) -> NDArray[Any]:
    """Return the autoencoder's reconstruction of `x`, after a check that it has the shape of `x`.

    Args:
        autoencoder: a Keras model, or any function from a batch to its reconstruction.
        x: shape (n, ...), turned into float32.

    Returns:
        Shape of `x`.

    Raises:
        ValueError: several outputs, another shape than that of `x`, or NaN.
    """
    reconstruction = predict_in_batches(autoencoder, x)
    if isinstance(reconstruction, list):
        raise ValueError(
            f"The autoencoder gives {len(reconstruction)} outputs; a score needs the reconstruction alone. "
            "Build a model with that one output."
        )
    check_same_shape(np.asarray(x), reconstruction, "x", "the reconstruction")
    return reconstruction


def codes(encoder: Network, x: ArrayLike) -> NDArray[np.float64]:
    """Return the codes of `x` as a matrix, shape (n, values per code).

    Args:
        encoder: a Keras model, or any function from a batch to its codes.
        x: shape (n, ...), turned into float32.

    Raises:
        ValueError: several outputs, or NaN.
    """
    found = predict_in_batches(encoder, x)
    if isinstance(found, list):
        raise ValueError(
            f"The encoder gives {len(found)} outputs; a score in the code needs one. "
            "Build a model with the code as its only output."
        )
    return found.reshape(len(found), -1).astype(np.float64)


def encoder_activations(encoder: keras.Model) -> keras.Model:
    """Return a model that gives the activations of every stage of `encoder`, from the input towards the code.

    A stage is one layer with a kernel (dense, convolutional, recurrent, or a model inside the encoder) and
    what follows it up to the next such layer: normalisation, activation, pooling. Its activation is what it
    hands on, that is, h_1, h_2, ... in the notation of RaPP (Kim et al., ICLR 2020).

    Args:
        encoder: a Sequential or functional Keras model.

    Returns:
        A model with a list of outputs, one for each stage; it shares the encoder's weights.

    Raises:
        ValueError: an encoder written as a class of its own (its layers cannot be listed in order), or one
            without any layer that has weights.
    """
    if not (isinstance(encoder, keras.Model) and getattr(encoder, "inputs", None)):
        raise ValueError(
            "The activations of this encoder cannot be listed: build it with keras.Sequential and an Input, "
            "or the functional interface, or pass `activations`, a function from a batch to its activations."
        )
    layers: list[keras.Layer] = []
    outputs: list[keras.KerasTensor] = []

    def record(layer: keras.Layer, *inputs: keras.KerasTensor, **settings: Any) -> keras.KerasTensor:
        layers.append(layer)
        outputs.append(layer(*inputs, **settings))
        return outputs[-1]

    # The encoder's graph built once more from the same layers, so the weights stay shared. A layer's own
    # `output` would not do: it belongs to the first model that used the layer, which may be another one.
    if isinstance(encoder, keras.Sequential):
        tensor = start = keras.Input(encoder.inputs[0].shape[1:])
        for layer in encoder.layers:
            tensor = record(layer, tensor)
    else:
        start = keras.tree.map_structure(lambda tensor: keras.Input(tensor.shape[1:]), encoder.input)
        keras.models.clone_model(
            encoder, input_tensors=start, clone_function=lambda layer: layer, call_function=record
        )
    begins = [
        number
        for number, layer in enumerate(layers)
        if layer.count_params() and not isinstance(layer, _RESCALING_LAYERS)
    ]
    if not begins:
        raise ValueError("The encoder has no layer with weights, so it has no activations to compare.")
    ends = [*(number - 1 for number in begins[1:]), len(layers) - 1]
    return keras.Model(start, [outputs[number] for number in ends], name="encoder_activations")
