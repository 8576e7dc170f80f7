"""The two programs on the page "Which detector for which data", run as they stand, and what it claims."""

from __future__ import annotations

import re

import numpy as np
import pandas as pd
import pytest
from sklearn.datasets import load_breast_cancer, load_digits

from dae_utils.data.own import TableEncoder
from dae_utils.detection import (
    AutoencoderDetector,
    MahalanobisDetector,
    NeighbourDetector,
    PCADetector,
)
from dae_utils.evaluation import auroc
from tools.notebook_code import PROJECT

CODE_SIZES = (1, 2, 4, 8, 16)


def program(number: int) -> str:
    page = (PROJECT / "book" / "which_detector.md").read_text(encoding="utf-8")
    return re.findall(r"```python\n(.*?)```", page, flags=re.DOTALL)[number]


def run(number: int, **given: object) -> dict:
    """Run a program of the page with what its text says is given, and return its names."""
    names = dict(given)
    exec(compile(program(number), "which_detector.md", "exec"), names)
    return names


def shuffled(x: np.ndarray) -> np.ndarray:
    return x[np.random.default_rng(0).permutation(len(x))]


def benign() -> np.ndarray:
    """Return the measurements of 357 benign tumours, (n, 30), each with mean 0 and spread 1."""
    data = load_breast_cancer()
    x = shuffled(data.data[data.target == 1])
    return (x - x.mean(axis=0)) / x.std(axis=0)


def digit_problem() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    digits = load_digits()
    eights = shuffled(digits.images[digits.target == 8] / 16)
    return eights[:120], eights[120:], digits.images[digits.target != 8] / 16


def tumour_problem() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    data = load_breast_cancer()
    malignant = shuffled(data.data[data.target == 0])
    mean, spread = malignant[:150].mean(axis=0), malignant[:150].std(axis=0)
    scaled = (malignant - mean) / spread
    return scaled[:150], scaled[150:], (data.data[data.target == 1] - mean) / spread


@pytest.mark.parametrize("problem", [digit_problem, tumour_problem])
def test_the_size_that_is_chosen_is_nearly_the_best(problem):
    x_normal, new, anomalies = problem()
    labels = np.repeat([False, True], [len(new), len(anomalies)])

    def area(detector: AutoencoderDetector) -> float:
        return auroc(labels, detector.anomaly_score(np.concatenate([new, anomalies])))

    chosen = run(0, x_normal=x_normal)["detector"]

    areas = [area(AutoencoderDetector(code_size=size).fit(x_normal)) for size in CODE_SIZES]
    assert area(chosen) >= max(areas) - 0.03


def fitted(normal: pd.DataFrame) -> dict:
    """Return what the text of the second program says is given."""
    encoder = TableEncoder().fit(normal)
    detector = AutoencoderDetector().fit(encoder.transform(normal))
    return {"normal": normal, "encoder": encoder, "detector": detector}


@pytest.fixture(scope="module")
def on_tumours() -> dict:
    return fitted(pd.DataFrame(benign()[:250]))


def place_of(wrong: np.ndarray, sizes: np.ndarray) -> np.ndarray:
    """Return how many columns of each row are larger than the one that is wrong."""
    return (sizes > np.take_along_axis(sizes, wrong[:, np.newaxis], axis=1)).sum(axis=1)


def test_the_column_with_a_wrong_value_is_named(on_tumours):
    x_new = benign()[250:]
    rows, blamed, by_size = np.arange(len(x_new)), [], []
    for shift in (5, 17, 29):
        wrong = np.random.default_rng(shift).integers(30, size=len(x_new))
        exchanged = x_new.copy()
        exchanged[rows, wrong] = np.roll(x_new, shift, axis=0)[rows, wrong]
        blamed.extend(place_of(wrong, run(1, new=pd.DataFrame(exchanged), **on_tumours)["blame"]))
        by_size.extend(place_of(wrong, np.abs(exchanged)))

    assert np.mean(np.equal(blamed, 0)) == pytest.approx(1 / 3, abs=0.1)
    assert np.mean(np.less(blamed, 3)) == pytest.approx(1 / 2, abs=0.1)
    assert np.mean(np.equal(by_size, 0)) == pytest.approx(0.1, abs=0.05)


def test_the_strangest_rows_are_listed_with_their_columns(on_tumours, capsys):
    x_new = benign()[250:]
    x_new[7, 4] = 20

    run(1, new=pd.DataFrame(x_new), **on_tumours)

    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 10
    assert re.match(r"7 4 \(\d+ times the usual\), ", lines[0])


def test_a_column_that_never_varied_is_named_when_it_does():
    x_normal, x_new = benign()[:250], benign()[250:]
    x_normal[:, 4] = x_new[:, 4] = 0
    x_new[0, 4] = 1

    blame = run(1, new=pd.DataFrame(x_new), **fitted(pd.DataFrame(x_normal)))["blame"]

    assert blame[0].argmax() == 4
    assert np.isfinite(blame).all()


def mixed(n: int, seed: int) -> pd.DataFrame:
    """Return a made-up table: a word, two numbers that lie where it says, and one that lies anywhere."""
    random = np.random.default_rng(seed)
    kind = random.integers(3, size=n)
    return pd.DataFrame(
        {
            "colour": np.array(["red", "green", "blue"])[kind],
            "length": 10 * kind + random.normal(size=n),
            "weight": 100 - 20 * kind + random.normal(size=n),
            "age": random.normal(size=n),
        }
    )


def test_a_number_and_a_word_are_named_in_a_table_of_both(capsys):
    new = mixed(200, seed=1)
    new.loc[3, "age"] = 40.0
    kinds = {"red": "green", "green": "blue", "blue": "red"}
    new.loc[5, "colour"] = kinds[new.loc[5, "colour"]]

    names = run(1, new=new, **fitted(mixed(400, seed=0)))

    assert list(names["columns"][:3]) == ["length", "weight", "age"]
    lines = {int(line.split()[0]): line.split(maxsplit=1)[1] for line in capsys.readouterr().out.splitlines()}
    assert lines[3].startswith("age (")
    assert "colour=" in lines[5]


def test_only_the_mahalanobis_distance_finds_a_word_that_was_never_met():
    def table(n: int, seed: int, n_words: int = 10) -> pd.DataFrame:
        random = np.random.default_rng(seed)
        numbers = pd.DataFrame(random.normal(size=(n, 8))).add_prefix("number ")
        return numbers.assign(word=random.choice([f"word {i}" for i in range(n_words)], n))

    def alarms(detector, n_words: int = 10) -> float:
        encoder = TableEncoder().fit(table(600, 0, n_words))
        detector.fit(encoder.transform(table(600, 0, n_words)))
        new = table(200, 1, n_words).assign(word="never met")
        return np.mean(detector.predict(encoder.transform(new)) == -1)

    assert alarms(MahalanobisDetector()) == 1
    for detector in (PCADetector(), NeighbourDetector(), AutoencoderDetector()):
        assert alarms(detector) <= 0.1
    # 8 numbers and 30 words vary in 37 directions.
    assert alarms(MahalanobisDetector(), n_words=30) < 0.1
    assert alarms(MahalanobisDetector(37), n_words=30) == 1
