"""A shorter way into Keras's own training loop, for runs of so few steps that they mostly prepare.

TensorFlow turns the training step into a graph when the first step is taken. Keras makes the variables of the
optimiser at the same moment, and a step that makes variables has to be turned into a graph a second time. For
a small network this takes half a second, as long as hundreds of steps.
"""

from __future__ import annotations

import functools
from typing import Any

import keras

__all__ = ["trace_once"]


def trace_once() -> None:
    """Let ``fit`` of all Keras models make the optimiser's variables before the first step.

    The variables start at zero either way, and the numbers stay the same. A model that is not built before
    ``fit`` is trained as usual.
    """
    fit = keras.Model.fit
    if hasattr(fit, "traces_once"):
        return

    @functools.wraps(fit)
    def fit_built(model: keras.Model, *arguments: Any, **settings: Any) -> Any:
        optimizer = getattr(model, "optimizer", None)
        if model.built and optimizer is not None and not optimizer.built:
            optimizer.build(model.trainable_variables)
        return fit(model, *arguments, **settings)

    fit_built.traces_once = True  # type: ignore[attr-defined]
    keras.Model.fit = fit_built
