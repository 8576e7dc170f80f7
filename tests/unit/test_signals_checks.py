"""What is no electrocardiogram in millivolts is refused in one line, and what is one passes."""

from __future__ import annotations

import warnings

import numpy as np
import pandas as pd
import pytest
from made_up_ecg import RATE, beat_train, damaged, in_chunks, loudness, simulated, steady

from dae_utils.signals import BeatFinder, BeatStream, find_beats, quality_spans, score_record

FUNCTIONS = [find_beats, quality_spans, lambda x, **settings: score_record(x, loudness, **settings)]


@pytest.fixture(autouse=True)
def _no_warnings():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        yield


def one_line(function, *arguments, match: str, **settings) -> None:
    with pytest.raises(ValueError, match=match) as caught:
        function(*arguments, **settings)
    assert "\n" not in str(caught.value)


# ------------------------------------------------------------------------------------------------------------
# Shapes


@pytest.mark.parametrize(
    ("signals", "match"),
    [
        (np.zeros(100), r"shape \(samples, 2\), got float64 \(100,\)"),
        (np.zeros((100, 3)), r"got float64 \(100, 3\)"),
        (np.zeros((2, 100)).T.tolist()[0], "shape"),
        (np.zeros((5, 2), complex), "complex"),
        (np.full((5, 2), "a"), "numbers"),
        (np.zeros((5, 2), bool), "bool"),
    ],
)
def test_wrong_samples_are_refused(signals, match):
    for stream in (BeatFinder(), BeatStream(loudness)):
        one_line(stream.push, signals, match=match)


@pytest.mark.parametrize("function", FUNCTIONS)
@pytest.mark.parametrize("signals", [np.zeros(100), np.zeros((5, 0)), np.zeros((2, 3, 4))])
def test_what_is_no_record_is_refused(function, signals):
    one_line(function, signals, match="shape")


@pytest.mark.parametrize("function", FUNCTIONS)
def test_leads_in_rows_are_refused(function):
    one_line(function, steady().T, match=r"signals\.T")


def test_lists_and_tables_of_leads_are_as_good_as_arrays():
    signals = steady()[:4000]
    expected = find_beats(signals)
    for same in (signals.tolist(), pd.DataFrame(signals, columns=["MLII", "V1"])):
        np.testing.assert_array_equal(find_beats(same).windows, expected.windows)
        assert quality_spans(same) == quality_spans(signals)


# ------------------------------------------------------------------------------------------------------------
# A time column


def table(time: np.ndarray) -> pd.DataFrame:
    leads = steady()[: len(time)]
    return pd.DataFrame({"time": time, "MLII": leads[:, 0], "V1": leads[:, 1]})


TIMES = {
    "seconds": lambda n: n / RATE,
    "rounded": lambda n: np.round(n / RATE, 2),
    "whole seconds": lambda n: n // RATE,
    "milliseconds": lambda n: n * 1000 / RATE,
    "sample number": lambda n: n + 5000,
    "since 1970": lambda n: 1.7e9 + n / RATE,
}


@pytest.mark.parametrize("function", FUNCTIONS)
@pytest.mark.parametrize("kind", TIMES)
def test_a_time_column_is_refused(function, kind):
    frame = table(TIMES[kind](np.arange(12 * RATE)))
    one_line(function, frame, match="column 0 .* time")
    one_line(function, frame[["time", "MLII"]], match="column 0 .* time")
    one_line(function, frame[["V1", "time"]], match="column 1 .* time")
    assert len(function(frame[["MLII", "V1"]])) > 0


def test_clock_times_are_refused():
    one_line(
        find_beats, table(pd.date_range("2026-01-01", periods=900, freq="ms")), match="columns of the leads"
    )


def test_a_time_column_that_is_not_used_is_nobodys_business():
    frame = table(np.arange(12 * RATE) / RATE)
    beats = find_beats(frame, main_lead=1, window_leads=[1, 2])
    np.testing.assert_array_equal(beats.windows, find_beats(frame[["MLII", "V1"]]).windows)


@pytest.mark.parametrize("size", [1, 100, 5000])
def test_a_time_column_is_seen_in_pieces_after_ten_seconds(size):
    signals = table(np.arange(12 * RATE) / RATE)[["time", "MLII"]].to_numpy()
    finder = BeatFinder()
    n_before = -(-10 * RATE // size) - 1  # whole pieces that end before the ten seconds do
    pieces = in_chunks(signals, [size])
    for piece in pieces[:n_before]:
        finder.push(piece)
    for piece in (pieces[n_before], signals[:0]):
        with pytest.raises(ValueError, match="time"):
            finder.push(piece)


def test_a_short_record_is_checked_at_its_end():
    finder = BeatFinder()
    finder.push(table(np.arange(3 * RATE) / RATE)[["time", "MLII"]])
    with pytest.raises(ValueError, match="time"):
        finder.finish()
    finder = BeatFinder()
    finder.push(table(np.arange(RATE // 2) / RATE)[["time", "MLII"]])
    finder.finish()  # too short to tell


# ------------------------------------------------------------------------------------------------------------
# Microvolts


@pytest.mark.parametrize("function", FUNCTIONS)
@pytest.mark.parametrize("unit", [1000.0, 200.0])
def test_microvolts_and_converter_values_are_refused(function, unit):
    signals = simulated(9100).signals[: 12 * RATE]
    for values in (signals * unit, np.rint(signals * unit + 1024).astype(int)):
        one_line(function, values, match="column 0 .* millivolts")
        one_line(function, values, main_lead=1, match="column 1 .* millivolts")
    one_line(function, signals[: 3 * RATE] * unit, match="millivolts")  # shorter than ten seconds


def test_a_large_offset_and_a_few_wild_seconds_are_no_microvolts():
    signals = steady().copy()
    signals += 300
    signals[RATE : 4 * RATE, 0] += np.random.default_rng(0).normal(0, 100, 3 * RATE)
    assert len(find_beats(signals)) > 30


@pytest.mark.parametrize("kind", ["missing", "all missing", "absurd", "all flat", "at the rail", "clipped"])
def test_faults_at_the_start_are_no_mistakes(kind):
    assert len(find_beats(damaged(steady(), kind, 0, 11 * RATE))) > 20


def test_a_lead_that_rises_for_a_while_is_no_time():
    signals = beat_train([15, 16, 17], 30, noise=0)
    signals[:, 0] += np.minimum(np.arange(30 * RATE) / RATE, 7.5) / 20  # an amplifier that settles
    assert len(find_beats(signals)) >= 3
    assert len(find_beats(np.zeros((12 * RATE, 2)))) == 0
