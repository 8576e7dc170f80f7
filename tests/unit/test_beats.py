"""Cutting: known answers on signals made here, properties of any rhythm, and the table of beats."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from toy_hearts import assert_clear, ecg, real_like

from dae_utils.data.beats import cut_beats


def test_a_regular_rhythm_gives_the_expected_lengths_and_intervals():
    peaks = np.arange(360, 30 * 360, 288)  # 0.8 s apart
    cuts = cut_beats(ecg(30, peaks, 360), peaks, 360)
    assert cuts.beats.shape == (len(peaks) - 1, 187)
    assert cuts.beats.dtype == np.float32
    np.testing.assert_allclose(cuts.rr_after, 0.8)
    np.testing.assert_allclose(cuts.rr_before[1:], 0.8)
    assert np.isnan(cuts.rr_before[0])
    assert (cuts.length == 120).all()  # 1.2 * 0.8 s * 125 Hz


def test_a_beat_starts_at_its_r_peak_and_meets_the_next_one():
    peaks = np.arange(360, 30 * 360, 288)
    cuts = cut_beats(ecg(30, peaks, 360), peaks, 360)
    assert (cuts.beats[:, 0] > 0.9).all()
    assert (cuts.beats[:, 90:110].argmax(axis=1) == 10).all()  # 0.8 s later: sample 100


def test_slow_beats_are_cut_at_187_samples_and_fast_ones_padded():
    slow = np.arange(1, 20) * 540  # 1.5 s apart: 225 samples
    cuts = cut_beats(ecg(30, slow, 360), slow, 360)
    assert (cuts.length == 187).all()
    fast = np.arange(1, 60) * 180
    cuts = cut_beats(ecg(30, fast, 360), fast, 360)
    assert (cuts.length == 75).all()
    assert (cuts.beats[:, 75:] == 0).all()
    assert (cuts.beats[:, :75] > 0).mean() > 0.9


def test_the_length_comes_from_the_median_of_the_beats_own_window():
    # First window: intervals of 1 s, but one of 0.5 s. From the eleventh second on: 0.6 s.
    seconds = np.concatenate([[0.5, 1.5, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0, 9.0], np.arange(10.2, 20, 0.6)])
    peaks = np.rint(seconds * 250).astype(int)
    cuts = cut_beats(ecg(20, peaks, 250), peaks, 250)
    assert cuts.length[:10].tolist() == [150] * 10
    assert (cuts.length[10:-1] == 90).all()
    np.testing.assert_allclose(cuts.rr_after[:3], [1.0, 0.5, 1.0])


def test_a_window_with_one_beat_uses_its_own_interval():
    peaks = np.array([2, 13, 25, 26]) * 125  # 11 s, 12 s and 1 s
    cuts = cut_beats(ecg(30, peaks, 125), peaks, 125)
    assert cuts.length.tolist() == [187, 187, 150]


def test_each_window_is_scaled_by_its_own_minimum_and_maximum():
    peaks = np.arange(1, 20) * 125
    signal = ecg(20, peaks, 125)
    signal[1250:] *= 10
    cuts = cut_beats(signal, peaks, 125)
    inside = np.arange(187) < cuts.length[:, None]
    for window in (slice(0, 9), slice(9, 18)):
        values = cuts.beats[window][inside[window]]
        assert values.max() == pytest.approx(1)
        assert values.min() < 0.05
    first = signal[:1250]
    expected = (signal[250:400] - first.min()) / (first.max() - first.min())
    np.testing.assert_allclose(cuts.beats[1, :150], np.clip(expected, 0, 1), atol=1e-6)


def test_a_beat_past_its_windows_edge_keeps_the_scale_and_is_clipped():
    peaks = np.arange(1, 20) * 125
    peaks[8] += 100  # the R peak at 9.8 s: the last of the first window
    signal = ecg(20, peaks, 125)
    signal[1250:] += 5
    cuts = cut_beats(signal, peaks, 125)
    assert cuts.length[8] > 25
    assert (cuts.beats[8, 25 : cuts.length[8]] == 1).all()
    assert (cuts.beats[8, 1:24] < 1).all()


def test_the_remainder_of_a_record_is_seen_through_its_last_ten_seconds():
    peaks = np.arange(1, 25) * 125
    signal = ecg(25, peaks, 125)
    signal[1875] = 3.0  # at 15 s: in the last ten seconds, and in the second window
    signal[1260] = 9.0  # at 10.08 s: in the second window only
    cuts = cut_beats(signal, peaks, 125)
    late, second = cuts.beats[20, 0], cuts.beats[10, 0]
    assert late == pytest.approx(1 / 3, abs=0.05)
    assert second == pytest.approx(1 / 9, abs=0.05)


def test_a_record_shorter_than_a_window_is_one_window():
    peaks = np.array([100, 200, 300])
    cuts = cut_beats(ecg(4, peaks, 125), peaks, 125)
    assert cuts.length.tolist() == [120, 120]
    assert cuts.beats.max() == pytest.approx(1)


def test_a_beat_ends_with_the_record():
    peaks = np.array([125, 250, 375, 500])
    cuts = cut_beats(ecg(4.2, peaks, 125), peaks, 125)
    assert cuts.length.tolist() == [150, 150, 150]
    short = cut_beats(ecg(4.04, peaks, 125), peaks, 125)
    assert short.length.tolist() == [150, 150, 130]
    assert (short.beats[2, 130:] == 0).all()


@pytest.mark.parametrize("frequency", [3.0, 10.3, 24.7])
def test_resampling_keeps_a_sine_below_half_the_rate_and_its_phase(frequency: float):
    time = np.arange(20 * 360) / 360
    peaks = np.arange(1, 19) * 360
    cuts = cut_beats(np.sin(2 * np.pi * frequency * time), peaks, 360)
    expected = (np.sin(2 * np.pi * frequency * (3 + np.arange(150) / 125)) + 1) / 2
    np.testing.assert_allclose(cuts.beats[2, :150], expected, atol=0.02)


def test_resampling_removes_what_125_hertz_cannot_hold():
    time = np.arange(20 * 360) / 360
    peaks = np.arange(1, 19) * 360
    slow = np.sin(2 * np.pi * 2 * time)
    cuts = cut_beats(slow + np.sin(2 * np.pi * 110 * time), peaks, 360)
    clean = cut_beats(slow, peaks, 360)
    np.testing.assert_allclose(cuts.beats[3:12, :150], clean.beats[3:12, :150], atol=0.03)


@pytest.mark.parametrize("value", [0.0, 0.7])
def test_a_flat_signal_gives_zeros(value: float):
    cuts = cut_beats(np.full(7200, value), np.arange(1, 19) * 360, 360)
    assert (cuts.beats == 0).all()


def test_a_flat_window_gives_zeros_and_leaves_the_others_alone():
    peaks = np.arange(1, 30) * 360
    signal = ecg(30, peaks, 360)
    signal[3600 - 50 : 7200 + 50] = 0.7
    cuts = cut_beats(signal, peaks, 360)
    in_flat = (peaks[:-1] >= 3600) & (peaks[:-1] < 7200)
    assert (cuts.beats[in_flat] == 0).all()
    assert (cuts.beats[~in_flat, 0][1:8] > 0.9).all()


@settings(max_examples=60, deadline=None)
@given(
    gaps=st.lists(st.integers(1, 900), min_size=1, max_size=40),
    first=st.integers(0, 100),
    after=st.integers(1, 2000),
    rate=st.sampled_from([100, 125, 250, 360]),
    seed=st.integers(0, 100),
)
def test_any_rhythm_gives_sound_beats(gaps: list[int], first: int, after: int, rate: int, seed: int):
    peaks = first + np.concatenate([[0], np.cumsum(gaps)])
    signal = np.random.default_rng(seed).normal(size=peaks[-1] + after)
    cuts = cut_beats(signal, peaks, rate)
    assert len(cuts.beats) == len(cuts.length) == len(cuts.rr_before) == len(gaps)
    assert ((cuts.length >= 1) & (cuts.length <= 187)).all()
    assert (cuts.beats >= 0).all()
    assert (cuts.beats <= 1).all()
    assert (cuts.beats[np.arange(187) >= cuts.length[:, None]] == 0).all()
    np.testing.assert_allclose(cuts.rr_after * rate, gaps)
    np.testing.assert_array_equal(cuts.rr_before[1:], cuts.rr_after[:-1])


@settings(max_examples=20, deadline=None)
@given(gain=st.floats(0.01, 100), offset=st.floats(-10, 10))
def test_beats_do_not_depend_on_unit_or_offset(gain: float, offset: float):
    peaks = np.arange(1, 14) * 300
    signal = ecg(12, peaks, 360)
    plain, changed = cut_beats(signal, peaks, 360), cut_beats(gain * signal + offset, peaks, 360)
    np.testing.assert_allclose(plain.beats, changed.beats, atol=1e-4)


@pytest.mark.parametrize(
    ("signal", "peaks", "rate", "words"),
    [
        (np.zeros((100, 2)), [1, 2], 360, "one lead"),
        (np.zeros(0), [1, 2], 360, "with samples"),
        (np.r_[0.0, 1.0, np.nan, 1.0], [0, 2], 360, "at sample 2"),
        (np.r_[0.0, np.inf, 1.0], [0, 2], 360, "at sample 1"),
        (np.ones(100), [1, 50], 0, "sampling rate"),
        (np.ones(100), [1, 50], 360.5, "sampling rate"),
        (np.ones(100), [1], 360, "at least two"),
        (np.ones(100), [], 360, "at least two"),
        (np.ones(100), [1.5, 20.5], 360, "whole sample numbers"),
        (np.ones(100), [50, 20], 360, "must rise"),
        (np.ones(100), [20, 20], 360, "must rise"),
        (np.ones(100), [-1, 20], 360, "between 0 and 99"),
        (np.ones(100), [1, 100], 360, "between 0 and 99"),
    ],
)
def test_cutting_refuses_what_is_no_signal_with_peaks(signal, peaks, rate, words: str):
    with pytest.raises(ValueError, match=words) as caught:
        cut_beats(signal, np.array(peaks), rate)
    assert_clear(caught.value)


def test_beats_can_be_taken_by_row_and_by_mask():
    beats = real_like()
    some = beats.take(np.array([3, 1]))
    np.testing.assert_array_equal(some.beats, beats.beats[[3, 1]])
    np.testing.assert_array_equal(some.record, beats.record[[3, 1]])
    normal = beats.take(beats.labels == 0)
    assert normal.class_counts() == {"N": len(normal), "S": 0, "V": 0, "F": 0, "Q": 0}
    assert normal.source == beats.source
    assert str(len(normal)) in repr(normal)
    assert beats.title("Errors") == "Errors"


def test_columns_of_different_lengths_are_refused():
    beats = real_like()
    with pytest.raises(ValueError, match="`labels` has 3 rows, but there are 400 beats"):
        replace(beats, labels=np.zeros(3, int))
