"""Scores and alarms of a stream: those of the whole record, any score, and no growth."""

from __future__ import annotations

import math
import pickle

import numpy as np
import pytest
from made_up_ecg import RATE, in_chunks, loudness, simulated, steady
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


@pytest.mark.parametrize(
    ("arguments", "match"),
    [
        ({"score": loudness, "threshold": math.nan}, "threshold"),
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
