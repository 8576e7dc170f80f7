"""Tries the wrong answers of one assignment: ``python check_wrong_answers.py NOTEBOOK ANSWERS``.

Prints as JSON which of them the checks caught, and whether the instructor's own answers passed. All of it
runs in this one process, so that the set-up is paid for once.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path


def cells_of(notebook: Path) -> dict[str, str]:
    """Return the sources of an assignment's code cells by their names."""
    cells = json.loads(notebook.read_text(encoding="utf-8"))["cells"]
    return {
        c["metadata"]["nbgrader"]["grade_id"]: "".join(c["source"]) for c in cells if c["cell_type"] == "code"
    }


def fails(cells: dict[str, str], task: str, answer: str, namespace: dict[str, object]) -> str:
    """Return how an answer fails the checks of its task, or "" when it passes both."""
    own = dict(namespace)
    for kind, source in (
        ("answer", answer),
        ("check", cells[f"check-{task}"]),
        ("hidden", cells[f"hidden-{task}"]),
    ):
        try:
            exec(compile(source, f"{kind}-{task}", "exec"), own)
        except Exception as error:
            return f"{kind}: {type(error).__name__}: {error}"[:160]
    return ""


def main(notebook: str, answers: str) -> None:
    """Do what the module says."""
    cells = cells_of(Path(notebook))
    namespace: dict[str, object] = {"__name__": "__main__"}
    exec(compile(cells["set-up"], "set-up", "exec"), namespace)
    right = {}
    for name, source in cells.items():
        kind, _, task = name.partition("-")
        if kind == "answer":
            right[task] = fails(cells, task, source, namespace)
    wrong = []
    for entry in json.loads(answers):
        answer = cells[f"answer-{entry['task']}"]
        if entry["replace"] not in answer:
            raise SystemExit(f"The solution of {entry['task']} has no {entry['replace']!r}")
        how = fails(cells, entry["task"], answer.replace(entry["replace"], entry["by"]), namespace)
        wrong.append({**entry, "caught": how})
    print(json.dumps({"right": right, "wrong": wrong}))


if __name__ == "__main__":
    main(*sys.argv[1:])
