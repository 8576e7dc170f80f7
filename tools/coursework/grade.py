"""Grades a folder of submissions: ``python -m tools.coursework.grade FOLDER``.

The folder holds one folder a student with the notebooks as they were handed in, ``STUDENT/01_garments.ipynb``
or ``STUDENT/01_garments/01_garments.ipynb``. Each is graded by a process of its own, two at a time, and
written down as soon as it is done: the same command goes on where it was stopped, and grades again only what
has changed. Afterwards `_build/grading` holds ``gradebook.csv`` and ``feedback/STUDENT/ASSIGNMENT.html``.
"""

from __future__ import annotations

import argparse
import dataclasses
import hashlib
import json
import os
import re
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from tools.coursework import feedback
from tools.coursework.confinement import why_not
from tools.coursework.gradebook import GRADEBOOK, Gradebook, write_safely
from tools.coursework.places import BOOK_PYTHON, GRADING, PROJECT, Limits, assignments, source_of
from tools.coursework.submissions import (
    Submission,
    UnreadableError,
    answers_of,
    find_submissions,
    left_out,
    mark_of,
    read_bytes,
)

UNCONFINED = "run without confinement"


class Job:
    """Grades one submission in a process of its own.

    Args:
        submission: which.
        folder: of all submissions.
        options: ``limits``, ``confined`` and ``any_release``.
    """

    def __init__(self, submission: Submission, folder: Path, options: dict[str, Any]) -> None:
        self.submission, self.folder, self.options = submission, folder, options
        self.master = json.loads(source_of(submission.assignment).read_text(encoding="utf-8"))["cells"]
        self.refused, self.finished = "", True
        try:
            self.content, self.shared = read_bytes(folder, submission.parts)
        except UnreadableError as error:
            self.content, self.shared, self.refused = b"", False, str(error)
        known = json.dumps([self.refused, self.master, options], sort_keys=True).encode()
        self.state = hashlib.sha256(self.content + known).hexdigest()

    def run(self) -> tuple[dict[str, Any], dict[str, Any]]:
        """Return the row of the gradebook, and what the page of feedback shows."""
        begin = time.monotonic()
        checks = [
            mark_of(cell)
            for cell in self.master
            if mark_of(cell).get("grade") and cell["cell_type"] == "code"
        ]
        row = {
            "student": self.submission.shown,
            "assignment": self.submission.assignment,
            "points": 0.0,
            "of": float(sum(check["points"] for check in checks)),
            "to_mark": 0.0,
            "confined": "yes" if self.options["confined"] else "NO",
        }
        if not self.refused:
            try:
                answers = answers_of(self.content, self.master, self.options["any_release"])
            except UnreadableError as error:
                self.refused = str(error)
        if self.refused:
            return row | {"remarks": self.refused}, {"refused": self.refused}
        found, remarks = self._outcomes(answers.answers, answers.own)
        by_name = {outcome["check"]: outcome for outcome in found["checks"]}
        missing = {"points": 0.0, "why": "this check was not run: the grader of this submission was stopped"}
        found["checks"] = [
            by_name.get(c["grade_id"]) or {**missing, "check": c["grade_id"], "of": c["points"]}
            for c in checks
        ]
        texts = [mark_of(cell) for cell in self.master if cell["cell_type"] == "markdown" and mark_of(cell)]
        found["texts"] = {mark["grade_id"]: answers.answers.get(mark["grade_id"], "") for mark in texts}
        remarks = [*answers.remarks, *remarks, *([] if self.options["confined"] else [UNCONFINED])]
        if self.shared:
            remarks.append("the file has another name (a hard link): is it somebody else's?")
        held = {check["check"] for check in found["checks"] if not check["why"]}
        by_heart = [
            name[6:] for name in held if name.startswith("check-") and f"hidden-{name[6:]}" not in held
        ]
        if len(by_heart) >= 3:
            remarks.append(f"only the visible checks hold: is it an answer? {' '.join(sorted(by_heart))}")
        row |= {
            "points": sum(check["points"] for check in found["checks"]),
            "to_mark": float(
                sum(mark["points"] for mark in texts if found["texts"][mark["grade_id"]].strip())
            ),
            "seconds": round(time.monotonic() - begin, 1),
            "checks": " ".join(f"{c['check']}:{c['points']:g}/{c['of']:g}" for c in found["checks"]),
            "remarks": "; ".join(dict.fromkeys(remarks)),
        }
        return row, found

    def _outcomes(
        self, answers: dict[str, str], own: dict[str, list[str]]
    ) -> tuple[dict[str, Any], list[str]]:
        job = {"assignment": self.submission.assignment, "answers": answers, "own": own}
        job |= {"limits": self.options["limits"], "confined": self.options["confined"]}
        # Its own limits end it long before, unless a library hangs in the checks.
        most = 2 * self.options["limits"]["total_seconds"] + 180
        process = subprocess.Popen(
            [str(BOOK_PYTHON), "-m", "tools.coursework.grade_one"],
            cwd=PROJECT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        assert process.stdin is not None
        assert process.stdout is not None
        late = threading.Timer(most, process.kill)
        late.start()
        found: dict[str, Any] = {"checks": [], "cells": []}
        remarks: list[str] = []
        try:
            # Not closed before the end: its closing tells the process that nobody waits for it any more.
            process.stdin.write(json.dumps(job).encode("ascii") + b"\n")
            process.stdin.flush()
            for line in process.stdout:
                outcome = json.loads(line)
                if "check" in outcome:
                    found["checks"].append(outcome)
                found["cells"] = outcome.get("cells", found["cells"])
                remarks += outcome.get("remarks", [])
            self.finished = process.wait() == 0
            if not self.finished:
                remarks.append("the grader of this submission was stopped: run the command again")
        finally:
            late.cancel()
            process.kill()
            process.wait()
            process.stdin.close()
            process.stdout.close()
        return found, remarks


def page_of(submission: Submission) -> Path:
    """Return where the page of a submission lies below ``feedback``."""
    plain = re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_. -]{0,60}[A-Za-z0-9_-]|[A-Za-z0-9]", submission.student)
    kept = re.sub(r"[^A-Za-z0-9_-]+", "_", submission.shown)[:60]
    folder = submission.student if plain else f"{kept}-{submission.key[:8]}"
    return Path(folder) / f"{submission.assignment}.html"


def grade_folder(
    folder: Path,
    results: Path = GRADING,
    limits: Limits | None = None,
    at_once: int = 2,
    confined: bool = True,
    any_release: bool = False,
) -> list[dict[str, Any]]:
    """Grade all submissions in a folder, write gradebook and feedback, and return the gradebook's rows.

    Args:
        folder: of the submissions.
        results: folder to write to; what is there of an earlier run is kept where nothing has changed.
        limits: what one submission may use.
        at_once: how many are graded at the same time.
        confined: by bubblewrap; see `confinement`.
        any_release: also take answers to another release.

    Raises:
        ValueError: there is nothing to grade, or `results` holds something else.
    """
    folder = folder.resolve()
    submissions = find_submissions(folder, assignments())
    if not submissions:
        raise ValueError(f"No notebook of an assignment found in the folders of {folder}.")
    for path in left_out(folder, submissions):
        print(f"Not graded, since no assignment has this name and place: {str(path)!a}", file=sys.stderr)
    book = Gradebook(results.resolve())
    options = {
        "limits": dataclasses.asdict(limits or Limits()),
        "confined": confined,
        "any_release": any_release,
    }
    # Those of an earlier run stand in the table until they are looked at again.
    rows = {s.key: row for s in submissions if (row := book.find(s.key)) is not None}
    writing = threading.Lock()

    def work(submission: Submission) -> None:
        try:
            job = Job(submission, folder, options)
            row = book.find(submission.key, job.state)
            if row is None:
                row, found = job.run()
                page = book.folder / "feedback" / page_of(submission)
                page.parent.mkdir(parents=True, exist_ok=True)
                write_safely(page, feedback.page(submission.shown, row, found))
                if job.finished:
                    book.keep(submission.key, job.state, row)
        except Exception as error:
            # Not kept, so that it is tried again; and the others go on.
            row = {"student": submission.shown, "assignment": submission.assignment, "points": 0.0}
            row |= {
                "remarks": f"grading failed, and says nothing of the work: {type(error).__name__}: {error}"[
                    :300
                ]
            }
        with writing:
            rows[submission.key] = row
            book.write_table([rows[s.key] for s in submissions if s.key in rows])
            print(
                f"{row['student']!a:<26} {row['assignment']:<20} {row['points']:>5} of {row.get('of', '')}",
                flush=True,
            )

    pool = ThreadPoolExecutor(at_once)
    try:
        list(pool.map(work, submissions))
    except KeyboardInterrupt:
        # What runs ends by itself when this process is gone, and every row is written down already.
        print("Stopped. The same command goes on from here.", file=sys.stderr, flush=True)
        os._exit(130)
    return [rows[submission.key] for submission in submissions]


def main(arguments: list[str] | None = None) -> int:
    """Grade a folder; 0 when all that was found has been graded."""
    parser = argparse.ArgumentParser(prog="python -m tools.coursework.grade", description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument(
        "--to", type=Path, default=GRADING, help="folder of the results (default: %(default)s)"
    )
    parser.add_argument("--at-once", type=int, default=2, help="submissions at once (default: %(default)s)")
    parser.add_argument("--any-release", action="store_true", help="also take answers to another release")
    parser.add_argument(
        "--unconfined",
        action="store_true",
        help="run what was handed in as you, with all your rights: never for a class",
    )
    for limit in dataclasses.fields(Limits):
        name = f"--{limit.name.replace('_', '-')}"
        parser.add_argument(
            name, type=type(limit.default), default=limit.default, help=limit.metadata["help"]
        )
    options = parser.parse_args(arguments)
    limits = Limits(**{limit.name: getattr(options, limit.name) for limit in dataclasses.fields(Limits)})
    if not options.folder.is_dir():
        print(f"{options.folder} is not a folder.", file=sys.stderr)
        return 2
    reason = "" if options.unconfined else why_not()
    if reason:
        print(f"Nothing was graded. {reason}", file=sys.stderr)
        return 3
    try:
        rows = grade_folder(
            options.folder, options.to, limits, options.at_once, not options.unconfined, options.any_release
        )
    except ValueError as error:
        print(error, file=sys.stderr)
        return 2
    print(f"{len(rows)} graded: {options.to / GRADEBOOK}, pages in {options.to / 'feedback'}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
