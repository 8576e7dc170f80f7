"""Gradient orientations: known answers, a slow reference, symmetries, bounds and faults."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dae_utils.data.features import gradient_orientations

RIGHT, DOWN, LEFT, UP = 0, 2, 4, 6


def pictures(n: int, height: int, width: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).random((n, height, width), dtype=np.float32)


def slow_orientations(image: np.ndarray, n_orientations: int, cell_size: int) -> np.ndarray:
    """The same, pixel by pixel in double precision, for one image."""
    height, width = image.shape
    image = image.astype(float)
    maps = np.zeros((n_orientations, height, width))
    for row in range(height):
        for column in range(width):
            down = (image[row + 1, column] - image[row - 1, column]) / 2 if 0 < row < height - 1 else 0.0
            right = (image[row, column + 1] - image[row, column - 1]) / 2 if 0 < column < width - 1 else 0.0
            turns = (math.atan2(down, right) / (2 * math.pi)) % 1
            place = turns * n_orientations
            nearer = math.floor(place)
            length = math.sqrt(down**2 + right**2)
            maps[nearer % n_orientations, row, column] += length * (1 - (place - nearer))
            maps[(nearer + 1) % n_orientations, row, column] += length * (place - nearer)

    sigma = cell_size / 2
    reach = int(4 * sigma + 0.5)
    weights = [math.exp(-0.5 * (step / sigma) ** 2) for step in range(-reach, reach + 1)]

    def mirrored(place: int, size: int) -> int:
        place %= 2 * size
        return place if place < size else 2 * size - 1 - place

    def blurred(along: np.ndarray, place: int) -> np.ndarray:
        parts = [
            weight * along[mirrored(place + step, len(along))]
            for weight, step in zip(weights, range(-reach, reach + 1), strict=True)
        ]
        return sum(parts) / sum(weights)

    cells = []
    for row in range(cell_size // 2, height, cell_size):
        cells.append([])
        for column in range(cell_size // 2, width, cell_size):
            line = blurred(np.moveaxis(maps, 1, 0), row)
            cells[-1].append(np.sqrt(blurred(np.moveaxis(line, 1, 0), column)))
    return np.array(cells)


# Known answers


@pytest.mark.parametrize("brightness", [0.0, 0.3, 1.0])
def test_flat_images_have_no_direction(brightness):
    features = gradient_orientations(np.full((3, 28, 28), brightness))
    assert features.shape == (3, 7, 7, 8)
    assert features.dtype == np.float32
    assert not features.any()


@pytest.mark.parametrize(
    ("direction", "turned"),
    [
        (RIGHT, lambda ramp: ramp),
        (LEFT, lambda ramp: ramp[:, ::-1]),
        (DOWN, lambda ramp: ramp.T),
        (UP, lambda ramp: ramp.T[::-1]),
    ],
)
def test_a_ramp_points_where_it_gets_brighter(direction, turned):
    ramp = np.tile(np.linspace(0, 1, 29), (29, 1))
    features = gradient_orientations(turned(ramp)[np.newaxis], cell_size=2)[0]
    # The slope is 1/28 everywhere but on the border, which the middle cells are too far away to see.
    np.testing.assert_allclose(features[3:-3, 3:-3, direction], math.sqrt(1 / 28), rtol=1e-5)
    assert not np.delete(features, direction, axis=-1).any()


@pytest.mark.parametrize(("direction", "slope"), [(1, (1, 1)), (3, (1, -1)), (5, (-1, -1)), (7, (-1, 1))])
def test_slanting_ramps_point_between(direction, slope):
    down, right = np.mgrid[:20, :20]
    plane = slope[0] * down + slope[1] * right
    image = (plane - plane.min()) / np.ptp(plane)
    middle = gradient_orientations(image[np.newaxis], cell_size=1)[0, 6:-6, 6:-6]
    np.testing.assert_allclose(middle[..., direction], math.sqrt(math.sqrt(2) / 38), rtol=1e-3)
    np.testing.assert_allclose(np.delete(middle, direction, axis=-1), 0, atol=1e-3)


def test_a_gradient_between_two_directions_is_shared_in_proportion():
    # A quarter of the way from right (0) to right and down (1): 11.25 degrees.
    down, right = np.mgrid[:21, :21]
    plane = math.tan(math.radians(11.25)) * down + right
    image = (plane - plane.min()) / np.ptp(plane)
    squares = gradient_orientations(image[np.newaxis], cell_size=1)[0, 10, 10] ** 2
    np.testing.assert_allclose(squares[:2] / squares.sum(), [0.75, 0.25], atol=1e-4)


@pytest.mark.parametrize("direction", [RIGHT, LEFT])
def test_an_edge_is_found_in_its_own_column_of_cells(direction):
    image = np.zeros((28, 28))
    image[:, 14:] = 1  # pixels 13 and 14 see the step; cell 3 reads pixel 14
    features = gradient_orientations((image if direction == RIGHT else 1 - image)[np.newaxis])[0]
    assert not np.delete(features, direction, axis=-1).any()
    strength = features[..., direction]
    np.testing.assert_array_equal(strength.argmax(axis=1), 3)
    assert not strength[:, [0, 6]].any()  # further away than the blur reaches
    # Two columns of slope 1/2 under a Gaussian of two pixels: at the second column, and four pixels on.
    weights = np.exp(-0.5 * (np.arange(-8, 9) / 2) ** 2)
    weights /= weights.sum()
    np.testing.assert_allclose(strength[:, 3] ** 2, (weights[8] + weights[9]) / 2, rtol=1e-5)
    np.testing.assert_allclose(strength[:, 4] ** 2, (weights[12] + weights[13]) / 2, rtol=1e-5)


def test_a_dot_stays_where_it_is():
    image = np.zeros((1, 20, 20))
    image[0, 14, 6] = 1
    strength = gradient_orientations(image).sum(axis=-1)[0]
    assert np.unravel_index(strength.argmax(), strength.shape) == (3, 1)


# A plain reference


@pytest.mark.parametrize(
    ("shape", "n_orientations", "cell_size"),
    [((12, 12), 8, 4), ((11, 8), 8, 3), ((7, 10), 2, 2), ((9, 9), 5, 1), ((6, 13), 3, 5)],
)
def test_agrees_with_one_pixel_at_a_time(shape, n_orientations, cell_size):
    images = pictures(3, *shape)
    images[1] = np.round(images[1])
    features = gradient_orientations(images, n_orientations, cell_size)
    expected = np.array([slow_orientations(image, n_orientations, cell_size) for image in images])
    assert features.shape == expected.shape
    # Squares, since the root makes much of the last digit of a number near 0.
    np.testing.assert_allclose(features**2, expected**2, atol=1e-6)


# Symmetries, for which the cells must have a middle pixel


def test_a_quarter_turn_moves_cells_and_directions():
    images = pictures(4, 15, 15)
    features = gradient_orientations(images, cell_size=5)
    # np.rot90 turns against the clock, and the directions are numbered with it: right becomes up.
    turned = gradient_orientations(np.rot90(images, axes=(1, 2)), cell_size=5)
    np.testing.assert_allclose(
        turned**2, np.roll(np.rot90(features, axes=(1, 2)), UP, axis=-1) ** 2, atol=1e-6
    )


def test_a_mirror_swaps_right_and_left():
    images = pictures(4, 9, 15)
    mirrored = gradient_orientations(images[:, :, ::-1], cell_size=3)
    order = [LEFT, 3, DOWN, 1, RIGHT, 7, UP, 5]
    expected = gradient_orientations(images, cell_size=3)[:, :, ::-1, order]
    np.testing.assert_allclose(mirrored**2, expected**2, atol=1e-6)


def test_light_on_dark_is_half_a_turn_from_dark_on_light():
    images = pictures(4, 28, 28)
    features, inverted = gradient_orientations(images), gradient_orientations(1 - images)
    np.testing.assert_allclose(inverted**2, np.roll(features, 4, axis=-1) ** 2, atol=1e-6)
    assert not np.allclose(inverted, features, atol=1e-2)


def test_halved_contrast_divides_by_the_root_of_two():
    images = pictures(2, 16, 16)
    np.testing.assert_allclose(
        gradient_orientations(images / 2 + 0.25), gradient_orientations(images) / math.sqrt(2), atol=1e-4
    )


# Bounds


@settings(max_examples=60, deadline=None)
@given(
    data=st.data(),
    height=st.integers(1, 9),
    width=st.integers(1, 9),
    n_orientations=st.integers(2, 9),
    black_and_white=st.booleans(),
)
def test_bounds(data, height, width, n_orientations, black_and_white):
    cell_size = data.draw(st.integers(1, min(height, width)))
    value = st.sampled_from([0.0, 1.0]) if black_and_white else st.floats(0, 1, width=32)
    pixels = data.draw(st.lists(value, min_size=height * width, max_size=height * width))
    features = gradient_orientations(np.reshape(pixels, (1, height, width)), n_orientations, cell_size)
    starts = [range(cell_size // 2, side, cell_size) for side in (height, width)]
    assert features.shape == (1, len(starts[0]), len(starts[1]), n_orientations)
    assert features.dtype == np.float32
    assert np.all(features >= 0)  # false for NaN
    assert features.max() < 0.85


def test_the_upper_bound_is_nearly_reached():
    # Steps of two pixels along a diagonal: both differences are 1 at every other pixel.
    down, right = np.mgrid[:41, :41]
    stairs = ((down + right) % 4 >= 2).astype(float)
    assert 0.6 < gradient_orientations(stairs[np.newaxis], cell_size=1).max() < 0.85


# One image at a time


def test_images_do_not_influence_each_other():
    images = pictures(5, 12, 12)
    together = gradient_orientations(images)
    for image, expected in zip(images, together, strict=True):
        np.testing.assert_array_equal(gradient_orientations(image[np.newaxis])[0], expected)


def test_many_images_keep_their_order():
    images = pictures(4103, 8, 8)
    together = gradient_orientations(images)
    assert together.shape == (4103, 2, 2, 8)
    for number in (0, 1, 1999, 2000, 2001, 3999, 4000, 4102):
        np.testing.assert_array_equal(gradient_orientations(images[[number]])[0], together[number])


def test_the_images_are_left_alone():
    images = pictures(2, 8, 8)
    before = images.copy()
    gradient_orientations(images)
    np.testing.assert_array_equal(images, before)


# Sizes and kinds of numbers


@pytest.mark.parametrize(
    ("shape", "cell_size", "cells"),
    [
        ((28, 28), 4, (7, 7)),
        ((29, 30), 4, (7, 7)),  # the rest of 1 or 2 pixels does not reach the centre
        ((31, 32), 4, (8, 8)),  # 3 pixels do
        ((5, 4), 3, (2, 1)),
        ((4, 6), 4, (1, 1)),
        ((3, 2), 1, (3, 2)),
    ],
)
def test_partial_cells_count_when_their_centre_is_inside(shape, cell_size, cells):
    assert gradient_orientations(pictures(1, *shape), cell_size=cell_size).shape == (1, *cells, 8)


def test_double_precision_and_whole_numbers_give_the_same():
    images = np.round(pictures(2, 8, 8))
    expected = gradient_orientations(images)
    for kind in (np.float64, np.uint8, bool):
        np.testing.assert_array_equal(gradient_orientations(images.astype(kind)), expected)


@pytest.mark.parametrize(
    ("images", "message"),
    [
        (np.zeros((2, 8, 8, 3)), r"grey images of shape \(n, height, width\)"),
        (np.zeros((8, 8)), "grey images"),
        (np.zeros((0, 8, 8)), "empty"),
        (np.full((2, 8, 8), 200, np.uint8), "divide by 255"),
        (np.full((2, 8, 8), 1.5), r"must lie in \[0, 1\]"),
        (np.full((2, 8, 8), -0.1), r"must lie in \[0, 1\]"),
        (np.full((2, 8, 8), np.nan), "NaN"),
        (np.zeros((2, 3, 8)), "cell_size must be a whole number from 1 to 3"),
    ],
)
def test_bad_images_are_refused(images, message):
    with pytest.raises(ValueError, match=message):
        gradient_orientations(images)


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ({"n_orientations": 1}, "n_orientations must be a whole number at least 2"),
        ({"n_orientations": 4.0}, "n_orientations"),
        ({"cell_size": 0}, "cell_size must be a whole number from 1 to 8 .the shorter side"),
        ({"cell_size": 9}, "cell_size must be a whole number from 1 to 8"),
    ],
)
def test_bad_settings_are_refused(setting, message):
    with pytest.raises(ValueError, match=message):
        gradient_orientations(np.zeros((1, 8, 10)), **setting)
