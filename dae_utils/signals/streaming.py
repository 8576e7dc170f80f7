"""Heartbeats scored as they arrive: causal filter, R peaks, signal quality, score, alarm; memory is bounded.

Samples go in at one end, in pieces of any length; finished beats come out at the other. What comes out does
not depend on the pieces: a record pushed sample by sample and one pushed whole give the same beats. That is
so because all filters are moving sums, as in the detector of Pan and Tompkins, and what they sum are whole
numbers, tenths of a microvolt, so that nothing is ever rounded. Nothing drifts over days, either, and there
is no state to carry along but the last samples. Moving sums are symmetric, too: they delay all frequencies
alike and so leave the shape of a beat as it is, which a recursive filter would not. The price is the delay,
1.1 seconds for the band from 0.5 to 40 Hz.

The detector follows Pan and Tompkins, "A real-time QRS detection algorithm", IEEE Transactions on Biomedical
Engineering 32(3), 1985, doi 10.1109/TBME.1985.325532, with the medians of Hamilton and Tompkins,
"Quantitative investigation of QRS detection rules using the MIT/BIH arrhythmia database", the same journal
33(12), 1986, doi 10.1109/TBME.1986.325695. Nothing here is a medical device, nor fit to be part of one.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from dae_utils.validation import check_count, check_scores

__all__ = [
    "QUALITIES",
    "AlarmCounts",
    "Beat",
    "BeatFinder",
    "BeatMatch",
    "BeatStream",
    "Beats",
    "QualitySpan",
    "alarm_episodes",
    "count_alarms",
    "find_beats",
    "match_beats",
    "quality_spans",
    "rhythm_features",
    "score_record",
]

Score = Callable[..., ArrayLike]

# The verdicts on the signal, from the mildest to the gravest.
QUALITIES = ("good", "noise", "incomplete", "saturated", "lead drop-out", "flat line")
_GOOD, _NOISE, _INCOMPLETE, _SATURATED, _DROP_OUT, _FLAT_LINE = range(len(QUALITIES))

_UNIT = 1e-4  # millivolts: all sums are of whole multiples of this
_LARGEST = 1000.0  # millivolts: what exceeds it comes from no electrode and counts as missing
_LONGEST_STEP = 10_800  # samples that are worked on together: few enough for the processor's cache

# The detector's settings are those of the two papers, but for the threshold, which is a share of the slope
# and not of its square, and the next one. From 0.27 to 0.33 results are the same in the third digit.
_THRESHOLD = 0.30
_T_WAVE_SECONDS = 0.32  # 0.36 in the paper, which takes more of the early ventricular beats for T waves
_LEAST_SLOPE = 1.0  # millivolts a second; the weakest beats of MIT-BIH have 4
_SEARCH_BACK = 1.66  # times the mean RR interval
_LEARNING_SECONDS = 2.0
_LONGEST_RR = 2.0  # seconds; longer ones are taken for this long when intervals are averaged
_RR_MEMORY = 10  # intervals of which the usual one is the median

# Signal quality is judged in blocks of a tenth of a second, noise in ticks of five blocks. The thresholds for
# noise were settled on the records of DS1: they flag a fortieth of what the experts there call clean.
_TICK_BLOCKS = 5
_STUCK = 0.045  # seconds at one and the same value; 0.03 is the longest in clean MIT-BIH signals
_STILL_RANGE = 0.01  # millivolts
_STILL_BLOCKS = 5
_RECENT_BLOCKS = 20
_CLIPPED_RANGE = 0.5  # millivolts: what moves less is still, not clipped
_RAIL_MARGIN = 0.02  # millivolts
_NOISE_TICKS = 4
_NOISE_RATIO = 1.8
_LEAST_NOISE = 0.006  # millivolts, mean absolute value; the converter's step is 0.005
_WANDER_RATIO = 0.35
_LEAST_WANDER = 0.3  # millivolts


# ------------------------------------------------------------------------------------------------------------
# Lengths


@dataclass(frozen=True)
class _Lengths:
    """How many samples everything takes at one sampling rate.

    `smooth` and `reach` belong to the windows' band, the others to the detector: its low-pass and high-pass
    (`narrow` and `wide`, about 5 to 15 Hz), the half-width of its slope, its integration (150 ms), and the
    refractory period (`apart`, 200 ms).
    """

    rate: int
    block: int
    smooth: int
    reach: int
    narrow: int
    wide: int
    slope: int
    integration: int
    apart: int
    band_delay: int
    energy_delay: int

    @classmethod
    def at(cls, rate: int, low_hertz: float, high_hertz: float) -> _Lengths:
        block = max(1, round(rate / 10))
        # A moving sum applied twice has lost half of its power (-3 dB) at 0.319 / its length; taken away from
        # the signal, at 0.573 / its length.
        smooth = max(1, round(0.319 * rate / high_hertz))
        reach = block * max(1, round(0.573 * rate / low_hertz / block))
        narrow = max(1, round(rate * 0.025))
        half_wide, half_integration = round(rate * 0.0625), round(rate * 0.075)
        slope = max(1, round(rate / 360))
        band_delay = narrow - 1 + half_wide
        return cls(
            rate=rate,
            block=block,
            smooth=smooth,
            reach=reach,
            narrow=narrow,
            wide=2 * half_wide + 1,
            slope=slope,
            integration=2 * half_integration + 1,
            apart=round(rate * 0.2),
            band_delay=band_delay,
            energy_delay=band_delay + slope + half_integration,
        )

    @property
    def history(self) -> int:
        """Samples that the filters look back on."""
        return max(2 * self.reach, 2 * (self.energy_delay + self.apart), self.block)


def _moving_sum(values: NDArray, length: int) -> NDArray:
    """Return the sums of each `length` neighbours on the last axis, which gets shorter by length - 1."""
    if length == 1:
        return values
    sums = np.cumsum(values, axis=-1)
    result = np.empty((*sums.shape[:-1], sums.shape[-1] - length + 1), sums.dtype)
    result[..., 0] = sums[..., length - 1]
    np.subtract(sums[..., length:], sums[..., :-length], out=result[..., 1:])
    return result


def _moving_maximum(values: NDArray, length: int) -> NDArray:
    """Return the largest of each `length` neighbours on the last axis, which gets shorter by length - 1."""
    done = 1
    while 2 * done <= length:
        values = np.maximum(values[..., done:], values[..., :-done])
        done *= 2
    rest = length - done
    return np.maximum(values[..., rest:], values[..., :-rest]) if rest else values


def _moving_range(values: NDArray, length: int) -> NDArray:
    """Return how far each `length` neighbours go apart on the last axis, which gets shorter by length - 1.

    values: (2, ...), the upper ends, and the lower ends with the other sign.
    """
    return _moving_maximum(values, length).sum(axis=0)


class _Tape:
    """The last stretch of something that goes on for ever, along the last axis of an array.

    Places on it are counted from the start of the record; the tape holds those from `start` to `stop`.
    """

    def __init__(self, values: NDArray, stop: int):
        self.values = values
        self.stop = stop
        self.start = stop - values.shape[-1]

    def append(self, values: NDArray, keep_from: int) -> None:
        """Add values at the end, and drop those before the place `keep_from`."""
        drop = max(keep_from - self.start, 0)
        self.values = np.concatenate([self.values[..., drop:], values], axis=-1)
        self.start += drop
        self.stop += values.shape[-1]

    def between(self, start: int, stop: int) -> NDArray:
        """Return what lies from place `start` to before `stop`, both of which must be on the tape."""
        return self.values[..., start - self.start : stop - self.start]

    def largest(self, start: NDArray, stop: NDArray) -> NDArray:
        """Return the largest value in each stretch from place `start` to before `stop`, for a single line."""
        borders = np.stack([start, stop], axis=1).ravel() - self.start
        padded = np.append(self.values, self.values[-1:])  # since a stretch may end where the tape does
        return np.maximum.reduceat(padded, borders)[::2]


# ------------------------------------------------------------------------------------------------------------
# The detector


class _Detector:
    """Decides which of the energy's peaks are heartbeats: adaptive thresholds, T waves, search back.

    Peaks come in order, no two of them within the refractory period. A deadline is an event of its own with a
    place in time between peaks, so that what is found does not depend on when somebody asks.
    """

    def __init__(self, lengths: _Lengths):
        self._rate = lengths.rate
        self._learning_ends: int | None = None
        self._waiting: list[tuple[int, float]] | None = []  # peaks while learning
        self._rejected: list[tuple[int, float]] = []  # peaks since the last beat that were too low for one
        self._found: list[tuple[int, int]] = []
        self._beat_heights: list[float] = []
        self._noise_heights = [0.0] * 8
        self._intervals: list[float] = []
        self._last = -math.inf
        self._last_height = 0.0
        self._deadline = math.inf
        self._threshold = 0.0

    def find(self, peaks: Iterable[tuple[int, float]], now: int) -> list[tuple[int, int]]:
        """Return new beats: sample number of the peak, and sample number at which it was recognised.

        Args:
            peaks: sample number and height of the energy's peaks up to sample `now`.
            now: up to here all peaks are known.
        """
        for peak in peaks:
            self._pass_time(peak[0] - 1)
            if self._learning_ends is None:
                self._learning_ends = peak[0] + math.ceil(_LEARNING_SECONDS * self._rate)
            if self._waiting is None:
                self._judge(*peak)
            else:
                self._waiting.append(peak)
        self._pass_time(now)
        found, self._found = self._found, []
        return found

    def _pass_time(self, now: float) -> None:
        if self._waiting is not None:
            if self._learning_ends is None or now < self._learning_ends:
                return
            self._stop_learning()
        while self._deadline <= now:
            self._search_back()

    def end(self, stop: int) -> list[tuple[int, int]]:
        """Return the beats of a record that ends, at sample `stop`, before the thresholds were set."""
        if self._waiting is not None:
            self._learning_ends = stop
            self._stop_learning()
        return self.find((), -1)

    def _stop_learning(self) -> None:
        """Set the first thresholds from the peaks so far, and judge these."""
        waiting, self._waiting = self._waiting or [], None
        highest = sorted(height for _, height in waiting)[-3:]
        self._beat_heights = [highest[len(highest) // 2] if highest else _LEAST_SLOPE] * 8
        self._intervals = [float(self._rate)]
        self._set_threshold()
        if waiting:
            self._deadline = waiting[0][0] + _SEARCH_BACK * self._rate
        for position, height in waiting:
            self._pass_time(position - 1)
            self._judge(position, height)

    def _judge(self, position: int, height: float) -> None:
        after = position - self._last
        # A T wave follows closely and rises slowly: its energy, that of the slope, is low.
        is_t_wave = after < _T_WAVE_SECONDS * self._rate and height < 0.5 * self._last_height
        if height > self._threshold and not is_t_wave:
            self._accept(position, height, position)
        else:
            del self._noise_heights[0]
            self._noise_heights.append(height)
            if not is_t_wave:
                self._rejected.append((position, height))
            self._set_threshold()

    def _accept(self, position: int, height: float, recognised: int) -> None:
        recognised = max(recognised, self._learning_ends or 0)
        if self._last > -math.inf:
            self._intervals.append(min(position - self._last, _LONGEST_RR * self._rate))
            del self._intervals[:-8]
        self._found.append((position, recognised))
        self._last, self._last_height = position, height
        self._rejected = [peak for peak in self._rejected if peak[0] > position]
        del self._beat_heights[0]
        self._beat_heights.append(height)
        self._set_threshold()
        self._deadline = position + _SEARCH_BACK * sum(self._intervals) / len(self._intervals)

    def _search_back(self) -> None:
        """Look for a beat among the rejected peaks, because none came for too long."""
        deadline = math.ceil(self._deadline)
        oldest = deadline - _LONGEST_RR * _SEARCH_BACK * self._rate
        self._rejected = [peak for peak in self._rejected if peak[0] >= oldest]
        highest = max(self._rejected, key=lambda peak: peak[1], default=(0, 0.0))
        if highest[1] > 0.5 * self._threshold:
            self._accept(*highest, deadline)
            # What was found may be so far back that the next beat is overdue as well, but time does not run
            # backwards.
            self._deadline = max(self._deadline, deadline + 1.0)
        else:
            # Nothing there: the signal has perhaps become smaller.
            self._beat_heights = [0.8 * height for height in self._beat_heights]
            self._set_threshold()
            self._deadline += sum(self._intervals) / len(self._intervals)

    def _set_threshold(self) -> None:
        # Medians of the last eight: one giant among them, such as an artefact, changes little.
        beats, noise = sorted(self._beat_heights), sorted(self._noise_heights)
        beat_level, noise_level = (beats[3] + beats[4]) / 2, (noise[3] + noise[4]) / 2
        self._threshold = max(noise_level + _THRESHOLD * (beat_level - noise_level), _LEAST_SLOPE)


# ------------------------------------------------------------------------------------------------------------
# Signal quality


class _Judge:
    """Gives a verdict on every block of a tenth of a second, and remembers those of the last seconds."""

    def __init__(
        self, lengths: _Lengths, first: NDArray, main: int, memory: int, rails: tuple[float, float] | None
    ):
        self._lengths = lengths
        self._main = main
        self._rails = rails
        self._n_kept = memory // lengths.block + _RECENT_BLOCKS
        self._run = math.ceil(_STUCK * lengths.rate)
        n_behind = lengths.reach // lengths.block
        constant = np.repeat(np.stack([first, -first])[..., np.newaxis], self._n_kept, axis=-1)
        # Highest values and lowest ones, the latter with the other sign, so that one maximum serves both.
        self._extremes = _Tape(constant, 0)
        self._baseline = _Tape(constant * _UNIT, -n_behind)
        self._loudness = _Tape(np.zeros((len(first), self._n_kept)), -n_behind)
        self._fault = _Tape(np.zeros(self._n_kept, np.uint8), 0)
        self._n_blind = _Tape(np.zeros(self._n_kept, np.int64), 0)
        self._noise = _Tape(np.zeros(self._n_kept, np.bool_), 0)
        # How loud each lead is in its quiet moments, and how high its beats are.
        self._usual = [[0.0, 0.0] for _ in first]
        self._n_heard = 0
        self.spans: deque[list[int]] = deque(maxlen=1000)

    def see(self, raw: NDArray, missing: NDArray | None, n_new: int, end: int | None) -> None:
        """Find flat lines, drop-outs and saturation in new blocks.

        Args:
            raw: (leads, samples), units, the last `n_new` of them new.
            missing: (leads, n_new), which samples are missing; None for none.
            n_new: a multiple of the block.
            end: samples of the record, if that is known; what comes after it is not judged.
        """
        size, begin = self._lengths.block, self._fault.stop
        keep = begin - self._n_kept
        shape = (len(raw), n_new // size, size)
        blocks = raw[:, -n_new:].reshape(shape)
        self._extremes.append(np.stack([blocks.max(axis=2), -blocks.min(axis=2)]), keep)
        recent = self._extremes.between(begin + 1 - _RECENT_BLOCKS, begin + shape[1])
        saturated = self._saturated(raw, n_new, end, recent)
        still = _moving_range(recent, _STILL_BLOCKS)[:, -shape[1] :] <= round(_STILL_RANGE / _UNIT)
        dead = still & ~saturated
        fault = np.zeros(shape[1], np.uint8)
        fault[saturated.any(axis=0)] = _SATURATED
        fault[dead.any(axis=0)] = _DROP_OUT
        fault[dead.all(axis=0)] = _FLAT_LINE
        if missing is not None:
            is_missing = missing.reshape(shape).any(axis=2)
            fault[is_missing.any(axis=0)] = _DROP_OUT
            dead |= is_missing
        blind = (dead | saturated)[self._main]
        if end is not None:
            beyond = max(math.ceil(end / size) - begin, 0)
            fault[beyond:] = _GOOD
        self._fault.append(fault, keep)
        self._n_blind.append(self._n_blind.values[-1] + np.cumsum(blind), keep)

    def _saturated(self, raw: NDArray, n_new: int, end: int | None, recent: NDArray) -> NDArray[np.bool_]:
        """Return which blocks hold a run at the converter's end or at the lead's own, (leads, blocks)."""
        size, begin = self._lengths.block, self._fault.stop
        seen = raw[:, -(n_new + self._run - 1) :]
        is_run = ~_moving_maximum(seen[:, 1:] != seen[:, :-1], self._run - 1)
        # Neither what was put before the first sample nor what was put after the last is the signal's doing.
        is_run[:, : max(self._run - 1 - begin * size, 0)] = False
        if end is not None:
            is_run[:, max(end - begin * size, 0) :] = False
        is_run = is_run.reshape(len(raw), -1, size)
        result = is_run.any(axis=2)
        if result.any():
            values = raw[:, -n_new:].reshape(is_run.shape)
            lead, block = np.nonzero(result)
            value = values[lead, block, is_run[lead, block].argmax(axis=1)]
            highest, lowest = _moving_maximum(recent, _RECENT_BLOCKS)[:, lead, block]
            clipped = (highest + lowest) * _UNIT >= _CLIPPED_RANGE
            clipped &= (value >= highest) | (-value >= lowest)
            if self._rails is not None:
                clipped |= value * _UNIT <= self._rails[0] + _RAIL_MARGIN
                clipped |= value * _UNIT >= self._rails[1] - _RAIL_MARGIN
            result[lead, block] = clipped
        return result

    def hear(self, loudness: NDArray, baseline: NDArray, end: int | None) -> None:
        """Find noise in what the filter has passed, tick by tick.

        Args:
            loudness: (leads, blocks), mean absolute value above the band, millivolts.
            baseline: (leads, blocks), millivolts.
            end: see `see`.
        """
        keep = self._loudness.stop - self._n_kept
        self._loudness.append(loudness, keep)
        self._baseline.append(np.stack([baseline, -baseline]), keep)
        begin, back = self._noise.stop, _NOISE_TICKS * _TICK_BLOCKS
        n_ticks = (self._loudness.stop - begin) // _TICK_BLOCKS
        if n_ticks <= 0:
            return
        stop = begin + n_ticks * _TICK_BLOCKS
        fault = self._fault.between(begin, stop)
        # Of the five blocks of a tick the second quietest: heartbeats are loud, too, but seldom fill four.
        loud = self._loudness.between(begin, stop).reshape(-1, n_ticks, _TICK_BLOCKS)
        loud = np.sort(loud)[..., 1]
        start = begin + _TICK_BLOCKS - back
        height, wander = (
            _moving_range(tape.between(start, stop), back)[:, ::_TICK_BLOCKS]
            for tape in (self._extremes, self._baseline)
        )
        height = height * _UNIT
        is_sound = ~fault.reshape(n_ticks, _TICK_BLOCKS).any(axis=1)
        noise = np.zeros(n_ticks, np.bool_)
        for lead in range(len(height)):
            noise |= self._compare(lead, loud[lead], height[lead], wander[lead], is_sound)
        self._n_heard += n_ticks
        noise = noise.repeat(_TICK_BLOCKS)
        self._noise.append(noise, keep)
        self._note(np.where(fault, fault, noise * np.uint8(_NOISE)), begin, end)

    def _compare(
        self, lead: int, loud: NDArray, height: NDArray, wander: NDArray, is_sound: NDArray
    ) -> list[bool]:
        """Return, for each tick, whether a lead is much louder or wanders much more than usual."""
        quiet, usual_height = self._usual[lead]
        result = []
        for number, (a, b, c, sound) in enumerate(
            zip(loud.tolist(), height.tolist(), wander.tolist(), is_sound.tolist(), strict=True),
            self._n_heard,
        ):
            if quiet == 0.0:
                quiet, usual_height = a, b
            result.append(
                sound
                and (
                    a > max(_NOISE_RATIO * quiet, _LEAST_NOISE)
                    or c > max(_WANDER_RATIO * usual_height, _LEAST_WANDER)
                )
            )
            if sound:
                # Steps up and down in the ratio 7 to 3 end at the value that 3 of 10 ticks stay below, equal
                # steps at the median. At the start they are long, to get there soon.
                step = max(0.01, 0.1 / (number + 1))
                quiet *= 1 + 0.6 * step if a > quiet else 1 - 1.4 * step
                usual_height *= 1 + step if b > usual_height else 1 - step
        self._usual[lead] = [quiet, usual_height]
        return result

    def _note(self, codes: NDArray, begin: int, end: int | None) -> None:
        """Add the verdicts of the blocks from number `begin` on to the list of spans."""
        if end is not None:
            codes = codes[: max(math.ceil(end / self._lengths.block) - begin, 0)]
        changes = (np.flatnonzero(np.diff(codes)) + 1).tolist()
        for start, stop in pairwise([0, *changes, len(codes)] if len(codes) else []):
            code = int(codes[start])
            if self.spans and self.spans[-1][2] == code:
                self.spans[-1][1] = begin + stop
            else:
                self.spans.append([begin + start, begin + stop, code])

    def verdicts(self, start: NDArray, stop: NDArray) -> NDArray[np.uint8]:
        """Return the gravest verdict on each window, from sample `start` to before `stop`."""
        size, reach = self._lengths.block, self._lengths.reach
        fault = self._fault.largest((start - reach) // size, (stop - 1 + reach) // size + 1)
        noise = self._noise.largest(start // size, (stop - 1) // size + 1)
        return np.where(fault | ~noise, fault, np.uint8(_NOISE))

    def n_blind_before(self, samples: NDArray) -> NDArray[np.int64]:
        """Return in how many blocks up to each of these samples the main lead showed nothing."""
        return self._n_blind.values[samples // self._lengths.block - self._n_blind.start]


# ------------------------------------------------------------------------------------------------------------
# From samples to beats


class QualitySpan(NamedTuple):
    """A stretch of signal of one quality."""

    start: float
    """Seconds from the first sample."""
    stop: float
    quality: str
    """One of `QUALITIES`, but "incomplete"."""


@dataclass(frozen=True, eq=False, repr=False)
class Beats:
    """Beats as `BeatFinder` finds them; every array has one row a beat.

    Args:
        sample: (n,) int64, sample number of the R peak, rising.
        windows: (n, length, leads) float32, millivolts, band-passed; the R peak is in row `before`. What lies
            before the first sample or beyond the last is filled with the first or last value.
        rhythm: (n, 3) float64, seconds: the RR interval before the beat, that after it, and the usual one,
            which is the median of the last ten, the one before this beat among them. nan where unknown: at
            the first beat, across a stretch in which the main lead was dead, and where the next beat was not
            found in time.
        quality_code: (n,) uint8, index into `QUALITIES`: the gravest verdict on the signal from which the
            window was made.
        reported: (n,) float64, seconds from the first sample to the one with which all this was known.
        sampling_rate: samples a second.
    """

    sample: NDArray[np.int64]
    windows: NDArray[np.float32]
    rhythm: NDArray[np.float64]
    quality_code: NDArray[np.uint8]
    reported: NDArray[np.float64]
    sampling_rate: int

    def __len__(self) -> int:
        return len(self.sample)

    def __repr__(self) -> str:
        return f"Beats({len(self)} beats, {int(self.is_good.sum())} of them of good signal quality)"

    @property
    def time(self) -> NDArray[np.float64]:
        """Seconds from the first sample to the R peak, shape (n,)."""
        return self.sample / self.sampling_rate

    @property
    def quality(self) -> NDArray[np.str_]:
        """The verdicts in words, shape (n,)."""
        return np.array(QUALITIES)[self.quality_code]

    @property
    def is_good(self) -> NDArray[np.bool_]:
        """Whether the verdict is "good", shape (n,)."""
        return self.quality_code == _GOOD

    def take(self, rows: NDArray | slice) -> Beats:
        """Return the beats in `rows`: row numbers, a slice or a boolean mask."""
        columns = (self.sample, self.windows, self.rhythm, self.quality_code, self.reported)
        return Beats(*(column[rows] for column in columns), self.sampling_rate)

    @classmethod
    def joined(cls, pieces: Sequence[Beats]) -> Beats:
        """Return the beats of several pieces, at least one, in their order."""
        names = ("sample", "windows", "rhythm", "quality_code", "reported")
        columns = (np.concatenate([getattr(piece, name) for piece in pieces]) for name in names)
        return cls(*columns, pieces[0].sampling_rate)


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

    Args:
        sampling_rate: samples a second, a whole number from 100 to 5000.
        leads: columns of the samples.
        main_lead: the column in which R peaks are looked for.
        window_leads: the columns that are cut out, in this order, and whose quality counts; the main lead
            must be one of them. By default all, in their order.
        before: samples of a window before the R peak, at least 0.
        after: samples of a window from the R peak on, at least 1.
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
        before: int = 140,
        after: int = 180,
        low_hertz: float = 0.5,
        high_hertz: float = 40.0,
        converter_range: tuple[float, float] | None = (-5.12, 5.115),
    ):
        rate = check_count(sampling_rate, "sampling_rate", least=100, most=5000)
        self._columns = check_count(leads, "leads")
        self._used = list(range(leads) if window_leads is None else window_leads)
        for lead in self._used:
            check_count(lead, "a lead's number", least=0, most=leads - 1)
        if main_lead not in self._used or len(set(self._used)) != len(self._used):
            raise ValueError(
                f"window_leads {self._used} must name the main lead {main_lead}, each lead once."
            )
        if not 0.3 <= low_hertz <= 2 or not 15 <= high_hertz <= rate / 2:
            raise ValueError(
                f"the band from {low_hertz} to {high_hertz} Hz must begin at 0.3 to 2 Hz and end at 15 Hz to "
                f"{rate / 2:g} Hz, half of the sampling rate."
            )
        if converter_range is not None and not converter_range[0] < converter_range[1]:
            raise ValueError(
                f"converter_range must be (lowest, highest) in millivolts, not {converter_range}."
            )
        self.sampling_rate = rate
        self.before = check_count(before, "before", least=0, most=10 * rate)
        self.after = check_count(after, "after", most=10 * rate)
        self._main = self._used.index(main_lead)
        self._rails = converter_range
        self._lengths = sizes = _Lengths.at(rate, low_hertz, high_hertz)
        # The last thing to be known of a beat is the noise in the tick in which its window ends.
        needed = max(
            self.after + _TICK_BLOCKS * sizes.block + sizes.reach, sizes.energy_delay + 2 * sizes.apart
        )
        self._delay = math.ceil(needed / sizes.block) * sizes.block
        back = _SEARCH_BACK * _LONGEST_RR * rate + sizes.energy_delay + sizes.apart
        self._memory = math.ceil(back) + self._delay + self.before + sizes.reach
        self._detector = _Detector(sizes)
        self._pending: list[NDArray] = []  # what does not fill a block yet
        self._n_pending = 0
        self._seen = 0  # samples worked on, whole blocks
        self._end: int | None = None
        self._held = np.zeros(len(self._used), np.int64)  # the last good values
        self._raw: NDArray | None = None
        self._placed: list[tuple[int, int]] = []  # beats not reported yet: R peak, and when it was found
        self._previous: tuple[int, int] | None = None
        self._intervals: deque[float] = deque(maxlen=_RR_MEMORY)

    @property
    def delay_seconds(self) -> float:
        """Seconds from an R peak to the report of its beat."""
        return self._delay / self.sampling_rate

    @property
    def recent_quality(self) -> list[QualitySpan]:
        """The last verdicts on the signal, at most 1000, up to about the time of the last reported beat."""
        seconds = self._lengths.block / self.sampling_rate
        spans = self._judge.spans if self._raw is not None else ()
        return [QualitySpan(start * seconds, stop * seconds, QUALITIES[code]) for start, stop, code in spans]

    def push(self, samples: ArrayLike) -> Beats:
        """Take the next samples and return the beats that they finish.

        Args:
            samples: shape (n, leads), n at least 0, millivolts; missing values are NaN.

        Raises:
            ValueError: another shape, no numbers, or after `finish`.
        """
        if self._end is not None:
            raise ValueError("this stream was finished; make a new one for another record.")
        samples = np.asarray(samples)
        if samples.ndim != 2 or samples.shape[1] != self._columns or samples.dtype.kind not in "iuf":
            raise ValueError(
                f"samples must be numbers of shape (n, {self._columns}), got {samples.dtype} {samples.shape}."
            )
        return self._take(np.array([samples[:, lead] for lead in self._used], np.float64))

    def finish(self) -> Beats:
        """Return the beats that are left, after the last sample. Nothing can be pushed any more.

        Raises:
            ValueError: if it was finished before.
        """
        beats = [self.push(np.empty((0, self._columns)))]
        self._end = self._seen + self._n_pending
        if self._end:
            # The record goes on as it ended until everything has come through.
            sizes = self._lengths
            last = np.concatenate([self._held[:, np.newaxis] * _UNIT, *self._pending], axis=1)[:, -1:]
            more = self._delay + 2 * (sizes.energy_delay + sizes.apart + sizes.block)
            beats.append(self._take(np.repeat(last, more, axis=1)))
            self._place(self._detector.end(self._end))
            beats.append(self._cut(self._due()))
        return Beats.joined(beats)

    def _take(self, samples: NDArray) -> Beats:
        """Work on all whole blocks that are there; samples: (leads used, n), millivolts."""
        self._pending.append(samples)
        self._n_pending += samples.shape[1]
        size = self._lengths.block
        if self._n_pending < size:
            return self._cut([])
        waiting = np.concatenate(self._pending, axis=1)
        whole = self._n_pending // size * size
        self._pending, self._n_pending = [waiting[:, whole:].copy()], self._n_pending - whole
        step = max(_LONGEST_STEP // size, 1) * size
        parts = (waiting[:, start : min(start + step, whole)] for start in range(0, whole, step))
        return Beats.joined([self._advance(part) for part in parts])

    def _advance(self, samples: NDArray) -> Beats:
        """Work on some whole blocks, shape (leads used, n)."""
        n_new = samples.shape[1]
        values, missing = self._whole_numbers(samples)
        if self._raw is None:
            self._begin(values[:, 0])
        raw = np.concatenate([self._raw, values], axis=1)
        self._raw = raw[:, -self._lengths.history :].copy()
        self._seen += n_new
        self._judge.see(raw, missing, n_new, self._end)
        self._filter(raw, n_new)
        self._detect(raw[self._main], n_new)
        return self._cut(self._due())

    def _whole_numbers(self, samples: NDArray) -> tuple[NDArray, NDArray | None]:
        """Return the samples in units, the last good value instead of missing ones, and which are missing."""
        missing = None
        if not (samples.max() <= _LARGEST and samples.min() >= -_LARGEST):  # with NaN both are false
            missing = ~(np.abs(samples) <= _LARGEST)
            samples = np.where(missing, 0.0, samples)
        values = np.rint(samples * (1 / _UNIT)).astype(np.int64)
        if missing is not None:
            good = np.where(missing, -1, np.arange(samples.shape[1]))
            good = np.maximum.accumulate(good, axis=1)
            held = np.take_along_axis(values, np.maximum(good, 0), axis=1)
            values = np.where(good < 0, self._held[:, np.newaxis], held)
        self._held = values[:, -1].copy()
        return values, missing

    def _begin(self, first: NDArray) -> None:
        """Lay out everything that looks back, as if the first values had always been there."""
        sizes = self._lengths
        self._raw = np.repeat(first[:, np.newaxis], sizes.history, axis=1)
        self._filtered = _Tape(np.zeros((len(first), self._memory), np.float32), -sizes.reach)
        self._band = _Tape(np.zeros(self._memory, np.int64), -sizes.band_delay)
        self._judge = _Judge(sizes, first, self._main, self._memory, self._rails)

    def _filter(self, raw: NDArray, n_new: int) -> None:
        """Band-pass the new samples for the windows, and hand on what that takes away at both ends."""
        sizes, reach, smooth = self._lengths, self._lengths.reach, self._lengths.smooth
        seen = raw[:, -(n_new + 2 * reach) :]
        baseline = _moving_sum(_moving_sum(seen, reach + 1), reach + 1) * (_UNIT / (reach + 1) ** 2)
        near = seen[:, reach - smooth + 1 : reach + n_new + smooth - 1]
        smoothed = _moving_sum(_moving_sum(near, smooth), smooth) * (_UNIT / smooth**2)
        filtered = (smoothed - baseline).astype(np.float32)
        self._filtered.append(filtered, self._filtered.stop - self._memory)

        above = seen[:, reach : reach + n_new] * _UNIT
        above -= smoothed
        np.abs(above, out=above)
        above = above.reshape(len(raw), -1, sizes.block).mean(axis=2)
        self._judge.hear(above, baseline[:, :: sizes.block], self._end)

    def _detect(self, raw: NDArray, n_new: int) -> None:
        """Find R peaks: band-pass, slope, square, moving sum, and the decisions of the detector."""
        sizes, apart = self._lengths, self._lengths.apart
        low = raw[-(n_new + 2 * (sizes.energy_delay + apart)) :]
        low = _moving_sum(_moving_sum(low, sizes.narrow), sizes.narrow)
        half = sizes.wide // 2
        band = low[half:-half] * sizes.wide
        band -= _moving_sum(low, sizes.wide)
        self._band.append(band[-n_new:], self._band.stop - self._memory)
        slope = (band[2 * sizes.slope :] - band[: -2 * sizes.slope]) * (1 / (sizes.wide * sizes.narrow**2))
        slope = np.rint(slope, out=slope).astype(np.int64)  # whole numbers again, so that sums stay exact
        energy = _moving_sum(slope * slope, sizes.integration)

        # A peak is above all before it and not below any after it, within the refractory period.
        highest = _moving_maximum(energy, apart)
        middle = energy[apart : apart + n_new]
        is_peak = (middle > highest[:n_new]) & (middle >= highest[apart + 1 : apart + 1 + n_new])
        now = self._seen - sizes.energy_delay - apart - 1
        now = now if self._end is None else min(now, self._end - 1)
        index = np.flatnonzero(is_peak)
        position = index + self._seen - n_new - sizes.energy_delay - apart
        height = np.sqrt(middle[index] / sizes.integration) * (_UNIT * sizes.rate / (2 * sizes.slope))
        inside = (position >= 0) & (position <= now)
        peaks = zip(position[inside].tolist(), height[inside].tolist(), strict=True)
        self._place(self._detector.find(peaks, now))

    def _place(self, found: list[tuple[int, int]]) -> None:
        """Put each beat's R peak where the band-passed signal is furthest from zero."""
        if not found:
            return
        half = self._lengths.apart // 2
        centres, recognised = np.array(found).T
        around = np.maximum(centres[:, np.newaxis] + np.arange(-half, half + 1), 0)
        largest = np.abs(self._band.values[around - self._band.start]).argmax(axis=1)
        peaks = around[np.arange(len(found)), largest]
        if self._end is not None:
            peaks = np.minimum(peaks, self._end - 1)
        known = recognised + (self._lengths.energy_delay + self._lengths.apart + 1)
        self._placed.extend(zip(peaks.tolist(), known.tolist(), strict=True))

    def _due(self) -> list[tuple[int, int, float]]:
        """Return the beats to report now: R peak, the sample it was due with, seconds to the next or nan."""
        beats = []
        for number, (peak, known) in enumerate(self._placed):
            due = max(known, peak + self._delay)
            if due > self._seen:
                break
            # Whether the next one counts as known must not depend on how many samples have come by chance.
            following = self._placed[number + 1] if number + 1 < len(self._placed) else (0, math.inf)
            gap = (following[0] - peak) / self.sampling_rate if following[1] <= due else math.nan
            beats.append((peak, due, gap))
        del self._placed[: len(beats)]
        return beats

    def _cut(self, due: list[tuple[int, int, float]]) -> Beats:
        n_used = len(self._used)
        windows = np.empty((len(due), self.before + self.after, n_used), np.float32)
        rhythm = np.empty((len(due), 3))
        quality = np.empty(0, np.uint8)
        peaks = np.array([peak for peak, _, _ in due], np.int64)
        if due:
            start, stop = peaks - self.before, peaks + self.after
            quality = self._judge.verdicts(start, stop)
            is_cut_off = (start < 0) | (stop > (math.inf if self._end is None else self._end))
            quality[is_cut_off & (quality < _INCOMPLETE)] = _INCOMPLETE
            for row, first in enumerate((start - self._filtered.start).tolist()):
                windows[row] = self._filtered.values[:, first : first + windows.shape[1]].T
            n_blind = self._judge.n_blind_before(peaks).tolist()
            rhythm[:] = [
                self._rhythm(peak, gap, blind) for (peak, _, gap), blind in zip(due, n_blind, strict=True)
            ]
        return Beats(
            sample=peaks,
            windows=windows,
            rhythm=rhythm,
            quality_code=quality,
            reported=np.array([known for _, known, _ in due]) / self.sampling_rate,
            sampling_rate=self.sampling_rate,
        )

    def _rhythm(self, peak: int, gap: float, n_blind: int) -> tuple[float, float, float]:
        """Return the RR interval before, that after and the usual one, in seconds."""
        before = math.nan
        if self._previous is not None and self._previous[1] == n_blind:
            before = (peak - self._previous[0]) / self.sampling_rate
            self._intervals.append(before)
        self._previous = (peak, n_blind)
        known = sorted(self._intervals)
        middle = len(known) // 2
        usual = (known[middle] + known[-middle - 1]) / 2 if known else math.nan
        return before, gap, usual


def find_beats(signals: ArrayLike, **settings: object) -> Beats:
    """Return all beats of a whole record at once: the same that a stream of its samples gives.

    Args:
        signals: shape (samples, leads), millivolts, as in `Record.signals`.
        **settings: those of `BeatFinder`; `leads` is known from the signals.

    Raises:
        ValueError: as `BeatFinder` and its `push`.
    """
    finder = BeatFinder(leads=_n_leads(signals), **settings)
    return Beats.joined([finder.push(signals), finder.finish()])


def quality_spans(signals: ArrayLike, **settings: object) -> list[QualitySpan]:
    """Return the verdicts on a whole record's signal: spans that lie end to end, from its start to its end.

    Arguments and errors as for `find_beats`.
    """
    finder = BeatFinder(leads=_n_leads(signals), **settings)
    spans: list[QualitySpan] = []
    for start in range(0, len(signals), _LONGEST_STEP):
        finder.push(signals[start : start + _LONGEST_STEP])
        spans = _continued(spans, finder.recent_quality)
    finder.finish()
    return _continued(spans, finder.recent_quality)


def _continued(spans: list[QualitySpan], recent: list[QualitySpan]) -> list[QualitySpan]:
    """Return the spans with the recent ones, which may repeat the last of them or make it longer."""
    first = recent[0].start if recent else math.inf
    return [span for span in spans if span.start < first] + recent


def _n_leads(signals: ArrayLike) -> int:
    shape = np.shape(signals)
    if len(shape) != 2 or shape[1] == 0:
        raise ValueError(f"signals must have shape (samples, leads), got {shape}.")
    return shape[1]


# ------------------------------------------------------------------------------------------------------------
# Scores and alarms


class Beat(NamedTuple):
    """A beat as `BeatStream` reports it. Times are in seconds from the first sample."""

    sample: int
    """Sample number of the R peak."""
    time: float
    """Of the R peak."""
    score: float
    """Higher = more anomalous; nan during calibration."""
    alarm: bool
    """Whether the score is above the threshold and the signal quality good."""
    quality: str
    """One of `QUALITIES`."""
    rr_before: float
    """Seconds since the previous R peak; nan if unknown."""
    rr_after: float
    """Seconds to the next R peak; nan if unknown when the beat was reported."""
    rr_usual: float
    """Seconds; median of the last ten intervals; nan if unknown."""
    reported: float
    """When all this was known."""


class BeatStream:
    """Scores the beats of a stream of samples, and raises alarms.

    A beat raises an alarm when its score is above the threshold and the signal is good. A beat in bad signal
    has a score, too, but raises none: its `quality` is the verdict.

    Args:
        score: a function from windows, shape (n, length, leads), float32, millivolts, to n scores; higher =
            more anomalous. For example the `anomaly_score` of a detector in `dae_utils.scoring`.
        threshold: a score above it raises an alarm. Infinite (the default): no alarms.
        with_rhythm: whether `score` (and `calibrate`) takes the RR intervals as a second argument, shape
            (n, 3), as in `Beats.rhythm`; see `rhythm_features`.
        calibrate: in place of `score`, a function from the good windows of the first minutes (and their
            rhythm) to a function like `score`, for a score made to the patient's measure. Until then beats
            have the score nan and raise no alarm.
        calibration_seconds: how long; the calibration is made when the first later beat is reported and there
            are `least_beats` good ones.
        least_beats: how many good beats a calibration needs.
        **settings: those of `BeatFinder`.

    Raises:
        ValueError: both or none of `score` and `calibrate`, or a setting out of range.
    """

    def __init__(
        self,
        score: Score | None = None,
        *,
        threshold: float = math.inf,
        with_rhythm: bool = False,
        calibrate: Callable[..., Score] | None = None,
        calibration_seconds: float = 300.0,
        least_beats: int = 30,
        **settings: object,
    ):
        if (score is None) == (calibrate is None):
            raise ValueError("pass either score or calibrate.")
        if math.isnan(threshold):
            raise ValueError("threshold must be a number, not NaN.")
        self.threshold = float(threshold)
        self.finder = BeatFinder(**settings)
        self._score = score
        self._with_rhythm = with_rhythm
        self._calibrate = calibrate
        self._calibration_end = calibration_seconds * self.finder.sampling_rate
        self._least_beats = check_count(least_beats, "least_beats")
        self._kept: list[Beats] = []  # good beats for the calibration
        self._n_kept = 0

    def push(self, samples: ArrayLike) -> list[Beat]:
        """Take the next samples, shape (n, leads), millivolts, and return the beats that they finish.

        Raises:
            ValueError: another shape, no numbers, after `finish`, or a `score` that does not give one finite
                number for each window.
        """
        return self._scored(self.finder.push(samples))

    def finish(self) -> list[Beat]:
        """Return the beats that are left, after the last sample. Nothing can be pushed any more.

        Raises:
            ValueError: as `push`, or if it was finished before.
        """
        return self._scored(self.finder.finish())

    def _scored(self, beats: Beats) -> list[Beat]:
        if not len(beats):
            return []
        scores = np.full(len(beats), np.nan)
        rows = slice(self._calibrated_from(beats), None)
        if rows.start < len(beats):
            scores[rows] = self._scores(beats.take(rows))
        alarms = (scores > self.threshold) & beats.is_good
        columns = (
            beats.sample.tolist(),
            beats.time.tolist(),
            scores.tolist(),
            alarms.tolist(),
            [QUALITIES[code] for code in beats.quality_code.tolist()],
            *beats.rhythm.T.tolist(),
            beats.reported.tolist(),
        )
        return list(map(Beat, *columns))

    def _scores(self, beats: Beats) -> NDArray[np.float64]:
        scores = check_scores(self._score(*self._arguments(beats)), "the scores")
        if len(scores) != len(beats):
            raise ValueError(
                f"score gave {len(scores)} numbers for {len(beats)} windows; one each is needed."
            )
        return scores

    def _arguments(self, beats: Beats) -> tuple[NDArray, ...]:
        return (beats.windows, beats.rhythm) if self._with_rhythm else (beats.windows,)

    def _calibrated_from(self, beats: Beats) -> int:
        """Return the number of the first of these beats that can be scored; calibrate when it is time."""
        if self._score is not None:
            return 0
        is_late = beats.sample >= self._calibration_end
        n_good = self._n_kept + np.cumsum(beats.is_good) - beats.is_good  # those before each beat
        ready = np.flatnonzero(is_late & (n_good >= self._least_beats))
        first = int(ready[0]) if len(ready) else len(beats)
        good = beats.take(np.flatnonzero(beats.is_good[:first]))
        self._kept.append(good)
        self._n_kept += len(good)
        if len(ready):
            self._score = self._calibrate(*self._arguments(Beats.joined(self._kept)))
            self._kept.clear()
        return first


def score_record(signals: ArrayLike, score: Score | None = None, **settings: object) -> list[Beat]:
    """Return the scored beats of a whole record at once: the same that a stream of its samples gives.

    Args:
        signals: shape (samples, leads), millivolts, as in `Record.signals`.
        score: see `BeatStream`.
        **settings: those of `BeatStream`; `leads` is known from the signals.

    Raises:
        ValueError: as `BeatStream` and its `push`.
    """
    stream = BeatStream(score, leads=_n_leads(signals), **settings)
    beats = Beats.joined([stream.finder.push(signals), stream.finder.finish()])
    return stream._scored(beats)


def rhythm_features(rhythm: ArrayLike) -> NDArray[np.float32]:
    """Return how far the RR intervals before and after each beat are from the usual one.

    Args:
        rhythm: shape (n, 3), as in `Beats.rhythm`.

    Returns:
        Shape (n, 2), logarithms of the ratios to the usual interval: 0 for a regular beat and where an
        interval is unknown, -0.69 for half of the usual one.
    """
    rhythm = np.asarray(rhythm, np.float64)
    return np.nan_to_num(np.log(rhythm[:, :2] / rhythm[:, 2:])).astype(np.float32)


# ------------------------------------------------------------------------------------------------------------
# How good the detector and the alarms are


@dataclass(frozen=True, eq=False)
class BeatMatch:
    """Which found beats are which annotated ones.

    Args:
        found: (n,) int64, rows of the found beats that have a partner, rising.
        annotated: (n,) int64, rows of their partners, rising.
        n_found: how many beats were found.
        n_annotated: how many were annotated.
    """

    found: NDArray[np.int64]
    annotated: NDArray[np.int64]
    n_found: int
    n_annotated: int

    @property
    def sensitivity(self) -> float:
        """Share of the annotated beats that were found; nan if there are none."""
        return len(self.found) / self.n_annotated if self.n_annotated else math.nan

    @property
    def precision(self) -> float:
        """Share of the found beats that are annotated; nan if there are none."""
        return len(self.found) / self.n_found if self.n_found else math.nan


def match_beats(
    found: ArrayLike, annotated: ArrayLike, *, sampling_rate: int = 360, tolerance: float = 0.15
) -> BeatMatch:
    """Pair found with annotated R peaks, one to one: those that are each other's nearest.

    Args:
        found: shape (n,), sample numbers, rising.
        annotated: shape (m,), sample numbers, rising.
        sampling_rate: samples a second.
        tolerance: seconds by which the two of a pair may differ; 0.15 is that of the AAMI's standard EC57.

    Raises:
        ValueError: sample numbers that do not rise.
    """
    found, annotated = _rising(found, "found"), _rising(annotated, "annotated")
    if not len(found) or not len(annotated):
        none = np.empty(0, np.int64)
        return BeatMatch(none, none, len(found), len(annotated))
    partner = _nearest(found, annotated)
    rows = np.arange(len(found))
    is_pair = _nearest(annotated, found)[partner] == rows
    is_pair &= np.abs(annotated[partner] - found) <= tolerance * sampling_rate
    return BeatMatch(rows[is_pair], partner[is_pair], len(found), len(annotated))


def _rising(values: ArrayLike, name: str) -> NDArray:
    values = np.asarray(values)
    if values.ndim != 1 or (np.diff(values) <= 0).any():
        raise ValueError(f"{name} must be sample numbers in one row, each larger than the one before.")
    return values


def _nearest(these: NDArray, others: NDArray) -> NDArray[np.int64]:
    """Return for each of these the row of the nearest of the others, the earlier one of two as near."""
    right = np.searchsorted(others, these).clip(1, max(len(others) - 1, 1))
    left = right - 1
    right = np.minimum(right, len(others) - 1)
    return np.where(these - others[left] <= others[right] - these, left, right)


def alarm_episodes(times: ArrayLike, gap: float = 5.0, longest: float = 30.0) -> NDArray[np.float64]:
    """Gather alarms, or beats of one kind, into episodes: those less than `gap` seconds apart are one.

    Args:
        times: shape (n,), seconds, rising.
        gap: seconds.
        longest: seconds after which an episode ends and the next begins, so that an alarm that goes on for an
            hour counts for more than one.

    Returns:
        Shape (episodes, 2), seconds: first and last time of each.
    """
    episodes: list[list[float]] = []
    for time in np.asarray(times, np.float64).tolist():
        if episodes and time - episodes[-1][1] < gap and time - episodes[-1][0] < longest:
            episodes[-1][1] = time
        else:
            episodes.append([time, time])
    return np.array(episodes, np.float64).reshape(-1, 2)


@dataclass(frozen=True, eq=False)
class AlarmCounts:
    """What the alarms of one record, or of several (by `+` or `sum`), are worth.

    Args:
        events: number of episodes that should raise an alarm.
        found: how many did.
        delays: (found,) float64, seconds from the first beat of an episode to its first alarm.
        false_alarms: number of episodes of alarms that nothing abnormal explains.
        hours: length of what was watched.
    """

    events: int
    found: int
    delays: NDArray[np.float64]
    false_alarms: int
    hours: float

    @property
    def sensitivity(self) -> float:
        """Share of the episodes that raised an alarm; nan if there are none."""
        return self.found / self.events if self.events else math.nan

    @property
    def median_delay(self) -> float:
        """Seconds; nan if nothing was found."""
        return float(np.median(self.delays)) if self.found else math.nan

    @property
    def false_alarms_per_hour(self) -> float:
        """Number of false alarms by the time that was watched."""
        return self.false_alarms / self.hours

    def __add__(self, other: AlarmCounts) -> AlarmCounts:
        return AlarmCounts(
            self.events + other.events,
            self.found + other.found,
            np.concatenate([self.delays, other.delays]),
            self.false_alarms + other.false_alarms,
            self.hours + other.hours,
        )

    def __radd__(self, other: int | AlarmCounts) -> AlarmCounts:
        return self if other == 0 else NotImplemented  # `sum` begins with 0


def count_alarms(
    beats: Sequence[Beat],
    event_times: ArrayLike,
    other_times: ArrayLike = (),
    *,
    hours: float,
    gap: float = 5.0,
    longest: float = 30.0,
    tolerance: float = 0.15,
) -> AlarmCounts:
    """Compare alarms with the beats that should raise one.

    Both are gathered into episodes by `alarm_episodes`. An episode of beats is found when one of them, or a
    beat within `tolerance` of it, raised an alarm; its delay runs from the R peak of its first beat to the
    report of that alarm. An episode of alarms is false when no alarm in it belongs to any abnormal beat.

    Args:
        beats: scored beats, as `BeatStream` reports them.
        event_times: shape (n,), seconds, rising: R peaks of the beats that should raise an alarm.
        other_times: shape (m,), seconds, rising: R peaks of other abnormal beats. An alarm there is neither
            asked for nor false.
        hours: length of what was watched.
        gap, longest: see `alarm_episodes`.
        tolerance: seconds.

    Raises:
        ValueError: times that do not rise, or no hours.
    """
    if not hours > 0:
        raise ValueError(f"hours must be above 0, not {hours}.")
    event_times, other_times = _rising(event_times, "event_times"), _rising(other_times, "other_times")
    alarms = [beat for beat in beats if beat.alarm]
    times = np.array([beat.time for beat in alarms], np.float64)
    reported = np.array([beat.reported for beat in alarms], np.float64)
    is_event = _is_near(times, event_times, tolerance)
    is_right = is_event | _is_near(times, other_times, tolerance)
    events = alarm_episodes(event_times, gap, longest)
    delays = []
    for start, stop in events:
        inside = is_event & (times >= start - tolerance) & (times <= stop + tolerance)
        if inside.any():
            delays.append(reported[inside].min() - start)
    false_alarms = sum(
        not is_right[(times >= start) & (times <= stop)].any()
        for start, stop in alarm_episodes(times, gap, longest)
    )
    return AlarmCounts(len(events), len(delays), np.array(delays, np.float64), false_alarms, float(hours))


def _is_near(times: NDArray, others: NDArray, tolerance: float) -> NDArray[np.bool_]:
    if not len(others):
        return np.zeros(len(times), np.bool_)
    return np.abs(others[_nearest(times, others)] - times) <= tolerance
