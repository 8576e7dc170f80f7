"""Simulated hearts: their form, their rhythm, and that they never pass for real ones."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
import warnings

import numpy as np
import pytest

from dae_utils.data import mitdb
from dae_utils.data import simulated as simulated_hearts
from dae_utils.data.beats import Heartbeats, cut_beats
from dae_utils.data.heartbeats import load_heartbeats
from dae_utils.data.records import read_record
from dae_utils.data.simulated import simulate_heartbeats, simulate_record
from dae_utils.data.splits import inter_patient_split, random_split


def test_a_simulated_number_gives_the_simulated_record():
    record = read_record(9208)
    assert record.simulated
    assert record.title("Strip") == "Strip (SIMULATED)"
    np.testing.assert_array_equal(record.signals, simulate_record(9208).signals)


@pytest.fixture(scope="module")
def simulated() -> Heartbeats:
    return simulate_heartbeats(seed=0, minutes=3)


def test_simulated_beats_have_the_form_of_the_real_ones(simulated: Heartbeats):
    assert simulated.simulated
    assert simulated.beats.shape[1] == 187
    assert simulated.beats.dtype == np.float32
    assert simulated.beats.min() == 0
    assert simulated.beats.max() == 1
    assert ((simulated.length >= 1) & (simulated.length <= 187)).all()
    assert len(np.unique(simulated.record)) == 48
    assert np.isnan(simulated.rr_before).sum() == 48
    assert not set(simulated.record) & set(mitdb.MITDB_RECORDS)
    assert simulated.class_names == ("N", "S", "V", "F", "Q")
    assert set(simulated.symbols) == set("NAVF/Q")
    assert all(names == ("MLII", "V1") for names in simulated.lead_names.values())


def test_simulated_classes_come_about_as_often_as_the_real_ones(simulated: Heartbeats):
    counts = simulated.class_counts()
    assert all(count > 20 for count in counts.values())
    share = {name: count / len(simulated) for name, count in counts.items()}
    assert 0.75 < share["N"] < 0.9
    assert 0.01 < share["S"] < 0.05
    assert 0.04 < share["V"] < 0.1
    assert share["F"] < 0.02
    assert 0.05 < share["Q"] < 0.12
    paced = np.isin(simulated.record, [9000 + number for number in mitdb.PACED_RECORDS])
    assert (simulated.symbols[simulated.labels == 4] == "/").mean() > 0.9
    assert set(simulated.record[simulated.symbols == "/"]) == set(simulated.record[paced])


def test_simulated_rhythms_follow_the_class(simulated: Heartbeats):
    rhythm = {}
    for name, label in (("N", 0), ("S", 1), ("V", 2)):
        before, after = [], []
        for record in np.unique(simulated.record):
            here = simulated.record == record
            normal = np.nanmedian(simulated.rr_before[here & (simulated.labels == 0)])
            before += list(simulated.rr_before[here & (simulated.labels == label)] / normal)
            after += list(simulated.rr_after[here & (simulated.labels == label)] / normal)
        rhythm[name] = np.nanmedian(before), np.nanmedian(after)
    assert rhythm["N"] == pytest.approx((1, 1), abs=0.02)
    assert rhythm["S"] == pytest.approx((0.7, 1.05), abs=0.05)
    assert rhythm["V"] == pytest.approx((0.65, 1.35), abs=0.05)  # the pause makes up for the lead


def test_simulated_ventricular_beats_are_wide_and_others_are_not():
    record = simulate_record(9208)
    signal = record.signals[:, 0]

    def width(symbol: str) -> float:
        peaks = record.r_peaks[record.symbols == symbol]
        pieces = signal[peaks[:, None] + np.arange(-60, 60)].mean(axis=0)
        pieces -= np.median(signal)
        return float((pieces > 0.5 * pieces.max()).sum() / 360)

    assert width("V") > 2 * width("N")
    assert width("A") == pytest.approx(width("N"), abs=0.02)


def test_simulated_beats_split_as_the_real_ones_do(simulated: Heartbeats):
    train, test = inter_patient_split(simulated)
    assert set(simulated.record[train]) == {9000 + number for number in mitdb.DS1_RECORDS}
    assert set(simulated.record[test]) == {9000 + number for number in mitdb.DS2_RECORDS}
    assert all(simulated.take(train).class_counts().values())
    assert all(simulated.take(test).class_counts().values())
    train, test = random_split(simulated)
    assert len(train) + len(test) == len(simulated)


def test_the_seed_decides_the_simulated_beats(simulated: Heartbeats):
    # A second copy of the module has remembered nothing.
    spec = importlib.util.spec_from_file_location("another_copy", simulated_hearts.__file__)
    another = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(another)
    for number in (9100, 9104, 9234):
        record = another.simulate_record(number, seed=0, minutes=3)
        again = cut_beats(record.signals[:, 0], record.r_peaks, 360)
        np.testing.assert_array_equal(simulated.beats[simulated.record == number], again.beats)
    other = simulate_record(9100, seed=1, minutes=1)
    assert not np.array_equal(other.signals, simulate_record(9100, seed=0, minutes=1).signals)
    assert not np.array_equal(other.signals, simulate_record(9101, seed=1, minutes=1).signals)


def test_simulated_beats_can_be_asked_for_outright_with_both_leads():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        beats = load_heartbeats("simulated", leads="both")
    assert beats.simulated
    assert beats.second_lead.shape == beats.beats.shape
    assert not np.array_equal(beats.second_lead, beats.beats)
    record = read_record(int(beats.record[0]))
    np.testing.assert_array_equal(beats.r_time[beats.record == 9100], record.r_peaks[:-1] / 360)


@pytest.mark.parametrize(("number", "minutes"), [(100, 10), (9110, 10), (9100, 0.5), (9100, 31)])
def test_a_simulated_record_needs_a_known_number_and_a_sound_length(number: int, minutes: float):
    with pytest.raises(ValueError, match=r"simulated record"):
        simulate_record(number, minutes=minutes)


def test_a_simulated_record_is_of_one_rhythm():
    assert simulate_record(9100, minutes=1).rhythm_at([0, 21_599]).tolist() == ["N", "N"]
    assert simulate_record(9104, minutes=1).rhythms == ((0, 21_600, "P"),)


USES = {
    "nothing": ("", False),
    "a real record": (
        "from dae_utils.data import Record\nimport numpy as np\n"
        "Record(1, np.zeros((9, 1)), ('II',), 360, np.array([1, 5]), np.array(['N', 'N']))",
        False,
    ),
    "a simulated record": (
        "from dae_utils.data import simulate_record\nsimulate_record(9100, minutes=1)",
        True,
    ),
    "simulated beats from elsewhere": (
        "from dae_utils.data import Heartbeats\nimport numpy as np\n"
        "Heartbeats(*[np.zeros(2)] * 6, simulated=True, source='a file', symbols=np.zeros(2), "
        "r_time=np.zeros(2))",
        True,
    ),
}


@pytest.mark.parametrize("use", USES)
def test_a_process_knows_whether_it_has_used_simulated_hearts(use):
    code, used = USES[use]
    end = "\nfrom dae_utils.data import simulated_hearts_were_used\nprint(simulated_hearts_were_used())"
    run = subprocess.run([sys.executable, "-c", code + end], capture_output=True, text=True, check=True)
    assert run.stdout == f"{used}\n"
