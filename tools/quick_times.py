"""Measures how long each notebook takes in the ``quick`` profile, and writes `book/quick_times.json`.

``python -m tools.quick_times [NOTEBOOK ...]``, with names such as ``01_mnist_anomaly_detection``: one after
the other, in a copy of the folder, so that no committed output changes. The times stand at the top of the
chapters; run it on a machine that does nothing else.
"""

from __future__ import annotations

import datetime
import json
import os
import platform
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from tools.notebook_code import NOTEBOOKS, PROJECT, STUDIES, find_notebooks, is_study

TIMES = PROJECT / "book" / "quick_times.json"


def seconds_to_run(notebook: Path) -> float:
    """Return how many seconds a notebook runs in the quick profile, with the start of its kernel.

    Raises:
        subprocess.CalledProcessError: a cell failed; what it said was printed.
    """
    environment = os.environ | {
        "DAE_PROFILE": "quick",
        "DAE_PROGRESS": "0",
        "TF_CPP_MIN_LOG_LEVEL": "2",
        "PYTHONPATH": str(PROJECT),
    }
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder) / NOTEBOOKS.name
        # A study reads and writes beside its folder, so its folder keeps its name.
        copy = copy / STUDIES if is_study(notebook) else copy
        copy.mkdir(parents=True)
        shutil.copy(notebook, copy)
        started = time.perf_counter()
        subprocess.run(
            [sys.executable, "-m", "jupyter", "execute", "--timeout=-1", str(copy / notebook.name)],
            cwd=copy,
            env=environment,
            check=True,
        )
        return time.perf_counter() - started


def with_times(stored: dict, seconds: dict[str, float], notebooks: Sequence[str], today: str) -> dict:
    """Return the contents of the file with new times; notebooks that are no more are dropped."""
    old = {name: value for name, value in stored.get("seconds", {}).items() if name in notebooks}
    merged = old | {name: round(value, 1) for name, value in seconds.items()}
    return {
        "machine": f"{os.cpu_count()} cores, {platform.machine()}",
        "measured": today,
        "seconds": dict(sorted(merged.items())),
    }


def main(arguments: list[str]) -> int:
    """Measure the named notebooks, or all, and store each time as soon as it is known."""
    notebooks = {path.stem: path for path in find_notebooks()}
    names = [Path(name).stem for name in arguments] or list(notebooks)
    unknown = [name for name in names if name not in notebooks]
    if unknown:
        print(f"There is no notebook {unknown[0]}. There are: {', '.join(notebooks)}", file=sys.stderr)
        return 2
    for name in names:
        try:
            seconds = seconds_to_run(notebooks[name])
        except subprocess.CalledProcessError:
            print(f"{name}: a cell failed, see above", file=sys.stderr)
            return 1
        print(f"{name}: {seconds:.0f} s", flush=True)
        stored = json.loads(TIMES.read_text(encoding="utf-8")) if TIMES.is_file() else {}
        content = with_times(stored, {name: seconds}, list(notebooks), datetime.date.today().isoformat())
        TIMES.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
