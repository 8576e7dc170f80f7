"""An alarm for ventricular beats that measures by the patient's own and knows irregular rhythm.

What is strange about a beat's shape is said by a function that it is given, for example by the error that an
autoencoder leaves. It finds no R peak and judges no signal; `finder` does.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple, Unpack

import numpy as np
from numpy.typing import ArrayLike, NDArray

from dae_utils.signals.beats import Beats
from dae_utils.signals.checks import as_leads
from dae_utils.signals.finder import BeatFinder, FinderSettings
from dae_utils.signals.irregular import IrregularRhythm
from dae_utils.signals.own_shape import OwnShape, timing_units
from dae_utils.signals.quality import QUALITIES
from dae_utils.validation import check_count, check_scores

Error = Callable[[NDArray[np.float64]], ArrayLike]

_BLOCK = 32  # beats after which the measures are renewed
_N_TEMPLATE_BEATS = 64  # of which the newest template is the median
_LEAST_TEMPLATE_BEATS = 16
_N_ERRORS = 128  # of which the median is the usual error
_TIMELY = 1.0  # units of timing: what comes earlier, or before a longer pause, teaches nothing
_N_OWN_INTERVALS = 100  # of which the median is the patient's own pace
_FASTER = 0.8  # shares of the own pace: a beat of another shape that comes sooner teaches nothing
_LEAST_ERROR = 1e-3


@dataclass(frozen=True)
class AlarmRule:
    """How the score is made of shape, timing and rhythm, and above which score there is an alarm.

    In a regular rhythm the score is shape + `timing_weight` · timing. In an irregular one, where every other
    beat comes early, it is shape + `irregular_weight` · timing + `irregular_bonus`.

    Args:
        threshold: a score above it raises an alarm, in good signal. Infinite: none.
        timing_weight: at least 0.
        irregular_weight: the same in an irregular rhythm.
        irregular_bonus: what stands there in the place of the timing that counts less.
        irregularity_limit: above it a rhythm is irregular, see `IrregularRhythm`. Infinite: no rhythm is.
    """

    threshold: float = math.inf
    timing_weight: float = 0.2
    irregular_weight: float = 0.0
    irregular_bonus: float = 0.0
    irregularity_limit: float = math.inf

    def scores(self, shape: ArrayLike, timing: ArrayLike, irregularity: ArrayLike) -> NDArray[np.float64]:
        """Return the scores of beats whose shape, timing and irregularity, shapes (n,), are known."""
        units = np.asarray(timing, np.float64)
        is_irregular = np.asarray(irregularity, np.float64) > self.irregularity_limit
        other = self.irregular_weight * units + self.irregular_bonus
        in_time = np.where(is_irregular, other, self.timing_weight * units)
        return np.asarray(shape, np.float64) + in_time


class ScoredBeat(NamedTuple):
    """A beat as `VentricularAlarm` reports it. Times are in seconds from the first sample."""

    sample: int
    """Sample number of the R peak."""
    time: float
    """Of the R peak."""
    shape: float
    """Logarithm of the ratio of the beat's error to the patient's usual one; nan during calibration."""
    timing: float
    """How early it is and how long the pause after it, in tenths of the usual interval, from 0 to 8."""
    irregularity: float
    """See `IrregularRhythm`; nan if unknown."""
    score: float
    """Higher = more ventricular; nan during calibration."""
    alarm: bool
    """Whether the score is above the threshold and the signal quality good."""
    quality: str
    """One of `QUALITIES`."""
    reported: float
    """When all this was known."""
    rr_before: float
    """Seconds since the previous R peak; nan if unknown."""
    rr_after: float
    """Seconds to the next R peak; nan if unknown when the beat was reported."""


def difference_size(rows: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the root mean square of each row, the error of an alarm without a network."""
    size: NDArray[np.float64] = np.sqrt(np.square(rows).mean(axis=1))
    return size


class VentricularAlarm:
    """Watches a stream of samples for ventricular beats.

    In the first minutes it learns the patient's own QRS complex and raises no alarm. From then on each beat
    is compared with that template and with one of the patient's last timely beats, whichever is nearer;
    `error` says how strange the difference is, and the patient's usual error is taken from that. After every
    32 beats, counted from the end of the calibration, the newer template and the usual error are renewed, so
    that what comes out does not depend on the pieces in which samples come.

    What follows the patient could learn a ventricular tachycardia as the new usual shape, since after some
    beats of it the usual interval is its own. So a beat that does not have the patient's own shape teaches
    nothing while the heart is faster than its own pace, which is known from beats of the own shape only. A
    ventricular rhythm that is about as slow as the patient's own is learnt all the same.

    Args:
        error: a function from differences, shape (n, 116) for two leads, in heights of the template, to n
            errors of at least 0. By default their size, which is an alarm by the template alone.
        rule: how the score is made, and the threshold.
        adapts: whether template and usual error follow the patient, or stay those of the first minutes.
        guarded: whether beats of another shape teach nothing while the heart is faster than its own pace.
        own_limit: beats whose `shape` is below it are taken for the patient's own, when the rhythm is judged
            and for that guard.
        calibration_seconds: how long; it goes on until there are `least_beats` good beats.
        least_beats: how many good beats a calibration needs.
        **settings: those of `BeatFinder`, whose sampling rate must be a multiple of 180; a `HeartDetector`
            scores recordings at other rates.
        leads: columns of the signals.
    """

    def __init__(
        self,
        error: Error = difference_size,
        *,
        rule: AlarmRule | None = None,
        adapts: bool = True,
        guarded: bool = True,
        own_limit: float = 1.0,
        calibration_seconds: float = 300.0,
        least_beats: int = 30,
        leads: int = 2,
        **settings: Unpack[FinderSettings],
    ):
        self.rule = AlarmRule() if rule is None else rule
        self.finder = BeatFinder(leads=leads, **settings)
        self._error = error
        self._adapts = adapts
        self._guarded = guarded
        self._own_limit = own_limit
        self._calibration_end = calibration_seconds * self.finder.sampling_rate
        self._least_beats = check_count(least_beats, "least_beats", least=2)
        self._rhythm = IrregularRhythm()
        self._first: list[Beats] = []  # the beats of the calibration
        self._n_good = 0
        self._own: OwnShape | None = None
        self._usual = math.nan
        self._first_error = math.nan
        self._n_in_block = 0
        self._timely: deque[NDArray[np.float32]] = deque(maxlen=_N_TEMPLATE_BEATS)
        self._errors: deque[float] = deque(maxlen=_N_ERRORS)
        self._own_intervals: deque[float] = deque(maxlen=_N_OWN_INTERVALS)
        self._own_pace = 0.0  # seconds; renewed with the template, so that pieces do not matter

    @property
    def usual_error(self) -> float:
        """The patient's usual error at the moment; nan before the end of the calibration."""
        return math.exp(self._usual)

    @property
    def templates(self) -> tuple[NDArray[np.float64], ...]:
        """The first template and, once there is one, the newer; none before the end of the calibration."""
        return () if self._own is None else self._own.templates

    @property
    def template(self) -> NDArray[np.float64] | None:
        """The patient's newest template, see `OwnShape.template`; None before the end of the calibration."""
        return None if self._own is None else self._own.template

    @property
    def first_error(self) -> float:
        """The usual error of the first minutes; nan before the end of the calibration."""
        return self._first_error

    def push(self, signals: ArrayLike) -> list[ScoredBeat]:
        """Take the next samples, shape (samples, leads), millivolts, and return the beats that they finish.

        Raises:
            ValueError: as `BeatFinder.push`, or an `error` that does not give one finite number a row.
        """
        return self.score_beats(self.finder.push(signals))

    def finish(self) -> list[ScoredBeat]:
        """Return the beats that are left, after the last sample. Nothing can be pushed any more.

        Raises:
            ValueError: as `push`, or if it was finished before.
        """
        return self.score_beats(self.finder.finish())

    def score_beats(self, beats: Beats) -> list[ScoredBeat]:
        """Return the next beats of this stream, found by its `finder`, with scores and alarms.

        Raises:
            ValueError: as `push`.
        """
        n_first = self._calibrate(beats) if self._own is None else 0
        shape = np.full(len(beats), math.nan)
        irregularity = np.full(len(beats), math.nan)
        timing = timing_units(beats.rhythm).sum(axis=1) if len(beats) else np.empty(0)
        start = n_first
        while start < len(beats):
            stop = min(start + _BLOCK - self._n_in_block, len(beats))
            block = beats.take(slice(start, stop))
            shape[start:stop], irregularity[start:stop] = self._watch(block, timing[start:stop])
            self._n_in_block = (self._n_in_block + stop - start) % _BLOCK
            if self._n_in_block == 0:
                self._renew()
            start = stop
        scores = self.rule.scores(shape, timing, irregularity)
        alarms = (scores > self.rule.threshold) & beats.is_good
        columns = (
            *(beats.sample.tolist(), beats.time.tolist(), shape.tolist(), timing.tolist()),
            *(irregularity.tolist(), scores.tolist(), alarms.tolist()),
            *([QUALITIES[code] for code in beats.quality_code.tolist()], beats.reported.tolist()),
            *beats.rhythm[:, :2].T.tolist(),
        )
        return list(map(ScoredBeat, *columns))

    def _calibrate(self, beats: Beats) -> int:
        """Return how many of these beats belong to the calibration; make it when it is time."""
        n_good = self._n_good + np.cumsum(beats.is_good) - beats.is_good  # before each beat
        ready = np.flatnonzero((beats.sample >= self._calibration_end) & (n_good >= self._least_beats))
        n_first = int(ready[0]) if len(ready) else len(beats)
        first = beats.take(slice(0, n_first))
        self._first.append(first)
        self._n_good += int(first.is_good.sum())
        if len(ready):
            self._begin(Beats.joined(self._first))
            self._first.clear()
        return n_first

    def _begin(self, first: Beats) -> None:
        """Learn what is usual from the beats of the calibration, and which rhythm it ended in."""
        good = first.take(first.is_good)
        self._own = OwnShape(
            good.windows, good.rhythm, self.finder.samples_before, good.sampling_rate, adapts=self._adapts
        )
        log_errors = self._log_errors(good.windows)
        self._errors.extend(log_errors[np.sort(self._own.calm)].tolist())
        self._usual = float(np.median(self._errors))
        self._first_error = math.exp(self._usual)
        timely = self._is_timely(good, timing_units(good.rhythm).sum(axis=1))
        self._timely.extend(good.windows[timely])
        intervals = good.rhythm[np.sort(self._own.calm), 0]
        self._own_intervals.extend(intervals[~np.isnan(intervals)].tolist())
        self._renew_pace()
        shape = np.full(len(first), math.inf)
        shape[first.is_good] = log_errors - self._usual
        self._irregularities(first, shape)

    def _log_errors(self, windows: NDArray[np.float32]) -> NDArray[np.float64]:
        assert self._own is not None
        errors = check_scores(self._error(self._own.differences(windows)), "the errors")
        if len(errors) != len(windows) or (errors < 0).any():
            raise ValueError(f"error must give a number of at least 0 for each of the {len(windows)} rows.")
        return np.log(errors + _LEAST_ERROR)

    def _is_timely(self, beats: Beats, timing: NDArray[np.float64]) -> NDArray[np.bool_]:
        result: NDArray[np.bool_] = beats.is_good & (timing < _TIMELY) & ~np.isnan(beats.rhythm[:, 0])
        return result

    def _watch(
        self, block: Beats, timing: NDArray[np.float64]
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return shape and irregularity of beats within one block, and remember what teaches."""
        log_errors = self._log_errors(block.windows)
        shape = log_errors - self._usual
        teaches = self._is_timely(block, timing) & ~self._is_fast_and_other(block, shape)
        self._timely.extend(block.windows[teaches])
        self._errors.extend(log_errors[teaches].tolist())
        return shape, self._irregularities(block, np.where(block.is_good, shape, math.inf))

    def _is_fast_and_other(self, block: Beats, shape: NDArray[np.float64]) -> NDArray[np.bool_]:
        """Return which beats the guard keeps from teaching, and remember the intervals of the own shape."""
        interval, is_own = block.rhythm[:, 0], shape < self._own_limit
        self._own_intervals.extend(interval[is_own & block.is_good & ~np.isnan(interval)].tolist())
        result: NDArray[np.bool_] = ~is_own & (interval < _FASTER * self._own_pace)
        return result & self._guarded

    def _renew_pace(self) -> None:
        if self._own_intervals:
            self._own_pace = float(np.median(self._own_intervals))

    def _irregularities(self, beats: Beats, shape: NDArray[np.float64]) -> NDArray[np.float64]:
        is_own = (shape < self._own_limit).tolist()
        steps = zip(beats.time.tolist(), beats.rhythm[:, 0].tolist(), is_own, strict=True)
        return np.array([self._rhythm.add(*step) for step in steps])

    def _renew(self) -> None:
        """Renew the newer template and the usual error from the last timely beats."""
        assert self._own is not None
        if not self._adapts:
            return
        self._usual = float(np.median(self._errors))
        self._renew_pace()
        if len(self._timely) >= _LEAST_TEMPLATE_BEATS:
            self._own.learn(np.stack(self._timely))


def watch_record(
    signals: ArrayLike,
    error: Error = difference_size,
    *,
    rule: AlarmRule | None = None,
    adapts: bool = True,
    **settings: Unpack[FinderSettings],
) -> list[ScoredBeat]:
    """Return the scored beats of a whole record at once: the same that a stream of its samples gives.

    Args:
        signals: shape (samples, leads), millivolts, as in `Record.signals`.
        error, rule, adapts: see `VentricularAlarm`.
        **settings: those of `BeatFinder`; `leads` is known from the signals.

    Raises:
        ValueError: as `VentricularAlarm` and its `push`.
    """
    signals = as_leads(signals)
    alarm = VentricularAlarm(error, rule=rule, adapts=adapts, leads=signals.shape[1], **settings)
    return alarm.score_beats(Beats.joined([alarm.finder.push(signals), alarm.finder.finish()]))
