"""A tiny assignment without networks, so that the grader can be tried with many submissions quickly."""

from __future__ import annotations

import csv
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from tools.coursework.places import PROJECT
from tools.coursework.submissions import release_of

NAME = "01_tiny"
POINTS = 6.0
# A worker that the tests started has this in its command, in which its limits stand.
WORKER = str((700 + 2048) * 2**20)
SECRET = "no student may read this sentence"
RIGHT = {
    "answer-double": "def double(x):\n    return 2 * np.asarray(x)",
    "answer-total": "def total(values):\n    return float(np.sum(values))",
}


def cell(name: str | None, source: str, kind: str = "code", **mark: Any) -> dict[str, Any]:
    """Return a cell as it stands in an instructor's notebook."""
    metadata = {"nbgrader": {"grade_id": name, "solution": False, "grade": False, **mark}} if name else {}
    made = {"cell_type": kind, "metadata": metadata, "source": source}
    return made | ({"outputs": [], "execution_count": None} if kind == "code" else {})


def master() -> list[dict[str, Any]]:
    """Return the cells of the instructor's notebook."""
    check = {"grade": True, "locked": True}
    return [
        cell(None, "# A tiny assignment", "markdown"),
        cell("set-up", "import numpy as np\n\nSEED = 3"),
        cell("answer-double", RIGHT["answer-double"], solution=True),
        cell("check-double", "assert np.allclose(double([1, 2]), [2, 4]), 'twice'", points=1, **check),
        cell(
            "hidden-double",
            "# Hidden check (2 points): other numbers.\n### BEGIN HIDDEN TESTS\n"
            f"given = np.random.default_rng(SEED).random((4, 3))  # {SECRET}\nbefore = given.copy()\n"
            "doubled = double(given)\nassert np.shape(doubled) == (4, 3), 'the shape'\n"
            "assert np.array_equal(given, before), 'left alone'\n"
            "assert np.allclose(doubled, 2 * before), 'twice, of any shape'\n### END HIDDEN TESTS",
            points=2,
            **check,
        ),
        cell("answer-total", RIGHT["answer-total"], solution=True),
        cell(
            "check-total",
            "assert total([1, 2, 3]) == 6, f'the sum, not {total([1, 2, 3])}'",
            points=1,
            **check,
        ),
        cell(
            "hidden-total",
            "# Hidden check (2 points): nothing, and much.\n### BEGIN HIDDEN TESTS\n"
            f"much = list(range(98765, 98865))  # {SECRET}\n"
            "assert total([]) == 0, 'nothing'\nassert total(much) == sum(much), 'much'\n### END HIDDEN TESTS",
            points=2,
            **check,
        ),
        cell(
            "text-words",
            "=== BEGIN SOLUTION\nguide\n=== END SOLUTION",
            "markdown",
            solution=True,
            grade=True,
            points=3,
        ),
    ]


def write_master(folder: Path) -> Path:
    """Write the instructor's notebook, and return the folder that ``DAE_ASSIGNMENTS_DIR`` names."""
    (folder / NAME).mkdir(parents=True)
    (folder / NAME / f"{NAME}.ipynb").write_text(
        json.dumps({"cells": master(), "metadata": {}}), encoding="utf-8"
    )
    return folder


def notebook(
    answers: dict[str, str], own: list[str] = (), first: list[str] = (), text: str = ""
) -> dict[str, Any]:
    """Return a notebook as it is handed in.

    Args:
        answers: by the name of the cell.
        own: cells that the student added at the end.
        first: cells that the student added before the first answer.
        text: the answer in words.
    """
    cells = [cell("set-up", "import numpy as np"), *(cell(None, source) for source in first)]
    for name, source in answers.items():
        cells += [cell(name, source, solution=True), cell(name.replace("answer", "check"), "assert True")]
    cells += [cell(None, source) for source in own] + [cell("text-words", text, "markdown", solution=True)]
    return {"cells": cells, "metadata": {"coursework": {"assignment": NAME, "release": release_of(master())}}}


def hand_in(folder: Path, student: str, content: Any) -> Path:
    """Write a submission and return its path."""
    path = folder / student / f"{NAME}.ipynb"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content if isinstance(content, bytes) else json.dumps(content).encode())
    return path


def settings(assignments: Path) -> dict[str, str]:
    """Return the environment in which the grader uses the tiny assignment."""
    named = {
        "DAE_ASSIGNMENTS_DIR": str(assignments),
        "DAE_BOOK_PYTHON": sys.executable,
        "PYTHONPATH": str(PROJECT),
    }
    return {**os.environ, **named}


def command(folder: Path, results: Path, *more: str) -> list[str]:
    """Return the command that grades a folder."""
    limits = ("--cell-seconds", "3", "--total-seconds", "40", "--memory-mb", "700")
    return [sys.executable, "-m", "tools.coursework.grade", str(folder), "--to", str(results), *limits, *more]


def rows_of(results: Path) -> dict[str, dict[str, str]]:
    """Return the rows of a gradebook by student."""
    with open(results / "gradebook.csv", newline="", encoding="utf-8") as file:
        return {row["student"]: row for row in csv.DictReader(file)}


def grade(assignments: Path, folder: Path, results: Path, *more: str) -> subprocess.CompletedProcess[str]:
    """Grade a folder of submissions to the tiny assignment."""
    return subprocess.run(
        command(folder, results, *more),
        cwd=PROJECT,
        env=settings(assignments),
        capture_output=True,
        text=True,
        timeout=1200,
        check=False,
    )
