"""The linear probe over a grid of scalings and penalties: against scikit-learn, and known choices."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.datasets import load_digits
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler
from threadpoolctl import threadpool_limits

from dae_utils.evaluation import tuned_linear_probe
from dae_utils.evaluation.probes import PENALTIES, SCALINGS
from dae_utils.probes import fit_linear_probe


@pytest.fixture(scope="module")
def digits():
    x, y = load_digits(return_X_y=True)
    return x[:1000] / 16, y[:1000], x[1000:1400] / 16, y[1000:1400], x[1400:] / 16, y[1400:]


def log_chances(scores):
    """Decision values without the sum that the classes may have in common."""
    return scores - scores.mean(axis=1, keepdims=True)


def scaled(scaling, train, test):
    """Return both under a scaling, by scikit-learn or by hand."""
    if scaling == "standardised":
        scaler = StandardScaler().fit(train)
        return scaler.transform(train), scaler.transform(test)
    scale = np.sqrt(train.var(axis=0).mean()) if scaling == "one scale" else 1.0
    return train / scale, test / scale


@pytest.mark.parametrize("scaling", SCALINGS)
@pytest.mark.parametrize("penalty", [0.5, 30.0])
@pytest.mark.parametrize(("n_classes", "n_samples"), [(10, 1000), (2, 1000), (10, 40)])
def test_each_fit_is_scikit_learns_optimum(digits, scaling, penalty, n_classes, n_samples):
    x, y, x_validation, y_validation, x_test, y_test = digits
    x_test = x_test[y_test < n_classes]
    rows = np.flatnonzero(y < n_classes)[:n_samples]
    probe = tuned_linear_probe(
        x[rows],
        y[rows],
        x_validation,
        y_validation,
        scalings=[scaling],
        penalties=[penalty],
        max_widenings=0,
        max_steps=2000,
    )
    fit_on, asked = scaled(scaling, x[rows], x_test)
    with threadpool_limits(1):
        reference = LogisticRegression(C=1 / penalty, max_iter=3000, tol=1e-8).fit(fit_on, y[rows])
    expected = reference.predict_proba(asked)
    found = log_chances(probe.decision_function(x_test))
    chances = np.exp(found) / np.exp(found).sum(axis=1, keepdims=True)
    np.testing.assert_allclose(chances, expected, atol=0.01)
    assert (probe.predict(x_test) == reference.predict(asked)).mean() > 0.99


@pytest.mark.filterwarnings("ignore:the best penalty")
def test_the_choice_is_the_best_of_the_whole_grid(digits):
    _, _, x_validation, y_validation, x_test, y_test = digits
    probe = tuned_linear_probe(*digits[:4])
    tried = {(point.scaling, point.penalty) for point in probe.grid}
    assert {(scaling, penalty) for scaling in SCALINGS for penalty in PENALTIES} <= tried
    assert probe.validation_accuracy == max(point.accuracy for point in probe.grid)
    assert probe.validation_accuracy == pytest.approx((probe.predict(x_validation) == y_validation).mean())
    assert probe.table().loc[probe.scaling, probe.penalty] == probe.validation_accuracy
    score = probe.score(x_test, y_test)
    assert score.low < score.value < score.high
    assert score.value == pytest.approx(probe.is_right(x_test, y_test).mean())
    by_group = probe.score(x_test, y_test, groups=np.arange(len(y_test)) % 7)
    assert by_group.value == pytest.approx(score.value)


def noisy_pixels(seed: int = 0):
    """Three classes told by strong features, among others that hardly vary until noise is added to all."""
    generator = np.random.default_rng(seed)
    y = generator.integers(3, size=1200)
    strong = 0.5 * np.eye(3)[y] + 0.25 * generator.normal(size=(1200, 3))
    weak = 0.002 * generator.normal(size=(1200, 60)) + 0.002 * np.eye(3)[y] @ generator.normal(size=(3, 60))
    x = np.hstack([strong, weak])
    return x, y, x + 0.2 * generator.normal(size=x.shape)


@pytest.mark.filterwarnings("ignore:the best penalty")
def test_standardised_features_collapse_under_noise_and_tuned_ones_do_not():
    x, y, noisy = noisy_pixels()
    fit, validation, test = slice(400), slice(400, 800), slice(800, None)
    old = fit_linear_probe(x[fit], y[fit])
    both = np.concatenate([x[validation], noisy[validation]])
    tuned = tuned_linear_probe(x[fit], y[fit], both, np.tile(y[validation], 2))
    assert old.score(noisy[test], y[test]) < 0.5
    assert tuned.score(noisy[test], y[test]).low > 0.6
    assert tuned.scaling != "standardised"


def test_the_grid_grows_until_the_best_lies_inside(digits):
    x, y, x_validation, y_validation = digits[:4]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        probe = tuned_linear_probe(
            x,
            y,
            x_validation,
            y_validation,
            scalings=["none"],
            penalties=[1e-4, 1e-3],
            max_widenings=8,
            max_steps=2000,
        )
    penalties = sorted(point.penalty for point in probe.grid)
    assert penalties[0] < probe.penalty < penalties[-1]
    assert not probe.edge


@pytest.mark.parametrize("penalties", [[1e5, 1e6], [1e-4, 1e-3]])
def test_a_best_value_at_an_end_of_the_grid_is_said(digits, penalties):
    x, y, x_validation, y_validation = digits[:4]
    with pytest.warns(UserWarning, match="at an end of its grid"):
        probe = tuned_linear_probe(
            x, y, x_validation, y_validation, scalings=["none"], penalties=penalties, max_widenings=1
        )
    assert probe.edge
    assert len(probe.grid) == 3


@pytest.mark.filterwarnings("ignore:the best penalty")
def test_of_equals_the_simpler_scaling_wins_and_then_the_stronger_penalty():
    # Two far clusters: every setting is right about all.
    y = np.arange(40) % 2
    x = np.random.default_rng(0).normal(size=(40, 3)) + 50 * y[:, np.newaxis]
    options = {"penalties": [0.01, 0.1, 1.0], "max_widenings": 0}
    probe = tuned_linear_probe(x, y, x, y, scalings=["standardised", "one scale"], **options)
    assert {point.accuracy for point in probe.grid} == {1.0}
    assert (probe.scaling, probe.penalty) == ("one scale", 1.0)


@pytest.mark.filterwarnings("ignore:the best penalty")
@pytest.mark.parametrize("with_validation", [True, False])
def test_a_solver_that_did_not_settle_is_said_once(digits, with_validation):
    parts = digits[:4] if with_validation else digits[:2]
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", ConvergenceWarning)
        tuned_linear_probe(*parts, max_steps=1)
    told = [one for one in caught if issubclass(one.category, ConvergenceWarning)]
    assert len(told) == 1
    assert "within 1 steps" in str(told[0].message)
    assert told[0].filename == __file__


@pytest.mark.filterwarnings("ignore:the best penalty")
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_the_usual_number_of_steps_settles(digits, dtype):
    x, y, x_validation, y_validation = digits[:4]
    with warnings.catch_warnings():
        warnings.simplefilter("error", ConvergenceWarning)
        tuned_linear_probe(x.astype(dtype), y, x_validation.astype(dtype), y_validation)


def test_without_validation_data_a_share_is_held_out_and_all_is_fitted(digits):
    x, y, _, _, x_test, y_test = digits
    probe = tuned_linear_probe(x, y, scalings=["none"])
    expected = tuned_linear_probe(
        x, y, x_test, y_test, scalings=["none"], penalties=[probe.penalty], max_widenings=0
    )
    np.testing.assert_allclose(
        log_chances(probe.decision_function(x_test)),
        log_chances(expected.decision_function(x_test)),
        atol=0.02,
    )


def test_held_out_groups_are_whole():
    # Each person has a mark of their own and a random label: only who is seen in training can be guessed.
    generator = np.random.default_rng(0)
    people = np.repeat(np.arange(60), 10)
    y = generator.integers(2, size=60)[people]
    x = np.eye(60)[people] + 0.01 * generator.normal(size=(600, 60))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        assert tuned_linear_probe(x, y, scalings=["none"]).validation_accuracy > 0.95
        assert tuned_linear_probe(x, y, scalings=["none"], groups=people).validation_accuracy < 0.85


@settings(deadline=None, max_examples=15)
@given(factor=st.sampled_from([1e-3, 0.1, 7.0, 1e3]), offset=st.sampled_from([0.0, 100.0]))
def test_with_one_scale_neither_unit_nor_origin_matters(factor, offset):
    x, y, _ = noisy_pixels(1)
    options = {"scalings": ["one scale"], "penalties": [1.0], "max_widenings": 0}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        here = tuned_linear_probe(x[:300], y[:300], x[300:], y[300:], **options)
        moved = x * factor + offset * factor
        there = tuned_linear_probe(moved[:300], y[:300], moved[300:], y[300:], **options)
    np.testing.assert_allclose(
        here.decision_function(x[300:]), there.decision_function(moved[300:]), atol=0.02
    )


def test_constant_features_change_nothing(digits):
    x, y, x_validation, y_validation, x_test, _ = (np.float32(a) if a.ndim == 2 else a for a in digits)
    options = {"scalings": ["standardised"], "penalties": [1.0], "max_widenings": 0}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        plain = tuned_linear_probe(x, y, x_validation, y_validation, **options)
        padded = [np.hstack([part, np.full((len(part), 2), 0.3, np.float32)]) for part in (x, x_validation)]
        with_constants = tuned_linear_probe(padded[0], y, padded[1], y_validation, **options)
    changed = np.hstack([x_test, np.full((len(x_test), 2), 0.4, np.float32)])
    assert (with_constants.predict(changed) == plain.predict(x_test)).mean() > 0.99


def test_a_class_that_training_did_not_show_counts_as_wrong():
    x = np.repeat(np.eye(3), 20, axis=0)
    y = np.repeat(np.arange(3), 20)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        probe = tuned_linear_probe(x[:40], y[:40], x, y)
    assert probe.validation_accuracy == pytest.approx(2 / 3)


GOOD = (np.eye(12), np.arange(12) % 2, np.eye(12)[:3], np.array([0, 1, 0]))


@pytest.mark.parametrize(
    ("arguments", "options", "message"),
    [
        (GOOD, {"scalings": ["whitened"]}, "scalings"),
        (GOOD, {"penalties": [1, 0]}, "penalty must be positive"),
        (GOOD, {"penalties": []}, "not be empty"),
        (GOOD, {"max_widenings": -1}, "max_widenings"),
        (GOOD, {"max_steps": 0}, "max_steps"),
        (GOOD, {"groups": np.arange(12)}, "no groups"),
        (GOOD[:3], {}, "needs validation_labels"),
        (GOOD[:2], {"held_out": 1.5}, "held_out"),
        (GOOD[:2], {"groups": np.arange(11)}, "one group for each of 12"),
        (GOOD[:2], {"groups": np.arange(12) % 2}, "holds one class only"),
        ((GOOD[0], np.zeros(12, int)), {}, "one class only"),
        ((GOOD[0], GOOD[1], np.ones((3, 5)), GOOD[3]), {}, "train has 12 features, but validation has 5"),
        ((np.full((12, 12), np.nan), GOOD[1]), {}, "NaN"),
        ((GOOD[0], np.arange(12.0)), {}, "whole numbers"),
    ],
)
def test_what_does_not_go_together_is_refused(arguments, options, message):
    with pytest.raises(ValueError, match=message):
        tuned_linear_probe(*arguments, **options)
