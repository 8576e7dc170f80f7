"""Grades one submission: ``python -m tools.coursework.grade_one JOB``, where JOB is a JSON file.

The job names a course prepared by `release.generate`, copied for this submission alone. What comes out is a
JSON file with the points of each check, and a page of feedback. The process ends with 0 when the submission
was graded, however bad it is.
"""

from __future__ import annotations

import json
import shutil
import sys
import time
from pathlib import Path
from typing import Any

import nbformat
from nbgrader.api import Gradebook
from nbgrader.converters import Autograde
from nbgrader.coursedir import CourseDirectory
from nbgrader.preprocessors import AssignLatePenalties, CheckCellMetadata, LimitOutput, SaveAutoGrades

from tools.coursework.course import settings
from tools.coursework.execution import ExecuteClosedUp
from tools.coursework.feedback import Feedback
from tools.coursework.places import Limits
from tools.coursework.restoring import UnreadableError, read_submission, restore


def grade(job: dict[str, Any]) -> dict[str, Any]:
    """Return the result of a job, and leave the feedback page where the job wants it.

    A job has the keys ``course`` (a folder of its own), ``assignment``, ``student``, ``notebook`` (what was
    handed in), ``feedback`` (a path to write to), ``limits`` (see `Limits`) and ``hide`` (folders the
    answers must not see). The result has ``checks`` (points reached and possible, by check), ``reached``,
    ``possible``, ``to_mark`` (points of free text, marked by a person), ``remarks`` and ``seconds``.

    Raises:
        UnreadableError: what was handed in is not a notebook.
        RuntimeError: nbgrader could not grade it.
    """
    begin = time.monotonic()
    course, name, student = Path(job["course"]), job["assignment"], job["student"]
    released = course / "release" / name / f"{name}.ipynb"
    master = json.loads(released.read_text(encoding="utf-8"))
    restored, remarks = restore(master, read_submission(Path(job["notebook"])))
    submitted = course / "submitted" / student / name
    submitted.mkdir(parents=True)
    nbformat.write(nbformat.from_dict(restored), submitted / f"{name}.ipynb")

    config = settings(course)
    config.CourseDirectory.assignment_id = name
    config.CourseDirectory.student_id = student
    ExecuteClosedUp.limits = Limits(**job["limits"])
    ExecuteClosedUp.hide = tuple(job["hide"])
    directory = CourseDirectory(config=config)
    steps = [ExecuteClosedUp, LimitOutput, SaveAutoGrades, AssignLatePenalties, CheckCellMetadata]
    for converter in (
        Autograde(coursedir=directory, config=config, autograde_preprocessors=steps),
        Feedback(coursedir=directory, config=config),
    ):
        try:
            converter.start()
        except SystemExit as error:
            raise RuntimeError(f"nbgrader could not grade this: see {course / 'nbgrader.log'}") from error

    notebook = nbformat.read(course / "autograded" / student / name / f"{name}.ipynb", as_version=4)
    remarks += notebook.metadata.get("remarks", [])
    checks, to_mark = {}, 0.0
    with Gradebook(config.CourseDirectory.db_url, config.CourseDirectory.course_id) as book:
        for entry in book.find_submission_notebook(name, name, student).grades:
            if entry.cell.cell_type == "code":
                checks[entry.cell.name] = [float(entry.auto_score or 0), float(entry.max_score)]
            elif entry.needs_manual_grade:
                to_mark += float(entry.max_score)
    page = course / "feedback" / student / name / f"{name}.html"
    Path(job["feedback"]).parent.mkdir(parents=True, exist_ok=True)
    shutil.copy(page, job["feedback"])
    return {
        "checks": checks,
        "reached": sum(points for points, _ in checks.values()),
        "possible": sum(most for _, most in checks.values()),
        "to_mark": to_mark,
        "remarks": remarks,
        "seconds": round(time.monotonic() - begin, 1),
    }


def main(arguments: list[str]) -> int:
    """Grade the submission of a job and write the result; 1 when it cannot be read, 2 when grading failed."""
    job = json.loads(Path(arguments[0]).read_text(encoding="utf-8"))
    try:
        result = grade(job)
    except UnreadableError as error:
        result = {"unreadable": str(error)}
    Path(job["result"]).write_text(json.dumps(result), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
