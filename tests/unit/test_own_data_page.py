"""The three programs on the page "Your own data", run as they stand there, on real data out of packages."""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from page_programs import run_program
from PIL import Image
from sklearn.datasets import load_breast_cancer, load_digits

from dae_utils.data.own import windows
from dae_utils.evaluation import auroc
from tools.notebook_code import PROJECT

MOST_LINES = 20


def programs() -> list[str]:
    """Return the programs on the page, in order: table, images, signal."""
    page = (PROJECT / "book" / "your_own_data.md").read_text(encoding="utf-8")
    return re.findall(r"```python\n(.*?)```", page, flags=re.DOTALL)


def run(program: str, folder: Path) -> dict:
    return run_program(program, folder, "your_own_data.md")


def pulse() -> np.ndarray:
    """Return eleven minutes of the pulse at a fingertip, 100 samples a second, as HeartPy ships them.

    The movements of the hand are in it; the package need not be imported for its file.
    """
    package = Path(importlib.util.find_spec("heartpy").origin).parent
    return pd.read_csv(package / "data" / "data3.csv")["hr"].to_numpy(np.float32)


def test_there_are_three_programs_of_at_most_twenty_lines():
    lengths = [sum(bool(line.strip()) for line in program.splitlines()) for program in programs()]

    assert len(lengths) == 3
    assert max(lengths) <= MOST_LINES


def test_the_program_for_a_table_finds_malignant_tumours(tmp_path, capsys):
    table = load_breast_cancer(as_frame=True).frame
    benign = table[table.pop("target") == 1].sample(frac=1, random_state=0)
    malignant = table.drop(benign.index)
    empty = np.random.default_rng(0).random(table.shape) < 0.03
    table = table.mask(empty)
    table.loc[benign.index[:257]].to_csv(tmp_path / "normal.csv", index=False)
    table.loc[[*benign.index[257:], *malignant.index]].to_csv(tmp_path / "new.csv", index=False)
    anomalous = np.repeat([False, True], [100, len(malignant)])

    names = run(programs()[0], tmp_path)

    assert auroc(anomalous, names["scores"]) > 0.85
    # Promised are 5 in 100; with 103 held-out and 100 new samples, up to 12 are within chance.
    assert names["alarms"][~anomalous].mean() <= 0.13
    assert names["alarms"][anomalous].mean() > 0.45
    assert "alarm" in capsys.readouterr().out


def test_the_program_for_images_tells_zero_from_other_digits(tmp_path, capsys):
    digits = load_digits()
    zeros = np.flatnonzero(digits.target == 0)
    new = [*zeros[140:], *np.flatnonzero(digits.target != 0)[:300]]
    for name, numbers in (("normal", zeros[:140]), ("new", new)):
        (tmp_path / name).mkdir()
        for order, number in enumerate(numbers):
            image = Image.fromarray(np.uint8(digits.images[number] / 16 * 255 + 0.5))
            image.save(tmp_path / name / f"{order:04d}.png")
    anomalous = np.repeat([False, True], [len(zeros) - 140, 300])

    names = run(programs()[1], tmp_path)

    assert names["names"] == sorted(names["names"])
    assert auroc(anomalous, names["scores"]) > 0.97
    assert names["alarms"][anomalous].mean() > 0.9
    assert names["alarms"][~anomalous].mean() <= 0.2
    # The list begins with the most anomalous.
    assert "alarm" in capsys.readouterr().out.splitlines()[0]


def test_the_program_for_a_signal_finds_movements_of_the_hand(tmp_path, capsys):
    signal = pulse()
    calm, later = signal[16000:40000], signal[40000:]
    pd.DataFrame({"value": calm}).to_csv(tmp_path / "normal.csv", index=False)
    pd.DataFrame({"value": later}).to_csv(tmp_path / "new.csv", index=False)

    names = run(programs()[2], tmp_path)

    # Where the hand moved, the sensor comes near its limits of 0 and 1023.
    cut = windows(later, names["length"], names["step"])
    moved = (cut.min(axis=1) <= 200) | (cut.max(axis=1) >= 900)
    assert 100 < moved.sum() < 300
    assert auroc(moved, names["scores"]) > 0.85
    assert names["alarms"][~moved].mean() <= 0.08
    assert names["alarms"][moved].mean() > 4 * names["alarms"][~moved].mean()
    # A pulse rises fast and falls slowly; played backwards it has the same values and another shape.
    quiet = cut[~moved][:1000]
    forwards, backwards = map(names["detector"].anomaly_score, (quiet, quiet[:, ::-1]))
    assert auroc(np.repeat([False, True], len(quiet)), np.r_[forwards, backwards]) > 0.75
    assert "start at sample" in capsys.readouterr().out


@pytest.mark.parametrize("number", [0, 1, 2])
def test_the_programs_are_laid_out_for_the_page(number):
    assert max(len(line) for line in programs()[number].splitlines()) <= 110
