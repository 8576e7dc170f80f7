"""Grades one submission: ``python -m tools.coursework.grade_one``, started by `grade`.

A job comes in as one line of JSON; each outcome goes out as one line of JSON as soon as it is known, so that
nothing is lost when this process is ended. It ends by itself when whoever started it is gone.

The checks of the instructor's notebook run here. A name that an answer should define stands for a function
that asks the student's process, which knows neither the checks nor what they expect. First the notebook runs
once from top to bottom, for its outputs: nothing hidden has been sent in by then. Then it runs again, and
after each answer come its checks; of what the student's process shows meanwhile, nothing is kept.
"""

from __future__ import annotations

import ast
import contextlib
import json
import os
import signal
import sys
import threading
from collections.abc import Iterator
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import numpy as np

from tools.coursework.places import Limits, source_of
from tools.coursework.session import NotRunError, Session, StoppedError
from tools.coursework.submissions import mark_of, source_of_cell

# Of all cells together.
_MOST_SHOWN = 16 * 2**20
_ELSEWHERE = "it held in your notebook, but not when it was run apart from it"


def defined_names(source: str) -> list[str]:
    """Return the functions that an answer has to define: those that the instructor's defines."""
    return [node.name for node in ast.parse(source).body if isinstance(node, ast.FunctionDef)]


def points_of(cell: dict[str, Any]) -> float:
    """Return the points of a check."""
    return float(mark_of(cell).get("points", 0))


@contextlib.contextmanager
def _at_most(seconds: float) -> Iterator[None]:
    def stop(*_: Any) -> None:
        raise StoppedError(f"stopped after {seconds:.0f} seconds")

    signal.signal(signal.SIGALRM, stop)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    # Where a library does not listen to signals, this process has to end.
    last = threading.Timer(seconds + 60, os._exit, (1,))
    last.daemon = True
    last.start()
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        last.cancel()


def run_check(source: str, namespace: dict[str, Any], seconds: float = 90) -> str:
    """Run a check and return why it failed, "" when it passed.

    Of errors other than the check's own not even the kind is told: their texts are the student's, who may
    know by now what hidden checks send in.
    """
    try:
        with (
            _at_most(seconds),
            open(os.devnull, "w", encoding="utf-8") as nowhere,
            contextlib.redirect_stdout(nowhere),
        ):
            exec(compile(source, "<check>", "exec"), namespace)
    except AssertionError as error:
        return str(error) or "the check failed"
    except (NotRunError, StoppedError) as error:
        return f"not finished: {error}"
    except TimeoutError:
        return "not finished: a call of your code took too long"
    except Exception:
        return "your code raised an error, or its answer is of another kind than was asked for"
    return ""


def _close_to_nothing_is_not_close() -> None:
    """Make numpy say of an empty array that it is close to empty ones only, and not to all it can stretch."""
    close = np.allclose

    def allclose(one: Any, other: Any, *rest: Any, **named: Any) -> bool:
        return (np.size(one) == 0) == (np.size(other) == 0) and bool(close(one, other, *rest, **named))

    np.allclose = allclose


class Grader:
    """Grades one submission.

    Args:
        master: the cells of the instructor's notebook.
        answers: what the student wrote, by the name of the cell.
        own: the student's own cells, by the given cell before them.
        session: where all that runs.
        limits: what it may use.
    """

    def __init__(
        self,
        master: list[dict[str, Any]],
        answers: dict[str, str],
        own: dict[str, list[str]],
        session: Session,
        limits: Limits,
    ) -> None:
        self.master, self.answers, self.own = master, answers, own
        self.session, self.limits = session, limits
        self.known: dict[str, Any] = {}
        self.told: dict[str, str] = {}

    def cells(self) -> Iterator[tuple[str, str]]:
        """Yield what the student's process runs, in order: name and source of each cell, "" if added."""
        before = self.own.get("", [])
        for cell in self.master:
            name, source = mark_of(cell).get("grade_id", ""), source_of_cell(cell)
            if cell["cell_type"] == "code" and not name.startswith("hidden-"):
                yield name, self.answers.get(name, "") if mark_of(cell).get("solution") else source
                # The set-up comes first, whatever was put before it.
                yield from (("", added) for added in before)
                before = []
            yield from (("", added) for added in self.own.get(name, []) if name)

    def show(self) -> list[dict[str, Any]]:
        """Run the notebook once and return the student's cells with what they show."""
        shown, stopped, size = [], "", 0
        for name, source in self.cells():
            outputs: list[Any] = []
            error = stopped
            if not stopped:
                try:
                    outputs, error = self.session.run(source)
                except NotRunError as gone:
                    error = stopped = f"not run: {gone}"
            self.told[name] = error
            size += len(source) + sum(len(content) for _, content in outputs)
            if size > _MOST_SHOWN:
                source, outputs = source[:1000], []
            if name.startswith("answer-") or not name or (name == "set-up" and error):
                shown.append({"name": name, "source": source, "outputs": outputs, "error": error})
        return shown

    def prepare(self) -> None:
        """Run the set-up here, where the checks run."""
        (set_up,) = [cell for cell in self.master if mark_of(cell).get("grade_id") == "set-up"]
        with open(os.devnull, "w", encoding="utf-8") as nowhere, contextlib.redirect_stdout(nowhere):
            exec(compile(source_of_cell(set_up), "<set-up>", "exec"), self.known)

    def grade(self) -> Iterator[dict[str, Any]]:
        """Run the notebook again, with the checks, and yield the outcome of each."""
        named = {mark_of(cell)["grade_id"]: cell for cell in self.master if mark_of(cell)}
        functions = {
            name: self.session.function(name)
            for cell in named.values()
            if mark_of(cell).get("solution") and cell["cell_type"] == "code"
            for name in defined_names(source_of_cell(cell))
        }
        for name, source in self.cells():
            if not name.startswith("check-"):
                with contextlib.suppress(NotRunError):
                    self.session.run(source)
                continue
            namespace, why = {**self.known, **functions}, ""
            for check in (name, name.replace("check-", "hidden-")):
                if not why.startswith("not finished"):
                    # A call that takes too long is stopped before its check is.
                    why = run_check(
                        source_of_cell(named[check]), namespace, 3 * self.limits.cell_seconds + 10
                    )
                # The words of a visible check are those of the first run: it has seen nothing hidden.
                told = why if check != name else why and (self.told[name] or _ELSEWHERE)
                most = points_of(named[check])
                yield {"check": check, "points": 0.0 if why else most, "of": most, "why": told}


def grade(job: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Yield the outcomes of a job: cells with what they show, then each check, then the remarks."""
    master = json.loads(source_of(job["assignment"]).read_text(encoding="utf-8"))["cells"]
    limits = Limits(**job["limits"])
    session = Session(limits, job["confined"])
    try:
        grader = Grader(master, job["answers"], job["own"], session, limits)
        # The two processes read their libraries at the same time.
        reading = threading.Thread(target=grader.prepare)
        reading.start()
        yield {"cells": grader.show()}
        reading.join()
        session.begin_anew()
        yield from grader.grade()
        yield {"remarks": list(dict.fromkeys(session.remarks))}
    finally:
        session.end()


def _end_with_the_other() -> None:
    """Wait until nobody is left who could want an answer, and end: so does the student's process."""
    while os.read(0, 2**16):
        pass
    os._exit(1)


def main() -> int:
    """Grade the submission of a job, which comes as one line."""
    job = json.loads(sys.stdin.buffer.readline())
    import resource

    most = (job["limits"]["memory_mb"] + 2048) * 2**20
    resource.setrlimit(resource.RLIMIT_DATA, (most, most))
    threading.Thread(target=_end_with_the_other, daemon=True).start()
    _close_to_nothing_is_not_close()
    # Whatever a library prints, this is for outcomes alone.
    out = os.fdopen(os.dup(1), "w", encoding="ascii")
    os.dup2(2, 1)
    for outcome in grade(job):
        print(json.dumps(outcome), file=out, flush=True)
    return 0


if __name__ == "__main__":
    code = main()
    sys.stderr.flush()
    # Libraries may wait for threads of theirs.
    os._exit(code)
