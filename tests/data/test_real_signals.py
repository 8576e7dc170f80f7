"""What is found in MIT-BIH: R peaks against the experts' and wfdb's pairs, faults, and no false suspicion.

Skipped when DAE_MITDB_DIR is not set.
"""

from __future__ import annotations

import os
from itertools import pairwise

import numpy as np
import pytest
import wfdb
import wfdb.processing

from dae_utils.data import mitdb, read_record
from dae_utils.signals import find_beats, match_beats, quality_spans

pytestmark = [
    pytest.mark.data,
    pytest.mark.skipif(not os.environ.get("DAE_MITDB_DIR"), reason="DAE_MITDB_DIR is not set"),
]

RATE = 360


@pytest.mark.parametrize(("number", "least"), [(100, 1.0), (114, 0.999), (119, 0.999), (203, 0.98)])
def test_r_peaks_are_those_of_the_experts(number, least):
    record = read_record(number)
    beats = find_beats(record.signals, main_lead=record.main_lead)
    match = match_beats(beats.sample, record.r_peaks)
    assert match.sensitivity >= least
    assert match.precision >= least


def test_faults_are_seen():
    saturated = quality_spans(read_record(116).signals)
    assert any(span.quality == "saturated" and abs(span.start - 1404) < 1 for span in saturated)
    folder = os.environ["DAE_MITDB_DIR"]
    signals = read_record(104).signals
    marks = wfdb.rdann(f"{folder}/104", "atr")
    is_change = np.array(marks.symbol) == "~"
    noisy, state = np.zeros(len(signals), bool), [*marks.subtype[is_change], 0]
    borders = [*marks.sample[is_change], len(signals)]
    for (start, stop), code in zip(pairwise(borders), state, strict=False):
        noisy[start:stop] = code != 0
    flagged = np.zeros(len(signals), bool)
    for span in quality_spans(signals):
        flagged[round(span.start * RATE) : round(span.stop * RATE)] = span.quality != "good"
    assert flagged[noisy].mean() > 0.5
    assert flagged[~noisy].mean() < 0.02


def test_every_record_is_taken_and_its_pairs_are_those_of_wfdb():
    counts = np.zeros(3, int)
    for number in mitdb.MITDB_RECORDS:
        record = read_record(number)
        found = find_beats(record.signals, main_lead=record.main_lead).sample
        match = match_beats(found, record.r_peaks)
        theirs = wfdb.processing.compare_annotations(record.r_peaks, found, 55)  # less than 55 samples apart
        np.testing.assert_array_equal(match.found, theirs.matched_test_inds)
        np.testing.assert_array_equal(match.annotated, theirs.matched_ref_inds)
        counts += (len(match.found), match.n_annotated, match.n_found)
        # Either lead may be the main one, and both mistakes are seen in every record.
        start = record.signals[: 12 * RATE]
        for main in (0, 1):
            find_beats(start, main_lead=main)
            with pytest.raises(ValueError, match="millivolts"):
                find_beats(start * 1000, main_lead=main)
        with pytest.raises(ValueError, match="time"):
            find_beats(np.column_stack([np.arange(len(start)) / RATE, start]))
    # As chapter 6 states: sensitivity .9990, precision .9953.
    assert round(counts[0] / counts[1], 4) == 0.9990
    assert round(counts[0] / counts[2], 4) == 0.9953
