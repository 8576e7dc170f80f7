"""What `fit` refuses: arrays, networks and settings that cannot be trained. Nothing here trains.

Every refusal is an error of one line that names the argument and the way out.
"""

from __future__ import annotations

import dataclasses
import math
from numbers import Real
from typing import Any

import keras
import numpy as np
from keras import layers
from numpy.typing import ArrayLike, NDArray

from dae_utils.networks.inner import fits, shown
from dae_utils.training.batches import FloatArray, TrainingPairs, check_sigmoid_targets, is_on_disk
from dae_utils.training.trainer import Loss
from dae_utils.validation import check_batch, check_count, check_numbers

__all__ = [
    "check_network",
    "check_pairs",
    "check_settings",
    "check_validation_data",
    "ends_in_sigmoid",
]

# They move values or copy them, so that what was in [0, 1] stays there.
_MOVING_LAYERS = (
    layers.Cropping1D,
    layers.Cropping2D,
    layers.Dropout,  # outside training, which decides what the outputs are
    layers.Flatten,
    layers.MaxPooling2D,
    layers.Permute,
    layers.Reshape,
    layers.UpSampling1D,
    layers.UpSampling2D,
    layers.ZeroPadding1D,
    layers.ZeroPadding2D,
)


def check_settings(
    epochs: int,
    batch_size: int,
    learning_rate: float,
    patience: int | None,
    seed: int,
    has_validation: bool,
    corrupt: object = None,
) -> None:
    """Raise `ValueError` unless the settings of a training are in their range."""
    check_count(epochs, "epochs")
    check_count(batch_size, "batch_size")
    check_count(seed, "seed", least=0)
    if not isinstance(learning_rate, Real) or isinstance(learning_rate, (bool, np.bool_)):
        raise ValueError(
            f"learning_rate must be one number, not {learning_rate!r}: try 5e-3, the default; how it changes "
            "during the training is what schedule says."
        )
    if not 0 < learning_rate < math.inf:
        raise ValueError(
            f"learning_rate must be positive and finite, not {learning_rate}: try 5e-3, the default."
        )
    if corrupt is not None and not callable(corrupt):
        raise ValueError(
            f"corrupt must be a function of (random generator, x), not {corrupt!r}: write one that returns x "
            "with the noise that you want."
        )
    if patience is not None:
        check_count(patience, "patience")
        if not has_validation:
            raise ValueError("patience needs validation data: pass validation_data, or leave patience out.")


def check_pairs(x: ArrayLike, y: ArrayLike | None, x_name: str, y_name: str) -> TrainingPairs:
    """Return inputs and targets as `TrainingPairs` of float32, or as they are where they lie on disk.

    Args:
        x: inputs, shape (n, ...).
        y: targets, shape (n, ...), or None for the inputs themselves.
        x_name: what the inputs are called in an error.
        y_name: what the targets are called in an error.

    Raises:
        ValueError: no numbers, empty, no axis of samples, unscaled pixels, not finite as float32 in memory,
            or not one target for every input.
    """
    inputs = _float32_unless_on_disk(x, x_name)
    targets = inputs if y is None else _float32_unless_on_disk(y, y_name)
    if len(inputs) != len(targets):
        raise ValueError(f"{x_name} has {len(inputs)} samples, but {y_name} has {len(targets)}.")
    return TrainingPairs(inputs, targets, name=x_name if y is None else y_name, inputs_name=x_name)


def check_validation_data(data: ArrayLike | tuple[ArrayLike, ArrayLike | None]) -> TrainingPairs:
    """Return validation data, inputs or a tuple (inputs, targets), as `check_pairs` does.

    Raises:
        ValueError: a list, which may mean either; a tuple of another length; or as for `check_pairs`.
    """
    if isinstance(data, list):
        raise ValueError(
            "validation_data is a list: give one array of inputs, or a tuple (inputs, targets) of two arrays."
        )
    if isinstance(data, tuple) and len(data) != 2:
        raise ValueError(
            f"validation_data has {len(data)} parts: give (inputs, targets) only, since fit takes no sample "
            "weights and every sample counts the same."
        )
    x, y = data if isinstance(data, tuple) else (data, None)
    return check_pairs(x, y, "x of validation_data", "y of validation_data")


def _float32_unless_on_disk(values: ArrayLike, name: str) -> FloatArray:
    """Return values as float32; those on disk as they are, since they are checked when they are read."""
    given = check_numbers(values, name)
    if given.ndim < 2:
        raise ValueError(
            f"{name} has shape {given.shape}, but shape (n, ...) is needed: for one number a sample "
            "write y[:, np.newaxis], and x[np.newaxis] for a single sample."
        )
    _check_not_pixels(given, name, is_on_disk(values))
    if is_on_disk(values):
        return values
    finite = check_batch(given, name)
    with np.errstate(over="ignore"):  # too large for 32 bits becomes infinite, which is refused next
        array: FloatArray = finite.astype(np.float32, copy=False)
    if array is not finite and not np.isfinite(array).all():
        raise ValueError(
            f"{name} holds values up to {np.abs(finite).max():.3g}, too large for float32 (3.4e38), in which "
            "networks compute: scale them down before training."
        )
    return array


def _check_not_pixels(array: NDArray[Any], name: str, on_disk: bool) -> None:
    """Raise `ValueError` for whole numbers that are pixels by their type; a single one is a class or a count.

    What lies on disk is not looked at here, so that of it only bytes are known to be pixels.
    """
    if array.dtype.kind not in "iu" or array[0].size == 1:
        return
    are_pixels = array.dtype == np.uint8 if on_disk else array.max() > 1
    if are_pixels:
        raise ValueError(
            f"{name} holds whole numbers ({array.dtype}): if these are pixels, divide by 255 to bring them "
            "to [0, 1]; else give them as float32."
        )


def check_network(model: keras.Model, loss: Loss, *samples: TrainingPairs) -> list[TrainingPairs]:
    """Return samples that fit a network and its loss; a network that is not built yet is built.

    Args:
        model: a Keras model with one input and one output.
        loss: the loss, by name or as a function.
        samples: what is to be trained on, then what is to be measured, if anything.

    Returns:
        The same samples; those whose targets lie on disk know whether they must be in [0, 1].

    Raises:
        ValueError: an unknown loss; a network with several inputs or outputs; inputs that the network does
            not take; targets of another shape than its outputs; targets outside [0, 1] where it ends in a
            sigmoid.
    """
    _check_loss(loss)
    for name in ("inputs", "outputs"):
        tensors = getattr(model, name, None)
        if isinstance(tensors, (list, tuple)) and len(tensors) > 1:
            raise ValueError(f"the network has {len(tensors)} {name}: fit trains networks with one.")
    _check_input_shape(model, samples[0])
    output_shape = _output_shape(model, samples[0])
    for pair in samples[1:]:  # by now the network is built, and knows what it takes
        _check_input_shape(model, pair)
    if _compares_value_for_value(loss):
        for pair in samples:
            _check_target_shape(output_shape, pair)
    if not ends_in_sigmoid(model):
        return list(samples)
    for pair in samples:
        if not is_on_disk(pair.targets):
            check_sigmoid_targets(pair.targets, pair.name)
    return [dataclasses.replace(pair, targets_in_unit_range=True) for pair in samples]


def _check_loss(loss: Loss) -> None:
    try:
        known = keras.losses.get(loss) is not None
    except (TypeError, ValueError):
        known = False
    if not known:
        raise ValueError(
            f"unknown loss {loss!r}: use the name of one in keras.losses, such as 'mean_squared_error', "
            "or a function of (targets, outputs)."
        )


def _compares_value_for_value(loss: Loss) -> bool:
    """Whether a loss is one of Keras's for targets of the outputs' shape; of others nothing is known."""
    found = keras.losses.get(loss)
    known = isinstance(found, keras.losses.Loss) or found is getattr(
        keras.losses, getattr(found, "__name__", ""), None
    )
    name = getattr(found, "__name__", type(found).__name__).lower()
    return known and not name.startswith(("sparse", "ctc"))


def _check_input_shape(model: keras.Model, samples: TrainingPairs) -> None:
    wanted = getattr(model, "input_shape", None) if model.built else None
    given = samples.inputs.shape[1:]
    if isinstance(wanted, tuple) and not fits(given, wanted[1:]):
        name = samples.inputs_name
        raise ValueError(
            f"the network takes samples of shape {shown(wanted[1:])}, but {name} holds samples of shape "
            f"{given}: reshape {name}, or give the network another keras.Input."
        )


def _output_shape(model: keras.Model, samples: TrainingPairs) -> tuple[int | None, ...]:
    """Return the shape of one output, which a network that does not know it tells by way of one sample."""
    known = getattr(model, "output_shape", None) if model.built else None
    if isinstance(known, tuple):
        return known[1:]
    try:
        outputs = model(np.asarray(samples.inputs[:1], np.float32))
    except Exception as error:  # whatever the layers raise, it is about these shapes
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise ValueError(
            f"the network does not take samples of shape {samples.inputs.shape[1:]}: {reason}"
        ) from error
    return tuple(outputs.shape[1:])


def _check_target_shape(output_shape: tuple[int | None, ...], samples: TrainingPairs) -> None:
    given = samples.targets.shape[1:]
    if not fits(given, output_shape):
        own = f"the targets, which are {samples.inputs_name} itself,"
        what = own if samples.are_one_array else f"the targets {samples.name}"
        raise ValueError(
            f"the network returns outputs of shape {shown(output_shape)}, but {what} have shape {given}: "
            "they must agree, so reshape one of them or change the last layer."
        )


def ends_in_sigmoid(model: keras.Model) -> bool:
    """Return whether the outputs of a network are those of a sigmoid, perhaps reshaped or enlarged."""
    for layer in reversed(getattr(model, "layers", [])):
        if isinstance(layer, _MOVING_LAYERS):
            continue
        if isinstance(layer, keras.Model):
            return ends_in_sigmoid(layer)
        if isinstance(layer, layers.TimeDistributed):
            layer = layer.layer
        return getattr(layer, "activation", None) is keras.activations.sigmoid
    return False
