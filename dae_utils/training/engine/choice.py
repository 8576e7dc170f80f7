"""Which compiled form trains a network, and with which versions of TensorFlow. Nothing here computes."""

from __future__ import annotations

import functools
from typing import Literal

import keras
import tensorflow as tf

from dae_utils.training.engine.compiled_loop import CompiledLoop
from dae_utils.training.engine.compiled_trainer import CompiledTrainer
from dae_utils.training.engine.fused import fuse
from dae_utils.training.engine.session import FusedTrainer
from dae_utils.training.engine.structure import draws_random_numbers, has_convolutions
from dae_utils.training.trainer import Loss

__all__ = ["TESTED_VERSIONS", "Form", "compiled", "form_for", "is_tested_version"]

# The versions of TensorFlow, without their last number, with which the tests of the engine ran.
TESTED_VERSIONS = ("2.21",)

Form = Literal["fused", "xla", "loop"]

# Steps after which what XLA saves makes up for its longer compilation: measured with networks of the book.
_STEPS_WORTH_XLA = 2000

# The same for the fused form of a convolutional network, whose clusters take two seconds to compile.
_STEPS_WORTH_FUSION = 100


def is_tested_version() -> bool:
    """Return whether the engine was tested with the installed version of TensorFlow."""
    return ".".join(tf.__version__.split(".")[:2]) in TESTED_VERSIONS


def form_for(model: keras.Model, loss: Loss, n_steps: int, setting: str = "auto") -> Form:
    """Return the form that trains a model soonest, its compilation included.

    Args:
        model: a built Keras model.
        loss: its loss, by name or as a function.
        n_steps: the steps of the whole training.
        setting: "auto"; "loop" for the loop without XLA in any case; "long" for what a long training gets.

    Returns:
        "fused" for the fused form of a convolutional network, on a processor; "xla" for the loop of the model
        itself, compiled with XLA, which makes each step of a dense network faster; "loop" without it.
    """
    if setting == "loop":
        return "loop"
    is_long = setting == "long"
    is_worth_fusion = is_long or n_steps >= _STEPS_WORTH_FUSION
    may_fuse = is_worth_fusion and not tf.config.list_logical_devices("GPU") and _xla_works()
    if may_fuse and fuse(model, loss) is not None:
        return "fused"
    # XLA draws random numbers slowly, and others than Keras draws, so that nothing could be compared.
    is_for_xla = not has_convolutions(model) and not draws_random_numbers(model)
    is_worth_xla = is_long or n_steps >= _STEPS_WORTH_XLA
    return "xla" if is_for_xla and is_worth_xla and _xla_works() else "loop"


def compiled(model: keras.Model, loss: Loss, form: Form, batch_size: int) -> CompiledTrainer:
    """Return the trainer of a form for a model and those of its structure; it compiles when it is used."""
    if form == "fused":
        network = fuse(model, loss)
        if network is None:
            raise TypeError("this network has no fused form")
        return FusedTrainer(network, batch_size)
    return CompiledLoop(model, keras.losses.get(loss), batch_size, jit_compile=form == "xla")


@functools.cache
def _xla_works() -> bool:
    """Return whether XLA compiles here; some builds of TensorFlow come without it."""
    try:
        tf.function(lambda x: x + 1, jit_compile=True)(tf.constant(0.0))
    except (tf.errors.OpError, ValueError, RuntimeError):
        return False
    return True
