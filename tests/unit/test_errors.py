"""Errors of reconstructions: known answers, Keras, and faults."""

import keras
import numpy as np
import pytest
from toy_samples import samples

from dae_utils.detection import binary_cross_entropy, cross_entropy_floor, reconstruction_error


def test_reconstruction_error_by_hand():
    x = np.array([[[0.0, 1.0], [0.5, 0.5]], [[1.0, 1.0], [1.0, 1.0]]])
    copy = np.array([[[0.0, 0.5], [0.5, 0.5]], [[0.0, 0.0], [1.0, 1.0]]])
    np.testing.assert_allclose(reconstruction_error(x, copy), [0.25 / 4, 0.5])
    np.testing.assert_allclose(reconstruction_error(x, copy, kind="absolute"), [0.5 / 4, 0.5])


def test_masked_error_averages_over_what_counts():
    x = np.array([[1.0, 2.0, 3.0, 99.5], [1.0, 1.0, 1.0, 1.0]])
    copy = np.zeros((2, 4))
    mask = [[1, 1, 0, 0], [1, 1, 1, 1]]
    np.testing.assert_allclose(reconstruction_error(x, copy, mask), [(1 + 4) / 2, 1])
    np.testing.assert_allclose(reconstruction_error(x, copy, mask, "absolute"), [1.5, 1])
    # One mask for all samples, and all values counted.
    np.testing.assert_allclose(reconstruction_error(x, copy, [True, False, True, False]), [(1 + 9) / 2, 1])
    np.testing.assert_allclose(reconstruction_error(x, copy, np.ones((2, 1))), reconstruction_error(x, copy))


def test_reconstruction_error_leaves_its_input_alone():
    x, copy = samples(3, 4), samples(3, 4, seed=1)
    before = x.copy(), copy.copy()
    reconstruction_error(x, copy, np.ones((3, 4)))
    np.testing.assert_array_equal(x, before[0])
    np.testing.assert_array_equal(copy, before[1])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((samples(2, 4), samples(2, 5)), "must match value for value"),
        ((samples(2, 4), np.full((2, 4), np.nan)), "reconstruction holds NaN"),
        ((np.array([["a"] * 4] * 2), samples(2, 4)), "must hold real numbers"),
        ((np.empty((0, 4)), np.empty((0, 4))), "empty"),
        (
            (samples(2, 4), samples(2, 4), [[1, 1, 0, 0], [0, 0, 0, 0]]),
            r"1 samples \(the first is number 1\)",
        ),
        ((samples(2, 4), samples(2, 4), [1, 0, 1]), "mask has shape"),
        ((samples(2, 4), samples(2, 4), [0.5, 0, 1, 1]), "mask must be 0 or 1"),
        ((samples(2, 4), samples(2, 4), None, "huber"), "kind must be one of"),
    ],
)
def test_bad_reconstructions_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        reconstruction_error(*arguments)


def test_cross_entropy_agrees_with_keras():
    x, copy = samples(20, 4, 3), samples(20, 4, 3, seed=1)
    copy[:3] = np.round(copy[:3])  # saturated outputs
    x[5] = np.round(x[5])
    loss = keras.losses.BinaryCrossentropy(reduction=None)
    theirs = keras.ops.convert_to_numpy(loss(x, copy)).mean(axis=1)
    np.testing.assert_allclose(binary_cross_entropy(x, copy), theirs, rtol=1e-5)


def test_cross_entropy_floor_is_what_a_perfect_copy_costs():
    x = samples(50, 6)
    assert cross_entropy_floor(x) == pytest.approx(binary_cross_entropy(x, x).mean(), rel=1e-5)
    assert binary_cross_entropy(x, np.clip(x + 0.01, 0, 1)).mean() > cross_entropy_floor(x)
    assert cross_entropy_floor(np.round(x)) == 0
    assert cross_entropy_floor(np.full((2, 2), 0.5)) == pytest.approx(np.log(2))


@pytest.mark.parametrize(
    ("x", "copy", "message"),
    [
        (samples(2, 4) + 1, samples(2, 4), "x must lie in"),
        (samples(2, 4), samples(2, 4) - 1, "reconstruction must lie in"),
        (samples(2, 4), samples(2, 3), "must match value for value"),
    ],
)
def test_cross_entropy_needs_fractions(x, copy, message):
    with pytest.raises(ValueError, match=message):
        binary_cross_entropy(x, copy)


def test_cross_entropy_floor_needs_fractions():
    with pytest.raises(ValueError, match="divide by 255"):
        cross_entropy_floor(samples(2, 4) * 255)


def test_any_finite_numbers_have_an_error():
    whole = np.array([[0, 255], [100, 3]], np.uint8)
    np.testing.assert_array_equal(reconstruction_error(whole, whole[::-1]), [(100**2 + 252**2) / 2] * 2)
    np.testing.assert_array_equal(reconstruction_error([[-(10**6), 0]], [[0, 10**6]], kind="absolute"), [1e6])
