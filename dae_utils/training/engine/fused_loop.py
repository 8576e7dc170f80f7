"""The graph of a training of a fused network: steps as functions from one state to the next."""

from __future__ import annotations

import os
from typing import Any

import numpy as np
import tensorflow as tf

from dae_utils.training.engine.adam import State, adam, adam_compiled, state_from
from dae_utils.training.engine.fused import FusedNetwork

__all__ = ["MOST_PARTS", "FusedLoop", "n_cores", "sizes_of_parts"]

# A step is cut into parts of about so many samples, at most so many: they fit into the processor's cache.
_SAMPLES_OF_PART, MOST_PARTS = 32, 8


def n_cores() -> int:
    """Return how many cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def sizes_of_parts(batch_size: int, n_cores: int) -> list[int]:
    """Return the sizes of the parts of a batch: as equal as they can be, and as many for each core."""
    n_parts = min(MOST_PARTS, max(1, batch_size // _SAMPLES_OF_PART), batch_size)
    n_parts = min(max(n_parts // n_cores, 1) * n_cores, max(1, batch_size // 4), MOST_PARTS)
    return [len(part) for part in np.array_split(np.arange(batch_size), n_parts)]


class FusedLoop:
    """Steps of a training as functions from one state to the next, for batches of one size."""

    def __init__(self, network: FusedNetwork, batch_size: int):
        self._network = network
        self._batch_size = batch_size
        self._sizes = sizes_of_parts(batch_size, n_cores())

    def steps(
        self,
        n_steps: tf.Tensor,
        n_done: tf.Tensor,
        rates: tf.Tensor,
        inputs: tf.Tensor,
        targets: tf.Tensor,
        state: State,
    ) -> tuple[tf.Tensor, State]:
        """Return the mean loss of `n_steps` batches and the state after them."""

        def body(index: tf.Tensor, summed: tf.Tensor, *values: tf.Tensor) -> Any:
            batch = [self._batch(array, index) for array in (inputs, targets)]
            value, gradients = self._gradients(state_from(values)[0], *batch)
            done = n_done + tf.cast(index, tf.float32)
            new = adam_compiled(done, rates[index], gradients, state_from(values))
            return index + 1, summed + value, *new

        start = (tf.constant(0), tf.constant(0.0), *state[0], *state[1], *state[2])
        _, summed, *values = tf.while_loop(
            lambda index, *_: index < n_steps, body, start, parallel_iterations=1
        )
        return summed / tf.cast(n_steps, tf.float32), state_from(values)

    def step_of_rest(
        self, n_done: tf.Tensor, rate: tf.Tensor, inputs: tf.Tensor, targets: tf.Tensor, state: State
    ) -> tuple[tf.Tensor, State]:
        """Return the mean loss of a batch of any size and the state after it."""
        weights = state[0]
        with tf.GradientTape() as tape:
            tape.watch(weights)
            value = self.loss_of_rest(inputs, targets, weights)
        return value, state_from(adam(n_done, rate, tape.gradient(value, weights), state))

    def losses(
        self, n_steps: tf.Tensor, inputs: tf.Tensor, targets: tf.Tensor, weights: list[Any]
    ) -> tf.Tensor:
        """Return the mean loss of `n_steps` batches."""
        prepared = self._network.prepare(weights)

        def body(index: tf.Tensor, summed: tf.Tensor) -> Any:
            batch = [tf.split(self._batch(array, index), self._sizes) for array in (inputs, targets)]
            values = [
                self._network.loss(prepared, *part) * (size / self._batch_size)
                for *part, size in zip(*batch, self._sizes, strict=True)
            ]
            return index + 1, summed + tf.add_n(values)

        start = (tf.constant(0), tf.constant(0.0))
        _, summed = tf.while_loop(lambda index, _: index < n_steps, body, start, parallel_iterations=1)
        return summed / tf.cast(n_steps, tf.float32)

    def loss_of_rest(self, inputs: tf.Tensor, targets: tf.Tensor, weights: list[Any]) -> tf.Tensor:
        """Return the mean loss of a batch of any size."""
        return self._network.loss(self._network.prepare(weights), inputs, targets, compiled=False)

    def _batch(self, array: tf.Tensor, index: tf.Tensor) -> tf.Tensor:
        first = tf.stack([index * self._batch_size] + [0] * (len(array.shape) - 1))
        return tf.slice(array, first, [self._batch_size, *array.shape[1:]])

    def _gradients(
        self, weights: list[Any], inputs: tf.Tensor, targets: tf.Tensor
    ) -> tuple[tf.Tensor, list[Any]]:
        """Return the mean loss of a batch and its gradients, as the sum over parts of the batch."""
        with tf.GradientTape() as tape:
            tape.watch(weights)
            prepared = self._network.prepare(weights)
        flat = tf.nest.flatten(prepared)
        values, gradients = [], []
        for part, wanted, size in zip(
            tf.split(inputs, self._sizes), tf.split(targets, self._sizes), self._sizes, strict=True
        ):
            with tf.GradientTape() as tape_of_part:
                tape_of_part.watch(flat)
                value = self._network.loss(prepared, part, wanted) * (size / self._batch_size)
            values.append(value)
            gradients.append(tape_of_part.gradient(value, flat))
        summed = [tf.add_n(list(parts)) for parts in zip(*gradients, strict=True)]
        return tf.add_n(values), tape.gradient(flat, weights, summed)
