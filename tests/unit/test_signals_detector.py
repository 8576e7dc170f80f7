"""R peaks: known answers on made-up signals and simulated records."""

from __future__ import annotations

import numpy as np
import pytest
from made_up_ecg import RATE, assert_same, beat_train, in_chunks, simulated, steady
from scipy.signal import resample_poly

from dae_utils.signals import BeatFinder, Beats, find_beats, match_beats


@pytest.mark.parametrize("number", [9100, 9102, 9208])
def test_beats_of_simulated_records_are_found_where_they_are(number):
    record = simulated(number)
    beats = find_beats(record.signals)
    match = match_beats(beats.sample, record.r_peaks)
    # A ventricular beat of theirs can be too slow to be found unless the next one is late.
    assert match.sensitivity > 0.99
    assert match.precision == 1
    off = np.abs(beats.sample[match.found] - record.r_peaks[match.annotated])
    assert np.quantile(off[record.symbols[match.annotated] == ("/" if number == 9102 else "N")], 0.95) <= 8


@pytest.mark.parametrize("rate", [125, 250, 500, 1000])
def test_other_sampling_rates(rate):
    record = simulated(9208)
    signals = resample_poly(record.signals, rate, RATE, padtype="edge")
    beats = find_beats(signals, sampling_rate=rate, high_hertz=35)
    match = match_beats(beats.time, record.r_peaks / RATE, sampling_rate=1)
    assert match.sensitivity > 0.99
    assert match.precision > 0.99


def test_r_peaks_are_exact_whichever_way_they_point():
    peaks = np.arange(1, 29, 0.75)
    for sign in (1, -1):
        beats = find_beats(sign * beat_train(list(peaks), 30))
        np.testing.assert_array_equal(beats.sample, np.rint(peaks * RATE))


def test_a_t_wave_is_no_beat():
    peaks = np.arange(1, 59, 0.8)
    signals = beat_train(list(peaks), 60, t_wave=0.55)
    np.testing.assert_array_equal(find_beats(signals).sample, np.rint(peaks * RATE))
    # It is high enough for one: a little later, when no T wave is expected any more, it counts.
    later = beat_train(list(peaks), 60, t_wave=0.55, t_wave_after=0.36)
    assert len(find_beats(later)) > 1.3 * len(peaks)


def test_a_small_beat_is_found_by_search_back():
    times = list(np.arange(1, 29, 0.8))
    heights = [1.0] * len(times)
    heights[20] = 0.22
    beats = find_beats(beat_train(times, 30, heights, noise=0.003))
    assert len(beats) == len(times)
    heights[20] = 0.1
    without = find_beats(beat_train(times, 30, heights, noise=0.003))
    np.testing.assert_array_equal(without.sample, np.delete(beats.sample, 20))


def late_and_seen(signals: np.ndarray, **arguments) -> tuple[Beats, np.ndarray, np.ndarray]:
    """Return the beats, how long after its R peak each is reported, and how long after that it comes out."""
    finder = BeatFinder(**arguments)
    pieces = [finder.push(piece) for piece in in_chunks(signals, [36])]
    seen = np.repeat((np.arange(len(pieces)) + 1) * 0.1, [len(piece) for piece in pieces])
    beats = Beats.joined([*pieces, finder.finish()])
    return beats, beats.reported - beats.time, seen - beats.reported[: len(seen)]


QUICK = {"low_hertz": 2.0, "before_seconds": 0.14, "after_seconds": 0.17}


def test_a_beat_found_by_search_back_is_reported_when_it_is_found():
    times = list(np.arange(1, 60, 1.9))
    heights = [1.0] * len(times)
    heights[15] = 0.22
    beats, late, wait = late_and_seen(beat_train(times, 60, heights, noise=0.003), **QUICK)
    delay = BeatFinder(**QUICK).delay_seconds
    assert len(beats) == len(times)
    assert delay == 1.0
    # The deadline is 1.66 intervals after the beat before; the energy's peaks are known 0.36 s later.
    assert late[15] == pytest.approx(0.66 * 1.9 + 131 / RATE, abs=0.01)
    np.testing.assert_allclose(np.delete(late, 15)[1:], delay)
    assert wait.min() >= -1e-9
    assert wait.max() < 0.1


@pytest.mark.parametrize("scale", [0.5, 0.2, 0.1, 0.03])
@pytest.mark.parametrize("interval", [0.5, 1.1, 1.95])
@pytest.mark.parametrize("arguments", [QUICK, {"before_seconds": 1.94}])
def test_reports_are_on_time_and_chunks_do_not_matter_when_beats_become_small(scale, interval, arguments):
    times = np.arange(0.2, 60, interval)
    weak = (times > 20) & (times < 40)
    # Growing weaker still, so that a search back finds the oldest.
    heights = np.where(weak, scale * np.exp((20 - times) / 30), 1.0)
    signals = beat_train(list(times), 60, list(heights), noise=0.003)
    beats, late, wait = late_and_seen(signals, **arguments)
    assert late.min() >= BeatFinder(**arguments).delay_seconds - 1e-9
    assert wait.min() >= -1e-9
    assert wait.max() < 0.1
    assert_same(beats, find_beats(signals, **arguments))


def test_one_giant_does_not_hide_the_beats_after_it():
    times = list(np.arange(1, 29, 0.8))
    signals = beat_train(times, 30)
    signals[round(10.2 * RATE) : round(10.22 * RATE), 0] += 30
    match = match_beats(find_beats(signals).sample, np.rint(np.array(times) * RATE).astype(int))
    assert match.n_annotated - len(match.found) <= 1


def test_beats_that_become_much_smaller_are_found_again():
    times = np.arange(1, 59, 0.8)
    signals = beat_train(list(times), 60, list(np.where(times < 20, 2.0, 0.2)), noise=0.003)
    beats = find_beats(signals)
    assert (beats.time > 31).sum() == (times > 31).sum()
    assert len(beats) == pytest.approx(len(times), abs=8)


def test_a_wild_start_is_learnt_from_and_overcome():
    signals = beat_train(list(np.arange(1, 40, 0.8)), 40)
    signals[:180] += np.random.default_rng(0).normal(0, 3, (180, 2))
    assert (find_beats(signals).time > 10).sum() == (np.arange(1, 40, 0.8) > 10).sum()


def test_no_beat_is_looked_for_beyond_the_end():
    # The last wave is too small for a beat as long as none is overdue.
    times = [*np.arange(1, 19, 0.8), 19.05]
    signals = beat_train(times, 19.3, [1.0] * (len(times) - 1) + [0.2], noise=0.003)
    assert len(find_beats(signals)) == len(times) - 1


def test_wander_does_not_reach_the_detector():
    t = np.arange(len(steady()))[:, np.newaxis] / RATE
    wandering = steady() + 2 * np.sin(2 * np.pi * 0.3 * t)
    np.testing.assert_array_equal(find_beats(wandering).sample, find_beats(steady()).sample)


def test_nothing_is_found_in_nothing():
    for signals in (np.zeros((9000, 2)), np.full((9000, 2), np.nan), beat_train([], 25, noise=0.004)):
        assert len(find_beats(signals)) == 0
