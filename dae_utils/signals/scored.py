"""`ScoredRecording`: the beats of one recording with scores and alarms, as a table and in one sentence."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from dae_utils.signals.alarms import alarm_episodes
from dae_utils.signals.quality import QualitySpan
from dae_utils.signals.ventricular import ScoredBeat

__all__ = ["ScoredRecording"]


@dataclass(frozen=True, eq=False, repr=False)
class ScoredRecording:
    """What a detector says about one recording.

    Args:
        name: of the recording.
        detector: the name of the detector.
        lead_names: the recording's leads that were used, the main one first.
        notes: what a reader should know, such as that a lead of another kind had to do; one line each.
        beats: in order; those of the first minutes have no score (nan), and `sample` counts the recording's
            own samples.
        spans: the verdicts on the signal, from its start to its end.
        seconds: length of the recording.
        learnt_seconds: how long the first part is from which the heart was learnt.
        n_learnt: how many good beats of it there were.
        threshold: a score above it is an alarm.
    """

    name: str
    detector: str
    lead_names: tuple[str, ...]
    notes: tuple[str, ...]
    beats: Sequence[ScoredBeat]
    spans: Sequence[QualitySpan]
    seconds: float
    learnt_seconds: float
    n_learnt: int
    threshold: float

    def __repr__(self) -> str:
        return f"ScoredRecording({self.summary()})"

    @property
    def silenced_seconds(self) -> float:
        """How long after the first minutes no alarm could be raised, because the signal was bad."""
        return sum(
            max(0.0, span.stop - max(span.start, self.learnt_seconds))
            for span in self.spans
            if span.quality != "good"
        )

    @property
    def alarms(self) -> NDArray[np.float64]:
        """First and last beat of each alarm, seconds, (n, 2); beats less than 5 s apart are one alarm."""
        return alarm_episodes([beat.time for beat in self.beats if beat.alarm])

    def beats_of_alarms(self) -> list[list[ScoredBeat]]:
        """Return the beats with an alarm, one list for each of `alarms`."""
        beats = [beat for beat in self.beats if beat.alarm]
        firsts = np.searchsorted([beat.time for beat in beats], self.alarms[:, 0]).tolist()
        return [beats[first:stop] for first, stop in pairwise([*firsts, len(beats)])]

    @property
    def watched_hours(self) -> float:
        """The time in which an alarm could be raised: all but the first minutes and bad signal."""
        return max(self.seconds - self.learnt_seconds - self.silenced_seconds, 0.0) / 3600

    @property
    def alarms_per_hour(self) -> float:
        """Alarms by `watched_hours`; nan where nothing was watched."""
        return len(self.alarms) / self.watched_hours if self.watched_hours else float("nan")

    def at(self, threshold: float) -> ScoredRecording:
        """Return the same recording with the alarms of another threshold."""
        beats = [
            beat._replace(alarm=beat.score > threshold and beat.quality == "good") for beat in self.beats
        ]
        return replace(self, beats=beats, threshold=threshold)

    def table(self) -> pd.DataFrame:
        """Return one row a beat: `time`, `score`, `alarm` and `quality`, then what the score is made of.

        These are `shape`, `timing` and `irregularity`, see `ScoredBeat`, and `rr_before` and `rr_after`.
        Times are in seconds. `score` and `shape` are empty in the first minutes, the others where they are
        unknown; an alarm is 1, none is 0.
        """
        columns = ("time", "score", "alarm", "quality", "shape", "timing", "irregularity")
        beats = pd.DataFrame(self.beats, columns=ScoredBeat._fields)
        return beats[[*columns, "rr_before", "rr_after"]].round(4).astype({"alarm": np.int64})

    def summary(self) -> str:
        """Return one line: beats, alarms an hour, silenced time, and what the first minutes were used for."""
        n_beats_alarmed = sum(beat.alarm for beat in self.beats)
        n_alarms = len(self.alarms)
        rate = f", {self.alarms_per_hour:.1f} an hour" if self.watched_hours else ""
        return (
            f"{self.name} ({', '.join(self.lead_names)}): {len(self.beats)} beats in "
            f"{_minutes(self.seconds)}; {n_alarms} alarm{'' if n_alarms == 1 else 's'} over "
            f"{n_beats_alarmed} beats{rate}; no alarm possible for {_minutes(self.silenced_seconds)} of bad "
            f"signal; the first {_minutes(self.learnt_seconds)} taught the detector this heart "
            f"({self.n_learnt} beats) and are not scored."
        )


def _minutes(seconds: float) -> str:
    """Return a length of time in words: minutes below two hours, else hours."""
    if seconds < 7200:
        return f"{seconds / 60:.1f} minutes"
    return f"{seconds / 3600:.1f} hours"
