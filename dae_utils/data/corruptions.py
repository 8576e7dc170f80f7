"""Ways in which an image goes wrong, at a chosen strength: noise, missing pixels, blur, shift, turn, a cover,
and a small deformation drawn for each image.

All functions take a random generator first and a batch of images second, shape (n, height, width) or
(n, height, width, channels) with values in [0, 1], and return new images of the same shape as float32 in
[0, 1]. So each of them, with its strength filled in, can be the `corrupt` of `fit`. A strength of 0 changes
nothing. What moves in from outside the image is 0.
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import ndimage

from dae_utils.validation import check_count, check_samples, check_unit_interval

__all__ = ["add_noise", "blur", "cover", "deform", "erase_pixels", "move", "turn"]

Images = NDArray[np.float32]


def _checked(images: ArrayLike) -> Images:
    images = check_samples(images, "images")
    if images.ndim not in (3, 4):
        raise ValueError(
            f"images has shape {images.shape}; (n, height, width) is expected, "
            "or (n, height, width, channels)."
        )
    check_unit_interval(images, "images")
    return images.astype(np.float32)  # a copy, which may be changed


def _checked_strength(strength: float, name: str, most: float = np.inf) -> float:
    if not 0 <= strength <= most:  # NaN fails too
        limit = "" if most == np.inf else f" and at most {most:g}"
        raise ValueError(f"{name} must be at least 0{limit}, got {strength}.")
    return float(strength)


def add_noise(generator: np.random.Generator, images: ArrayLike, deviation: float) -> Images:
    """Add Gaussian noise of a standard `deviation` to every value, and cut off what leaves [0, 1]."""
    images = _checked(images)
    deviation = _checked_strength(deviation, "deviation")
    images += deviation * generator.standard_normal(images.shape, dtype=np.float32)
    return np.clip(images, 0, 1, out=images)


def erase_pixels(generator: np.random.Generator, images: ArrayLike, share: float) -> Images:
    """Set each pixel, with all its channels, to 0 with probability `share` (masking noise).

    Vincent et al. 2010, "Stacked denoising autoencoders", section 3.3.
    """
    images = _checked(images)
    share = _checked_strength(share, "share", 1)
    erased = generator.random(images.shape[:3], dtype=np.float32) < share
    images[erased] = 0
    return images


def blur(generator: np.random.Generator, images: ArrayLike, sigma: float) -> Images:
    """Blur every image with a Gaussian of standard deviation `sigma` in pixels; no chance is involved."""
    images = _checked(images)
    sigma = _checked_strength(sigma, "sigma")
    sigmas = (0, sigma, sigma, 0)[: images.ndim]
    blurred: Images = ndimage.gaussian_filter(images, sigmas, mode="constant")
    return np.clip(blurred, 0, 1)


def move(generator: np.random.Generator, images: ArrayLike, pixels: int) -> Images:
    """Move every image by whole `pixels`, each up, down, left or right by chance."""
    images = _checked(images)
    pixels = check_count(pixels, "pixels", least=0, most=min(images.shape[1:3]))
    if pixels == 0:
        return images
    moved, directions = np.zeros_like(images), generator.integers(4, size=len(images))
    ahead, behind = slice(pixels, None), slice(None, -pixels)
    whole = slice(None)
    for direction, (into, out_of) in enumerate(
        (
            ((behind, whole), (ahead, whole)),
            ((ahead, whole), (behind, whole)),
            ((whole, behind), (whole, ahead)),
            ((whole, ahead), (whole, behind)),
        )
    ):
        chosen = np.flatnonzero(directions == direction)
        moved[(chosen, *into)] = images[(chosen, *out_of)]
    return moved


def turn(generator: np.random.Generator, images: ArrayLike, degrees: float) -> Images:
    """Turn every image about its centre by `degrees`, each one way or the other by chance; linear between
    pixels.
    """
    images = _checked(images)
    degrees = _checked_strength(degrees, "degrees", 180)
    backwards = generator.random(len(images)) < 0.5
    for chosen, angle in ((backwards, -degrees), (~backwards, degrees)):
        if angle != 0 and chosen.any():
            turned = ndimage.rotate(images[chosen], angle, axes=(1, 2), reshape=False, order=1)
            images[chosen] = np.clip(turned, 0, 1)
    return images


def cover(generator: np.random.Generator, images: ArrayLike, side: int) -> Images:
    """Cover a square of `side` pixels, wholly inside the image at a place drawn for each, with 0."""
    images = _checked(images)
    height, width = images.shape[1:3]
    side = check_count(side, "side", least=0, most=min(height, width))
    tops = generator.integers(height - side + 1, size=(len(images), 1))
    lefts = generator.integers(width - side + 1, size=(len(images), 1))
    rows, columns = np.arange(height), np.arange(width)
    covered_rows = (rows >= tops) & (rows < tops + side)
    covered_columns = (columns >= lefts) & (columns < lefts + side)
    images[covered_rows[:, :, np.newaxis] & covered_columns[:, np.newaxis, :]] = 0
    return images


def deform(
    generator: np.random.Generator,
    images: ArrayLike,
    strength: float = 1.0,
    *,
    degrees: float = 15.0,
    pixels: float = 2.0,
    stretch: float = 0.1,
    shear: float = 0.15,
) -> Images:
    """Turn, stretch, slant and move every image a little, each by amounts of its own; linear between pixels.

    The amounts are drawn evenly between minus and plus the limits below, times `strength`. All four together
    are one affine map about the middle of the image, so that an image is interpolated once only. With the
    defaults a handwritten digit stays the digit that it is (Simard, Steinkraus and Platt 2003, "Best
    practices for convolutional neural networks applied to visual document analysis", ICDAR).

    Args:
        generator: decides the amounts.
        images: shape (n, height, width) or (n, height, width, channels), values in [0, 1].
        strength: factor of all limits; 0 changes nothing.
        degrees: the largest turn, either way.
        pixels: the largest move, along each axis.
        stretch: the largest logarithm of the factor by which each axis becomes longer or shorter, so that 0.1
            is about a tenth either way.
        shear: the largest slant: by so many pixels each row is moved against the next.

    Returns:
        Shape of `images`, float32 in [0, 1].

    Raises:
        ValueError: what is no image, or a strength or limit that is negative or far too large.
    """
    images = _checked(images)
    height, width = images.shape[1:3]
    strength = _checked_strength(strength, "strength", 10)
    degrees = strength * _checked_strength(degrees, "degrees", 180)
    pixels = strength * _checked_strength(pixels, "pixels", max(height, width))
    stretch = strength * _checked_strength(stretch, "stretch", 1)
    shear = strength * _checked_strength(shear, "shear", 1)
    turns = np.deg2rad(degrees) * generator.uniform(-1, 1, len(images))
    moves = pixels * generator.uniform(-1, 1, (len(images), 2))
    factors = np.exp(stretch * generator.uniform(-1, 1, (len(images), 2)))
    slants = shear * generator.uniform(-1, 1, len(images))

    # Where each pixel of the result comes from, in OpenCV's order of x and y: matrix · (x, y) + offset.
    middle = np.array([(width - 1) / 2, (height - 1) / 2])
    maps = np.empty((len(images), 2, 3))
    maps[:, 0, 0] = factors[:, 0] * np.cos(turns)
    maps[:, 0, 1] = factors[:, 1] * (slants - np.sin(turns))
    maps[:, 1, 0] = factors[:, 0] * np.sin(turns)
    maps[:, 1, 1] = factors[:, 1] * np.cos(turns)
    maps[:, :, 2] = middle - maps[:, :, :2] @ middle + moves
    how = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    for number, image in enumerate(images):
        images[number] = cv2.warpAffine(image, maps[number], (width, height), flags=how).reshape(image.shape)
    return np.clip(images, 0, 1, out=images)
