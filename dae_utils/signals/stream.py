"""From beats to scores and alarms, as the samples arrive. What the score is, the caller says."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple, Unpack

import numpy as np
from numpy.typing import ArrayLike, NDArray

from dae_utils.data.ecg import Record
from dae_utils.signals.beats import Beats
from dae_utils.signals.finder import BeatFinder, FinderSettings, leads_and_settings
from dae_utils.signals.quality import QUALITIES
from dae_utils.validation import check_count, check_scores

Score = Callable[..., ArrayLike]


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


class _AllFinderSettings(FinderSettings, total=False):
    """The settings of `BeatFinder`."""

    leads: int


class BeatStream:
    """Scores the beats of a stream of samples, and raises alarms.

    A beat raises an alarm when its score is above the threshold and the signal is good. A beat in bad signal
    has a score, too, but raises none: its `quality` is the verdict.

    Args:
        score: a function from windows, shape (n, length, leads), float32, millivolts, to n scores; higher =
            more anomalous. For example the `anomaly_score` of a detector in `dae_utils.detection`.
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
        **settings: Unpack[_AllFinderSettings],
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
        self._calibration_beats: list[Beats] = []  # good ones
        self._n_calibration_beats = 0

    def push(self, signals: ArrayLike) -> list[Beat]:
        """Take the next samples, shape (samples, leads), millivolts, and return the beats that they finish.

        Raises:
            ValueError: as `BeatFinder.push`, or a `score` that does not give one finite number for each
                window.
        """
        return self.score_beats(self.finder.push(signals))

    def finish(self) -> list[Beat]:
        """Return the beats that are left, after the last sample. Nothing can be pushed any more.

        Raises:
            ValueError: as `push`, or if it was finished before.
        """
        return self.score_beats(self.finder.finish())

    def score_beats(self, beats: Beats) -> list[Beat]:
        """Return the next beats of this stream, found by its `finder`, with scores and alarms.

        Raises:
            ValueError: a `score` that does not give one finite number for each window.
        """
        if not len(beats):
            return []
        scores = np.full(len(beats), np.nan)
        first, score = self._calibrated_from(beats)
        if score is not None:
            scores[first:] = self._scores(score, beats.take(slice(first, None)))
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

    def _scores(self, score: Score, beats: Beats) -> NDArray[np.float64]:
        scores = check_scores(score(*self._arguments(beats)), "the scores")
        if len(scores) != len(beats):
            raise ValueError(
                f"score gave {len(scores)} numbers for {len(beats)} windows; one each is needed."
            )
        return scores

    def _arguments(self, beats: Beats) -> tuple[NDArray[np.float32] | NDArray[np.float64], ...]:
        return (beats.windows, beats.rhythm) if self._with_rhythm else (beats.windows,)

    def _calibrated_from(self, beats: Beats) -> tuple[int, Score | None]:
        """Return the row of the first of these beats that can be scored, and the score; None if none can.

        When it is time, the calibration is made.
        """
        if self._score is not None or self._calibrate is None:
            return 0, self._score
        is_late = beats.sample >= self._calibration_end
        n_good = self._n_calibration_beats + np.cumsum(beats.is_good) - beats.is_good  # before each beat
        ready = np.flatnonzero(is_late & (n_good >= self._least_beats))
        first = int(ready[0]) if len(ready) else len(beats)
        good = beats.take(np.flatnonzero(beats.is_good[:first]))
        self._calibration_beats.append(good)
        self._n_calibration_beats += len(good)
        if len(ready):
            self._score = self._calibrate(*self._arguments(Beats.joined(self._calibration_beats)))
            self._calibration_beats.clear()
        return first, self._score


class StreamSettings(FinderSettings, total=False):
    """The settings of `BeatStream`, all but `score` and `leads`, for functions that hand them on."""

    threshold: float
    with_rhythm: bool
    calibrate: Callable[..., Score] | None
    calibration_seconds: float
    least_beats: int


def score_record(
    signals: ArrayLike | Record, score: Score | None = None, **settings: Unpack[StreamSettings]
) -> list[Beat]:
    """Return the scored beats of a whole record at once: the same that a stream of its samples gives.

    Args:
        signals: a `Record`, or shape (samples, leads), millivolts; see `find_beats`.
        score: see `BeatStream`.
        **settings: those of `BeatStream`; `leads` is known from the signals.

    Raises:
        ValueError: as `BeatStream` and its `push`.
    """
    array, settings = leads_and_settings(signals, settings)
    stream = BeatStream(score, leads=array.shape[1], **settings)
    beats = Beats.joined([stream.finder.push(array), stream.finder.finish()])
    return stream.score_beats(beats)
