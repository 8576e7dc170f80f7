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
from dae_utils.validation import check_scores

Score = Callable[..., ArrayLike]


class Beat(NamedTuple):
    """A beat as `BeatStream` reports it. Times are in seconds from the first sample."""

    sample: int
    """Sample number of the R peak."""
    time: float
    """Of the R peak."""
    score: float
    """Higher = more anomalous."""
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
    """Scores the beats of a stream of samples one by one, and raises alarms.

    For an alarm that measures by the patient's own first minutes see `VentricularAlarm`.

    A beat raises an alarm when its score is above the threshold and the signal is good. A beat in bad signal
    has a score, too, but raises none: its `quality` is the verdict.

    Args:
        score: a function from windows, shape (n, length, leads), float32, millivolts, to n scores; higher =
            more anomalous. For example the `anomaly_score` of a detector in `dae_utils.detection`.
        threshold: a score above it raises an alarm. Infinite (the default): no alarms.
        with_rhythm: whether `score` takes the RR intervals as a second argument, shape (n, 3), as in
            `Beats.rhythm`; see `rhythm_features`.
        **settings: those of `BeatFinder`.

    Raises:
        ValueError: a setting out of range.
    """

    def __init__(
        self,
        score: Score,
        *,
        threshold: float = math.inf,
        with_rhythm: bool = False,
        **settings: Unpack[_AllFinderSettings],
    ):
        if math.isnan(threshold):
            raise ValueError("threshold must be a number, not NaN.")
        self.threshold = float(threshold)
        self.finder = BeatFinder(**settings)
        self._score = score
        self._with_rhythm = with_rhythm

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
        scores = self._scores(beats)
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
        rhythm = (beats.rhythm,) if self._with_rhythm else ()
        scores = check_scores(self._score(beats.windows, *rhythm), "the scores")
        if len(scores) != len(beats):
            raise ValueError(
                f"score gave {len(scores)} numbers for {len(beats)} windows; one each is needed."
            )
        return scores


class StreamSettings(FinderSettings, total=False):
    """The settings of `BeatStream`, all but `score` and `leads`, for functions that hand them on."""

    threshold: float
    with_rhythm: bool


def score_record(signals: ArrayLike | Record, score: Score, **settings: Unpack[StreamSettings]) -> list[Beat]:
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
