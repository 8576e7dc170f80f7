"""Detectors as scikit-learn's estimators: every check of its own, pipelines, searches, pandas, files."""

import os
import pickle
import subprocess
import sys

import joblib
import numpy as np
import pandas as pd
import pytest
from sklearn.base import clone, is_outlier_detector
from sklearn.datasets import load_breast_cancer
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.estimator_checks import parametrize_with_checks

from dae_utils.detection import (
    AnomalyDetector,
    CalibratedSum,
    ConformalThreshold,
    LatentMahalanobis,
    LatentNeighbours,
    MahalanobisDetector,
    NeighbourDetector,
    PathwayScore,
    PCADetector,
    ReconstructionDetector,
    SklearnDetector,
)
from dae_utils.networks.builders import dense_autoencoder

DETECTORS = [
    PCADetector(),
    MahalanobisDetector(),
    NeighbourDetector(),
    SklearnDetector(),
    CalibratedSum(),
    ReconstructionDetector(),
    LatentMahalanobis(),
    LatentNeighbours(),
    PathwayScore(),
]
NAMES = [type(detector).__name__ for detector in DETECTORS]

# The checks use some twenty samples, too few for a false-alarm rate of 5 %; that is said each time.
quiet = pytest.mark.filterwarnings("ignore:.*too few", "ignore:n_neighbours is")


@quiet
@parametrize_with_checks(DETECTORS)
def test_every_check_of_scikit_learn(estimator, check):
    check(estimator)


def test_the_check_that_scikit_learn_leaves_out_by_default():
    """`check_array_api_input` runs only where an environment variable is set before SciPy is imported."""
    program = """
import warnings
from dae_utils import detection
from sklearn.utils.estimator_checks import check_array_api_input
warnings.simplefilter("ignore")
for name in %r:
    check_array_api_input(name, getattr(detection, name)(), "numpy", expect_only_array_outputs=False)
"""
    settings = {**os.environ, "SCIPY_ARRAY_API": "1"}
    subprocess.run([sys.executable, "-c", program % NAMES], env=settings, check=True)


def test_detectors_without_a_network_do_not_import_keras():
    program = """
import sys
import numpy as np
from dae_utils.detection import CalibratedSum, MahalanobisDetector, SklearnDetector
x = np.random.default_rng(0).normal(size=(200, 4))
for detector in (CalibratedSum(), MahalanobisDetector(), SklearnDetector()):
    detector.fit(x).predict(x)
assert not {"keras", "tensorflow", "jax", "torch"} & set(sys.modules)
"""
    subprocess.run([sys.executable, "-c", program], check=True)


def test_a_name_that_is_not_there_is_told():
    from dae_utils import detection

    with pytest.raises(AttributeError, match="no attribute 'Oracle'"):
        detection.Oracle  # noqa: B018


@pytest.fixture(scope="module")
def cells() -> tuple[pd.DataFrame, np.ndarray]:
    """Return 569 measured tumours, columns with names, and +1 for the benign, -1 for the malignant."""
    data = load_breast_cancer(as_frame=True)
    return data.data, np.where(data.target == 1, 1, -1)


@pytest.mark.parametrize("detector", DETECTORS, ids=NAMES)
def test_tables_with_names(cells, detector):
    X, y = cells
    detector = clone(detector).set_params(false_alarm_rate=0.1).fit(X[y == 1])
    assert list(detector.feature_names_in_) == list(X.columns)
    assert detector.n_features_in_ == 30
    verdicts = detector.predict(X)
    assert set(verdicts) == {-1, 1}
    with pytest.warns(UserWarning, match="X does not have valid feature names"):
        np.testing.assert_array_equal(detector.predict(X.to_numpy()), verdicts)
    with pytest.raises(ValueError, match="feature names should match"):
        detector.predict(X[X.columns[::-1]])
    assert is_outlier_detector(detector)


@pytest.mark.parametrize("detector", DETECTORS, ids=NAMES)
def test_a_pipeline_scales_first(cells, detector):
    X, y = cells
    pipeline = make_pipeline(StandardScaler(), clone(detector)).fit(X[y == 1])
    scaled = StandardScaler().fit(X[y == 1])
    alone = clone(detector).fit(scaled.transform(X[y == 1]))
    np.testing.assert_allclose(pipeline.score_samples(X), alone.score_samples(scaled.transform(X)))
    np.testing.assert_array_equal(pipeline.predict(X), alone.predict(scaled.transform(X)))


def test_a_search_over_settings(cells):
    X, y = cells
    # The labels serve the score only; detectors do not look at them.
    pipeline = make_pipeline(StandardScaler(), PCADetector())
    grid = {"pcadetector__n_components": [1, 5, 15], "pcadetector__false_alarm_rate": [0.05, 0.1]}
    search = GridSearchCV(pipeline, grid, scoring="roc_auc", cv=3).fit(X, y)
    assert search.best_score_ > 0.6
    assert set(search.predict(X)) == {-1, 1}
    assert search.best_estimator_[-1].n_components_ == search.best_params_["pcadetector__n_components"]


def test_cross_validation_of_images():
    random = np.random.default_rng(0)
    images = random.random((150, 4, 4, 1)) * np.linspace(0, 200, 16).reshape(4, 4, 1)
    y = np.where(np.arange(150) % 5 == 0, -1, 1)
    images[y == -1] = 200 - images[y == -1]
    for scoring in ("roc_auc", "balanced_accuracy"):
        scores = cross_val_score(NeighbourDetector(), images, y, scoring=scoring, cv=3)
        assert scores.shape == (3,)
        assert np.isfinite(scores).all()


@pytest.mark.filterwarnings("ignore:.*too few")
def test_fit_predict_is_fit_then_predict():
    x = np.random.default_rng(0).normal(size=(200, 5))
    np.testing.assert_array_equal(PCADetector(2).fit_predict(x), PCADetector(2).fit(x).predict(x))


@pytest.fixture(scope="module")
def trained():
    return dense_autoencoder(6, (5,), 2)


def with_networks(network):
    return [
        ReconstructionDetector(network),
        LatentMahalanobis(network.get_layer("encoder")),
        LatentNeighbours(network.get_layer("encoder")),
        PathwayScore(network, "nap"),
        CalibratedSum([ReconstructionDetector(network), NeighbourDetector()]),
    ]


def test_files_hold_the_whole_detector(trained, tmp_path):
    x = np.random.default_rng(0).random((200, 6), dtype=np.float32)
    for number, detector in enumerate([*with_networks(trained), *map(clone, DETECTORS)]):
        detector.fit(x)
        path = detector.save(tmp_path / f"{number}.joblib")
        copies = [type(detector).load(path), AnomalyDetector.load(path), pickle.loads(pickle.dumps(detector))]
        for copy in copies:
            assert type(copy) is type(detector)
            np.testing.assert_allclose(copy.score_samples(x), detector.score_samples(x), rtol=1e-5)
            np.testing.assert_array_equal(copy.predict(x), detector.predict(x))


@pytest.mark.parametrize(
    ("change", "new"),
    [
        ({"held_out_share": 0.999}, np.ones((50, 5))),
        ({"held_out_share": 2}, np.ones((50, 5))),
        ({"false_alarm_rate": 0}, np.ones((50, 5))),
        ({}, np.full((50, 5), np.nan)),
        ({}, pd.DataFrame(np.full((50, 5), np.inf), columns=list("vwxyz"))),
        ({}, np.ones((2, 3))),
        ({"held_out_share": 0.999}, np.ones((50, 5, 5))),
    ],
    ids=["share leaves too few", "share", "rate", "NaN", "infinite and other names", "too few", "images"],
)
def test_a_refit_that_is_refused_changes_nothing(change, new):
    x = pd.DataFrame(np.random.default_rng(0).normal(size=(200, 3)), columns=list("abc"))
    detector = PCADetector().fit(x)
    before = detector.anomaly_score(x)
    with pytest.raises(ValueError, match=r"held_out_share|false_alarm_rate|NaN|infinity|minimum of 3"):
        detector.set_params(**change).fit(new)
    np.testing.assert_array_equal(detector.anomaly_score(x), before)
    assert detector.n_features_in_ == 3
    assert list(detector.feature_names_in_) == list("abc")


def test_a_file_with_something_else_is_refused(tmp_path):
    PCADetector().save(tmp_path / "pca.joblib")
    joblib.dump({"threshold": 1}, tmp_path / "other.joblib")
    with pytest.raises(TypeError, match="holds a PCADetector, not a NeighbourDetector"):
        NeighbourDetector.load(tmp_path / "pca.joblib")
    with pytest.raises(TypeError, match="holds a dict"):
        AnomalyDetector.load(tmp_path / "other.joblib")
    (tmp_path / "notes.txt").write_text("not a detector")
    (tmp_path / "empty.joblib").touch()
    for name in ("notes.txt", "empty.joblib"):
        with pytest.raises(ValueError, match=rf"{name} cannot be read as a detector .*file that save wrote"):
            AnomalyDetector.load(tmp_path / name)
    with pytest.raises(FileNotFoundError):
        AnomalyDetector.load(tmp_path / "nowhere.joblib")


@pytest.mark.parametrize(
    ("table", "says"),
    [
        (np.array([[1, np.nan]] * 9), "^Input X contains NaN"),
        (np.array([["red", "1"]] * 9), "could not convert string to float"),
        (pd.DataFrame({"colour": ["red"] * 9}), "could not convert string to float"),
        (pd.DataFrame({"size": [1.0, None] * 9}), "^Input X contains NaN"),
    ],
    ids=["NaN", "words", "frame with words", "frame with empty fields"],
)
def test_a_table_that_is_not_numbers_is_sent_to_the_encoder(table, says):
    with pytest.raises(ValueError, match=rf"(?s){says}.*dae_utils\.data\.own\.TableEncoder"):
        PCADetector().fit(table)


@pytest.mark.parametrize(
    "give", [pd.DataFrame, np.asarray, lambda x: x.tolist()], ids=["frame", "array", "list"]
)
def test_where_a_number_is_missing_is_said_in_one_line(give):
    x = np.random.default_rng(0).normal(size=(50, 4))
    detector = PCADetector(2).fit(give(x))
    x[[3, 7], [1, 2]] = np.nan
    for ask in (detector.predict, detector.calibrate, clone(detector).fit):
        with pytest.raises(
            ValueError, match=r"NaN in rows 3, 7 of 50.*columns 1, 2\).*TableEncoder"
        ) as caught:
            ask(give(x))
        assert "\n" not in str(caught.value)
    x[10:20, 0] = np.inf
    # The encoder does not take infinite numbers.
    with pytest.raises(
        ValueError, match=r"NaN and infinity in rows 3, 7, 10, 11, 12 and 7 more.*repair them\.$"
    ):
        detector.predict(give(x))


def test_the_columns_without_a_number_are_named():
    table = pd.DataFrame({"size": [1.0, 2.0] * 9, "weight": pd.array([1, None] * 9, dtype="Int64")})
    with pytest.raises(ValueError, match=r"rows 1, 3, 5, 7, 9 and 4 more of 18.*\(columns weight\)"):
        PCADetector().fit(table)


def test_images_are_not_sent_to_the_encoder_of_tables():
    x = np.random.default_rng(0).normal(size=(50, 4, 4))
    x[8, 1, 2] = np.nan
    with pytest.raises(
        ValueError, match=r"^Input X contains NaN in samples 8 of 50, counted from 0; remove or"
    ):
        PCADetector(2).fit(x)
    with pytest.raises(ValueError, match="could not convert string") as caught:
        PCADetector(2).fit(np.full((9, 2, 2), "red"))
    assert "TableEncoder" not in str(caught.value)


@pytest.mark.parametrize("shape", [(6, 5), (6, 5, 3)])
def test_an_image_alone_is_told_how_to_become_a_batch(shape):
    images = np.random.default_rng(0).random((50, *shape))
    detector = PCADetector(2).fit(images)
    for ask in (detector.predict, detector.anomaly_score, detector.calibrate):
        with pytest.raises(ValueError, match=r"a single sample\? use X\[np\.newaxis\]"):
            ask(images[0])
    assert detector.predict(images[0][np.newaxis]).shape == (1,)


def test_a_warning_points_to_the_line_that_asked():
    x = np.random.default_rng(0).normal(size=(20, 3))
    asks = [
        lambda: PCADetector().fit(x),
        lambda: PCADetector(held_out_share=0).fit(x).calibrate(x[:5]),
        lambda: CalibratedSum().fit(x),
        lambda: ConformalThreshold().fit(x[:, 0][:5]),
        lambda: NeighbourDetector(50).fit(x),
    ]
    for ask in asks:
        with pytest.warns(UserWarning, match=r"too few|n_neighbours") as caught:
            ask()
        assert {warning.filename for warning in caught} == {__file__}
