"""Other databases of PhysioNet, as small made-up records in their formats: INCART, SVDB, AFDB and NSRDB."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import wfdb
from own_files import heart
from toy_hearts import assert_clear

from dae_utils.data.external import DATABASES, FOLDERS_SETTING, external_folder, external_records
from dae_utils.data.storage import SourceError
from dae_utils.signals import load_detector
from dae_utils.signals.judging import judge
from tools import external_records as tool

TWELVE = ("I", "II", "III", "AVR", "AVL", "AVF", "V1", "V2", "V3", "V4", "V5", "V6")
LEADS = {"incartdb": TWELVE, "svdb": ("ECG1", "ECG2"), "afdb": ("ECG1", "ECG2"), "nsrdb": ("ECG1", "ECG2")}
FORMATS = {"incartdb": "16", "svdb": "212", "afdb": "212", "nsrdb": "212"}


def put(above: Path, name: str, stem: str) -> Path:
    """Write a made-up record as the database has them: its rate, leads, format, gain and annotations."""
    folder = above / name
    folder.mkdir(exist_ok=True)
    rate, leads = DATABASES[name].sampling_rate, LEADS[name]
    record = heart(rate)
    columns = [0 if lead in ("II", "ECG1") else 1 for lead in leads]
    scale = np.array([1.0 if lead in ("II", "V1", "ECG1", "ECG2") else 0.5 for lead in leads])
    wfdb.wrsamp(
        stem,
        fs=rate,
        units=["mV"] * len(leads),
        sig_name=list(leads),
        p_signal=record.signals[:, columns] * scale,
        fmt=[FORMATS[name]] * len(leads),
        adc_gain=[200.0] * len(leads),
        baseline=[0] * len(leads),
        write_dir=str(folder),
    )
    beats = {"sample": record.r_peaks, "symbol": list(record.symbols)}
    if name == "afdb":
        wfdb.wrann(stem, "qrs", beats["sample"], symbol=["N"] * len(record.r_peaks), write_dir=str(folder))
        wfdb.wrann(
            stem,
            "atr",
            np.array([10, 120 * rate]),
            symbol=["+", "+"],
            aux_note=["(N", "(AFIB"],
            write_dir=str(folder),
        )
    else:
        wfdb.wrann(stem, "atr", **beats, write_dir=str(folder))
    return folder


@pytest.fixture
def databases(tmp_path, monkeypatch):
    monkeypatch.setenv(FOLDERS_SETTING, str(tmp_path))
    for name in DATABASES:
        put(tmp_path, name, "I01" if name == "incartdb" else "04015")
    return tmp_path


@pytest.mark.parametrize("name", DATABASES)
def test_records_have_the_rate_leads_beats_and_rhythms_of_their_database(databases, name):
    (record,) = external_records(name)

    assert record.sampling_rate == DATABASES[name].sampling_rate
    assert record.lead_names == LEADS[name]
    np.testing.assert_array_equal(record.r_peaks, heart(record.sampling_rate).r_peaks)
    assert [span.name for span in record.rhythms] == (["N", "AFIB"] if name == "afdb" else [])
    np.testing.assert_allclose(
        record.signals[:, record.lead_names.index(LEADS[name][1 if name == "incartdb" else 0])],
        heart(record.sampling_rate).signals[:, 0],
        atol=0.006,
    )


@pytest.mark.parametrize("name", DATABASES)
def test_a_detector_is_judged_on_them(databases, name):
    (record,) = external_records(name)

    scored = load_detector("two_leads").score(record, first_seconds=60)
    found = judge(record, scored)

    assert found.hours > 0.03
    assert (found.events > 5) == (name != "afdb")  # whose beats are all marked N
    assert tool.peaks_in_words(record, scored).startswith(f"{len(record.r_peaks)} of {len(record.r_peaks)} ")


def test_the_tool_goes_through_all_and_says_which_are_not_there(databases, capsys, monkeypatch):
    detector = load_detector("two_leads")

    class Hasty:
        def score(self, record):
            return detector.score(record, first_seconds=60)

    monkeypatch.setattr(tool, "load_detector", lambda name: Hasty())
    for path in (databases / "nsrdb").iterdir():
        path.unlink()
    (databases / "nsrdb").rmdir()

    assert tool.main([]) == 0

    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 7
    assert lines[0].startswith("incartdb I01: ")
    assert lines[1].startswith("incartdb, 1 records: ")
    assert lines[-1] == (
        "nsrdb: not judged, for DAE_PHYSIONET_DIR names no folder with the "
        "MIT-BIH Normal Sinus Rhythm Database in it."
    )


def test_a_record_that_cannot_be_scored_is_told(databases, capsys):
    # Four minutes are too short for the five that a heart is learnt in.
    assert tool.main(["svdb"]) == 0
    assert "svdb 04015: not scored: 04015 lasts 4.0 minutes" in capsys.readouterr().out


def test_nothing_happens_where_no_folder_is_named(monkeypatch, capsys):
    monkeypatch.delenv(FOLDERS_SETTING, raising=False)

    assert list(external_records("svdb")) == []
    assert external_folder("svdb") is None
    assert tool.main([]) == 0
    assert len(capsys.readouterr().out.splitlines()) == len(DATABASES)


def test_wrong_folders_are_told(databases, monkeypatch, capsys):
    with pytest.raises(ValueError, match="choose from incartdb, svdb, afdb, nsrdb"):
        external_folder("ptbdb")
    (databases / "svdb" / "04015.atr").unlink()
    with pytest.raises(SourceError) as caught:
        list(external_records("svdb"))
    assert_clear(caught.value, "has no annotations (atr)", "Next:")
    for path in (databases / "svdb").iterdir():
        path.unlink()
    with pytest.raises(SourceError) as caught:
        list(external_records("svdb"))
    assert_clear(caught.value, "there are no records in", "Next:")
    for path in (databases / "nsrdb").iterdir():
        path.rename(databases / "svdb" / path.name)
    put(databases, "nsrdb", "16265")
    (databases / "nsrdb").rename(databases / "other")
    (databases / "afdb").rename(databases / "nsrdb")
    with pytest.raises(SourceError) as caught:
        list(external_records("nsrdb"))
    assert_clear(caught.value, "has 250 samples a second, the database 128", "Next:")
    monkeypatch.setenv(FOLDERS_SETTING, str(databases / "gone"))
    assert tool.main(["svdb"]) == 1
    assert "which is no folder" in capsys.readouterr().err


def test_a_record_without_signals_is_passed_over(databases):
    put(databases, "afdb", "00735")
    (databases / "afdb" / "00735.dat").unlink()

    assert [record.name for record in external_records("afdb")] == ["04015"]
