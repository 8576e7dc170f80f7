"""The real data sets, whole, by whatever route works here."""

from __future__ import annotations

import numpy as np
import pytest

from dae_utils.data import images as datasets
from dae_utils.data.sources import check_arrays

pytestmark = pytest.mark.data


@pytest.fixture(scope="module")
def loaded():
    """Load each set once for all tests of this file; at most one stays in memory."""
    kept = {}

    def load(name: str) -> datasets.ImageDataset:
        if name not in kept:
            kept.clear()
            kept[name] = getattr(datasets, f"load_{name}")()
        return kept[name]

    return load


SHAPES = {"mnist": (28, 28), "fashion_mnist": (28, 28), "cifar10": (32, 32, 3)}


@pytest.mark.parametrize("name", SHAPES)
def test_shapes_types_and_ranges(name, loaded):
    data = loaded(name)
    train = 50_000 if name == "cifar10" else 60_000
    assert data.x_train.shape == (train, *SHAPES[name])
    assert data.x_test.shape == (10_000, *SHAPES[name])
    assert data.y_train.shape == (train,)
    assert data.y_test.shape == (10_000,)
    for x in (data.x_train, data.x_test):
        assert x.dtype == np.float32
        assert x.min() == 0
        assert x.max() == 1
    for y in (data.y_train, data.y_test):
        assert y.dtype == np.int64
        assert set(np.unique(y)) == set(range(10))
    assert len(data.class_names) == 10
    check_arrays(datasets.SOURCES[name])


def test_digit_counts(loaded):
    data = loaded("mnist")
    assert np.bincount(data.y_train).tolist() == [
        5923, 6742, 5958, 6131, 5842, 5421, 5918, 6265, 5851, 5949,
    ]  # fmt: skip
    assert np.bincount(data.y_test).tolist() == [980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009]
    # The mean grey value that is quoted everywhere for normalising MNIST.
    assert data.x_train.mean(dtype=np.float64) == pytest.approx(0.1307, abs=5e-5)


@pytest.mark.parametrize(("name", "train"), [("fashion_mnist", 6000), ("cifar10", 5000)])
def test_balanced_sets(name, train, loaded):
    data = loaded(name)
    assert np.bincount(data.y_train).tolist() == [train] * 10
    assert np.bincount(data.y_test).tolist() == [1000] * 10


def test_colours_are_in_the_order_red_green_blue(loaded):
    """The means of the three colours, as quoted everywhere for normalising CIFAR-10."""
    data = loaded("cifar10")
    means = data.x_train.mean(axis=(0, 1, 2), dtype=np.float64)
    np.testing.assert_allclose(means, [0.4914, 0.4822, 0.4465], atol=5e-5)
