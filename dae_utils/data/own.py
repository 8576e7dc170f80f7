"""A reader's own data as arrays: a table, a folder of images, or a signal.

What comes out goes straight into `networks.dense_autoencoder`, `training.fit` and the detectors of
`detection`. A table is encoded by scikit-learn, an image is decoded by Pillow; this module adds the checks
that say which file or which column is at fault.
"""

from __future__ import annotations

import os
import re
import warnings
from collections.abc import Sequence
from itertools import pairwise
from numbers import Real
from pathlib import Path
from typing import Any, Self

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray
from PIL import Image, ImageOps, UnidentifiedImageError
from scipy.stats import binom
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.compose import ColumnTransformer
from sklearn.exceptions import NotFittedError
from sklearn.impute import SimpleImputer
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from dae_utils.validation import check_count, check_fraction, check_numbers, stack_level_of_caller

__all__ = ["TableEncoder", "read_images", "split_in_order", "windows"]

IMAGE_ENDINGS = (".png", ".jpg", ".jpeg", ".bmp", ".gif", ".tif", ".tiff", ".webp")

# What counts as a number in a column of text. With a comma it is one to many readers, but not to pandas.
_PLAIN_NUMBER = re.compile(r"\s*[-+]?(\d+\.?\d*|\.\d+)(e[-+]?\d+)?\s*", re.IGNORECASE)
_NUMBER = re.compile(r"\s*[-+]?(\d+[.,]?\d*|[.,]\d+)(e[-+]?\d+)?\s*", re.IGNORECASE)
# A column of words with as large a share of different ones names the rows; of fewer rows nothing is said.
_SHARE_OF_NAMES = 0.9
_LEAST_ROWS_WITH_NAMES = 20
# A column is much emptier than in fit when its share of empty fields has grown by more than this, and chance
# alone would bring that about less often than the second number says.
_MUCH_EMPTIER = 0.1
_BY_CHANCE = 1e-3


# Vectors are arrays whatever scikit-learn is set to; its wrapper would also hide from a warning who called.
class TableEncoder(TransformerMixin, BaseEstimator, auto_wrap_output_keys=None):  # type: ignore[call-arg]
    """Turns the rows of a table into vectors of numbers of comparable size.

    A column of numbers (or of true and false) gets mean 0 and spread 1 in the rows of `fit`, and an empty
    field is filled with the column's median: it raises no alarm by being empty, so that a row without any
    number looks normal. `transform` warns where fields are much emptier than in `fit`. A column of words
    becomes one column of zeros and ones for each word that `fit` met; a new word is zero in all of them, and
    an empty field counts as a word of its own.

    Text that is mostly numbers is refused, since it is a column of numbers that was not read as one: each of
    its numbers would become a word. Where the numbers are names (of rooms, of types), make the column one of
    pandas' categories. A column of text in which every field is a number as pandas writes it is taken for
    words: it can only have been made text on purpose.

    Attributes:
        columns_: names of the table's columns (after `fit`).
        n_values_: length of the vectors (after `fit`).
    """

    def fit(self, table: pd.DataFrame, y: None = None) -> Self:
        """Learn sizes, medians and words from `table`, one row a normal sample; `y` is ignored.

        Warns:
            UserWarning: nearly every word of a column is another one, so that it names the rows.

        Raises:
            ValueError: not a table, no rows, two columns of one name, an infinite number, a column of dates,
                a column of text that is mostly numbers, or a column without any value.
        """
        frame = _checked_table(table)
        numbers = [name for name in frame if pd.api.types.is_float_dtype(frame[name])]
        words = [name for name in frame if name not in numbers]
        empty = [str(name) for name in frame if frame[name].isna().all()]
        if empty:
            raise ValueError(f"these columns have no value in any row; leave them out: {', '.join(empty)}.")
        for name in words:
            _refuse_numbers_as_text(table[name])
        _warn_of_names(frame[words])
        self.columns_ = list(frame)
        self._numbers = numbers
        self._words = words
        self._n_rows = len(frame)
        self._n_empty = {name: int(frame[name].isna().sum()) for name in frame}
        self._met_rows_without_numbers = bool(frame[numbers].isna().all(axis=1).any())
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

        Warns:
            UserWarning: a column is much emptier than in `fit` (its share of empty fields has grown by more
                than a tenth, and by more than chance explains), or rows have no number at all and none of
                `fit` was like that. Such rows cannot be found: what is empty is filled with what is normal.

        Raises:
            ValueError: a column of `fit` that is not there, or that held numbers and now holds words; see
                `fit`.
        """
        self._check_is_fitted()
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
                if name in self._numbers:
                    _refuse_numbers_as_text(table[name])
                kinds = ("numbers", "words") if name in self._numbers else ("words", "numbers")
                raise ValueError(f"column {name} held {kinds[0]} in fit and holds {kinds[1]} now.")
        self._warn_of_emptiness(frame)
        vectors: NDArray[np.float32] = self._encoder.transform(frame[self.columns_]).astype(np.float32)
        return vectors

    def get_feature_names_out(self, input_features: object = None) -> NDArray[np.object_]:
        """Return the names of the values in a vector, in their order, shape (`n_values_`,).

        The columns of numbers come first, under their own names. Of each column of words follows one name a
        word, such as ``colour=red``; an empty field is ``colour=(empty)``.

        Args:
            input_features: ignored; it is there because scikit-learn passes it.

        Raises:
            NotFittedError: before `fit`.
        """
        self._check_is_fitted()
        names = [str(name) for name in self._numbers]
        if self._words:
            of_columns = self._encoder.named_transformers_["words"][-1].categories_
            for name, words in zip(self._words, of_columns, strict=True):
                names += [f"{name}={word}" for word in words]
        return np.array(names, dtype=object)

    def _check_is_fitted(self) -> None:
        if not hasattr(self, "columns_"):
            raise NotFittedError("This encoder has seen no table yet; call fit with the normal rows.")

    def _warn_of_emptiness(self, frame: pd.DataFrame) -> None:
        """Warn where a checked table is much emptier than that of `fit`."""
        n_rows, emptier = len(frame), []
        for name in self.columns_:
            now, before = int(frame[name].isna().sum()), self._n_empty[name]
            # One more of each kind than was met, or what was never empty in fit could never be by chance.
            by_chance = binom.sf(now - 1, n_rows, (before + 1) / (self._n_rows + 2))
            if now / n_rows > before / self._n_rows + _MUCH_EMPTIER and by_chance < _BY_CHANCE:
                emptier.append(f"{name} ({now / n_rows:.0%} empty, {before / self._n_rows:.0%} in fit)")
        if emptier:
            warnings.warn(
                f"columns much emptier than in fit: {', '.join(emptier)}; an empty number is filled with the "
                "median and looks normal, so look at these rows yourself.",
                stacklevel=stack_level_of_caller(),
            )
        # Of a single column of numbers the first warning is all that there is to say.
        if len(self._numbers) > 1 and not self._met_rows_without_numbers:
            without = frame.index[frame[self._numbers].isna().all(axis=1)]
            if len(without):
                warnings.warn(
                    f"rows without any number: {len(without)} (the first is row {without[0]}), and none in "
                    "fit; they are filled with medians and look normal, so look at them yourself.",
                    stacklevel=stack_level_of_caller(),
                )


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


def _refuse_numbers_as_text(values: pd.Series) -> None:
    """Raise `ValueError` when a column that would count as words is mostly numbers."""
    filled = values.dropna()
    if isinstance(values.dtype, pd.CategoricalDtype) or filled.empty:
        return
    if all(isinstance(value, Real) and not isinstance(value, (bool, np.bool_)) for value in filled):
        raise ValueError(
            f"column {values.name} holds numbers as objects; make them numbers with pandas.to_numeric."
        )
    texts = [str(value) for value in filled]
    is_number = np.array([_NUMBER.fullmatch(text) is not None for text in texts])
    is_plain = np.array([_PLAIN_NUMBER.fullmatch(text) is not None for text in texts])
    if is_plain.all() or 2 * is_number.sum() <= len(texts):
        return
    first = int(np.argmin(is_plain))
    raise ValueError(
        f"column {values.name} is text, but {is_number.sum()} of its {len(texts)} fields are numbers; the "
        f"first that pandas does not read as one is {texts[first]!r} in row {filled.index[first]}: give "
        "read_csv decimal=',' or na_values=['n.v.'] (whatever marks a missing number), or, where the numbers "
        "are only names, use .astype('category')."
    )


def _warn_of_names(frame: pd.DataFrame) -> None:
    """Warn of the columns of text in which nearly every word is another one."""
    names = []
    for name in frame:
        words = frame[name].dropna()
        if len(words) >= _LEAST_ROWS_WITH_NAMES and words.nunique() >= _SHARE_OF_NAMES * len(words):
            names.append(f"{name} ({words.nunique()} words in {len(words)} rows)")
    if names:
        warnings.warn(
            f"nearly every word is another one in the columns: {', '.join(names)}; a name of the row says "
            "nothing about what is normal, so leave it out.",
            stacklevel=stack_level_of_caller(),
        )


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
