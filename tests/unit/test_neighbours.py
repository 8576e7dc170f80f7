"""Neighbours, their votes and retrieval: against scikit-learn and SciPy, and where the answer is known."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.distance import cdist
from sklearn.datasets import load_digits
from sklearn.metrics import average_precision_score
from sklearn.neighbors import KNeighborsClassifier

from dae_utils.evaluation import nearest_neighbours, retrieval, tuned_neighbour_probe


@settings(deadline=None)
@given(seed=st.integers(0, 50), width=st.integers(1, 4), offset=st.sampled_from([0.0, 1e3, 1e8]))
def test_neighbours_are_those_of_plain_distances(seed, width, offset):
    generator = np.random.default_rng(seed)
    database = generator.normal(size=(40, width)) + offset
    queries = generator.normal(size=(7, width)) + offset
    expected = np.argsort(cdist(queries, database), axis=1, kind="stable")[:, :5]
    np.testing.assert_array_equal(nearest_neighbours(database, queries, 5), expected)


def two_far_clusters():
    """Two clusters a million apart structure of a thousandth inside: no mean helps both."""
    generator = np.random.default_rng(1)
    centres = np.array([[-1e6] * 8, [1e6] * 8])
    database = centres[np.arange(60) % 2] + 1e-3 * generator.normal(size=(60, 8))
    queries = centres[np.arange(10) % 2] + 1e-3 * generator.normal(size=(10, 8))
    return database, np.arange(60) // 2 % 3, queries, np.arange(10) % 3


def test_cancellation_costs_no_neighbour():
    database, _, queries, _ = two_far_clusters()
    expected = np.argsort(cdist(queries, database), axis=1)[:, :4]
    np.testing.assert_array_equal(nearest_neighbours(database, queries, 4), expected)
    # The short cut alone gets it wrong, or this test would show nothing.
    short_cut = np.square(database).sum(axis=1) - 2 * queries @ database.T
    assert (np.argsort(short_cut, axis=1)[:, :4] != expected).any()


def test_float32_features_far_from_the_origin_keep_their_neighbours():
    generator = np.random.default_rng(0)
    database = (generator.normal(size=(200, 16)) + 1000).astype(np.float32)
    queries = (generator.normal(size=(20, 16)) + 1000).astype(np.float32)
    expected = np.argsort(cdist(queries, database), axis=1)[:, :10]
    np.testing.assert_array_equal(nearest_neighbours(database, queries, 10), expected)
    short_cut = np.square(database).sum(axis=1) - 2 * queries @ database.T
    assert (np.argsort(short_cut, axis=1)[:, :10] != expected).mean() > 0.3


def test_of_equal_samples_the_first_is_the_nearest():
    database = np.repeat(np.random.default_rng(0).normal(size=(4, 3)), 3, axis=0)
    np.testing.assert_array_equal(nearest_neighbours(database, database[[3]], 3), [[3, 4, 5]])
    # Also where one of the equals is left out, however the search came by them.
    np.testing.assert_array_equal(nearest_neighbours(database, database[::3], 2)[:, 1] % 3, 1)
    np.testing.assert_array_equal(
        nearest_neighbours(np.zeros((500, 40)), np.ones((2, 40)), 3), [[0, 1, 2]] * 2
    )


@pytest.fixture(scope="module")
def digits():
    x, y = load_digits(return_X_y=True)
    return x[:1000] / 16, y[:1000], x[1000:1400] / 16, y[1000:1400], x[1400:] / 16, y[1400:]


def test_votes_are_scikit_learns_and_the_best_number_is_taken(digits):
    x, y, x_validation, y_validation, x_test, y_test = digits
    probe = tuned_neighbour_probe(x, y, x_validation, y_validation)
    expected = {
        k: KNeighborsClassifier(k).fit(x, y).score(x_validation, y_validation) for k in (1, 2, 5, 10, 20, 50)
    }
    assert dict(probe.grid) == pytest.approx(expected)
    assert probe.validation_accuracy == max(expected.values())
    assert not probe.edge
    plain = KNeighborsClassifier(probe.n_neighbours).fit(x, y)
    np.testing.assert_array_equal(probe.predict(x_test), plain.predict(x_test))
    assert probe.score(x_test, y_test).value == pytest.approx(plain.score(x_test, y_test))
    assert probe.table().loc[probe.n_neighbours, "accuracy"] == probe.validation_accuracy


def test_a_share_is_held_out_by_group():
    # Three copies of every sample, random labels: a copy on the other side would tell the label.
    generator = np.random.default_rng(0)
    x, y = (
        np.repeat(generator.normal(size=(150, 8)), 3, axis=0),
        np.repeat(generator.integers(2, size=150), 3),
    )
    copies = np.repeat(np.arange(150), 3)
    assert tuned_neighbour_probe(x, y, n_neighbours=(1,)).validation_accuracy > 0.9
    assert tuned_neighbour_probe(x, y, n_neighbours=(1,), groups=copies).validation_accuracy < 0.75


def test_the_largest_number_as_the_best_warns():
    generator = np.random.default_rng(0)
    y = np.arange(400) % 2
    x = generator.normal(size=(400, 2)) + 0.5 * y[:, None]
    with pytest.warns(UserWarning, match="largest that was tried"):
        assert tuned_neighbour_probe(x, y, n_neighbours=(1, 2, 25)).edge
    # Numbers above the number of samples are left out.
    few = tuned_neighbour_probe(x[:8], y[:8], x[8:], y[8:], n_neighbours=(1, 1000))
    assert few.n_neighbours == 1
    assert not few.edge


@settings(deadline=None)
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


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_retrieval_is_exact_where_the_short_cut_is_not(dtype):
    database, labels, queries, query_labels = two_far_clusters()
    database, queries = database.astype(dtype), queries.astype(dtype)
    got = retrieval(database, labels, queries, query_labels, block_size=3)
    for query, label, measured in zip(queries, query_labels, got.per_query, strict=True):
        order = np.argsort(np.square(database.astype(float) - query.astype(float)).sum(axis=1), kind="stable")
        right = labels[order] == label
        precision = np.cumsum(right) / np.arange(1, 61)
        assert measured.tolist() == pytest.approx(
            [float(right[0]), right[:10].mean(), precision[right].mean()]
        )


GOOD = (np.eye(12), np.arange(12) % 2, np.eye(12)[:3], np.array([0, 1, 0]))


def test_what_does_not_go_together_is_refused():
    x, y, x_validation, y_validation = GOOD
    with pytest.raises(ValueError, match="no groups"):
        tuned_neighbour_probe(*GOOD, groups=y)
    with pytest.raises(ValueError, match="needs validation_labels"):
        tuned_neighbour_probe(x, y, x_validation)
    with pytest.raises(ValueError, match="up to 12"):
        tuned_neighbour_probe(*GOOD, n_neighbours=(13,))
    with pytest.raises(ValueError, match="one class only"):
        tuned_neighbour_probe(x, np.zeros(12, int), x_validation, y_validation)
    with pytest.raises(ValueError, match="n_neighbours"):
        nearest_neighbours(x, x, 13)
    with pytest.raises(ValueError, match="database has 12 features, but queries has 5"):
        nearest_neighbours(x, x[:, :5], 3)
    with pytest.raises(ValueError, match="database has 12 features, but queries has 5"):
        retrieval(x, y, x_validation[:, :5], y_validation)
    with pytest.raises(ValueError, match=r"^database: 12 samples"):
        retrieval(x, y[:5], x_validation, y_validation)
    with pytest.raises(ValueError, match=r"^queries: 3 samples"):
        retrieval(x, y, x_validation, y_validation[:2])
    with pytest.raises(ValueError, match="database holds one class only"):
        retrieval(x, np.zeros(12, int), x_validation, np.zeros(3, int))
    with pytest.raises(ValueError, match="class 5 is asked for"):
        retrieval(*GOOD[:3], np.array([0, 5, 1]))
    with pytest.raises(ValueError, match="database"):
        retrieval(np.eye(9), np.arange(9) % 2, np.eye(9)[:2], np.array([0, 1]))
