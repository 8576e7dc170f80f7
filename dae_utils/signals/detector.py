"""Finds R peaks in one lead, as Pan and Tompkins do. It sees no labels and says nothing of signal quality.

The method is that of Pan and Tompkins, "A real-time QRS detection algorithm", IEEE Transactions on Biomedical
Engineering 32(3), 1985, doi 10.1109/TBME.1985.325532, with the medians of Hamilton and Tompkins,
"Quantitative investigation of QRS detection rules using the MIT/BIH arrhythmia database", the same journal
33(12), 1986, doi 10.1109/TBME.1986.325695. wfdb's XQRS and GQRS need the whole record at
once; here samples come in pieces.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from dae_utils.signals.filters import (
    MILLIVOLTS_PER_COUNT,
    FilterLengths,
    SampleBuffer,
    moving_maximum,
    qrs_band,
    qrs_energy,
)

# The settings are those of the two papers, but for the threshold, which is a share of the slope and not of
# its square, and the next one. From 0.27 to 0.33 results are the same in the third digit.
_THRESHOLD = 0.30
_T_WAVE_SECONDS = 0.32  # 0.36 in the paper, which takes more of the early ventricular beats for T waves
_LEAST_SLOPE = 1.0  # millivolts a second; the weakest beats of MIT-BIH have 4
_SEARCH_BACK = 1.66  # times the mean RR interval
_LEARNING_SECONDS = 2.0
_LONGEST_RR = 2.0  # seconds; longer ones are taken for this long when intervals are averaged
_N_INTERVALS = 8  # that are averaged
_N_HEIGHTS = 8  # beats and other peaks of which the thresholds are medians


class EnergyPeak(NamedTuple):
    """A peak of the detector's energy, which may be a heartbeat."""

    sample: int
    height: float
    """Root mean square slope, millivolts a second."""


class Detection(NamedTuple):
    """A heartbeat."""

    sample: int
    """Where it is."""
    known: int
    """The sample with which that was known."""


class PeakClassifier:
    """Decides which of the energy's peaks are heartbeats: adaptive thresholds, T waves, search back.

    Peaks come in order, no two of them within the refractory period. A deadline is an event of its own with a
    place in time between peaks, so that what is found does not depend on when somebody asks.

    Args:
        sampling_rate: samples a second.
    """

    def __init__(self, sampling_rate: int):
        self._rate = sampling_rate
        self._learning_ends: int | None = None
        self._unclassified: list[EnergyPeak] | None = []  # peaks while learning
        self._rejected: list[EnergyPeak] = []  # peaks since the last beat that were too low for one
        self._found: list[Detection] = []
        self._beat_heights: list[float] = []
        self._noise_heights = [0.0] * _N_HEIGHTS
        self._intervals: list[float] = []
        self._last_beat = EnergyPeak(0, 0.0)
        self._has_beat = False
        self._deadline = math.inf
        self._threshold = 0.0

    def classify(self, peaks: Iterable[EnergyPeak], now: int) -> list[Detection]:
        """Return the new beats: where they are, and with which sample they were recognised.

        Args:
            peaks: the energy's peaks up to sample `now`, since the last call.
            now: up to here all peaks are known.
        """
        for peak in peaks:
            self._pass_time(peak.sample - 1)
            if self._learning_ends is None:
                self._learning_ends = peak.sample + math.ceil(_LEARNING_SECONDS * self._rate)
            if self._unclassified is None:
                self._decide(peak)
            else:
                self._unclassified.append(peak)
        self._pass_time(now)
        found, self._found = self._found, []
        return found

    def finish(self, end: int) -> list[Detection]:
        """Return the beats of a record that ends, at sample `end`, before the thresholds were set."""
        if self._unclassified is not None:
            self._learning_ends = end
            self._stop_learning(self._unclassified)
        return self.classify((), -1)

    def _pass_time(self, now: float) -> None:
        if self._unclassified is not None:
            if self._learning_ends is None or now < self._learning_ends:
                return
            self._stop_learning(self._unclassified)
        while self._deadline <= now:
            self._search_back()

    def _stop_learning(self, peaks: list[EnergyPeak]) -> None:
        """Set the first thresholds from the peaks so far, and decide on these."""
        self._unclassified = None
        highest = sorted(peak.height for peak in peaks)[-3:]
        self._beat_heights = [highest[len(highest) // 2] if highest else _LEAST_SLOPE] * _N_HEIGHTS
        self._intervals = [float(self._rate)]
        self._set_threshold()
        if peaks:
            self._deadline = peaks[0].sample + _SEARCH_BACK * self._rate
        for peak in peaks:
            self._pass_time(peak.sample - 1)
            self._decide(peak)

    def _decide(self, peak: EnergyPeak) -> None:
        # A T wave follows closely and rises slowly: its energy, that of the slope, is low.
        is_t_wave = (
            self._has_beat
            and peak.sample - self._last_beat.sample < _T_WAVE_SECONDS * self._rate
            and peak.height < 0.5 * self._last_beat.height
        )
        if peak.height > self._threshold and not is_t_wave:
            self._accept(peak, peak.sample)
        else:
            del self._noise_heights[0]
            self._noise_heights.append(peak.height)
            if not is_t_wave:
                self._rejected.append(peak)
            self._set_threshold()

    def _accept(self, peak: EnergyPeak, recognised: int) -> None:
        recognised = max(recognised, self._learning_ends or 0)
        if self._has_beat:
            self._intervals.append(min(peak.sample - self._last_beat.sample, _LONGEST_RR * self._rate))
            del self._intervals[:-_N_INTERVALS]
        self._found.append(Detection(peak.sample, recognised))
        self._last_beat, self._has_beat = peak, True
        self._rejected = [other for other in self._rejected if other.sample > peak.sample]
        del self._beat_heights[0]
        self._beat_heights.append(peak.height)
        self._set_threshold()
        self._deadline = peak.sample + _SEARCH_BACK * self._mean_interval()

    def _mean_interval(self) -> float:
        return sum(self._intervals) / len(self._intervals)

    def _search_back(self) -> None:
        """Look for a beat among the rejected peaks, because none came for too long."""
        deadline = math.ceil(self._deadline)
        oldest = deadline - _LONGEST_RR * _SEARCH_BACK * self._rate
        self._rejected = [peak for peak in self._rejected if peak.sample >= oldest]
        highest = max(self._rejected, key=lambda peak: peak.height, default=EnergyPeak(0, 0.0))
        if highest.height > 0.5 * self._threshold:
            self._accept(highest, deadline)
            # What was found may be so far back that the next beat is overdue as well, but time does not run
            # backwards.
            self._deadline = max(self._deadline, deadline + 1.0)
        else:
            # Nothing there: the signal has perhaps become smaller.
            self._beat_heights = [0.8 * height for height in self._beat_heights]
            self._set_threshold()
            self._deadline += self._mean_interval()

    def _set_threshold(self) -> None:
        # Medians of the last eight: one giant among them, such as an artefact, changes little.
        beats, noise = sorted(self._beat_heights), sorted(self._noise_heights)
        beat_level, noise_level = (beats[3] + beats[4]) / 2, (noise[3] + noise[4]) / 2
        self._threshold = max(noise_level + _THRESHOLD * (beat_level - noise_level), _LEAST_SLOPE)


class RPeakDetector:
    """Finds the R peaks of one lead: band-pass, slope, square, moving sum, decisions, and the exact place.

    The R peak is where the signal between 5 and 15 Hz is furthest from zero.

    Args:
        lengths: the filters' lengths.
        memory: how many samples to remember, at least `longest_wait(lengths)`.
    """

    def __init__(self, lengths: FilterLengths, memory: int):
        self._lengths = lengths
        self._memory = memory
        self._band = SampleBuffer(np.zeros(memory, np.int64), -lengths.qrs_delay)
        self._classifier = PeakClassifier(lengths.sampling_rate)

    @staticmethod
    def longest_wait(lengths: FilterLengths) -> int:
        """Return how many samples after a beat it may be found at the latest, by search back."""
        longest = _SEARCH_BACK * _LONGEST_RR * lengths.sampling_rate
        return math.ceil(longest + lengths.energy_delay + lengths.refractory)

    def detect(self, counts: NDArray[np.int64], n_new: int, seen: int, end: int | None) -> list[Detection]:
        """Return the R peaks that the new samples make known.

        Args:
            counts: (samples,), the last `n_new` of them new, after at least `lengths.history` others.
            n_new: how many are new.
            seen: samples of the record so far, the new ones among them.
            end: samples of the record, if that is known; what comes after it is no signal.
        """
        sizes, apart = self._lengths, self._lengths.refractory
        band = qrs_band(counts[-(n_new + 2 * (sizes.energy_delay + apart)) :], sizes)
        self._band.append(band[-n_new:], self._band.stop - self._memory)
        energy = qrs_energy(band, sizes)
        # A peak is above all before it and not below any after it, within the refractory period.
        highest = moving_maximum(energy, apart)
        middle = energy[apart : apart + n_new]
        is_peak = (middle > highest[:n_new]) & (middle >= highest[apart + 1 : apart + 1 + n_new])
        now = seen - sizes.energy_delay - apart - 1
        now = now if end is None else min(now, end - 1)
        index = np.flatnonzero(is_peak)
        sample = index + seen - n_new - sizes.energy_delay - apart
        per_second = MILLIVOLTS_PER_COUNT * sizes.sampling_rate / (2 * sizes.slope)
        height = np.sqrt(middle[index] / sizes.integration) * per_second
        inside = (sample >= 0) & (sample <= now)
        peaks = map(EnergyPeak, sample[inside].tolist(), height[inside].tolist())
        return self._placed(self._classifier.classify(peaks, now), end)

    def finish(self, end: int) -> list[Detection]:
        """Return the R peaks of a record that ends, at sample `end`, before the thresholds were set."""
        return self._placed(self._classifier.finish(end), end)

    def _placed(self, found: list[Detection], end: int | None) -> list[Detection]:
        """Put each beat's R peak where the band-passed signal is furthest from zero."""
        if not found:
            return []
        half = self._lengths.refractory // 2
        centres, recognised = np.array(found).T
        around = np.maximum(centres[:, np.newaxis] + np.arange(-half, half + 1), 0)
        largest = np.abs(self._band.values[around - self._band.start]).argmax(axis=1)
        peaks = around[np.arange(len(found)), largest]
        if end is not None:
            peaks = np.minimum(peaks, end - 1)
        known = recognised + (self._lengths.energy_delay + self._lengths.refractory + 1)
        return list(map(Detection, peaks.tolist(), known.tolist()))
