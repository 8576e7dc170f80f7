"""Scenes: the mask is exact, the object whole, and everything decided by the seed."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.ndimage import label

from dae_utils.data.scenes import foreground, make_scenes, random_shapes


def squares() -> np.ndarray:
    """Two grey objects on black: a square of brightness 0.8, 10 pixels a side, and a wide bar of 0.5."""
    objects = np.zeros((2, 28, 28), np.float32)
    objects[0, 9:19, 5:15] = 0.8
    objects[1, 12:16, 2:26] = 0.5
    return objects


LABELS = np.array([3, 8])


@settings(deadline=None, max_examples=25)
@given(seed=st.integers(0, 1000), cut=st.booleans(), size=st.sampled_from([16, 32, 65]))
def test_outside_the_mask_is_the_background_bit_for_bit(seed, cut, size):
    scenes = make_scenes(squares(), LABELS, 4, size=size, scale=(0.3, 0.9), cut_at_border=cut, seed=seed)
    outside = ~scenes.masks
    np.testing.assert_array_equal(scenes.images[outside], scenes.backgrounds[outside])
    assert scenes.images.dtype == np.float32
    assert scenes.images.min() >= 0
    assert scenes.images.max() <= 1
    for mask, box in zip(scenes.masks, scenes.boxes, strict=True):
        top, left, bottom, right = box
        assert mask.sum() == mask[top:bottom, left:right].sum() > 0
        edges = (mask[top], mask[bottom - 1], mask[:, left], mask[:, right - 1])
        assert all(edge.any() for edge in edges)


def test_inside_the_mask_is_the_objects_own_colour_without_its_ground():
    # White backgrounds: were the black ground or the background mixed in, the edge would show it.
    white = np.ones((1, 40, 40, 3), np.float32)
    scenes = make_scenes(squares(), LABELS, 20, backgrounds=white, size=40, scale=(0.3, 0.9), tint=False)
    for image, mask, kind in zip(scenes.images, scenes.masks, scenes.labels, strict=True):
        np.testing.assert_allclose(image[mask], 0.8 if kind == 3 else 0.5, atol=1e-5)
        np.testing.assert_array_equal(image[~mask], 1)


def test_the_size_is_the_one_asked_for():
    scenes = make_scenes(squares(), LABELS, 30, size=50, scale=(0.4, 0.4))
    heights, widths = scenes.boxes[:, 2] - scenes.boxes[:, 0], scenes.boxes[:, 3] - scenes.boxes[:, 1]
    np.testing.assert_array_equal(np.maximum(heights, widths), 20)
    # A square stays one; the bar is six times as wide as high.
    assert (heights == widths)[scenes.labels == 3].all()
    np.testing.assert_allclose(heights[scenes.labels == 8], 20 / 6, atol=1)
    assert set(scenes.labels) == {3, 8}
    np.testing.assert_array_equal(LABELS[scenes.sources], scenes.labels)


def test_no_object_is_cut_unless_asked():
    whole = make_scenes(squares()[:1], LABELS[:1], 60, size=32, scale=(0.5, 0.5))
    np.testing.assert_array_equal(whole.masks.sum(axis=(1, 2)), 16 * 16)
    cut = make_scenes(squares()[:1], LABELS[:1], 60, size=32, scale=(0.5, 0.5), cut_at_border=True)
    visible = cut.masks.sum(axis=(1, 2))
    assert visible.min() >= 8 * 8
    assert visible.min() < 16 * 16
    places = whole.boxes[:, :2]
    assert places.min() == 0
    assert places.max() == 16


def test_a_slanting_object_is_never_cut_away_altogether():
    corner = np.zeros((1, 28, 28), np.float32)
    corner[0, np.arange(28), np.arange(28)] = 1
    scenes = make_scenes(corner, [0], 200, size=16, scale=(1.0, 1.0), cut_at_border=True)
    assert scenes.masks.any(axis=(1, 2)).all()


def test_the_seed_decides_and_the_number_does_not():
    few, many = (make_scenes(squares(), LABELS, n, size=24, seed=5) for n in (3, 9))
    np.testing.assert_array_equal(few.images, many.images[:3])
    np.testing.assert_array_equal(few.boxes, many.boxes[:3])
    other = make_scenes(squares(), LABELS, 3, size=24, seed=6)
    assert (few.images != other.images).any()


@pytest.mark.parametrize("side", [20, 32, 90])
def test_backgrounds_are_cropped_or_enlarged(side):
    ramp = np.broadcast_to(np.linspace(0, 1, side, dtype=np.float32)[:, None, None], (side, side, 3))
    scenes = make_scenes(squares(), LABELS, 5, backgrounds=ramp[np.newaxis], size=32)
    steps = np.diff(scenes.backgrounds[..., 0], axis=1)
    assert (steps >= -1e-6).all()
    expected = (side - 1) / side * min(32, side) / side if side > 32 else 1
    heights = scenes.backgrounds[:, -1, 0, 0] - scenes.backgrounds[:, 0, 0, 0]
    np.testing.assert_allclose(heights, expected, atol=0.06)
    if side == 32:
        np.testing.assert_array_equal(scenes.backgrounds[0], ramp)


def test_colour_objects_keep_their_colours():
    red = np.zeros((1, 20, 20, 3), np.float32)
    red[..., 0] = 0.9
    scenes = make_scenes(red, [1], 5, masks=random_shapes(1, 20), size=32)
    np.testing.assert_allclose(
        scenes.images[scenes.masks], np.tile([0.9, 0, 0], (scenes.masks.sum(), 1)), atol=1e-5
    )


def test_random_shapes_are_one_piece_inside():
    shapes = random_shapes(50, 24, seed=1)
    assert not shapes[:, [0, -1]].any()
    assert not shapes[:, :, [0, -1]].any()
    assert all(label(shape)[1] == 1 for shape in shapes)
    assert shapes[:, 12, 12].all()
    assert len(np.unique(shapes.reshape(50, -1), axis=0)) == 50


def test_foreground_fills_holes_and_drops_specks():
    ring = np.zeros((1, 28, 28), np.float32)
    ring[0, 5:20, 5:20] = 0.5
    ring[0, 10:15, 10:15] = 0
    ring[0, 25, 25] = 0.9
    expected = np.zeros((1, 28, 28), bool)
    expected[0, 5:20, 5:20] = True
    np.testing.assert_array_equal(foreground(ring), expected)
    assert not foreground(np.zeros((1, 8, 8), np.float32)).any()
    with pytest.raises(ValueError, match="grey images"):
        foreground(np.zeros((1, 8, 8, 3), np.float32))


@pytest.mark.parametrize(
    ("objects", "labels", "options", "message"),
    [
        (np.zeros((2, 28, 28), np.float32), LABELS, {}, "no foreground"),
        (squares() * 2, LABELS, {}, "must lie in"),
        (squares()[0], LABELS, {}, "expected|height, width"),
        (squares(), LABELS[:1], {}, "labels must be 2"),
        (squares(), LABELS, {"masks": np.ones((2, 28, 28))}, "masks must be booleans"),
        (np.ones((2, 8, 8, 3), np.float32), LABELS, {}, "need masks"),
        (squares(), LABELS, {"backgrounds": np.zeros((2, 32, 32), np.float32)}, "backgrounds"),
        (squares(), LABELS, {"size": 8}, "size"),
        (squares(), LABELS, {"scale": (0.9, 0.2)}, "scale"),
        (squares(), LABELS, {"scale": (0.5, 1.5)}, "scale"),
    ],
)
def test_what_does_not_go_together_is_refused(objects, labels, options, message):
    with pytest.raises(ValueError, match=message):
        make_scenes(objects, labels, 2, **options)
