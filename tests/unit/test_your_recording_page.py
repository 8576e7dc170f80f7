"""The page "Your own recording": its commands and programs as they stand, its picture, table and links."""

from __future__ import annotations

import os
import re
import shlex
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from dae_utils.__main__ import main
from dae_utils.data.simulated import simulate_record
from dae_utils.score_file import add_score_command
from dae_utils.signals import load_detector
from tools import external_records, ship_detector, shipped_tables
from tools.notebook_code import PROJECT

PAGE = (PROJECT / "book" / "your_recording.md").read_text(encoding="utf-8")


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", PAGE, flags=re.DOTALL)


def run_in(folder: Path, program: str) -> dict:
    """Run a program in `folder` and return its names."""
    before, names = Path.cwd(), {}
    try:
        os.chdir(folder)
        exec(compile(program, "your_recording.md", "exec"), names)
    finally:
        os.chdir(before)
    return names


@pytest.fixture(scope="module")
def example(tmp_path_factory) -> Path:
    """Return a folder in which the first program of the page has made its recording."""
    folder = tmp_path_factory.mktemp("example")
    run_in(folder, blocks("python")[0])
    return folder


def test_the_example_is_a_simulated_recording_at_another_rate(example):
    table = pd.read_csv(example / "simulated.csv")

    assert list(table.columns) == ["time (s)", "II (uV)", "V1 (uV)"]
    assert len(table) == 600 * 250


def test_the_command_scores_the_example(example, monkeypatch, capsys):
    (command, *_) = blocks("sh")
    words = shlex.split(command)
    assert words[:3] == ["python", "-m", "dae_utils"]
    monkeypatch.chdir(example)

    assert main(words[3:]) == 0

    out, err = capsys.readouterr()
    assert err == ""
    assert re.match(r"simulated \(II, V1\): \d+ beats in 10\.0 minutes; \d+ alarms", out)
    beats = pd.read_csv(example / "beats.csv")
    assert all(f"`{column}`" in PAGE for column in beats.columns)
    assert all(f"`{quality}`" in PAGE for quality in ("good", "noise", "incomplete", "saturated"))
    # The picture of the page is what the command draws.
    shown, drawn = (
        np.asarray(Image.open(path).convert("L").resize((140, 170)), float)
        for path in (PROJECT / "book" / "_static" / "your_recording.png", example / "beats.png")
    )
    assert np.abs(shown - drawn).mean() < 4


def test_the_alarms_of_the_example_are_abnormal_beats(example, capsys):
    names = run_in(example, blocks("python")[1])

    record = simulate_record(9208, minutes=10)
    alarmed = names["beats"].loc[names["beats"]["alarm"] == 1, "time"].to_numpy()
    nearest = np.abs(alarmed[:, None] - record.r_peaks / 360).argmin(axis=1)
    assert len(alarmed) > 10
    assert np.mean(record.symbols[nearest] != "N") > 0.9
    assert "beats in 10.0 minutes" in capsys.readouterr().out


def test_every_option_of_the_command_is_on_the_page():
    import argparse

    parser = argparse.ArgumentParser()
    add_score_command(parser.add_subparsers())
    (score,) = parser._subparsers._group_actions[0].choices.values()
    options = {name for action in score._actions for name in action.option_strings if name.startswith("--")}

    assert {option for option in options if option not in PAGE} == {"--help"}


@pytest.mark.parametrize("module", [external_records, ship_detector])
def test_the_other_commands_of_the_page_are_understood(module, capsys):
    assert any(f"python -m {module.__name__}" in block for block in blocks("sh"))
    with pytest.raises(SystemExit) as caught:
        module.main(["--help"])
    assert caught.value.code == 0


def test_the_table_of_the_page_is_what_was_measured():
    assert shipped_tables.page_with(shipped_tables.results_table()) == PAGE
    assert len(shipped_tables.results_table().splitlines()) == 2 + 8


def test_what_the_page_says_about_the_table_holds():
    one, two = (load_detector(name).made["tested_on"] for name in ("one_lead", "two_leads"))
    times = {
        name: {number: told["false_alarms_per_hour"] / float(number) for number, told in found.items()}
        for name, found in (("one", one), ("two", two))
    }

    assert min(times["two"].values()) > 1.9
    assert 4.5 < times["two"]["2"] < 5.5
    assert all(abs(times["one"][number] - 1) < abs(times["two"][number] - 1) for number in one)
    assert all(one[number]["v_found"] < two[number]["v_found"] for number in one)
    for found in (one, two):
        assert found["10"]["false_in_fibrillation"] > found["10"]["false_alarms"] / 2
    assert one["10"]["silenced_share"] == pytest.approx(1 / 40, rel=0.1)
    assert two["10"]["silenced_share"] == pytest.approx(1 / 15, rel=0.1)


def test_the_page_says_what_it_is_not():
    text = " ".join(PAGE.split())

    assert "This is not a medical device" in text
    assert "not on the databases themselves" in text
    assert "between 1975 and 1979" in text


def test_pages_that_lead_here():
    for page in ("your_own_data.md", "recipes/06.md", "api/signals.md"):
        assert "your_recording`" in (PROJECT / "book" / page).read_text(encoding="utf-8")
    assert "book/your_recording" in (PROJECT / "_toc.yml").read_text(encoding="utf-8")
