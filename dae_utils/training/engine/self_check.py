"""The engine compared with the Keras model, before its first step; and who trains when they differ.

`checked_trainer` gives a compiled trainer only when its loss and gradients on one batch are those of the
Keras model, computed by Keras operation by operation. Up to three batches are looked at, and one that agrees
is enough: where a value lies on the kink of a rectifier or two values of a pooling are equal up to rounding,
a gradient jumps, which no two programs do alike; what is computed wrongly is wrong in every batch.
"""

from __future__ import annotations

import logging
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

import keras
import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from dae_utils.training.batches import FloatArray, TrainingPairs, rows_of_a_piece
from dae_utils.training.engine import cache
from dae_utils.training.engine.choice import TESTED_VERSIONS, Form, compiled, form_for, is_tested_version
from dae_utils.training.engine.compiled_trainer import CompiledTrainer
from dae_utils.training.engine.structure import copy_of, structure_of
from dae_utils.training.trainer import Loss, Trainer

__all__ = ["checked_trainer"]

_log = logging.getLogger("dae_utils")

# The largest difference that rounding explains, relative to the loss, and to the length of a gradient.
_TOLERANCE = 1e-4

# A gradient that is zero in exact arithmetic is rounding: a variable's counts at least as this part of all.
_LEAST_SHARE = 1e-3

_MOST_BATCHES = 3

# Below this a loss or gradient is nothing but rounding.
_TINY = 1e-12


@contextmanager
def checked_trainer(
    model: keras.Model,
    loss: Loss,
    samples: TrainingPairs,
    rates: NDArray[np.float32],
    batch_size: int,
    setting: str,
) -> Iterator[Trainer | None]:
    """Give a compiled trainer that agrees with the Keras model, or None; see `engine_for`."""
    if not is_tested_version():
        _log.info(
            "Keras alone trains: the fast engine was tested with TensorFlow %s, and this is %s.",
            " and ".join(TESTED_VERSIONS),
            tf.__version__,
        )
        yield None
        return
    form = form_for(model, loss, len(rates), setting)
    key = _key(model, loss, form, batch_size)
    if key is not None and cache.is_refused(key):
        yield None
        return
    trainer, problem = _started(model, loss, samples, rates, batch_size, form, key)
    if trainer is None or problem:
        if key is not None:
            cache.refuse(key)
        _warn_once(f"The fast engine does not train this network, since {problem}; Keras alone trains it.")
        yield None
        return
    try:
        yield trainer
    finally:
        trainer.finish(model)
        if key is not None:
            cache.give_back(key, trainer)


def _key(model: keras.Model, loss: Loss, form: Form, batch_size: int) -> cache.Key | None:
    """Return the key of a training, or None where nothing can be said to be the same again."""
    structure = structure_of(model)
    if structure is None:
        return None
    key = cache.Key(structure, loss, form, batch_size)
    try:
        hash(key)
    except TypeError:  # a loss of the reader's own, such as an object that can be compared
        return None
    return key


def _started(
    model: keras.Model,
    loss: Loss,
    samples: TrainingPairs,
    rates: NDArray[np.float32],
    batch_size: int,
    form: Form,
    key: cache.Key | None,
) -> tuple[CompiledTrainer | None, str]:
    """Return a trainer that is ready for the first step, and what is wrong with it in words, if anything."""
    trial = _in_memory(samples, batch_size, form)
    try:
        # Whoever takes a trainer has it alone: another thread, or a training within this one, makes its own.
        trainer = cache.take(key) if key is not None else None
        if trainer is None:
            trainer = compiled(model if key is None else copy_of(model), loss, form, batch_size)
        trainer.start(model, rates)
    except Exception as error:  # of the engine's making: no reason to leave the reader without a training
        return None, _failed(error)
    return trainer, _difference(trainer, model, loss, trial, batch_size)


def _in_memory(samples: TrainingPairs, batch_size: int, form: Form) -> TrainingPairs:
    """Return the samples, or as many of those on disk as a trainer needs to look at the first batches."""
    if not samples.are_on_disk:
        return samples
    # A loop is compiled for a whole piece, a fused form for a batch.
    arrays = (samples.inputs, samples.targets)
    of_piece = _MOST_BATCHES * batch_size if form == "fused" else rows_of_a_piece(arrays, batch_size)
    n_rows = min(len(samples), of_piece)
    return next(samples.pieces(np.arange(n_rows), batch_size))


def _difference(
    trainer: CompiledTrainer, model: keras.Model, loss: Loss, samples: TrainingPairs, batch_size: int
) -> str:
    """Return in words how a trainer's step differs from that of Keras on every batch tried, else nothing."""
    problem = ""
    starts = [n * batch_size for n in range(_MOST_BATCHES) if (n + 1) * batch_size <= len(samples)]
    for start in starts:
        rows = slice(start, start + batch_size)
        expected = _step_of_keras(model, loss, samples.inputs[rows], samples.targets[rows])
        try:
            got = trainer.first_step(samples, start)
        except Exception as error:
            return _failed(error)
        problem = _unlike(*expected, *got)
        if not problem:
            return ""
    return problem


def _step_of_keras(
    model: keras.Model, loss: Loss, inputs: FloatArray, targets: FloatArray
) -> tuple[float, list[FloatArray]]:
    """Return the loss of a batch and the gradients, penalties included, as Keras computes them."""
    function = keras.losses.get(loss)
    # Without state: statistics and generators of random numbers stay what they are.
    trainable = [tf.convert_to_tensor(variable.value) for variable in model.trainable_variables]
    others = [tf.convert_to_tensor(variable.value) for variable in model.non_trainable_variables]
    with tf.GradientTape() as tape:
        tape.watch(trainable)
        outputs, _, penalties = model.stateless_call(
            trainable, others, tf.constant(inputs), training=True, return_losses=True
        )
        value = tf.reduce_mean(function(tf.constant(targets), outputs))
        total = tf.add_n([value, *penalties])
    gradients = tape.gradient(total, trainable, unconnected_gradients=tf.UnconnectedGradients.ZERO)
    return float(value), [tf.convert_to_tensor(gradient).numpy() for gradient in gradients]


def _unlike(
    loss: float, gradients: list[FloatArray], other_loss: float, other_gradients: list[FloatArray]
) -> str:
    """Return in words how a loss and gradients differ from the first ones beyond rounding, else nothing."""
    lengths = [float(np.linalg.norm(gradient)) for gradient in gradients]
    if not np.isfinite([loss, *lengths]).all():
        return ""  # nothing to compare with; the training will say that it diverges
    if len(gradients) != len(other_gradients):
        return f"it has {len(other_gradients)} gradients where Keras has {len(gradients)}"
    # Not "greater than", which is false for NaN.
    if not abs(other_loss - loss) <= _TOLERANCE * max(abs(loss), _TINY):
        return f"its loss is {other_loss:.6g} where Keras computes {loss:.6g}"
    least = max(_LEAST_SHARE * max(lengths, default=0.0), _TINY)
    for place, (gradient, other, length) in enumerate(zip(gradients, other_gradients, lengths, strict=True)):
        distance = float(np.linalg.norm(other - gradient)) if other.shape == gradient.shape else np.inf
        if not distance <= _TOLERANCE * max(length, least):
            part = distance / max(length, least)
            return (
                f"the gradient of its variable number {place + 1} is {part:.2g} of itself away from Keras's"
            )
    return ""


def _failed(error: Exception) -> str:
    return f"it failed with {type(error).__name__}"


_said: set[str] = set()
_lock = threading.Lock()


def _warn_once(message: str) -> None:
    with _lock:
        if message in _said:
            return
        _said.add(message)
    warnings.warn(message, RuntimeWarning, stacklevel=2)
