"""Detectors: signs and thresholds, agreement with plain references, and faults.

That they keep scikit-learn's contract is in `test_estimators`, the classical ones are in `test_classical`.
"""

import keras
import numpy as np
import pytest
from keras import layers
from scipy.spatial.distance import cdist
from sklearn.base import clone
from sklearn.covariance import LedoitWolf
from sklearn.ensemble import IsolationForest
from sklearn.exceptions import NotFittedError
from sklearn.neighbors import NearestNeighbors
from toy_samples import samples

from dae_utils.detection import (
    CalibratedSum,
    LatentMahalanobis,
    LatentNeighbours,
    MahalanobisDetector,
    NeighbourDetector,
    PathwayScore,
    PCADetector,
    ReconstructionDetector,
    SklearnDetector,
    reconstruction_error,
)
from dae_utils.networks.inner import encoder_activations

# In this file nothing is held out, unless a test says so: references are fitted on the same samples.
ALL = {"held_out_share": 0}


class LinearAutoencoder:
    """Orthonormal weights, so the code of a reconstruction is the code of the sample."""

    def __init__(self, n_values: int = 6, n_code: int = 2, seed: int = 0):
        matrix = np.random.default_rng(seed).normal(size=(n_values, n_code))
        self.weights = np.linalg.qr(matrix)[0]

    def encode(self, x):
        return x @ self.weights

    def activations(self, x):
        return [self.encode(x)]

    def __call__(self, x):
        return self.encode(x) @ self.weights.T


class CurvedAutoencoder:
    """Two hidden stages with random weights, as plain functions."""

    def __init__(self, n_values: int = 6, seed: int = 0):
        generator = np.random.default_rng(seed)
        self.first = generator.normal(size=(n_values, 4))
        self.second = generator.normal(size=(4, 3))
        self.third = generator.normal(size=(3, n_values))

    def activations(self, x):
        first = np.tanh(x @ self.first)
        return [first, np.tanh(first @ self.second)]

    def encode(self, x):
        return self.activations(x)[-1]

    def __call__(self, x):
        return 1 / (1 + np.exp(-self.encode(x) @ self.third))


CURVED = CurvedAutoencoder()
DETECTORS = {
    "reconstruction": ReconstructionDetector(CURVED, **ALL),
    "mahalanobis of codes": LatentMahalanobis(CURVED.encode, **ALL),
    "neighbours of codes": LatentNeighbours(CURVED.encode, **ALL),
    "sap": PathwayScore(CURVED, activations=CURVED.activations, **ALL),
    "nap": PathwayScore(CURVED, "nap", activations=CURVED.activations, **ALL),
    "pca": PCADetector(2, **ALL),
    "mahalanobis": MahalanobisDetector(3, **ALL),
    "neighbours": NeighbourDetector(**ALL),
    "scikit-learn": SklearnDetector(IsolationForest(n_estimators=20, random_state=0), **ALL),
    "sum": CalibratedSum([PCADetector(2), NeighbourDetector()], **ALL),
    "own reconstruction": ReconstructionDetector(epochs=2, **ALL),
    "own codes": LatentMahalanobis(epochs=2, **ALL),
    "own neighbours": LatentNeighbours(epochs=2, **ALL),
    "own pathway": PathwayScore(kind="nap", epochs=2, **ALL),
}


@pytest.fixture(params=DETECTORS, ids=list(DETECTORS))
def detector(request):
    return clone(DETECTORS[request.param])


def test_signs_and_thresholds_are_those_of_the_book(detector):
    normal, held_out, new = samples(200, 6), samples(99, 6, seed=1), samples(40, 6, seed=2)
    assert detector.fit(normal) is detector
    assert detector.calibrate(held_out, 0.1) is detector
    scores = detector.anomaly_score(new)
    assert scores.shape == (40,)
    assert scores.dtype == np.float64
    np.testing.assert_array_equal(detector.score_samples(new), -scores)
    assert detector.threshold_ == pytest.approx(np.sort(detector.anomaly_score(held_out))[89], rel=1e-5)
    assert detector.offset_ == -detector.threshold_
    assert detector.conformal_.rank_ == 90
    np.testing.assert_allclose(detector.decision_function(new), detector.threshold_ - scores)
    prediction = detector.predict(new)
    assert prediction.dtype == np.int64
    np.testing.assert_array_equal(prediction, np.where(scores > detector.threshold_, -1, 1))
    # One of the held-out samples is exactly at the threshold, and nine are above: one by one too.
    assert (detector.predict(held_out) == -1).sum() == 9
    assert sum(detector.predict(sample[np.newaxis])[0] == -1 for sample in held_out) == 9
    assert detector.n_features_in_ == 6


def test_a_share_held_out_sets_the_threshold(detector):
    x = samples(200, 6)
    detector.set_params(held_out_share=0.25, false_alarm_rate=0.1).fit(x)
    assert detector.conformal_.n_held_out_ == 50
    # k = 46 of 50: four of the samples held out are above the threshold, so at least these alarm.
    assert (detector.predict(x) == -1).sum() >= 4
    again = clone(detector).fit(x)
    np.testing.assert_array_equal(again.anomaly_score(x), detector.anomaly_score(x))
    assert again.threshold_ == detector.threshold_
    other = clone(detector).set_params(random_state=1).fit(x)
    assert other.threshold_ != detector.threshold_


def test_calibrate_replaces_the_threshold(detector):
    detector.set_params(held_out_share=0.25, false_alarm_rate=0.1)
    x, held_out = samples(200, 6), samples(99, 6, seed=1) + 1
    inside = detector.fit(x).threshold_
    assert detector.calibrate(held_out).conformal_.rank_ == 90
    assert detector.threshold_ != inside
    assert detector.calibrate(held_out, 0.5).conformal_.rank_ == 50
    assert detector.false_alarm_rate == 0.1


def test_each_score_belongs_to_its_sample(detector):
    detector.fit(samples(200, 6))
    new = samples(30, 6, seed=2)
    order = np.random.default_rng(0).permutation(30)
    np.testing.assert_allclose(
        detector.anomaly_score(new)[order], detector.anomaly_score(new[order]), rtol=1e-5
    )
    np.testing.assert_allclose(detector.anomaly_score(new[:1]), detector.anomaly_score(new)[:1], rtol=1e-5)


def test_detectors_must_be_fitted_and_calibrated_first(detector):
    x = samples(120, 6)
    for use in (detector.anomaly_score, detector.score_samples, detector.predict, detector.calibrate):
        with pytest.raises(NotFittedError, match="is not fitted; call fit with normal samples first"):
            use(x)
    detector.fit(x)
    for use in (detector.predict, detector.decision_function, detector.fit_predict):
        with pytest.raises(NotFittedError, match=r"has no threshold.* call calibrate"):
            use(x)


def test_a_new_fit_forgets_the_old_one(detector):
    x = samples(120, 6)
    detector.fit(x).calibrate(samples(50, 6, seed=1))
    detector.fit(x)
    with pytest.raises(NotFittedError, match="call calibrate"):
        detector.predict(x)


@pytest.mark.parametrize(
    ("x", "message"),
    [
        (np.full((9, 6), np.nan), "NaN"),
        (np.full((9, 2, 3), np.inf), "infinity"),
        (np.empty((0, 6)), "0 sample"),
        (np.empty((9, 2, 0)), "hold no values"),
        (np.zeros(6), "Expected 2D array"),
        (np.full((9, 6), 1j), "Complex data not supported"),
        ([["a"] * 6] * 9, "could not convert string"),
    ],
)
def test_bad_samples_are_refused(detector, x, message):
    with pytest.raises(ValueError, match=message):
        detector.fit(x)
    detector.fit(samples(120, 6))
    for use in (detector.anomaly_score, detector.calibrate):
        with pytest.raises(ValueError, match=rf"{message}|X holds samples of shape"):
            use(x)


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ({"false_alarm_rate": 0}, "false_alarm_rate must be a fraction"),
        ({"false_alarm_rate": "0.05"}, "false_alarm_rate must be a fraction"),
        ({"held_out_share": 1}, "held_out_share must be from 0"),
        ({"held_out_share": -0.1}, "held_out_share must be from 0"),
        ({"held_out_share": False}, "held_out_share must be from 0"),
        ({"held_out_share": 0.999}, "leaves 0 of 120 samples"),
        ({"random_state": "zero", "held_out_share": 0.5}, "cannot be used to seed"),
    ],
)
def test_bad_settings_of_the_base_are_refused(setting, message):
    with pytest.raises(ValueError, match=message):
        PCADetector(2).set_params(**setting).fit(samples(120, 6))
    with pytest.raises(ValueError, match="false_alarm_rate"):
        PCADetector(2).fit(samples(120, 6)).calibrate(samples(120, 6), false_alarm_rate=2)


def test_samples_keep_their_shape(detector):
    detector.fit(samples(120, 6))
    with pytest.raises(ValueError, match=r"X has 5 features, but .* is expecting 6 features"):
        detector.anomaly_score(samples(9, 5))
    with pytest.raises(ValueError, match=r"shape \(2, 3\), but .* was fitted with samples of shape \(6,\)"):
        detector.anomaly_score(samples(9, 2, 3))


def test_too_few_held_out_samples_are_a_warning(detector):
    detector.set_params(held_out_share=0.1)
    with pytest.warns(UserWarning, match="12 held-out normal scores are too few .* at least 19"):
        detector.fit(samples(120, 6))
    assert detector.conformal_.expected_rate_ == pytest.approx(1 / 13)
    # The threshold is the largest held-out score: none of those samples alarms.
    held_out = samples(10, 6, seed=1)
    with pytest.warns(UserWarning, match="too few"):
        detector.calibrate(held_out)
    assert (detector.predict(held_out) == 1).all()


def test_parameters_can_be_read_set_and_cloned(detector):
    detector.fit(samples(120, 6))
    copy = clone(detector)
    assert type(copy) is type(detector)
    assert copy.get_params(deep=False).keys() == detector.get_params(deep=False).keys()
    assert not hasattr(copy, "sample_shape_")
    np.testing.assert_array_equal(
        clone(detector).fit(samples(120, 6)).anomaly_score(samples(9, 6, seed=1)),
        detector.anomaly_score(samples(9, 6, seed=1)),
    )


NEED_NO_NETWORK = ["pca", "mahalanobis", "neighbours", "scikit-learn", "sum"]
TRAIN_THEIR_OWN = ["own reconstruction", "own codes", "own neighbours", "own pathway"]


@pytest.mark.parametrize("name", NEED_NO_NETWORK + TRAIN_THEIR_OWN)
def test_images_are_flattened(name):
    flat, image = clone(DETECTORS[name]), clone(DETECTORS[name])
    x, new = samples(120, 6), samples(20, 6, seed=1)
    flat.fit(x)
    image.fit(x.reshape(-1, 2, 3, 1))
    assert image.sample_shape_ == (2, 3, 1)
    assert image.n_features_in_ == 6
    np.testing.assert_array_equal(image.anomaly_score(new.reshape(-1, 2, 3, 1)), flat.anomaly_score(new))
    np.testing.assert_array_equal(
        image.anomaly_score(new.reshape(-1, 2, 3, 1).tolist()), flat.anomaly_score(new.astype(float))
    )


@pytest.mark.parametrize("name", NEED_NO_NETWORK + TRAIN_THEIR_OWN)
def test_one_common_scale_does_not_change_the_verdicts(name):
    x = samples(200, 6)
    new = np.concatenate([samples(30, 6, seed=1), samples(30, 6, seed=2) * 2 - 0.5])
    plain = clone(DETECTORS[name]).set_params(held_out_share=0.3).fit(x)
    scaled = clone(DETECTORS[name]).set_params(held_out_share=0.3).fit(x * 256.0 - 1024.0)
    verdicts = plain.predict(new)
    assert 5 < (verdicts == -1).sum() < 55
    assert np.mean(scaled.predict(new * 256.0 - 1024.0) == verdicts) > 0.96


@pytest.mark.parametrize("name", NEED_NO_NETWORK + TRAIN_THEIR_OWN)
def test_bytes_are_as_good_as_numbers(name):
    pixels = np.random.default_rng(0).integers(0, 256, (120, 3, 3), np.uint8)
    detectors = [clone(DETECTORS[name]).fit(x) for x in (pixels, pixels.astype(float))]
    scores = [detector.anomaly_score(pixels) for detector in detectors]
    np.testing.assert_allclose(scores[0], scores[1], rtol=1e-5)


def test_clones_share_the_network(keras_autoencoder):
    for original in (ReconstructionDetector(keras_autoencoder), PathwayScore(keras_autoencoder)):
        assert clone(original).autoencoder is keras_autoencoder
    combined = CalibratedSum([ReconstructionDetector(keras_autoencoder)])
    assert clone(combined).detectors[0] is not combined.detectors[0]
    assert clone(combined).detectors[0].autoencoder is keras_autoencoder


# Detectors with a network


def test_reconstruction_detector(keras_autoencoder):
    x = samples(30, 5, 2)
    copy = keras_autoencoder.predict(x, verbose=0)
    for kind in ("squared", "absolute"):
        scores = ReconstructionDetector(keras_autoencoder, kind, **ALL).fit(x).anomaly_score(x)
        np.testing.assert_allclose(scores, reconstruction_error(x, copy, kind=kind), rtol=1e-5)


@pytest.mark.parametrize(
    ("detector_", "message"),
    [
        (ReconstructionDetector(CURVED, "huber"), "kind must be one of"),
        (ReconstructionDetector(lambda x: x[:, :3]), "the reconstruction has"),
        (ReconstructionDetector(lambda x: [x, x]), "gives 2 outputs"),
        (LatentMahalanobis(lambda x: [x, x]), "encoder gives 2 outputs"),
        (LatentNeighbours(n_neighbours=0), "n_neighbours must be a whole number at least 1"),
        (LatentNeighbours(CURVED.encode, 0), "n_neighbours must be a whole number at least 1"),
        (PathwayScore(CURVED, "max", activations=CURVED.activations), "kind must be one of"),
        (
            PathwayScore(CURVED, start_layer=3, activations=CURVED.activations),
            r"stages 0 .* to 2 \(the code\)",
        ),
        (PathwayScore(CURVED, start_layer=-1, activations=CURVED.activations), "start_layer"),
        (PathwayScore(CURVED), "autoencoder is a plain function"),
        (
            PathwayScore(CURVED, "nap", activations=CURVED.activations, relative_cutoff=1e-9),
            "relative_cutoff must be at least 1e-7",
        ),
        (PathwayScore(activations=CURVED.activations), "activations belong to an autoencoder"),
        (ReconstructionDetector(epochs=0), "epochs must be a whole number"),
        (LatentMahalanobis(epochs=1.5), "epochs must be a whole number"),
    ],
)
def test_bad_settings_are_refused(detector_, message):
    with pytest.raises(ValueError, match=message):
        detector_.fit(samples(20, 6))
    with pytest.raises(NotFittedError, match="not fitted"):
        detector_.anomaly_score(samples(20, 6))


def test_latent_mahalanobis_agrees_with_scipy():
    x, new = samples(300, 6), samples(20, 6, seed=1)
    detector = LatentMahalanobis(CURVED.encode, **ALL).fit(x)
    codes = CURVED.encode(x.astype(np.float64))
    covariance = LedoitWolf().fit(codes)
    expected = cdist(
        CURVED.encode(new),
        codes.mean(axis=0)[np.newaxis],
        "mahalanobis",
        VI=np.linalg.inv(covariance.covariance_),
    )[:, 0]
    np.testing.assert_allclose(detector.anomaly_score(new), expected, rtol=1e-4)
    assert 0 < detector.shrinkage_ < 1


def test_latent_mahalanobis_survives_dead_code_values():
    def encode(x):
        return np.column_stack([x, np.zeros((len(x), 4))])

    x = samples(50, 6)
    assert np.isfinite(LatentMahalanobis(encode, **ALL).fit(x).anomaly_score(samples(9, 6, seed=1))).all()
    with pytest.raises(ValueError, match="number of normal samples must be a whole number at least 2"):
        LatentMahalanobis(encode, **ALL).fit(x[:1])


def test_latent_neighbours_agree_with_scikit_learn():
    x, new = samples(300, 6), samples(20, 6, seed=1)
    reference = NearestNeighbors(n_neighbors=3).fit(CURVED.encode(x))
    np.testing.assert_allclose(
        LatentNeighbours(CURVED.encode, 3, **ALL).fit(x).anomaly_score(new),
        reference.kneighbors(CURVED.encode(new))[0].mean(axis=1),
        rtol=1e-5,
    )


# Reconstruction along the pathway


def plain_differences(network, x, start_layer=0):
    """d(x), one sample and one stage at a time."""
    rows = []
    for sample in x:
        copy = network(sample[np.newaxis])
        stages = [sample - copy[0]]
        hidden = zip(network.activations(sample[np.newaxis]), network.activations(copy), strict=True)
        stages += [h[0] - h_copy[0] for h, h_copy in hidden]
        rows.append(np.concatenate(stages[start_layer:]))
    return np.array(rows)


@pytest.mark.parametrize("start_layer", [0, 1, 2])
def test_sap_agrees_with_a_plain_loop(start_layer):
    x = samples(20, 6)
    detector = PathwayScore(CURVED, "sap", start_layer, activations=CURVED.activations, **ALL).fit(x)
    expected = [np.sum(d**2) for d in plain_differences(CURVED, x, start_layer)]
    np.testing.assert_allclose(detector.anomaly_score(x), expected, rtol=1e-4)


@pytest.mark.parametrize("start_layer", [0, 1, 2])
@pytest.mark.parametrize("n_normal", [300, 14])
def test_nap_agrees_with_a_plain_loop(start_layer, n_normal):
    x, new = samples(n_normal, 6), samples(20, 6, seed=1)
    detector = PathwayScore(CURVED, "nap", start_layer, activations=CURVED.activations, **ALL).fit(x)
    training = plain_differences(CURVED, x, start_layer)
    mean = training.mean(axis=0)
    _, s, vt = np.linalg.svd(training - mean, full_matrices=False)
    expected = [np.sum(((d - mean) @ vt.T / s) ** 2) for d in plain_differences(CURVED, new, start_layer)]
    assert detector.rank_ == len(s)
    np.testing.assert_allclose(detector.anomaly_score(new), expected, rtol=2e-2)


def test_nap_is_the_squared_mahalanobis_distance():
    x, new = samples(300, 6), samples(20, 6, seed=1)
    detector = PathwayScore(CURVED, "nap", 1, activations=CURVED.activations, **ALL).fit(x)
    training = plain_differences(CURVED, x, 1)
    expected = cdist(
        plain_differences(CURVED, new, 1),
        training.mean(axis=0)[np.newaxis],
        "mahalanobis",
        VI=np.linalg.inv(np.cov(training.T)),
    )[:, 0]
    np.testing.assert_allclose(detector.anomaly_score(new) * 299, expected**2, rtol=1e-3)


def test_nap_does_not_depend_on_the_units_of_a_stage():
    mixing = np.random.default_rng(3).normal(size=(3, 3)) + 3 * np.eye(3)
    x, new = samples(300, 6), samples(20, 6, seed=1)
    plain = PathwayScore(CURVED, "nap", 2, activations=CURVED.activations, **ALL).fit(x)
    mixed = PathwayScore(
        CURVED, "nap", 1, activations=lambda batch: [CURVED.encode(batch) @ mixing * 40], **ALL
    ).fit(x)
    np.testing.assert_allclose(mixed.anomaly_score(new), plain.anomaly_score(new), rtol=1e-3)


def test_a_linear_autoencoder_is_known():
    network = LinearAutoencoder()
    x = samples(200, 6)
    error = reconstruction_error(x, network(x)) * 6
    for start_layer, expected in ((0, error), (1, np.zeros(200))):
        # The code of the copy is the code of the sample, so only the input counts.
        sap = PathwayScore(network, "sap", start_layer, activations=network.activations, **ALL).fit(x)
        np.testing.assert_allclose(sap.anomaly_score(x), expected, rtol=1e-4, atol=1e-9)
    # d lies in the four directions that the code leaves out; the others hold rounding errors only.
    nap = PathwayScore(network, "nap", activations=network.activations, **ALL).fit(x)
    assert nap.rank_ == 4
    left_out = x @ np.linalg.svd(network.weights, full_matrices=True)[0][:, 2:]
    expected = cdist(
        left_out, left_out.mean(axis=0)[np.newaxis], "mahalanobis", VI=np.linalg.inv(np.cov(left_out.T))
    )[:, 0]
    np.testing.assert_allclose(nap.anomaly_score(x) * 199, expected**2, rtol=1e-3)


def test_nap_ignores_repeated_stages():
    x, new = samples(300, 6), samples(20, 6, seed=1)
    once = PathwayScore(CURVED, "nap", activations=CURVED.activations, **ALL).fit(x)
    twice = PathwayScore(CURVED, "nap", activations=lambda b: CURVED.activations(b) * 2, **ALL).fit(x)
    assert twice.rank_ == once.rank_
    np.testing.assert_allclose(twice.anomaly_score(new), once.anomaly_score(new), rtol=1e-2)


def test_nap_needs_variation():
    with pytest.raises(ValueError, match="All normal samples have the same reconstruction error"):
        PathwayScore(lambda x: x, "nap", activations=lambda x: [x], **ALL).fit(samples(20, 6))
    with pytest.raises(ValueError, match="All normal samples have the same reconstruction error"):
        PathwayScore(lambda x: 0 * x, "nap", activations=lambda x: [x], **ALL).fit(np.full((20, 6), 0.3))
    with pytest.raises(ValueError, match="number of normal samples"):
        PathwayScore(CURVED, "nap", activations=CURVED.activations, **ALL).fit(samples(1, 6))


def test_nap_refuses_what_does_not_fit_in_memory():
    wide = PathwayScore(lambda x: x * 0.5, "nap", activations=lambda x: [x[:, :3]], **ALL)
    with pytest.raises(ValueError, match=r"would compare 9003 values per sample.* Raise start_layer"):
        wide.fit(samples(4, 9000))
    wide.set_params(start_layer=1).fit(samples(4, 9000))


def test_pathway_of_a_keras_autoencoder(keras_autoencoder):
    # More than one batch of differences.
    x = samples(4500, 5, 2)
    encoder = keras_autoencoder.get_layer("encoder")
    hidden = encoder_activations(encoder)
    copy = keras_autoencoder.predict(x, batch_size=4500, verbose=0)
    pairs = zip([x, *hidden.predict(x, verbose=0)], [copy, *hidden.predict(copy, verbose=0)], strict=True)
    expected = sum(np.square(h - h_copy).reshape(len(x), -1).sum(axis=1) for h, h_copy in pairs)
    detector = PathwayScore(keras_autoencoder, **ALL).fit(x)
    np.testing.assert_allclose(detector.anomaly_score(x), expected, rtol=1e-4)
    assert PathwayScore(keras_autoencoder, "nap", **ALL).fit(x).anomaly_score(x).shape == (4500,)


def test_one_stage_is_enough():
    x = samples(20, 6)
    encoder = keras.Sequential([keras.Input((6,)), layers.Dense(2)], name="encoder")
    network = keras.Sequential([keras.Input((6,)), encoder, layers.Dense(6)])
    assert PathwayScore(network, start_layer=1, **ALL).fit(x).anomaly_score(x).shape == (20,)


def test_an_autoencoder_without_an_encoder_is_refused():
    network = keras.Sequential([keras.Input((6,)), layers.Dense(6)])
    with pytest.raises(ValueError, match="no sub-model named 'encoder'"):
        PathwayScore(network, **ALL).fit(samples(20, 6))


# Networks of their own


def test_an_own_network_finds_what_is_unlike_the_samples():
    random = np.random.default_rng(0)
    # Three hidden causes behind twelve measured values, in large units.
    mixing = random.normal(size=(3, 12))
    x = random.normal(size=(600, 3)) @ mixing * 50 + 1000
    anomalies = 1000 + 50 * np.sqrt(3) * random.normal(size=(100, 12))
    for detector in (ReconstructionDetector(epochs=20), PathwayScore(epochs=20)):
        detector.fit(x[:500])
        assert (detector.predict(anomalies) == -1).mean() > 0.8
        low, high = detector.conformal_.band(100, confidence=0.999)
        assert low <= (detector.predict(x[500:]) == -1).mean() <= high


def test_an_own_network_is_the_same_again_and_another_for_another_seed():
    x = samples(100, 6)
    first, again, other = (
        ReconstructionDetector(epochs=2, random_state=seed, **ALL).fit(x).anomaly_score(x)
        for seed in (0, 0, 1)
    )
    np.testing.assert_array_equal(first, again)
    assert not np.allclose(first, other)


def test_an_own_network_leaves_the_seeds_of_others_alone():
    np.random.seed(5)  # noqa: NPY002
    expected = np.random.get_state()[1]  # noqa: NPY002
    ReconstructionDetector(epochs=1).fit(samples(100, 6))
    np.testing.assert_array_equal(np.random.get_state()[1], expected)  # noqa: NPY002


def test_the_score_of_an_own_network_is_that_of_its_keras_model():
    x = samples(100, 6) * 300
    detector = ReconstructionDetector(epochs=2, **ALL).fit(x)
    scaled = (x - x.mean()) / x.std()
    copy = detector.network_.predict(scaled, verbose=0)
    expected = np.mean((scaled - copy) ** 2, axis=1) * x.std() ** 2
    np.testing.assert_allclose(detector.anomaly_score(x), expected, rtol=1e-4)


def test_numbers_too_large_for_a_network_are_told():
    with pytest.raises(ValueError, match="too large for a network"):
        ReconstructionDetector(epochs=1).fit(samples(100, 6).astype(float) * 1e300)


def test_all_the_same_samples_still_train_a_network():
    detector = ReconstructionDetector(epochs=1, false_alarm_rate=0.2).fit(np.full((50, 4), 7.0))
    assert (detector.predict(np.full((3, 4), 7.0)) == 1).all()


@pytest.mark.parametrize("change", [lambda codes: codes[:-1], lambda codes: np.concatenate([codes, codes])])
@pytest.mark.parametrize("detector", [LatentMahalanobis, LatentNeighbours])
def test_an_encoder_that_does_not_give_a_code_to_every_sample_is_refused(detector, change):
    x = samples(60, 6)
    wrong = detector(lambda batch: change(CURVED.encode(batch)), held_out_share=0).fit(x)

    with pytest.raises(ValueError, match=r"has \d+ scores for 20 samples; its network, encoder or _score"):
        wrong.anomaly_score(samples(20, 6, seed=1))
    with pytest.raises(ValueError, match=r"has \d+ scores for 12 samples"):
        wrong.set_params(held_out_share=0.2).fit(x)


@pytest.mark.parametrize("detector", [ReconstructionDetector, LatentMahalanobis, LatentNeighbours])
def test_a_network_for_samples_of_another_shape_is_refused_in_one_line(detector):
    network = keras.Sequential([keras.Input((5,)), layers.Dense(5)])
    message = r"^the network takes samples of shape \(5,\), but x holds samples of shape \(6,\): reshape x"
    with pytest.raises(ValueError, match=message) as caught:
        detector(network).fit(samples(100, 6))
    assert "\n" not in str(caught.value)


def test_a_last_axis_of_1_is_still_left_to_keras():
    encoder = keras.Sequential([keras.Input((3, 2, 1)), layers.Flatten(), layers.Dense(2)])
    assert LatentMahalanobis(encoder).fit(samples(100, 3, 2)).n_features_in_ == 6


@pytest.mark.parametrize(
    ("network", "says"),
    [
        ("autoencoder.keras", "or a function of a batch, not str: give the trained model itself"),
        (CurvedAutoencoder, "not the class CurvedAutoencoder: make an object of it"),
    ],
)
@pytest.mark.parametrize("detector", [ReconstructionDetector, LatentMahalanobis, LatentNeighbours])
def test_what_is_no_network_is_refused_in_one_line(detector, network, says):
    with pytest.raises(TypeError, match=says) as caught:
        detector(network).fit(samples(100, 6))
    assert "\n" not in str(caught.value)
