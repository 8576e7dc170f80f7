"""Splits of heartbeats: by beat, and by patient."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from toy_hearts import assert_clear, real_like

from dae_utils.data import mitdb
from dae_utils.data.splits import inter_patient_split, random_split


def test_the_lists_of_records_are_complete_and_do_not_overlap():
    parts = [*mitdb.DS1_RECORDS, *mitdb.DS2_RECORDS, *mitdb.PACED_RECORDS]
    assert len(mitdb.DS1_RECORDS) == len(mitdb.DS2_RECORDS) == 22
    assert sorted(parts) == sorted(mitdb.MITDB_RECORDS)
    assert len(set(parts)) == 48


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 1000), fraction=st.floats(0.05, 0.95))
def test_a_random_split_is_disjoint_complete_and_stratified(seed: int, fraction: float):
    beats = real_like(seed=seed % 7)
    train, test = random_split(beats, fraction, seed)
    np.testing.assert_array_equal(np.sort(np.concatenate([train, test])), np.arange(len(beats)))
    assert (np.diff(train) > 0).all()
    assert (np.diff(test) > 0).all()
    for name, count in beats.take(test).class_counts().items():
        assert abs(count - fraction * beats.class_counts()[name]) <= 1.5


def test_a_random_split_depends_on_its_seed_alone():
    beats = real_like()
    np.testing.assert_array_equal(random_split(beats, seed=3).test, random_split(beats, seed=3).test)
    assert not np.array_equal(random_split(beats, seed=3).test, random_split(beats, seed=4).test)
    assert len(random_split(beats).test) == 80


@pytest.mark.parametrize("fraction", [0, 1, -0.1, 1.2, float("nan")])
def test_a_random_split_needs_a_fraction(fraction: float):
    with pytest.raises(ValueError, match="between 0 and 1"):
        random_split(real_like(), fraction)


def test_a_class_with_a_single_beat_cannot_be_split():
    beats = real_like()
    one = replace(beats, labels=np.r_[4, np.zeros(399, int)])
    with pytest.raises(ValueError, match="can't be split") as caught:
        random_split(one)
    assert_clear(caught.value, "Each class")


def test_patients_are_kept_apart():
    beats = real_like(960)
    train, test = inter_patient_split(beats)
    assert set(beats.record[train]) == set(mitdb.DS1_RECORDS)
    assert set(beats.record[test]) == set(mitdb.DS2_RECORDS)
    assert len(train) == len(test) == 22 * 20
    left = np.setdiff1d(np.arange(960), np.concatenate([train, test]))
    assert set(beats.record[left]) == set(mitdb.PACED_RECORDS)


def test_the_patient_of_two_records_can_be_kept_on_one_side():
    beats = real_like(960)
    train, test = inter_patient_split(beats, separate_201_202=True)
    assert 201 in beats.record[train]
    assert 202 not in beats.record[test]
    assert len(test) == 21 * 20


def test_beats_of_one_side_cannot_be_split_by_patient():
    with pytest.raises(ValueError, match="one side"):
        inter_patient_split(real_like(records=(101, 102)))
    with pytest.raises(ValueError, match="first: 7"):
        inter_patient_split(real_like(records=(100, 101, 7)))
