"""The fast engine for TensorFlow on a processor. `engine_for` is its only door, and only `fit` opens it.

A small network spends most of ``model.fit`` outside arithmetic: in the Python loop, in the input pipeline and
in launching hundreds of small operations a batch. The engine takes the steps in one compiled loop, of the
Keras model itself (`compiled_loop`) or, for convolutional networks, of a fused form of it (`session`).
Compiling takes a second or two and some memory for good, so networks of the same structure share what was
compiled for the first of them (`cache`).

It stands aside, without a warning, and Keras alone trains the network

* where the backend of Keras is not TensorFlow,
* for versions of TensorFlow with which it was not tested, see `choice.TESTED_VERSIONS`; the logger
  "dae_utils" says so at the level INFO,
* where the environment variable ``DAE_ENGINE`` is ``plain``.

It also checks itself: before its first step it compares its loss and gradients with those of the Keras model
on one batch (`self_check`). Where they differ by more than 1e-4 it says so once, and Keras trains.

Everything that imports TensorFlow is in this package, and is imported when it is needed.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

import keras
import numpy as np
from numpy.typing import NDArray

from dae_utils.training.batches import TrainingPairs
from dae_utils.training.trainer import Loss, Trainer

__all__ = ["engine_for"]

# TensorFlow decides with its first operation in a process whether all its devices share one pool of threads.
# The sessions that train convolutional networks have a pool each, see `session`. This has to be said before
# that operation, so here, on import; a program that has used TensorFlow before gets the same numbers from
# a slower training. Other work is not affected.
os.environ.setdefault("TF_OVERRIDE_GLOBAL_THREADPOOL", "1")

# What DAE_ENGINE may be. The last two are for measurements: the compiled loop of the Keras model without its
# fused form and without XLA, and what is chosen for a training of many steps.
_SETTINGS = ("auto", "plain", "loop", "long")


@contextmanager
def engine_for(
    model: keras.Model, loss: Loss, samples: TrainingPairs, rates: NDArray[np.float32], batch_size: int
) -> Iterator[Trainer | None]:
    """Give what trains a model with the engine, for one training; None where Keras alone is to train it.

    At the end of the context the model has the weights that were learnt, also after an error or an
    interruption.

    Args:
        model: a built Keras model.
        loss: its loss, by name or as a function.
        samples: what it will be trained on; on the first of them the engine checks itself.
        rates: the learning rate of every step, shape (steps,).
        batch_size: samples a step, at most the number of samples.

    Raises:
        ValueError: DAE_ENGINE is set to something that it cannot be.
    """
    setting = os.environ.get("DAE_ENGINE", "") or "auto"
    if setting not in _SETTINGS:
        raise ValueError(f"DAE_ENGINE must be 'auto' or 'plain', not {setting!r}: set it anew, or unset it.")
    if keras.backend.backend() != "tensorflow" or setting == "plain":
        yield None
        return
    from dae_utils.training.engine.self_check import checked_trainer

    with checked_trainer(model, loss, samples, rates, batch_size, setting) as trainer:
        yield trainer
