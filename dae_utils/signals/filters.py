"""Moving sums over whole numbers, their lengths at one sampling rate, and the buffer of the last samples.

Everything here is exact: samples become whole numbers (counts of a tenth of a microvolt), and what is summed
is never rounded. Nothing here decides anything: R peaks are found in `detector`, verdicts made in `quality`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

MILLIVOLTS_PER_COUNT = 1e-4

_LARGEST_MILLIVOLTS = 1000.0  # what exceeds it comes from no electrode and counts as missing


@dataclass(frozen=True)
class FilterLengths:
    """How many samples everything takes at one sampling rate.

    Args:
        sampling_rate: samples a second.
        block: a tenth of a second, the piece in which everything is worked on.
        smoothing: length of the moving sum, applied twice, that is the low-pass of the windows' band.
        baseline: reach of the moving sums, to either side, whose result is the baseline: the high-pass.
        qrs_narrow: length of the moving sum, applied twice, that is the detector's low-pass, about 15 Hz.
        qrs_wide: length of the moving mean that is its high-pass, about 5 Hz.
        slope: half of the distance over which its slope is taken.
        integration: length over which the squared slope is summed, 150 ms.
        refractory: how far apart two beats are at least, 200 ms.
        qrs_delay: by how much the detector's band comes late.
        energy_delay: by how much the summed squared slope comes late.
    """

    sampling_rate: int
    block: int
    smoothing: int
    baseline: int
    qrs_narrow: int
    qrs_wide: int
    slope: int
    integration: int
    refractory: int
    qrs_delay: int
    energy_delay: int

    @classmethod
    def at(cls, sampling_rate: int, low_hertz: float, high_hertz: float) -> FilterLengths:
        """Return the lengths at a sampling rate, for windows in a band (-3 dB at both ends)."""
        block = max(1, round(sampling_rate / 10))
        # A moving sum applied twice has lost half of its power (-3 dB) at 0.319 / its length; taken away from
        # the signal, at 0.573 / its length.
        smoothing = max(1, round(0.319 * sampling_rate / high_hertz))
        baseline = block * max(1, round(0.573 * sampling_rate / low_hertz / block))
        narrow = max(1, round(sampling_rate * 0.025))
        half_wide, half_integration = round(sampling_rate * 0.0625), round(sampling_rate * 0.075)
        slope = max(1, round(sampling_rate / 360))
        qrs_delay = narrow - 1 + half_wide
        return cls(
            sampling_rate=sampling_rate,
            block=block,
            smoothing=smoothing,
            baseline=baseline,
            qrs_narrow=narrow,
            qrs_wide=2 * half_wide + 1,
            slope=slope,
            integration=2 * half_integration + 1,
            refractory=round(sampling_rate * 0.2),
            qrs_delay=qrs_delay,
            energy_delay=qrs_delay + slope + half_integration,
        )

    @property
    def history(self) -> int:
        """Samples that the filters look back on."""
        return max(2 * self.baseline, 2 * (self.energy_delay + self.refractory), self.block)


def moving_sum(values: NDArray[Any], length: int) -> NDArray[Any]:
    """Return the sums of each `length` neighbours on the last axis, which gets shorter by length - 1."""
    if length == 1:
        return values
    sums = np.cumsum(values, axis=-1)
    result = np.empty((*sums.shape[:-1], sums.shape[-1] - length + 1), sums.dtype)
    result[..., 0] = sums[..., length - 1]
    np.subtract(sums[..., length:], sums[..., :-length], out=result[..., 1:])
    return result


def moving_maximum(values: NDArray[Any], length: int) -> NDArray[Any]:
    """Return the largest of each `length` neighbours on the last axis, which gets shorter by length - 1."""
    # By doubling, which is four times faster here than `scipy.ndimage.maximum_filter1d`.
    done = 1
    while 2 * done <= length:
        values = np.maximum(values[..., done:], values[..., :-done])
        done *= 2
    rest = length - done
    return np.maximum(values[..., rest:], values[..., :-rest]) if rest else values


def moving_range(extremes: NDArray[Any], length: int) -> NDArray[Any]:
    """Return how far each `length` neighbours go apart on the last axis, which gets shorter by length - 1.

    Args:
        extremes: shape (2, ...), the upper ends, and the lower ends with the other sign.
        length: how many neighbours.
    """
    ranges: NDArray[Any] = moving_maximum(extremes, length).sum(axis=0)
    return ranges


class SampleBuffer:
    """The last stretch of something that goes on for ever, along the last axis of an array.

    Places in it are counted from the start of the record; the buffer holds those from `start` to before
    `stop`.

    Args:
        values: what it holds at first.
        stop: the place after the last of them.
    """

    def __init__(self, values: NDArray[Any], stop: int):
        self.values = values
        self.stop = stop
        self.start = stop - values.shape[-1]

    def append(self, values: NDArray[Any], keep_from: int) -> None:
        """Add values at the end, and drop those before the place `keep_from`."""
        drop = max(keep_from - self.start, 0)
        self.values = np.concatenate([self.values[..., drop:], values], axis=-1)
        self.start += drop
        self.stop += values.shape[-1]

    def between(self, start: int, stop: int) -> NDArray[Any]:
        """Return what lies from place `start` to before `stop`, both of which must be in the buffer."""
        return self.values[..., start - self.start : stop - self.start]

    def maxima(self, start: NDArray[np.int64], stop: NDArray[np.int64]) -> NDArray[Any]:
        """Return the largest value in each stretch from place `start` to before `stop`, for a single line."""
        borders = np.stack([start, stop], axis=1).ravel() - self.start
        padded = np.append(self.values, self.values[-1:])  # since a stretch may end where the buffer does
        return np.maximum.reduceat(padded, borders)[::2]


class CountConverter:
    """Turns millivolts into whole numbers, and puts the last valid value where samples are missing.

    Args:
        n_leads: rows of what is converted.
    """

    def __init__(self, n_leads: int):
        self.last_valid = np.zeros(n_leads, np.int64)

    def convert(self, samples: NDArray[np.float64]) -> tuple[NDArray[np.int64], NDArray[np.bool_] | None]:
        """Return the samples as counts, and which of them are missing; None if none are.

        Args:
            samples: shape (leads, n), millivolts; missing ones are NaN, infinite or beyond 1 volt.
        """
        missing = None
        largest = _LARGEST_MILLIVOLTS
        if not (samples.max() <= largest and samples.min() >= -largest):  # with NaN both are false
            missing = ~(np.abs(samples) <= largest)
            samples = np.where(missing, 0.0, samples)
        counts = np.rint(samples * (1 / MILLIVOLTS_PER_COUNT)).astype(np.int64)
        if missing is not None:
            valid = np.where(missing, -1, np.arange(samples.shape[1]))
            valid = np.maximum.accumulate(valid, axis=1)
            repeated = np.take_along_axis(counts, np.maximum(valid, 0), axis=1)
            counts = np.where(valid < 0, self.last_valid[:, np.newaxis], repeated)
        self.last_valid = counts[:, -1].copy()
        return counts, missing


class WindowBand(NamedTuple):
    """The band of the windows, and what the filter takes away at both ends of it; all in millivolts."""

    filtered: NDArray[np.float32]
    """(leads, n): without baseline and high frequencies."""
    baseline: NDArray[np.float64]
    """(leads, blocks): at the start of each block."""
    high_frequency: NDArray[np.float64]
    """(leads, blocks): mean absolute value above the band."""


def window_band(counts: NDArray[np.int64], lengths: FilterLengths, n_new: int) -> WindowBand:
    """Band-pass the windows' signal. The results belong to samples `lengths.baseline` before the new ones.

    Args:
        counts: (leads, samples), the last `n_new` of them new, after at least `2 * lengths.baseline` others.
        lengths: the filters' lengths.
        n_new: a multiple of the block.
    """
    reach, smoothing = lengths.baseline, lengths.smoothing
    counts = counts[:, -(n_new + 2 * reach) :]
    baseline = moving_sum(moving_sum(counts, reach + 1), reach + 1) * (
        MILLIVOLTS_PER_COUNT / (reach + 1) ** 2
    )
    centre = counts[:, reach - smoothing + 1 : reach + n_new + smoothing - 1]
    smoothed = moving_sum(moving_sum(centre, smoothing), smoothing) * (MILLIVOLTS_PER_COUNT / smoothing**2)
    filtered = (smoothed - baseline).astype(np.float32)
    rest = counts[:, reach : reach + n_new] * MILLIVOLTS_PER_COUNT
    rest -= smoothed
    np.abs(rest, out=rest)
    high_frequency = rest.reshape(len(counts), -1, lengths.block).mean(axis=2)
    return WindowBand(filtered, baseline[:, :: lengths.block], high_frequency)


def qrs_band(counts: NDArray[np.int64], lengths: FilterLengths) -> NDArray[np.int64]:
    """Band-pass one lead for the detector, 5 to 15 Hz, shorter by `2 * lengths.qrs_delay`.

    The result is a whole number, `qrs_wide * qrs_narrow ** 2` times as large as the signal.
    """
    low = moving_sum(moving_sum(counts, lengths.qrs_narrow), lengths.qrs_narrow)
    half = lengths.qrs_wide // 2
    band = low[half:-half] * lengths.qrs_wide
    band -= moving_sum(low, lengths.qrs_wide)
    return band


def qrs_energy(band: NDArray[np.int64], lengths: FilterLengths) -> NDArray[np.int64]:
    """Return the squared slope of the detector's band, summed over 150 ms; shorter by twice its delay."""
    slope = band[2 * lengths.slope :] - band[: -2 * lengths.slope]
    scaled = slope * (1 / (lengths.qrs_wide * lengths.qrs_narrow**2))
    whole = np.rint(scaled, out=scaled).astype(np.int64)  # whole numbers again, so that sums stay exact
    return moving_sum(whole * whole, lengths.integration)
