"""Probes and retrieval: against scikit-learn, and where the answer is known."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.datasets import load_digits
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import average_precision_score
from sklearn.neighbors import KNeighborsClassifier
from sklearn.preprocessing import StandardScaler

from dae_utils.evaluation.probes import fit_linear_probe, linear_probe, neighbour_probe, retrieval


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


def test_the_neighbour_probe_is_scikit_learns(digits):
    x, y, x_test, y_test = digits
    expected = KNeighborsClassifier(3).fit(x, y).score(x_test, y_test)
    assert neighbour_probe(*digits, n_neighbours=3).value == pytest.approx(expected, abs=1e-9)


@pytest.mark.parametrize("probe", [linear_probe, neighbour_probe])
def test_features_without_information_are_worth_a_guess(probe):
    generator = np.random.default_rng(0)
    y, y_test = np.arange(1000) % 4, np.arange(2000) % 4
    got = probe(generator.normal(size=(1000, 5)), y, generator.normal(size=(2000, 5)), y_test)
    assert got.low < 0.25 < got.high
    informed = probe(np.eye(4)[y], y, np.eye(4)[y_test], y_test)
    assert informed.value == 1


def test_images_are_made_flat(digits):
    x, y, x_test, y_test = digits
    got = linear_probe(x.reshape(-1, 8, 8), y, x_test.reshape(-1, 8, 8, 1), y_test)
    assert got == linear_probe(*digits)


def test_a_probe_that_has_not_settled_does_not_warn(digits, recwarn):
    linear_probe(*digits, most_steps=2)
    assert not recwarn.list


@given(seed=st.integers(0, 50), width=st.integers(1, 4))
def test_retrieval_is_average_precision_query_by_query(seed, width):
    generator = np.random.default_rng(seed)
    database, queries = generator.normal(size=(40, width)), generator.normal(size=(7, width))
    labels, query_labels = np.arange(40) % 3, generator.integers(3, size=7)
    got = retrieval(database, labels, queries, query_labels, block_size=3)
    for query, label, (first, ten, average) in zip(queries, query_labels, got.per_query, strict=True):
        distances = np.linalg.norm(database - query, axis=1)
        nearest = labels[np.argsort(distances)] == label
        assert first == nearest[0]
        assert ten == pytest.approx(nearest[:10].mean())
        assert average == pytest.approx(average_precision_score(labels == label, -distances))
    assert got.mean_average_precision == pytest.approx(got.per_query[:, 2].mean())
    assert got.precision_at_10 == pytest.approx(got.per_query[:, 1].mean())


def test_retrieval_far_from_the_origin_loses_no_digits():
    generator = np.random.default_rng(0)
    database, queries = generator.normal(size=(50, 3)), generator.normal(size=(9, 3))
    labels, query_labels = np.arange(50) % 2, np.arange(9) % 2
    here = retrieval(database, labels, queries, query_labels)
    there = retrieval(database + 1e6, labels, queries + 1e6, query_labels)
    np.testing.assert_allclose(here.per_query, there.per_query)


GOOD = (np.eye(12), np.arange(12) % 2, np.eye(12)[:3], np.array([0, 1, 0]))


@pytest.mark.parametrize("function", [linear_probe, neighbour_probe, retrieval])
@pytest.mark.parametrize(
    ("place", "bad", "message"),
    [
        (0, np.full((12, 12), np.nan), "NaN"),
        (1, np.arange(11), "need as many labels"),
        (1, np.arange(12.0), "whole numbers"),
        (1, np.zeros(12, int), "one class only"),
        (2, np.ones((3, 5)), "train has 12 features, but test has 5"),
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
    with pytest.raises(ValueError, match="n_neighbours"):
        neighbour_probe(*GOOD, n_neighbours=13)
    with pytest.raises(ValueError, match="class 5 is asked for"):
        retrieval(*GOOD[:3], np.array([0, 5, 1]))
    with pytest.raises(ValueError, match="database"):
        retrieval(np.eye(9), np.arange(9) % 2, np.eye(9)[:2], np.array([0, 1]))
