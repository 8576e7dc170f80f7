"""Keras's own training with the optimiser made beforehand: fewer graphs, the same numbers."""

import keras
import numpy as np
import pytest

from dae_utils.training import trace_once


@pytest.fixture
def plain_fit(monkeypatch):
    """Put the `fit` of Keras back afterwards, for the tests that come after."""
    monkeypatch.setattr(keras.Model, "fit", keras.Model.fit)


def train() -> tuple[keras.Model, list[float], list[int]]:
    """Train a small network; return it, its losses, and an entry for each graph that was made of its loss."""
    graphs = []

    def loss(targets, outputs):
        graphs.append(1)
        return keras.ops.mean(keras.ops.square(targets - outputs), axis=-1)

    keras.utils.set_random_seed(0)
    model = keras.Sequential(
        [keras.Input((3,)), keras.layers.Dense(4, activation="relu"), keras.layers.Dense(3)]
    )
    model.compile(optimizer=keras.optimizers.Adam(1e-2), loss=loss)
    x = np.random.default_rng(0).normal(size=(64, 3)).astype("float32")
    history = model.fit(x, x, epochs=3, batch_size=16, verbose=0)
    return model, history.history["loss"], graphs


def test_the_step_is_traced_once_and_the_numbers_are_the_same(plain_fit):
    model, losses, graphs = train()
    assert len(graphs) == 2  # else Keras does this by itself by now, and `trace_once` can go
    trace_once()
    same_model, same_losses, fewer_graphs = train()
    assert len(fewer_graphs) == 1
    assert same_losses == losses
    for weights, same_weights in zip(model.get_weights(), same_model.get_weights(), strict=True):
        np.testing.assert_array_equal(weights, same_weights)


def test_it_changes_keras_once_however_often_it_is_called(plain_fit):
    trace_once()
    changed = keras.Model.fit
    trace_once()
    assert keras.Model.fit is changed


def test_what_cannot_be_made_beforehand_is_left_to_keras(plain_fit):
    trace_once()
    x = np.ones((4, 2), "float32")
    not_built = keras.Sequential([keras.layers.Dense(2)])
    not_built.compile(loss="mse")
    not_built.fit(x, x, verbose=0)
    assert not_built.built
    not_compiled = keras.Sequential([keras.Input((2,)), keras.layers.Dense(2)])
    with pytest.raises(ValueError, match="compile"):
        not_compiled.fit(x, x, verbose=0)
