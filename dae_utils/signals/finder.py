"""From samples to beats: finds them, cuts their windows out and judges the signal. It scores nothing."""

from __future__ import annotations

import math
from collections.abc import Sequence
from numbers import Real
from typing import TypedDict, TypeVar, Unpack, cast

import numpy as np
from numpy.typing import ArrayLike, NDArray

from dae_utils.data.ecg import Record
from dae_utils.signals.beats import Beats
from dae_utils.signals.checks import PlausibilityCheck, as_leads
from dae_utils.signals.detector import Detection, RPeakDetector
from dae_utils.signals.filters import (
    MILLIVOLTS_PER_COUNT,
    CountConverter,
    FilterLengths,
    SampleBuffer,
    window_band,
)
from dae_utils.signals.quality import INCOMPLETE, TICK_BLOCKS, QualitySpan, SignalQuality
from dae_utils.signals.rhythm import RhythmTracker
from dae_utils.validation import check_count

_LONGEST_STEP = 10_800  # samples that are worked on at once: few enough for the processor's cache
_LONGEST_WINDOW = 10  # seconds, to either side of the R peak


class FinderSettings(TypedDict, total=False):
    """The settings of `BeatFinder`, all but `leads`, for functions that hand them on."""

    sampling_rate: int
    main_lead: int
    window_leads: Sequence[int] | None
    before_seconds: float
    after_seconds: float
    low_hertz: float
    high_hertz: float
    converter_range: tuple[float, float] | None


Settings = TypeVar("Settings", bound=FinderSettings)


class BeatFinder:
    """Finds and cuts out the beats of a stream of samples, and judges the signal's quality.

    A beat comes out `delay_seconds` after its R peak (2.1 by default), or when it was found, if that took a
    search back. The R peak is where the signal between 5 and 15 Hz is furthest from zero.

    The verdicts, made without labels:

    "flat line"
        All leads move less than 10 microvolts in half a second.
    "lead drop-out"
        One lead does while another works, or samples are missing: NaN, infinite, or beyond 1 volt.
    "saturated"
        A lead stands still for 45 ms at an end of the converter's range, or at its own highest or lowest of
        the last two seconds.
    "noise"
        A lead is more than 1.8 times as loud above the band (38 Hz and more) as it usually is in its quiet
        moments, or its baseline wanders, within two seconds, by more than 0.35 of the usual height of its
        beats. It is judged anew every half second. Below 190 samples a second there is nothing above
        the band, and only the baseline counts.
    "incomplete"
        The window begins before the first sample or ends after the last.

    Noise counts in the window itself; flat lines, drop-outs and saturation count also when they lie near
    enough to reach into it through the filter, that is 1.1 seconds.

    The first ten seconds are checked for two mistakes that would otherwise pass in silence: a column that is
    a time, and a main lead that is not in millivolts.

    Args:
        sampling_rate: samples a second, a whole number from 100 to 5000.
        leads: columns of the signals.
        main_lead: the column in which R peaks are looked for.
        window_leads: the columns that are cut out, in this order, and whose quality counts; the main lead
            must be one of them. By default all, in their order.
        before_seconds: length of a window before the R peak, from 0 to 10 seconds.
        after_seconds: length of a window from the R peak on, from one sample to 10 seconds. The windows have
            `samples_before + samples_after` rows, which depend on the sampling rate.
        low_hertz: lower end of the windows' band (-3 dB), from 0.3 to 2.
        high_hertz: upper end of the band, from 15 to half of the sampling rate.
        converter_range: lowest and highest value of the converter, in millivolts; by default that of MIT-BIH.
            None if unknown.

    Raises:
        ValueError: a setting out of range.
    """

    def __init__(
        self,
        *,
        sampling_rate: int = 360,
        leads: int = 2,
        main_lead: int = 0,
        window_leads: Sequence[int] | None = None,
        before_seconds: float = 0.389,
        after_seconds: float = 0.5,
        low_hertz: float = 0.5,
        high_hertz: float = 40.0,
        converter_range: tuple[float, float] | None = (-5.12, 5.115),
    ):
        rate = check_count(sampling_rate, "sampling_rate", least=100, most=5000)
        self._n_columns = check_count(leads, "leads")
        self._used = _checked_leads(window_leads, main_lead, leads)
        _check_band(low_hertz, high_hertz, rate)
        if converter_range is not None and not converter_range[0] < converter_range[1]:
            raise ValueError(
                f"converter_range must be (lowest, highest) in millivolts, not {converter_range}."
            )
        self.sampling_rate = rate
        self.samples_before = _window_samples(before_seconds, "before_seconds", rate, least=0)
        self.samples_after = _window_samples(after_seconds, "after_seconds", rate, least=1)
        self._main = self._used.index(main_lead)
        self._lengths = sizes = FilterLengths.at(rate, low_hertz, high_hertz)
        # The last thing to be known of a beat is the noise in the tick in which its window ends.
        needed = max(
            self.samples_after + TICK_BLOCKS * sizes.block + sizes.baseline,
            sizes.energy_delay + 2 * sizes.refractory,
        )
        self._delay = math.ceil(needed / sizes.block) * sizes.block
        self._memory = RPeakDetector.longest_wait(sizes) + self._delay + self.samples_before + sizes.baseline
        n_used = len(self._used)
        self._plausibility = PlausibilityCheck(rate, self._used, self._main)
        self._converter = CountConverter(n_used)
        self._detector = RPeakDetector(sizes, self._memory)
        self._quality = SignalQuality(sizes, n_used, self._main, self._memory, converter_range)
        self._filtered = SampleBuffer(np.zeros((n_used, self._memory), np.float32), -sizes.baseline)
        self._rhythm = RhythmTracker(rate)
        self._history = np.zeros((n_used, sizes.history), np.int64)
        self._waiting: list[NDArray[np.float64]] = []  # what does not fill a block yet
        self._n_waiting = 0
        self._seen = 0  # samples worked on, whole blocks
        self._end: int | None = None
        self._unreported: list[Detection] = []

    @property
    def delay_seconds(self) -> float:
        """Seconds from an R peak to the report of its beat."""
        return self._delay / self.sampling_rate

    @property
    def recent_quality(self) -> list[QualitySpan]:
        """The last verdicts on the signal, at most 1000, up to about the time of the last reported beat."""
        return self._quality.spans

    def push(self, signals: ArrayLike) -> Beats:
        """Take the next samples and return the beats that they finish.

        Args:
            signals: shape (samples, leads), any number of samples, millivolts; missing values are NaN.

        Raises:
            ValueError: another shape, no numbers, a time column, not millivolts, or after `finish`.
        """
        if self._end is not None:
            raise ValueError("this stream was finished; make a new one for another record.")
        signals = as_leads(signals, self._n_columns)
        samples = np.array([signals[:, lead] for lead in self._used], np.float64)
        self._plausibility.add(samples)
        return self._process(samples)

    def finish(self) -> Beats:
        """Return the beats that are left, after the last sample. Nothing can be pushed any more.

        Raises:
            ValueError: if it was finished before; and as `push`, if the record is shorter than ten seconds.
        """
        beats = [self.push(np.empty((0, self._n_columns)))]
        self._plausibility.finish()
        self._end = self._seen + self._n_waiting
        if self._end:
            # The record goes on as it ended until everything has come through.
            sizes = self._lengths
            last = self._converter.last_valid[:, np.newaxis] * MILLIVOLTS_PER_COUNT
            last = np.concatenate([last, *self._waiting], axis=1)[:, -1:]
            n_more = self._delay + 2 * (sizes.energy_delay + sizes.refractory + sizes.block)
            beats.append(self._process(np.repeat(last, n_more, axis=1)))
            self._unreported.extend(self._detector.finish(self._end))
            beats.append(self._report())
        return Beats.joined(beats)

    def _process(self, samples: NDArray[np.float64]) -> Beats:
        """Work on all whole blocks that are there; samples: (leads used, n), millivolts."""
        self._waiting.append(samples)
        self._n_waiting += samples.shape[1]
        size = self._lengths.block
        if self._n_waiting < size:
            return self._cut([])
        samples = np.concatenate(self._waiting, axis=1)
        whole = self._n_waiting // size * size
        self._waiting, self._n_waiting = [samples[:, whole:].copy()], self._n_waiting - whole
        step = max(_LONGEST_STEP // size, 1) * size
        parts = (samples[:, start : min(start + step, whole)] for start in range(0, whole, step))
        return Beats.joined([self._advance(part) for part in parts])

    def _advance(self, samples: NDArray[np.float64]) -> Beats:
        """Work on some whole blocks, shape (leads used, n)."""
        n_new = samples.shape[1]
        counts, missing = self._converter.convert(samples)
        if self._seen == 0:
            # As if the first values had always been there.
            self._history[:] = counts[:, :1]
            self._quality.begin(counts[:, 0])
        counts = np.concatenate([self._history, counts], axis=1)
        self._history = counts[:, -self._lengths.history :].copy()
        self._seen += n_new
        self._quality.assess_faults(counts, missing, n_new, self._end)
        band = window_band(counts, self._lengths, n_new)
        self._filtered.append(band.filtered, self._filtered.stop - self._memory)
        self._quality.assess_noise(band.high_frequency, band.baseline, self._end)
        self._unreported.extend(self._detector.detect(counts[self._main], n_new, self._seen, self._end))
        return self._report()

    def _report(self) -> Beats:
        """Return the beats whose time to be reported has come."""
        due = []
        for number, (sample, known) in enumerate(self._unreported):
            reported = max(known, sample + self._delay)
            if reported > self._seen:
                break
            # Whether the next one counts as known must not depend on how many samples have come by chance.
            rr_after = math.nan
            if number + 1 < len(self._unreported):
                following = self._unreported[number + 1]
                if following.known <= reported:
                    rr_after = (following.sample - sample) / self.sampling_rate
            due.append((sample, reported, rr_after))
        del self._unreported[: len(due)]
        return self._cut(due)

    def _cut(self, due: list[tuple[int, int, float]]) -> Beats:
        """Cut the beats out: sample number of the R peak, sample to report it with, RR interval after it."""
        length = self.samples_before + self.samples_after
        windows = np.empty((len(due), length, len(self._used)), np.float32)
        rhythm = np.empty((len(due), 3))
        quality = np.empty(0, np.uint8)
        peaks = np.array([peak for peak, _, _ in due], np.int64)
        if due:
            start, stop = peaks - self.samples_before, peaks + self.samples_after
            quality = self._quality.verdicts(start, stop)
            is_cut_off = (start < 0) | (stop > (math.inf if self._end is None else self._end))
            quality[is_cut_off & (quality < INCOMPLETE)] = INCOMPLETE
            for row, first in enumerate(start.tolist()):
                windows[row] = self._filtered.between(first, first + length).T
            n_lost = self._quality.n_lost_blocks(peaks).tolist()
            rhythm[:] = [
                self._rhythm.add(peak, rr_after, lost)
                for (peak, _, rr_after), lost in zip(due, n_lost, strict=True)
            ]
        return Beats(
            sample=peaks,
            windows=windows,
            rhythm=rhythm,
            quality_code=quality,
            reported=np.array([reported for _, reported, _ in due]) / self.sampling_rate,
            sampling_rate=self.sampling_rate,
        )


def _checked_leads(window_leads: Sequence[int] | None, main_lead: int, n_leads: int) -> list[int]:
    """Return the columns to cut out, all by default, or raise `ValueError`."""
    used = list(range(n_leads) if window_leads is None else window_leads)
    for lead in used:
        check_count(lead, "a lead's number", least=0, most=n_leads - 1)
    if main_lead not in used or len(set(used)) != len(used):
        raise ValueError(f"window_leads {used} must name the main lead {main_lead}, each lead once.")
    return used


def _check_band(low_hertz: float, high_hertz: float, sampling_rate: int) -> None:
    if not 0.3 <= low_hertz <= 2 or not 15 <= high_hertz <= sampling_rate / 2:
        raise ValueError(
            f"the band from {low_hertz} to {high_hertz} Hz must begin at 0.3 to 2 Hz and end at 15 Hz to "
            f"{sampling_rate / 2:g} Hz, half of the sampling rate."
        )


def _window_samples(seconds: float, name: str, sampling_rate: int, least: int) -> int:
    """Return a length in samples, or raise `ValueError` unless it is from `least` samples to ten seconds."""
    is_number = isinstance(seconds, Real) and not isinstance(seconds, bool)
    if not is_number or not 0 <= seconds <= _LONGEST_WINDOW or round(seconds * sampling_rate) < least:
        raise ValueError(
            f"{name} must be from {least / sampling_rate:.2g} to {_LONGEST_WINDOW} seconds, not {seconds!r}; "
            "divide samples by the sampling rate."
        )
    return round(seconds * sampling_rate)


def find_beats(signals: ArrayLike | Record, **settings: Unpack[FinderSettings]) -> Beats:
    """Return all beats of a whole record at once: the same that a stream of its samples gives.

    Args:
        signals: a `Record`, which knows its rate, units and leads (the main one first in the windows), or an
            array of shape (samples, leads), millivolts.
        **settings: those of `BeatFinder`; `leads` is known from the signals.

    Raises:
        ValueError: as `BeatFinder` and its `push`, or another `sampling_rate` than the record's.
    """
    array, settings = leads_and_settings(signals, settings)
    finder = BeatFinder(leads=array.shape[1], **settings)
    return Beats.joined([finder.push(array), finder.finish()])


def quality_spans(signals: ArrayLike | Record, **settings: Unpack[FinderSettings]) -> list[QualitySpan]:
    """Return the verdicts on a whole record's signal: spans that lie end to end, from its start to its end.

    Args:
        signals: see `find_beats`.
        **settings: those of `BeatFinder`; `leads` is known from the signals.

    Raises:
        ValueError: as `find_beats`.
    """
    array, settings = leads_and_settings(signals, settings)
    finder = BeatFinder(leads=array.shape[1], **settings)
    spans: list[QualitySpan] = []
    for start in range(0, len(array), _LONGEST_STEP):
        finder.push(array[start : start + _LONGEST_STEP])
        spans = continued_spans(spans, finder.recent_quality)
    finder.finish()
    return continued_spans(spans, finder.recent_quality)


def leads_and_settings(
    signals: ArrayLike | Record, settings: Settings
) -> tuple[NDArray[np.number], Settings]:
    """Return signals as an array, shape (samples, leads), and settings with what a `Record` knows put in.

    Raises:
        ValueError: another shape, or another `sampling_rate` than the record's.
    """
    if not isinstance(signals, Record):
        return as_leads(signals), settings
    record = signals.in_millivolts()
    if settings.get("sampling_rate", record.sampling_rate) != record.sampling_rate:
        raise ValueError(
            f"record {record.name} has {record.sampling_rate} samples a second, not "
            f"{settings['sampling_rate']}; leave sampling_rate out."
        )
    main = settings.get("main_lead", record.main_lead)
    others = [lead for lead in range(len(record.lead_names)) if lead != main]
    completed = {"main_lead": main, "window_leads": [main, *others], **settings}
    completed["sampling_rate"] = record.sampling_rate
    return as_leads(record.signals), cast(Settings, completed)


def continued_spans(spans: list[QualitySpan], recent: list[QualitySpan]) -> list[QualitySpan]:
    """Return the spans with the recent ones, which may repeat the last of them or make it longer."""
    first = recent[0].start if recent else math.inf
    return [span for span in spans if span.start < first] + recent
