"""Tries answers to one assignment: ``python check_wrong_answers.py NOTEBOOK ANSWERS``.

ANSWERS is a JSON list of wrong answers, each with a task, a text of the instructor's answer and what stands
in its place. Prints as JSON which of them the checks caught, whether the instructor's own answers passed, and
which checks could be passed by functions that return the same whatever they are asked. All of it runs in this
one process, so that the set-up is paid for once.
"""

from __future__ import annotations

import contextlib
import json
import os
import sys
from pathlib import Path
from typing import Any

import numpy as np

from tools.coursework.grade_one import defined_names

# What somebody might return who has not answered, in the hope that a comparison with it holds.
WORTHLESS: dict[str, Any] = {
    "None": None,
    "0": 0,
    "1": 1,
    "-1": -1,
    "one half": 0.5,
    "nan": float("nan"),
    "infinity": float("inf"),
    "True": True,
    "no text": "",
    "a text": "undecided",
    "[]": [],
    "()": (),
    "a dictionary": {},
    "a set": set(),
    "no numbers": np.empty(0),
    "no rows": np.empty((0, 1)),
    "no columns": np.empty((1, 0)),
    "to be broadcast": np.empty((0, 1, 1)),
    "a nan": np.full((1, 1), np.nan),
    "a zero": np.zeros((1, 1)),
    "two of nothing": (np.empty((0, 1)), np.empty((0, 1))),
    "two nans": (np.full(1, np.nan), np.full(1, np.nan)),
    "two empty lists": ([], []),
    "a list and nan": ([], float("nan")),
    "three": (0, 0, 0),
}


def cells_of(notebook: Path) -> dict[str, str]:
    """Return the sources of an assignment's code cells by their names."""
    cells = json.loads(notebook.read_text(encoding="utf-8"))["cells"]
    return {
        c["metadata"]["nbgrader"]["grade_id"]: "".join(c["source"]) for c in cells if c["cell_type"] == "code"
    }


def fails(cells: dict[str, str], task: str, answer: Any, namespace: dict[str, Any]) -> dict[str, str]:
    """Return how an answer (a source, or functions by name) fails each check of its task, "" if it passes."""
    own, found = dict(namespace), {}
    try:
        if isinstance(answer, str):
            exec(compile(answer, f"answer-{task}", "exec"), own)
        else:
            own |= answer
    except Exception as error:
        return dict.fromkeys(("check", "hidden"), f"answer: {type(error).__name__}: {error}"[:160])
    for kind in ("check", "hidden"):
        try:
            exec(compile(cells[f"{kind}-{task}"], f"{kind}-{task}", "exec"), own)
            found[kind] = ""
        except Exception as error:
            found[kind] = f"{type(error).__name__}: {error}"[:160]
    return found


def main(notebook: str, answers: str) -> None:
    """Do what the module says."""
    cells = cells_of(Path(notebook))
    namespace: dict[str, Any] = {"__name__": "__main__"}
    exec(compile(cells["set-up"], "set-up", "exec"), namespace)
    right, worthless = {}, []
    for name, source in cells.items():
        kind, _, task = name.partition("-")
        if kind == "answer":
            right[task] = "".join(fails(cells, task, source, namespace).values())
            for what, value in WORTHLESS.items():
                functions = {each: lambda *a, _value=value, **k: _value for each in defined_names(source)}
                with np.errstate(all="ignore"), contextlib.redirect_stdout(open(os.devnull, "w")):
                    passed = [k for k, why in fails(cells, task, functions, namespace).items() if not why]
                worthless += [f"{kind}-{task} is passed by {what}" for kind in passed]
    wrong = []
    for entry in json.loads(answers):
        answer = cells[f"answer-{entry['task']}"]
        if entry["replace"] not in answer:
            raise SystemExit(f"The solution of {entry['task']} has no {entry['replace']!r}")
        how = fails(cells, entry["task"], answer.replace(entry["replace"], entry["by"]), namespace)
        wrong.append({**entry, "caught": "".join(how.values())})
    print(json.dumps({"right": right, "wrong": wrong, "worthless": worthless}))


if __name__ == "__main__":
    main(*sys.argv[1:])
