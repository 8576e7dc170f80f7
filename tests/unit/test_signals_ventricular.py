"""The alarm that measures by the patient's own beats: what it learns and finds; pieces do not matter."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from made_up_ecg import RATE, beat_train, in_chunks, patient, simulated, with_tachycardia

from dae_utils.signals import (
    AlarmRule,
    VentricularAlarm,
    difference_size,
    find_beats,
    watch_record,
)
from dae_utils.signals.own_shape import OwnShape, timing_units

SOON = {"calibration_seconds": 20.0}


def watch(x, error=difference_size, sizes=None, rule=None, adapts=True):
    alarm = VentricularAlarm(error, rule=rule, adapts=adapts, **SOON)
    pieces = [x] if sizes is None else in_chunks(x, sizes)
    return [*(beat for piece in pieces for beat in alarm.push(piece)), *alarm.finish()]


def test_wide_beats_stand_out_and_nothing_is_scored_before():
    x, peaks = patient(wide_at=(60, 61, 100))
    beats = watch(x, rule=AlarmRule(threshold=1.0))
    assert np.array([beat.time for beat in beats]) == pytest.approx(peaks, abs=0.06)
    assert all(math.isnan(beat.score) and not beat.alarm for beat in beats if beat.time < 20)
    assert [number for number, beat in enumerate(beats) if beat.alarm] == [60, 61, 100]
    later = [beat.shape for beat in beats if beat.time > 30 and beat.quality == "good" and not beat.alarm]
    assert abs(np.median(later)) < 0.2
    # The filter lets a little of a wide beat's slow wave through to its neighbours.
    assert np.max(later) < 1


def test_pieces_do_not_matter():
    x = simulated(9208).signals
    whole = watch(x)
    assert np.isfinite([beat.score for beat in whole]).sum() > 100
    for sizes in ([997], [36], [1, 5000, 77]):
        got = watch(x, sizes=sizes)
        assert [beat.sample for beat in got] == [beat.sample for beat in whole]
        for name in ("shape", "timing", "irregularity", "score", "reported"):
            values = [[getattr(beat, name) for beat in some] for some in (got, whole)]
            np.testing.assert_allclose(*values, rtol=0, atol=1e-9)


def test_a_calibration_waits_for_enough_good_beats():
    x, _ = patient(seconds=60)
    alarm = VentricularAlarm(calibration_seconds=1, least_beats=30)
    assert math.isnan(alarm.first_error)
    scores = np.array([beat.score for beat in [*alarm.push(x), *alarm.finish()]])
    good = find_beats(x).is_good
    assert np.isnan(scores).sum() == np.flatnonzero(np.cumsum(good) == 30)[0] + 1
    assert np.isfinite(scores[-1])
    assert 0 < alarm.first_error < 0.1


def test_beats_know_their_intervals():
    x, peaks = patient(seconds=60)
    beats = watch_record(x)
    assert math.isnan(beats[0].rr_before)
    assert beats[5].rr_before == pytest.approx(0.8, abs=0.02)
    assert beats[5].rr_after == pytest.approx(0.8, abs=0.02)
    assert len(beats) == len(peaks)


def test_a_record_at_once():
    x = simulated(9208).signals
    alarm = VentricularAlarm()
    np.testing.assert_equal(watch_record(x), [*alarm.push(x), *alarm.finish()])


def test_it_follows_a_change_of_shape_unless_it_is_told_not_to():
    x, _ = patient(seconds=240, turned_from=60)
    for adapts in (True, False):
        beats = watch(x, adapts=adapts)
        just_after = [beat.shape for beat in beats if 61 < beat.time < 70]
        at_last = [beat.shape for beat in beats if beat.time > 200]
        assert np.min(just_after) > 1
        assert (np.max(at_last) < 0.5) == adapts


def test_early_beats_teach_nothing():
    # Every second beat is wide, early, and followed by a pause: after a hundred of them they still stand out.
    x, peaks = patient(seconds=60)
    intervals = [0.8] * 40 + [0.5, 1.1] * 100
    x, peaks = patient(seconds=200, wide_at=range(40, 240, 2), intervals=intervals)
    alarm = VentricularAlarm(**SOON)
    beats = alarm.push(x[: 30 * RATE])
    at_first = alarm.template
    beats += [*alarm.push(x[30 * RATE :]), *alarm.finish()]
    assert len(beats) == len(peaks)
    np.testing.assert_allclose(alarm.template, at_first, atol=0.1)
    assert min(beat.shape for beat in beats[200:-1:2]) > 1
    assert max(beat.shape for beat in beats[201:-1:2]) < 0.7


@pytest.mark.parametrize("guarded", [True, False])
def test_a_tachycardia_is_not_learnt_as_the_usual_shape(guarded):
    x, start, stop = with_tachycardia()
    alarm = VentricularAlarm(guarded=guarded, **SOON)
    beats = [*alarm.push(x), *alarm.finish()]
    at_last = [beat.shape for beat in beats if stop - 30 < beat.time < stop]
    assert len(at_last) > 60
    assert (np.min(at_last) > 1) == guarded
    before = [beat.shape for beat in beats if 30 < beat.time < start - 2]
    assert abs(np.median(before)) < 0.3


def test_pieces_do_not_matter_to_the_guard():
    # Wide beats come in time and just about as fast as the guard allows, so that any change of pace decides.
    beats = find_beats(patient(seconds=300, wide_at=range(30, 340, 3))[0])
    generator = np.random.default_rng(0)
    intervals = generator.uniform(0.6, 1.0, len(beats))
    intervals[30:340:3] = generator.uniform(0.62, 0.66, len(range(30, 340, 3)))
    beats = replace(beats, rhythm=np.repeat(intervals[:, np.newaxis], 3, axis=1))
    at_once, free, in_pieces = VentricularAlarm(**SOON), VentricularAlarm(guarded=False, **SOON), []
    one_by_one = VentricularAlarm(**SOON)
    for row in range(len(beats)):
        in_pieces += one_by_one.score_beats(beats.take(np.array([row])))
    whole = [beat.score for beat in at_once.score_beats(beats)]
    np.testing.assert_allclose([beat.score for beat in in_pieces], whole, rtol=0, atol=1e-9)
    unguarded = [beat.score for beat in free.score_beats(beats)]
    assert np.nanmax(np.abs(np.subtract(unguarded, whole))) > 0.01


def test_what_it_has_learnt_can_be_looked_at():
    alarm = VentricularAlarm(**SOON)
    assert alarm.templates == ()
    assert math.isnan(alarm.usual_error)
    alarm.push(patient(seconds=100)[0])
    assert [one.shape for one in alarm.templates] == [(70, 2), (70, 2)]
    np.testing.assert_equal(alarm.templates[-1], alarm.template)
    assert alarm.usual_error > 0


def test_timing_counts_less_in_an_irregular_rhythm():
    rule = AlarmRule(1.0, 0.2, irregular_weight=0.1, irregular_bonus=0.5, irregularity_limit=0.1)
    scores = rule.scores([0.0, 0.0, 0.0, 1.0], [4.0, 4.0, 4.0, 0.0], [0.05, 0.3, math.nan, 0.3])
    assert scores == pytest.approx([0.8, 0.9, 0.8, 1.5])
    assert AlarmRule().scores([1.0], [2.0], [9.0]) == pytest.approx([1.4])

    generator = np.random.default_rng(0)
    irregular = (0.9 + 0.2 * generator.standard_normal(200)).clip(0.5).tolist()
    for intervals, low, high in ((irregular, 0.1, 0.5), ([0.8] * 200, 0.0, 0.02)):
        x, _ = patient(seconds=150, intervals=intervals[:150])
        values = [beat.irregularity for beat in watch(x) if 30 < beat.time < 110]
        assert low <= np.min(values)
        assert np.max(values) <= high


def test_timing_is_early_and_pause_in_tenths():
    rhythm = np.array([[0.8, 0.8, 0.8], [0.4, 1.2, 0.8], [1.2, 0.4, 0.8], [np.nan, 0.8, 0.8]])
    expected = [[0, 0], [4, 10 * np.log(1.5)], [0, 0], [0, 0]]
    assert timing_units(rhythm) == pytest.approx(np.clip(expected, 0, 4), abs=1e-5)


def test_the_difference_from_the_nearer_template_by_brute_force():
    beats = find_beats(simulated(9208).signals)
    good = beats.take(beats.is_good)
    own = OwnShape(good.windows[:60], good.rhythm[:60], 140)
    first = own.template
    own.learn(good.windows[80:120])
    rows = own.differences(good.windows[120:150])
    height = np.ptp(np.median(good.windows[own.calm][:, 72:212:2], axis=0), axis=0)
    for window, row in zip(good.windows[120:150, 72:212:2].astype(float), rows, strict=True):
        least, best = math.inf, None
        for template in (first, own.template):
            middle = template[6:-6] - template[6:-6].mean(axis=0)
            for shift in range(13):
                cut = window[shift : shift + 58]
                rest = cut - cut.mean(axis=0) - middle
                if np.square(rest).sum() < least:
                    least, best = np.square(rest).sum(), rest
        size = np.sqrt(np.square(row).mean())
        assert row.shape == (116,)
        # The height is that of the template before the last round, so allow for a scale.
        assert np.corrcoef(row.reshape(58, 2)[:, 0], best[:, 0])[0, 1] > 1 - 1e-9
        assert size == pytest.approx(np.sqrt(np.square(best / height).mean()), rel=0.3)


def test_wrong_settings_are_refused():
    with pytest.raises(ValueError, match="multiple of 180"):
        watch_record(beat_train(np.arange(0.5, 400, 0.8).tolist(), 400, rate=250), sampling_rate=250)
    with pytest.raises(ValueError, match="windows must hold"):
        watch_record(patient(seconds=400)[0], before_seconds=0.1)
    for wrong in (lambda rows: np.zeros(3), lambda rows: -np.ones(len(rows))):
        with pytest.raises(ValueError, match="error"):
            watch(patient()[0], error=wrong)
