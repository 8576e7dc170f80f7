"""Alarms gathered into episodes and counted: known answers."""

from __future__ import annotations

import math

import pytest
from made_up_ecg import RATE

from dae_utils.signals import Beat, alarm_episodes, count_alarms


def test_episodes():
    times = [1, 2, 6.9, 11.9, 40, 44, 48, 52, 56, 60, 64, 68, 72]
    assert alarm_episodes(times).tolist() == [[1, 6.9], [11.9, 11.9], [40, 68], [72, 72]]
    assert alarm_episodes(times, gap=6, longest=100).tolist() == [[1, 11.9], [40, 72]]
    assert alarm_episodes([]).shape == (0, 2)


def alarm(at: float, raised: bool = True) -> Beat:
    return Beat(round(at * RATE), at, 1.0, raised, "good", 0.8, 0.8, 0.8, at + 2.2)


def test_alarms_are_counted_by_episode():
    beats = [alarm(at) for at in (10.1, 11, 30, 33, 50, 70, 71, 90)] + [alarm(100, raised=False)]
    # Two beats of one episode, the second of which raises the alarm; one that raises none; one whose alarm
    # comes a tenth of a second early and goes on for three seconds.
    counts = count_alarms(beats, [8, 10.0, 20, 30.1, 100], [50.1], hours=0.5)
    assert (counts.events, counts.found, counts.false_alarms) == (4, 2, 2)
    assert counts.delays.tolist() == pytest.approx([10.1 + 2.2 - 8, 30 + 2.2 - 30.1])
    assert counts.sensitivity == 0.5
    assert counts.false_alarms_per_hour == 4
    assert counts.median_delay == pytest.approx((4.3 + 2.1) / 2)

    nothing = count_alarms([], [], hours=1.5)
    assert math.isnan(nothing.sensitivity)
    assert math.isnan(nothing.median_delay)
    both = sum([counts, nothing, counts])
    assert (both.events, both.found, both.false_alarms, both.hours) == (8, 4, 4, 2.5)
    assert len(both.delays) == 4
    assert both.false_alarms_per_hour == pytest.approx(1.6)
    with pytest.raises(TypeError):
        1 + counts


def test_alarms_need_hours_and_rising_times():
    with pytest.raises(ValueError, match="hours"):
        count_alarms([], [], hours=0)
    with pytest.raises(ValueError, match="event_times"):
        count_alarms([], [2, 1], hours=1)
    with pytest.raises(ValueError, match="other_times"):
        count_alarms([], [], [2, 1], hours=1)
