"""The networks that `tools.bench` times, as the chapters' listings have them, with data and settings."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import keras
import numpy as np
from keras import layers

__all__ = ["NETWORKS", "Network", "multiply_adds", "training_images", "training_seconds_at"]


@dataclass(frozen=True)
class Schedule:
    """Settings of a training with a one-cycle schedule, chosen on validation data."""

    epochs: int
    batch_size: int
    learning_rate: float


@dataclass(frozen=True)
class Network:
    """A listing: its network, data and training, and the schedule that replaces the latter.

    Attributes:
        title: for people.
        build: returns a new model.
        load: returns the training data as the network takes them, float32.
        loss: its name in Keras.
        epochs, batch_size: of the listing.
        dtype: of the arrays that the listing passes to `model.fit`.
        sooner: the schedule that is to reach the listing's final loss.
    """

    title: str
    build: Callable[[], keras.Model]
    load: Callable[[], np.ndarray]
    loss: str
    epochs: int
    batch_size: int
    sooner: Schedule
    dtype: str = "float32"


def _dense(n_values: int, *hidden: int) -> keras.Model:
    parts = [layers.Dense(size, activation="relu") for size in hidden]
    return keras.Sequential([keras.Input((n_values,)), *parts, layers.Dense(n_values, activation="sigmoid")])


def _convolutional(before: tuple[int, ...], after: tuple[int, ...]) -> keras.Model:
    parts = []
    for filters in before:
        parts += [layers.Conv2D(filters, 3, activation="relu", padding="same"), layers.MaxPooling2D(2)]
    for filters in after:
        parts += [layers.Conv2D(filters, 3, activation="relu", padding="same"), layers.UpSampling2D(2)]
    last = layers.Conv2D(3, 3, activation="sigmoid", padding="same")
    return keras.Sequential([keras.Input((32, 32, 3)), *parts, last])


def training_images(name: str) -> np.ndarray:
    """Return the training images of a data set, float32 in [0, 1]."""
    from dae_utils.data import images as datasets

    return getattr(datasets, f"load_{name}")().x_train


def _flat(name: str) -> np.ndarray:
    images = training_images(name)
    return images.reshape(len(images), -1)


def _beats() -> np.ndarray:
    from dae_utils.data import load_heartbeats, random_split

    beats = load_heartbeats()
    return beats.beats[random_split(beats).train]


NETWORKS = {
    "mnist_dense": Network(
        "MNIST, 784-64-784",
        lambda: _dense(784, 64),
        lambda: _flat("mnist"),
        "binary_crossentropy",
        epochs=10,
        batch_size=256,
        dtype="float64",
        sooner=Schedule(1, 64, 0.02),
    ),
    "fashion_mnist_deep": Network(
        "Fashion-MNIST, 784-128-64-32-64-128-784",
        lambda: _dense(784, 128, 64, 32, 64, 128),
        lambda: _flat("fashion_mnist"),
        "binary_crossentropy",
        epochs=20,
        batch_size=256,
        sooner=Schedule(4, 64, 0.007),
    ),
    "mitbih_dense": Network(
        "MIT-BIH, 187-64-32-64-187",
        lambda: _dense(187, 64, 32, 64),
        _beats,
        "mean_squared_error",
        epochs=50,
        batch_size=256,
        sooner=Schedule(8, 32, 0.005),
    ),
    "cifar10_conv": Network(
        "CIFAR-10, convolutional, code 4-4-8",
        lambda: _convolutional((32, 16, 8), (8, 16, 32)),
        lambda: training_images("cifar10"),
        "binary_crossentropy",
        epochs=50,
        batch_size=128,
        sooner=Schedule(4, 16, 0.01),
    ),
    "cifar10_pixel": Network(
        "CIFAR-10, convolutional, code 8-8-16",
        lambda: _convolutional((32, 16), (16, 32)),
        lambda: training_images("cifar10"),
        "binary_crossentropy",
        epochs=50,
        batch_size=128,
        sooner=Schedule(4, 32, 0.01),
    ),
}


def multiply_adds(model: keras.Model) -> int:
    """Return the multiplications (each with its addition) that a training step needs for one sample.

    Forwards each weight of a convolution is used once for every pixel of its output, each weight of a dense
    layer once. Backwards the same number is needed twice: for the gradient of the weights and for that of the
    inputs, which the first layer does without.
    """
    forwards = []
    for layer in model.layers:
        if isinstance(layer, layers.Conv2D):
            forwards.append(layer.kernel.shape.num_elements() * int(np.prod(layer.output.shape[1:3])))
        elif isinstance(layer, layers.Dense):
            forwards.append(layer.kernel.shape.num_elements())
    return 3 * sum(forwards) - forwards[0]


def training_seconds_at(speed: float, model: keras.Model, n_samples: int) -> float:
    """Return how long an epoch takes a machine that does nothing but multiply, at `speed` in operations/s."""
    return 2 * multiply_adds(model) * n_samples / speed
