"""Filters of `dae_utils.signals` against NumPy's convolution and sliding windows."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.lib.stride_tricks import sliding_window_view

from dae_utils.signals.filters import (
    MILLIVOLTS_PER_COUNT,
    CountConverter,
    FilterLengths,
    SampleBuffer,
    moving_maximum,
    moving_range,
    moving_sum,
    qrs_band,
    qrs_energy,
    window_band,
)

RATE = 360
lengths_360 = FilterLengths.at(RATE, 0.5, 40.0)
whole_numbers = st.lists(st.integers(-(10**9), 10**9), min_size=1, max_size=60)


@given(values=whole_numbers, data=st.data())
def test_moving_sums_and_extremes_are_those_of_each_window(values, data):
    length = data.draw(st.integers(1, len(values)))
    values = np.array([values, values[::-1]], np.int64)
    windows = sliding_window_view(values, length, axis=1)
    np.testing.assert_array_equal(moving_sum(values, length), windows.sum(axis=2))
    np.testing.assert_array_equal(moving_maximum(values, length), windows.max(axis=2))
    np.testing.assert_array_equal(
        moving_range(np.stack([values, -values]), length), windows.max(axis=2) - windows.min(axis=2)
    )


@given(pieces=st.lists(st.lists(st.integers(0, 9), max_size=8), min_size=1, max_size=8), data=st.data())
def test_a_buffer_holds_the_last_stretch(pieces, data):
    buffer = SampleBuffer(np.full(5, 7), 0)
    for piece in pieces:
        buffer.append(np.array(piece, int), buffer.stop - 5)
    everything = np.array([7] * 5 + [value for piece in pieces for value in piece])
    assert buffer.stop == len(everything) - 5
    assert buffer.start <= buffer.stop - 5
    start = data.draw(st.integers(buffer.start, buffer.stop - 1))
    stop = data.draw(st.integers(start + 1, buffer.stop))
    expected = everything[start + 5 : stop + 5]
    np.testing.assert_array_equal(buffer.between(start, stop), expected)
    both = buffer.maxima(np.array([start, buffer.start]), np.array([stop, buffer.stop]))
    np.testing.assert_array_equal(both, [expected.max(), everything[buffer.start + 5 :].max()])


def test_missing_samples_repeat_the_last_valid_one_across_calls():
    converter = CountConverter(2)
    counts, missing = converter.convert(np.array([[np.nan, 0.1, np.inf], [0.5, -1000.1, 0.2]]))
    np.testing.assert_array_equal(counts, [[0, 1000, 1000], [5000, 5000, 2000]])
    np.testing.assert_array_equal(missing, [[True, False, True], [False, True, False]])
    counts, missing = converter.convert(np.array([[1e9, 0.3], [np.nan, -np.inf]]))
    np.testing.assert_array_equal(counts, [[1000, 3000], [2000, 2000]])
    counts, missing = converter.convert(np.array([[1000.0], [-0.00006]]))
    np.testing.assert_array_equal(counts, [[10_000_000], [-1]])
    assert missing is None


def triangle(length: int) -> np.ndarray:
    return np.convolve(np.ones(length), np.ones(length)) / length**2


@pytest.mark.parametrize("rate", [100, 360, 1000])
def test_the_windows_band_is_what_a_convolution_gives(rate):
    lengths = FilterLengths.at(rate, 0.5, 40.0)
    n_new = 7 * lengths.block
    counts = np.random.default_rng(0).integers(-20_000, 20_000, (2, 2 * lengths.baseline + n_new))
    band = window_band(counts, lengths, n_new)
    for row, lead in enumerate(counts * MILLIVOLTS_PER_COUNT):
        smoothed = np.convolve(lead, triangle(lengths.smoothing), "same")
        baseline = np.convolve(lead, triangle(lengths.baseline + 1), "valid")
        middle = slice(lengths.baseline, lengths.baseline + n_new)
        np.testing.assert_allclose(band.filtered[row], smoothed[middle] - baseline, atol=1e-6)
        np.testing.assert_allclose(band.baseline[row], baseline[:: lengths.block], atol=1e-9)
        above = np.abs(lead - smoothed)[middle].reshape(-1, lengths.block).mean(axis=1)
        np.testing.assert_allclose(band.high_frequency[row], above, atol=1e-9)


@pytest.mark.parametrize(
    ("hertz", "low", "high"), [(0.1, 0, 0.1), (0.5, 0.6, 0.8), (5, 0.97, 1.02), (40, 0.6, 0.8)]
)
def test_the_band_is_as_stated_and_shifts_nothing(hertz, low, high):
    n_new = 40 * RATE
    t = np.arange(n_new + 2 * lengths_360.baseline) / RATE
    counts = np.rint(2000 * np.sin(2 * np.pi * hertz * t)).astype(np.int64)[np.newaxis]
    filtered = window_band(counts, lengths_360, n_new).filtered[0]
    middle = slice(lengths_360.baseline, lengths_360.baseline + n_new)
    reference = 0.2 * np.sin(2 * np.pi * hertz * t[middle])
    quarter = 0.2 * np.cos(2 * np.pi * hertz * t[middle])
    assert low < filtered @ reference / (reference @ reference) < high
    assert abs(filtered @ quarter / (quarter @ quarter)) < 0.02


def gain(hertz: float) -> float:
    """Return by how much the detector's band-pass makes a wave larger or smaller."""
    t = np.arange(20 * RATE) / RATE
    counts = np.rint(1e6 * np.sin(2 * np.pi * hertz * t)).astype(np.int64)
    scale = lengths_360.qrs_wide * lengths_360.qrs_narrow**2
    return float(np.abs(qrs_band(counts, lengths_360)).max()) / scale / 1e6


def test_the_detectors_band_passes_what_is_steep_and_nothing_slow():
    assert not qrs_band(np.full(500, 15_000), lengths_360).any()
    assert gain(0.3) < 0.02
    assert gain(10) > 0.8
    assert gain(60) < 0.1


def test_the_detectors_energy_is_the_summed_square_of_the_slope():
    band = np.random.default_rng(0).integers(-(10**8), 10**8, 400)
    slope = (band[2:] - band[:-2]) / (lengths_360.qrs_wide * lengths_360.qrs_narrow**2)
    expected = np.convolve(slope**2, np.ones(lengths_360.integration), "valid")
    np.testing.assert_allclose(qrs_energy(band, lengths_360), expected, rtol=1e-4)
    assert lengths_360.integration == pytest.approx(0.150 * RATE, abs=1)


@pytest.mark.parametrize("rate", [100, 125, 250, 360, 500, 1000, 5000])
def test_delays_are_those_of_an_impulse(rate):
    lengths = FilterLengths.at(rate, 0.5, 40.0)
    counts = np.zeros(4 * rate, np.int64)
    counts[2 * rate] = 10**9
    band = qrs_band(counts, lengths)
    symmetric = band[2 * rate - lengths.qrs_delay :][1 : rate // 2]
    np.testing.assert_array_equal(symmetric, band[2 * rate - lengths.qrs_delay :: -1][1 : rate // 2])
    energy = qrs_energy(band, lengths)
    assert len(energy) == len(counts) - 2 * lengths.energy_delay
    assert lengths.history >= 2 * max(lengths.baseline, lengths.energy_delay + lengths.refractory)
