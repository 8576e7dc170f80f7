"""Verdicts on the signal: faults put in are named, and a sound signal is good."""

from __future__ import annotations

import math
from itertools import pairwise

import numpy as np
import pytest
from made_up_ecg import (
    FAULTS,
    RATE,
    beat_train,
    damaged,
    in_chunks,
    loudness,
    simulated,
    steady,
    with_faults,
)

from dae_utils.signals import BeatFinder, find_beats, quality_spans, score_record


@pytest.mark.parametrize(("kind", "verdict"), FAULTS.items())
def test_faults_are_named_and_raise_no_alarm(kind, verdict):
    signals = damaged(steady(), kind)
    spans = quality_spans(signals)
    seconds = {
        name: sum(span.stop - span.start for span in spans if span.quality == name)
        for name in FAULTS.values()
    }
    assert max(seconds, key=seconds.get) == verdict
    assert 2.5 < seconds[verdict] <= 6.5
    assert sum(seconds.values()) < 8

    beats = score_record(signals, loudness, threshold=-1)
    near = [beat for beat in beats if 20.2 < beat.time < 23.8]
    far = [beat for beat in beats if 3 < beat.time < 18 or 28 < beat.time < 39]
    assert all(beat.quality != "good" and not beat.alarm for beat in near)
    assert all(beat.quality == "good" and beat.alarm for beat in far)
    assert len(far) > 25
    if kind in ("missing", "one flat", "muscle noise", "movement"):
        assert len(near) >= 3
        assert {beat.quality for beat in near[1:-1]} == {verdict}
    assert all(math.isfinite(beat.score) for beat in beats)


def test_beats_whose_windows_a_fault_reaches_through_the_filter_are_not_good():
    beats = find_beats(damaged(steady(), "at the rail", 20 * RATE, 21 * RATE))
    before, after = 180 + 396, 140 + 396
    reached = (beats.sample > 20 * RATE - before + 36) & (beats.sample < 21 * RATE + after - 36)
    assert (beats.quality[reached] == "saturated").all()
    assert beats.is_good[(beats.sample < 20 * RATE - before - 36) & (beats.time > 2)].all()
    undisturbed = find_beats(steady())
    rows = np.isin(beats.sample, undisturbed.sample[undisturbed.is_good]) & beats.is_good
    others = np.isin(undisturbed.sample, beats.sample[rows])
    np.testing.assert_allclose(beats.windows[rows], undisturbed.windows[others], atol=1e-6)


def test_with_a_single_lead_a_drop_out_is_a_flat_line():
    spans = quality_spans(damaged(steady(), "one flat")[:, 1:])
    assert "flat line" in {span.quality for span in spans}
    assert "lead drop-out" not in {span.quality for span in spans}


def test_only_the_leads_that_are_used_are_judged():
    signals = damaged(steady(), "missing")
    assert {span.quality for span in quality_spans(signals, window_leads=[0])} == {"good"}


def test_rails_are_the_converters():
    # Another converter ends elsewhere; without any range a lead can only be caught at its own extremes.
    signals = damaged(steady(), "at the rail") / 2
    for arguments in ({"converter_range": (-2.56, 2.56)}, {"converter_range": None}, {}):
        verdicts = {span.quality for span in quality_spans(signals, **arguments)}
        assert "saturated" in verdicts
        assert ("lead drop-out" in verdicts) == (arguments != {"converter_range": (-2.56, 2.56)})


def test_spans_cover_the_record_end_to_end():
    signals = with_faults(simulated(9208).signals, np.random.default_rng(3))
    spans = quality_spans(signals)
    assert spans[0].start == 0
    assert spans[-1].stop == pytest.approx(len(signals) / RATE, abs=0.1)
    for one, other in pairwise(spans):
        assert one.stop == other.start
        assert one.quality != other.quality
    finder = BeatFinder()
    assert finder.recent_quality == []
    for piece in in_chunks(signals, [777]):
        finder.push(piece)
    finder.finish()
    assert finder.recent_quality == spans


def test_a_thousand_verdicts_are_remembered():
    finder = BeatFinder()
    signals = beat_train([], 20)
    signals[::360] = np.nan
    for _ in range(60):
        finder.push(signals)
    assert len(finder.recent_quality) == 1000
    assert finder.recent_quality[-1].stop > 1190


def test_the_ends_of_a_record_are_no_fault():
    # They lie on the top of an R wave, which would look like saturation if it went on.
    signals = steady()[round(1.3 * RATE) : round(36.5 * RATE) + 1].copy()
    signals[[0, -1], 0] += 0.5
    beats = find_beats(signals)
    assert beats.sample[-1] == len(signals) - 1
    assert beats.is_good[(beats.time > 2.5) & (beats.time < 33)].all()
    assert beats.quality[-1] == "incomplete"
    assert {span.quality for span in quality_spans(signals)} <= {"good", "noise"}


def test_what_is_usual_is_remembered_through_a_fault():
    signals = np.concatenate([steady(), np.zeros((60 * RATE, 2)), steady()])
    beats = find_beats(signals)
    assert beats.is_good[(beats.time > 103) & (beats.time < 138)].all()


def test_a_record_may_begin_and_end_with_missing_samples():
    signals = steady().copy()
    signals[:1000] = signals[-1000:, 0:1] = np.nan
    beats = find_beats(signals)
    assert beats.quality[0] == "lead drop-out"
    assert np.isfinite(beats.windows).all()
    assert beats.is_good[(beats.time > 6) & (beats.time < 34)].all()
    assert len(beats) >= 40


@pytest.mark.parametrize("number", [9100, 9102, 9208])
def test_simulated_records_are_mostly_good(number):
    record = simulated(number)
    beats = find_beats(record.signals)
    usual = beats.take(np.flatnonzero(np.isin(beats.sample, record.r_peaks[record.symbols != "Q"])))
    assert usual.is_good.mean() > 0.9
