"""Other backends of Keras: every kind of network of the book trains there, and weights go both ways.

A process has one backend, so the other one has a process of its own.
"""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys

import keras
import numpy as np
import pytest
from keras import layers

from dae_utils.networks.builders import autoencoder, dense_autoencoder
from dae_utils.training import fit
from dae_utils.training.engine import engine_for

SAME = {"padding": "same"}

needs_jax = pytest.mark.skipif(
    keras.backend.backend() == "tensorflow" and importlib.util.find_spec("jax") is None,
    reason="jax is not installed",
)
here = pytest.mark.skipif(keras.backend.backend() != "tensorflow", reason="this is the other process")
there = pytest.mark.skipif(keras.backend.backend() == "tensorflow", reason="runs in the other process")


class Draw(layers.Layer):
    """Draw a code around its mean in training, with a price, as the book's variational networks do."""

    def __init__(self, **settings):
        super().__init__(**settings)
        self.generator = keras.random.SeedGenerator(0)

    def call(self, inputs, training=False):
        mean, log_variance = keras.ops.split(inputs, 2, axis=1)
        terms = keras.ops.square(mean) + keras.ops.exp(log_variance) - log_variance - 1
        self.add_loss(0.01 * keras.ops.mean(keras.ops.sum(terms, axis=1) / 2))
        noise = keras.random.normal(keras.ops.shape(mean), seed=self.generator)
        return mean + keras.ops.exp(log_variance / 2) * noise if training else mean


def images() -> keras.Model:
    parts = [layers.Conv2D(4, 3, **SAME, activation="relu"), layers.MaxPooling2D(2)]
    parts += [layers.Conv2D(4, 3, **SAME, activation="relu"), layers.UpSampling2D(2)]
    return keras.Sequential(
        [keras.Input((8, 8, 2)), *parts, layers.Conv2D(2, 3, **SAME, activation="sigmoid")]
    )


def strided() -> keras.Model:
    encoder = keras.Sequential(
        [keras.Input((8, 8, 2)), layers.Conv2D(4, 3, 2, **SAME), layers.AveragePooling2D(2)]
    )
    decoder = keras.Sequential(
        [
            keras.Input((2, 2, 4)),
            layers.Conv2DTranspose(3, 3, 2, **SAME, activation="relu"),
            layers.Conv2DTranspose(2, 3, 3, **SAME, activation="sigmoid"),
            layers.Cropping2D(2),
        ]
    )
    return autoencoder(encoder, decoder)


def normalised() -> keras.Model:
    parts = [layers.Dense(6), layers.BatchNormalization(), layers.ReLU(), layers.Dropout(0.2)]
    return keras.Sequential([keras.Input((12,)), layers.GaussianNoise(0.1), *parts, layers.Dense(12)])


def variational() -> keras.Model:
    parts = [layers.Dense(6), Draw(), layers.Dense(12, activation="sigmoid")]
    return keras.Sequential([keras.Input((12,)), *parts])


def recurrent() -> keras.Model:
    parts = [layers.GRU(4), layers.RepeatVector(6), layers.GRU(4, return_sequences=True)]
    return keras.Sequential([keras.Input((6, 2)), *parts, layers.TimeDistributed(layers.Dense(2))])


def joined() -> keras.Model:
    inputs = keras.Input((12,))
    code = layers.Concatenate()([layers.Dense(3, "relu")(inputs), layers.Dense(2, "tanh")(inputs)])
    return keras.Model(inputs, layers.Reshape((12,))(layers.Dense(12, "sigmoid")(code)))


NETWORKS = {
    "dense": lambda: dense_autoencoder(12, (8,), 4),
    "images": images,
    "strided": strided,
    "normalised": normalised,
    "variational": variational,
    "recurrent": recurrent,
    "joined": joined,
}


def prepared(name: str) -> tuple[keras.Model, np.ndarray]:
    """Return a network with weights that depend on its name alone, and data for it."""
    model, rng = NETWORKS[name](), np.random.default_rng(len(name))
    model.set_weights([w + 0.1 * rng.random(w.shape, np.float32) * (w.ndim > 1) for w in model.get_weights()])
    if model.count_params() and not any(
        isinstance(layer, layers.BatchNormalization) for layer in model.layers
    ):
        model.set_weights([rng.normal(0, 0.3, w.shape).astype(np.float32) for w in model.get_weights()])
    return model, rng.random((20, *model.input_shape[1:]), np.float32)


@there
@pytest.mark.parametrize("name", NETWORKS)
def test_every_kind_of_network_trains_with_fit_and_with_keras(name):
    model, x = prepared(name)
    history = fit(model, x[:16], epochs=3, batch_size=16, learning_rate=0.01)
    assert np.isfinite(history.loss).all()
    model.compile("adam", "mean_squared_error")
    assert np.isfinite(model.fit(x[:16], x[:16], epochs=1, batch_size=16, verbose=0).history["loss"]).all()


@there
def test_nothing_loads_tensorflow_here():
    with engine_for(images(), "mean_squared_error", None, np.ones(10**6), 8) as engine:
        assert engine is None
    assert "tensorflow" not in sys.modules


@there
@pytest.mark.parametrize("name", ["dense", "images", "strided", "joined"])
def test_what_is_learnt_here_is_what_tensorflow_learns(name):
    from pathlib import Path

    folder = Path(os.environ["FOLDER_OF_THIS_TEST"])
    model, x = prepared(name)
    model.load_weights(folder / f"{name}.start.weights.h5")
    history = fit(model, x, validation_data=x, epochs=2, batch_size=8, learning_rate=0.01, seed=3)
    theirs = np.load(folder / f"{name}.npz")
    np.testing.assert_allclose(history.loss, theirs["loss"], rtol=1e-4)
    np.testing.assert_allclose(history.validation_loss, theirs["validation_loss"], rtol=1e-4)
    np.testing.assert_allclose(model.predict(x, verbose=0), theirs["outputs"], atol=1e-4)
    model.load_weights(folder / f"{name}.weights.h5")
    np.testing.assert_allclose(model.predict(x, verbose=0), theirs["outputs"], atol=1e-5)
    model.save_weights(folder / f"{name}.back.weights.h5")


@here
@needs_jax
@pytest.mark.timeout(1800)
def test_all_of_this_on_jax(tmp_path):
    outputs = {}
    for name in ("dense", "images", "strided", "joined"):
        model, x = prepared(name)
        model.save_weights(tmp_path / f"{name}.start.weights.h5")
        history = fit(model, x, validation_data=x, epochs=2, batch_size=8, learning_rate=0.01, seed=3)
        model.save_weights(tmp_path / f"{name}.weights.h5")
        outputs[name] = model.predict(x, verbose=0)
        np.savez(
            tmp_path / f"{name}.npz",
            loss=history.loss,
            validation_loss=history.validation_loss,
            outputs=outputs[name],
        )
    finished = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "no:xdist", __file__],
        env={**os.environ, "KERAS_BACKEND": "jax", "FOLDER_OF_THIS_TEST": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert finished.returncode == 0, finished.stdout[-3000:] + finished.stderr[-1000:]
    assert "12 passed" in finished.stdout
    for name, expected in outputs.items():
        model, x = prepared(name)
        model.load_weights(tmp_path / f"{name}.back.weights.h5")
        np.testing.assert_allclose(model.predict(x, verbose=0), expected, atol=1e-5)
