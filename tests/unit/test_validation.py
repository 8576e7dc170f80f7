"""Input checks: what is right passes unchanged, what is wrong is named together with the way out."""

import numpy as np
import pytest

from dae_utils.validation import (
    check_batch,
    check_choice,
    check_count,
    check_flags,
    check_fraction,
    check_numbers,
    check_same_shape,
    check_samples,
    check_scores,
    check_unit_interval,
)

GOOD = np.linspace(0, 1, 12, dtype=np.float32).reshape(3, 4)


def with_value(value: float) -> np.ndarray:
    x = GOOD.copy()
    x[1, 2] = value
    return x


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_floating_point_samples_are_not_copied(dtype):
    x = GOOD.astype(dtype)
    assert check_samples(x) is x


@pytest.mark.parametrize("dtype", [bool, np.uint8, np.int64, np.float16])
def test_other_numbers_become_float32(dtype):
    x = np.array([[0, 1], [1, 1]], dtype)
    checked = check_samples(x)
    assert checked.dtype == np.float32
    np.testing.assert_array_equal(checked, [[0, 1], [1, 1]])


@pytest.mark.parametrize(
    ("x", "message"),
    [
        (with_value(np.nan), r"NaN or infinite values in 1 of 3 samples"),
        (with_value(np.inf), r"NaN or infinite values in 1 of 3 samples"),
        (np.empty((0, 4)), r"empty"),
        (np.empty((3, 0)), r"empty"),
        ([], r"empty"),
        (np.zeros(5), r"batch of samples needs shape"),
        (np.float64(3), r"batch of samples needs shape"),
        (np.array([["a", "b"]]), r"real numbers"),
        (np.zeros((2, 2), complex), r"real numbers"),
        (np.array([[None, 1.0]], dtype=object), r"real numbers"),
        ([[1.0], [1.0, 2.0]], r"differ in length"),
        (np.array([[0, 255], [3, 4]], np.uint8), r"divide by 255"),
        (np.array([[0, 2], [0, 1]]), r"divide by 255"),
        (np.array([[0, -1], [0, 1]]), r"divide by 255"),
        (np.array([[0, 255], [3, 4]], np.float32), r"divide by 255"),
        (np.array([[0.0, 128.0], [3, 4]]), r"divide by 255"),
    ],
)
def test_bad_samples_are_refused(x, message):
    with pytest.raises(ValueError, match=message) as caught:
        check_samples(x, "x_train")
    assert str(caught.value).startswith("x_train")
    assert str(caught.value).count("\n") < 3


@pytest.mark.parametrize(
    "x",
    [
        [[0.0, 127.0]],  # small counts
        [[0.0, 256.0]],  # more than a pixel can be
        [[-1.0, 200.0]],  # less than a pixel can be
        [[0.5, 200.0]],  # measured values
    ],
)
def test_floating_point_values_that_are_not_pixels_pass(x):
    np.testing.assert_array_equal(check_samples(x), x)


@pytest.mark.parametrize(
    ("dtype", "becomes"),
    [
        (np.uint8, np.float32),
        (np.int16, np.float32),
        (np.float16, np.float32),
        (bool, np.float32),
        (np.int32, np.float64),
        (np.int64, np.float64),
        (np.longdouble, np.float64),
    ],
)
def test_a_batch_may_hold_any_finite_numbers(dtype, becomes):
    x = np.array([[0, 127], [1, 1]]).astype(dtype)
    checked = check_batch(x)
    assert checked.dtype == becomes
    np.testing.assert_array_equal(checked, x)
    pixels = np.array([[0.0, 255.0], [-7.0, 1e9]])
    assert check_batch(pixels) is pixels


def test_a_batch_is_checked_for_the_rest():
    for x, message in (
        (with_value(np.nan), "NaN"),
        (np.zeros(5), "needs shape"),
        (np.empty((0, 4)), "empty"),
        (np.zeros((2, 2), complex), "real numbers"),
    ):
        with pytest.raises(ValueError, match=message):
            check_batch(x)
    with pytest.raises(ValueError, match=r"shape \(4,\), but \(2, 2\) is expected"):
        check_batch(GOOD, sample_shape=(2, 2))


def test_a_sample_shape_is_enforced():
    assert check_samples(GOOD, sample_shape=(4,)) is GOOD
    with pytest.raises(ValueError, match=r"shape \(4,\), but \(2, 2\) is expected.*reshape\(-1, 2, 2\)"):
        check_samples(GOOD, sample_shape=(2, 2))


def test_unit_interval():
    check_unit_interval(GOOD, "x")
    with pytest.raises(ValueError, match="divide by 255"):
        check_unit_interval(GOOD * 254.9, "x")
    with pytest.raises(ValueError, match="scale the values into"):
        check_unit_interval(GOOD - 0.1, "x")
    with pytest.raises(ValueError, match="scale the values into"):
        check_unit_interval(GOOD * 1000, "x")


def test_same_shape():
    check_same_shape(GOOD, GOOD, "x", "copy")
    with pytest.raises(ValueError, match=r"x has shape \(3, 4\) but copy has \(4, 3\)"):
        check_same_shape(GOOD, GOOD.T, "x", "copy")


def test_scores_become_float64():
    scores = check_scores([3, 1, 2])
    assert scores.dtype == np.float64
    np.testing.assert_array_equal(scores, [3, 1, 2])


@pytest.mark.parametrize(
    ("scores", "message"),
    [
        ([0.1, np.nan], "NaN or infinite values in 1 of 2"),
        ([0.1, -np.inf], "NaN or infinite"),
        ([], "empty"),
        ([[0.1], [0.2]], r"shape \(n,\), is expected"),
        (0.5, r"shape \(n,\), is expected"),
        (["high"], "real numbers"),
    ],
)
def test_bad_scores_are_refused(scores, message):
    with pytest.raises(ValueError, match=message):
        check_scores(scores)


@pytest.mark.parametrize("flags", [[True, False], [1, 0], [1.0, 0.0], np.array([1, 0], np.uint8)])
def test_flags_become_booleans(flags):
    checked = check_flags(flags, length=2, both=True)
    assert checked.dtype == bool
    np.testing.assert_array_equal(checked, [True, False])


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        ([0, 1, 2], "compare classes first"),
        ([-1, 1, 1], "scikit-learn's -1"),
        ([0.0, 0.5, 1.0], "must be 0 or 1"),
        ([0, 1, np.nan], "NaN"),
        ([0, 1], "2 values but there are 3 samples"),
        ([], "empty"),
        ([[0, 1, 1]], r"shape \(n,\), is expected"),
        ([1, 1, 1], "anomalies only"),
        ([0, 0, 0], "normal samples only"),
        (["0", "1", "1"], "real numbers"),
    ],
)
def test_bad_flags_are_refused(flags, message):
    with pytest.raises(ValueError, match=message):
        check_flags(flags, length=3, both=True)


def test_one_class_passes_where_both_are_not_needed():
    assert check_flags([1, 1, 1]).all()


@pytest.mark.parametrize("value", [0, 1, -0.1, 1.5, np.nan, "0.5", None, True])
def test_bad_fractions_are_refused(value):
    with pytest.raises(ValueError, match="rate must be a fraction between 0 and 1, both excluded"):
        check_fraction(value, "rate")


def test_fractions():
    assert check_fraction(np.float32(0.5), "rate") == 0.5
    assert check_fraction(0, "rate", closed=True) == 0.0
    assert check_fraction(1, "rate", closed=True) == 1.0
    with pytest.raises(ValueError, match="both included"):
        check_fraction(1.01, "rate", closed=True)


@pytest.mark.parametrize("value", [0, 11, 2.0, "3", None, True])
def test_bad_counts_are_refused(value):
    with pytest.raises(ValueError, match=r"k must be a whole number from 1 to 10 \(samples\), not"):
        check_count(value, "k", most=10, reason=" (samples)")


def test_counts():
    assert check_count(np.int64(10), "k", most=10) == 10
    assert check_count(0, "k", least=0) == 0
    with pytest.raises(ValueError, match="at least 2"):
        check_count(1, "k", least=2)


def test_choices():
    assert check_choice("a", "kind", ("a", "b")) == "a"
    with pytest.raises(ValueError, match="kind must be one of 'a', 'b', not 'c'"):
        check_choice("c", "kind", ("a", "b"))


def test_numbers_name_the_argument():
    with pytest.raises(ValueError, match="pixels must hold real numbers"):
        check_numbers(["x"], "pixels")


def test_masked_values_are_not_taken_for_data():
    masked = np.ma.masked_array([[1.0, 5.0]], mask=[[False, True]])

    with pytest.raises(ValueError, match="masked values"):
        check_samples(masked)
    assert check_samples(masked.filled(0.0)).tolist() == [[1, 0]]
    assert check_samples(np.ma.masked_array([[1.0, 5.0]])).shape == (1, 2)
