"""Alarms gathered into episodes and counted: known answers."""

from __future__ import annotations

import math

import numpy as np
import pytest
from made_up_ecg import RATE

from dae_utils.signals import AlarmCounter, Beat, alarm_episodes, count_alarms


def test_episodes():
    times = [1, 2, 6.9, 11.9, 40, 44, 48, 52, 56, 60, 64, 68, 72]
    assert alarm_episodes(times).tolist() == [[1, 6.9], [11.9, 11.9], [40, 68], [72, 72]]
    assert alarm_episodes(times, gap=6, longest=100).tolist() == [[1, 11.9], [40, 72]]
    assert alarm_episodes([]).shape == (0, 2)


def found(at: float, alarm: bool = False, quality: str = "good") -> Beat:
    return Beat(round(at * RATE), at, 1.0, alarm, quality, 0.8, 0.8, 0.8, at + 2.0)


def every_second(alarms, bad=(), until=100):
    """A beat at every full second, with alarms at some and bad signal at some."""
    return [found(float(at), at in alarms, "noise" if at in bad else "good") for at in range(1, until)]


def counted(beats, classes, **settings):
    """Count with a normal beat marked at every second but those that `classes` names."""
    times = np.arange(1.0, 100.0)
    letters = [classes.get(int(at), "N") for at in times]
    counter = AlarmCounter(beats, times, letters, **({"watched": (0, 100)} | settings))
    return counter.count([beat.alarm for beat in beats])


def test_an_episode_is_found_by_an_alarm_at_one_of_its_beats():
    counts = counted(every_second({11}), {10: "V", 11: "V", 12: "V", 50: "V"})
    assert (counts.events, counts.found, counts.false_alarms, counts.beats) == (2, 1, 0, 4)
    assert counts.delays.tolist() == [11 + 2.0 - 10]
    assert counts.sensitivity == counts.heard_sensitivity == 0.5
    assert counts.median_delay == 3


def test_an_alarm_beside_a_ventricular_beat_does_not_find_it():
    counts = counted(every_second({11}), {10: "V"})
    assert (counts.found, counts.false_alarms) == (0, 1)


def test_nothing_is_excused():
    # A right alarm at 10; false ones at a normal beat two seconds later and at an S beat.
    counts = counted(every_second({10, 12, 40}), {10: "V", 40: "S"})
    assert (counts.found, counts.false_alarms) == (1, 2)
    assert counts.false_episodes.tolist() == [[12, 12], [40, 40]]
    assert counts.false_classes.tolist() == ["N", "S"]


def test_fusion_and_unknown_beats_are_neither_asked_for_nor_false():
    counts = counted(every_second({20, 30}), {20: "F", 30: "Q"})
    assert (counts.events, counts.false_alarms) == (0, 0)


def test_an_alarm_where_no_beat_is_marked_is_false():
    beats = sorted([*every_second(set()), found(30.5, alarm=True)], key=lambda beat: beat.time)
    counts = counted(beats, {})
    assert counts.false_alarms == 1
    assert counts.false_classes.tolist() == [""]


def test_silenced_time_and_episodes_are_told_apart():
    # Beats 20 to 29 are in noise: ten seconds. One episode lies in them, one half, one outside.
    bad = set(range(20, 30))
    classes = {22: "V", 29: "V", 30: "V", 60: "V"}
    counts = counted(every_second({22, 30}, bad), classes, gap=2)
    assert (counts.events, counts.silenced_events, counts.found) == (3, 1, 1)
    assert (counts.beats, counts.silenced_beats) == (4, 2)
    assert counts.sensitivity == pytest.approx(1 / 3)
    assert counts.heard_sensitivity == pytest.approx(1 / 2)
    assert counts.silenced_hours * 3600 == pytest.approx(10)
    assert counts.hours * 3600 == pytest.approx(90)


def test_what_lies_outside_counts_for_nothing():
    # Watched from 20; a flutter from 60 to 70.
    beats = every_second({10, 15, 25, 62, 64, 80}, bad={65})
    counts = counted(beats, {10: "V", 62: "V", 80: "V"}, watched=(20, 100), excluded=[(60, 70)])
    assert (counts.events, counts.found, counts.false_alarms) == (1, 1, 1)
    assert counts.hours * 3600 == pytest.approx(70)
    assert counts.silenced_hours == 0


def test_the_tolerance_is_kept():
    for shift, n_found in ((54 / RATE, 1), (55 / RATE, 0)):
        beats = [found(5.0), found(10 + shift, alarm=True), found(15.0)]
        counts = count_alarms(beats, [5, 10, 15], ["N", "V", "N"], watched=(0, 20))
        assert (counts.found, counts.false_alarms) == (n_found, 1 - n_found)


def test_a_missed_beat_counts_as_heard_or_silenced_by_the_nearest():
    beats = [found(5.0), found(9.0, quality="noise"), found(15.0)]
    counts = count_alarms(beats, [5, 10, 13, 15], ["N", "V", "V", "N"], watched=(0, 20))
    assert (counts.events, counts.silenced_beats, counts.found) == (1, 1, 0)


def test_counts_are_added():
    one = counted(every_second({10, 12}), {10: "V"})
    nothing = counted(every_second(set()), {})
    assert math.isnan(nothing.sensitivity)
    assert math.isnan(nothing.heard_sensitivity)
    assert math.isnan(nothing.median_delay)
    both = sum([one, nothing, one])
    assert (both.events, both.found, both.false_alarms, len(both.delays)) == (2, 2, 2, 2)
    assert both.hours == pytest.approx(300 / 3600)
    assert both.false_alarms_per_hour == pytest.approx(24)
    with pytest.raises(TypeError):
        1 + one
    silent = counted(every_second(set(), bad=set(range(1, 100))), {})
    assert math.isnan(silent.false_alarms_per_hour)


@pytest.mark.parametrize(
    ("arguments", "match"),
    [
        ({"beats": []}, "beats is empty"),
        ({"times": [2, 1]}, "times"),
        ({"classes": ["N"]}, "classes"),
        ({"classes": ["N", "A"]}, "classes"),
        ({"watched": (5, 5)}, "watched"),
        ({"excluded": [(5, 4)]}, "excluded"),
        ({"excluded": [(1, 3), (2, 4)]}, "excluded"),
    ],
)
def test_wrong_arguments_are_refused(arguments, match):
    right = {"beats": [found(1.0)], "times": [1, 2], "classes": ["N", "V"], "watched": (0, 9)}
    with pytest.raises(ValueError, match=match):
        count_alarms(**(right | arguments))


def test_the_function_counts_what_the_counter_does():
    beats = every_second({10, 12, 62}, bad={62})
    times, letters = np.arange(1.0, 100.0), ["V"] * 20 + ["N"] * 79
    settings = {"watched": (5, 90), "excluded": [(70, 80)]}
    one = count_alarms(beats, times, letters, **settings)
    other = AlarmCounter(beats, times, letters, **settings).count([beat.alarm for beat in beats])
    for name in ("events", "found", "false_alarms", "hours", "silenced_hours"):
        assert getattr(one, name) == getattr(other, name)
    with pytest.raises(ValueError, match="99 beats"):
        AlarmCounter(beats, times, letters, **settings).count([True])


@pytest.mark.parametrize("times", [[0.0, np.nan], [0.0, np.inf], [2.0, 1.0]])
def test_times_that_are_no_times_are_refused(times):
    with pytest.raises(ValueError, match="finite, and rise"):
        alarm_episodes(times)
