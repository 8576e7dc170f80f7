"""The probes of the first edition at their old path: as they were."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.datasets import load_digits
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler

from dae_utils.probes import fit_linear_probe, linear_probe, retrieval


@pytest.fixture(scope="module")
def digits():
    x, y = load_digits(return_X_y=True)
    return x[:1200] / 16, y[:1200], x[1200:] / 16, y[1200:]


def test_the_linear_probe_is_scikit_learns_on_standardised_features(digits):
    x, y, x_test, y_test = digits
    scaler = StandardScaler().fit(x)
    model = LogisticRegression(C=0.5, max_iter=1000).fit(scaler.transform(x), y)
    expected = model.score(scaler.transform(x_test), y_test)
    got = linear_probe(x, y, x_test, y_test, penalty=2.0, most_steps=1000)
    assert got.value == pytest.approx(expected, abs=1e-9)
    assert got.low < got.value < got.high
    # The scale of a feature does not matter.
    scales = np.linspace(0.1, 50, x.shape[1])
    assert linear_probe(x * scales, y, x_test * scales, y_test).value == pytest.approx(
        linear_probe(*digits).value, abs=0.005
    )


def test_a_fitted_probe_can_be_asked_about_other_features(digits):
    x, y, x_test, y_test = digits
    probe = fit_linear_probe(x, y)
    assert probe.score(x_test, y_test) == pytest.approx(linear_probe(*digits).value)
    assert probe.score(np.zeros_like(x_test), y_test) < 0.3
    with pytest.raises(ValueError, match="one class"):
        fit_linear_probe(x, np.zeros_like(y))


@pytest.mark.filterwarnings("error")
def test_a_probe_that_has_not_settled_is_used_without_a_warning(digits):
    x, y, x_test, y_test = digits
    assert fit_linear_probe(x, y, most_steps=3).score(x_test, y_test) > 0.5


def test_features_without_information_are_worth_a_guess():
    generator = np.random.default_rng(0)
    y, y_test = np.arange(1000) % 4, np.arange(2000) % 4
    got = linear_probe(generator.normal(size=(1000, 5)), y, generator.normal(size=(2000, 5)), y_test)
    assert got.low < 0.25 < got.high
    informed = linear_probe(np.eye(4)[y], y, np.eye(4)[y_test], y_test)
    assert informed.value == 1


def test_images_are_made_flat(digits):
    x, y, x_test, y_test = digits
    got = linear_probe(x.reshape(-1, 8, 8), y, x_test.reshape(-1, 8, 8, 1), y_test)
    assert got == linear_probe(*digits)


def test_a_probe_that_has_not_settled_does_not_warn(digits, recwarn):
    linear_probe(*digits, most_steps=2)
    assert not recwarn.list


GOOD = (np.eye(12), np.arange(12) % 2, np.eye(12)[:3], np.array([0, 1, 0]))


@pytest.mark.parametrize("function", [linear_probe, retrieval])
@pytest.mark.parametrize(
    ("place", "bad", "message"),
    [
        (0, np.full((12, 12), np.nan), "NaN"),
        (1, np.arange(11), "need as many labels"),
        (1, np.arange(12.0), "whole numbers"),
        (1, np.zeros(12, int), "one class only"),
        (2, np.ones((3, 5)), "has 12 features, but (test|queries) has 5"),
        (3, np.zeros((3, 1), int), "need as many labels"),
    ],
)
def test_what_does_not_go_together_is_refused(function, place, bad, message):
    arguments = list(GOOD)
    arguments[place] = bad
    with pytest.raises(ValueError, match=message):
        function(*arguments)


def test_settings_out_of_range_are_refused():
    with pytest.raises(ValueError, match="penalty must be positive"):
        linear_probe(*GOOD, penalty=0)
