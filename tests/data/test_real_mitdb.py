"""What the book states about MIT-BIH, checked on the complete records.

Skipped only when DAE_MITDB_DIR is not set and the cache holds no records (`python -m dae_utils fetch mitdb`
fetches them).
"""

from __future__ import annotations

import os
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import wfdb
from sklearn.metrics import roc_auc_score

from dae_utils.data import Heartbeats, inter_patient_split, load_heartbeats, mitdb, random_split, read_record
from dae_utils.data.ecg import Span
from dae_utils.data.storage import SourceError, data_dir

pytestmark = pytest.mark.data


@pytest.fixture(scope="module")
def folder() -> Path:
    """The folder of the real records, verified; a folder that is named and not right is a failure."""
    named = os.environ.get("DAE_MITDB_DIR")
    try:
        mitdb.check_mitdb()
    except SourceError as error:
        if named:
            raise
        pytest.skip(f"DAE_MITDB_DIR is not set, and the cache does not help. {error}")
    return Path(named).expanduser() if named else data_dir() / "mitdb"


@pytest.fixture(scope="module")
def beats(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Heartbeats:
    """All beats, both leads, as they come from the cache once they have been cut."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DAE_DATA_DIR", str(tmp_path_factory.mktemp("cache")))
        load_heartbeats(folder=folder, leads="both")
        return load_heartbeats(folder=folder, leads="both")


@pytest.fixture(scope="module")
def annotated(folder: Path) -> dict[int, list[str]]:
    """The symbols of all annotated beats by record, read with wfdb alone and so independently of our code."""
    known = set("NLRejAaJSVEF/fQ")
    return {
        number: [symbol for symbol in wfdb.rdann(str(folder / str(number)), "atr").symbol if symbol in known]
        for number in mitdb.MITDB_RECORDS
    }


def counts(symbols: list[str]) -> dict[str, int]:
    groups = {"N": "NLRej", "S": "AaJS", "V": "VE", "F": "F", "Q": "/fQ"}
    return {name: sum(symbol in group for symbol in symbols) for name, group in groups.items()}


def counts_in(annotated: dict[int, list[str]], records, *, without_last: bool) -> dict[str, int]:
    kept = [annotated[number][: -1 if without_last else None] for number in records]
    return counts([symbol for symbols in kept for symbol in symbols])


def test_there_are_48_records_of_47_people(folder: Path):
    assert len(list(folder.glob("*.hea"))) >= 48
    # The first comment holds age, sex and numbers of tape and recorder. 201 and 202 share all of them.
    people: dict[str, list[int]] = {}
    for number in mitdb.MITDB_RECORDS:
        people.setdefault(wfdb.rdheader(str(folder / str(number))).comments[0], []).append(number)
    assert len(people) == 47
    assert [records for records in people.values() if len(records) > 1] == [[201, 202]]


def test_the_shared_patient_stands_on_both_sides_of_the_usual_split(beats: Heartbeats):
    train, test = inter_patient_split(beats)
    assert 201 in beats.record[train]
    assert 202 in beats.record[test]


def test_rates_lengths_and_leads_are_as_stated(folder: Path, beats: Heartbeats):
    for number in mitdb.MITDB_RECORDS:
        header = wfdb.rdheader(str(folder / str(number)))
        assert header.fs == 360
        assert header.sig_len == 650000
        assert len(header.sig_name) == 2
        first = {102: "V5", 104: "V5", 114: "V5"}.get(number, "MLII")
        assert header.sig_name[0] == first
        chosen = {102: "V5", 104: "V5"}.get(number, "MLII")
        assert beats.lead_names[number][0] == chosen
        assert sorted(beats.lead_names[number]) == sorted(header.sig_name)
    assert beats.lead_names[114] == ("MLII", "V5")
    assert {names[1] for names in beats.lead_names.values()} == {"V1", "V2", "V4", "V5"}
    assert sum(names[1] == "V1" for names in beats.lead_names.values()) == 40


def test_all_annotated_beats_have_the_stated_classes(annotated: dict[int, list[str]]):
    assert counts_in(annotated, mitdb.MITDB_RECORDS, without_last=False) == {
        "N": 90631,
        "S": 2781,
        "V": 7236,
        "F": 803,
        "Q": 8043,
    }


def test_the_cut_beats_have_the_counts_of_the_kaggle_set(beats: Heartbeats, annotated: dict[int, list[str]]):
    assert len(beats) == 109446 == 87554 + 21892
    assert beats.class_counts() == {"N": 90589, "S": 2779, "V": 7236, "F": 803, "Q": 8039}
    assert beats.class_counts() == counts_in(annotated, mitdb.MITDB_RECORDS, without_last=True)
    for number in mitdb.MITDB_RECORDS:
        mine = beats.symbols[beats.record == number]
        assert mine.tolist() == annotated[number][:-1]


def test_the_random_split_has_the_proportions_of_kaggles(beats: Heartbeats):
    train, test = random_split(beats)
    assert len(train) + len(test) == 109446
    assert len(test) == 21890
    kaggle = {"N": 18118, "S": 556, "V": 1448, "F": 162, "Q": 1608}
    for name, count in beats.take(test).class_counts().items():
        assert abs(count - kaggle[name]) <= 1
    # The same patients stand on both sides.
    assert set(beats.record[train]) == set(beats.record[test])


def test_the_split_by_patient_has_the_stated_counts(beats: Heartbeats, annotated: dict[int, list[str]]):
    # Of all annotated beats, as papers count them ...
    stated = (
        (mitdb.DS1_RECORDS, {"N": 45866, "S": 944, "V": 3788, "F": 415, "Q": 8}),
        (mitdb.DS2_RECORDS, {"N": 44259, "S": 1837, "V": 3221, "F": 388, "Q": 7}),
    )
    for records, expected in stated:
        assert counts_in(annotated, records, without_last=False) == expected
    # ... and of the beats that have a next one: one fewer from each record.
    train, test = inter_patient_split(beats)
    assert beats.take(train).class_counts() == {"N": 45845, "S": 943, "V": 3788, "F": 415, "Q": 8}
    assert beats.take(test).class_counts() == {"N": 44238, "S": 1836, "V": 3221, "F": 388, "Q": 7}
    assert not set(beats.record[train]) & set(beats.record[test])


def test_nearly_all_of_class_q_is_paced(annotated: dict[int, list[str]]):
    inside = counts_in(annotated, mitdb.PACED_RECORDS, without_last=False)["Q"]
    assert inside == 8028
    symbols = [symbol for record in annotated.values() for symbol in record]
    # Of the 8028 in the four paced records, 18 are called unclassifiable: 8010 are paced or fusions of paced.
    assert symbols.count("/") == 7028
    assert symbols.count("f") == 982
    assert symbols.count("Q") == 33


def test_beats_are_sound(beats: Heartbeats):
    for lead in (beats.beats, beats.second_lead):
        assert lead.shape == (109446, 187)
        assert lead.dtype == np.float32
        assert np.isfinite(lead).all()
        assert lead.min() == 0
        assert lead.max() == 1
        assert (lead[np.arange(187) >= beats.length[:, None]] == 0).all()
        assert (lead.max(axis=1) > 0).all()  # no window of a real record is flat
    assert beats.length.min() >= 1
    assert beats.length.max() == 187
    assert np.isnan(beats.rr_before).sum() == 48
    assert np.isfinite(beats.rr_after).all()
    assert beats.rr_after.min() == pytest.approx(0.25)
    longest = beats.rr_after.argmax()
    assert beats.record[longest] == 207
    assert beats.rr_after[longest] == pytest.approx(100.02, abs=0.01)


def test_beats_start_at_their_r_peak(beats: Heartbeats):
    # In a normal beat of lead MLII the R peak stands high above the middle of the beat.
    normal = beats.beats[(beats.symbols == "N") & ~np.isin(beats.record, mitdb.PACED_RECORDS)]
    at_peak, later = np.median(normal[:, :3].max(axis=1)), np.median(normal[:, 40:60].max(axis=1))
    assert at_peak > 0.8
    assert at_peak > later + 0.3


def test_about_two_fifths_of_the_values_are_padding(beats: Heartbeats):
    assert 1 - beats.length.mean() / 187 == pytest.approx(0.375, abs=0.005)
    assert (beats.beats == 0).mean() == pytest.approx(0.376, abs=0.005)


def test_the_next_interval_alone_tells_fusions_from_normal_beats(beats: Heartbeats):
    pair = np.isin(beats.labels, [0, 3])
    auroc = roc_auc_score(beats.labels[pair] == 3, -beats.rr_after[pair])
    assert round(auroc, 3) == 0.885
    against_all = roc_auc_score(beats.labels == 3, -beats.rr_after)
    assert round(against_all, 3) == 0.890


def test_a_changed_record_is_refused(folder: Path, tmp_path: Path):
    for ending in ("hea", "dat", "atr"):
        (tmp_path / f"100.{ending}").write_bytes((folder / f"100.{ending}").read_bytes())
    assert len(read_record(100, tmp_path).r_peaks) == 2273
    content = bytearray((tmp_path / "100.dat").read_bytes())
    content[1_000_000] ^= 1
    (tmp_path / "100.dat").write_bytes(content)
    with pytest.raises(SourceError, match=r"100\.dat: wrong digest"):
        read_record(100, tmp_path)
    with pytest.raises(SourceError, match="checksum"):
        read_record(100, tmp_path, verify=False)


def minutes(spans: tuple[Span, ...], name: str) -> float:
    return sum(span.stop - span.start for span in spans if span.name == name) / 360 / 60


def test_atrial_fibrillation_is_where_the_database_says(folder: Path):
    found = {}
    for number in (100, 201, 202, 203, 210, 217, 219, 221, 222):
        record = read_record(number, folder)
        # Rhythms follow each other without a gap to the end of the record.
        assert all(left.stop == right.start for left, right in pairwise(record.rhythms))
        assert record.rhythms[-1].stop == 650_000
        found[number] = {name: round(minutes(record.rhythms, name), 1) for name in ("AFIB", "AFL")}
        # wfdb's own reading of the same file, mark by mark.
        marks = wfdb.rdann(str(folder / str(number)), "atr")
        expected = [
            note[1:].rstrip("\0") for s, note in zip(marks.symbol, marks.aux_note, strict=True) if s == "+"
        ]
        assert [span.name for span in record.rhythms] == expected
    # Minutes. The database's directory gives the same in minutes and seconds, such as 10:06 of AFIB for 201.
    assert found == {
        100: {"AFIB": 0, "AFL": 0},
        201: {"AFIB": 10.1, "AFL": 0},
        202: {"AFIB": 9.8, "AFL": 0.8},
        203: {"AFIB": 24.2, "AFL": 5.2},
        210: {"AFIB": 29.5, "AFL": 0},
        217: {"AFIB": 4.2, "AFL": 0},
        219: {"AFIB": 23.8, "AFL": 0},
        221: {"AFIB": 29.3, "AFL": 0},
        222: {"AFIB": 1.7, "AFL": 7.0},
    }


def test_record_202_begins_in_sinus_rhythm_and_goes_over_into_fibrillation(folder: Path):
    record = read_record(202, folder)
    first = next(span for span in record.rhythms if span.name == "AFIB")
    assert first.start / 360 == pytest.approx(1142, abs=1)
    assert record.rhythm_at([1000, first.start - 1, first.start]).tolist() == ["N", "N", "AFIB"]


def test_flutter_in_record_207_has_472_waves_and_no_beats(folder: Path):
    for number in mitdb.MITDB_RECORDS:
        record = read_record(number, folder)
        if number != 207:
            assert record.flutter == ()
            continue
        assert [(span.start, span.stop) for span in record.flutter] == [
            *(
                (14665, 18350),
                (19715, 21731),
                (87172, 88716),
                (89242, 94122),
                (97008, 101126),
                (554682, 589926),
            )
        ]
        waves = record.annotations.sample[record.annotations.symbol == "!"]
        assert len(waves) == 472
        for span in record.flutter:
            inside = (record.r_peaks > span.start) & (record.r_peaks < span.stop)
            assert not inside.any()
        assert sum(((waves > s.start) & (waves < s.stop)).sum() for s in record.flutter) == 472
