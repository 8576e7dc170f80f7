"""What people do with recordings of their own that cannot be scored: each gets an error that says what to do.

The first ones are those of a reader of the first edition, in which each passed in silence or failed in words
that did not help.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from made_up_ecg import beat_train
from own_files import heart, write_csv, write_edf, write_wfdb

from dae_utils.__main__ import main
from dae_utils.data.ecg import Record
from dae_utils.data.recordings import RecordingError, read_recording, recording
from dae_utils.signals.shipped import load_detector


def two() -> Record:
    return heart(250)


def one() -> Record:
    return heart(250, ("MLII",))


def csv(folder: Path, record: Record | None = None, units: str = "mV", **settings) -> Path:
    return write_csv(folder / "strip.csv", record or two(), units, **settings)


def without_rate(folder: Path) -> Path:
    return csv(folder, time=None)


def table(folder: Path, change: Callable[[pd.DataFrame], pd.DataFrame]) -> Path:
    """Return a table in which something was changed."""
    path = csv(folder)
    change(pd.read_csv(path)).to_csv(path, index=False)
    return path


def edf(folder: Path, old: bytes = b"", new: bytes = b"", **settings) -> Path:
    """Return an EDF file in which the first such bytes were changed."""
    path = write_edf(folder / "night.edf", two(), **settings)
    if old:
        content = path.read_bytes()
        assert old in content
        path.write_bytes(content.replace(old, new, 1))
    return path


def cut(path: Path, share: float = 0.6) -> Path:
    content = path.read_bytes()
    path.write_bytes(content[: int(share * len(content))])
    return path


def header(folder: Path, old: str, new: str) -> Path:
    """Return a WFDB record in whose header something was changed."""
    path = write_wfdb(folder, two())
    text = path.with_suffix(".hea").read_text()
    assert old in text
    path.with_suffix(".hea").write_text(text.replace(old, new))
    return path


def written(folder: Path, name: str, text: str) -> Path:
    (folder / name).write_text(text, encoding="utf-8")
    return folder / name


def dead(record: Record, lead: int) -> Record:
    signals = record.signals.copy()
    signals[:, lead] = 0.0
    return replace(record, signals=signals)


def noon(folder: Path) -> Path:
    return table(folder, lambda rows: rows.assign(**{"time (s)": "noon"}))


def clipped(path: Path) -> Path:
    """Return the path of a record of which the signals are gone."""
    path.with_suffix(".dat").unlink()
    return path


# What is done: a name, the path it gives, arguments of the command, and words of the answer.
MISUSES: list[tuple[str, Callable[[Path], Path], list[str], str]] = [
    (
        "a time column under another name",
        lambda f: csv(f, time="clock"),
        ["--rate", "250"],
        "only ever rises",
    ),
    (
        "microvolts in a table that does not say so",
        lambda f: csv(f, units="uV", header="{lead}"),
        [],
        "say units uV",
    ),
    (
        "microvolts that the header calls millivolts",
        lambda f: csv(f, heart_of(1000), header="{lead} (mV)"),
        [],
        "microvolts",
    ),
    ("a converter's numbers", lambda f: csv(f, heart_of(200), header="{lead}"), [], "divide by its gain"),
    (
        "volts in a table that does not say so",
        lambda f: csv(f, units="V", header="{lead}"),
        [],
        "say units V",
    ),
    ("no rate", without_rate, [], "give the rate"),
    ("a rate of zero", without_rate, ["--rate", "0"], "above 0, not 0"),
    ("another rate than the times tell", csv, ["--rate", "360"], "says that it has 250"),
    ("another rate than EDF states", edf, ["--rate", "360"], "says that it has 250"),
    (
        "a rate that makes the heart absurd",
        lambda f: csv(f, heart(1000), time=None),
        ["--rate", "128"],
        "is its rate right",
    ),
    ("a rate below 100", lambda f: csv(f, slow(50)), [], "from 100 to 5000"),
    ("a rate that is no whole number", without_rate, ["--rate", "249.5"], "no whole number"),
    ("one lead for a detector of two", lambda f: csv(f, one()), [], "use a detector for 1, such as one_lead"),
    ("a lead that is not there", csv, ["--leads", "MLII", "V9"], "there is no lead V9"),
    ("one name for two leads", csv, ["--leads", "MLII"], "use a detector for 1"),
    ("one lead twice", csv, ["--leads", "V1", "v1"], "twice"),
    ("three leads without known names", lambda f: csv(f, three()), [], "name 2 with leads"),
    ("unknown units", without_rate, ["--rate", "250", "--units", "furlongs"], "units must be one of"),
    ("units against those of the file", csv, ["--units", "uV"], "states the unit mV"),
    ("units for WFDB", lambda f: write_wfdb(f, two()), ["--units", "uV"], "a WFDB header states the units"),
    ("a recording shorter than the first minutes", csv, ["--first-minutes", "5"], "give a longer recording"),
    ("no first minutes", csv, ["--first-minutes", "0"], "above 0"),
    (
        "a number of false alarms without threshold",
        csv,
        ["--false-alarms", "7"],
        "must be one of 2, 5, 10, 20",
    ),
    ("text among the numbers", lambda f: table(f, lambda t: t.assign(note="ok")), [], "holds text"),
    (
        "a decimal comma that splits the fields",
        lambda f: csv(f, decimal=","),
        [],
        "can't be read|text|columns",
    ),
    (
        "a decimal comma in a single column",
        lambda f: csv(f, one(), decimal=",", time=None),
        ["--rate", "250"],
        "decimal comma",
    ),
    ("times that go back", lambda f: table(f, lambda t: pd.concat([t[5000:], t[:5000]])), [], "go back"),
    ("times with a gap", lambda f: table(f, lambda t: pd.concat([t[:9000], t[9500:]])), [], "gap of 2 s"),
    ("two columns of one name", lambda f: csv(f, header="ECG"), [], "two columns are called"),
    ("leads in rows", lambda f: turned(f), ["--rate", "250"], "shorter than a second"),
    ("an empty file", lambda f: written(f, "a.csv", ""), ["--rate", "250"], "empty"),
    ("names and no rows", lambda f: written(f, "a.csv", "time,II\n"), ["--rate", "250"], "rows"),
    ("only times", lambda f: table(f, lambda t: t.iloc[:, :1]), [], "no column that could be a lead"),
    ("an empty lead", lambda f: table(f, lambda t: t.assign(V2=np.nan)), [], "no value at all"),
    ("no rate in WFDB", lambda f: header(f, " 250 ", " 0 "), [], "no whole number above 0"),
    ("lines before the names", lambda f: preamble(f), [], "leave one line of names"),
    ("no file", lambda f: f / "gone.csv", [], "No such file"),
    ("no WFDB record", lambda f: f / "gone", [], "there is no file gone"),
    ("a folder", lambda f: f, [], "is a folder"),
    ("another format", lambda f: written(f, "a.xlsx", "PK"), [], "export it as CSV"),
    ("no EDF file", lambda f: f / "gone.edf", [], "gone.edf can't be read: No such file"),
    ("EDF without duration", lambda f: edf(f, b"1       2   ", b"0       2   "), [], "no duration"),
    (
        "times in words",
        lambda f: table(f, lambda t: t.assign(**{"time (s)": "noon"})),
        [],
        "can't be understood",
    ),
    ("a bare count for a time", lambda f: csv(f, counted(), time="time"), [], "give the rate"),
    (
        "an empty first line",
        lambda f: written(f, "a.csv", "\n1,2\n"),
        ["--rate", "250"],
        "first line is empty",
    ),
    ("a heart of twenty beats a minute", lambda f: csv(f, sluggish()), [], "would beat 20 times a minute"),
    ("EDF cut short", lambda f: cut(edf(f)), [], "cut short"),
    ("EDF with interruptions", lambda f: edf(f, reserved="EDF+D"), [], "interruptions"),
    ("BDF", lambda f: edf(f, b"0       ", b"\xffBIOSEMI"), [], "BDF"),
    ("no EDF under its ending", lambda f: written(f, "a.edf", "hello"), [], "can't be read as EDF"),
    ("EDF without range", lambda f: edf(f, b"32767   ", b"-32768  "), [], "states no range"),
    ("EDF with a broken rate", lambda f: edf(f, rate=249.5), [], "no whole number"),
    ("EDF of other units", lambda f: edf(f, unit_text="bpm"), [], "no signal in mV, uV or V"),
    ("WFDB cut short", lambda f: cut(write_wfdb(f, two()).with_suffix(".dat")), [], "can't be read"),
    ("WFDB without signals", lambda f: clipped(write_wfdb(f, two())), [], "my_holter.dat is missing"),
    ("WFDB of other units", lambda f: header(f, "/mV", "/mmHg"), [], "no lead is a voltage"),
    ("WFDB with a broken rate", lambda f: header(f, " 250 ", " 250.5 "), [], "no whole number"),
    ("WFDB with damaged annotations", lambda f: damaged_marks(f), [], "cut short"),
    ("a dead second lead", lambda f: csv(f, dead(two(), 1)), [], "mostly: lead drop-out"),
    ("noise alone", lambda f: csv(f, noise()), [], "is it an electrocardiogram"),
    ("a flat line", lambda f: csv(f, flat()), [], "no heartbeat was found"),
]


def heart_of(scale: float) -> Record:
    record = two()
    return replace(record, signals=record.signals * scale)


def preamble(folder: Path) -> Path:
    path = csv(folder)
    path.write_text("Name,Somebody\nRate,250\n\n" + path.read_text())
    return path


def counted() -> Record:
    return replace(two(), sampling_rate=1)  # the times of the rows are 0, 1, 2 and so on


def sluggish() -> Record:
    signals = beat_train(list(np.arange(0.5, 240, 3.0)), 240, rate=250)
    return replace(two(), signals=signals)


def slow(rate: int) -> Record:
    record = two()
    return replace(record, signals=record.signals[:: 250 // rate], sampling_rate=rate)


def three() -> Record:
    record = two()
    signals = np.column_stack([record.signals, record.signals[:, 0]])
    return replace(record, signals=signals, lead_names=("A", "B", "C"))


def noise() -> Record:
    signals = np.random.default_rng(0).normal(0, 0.3, (60_000, 2))
    return replace(two(), signals=signals)


def flat() -> Record:
    return replace(two(), signals=np.full((60_000, 2), 0.5))


def turned(folder: Path) -> Path:
    path = folder / "rows.csv"
    np.savetxt(path, two().signals[:240].T, delimiter=",")
    return path


def damaged_marks(folder: Path) -> Path:
    path = write_wfdb(folder, two(), annotated=True)
    cut(path.with_suffix(".atr"))
    return path


@pytest.mark.parametrize(
    ("make", "arguments", "words"), [row[1:] for row in MISUSES], ids=[row[0] for row in MISUSES]
)
def test_misuse_of_a_recording_gets_one_line_that_says_what_to_do(tmp_path, capsys, make, arguments, words):
    path = make(tmp_path)
    settings = arguments if "--first-minutes" in arguments else [*arguments, "--first-minutes", "1"]

    code = main(["score", "two_leads", str(path), "--output", str(tmp_path / "beats.csv"), *settings])

    out, err = capsys.readouterr()
    assert code == 1
    assert out == ""
    assert not (tmp_path / "beats.csv").exists()
    lines = err.strip().splitlines()
    assert len(lines) == 1, err
    assert lines[0].startswith("error: ")
    assert len(lines[0]) < 420
    assert any(word in lines[0] for word in words.split("|")), lines[0]


def test_there_are_more_than_fifteen_kinds_of_misuse():
    assert len({row[0] for row in MISUSES}) == len(MISUSES) > 15


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"signals": np.zeros((1000, 2)), "sampling_rate": -1}, "samples a second"),
        ({"signals": np.zeros((1000, 2)), "sampling_rate": "fast"}, "samples a second"),
        ({"signals": np.zeros((2, 1000)), "sampling_rate": 250}, "signals.T"),
        (
            {"signals": np.zeros((1000, 2)), "sampling_rate": 250, "lead_names": ["II"]},
            "2 columns and 1 names",
        ),
        ({"signals": np.zeros((1000, 2)), "sampling_rate": 250, "units": "apples"}, "units must be"),
        ({"signals": np.zeros((3, 4, 5)), "sampling_rate": 250}, "shape"),
        ({"signals": [["a", "b"]], "sampling_rate": 250}, "must be numbers"),
        ({"signals": np.zeros((0, 2)), "sampling_rate": 250}, "shape"),
        ({"signals": np.arange(1000.0), "sampling_rate": 250}, "only ever rises"),
    ],
)
def test_misuse_of_an_array_is_refused(arguments, words):
    with pytest.raises(RecordingError, match=words):
        recording(**arguments)


@pytest.mark.parametrize(
    ("leads", "words"),
    [
        (("MLII",), "takes 2 of different names"),
        (("V1", "ecg v1"), "different names"),
        (("V1", "V9"), "no lead V9"),
    ],
)
def test_misnamed_leads_are_refused_by_the_detector(leads, words):
    with pytest.raises(RecordingError, match=words):
        load_detector("two_leads").score(two(), leads=leads)


def test_a_detector_takes_nothing_but_a_record():
    with pytest.raises(RecordingError, match="a Record, which knows its rate"):
        load_detector("one_lead").score(np.zeros((1000, 1)))


def test_a_detector_looks_at_the_size_of_a_record_that_was_made_by_hand():
    record = replace(one(), signals=one().signals * 1000)
    with pytest.raises(RecordingError, match="microvolts"):
        load_detector("one_lead").score(record, first_seconds=60)


def test_leads_of_two_rates_cannot_be_read_together(tmp_path):
    path = edf(tmp_path, label="{lead}", annotations=True)
    content = path.read_bytes().replace(b"EDF Annotations ", b"V5              ", 1)
    path.write_bytes(content.replace(b"        -1", b"mV      -1", 1))

    with pytest.raises(RecordingError, match="different rates"):
        read_recording(path)
    assert read_recording(path, leads=("MLII",)).lead_names == ("MLII",)
    with pytest.raises(RecordingError, match=r"no lead V9; night\.edf has MLII, V1, V5"):
        read_recording(path, leads=("V9",))
