"""A reader's own data as arrays: a table, a folder of images, or a signal.

What comes out goes straight into `networks.dense_autoencoder`, `training.fit` and the detectors of
`detection`. A table is encoded by scikit-learn, an image is decoded by Pillow; this module adds the checks
that say which file or which column is at fault.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any, Self

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray
from PIL import Image, ImageOps, UnidentifiedImageError
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.compose import ColumnTransformer
from sklearn.exceptions import NotFittedError
from sklearn.impute import SimpleImputer
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from dae_utils.validation import check_count, check_fraction, check_numbers

__all__ = ["TableEncoder", "read_images", "split_in_order", "windows"]

IMAGE_ENDINGS = (".png", ".jpg", ".jpeg", ".bmp", ".gif", ".tif", ".tiff", ".webp")


class TableEncoder(TransformerMixin, BaseEstimator):
    """Turns the rows of a table into vectors of numbers of comparable size.

    A column of numbers (or of true and false) gets mean 0 and spread 1 in the rows of `fit`, and an empty
    field is filled with the column's median: it raises no alarm by being empty. A column of words becomes one
    column of zeros and ones for each word that `fit` met; a new word is zero in all of them, and an empty
    field counts as a word of its own.

    Attributes:
        columns_: names of the table's columns (after `fit`).
        n_values_: length of the vectors (after `fit`).
    """

    def fit(self, table: pd.DataFrame, y: None = None) -> Self:
        """Learn sizes, medians and words from `table`, one row a normal sample; `y` is ignored.

        Raises:
            ValueError: not a table, no rows, two columns of one name, an infinite number, a column of dates,
                or a column without any value.
        """
        frame = _checked_table(table)
        numbers = [name for name in frame if pd.api.types.is_float_dtype(frame[name])]
        words = [name for name in frame if name not in numbers]
        empty = [str(name) for name in frame if frame[name].isna().all()]
        if empty:
            raise ValueError(f"these columns have no value in any row; leave them out: {', '.join(empty)}.")
        self.columns_ = list(frame)
        self._numbers = numbers
        self._encoder = ColumnTransformer(
            [
                (
                    "numbers",
                    make_pipeline(SimpleImputer(strategy="median"), StandardScaler()),
                    numbers,
                ),
                (
                    "words",
                    make_pipeline(
                        SimpleImputer(missing_values=None, strategy="constant", fill_value="(empty)"),
                        OneHotEncoder(handle_unknown="ignore", sparse_output=False),
                    ),
                    words,
                ),
            ]
        ).set_output(transform="default")
        self.n_values_ = self._encoder.fit_transform(frame).shape[1]
        return self

    def transform(self, table: pd.DataFrame) -> NDArray[np.float32]:
        """Return the rows of `table` as vectors, shape (rows, `n_values_`); further columns are ignored.

        Raises:
            ValueError: a column of `fit` that is not there, or that held numbers and now holds words; see
                `fit`.
        """
        if not hasattr(self, "columns_"):
            raise NotFittedError("This encoder has seen no table yet; call fit with the normal rows.")
        frame = _checked_table(table)
        missing = [str(name) for name in self.columns_ if name not in frame]
        if missing:
            raise ValueError(f"the table has no column {', '.join(missing)}; fit had it.")
        for name in self.columns_:
            if (name in self._numbers) != pd.api.types.is_float_dtype(frame[name]):
                # A column in which no field is filled is read as numbers, whatever it held in fit.
                if frame[name].isna().all():
                    frame[name] = np.nan if name in self._numbers else _texts(frame[name])
                    continue
                kinds = ("numbers", "words") if name in self._numbers else ("words", "numbers")
                raise ValueError(f"column {name} held {kinds[0]} in fit and holds {kinds[1]} now.")
        vectors: NDArray[np.float32] = self._encoder.transform(frame[self.columns_]).astype(np.float32)
        return vectors


def _checked_table(table: pd.DataFrame) -> pd.DataFrame:
    """Return a copy of `table`: numbers as float64, everything else as text, None where a field is empty."""
    if not isinstance(table, pd.DataFrame):
        raise ValueError("the table must be a pandas DataFrame, such as pandas.read_csv returns.")
    if table.empty:
        raise ValueError(
            f"the table has {len(table)} rows and {table.shape[1]} columns: nothing to learn from."
        )
    if not table.columns.is_unique:
        twice = table.columns[table.columns.duplicated()]
        raise ValueError(f"the column {twice[0]} is there twice; rename one.")
    columns = {}
    for name in table:
        values = table[name]
        if pd.api.types.is_datetime64_any_dtype(values) or pd.api.types.is_timedelta64_dtype(values):
            raise ValueError(
                f"column {name} holds times; turn it into numbers that mean something (hour of the day, "
                "seconds since the last row), or leave it out."
            )
        if pd.api.types.is_numeric_dtype(values) or pd.api.types.is_bool_dtype(values):
            numbers = values.astype("float64")
            if np.isinf(numbers).any():
                raise ValueError(f"column {name} holds an infinite number; repair it or empty the field.")
            columns[name] = numbers
        else:
            columns[name] = _texts(values)
    return pd.DataFrame(columns, index=table.index)


def _texts(values: pd.Series) -> pd.Series:
    """Return a column as text, None where a field is empty.

    Its dtype is given, because pandas may otherwise take one of its own for text, in which an empty field is
    NaN.
    """
    texts = [None if is_empty else str(value) for value, is_empty in zip(values, values.isna(), strict=True)]
    return pd.Series(texts, index=values.index, dtype=object)


def read_images(
    folder: str | os.PathLike[str], height: int = 28, width: int | None = None, colour: bool = False
) -> tuple[NDArray[np.float32], list[str]]:
    """Read all images in `folder`, not in folders inside it, brought to one size.

    Args:
        folder: where they are. Files with other endings than PNG, JPEG, BMP, GIF, TIFF and WebP are left
            alone.
        height, width: size in pixels; without `width` a square. The shape of an image is not kept: crop
            before, if that matters.
        colour: red, green and blue; otherwise one value a pixel, its brightness.

    Returns:
        Images in [0, 1], shape (n, height, width) or (n, height, width, 3), and the names of their files,
        sorted.

    Raises:
        ValueError: no such folder, no image in it, or a file that cannot be read as an image; the error names
            it.
    """
    folder = Path(folder)
    height = check_count(height, "height")
    size = (height if width is None else check_count(width, "width"), height)
    if not folder.is_dir():
        raise ValueError(f"{folder} is not a folder.")
    files = sorted(
        path for path in folder.iterdir() if path.suffix.lower() in IMAGE_ENDINGS and path.is_file()
    )
    if not files:
        raise ValueError(f"{folder} holds no image ({', '.join(IMAGE_ENDINGS)}).")
    return np.stack([_read_image(path, size, colour) for path in files]), [path.name for path in files]


def _read_image(path: Path, size: tuple[int, int], colour: bool) -> NDArray[np.float32]:
    """Return one image in [0, 1]; `size` is (width, height)."""
    try:
        with Image.open(path) as image:
            # A camera stores how it was held and leaves the pixels as they were.
            upright = ImageOps.exif_transpose(image)
            if upright.mode == "F":
                raise OSError("its values are not whole numbers, and white could be any of them")
            if upright.mode.startswith("I"):
                # Sixteen bits a pixel: Pillow would cut them off at 255 instead of scaling them.
                values = np.clip(np.asarray(upright, dtype=np.float64) / 65535, 0, 1)
                upright = Image.fromarray((values * 255 + 0.5).astype(np.uint8))
            plain = upright.convert("RGB" if colour else "L").resize(size, Image.Resampling.LANCZOS)
    except (UnidentifiedImageError, OSError, SyntaxError) as error:
        raise ValueError(
            f"{path.name} cannot be read as an image ({error}); repair it or take it out."
        ) from None
    return np.asarray(plain, dtype=np.float32) / np.float32(255)


def windows(signal: ArrayLike, length: int, step: int | None = None) -> NDArray[np.float64]:
    """Cut a signal into windows of one length; what is left at the end is not used.

    Args:
        signal: shape (samples,), or (samples, channels) for several channels that were recorded together.
        length: samples in a window.
        step: samples from the start of one window to the start of the next; without it, `length`: no overlap.

    Returns:
        Shape (n, length) or (n, length * channels), all channels of the first sample first, in float64: a
        small signal on a large offset, such as an air pressure in pascal, would be lost in float32. The
        window number i starts at sample i * step.

    Raises:
        ValueError: a signal that is shorter than one window, has more than two axes, or holds NaN or infinite
            values; the error says where the first one is.
    """
    length = check_count(length, "length")
    step = length if step is None else check_count(step, "step")
    values = check_numbers(signal, "signal").astype(np.float64)
    if values.ndim not in (1, 2):
        raise ValueError(f"signal has shape {values.shape}; it must be (samples,) or (samples, channels).")
    if len(values) < length:
        raise ValueError(f"the signal has {len(values)} samples, fewer than one window of {length}.")
    bad = np.flatnonzero(~np.isfinite(values.reshape(len(values), -1)).all(axis=1))
    if len(bad):
        raise ValueError(
            f"signal holds NaN or infinite values in {len(bad)} samples (the first is number {bad[0]}); fill "
            "short gaps, for example with pandas.Series.interpolate, and cut the signal at long ones."
        )
    # The view has the window on its last axis, behind the channels.
    view = np.lib.stride_tricks.sliding_window_view(values, length, axis=0)[::step]
    return np.ascontiguousarray(np.moveaxis(view, -1, 1)).reshape(len(view), -1)


def split_in_order(
    x: ArrayLike, shares: Sequence[float] = (0.6, 0.2, 0.2), gap: int = 0
) -> list[NDArray[Any]]:
    """Cut samples that came one after the other into stretches: to train on, to hold out, to test.

    Windows that overlap, or neighbours that are nearly the same, must not stand on both sides of a split: a
    random one would put them there.

    Args:
        x: shape (n, ...), in the order in which the samples came.
        shares: shares of the stretches, each above 0 and below 1, 1 in all.
        gap: samples to leave out between two stretches; for windows of `length` with `step`, at least
            ceil(length / step) - 1.

    Returns:
        One array for each share.

    Raises:
        ValueError: shares that do not add up to 1, or a stretch without a sample.
    """
    x = np.asarray(x)
    gap = check_count(gap, "gap", least=0)
    parts = [check_fraction(share, "every share") for share in shares]
    if abs(sum(parts) - 1) > 1e-6:
        raise ValueError(f"the shares add up to {sum(parts):g}; they must add up to 1.")
    ends = [0, *np.rint(np.cumsum(parts) * len(x)).astype(int)]
    stretches = [
        x[start + (gap if number else 0) : end] for number, (start, end) in enumerate(pairwise(ends))
    ]
    for number, stretch in enumerate(stretches):
        if len(stretch) == 0:
            raise ValueError(f"{len(x)} samples, a gap of {gap}: nothing is left for share {number + 1}.")
    return stretches
