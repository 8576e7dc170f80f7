"""From samples to beats: any pieces, windows, rhythm, ends of a record, and no growth."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from made_up_ecg import RATE, assert_same, beat_train, simulated, steady, streamed, with_faults
from scipy.signal import resample_poly

from dae_utils.signals import BeatFinder, find_beats, match_beats, rhythm_features

# ------------------------------------------------------------------------------------------------------------
# Any chunks


@settings(max_examples=60, deadline=None)
@given(
    sizes=st.lists(st.integers(1, 2000), min_size=1, max_size=6).filter(lambda s: sum(s) / len(s) > 20),
    seed=st.integers(0, 1000),
    length=st.integers(3000, 9000),
)
def test_chunks_do_not_matter(sizes, seed, length):
    signals = with_faults(simulated(9208).signals[1000 : 1000 + length], np.random.default_rng(seed))
    assert_same(streamed(signals, sizes), find_beats(signals))


@pytest.mark.parametrize("size", [1, 35, 36, 37])
def test_single_samples_and_blocks_do_as_well(size):
    signals = with_faults(simulated(9100).signals[:7001], np.random.default_rng(5))
    assert_same(streamed(signals, [size]), find_beats(signals))


def test_a_push_longer_than_is_worked_on_at_once_changes_nothing():
    signals = simulated(9208).signals[:30_000]
    assert_same(find_beats(signals), streamed(signals, [500]))


# ------------------------------------------------------------------------------------------------------------
# The ends of a record


@pytest.mark.parametrize("seconds", [0.0, 0.05, 0.5, 1.2, 2.6])
def test_records_of_any_length_end_well(seconds):
    peaks = [peak for peak in (0.3, 1.0, 1.7, 2.4) if peak < seconds]
    beats = streamed(beat_train(peaks, seconds), [50])
    assert beats.sample.tolist() == [round(peak * RATE) for peak in peaks]
    assert all(beats.quality[[0, -1][: len(beats)]] == "incomplete")


def test_a_finished_stream_takes_nothing_more():
    finder = BeatFinder()
    finder.push(steady())
    assert len(finder.finish()) > 0
    with pytest.raises(ValueError, match="finished"):
        finder.push(steady())
    with pytest.raises(ValueError, match="finished"):
        finder.finish()


# ------------------------------------------------------------------------------------------------------------
# Windows


def triangle(length: int) -> np.ndarray:
    return np.convolve(np.ones(length), np.ones(length)) / length**2


def test_windows_are_what_a_convolution_gives():
    record = simulated(9208)
    signals = record.signals[record.r_peaks[0] - 60 : record.r_peaks[20] + 100]
    beats = find_beats(signals)
    # Before and after the record its first and last values go on.
    longer = np.pad(signals, ((1000, 1000), (0, 0)), mode="edge")
    expected = np.stack(
        [np.convolve(x, triangle(3), "same") - np.convolve(x, triangle(397), "same") for x in longer.T],
        axis=1,
    )
    assert beats.quality[0] == beats.quality[-1] == "incomplete"
    for sample, window in zip(beats.sample, beats.windows, strict=True):
        np.testing.assert_allclose(window, expected[1000 + sample - 140 : 1000 + sample + 180], atol=2e-4)


def test_an_offset_changes_nothing():
    one, other = find_beats(steady()), find_beats(steady() + np.array([1.25, -0.75]))
    np.testing.assert_array_equal(one.sample, other.sample)
    np.testing.assert_allclose(one.windows, other.windows, atol=2e-4)


def test_leads_are_cut_in_the_order_asked_for():
    both = find_beats(steady())
    swapped = find_beats(steady(), window_leads=[1, 0])
    np.testing.assert_array_equal(swapped.windows, both.windows[:, :, ::-1])
    np.testing.assert_array_equal(swapped.sample, both.sample)
    shorter = {"before_seconds": 10 / RATE, "after_seconds": 1 / RATE}
    one = find_beats(steady(), window_leads=[1], main_lead=1, **shorter)
    np.testing.assert_array_equal(one.sample, both.sample)
    np.testing.assert_array_equal(one.windows, both.windows[:, 130:141, 1:])


@pytest.mark.parametrize("rate", [250, 500, 1000])
def test_windows_cover_the_same_time_at_any_sampling_rate(rate):
    record = simulated(9100)
    usual = find_beats(record.signals)
    finder = BeatFinder(sampling_rate=rate, high_hertz=35)
    assert finder.samples_before == pytest.approx(0.389 * rate, abs=0.5)
    assert finder.samples_after == 0.5 * rate
    signals = resample_poly(record.signals, rate, RATE, padtype="edge")
    beats = find_beats(signals, sampling_rate=rate, high_hertz=35)
    assert beats.windows.shape[1] == finder.samples_before + finder.samples_after
    match = match_beats(beats.time, usual.time, sampling_rate=1, tolerance=0.01)
    assert match.sensitivity > 0.9
    # The mean beat, at the same moments around its R peak.
    mean = beats.windows[match.found, :, 0].mean(axis=0)
    expected = usual.windows[match.annotated, :, 0].mean(axis=0)
    moments = (np.arange(320) - 140) / RATE
    there = np.interp(moments, (np.arange(len(mean)) - finder.samples_before) / rate, mean)
    assert np.corrcoef(there, expected)[0, 1] > 0.98


# ------------------------------------------------------------------------------------------------------------
# Rhythm


def test_rhythm():
    gaps = [0.8] * 12 + [0.5, 1.1, 0.8] + [1.0] * 14 + [2.5, 1.0, 1.0]
    beats = find_beats(beat_train(list(1 + np.cumsum(gaps)), 40))
    before, after, usual = beats.rhythm.T
    assert len(beats) == len(gaps)
    assert math.isnan(before[0])
    assert math.isnan(usual[0])
    np.testing.assert_allclose(before[1:], gaps[1:], atol=0.003)
    # The long pause is longer than anybody waits, and after the last beat nothing comes.
    waited = np.array(gaps[1:]) < 1.7
    np.testing.assert_allclose(after[:-1][waited], np.array(gaps[1:])[waited], atol=0.003)
    assert np.isnan(after[:-1][~waited]).all()
    assert math.isnan(after[-1])
    for row in range(1, len(gaps)):
        assert usual[row] == pytest.approx(np.median(gaps[max(row - 9, 1) : row + 1]), abs=0.003)
    features = rhythm_features(beats.rhythm)
    assert features.shape == (len(gaps), 2)
    assert features[0, 0] == features[-1, 1] == 0
    assert features[12, 0] == pytest.approx(np.log(0.5 / 0.8), abs=0.01)
    assert features[12, 1] == pytest.approx(np.log(1.1 / 0.8), abs=0.01)


def test_an_interval_across_a_drop_out_is_unknown():
    signals = steady().copy()
    signals[3600:5000, 0] = np.nan
    beats = find_beats(signals)
    unknown = np.flatnonzero(np.isnan(beats.rhythm[:, 0]))
    assert unknown[0] == 0
    assert len(unknown) >= 2
    assert all(beats.sample[unknown[1:]] >= 3600)
    assert np.isfinite(beats.rhythm[beats.time > 15.5, 0]).all()
    signals[3600:5000] = signals[3600:5000, ::-1]
    assert np.isfinite(find_beats(signals).rhythm[1:, 0]).all()  # the other lead is not that of the R peaks


# ------------------------------------------------------------------------------------------------------------
# Tables of beats, and settings


def test_beats_can_be_taken_and_joined():
    beats = find_beats(steady())
    is_late = beats.time > 20
    assert_same(type(beats).joined([beats.take(~is_late), beats.take(is_late)]), beats)
    some = beats.take(slice(3, 7))
    assert len(some) == 4
    np.testing.assert_array_equal(some.sample, beats.sample[3:7])
    for number in ("50", "49"):  # beats, and good ones
        assert number in repr(beats)


@pytest.mark.parametrize(
    ("arguments", "match"),
    [
        ({"sampling_rate": 50}, "sampling_rate"),
        ({"sampling_rate": 360.5}, "sampling_rate"),
        ({"leads": 0}, "leads"),
        ({"main_lead": 2}, "main lead"),
        ({"window_leads": [0, 2]}, "lead's number"),
        ({"window_leads": [1]}, "main lead"),
        ({"window_leads": [0, 0]}, "once"),
        ({"before_seconds": -0.1}, "before_seconds"),
        ({"before_seconds": 140}, "before_seconds .* divide samples"),
        ({"before_seconds": math.nan}, "before_seconds"),
        ({"before_seconds": "0.4"}, "before_seconds"),
        ({"after_seconds": 0}, "after_seconds"),
        ({"after_seconds": 0.001}, "after_seconds"),
        ({"after_seconds": 180}, "after_seconds .* divide samples"),
        ({"after_seconds": True}, "after_seconds"),
        ({"low_hertz": 0.1}, "band"),
        ({"low_hertz": math.nan}, "band"),
        ({"high_hertz": 200}, "band"),
        ({"converter_range": (5, -5)}, "converter_range"),
    ],
)
def test_wrong_settings_are_refused(arguments, match):
    with pytest.raises(ValueError, match=match):
        BeatFinder(**arguments)
