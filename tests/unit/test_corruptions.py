"""Corruptions: known answers on small images, and what all of them have in common."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import ndimage

from dae_utils.data import corruptions

ALL = {
    corruptions.add_noise: 0.3,
    corruptions.erase_pixels: 0.4,
    corruptions.blur: 1.0,
    corruptions.move: 2,
    corruptions.turn: 30.0,
    corruptions.cover: 3,
    corruptions.deform: 1.0,
}


def images(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).random(shape, np.float32)


def applied(function, x, strength, seed: int = 0) -> np.ndarray:
    return function(np.random.default_rng(seed), x, strength)


@pytest.mark.parametrize(("function", "strength"), ALL.items())
@given(
    n=st.integers(1, 4),
    height=st.integers(3, 9),
    width=st.integers(3, 9),
    channels=st.sampled_from([0, 1, 3]),
)
def test_all_keep_shape_type_and_range_and_leave_their_input_alone(
    function, strength, n, height, width, channels
):
    x = images(n, height, width, *([channels] if channels else []))
    before = x.copy()
    x.flags.writeable = False  # as `fit` hands it over
    got = applied(function, x, strength)
    assert got.shape == x.shape
    assert got.dtype == np.float32
    assert got.min() >= 0
    assert got.max() <= 1
    assert np.any(got != x)
    np.testing.assert_array_equal(x, before)
    np.testing.assert_array_equal(got, applied(function, x, strength))
    np.testing.assert_allclose(applied(function, x, type(strength)(0)), x, atol=1e-7)


@pytest.mark.parametrize(("function", "strength"), ALL.items())
@pytest.mark.parametrize(
    ("x", "message"),
    [
        (np.zeros((2, 16)), "is expected"),
        (np.full((1, 4, 4), 1.5), "images"),
        (np.full((1, 4, 4), np.nan), "NaN"),
    ],
)
def test_what_is_no_image_is_refused(function, strength, x, message):
    with pytest.raises(ValueError, match=message):
        applied(function, x, strength)


@pytest.mark.parametrize("function", ALL)
@pytest.mark.parametrize("strength", [-1, float("nan")])
def test_strengths_that_make_no_sense_are_refused(function, strength):
    with pytest.raises((ValueError, TypeError)):
        applied(function, images(1, 5, 5), strength)


@pytest.mark.parametrize(
    ("function", "strength"),
    [
        (corruptions.erase_pixels, 1.1),
        (corruptions.move, 6),
        (corruptions.cover, 6),
        (corruptions.turn, 181),
        (corruptions.deform, 11),
    ],
)
def test_strengths_that_go_too_far_are_refused(function, strength):
    with pytest.raises(ValueError, match=r"at most|from 0 to"):
        applied(function, images(1, 5, 7), strength)


def test_noise_has_the_deviation_asked_for():
    noise = applied(corruptions.add_noise, np.full((50, 20, 20), 0.5), 0.1) - 0.5
    assert noise.std() == pytest.approx(0.1, rel=0.02)
    assert noise.mean() == pytest.approx(0, abs=0.002)


def test_erased_pixels_lose_all_channels_and_are_as_many_as_asked_for():
    got = applied(corruptions.erase_pixels, np.ones((40, 20, 20, 3)), 0.3)
    assert set(got.sum(axis=-1).ravel()) == {0.0, 3.0}
    assert (got == 0).mean() == pytest.approx(0.3, abs=0.02)


def test_blur_spreads_a_point_within_its_image_and_channel():
    x = np.zeros((2, 15, 15, 2))
    x[0, 7, 7, 0] = 1
    got = applied(corruptions.blur, x, 1.0)
    assert got[0, ..., 0].sum() == pytest.approx(1, rel=1e-3)
    assert got[0, 7, 7, 0] == pytest.approx(1 / (2 * np.pi), rel=0.01)
    assert got[1].max() == got[0, ..., 1].max() == 0


def test_a_point_is_moved_to_one_of_four_places():
    x = np.zeros((200, 7, 9))
    x[:, 3, 4] = 1
    got = applied(corruptions.move, x, 2)
    places = {tuple(place) for place in np.argwhere(got)[:, 1:]}
    assert places == {(1, 4), (5, 4), (3, 2), (3, 6)}
    assert got.sum() == 200
    # What leaves the image is gone, and what comes in is empty.
    assert applied(corruptions.move, np.ones((9, 6, 6)), 2).sum(axis=(1, 2)).tolist() == [24] * 9


def test_a_quarter_turn_goes_one_way_or_the_other():
    x = images(60, 6, 6)
    got = applied(corruptions.turn, x, 90.0)
    one, other = np.rot90(x, 1, (1, 2)), np.rot90(x, -1, (1, 2))
    is_one = np.isclose(got, one, atol=1e-5).all(axis=(1, 2))
    is_other = np.isclose(got, other, atol=1e-5).all(axis=(1, 2))
    assert (is_one ^ is_other).all()
    assert 15 < is_one.sum() < 45


def test_a_cover_is_a_square_inside_the_image_at_changing_places():
    got = applied(corruptions.cover, np.ones((300, 6, 8)), 3)
    covered = got == 0
    assert covered.sum(axis=(1, 2)).tolist() == [9] * 300
    tops, lefts = covered.any(axis=2).argmax(axis=1), covered.any(axis=1).argmax(axis=1)
    assert set(tops) == set(range(4))
    assert set(lefts) == set(range(6))
    for image, top, left in zip(covered, tops, lefts, strict=True):
        assert image[top : top + 3, left : left + 3].all()


STILL = {"degrees": 0.0, "pixels": 0.0, "stretch": 0.0, "shear": 0.0}


def deformed(x, seed: int = 0, strength: float = 1.0, **limits) -> np.ndarray:
    return corruptions.deform(np.random.default_rng(seed), x, strength, **(STILL | limits))


@pytest.mark.parametrize("shape", [(6, 13, 9), (4, 8, 11, 3)])
def test_a_deformation_is_what_scipy_makes_of_the_same_amounts(shape):
    x, g = images(*shape), np.random.default_rng(7)
    got = corruptions.deform(
        np.random.default_rng(7), x, 2.0, degrees=10, pixels=1.5, stretch=0.05, shear=0.1
    )
    turns = np.deg2rad(20) * g.uniform(-1, 1, len(x))
    moves = 3 * g.uniform(-1, 1, (len(x), 2))
    factors = np.exp(0.1 * g.uniform(-1, 1, (len(x), 2)))
    slants = 0.2 * g.uniform(-1, 1, len(x))
    middle = (np.array(shape[1:3]) - 1) / 2
    for image, result, angle, move, factor, slant in zip(x, got, turns, moves, factors, slants, strict=True):
        # scipy counts rows first: y before x.
        turn = np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])
        matrix = (turn + np.array([[0, 0], [slant, 0]])) * factor[::-1]
        offset = middle - matrix @ middle + move[::-1]
        for channel in range(x.shape[3] if x.ndim == 4 else 1):
            plane, changed = (a[..., channel] if x.ndim == 4 else a for a in (image, result))
            expected = ndimage.affine_transform(plane, matrix, offset, order=1, mode="grid-constant")
            # OpenCV before version 5 rounds places to 1/32 of a pixel.
            np.testing.assert_allclose(changed, expected, atol=0.04)


def test_without_limits_nothing_is_deformed_whatever_the_strength():
    x = images(3, 7, 6)
    np.testing.assert_allclose(deformed(x, strength=3.0), x, atol=1e-6)


def centres(x: np.ndarray) -> np.ndarray:
    """Return the centre of mass of every image, row and column."""
    rows, columns = np.mgrid[: x.shape[1], : x.shape[2]]
    return np.stack([(x * rows).sum((1, 2)), (x * columns).sum((1, 2))], 1) / x.sum((1, 2))[:, np.newaxis]


def test_moves_go_up_to_the_limit_along_each_axis_on_their_own():
    x = np.zeros((500, 21, 25), np.float32)
    x[:, 10, 12] = 1
    moved = centres(deformed(x, pixels=4.0)) - (10, 12)
    assert np.abs(moved).max() == pytest.approx(4, abs=0.1)
    assert np.abs(moved).max() <= 4 + 1e-4
    assert np.abs(np.corrcoef(moved.T)[0, 1]) < 0.2
    assert np.abs(moved.mean(axis=0)).max() < 0.4
    # Even between the limits: half of them within half the limit.
    assert (np.abs(moved) < 2).mean() == pytest.approx(0.5, abs=0.06)


def test_turns_keep_the_middle_and_its_distance():
    x = np.zeros((300, 21, 21), np.float32)
    x[:, 10, 17] = 1
    arms = centres(deformed(x, degrees=40.0)) - 10
    np.testing.assert_allclose(np.hypot(*arms.T), 7, atol=0.1)
    angles = np.rad2deg(np.arctan2(*arms.T))
    assert angles.max() == pytest.approx(40, abs=1.5)
    assert angles.min() == pytest.approx(-40, abs=1.5)


def test_stretching_changes_width_and_height_on_their_own():
    x = np.zeros((300, 41, 41), np.float32)
    x[:, 11:30, 11:30] = 1
    got = deformed(x, stretch=0.2)
    logs = np.log(np.stack([got[:, :, 20].sum(1), got[:, 20].sum(1)]) / 19)
    assert np.abs(logs).max() == pytest.approx(0.2, abs=0.02)
    assert np.abs(np.corrcoef(logs)[0, 1]) < 0.2


def test_a_slant_moves_rows_by_their_distance_from_the_middle():
    x = np.zeros((200, 15, 31), np.float32)
    x[:, :, 15] = 1
    got = deformed(x, shear=0.5)
    columns = (got * np.arange(31)).sum(2) / got.sum(2) - 15
    np.testing.assert_allclose(columns, columns[:, 14:] / 7 * (np.arange(15) - 7), atol=0.05)
    assert np.abs(columns[:, 14] / 7).max() == pytest.approx(0.5, abs=0.03)


def test_what_comes_in_from_outside_is_empty():
    assert deformed(np.ones((50, 9, 9)), pixels=5.0).min() == 0


@pytest.mark.parametrize("limit", STILL)
@pytest.mark.parametrize("value", [-0.1, float("nan"), 1000.0])
def test_limits_of_a_deformation_that_make_no_sense_are_refused(limit, value):
    with pytest.raises(ValueError, match=limit):
        deformed(images(1, 5, 5), **{limit: value})
