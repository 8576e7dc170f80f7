"""Grades a folder of submissions: ``python -m tools.coursework.grade FOLDER``.

The folder holds one folder a student with the notebooks as they were handed in,
``STUDENT/01_garments.ipynb`` or ``STUDENT/01_garments/01_garments.ipynb``. Each is graded in a process of
its own, two at a time, and cannot disturb the others. Afterwards `_build/grading` holds ``gradebook.csv`` and
``feedback/STUDENT/ASSIGNMENT.html``.
"""

from __future__ import annotations

import argparse
import csv
import dataclasses
import hashlib
import html
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from tools.coursework.places import (
    ASSIGNMENTS,
    BUILD,
    GRADING,
    PROJECT,
    Limits,
    ReleaseError,
    assignments,
    check_ours,
)
from tools.coursework.sandbox import granted

GRADEBOOK = "gradebook.csv"
COLUMNS = ("student", "assignment", "points", "of", "to_mark", "seconds", "checks", "remarks")


def find_submissions(folder: Path, names: list[str]) -> list[tuple[str, str, Path]]:
    """Return student, assignment and notebook of every submission in a folder, in alphabetical order."""
    found = []
    for student in sorted(
        path for path in folder.iterdir() if path.is_dir() and not path.name.startswith(".")
    ):
        for name in names:
            for place in (student / f"{name}.ipynb", student / name / f"{name}.ipynb"):
                if place.is_file() or place.is_symlink():
                    found.append((student.name, name, place))
                    break
    return found


def left_out(folder: Path, submissions: list[tuple[str, str, Path]]) -> list[Path]:
    """Return the notebooks that are none of the submissions, such as ``01_garments (1).ipynb``."""
    taken = {path for _, _, path in submissions}
    return [
        path
        for path in sorted(folder.rglob("*.ipynb"))
        if path not in taken and not any(part.startswith(".") for part in path.relative_to(folder).parts)
    ]


def tree_state(folders: list[Path]) -> dict[str, tuple[int, int]]:
    """Return size and time of change of all files in folders, to see afterwards whether one was touched."""
    state = {}
    for folder in folders:
        for path in folder.rglob("*"):
            if path.is_file() and not {".git", ".venv", ".venv-grading", "__pycache__"} & set(path.parts):
                status = path.stat()
                state[str(path)] = (status.st_size, status.st_mtime_ns)
    return state


def _grade(
    course: Path,
    scratch: Path,
    results: Path,
    submission: tuple[str, str, Path],
    limits: Limits,
    hide: list[str],
) -> dict[str, Any]:
    """Grade one submission in a process of its own and return its row of the gradebook."""
    student, name, notebook = submission
    # A student's name may hold anything; in paths and in nbgrader goes a short digest of it.
    key = hashlib.sha256(f"{student}/{name}".encode()).hexdigest()[:12]
    own = scratch / key
    shutil.copytree(course, own)
    page = results / "feedback" / student / f"{name}.html"
    job = {
        "course": str(own),
        "assignment": name,
        "student": key,
        "notebook": str(notebook),
        "feedback": str(page),
        "result": str(own / "result.json"),
        "limits": dataclasses.asdict(limits),
        "hide": hide,
    }
    (own / "job.json").write_text(json.dumps(job), encoding="utf-8")
    # Starting and writing the feedback come on top of the time of the cells; a cell may end late by its own
    # limit.
    most = limits.total_seconds + limits.cell_seconds + 180
    with open(own / "log", "wb") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "tools.coursework.grade_one", str(own / "job.json")],
            cwd=PROJECT,
            stdout=log,
            stderr=subprocess.STDOUT,
            stdin=subprocess.DEVNULL,
            start_new_session=True,
        )
        try:
            code = process.wait(most)
        except subprocess.TimeoutExpired:
            code = None
        finally:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()
    row = dict.fromkeys(COLUMNS, "") | {"student": student, "assignment": name, "points": 0}
    try:
        result = json.loads((own / "result.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        kept = results / "logs" / f"{key}.txt"
        kept.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(own / "log", kept)
        why = "the grader was stopped after its time limit" if code is None else f"grading failed: see {kept}"
        result = {"unreadable": why}
    shutil.rmtree(own, ignore_errors=True)
    if "unreadable" in result:
        page.parent.mkdir(parents=True, exist_ok=True)
        page.write_text(
            f"<!DOCTYPE html><html lang='en'><meta charset='utf-8'><title>{name}</title>"
            f"<p>{html.escape(result['unreadable'])} No points.</p></html>",
            encoding="utf-8",
        )
        return row | {"remarks": result["unreadable"]}
    return row | {
        "points": result["reached"],
        "of": result["possible"],
        "to_mark": result["to_mark"],
        "seconds": result["seconds"],
        "checks": " ".join(f"{check}:{got:g}/{most:g}" for check, (got, most) in result["checks"].items()),
        "remarks": "; ".join(result["remarks"]),
    }


def make_room(results: Path) -> Path:
    """Make the folder for results anew, keep earlier ones beside it, and return the folder that holds those.

    Points that somebody entered by hand are not to be lost by grading once more.

    Raises:
        ValueError: a folder that would be replaced holds something else.
    """
    check_ours(results, GRADEBOOK)
    earlier = results.with_name(f"{results.name}-before")
    # A gradebook without rows is that of a run which did not come to its end.
    if (results / GRADEBOOK).is_file() and len((results / GRADEBOOK).read_bytes().splitlines()) > 1:
        check_ours(earlier, GRADEBOOK)
        shutil.rmtree(earlier, ignore_errors=True)
        results.rename(earlier)
    shutil.rmtree(results, ignore_errors=True)
    results.mkdir(parents=True)
    _write_gradebook(results, [])
    return earlier


def grade_folder(
    folder: Path,
    results: Path = GRADING,
    limits: Limits | None = None,
    at_once: int = 2,
    sources: dict[str, Path] | None = None,
) -> list[dict[str, Any]]:
    """Grade all submissions in a folder, write gradebook and feedback, and return the gradebook's rows.

    Earlier results in `results` are kept beside it, in the folder of that name with ``-before``.
    `sources` names instructor's notebooks other than the project's, by assignment.

    Raises:
        ValueError: there is nothing to grade, or `results` holds something else.
        ReleaseError: an instructor's notebook is not in order.
    """
    # Needs nbgrader, which the rest of this module can do without.
    from tools.coursework import release

    folder, results = folder.resolve(), results.resolve()
    submissions = find_submissions(folder, list(sources) if sources else assignments())
    if not submissions:
        raise ValueError(f"No notebook of an assignment found in the folders of {folder}.")
    for path in left_out(folder, submissions):
        print(f"Not graded, since no assignment has this name and place: {path}", file=sys.stderr)
    earlier = make_room(results)
    with tempfile.TemporaryDirectory() as temporary:
        scratch = Path(temporary).resolve()
        courses = {}
        for name in sorted({name for _, name, _ in submissions}):
            courses[name] = scratch / "courses" / name
            courses[name].mkdir(parents=True)
            release.generate(courses[name], [name], sources)
        watched = [ASSIGNMENTS, PROJECT / "dae_utils", PROJECT / "tools", folder]
        hide = [
            str(path)
            for path in (ASSIGNMENTS, PROJECT / "tests", BUILD, PROJECT / ".git", folder, results, scratch)
        ]
        if earlier.exists():
            hide.append(str(earlier))
        hide += [str(path.parent) for path in (sources or {}).values()]
        before = tree_state(watched)

        def work(submission: tuple[str, str, Path]) -> dict[str, Any]:
            row = _grade(courses[submission[1]], scratch, results, submission, limits or Limits(), hide)
            print(
                f"{row['student']:<24} {row['assignment']:<20} {row['points']:>5} of {row['of']}", flush=True
            )
            return row

        with ThreadPoolExecutor(at_once) as pool:
            rows = list(pool.map(work, submissions))
        changed = [path for path, state in tree_state(watched).items() if before.get(path) != state]
        changed += [path for path in before if not Path(path).exists()]
        if changed:
            print("Files outside changed while submissions ran:", *changed, sep="\n", file=sys.stderr)
            for row in rows:
                row["remarks"] = "; ".join(
                    filter(None, [row["remarks"], "files outside were changed in this run"])
                )
    _write_gradebook(results, rows)
    return rows


def _write_gradebook(results: Path, rows: list[dict[str, Any]]) -> None:
    with open(results / GRADEBOOK, "w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, COLUMNS)
        writer.writeheader()
        writer.writerows({key: _harmless(value) for key, value in row.items()} for row in rows)


def _harmless(value: Any) -> Any:
    """A spreadsheet takes a text that begins with one of these for a formula."""
    return f"'{value}" if isinstance(value, str) and value.startswith(("=", "+", "-", "@", "\t")) else value


def main(arguments: list[str] | None = None) -> int:
    """Grade a folder; 0 when all that was found has been graded."""
    parser = argparse.ArgumentParser(prog="python -m tools.coursework.grade", description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--to", type=Path, default=GRADING, help="folder to make anew (default: %(default)s)")
    parser.add_argument("--at-once", type=int, default=2, help="submissions at once (default: %(default)s)")
    for field in dataclasses.fields(Limits):
        parser.add_argument(
            f"--{field.name.replace('_', '-')}",
            type=type(field.default),
            default=field.default,
            help=field.metadata["help"],
        )
    options = parser.parse_args(arguments)
    limits = Limits(**{field.name: getattr(options, field.name) for field in dataclasses.fields(Limits)})
    if not options.folder.is_dir():
        print(f"{options.folder} is not a folder.", file=sys.stderr)
        return 2
    rights = granted()
    print(
        "network: " + ("cut off" if rights["network"] else "NOT cut off, since this system does not grant it")
    )
    print("files: " + ("read-only outside" if rights["files"] else "NOT protected, only watched for changes"))
    try:
        rows = grade_folder(options.folder, options.to, limits, options.at_once)
    except (ValueError, ReleaseError) as error:
        print(error, file=sys.stderr)
        return 2
    print(f"{len(rows)} graded: {options.to / GRADEBOOK}, pages in {options.to / 'feedback'}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
