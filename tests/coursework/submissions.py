"""Makes submissions of every kind from an instructor's notebook and its release, each with its points."""

from __future__ import annotations

import copy
import json
import re
from pathlib import Path
from typing import Any

Notebook = dict[str, Any]
Points = dict[str, float]

STUB = re.compile(r"^( *)# YOUR CODE HERE\n *raise NotImplementedError\(.*\)$", flags=re.MULTILINE)


def read(path: Path) -> Notebook:
    """Return a notebook as it stands in its file."""
    return json.loads(path.read_text(encoding="utf-8"))


def name_of(cell: dict[str, Any]) -> str:
    """Return a cell's name in nbgrader, "" without one."""
    return cell["metadata"].get("nbgrader", {}).get("grade_id", "")


def tasks_of(notebook: Notebook) -> list[str]:
    """Return the names of the tasks that are answered by code, in order."""
    return [n.removeprefix("answer-") for n in map(name_of, notebook["cells"]) if n.startswith("answer-")]


def points_of(notebook: Notebook) -> Points:
    """Return the points of each check."""
    return {
        name_of(cell): cell["metadata"]["nbgrader"]["points"]
        for cell in notebook["cells"]
        if cell["cell_type"] == "code" and cell["metadata"]["nbgrader"]["grade"]
    }


def solutions_of(source: Notebook) -> dict[str, str]:
    """Return the instructor's answers by task, without the marks around them."""
    answers = {}
    for cell in source["cells"]:
        if name_of(cell).startswith("answer-"):
            lines = "".join(cell["source"]).splitlines()
            kept = [line for line in lines if not re.search("(BEGIN|END) SOLUTION", line)]
            answers[name_of(cell).removeprefix("answer-")] = "\n".join(kept)
    return answers


def cell_of(notebook: Notebook, name: str) -> dict[str, Any]:
    """Return the cell with a name."""
    return next(cell for cell in notebook["cells"] if name_of(cell) == name)


def answered(release: Notebook, answers: dict[str, str]) -> Notebook:
    """Return the release with some of its tasks answered."""
    notebook = copy.deepcopy(release)
    for task, answer in answers.items():
        cell_of(notebook, f"answer-{task}")["source"] = answer
    return notebook


def of_tasks(points: Points, tasks: list[str]) -> float:
    """Return the points of all checks of some tasks."""
    return sum(value for check, value in points.items() if check.partition("-")[2] in tasks)


def own_cell(source: str) -> dict[str, Any]:
    """Return a code cell as a student adds it."""
    return {
        "cell_type": "code",
        "execution_count": None,
        "id": "mine",
        "metadata": {},
        "outputs": [],
        "source": source,
    }


def with_figures(notebook: Notebook) -> Notebook:
    """Return a submission with a cell of the student's own after each answer, which draws."""
    drawn = copy.deepcopy(notebook)
    for number, cell in enumerate(reversed(notebook["cells"]), 1):
        if name_of(cell).startswith("answer-"):
            code = "%matplotlib inline\nimport matplotlib.pyplot as plt\nplt.plot([1, 2])\nplt.show()"
            drawn["cells"].insert(len(notebook["cells"]) - number + 1, own_cell(code))
    return drawn


def returning_none(release: Notebook) -> Notebook:
    """Return a submission in which every function returns None."""
    notebook = copy.deepcopy(release)
    for task in tasks_of(release):
        cell = cell_of(notebook, f"answer-{task}")
        cell["source"] = STUB.sub(r"\1return None", "".join(cell["source"]))
    return notebook


def seven_kinds(source: Notebook, release: Notebook) -> dict[str, tuple[Notebook, float]]:
    """Return seven submissions by kind, each with the points of its checks that it must get."""
    solutions, points, tasks = solutions_of(source), points_of(source), tasks_of(source)
    half, rest = tasks[: len(tasks) // 2], tasks[2:]
    partly = answered(release, {task: solutions[task] for task in half})

    crashing = answered(release, solutions)
    cell_of(crashing, f"answer-{tasks[2]}")["source"] = (
        f"{solutions[tasks[2]]}\nimport ctypes\nctypes.string_at(0)"
    )
    endless = answered(release, solutions)
    cell_of(endless, f"answer-{tasks[1]}")["source"] = f"while True:\n    pass\n{solutions[tasks[1]]}"
    return {
        "perfect": (answered(release, solutions), of_tasks(points, tasks)),
        "partly": (partly, of_tasks(points, half)),
        "wrong": (returning_none(release), 0),
        "untouched": (copy.deepcopy(release), 0),
        "crashing": (crashing, of_tasks(points, [*tasks[:2], *tasks[3:]])),
        "endless": (endless, of_tasks(points, [tasks[0], *rest])),
        "cheating": (edits_the_checks(release), 0),
    }


def edits_the_checks(release: Notebook) -> Notebook:
    """Return a submission that answers nothing, makes every check pass, drops some, and prints praise."""
    notebook = returning_none(release)
    kept = []
    for number, cell in enumerate(notebook["cells"]):
        if name_of(cell).startswith("check-"):
            cell["source"] = "print('all checks passed')"
            cell["outputs"] = [{"output_type": "stream", "name": "stdout", "text": "all checks passed\n"}]
            cell["metadata"]["nbgrader"]["points"] = 100
        if name_of(cell) == "set-up":
            cell["source"] = "print('nothing to set up')"
        if not (name_of(cell).startswith("hidden-") and number % 2):
            kept.append(cell)
    notebook["cells"] = kept
    return notebook


def write(notebook: Notebook, path: Path) -> None:
    """Write a notebook as a submission."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(notebook), encoding="utf-8")
