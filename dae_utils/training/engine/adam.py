"""Adam as a function from one state to the next, in the form that Keras gives it. Nothing here keeps a state.

Kingma and Ba 2015, "Adam: a method for stochastic optimization", arXiv:1412.6980; the correction of the bias
is part of the rate, as at the end of their section 2, and epsilon is added before it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import tensorflow as tf

__all__ = ["BETA_1", "State", "adam", "adam_compiled", "state_from"]

# The settings of Keras, without the learning rate.
BETA_1, BETA_2, EPSILON = 0.9, 0.999, 1e-7

# The weights, the averages of the gradients and those of their squares, each in the order of the variables.
State = list[list[Any]]


def state_from(values: Sequence[Any]) -> State:
    """Return a state that was passed as one list."""
    n = len(values) // 3
    return [list(values[:n]), list(values[n : 2 * n]), list(values[2 * n :])]


def adam(n_done: tf.Tensor, rate: tf.Tensor, gradients: Sequence[tf.Tensor], state: State) -> list[tf.Tensor]:
    """Return the state, in one list, after Adam's step number `n_done` + 1."""
    number = n_done + 1
    rate = rate * tf.sqrt(1 - BETA_2**number) / (1 - BETA_1**number)
    weights, firsts, seconds = state
    firsts = [m + (g - m) * (1 - BETA_1) for m, g in zip(firsts, gradients, strict=True)]
    seconds = [v + (g * g - v) * (1 - BETA_2) for v, g in zip(seconds, gradients, strict=True)]
    steps = [rate * m / (tf.sqrt(v) + EPSILON) for m, v in zip(firsts, seconds, strict=True)]
    return [*(w - step for w, step in zip(weights, steps, strict=True)), *firsts, *seconds]


# The small operations for all weights as one.
adam_compiled = tf.function(adam, jit_compile=True, autograph=False)
