"""What the alarms of a scored recording are worth, by its annotations and the strict count of `alarms`."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from dae_utils.data.ecg import AAMI_CLASS, CLASS_NAMES, Record
from dae_utils.signals.alarms import AlarmCounter, AlarmCounts, WatchedBeat
from dae_utils.signals.scored import ScoredRecording

__all__ = ["counter_of", "in_fibrillation", "judge"]

_FIBRILLATION = ("AFIB", "AFL")


def counter_of(record: Record, beats: Sequence[WatchedBeat], watched_from: float) -> AlarmCounter:
    """Return what counts the alarms of an annotated recording, ventricular flutter left out.

    Args:
        record: with the marks of experts.
        beats: as a detector reports them, at least one.
        watched_from: seconds, where the first minutes end.

    Raises:
        ValueError: as `AlarmCounter`.
    """
    rate = record.sampling_rate
    return AlarmCounter(
        beats,
        record.r_peaks / rate,
        np.array([CLASS_NAMES[AAMI_CLASS[symbol]] for symbol in record.symbols], np.str_),
        watched=(watched_from, record.seconds),
        excluded=[(span.start / rate, span.stop / rate) for span in record.flutter],
    )


def judge(record: Record, scored: ScoredRecording) -> AlarmCounts:
    """Return what the alarms of a scored recording are worth after the first minutes.

    Raises:
        ValueError: the recording ends with them.
    """
    counter = counter_of(record, scored.beats, scored.learnt_seconds)
    return counter.count([beat.alarm for beat in scored.beats])


def in_fibrillation(record: Record, counts: AlarmCounts) -> int:
    """Return how many of the false alarms on a recording begin in atrial fibrillation or flutter."""
    begins = np.rint(counts.false_episodes[:, 0] * record.sampling_rate).astype(np.int64)
    return int(np.isin(record.rhythm_at(begins), _FIBRILLATION).sum())
