"""Irregular rhythm, told from intervals between the patient's own beats."""

from __future__ import annotations

import math

import numpy as np
import pytest

from dae_utils.signals import IrregularRhythm, rhythm_notices


def irregularities(intervals, is_own=None, **settings):
    tracker = IrregularRhythm(**settings)
    times = np.cumsum(intervals)
    own = np.ones(len(times), bool) if is_own is None else is_own
    return np.array(
        [tracker.add(*beat) for beat in zip(times.tolist(), intervals, own.tolist(), strict=True)]
    )


def test_a_regular_rhythm_has_none_and_too_few_beats_none_known():
    values = irregularities([0.8] * 30)
    # An interval needs two own beats, a difference two intervals: the third beat brings the first.
    assert np.isnan(values[:13]).all()
    assert values[13:] == pytest.approx(0)


def test_it_is_the_median_difference_by_the_median_interval():
    intervals = [0.6, 1.0] * 20
    assert irregularities(intervals)[-1] == pytest.approx(0.4 / 0.8)
    generator = np.random.default_rng(0)
    some = (0.8 + 0.2 * generator.standard_normal(40)).clip(0.3).tolist()
    differences = np.abs(np.diff(some))[-24:]
    expected = np.median(differences) / np.median(some[-24:])
    assert irregularities(some)[-1] == pytest.approx(expected)


def test_ventricular_beats_do_not_count():
    # A premature beat after every four, with a pause that makes up for it.
    intervals = [0.8, 0.8, 0.8, 0.5, 1.1] * 12
    is_own = np.array([True, True, True, False, True] * 12)
    assert irregularities(intervals, is_own)[-1] == pytest.approx(0)
    # Of every other beat nothing is known.
    assert np.isnan(irregularities([0.5, 1.1] * 30, np.array([False, True] * 30))).all()


def test_what_lies_long_ago_and_what_is_unknown_is_left_out():
    values = irregularities([0.8] * 20 + [100.0], seconds=60)
    assert math.isnan(values[-1])
    gaps = irregularities([0.8] * 16 + [math.nan] + [0.8])
    assert gaps[16:] == pytest.approx(0, nan_ok=True)


def test_least_and_remembered():
    assert irregularities([0.8] * 6, least=2, remembered=3)[3] == 0
    # Three are remembered: the change from slow to fast has left them.
    assert irregularities([1.2] * 5 + [0.6] * 6, least=2, remembered=3)[-1] == 0
    with pytest.raises(ValueError, match="least"):
        IrregularRhythm(remembered=5, least=6)


def test_one_notice_for_a_stretch():
    times = np.arange(0.0, 300.0)
    values = np.full(300, 0.02)
    values[50:150] = 0.2
    values[100] = 0.05  # a single regular one does not end it
    values[200:220] = 0.2  # too short
    values[250:] = 0.2  # goes on to the end
    notices = rhythm_notices(times, values, 0.1)
    assert [tuple(one) for one in notices] == [(50, 80, 149), (250, 280, 299)]
    values[60:70] = math.nan  # unknown changes nothing
    assert rhythm_notices(times, values, 0.1)[0] == (50, 80, 149)
    values[75] = 0.05  # before the notice the wait begins anew, and again at 100
    assert rhythm_notices(times, values, 0.1)[0] == (101, 131, 149)
    assert rhythm_notices([], [], 0.1) == []
    assert rhythm_notices(times, values, 0.3) == []
