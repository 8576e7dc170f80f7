"""The conformal threshold: its rank, its promise over repeated draws, and faults."""

import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from sklearn.exceptions import NotFittedError

from dae_utils.detection import ConformalThreshold, scores_needed


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


def test_too_few_scores_warn_and_give_the_largest():
    with pytest.warns(UserWarning, match=r"98 .* too few .* at least 99 are needed"):
        threshold = ConformalThreshold(0.01).fit(np.arange(98)[::-1])
    assert (threshold.threshold_, threshold.rank_) == (97, 98)
    assert threshold.expected_rate_ == pytest.approx(1 / 99)
    low, high = threshold.band(10_000)
    assert low < 1 / 99 < high
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert ConformalThreshold(0.01).fit(np.arange(99)).threshold_ == 98


@pytest.mark.parametrize(
    ("rate", "needed"), [(0.05, 19), (0.01, 99), (0.1, 9), (0.5, 1), (0.3, 3), (1 / 3, 2)]
)
def test_how_many_scores_a_rate_needs(rate, needed):
    assert scores_needed(rate) == needed


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
        with pytest.warns(UserWarning, match="too few"):
            threshold = ConformalThreshold(rate).fit(held_out)
        rate = threshold.expected_rate_
    else:
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
    threshold = ConformalThreshold(0.05).fit(np.random.default_rng(0).random(5000))
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
