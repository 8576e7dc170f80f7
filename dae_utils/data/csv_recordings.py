"""Electrocardiograms in text files: which columns are leads, which is the time, and in which units they are.

Spreadsheets, recorders and PhysioNet's `rdsamp` write them in many ways. What is understood is told by
`read_columns`; what is not is refused, since a column of times scored as a lead would raise no error later.
"""

from __future__ import annotations

import csv
import os
import re
import warnings
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from dae_utils.data.ecg import USABLE_RATES, RecordingError, unit_named, whole_rate
from dae_utils.data.storage import one_line

__all__ = ["Column", "read_columns"]

_SEPARATORS = (";", "\t", ",")
_SPACES = r"\s+"
_NUMBER = re.compile(r"[-+]?(\d+[.,]?\d*|[.,]\d+)(e[-+]?\d+)?|nan|", re.IGNORECASE)
# "MLII (uV)", "MLII [uV]", "MLII/uV", "MLII_uV", "MLII uV"
_BRACKETED = re.compile(r"(?P<name>.*?)[\s_]*[(\[](?P<unit>[^)\]]*)[)\]]\s*")
_ENDING = re.compile(r"(?P<name>.+?)[\s_/]+(?P<unit>[^\s_/]+)")
_SECONDS = {
    "s": 1.0,
    "sec": 1.0,
    "seconds": 1.0,
    "ms": 1e-3,
    "msec": 1e-3,
    "us": 1e-6,
    "\u00b5s": 1e-6,
    "ns": 1e-9,
}
_TIMES = re.compile(r"t|(.*\b)?(times?|timestamps?|seconds|date|datetime)(\b.*)?")
_COUNTS = {
    "sample",
    "samples",
    "sample #",
    "sample number",
    "sample_number",
    "index",
    "n",
    "no",
    "no.",
    "#",
    "",
}


@dataclass(frozen=True, eq=False)
class Column:
    """One column of numbers.

    Args:
        name: without its unit.
        unit: as the file spells it, "" where it states none.
        values: (rows,) float64, NaN where a field is empty.
    """

    name: str
    unit: str
    values: NDArray[np.float64]


def read_columns(path: str | os.PathLike[str]) -> tuple[list[Column], int | None]:
    """Return the columns of a text file that may be leads, and its rate if it has a column of times.

    Fields are separated by commas, semicolons, tabs or spaces; but for the first, a comma may be decimal.
    The first line may name the columns, with units as in "MLII (uV)", and the second may hold units alone, as
    `rdsamp` writes it. Without names they are called 1, 2, 3 and so on. A column named as a time (in seconds,
    milliseconds, hh:mm:ss or dates) tells the rate; one named as a count of samples is left out.

    Args:
        path: of the file.

    Raises:
        RecordingError: no such file, no rows, text among the numbers, two columns of one name, or times that
            go back, have gaps, or belong to no usable rate.
    """
    path = Path(path)
    try:
        with path.open("rb") as file:
            encoding = "utf-16" if file.read(2) in (b"\xff\xfe", b"\xfe\xff") else "utf-8-sig"
        with path.open(encoding=encoding, errors="replace") as file:
            lines = [line for _, line in zip(range(3), file, strict=False)]
        separator = _separator_of(lines)
        names, units, n_skipped = _heads_of(lines, separator)
        has_commas = separator != "," and any(re.search(r"\d,\d", line) for line in lines[n_skipped:])
        table = _table_of(path, names, separator, "," if has_commas else ".", n_skipped, encoding)
    except OSError as error:
        raise RecordingError(f"{path.name} can't be read: {error.strerror or error}.") from error
    except ValueError as error:  # of pandas' own errors all are ValueErrors
        raise RecordingError(
            f"{path.name} can't be read as a table: {one_line(error)}; leave one line of names and rows of "
            "numbers."
        ) from error
    if len(table) < 2:
        raise RecordingError(f"{path.name} holds {len(table)} rows of numbers; one row a sample is needed.")
    titles = [(name, unit, _kind_of(name, unit)) for name, unit in zip(names, units, strict=True)]
    columns = [
        Column(name, unit, _numbers(table[name], name, path.name))
        for name, unit, kind in titles
        if kind == "lead"
    ]
    times = [(name, unit) for name, unit, kind in titles if kind == "time"]
    if not times:
        return columns, None
    # A clock of the recorder, in a unit, is better than the dates at which a telephone heard of the samples.
    name, unit = min(times, key=lambda pair: (not _is_time_unit(pair[1]), table[pair[0]].dtype == object))
    return columns, _rate_of(table[name], name, unit, path.name)


def _table_of(
    path: Path, names: list[str], separator: str, decimal: str, n_skipped: int, encoding: str
) -> pd.DataFrame:
    """Return the rows of a text file; pandas would drop fields without a name, which are refused."""
    with warnings.catch_warnings():
        warnings.simplefilter("error", pd.errors.ParserWarning)
        try:
            return pd.read_csv(
                path,
                sep=separator,
                header=None,
                skiprows=n_skipped,
                names=names,
                index_col=False,
                decimal=decimal,
                encoding=encoding,
                encoding_errors="replace",
                skipinitialspace=True,
                low_memory=False,
            )
        except pd.errors.ParserWarning as error:
            raise ValueError(
                "its rows have more fields than its first line; if numbers have a decimal comma, separate "
                "them with semicolons"
            ) from error


def _separator_of(lines: list[str]) -> str:
    """Return what separates the fields; a comma where there is a single column."""
    filled = [line for line in lines if line.strip()]
    for sign in _SEPARATORS:
        if all(sign in line for line in filled):
            return sign
    return _SPACES if all(len(line.split()) > 1 for line in filled) else ","


def _heads_of(lines: list[str], separator: str) -> tuple[list[str], list[str], int]:
    """Return the names of the columns, their units, and how many lines that took.

    Raises:
        RecordingError: an empty file, or two columns of one name.
    """
    parted = map(str.split, lines) if separator == _SPACES else csv.reader(lines, delimiter=separator)
    rows = [[cell.strip(" '\"\t") for cell in row] for row in parted]
    if not rows or not any(rows[0]):
        raise RecordingError("its first line is empty")
    n_heads = 0
    names = [str(number + 1) for number in range(len(rows[0]))]
    units = [""] * len(names)
    if not all(_NUMBER.fullmatch(cell) for cell in rows[0]):
        names, n_heads = rows[0], 1
        if len(rows) > 1 and len(rows[1]) == len(names) and any(unit_named(cell) for cell in rows[1]):
            units, n_heads = rows[1], 2
        else:
            names, units = map(list, zip(*map(_name_and_unit, names), strict=True))
    if len(set(names)) != len(names):
        twice = next(name for name in names if names.count(name) > 1)
        raise RecordingError(f"two columns are called {twice!r}; rename one")
    return names, units, n_heads


def _name_and_unit(text: str) -> tuple[str, str]:
    """Return the name and the unit of a column that is called, for example, "MLII (uV)"."""
    if found := _BRACKETED.fullmatch(text):
        return found["name"], found["unit"].strip()
    if (found := _ENDING.fullmatch(text)) and _is_unit(found["unit"]):
        return found["name"], found["unit"]
    return text, ""


def _is_unit(text: str) -> bool:
    # "ECG V" is not in volts: a lead may be called V.
    return text.casefold() != "v" and (unit_named(text) is not None or _is_time_unit(text))


def _is_time_unit(text: str) -> bool:
    return text.casefold() in _SECONDS


def _kind_of(name: str, unit: str) -> str:
    """Return "time", "count" or "lead" for a column, by its name and unit."""
    plain = name.casefold().strip()
    if _TIMES.fullmatch(plain) or _is_time_unit(unit) or plain in _SECONDS:
        return "time"
    return "count" if plain in _COUNTS or plain.startswith("unnamed") else "lead"


def _numbers(values: pd.Series, name: str, file: str) -> NDArray[np.float64]:
    """Return a column of numbers, or raise `RecordingError` at its first text."""
    if pd.api.types.is_numeric_dtype(values):
        return np.asarray(values, np.float64)
    numbers = pd.to_numeric(values, errors="coerce")
    bad = (numbers.isna() & values.notna() & ~values.isin(["-", "'-'"])).to_numpy()
    if bad.any():
        row = int(np.argmax(bad))
        raise RecordingError(
            f"{file}: column {name!r} holds text ({str(values.iloc[row])[:20]!r} in row {row + 1}); leave it "
            "out of the file, or use a decimal point."
        )
    return np.asarray(numbers, np.float64)


def _rate_of(values: pd.Series, name: str, unit: str, file: str) -> int | None:
    """Return the samples a second that a column of times tells; None for a bare count 0, 1, 2, …

    Raises:
        RecordingError: the times can't be understood, go back, have gaps, or belong to no usable rate.
    """
    times = _times(values)
    if times is None or not np.isfinite(times).all():
        raise RecordingError(
            f"{file}: the times in column {name!r} can't be understood ({str(values.iloc[0])[:30]!r}); leave "
            "that column out and give the rate yourself."
        )
    steps = np.diff(times)
    usual, mean = float(np.median(steps)), float(steps.mean())
    spelt = unit.casefold() if unit.casefold() in _SECONDS else name.casefold().strip()
    if pd.api.types.is_numeric_dtype(values) and spelt not in _SECONDS:
        if usual == 1 and steps.min() == steps.max() == 1:
            return None
        fitting = [
            scale
            for scale in (1.0, 1e-3, 1e-6)
            if mean > 0 and USABLE_RATES[0] <= 1 / (mean * scale) <= USABLE_RATES[1]
        ]
        scale = fitting[0] if fitting else 1.0
    else:
        scale = _SECONDS.get(spelt, 1.0) if pd.api.types.is_numeric_dtype(values) else 1.0
    if steps.min() < 0 or mean <= 0:
        row = int(np.argmin(steps)) + 2
        raise RecordingError(f"{file}: the times in column {name!r} go back or stand still at row {row}.")
    if steps.max() > 3 * max(usual, mean):
        row = int(np.argmax(steps)) + 2
        raise RecordingError(
            f"{file}: the times in column {name!r} have a gap of {steps.max() * scale:.3g} s before row "
            f"{row}; fill it with empty rows or cut the file there."
        )
    return whole_rate(1 / (mean * scale), file)


def _times(values: pd.Series) -> NDArray[np.float64] | None:
    """Return times as numbers: numbers as they are, hh:mm:ss and dates in seconds; None for other text."""
    if pd.api.types.is_numeric_dtype(values):
        return np.asarray(values, np.float64)
    texts = values.astype(str).str.strip(" '\"[]")
    parts = texts.str.split(":", expand=True)
    clock = parts.apply(pd.to_numeric, errors="coerce")
    if parts.shape[1] in (2, 3) and clock.notna().all(axis=None):
        weights = 60.0 ** np.arange(parts.shape[1])[::-1]
        return np.asarray(np.asarray(clock, np.float64) @ weights)
    dates = pd.to_datetime(texts, errors="coerce", format="ISO8601")
    if dates.isna().any():
        return None
    return np.asarray((dates - dates.iloc[0]).dt.total_seconds(), np.float64)
