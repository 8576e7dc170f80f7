"""The detector in one class: what it finds, what it promises, and that it takes data as they come."""

from __future__ import annotations

import keras
import numpy as np
import pandas as pd
import pytest
from sklearn.base import clone
from sklearn.datasets import load_breast_cancer, load_digits
from sklearn.exceptions import NotFittedError
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.estimator_checks import parametrize_with_checks

from dae_utils.detection import AutoencoderDetector, PCADetector

SMALL = {"hidden_sizes": (8,), "code_size": 2, "epochs": 3}


@parametrize_with_checks([AutoencoderDetector(**SMALL)])
def test_it_keeps_the_contract_of_scikit_learn(estimator, check):
    check(estimator)


@pytest.fixture(scope="module")
def digits() -> tuple[np.ndarray, np.ndarray]:
    """Return 1797 images of digits, (n, 8, 8), whole numbers up to 16, and their labels."""
    data = load_digits()
    return data.images, data.target


@pytest.fixture(scope="module")
def fitted(digits) -> AutoencoderDetector:
    """Return a detector with its default settings for which threes are normal."""
    images, labels = digits
    return AutoencoderDetector().fit(images[labels == 3][:140])


def curved(n: int, seed: int) -> np.ndarray:
    """Return points on a parabola, (n, 3), with columns in very different units."""
    random = np.random.default_rng(seed)
    t = random.uniform(-1, 1, n)
    noise = 0.03 * random.standard_normal((n, 3))
    return (np.stack([t, t**2, -t], axis=1) + noise) * [1, 1000, 0.001]


def test_it_tells_a_digit_from_the_others(fitted, digits):
    images, labels = digits
    new = np.r_[images[labels == 3][140:], images[labels != 3]]
    anomalous = np.repeat([False, True], [np.sum(labels == 3) - 140, np.sum(labels != 3)])

    assert roc_auc_score(anomalous, fitted.anomaly_score(new)) > 0.97
    assert np.mean(fitted.predict(new)[anomalous] == -1) > 0.8


def test_it_needs_the_bend_that_principal_components_miss():
    detector = AutoencoderDetector(code_size=1, random_state=0).fit(curved(600, 0))
    off = curved(200, 1) * [1, 0, 1] + np.array(
        [0, 500, 0]
    )  # the mean height everywhere: on the plane, off the curve

    new, anomalous = np.r_[curved(200, 2), off], np.repeat([0, 1], 200)
    linear = [PCADetector(n).fit(curved(600, 0) / [1, 1000, 0.001]) for n in (1, 2)]

    assert roc_auc_score(anomalous, detector.anomaly_score(new)) > 0.75
    assert all(roc_auc_score(anomalous, pca.anomaly_score(new / [1, 1000, 0.001])) < 0.65 for pca in linear)


def test_the_promised_rate_is_kept_within_its_band():
    detector = AutoencoderDetector(false_alarm_rate=0.1, epochs=20).fit(curved(1000, 0))
    alarms = np.mean(detector.predict(curved(2000, 1)) == -1)

    low, high = detector.conformal_.band(2000, confidence=0.999)
    assert low <= alarms <= high


@pytest.mark.parametrize("units", [1e-150, 1e-3, 1e6, 1e150])
def test_units_do_not_matter(units):
    x, new = curved(100, 0), curved(50, 1)
    plain = AutoencoderDetector(**SMALL).fit(x).anomaly_score(new)
    moved = AutoencoderDetector(**SMALL).fit(x * units).anomaly_score(new * units)

    np.testing.assert_allclose(moved, plain, rtol=1e-3)


def test_columns_of_a_table_have_units_of_their_own_and_pixels_share_one():
    x, new = curved(100, 0), curved(50, 1)
    factors = np.array([1.0, 1e-3, 1e3])
    of_table = [AutoencoderDetector(**SMALL).fit(x * f).anomaly_score(new * f) for f in (1.0, factors)]
    of_windows = [
        AutoencoderDetector(**SMALL).fit((x * f)[..., None]).anomaly_score((new * f)[..., None])
        for f in (1.0, factors)
    ]
    as_rows = AutoencoderDetector(**SMALL, scaling="common").fit(x).anomaly_score(new)

    np.testing.assert_allclose(*of_table, rtol=1e-3)
    assert not np.allclose(*of_windows, rtol=0.05)
    np.testing.assert_allclose(as_rows, of_windows[0], rtol=1e-6)


@pytest.mark.parametrize("shape", [(6, 5), (6, 5, 3), (20,), (20, 2)])
def test_images_and_windows_keep_their_shape(shape):
    x = np.random.default_rng(0).normal(7, 2, size=(40, *shape))
    detector = AutoencoderDetector(**SMALL).fit(x)

    assert detector.predict(x).shape == (40,)
    assert detector.reconstruct(x[:5]).shape == (5, *shape)
    assert detector.n_features_in_ == np.prod(shape)
    with pytest.raises(ValueError, match="shape"):
        detector.predict(np.zeros((4, *shape, 1)))


def test_reconstructions_are_in_the_units_of_the_samples(fitted, digits):
    images, labels = digits
    three, eight = (images[labels == digit][-30:] for digit in (3, 8))
    error = {name: np.mean((fitted.reconstruct(x) - x) ** 2) for name, x in (("3", three), ("8", eight))}

    assert error["3"] < 0.5 * np.mean((three - three.mean()) ** 2)
    assert error["3"] < error["8"]


def test_bytes_and_tables_are_taken_as_they_are(digits):
    images, labels = digits
    as_bytes = images[labels == 0].astype(np.uint8)
    scores = AutoencoderDetector(**SMALL).fit(as_bytes).anomaly_score(as_bytes)
    np.testing.assert_allclose(
        scores, AutoencoderDetector(**SMALL).fit(as_bytes / 1.0).anomaly_score(as_bytes / 1.0), rtol=1e-3
    )

    table = load_breast_cancer(as_frame=True).data
    detector = AutoencoderDetector(**SMALL).fit(table)
    assert list(detector.feature_names_in_) == list(table.columns)
    with pytest.raises(ValueError, match="feature names"):
        detector.predict(table.rename(columns={table.columns[0]: "another"}))


@pytest.mark.parametrize("value", [1e300, -1e300, 1e20])
def test_whatever_is_far_away_raises_an_alarm(value):
    x = curved(100, 0)
    detector = AutoencoderDetector(**SMALL).fit(x)
    far = x[:3].copy()
    far[:, 1] = value

    assert np.isfinite(detector.anomaly_score(far)).all()
    assert (detector.predict(far) == -1).all()


def test_a_column_that_never_varies_is_no_trouble_until_it_does():
    x = np.column_stack([curved(100, 0), np.full(100, 5.0)])
    detector = AutoencoderDetector(**SMALL).fit(x)
    changed = x[:20] + np.array([0, 0, 0, 100.0])

    assert (detector.predict(changed) == -1).all()
    same = AutoencoderDetector(**SMALL).fit(np.ones((30, 4)))
    assert (same.predict(np.ones((3, 4))) == 1).all()
    assert (same.predict(np.full((3, 4), 3.0)) == -1).all()


def test_equal_seeds_give_equal_scores_whatever_else_was_drawn():
    x = curved(80, 0)
    np.random.seed(5)  # noqa: NPY002 (the old generator is the one that could be disturbed)
    expected = np.random.random()  # noqa: NPY002
    np.random.seed(5)  # noqa: NPY002
    first = AutoencoderDetector(**SMALL, random_state=1).fit(x).anomaly_score(x)
    untouched = np.random.random()  # noqa: NPY002
    keras.utils.set_random_seed(6)
    again = AutoencoderDetector(**SMALL, random_state=1).fit(x).anomaly_score(x)

    np.testing.assert_array_equal(first, again)
    assert untouched == expected
    assert not np.allclose(first, AutoencoderDetector(**SMALL, random_state=2).fit(x).anomaly_score(x))


def test_saved_and_loaded_it_scores_the_same(tmp_path):
    x = curved(80, 0)
    detector = AutoencoderDetector(**SMALL).fit(x)
    loaded = AutoencoderDetector.load(detector.save(tmp_path / "detector.joblib"))

    np.testing.assert_array_equal(loaded.anomaly_score(x), detector.anomaly_score(x))
    np.testing.assert_array_equal(loaded.predict(x), detector.predict(x))
    np.testing.assert_array_equal(
        loaded.network_.predict(np.zeros((1, 3)), verbose=0),
        detector.network_.predict(np.zeros((1, 3)), verbose=0),
    )
    with pytest.raises(NotFittedError):
        clone(detector).predict(x)


def test_it_works_in_a_pipeline_and_in_cross_validation():
    x, new = curved(90, 0), curved(10, 1)
    pipeline = make_pipeline(StandardScaler(), AutoencoderDetector(**SMALL)).fit(x)
    assert set(pipeline.predict(new)) <= {-1, 1}

    def share_of_alarms(detector, X, y=None):
        return np.mean(detector.predict(X) == -1)

    shares = cross_val_score(AutoencoderDetector(**SMALL), x, scoring=share_of_alarms, cv=3)
    assert (shares <= 0.3).all()


@pytest.mark.parametrize(
    ("settings", "word"),
    [
        ({"scaling": "none"}, "scaling"),
        ({"epochs": 0}, "epochs"),
        ({"n_components": 0}, "n_components"),
        ({"code_size": 0}, "code_size"),
        ({"hidden_sizes": (8, 0)}, "hidden_sizes"),
        ({"hidden_sizes": 8.5}, "hidden_sizes"),
        ({"hidden_sizes": "8"}, "hidden_sizes"),
    ],
)
def test_a_setting_out_of_range_is_named(settings, word):
    with pytest.raises(ValueError, match=word):
        AutoencoderDetector(**(SMALL | settings)).fit(curved(50, 0))


def test_two_samples_to_learn_from_are_enough():
    x = pd.DataFrame(curved(3, 0))
    detector = AutoencoderDetector(held_out_share=0, **SMALL).fit(x.iloc[:2])

    assert np.isfinite(detector.anomaly_score(x)).all()
    with pytest.raises(ValueError, match=r"1 sample.* minimum of 2 is required"):
        AutoencoderDetector(held_out_share=0, **SMALL).fit(x.iloc[:1])


def test_sizes_may_be_integers_of_numpy_and_one_size_is_one_layer():
    grid = {"code_size": np.arange(1, 3), "hidden_sizes": [np.int64(8), np.array([8]), 8, (8,)]}

    def mean_score(detector, X, y=None):
        return -np.mean(detector.anomaly_score(X))

    search = GridSearchCV(AutoencoderDetector(epochs=2), grid, scoring=mean_score, cv=2).fit(curved(60, 0))

    scores = search.cv_results_["mean_test_score"].reshape(2, 4)
    np.testing.assert_array_equal(scores, np.repeat(scores[:, :1], 4, axis=1))
    assert search.best_estimator_.network_.encoder.output_shape == (None, search.best_params_["code_size"])


def test_its_network_is_there_to_look_at_only(fitted, digits):
    images = digits[0][:20]
    before = fitted.anomaly_score(images)
    weights = fitted.network_.get_weights()
    try:
        fitted.network_.set_weights([np.zeros_like(weight) for weight in weights])
        np.testing.assert_array_equal(fitted.anomaly_score(images), before)
    finally:
        fitted.network_.set_weights(weights)
