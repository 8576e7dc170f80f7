"""The old path, with windows in samples: the same beats as the new one."""

from __future__ import annotations

import math

import numpy as np
import pytest
from made_up_ecg import RATE, assert_same, beat_train, loudness, simulated, steady

from dae_utils import signals, streaming


def test_defaults_are_the_same_windows():
    x = simulated(9208).signals
    assert_same(streaming.find_beats(x), signals.find_beats(x))
    assert streaming.find_beats(x).windows.shape[1:] == (320, 2)
    assert streaming.quality_spans(x, main_lead=1) == signals.quality_spans(x, main_lead=1)
    scored = streaming.score_record(x, loudness, threshold=0.1)
    np.testing.assert_equal(scored, signals.score_record(x, loudness, threshold=0.1))


def test_windows_are_in_samples_at_any_sampling_rate():
    for rate in (250, 360, 1000):
        x = beat_train(list(np.arange(0.5, 20, 0.8)), 20, rate=rate)
        assert streaming.find_beats(x, sampling_rate=rate).windows.shape[1] == 140 + 180
        cut = streaming.find_beats(x, sampling_rate=rate, before=7, after=11)
        assert cut.windows.shape[1] == 7 + 11
        assert cut.windows[3:-3, :, 0].mean(axis=0).argmax() == 7


def test_a_stream_gives_the_beats_of_the_record():
    stream = streaming.BeatStream(loudness, threshold=0.1, before=50, after=60)
    got = stream.push(steady()[:5000]) + stream.push(steady()[5000:]) + stream.finish()
    expected = streaming.score_record(steady(), loudness, threshold=0.1, before=50, after=60)
    assert [beat.sample for beat in got] == [beat.sample for beat in expected]
    assert [beat.score for beat in got] == pytest.approx([beat.score for beat in expected], abs=1e-6)
    assert stream.finder.samples_before == 50


@pytest.mark.parametrize(
    ("arguments", "match"),
    [
        ({"before": -1}, "before"),
        ({"after": 0}, "after"),
        ({"after": 1.5}, "after"),
        ({"sampling_rate": 1}, "rate"),
    ],
)
def test_wrong_windows_are_refused(arguments, match):
    with pytest.raises(ValueError, match=match):
        streaming.BeatStream(loudness, **arguments)


def alarm(at: float, raised: bool = True) -> signals.Beat:
    return signals.Beat(round(at * RATE), at, 1.0, raised, "good", 0.8, 0.8, 0.8, at + 2.2)


def test_alarms_are_counted_by_episode():
    beats = [alarm(at) for at in (10.1, 11, 30, 33, 50, 70, 71, 90)] + [alarm(100, raised=False)]
    # Two beats of one episode, the second of which raises the alarm; one that raises none; one whose alarm
    # comes a tenth of a second early and goes on for three seconds.
    counts = streaming.count_alarms(beats, [8, 10.0, 20, 30.1, 100], [50.1], hours=0.5)
    assert (counts.events, counts.found, counts.false_alarms) == (4, 2, 2)
    assert counts.delays.tolist() == pytest.approx([10.1 + 2.2 - 8, 30 + 2.2 - 30.1])
    assert counts.sensitivity == 0.5
    assert counts.false_alarms_per_hour == 4
    assert counts.median_delay == pytest.approx((4.3 + 2.1) / 2)

    nothing = streaming.count_alarms([], [], hours=1.5)
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
        streaming.count_alarms([], [], hours=0)
    with pytest.raises(ValueError, match="event_times"):
        streaming.count_alarms([], [2, 1], hours=1)
    with pytest.raises(ValueError, match="other_times"):
        streaming.count_alarms([], [], [2, 1], hours=1)
