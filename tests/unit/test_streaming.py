"""Streaming: known answers on simulated records and made-up signals, faults put in, any chunks, no growth."""

from __future__ import annotations

import math
import os
import pickle
import time
from itertools import pairwise

import numpy as np
import pytest
import wfdb.processing
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.signal import resample_poly

from dae_utils.data import heartbeats as hb
from dae_utils.scoring import PCADetector
from dae_utils.signals import streaming
from dae_utils.signals.streaming import BeatFinder, Beats, BeatStream, find_beats, score_record

RATE = 360


def beat_train(
    peaks: list[float],
    seconds: float,
    heights: float | list[float] = 1.0,
    *,
    rate: int = RATE,
    t_wave: float = 0.0,
    noise: float = 0.01,
) -> np.ndarray:
    """Return two leads with a narrow wave at each of `peaks` (seconds), and a wider one 0.29 s later."""
    t = np.arange(round(seconds * rate)) / rate
    heights = np.broadcast_to(heights, len(peaks))
    lead = np.zeros(len(t))
    for peak, height in zip(peaks, heights, strict=True):
        lead += height * np.exp(-0.5 * ((t - peak) / 0.012) ** 2)
        lead += height * t_wave * np.exp(-0.5 * ((t - peak - 0.29) / 0.025) ** 2)
    return np.stack([lead, -0.6 * lead], axis=1) + np.random.default_rng(0).normal(0, noise, (len(t), 2))


@pytest.fixture(scope="module")
def steady() -> np.ndarray:
    """Forty seconds at 75 beats a minute."""
    return beat_train(list(np.arange(0.5, 40, 0.8)), 40)


@pytest.fixture(scope="module")
def simulated() -> dict[int, hb.Record]:
    return {number: hb.simulate_record(number, minutes=3) for number in (9100, 9102, 9208)}


def loudness(windows: np.ndarray) -> np.ndarray:
    return np.abs(windows).mean(axis=(1, 2), dtype=np.float64)


def in_chunks(signals: np.ndarray, sizes: list[int]) -> list[np.ndarray]:
    """Cut the signals into pieces of these lengths, over and over."""
    pieces, start, number = [], 0, 0
    while start < len(signals):
        pieces.append(signals[start : start + sizes[number % len(sizes)]])
        start += len(pieces[-1])
        number += 1
    return pieces


def streamed(signals: np.ndarray, sizes: list[int], **arguments) -> Beats:
    finder = BeatFinder(leads=signals.shape[1], **arguments)
    return Beats.joined([*(finder.push(piece) for piece in in_chunks(signals, sizes)), finder.finish()])


def assert_same(one: Beats, other: Beats) -> None:
    assert len(one) > 0
    for name in ("sample", "windows", "rhythm", "quality_code", "reported"):
        np.testing.assert_array_equal(getattr(one, name), getattr(other, name), err_msg=name)


def with_faults(signals: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Return the signals with missing, flat, saturated and noisy stretches, and a single wild sample."""
    x = signals.copy()
    starts = rng.integers(0, len(x) - 1500, 5)
    x[starts[0] : starts[0] + rng.integers(1, 900), rng.integers(2)] = np.nan
    x[starts[1] : starts[1] + rng.integers(100, 900)] = 0.3
    x[starts[2] : starts[2] + rng.integers(5, 300), rng.integers(2)] = 5.115
    x[starts[3] : starts[3] + 700] += rng.normal(0, 0.2, (700, 2))
    x[starts[4], 0] = -np.inf
    return x


# ------------------------------------------------------------------------------------------------------------
# Any chunks


@settings(max_examples=60, deadline=None)
@given(
    sizes=st.lists(st.integers(1, 2000), min_size=1, max_size=6).filter(lambda s: sum(s) / len(s) > 20),
    seed=st.integers(0, 1000),
    length=st.integers(3000, 9000),
)
def test_chunks_do_not_matter(simulated, sizes, seed, length):
    signals = with_faults(simulated[9208].signals[1000 : 1000 + length], np.random.default_rng(seed))
    assert_same(streamed(signals, sizes), find_beats(signals))


@pytest.mark.parametrize("size", [1, 35, 36, 37])
def test_single_samples_and_blocks_do_as_well(simulated, size):
    signals = with_faults(simulated[9100].signals[:7001], np.random.default_rng(5))
    assert_same(streamed(signals, [size]), find_beats(signals))


@pytest.mark.parametrize("sizes", [[1, 500], [3600], [11_000, 7]])
def test_scores_and_alarms_of_a_stream_are_those_of_the_whole_record(simulated, sizes):
    signals = simulated[9208].signals[:20_000]
    arguments = {"score": loudness, "threshold": 0.12}
    stream = BeatStream(**arguments)
    got = [beat for piece in in_chunks(signals, sizes) for beat in stream.push(piece)] + stream.finish()
    expected = score_record(signals, **arguments)
    assert len(got) == len(expected) > 50
    assert len({beat.alarm for beat in expected}) == 2
    for one, other in zip(got, expected, strict=True):
        assert one.score == pytest.approx(other.score, abs=1e-6)
        np.testing.assert_equal(one._replace(score=0), other._replace(score=0))


def test_long_pushes_are_worked_on_in_steps(simulated, monkeypatch):
    signals = simulated[9208].signals[:30_000]
    whole = find_beats(signals)
    monkeypatch.setattr(streaming, "_LONGEST_STEP", 500)
    assert_same(find_beats(signals), whole)


def test_memory_does_not_grow(simulated):
    signals = simulated[9208].signals[: 120 * RATE]
    stream = BeatStream(loudness)
    sizes = []
    for _ in range(8):
        for piece in in_chunks(signals, [RATE]):
            stream.push(piece)
        sizes.append(len(pickle.dumps(stream)))
    assert max(sizes[1:]) < 1.03 * sizes[0] < 600_000


def test_an_hour_of_verdicts_that_change_all_the_time_is_forgotten(monkeypatch):
    monkeypatch.setattr(streaming, "_LONGEST_STEP", 360)
    finder = BeatFinder()
    signals = beat_train([], 20)
    signals[::360] = np.nan
    for _ in range(60):
        finder.push(signals)
    assert len(finder.recent_quality) == 1000
    assert finder.recent_quality[-1].stop > 1190


# ------------------------------------------------------------------------------------------------------------
# R peaks


@pytest.mark.parametrize("number", [9100, 9102, 9208])
def test_beats_of_simulated_records_are_found_where_they_are(simulated, number):
    record = simulated[number]
    beats = find_beats(record.signals)
    match = streaming.match_beats(beats.sample, record.r_peaks)
    # A ventricular beat of theirs can be too slow to be found unless the next one is late.
    assert match.sensitivity > 0.99
    assert match.precision == 1
    off = np.abs(beats.sample[match.found] - record.r_peaks[match.annotated])
    assert np.quantile(off[record.symbols[match.annotated] == ("/" if number == 9102 else "N")], 0.95) <= 8


@pytest.mark.parametrize("rate", [125, 250, 500, 1000])
def test_other_sampling_rates(simulated, rate):
    record = simulated[9208]
    signals = resample_poly(record.signals, rate, RATE, padtype="edge")
    beats = find_beats(signals, sampling_rate=rate, before=rate // 4, after=rate // 2, high_hertz=35)
    assert beats.windows.shape[1] == rate // 4 + rate // 2
    match = streaming.match_beats(beats.time, record.r_peaks / RATE, sampling_rate=1)
    assert match.sensitivity > 0.99
    assert match.precision > 0.99


def test_r_peaks_are_exact_whichever_way_they_point():
    peaks = np.arange(1, 29, 0.75)
    for sign in (1, -1):
        beats = find_beats(sign * beat_train(list(peaks), 30))
        np.testing.assert_array_equal(beats.sample, np.rint(peaks * RATE))


def test_a_t_wave_is_no_beat(monkeypatch):
    peaks = np.arange(1, 59, 0.8)
    signals = beat_train(list(peaks), 60, t_wave=0.55)
    np.testing.assert_array_equal(find_beats(signals).sample, np.rint(peaks * RATE))
    # It is high enough for one.
    monkeypatch.setattr(streaming, "_T_WAVE_SECONDS", 0)
    assert len(find_beats(signals)) > 1.3 * len(peaks)


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


def test_a_beat_found_by_search_back_is_reported_when_it_is_found():
    times = list(np.arange(1, 60, 1.9))
    heights = [1.0] * len(times)
    heights[15] = 0.22
    arguments = {"low_hertz": 2.0, "before": 50, "after": 60}
    beats, late, wait = late_and_seen(beat_train(times, 60, heights, noise=0.003), **arguments)
    delay = BeatFinder(**arguments).delay_seconds
    assert len(beats) == len(times)
    assert delay == 1.0
    # The deadline is 1.66 intervals after the beat before; the energy's peaks are known 0.36 s later.
    assert late[15] == pytest.approx(0.66 * 1.9 + 131 / RATE, abs=0.01)
    np.testing.assert_allclose(np.delete(late, 15)[1:], delay)
    assert wait.min() >= -1e-9
    assert wait.max() < 0.1


@pytest.mark.parametrize("scale", [0.5, 0.2, 0.1, 0.03])
@pytest.mark.parametrize("interval", [0.5, 1.1, 1.95])
@pytest.mark.parametrize("arguments", [{"low_hertz": 2.0, "before": 50, "after": 60}, {"before": 700}])
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
    match = streaming.match_beats(find_beats(signals).sample, np.rint(np.array(times) * RATE).astype(int))
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


@pytest.mark.parametrize("seconds", [0.0, 0.05, 0.5, 1.2, 2.6])
def test_records_of_any_length_end_well(seconds):
    peaks = [peak for peak in (0.3, 1.0, 1.7, 2.4) if peak < seconds]
    beats = streamed(beat_train(peaks, seconds), [50])
    assert beats.sample.tolist() == [round(peak * RATE) for peak in peaks]
    assert all(beats.quality[[0, -1][: len(beats)]] == "incomplete")


def test_no_beat_is_looked_for_beyond_the_end():
    # The last wave is too small for a beat as long as none is overdue.
    times = [*np.arange(1, 19, 0.8), 19.05]
    signals = beat_train(times, 19.3, [1.0] * (len(times) - 1) + [0.2], noise=0.003)
    assert len(find_beats(signals)) == len(times) - 1


def test_wander_and_offset_do_not_reach_the_detector(steady):
    finder = BeatFinder()
    finder.push(np.full((2000, 2), 1.5))
    assert not finder._band.values.any()
    t = np.arange(len(steady))[:, np.newaxis] / RATE
    wandering = steady + 2 * np.sin(2 * np.pi * 0.3 * t)
    np.testing.assert_array_equal(find_beats(wandering).sample, find_beats(steady).sample)


def test_nothing_is_found_in_nothing():
    for signals in (np.zeros((9000, 2)), np.full((9000, 2), np.nan), beat_train([], 25, noise=0.004)):
        assert len(find_beats(signals)) == 0


# ------------------------------------------------------------------------------------------------------------
# Windows and rhythm


def triangle(length: int) -> np.ndarray:
    return np.convolve(np.ones(length), np.ones(length)) / length**2


def test_windows_are_what_a_convolution_gives(simulated):
    record = simulated[9208]
    signals = record.signals[record.r_peaks[0] - 60 : record.r_peaks[20] + 100]
    beats = find_beats(signals)
    # Before and after the record its first and last values go on.
    longer = np.pad(signals, ((1000, 1000), (0, 0)), mode="edge")
    expected = np.stack(
        [np.convolve(x, triangle(3), "same") - np.convolve(x, triangle(397), "same") for x in longer.T],
        axis=1,
    )
    assert beats.quality[0] == beats.quality[-1] == "incomplete"
    for sample, window in zip(beats.sample, beats.windows, strict=True):
        np.testing.assert_allclose(window, expected[1000 + sample - 140 : 1000 + sample + 180], atol=2e-4)


@pytest.mark.parametrize(
    ("hertz", "low", "high"), [(0.1, 0, 0.1), (0.5, 0.6, 0.8), (5, 0.97, 1.02), (40, 0.6, 0.8)]
)
def test_the_band_is_as_stated_and_shifts_nothing(hertz, low, high):
    t = np.arange(60 * RATE) / RATE
    wave = np.sin(2 * np.pi * hertz * t)
    finder = BeatFinder(leads=1)
    finder.push(0.2 * wave[:, np.newaxis])
    filtered, start = finder._filtered.values[0], finder._filtered.start
    reference = 0.2 * wave[start : start + len(filtered)]
    assert low < filtered @ reference / (reference @ reference) < high
    quarter = 0.2 * np.cos(2 * np.pi * hertz * t)[start : start + len(filtered)]
    if hertz > 1:
        assert abs(filtered @ quarter / (quarter @ quarter)) < 0.02


def test_an_offset_changes_nothing(steady):
    one, other = find_beats(steady), find_beats(steady + np.array([1.25, -0.75]))
    np.testing.assert_array_equal(one.sample, other.sample)
    np.testing.assert_allclose(one.windows, other.windows, atol=2e-4)


def test_leads_are_cut_in_the_order_asked_for(steady):
    both = find_beats(steady)
    swapped = find_beats(steady, window_leads=[1, 0])
    np.testing.assert_array_equal(swapped.windows, both.windows[:, :, ::-1])
    np.testing.assert_array_equal(swapped.sample, both.sample)
    one = find_beats(steady, window_leads=[1], main_lead=1, before=10, after=1)
    np.testing.assert_array_equal(one.sample, both.sample)
    np.testing.assert_array_equal(one.windows, both.windows[:, 130:141, 1:])


def test_rhythm():
    gaps = [0.8] * 12 + [0.5, 1.1, 0.8] + [1.0] * 14 + [2.5, 1.0, 1.0]
    beats = find_beats(beat_train(list(1 + np.cumsum(gaps)), 40))
    before, after, usual = beats.rhythm.T
    assert len(beats) == len(gaps)
    assert math.isnan(before[0])
    assert math.isnan(usual[0])
    np.testing.assert_allclose(before[1:], gaps[1:], atol=0.003)
    # The long pause is longer than anybody waits, and after the last beat nothing comes.
    waited = np.array(gaps[1:]) < 1.7
    np.testing.assert_allclose(after[:-1][waited], np.array(gaps[1:])[waited], atol=0.003)
    assert np.isnan(after[:-1][~waited]).all()
    assert math.isnan(after[-1])
    for row in range(1, len(gaps)):
        assert usual[row] == pytest.approx(np.median(gaps[max(row - 9, 1) : row + 1]), abs=0.003)
    features = streaming.rhythm_features(beats.rhythm)
    assert features.shape == (len(gaps), 2)
    assert features[0, 0] == features[-1, 1] == 0
    assert features[12, 0] == pytest.approx(np.log(0.5 / 0.8), abs=0.01)
    assert features[12, 1] == pytest.approx(np.log(1.1 / 0.8), abs=0.01)


def test_an_interval_across_a_drop_out_is_unknown(steady):
    steady = steady.copy()
    steady[3600:5000, 0] = np.nan
    beats = find_beats(steady)
    unknown = np.flatnonzero(np.isnan(beats.rhythm[:, 0]))
    assert unknown[0] == 0
    assert len(unknown) >= 2
    assert all(beats.sample[unknown[1:]] >= 3600)
    assert np.isfinite(beats.rhythm[beats.time > 15.5, 0]).all()
    steady[3600:5000] = steady[3600:5000, ::-1]
    assert np.isfinite(find_beats(steady).rhythm[1:, 0]).all()  # the other lead is not that of the R peaks


# ------------------------------------------------------------------------------------------------------------
# Signal quality


def damaged(signals: np.ndarray, kind: str, start: int = 20 * RATE, stop: int = 24 * RATE) -> np.ndarray:
    """Return the signals with a fault of this kind; times in samples."""
    x = signals.copy()
    part = slice(start, stop)
    rng = np.random.default_rng(1)
    if kind == "missing":
        x[part, 1] = np.nan
    elif kind == "all missing":
        x[part] = np.inf
    elif kind == "absurd":
        x[part, 0] = 1e9
    elif kind == "one flat":
        x[part, 1] = x[start, 1] + rng.choice([0, 0.005], stop - start)
    elif kind == "all flat":
        x[part] = x[start]
    elif kind == "at the rail":
        x[part, 0] = -5.12
    elif kind == "clipped":
        x[part, 0] = np.clip(3 * np.sin(2 * np.pi * np.arange(stop - start) / RATE), -1.5, 1.5)
    elif kind == "muscle noise":
        x[part] += rng.normal(0, 0.04, x[part].shape)
    elif kind == "movement":
        x[part, 0] += 1.5 * np.sin(2 * np.pi * 0.4 * np.arange(stop - start) / RATE)
    return x


FAULTS = {
    "missing": "lead drop-out",
    "all missing": "lead drop-out",
    "absurd": "lead drop-out",
    "one flat": "lead drop-out",
    "all flat": "flat line",
    "at the rail": "saturated",
    "clipped": "saturated",
    "muscle noise": "noise",
    "movement": "noise",
}


@pytest.mark.parametrize(("kind", "verdict"), FAULTS.items())
def test_faults_are_named_and_raise_no_alarm(steady, kind, verdict):
    signals = damaged(steady, kind)
    spans = streaming.quality_spans(signals)
    seconds = {
        name: sum(span.stop - span.start for span in spans if span.quality == name)
        for name in FAULTS.values()
    }
    assert max(seconds, key=seconds.get) == verdict
    assert 2.5 < seconds[verdict] <= 6.5
    assert sum(seconds.values()) < 8

    beats = score_record(signals, loudness, threshold=-1)
    near = [beat for beat in beats if 20.2 < beat.time < 23.8]
    far = [beat for beat in beats if 3 < beat.time < 18 or 28 < beat.time < 39]
    assert all(beat.quality != "good" and not beat.alarm for beat in near)
    assert all(beat.quality == "good" and beat.alarm for beat in far)
    assert len(far) > 25
    if kind in ("missing", "one flat", "muscle noise", "movement"):
        assert len(near) >= 3
        assert {beat.quality for beat in near[1:-1]} == {verdict}
    assert all(math.isfinite(beat.score) for beat in beats)


def test_beats_whose_windows_a_fault_reaches_through_the_filter_are_not_good(steady):
    beats = find_beats(damaged(steady, "at the rail", 20 * RATE, 21 * RATE))
    before, after = 180 + 396, 140 + 396
    reached = (beats.sample > 20 * RATE - before + 36) & (beats.sample < 21 * RATE + after - 36)
    assert (beats.quality[reached] == "saturated").all()
    assert beats.is_good[(beats.sample < 20 * RATE - before - 36) & (beats.time > 2)].all()
    undisturbed = find_beats(steady)
    rows = np.isin(beats.sample, undisturbed.sample[undisturbed.is_good]) & beats.is_good
    others = np.isin(undisturbed.sample, beats.sample[rows])
    np.testing.assert_allclose(beats.windows[rows], undisturbed.windows[others], atol=1e-6)


def test_with_a_single_lead_a_drop_out_is_a_flat_line(steady):
    spans = streaming.quality_spans(damaged(steady, "one flat")[:, 1:])
    assert "flat line" in {span.quality for span in spans}
    assert "lead drop-out" not in {span.quality for span in spans}


def test_only_the_leads_that_are_used_are_judged(steady):
    signals = damaged(steady, "missing")
    assert {span.quality for span in streaming.quality_spans(signals, window_leads=[0])} == {"good"}


def test_rails_are_the_converters(steady):
    # Another converter ends elsewhere; without any range a lead can only be caught at its own extremes.
    signals = damaged(steady, "at the rail") / 2
    for arguments in ({"converter_range": (-2.56, 2.56)}, {"converter_range": None}, {}):
        verdicts = {span.quality for span in streaming.quality_spans(signals, **arguments)}
        assert "saturated" in verdicts
        assert ("lead drop-out" in verdicts) == (arguments != {"converter_range": (-2.56, 2.56)})


def test_spans_cover_the_record_end_to_end(simulated):
    signals = with_faults(simulated[9208].signals, np.random.default_rng(3))
    spans = streaming.quality_spans(signals)
    assert spans[0].start == 0
    assert spans[-1].stop == pytest.approx(len(signals) / RATE, abs=0.1)
    for one, other in pairwise(spans):
        assert one.stop == other.start
        assert one.quality != other.quality
    finder = BeatFinder()
    assert finder.recent_quality == []
    for piece in in_chunks(signals, [777]):
        finder.push(piece)
    finder.finish()
    assert finder.recent_quality == spans


def test_the_ends_of_a_record_are_no_fault(steady):
    # They lie on the top of an R wave, which would look like saturation if it went on.
    signals = steady[round(1.3 * RATE) : round(36.5 * RATE) + 1].copy()
    signals[[0, -1], 0] += 0.5
    beats = find_beats(signals)
    assert beats.sample[-1] == len(signals) - 1
    assert beats.is_good[(beats.time > 2.5) & (beats.time < 33)].all()
    assert beats.quality[-1] == "incomplete"
    assert {span.quality for span in streaming.quality_spans(signals)} <= {"good", "noise"}


def test_what_is_usual_is_remembered_through_a_fault(steady):
    signals = np.concatenate([steady, np.zeros((60 * RATE, 2)), steady])
    beats = find_beats(signals)
    assert beats.is_good[(beats.time > 103) & (beats.time < 138)].all()


def test_a_record_may_begin_and_end_with_missing_samples(steady):
    signals = steady.copy()
    signals[:1000] = signals[-1000:, 0:1] = np.nan
    beats = find_beats(signals)
    assert beats.quality[0] == "lead drop-out"
    assert np.isfinite(beats.windows).all()
    assert beats.is_good[(beats.time > 6) & (beats.time < 34)].all()
    assert len(beats) >= 40


def test_simulated_records_are_mostly_good(simulated):
    for record in simulated.values():
        beats = find_beats(record.signals)
        usual = beats.take(np.flatnonzero(np.isin(beats.sample, record.r_peaks[record.symbols != "Q"])))
        assert usual.is_good.mean() > 0.9


# ------------------------------------------------------------------------------------------------------------
# Scores


def test_a_detector_of_the_library_can_be_the_score(simulated):
    record = simulated[9208]
    beats = find_beats(record.signals)
    match = streaming.match_beats(beats.sample, record.r_peaks)
    symbols = record.symbols[match.annotated]
    normal = beats.take(match.found[(symbols == "N") & beats.is_good[match.found]])
    detector = PCADetector(8).fit(normal.windows[::2]).calibrate(normal.windows[1::2], 0.05)
    scored = score_record(record.signals, detector.anomaly_score, threshold=detector.threshold_)
    np.testing.assert_allclose(
        [beat.score for beat in scored], detector.anomaly_score(beats.windows), rtol=1e-5
    )
    alarms = np.array([beat.alarm for beat in scored])[match.found]
    assert alarms[symbols == "V"].mean() > 0.9
    assert alarms[symbols == "N"].mean() < 0.1


def test_rhythm_goes_to_scores_that_want_it(steady):
    got = score_record(steady, lambda windows, rhythm: np.nan_to_num(rhythm[:, 1]), with_rhythm=True)
    assert [beat.score for beat in got] == pytest.approx([np.nan_to_num(beat.rr_after) for beat in got])


def test_the_threshold_itself_raises_no_alarm(steady):
    for threshold, expected in ((0.5, False), (0.499, True), (math.inf, False)):
        beats = score_record(steady, lambda w: np.full(len(w), 0.5), threshold=threshold)
        assert {beat.alarm for beat in beats if beat.quality == "good"} == {expected}
    assert beats[3]._asdict() == {
        "sample": round(2.9 * RATE),
        "time": pytest.approx(2.9),
        "score": 0.5,
        "alarm": False,
        "quality": "good",
        "rr_before": pytest.approx(0.8),
        "rr_after": pytest.approx(0.8),
        "rr_usual": pytest.approx(0.8),
        "reported": pytest.approx(2.9 + BeatFinder().delay_seconds),
    }


@pytest.mark.parametrize("with_rhythm", [False, True])
@pytest.mark.parametrize("sizes", [[50], [20_000]])
def test_a_score_can_be_made_to_the_patients_measure(simulated, with_rhythm, sizes):
    signals = damaged(simulated[9208].signals[:20_000], "missing", 3000, 4000)
    seen = []

    def calibrate(windows, *rhythm):
        seen.append((windows, *rhythm))
        usual = np.median(windows, axis=0)
        return lambda new, *_: np.abs(new - usual).mean(axis=(1, 2), dtype=np.float64)

    stream = BeatStream(
        calibrate=calibrate, calibration_seconds=20, threshold=0.05, with_rhythm=with_rhythm, least_beats=5
    )
    got = [beat for piece in in_chunks(signals, sizes) for beat in stream.push(piece)] + stream.finish()
    beats = find_beats(signals)
    early = beats.time < 20
    assert len(seen) == 1
    np.testing.assert_array_equal(seen[0][0], beats.windows[early & beats.is_good])
    if with_rhythm:
        np.testing.assert_array_equal(seen[0][1], beats.rhythm[early & beats.is_good])
    scores = np.array([beat.score for beat in got])
    assert np.isnan(scores[early]).all()
    assert not any(beat.alarm for beat in got if beat.time < 20)
    usual = np.median(beats.windows[early & beats.is_good], axis=0)
    np.testing.assert_allclose(scores[~early], loudness(beats.windows[~early] - usual), rtol=1e-6)
    assert any(beat.alarm for beat in got)


def test_a_calibration_waits_for_enough_good_beats(steady):
    stream = BeatStream(calibrate=lambda windows: loudness, calibration_seconds=1, least_beats=30)
    scores = np.array([beat.score for beat in stream.push(steady)])
    good = find_beats(steady).is_good[: len(scores)]
    assert np.isnan(scores).sum() == np.flatnonzero(np.cumsum(good) == 30)[0] + 1
    assert np.isfinite(scores[-1])


# ------------------------------------------------------------------------------------------------------------
# What is refused


@pytest.mark.parametrize(
    ("samples", "message"),
    [
        (np.zeros(100), r"shape \(n, 2\), got float64 \(100,\)"),
        (np.zeros((100, 3)), r"got float64 \(100, 3\)"),
        (np.zeros((2, 100)).T.tolist()[0], "shape"),
        (np.zeros((5, 2), complex), "complex"),
        (np.full((5, 2), "a"), "numbers"),
        (np.zeros((5, 2), bool), "bool"),
    ],
)
def test_wrong_samples_are_refused_in_one_line(samples, message):
    for stream in (BeatFinder(), BeatStream(loudness)):
        with pytest.raises(ValueError, match=message) as caught:
            stream.push(samples)
        assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "function", [find_beats, streaming.quality_spans, lambda x: score_record(x, loudness)]
)
@pytest.mark.parametrize("signals", [np.zeros(100), np.zeros((5, 0)), np.zeros((2, 3, 4))])
def test_what_is_no_record_is_refused(function, signals):
    with pytest.raises(ValueError, match="shape"):
        function(signals)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"sampling_rate": 50}, "sampling_rate"),
        ({"sampling_rate": 360.5}, "sampling_rate"),
        ({"leads": 0}, "leads"),
        ({"main_lead": 2}, "main lead"),
        ({"window_leads": [0, 2]}, "lead's number"),
        ({"window_leads": [1]}, "main lead"),
        ({"window_leads": [0, 0]}, "once"),
        ({"before": -1}, "before"),
        ({"after": 0}, "after"),
        ({"low_hertz": 0.1}, "band"),
        ({"low_hertz": math.nan}, "band"),
        ({"high_hertz": 200}, "band"),
        ({"converter_range": (5, -5)}, "converter_range"),
    ],
)
def test_wrong_settings_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        BeatFinder(**arguments)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({}, "either"),
        ({"score": loudness, "calibrate": lambda w: loudness}, "either"),
        ({"score": loudness, "threshold": math.nan}, "threshold"),
        ({"calibrate": lambda w: loudness, "least_beats": 0}, "least_beats"),
    ],
)
def test_wrong_streams_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        BeatStream(**arguments)


@pytest.mark.parametrize(
    ("score", "message"),
    [
        (lambda w: np.zeros(len(w) + 1), "one each"),
        (lambda w: np.full(len(w), np.nan), "NaN"),
        (lambda w: np.zeros((len(w), 2)), "one number per sample"),
    ],
)
def test_scores_must_be_one_finite_number_each(steady, score, message):
    with pytest.raises(ValueError, match=message):
        BeatStream(score).push(steady)


def test_a_finished_stream_takes_nothing_more(steady):
    for stream in (BeatFinder(), BeatStream(loudness)):
        stream.push(steady)
        assert len(stream.finish()) > 0
        with pytest.raises(ValueError, match="finished"):
            stream.push(steady)
        with pytest.raises(ValueError, match="finished"):
            stream.finish()


# ------------------------------------------------------------------------------------------------------------
# Matches and alarms


rising = st.lists(st.integers(0, 3000), max_size=40, unique=True).map(sorted)


@settings(deadline=None)
@given(found=rising, annotated=rising)
def test_pairs_are_each_others_nearest(found, annotated):
    match = streaming.match_beats(found, annotated)
    assert len(set(match.found)) == len(match.found) == len(set(match.annotated))
    distance = np.abs(np.subtract.outer(found, annotated))
    pairs = [
        (row, column)
        for row in range(len(found))
        for column in range(len(annotated))
        if distance[row, column] <= 54
        and column == distance[row].argmin()
        and row == distance[:, column].argmin()
    ]
    assert list(zip(match.found, match.annotated, strict=True)) == pairs
    assert match.sensitivity == pytest.approx(
        len(pairs) / len(annotated) if annotated else math.nan, nan_ok=True
    )
    assert match.precision == pytest.approx(len(pairs) / len(found) if found else math.nan, nan_ok=True)


def test_pairs_are_as_many_as_wfdb_finds(simulated):
    record = simulated[9208]
    rng = np.random.default_rng(0)
    found = np.unique(record.r_peaks[rng.random(len(record.r_peaks)) < 0.9] + rng.integers(-70, 70))
    match = streaming.match_beats(found, record.r_peaks)
    theirs = wfdb.processing.compare_annotations(record.r_peaks, found, 54)
    assert len(match.found) == theirs.tp
    assert match.sensitivity == pytest.approx(theirs.sensitivity)
    assert match.precision == pytest.approx(theirs.positive_predictivity)


def test_sample_numbers_must_rise():
    for found in ([3, 3], [5, 2], [[1, 2]]):
        with pytest.raises(ValueError, match="found must be"):
            streaming.match_beats(found, [1, 2])


def test_episodes():
    times = [1, 2, 6.9, 11.9, 40, 44, 48, 52, 56, 60, 64, 68, 72]
    assert streaming.alarm_episodes(times).tolist() == [[1, 6.9], [11.9, 11.9], [40, 68], [72, 72]]
    assert streaming.alarm_episodes(times, gap=6, longest=100).tolist() == [[1, 11.9], [40, 72]]
    assert streaming.alarm_episodes([]).shape == (0, 2)


def alarm(at: float, raised: bool = True) -> streaming.Beat:
    return streaming.Beat(round(at * RATE), at, 1.0, raised, "good", 0.8, 0.8, 0.8, at + 2.2)


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


def test_beats_say_how_many_they_are(steady):
    beats = find_beats(steady)
    assert repr(beats) == "Beats(50 beats, 49 of them of good signal quality)"
    assert len(beats.take(slice(3, 7))) == 4


def test_it_is_thousands_of_times_faster_than_the_heart(simulated):
    signals = np.tile(simulated[9208].signals, (4, 1))
    find_beats(signals)
    best = 0.0
    for _ in range(3):
        start = time.process_time()
        n_beats = len(streamed(signals, [3600]))
        best = max(best, n_beats / (time.process_time() - start))
    assert best > 5000


# ------------------------------------------------------------------------------------------------------------
# Real records


real = pytest.mark.skipif(not os.environ.get("DAE_MITDB_DIR"), reason="DAE_MITDB_DIR is not set")


@real
@pytest.mark.data
@pytest.mark.parametrize(("number", "least"), [(100, 1.0), (114, 0.999), (119, 0.999), (203, 0.98)])
def test_real_r_peaks_are_those_of_the_experts(number, least):
    record = hb.read_record(number)
    beats = find_beats(record.signals, main_lead=record.main_lead)
    match = streaming.match_beats(beats.sample, record.r_peaks)
    assert match.sensitivity >= least
    assert match.precision >= least


@real
@pytest.mark.data
def test_real_faults_are_seen():
    saturated = streaming.quality_spans(hb.read_record(116).signals)
    assert any(span.quality == "saturated" and abs(span.start - 1404) < 1 for span in saturated)
    folder = os.environ["DAE_MITDB_DIR"]
    signals = hb.read_record(104).signals
    marks = wfdb.rdann(f"{folder}/104", "atr")
    is_change = np.array(marks.symbol) == "~"
    noisy, state = np.zeros(len(signals), bool), [*marks.subtype[is_change], 0]
    borders = [*marks.sample[is_change], len(signals)]
    for (start, stop), code in zip(pairwise(borders), state, strict=False):
        noisy[start:stop] = code != 0
    flagged = np.zeros(len(signals), bool)
    for span in streaming.quality_spans(signals):
        flagged[round(span.start * RATE) : round(span.stop * RATE)] = span.quality != "good"
    assert flagged[noisy].mean() > 0.5
    assert flagged[~noisy].mean() < 0.02
