"""Pairs of found and annotated R peaks, against a plain search and wfdb."""

from __future__ import annotations

import math

import numpy as np
import pytest
import wfdb.processing
from hypothesis import given, settings
from hypothesis import strategies as st
from made_up_ecg import simulated

from dae_utils.signals import match_beats

rising = st.lists(st.integers(0, 3000), max_size=40, unique=True).map(sorted)


@settings(deadline=None)
@given(found=rising, annotated=rising)
def test_pairs_are_each_others_nearest(found, annotated):
    match = match_beats(found, annotated)
    assert len(set(match.found)) == len(match.found) == len(set(match.annotated))
    distance = np.abs(np.subtract.outer(found, annotated))
    pairs = [
        (row, column)
        for row in range(len(found))
        for column in range(len(annotated))
        if distance[row, column] <= 54
        and column == distance[row].argmin()
        and row == distance[:, column].argmin()
    ]
    assert list(zip(match.found, match.annotated, strict=True)) == pairs
    assert match.sensitivity == pytest.approx(
        len(pairs) / len(annotated) if annotated else math.nan, nan_ok=True
    )
    assert match.precision == pytest.approx(len(pairs) / len(found) if found else math.nan, nan_ok=True)


def test_pairs_are_those_of_wfdb():
    record = simulated(9208)
    rng = np.random.default_rng(0)
    found = np.unique(record.r_peaks[rng.random(len(record.r_peaks)) < 0.9] + rng.integers(-70, 70))
    match = match_beats(found, record.r_peaks)
    theirs = wfdb.processing.compare_annotations(record.r_peaks, found, 55)  # less than 55 samples apart
    np.testing.assert_array_equal(match.found, theirs.matched_test_inds)
    np.testing.assert_array_equal(match.annotated, theirs.matched_ref_inds)
    assert match.sensitivity == pytest.approx(theirs.sensitivity)
    assert match.precision == pytest.approx(theirs.positive_predictivity)


def test_no_found_beat_has_two_partners():
    # Of four annotations that lie close, wfdb gives two to the first beat; its precision is then 1.5.
    found, annotated = np.array([0, 30]), np.array([0, 5, 10, 30])
    assert wfdb.processing.compare_annotations(annotated, found, 55).positive_predictivity > 1
    match = match_beats(found, annotated)
    assert match.found.tolist() == [0, 1]
    assert match.annotated.tolist() == [0, 3]


def test_sample_numbers_must_rise():
    for found in ([3, 3], [5, 2], [[1, 2]]):
        with pytest.raises(ValueError, match="found must be"):
            match_beats(found, [1, 2])
