"""What runs the steps of a training: a compiled loop over the batches, of the model or of its faster twin."""

from __future__ import annotations

import functools
import json
import os
from collections import OrderedDict
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import keras
import numpy as np
import tensorflow as tf

from dae_utils.training.batches import pieces, rows_of_a_piece
from dae_utils.training.engine.twins import Twin, twin_of

__all__ = ["LoopTrainer", "TwinTrainer", "trainer_for"]

Loss = str | Callable[[tf.Tensor, tf.Tensor], tf.Tensor]

# Adam's settings in Keras, without the learning rate.
_BETA_1, _BETA_2, _EPSILON = 0.9, 0.999, 1e-7

# Steps after which what XLA saves makes up for its longer compilation: measured with networks of the book.
_STEPS_WORTH_XLA = 2000

# The same for the faster twin of a convolutional network, whose clusters take two seconds to compile.
_STEPS_WORTH_TWIN = 100

# A step is cut into parts of about so many samples, at most so many: they fit into the processor's cache.
_SAMPLES_OF_PART, _MOST_PARTS = 32, 8


def _layers(model: keras.Model) -> Iterator[keras.Layer]:
    for layer in model.layers:
        if isinstance(layer, keras.Model):
            yield from _layers(layer)
        else:
            yield layer


def _has_convolutions(model: keras.Model) -> bool:
    return any("Conv" in type(layer).__name__ for layer in _layers(model))


class LoopTrainer:
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

    def hold(self, array: np.ndarray) -> tf.Tensor:
        """Return an array in memory in the form that this trainer likes: as a tensor, which stays there."""
        return tf.constant(array)

    def pieces(self, held: tuple, order: np.ndarray, batch_size: int) -> Iterator[tuple[tuple, np.ndarray]]:
        """Yield the samples in an order: what `steps` takes, and the order of the samples in it."""
        if tf.is_tensor(held[0]):
            yield held, order
            return
        for piece in pieces(held, order, rows_of_a_piece(held, batch_size)):
            yield piece, np.arange(len(piece[0]), dtype=np.int32)

    def steps(self, inputs, targets, order: np.ndarray, rates: np.ndarray, batch_size: int) -> float:
        """Train on the samples in an order, one batch for every rate; return the sum of their losses."""
        are_same = inputs is targets
        key = ("epoch", tuple(inputs.shape), None if are_same else tuple(targets.shape), batch_size)
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
        arguments = [tf.convert_to_tensor(array) for array in (inputs, targets, order, rates)]
        return float(self._compiled[key](*arguments)) * len(order)

    def loss(self, inputs, targets, batch_size: int) -> float:
        """Return the sum of the losses of the samples, without training."""
        key = ("loss", tuple(inputs.shape), tuple(targets.shape))
        if key not in self._compiled:
            self._compiled[key] = _compiled_loss(self._model, self._loss_function, inputs, targets)
        arguments = [tf.convert_to_tensor(array) for array in (inputs, targets)]
        return float(self._compiled[key](*arguments)) * len(inputs)


class TwinTrainer:
    """The faster twin of a model (see `twins`) with Adam, in a TensorFlow session of its own.

    Two things make it fast beside the twin. A step is cut into parts that fit into the processor's cache and
    whose gradients are added up. And each core takes parts of its own, from the first layer to the last,
    where TensorFlow otherwise lets all cores share each operation and wait for each other after it.
    TensorFlow sets the number of threads for an operation once for the whole process; a session, from its
    first interface, can have its own, and the rest of the process keeps what it has.
    """

    def __init__(self, twin: Twin):
        self._twin = twin
        self._graphs: dict[tuple, _StepsInSession] = {}
        self._state: list[list[np.ndarray]] = []
        self._n_steps_done = 0

    @contextmanager
    def training(self, model: keras.Model) -> Iterator[TwinTrainer]:
        """Take the weights of `model`, give what is trained in its place; write them back at the end."""
        self.set_weights([variable.numpy() for variable in model.trainable_variables])
        zeros = [np.zeros_like(weight) for weight in self.get_weights()]
        self._state, self._n_steps_done = [self.get_weights(), zeros, zeros], 0
        try:
            yield self
        finally:
            for variable, weight in zip(model.trainable_variables, self.get_weights(), strict=True):
                variable.assign(weight)

    def get_weights(self) -> list[np.ndarray]:
        """Return the weights as they are now."""
        return self._state[0]

    def set_weights(self, weights: list[np.ndarray]) -> None:
        """Go on from these weights."""
        self._state = [weights, *self._state[1:]]

    def hold(self, array: np.ndarray) -> np.ndarray:
        """Return an array in memory in the form that this trainer likes: as it is."""
        return array

    def pieces(self, held: tuple, order: np.ndarray, batch_size: int) -> Iterator[tuple[tuple, np.ndarray]]:
        """Yield the samples in an order: what `steps` takes, and the order of the samples in it."""
        for piece in pieces(held, order, rows_of_a_piece(held, batch_size)):
            yield piece, np.arange(len(piece[0]))

    def steps(self, inputs, targets, order: np.ndarray, rates: np.ndarray, batch_size: int) -> float:
        """Train on the samples, which stand in order, one batch for every rate; return the sum of losses."""
        graph = self._graph_for(inputs, targets, batch_size)
        summed, self._state = graph.train(self._state, self._n_steps_done, inputs, targets, rates)
        self._n_steps_done += len(rates)
        return summed

    def loss(self, inputs: np.ndarray, targets: np.ndarray, batch_size: int) -> float:
        """Return the sum of the losses of the samples, without training."""
        return self._graph_for(inputs, targets, batch_size).evaluate(self._state[0], inputs, targets)

    def _graph_for(self, inputs: np.ndarray, targets: np.ndarray, batch_size: int) -> _StepsInSession:
        are_same = inputs is targets
        key = (inputs.shape[1:], None if are_same else targets.shape[1:], batch_size)
        if key not in self._graphs:
            self._graphs[key] = _StepsInSession(self._twin, *key)
        return self._graphs[key]


class _StepsInSession:
    """The compiled loops of a `Twin` for samples of one shape and batches of one size."""

    def __init__(self, twin: Twin, sample_shape: tuple, target_shape: tuple | None, batch_size: int):
        self._batch_size = batch_size
        with tf.Graph().as_default() as graph:
            placeholder = tf.compat.v1.placeholder
            shapes = [variable.shape for variable in twin.weights]
            self._state = [[placeholder(tf.float32, shape) for shape in shapes] for _ in range(3)]
            self._n_done = placeholder(tf.float32, ())
            self._rates = placeholder(tf.float32, (None,))
            self._inputs = placeholder(tf.float32, (None, *sample_shape))
            self._targets = (
                self._inputs if target_shape is None else placeholder(tf.float32, (None, *target_shape))
            )
            data = (self._inputs, self._targets)
            n_full = tf.shape(self._inputs)[0] // batch_size
            step = _StepOfTwin(twin, batch_size)
            self._trained = step.loop(n_full, self._n_done, self._rates, *data, self._state)
            self._trained_on_rest = step.once(self._n_done, self._rates[0], *data, self._state)
            self._evaluated = step.losses(n_full, *data, self._state[0])
            self._evaluated_rest = step.loss_of_rest(*data, self._state[0])
        self._session = tf.compat.v1.Session(graph=graph, config=_one_thread_an_operation())

    def train(self, state, n_done, inputs, targets, rates):
        summed, n_full = 0.0, len(inputs) // self._batch_size
        whole = n_full * self._batch_size
        if n_full:
            feed = self._feed(inputs[:whole], targets[:whole], state, n_done, rates[:n_full])
            mean, state = self._session.run(self._trained, feed)
            summed += float(mean) * whole
        if whole < len(inputs):
            feed = self._feed(inputs[whole:], targets[whole:], state, n_done + n_full, rates[n_full:])
            mean, state = self._session.run(self._trained_on_rest, feed)
            summed += float(mean) * (len(inputs) - whole)
        return summed, state

    def evaluate(self, weights, inputs, targets):
        summed, whole = 0.0, len(inputs) // self._batch_size * self._batch_size
        if whole:
            feed = self._feed(inputs[:whole], targets[:whole], [weights])
            summed += float(self._session.run(self._evaluated, feed)) * whole
        if whole < len(inputs):
            feed = self._feed(inputs[whole:], targets[whole:], [weights])
            summed += float(self._session.run(self._evaluated_rest, feed)) * (len(inputs) - whole)
        return summed

    def _feed(self, inputs, targets, state, n_done=None, rates=None) -> dict:
        feed = {self._inputs: inputs}
        if self._targets is not self._inputs:
            feed[self._targets] = targets
        if rates is not None:
            feed |= {self._n_done: n_done, self._rates: rates}
        for placeholders, arrays in zip(self._state, state, strict=False):  # the weights alone, or all three
            feed |= dict(zip(placeholders, arrays, strict=True))
        return feed


class _StepOfTwin:
    """Steps of a training as functions from one state to the next: the weights and Adam's two averages."""

    def __init__(self, twin: Twin, batch_size: int):
        self._twin = twin
        self._batch_size = batch_size
        self._sizes = _sizes_of_parts(batch_size, _n_cores())

    def loop(self, n_steps, n_done, rates, inputs, targets, state):
        """Return the mean loss of `n_steps` batches and the state after them."""

        def body(index, summed, *values):
            batch = [self._batch(array, index) for array in (inputs, targets)]
            value, gradients = self._gradients(_three(values)[0], *batch)
            new = _adam_compiled(n_done + tf.cast(index, tf.float32), rates[index], gradients, _three(values))
            return index + 1, summed + value, *new

        start = (tf.constant(0), tf.constant(0.0), *state[0], *state[1], *state[2])
        _, summed, *values = tf.while_loop(
            lambda index, *_: index < n_steps, body, start, parallel_iterations=1
        )
        return summed / tf.cast(n_steps, tf.float32), _three(values)

    def once(self, n_done, rate, inputs, targets, state):
        """Return the mean loss of a batch of any size and the state after it."""
        weights = state[0]
        with tf.GradientTape() as tape:
            tape.watch(weights)
            value = self._twin.loss(self._twin.prepare(weights), inputs, targets, compiled=False)
        new = _adam(n_done, rate, tape.gradient(value, weights), state)
        return value, _three(new)

    def losses(self, n_steps, inputs, targets, weights):
        """Return the mean loss of `n_steps` batches."""
        prepared = self._twin.prepare(weights)

        def body(index, summed):
            batch = [tf.split(self._batch(array, index), self._sizes) for array in (inputs, targets)]
            values = [
                self._twin.loss(prepared, *part) * (size / self._batch_size)
                for *part, size in zip(*batch, self._sizes, strict=True)
            ]
            return index + 1, summed + tf.add_n(values)

        start = (tf.constant(0), tf.constant(0.0))
        _, summed = tf.while_loop(lambda index, _: index < n_steps, body, start, parallel_iterations=1)
        return summed / tf.cast(n_steps, tf.float32)

    def loss_of_rest(self, inputs, targets, weights):
        """Return the mean loss of a batch of any size."""
        return self._twin.loss(self._twin.prepare(weights), inputs, targets, compiled=False)

    def _batch(self, array, index):
        first = tf.stack([index * self._batch_size] + [0] * (len(array.shape) - 1))
        return tf.slice(array, first, [self._batch_size, *array.shape[1:]])

    def _gradients(self, weights, inputs, targets):
        """Return the mean loss of a batch and its gradients, as the sum over parts of the batch."""
        with tf.GradientTape() as tape:
            tape.watch(weights)
            prepared = self._twin.prepare(weights)
        flat = tf.nest.flatten(prepared)
        values, gradients = [], []
        for part, wanted, size in zip(
            tf.split(inputs, self._sizes), tf.split(targets, self._sizes), self._sizes, strict=True
        ):
            with tf.GradientTape() as tape_of_part:
                tape_of_part.watch(flat)
                value = self._twin.loss(prepared, part, wanted) * (size / self._batch_size)
            values.append(value)
            gradients.append(tape_of_part.gradient(value, flat))
        summed = [tf.add_n(list(parts)) for parts in zip(*gradients, strict=True)]
        return tf.add_n(values), tape.gradient(flat, weights, summed)


def _three(values):
    """Return a list cut into three of equal length."""
    n = len(values) // 3
    return [list(values[:n]), list(values[n : 2 * n]), list(values[2 * n :])]


def _adam(n_done, rate, gradients, state):
    """Return the state, in one list, after Adam's step number `n_done` + 1, in the form Keras gives it."""
    number = n_done + 1
    rate = rate * tf.sqrt(1 - _BETA_2**number) / (1 - _BETA_1**number)
    weights, firsts, seconds = state
    firsts = [m + (g - m) * (1 - _BETA_1) for m, g in zip(firsts, gradients, strict=True)]
    seconds = [v + (g * g - v) * (1 - _BETA_2) for v, g in zip(seconds, gradients, strict=True)]
    steps = [rate * m / (tf.sqrt(v) + _EPSILON) for m, v in zip(firsts, seconds, strict=True)]
    return [*(w - step for w, step in zip(weights, steps, strict=True)), *firsts, *seconds]


# The small operations for all weights as one.
_adam_compiled = tf.function(_adam, jit_compile=True, autograph=False)


def _n_cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _sizes_of_parts(batch_size: int, n_cores: int) -> list[int]:
    """Return the sizes of the parts of a batch: as equal as they can be, and as many for each core."""
    n_parts = min(_MOST_PARTS, max(1, batch_size // _SAMPLES_OF_PART), batch_size)
    n_parts = min(max(n_parts // n_cores, 1) * n_cores, max(1, batch_size // 4), _MOST_PARTS)
    return [len(part) for part in np.array_split(np.arange(batch_size), n_parts)]


def _one_thread_an_operation() -> tf.compat.v1.ConfigProto:
    n_cores = _n_cores()
    return tf.compat.v1.ConfigProto(
        intra_op_parallelism_threads=max(1, n_cores // _MOST_PARTS),
        inter_op_parallelism_threads=n_cores,
        use_per_session_threads=True,
        device_count={"GPU": 0},
    )


# The trainers of the structures trained last, by structure, loss and way to compile.
_trainers: OrderedDict[tuple, LoopTrainer | TwinTrainer] = OrderedDict()
_MOST_TRAINERS = 16


def trainer_for(
    model: keras.Model, loss: Loss, jit_compile: bool | None, n_steps: int
) -> LoopTrainer | TwinTrainer:
    """Return what trains a model: its faster twin, if it pays and `jit_compile` is None, or its loop."""
    if jit_compile is None:
        pays = n_steps >= _STEPS_WORTH_TWIN and not tf.config.list_logical_devices("GPU")
        if pays and twin_of(model, loss) is not None and _xla_works():
            return _kept(model, (loss, "twin"), lambda copy: TwinTrainer(twin_of(copy, loss)))
        jit_compile = n_steps >= _STEPS_WORTH_XLA and not _has_convolutions(model) and _xla_works()
    function = keras.losses.get(loss) if isinstance(loss, str) else loss
    return _kept(model, (loss, jit_compile), lambda copy: LoopTrainer(copy, function, jit_compile))


@functools.cache
def _xla_works() -> bool:
    """Return whether XLA compiles here; some builds of TensorFlow come without it."""
    try:
        tf.function(lambda x: x + 1, jit_compile=True)(tf.constant(0.0))
    except (tf.errors.OpError, ValueError, RuntimeError):
        return False
    return True


def _kept(model: keras.Model, key: tuple, make: Callable) -> LoopTrainer | TwinTrainer:
    """Return the trainer of a model of the same structure if there is one, else make one and keep it."""
    structure = _structure(model)
    if structure is None:
        return make(model)
    key = (structure, *key)
    if key not in _trainers:
        _trainers[key] = make(keras.models.clone_model(model))
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
    n_samples, are_same = len(targets), inputs is targets
    n_full, n_rest = divmod(n_samples, batch_size)

    def step(inputs, targets, indices, rate):
        batch = tf.gather(inputs, indices)
        # An autoencoder's batch is its own target: gathered once, it is read from memory once.
        wanted = batch if are_same else tf.gather(targets, indices)
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
        tf.TensorSpec(inputs.shape, tf.float32),
        tf.TensorSpec(targets.shape, tf.float32),
        tf.TensorSpec([n_samples], tf.int32),
        tf.TensorSpec([n_full + (n_rest > 0)], tf.float32),
    )


def _compiled_loss(model, loss_function, inputs, targets):
    """Return a function (inputs, targets) -> mean loss, for arguments of the shapes of these two."""

    # Not with XLA: it would take longer to compile than it saves in one pass after every epoch.
    @tf.function
    def mean_loss(inputs, targets):
        return tf.reduce_mean(loss_function(targets, model(inputs, training=False)))

    return mean_loss.get_concrete_function(
        *(tf.TensorSpec(tensor.shape, tf.float32) for tensor in (inputs, targets))
    )
