"""Scores and alarms of a stream: those of the whole record, any score, calibration, and no growth."""

from __future__ import annotations

import math
import pickle

import numpy as np
import pytest
from made_up_ecg import RATE, damaged, in_chunks, loudness, simulated, steady
from sklearn.decomposition import PCA

from dae_utils.signals import BeatFinder, BeatStream, find_beats, match_beats, score_record


@pytest.mark.parametrize("sizes", [[1, 500], [3600], [11_000, 7]])
def test_scores_and_alarms_of_a_stream_are_those_of_the_whole_record(sizes):
    signals = simulated(9208).signals[:20_000]
    arguments = {"score": loudness, "threshold": 0.12}
    stream = BeatStream(**arguments)
    got = [beat for piece in in_chunks(signals, sizes) for beat in stream.push(piece)] + stream.finish()
    expected = score_record(signals, **arguments)
    assert len(got) == len(expected) > 50
    assert len({beat.alarm for beat in expected}) == 2
    for one, other in zip(got, expected, strict=True):
        assert one.score == pytest.approx(other.score, abs=1e-6)
        np.testing.assert_equal(one._replace(score=0), other._replace(score=0))


def test_memory_does_not_grow():
    signals = simulated(9208).signals[: 120 * RATE]
    stream = BeatStream(loudness)
    sizes = []
    for _ in range(8):
        for piece in in_chunks(signals, [RATE]):
            stream.push(piece)
        sizes.append(len(pickle.dumps(stream)))
    assert max(sizes[1:]) < 1.03 * sizes[0] < 600_000


def test_a_fitted_model_can_be_the_score():
    record = simulated(9208)
    beats = find_beats(record.signals)
    match = match_beats(beats.sample, record.r_peaks)
    symbols = record.symbols[match.annotated]
    normal = beats.take(match.found[(symbols == "N") & beats.is_good[match.found]])
    components = PCA(8).fit(normal.windows[::2].reshape(len(normal.windows[::2]), -1))

    def error(windows: np.ndarray) -> np.ndarray:
        flat = windows.reshape(len(windows), -1)
        return np.square(flat - components.inverse_transform(components.transform(flat))).mean(axis=1)

    threshold = float(np.quantile(error(normal.windows[1::2]), 0.95))
    scored = score_record(record.signals, error, threshold=threshold)
    np.testing.assert_allclose([beat.score for beat in scored], error(beats.windows), rtol=1e-5)
    alarms = np.array([beat.alarm for beat in scored])[match.found]
    assert alarms[symbols == "V"].mean() > 0.9
    assert alarms[symbols == "N"].mean() < 0.1


def test_rhythm_goes_to_scores_that_want_it():
    got = score_record(steady(), lambda windows, rhythm: np.nan_to_num(rhythm[:, 1]), with_rhythm=True)
    assert [beat.score for beat in got] == pytest.approx([np.nan_to_num(beat.rr_after) for beat in got])


def test_the_threshold_itself_raises_no_alarm():
    for threshold, expected in ((0.5, False), (0.499, True), (math.inf, False)):
        beats = score_record(steady(), lambda w: np.full(len(w), 0.5), threshold=threshold)
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
def test_a_score_can_be_made_to_the_patients_measure(with_rhythm, sizes):
    signals = damaged(simulated(9208).signals[:20_000], "missing", 3000, 4000)
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


def test_a_calibration_waits_for_enough_good_beats():
    stream = BeatStream(calibrate=lambda windows: loudness, calibration_seconds=1, least_beats=30)
    scores = np.array([beat.score for beat in stream.push(steady())])
    good = find_beats(steady()).is_good[: len(scores)]
    assert np.isnan(scores).sum() == np.flatnonzero(np.cumsum(good) == 30)[0] + 1
    assert np.isfinite(scores[-1])


@pytest.mark.parametrize(
    ("arguments", "match"),
    [
        ({}, "either"),
        ({"score": loudness, "calibrate": lambda w: loudness}, "either"),
        ({"score": loudness, "threshold": math.nan}, "threshold"),
        ({"calibrate": lambda w: loudness, "least_beats": 0}, "least_beats"),
        ({"score": loudness, "sampling_rate": 1}, "sampling_rate"),
    ],
)
def test_wrong_streams_are_refused(arguments, match):
    with pytest.raises(ValueError, match=match):
        BeatStream(**arguments)


@pytest.mark.parametrize(
    ("score", "match"),
    [
        (lambda w: np.zeros(len(w) + 1), "one each"),
        (lambda w: np.full(len(w), np.nan), "NaN"),
        (lambda w: np.zeros((len(w), 2)), "one number per sample"),
    ],
)
def test_scores_must_be_one_finite_number_each(score, match):
    with pytest.raises(ValueError, match=match):
        BeatStream(score).push(steady())


def test_a_finished_stream_takes_nothing_more():
    stream = BeatStream(loudness)
    stream.push(steady())
    assert len(stream.finish()) > 0
    with pytest.raises(ValueError, match="finished"):
        stream.push(steady())
    with pytest.raises(ValueError, match="finished"):
        stream.finish()
