"""The command `python -m dae_utils score`, from a file to a line, a table and a picture."""

from __future__ import annotations

import os
import subprocess
import sys

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from made_up_ecg import beat_train
from own_files import heart, write_csv, write_edf, write_wfdb
from PIL import Image

from dae_utils.__main__ import main
from dae_utils.data.recordings import recording
from dae_utils.show.strips import draw_scored
from dae_utils.signals import load_detector
from tools.notebook_code import PROJECT


@pytest.fixture
def strip(tmp_path):
    return write_csv(tmp_path / "strip.csv", heart(250), "uV")


def test_a_recording_becomes_a_line_a_table_and_a_picture(strip, tmp_path, capsys):
    table, picture = tmp_path / "beats.csv", tmp_path / "beats.png"

    code = main(
        [
            "score",
            "two_leads",
            str(strip),
            "--first-minutes",
            "1",
            "--output",
            str(table),
            "--picture",
            str(picture),
        ]
    )

    out, err = capsys.readouterr()
    assert code == 0
    assert err == ""
    assert len(out.strip().splitlines()) == 1
    beats = pd.read_csv(table)
    made_of = ["shape", "timing", "irregularity", "rr_before", "rr_after"]
    assert list(beats.columns) == ["time", "score", "alarm", "quality", *made_of]
    assert f"{len(beats)} beats in 4.0 minutes" in out
    assert set(beats["alarm"]) == {0, 1}
    assert beats.loc[beats["time"] < 60, "score"].isna().all()
    assert beats.loc[beats["time"] > 65, "score"].notna().all()
    assert Image.open(picture).size[0] > 800


def test_without_a_table_the_alarms_are_listed(strip, capsys):
    assert main(["score", "one_lead", str(strip), "--first-minutes", "1", "--false-alarms", "20"]) == 0

    lines = capsys.readouterr().out.splitlines()
    assert "alarms over" in lines[0]
    assert all("score up to" in line for line in lines[1:21])
    assert lines[1].startswith("  0:0")


def test_options_say_what_a_bare_table_does_not(tmp_path, capsys):
    path = write_csv(tmp_path / "a.csv", heart(250), "uV", header="{lead}", time=None)
    arguments = ["--rate", "250", "--units", "uV", "--leads", "V1", "MLII", "--first-minutes", "1"]

    assert main(["score", "two_leads", str(path), *arguments]) == 0

    out, err = capsys.readouterr()
    assert "(V1, MLII)" in out
    assert "note: lead V1 stands in for MLII" in err


@pytest.mark.parametrize("kind", ["edf", "wfdb"])
def test_other_formats_need_no_options(kind, tmp_path, capsys):
    path = write_edf(tmp_path / "a.edf", heart(250)) if kind == "edf" else write_wfdb(tmp_path, heart(250))

    assert main(["score", "two_leads", str(path), "--first-minutes", "1"]) == 0
    assert "beats in" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["three_leads", "{strip}"], "there are one_lead, two_leads"),
        (["one_lead", "{strip}", "--output", "{folder}/no/beats.csv"], "there is no folder"),
        (["one_lead", "{strip}", "--output", "{strip}"], "is the recording itself"),
        (["one_lead", "{strip}", "--picture", "{folder}/beats.doc"], "a picture's name ends in"),
    ],
)
def test_what_cannot_be_done_is_said_in_one_line(arguments, words, strip, tmp_path, capsys):
    before = strip.read_bytes()

    code = main(["score", *(one.format(strip=strip, folder=tmp_path) for one in arguments)])

    out, err = capsys.readouterr()
    assert (code, out) == (1, "")
    assert len(err.strip().splitlines()) == 1
    assert words in err
    assert strip.read_bytes() == before


@pytest.mark.parametrize("arguments", [["score"], ["score", "one_lead"], ["score", "a", "b", "--rate", "x"]])
def test_a_command_that_is_not_understood_has_code_2(arguments, capsys):
    with pytest.raises(SystemExit) as caught:
        main(arguments)

    assert caught.value.code == 2
    assert "usage: python -m dae_utils score" in capsys.readouterr().err


def test_the_command_shows_progress_and_loads_no_keras(strip):
    script = (
        "import sys; from dae_utils.__main__ import main; code = main(sys.argv[1:]); "
        "print(code, sorted(set(sys.modules) & {'keras', 'tensorflow', 'wfdb', 'neurokit2'}))"
    )
    arguments = ["score", "one_lead", str(strip), "--first-minutes", "1"]
    picture = ["--picture", str(strip.with_suffix(".png"))]
    done = subprocess.run(
        [sys.executable, "-c", script, *arguments, *picture],
        cwd=PROJECT,
        env=os.environ | {"DAE_PROGRESS": "1"},
        capture_output=True,
        text=True,
        check=True,
    )

    assert done.stdout.splitlines()[-1] == "0 []"
    assert "strip:" in done.stderr
    assert "min" in done.stderr


def test_the_picture_shows_scores_and_the_strongest_alarms():
    record = heart(250)
    scored = load_detector("two_leads").score(record, first_seconds=60).at(2.0)

    figure = draw_scored(record, scored, strips=3)

    overview, *strips = figure.axes
    assert len(strips) == 3
    drawn = sum(len(line.get_xdata()) for line in overview.lines[:2])
    assert drawn == len(scored.beats)
    assert "(SIMULATED)" in overview.get_title()
    # The strongest alarms, in order of time, each in the middle of its ten seconds.
    starts = [ax.get_xlim()[0] for ax in strips]
    assert starts == sorted(starts)
    best = max((beat for beat in scored.beats if beat.alarm), key=lambda beat: beat.score)
    assert any(ax.get_xlim()[0] <= best.time <= ax.get_xlim()[1] for ax in strips)
    assert all(ax.get_xlim()[1] - ax.get_xlim()[0] == pytest.approx(10) for ax in strips)
    plt.close(figure)


def test_the_picture_of_a_quiet_recording_says_that_there_is_no_alarm():
    signals = beat_train(list(np.arange(0.5, 120, 0.8)), 120)
    signals[90 * 360 : 95 * 360] = np.nan
    record = recording(signals, sampling_rate=360, lead_names=("II", "V1"))
    scored = load_detector("two_leads").score(record, first_seconds=60)

    figure = draw_scored(record, scored)

    assert len(figure.axes) == 1
    assert "no alarm" in [text.get_text() for text in figure.axes[0].texts]
    plt.close(figure)
