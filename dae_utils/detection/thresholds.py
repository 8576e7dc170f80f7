"""Thresholds with a guarantee: from the scores of held-out normal samples to alarms.

Nothing here knows where a score comes from, sees a sample or a label, or imports Keras.
"""

from __future__ import annotations

import warnings
from fractions import Fraction
from math import ceil
from typing import Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.stats import betabinom
from sklearn.base import BaseEstimator
from sklearn.exceptions import NotFittedError

from dae_utils.validation import check_count, check_fraction, check_scores, stack_level_of_caller

__all__ = ["ConformalThreshold", "scores_needed"]


def _as_meant(false_alarm_rate: float) -> Fraction:
    """Return the fraction that was meant: in binary, 0.95 * 20 can come out above 19 and cost one rank."""
    return Fraction(check_fraction(false_alarm_rate, "false_alarm_rate")).limit_denominator(10**9)


def scores_needed(false_alarm_rate: float) -> int:
    """Return how many held-out scores it takes before a threshold can promise this false-alarm rate.

    With n scores the lowest rate that can be promised is 1 / (n + 1).

    Args:
        false_alarm_rate: between 0 and 1, both excluded.

    Returns:
        The smallest n with 1 / (n + 1) at most the rate: 19 for 0.05, 99 for 0.01.

    Raises:
        ValueError: a rate outside (0, 1).
    """
    return ceil(1 / _as_meant(false_alarm_rate)) - 1


class ConformalThreshold(BaseEstimator):
    """A threshold that keeps the false-alarm rate at or under a chosen value: split conformal prediction.

    With n scores of held-out normal samples, the threshold is the k-th smallest, k = ceil((1 - a)(n + 1)),
    where a is the false-alarm rate. A new score above it raises an alarm.

    Guarantee, for normal samples exchangeable with the held-out ones and whatever their distribution: a new
    normal sample raises an alarm with probability at most a, on average over held-out sets. For one given
    held-out set, the share of normal samples that raise no alarm follows the Beta(k, n + 1 - k) distribution,
    so the number of false alarms among m new ones is beta-binomial; `band` gives its range. Scores that are
    tied with the threshold raise no alarm, so ties make false alarms rarer, never more frequent.

    With fewer scores than the rate needs (see `scores_needed`) k would be n + 1: no score of the held-out
    samples is high enough. The threshold is then the largest of them, which promises 1 / (n + 1) and not the
    rate that was asked for; `fit` warns and `expected_rate_` says so.

    Sources: Vovk, Gammerman and Shafer, Algorithmic Learning in a Random World (2005); Angelopoulos and
    Bates, arXiv:2107.07511; Bates, Candes, Lei, Romano and Sesia, Annals of Statistics 51
    (2023), for the p-values.

    Args:
        false_alarm_rate: the highest acceptable share of normal samples that raise an alarm, between 0 and 1.

    Attributes:
        threshold_: the k-th smallest held-out score.
        expected_rate_: (n + 1 - k) / (n + 1), the mean false-alarm rate when scores have no ties.
        n_held_out_, rank_: n and k.
    """

    def __init__(self, false_alarm_rate: float = 0.05) -> None:
        self.false_alarm_rate = false_alarm_rate

    def fit(self, scores: ArrayLike, y: None = None) -> Self:
        """Set the threshold on the anomaly scores of held-out normal samples, shape (n,).

        They must not have been used in training: a network's errors on its own training samples are too
        small.

        Warns:
            UserWarning: too few scores for the rate (it says how many are needed).

        Raises:
            ValueError: bad scores, or a rate outside (0, 1).
        """
        rate = _as_meant(self.false_alarm_rate)
        sorted_scores = np.sort(check_scores(scores))
        n = len(sorted_scores)
        rank = ceil((1 - rate) * (n + 1))
        if rank > n:
            warnings.warn(
                f"{n} held-out normal scores are too few for a false-alarm rate of {float(rate):g}: at least "
                f"{scores_needed(self.false_alarm_rate)} are needed. The threshold is the largest of them, "
                f"which promises a rate of {1 / (n + 1):.3g} (expected_rate_).",
                UserWarning,
                stacklevel=stack_level_of_caller(),
            )
            rank = n
        self.n_held_out_ = n
        self.rank_ = rank
        self.threshold_ = float(sorted_scores[rank - 1])
        self.expected_rate_ = (n + 1 - rank) / (n + 1)
        self._sorted_scores = sorted_scores
        return self

    def predict(self, scores: ArrayLike) -> NDArray[np.bool_]:
        """Return True, shape (n,), where a score is above the threshold: an alarm. Equal to it is none."""
        self._check_fitted()
        return check_scores(scores) > self.threshold_

    def p_values(self, scores: ArrayLike) -> NDArray[np.float64]:
        """Return conformal p-values, shape (n,), above 0 and at most 1; small = anomalous.

        They are (1 + number of held-out scores at least as large) / (n_held_out_ + 1). A score raises an
        alarm exactly when its p-value is at most the false-alarm rate (at most `expected_rate_` where there
        were too few scores for the rate).
        """
        self._check_fitted()
        below = np.searchsorted(self._sorted_scores, check_scores(scores), side="left")
        p_values: NDArray[np.float64] = (1 + self.n_held_out_ - below) / (self.n_held_out_ + 1)
        return p_values

    def band(self, n_new: int, confidence: float = 0.95) -> tuple[float, float]:
        """Return the range in which the false-alarm rate among `n_new` new normal samples will lie.

        Equal-tailed, from the beta-binomial distribution: it counts the chance in both the held-out and the
        new samples, and contains the rate with at least the given probability. Exact without ties among
        scores; with many ties the rate may fall below it.

        Args:
            n_new: how many new normal samples are scored.
            confidence: between 0 and 1.

        Returns:
            Lowest and highest rate, fractions between 0 and 1.

        Raises:
            NotFittedError: before `fit`.
            ValueError: a count or confidence out of range.
        """
        self._check_fitted()
        n_new = check_count(n_new, "n_new")
        tail = (1 - check_fraction(confidence, "confidence")) / 2
        alarms = betabinom(n_new, self.n_held_out_ + 1 - self.rank_, self.rank_)
        return float(alarms.ppf(tail)) / n_new, float(alarms.ppf(1 - tail)) / n_new

    def _check_fitted(self) -> None:
        if not hasattr(self, "threshold_"):
            raise NotFittedError(
                "This threshold is not set yet; call fit with scores of held-out normal samples."
            )
