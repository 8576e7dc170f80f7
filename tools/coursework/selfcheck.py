"""Runs the visible checks of an assignment on your own work. The checks are those in the notebook.

In a notebook, after saving it: ``from selfcheck import check; check("name")``. On a command line:
``python selfcheck.py 01_garments`` for the whole notebook, ``python selfcheck.py 01_garments name`` for one
check.
"""

from __future__ import annotations

import json
import os
import sys
import traceback
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
os.environ.setdefault("MPLBACKEND", "agg")


def _cells(notebook: Path) -> list[tuple[str, str]]:
    """Return the code cells as pairs of name ("" for your own cells) and source."""
    content = json.loads(notebook.read_text(encoding="utf-8"))
    return [
        (cell["metadata"].get("nbgrader", {}).get("grade_id", ""), "".join(cell["source"]))
        for cell in content["cells"]
        if cell["cell_type"] == "code"
    ]


def _notebook(name: str | None) -> Path:
    places = [Path(name), Path(f"{name}.ipynb"), Path(str(name)) / f"{name}.ipynb"] if name else []
    places += [] if name else sorted(Path.cwd().glob("[0-9]*_*.ipynb"))
    for place in places:
        if place.is_file():
            return place
    raise FileNotFoundError(f"No notebook of an assignment found for {name or Path.cwd()}.")


def check(name: str, notebook: str | None = None, namespace: dict[str, object] | None = None) -> bool:
    """Run the visible check called `name` on what is defined now, print the verdict, and return it.

    Raises:
        KeyError: the notebook has no such check.
    """
    if namespace is None:
        from IPython import get_ipython

        namespace = get_ipython().user_ns
    checks = {
        key.removeprefix("check-"): s for key, s in _cells(_notebook(notebook)) if key.startswith("check-")
    }
    if name not in checks:
        raise KeyError(f"There is no check {name!r}: there are {', '.join(checks)}.")
    try:
        exec(compile(checks[name], f"<check {name}>", "exec"), namespace)
    except Exception as error:
        print(f"{name}: not yet. {type(error).__name__}: {error}")
        return False
    print(f"{name}: the visible check holds.")
    return True


def main(arguments: list[str]) -> int:
    """Run a notebook's cells one after the other and report on its visible checks.

    Returns 0 when all hold, 1 when not, and 2 when there is nothing to run.
    """
    if not arguments:
        print(__doc__)
        return 2
    try:
        notebook, wanted = _notebook(arguments[0]), arguments[1:]
    except FileNotFoundError as error:
        print(error)
        return 2
    cells = _cells(notebook)
    known = [name.removeprefix("check-") for name, _ in cells if name.startswith("check-")]
    unknown = [name for name in wanted if name not in known]
    if unknown:
        print(f"There is no check {unknown[0]!r}: there are {', '.join(known)}.")
        return 2
    namespace: dict[str, object] = {"__name__": "__main__"}
    verdicts = []
    for name, source in cells:
        kind, _, task = name.partition("-")
        if kind == "check":
            if not wanted or task in wanted:
                verdicts.append(check(task, str(notebook), namespace))
        elif kind == "answer" and wanted and task not in wanted:
            continue
        elif kind != "hidden":
            try:
                exec(compile(source, f"<cell {name or 'of your own'}>", "exec"), namespace)
            except Exception:
                print(f"The cell {name or 'of your own'} stops with an error:")
                traceback.print_exc(limit=-2)
    print(f"{sum(verdicts)} of {len(verdicts)} visible checks hold.")
    return 0 if verdicts and all(verdicts) else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
