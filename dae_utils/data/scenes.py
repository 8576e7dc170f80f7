"""Scenes with a known truth: objects set into backgrounds, with the exact mask of every object.

Whether a network finds objects can't be measured against another program's guess where they are; here the
truth is known, because the scenes are made. Nothing here fetches data: the caller passes objects and
backgrounds.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from PIL import Image
from scipy.ndimage import binary_fill_holes, label

from dae_utils.validation import check_count, check_fraction, check_samples, check_unit_interval

__all__ = ["Scenes", "foreground", "make_scenes", "random_shapes"]


@dataclass(frozen=True, eq=False)
class Scenes:
    """Images with one object each and the truth about it; n scenes of `size` by `size` pixels.

    Attributes:
        images: float32 in [0, 1], shape (n, size, size, 3).
        masks: bool, shape (n, size, size); true where the pixel shows the object and nothing of the
            background.
        backgrounds: float32, shape (n, size, size, 3): the same scenes without the object. Outside the mask
            an image and its background are equal bit for bit.
        labels: int64, shape (n,), the labels of the objects.
        boxes: int64, shape (n, 4): the first row and column of the mask, and one past the last row and
            column.
        sources: int64, shape (n,): which of the objects it is.
    """

    images: NDArray[np.float32]
    masks: NDArray[np.bool_]
    backgrounds: NDArray[np.float32]
    labels: NDArray[np.int64]
    boxes: NDArray[np.int64]
    sources: NDArray[np.int64]


def foreground(images: ArrayLike, threshold: float = 0.1) -> NDArray[np.bool_]:
    """Return where grey images on black ground, such as Fashion-MNIST, show the object.

    Brighter than the threshold, holes filled, and of several pieces the largest with all that have a tenth of
    its size or more (a pair of sandals keeps both straps, specks go).

    Args:
        images: shape (n, height, width), values in [0, 1].
        threshold: in (0, 1).

    Returns:
        Bool, shape (n, height, width); all false for an image that is nowhere brighter than the threshold.

    Raises:
        ValueError: another shape, NaN, or values outside [0, 1].
    """
    checked = check_samples(images, "images")
    if checked.ndim != 3:
        raise ValueError(f"images has shape {checked.shape}; grey images (n, height, width) are expected.")
    check_unit_interval(checked, "images")
    check_fraction(threshold, "threshold")
    masks = np.zeros(checked.shape, bool)
    for mask, image in zip(masks, checked, strict=True):
        pieces, n_pieces = label(binary_fill_holes(image > threshold))
        sizes = np.bincount(pieces.ravel(), minlength=n_pieces + 1)
        sizes[0] = 0
        mask[:] = (sizes >= max(1, sizes.max() / 10))[pieces]
    return masks


def random_shapes(n: int, size: int, seed: int = 0) -> NDArray[np.bool_]:
    """Return smooth random shapes to cut objects out of photographs, such as CIFAR-10, that have no ground.

    Args:
        n: how many.
        size: side of the square masks in pixels, at least 8.
        seed: decides the shapes.

    Returns:
        Bool, shape (n, size, size): one piece each, in the middle, without touching the border.
    """
    check_count(n, "n")
    check_count(size, "size", least=8)
    generator = np.random.default_rng(seed)
    angle_grid = np.arange(size) - (size - 1) / 2
    rows, columns = np.meshgrid(angle_grid, angle_grid, indexing="ij")
    angles, radii = np.arctan2(rows, columns), np.hypot(rows, columns)
    # A radius that swings around its mean as a sum of waves; together they can't reach border or centre.
    waves = np.arange(2, 6)
    shares = generator.dirichlet(np.ones(len(waves)), n)
    phases = generator.uniform(0, 2 * np.pi, (n, len(waves)))
    swing = np.array(
        [
            np.cos(waves[:, None, None] * angles + p[:, None, None]).T @ s
            for s, p in zip(shares, phases, strict=True)
        ]
    ).transpose(0, 2, 1)
    masks: NDArray[np.bool_] = radii < (size / 2 - 1) * (0.72 + 0.25 * swing)
    return masks


def make_scenes(
    objects: ArrayLike,
    labels: ArrayLike,
    n: int,
    *,
    masks: ArrayLike | None = None,
    backgrounds: ArrayLike | None = None,
    size: int = 64,
    scale: tuple[float, float] = (0.3, 0.6),
    cut_at_border: bool = False,
    tint: bool = True,
    seed: int = 0,
) -> Scenes:
    """Return scenes: an object each, drawn at random, at a random size and place in a random background.

    The mask is exact by definition: the object is brought to its size together with its outline, a pixel
    belongs to it where more than half of the pixel lies inside, and such a pixel shows the object's own
    colour, undiluted by the ground it was cut from; all other pixels show the background. There are no mixed
    pixels at the edge.

    Args:
        objects: grey on black, shape (m, height, width), or colour, shape (m, height, width, 3), in [0, 1].
        labels: shape (m,), whole numbers.
        n: how many scenes. Scene k does not depend on n.
        masks: bool, shape (m, height, width), where the objects are in `objects`. None finds them by
            `foreground`, which grey objects on black allow; for colour pass masks, such as `random_shapes`.
        backgrounds: colour images, shape (b, height, width, 3), in [0, 1]: larger ones are cropped at random,
            smaller ones enlarged. None makes smooth coloured noise.
        size: side of the scenes in pixels, at least 16.
        scale: smallest and largest longer side of an object, as shares of `size`, at most 1.
        cut_at_border: let the border cut off up to half of the object's height and width. False keeps it
            inside.
        tint: give each grey object a random colour, so that brightness alone does not find it. False shows it
            grey.
        seed: decides everything.

    Returns:
        The scenes and the truth about them.

    Raises:
        ValueError: shapes that do not go together, values outside [0, 1], an object without foreground, or a
            setting out of range.
    """
    pictures, outlines = _checked_objects(objects, masks)
    numbers = np.asarray(labels)
    if numbers.shape != (len(pictures),) or numbers.dtype.kind not in "iu":
        raise ValueError(f"labels must be {len(pictures)} whole numbers, one for each object.")
    grounds = None if backgrounds is None else _checked_backgrounds(backgrounds)
    check_count(n, "n")
    check_count(size, "size", least=16)
    if not 0 < scale[0] <= scale[1] <= 1 or scale[0] * size < 4:
        raise ValueError(f"scale must rise within (0, 1], from 4 pixels on, not {scale} of {size} pixels.")
    images = np.empty((n, size, size, 3), np.float32)
    scenes = Scenes(
        images,
        np.zeros((n, size, size), bool),
        np.empty_like(images),
        np.empty(n, np.int64),
        np.empty((n, 4), np.int64),
        np.empty(n, np.int64),
    )
    for number in range(n):
        # A generator for each scene, so that scene k is the same in a small and a large set.
        generator = np.random.default_rng([seed, number])
        chosen = int(generator.integers(len(pictures)))
        side = generator.uniform(*scale) * size
        colours, inside = _resized(pictures[chosen], outlines[chosen], side)
        if pictures.ndim == 3:
            colours = colours[:, :, np.newaxis] * (_tint(generator) if tint else np.ones(3, np.float32))
        ground = _noise(generator, size) if grounds is None else _patch(generator, grounds, size)
        there, part = _placed(generator, inside, size, cut_at_border)
        scenes.backgrounds[number] = ground
        scenes.masks[number][there] = inside[part]
        images[number] = ground
        images[number][there][inside[part]] = np.clip(colours[part][inside[part]], 0, 1)
        scenes.labels[number], scenes.sources[number] = numbers[chosen], chosen
        scenes.boxes[number] = _box(scenes.masks[number])
    return scenes


def _checked_objects(
    objects: ArrayLike, masks: ArrayLike | None
) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    pictures = check_samples(objects, "objects").astype(np.float32, copy=False)
    if pictures.ndim not in (3, 4) or (pictures.ndim == 4 and pictures.shape[3] != 3):
        raise ValueError(f"objects has shape {pictures.shape}; (m, height, width) or (m, height, width, 3).")
    check_unit_interval(pictures, "objects")
    if masks is not None:
        outlines = np.asarray(masks)
        if outlines.dtype != bool or outlines.shape != pictures.shape[:3]:
            raise ValueError(f"masks must be booleans of shape {pictures.shape[:3]}.")
    elif pictures.ndim == 4:
        raise ValueError("colour objects need masks, for example random_shapes(len(objects), height).")
    else:
        outlines = foreground(pictures)
    empty = np.flatnonzero(~outlines.any(axis=(1, 2)))
    if len(empty):
        raise ValueError(f"{len(empty)} objects have no foreground (first: {empty[0]}); leave them out.")
    return pictures, outlines


def _checked_backgrounds(backgrounds: ArrayLike) -> NDArray[np.float32]:
    grounds = check_samples(backgrounds, "backgrounds").astype(np.float32, copy=False)
    if grounds.ndim != 4 or grounds.shape[3] != 3:
        raise ValueError(f"backgrounds has shape {grounds.shape}; (b, height, width, 3) is expected.")
    check_unit_interval(grounds, "backgrounds")
    return grounds


def _resize(
    plane: NDArray[np.float32],
    height: int,
    width: int,
    kind: Image.Resampling = Image.Resampling.BILINEAR,
) -> NDArray[np.float32]:
    """Return one plane at another size; Pillow's filters average where the plane becomes smaller."""
    image = Image.fromarray(np.ascontiguousarray(plane, np.float32))
    return np.asarray(image.resize((width, height), kind), np.float32)


def _resized(
    picture: NDArray[np.float32], outline: NDArray[np.bool_], side: float
) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """Return an object cut to its outline, its longer side being `side` pixels: colours, and where it is."""
    top, left, bottom, right = _box(outline)
    alpha = outline[top:bottom, left:right].astype(np.float32)
    picture = picture[top:bottom, left:right] * (alpha if picture.ndim == 2 else alpha[:, :, np.newaxis])
    factor = side / max(alpha.shape)
    height, width = (max(2, round(extent * factor)) for extent in alpha.shape)
    share = _resize(alpha, height, width)
    planes = picture[np.newaxis] if picture.ndim == 2 else picture.transpose(2, 0, 1)
    # Divided by the share of the object, no darkness of the ground is left in the colours of the edge.
    colours = np.stack([_resize(plane, height, width) for plane in planes]) / np.maximum(share, 1e-6)
    # A thin object may be nowhere more than half a pixel wide.
    inside: NDArray[np.bool_] = share > min(0.5, 0.99 * float(share.max()))
    arranged = colours[0] if picture.ndim == 2 else colours.transpose(1, 2, 0)
    return arranged.astype(np.float32), inside


def _tint(generator: np.random.Generator) -> NDArray[np.float32]:
    """Return a colour whose brightest channel is 1."""
    colour = generator.uniform(0.2, 1, 3)
    tint: NDArray[np.float32] = (colour / colour.max()).astype(np.float32)
    return tint


def _noise(generator: np.random.Generator, size: int) -> NDArray[np.float32]:
    """Return smooth coloured noise of two scales, in [0, 1]."""
    base = generator.uniform(0.3, 0.7, 3)
    planes = []
    for channel in range(3):
        plane = np.full((size, size), base[channel])
        for knots, strength in ((5, 0.15), (17, 0.08)):
            grid = generator.normal(size=(knots, knots)).astype(np.float32)
            plane += strength * _resize(grid, size, size, Image.Resampling.BICUBIC)
        planes.append(plane)
    noise: NDArray[np.float32] = np.clip(np.stack(planes, axis=2), 0, 1).astype(np.float32)
    return noise


def _patch(generator: np.random.Generator, grounds: NDArray[np.float32], size: int) -> NDArray[np.float32]:
    """Return a square patch of a random background; of one that is too small the largest square, enlarged."""
    ground = grounds[generator.integers(len(grounds))]
    side = min(size, *ground.shape[:2])
    top, left = (int(generator.integers(extent - side + 1)) for extent in ground.shape[:2])
    patch = ground[top : top + side, left : left + side]
    if side == size:
        return np.array(patch)
    enlarged = np.stack([_resize(plane, size, size) for plane in patch.transpose(2, 0, 1)], axis=2)
    clipped: NDArray[np.float32] = np.clip(enlarged, 0, 1)
    return clipped


def _placed(
    generator: np.random.Generator, inside: NDArray[np.bool_], size: int, cut: bool
) -> tuple[tuple[slice, ...], tuple[slice, ...]]:
    """Return the part of the scene that an object covers, and the part of the object that is in the scene."""
    while True:
        starts, ends = [], []
        for extent in inside.shape:
            beyond = extent // 2 if cut else 0
            starts.append(int(generator.integers(-beyond, size - extent + beyond + 1)))
            ends.append(min(starts[-1] + extent, size))
        there = tuple(slice(max(start, 0), end) for start, end in zip(starts, ends, strict=True))
        part = tuple(
            slice(one.start - start, one.stop - start) for one, start in zip(there, starts, strict=True)
        )
        # The visible half of a slanting object may be empty: then another place is drawn.
        if inside[part].any():
            return there, part


def _box(mask: NDArray[np.bool_]) -> tuple[int, int, int, int]:
    """Return first row, first column, and one past the last row and column of what is true."""
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    return int(rows[0]), int(columns[0]), int(rows[-1]) + 1, int(columns[-1]) + 1
