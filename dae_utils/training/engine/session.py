"""The steps of a training of a fused network, in a TensorFlow session of its own.

Two things make it fast beside the fused form. A step is cut into parts that fit into the processor's cache
and whose gradients are added up. And each core takes parts of its own, from the first layer to the last,
where TensorFlow otherwise lets all cores share each operation and wait for each other after it. TensorFlow
sets the number of threads for an operation once for the whole process; a session, from its first interface,
can have its own, and the rest of the process keeps what it has.
"""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from dae_utils.training.batches import FloatArray, TrainingPairs
from dae_utils.training.engine.adam import BETA_1, State
from dae_utils.training.engine.fused import FusedNetwork
from dae_utils.training.engine.fused_loop import MOST_PARTS, FusedLoop, n_cores
from dae_utils.training.trainer import Change

__all__ = ["FusedTrainer"]


class FusedTrainer:
    """A `CompiledTrainer`, see there, of a fused network; between calls its state lies in NumPy arrays."""

    def __init__(self, network: FusedNetwork, batch_size: int):
        self._network = network
        self._batch_size = batch_size
        self._programs: dict[tuple[Any, ...], _Program] = {}
        self._state: State = []
        self._rates = np.empty(0, np.float32)
        self._n_done = 0

    def start(self, model: keras.Model, rates: NDArray[np.float32]) -> None:
        """Take the weights of a model, and begin anew with these learning rates."""
        self._rates = rates
        self._begin([keras.ops.convert_to_numpy(variable) for variable in model.trainable_variables])

    def finish(self, model: keras.Model) -> None:
        """Give the model the weights that were learnt."""
        for variable, weight in zip(model.trainable_variables, self.get_weights(), strict=True):
            variable.assign(weight)

    def first_step(self, samples: TrainingPairs, start: int) -> tuple[float, list[FloatArray]]:
        """Return the loss of the batch that begins at `start`, and its gradients."""
        inputs = samples.inputs[start : start + self._batch_size]
        targets = inputs if samples.are_one_array else samples.targets[start : start + self._batch_size]
        program = self._program_for(inputs, targets)
        summed, state = program.train(self._state, 0, inputs, targets, np.zeros(1, np.float32))
        return summed / self._batch_size, [average / (1 - BETA_1) for average in state[1]]

    def train_epoch(self, samples: TrainingPairs, order: NDArray[np.integer], change: Change | None) -> float:
        """Train on all samples in an order and return their mean loss."""
        summed = 0.0
        for piece in samples.pieces(order, self._batch_size):
            inputs = piece.inputs if change is None else change(piece.inputs)
            program = self._program_for(inputs, piece.targets)
            rates = self._rates[self._n_done : self._n_done + -(-len(piece) // self._batch_size)]
            of_piece, self._state = program.train(self._state, self._n_done, inputs, piece.targets, rates)
            summed += of_piece
            self._n_done += len(rates)
        return summed / len(order)

    def mean_loss(self, samples: TrainingPairs) -> float:
        """Return the mean loss of the samples, without training."""
        summed = 0.0
        for piece in samples.pieces(np.arange(len(samples)), self._batch_size):
            program = self._program_for(piece.inputs, piece.targets)
            summed += program.evaluate(self.get_weights(), piece.inputs, piece.targets)
        return summed / len(samples)

    def get_weights(self) -> list[FloatArray]:
        """Return the weights as they are now."""
        return self._state[0]

    def set_weights(self, weights: list[FloatArray]) -> None:
        """Go on from these weights."""
        self._state = [weights, *self._state[1:]]

    def _begin(self, weights: list[FloatArray]) -> None:
        zeros: list[FloatArray] = [np.zeros_like(weight) for weight in weights]
        self._state, self._n_done = [weights, zeros, zeros], 0

    def _program_for(self, inputs: FloatArray, targets: FloatArray) -> _Program:
        key = (inputs.shape[1:], None if inputs is targets else targets.shape[1:])
        if key not in self._programs:
            self._programs[key] = _Program(self._network, *key, self._batch_size)
        return self._programs[key]


class _Program:
    """The compiled loops of a fused network for samples of one shape and batches of one size."""

    def __init__(
        self,
        network: FusedNetwork,
        sample_shape: tuple[int, ...],
        target_shape: tuple[int, ...] | None,
        batch_size: int,
    ):
        self._batch_size = batch_size
        with tf.Graph().as_default() as graph:
            placeholder = tf.compat.v1.placeholder
            shapes = [variable.shape for variable in network.weights]
            self._state: State = [[placeholder(tf.float32, shape) for shape in shapes] for _ in range(3)]
            self._n_done = placeholder(tf.float32, ())
            self._rates = placeholder(tf.float32, (None,))
            self._inputs = placeholder(tf.float32, (None, *sample_shape))
            self._targets = (
                self._inputs if target_shape is None else placeholder(tf.float32, (None, *target_shape))
            )
            data = (self._inputs, self._targets)
            n_full = tf.shape(self._inputs)[0] // batch_size
            loop = FusedLoop(network, batch_size)
            self._trained = loop.steps(n_full, self._n_done, self._rates, *data, self._state)
            self._trained_on_rest = loop.step_of_rest(self._n_done, self._rates[0], *data, self._state)
            self._evaluated = loop.losses(n_full, *data, self._state[0])
            self._evaluated_rest = loop.loss_of_rest(*data, self._state[0])
        self._session = tf.compat.v1.Session(graph=graph, config=_one_thread_an_operation())

    def train(
        self,
        state: State,
        n_done: int,
        inputs: FloatArray,
        targets: FloatArray,
        rates: NDArray[np.float32],
    ) -> tuple[float, State]:
        """Train on samples, which stand in order, and return the sum of their losses and the new state."""
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

    def evaluate(self, weights: list[FloatArray], inputs: FloatArray, targets: FloatArray) -> float:
        """Return the sum of the losses of samples, without training."""
        summed, whole = 0.0, len(inputs) // self._batch_size * self._batch_size
        if whole:
            feed = self._feed(inputs[:whole], targets[:whole], [weights])
            summed += float(self._session.run(self._evaluated, feed)) * whole
        if whole < len(inputs):
            feed = self._feed(inputs[whole:], targets[whole:], [weights])
            summed += float(self._session.run(self._evaluated_rest, feed)) * (len(inputs) - whole)
        return summed

    def _feed(
        self,
        inputs: FloatArray,
        targets: FloatArray,
        state: State,
        n_done: int | None = None,
        rates: NDArray[np.float32] | None = None,
    ) -> dict[Any, Any]:
        feed: dict[Any, Any] = {self._inputs: inputs}
        if self._targets is not self._inputs:
            feed[self._targets] = targets
        if rates is not None:
            feed |= {self._n_done: n_done, self._rates: rates}
        for placeholders, arrays in zip(self._state, state, strict=False):  # the weights alone, or all three
            feed |= dict(zip(placeholders, arrays, strict=True))
        return feed


def _one_thread_an_operation() -> tf.compat.v1.ConfigProto:
    return tf.compat.v1.ConfigProto(
        intra_op_parallelism_threads=max(1, n_cores() // MOST_PARTS),
        inter_op_parallelism_threads=n_cores(),
        use_per_session_threads=True,
        device_count={"GPU": 0},
    )
