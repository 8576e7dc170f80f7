"""The pair of tables from Kaggle: what is read, and where a fault in them is."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from toy_hearts import assert_clear

from dae_utils.data.kaggle import load_kaggle_csv
from dae_utils.data.splits import inter_patient_split
from dae_utils.data.storage import SourceError


def write_kaggle(path: Path, rows: int = 12, seed: int = 0) -> np.ndarray:
    """Write a file as Kaggle's, and return its table."""
    rng = np.random.default_rng(seed)
    table = np.round(rng.uniform(0.001, 1, (rows, 188)), 6)
    for row in range(rows):
        table[row, 100 + row : 187] = 0
    table[:, 187] = np.arange(rows) % 5
    np.savetxt(path, table, fmt="%.18e", delimiter=",")
    return table


def test_the_kaggle_pair_is_read(tmp_path: Path):
    train_csv, test_csv = tmp_path / "mitbih_train.csv", tmp_path / "mitbih_test.csv"
    table, other = write_kaggle(train_csv), write_kaggle(test_csv, rows=7, seed=1)
    train, test = load_kaggle_csv(train_csv, str(test_csv))
    np.testing.assert_allclose(train.beats, table[:, :187], rtol=1e-6)
    assert train.beats.dtype == np.float32
    np.testing.assert_array_equal(test.labels, other[:, 187])
    assert train.labels.dtype == np.int64
    np.testing.assert_array_equal(train.length, 100 + np.arange(12))
    assert (train.record == -1).all()
    assert np.isnan(train.rr_before).all()
    assert np.isnan(train.rr_after).all()
    assert not train.simulated
    assert "mitbih_train.csv" in train.source
    with pytest.raises(ValueError, match="patients can't be kept apart"):
        inter_patient_split(train)


def test_a_row_of_zeros_and_a_full_row_have_sound_lengths(tmp_path: Path):
    path = tmp_path / "beats.csv"
    table = np.zeros((2, 188))
    table[1, :187] = 1
    np.savetxt(path, table, delimiter=",")
    assert load_kaggle_csv(path, path)[0].length.tolist() == [1, 187]


def edited(row: int, column: int, text: str):
    def edit(content: str) -> str:
        lines = content.splitlines()
        cells = lines[row].split(",")
        cells[column] = text
        lines[row] = ",".join(cells)
        return "\n".join(lines) + "\n"

    return edit


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda text: "\n".join(line[line.index(",") + 1 :] for line in text.splitlines()), ["187 columns"]),
        (lambda text: text.replace("\n", ",1\n"), ["189 columns"]),
        (lambda text: text.replace("\n", ",0.5\n", 2), ["189 columns"]),
        (lambda text: text[:-1] + ",0.5\n", ["no table of 188 columns", "line 12"]),
        (lambda text: text[: text.rindex(",")] + "\n", ["row 12, column 188", "empty or NaN"]),
        (edited(3, 7, ""), ["row 4, column 8", "empty or NaN"]),
        (edited(3, 7, "nan"), ["row 4, column 8", "empty or NaN"]),
        (edited(0, 0, "sample_0"), ["row 1, column 1", "'sample_0'", "no header"]),
        (edited(11, 186, "abc"), ["row 12, column 187", "'abc'", "not a number"]),
        (edited(2, 5, "1.5"), ["row 3, column 6", "'1.5'", "outside [0, 1]"]),
        (edited(2, 5, "-0.001"), ["row 3, column 6", "outside [0, 1]"]),
        (edited(2, 5, "inf"), ["row 3, column 6", "outside [0, 1]"]),
        (edited(4, 187, "5"), ["row 5, column 188", "no class from 0 to 4"]),
        (edited(4, 187, "-1"), ["row 5, column 188", "no class from 0 to 4"]),
        (edited(4, 187, "1.5"), ["row 5, column 188", "no class from 0 to 4"]),
        (edited(4, 187, "N"), ["row 5, column 188", "not a number"]),
        (lambda text: "", ["is empty"]),
        (lambda text: "\n" + text, ["an empty line"]),
    ],
)
def test_a_faulty_kaggle_file_is_refused_with_row_and_column(tmp_path: Path, change, words: list[str]):
    good, bad = tmp_path / "good.csv", tmp_path / "mitbih_test.csv"
    write_kaggle(good)
    bad.write_text(change(good.read_text()))
    with pytest.raises(ValueError, match=r"mitbih_test\.csv") as caught:
        load_kaggle_csv(good, bad)
    assert_clear(caught.value, *words, "Next:")


def test_a_kaggle_file_that_is_no_text_is_refused(tmp_path: Path):
    path = tmp_path / "mitbih_train.csv"
    path.write_bytes(b"\xff\xfe\x00\x81" * 100)
    with pytest.raises(ValueError, match=r"mitbih_train\.csv") as caught:
        load_kaggle_csv(path, path)
    assert_clear(caught.value, "Next:")


def test_a_kaggle_file_that_is_not_there_is_reported(tmp_path: Path):
    with pytest.raises(SourceError) as caught:
        load_kaggle_csv(tmp_path / "mitbih_train.csv", tmp_path / "mitbih_test.csv")
    assert_clear(caught.value, "mitbih_train.csv", "Kaggle")
