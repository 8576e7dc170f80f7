"""The heartbeats that Kaggle carries as two tables, cut from MIT-BIH by the recipe's own authors."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from dae_utils.data.beats import BEAT_LENGTH, Heartbeats
from dae_utils.data.ecg import CLASS_NAMES
from dae_utils.data.storage import SourceError, one_line, show_path

__all__ = ["load_kaggle_csv"]


def load_kaggle_csv(train_csv: str | Path, test_csv: str | Path) -> tuple[Heartbeats, Heartbeats]:
    """Return the beats of Kaggle's "ECG Heartbeat Categorization" pair, mitbih_train.csv and mitbih_test.csv.

    Each file has no header and 188 columns: 187 samples in [0, 1] and the class, 0 to 4. The files name
    neither records nor RR intervals: `record` is -1, times are nan, and `length` ends with the last value
    above zero. Beats of one patient stand in both files, so figures from this pair say nothing about a
    patient whom the model has not seen.

    Args:
        train_csv: path of mitbih_train.csv.
        test_csv: path of mitbih_test.csv.

    Returns:
        The beats of the two files, training first.

    Raises:
        ValueError: a file holds anything else; names the row and the column, counted from 1.
        SourceError: a file can't be read.
    """
    return _read_kaggle(Path(train_csv).expanduser()), _read_kaggle(Path(test_csv).expanduser())


def _read_kaggle(path: Path) -> Heartbeats:
    import pandas as pd

    way_out = (
        "Next: download the file again; it has no header, 187 samples in [0, 1] and the class in each row."
    )
    try:
        table = pd.read_csv(path, header=None, skip_blank_lines=False, low_memory=False)
    except OSError as error:
        raise SourceError(
            f"{show_path(path)} can't be read ({error.strerror or error}).\n"
            "Next: download mitbih_train.csv and mitbih_test.csv from Kaggle and pass their paths."
        ) from error
    except pd.errors.EmptyDataError:
        raise ValueError(f"{path.name} is empty, or begins with an empty line.\n{way_out}") from None
    except (pd.errors.ParserError, UnicodeDecodeError) as error:
        raise ValueError(
            f"{path.name} is no table of {BEAT_LENGTH + 1} columns: {one_line(error)}.\n{way_out}"
        ) from None
    if table.shape[1] != BEAT_LENGTH + 1:
        raise ValueError(f"{path.name} has {table.shape[1]} columns instead of {BEAT_LENGTH + 1}.\n{way_out}")

    numbers = table.apply(pd.to_numeric, errors="coerce").to_numpy(np.float64)
    samples, classes = numbers[:, :-1], numbers[:, -1]
    for fault, bad in (
        ("is not a number", np.isnan(numbers)),
        ("is outside [0, 1]", (samples < 0) | (samples > 1)),
        ("is no class from 0 to 4", ~np.isin(classes, range(len(CLASS_NAMES)))[:, None]),
    ):
        if bad.any():
            row, column = (int(index) for index in np.argwhere(bad)[0])
            column = BEAT_LENGTH if bad.shape[1] == 1 else column
            cell = table.iloc[row, column]
            shown = "an empty or NaN cell" if pd.isna(cell) else repr(str(cell)[:20])
            raise ValueError(
                f"{path.name}, row {row + 1}, column {column + 1}: {shown} {fault} "
                f"({int(bad.sum())} such in the file).\n{way_out}"
            )

    count = len(samples)
    beats = samples.astype(np.float32)
    last = BEAT_LENGTH - np.argmax(beats[:, ::-1] > 0, axis=1)
    unknown = np.full(count, np.nan)
    return Heartbeats(
        beats=beats,
        labels=classes.astype(np.int64),
        record=np.full(count, -1, np.int64),
        length=np.where((beats > 0).any(axis=1), last, 1).astype(np.int64),
        rr_before=unknown,
        rr_after=unknown.copy(),
        simulated=False,
        source=f"Kaggle's {path.name}",
        symbols=np.full(count, "", "<U1"),
        r_time=unknown.copy(),
    )
