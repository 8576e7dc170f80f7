"""The shipped detectors on real records: what their notes say of them, counted anew from the files of the
marks.

Skipped when DAE_MITDB_DIR is not set.
"""

from __future__ import annotations

import os

import numpy as np
import pytest
import wfdb

from dae_utils.data import read_record
from dae_utils.signals import load_detector

pytestmark = [
    pytest.mark.data,
    pytest.mark.skipif(not os.environ.get("DAE_MITDB_DIR"), reason="DAE_MITDB_DIR is not set"),
]

BEATS = "NLRejAaJSVEF/fQ"


def grouped(times: list[float]) -> list[list[float]]:
    """Gather times into episodes: less than 5 s from one to the next, and less than 30 s in all."""
    episodes: list[list[float]] = []
    for time in times:
        if episodes and time - episodes[-1][-1] < 5 and time - episodes[-1][0] < 30:
            episodes[-1].append(time)
        else:
            episodes.append([time])
    return episodes


def counted(number: int, name: str) -> list[float]:
    """Return false alarms an hour, V episodes found and all of them, without the library's judging."""
    detector = load_detector(name)
    scored = detector.score(read_record(number), false_alarms_per_hour=10)
    marks = wfdb.rdann(os.path.join(os.environ["DAE_MITDB_DIR"], str(number)), "atr")
    is_beat = np.array([symbol in BEATS for symbol in marks.symbol])
    times, symbols = marks.sample[is_beat] / 360, np.array(marks.symbol)[is_beat]
    found_at = np.array([beat.time for beat in scored.beats])
    begin, end = scored.learnt_seconds, 650_000 / 360
    false, right = [], set()
    for row, beat in enumerate(scored.beats):
        if not beat.score > scored.threshold or beat.quality != "good":
            continue
        mark = int(np.abs(times - beat.time).argmin())
        is_pair = np.abs(found_at - times[mark]).argmin() == row and abs(times[mark] - beat.time) < 0.1501
        if is_pair and symbols[mark] in "VE":
            right.add(times[mark])
        elif not (is_pair and symbols[mark] in "F/fQ"):
            false.append(beat.time)
    is_v = np.isin(symbols, ["V", "E"]) & (times >= begin)
    episodes = grouped(times[is_v].tolist())
    found = sum(any(time in right for time in some) for some in episodes)
    # A moment is silenced when the beat nearest to it has bad signal.
    edges = np.concatenate([[begin], (found_at[1:] + found_at[:-1]) / 2, [end]]).clip(begin, end)
    is_good = np.array([beat.quality == "good" for beat in scored.beats])
    hours = np.diff(edges)[is_good].sum() / 3600
    return [round(len(grouped(false)) / hours, 1), found, len(episodes)]


@pytest.mark.parametrize("name", ["one_lead", "two_leads"])
@pytest.mark.parametrize("number", [105, 213, 222, 233])
def test_the_note_of_a_detector_holds_what_is_counted_anew(number, name):
    noted = load_detector(name).made["tested_on"]["10"]["each"][str(number)]

    rate, found, episodes = counted(number, name)

    assert (found, episodes) == tuple(noted[1:])
    assert rate == pytest.approx(noted[0], abs=0.051)
