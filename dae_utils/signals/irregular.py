"""Is the rhythm irregular, as in atrial fibrillation? Told from the beats that have the patient's own shape.

In atrial fibrillation the atria do not beat but quiver, and the ventricles are set off at random: the RR
intervals are "irregularly irregular". Ventricular beats make intervals irregular, too, a short and a long one
each. So only intervals between two beats of the patient's own shape count here, those that the study of heart
rate variability calls NN intervals (Task Force of the European Society of Cardiology, "Heart rate
variability", Circulation 93(5), 1996), and of their successive differences the median is taken, which a few
premature beats do not move.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Iterable
from typing import NamedTuple

from dae_utils.validation import check_count


class IrregularRhythm:
    """Follows how much the interval changes from beat to beat, relative to its length.

    In sinus rhythm this is a few hundredths, in atrial fibrillation a tenth to a third.

    Args:
        remembered: over how many differences of successive intervals the median is taken.
        least: with fewer the irregularity is unknown.
        seconds: how long ago they may lie at the most.
    """

    def __init__(self, remembered: int = 24, least: int = 12, seconds: float = 60.0):
        self._least = check_count(least, "least", most=remembered)
        self._longest = seconds
        remembered = check_count(remembered, "remembered")
        self._times: deque[float] = deque(maxlen=remembered)
        self._differences: deque[float] = deque(maxlen=remembered)
        self._intervals: deque[float] = deque(maxlen=remembered)
        self._was_own = False
        self._previous_interval = math.nan  # that between the last two beats, if both were the patient's own

    def add(self, time: float, rr_before: float, is_own: bool) -> float:
        """Return the irregularity up to and with this beat, a share of the interval; nan if unknown.

        Args:
            time: seconds, of the R peak, later than that of the beat before.
            rr_before: seconds since the previous R peak; nan if unknown.
            is_own: whether the beat has the patient's own shape, in good signal.
        """
        interval = rr_before if is_own and self._was_own else math.nan
        difference = abs(interval - self._previous_interval)
        if not math.isnan(difference):
            self._times.append(time)
            self._differences.append(difference)
            self._intervals.append(interval)
        self._was_own, self._previous_interval = is_own, interval
        while self._times and time - self._times[0] > self._longest:
            self._times.popleft()
            self._differences.popleft()
            self._intervals.popleft()
        if len(self._times) < self._least:
            return math.nan
        differences, intervals = sorted(self._differences), sorted(self._intervals)
        middle = len(differences) // 2
        return (differences[middle] + differences[-middle - 1]) / (intervals[middle] + intervals[-middle - 1])


class RhythmNotice(NamedTuple):
    """One notice that the rhythm is irregular. Times are in seconds."""

    start: float
    """Of the first beat since which the rhythm has been irregular."""
    raised: float
    """Of the beat with which the notice came."""
    stop: float
    """Of the last irregular beat, or the last beat of all."""


def rhythm_notices(
    times: Iterable[float], irregularities: Iterable[float], limit: float, hold: float = 30.0
) -> list[RhythmNotice]:
    """Return the notices of an irregular rhythm: one for each stretch of it, not one for each beat.

    A notice is raised once the irregularity has been above the limit for `hold` seconds, and is over once it
    has been at or below the limit for as long; beats whose irregularity is unknown change nothing.

    Args:
        times: seconds, of the beats, rising.
        irregularities: of the same beats, as `IrregularRhythm` has them; nan where unknown.
        limit: above it a rhythm is irregular.
        hold: seconds.
    """
    notices: list[RhythmNotice] = []
    start = raised = last = math.nan  # nan: there is none
    for time, irregularity in zip(times, irregularities, strict=True):
        if irregularity > limit:
            start = time if math.isnan(start) else start
            last = time
            if math.isnan(raised) and time - start >= hold:
                raised = time
        elif irregularity <= limit and not math.isnan(start):
            # Before a notice a single regular beat starts the wait anew.
            if math.isnan(raised):
                start = math.nan
            elif time - last >= hold:
                notices.append(RhythmNotice(start, raised, last))
                start = raised = math.nan
    if not math.isnan(raised):
        notices.append(RhythmNotice(start, raised, last))
    return notices
