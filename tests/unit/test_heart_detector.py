"""The detector of heartbeats for recordings of one's own: what it learns of a heart, which leads it takes."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from made_up_ecg import beat_train, in_chunks, with_tachycardia
from own_files import heart

from dae_utils.data.ecg import Span
from dae_utils.data.recordings import RecordingError, recording
from dae_utils.evaluation import auroc
from dae_utils.signals import VentricularAlarm, load_detector, match_beats
from dae_utils.signals.judging import in_fibrillation, judge
from dae_utils.signals.learnt_differences import DenseNetwork, LearntDifferences
from dae_utils.signals.scored import ScoredRecording
from dae_utils.signals.ventricular import ScoredBeat

# The network


def test_a_network_computes_what_keras_computes():
    import keras

    model = keras.Sequential(
        [keras.Input((7,)), keras.layers.Dense(5, activation="elu"), keras.layers.Dense(3)]
    )
    arrays = model.get_weights()
    network = DenseNetwork(arrays[::2], arrays[1::2], ("elu", "linear"))
    x = np.random.default_rng(0).normal(size=(20, 7))

    np.testing.assert_allclose(network(x), model.predict(x, verbose=0), atol=1e-5)


def test_the_error_of_a_difference_can_be_reckoned_by_hand():
    # Copies the first two of four numbers, whatever the unit.
    half = DenseNetwork([np.diag([1.0, 1.0, 0.0, 0.0])], [np.zeros(4)], ("linear",))
    rows = np.array([[3.0, 4.0, 0.0, 0.0], [0.0, 0.0, 3.0, 4.0], [2.0, 2.0, 2.0, 2.0]])

    for unit in (1.0, 0.1):
        errors = LearntDifferences(half, unit).errors(rows)
        # sqrt(size of the difference * size of what is not copied), both root mean squares
        np.testing.assert_allclose(errors, [0, 2.5, math.sqrt(2 * math.sqrt(2))], atol=1e-12)


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
    np.testing.assert_allclose([b.score for b in beats], [b.score for b in scored.beats], atol=1e-9)
    assert [beat.alarm for beat in beats] == [beat.alarm for beat in scored.beats]
    assert any(beat.alarm for beat in beats)


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


@pytest.mark.parametrize(("name", "leads"), [("one_lead", ("II",)), ("two_leads", ("II", "V1"))])
def test_a_lasting_tachycardia_goes_on_ringing(name, leads):
    x, start, stop = with_tachycardia()
    record = recording(x[:, : len(leads)], sampling_rate=360, lead_names=leads)

    scored = load_detector(name).score(record, first_seconds=40)

    beats = [beat for beat in scored.beats if start + 60 < beat.time < stop and beat.quality == "good"]
    assert len(beats) > 60
    assert np.mean([beat.alarm for beat in beats]) > 0.95
    # Without the guard it learns the new shape within the first minute.
    free = VentricularAlarm(
        load_detector(name).learnt.errors, guarded=False, calibration_seconds=40, leads=len(leads)
    )
    shapes = [beat.shape for beat in free.push(record.signals) if start + 60 < beat.time < stop]
    assert np.median(shapes) < scored.threshold / 2


def test_bad_signal_is_counted_and_noted():
    signals = beat_train(list(np.arange(0.5, 240, 0.8)), 240)
    signals[80 * 360 :, 1] = 0.0
    record = recording(signals, sampling_rate=360, lead_names=("II", "V1"))

    scored = load_detector("two_leads").score(record, first_seconds=60)

    assert scored.silenced_seconds == pytest.approx(160, abs=5)
    assert any("lie in bad signal" in note for note in scored.notes)


def test_hum_in_the_first_minutes_is_noted():
    record = heart(360, ("MLII",))
    hum = 0.25 * np.sin(2 * np.pi * 37 * np.arange(len(record.signals)) / 360)[:, None]

    scored = load_detector("one_lead").score(replace(record, signals=record.signals + hum), first_seconds=60)

    assert any("differ more from each other" in note for note in scored.notes)


def test_noise_as_strong_as_the_beats_is_refused():
    record = heart(360, ("MLII",))
    noise = np.random.default_rng(0).normal(0, 1.0, record.signals.shape)

    with pytest.raises(RecordingError, match="is it an electrocardiogram"):
        load_detector("one_lead").score(replace(record, signals=record.signals + noise), first_seconds=60)


def test_a_detector_that_never_learns_a_heart_says_why():
    signals = beat_train(list(np.arange(0.5, 120, 0.8)), 120)
    signals[:, 1] = np.where(np.arange(len(signals)) % 7200 < 300, signals[:, 1], 0.0)
    record = recording(signals, sampling_rate=360, lead_names=("II", "V1"))

    with pytest.raises(RecordingError, match="30 are needed to learn the heart"):
        load_detector("two_leads").score(record, first_seconds=60)


# What alarms are worth


def beat(time: float, alarm: bool, quality: str = "good") -> ScoredBeat:
    return ScoredBeat(round(360 * time), time, 1.0, 0.0, 0.0, 1.0, alarm, quality, time + 2, 0.8, 0.8)


def test_alarms_are_judged_by_episodes_strictly():
    marks = {100: "V", 310: "N", 311: "V", 312: "V", 330: "N", 340: "A", 341: "V", 500: "N", 1000: "V"}
    record = replace(
        heart(),
        r_peaks=np.array(list(marks)) * 360,
        symbols=np.array(list(marks.values())),
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
        beat(340.0, True),  # of class S: false
        beat(341.0, False),  # V, missed
        beat(405.0, True),  # in flutter, which is left out
        beat(500.0, False),
        beat(700.0, True),  # nothing is marked there: false
        beat(1000.0, True, "noise"),  # V, silenced
    ]
    scored = ScoredRecording("x", "d", ("MLII", "V1"), (), beats, (), 3600, 300, 99, 0.5)

    counts = judge(record, scored)

    assert (counts.events, counts.found, counts.silenced_events) == (3, 1, 1)
    assert counts.false_alarms == 4
    assert in_fibrillation(record, counts) == 3
    # From 850 s on, half way to the next beat, bad signal; the ten seconds of flutter are left out.
    assert counts.hours == pytest.approx((850 - 300 - 10) / 3600)
    assert counts.silenced_hours == pytest.approx((3600 - 850) / 3600)
