"""Checks of what a reader hands to the library.

Every check either returns a clean NumPy array or raises a `ValueError` of one to three lines that says what
is wrong with which argument and what to do about it.
"""

from __future__ import annotations

import os
import sys
from numbers import Integral, Real
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

# Checked samples, shape (n, ...): float32 or float64.
Samples = NDArray[np.floating[Any]]

_DIVIDE = "divide by 255 to bring them into [0, 1], for example x.astype('float32') / 255"


def check_numbers(values: ArrayLike, name: str) -> NDArray[Any]:
    """Return `values` as a non-empty array of booleans, integers or real numbers, else raise `ValueError`."""
    if hasattr(values, "toarray"):  # NumPy takes a sparse matrix of SciPy for a single object
        raise ValueError(f"{name} is a sparse matrix; make it an array with its .toarray() first.")
    if np.ma.is_masked(values):  # NumPy would forget the mask, and take what lies under it for data
        raise ValueError(f"{name} has masked values; drop or fill them first, with .filled(...).")
    try:
        array = np.asarray(values)
    except ValueError:
        # NumPy refuses ragged lists.
        raise ValueError(f"{name}: the rows differ in length; pad or cut them to one shape first.") from None
    if array.dtype.kind not in "biuf":
        raise ValueError(f"{name} must hold real numbers, not {array.dtype}; convert it to float32.")
    if array.size == 0:
        raise ValueError(f"{name} is empty (shape {array.shape}); at least one sample is needed.")
    return array


def _check_finite(array: NDArray[Any], name: str) -> None:
    """Raise `ValueError` naming how many samples of `array` hold NaN or infinite values."""
    if array.dtype.kind != "f":
        return
    finite = np.isfinite(array)
    if not finite.all():
        bad = np.count_nonzero(~finite.reshape(len(array), -1).all(axis=1))
        raise ValueError(
            f"{name} holds NaN or infinite values in {bad} of {len(array)} samples; "
            "remove or repair those samples first (np.isfinite finds them)."
        )


def _look_like_pixels(array: NDArray[Any]) -> bool:
    """Whether `array` looks like pixels that became floating point without being scaled.

    Measured or standardised values are not all whole numbers, and small counts stay below 128.
    """
    return bool(127 < array.max() <= 255 and array.min() >= 0 and np.all(array == np.rint(array)))


def check_batch(x: ArrayLike, name: str = "x", sample_shape: tuple[int, ...] | None = None) -> Samples:
    """Return a batch of samples, any finite numbers, as a floating-point array.

    Args:
        x: shape (n, ...), n >= 1 samples of at least one value each.
        name: what the argument is called in an error.
        sample_shape: the shape that one sample must have; None accepts any.

    Returns:
        `x` itself when it is float32 or float64, else a copy in the smaller of the two that holds all numbers
        of its type.

    Raises:
        ValueError: not numeric, empty, no batch axis, NaN or infinite, or a wrong sample shape.
    """
    array = check_numbers(x, name)
    if array.ndim < 2:
        raise ValueError(
            f"{name} has shape {array.shape}; a batch of samples needs shape (n, ...). "
            f"For one sample write {name}[np.newaxis]."
        )
    if sample_shape is not None and array.shape[1:] != tuple(sample_shape):
        raise ValueError(
            f"{name} holds samples of shape {array.shape[1:]}, but {tuple(sample_shape)} is expected; "
            f"reshape it, for example {name}.reshape(-1, {', '.join(map(str, sample_shape))})."
        )
    _check_finite(array, name)
    if array.dtype in (np.float32, np.float64):
        return array
    wide = np.result_type(array, np.float32)
    return array.astype(wide if wide == np.float32 else np.float64)


def check_samples(x: ArrayLike, name: str = "x", sample_shape: tuple[int, ...] | None = None) -> Samples:
    """Return a batch of scaled samples as a floating-point array: `check_batch` that refuses pixels.

    Args:
        x: shape (n, ...), n >= 1 samples of at least one value each, floating point. Booleans and integers
            that are all 0 or 1 pass too.
        name: what the argument is called in an error.
        sample_shape: the shape that one sample must have; None accepts any.

    Returns:
        `x` itself when it is float32 or float64, else a float32 copy.

    Raises:
        ValueError: not numeric, empty, no batch axis, NaN or infinite, a wrong sample shape, or whole numbers
            up to 255 (pixels that were not scaled).
    """
    given = check_numbers(x, name)
    checked = check_batch(given, name, sample_shape)
    if given.dtype.kind in "iu":
        if given.min() < 0 or given.max() > 1:
            raise ValueError(
                f"{name} holds integers ({given.dtype}) from {given.min()} to {given.max()}; "
                f"if these are pixels, {_DIVIDE}."
            )
    elif given.dtype.kind == "f" and _look_like_pixels(given):
        raise ValueError(
            f"{name} holds whole numbers up to {given.max():g}, which look like pixels; {_DIVIDE}."
        )
    return checked if checked is given else checked.astype(np.float32, copy=False)


def check_unit_interval(array: NDArray[Any], name: str) -> None:
    """Raise `ValueError` unless every value of `array` lies in [0, 1], as cross-entropy needs."""
    low, high = float(array.min()), float(array.max())
    if low < 0 or high > 1:
        advice = _DIVIDE if low >= 0 and high <= 255 else "scale the values into [0, 1]"
        raise ValueError(f"{name} must lie in [0, 1] but runs from {low:g} to {high:g}; {advice}.")


def check_same_shape(first: NDArray[Any], second: NDArray[Any], first_name: str, second_name: str) -> None:
    """Raise `ValueError` unless both arrays have the same shape."""
    if first.shape != second.shape:
        raise ValueError(
            f"{first_name} has shape {first.shape} but {second_name} has {second.shape}; "
            "they must match value for value (reshape one of them)."
        )


def check_scores(scores: ArrayLike, name: str = "scores") -> NDArray[np.float64]:
    """Return one finite number per sample as float64, shape (n,), n >= 1.

    Raises:
        ValueError: not numeric, empty, not one-dimensional, NaN or infinite.
    """
    array = check_numbers(scores, name)
    if array.ndim != 1:
        raise ValueError(f"{name} has shape {array.shape}; one number per sample, shape (n,), is expected.")
    _check_finite(array, name)
    return array.astype(np.float64)


def check_flags(
    flags: ArrayLike, name: str = "labels", length: int | None = None, both: bool = False
) -> NDArray[np.bool_]:
    """Return one yes-or-no value per sample as booleans, shape (n,), n >= 1.

    Args:
        flags: booleans, or numbers that are all 0 or 1; for labels, 1 marks an anomaly.
        name: what the argument is called in an error.
        length: how many samples there must be; None accepts any number.
        both: whether at least one sample of each kind is required.

    Raises:
        ValueError: not 0 or 1, empty, not one-dimensional, of the wrong length, or of one kind only where
            both are needed.
    """
    array = check_numbers(flags, name)
    if array.ndim != 1:
        raise ValueError(f"{name} has shape {array.shape}; one value per sample, shape (n,), is expected.")
    _check_finite(array, name)
    if np.any((array != 0) & (array != 1)):
        hint = (
            "scikit-learn's -1 (anomaly) and +1 (normal) become 0 and 1 with `prediction == -1`"
            if np.isin(array, (-1, 1)).all()
            else "compare classes first, for example `y != normal_class`"
        )
        raise ValueError(f"{name} must be 0 or 1 (1 = anomaly); {hint}.")
    if length is not None and len(array) != length:
        raise ValueError(
            f"{name} holds {len(array)} values but there are {length} samples; give one for each."
        )
    result = array.astype(bool)
    if both and (result.all() or not result.any()):
        kind = "anomalies" if result[0] else "normal samples"
        raise ValueError(
            f"{name} holds {kind} only; normal samples (0) and anomalies (1) are both needed to compare them."
        )
    return result


def check_fraction(value: float, name: str, closed: bool = False) -> float:
    """Return `value` as a float in (0, 1), or in [0, 1] when `closed`; raise `ValueError` otherwise."""
    is_number = isinstance(value, Real) and not isinstance(value, (bool, np.bool_))
    inside = is_number and (0 <= value <= 1 if closed else 0 < value < 1)
    if not inside:
        bounds = "0 and 1, both included" if closed else "0 and 1, both excluded"
        raise ValueError(f"{name} must be a fraction between {bounds} (0.05 for 5 %), not {value!r}.")
    return float(value)


def check_count(value: int, name: str, least: int = 1, most: int | None = None, reason: str = "") -> int:
    """Return `value` as an int between `least` and `most`; raise `ValueError` giving `reason` otherwise."""
    is_count = isinstance(value, Integral) and not isinstance(value, (bool, np.bool_))
    if not is_count or value < least or (most is not None and value > most):
        bounds = f"at least {least}" if most is None else f"from {least} to {most}"
        raise ValueError(f"{name} must be a whole number {bounds}{reason}, not {value!r}.")
    return int(value)


def check_choice(value: str, name: str, choices: tuple[str, ...]) -> str:
    """Return `value` when it is one of `choices`; raise `ValueError` listing them otherwise."""
    if value not in choices:
        raise ValueError(f"{name} must be one of {', '.join(map(repr, choices))}, not {value!r}.")
    return value


def stack_level_of_caller() -> int:
    """Return the `stacklevel` with which a warning points to the line that called the library.

    However deep inside the library the warning is given. From Python 3.12 on, `skip_file_prefixes` does this.
    """
    library = os.path.dirname(__file__) + os.sep
    level, frame = 1, sys._getframe(1)
    while frame.f_back is not None and frame.f_code.co_filename.startswith(library):
        level, frame = level + 1, frame.f_back
    return level
