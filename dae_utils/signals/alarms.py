"""How good alarms for ventricular beats are, counted strictly, by episode. It raises no alarm itself.

The classes are the AAMI's (ANSI/AAMI EC57), and so is what counts as false. An alarm at a beat of class N or
S, or where no beat is marked, is false; at a fusion beat (F) or an unknown one (Q) it is neither asked for
nor false, as de Chazal, O'Dwyer and Reilly 2004 (IEEE Transactions on Biomedical Engineering 51(7)) count it.
No alarm is excused because a right one is near it. Time in which bad signal silences the alarm is not part of
the hours by which false alarms are divided, and stretches such as ventricular flutter, in which no beats are
marked, can be left out. EC57 counts beats; that alarms are gathered into episodes is ours, because one
nurse comes once.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import ArrayLike, NDArray

from dae_utils.signals.matching import check_rising, match_beats, nearest

_HARMLESS = ("F", "Q")  # an alarm at one of these is neither asked for nor false
_CLASSES = ("N", "S", "V", *_HARMLESS)
_ROUNDING = 1e-9  # seconds: times are sample numbers by the rate


class WatchedBeat(Protocol):
    """What is needed of a scored beat: `dae_utils.signals.Beat` and `ScoredBeat` both have it."""

    @property
    def time(self) -> float:
        """Seconds from the first sample to the R peak."""

    @property
    def alarm(self) -> bool:
        """Whether it raised one."""

    @property
    def quality(self) -> str:
        """The verdict on the signal; only in "good" signal can there be an alarm."""

    @property
    def reported(self) -> float:
        """Seconds from the first sample to the report."""


def alarm_episodes(times: ArrayLike, gap: float = 5.0, longest: float = 30.0) -> NDArray[np.float64]:
    """Gather alarms, or beats of one kind, into episodes: those less than `gap` seconds apart are one.

    Args:
        times: shape (n,), seconds, rising.
        gap: seconds.
        longest: seconds after which an episode ends and the next begins, so that an alarm that goes on for an
            hour counts for more than one.

    Returns:
        Shape (episodes, 2), seconds: first and last time of each.

    Raises:
        ValueError: times that are not finite, or do not rise.
    """
    episodes: list[list[float]] = []
    checked = np.asarray(times, np.float64)
    if not np.isfinite(checked).all() or np.any(np.diff(checked) < 0):
        raise ValueError("times must be finite, and rise.")
    for time in checked.tolist():
        if episodes and time - episodes[-1][1] < gap and time - episodes[-1][0] < longest:
            episodes[-1][1] = time
        else:
            episodes.append([time, time])
    return np.array(episodes, np.float64).reshape(-1, 2)


@dataclass(frozen=True, eq=False)
class AlarmCounts:
    """What the alarms of one record, or of several (by `+` or `sum`), are worth.

    Args:
        events: number of episodes of ventricular beats.
        silenced_events: how many of them lie in bad signal as a whole, where no alarm could come.
        found: how many raised an alarm.
        beats: number of ventricular beats.
        silenced_beats: how many of them lie in bad signal.
        delays: (found,) float64, seconds from the first beat of an episode to the report of its first alarm.
        false_episodes: (false alarms, 2) float64, seconds: first and last false alarm of each episode.
        false_classes: (false alarms,) class of the beat at the first alarm of each, "" where none is marked.
        hours: length of what was watched and not silenced.
        silenced_hours: length of what was silenced.
    """

    events: int
    silenced_events: int
    found: int
    beats: int
    silenced_beats: int
    delays: NDArray[np.float64]
    false_episodes: NDArray[np.float64]
    false_classes: NDArray[np.str_]
    hours: float
    silenced_hours: float

    @property
    def false_alarms(self) -> int:
        """Number of episodes of false alarms."""
        return len(self.false_episodes)

    @property
    def sensitivity(self) -> float:
        """Share of all episodes that raised an alarm, a silenced one counting as missed; nan if none."""
        return self.found / self.events if self.events else math.nan

    @property
    def heard_sensitivity(self) -> float:
        """Share of the episodes that raised an alarm, the silenced ones left out; nan if there are none."""
        heard = self.events - self.silenced_events
        return self.found / heard if heard else math.nan

    @property
    def median_delay(self) -> float:
        """Seconds; nan if nothing was found."""
        return float(np.median(self.delays)) if self.found else math.nan

    @property
    def false_alarms_per_hour(self) -> float:
        """Number of false alarms by the time that was watched and not silenced; nan where that is none."""
        return self.false_alarms / self.hours if self.hours else math.nan

    def __add__(self, other: AlarmCounts) -> AlarmCounts:
        return AlarmCounts(
            events=self.events + other.events,
            silenced_events=self.silenced_events + other.silenced_events,
            found=self.found + other.found,
            beats=self.beats + other.beats,
            silenced_beats=self.silenced_beats + other.silenced_beats,
            delays=np.concatenate([self.delays, other.delays]),
            false_episodes=np.concatenate([self.false_episodes, other.false_episodes]),
            false_classes=np.concatenate([self.false_classes, other.false_classes]),
            hours=self.hours + other.hours,
            silenced_hours=self.silenced_hours + other.silenced_hours,
        )

    def __radd__(self, other: int | AlarmCounts) -> AlarmCounts:
        return self if other == 0 else NotImplemented  # `sum` begins with 0


class AlarmCounter:
    """Counts the alarms of one record, for as many thresholds as one likes, by the rules of this module.

    Found and marked beats are paired one to one by `match_beats`. The ventricular beats are gathered into
    episodes by `alarm_episodes`, whether the alarm could be heard or not; an episode is found when one of its
    beats raised an alarm. The false alarms are gathered among themselves.

    A moment is silenced when the found beat nearest to it has bad signal.

    Args:
        beats: scored beats in their order, at least one.
        times: shape (n,), seconds, rising: R peaks of all marked beats, normal ones as well.
        classes: shape (n,), their AAMI classes: "N", "S", "V", "F" or "Q".
        watched: seconds, first and last: what lies outside, such as the minutes of calibration, counts for
            nothing.
        excluded: shape (spans, 2), seconds, rising and apart: nor does what lies in these.
        gap, longest: see `alarm_episodes`.
        tolerance: seconds between a found beat and its mark.

    Raises:
        ValueError: no beats, times that do not rise, other classes, or spans that are not as above.
    """

    def __init__(
        self,
        beats: Sequence[WatchedBeat],
        times: ArrayLike,
        classes: ArrayLike,
        *,
        watched: tuple[float, float],
        excluded: ArrayLike = (),
        gap: float = 5.0,
        longest: float = 30.0,
        tolerance: float = 0.15,
    ):
        times, classes, spans = _checked(times, classes, watched, excluded)
        self._gap, self._longest = gap, longest
        self._found_at = found_at = check_rising([beat.time for beat in beats], "the times of the beats")
        if not len(found_at):
            raise ValueError("beats is empty: without a found beat nobody can tell what was heard.")
        self._reported = np.array([beat.reported for beat in beats])
        is_good = np.array([beat.quality == "good" for beat in beats])
        match = match_beats(found_at, times, sampling_rate=1, tolerance=tolerance + _ROUNDING)
        self._class_of = np.full(len(found_at), "", classes.dtype)
        self._class_of[match.found] = classes[match.annotated]
        self._is_heard = is_good & _counts(found_at, watched, spans)

        event_times = times[(classes == "V") & _counts(times, watched, spans)]
        self._events = alarm_episodes(event_times, gap, longest)
        # By the time of the mark, since a beat may be found a little before its episode begins.
        marked_at = np.full(len(found_at), -math.inf)
        marked_at[match.found] = times[match.annotated]
        self._event_of = self._event_at(marked_at)
        self._is_silenced = ~is_good[nearest(event_times, found_at)]
        heard = np.bincount(self._event_at(event_times[~self._is_silenced]), minlength=len(self._events))
        self._silenced_events = int((heard == 0).sum())
        self._seconds = _seconds(found_at, is_good, watched, spans)

    @property
    def classes(self) -> NDArray[np.str_]:
        """The class of the mark that each found beat is paired with, "" where there is none; (beats,)."""
        return self._class_of

    def _event_at(self, times: NDArray[np.float64]) -> NDArray[np.int64]:
        """Return the number of the last episode that had begun, -1 for none."""
        return np.searchsorted(self._events[:, 0], times, side="right") - 1

    def count(self, alarms: ArrayLike) -> AlarmCounts:
        """Return what alarms are worth.

        Args:
            alarms: shape (beats,), whether each beat raises one; those in bad signal do not count.

        Raises:
            ValueError: another shape.
        """
        raised = np.asarray(alarms, np.bool_)
        if raised.shape != self._found_at.shape:
            raise ValueError(f"alarms has shape {raised.shape}, but there are {len(self._found_at)} beats.")
        raised = raised & self._is_heard
        false = np.flatnonzero(raised & ~np.isin(self._class_of, ("V", *_HARMLESS)))
        false_episodes = alarm_episodes(self._found_at[false], self._gap, self._longest)
        first_false = false[np.searchsorted(self._found_at[false], false_episodes[:, 0])]
        right = np.flatnonzero(raised & (self._class_of == "V"))
        first_report = np.full(len(self._events), math.inf)
        np.minimum.at(first_report, self._event_of[right], self._reported[right])
        is_found = np.isfinite(first_report)
        heard, silenced = self._seconds
        return AlarmCounts(
            events=len(self._events),
            silenced_events=self._silenced_events,
            found=int(is_found.sum()),
            beats=len(self._is_silenced),
            silenced_beats=int(self._is_silenced.sum()),
            delays=first_report[is_found] - self._events[is_found, 0],
            false_episodes=false_episodes,
            false_classes=self._class_of[first_false],
            hours=heard / 3600,
            silenced_hours=silenced / 3600,
        )


def count_alarms(
    beats: Sequence[WatchedBeat],
    times: ArrayLike,
    classes: ArrayLike,
    *,
    watched: tuple[float, float],
    excluded: ArrayLike = (),
) -> AlarmCounts:
    """Compare the alarms of scored beats with the marked beats, by the rules at the top of this module.

    Args:
        beats, times, classes, watched, excluded: see `AlarmCounter`, which counts for many thresholds.

    Raises:
        ValueError: as `AlarmCounter`.
    """
    counter = AlarmCounter(beats, times, classes, watched=watched, excluded=excluded)
    return counter.count([beat.alarm for beat in beats])


def _checked(
    times: ArrayLike, classes: ArrayLike, watched: tuple[float, float], excluded: ArrayLike
) -> tuple[NDArray[np.float64], NDArray[np.str_], NDArray[np.float64]]:
    times = check_rising(np.asarray(times, np.float64), "times")
    classes = np.asarray(classes, np.str_)
    if classes.shape != times.shape or not np.isin(classes, _CLASSES).all():
        raise ValueError(f"classes must be one of {', '.join(_CLASSES)} for each of the {len(times)} times.")
    if not watched[0] < watched[1]:
        raise ValueError(f"watched must be (first, last) in seconds, not {watched}.")
    spans = np.asarray(excluded, np.float64).reshape(-1, 2)
    if (np.diff(spans.ravel()) < 0).any():
        raise ValueError("excluded must hold (start, stop) in seconds, in order and without overlap.")
    return times, classes, spans


def _counts(
    times: NDArray[np.float64], watched: tuple[float, float], spans: NDArray[np.float64]
) -> NDArray[np.bool_]:
    """Return which times are watched and in none of the spans."""
    in_a_span = np.searchsorted(spans.ravel(), times, side="right") % 2 == 1
    result: NDArray[np.bool_] = (times >= watched[0]) & (times < watched[1]) & ~in_a_span
    return result


def _seconds(
    found_at: NDArray[np.float64],
    is_good: NDArray[np.bool_],
    watched: tuple[float, float],
    spans: NDArray[np.float64],
) -> tuple[float, float]:
    """Return how long the alarm could be heard, and how long it was silenced, outside the spans."""
    middles = (found_at[1:] + found_at[:-1]) / 2
    edges = np.unique(np.clip([*watched, *middles, *spans.ravel()], *watched))
    centres, lengths = (edges[1:] + edges[:-1]) / 2, np.diff(edges)
    lengths = lengths * _counts(centres, watched, spans)
    is_heard = is_good[nearest(centres, found_at)]
    return float(lengths[is_heard].sum()), float(lengths[~is_heard].sum())
