"""The program by which students run the visible checks themselves."""

import json

import pytest
from submissions import write

from tools.coursework import selfcheck


def cell(name, source):
    return {
        "cell_type": "code",
        "metadata": {"nbgrader": {"grade_id": name}} if name else {},
        "source": source,
    }


@pytest.fixture
def notebook(tmp_path):
    cells = [
        cell("set-up", "from math import isclose"),
        cell("answer-double", "def double(x):\n    return 2 * x"),
        cell("check-double", "assert isclose(double(2), 4), 'twice, please'"),
        cell("hidden-double", "raise SystemExit('never run')"),
        cell("", "print('own', double(3))"),
        cell(
            "answer-half", "def half(x):\n    raise NotImplementedError('This one is still to be answered.')"
        ),
        cell("check-half", "assert isclose(half(2), 1), 'half, please'"),
    ]
    write({"cells": cells}, tmp_path / "01_numbers.ipynb")
    return tmp_path / "01_numbers.ipynb"


def test_all_visible_checks_are_run(notebook, capsys):
    assert selfcheck.main([str(notebook)]) == 1

    assert capsys.readouterr().out.splitlines() == [
        "double: the visible check holds.",
        "own 6",
        "half: not yet. NotImplementedError: This one is still to be answered.",
        "1 of 2 visible checks hold.",
    ]


def test_one_check_is_run_alone(notebook, capsys):
    assert selfcheck.main([str(notebook.with_suffix("")), "double"]) == 0
    assert capsys.readouterr().out.endswith("1 of 1 visible checks hold.\n")


def test_a_wrong_answer_is_told_what_is_wrong(notebook, capsys):
    content = json.loads(notebook.read_text())
    content["cells"][1]["source"] = "def double(x):\n    return 3 * x"
    write(content, notebook)

    assert selfcheck.main([str(notebook), "double"]) == 1
    assert "double: not yet. AssertionError: twice, please" in capsys.readouterr().out


def test_an_error_in_a_cell_is_shown_and_the_rest_still_runs(notebook, capsys):
    content = json.loads(notebook.read_text())
    content["cells"].insert(1, cell("", "1 / 0"))
    write(content, notebook)

    assert selfcheck.main([str(notebook), "double"]) == 0
    said = capsys.readouterr()
    assert "The cell of your own stops with an error" in said.out
    assert "ZeroDivisionError" in said.err


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["02_letters"], "No notebook of an assignment found for 02_letters."),
        (["01_numbers", "treble"], "There is no check 'treble': there are double, half."),
        ([], "Runs the visible checks of an assignment"),
    ],
)
def test_what_cannot_be_run_is_said_in_a_line(notebook, capsys, monkeypatch, arguments, words):
    monkeypatch.chdir(notebook.parent)

    assert selfcheck.main(arguments) == 2
    assert capsys.readouterr().out.startswith(words)
