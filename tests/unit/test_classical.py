"""Detectors without a network and several detectors in one: plain references, and faults."""

import numpy as np
import pandas as pd
import pytest
from scipy.spatial.distance import cdist
from sklearn.base import clone
from sklearn.decomposition import PCA
from sklearn.ensemble import IsolationForest
from sklearn.neighbors import LocalOutlierFactor, NearestNeighbors
from sklearn.preprocessing import StandardScaler
from sklearn.svm import OneClassSVM
from toy_samples import samples

from dae_utils.data.own import TableEncoder
from dae_utils.detection import (
    CalibratedSum,
    MahalanobisDetector,
    NeighbourDetector,
    PCADetector,
    SklearnDetector,
    combine_scores,
)

# In this file nothing is held out, unless a test says so: references are fitted on the same samples.
ALL = {"held_out_share": 0}


@pytest.mark.parametrize("n_normal", [300, 5])
def test_pca_detector_agrees_with_scikit_learn(n_normal):
    x, new = samples(n_normal, 6), samples(20, 6, seed=1)
    reference = PCA(2, svd_solver="full").fit(x.astype(np.float64))
    expected = np.mean((new - reference.inverse_transform(reference.transform(new))) ** 2, axis=1)
    np.testing.assert_allclose(PCADetector(2, **ALL).fit(x).anomaly_score(new), expected, rtol=1e-4)


def test_a_direction_is_always_left_out_for_the_error():
    for shape, kept in (((50, 1), 0), ((50, 6), 3), ((50, 7), 3), ((9, 100), 4), ((200, 100), 32)):
        detector = PCADetector(**ALL).fit(samples(*shape))
        assert detector.n_components_ == kept
        assert detector.anomaly_score(samples(*shape, seed=1)).min() > 1e-9
    x = samples(50, 1)
    np.testing.assert_allclose(
        PCADetector(**ALL).fit(x).anomaly_score(x), np.square(x - x.mean())[:, 0], rtol=1e-4, atol=1e-9
    )


def test_pca_is_the_best_linear_autoencoder():
    x = samples(300, 6).astype(float) - 0.5
    ours = PCADetector(2, **ALL).fit(x).anomaly_score(x).mean()
    for seed in range(20):
        axes = np.linalg.qr(np.random.default_rng(seed).normal(size=(6, 2)))[0]
        assert ours < np.mean((x - x @ axes @ axes.T) ** 2)


def test_mahalanobis_detector_agrees_with_scipy():
    x, new = samples(300, 6), samples(20, 6, seed=1)
    centre = x.mean(axis=0)[np.newaxis]
    inverse = np.linalg.inv(np.cov(x.T))
    np.testing.assert_allclose(
        MahalanobisDetector(6, **ALL).fit(x).anomaly_score(new),
        cdist(new, centre, "mahalanobis", VI=inverse)[:, 0],
        rtol=1e-4,
    )
    # With fewer components the covariance is the one that scikit-learn's model of the samples has.
    x, new = x.astype(float), new.astype(float)
    np.testing.assert_allclose(
        MahalanobisDetector(3, **ALL).fit(x).anomaly_score(new),
        cdist(new, x.mean(axis=0)[np.newaxis], "mahalanobis", VI=PCA(3).fit(x).get_precision())[:, 0],
        rtol=1e-6,
    )


def test_mahalanobis_sees_what_never_varied():
    x, new = samples(300, 3).astype(float), samples(100, 3, seed=1).astype(float)
    constant = MahalanobisDetector().fit(np.column_stack([x, np.full(300, 5)]))
    assert np.mean(constant.predict(np.column_stack([new, np.full(100, 5)])) == 1) > 0.8
    assert (constant.predict(np.column_stack([new, np.full(100, 5.1)])) == -1).all()

    random = np.random.default_rng(0)
    table = pd.DataFrame({"size": random.normal(size=300), "colour": random.choice(list("rgb"), 300)})
    encoder = TableEncoder().fit(table)
    words = MahalanobisDetector().fit(encoder.transform(table))
    assert np.mean(words.predict(encoder.transform(table)) == 1) > 0.8
    assert (words.predict(encoder.transform(table.assign(colour="violet"))) == -1).all()


def test_mahalanobis_of_few_samples_does_not_take_the_rest_for_certain():
    random = np.random.default_rng(0)
    x, new = random.normal(size=(10, 40)), random.normal(size=(200, 40))
    other = 2 * random.normal(size=(200, 40))
    detector = MahalanobisDetector(**ALL).fit(x)
    assert detector.n_components_ == 9
    # A new sample is as normal as the ten: it differs by a distance of the order of the dimensions.
    assert detector.anomaly_score(new).max() < 40
    assert np.median(detector.anomaly_score(other)) > detector.anomaly_score(new).max()


def test_mahalanobis_needs_varied_samples():
    flat = np.column_stack([samples(50, 3), np.zeros((50, 3))])
    with pytest.raises(ValueError, match="vary in 3 directions only; set n_components to 3 or less"):
        MahalanobisDetector(4, **ALL).fit(flat)
    assert MahalanobisDetector(3, **ALL).fit(flat).n_components_ == 3
    assert MahalanobisDetector(**ALL).fit(flat).n_components_ == 3
    assert MahalanobisDetector(**ALL).fit(samples(200, 40)).n_components_ == 32


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("detector", [PCADetector(), PCADetector(0), MahalanobisDetector(2)], ids=str)
@pytest.mark.parametrize("value", [0, 0.3, 1e6 / 3])
def test_samples_that_are_all_the_same_have_no_components(detector, value):
    with pytest.raises(ValueError, match="All normal samples are the same"):
        clone(detector).fit(np.full((50, 6), value))


@pytest.mark.parametrize("n_values", [1, 9, 40])
@pytest.mark.parametrize("n_points", [5, 40, 1279])
@pytest.mark.parametrize("offset", [0, 1e6])
def test_neighbour_distances_are_right_in_float64(n_points, n_values, offset):
    points, queries = samples(n_points, n_values).astype(float), samples(300, n_values, seed=1).astype(float)
    queries[:3] = points[:3]
    points, queries = points + offset, queries + offset
    expected = np.sort(cdist(queries, points), axis=1)[:, :5].mean(axis=1)
    ours = NeighbourDetector(**ALL).fit(points).anomaly_score(queries)
    np.testing.assert_allclose(ours, expected, rtol=1e-12, atol=1e-12)


def test_neighbours_agree_with_scikit_learn():
    points, queries = samples(500, 30), samples(100, 30, seed=1)
    expected = NearestNeighbors(n_neighbors=5).fit(points).kneighbors(queries)[0].mean(axis=1)
    np.testing.assert_allclose(
        NeighbourDetector(**ALL).fit(points).anomaly_score(queries), expected, rtol=1e-5
    )


@pytest.mark.parametrize(
    "detector",
    [
        PCADetector(),
        PCADetector(2),
        MahalanobisDetector(),
        NeighbourDetector(),
        SklearnDetector(),
        CalibratedSum([PCADetector(), MahalanobisDetector(), SklearnDetector()]),
    ],
    ids=lambda detector: type(detector).__name__,
)
@pytest.mark.parametrize("offset", [1e8, np.array([0, 1e5, -1e8, 1e8, 1, -1e7])], ids=["one", "each"])
def test_an_offset_changes_no_score(detector, offset):
    # In 32nds, so that adding the offset rounds nothing.
    random = np.random.default_rng(0)
    mixing = random.normal(size=(6, 6))
    x, new = (np.rint(32 * random.normal(size=(n, 6)) @ mixing) / 32 for n in (300, 100))
    plain, moved = clone(detector).fit(x), clone(detector).fit(x + offset)
    expected = plain.anomaly_score(new)
    np.testing.assert_allclose(moved.anomaly_score(new + offset), expected, rtol=1e-4, atol=1e-6)


def test_a_near_neighbour_far_from_the_origin_is_told_from_a_nearer_one():
    # In float32 the two are one: the old distances could not tell them apart.
    points = np.full((2, 40), 1e4)
    points[0, 0] += 1e-5
    points[1, 0] += 2e-5
    query = np.full((1, 40), 1e4)
    score = NeighbourDetector(1, **ALL).fit(points).anomaly_score(query)
    assert score[0] == pytest.approx(1e-5, rel=1e-6)


def test_more_neighbours_than_samples_are_all_of_them():
    x = samples(4, 3).astype(float)
    with pytest.warns(UserWarning, match="n_neighbours is 5, but there are 4 normal samples"):
        detector = NeighbourDetector(**ALL).fit(x)
    assert detector.n_neighbours_ == 4
    np.testing.assert_allclose(detector.anomaly_score(x), cdist(x, x).mean(axis=1))


def test_a_training_sample_is_its_own_neighbour():
    x = samples(2000, 9)
    np.testing.assert_array_equal(NeighbourDetector(1, **ALL).fit(x).anomaly_score(x), 0)


@pytest.mark.parametrize(
    "estimator", [IsolationForest(random_state=0), OneClassSVM(), LocalOutlierFactor(novelty=True)]
)
def test_scikit_learn_detectors_change_sign(estimator):
    x, new = samples(200, 6), np.vstack([samples(20, 6, seed=1), np.full((1, 6), 5.0)])
    detector = SklearnDetector(estimator, **ALL).fit(x)
    np.testing.assert_allclose(detector.anomaly_score(new), -clone(estimator).fit(x).score_samples(new))
    assert detector.anomaly_score(new).argmax() == 20
    assert not hasattr(estimator, "offset_")


@pytest.mark.parametrize(
    ("detector", "message"),
    [
        (NeighbourDetector(0), "n_neighbours must be a whole number at least 1"),
        (NeighbourDetector(2.0), "n_neighbours must be a whole number at least 1"),
        (PCADetector(7), r"n_components must be a whole number from 0 to 6 for data of shape \(16, 6\)"),
        (MahalanobisDetector(0), "n_components must be a whole number at least 1"),
        (SklearnDetector(StandardScaler()), "give an outlier detector"),
        (SklearnDetector(LocalOutlierFactor()), r"LocalOutlierFactor\(novelty=True\)"),
        (CalibratedSum([]), "number of detectors"),
        (CalibratedSum([PCADetector(2), OneClassSVM()]), r"detectors\[1\] is OneClassSVM\(\).*wrap it in Sk"),
        (CalibratedSum([PCADetector(2)], scale="rank"), "scale must be one of"),
        (CalibratedSum([PCADetector(2)], scale_share=1.0), "scale_share must be a fraction"),
        (CalibratedSum([PCADetector(2)], scale_share=0.99), "leaves none of 16 normal samples"),
        (CalibratedSum([SklearnDetector(OneClassSVM())]), "take scale='linear'"),
    ],
)
def test_bad_settings_are_refused(detector, message):
    with pytest.raises(ValueError, match=message):
        detector.fit(samples(20, 6))


def test_the_forest_follows_the_random_state():
    x = samples(100, 4)
    first, again, other = (
        SklearnDetector(random_state=seed, **ALL).fit(x).anomaly_score(x) for seed in (3, 3, 4)
    )
    np.testing.assert_array_equal(first, again)
    assert not np.array_equal(first, other)
    expected = -IsolationForest(random_state=3).fit(x).score_samples(x)
    np.testing.assert_allclose(first, expected)


# Several detectors in one


def test_combined_scores_by_hand():
    normal = [np.exp([-1.0, 1.0]), np.exp([0.0, 4.0])]
    # Logarithms: mean 0, deviation 1; mean 2, deviation 2.
    new = [np.exp([3.0, -5.0]), np.exp([6.0, 2.0])]
    # The second sample's first score lies under the smallest normal one and counts as that: -1.
    np.testing.assert_allclose(combine_scores(new, normal), [(3 + 2) / 2, (-1 + 0) / 2])
    np.testing.assert_allclose(
        combine_scores([[3.0, -5.0], [6.0, 2.0]], [[-1.0, 1.0], [0.0, 4.0]], "linear"), [2.5, -2.5]
    )


def test_combined_scores_do_not_depend_on_units():
    normal = [samples(1, 50)[0], samples(1, 50, seed=1)[0]]
    new = [samples(1, 9, seed=2)[0], samples(1, 9, seed=3)[0]]
    np.testing.assert_allclose(
        combine_scores([new[0] * 1000, new[1]], [normal[0] * 1000, normal[1]]),
        combine_scores(new, normal),
        rtol=1e-5,
    )


def test_zero_scores_are_as_normal_as_can_be():
    combined = combine_scores([[0.0, 1.0, 8.0]], [[0.0, 1.0, 2.0, 4.0]])
    assert combined[0] == combined[1] < combined[2]


@pytest.mark.parametrize(
    ("new", "normal", "message"),
    [
        ([[1.0]], [[1.0, 2.0], [1.0, 2.0]], "from 1 detectors and normal_scores from 2"),
        ([], [], "from 0 detectors"),
        ([[-1.0]], [[1.0, 2.0]], "Detector 0 gives negative scores"),
        (
            [[1.0], [1.0]],
            [[1.0, 2.0], [2.0, 2.0]],
            "Detector 1 gives all held-out normal samples the same score",
        ),
        ([[1.0]], [[0.0, 0.0]], "the same score"),
        ([[np.nan]], [[1.0, 2.0]], r"scores\[0\] holds NaN"),
        ([[1.0]], [[1.0, np.inf]], r"normal_scores\[0\] holds NaN or infinite"),
    ],
)
def test_scores_that_cannot_be_combined_are_refused(new, normal, message):
    with pytest.raises(ValueError, match=message):
        combine_scores(new, normal)


def test_calibrated_sum_takes_its_scale_from_samples_of_the_callers():
    x, scale, new = samples(100, 6), samples(40, 6, seed=1), samples(9, 6, seed=2)
    parts = [PCADetector(2), NeighbourDetector(3)]
    combined = CalibratedSum(parts, **ALL).fit(x, X_scale=scale)
    fitted = [clone(part).set_params(held_out_share=0).fit(x) for part in parts]
    expected = combine_scores(
        [part.anomaly_score(new) for part in fitted], [part.anomaly_score(scale) for part in fitted]
    )
    np.testing.assert_allclose(combined.anomaly_score(new), expected)
    # The parts that were handed in stay as they were.
    assert not hasattr(parts[0], "sample_shape_")
    assert parts[0].held_out_share == 0.2
    with pytest.raises(ValueError, match="X has 5 features"):
        combined.fit(x, X_scale=samples(40, 5))


def test_calibrated_sum_splits_its_samples_in_three():
    x = samples(100, 6)
    combined = CalibratedSum([NeighbourDetector(1)], scale_share=0.3, held_out_share=0.2).fit(x)
    # Samples that a part learnt from are their own neighbours; those of scale and threshold are not.
    assert (combined.detectors_[0].anomaly_score(x) == 0).sum() == 100 - 20 - 24
    assert combined.conformal_.n_held_out_ == 20
    again = CalibratedSum([NeighbourDetector(1)], scale_share=0.3).fit(x)
    np.testing.assert_array_equal(again.anomaly_score(x), combined.anomaly_score(x))
    other = CalibratedSum([NeighbourDetector(1)], scale_share=0.3, random_state=1).fit(x)
    assert not np.array_equal(other.anomaly_score(x), combined.anomaly_score(x))


def test_labels_change_nothing():
    x = samples(50, 6)
    labels = np.arange(50) % 2
    np.testing.assert_array_equal(
        PCADetector(2).fit(x, labels).anomaly_score(x), PCADetector(2).fit(x).anomaly_score(x)
    )


@pytest.mark.filterwarnings("ignore:.*too few")
@pytest.mark.parametrize(
    "detector",
    [
        PCADetector(2),
        MahalanobisDetector(),
        NeighbourDetector(),
        CalibratedSum(),
        SklearnDetector(OneClassSVM()),
    ],
    ids=lambda detector: type(detector).__name__,
)
def test_false_alarms_stay_in_their_band(detector):
    """The promise, kept by the whole detector: 200 draws of 99 held-out and 200 new normal samples."""
    random = np.random.default_rng(0)
    detector = clone(detector).set_params(held_out_share=0, false_alarm_rate=0.1)
    detector.fit(random.normal(size=(150, 4)))
    rates, inside = [], 0
    for _ in range(200):
        detector.calibrate(random.normal(size=(99, 4)))
        rates.append(np.mean(detector.predict(random.normal(size=(200, 4))) == -1))
        low, high = detector.conformal_.band(200)
        inside += low <= rates[-1] <= high
    # k = 90 of 99: exactly 10 % on average, and 95 % of the draws in the band, both within four errors.
    assert np.mean(rates) == pytest.approx(0.1, abs=4 * np.std(rates) / np.sqrt(200))
    assert 0.95 - 4 * np.sqrt(0.05 * 0.95 / 200) <= inside / 200
