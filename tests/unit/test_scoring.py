"""Scores, detectors and thresholds: known answers, plain references, and faults."""

import keras
import numpy as np
import pytest
from dae_utils.detection.scoring import (
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
    binary_cross_entropy,
    combine_scores,
    cross_entropy_floor,
    encoder_activations,
    predict_in_batches,
    reconstruction_error,
)
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from scipy.spatial.distance import cdist
from sklearn.base import clone
from sklearn.covariance import LedoitWolf
from sklearn.decomposition import PCA
from sklearn.ensemble import IsolationForest
from sklearn.exceptions import NotFittedError
from sklearn.neighbors import LocalOutlierFactor, NearestNeighbors
from sklearn.preprocessing import StandardScaler
from sklearn.svm import OneClassSVM

from dae_utils.detection import scoring

layers = keras.layers


def samples(n: int, *shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).random((n, *shape), dtype=np.float32)


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


@pytest.fixture(scope="module")
def keras_autoencoder() -> keras.Model:
    keras.utils.set_random_seed(0)
    encoder = keras.Sequential(
        [
            keras.Input((5, 2)),
            layers.Flatten(),
            layers.Dense(7, activation="relu", name="hidden"),
            layers.Dropout(0.5),
            layers.Dense(3, activation="relu", name="code"),
        ],
        name="encoder",
    )
    decoder = keras.Sequential(
        [keras.Input((3,)), layers.Dense(10, activation="sigmoid"), layers.Reshape((5, 2))], name="decoder"
    )
    x = keras.Input((5, 2))
    return keras.Model(x, decoder(encoder(x)))


# Reconstruction error


def test_reconstruction_error_by_hand():
    x = np.array([[[0.0, 1.0], [0.5, 0.5]], [[1.0, 1.0], [1.0, 1.0]]])
    copy = np.array([[[0.0, 0.5], [0.5, 0.5]], [[0.0, 0.0], [1.0, 1.0]]])
    np.testing.assert_allclose(reconstruction_error(x, copy), [0.25 / 4, 0.5])
    np.testing.assert_allclose(reconstruction_error(x, copy, kind="absolute"), [0.5 / 4, 0.5])


def test_masked_error_averages_over_what_counts():
    x = np.array([[1.0, 2.0, 3.0, 99.5], [1.0, 1.0, 1.0, 1.0]])
    copy = np.zeros((2, 4))
    mask = [[1, 1, 0, 0], [1, 1, 1, 1]]
    np.testing.assert_allclose(reconstruction_error(x, copy, mask), [(1 + 4) / 2, 1])
    np.testing.assert_allclose(reconstruction_error(x, copy, mask, "absolute"), [1.5, 1])
    # One mask for all samples, and all values counted.
    np.testing.assert_allclose(reconstruction_error(x, copy, [True, False, True, False]), [(1 + 9) / 2, 1])
    np.testing.assert_allclose(reconstruction_error(x, copy, np.ones((2, 1))), reconstruction_error(x, copy))


def test_reconstruction_error_leaves_its_input_alone():
    x, copy = samples(3, 4), samples(3, 4, seed=1)
    before = x.copy(), copy.copy()
    reconstruction_error(x, copy, np.ones((3, 4)))
    np.testing.assert_array_equal(x, before[0])
    np.testing.assert_array_equal(copy, before[1])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((samples(2, 4), samples(2, 5)), "must match value for value"),
        ((samples(2, 4), np.full((2, 4), np.nan)), "reconstruction holds NaN"),
        ((np.full((2, 4), 255, np.uint8), samples(2, 4)), "divide by 255"),
        ((np.empty((0, 4)), np.empty((0, 4))), "empty"),
        (
            (samples(2, 4), samples(2, 4), [[1, 1, 0, 0], [0, 0, 0, 0]]),
            r"1 samples \(the first is number 1\)",
        ),
        ((samples(2, 4), samples(2, 4), [1, 0, 1]), "mask has shape"),
        ((samples(2, 4), samples(2, 4), [0.5, 0, 1, 1]), "mask must be 0 or 1"),
        ((samples(2, 4), samples(2, 4), None, "huber"), "kind must be one of"),
    ],
)
def test_bad_reconstructions_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        reconstruction_error(*arguments)


def test_cross_entropy_agrees_with_keras():
    x, copy = samples(20, 4, 3), samples(20, 4, 3, seed=1)
    copy[:3] = np.round(copy[:3])  # saturated outputs
    x[5] = np.round(x[5])
    loss = keras.losses.BinaryCrossentropy(reduction=None)
    theirs = keras.ops.convert_to_numpy(loss(x, copy)).mean(axis=1)
    np.testing.assert_allclose(binary_cross_entropy(x, copy), theirs, rtol=1e-5)


def test_cross_entropy_floor_is_what_a_perfect_copy_costs():
    x = samples(50, 6)
    assert cross_entropy_floor(x) == pytest.approx(binary_cross_entropy(x, x).mean(), rel=1e-5)
    assert binary_cross_entropy(x, np.clip(x + 0.01, 0, 1)).mean() > cross_entropy_floor(x)
    assert cross_entropy_floor(np.round(x)) == 0
    assert cross_entropy_floor(np.full((2, 2), 0.5)) == pytest.approx(np.log(2))


@pytest.mark.parametrize(
    ("x", "copy", "message"),
    [
        (samples(2, 4) + 1, samples(2, 4), "x must lie in"),
        (samples(2, 4), samples(2, 4) - 1, "reconstruction must lie in"),
        (samples(2, 4), samples(2, 3), "must match value for value"),
    ],
)
def test_cross_entropy_needs_fractions(x, copy, message):
    with pytest.raises(ValueError, match=message):
        binary_cross_entropy(x, copy)


def test_cross_entropy_floor_needs_fractions():
    with pytest.raises(ValueError, match="divide by 255"):
        cross_entropy_floor(samples(2, 4) * 255)


# Running networks


def test_predictions_do_not_depend_on_the_batch_size(keras_autoencoder):
    x = samples(25, 5, 2)
    whole = predict_in_batches(keras_autoencoder, x)
    assert whole.shape == (25, 5, 2)
    assert whole.dtype == np.float32
    np.testing.assert_allclose(predict_in_batches(keras_autoencoder, x, 4), whole, atol=1e-6)
    np.testing.assert_allclose(keras_autoencoder.predict(x, verbose=0), whole, atol=1e-6)


def test_prediction_is_in_inference_mode():
    x = samples(8, 3)
    model = keras.Sequential([keras.Input((3,)), layers.Dropout(0.9), layers.GaussianNoise(0.9)])
    np.testing.assert_array_equal(predict_in_batches(model, x), x)


def test_several_outputs_and_plain_functions():
    x = samples(10, 3)
    doubled, summed = predict_in_batches(lambda batch: (2 * batch, batch.sum(axis=1)), x, batch_size=3)
    np.testing.assert_array_equal(doubled, 2 * x)
    np.testing.assert_allclose(summed, x.sum(axis=1))
    seen = []
    predict_in_batches(lambda batch: seen.append(batch.dtype) or batch, x.astype(np.float64))
    assert seen == [np.float32]


def test_bad_predictions_are_refused():
    with pytest.raises(ValueError, match="training has diverged"):
        predict_in_batches(lambda batch: batch * np.nan, samples(3, 2))
    with pytest.raises(ValueError, match="batch_size"):
        predict_in_batches(lambda batch: batch, samples(3, 2), batch_size=0)


def test_activations_of_a_sequential_encoder(keras_autoencoder):
    encoder = keras_autoencoder.get_layer("encoder")
    x = samples(4, 5, 2)
    hidden, code = predict_in_batches(encoder_activations(encoder), x)
    weights = [w.numpy() for w in encoder.weights]
    expected = np.maximum(x.reshape(4, 10) @ weights[0] + weights[1], 0)
    np.testing.assert_allclose(hidden, expected, atol=1e-6)
    np.testing.assert_allclose(code, np.maximum(expected @ weights[2] + weights[3], 0), atol=1e-6)


def test_a_stage_includes_what_follows_its_layer():
    image = keras.Input((8, 8, 1))
    x = layers.Conv2D(4, 3, padding="same")(image)
    x = layers.BatchNormalization()(x)
    x = layers.ReLU()(x)
    x = layers.MaxPooling2D(name="pooled")(x)
    skip = layers.Conv2D(4, 3, padding="same", activation="relu", name="second")(x)
    x = layers.Add(name="sum")([x, skip])
    encoder = keras.Model(image, layers.Dense(3)(layers.Flatten()(x)), name="encoder")
    activations = encoder_activations(encoder)
    assert [output.shape[1:] for output in activations.outputs] == [(4, 4, 4), (64,), (3,)]
    # Weights are shared: training the encoder later changes the activations too.
    encoder.layers[-1].bias.assign([1.0, 2.0, 3.0])
    x = samples(5, 8, 8, 1)
    np.testing.assert_allclose(
        predict_in_batches(activations, x)[-1], predict_in_batches(encoder, x), atol=1e-6
    )


@pytest.mark.parametrize("kind", ["sequential", "functional"])
def test_layers_may_come_from_another_model(kind):
    whole = keras.Sequential([keras.Input((6,)), layers.Dense(4), layers.Dense(2), layers.Dense(6)])
    if kind == "sequential":
        encoder = keras.Sequential([keras.Input((6,)), *whole.layers[:2]])
    else:
        start = keras.Input((6,))
        encoder = keras.Model(start, whole.layers[1](whole.layers[0](start)))
    x = samples(5, 6)
    first, code = predict_in_batches(encoder_activations(encoder), x)
    assert first.shape == (5, 4)
    np.testing.assert_allclose(code, predict_in_batches(encoder, x), atol=1e-6)


def test_encoders_that_cannot_be_listed_are_refused():
    class Own(keras.Model):
        def call(self, x):
            return x

    for encoder in (Own(), keras.Sequential([layers.Dense(2)]), lambda x: x):
        with pytest.raises(ValueError, match="activations of this encoder cannot be listed"):
            encoder_activations(encoder)
    with pytest.raises(ValueError, match="no layer with weights"):
        encoder_activations(
            keras.Sequential([keras.Input((4,)), layers.Flatten(), layers.BatchNormalization()])
        )


# Thresholds


def test_threshold_is_the_kth_smallest_score():
    # n = 19, rate 0.05: k = 0.95 * 20 = 19, the largest. In binary arithmetic 0.95 * 20 may exceed 19.
    threshold = ConformalThreshold(0.05).fit(np.arange(19)[::-1])
    assert threshold.rank_ == 19
    assert threshold.threshold_ == 18
    assert threshold.expected_rate_ == pytest.approx(0.05)
    # n = 30, rate 0.1: k = ceil(27.9) = 28.
    threshold = ConformalThreshold(0.1).fit(np.arange(1, 31))
    assert threshold.threshold_ == 28
    assert threshold.expected_rate_ == pytest.approx(3 / 31)


@pytest.mark.parametrize("percent", range(1, 100))
def test_decimal_rates_lose_no_rank(percent):
    for n in (99, 199, 999):
        threshold = ConformalThreshold(percent / 100).fit(np.arange(n))
        assert threshold.rank_ == (100 - percent) * (n + 1) // 100


def test_too_few_scores_say_how_many_are_needed():
    with pytest.raises(ValueError, match=r"98 held-out normal scores are too few .* at least 99 are needed"):
        ConformalThreshold(0.01).fit(np.arange(98))
    assert ConformalThreshold(0.01).fit(np.arange(99)).threshold_ == 98


def test_ties_with_the_threshold_raise_no_alarm():
    threshold = ConformalThreshold(0.5).fit([1, 2, 2, 2, 3])
    np.testing.assert_array_equal(threshold.predict([1, 2, 2.001, 3]), [False, False, True, True])


def test_p_values_by_hand():
    threshold = ConformalThreshold(0.5).fit([1, 2, 2, 4])
    np.testing.assert_allclose(threshold.p_values([0, 1, 2, 3, 4, 5]), [1, 1, 4 / 5, 2 / 5, 2 / 5, 1 / 5])


@settings(deadline=None)
@given(
    st.lists(st.integers(-5, 5), min_size=1, max_size=60),
    st.lists(st.integers(-6, 6), min_size=1, max_size=20),
    st.sampled_from([0.5, 0.25, 0.1, 0.05, 1 / 3]),
)
def test_alarms_are_the_small_p_values(held_out, new, rate):
    if (len(held_out) + 1) * rate < 1:
        with pytest.raises(ValueError, match="too few"):
            ConformalThreshold(rate).fit(held_out)
        return
    threshold = ConformalThreshold(rate).fit(held_out)
    np.testing.assert_array_equal(threshold.predict(new), threshold.p_values(new) <= rate)


def test_false_alarm_rates_follow_the_stated_distribution():
    # For uniform scores the false-alarm rate of a threshold t is exactly 1 - t.
    generator = np.random.default_rng(0)
    thresholds = [ConformalThreshold(0.1).fit(s).threshold_ for s in generator.random((3000, 44))]
    rates = 1 - np.array(thresholds)
    # k = ceil(0.9 * 45) = 41
    assert stats.kstest(rates, stats.beta(4, 41).cdf).pvalue > 0.01
    assert rates.mean() == pytest.approx(4 / 45, abs=3 * rates.std() / np.sqrt(3000))
    assert rates.mean() <= 0.1


@pytest.mark.parametrize(
    ("n_held_out", "n_new", "rate"), [(200, 300, 0.05), (50, 1000, 0.1), (99, 100, 0.01)]
)
def test_the_band_holds_as_often_as_it_says(n_held_out, n_new, rate):
    generator = np.random.default_rng(1)
    achieved = []
    for _ in range(2000):
        threshold = ConformalThreshold(rate).fit(generator.random(n_held_out))
        achieved.append(threshold.predict(generator.random(n_new)).mean())
    # The band depends on the numbers of samples only.
    low, high = threshold.band(n_new)
    achieved = np.array(achieved)
    # At least 95 %, within four standard errors; counts are whole numbers, so it may be a little more.
    assert 0.95 - 0.02 <= np.mean((low <= achieved) & (achieved <= high)) <= 0.99
    assert np.mean(achieved < low) <= 0.025 + 0.015
    assert np.mean(achieved > high) <= 0.025 + 0.015


def test_a_narrower_band_for_less_confidence_and_more_samples():
    threshold = ConformalThreshold(0.05).fit(samples(1, 5000)[0])
    low, high = threshold.band(1000)
    narrow = threshold.band(1000, confidence=0.5)
    assert low < narrow[0] < threshold.expected_rate_ < narrow[1] < high
    assert threshold.band(100_000)[1] < high
    for arguments in ((0,), (10, 1.5)):
        with pytest.raises(ValueError, match="must be"):
            threshold.band(*arguments)


@pytest.mark.parametrize("rate", [0, 1, 5, -0.1, None])
def test_bad_rates_are_refused(rate):
    with pytest.raises(ValueError, match="false_alarm_rate must be a fraction"):
        ConformalThreshold(rate).fit([1, 2, 3])


def test_a_threshold_must_be_set_first():
    for use in (lambda t: t.predict([1]), lambda t: t.p_values([1]), lambda t: t.band(10)):
        with pytest.raises(NotFittedError, match="call fit with scores of held-out normal samples"):
            use(ConformalThreshold())
    with pytest.raises(ValueError, match="NaN"):
        ConformalThreshold(0.5).fit([1, np.nan])


# What all detectors have in common

CURVED = CurvedAutoencoder()
DETECTORS = {
    "reconstruction": ReconstructionDetector(CURVED),
    "mahalanobis of codes": LatentMahalanobis(CURVED.encode),
    "neighbours of codes": LatentNeighbours(CURVED.encode),
    "sap": PathwayScore(CURVED, activations=CURVED.activations),
    "nap": PathwayScore(CURVED, "nap", activations=CURVED.activations),
    "pca": PCADetector(2),
    "mahalanobis": MahalanobisDetector(3),
    "neighbours": NeighbourDetector(),
    "scikit-learn": SklearnDetector(IsolationForest(random_state=0)),
    "sum": CalibratedSum([PCADetector(2), NeighbourDetector()]),
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
    np.testing.assert_allclose(detector.score_samples(new), -scores)
    assert detector.threshold_ == np.sort(detector.anomaly_score(held_out))[89]
    assert detector.conformal_.rank_ == 90
    np.testing.assert_allclose(detector.decision_function(new), detector.threshold_ - scores)
    prediction = detector.predict(new)
    np.testing.assert_array_equal(prediction, np.where(scores > detector.threshold_, -1, 1))
    # One of the held-out samples is exactly at the threshold, and nine are above.
    assert (detector.predict(held_out) == -1).sum() == 9
    assert detector.n_features_in_ == 6


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
        with pytest.raises(NotFittedError, match="has no threshold; call calibrate"):
            use(x)


def test_a_new_fit_forgets_the_threshold(detector):
    x = samples(120, 6)
    detector.fit(x).calibrate(samples(50, 6, seed=1))
    detector.fit(x)
    with pytest.raises(NotFittedError, match="call calibrate"):
        detector.predict(x)
    with pytest.raises(ValueError, match="NaN"):
        detector.fit(x * np.nan)


@pytest.mark.parametrize(
    ("x", "message"),
    [
        (np.full((9, 6), np.nan), "NaN"),
        (np.empty((0, 6)), "empty"),
        (np.zeros(6), "needs shape"),
        (np.full((9, 6), 255, np.uint8), "divide by 255"),
    ],
)
def test_bad_samples_are_refused(detector, x, message):
    with pytest.raises(ValueError, match=message):
        detector.fit(x)
    detector.fit(samples(120, 6))
    for use in (detector.anomaly_score, detector.calibrate):
        with pytest.raises(ValueError, match=message):
            use(x)


def test_samples_keep_their_shape(detector):
    detector.fit(samples(120, 6))
    with pytest.raises(ValueError, match=r"x holds samples of shape \(5,\), but \(6,\) is expected"):
        detector.anomaly_score(samples(9, 5))


def test_parameters_can_be_read_set_and_cloned(detector):
    detector.fit(samples(120, 6))
    copy = clone(detector)
    assert type(copy) is type(detector)
    assert copy.get_params(deep=False).keys() == detector.get_params(deep=False).keys()
    assert not hasattr(copy, "sample_shape_")
    copy.set_params(**dict.fromkeys(copy.get_params(deep=False)))
    assert set(copy.get_params(deep=False).values()) == {None}
    np.testing.assert_array_equal(
        clone(detector).fit(samples(120, 6)).anomaly_score(samples(9, 6, seed=1)),
        detector.anomaly_score(samples(9, 6, seed=1)),
    )


@pytest.mark.parametrize("name", ["pca", "mahalanobis", "neighbours", "scikit-learn", "sum"])
def test_classical_detectors_flatten_samples(name):
    flat, image = clone(DETECTORS[name]), clone(DETECTORS[name])
    x, new = samples(120, 6), samples(20, 6, seed=1)
    flat.fit(x)
    image.fit(x.reshape(-1, 2, 3, 1))
    assert image.sample_shape_ == (2, 3, 1)
    np.testing.assert_array_equal(image.anomaly_score(new.reshape(-1, 2, 3, 1)), flat.anomaly_score(new))


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
        scores = ReconstructionDetector(keras_autoencoder, kind).fit(x).anomaly_score(x)
        np.testing.assert_allclose(scores, reconstruction_error(x, copy, kind=kind), rtol=1e-5)


@pytest.mark.parametrize(
    ("detector_", "message"),
    [
        (ReconstructionDetector(CURVED, "huber"), "kind must be one of"),
        (ReconstructionDetector(lambda x: x[:, :3]), "the reconstruction has"),
        (ReconstructionDetector(lambda x: [x, x]), "gives 2 outputs"),
        (LatentMahalanobis(lambda x: [x, x]), "encoder gives 2 outputs"),
        (LatentNeighbours(CURVED.encode, 0), "n_neighbours must be a whole number from 1 to 20"),
        (NeighbourDetector(21), "n_neighbours must be a whole number from 1 to 20"),
        (PCADetector(7), r"n_components must be a whole number from 1 to 6 for data of shape \(20, 6\)"),
        (MahalanobisDetector(0), "n_components"),
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
        (SklearnDetector(StandardScaler()), "give an outlier detector"),
        (SklearnDetector(LocalOutlierFactor()), r"LocalOutlierFactor\(novelty=True\)"),
        (CalibratedSum([]), "number of detectors"),
        (CalibratedSum([PCADetector(2)], scale="rank"), "scale must be one of"),
        (CalibratedSum([PCADetector(2)], held_out_fraction=1.0), "held_out_fraction"),
        (CalibratedSum([PCADetector(2)], held_out_fraction=0.99), "left to fit on"),
        (CalibratedSum([SklearnDetector(OneClassSVM())]), "take scale='linear'"),
    ],
)
def test_bad_settings_are_refused(detector_, message):
    with pytest.raises(ValueError, match=message):
        detector_.fit(samples(20, 6))
    with pytest.raises(NotFittedError, match="not fitted"):
        detector_.anomaly_score(samples(20, 6))


def test_latent_mahalanobis_agrees_with_scipy():
    x, new = samples(300, 6), samples(20, 6, seed=1)
    detector = LatentMahalanobis(CURVED.encode).fit(x)
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
    assert np.isfinite(LatentMahalanobis(encode).fit(x).anomaly_score(samples(9, 6, seed=1))).all()
    with pytest.raises(ValueError, match="number of normal samples must be a whole number at least 2"):
        LatentMahalanobis(encode).fit(x[:1])


def test_latent_neighbours_agree_with_scikit_learn():
    x, new = samples(300, 6), samples(20, 6, seed=1)
    reference = NearestNeighbors(n_neighbors=3).fit(CURVED.encode(x))
    np.testing.assert_allclose(
        LatentNeighbours(CURVED.encode, 3).fit(x).anomaly_score(new),
        reference.kneighbors(CURVED.encode(new))[0].mean(axis=1),
        rtol=1e-4,
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
    detector = PathwayScore(CURVED, "sap", start_layer, activations=CURVED.activations).fit(x)
    expected = [np.sum(d**2) for d in plain_differences(CURVED, x, start_layer)]
    np.testing.assert_allclose(detector.anomaly_score(x), expected, rtol=1e-4)


@pytest.mark.parametrize("start_layer", [0, 1, 2])
@pytest.mark.parametrize("n_normal", [300, 14])
def test_nap_agrees_with_a_plain_loop(start_layer, n_normal):
    x, new = samples(n_normal, 6), samples(20, 6, seed=1)
    detector = PathwayScore(CURVED, "nap", start_layer, activations=CURVED.activations).fit(x)
    training = plain_differences(CURVED, x, start_layer)
    mean = training.mean(axis=0)
    _, s, vt = np.linalg.svd(training - mean, full_matrices=False)
    expected = [np.sum(((d - mean) @ vt.T / s) ** 2) for d in plain_differences(CURVED, new, start_layer)]
    assert detector.rank_ == len(s)
    np.testing.assert_allclose(detector.anomaly_score(new), expected, rtol=2e-2)


def test_nap_is_the_squared_mahalanobis_distance():
    x, new = samples(300, 6), samples(20, 6, seed=1)
    detector = PathwayScore(CURVED, "nap", 1, activations=CURVED.activations).fit(x)
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
    plain = PathwayScore(CURVED, "nap", 2, activations=CURVED.activations).fit(x)
    mixed = PathwayScore(
        CURVED, "nap", 1, activations=lambda batch: [CURVED.encode(batch) @ mixing * 40]
    ).fit(x)
    np.testing.assert_allclose(mixed.anomaly_score(new), plain.anomaly_score(new), rtol=1e-3)


def test_a_linear_autoencoder_is_known():
    network = LinearAutoencoder()
    x = samples(200, 6)
    error = reconstruction_error(x, network(x)) * 6
    for start_layer, expected in ((0, error), (1, np.zeros(200))):
        # The code of the copy is the code of the sample, so only the input counts.
        sap = PathwayScore(network, "sap", start_layer, activations=network.activations).fit(x)
        np.testing.assert_allclose(sap.anomaly_score(x), expected, rtol=1e-4, atol=1e-9)
    # d lies in the four directions that the code leaves out; the others hold rounding errors only.
    nap = PathwayScore(network, "nap", activations=network.activations).fit(x)
    assert nap.rank_ == 4
    left_out = x @ np.linalg.svd(network.weights, full_matrices=True)[0][:, 2:]
    expected = cdist(
        left_out, left_out.mean(axis=0)[np.newaxis], "mahalanobis", VI=np.linalg.inv(np.cov(left_out.T))
    )[:, 0]
    np.testing.assert_allclose(nap.anomaly_score(x) * 199, expected**2, rtol=1e-3)


def test_nap_ignores_repeated_stages():
    x, new = samples(300, 6), samples(20, 6, seed=1)
    once = PathwayScore(CURVED, "nap", activations=CURVED.activations).fit(x)
    twice = PathwayScore(CURVED, "nap", activations=lambda b: CURVED.activations(b) * 2).fit(x)
    assert twice.rank_ == once.rank_
    np.testing.assert_allclose(twice.anomaly_score(new), once.anomaly_score(new), rtol=1e-2)


def test_nap_needs_variation():
    with pytest.raises(ValueError, match="All normal samples have the same reconstruction error"):
        PathwayScore(lambda x: x, "nap", activations=lambda x: [x]).fit(samples(20, 6))
    with pytest.raises(ValueError, match="All normal samples have the same reconstruction error"):
        PathwayScore(lambda x: 0 * x, "nap", activations=lambda x: [x]).fit(np.full((20, 6), 0.3))
    with pytest.raises(ValueError, match="number of normal samples"):
        PathwayScore(CURVED, "nap", activations=CURVED.activations).fit(samples(1, 6))


def test_nap_refuses_what_does_not_fit_in_memory():
    wide = PathwayScore(lambda x: x * 0.5, "nap", activations=lambda x: [x[:, :3]])
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
    detector = PathwayScore(keras_autoencoder).fit(x)
    np.testing.assert_allclose(detector.anomaly_score(x), expected, rtol=1e-4)
    assert PathwayScore(keras_autoencoder, "nap").fit(x).anomaly_score(x).shape == (4500,)


def test_one_stage_is_enough():
    x = samples(20, 6)
    encoder = keras.Sequential([keras.Input((6,)), layers.Dense(2)], name="encoder")
    network = keras.Sequential([keras.Input((6,)), encoder, layers.Dense(6)])
    assert PathwayScore(network, start_layer=1).fit(x).anomaly_score(x).shape == (20,)


def test_an_autoencoder_without_an_encoder_is_refused():
    network = keras.Sequential([keras.Input((6,)), layers.Dense(6)])
    with pytest.raises(ValueError, match="no sub-model named 'encoder'"):
        PathwayScore(network).fit(samples(20, 6))


# Classical detectors


@pytest.mark.parametrize("n_normal", [300, 5])
def test_pca_detector_agrees_with_scikit_learn(n_normal):
    x, new = samples(n_normal, 6), samples(20, 6, seed=1)
    reference = PCA(2, svd_solver="full").fit(x.astype(np.float64))
    expected = np.mean((new - reference.inverse_transform(reference.transform(new))) ** 2, axis=1)
    np.testing.assert_allclose(PCADetector(2).fit(x).anomaly_score(new), expected, rtol=1e-4)


def test_pca_is_the_best_linear_autoencoder():
    x = samples(300, 6) - 0.5
    network = LinearAutoencoder()
    pca = PCADetector(2).fit(x).anomaly_score(x).mean()
    assert pca < ReconstructionDetector(network).fit(x).anomaly_score(x).mean()


def test_mahalanobis_detector_agrees_with_scipy():
    x, new = samples(300, 6), samples(20, 6, seed=1)
    centre = x.mean(axis=0)[np.newaxis]
    inverse = np.linalg.inv(np.cov(x.T))
    np.testing.assert_allclose(
        MahalanobisDetector(6).fit(x).anomaly_score(new),
        cdist(new, centre, "mahalanobis", VI=inverse)[:, 0],
        rtol=1e-4,
    )
    pca = PCA(3).fit(x)
    np.testing.assert_allclose(
        MahalanobisDetector(3).fit(x).anomaly_score(new),
        cdist(pca.transform(new), np.zeros((1, 3)), "seuclidean", V=pca.explained_variance_)[:, 0],
        rtol=1e-3,
    )


def test_mahalanobis_needs_varied_samples():
    flat = np.column_stack([samples(50, 3), np.zeros((50, 3))])
    with pytest.raises(ValueError, match="vary in 3 directions only; set n_components to 3 or less"):
        MahalanobisDetector(4).fit(flat)
    MahalanobisDetector(3).fit(flat)
    with pytest.raises(ValueError, match="All normal samples are the same"):
        MahalanobisDetector(2).fit(np.full((50, 6), 0.3))


@pytest.mark.parametrize("n_points", [5, 40, 1279, 1281, 3001])
@pytest.mark.parametrize("offset", [0, 50])
def test_neighbour_distances_agree_with_scikit_learn(n_points, offset):
    points, queries = samples(n_points, 9) + offset, samples(1100, 9, seed=1) + offset
    queries[:3] = points[:3]
    expected, _ = (
        NearestNeighbors(n_neighbors=5, algorithm="brute").fit(points.astype(float)).kneighbors(queries)
    )
    ours = NeighbourDetector().fit(points).anomaly_score(queries)
    np.testing.assert_allclose(ours, expected.mean(axis=1), rtol=1e-4)


def test_neighbours_in_one_group_are_all_found():
    # The nearest five points all lie in one group, then each in another.
    far = np.full((6400, 2), 9.0) + samples(6400, 2)
    for step in (1, 64, 100):
        points = far.copy()
        points[: 5 * step : step] = samples(5, 2, seed=1)
        expected = np.linalg.norm(points[: 5 * step : step], axis=1).mean()
        assert NeighbourDetector().fit(points).anomaly_score([[0.0, 0.0]])[0] == pytest.approx(
            expected, rel=1e-5
        )


def test_a_training_sample_is_its_own_neighbour():
    x = samples(2000, 9)
    np.testing.assert_array_equal(NeighbourDetector(1).fit(x).anomaly_score(x), 0)


@pytest.mark.parametrize(
    "estimator", [IsolationForest(random_state=0), OneClassSVM(), LocalOutlierFactor(novelty=True)]
)
def test_scikit_learn_detectors_change_sign(estimator):
    x, new = samples(200, 6), np.vstack([samples(20, 6, seed=1), np.full((1, 6), 5.0)])
    detector = SklearnDetector(estimator).fit(x)
    np.testing.assert_allclose(detector.anomaly_score(new), -clone(estimator).fit(x).score_samples(new))
    assert detector.anomaly_score(new).argmax() == 20
    assert not hasattr(estimator, "offset_")


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


def test_calibrated_sum_uses_held_out_samples_for_its_scale():
    x, held_out, new = samples(100, 6), samples(40, 6, seed=1), samples(9, 6, seed=2)
    parts = [PCADetector(2), NeighbourDetector(3)]
    combined = CalibratedSum(parts).fit(x, x_held_out_normal=held_out)
    fitted = [clone(part).fit(x) for part in parts]
    expected = combine_scores(
        [part.anomaly_score(new) for part in fitted], [part.anomaly_score(held_out) for part in fitted]
    )
    np.testing.assert_allclose(combined.anomaly_score(new), expected)
    # The parts that were handed in stay unfitted.
    assert not hasattr(parts[0], "sample_shape_")


def test_calibrated_sum_splits_off_its_own_samples():
    x = samples(100, 6)
    combined = CalibratedSum([NeighbourDetector(1)], held_out_fraction=0.3).fit(x)
    # Samples that fitted the part are their own neighbours; those held out are not.
    own = combined.detectors_[0].anomaly_score(x)
    assert (own == 0).sum() == 70
    again = CalibratedSum([NeighbourDetector(1)], held_out_fraction=0.3).fit(x)
    np.testing.assert_array_equal(again.anomaly_score(x), combined.anomaly_score(x))
    other = CalibratedSum([NeighbourDetector(1)], held_out_fraction=0.3, seed=1).fit(x)
    assert not np.array_equal(other.anomaly_score(x), combined.anomaly_score(x))


def test_scoring_knows_nothing_of_labels():
    assert not hasattr(scoring, "evaluation")
    x = samples(50, 6)
    labels = np.arange(50) % 2
    np.testing.assert_array_equal(
        PCADetector(2).fit(x, labels).anomaly_score(x), PCADetector(2).fit(x).anomaly_score(x)
    )
