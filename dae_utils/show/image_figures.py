"""Figures of images: grids, and what a network makes of each image."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.figure import Figure
from numpy.typing import ArrayLike, NDArray

from dae_utils.show.phrases import translate
from dae_utils.show.style import font_size
from dae_utils.validation import check_count, check_samples

__all__ = ["draw_error_maps", "draw_images"]


def draw_images(
    images: ArrayLike,
    titles: Sequence[str] | None = None,
    row_labels: Sequence[str] | None = None,
    columns: int | None = None,
    size: float = 0.8,
) -> Figure:
    """Draw images in a grid and return the figure.

    Args:
        images: shape (n, height, width), or (rows, columns, height, width) for a grid with a meaning; in
            colour with one more axis of length 3. Values beyond [0, 1], as a linear decoder returns them, are
            cut off. In grey images 0 is drawn white and 1 black.
        titles: one for each image, or for a grid one for each column; shown as text.
        row_labels: what stands left of each row; only for a grid.
        columns: images in a row when `images` is a plain list; 10 unless given.
        size: width of one image in inches.

    Raises:
        ValueError: images of another number of dimensions, NaN, whole numbers up to 255, no column, or titles
            that do not match.
    """
    images = check_samples(images, "images")
    titles = None if titles is None else [translate(str(title)) for title in titles]
    row_labels = None if row_labels is None else [translate(str(label)) for label in row_labels]
    images, rows, columns, is_grid = _as_grid(images, columns)
    n_titles = columns if is_grid else len(images)
    if titles is not None and len(titles) != n_titles:
        raise ValueError(
            f"{len(titles)} titles were given for {n_titles} {'columns' if is_grid else 'images'}."
        )
    if row_labels is not None and (not is_grid or len(row_labels) != rows):
        raise ValueError(
            f"row_labels needs a grid and one label for each row ({rows if is_grid else 'no grid'})."
        )

    # A letter is about 0.62 of its size wide; titles must not run into each other.
    width = size * columns
    label_length = max(map(len, row_labels)) if row_labels is not None else 0
    letters = font_size(width + 0.11 * label_length)
    margin = 0.62 * letters / 72 * label_length
    longest = max((len(str(title)) for title in titles or ()), default=0)
    title_letters = min(letters, max(8.0, size * 72 / (0.62 * max(longest, 1))))
    title_height = title_letters / 72 + 0.1 if longest else 0
    height = size * images.shape[1] / images.shape[2]
    total_height = height * rows + title_height * (1 if is_grid else rows) + 0.1
    figure, axes = plt.subplots(rows, columns, figsize=(width + margin, total_height), squeeze=False)
    for number, axis in enumerate(axes.flat):
        axis.set_xticks([])
        axis.set_yticks([])
        axis.spines[:].set_visible(False)
        if number >= len(images):
            continue
        shown = np.clip(images[number], 0, 1)
        axis.imshow(shown, vmin=0, vmax=1, cmap="gray_r", interpolation="nearest")
        if titles is not None and number < n_titles:
            axis.set_title(titles[number], fontsize=title_letters, pad=3)
    for label, axis in zip(row_labels or (), axes[:, 0], strict=False):
        axis.set_ylabel(label, rotation=0, ha="right", va="center", fontsize=letters)
    return figure


def _as_grid(images: NDArray[Any], columns: int | None) -> tuple[NDArray[Any], int, int, bool]:
    """Return the images as a list, the rows and columns to draw them in, and whether they were a grid."""
    n_axes = images.ndim - (images.ndim > 3 and images.shape[-1] == 3)
    if n_axes == 3:
        in_a_row = min(check_count(10 if columns is None else columns, "columns"), len(images))
        return images, -(-len(images) // in_a_row), in_a_row, False
    if n_axes != 4:
        raise ValueError(
            f"images has shape {images.shape}; (n, height, width) is expected, "
            "or (rows, columns, height, width) for a grid; in colour with one more axis of length 3."
        )
    return images.reshape(-1, *images.shape[2:]), images.shape[0], images.shape[1], True


def draw_error_maps(
    images: ArrayLike,
    reconstructions: ArrayLike,
    titles: Sequence[str] | None = None,
    highest: float | None = None,
    size: float = 1.0,
) -> Figure:
    """Draw images, their reconstructions and the squared error of each pixel, one column an image.

    Under each map of errors stands its mean, the reconstruction error of the image.
    All errors share one scale of colours, so that columns can be compared.

    Args:
        images: shape (n, height, width), from 0 to 1, in colour with one more axis of length 3; up to eight.
        reconstructions: the same shape; values beyond [0, 1] are cut off in the picture, not in the error.
        titles: one for each image.
        highest: the error drawn darkest; the largest one unless given.
        size: width of one image in inches.

    Raises:
        ValueError: other shapes, NaN, more than eight images, or titles that do not match.
    """
    shown, copies = check_samples(images, "images"), check_samples(reconstructions, "reconstructions")
    in_colour = shown.ndim == 4 and shown.shape[-1] == 3
    if shown.ndim - in_colour != 3 or shown.shape != copies.shape:
        raise ValueError(
            f"images has shape {shown.shape} and reconstructions {copies.shape}; the same "
            "(n, height, width) is expected, in colour with one more axis of length 3."
        )
    if len(shown) > 8:
        raise ValueError(f"{len(shown)} images are too many to be seen on a phone: draw at most eight.")
    if titles is not None and len(titles) != len(shown):
        raise ValueError(f"{len(titles)} titles were given for {len(shown)} images.")
    errors = (shown.astype(np.float64) - copies) ** 2
    errors = errors.mean(axis=-1) if in_colour else errors
    most = float(errors.max() if highest is None else highest) or 1.0
    words = [translate(word) for word in ("input", "output", "error")]
    letters = font_size(size * len(shown) + 0.9)
    margin = 0.62 * letters / 72 * max(map(len, words)) + 0.1
    title_height = 1.6 * letters / 72 if titles else 0.05
    height = size * shown.shape[1] / shown.shape[2]
    figsize = (size * len(shown) + margin, 3 * height + title_height + 4 * letters / 72)
    figure, axes = plt.subplots(3, len(shown), figsize=figsize, squeeze=False)
    for row, pictures in enumerate((shown, copies, errors)):
        for axis, picture in zip(axes[row], pictures, strict=True):
            axis.set(xticks=[], yticks=[])
            axis.spines[:].set_color("#CCCCCC")
            limits = (0.0, most, "inferno_r") if row == 2 else (0.0, 1.0, "gray_r")
            picture = picture if row == 2 else np.clip(picture, 0, 1)
            drawn = axis.imshow(
                picture, vmin=limits[0], vmax=limits[1], cmap=limits[2], interpolation="nearest"
            )
        axes[row, 0].set_ylabel(words[row], rotation=0, ha="right", va="center", fontsize=letters)
    for title, axis in zip(titles or (), axes[0], strict=False):
        axis.set_title(title, fontsize=letters, pad=3)
    for error, axis in zip(errors, axes[2], strict=True):
        axis.set_xlabel(f"{error.mean():.3f}", fontsize=letters, labelpad=2)
    scale = figure.colorbar(drawn, ax=axes, location="bottom", aspect=40, fraction=0.06, pad=0.09)
    scale.set_label("squared error of a pixel (under each map, the mean)", fontsize=letters)
    scale.ax.tick_params(labelsize=letters)
    return figure
