"""One function that trains a Keras model on arrays that fit in memory.

`fit` does what ``model.fit`` does: the same batches, the same gradients, the same optimiser (Adam: Kingma and
Ba 2015, "Adam: a method for stochastic optimization", arXiv:1412.6980). It is faster on a CPU because a small
network spends most of ``model.fit`` outside arithmetic: in the Python loop, in the input pipeline and in
launching hundreds of small operations a batch. Here a whole epoch is one compiled loop that gathers its
batches from a tensor that never leaves memory. Compiling takes a second or two and some memory for good, so
models of the same structure share what was compiled for the first of them.
"""

from __future__ import annotations

import json
import math
import time
from collections import OrderedDict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import keras
import numpy as np
import tensorflow as tf
from tqdm.auto import tqdm

from dae_utils.profiles import show_progress

__all__ = ["History", "fit", "learning_rates"]

Loss = str | Callable[[tf.Tensor, tf.Tensor], tf.Tensor]
Corruption = Callable[[np.random.Generator, np.ndarray], np.ndarray]

# Steps after which what XLA saves makes up for its longer compilation: measured with networks of the book.
_STEPS_WORTH_XLA = 3000


@dataclass
class History:
    """What one call of `fit` recorded, one entry an epoch.

    Attributes:
        loss: mean training loss over the samples of the epoch, each measured when its batch came up (the
            weights change during the epoch), without the penalties that layers add (regularisers).
        validation_loss: mean loss over the validation data after the epoch, likewise without penalties; empty
            when there were none.
        seconds: wall-clock time of the epoch, validation included; the first one includes the compilation.
        best_epoch: index of the epoch whose weights the model now has.
        stopped_early: whether `patience` ended the training before its last epoch.
    """

    loss: list[float] = field(default_factory=list)
    validation_loss: list[float] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)
    best_epoch: int = -1
    stopped_early: bool = False


def learning_rates(n_steps: int, peak: float, schedule: str = "constant") -> np.ndarray:
    """Return the learning rate of every step.

    Args:
        n_steps: number of optimiser steps in the whole training, at least 1.
        peak: the highest learning rate.
        schedule: ``"constant"``, or ``"one_cycle"``: a linear rise from a tenth of `peak` over the first
            tenth of the steps (one step at least), then half a cosine down to a hundredth of it (after Smith
            and Topin 2019, "Super-convergence", arXiv:1708.07120, with the cosine descent in common use).

    Returns:
        Array (n_steps,) of float32.

    Raises:
        ValueError: `n_steps` or `peak` is not positive, or the schedule is unknown.
    """
    if n_steps < 1 or not peak > 0:
        raise ValueError(f"n_steps and peak must be positive, got {n_steps} and {peak}.")
    if schedule == "constant":
        return np.full(n_steps, peak, np.float32)
    if schedule != "one_cycle":
        raise ValueError(f"unknown schedule {schedule!r}: use 'constant' or 'one_cycle'.")
    n_rise = max(1, n_steps // 10)
    rise = np.linspace(0.1, 1.0, n_rise, endpoint=False)
    progress = np.linspace(0.0, 1.0, n_steps - n_rise)  # empty if there is one step only
    descent = 0.01 + 0.99 * 0.5 * (1 + np.cos(np.pi * progress))
    return (peak * np.concatenate([rise, descent])).astype(np.float32)


def fit(
    model: keras.Model,
    x: np.ndarray,
    y: np.ndarray | None = None,
    *,
    validation_data: np.ndarray | tuple[np.ndarray, np.ndarray] | None = None,
    epochs: int,
    batch_size: int = 256,
    learning_rate: float = 1e-3,
    schedule: str = "constant",
    loss: Loss = "mean_squared_error",
    corrupt: Corruption | None = None,
    patience: int | None = None,
    seed: int = 0,
    jit_compile: bool | None = None,
    description: str = "training",
) -> History:
    """Train a Keras model with Adam and return what happened.

    Layers that behave differently in training (`GaussianNoise`, `Dropout`, `BatchNormalization`) do so here
    as well, and penalties that layers add (regularisers, ``add_loss``) are minimised along with the loss.
    To train on noisy inputs, pass `corrupt` and leave `GaussianNoise` out of the model: XLA draws random
    numbers slowly on a CPU, where that layer made training 6 to 30 times slower in our measurements.

    With equal weights at the start and equal seeds the result is the same again on the same machine. Random
    layers draw from generators of their own, which `keras.utils.set_random_seed` seeds before the model is
    built.

    Args:
        model: any Keras model with one input and one output; its weights are changed in place.
        x: inputs, shape (n, ...), finite numbers; bytes are refused, since images belong in [0, 1].
        y: targets, shape (n, ...). Without them the model is trained to return its input: an autoencoder.
        validation_data: inputs, or a tuple (inputs, targets), whose loss is measured after every epoch. They
            are never corrupted.
        epochs: how often every sample is seen.
        batch_size: samples a step; the last batch of an epoch is smaller where they do not divide evenly.
        learning_rate: Adam's step size, or the peak of the schedule.
        schedule: see `learning_rates`.
        loss: a Keras loss by name, or a function of (targets, outputs).
        corrupt: a function of (random generator, `x`), called once an epoch, whose result the network sees in
            place of `x`; the targets stay clean. It returns a new array of the shape of `x`, and gets an `x`
            that cannot be written to. This is denoising training (Vincent et al. 2008, "Extracting and
            composing robust features with denoising autoencoders").
        patience: stop when the validation loss has not improved for so many epochs, and take back the weights
            of the best epoch. Without it the last weights are kept.
        seed: decides the order of the samples and what `corrupt` draws from its generator.
        jit_compile: compile the loop with XLA. It makes each step of a dense network faster, but needs a
            second and some memory more to compile, and runs convolutions slowly on a CPU. By default it is
            used for models without convolutions and trainings of 3000 steps or more.
        description: the label of the progress bar.

    Returns:
        The `History`, one entry an epoch.

    Raises:
        ValueError: empty, non-finite or mismatched arrays, or a setting out of range.
        FloatingPointError: the training or validation loss became infinite or NaN.
    """
    x, y = _checked_pair(x, y, "x", "y")
    validation = None
    if validation_data is not None:
        pair = validation_data if isinstance(validation_data, tuple) else (validation_data, None)
        validation = _checked_pair(*pair, "x of validation_data", "y of validation_data")
    if epochs < 1 or batch_size < 1:
        raise ValueError(f"epochs and batch_size must be at least 1, got {epochs} and {batch_size}.")
    if patience is not None and (patience < 1 or validation is None):
        raise ValueError("patience needs validation data and must be at least 1.")

    if not model.built:
        model(x[:1])
    batch_size = min(batch_size, len(x))
    n_steps = math.ceil(len(x) / batch_size)
    rates = learning_rates(epochs * n_steps, learning_rate, schedule).reshape(epochs, n_steps)
    if jit_compile is None:
        jit_compile = epochs * n_steps >= _STEPS_WORTH_XLA and not _has_convolutions(model)
    targets = tf.constant(y)
    inputs = targets if x is y else tf.constant(x)
    trainer = _trainer_for(model, loss, jit_compile)
    slices = _slices(validation) if validation else None

    rng = np.random.default_rng(seed)
    # A function that corrupted in place would also corrupt the caller's data, more so with every epoch.
    protected = x.view()
    protected.flags.writeable = False
    history = History()
    best_loss, best_weights = math.inf, None
    bar = tqdm(total=epochs, desc=description, unit="epoch", disable=not show_progress(), leave=False)
    with bar, trainer.training(model) as twin:
        for epoch in range(epochs):
            started = time.perf_counter()
            order = rng.permutation(len(x)).astype(np.int32)
            if corrupt is not None:
                inputs = tf.constant(_checked_corruption(corrupt(rng, protected), x))
            history.loss.append(trainer.epoch(inputs, targets, order, rates[epoch], batch_size))
            newest = history.loss[-1]
            if slices and math.isfinite(newest):
                newest = trainer.loss(slices)
                history.validation_loss.append(newest)
            if not math.isfinite(newest):
                raise FloatingPointError(
                    f"the loss is {newest} in epoch {epoch + 1}: lower learning_rate (now {learning_rate})."
                )
            history.seconds.append(time.perf_counter() - started)
            bar.update()
            bar.set_postfix(loss=f"{newest:.5f}")
            if patience is None:
                history.best_epoch = epoch
            elif history.validation_loss[-1] < best_loss:
                best_loss, history.best_epoch = history.validation_loss[-1], epoch
                best_weights = twin.get_weights()
            elif epoch - history.best_epoch >= patience:
                history.stopped_early = True
                break
        if best_weights is not None:
            twin.set_weights(best_weights)
    return history


def _checked_pair(x, y, x_name: str, y_name: str) -> tuple[np.ndarray, np.ndarray]:
    pair = []
    for array, name in ((x, x_name), (x if y is None else y, y_name)):
        array = np.asarray(array)
        if array.dtype.kind not in "fiub" or array.ndim < 2 or array.size == 0:
            raise ValueError(
                f"{name} must be numbers of shape (n, ...) with n > 0, got {array.dtype} {array.shape}."
            )
        if array.dtype == np.uint8:
            raise ValueError(f"{name} holds bytes (0 to 255): divide by 255 to bring it to [0, 1] first.")
        with np.errstate(over="ignore"):  # too large for 32 bits becomes infinite, which is refused next
            array = array.astype(np.float32, copy=False)
        if not np.isfinite(array).all():
            raise ValueError(f"{name} holds NaN or infinite values: remove or replace them before training.")
        pair.append(array)
    if len(pair[0]) != len(pair[1]):
        raise ValueError(f"{x_name} has {len(pair[0])} samples, but {y_name} has {len(pair[1])}.")
    return pair[0], pair[1]


def _checked_corruption(corrupted: np.ndarray, x: np.ndarray) -> np.ndarray:
    corrupted = np.asarray(corrupted, np.float32)
    if corrupted.shape != x.shape:
        raise ValueError(f"corrupt must return an array of shape {x.shape}, got {corrupted.shape}.")
    if not np.isfinite(corrupted).all():
        raise ValueError("corrupt returned NaN or infinite values: replace them, with 0 for instance.")
    return corrupted


def _layers(model: keras.Model) -> Iterator[keras.Layer]:
    for layer in model.layers:
        if isinstance(layer, keras.Model):
            yield from _layers(layer)
        else:
            yield layer


def _has_convolutions(model: keras.Model) -> bool:
    return any("Conv" in type(layer).__name__ for layer in _layers(model))


def _slices(arrays: tuple[np.ndarray, ...], size: int = 5000) -> list[tuple[tf.Tensor, ...]]:
    """Return the arrays as tensors in slices of `size` samples, so that the memory of a pass is bounded."""
    starts = range(0, len(arrays[0]), size)
    return [tuple(tf.constant(array[start : start + size]) for array in arrays) for start in starts]


class _Trainer:
    """A model with the loops compiled for it, which trains every other model of the same structure too."""

    def __init__(self, model: keras.Model, loss_function: Callable, jit_compile: bool):
        self._model = model
        self._optimizer = keras.optimizers.Adam()
        self._optimizer.build(model.trainable_variables)
        self._loss_function = loss_function
        self._jit_compile = jit_compile
        self._compiled: dict[tuple, Callable] = {}

    @contextmanager
    def training(self, model: keras.Model) -> Iterator[keras.Model]:
        """Give the model that is trained in place of `model`, with its weights; copy them back at the end."""
        for variable in self._optimizer.variables:
            variable.assign(tf.zeros_like(variable.value))
        if model is self._model:
            yield model
            return
        self._model.set_weights(model.get_weights())
        try:
            yield self._model
        finally:
            # Also after an interruption: what was learnt until then is the reader's.
            model.set_weights(self._model.get_weights())

    def epoch(self, inputs, targets, order: np.ndarray, rates: np.ndarray, batch_size: int) -> float:
        """Train for one epoch and return its mean loss."""
        key = ("epoch", tuple(inputs.shape), tuple(targets.shape), batch_size)
        if key not in self._compiled:
            self._compiled[key] = _compiled_epoch(
                self._model,
                self._optimizer,
                self._loss_function,
                inputs,
                targets,
                batch_size,
                self._jit_compile,
            )
        return float(self._compiled[key](inputs, targets, tf.constant(order), tf.constant(rates)))

    def loss(self, slices: list[tuple[tf.Tensor, tf.Tensor]]) -> float:
        """Return the mean loss over slices of samples, without training."""
        summed = 0.0
        for inputs, targets in slices:
            key = ("loss", tuple(inputs.shape), tuple(targets.shape))
            if key not in self._compiled:
                self._compiled[key] = _compiled_loss(
                    self._model, self._loss_function, inputs, targets, self._jit_compile
                )
            summed += float(self._compiled[key](inputs, targets)) * len(inputs)
        return summed / sum(len(inputs) for inputs, _ in slices)


# The trainers of the structures trained last, by structure, loss and way to compile.
_trainers: OrderedDict[tuple, _Trainer] = OrderedDict()
_MOST_TRAINERS = 16


def _trainer_for(model: keras.Model, loss: Loss, jit_compile: bool) -> _Trainer:
    loss_function = keras.losses.get(loss) if isinstance(loss, str) else loss
    structure = _structure(model)
    if structure is None:
        return _Trainer(model, loss_function, jit_compile)
    key = (structure, loss, jit_compile)
    if key not in _trainers:
        _trainers[key] = _Trainer(keras.models.clone_model(model), loss_function, jit_compile)
    _trainers.move_to_end(key)
    if len(_trainers) > _MOST_TRAINERS:
        _trainers.popitem(last=False)
    return _trainers[key]


def _structure(model: keras.Model) -> tuple | None:
    """Return what models that compute the same function of their weights have in common, else None.

    None also for models with a state beside their weights, such as the random generator of a dropout layer:
    it has to stay the model's own.
    """
    plain = isinstance(model, keras.Sequential) or type(model).__name__ == "Functional"
    if not plain or len(model.variables) != len(model.weights):
        return None
    try:
        config = keras.saving.serialize_keras_object(model)
    except (NotImplementedError, TypeError, ValueError):
        return None  # a layer of the reader's own that cannot be written down, hence not copied either
    # The classes themselves, since two of them may have the same name.
    classes = tuple(type(layer) for layer in _layers(model))
    return json.dumps(_without_names(config, {}), default=repr), classes


def _without_names(config, numbers: dict[str, int], is_name: bool = False):
    """Return a model's configuration with its layers' names, which differ each time, replaced by numbers."""
    if isinstance(config, dict):
        return {
            key: _without_names(value, numbers, is_name or key in _KEYS_OF_NAMES)
            for key, value in config.items()
        }
    if isinstance(config, (list, tuple)):
        return [_without_names(value, numbers, is_name) for value in config]
    if is_name and isinstance(config, str):
        return numbers.setdefault(config, len(numbers))
    return config


_KEYS_OF_NAMES = {"name", "keras_history", "input_layers", "output_layers"}


def _compiled_epoch(model, optimizer, loss_function, inputs, targets, batch_size, jit_compile):
    """Return a function (inputs, targets, order, rates) -> mean loss: one epoch in a single compiled loop.

    The data come in as arguments. A compiled function that held them would keep them in memory for as long as
    the process lives.
    """
    n_samples = len(targets)
    n_full, n_rest = divmod(n_samples, batch_size)

    def step(inputs, targets, indices, rate):
        batch, wanted = tf.gather(inputs, indices), tf.gather(targets, indices)
        with tf.GradientTape() as tape:
            value = tf.reduce_mean(loss_function(wanted, model(batch, training=True)))
            total = tf.add_n([value, *model.losses]) if model.losses else value
        gradients = tape.gradient(total, model.trainable_variables)
        optimizer.learning_rate.assign(rate)
        optimizer.apply(gradients, model.trainable_variables)
        return value

    @tf.function(jit_compile=jit_compile)
    def train_epoch(inputs, targets, order, rates):
        summed = tf.constant(0.0)
        for index in tf.range(n_full):
            # A static size, as XLA needs: a slice [a : a + size] has none.
            indices = tf.slice(order, [index * batch_size], [batch_size])
            summed += step(inputs, targets, indices, rates[index]) * batch_size
        if n_rest:
            summed += step(inputs, targets, order[n_full * batch_size :], rates[n_full]) * n_rest
        return summed / n_samples

    # Traced here, once: TensorFlow would otherwise take the trainings of several models for one function that
    # is traced again and again, and warn about it.
    return train_epoch.get_concrete_function(
        tf.TensorSpec(inputs.shape, inputs.dtype),
        tf.TensorSpec(targets.shape, targets.dtype),
        tf.TensorSpec([n_samples], tf.int32),
        tf.TensorSpec([n_full + (n_rest > 0)], tf.float32),
    )


def _compiled_loss(model, loss_function, inputs, targets, jit_compile):
    """Return a function (inputs, targets) -> mean loss, for arguments of the shapes of these two."""

    @tf.function(jit_compile=jit_compile)
    def mean_loss(inputs, targets):
        return tf.reduce_mean(loss_function(targets, model(inputs, training=False)))

    return mean_loss.get_concrete_function(
        *(tf.TensorSpec(tensor.shape, tensor.dtype) for tensor in (inputs, targets))
    )
