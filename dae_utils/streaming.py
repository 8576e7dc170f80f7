"""The old path of `dae_utils.signals`, with windows in samples, for notebooks that are not rewritten yet."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from dae_utils import signals as _signals
from dae_utils.signals import Beat, Beats, QualitySpan, alarm_episodes, match_beats, rhythm_features
from dae_utils.signals.matching import check_rising, nearest
from dae_utils.signals.stream import Score
from dae_utils.validation import check_count

__all__ = [
    "BeatStream",
    "count_alarms",
    "find_beats",
    "match_beats",
    "quality_spans",
    "rhythm_features",
    "score_record",
]


def _in_seconds(settings: dict[str, Any]) -> dict[str, Any]:
    """Return settings with the windows' lengths in seconds in place of `before=140, after=180` samples."""
    rest = dict(settings)
    rate = check_count(rest.get("sampling_rate", 360), "sampling_rate", least=100, most=5000)
    before = check_count(rest.pop("before", 140), "before", least=0, most=10 * rate)
    after = check_count(rest.pop("after", 180), "after", most=10 * rate)
    return rest | {"before_seconds": before / rate, "after_seconds": after / rate}


class BeatStream(_signals.BeatStream):
    """`dae_utils.signals.BeatStream` with `before` and `after` in samples."""

    def __init__(self, score: Score | None = None, **settings: Any):
        super().__init__(score, **_in_seconds(settings))


def find_beats(signals: ArrayLike, **settings: Any) -> Beats:
    """As `dae_utils.signals.find_beats`, with `before` and `after` in samples."""
    return _signals.find_beats(signals, **_in_seconds(settings))


def quality_spans(signals: ArrayLike, **settings: Any) -> list[QualitySpan]:
    """As `dae_utils.signals.quality_spans`, with `before` and `after` in samples."""
    return _signals.quality_spans(signals, **_in_seconds(settings))


def score_record(signals: ArrayLike, score: Score | None = None, **settings: Any) -> list[Beat]:
    """As `dae_utils.signals.score_record`, with `before` and `after` in samples."""
    return _signals.score_record(signals, score, **_in_seconds(settings))


@dataclass(frozen=True, eq=False)
class AlarmCounts:
    """What the alarms of one record, or of several (by `+` or `sum`), are worth, by the lenient count.

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
    """Compare alarms with the beats that should raise one, leniently, as the first edition did.

    `dae_utils.signals.count_alarms` is the strict count. This one excuses alarms at other abnormal beats, and
    false alarms near a right one, and divides by all hours, those silenced by bad signal among them.

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
    event_times, other_times = (
        check_rising(event_times, "event_times"),
        check_rising(other_times, "other_times"),
    )
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


def _is_near(times: NDArray[np.float64], others: NDArray[np.float64], tolerance: float) -> NDArray[np.bool_]:
    if not len(others):
        return np.zeros(len(times), np.bool_)
    return np.abs(others[nearest(times, others)] - times) <= tolerance
