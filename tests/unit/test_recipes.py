"""The recipes that close the chapters, run as they stand, on small real data that scikit-learn carries."""

from __future__ import annotations

import re

import keras
import numpy as np
import pytest
from keras import layers
from sklearn.datasets import load_digits, load_sample_image

from tools.notebook_code import PROJECT

RECIPES = PROJECT / "book" / "recipes"
MOST_LINES = 20


def recipe(number: int) -> str:
    """Return the code of the recipe of a chapter."""
    (code,) = re.findall(
        r"```python\n(.*?)```", (RECIPES / f"{number:02}.md").read_text("utf-8"), flags=re.DOTALL
    )
    return code


def run(number: int, **given: object) -> dict:
    """Run the code of a recipe with what its text says is given, and return its names."""
    keras.utils.set_random_seed(0)
    names = dict(given)
    exec(compile(recipe(number), f"recipes/{number:02}.md", "exec"), names)
    return names


@pytest.fixture(scope="module")
def digits() -> tuple[np.ndarray, np.ndarray]:
    """Return 1797 images of digits, (n, 8, 8) in [0, 1], and their labels."""
    data = load_digits()
    return (data.images / 16).astype(np.float32), data.target


@pytest.fixture(scope="module")
def photographs() -> np.ndarray:
    """Return 520 pieces of two photographs, (n, 32, 32, 3) in [0, 1]."""
    pieces = []
    for name in ("china.jpg", "flower.jpg"):
        photograph = load_sample_image(name)[:416, :640].astype(np.float32) / 255
        pieces.append(photograph.reshape(13, 32, 20, 32, 3).swapaxes(1, 2).reshape(-1, 32, 32, 3))
    return np.concatenate(pieces)


def test_every_chapter_has_a_recipe_of_at_most_twenty_lines():
    chapters = sorted(path.name[:2] for path in (PROJECT / "notebooks").glob("*.ipynb"))

    assert sorted(path.stem for path in RECIPES.glob("*.md")) == chapters
    lengths = {name: sum(bool(line.strip()) for line in recipe(int(name)).splitlines()) for name in chapters}
    assert max(lengths.values()) <= MOST_LINES, lengths


def test_recipe_0_finds_how_many_numbers_a_table_needs(capsys):
    generator = np.random.default_rng(0)
    t = generator.uniform(-1, 1, (300, 1))  # all columns follow one number, along curves
    table = np.hstack([t, t**2, np.sin(3 * t), np.cos(3 * t)]) + 0.02 * generator.standard_normal((300, 4))

    run(0, x=100 * table)

    errors = [float(number) for number in re.findall(r"\d\.\d\d", capsys.readouterr().out)]
    assert len(errors) == 3 * 2
    # Along straight lines, one number would leave half of the error.
    assert max(errors[:2]) < 0.4


def test_recipe_1_compares_three_detectors(digits, capsys):
    x, labels = digits[0].reshape(-1, 64), digits[1]
    zeros = x[labels == 0]

    run(1, x_normal=zeros[:140], x_new=np.concatenate([zeros[140:], x[labels == 5][:60]]))

    lines = capsys.readouterr().out.splitlines()
    assert [line.split(":")[0] for line in lines] == [
        "AutoencoderDetector",
        "PCADetector",
        "NeighbourDetector",
    ]
    # 60 of the 98 new images are no zeros.
    assert all(0.55 < float(line.split(":")[1].split()[0]) < 0.75 for line in lines)


def test_recipe_2_removes_noise(photographs):
    names = run(2, images=photographs)

    noisy = names["add_noise"](np.random.default_rng(1), photographs, 0.1)
    repaired = names["network"].predict(noisy, verbose=0)
    assert names["repaired"].shape == (8, 32, 32, 3)
    assert np.mean((repaired - photographs) ** 2) < 0.8 * np.mean((noisy - photographs) ** 2)


def test_recipe_3_gives_features_that_survive_damage(digits, capsys):
    run(3, images=digits[0], labels=digits[1])

    intact, damaged = (
        float(re.search(r"[01]?\.\d+", line)[0]) for line in capsys.readouterr().out.splitlines()[-2:]
    )
    assert intact > 0.85
    assert 0.5 < damaged < intact


def test_recipe_4_gives_an_interval_of_a_difference(digits, capsys):
    x, labels = digits[0].reshape(-1, 64), digits[1]

    right = run(4, train=x[:900], train_labels=labels[:900], test=x[900:], test_labels=labels[900:])["right"]

    assert "autoencoder minus PCA" in capsys.readouterr().out
    assert min(np.mean(of_one) for of_one in right) > 0.75


def test_recipe_5_groups_pixels(photographs):
    encoder = keras.Sequential(
        [
            keras.Input((32, 32, 3)),
            layers.Conv2D(8, 3, padding="same", activation="relu"),
            layers.MaxPooling2D(2),
            layers.Conv2D(4, 3, padding="same", activation="relu"),
            layers.MaxPooling2D(2),
        ]
    )

    names = run(5, encoder=encoder, images=photographs[:96])

    assert names["segments"].shape == (96, 32, 32)
    assert len(np.unique(names["segments"])) == 4
    assert names["stacked"].shape == (96, 32, 32, 12)
    # Pixels side by side belong together far more often than pixels drawn at random.
    beside = np.mean(names["segments"][:, :, 1:] == names["segments"][:, :, :-1])
    shuffled = np.random.default_rng(0).permutation(names["segments"].ravel())
    assert beside > np.mean(shuffled[1:] == shuffled[:-1]) + 0.2


def test_recipe_6_sets_a_threshold_of_its_own_for_somebody_new(digits, capsys):
    x, labels = digits[0].reshape(-1, 64), digits[1]
    # Ten "people", each of whom writes one digit; the new one is the ninth.
    known = labels < 9

    names = run(6, x=x[known], groups=labels[known], x_own=x[labels == 9][:90], x_later=x[labels == 9][90:])

    assert not set(labels[known][names["learn"]]) & set(labels[known][names["hold_out"]])
    of_others, of_own = (
        float(line.split(":")[1].split()[0]) for line in capsys.readouterr().out.splitlines()
    )
    assert 0 <= of_others <= 1
    assert of_own < 0.2


def test_recipe_7_finds_images_of_the_same_digit(digits):
    x, labels = digits[0].reshape(-1, 64), digits[1]

    names = run(7, collection=x[:1500], queries=x[1500:])

    assert names["nearest"].shape == (297, 10)
    assert np.mean(labels[names["nearest"]] == labels[1500:, np.newaxis]) > 0.8
