"""The old path `dae_utils.scoring`: signatures, defaults and errors of the first edition.

Its numbers were compared with the old module once; here the ways in which it differs from `detection` count.
"""

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.exceptions import NotFittedError

from dae_utils import detection, scoring
from dae_utils.networks.builders import dense_autoencoder


def samples(n: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).random((n, 40), dtype=np.float32)


NETWORK = dense_autoencoder(40, (), 5)
PAIRS = {
    "reconstruction": (
        scoring.ReconstructionDetector(NETWORK, "absolute"),
        detection.ReconstructionDetector(NETWORK, "absolute"),
    ),
    "pca": (scoring.PCADetector(), detection.PCADetector(32)),
    "neighbours": (scoring.NeighbourDetector(2), detection.NeighbourDetector(2)),
}


@pytest.mark.parametrize("name", PAIRS)
def test_fit_learns_from_all_and_calibrate_takes_the_rate(name):
    x, held_out, new = samples(150), samples(99, 1), samples(50, 2)
    old, native = (clone(detector) for detector in PAIRS[name])
    native.set_params(held_out_share=0).fit(x)
    old.fit(x)
    with pytest.raises(NotFittedError, match="call calibrate"):
        old.predict(new)
    np.testing.assert_array_equal(old.anomaly_score(new), native.anomaly_score(new))
    assert old.calibrate(held_out) is old
    assert old.threshold_ == np.sort(old.anomaly_score(held_out))[94]
    assert old.calibrate(held_out, 0.1).threshold_ == np.sort(old.anomaly_score(held_out))[89]
    assert old.calibrate(held_out, false_alarm_rate=0.5).conformal_.rank_ == 50
    assert old.calibrate(held_out, None).conformal_.rank_ == 95
    np.testing.assert_array_equal(old.predict(new), np.where(old.anomaly_score(new) > old.threshold_, -1, 1))
    assert "held_out_share" not in old.get_params()


@pytest.mark.parametrize("name", PAIRS)
def test_pixels_and_wrong_shapes_are_refused(name):
    old = clone(PAIRS[name][0])
    pixels = np.full((30, 40), 255.0)
    with pytest.raises(ValueError, match=r"x_normal holds whole numbers up to 255.* divide by 255"):
        old.fit(pixels)
    old.fit(samples(150))
    for use in (old.anomaly_score, old.calibrate):
        with pytest.raises(ValueError, match="divide by 255"):
            use(pixels)
        with pytest.raises(ValueError, match=r"samples of shape \(5,\), but \(40,\) is expected"):
            use(samples(20)[:, :5])


def test_too_few_scores_are_an_error():
    with pytest.raises(ValueError, match=r"98 held-out normal scores are too few .* at least 99 are needed"):
        scoring.ConformalThreshold(0.01).fit(np.arange(98))
    assert scoring.ConformalThreshold(0.01).fit(np.arange(99)).threshold_ == 98
    detector = scoring.PCADetector(2).fit(samples(50))
    with pytest.raises(ValueError, match="18 held-out normal scores are too few"):
        detector.calibrate(samples(18, 1), false_alarm_rate=0.05)


def test_the_sum_takes_samples_for_its_scale():
    x, scale, new = samples(100), samples(40, 1), samples(9, 2)
    parts = [scoring.PCADetector(2), scoring.NeighbourDetector(3)]
    combined = scoring.CalibratedSum(parts).fit(x, x_held_out_normal=scale)
    fitted = [clone(part).fit(x) for part in parts]
    expected = detection.combine_scores(
        [part.anomaly_score(new) for part in fitted], [part.anomaly_score(scale) for part in fitted]
    )
    np.testing.assert_allclose(combined.anomaly_score(new), expected)


def test_the_sum_splits_off_its_own_samples_by_its_old_arguments():
    x = samples(100)
    combined = scoring.CalibratedSum([scoring.NeighbourDetector(1)], 0.3, 1, "linear").fit(x)
    held_out = np.random.default_rng(1).permutation(100)[:30]
    own = combined.detectors_[0].anomaly_score(x)
    np.testing.assert_array_equal(np.flatnonzero(own > 0), np.sort(held_out))
    with pytest.raises(ValueError, match="held_out_fraction"):
        scoring.CalibratedSum([scoring.NeighbourDetector(1)], 1.0).fit(x)
    with pytest.raises(ValueError, match="left to fit on"):
        scoring.CalibratedSum([scoring.NeighbourDetector(1)], 0.999).fit(x)


def test_functions_refuse_pixels():
    pixels = np.full((3, 4), 200.0)
    for use in (
        lambda: scoring.reconstruction_error(pixels, pixels),
        lambda: scoring.predict_in_batches(lambda batch: batch, pixels),
    ):
        with pytest.raises(ValueError, match="divide by 255"):
            use()
    x = samples(5)
    np.testing.assert_array_equal(scoring.predict_in_batches(lambda batch: batch, x, batch_size=2), x)
    assert (scoring.reconstruction_error(x, x, kind="absolute") == 0).all()
