"""The steps of a training as one compiled loop over the batches, of the Keras model itself."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from dae_utils.training.batches import FloatArray, TrainingPairs
from dae_utils.training.engine.adam import BETA_1
from dae_utils.training.trainer import Change

__all__ = ["CompiledLoop"]

# So that the memory of a pass without training is bounded.
_SAMPLES_OF_SLICE = 5000

LossFunction = Callable[[Any, Any], Any]


class CompiledLoop:
    """A `CompiledTrainer`, see there: a model, Keras's Adam and the loops compiled for both.

    The model may be the one that is trained, or a copy that stands for all models of its structure.
    """

    def __init__(self, model: keras.Model, loss_function: LossFunction, batch_size: int, jit_compile: bool):
        self._model = model
        self._loss_function = loss_function
        self._batch_size = batch_size
        self._jit_compile = jit_compile
        self._optimizer = keras.optimizers.Adam()
        self._optimizer.build(model.trainable_variables)
        self._programs: dict[tuple[Any, ...], Callable[..., Any]] = {}
        self._tensors: dict[str, tuple[FloatArray, tf.Tensor]] = {}
        self._rates = np.empty(0, np.float32)
        self._n_done = 0

    def start(self, model: keras.Model, rates: NDArray[np.float32]) -> None:
        """Take the weights of a model, and begin anew with these learning rates."""
        self._forget_steps()
        self._rates, self._n_done = rates, 0
        if model is not self._model:
            self._model.set_weights(model.get_weights())

    def finish(self, model: keras.Model) -> None:
        """Give the model the weights that were learnt, and let go of the data."""
        self._tensors.clear()
        if model is not self._model:
            model.set_weights(self._model.get_weights())

    def first_step(self, samples: TrainingPairs, start: int) -> tuple[float, list[FloatArray]]:
        """Return the loss of the batch that begins at `start`, and its gradients."""
        order = np.roll(np.arange(len(samples), dtype=np.int32), -start)
        before = [tf.identity(variable.value) for variable in self._model.variables]
        try:
            n_rates = math.ceil(len(samples) / self._batch_size)
            summed = self._run(samples, order, np.zeros(n_rates, np.float32), n_full=1, with_rest=False)
            averages = [v for v in self._optimizer.variables if v.path.endswith("_momentum")]
            gradients = [average.numpy() / (1 - BETA_1) for average in averages]
        finally:
            # A step of rate zero moves no weight, but statistics, random generators and constraints do.
            for variable, value in zip(self._model.variables, before, strict=True):
                variable.assign(value)
            self._forget_steps()
        return summed / self._batch_size, gradients

    def train_epoch(self, samples: TrainingPairs, order: NDArray[np.integer], change: Change | None) -> float:
        """Train on all samples in an order and return their mean loss."""
        if not samples.are_on_disk:
            return self._train(samples, order) / len(order)
        summed = 0.0
        for piece in samples.pieces(order, self._batch_size):
            seen = piece if change is None else TrainingPairs(change(piece.inputs), piece.targets)
            self._tensors.clear()
            summed += self._train(seen, np.arange(len(seen)))
        return summed / len(order)

    def mean_loss(self, samples: TrainingPairs) -> float:
        """Return the mean loss of the samples, without training."""
        summed = 0.0
        pieces = (
            samples.pieces(np.arange(len(samples)), _SAMPLES_OF_SLICE) if samples.are_on_disk else [samples]
        )
        for piece in pieces:
            inputs, targets = self._as_tensors(piece, "measured ")
            for start in range(0, len(piece), _SAMPLES_OF_SLICE):
                rows = slice(start, start + _SAMPLES_OF_SLICE)
                n_rows = len(piece.inputs[rows])
                key = ("loss", (n_rows, *inputs.shape[1:]), (n_rows, *targets.shape[1:]))
                if key not in self._programs:
                    self._programs[key] = _loss_program(self._model, self._loss_function, *key[1:])
                summed += float(self._programs[key](inputs[rows], targets[rows])) * n_rows
        return summed / len(samples)

    def get_weights(self) -> list[FloatArray]:
        """Return the weights as they are now."""
        return list(self._model.get_weights())

    def set_weights(self, weights: list[FloatArray]) -> None:
        """Go on from these weights."""
        self._model.set_weights(weights)

    def _forget_steps(self) -> None:
        for variable in self._optimizer.variables:
            variable.assign(tf.zeros_like(variable.value))

    def _train(self, samples: TrainingPairs, order: NDArray[np.integer]) -> float:
        """Train on samples in memory in an order; return the sum of their losses."""
        n_full, n_rest = divmod(len(samples), self._batch_size)
        n_steps = n_full + (n_rest > 0)
        rates = self._rates[self._n_done : self._n_done + n_steps]
        self._n_done += n_steps
        return self._run(samples, order, rates, n_full, with_rest=n_rest > 0)

    def _run(
        self,
        samples: TrainingPairs,
        order: NDArray[np.integer],
        rates: NDArray[np.float32],
        n_full: int,
        with_rest: bool,
    ) -> float:
        inputs, targets = self._as_tensors(samples)
        key = ("steps", tuple(inputs.shape), None if inputs is targets else tuple(targets.shape))
        if key not in self._programs:
            self._programs[key] = _steps_program(
                self._model,
                self._optimizer,
                self._loss_function,
                *key[1:],
                self._batch_size,
                self._jit_compile,
            )
        arguments = (inputs, targets, tf.constant(order, tf.int32), tf.constant(rates))
        return float(self._programs[key](*arguments, tf.constant(n_full), tf.constant(with_rest)))

    def _as_tensors(self, samples: TrainingPairs, role: str = "") -> tuple[tf.Tensor, tf.Tensor]:
        """Return inputs and targets as tensors, which stay until another array comes in their place."""
        inputs = self._as_tensor(role + "inputs", samples.inputs)
        return inputs, inputs if samples.are_one_array else self._as_tensor(role + "targets", samples.targets)

    def _as_tensor(self, role: str, array: FloatArray) -> tf.Tensor:
        if role not in self._tensors or self._tensors[role][0] is not array:
            self._tensors[role] = (array, tf.constant(array))
        return self._tensors[role][1]


def _steps_program(
    model: keras.Model,
    optimizer: keras.optimizers.Optimizer,
    loss_function: LossFunction,
    inputs_shape: tuple[int, ...],
    targets_shape: tuple[int, ...] | None,
    batch_size: int,
    jit_compile: bool,
) -> Callable[..., Any]:
    """Return the compiled loop (inputs, targets, order, rates, n_full, with_rest) -> sum of the losses.

    `n_full` whole batches are trained on, then what is left over of the samples if `with_rest`. The data come
    in as arguments: a compiled function that held them would keep them in memory while the process lives.
    """
    are_one_array = targets_shape is None
    n_samples = inputs_shape[0]
    n_rest = n_samples % batch_size

    def step(inputs: tf.Tensor, targets: tf.Tensor, indices: tf.Tensor, rate: tf.Tensor) -> tf.Tensor:
        batch = tf.gather(inputs, indices)
        # An autoencoder's batch is its own target: gathered once, it is read from memory once.
        wanted = batch if are_one_array else tf.gather(targets, indices)
        with tf.GradientTape() as tape:
            value = tf.reduce_mean(loss_function(wanted, model(batch, training=True)))
            total = tf.add_n([value, *model.losses]) if model.losses else value
        gradients = tape.gradient(total, model.trainable_variables)
        optimizer.learning_rate.assign(rate)
        optimizer.apply(gradients, model.trainable_variables)
        return value

    @tf.function(jit_compile=jit_compile)
    def train(inputs, targets, order, rates, n_full, with_rest):  # type: ignore[no-untyped-def]
        summed = tf.constant(0.0)
        for index in tf.range(n_full):
            # A static size, as XLA needs: a slice [a : a + size] has none.
            indices = tf.slice(order, [index * batch_size], [batch_size])
            summed += step(inputs, targets, indices, rates[index]) * batch_size
        if n_rest:  # in Python, and what follows in the graph  # noqa: SIM102
            if with_rest:
                summed += step(inputs, targets, order[n_samples - n_rest :], rates[-1]) * n_rest
        return summed

    # Traced here, once: TensorFlow would otherwise take the trainings of several models for one function that
    # is traced again and again, and warn about it.
    program: Callable[..., Any] = train.get_concrete_function(
        tf.TensorSpec(inputs_shape, tf.float32),
        tf.TensorSpec(inputs_shape if targets_shape is None else targets_shape, tf.float32),
        tf.TensorSpec([n_samples], tf.int32),
        tf.TensorSpec([math.ceil(n_samples / batch_size)], tf.float32),
        tf.TensorSpec([], tf.int32),
        tf.TensorSpec([], tf.bool),
    )
    return program


def _loss_program(
    model: keras.Model,
    loss_function: LossFunction,
    inputs_shape: tuple[int, ...],
    targets_shape: tuple[int, ...],
) -> Callable[..., Any]:
    """Return a compiled function (inputs, targets) -> mean loss, for arguments of these shapes."""

    # Not with XLA: it would take longer to compile than it saves in one pass after every epoch.
    @tf.function
    def mean_loss(inputs, targets):  # type: ignore[no-untyped-def]
        return tf.reduce_mean(loss_function(targets, model(inputs, training=False)))

    program: Callable[..., Any] = mean_loss.get_concrete_function(
        *(tf.TensorSpec(shape, tf.float32) for shape in (inputs_shape, targets_shape))
    )
    return program
