"""One record: what is read from its files, and what is said about files that are not right."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from toy_hearts import assert_clear, write_record

from dae_utils.data import mitdb
from dae_utils.data.ecg import AAMI_CLASS, CLASS_NAMES, Annotations, flutter_spans, rhythm_spans
from dae_utils.data.records import read_record
from dae_utils.data.storage import SourceError


def test_each_record_has_three_digests():
    assert len(mitdb.MITDB_SHA256) == 144
    assert all(len(digest) == 64 and int(digest, 16) for digest in mitdb.MITDB_SHA256.values())
    assert set(mitdb.file_digests(mitdb.MITDB_RECORDS)) == set(mitdb.MITDB_SHA256)


def test_symbols_go_to_the_classes_of_the_aami():
    by_class = {name: {s for s, c in AAMI_CLASS.items() if CLASS_NAMES[c] == name} for name in "NSVFQ"}
    assert by_class == {"N": set("NLRej"), "S": set("AaJS"), "V": set("VE"), "F": {"F"}, "Q": set("/fQ")}


def test_a_record_is_read_with_units_names_and_beats_only(tmp_path: Path):
    peaks = np.array([300, 660, 700, 1020, 1400])
    signals = np.linspace(-1, 1, 3600)[:, None] * [1, 0.5]
    write_record(tmp_path, 7, peaks=peaks, symbols=["N", "V", "~", "/", "N"], signals=signals)
    record = read_record(7, tmp_path, verify=False)
    assert record.number == 7
    assert record.lead_names == ("MLII", "V1")
    assert record.sampling_rate == 360
    assert record.r_peaks.tolist() == [300, 660, 1020, 1400]
    assert record.symbols.tolist() == ["N", "V", "/", "N"]
    np.testing.assert_allclose(record.signals, signals, atol=0.0051)  # 200 steps a millivolt
    assert record.title("Strip") == "Strip"
    assert record.name == "7"
    # All marks stand in the annotations, beats and others.
    assert record.annotations.sample.tolist() == peaks.tolist()
    assert record.annotations.symbol.tolist() == ["N", "V", "~", "/", "N"]
    assert record.rhythms == record.flutter == ()
    assert record.rhythm_at([0, 3599]).tolist() == ["", ""]


def test_rhythms_last_from_their_mark_to_the_next(tmp_path: Path):
    write_record(
        tmp_path,
        1,
        peaks=np.array([10, 400, 800, 1000, 1200, 2000, 3000]),
        symbols=["+", "N", "N", "+", "N", '"', "+"],
        notes=["(N", "", "", "(AFIB", "", "(no rhythm", "(VFL"],
    )
    record = read_record(1, tmp_path, verify=False)
    assert record.rhythms == ((10, 1000, "N"), (1000, 3000, "AFIB"), (3000, 10800, "VFL"))
    assert record.rhythms[1].name == "AFIB"
    assert record.rhythm_at([9, 10, 999, 1000, 2999, 3000, 10799]).tolist() == [
        *("", "N", "N", "AFIB", "AFIB", "VFL", "VFL")
    ]
    assert record.rhythm_at(record.r_peaks).tolist() == ["N", "N", "AFIB"]
    assert record.annotations.note.tolist()[3] == "(AFIB"


def test_flutter_lasts_from_bracket_to_bracket_and_its_waves_are_no_beats(tmp_path: Path):
    write_record(
        tmp_path,
        1,
        peaks=np.arange(1, 9) * 360,
        symbols=["N", "[", "!", "!", "]", "N", "[", "!"],
    )
    record = read_record(1, tmp_path, verify=False)
    assert record.r_peaks.tolist() == [360, 6 * 360]
    assert record.flutter == ((720, 1800, "flutter"), (7 * 360, 10800, "flutter"))


def marks(*pairs: tuple[int, str]) -> Annotations:
    samples, symbols = (np.array(column) for column in zip(*pairs, strict=True))
    return Annotations(samples, symbols, np.zeros(len(samples), int), np.full(len(samples), ""))


def test_flutter_that_began_before_the_record_starts_with_it():
    assert flutter_spans(marks((5, "!"), (9, "]"), (20, "N")), 99) == ((0, 9, "flutter"),)
    assert flutter_spans(marks((5, "["), (7, "["), (9, "]"), (12, "]")), 99) == ((5, 9, "flutter"),)
    assert flutter_spans(marks((5, "N")), 99) == rhythm_spans(marks((5, "+")), 99) == ()


def test_a_recording_of_ones_own_may_have_a_name_and_no_annotations(tmp_path: Path):
    write_record(tmp_path, "my_holter", leads=("II",))
    record = read_record("my_holter", tmp_path, verify=False)
    assert (record.number, record.name) == (-1, "my_holter")
    assert record.lead_order == ("II",)
    assert len(record.r_peaks) == 29
    (tmp_path / "my_holter.atr").unlink()
    with pytest.raises(SourceError, match=r"my_holter\.atr is missing"):
        read_record("my_holter", tmp_path, verify=False)
    bare = read_record("my_holter", tmp_path, verify=False, annotated=False)
    np.testing.assert_array_equal(bare.signals, record.signals)
    assert len(bare.r_peaks) == len(bare.annotations.sample) == 0
    with pytest.raises(ValueError, match="have numbers, not names"):
        read_record("my_holter", tmp_path)


def test_the_lead_is_chosen_by_name(tmp_path: Path):
    for number, leads, main in ((1, ("MLII", "V1"), 0), (2, ("V5", "MLII"), 1), (3, ("V5", "V2"), 0)):
        write_record(tmp_path, number, leads=leads)
        record = read_record(number, tmp_path, verify=False)
        assert record.main_lead == main
        assert record.lead_order == (leads[main], leads[1 - main])


def test_an_unknown_number_is_refused():
    with pytest.raises(ValueError, match="no record 110"):
        read_record(110)


def test_reading_without_verifying_needs_a_folder():
    with pytest.raises(ValueError, match="folder="):
        read_record(100, verify=False)


@pytest.mark.parametrize("ending", ["hea", "dat", "atr"])
def test_a_missing_file_is_named(tmp_path: Path, ending: str):
    write_record(tmp_path, 1)
    write_record(tmp_path, 2)
    (tmp_path / f"1.{ending}").unlink()
    with pytest.raises(SourceError) as caught:
        read_record(1, tmp_path, verify=False)
    assert_clear(caught.value, f"1.{ending}", "missing", "Next:")


@pytest.mark.parametrize("keep", [0, 1, 1000, 16199])
def test_signals_cut_short_are_refused(tmp_path: Path, keep: int):
    write_record(tmp_path, 1)
    path = tmp_path / "1.dat"
    content = path.read_bytes()
    assert keep < len(content)
    path.write_bytes(content[:keep])
    with pytest.raises(SourceError) as caught:
        read_record(1, tmp_path, verify=False)
    assert_clear(caught.value, "Record 1", "Next:")


def test_annotations_cut_short_anywhere_are_refused(tmp_path: Path):
    write_record(tmp_path, 1)
    path = tmp_path / "1.atr"
    content = path.read_bytes()
    for keep in range(len(content) - 1):
        path.write_bytes(content[:keep])
        with pytest.raises(SourceError) as caught:
            read_record(1, tmp_path, verify=False)
        assert_clear(caught.value, "Record 1", "Next:")


def test_a_changed_sample_is_caught_by_the_headers_checksum(tmp_path: Path):
    write_record(tmp_path, 1)
    path = tmp_path / "1.dat"
    content = bytearray(path.read_bytes())
    content[3000] ^= 1
    path.write_bytes(content)
    with pytest.raises(SourceError) as caught:
        read_record(1, tmp_path, verify=False)
    assert_clear(caught.value, "lead MLII", "checksum", "Next:")


def test_a_header_without_checksums_is_accepted(tmp_path: Path):
    write_record(tmp_path, 1)
    path = tmp_path / "1.hea"
    kept = [" ".join(line.split()[:5]) if ".dat" in line else line for line in path.read_text().splitlines()]
    path.write_text("\n".join(kept) + "\n")
    assert len(read_record(1, tmp_path, verify=False).r_peaks) == 29


def test_a_missing_sample_is_refused(tmp_path: Path):
    signals = np.ones((3600, 2))
    signals[5, 0] = np.nan
    write_record(tmp_path, 1, seconds=10, signals=signals)
    with pytest.raises(SourceError) as caught:
        read_record(1, tmp_path, verify=False)
    assert_clear(caught.value, "NaN", "Next:")


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda text: "what is this", "can't be read"),
        (lambda text: text.replace(" 360 10800", " 360.5 10800"), "360.5 samples a second"),
        (lambda text: text.replace(" 360 10800", " 360 0"), "can't be read"),
        (lambda text: text.replace("1.dat", "gone.dat"), "can't be read"),
    ],
)
def test_a_header_that_cannot_be_used_is_refused(tmp_path: Path, change, words: str):
    write_record(tmp_path, 1)
    path = tmp_path / "1.hea"
    changed = change(path.read_text())
    assert changed != path.read_text()
    path.write_text(changed)
    with pytest.raises(SourceError) as caught:
        read_record(1, tmp_path, verify=False)
    assert_clear(caught.value, words, "Next:")


@pytest.mark.parametrize(
    ("peaks", "words"),
    [([300], "fewer than two"), ([300, 3700], "beyond the end"), ([300, 300, 500], "out of order")],
)
def test_annotations_that_do_not_fit_are_refused(tmp_path: Path, peaks: list[int], words: str):
    write_record(tmp_path, 1, seconds=10, peaks=np.array(peaks), signals=np.ones((3600, 2)))
    with pytest.raises(SourceError) as caught:
        read_record(1, tmp_path, verify=False)
    assert_clear(caught.value, words, "Next:")
