"""How good the alarms on an annotated recording are, told by what a user meets: episodes, and alarms an hour.

The count is strict. An alarm at a beat that the experts call normal is false, and so is one where they mark
no beat, unless the ventricles flutter there; no false alarm is excused because a right one is near. The time
in which bad signal silenced the detector is taken out of the hours.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from dae_utils.data.ecg import AAMI_CLASS, CLASS_NAMES, Record
from dae_utils.signals.alarms import alarm_episodes
from dae_utils.signals.matching import match_beats
from dae_utils.signals.scored import ScoredRecording

__all__ = ["Judgement", "judge", "judge_all"]

_TOLERANCE = 0.15  # seconds, of EC57
_NORMAL, _VENTRICULAR = CLASS_NAMES.index("N"), CLASS_NAMES.index("V")


@dataclass(frozen=True)
class Judgement:
    """What the alarms of one recording, or of several, are worth, after the first minutes.

    Args:
        n_records: how many recordings.
        n_found, n_marked, n_both: beats found, beats that experts marked, and those that are in both, in all
            of the recording but its ventricular flutter.
        v_episodes, v_found: episodes of ventricular beats less than 5 s apart, and those with an alarm in
            them.
        false_alarms: episodes of alarms at beats that are normal or none.
        false_in_fibrillation: those of them that begin in atrial fibrillation or flutter.
        hours: in which an alarm was possible.
        silenced_hours: in which bad signal made none possible.
    """

    n_records: int
    n_found: int
    n_marked: int
    n_both: int
    v_episodes: int
    v_found: int
    false_alarms: int
    false_in_fibrillation: int
    hours: float
    silenced_hours: float

    @property
    def false_alarms_per_hour(self) -> float:
        """By the hours in which an alarm was possible; nan where there were none."""
        return self.false_alarms / self.hours if self.hours else float("nan")

    def line(self) -> str:
        """Return what it comes to in one line."""
        peaks = f"{self.n_both} of {self.n_marked} marked beats found" if self.n_marked else "no beats marked"
        return (
            f"{peaks} ({self.n_found} found in all); {self.v_found} of {self.v_episodes} episodes of V beats "
            f"raised an alarm; {self.false_alarms} false alarms in {self.hours:.1f} h, "
            f"{self.false_alarms_per_hour:.1f} an hour, {self.false_in_fibrillation} of them in atrial "
            f"fibrillation or flutter; silenced {self.silenced_hours:.1f} h"
        )


def judge(record: Record, scored: ScoredRecording) -> Judgement:
    """Return what the alarms of a scored recording are worth, by its annotations."""
    rate = record.sampling_rate
    times = np.array([beat.time for beat in scored.beats])
    is_alarm = np.array([beat.alarm for beat in scored.beats], np.bool_)
    marked = record.r_peaks / rate
    kinds = np.array([AAMI_CLASS[symbol] for symbol in record.symbols], np.int64)
    pairs = match_beats(times, marked, sampling_rate=1, tolerance=_TOLERANCE)
    kind = np.full(len(times), _NORMAL)
    kind[pairs.found] = kinds[pairs.annotated]
    in_flutter = _within(times, [(span.start / rate, span.stop / rate) for span in record.flutter])
    unmatched = np.ones(len(times), np.bool_)
    unmatched[pairs.found] = False
    is_false = is_alarm & (kind == _NORMAL) & ~(unmatched & in_flutter)
    false = alarm_episodes(times[is_false])
    fibrillating = [
        (span.start / rate, span.stop / rate) for span in record.rhythms if span.name in ("AFIB", "AFL")
    ]
    later = (kinds == _VENTRICULAR) & (marked >= scored.learnt_seconds)
    episodes = alarm_episodes(marked[later])
    right = times[is_alarm & (kind == _VENTRICULAR)]
    v_found = sum(
        bool(((right >= start - _TOLERANCE) & (right <= stop + _TOLERANCE)).any()) for start, stop in episodes
    )
    return Judgement(
        n_records=1,
        n_found=int((~in_flutter).sum()),
        n_marked=len(marked),
        n_both=len(pairs.found),
        v_episodes=len(episodes),
        v_found=v_found,
        false_alarms=len(false),
        false_in_fibrillation=int(_within(false[:, 0], fibrillating).sum()),
        hours=scored.watched_hours,
        silenced_hours=scored.silenced_seconds / 3600,
    )


def judge_all(judgements: Iterable[Judgement]) -> Judgement:
    """Return several judgements, at least one, as one."""
    rows = [vars(one) for one in judgements]
    return Judgement(**{name: sum(row[name] for row in rows) for name in rows[0]})


def _within(times: NDArray[np.float64], spans: list[tuple[float, float]]) -> NDArray[np.bool_]:
    inside = np.zeros(len(times), np.bool_)
    for start, stop in spans:
        inside |= (times >= start) & (times < stop)
    return inside
