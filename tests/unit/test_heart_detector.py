"""The detector of heartbeats for recordings of one's own: what it learns of a heart, which leads it takes."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from made_up_ecg import beat_train, in_chunks
from own_files import heart

from dae_utils.data.ecg import Span
from dae_utils.data.recordings import RecordingError, recording
from dae_utils.evaluation import auroc
from dae_utils.signals import load_detector, match_beats
from dae_utils.signals.judging import judge, judge_all
from dae_utils.signals.own_heart import (
    DenseNetwork,
    OwnHeart,
    OwnHeartSettings,
    Pace,
    difference_rows,
    learn_template,
)
from dae_utils.signals.scored import ScoredRecording
from dae_utils.signals.stream import Beat


def rhythm(intervals: list[float]) -> np.ndarray:
    """Return before, after and usual intervals of beats, (n, 3)."""
    return np.array(
        [[one, other, 0.8] for one, other in zip(intervals, [*intervals[1:], math.nan], strict=True)]
    )


# The pace


def test_timing_is_measured_against_the_upper_quartile_of_the_last_twenty_intervals():
    intervals = [0.8] * 30 + [0.4, 1.2] + [0.8] * 5

    timing = Pace().timing(rhythm(intervals))

    assert timing.shape == (37, 2)
    np.testing.assert_allclose(timing[30], [math.log(2), math.log(1.5)])
    np.testing.assert_allclose(timing[:29], 0)
    np.testing.assert_allclose(timing[31], 0)  # late is not early
    assert np.isfinite(timing).all()


def test_the_pace_is_not_fooled_where_every_other_beat_is_early():
    timing = Pace().timing(rhythm([1.0, 0.6] * 30))

    np.testing.assert_allclose(timing[20:-1:2, 0], 0)
    np.testing.assert_allclose(timing[21::2, 0], math.log(1 / 0.6))


def test_the_pace_is_the_same_in_pieces_of_any_length_and_with_gaps():
    rng = np.random.default_rng(0)
    rows = rhythm(rng.uniform(0.5, 1.2, 100).tolist())
    rows[rng.random(100) < 0.1, 0] = np.nan
    whole = Pace().timing(rows)

    for sizes in ([1], [3, 50], [99, 1]):
        pace = Pace()
        np.testing.assert_array_equal(
            np.concatenate([pace.timing(piece) for piece in in_chunks(rows, sizes)]), whole
        )


def test_a_pace_without_any_interval_finds_nothing_early():
    np.testing.assert_array_equal(Pace().timing(np.full((3, 3), np.nan)), 0)


# Template and difference


def test_the_template_is_the_median_of_the_regular_beats():
    rng = np.random.default_rng(0)
    normal, strange = np.zeros((40, 320, 1), np.float32), np.ones((60, 320, 1), np.float32)
    normal += rng.normal(0, 1e-3, normal.shape).astype(np.float32)
    timing = np.r_[np.zeros(40), np.full(60, 5.0)]

    template, regular = learn_template(np.concatenate([normal, strange]), timing)

    assert regular.tolist() == list(range(40))
    assert np.abs(template).max() < 1e-3


def test_a_heart_without_regular_beats_is_learnt_from_the_most_regular_ones():
    timing = np.linspace(2, 9, 50)

    _, regular = learn_template(np.zeros((50, 320, 1), np.float32), timing[::-1])

    assert regular.tolist() == list(range(30, 50))


def test_nothing_is_left_of_a_beat_that_comes_late_or_stands_higher():
    time = np.arange(320) / 360
    beat = np.exp(-0.5 * ((time - 0.389) / 0.02) ** 2).astype(np.float32)
    moved = np.stack([beat, np.roll(beat, 6) + 0.5, np.roll(beat, -12)])[:, :, None]

    rows = difference_rows(moved, beat[:, None])

    assert rows.shape == (3, 148)
    assert np.abs(rows).max() < 1e-3
    far = difference_rows(np.roll(beat, 60)[None, :, None], beat[:, None])
    assert np.abs(far).max() > 0.3
    # What is left is in heights of the template, at most five.
    assert difference_rows(100 * moved, beat[:, None]).max() == 5


def test_a_network_computes_what_keras_computes():
    import keras

    model = keras.Sequential(
        [keras.Input((7,)), keras.layers.Dense(5, activation="elu"), keras.layers.Dense(3)]
    )
    arrays = model.get_weights()
    network = DenseNetwork(arrays[::2], arrays[1::2], ("elu", "linear"))
    x = np.random.default_rng(0).normal(size=(20, 7)).astype(np.float32)

    np.testing.assert_allclose(network(x), model.predict(x, verbose=0), atol=1e-5)


def test_the_score_can_be_reckoned_by_hand():
    nothing = DenseNetwork([np.zeros((148, 148), np.float32)], [np.zeros(148, np.float32)], ("linear",))
    settings = OwnHeartSettings(nothing, 1.0, (0.1, 0.1))
    rng = np.random.default_rng(0)
    windows = rng.normal(0, 0.01, (60, 320, 1)).astype(np.float32)
    windows[:, 140] += 1
    own = OwnHeart(windows, rhythm([0.8] * 60), settings)
    ten_times = windows[:1] + 10 * rng.normal(0, 0.01, (1, 320, 1)).astype(np.float32)

    usual = own(windows[:50], rhythm([0.8] * 50))
    score = own(ten_times, np.array([[0.8, 0.8, 0.8]]))
    early = own(windows[:1], np.array([[0.4, 0.8, 0.8]]))

    assert np.median(usual) == pytest.approx(0, abs=0.1)
    assert score[0] == pytest.approx(math.log(100), abs=1)
    # ln 2 / 0.1 is above the four units at which early beats are cut off; each is a quarter in the score.
    assert early[0] - usual[0] == pytest.approx(1.0, abs=0.01)


# Leads


@pytest.mark.parametrize(
    ("detector", "leads", "wanted", "chosen"),
    [
        ("one_lead", ("V5", "MLII"), None, [1]),
        ("two_leads", ("V5", "MLII"), None, [1, 0]),
        ("two_leads", ("I", "II", "III", "AVR", "AVL", "AVF", "V1", "V2", "V5"), None, [1, 6]),
        ("two_leads", ("ECG II", "ECG V5"), None, [0, 1]),
        ("one_lead", ("Lead-II",), None, [0]),
        ("two_leads", ("I", "II", "V1"), ("v1", "i"), [2, 0]),
        ("two_leads", ("III", "ekg ii"), ("ECG II", "III"), [1, 0]),
    ],
)
def test_leads_are_found_by_their_names(detector, leads, wanted, chosen):
    record = replace(heart(), signals=np.zeros((4000, len(leads))), lead_names=leads)

    columns, notes = load_detector(detector).choose_leads(record, wanted)

    assert columns == chosen
    unknown = wanted is not None
    assert (notes != []) == unknown


def test_leads_without_known_names_are_taken_in_their_order_and_a_note_says_so():
    record = replace(heart(), lead_names=("ECG1", "ECG2"))

    columns, notes = load_detector("two_leads").choose_leads(record)

    assert columns == [0, 1]
    assert len(notes) == 2
    assert "ECG1 stands in for MLII" in notes[0]
    columns, notes = load_detector("two_leads").choose_leads(replace(heart(), lead_names=("ECG1", "II")))
    assert columns == [1, 0]
    assert len(notes) == 1


# Scores


@pytest.fixture(scope="module")
def scored() -> ScoredRecording:
    return load_detector("two_leads").score(heart(), first_seconds=60)


def test_abnormal_beats_have_high_scores(scored):
    record = heart()
    pairs = match_beats([beat.sample for beat in scored.beats], record.r_peaks)
    scores = np.array([scored.beats[row].score for row in pairs.found])
    symbols = record.symbols[pairs.annotated]
    judged = np.isfinite(scores)

    assert auroc(symbols[judged] == "V", scores[judged]) > 0.95


def test_a_stream_of_pieces_gives_the_scores_of_the_whole(scored):
    detector = load_detector("two_leads")
    stream = detector.stream(first_seconds=60)

    beats = [beat for piece in in_chunks(heart().signals, [997, 13, 40_000]) for beat in stream.push(piece)]
    beats += stream.finish()

    assert [beat.sample for beat in beats] == [beat.sample for beat in scored.beats]
    np.testing.assert_allclose([b.score for b in beats], [b.score for b in scored.beats], atol=1e-3)


def test_a_scored_recording_says_what_happened_in_the_first_minutes(scored):
    assert scored.learnt_seconds == pytest.approx(60, abs=2)
    assert 40 < scored.n_learnt < 120
    assert all(math.isnan(beat.score) for beat in scored.beats[: scored.n_learnt])
    assert scored.watched_hours == pytest.approx(
        (240 - scored.learnt_seconds - scored.silenced_seconds) / 3600
    )
    summary = scored.summary()
    assert "\n" not in summary
    for words in (
        f"{len(scored.beats)} beats in 4.0 minutes",
        "an hour",
        "bad signal",
        "taught the detector",
    ):
        assert words in summary
    assert repr(scored).startswith("ScoredRecording(9208")


def test_another_threshold_needs_no_new_scores(scored):
    lower = scored.at(1.0)

    assert sum(b.alarm for b in lower.beats) >= sum(b.alarm for b in scored.beats)
    assert [b.alarm for b in lower.beats] == [b.score > 1 and b.quality == "good" for b in scored.beats]
    assert (lower.table()["alarm"] == [int(b.alarm) for b in lower.beats]).all()


def test_alarms_know_their_beats(scored):
    lower = scored.at(1.0)

    beats = lower.beats_of_alarms()

    assert [(some[0].time, some[-1].time) for some in beats] == [tuple(pair) for pair in lower.alarms]
    assert sum(map(len, beats)) == sum(b.alarm for b in lower.beats)
    assert scored.at(99.0).beats_of_alarms() == []


def test_fewer_false_alarms_mean_a_higher_threshold():
    for name in ("one_lead", "two_leads"):
        detector = load_detector(name)
        thresholds = [detector.threshold(number) for number in (2, 5, 10, 20)]
        assert thresholds == sorted(thresholds, reverse=True)


def test_a_detector_says_what_it_was_trained_for():
    assert repr(load_detector("two_leads")) == (
        "HeartDetector(two_leads, trained for 360 samples a second of MLII and V1 in mV)"
    )


def test_a_quiet_recording_raises_no_alarm():
    signals = beat_train(list(np.arange(0.5, 120, 0.8)), 120)
    record = recording(signals, sampling_rate=360, lead_names=("II", "V1"))

    scored = load_detector("two_leads").score(record, first_seconds=60)

    assert len(scored.alarms) == 0
    assert scored.alarms_per_hour == 0
    assert "0 alarms over 0 beats, 0.0 an hour" in scored.summary()


def test_bad_signal_is_counted_and_noted():
    signals = beat_train(list(np.arange(0.5, 240, 0.8)), 240)
    signals[80 * 360 :, 1] = 0.0
    record = recording(signals, sampling_rate=360, lead_names=("II", "V1"))

    scored = load_detector("two_leads").score(record, first_seconds=60)

    assert scored.silenced_seconds == pytest.approx(160, abs=5)
    assert any("lie in bad signal" in note for note in scored.notes)


def test_hum_in_the_first_minutes_is_noted():
    record = heart(360, ("MLII",))
    hum = 0.12 * np.sin(2 * np.pi * 37 * np.arange(len(record.signals)) / 360)[:, None]

    scored = load_detector("one_lead").score(replace(record, signals=record.signals + hum), first_seconds=60)

    assert any("differ more from each other" in note for note in scored.notes)


def test_a_detector_that_never_learns_a_heart_says_why():
    signals = beat_train(list(np.arange(0.5, 120, 0.8)), 120)
    signals[:, 1] = np.where(np.arange(len(signals)) % 7200 < 300, signals[:, 1], 0.0)
    record = recording(signals, sampling_rate=360, lead_names=("II", "V1"))

    with pytest.raises(RecordingError, match="30 are needed to learn the heart"):
        load_detector("two_leads").score(record, first_seconds=60)


# What alarms are worth


def beat(time: float, alarm: bool, score: float = 1.0) -> Beat:
    return Beat(round(360 * time), time, score, alarm, "good", 0.8, 0.8, 0.8, time + 2)


def test_alarms_are_judged_by_episodes_strictly():
    record = replace(
        heart(),
        r_peaks=np.array([100, 310, 311, 312, 330, 340, 341]) * 360,
        symbols=np.array(["V", "N", "V", "V", "N", "S", "V"]),
        signals=np.zeros((3600 * 360, 2)),
        rhythms=(Span(0, 320 * 360, "N"), Span(320 * 360, 3600 * 360, "AFIB")),
        flutter=(Span(400 * 360, 410 * 360, "flutter"),),
    )
    # The V beat at 100 s lies in the first minutes and counts for nothing.
    beats = [
        beat(310.0, True),  # false, though a right one is near
        beat(311.1, True),  # right
        beat(312.0, False),
        beat(330.0, True),  # false, in fibrillation
        beat(340.0, True),  # of class S: neither asked for nor false
        beat(341.0, False),  # V, missed
        beat(405.0, True),  # in flutter
        beat(500.0, True),  # nothing there: false
    ]
    scored = ScoredRecording("x", "d", ("MLII", "V1"), (), beats, (), 3600, 300, 99, 0.5)

    one = judge(record, scored)

    assert (one.v_episodes, one.v_found) == (2, 1)
    assert (one.false_alarms, one.false_in_fibrillation) == (3, 2)
    assert (one.n_found, one.n_marked, one.n_both) == (7, 7, 6)
    assert one.hours == pytest.approx(3300 / 3600)
    two = judge_all([one, one])
    assert (two.n_records, two.v_found, two.false_alarms) == (2, 2, 6)
    assert two.false_alarms_per_hour == pytest.approx(one.false_alarms_per_hour)
    assert "1 of 2 episodes of V beats raised an alarm; 3 false alarms in 0.9 h" in one.line()
