"""Runs every check of the project, one step after the other, and says at the end which failed.

``python -m tools.run_tests [--all] [STEP ...]``: without a step, those of `make test`. A step that fails does
not keep the later ones from running.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import time
import xml.etree.ElementTree as ElementTree
from collections.abc import Callable
from pathlib import Path

from tools.notebook_code import PROJECT, find_chapters, find_notebooks, find_studies

LOWEST_COVERAGE = 95
_COVERAGE_FILE = PROJECT / "_build" / "coverage.json"

# What pytest found, for the summary: the output of one step is far above the end of a long run.
_REPORT = PROJECT / "_build" / "last_tests.xml"
_LINES_OF_A_FAILURE = 12

_TWO_AT_ONCE = ("--numprocesses=2",)

# Tests run in the small profile, without drawing on a screen, and on the processor.
SETTINGS = {"DAE_PROFILE": "quick", "DAE_PROGRESS": "0", "MPLBACKEND": "agg", "TF_CPP_MIN_LOG_LEVEL": "2"}


def _python(*arguments: str) -> bool:
    reported = (f"--junit-xml={_REPORT}",) if arguments[0] == "pytest" else ()
    return _run(sys.executable, "-m", *arguments, *reported)


def failures(report: Path) -> list[str]:
    """Return what pytest's report says of each test that failed, cut to a few lines."""
    if not report.is_file():
        return []
    said = []
    for case in ElementTree.parse(report).iter("testcase"):
        for fault in (*case.findall("failure"), *case.findall("error")):
            message = (fault.get("message") or fault.text or "").splitlines()[:_LINES_OF_A_FAILURE]
            said.append("\n    ".join([f"{case.get('classname')}: {case.get('name')}", *message]))
    return said


def _run(*command: str) -> bool:
    environment = {**os.environ, **SETTINGS}
    # These belong to the make that started this, and would be taken for options by the one for the book.
    for name in ("MAKEFLAGS", "MFLAGS", "MAKELEVEL"):
        environment.pop(name, None)
    return subprocess.run(command, cwd=PROJECT, env=environment, check=False).returncode == 0


def lint() -> bool:
    """Nothing is to be said about the code, its layout, its types, and the prose."""
    checked = [
        _python("ruff", "check", "."),
        _python("ruff", "format", "--check", "."),
        *(_python("ruff", "format", "--check", *named) for named in notebooks_by_width()),
        _python("tools.check_prose"),
        _python("mypy"),
    ]
    return all(checked)


def notebooks_by_width() -> list[list[str]]:
    """Return what to tell ruff of the notebooks: those of the first edition, and the narrower new ones."""
    # Not at the top: this module is also read for its settings alone, by every test.
    from tools.chapter_rules import LONGEST_LINE, is_rewritten

    found = find_notebooks()
    old = [str(path) for path in found if not is_rewritten(path)]
    new = [str(path) for path in found if is_rewritten(path)]
    # Without the name of a file, ruff would take the whole folder.
    return ([old] if old else []) + ([[f"--line-length={LONGEST_LINE}", *new]] if new else [])


def unit() -> bool:
    """The unit tests pass, and they alone reach 95 % of the branches of dae_utils."""
    _COVERAGE_FILE.parent.mkdir(exist_ok=True)
    passed = _python(
        "pytest",
        "tests/unit",
        "-m",
        "not data and not slow",
        *_TWO_AT_ONCE,
        "--cov=dae_utils",
        "--cov-report=term",
        f"--cov-report=json:{_COVERAGE_FILE}",
        f"--cov-fail-under={LOWEST_COVERAGE}",
    )
    return passed and _enough_branches(_COVERAGE_FILE)


def _enough_branches(file: Path) -> bool:
    # The percentage above counts lines and branches together, and lines are the easier half.
    totals = json.loads(file.read_text(encoding="utf-8"))["totals"]
    percent = 100 * totals["covered_branches"] / max(totals["num_branches"], 1)
    print(
        f"Branches of dae_utils reached by the unit tests alone: {percent:.1f} % (at least {LOWEST_COVERAGE})"
    )
    return percent >= LOWEST_COVERAGE


def data() -> bool:
    """The real data sets are what they should be."""
    return _python("pytest", "tests", "-m", "data and not slow")


def notebooks() -> bool:
    """Every chapter runs from top to bottom in the quick profile on real data."""
    return _run_in_quick(find_chapters())


def studies() -> bool:
    """Every study runs from top to bottom in the quick profile on real data."""
    found = find_studies()
    if not found:
        print("There are no studies.")
    return not found or _run_in_quick(found)


def _run_in_quick(paths: list[Path]) -> bool:
    # The cells of a notebook need each other, so a notebook stays in one process.
    return _python(
        "pytest", "--nbval-lax", "--nbval-current-env", *_TWO_AT_ONCE, "--dist=loadfile", *map(str, paths)
    )


def project() -> bool:
    """The committed notebooks come from their code, and the project keeps its promises."""
    places = (
        "tests/notebooks",
        "tests/coursework",
        "tests/test_house.py",
        "tests/test_project.py",
        "tests/test_text.py",
    )
    return _python("pytest", *places, "-m", "not grading and not slow")


def slow() -> bool:
    """The tests pass that take minutes."""
    return _python("pytest", "tests", "-m", "slow and not grading")


def grading() -> bool:
    """Coursework is given out without its solutions, and submissions of every kind get what they deserve."""
    return _python("pytest", "tests/coursework", "-m", "grading")


def release() -> bool:
    """What students are given holds no solution, stops with a helpful message, and can be checked alone."""
    wanted = "release or leak or untouched or visible_check"
    return _python("pytest", "tests/coursework", "-m", "grading", "-k", wanted)


def book() -> bool:
    """The book builds without a warning."""
    if shutil.which("make"):
        return _run("make", "book")
    return _run(str(Path(sys.executable).with_name("jupyter-book")), "build", ".", "-W", "--keep-going")


def pages() -> bool:
    """The built pages work in a browser."""
    return _python("pytest", "tests/book", "-m", "not slow", *_TWO_AT_ONCE)


def editions() -> bool:
    """The book can be made as ePub and zip and, where TeX is installed, as PDF."""
    # Not at the top: this module is also read for its settings alone, by every test.
    from tools.editions import has_tex

    kinds = ["epub", "zip"]
    if has_tex():
        kinds.append("pdf")
    else:
        print("The PDF is not tried: there is no TeX here (`make pdf` installs it, or says what to type).")
    return _python("tools.editions", *kinds)


STEPS: dict[str, Callable[[], bool]] = {
    step.__name__: step for step in (lint, unit, data, notebooks, project, book, pages, editions)
}
# These take long. The last two need the teacher's environment, which `make test-grading` sees to.
ALL_STEPS = STEPS | {"studies": studies, "slow": slow, "grading": grading, "release": release}
# What `release` looks at is part of `grading`.
EVERYTHING = [name for name in ALL_STEPS if name != "release"]


def main(arguments: list[str] | None = None) -> int:
    """Run the named steps, or the usual ones, or all, and return 0 when all of them passed."""
    parser = argparse.ArgumentParser(prog="python -m tools.run_tests", description=__doc__)
    usual = ", ".join(STEPS)
    parser.add_argument("step", nargs="*", help=f"any of: {', '.join(ALL_STEPS)} (default: {usual})")
    parser.add_argument("--all", action="store_true", help="all steps, also those that take long")
    options = parser.parse_args(arguments)
    names = options.step or (EVERYTHING if options.all else list(STEPS))
    unknown = [name for name in names if name not in ALL_STEPS]
    if unknown:
        parser.error(f"no step {unknown[0]!r}: there are {', '.join(ALL_STEPS)}")

    summary = []
    failed = []
    said: list[str] = []
    begin = time.perf_counter()
    for name in names:
        print(f"\n=== {name}: {ALL_STEPS[name].__doc__}", flush=True)
        _REPORT.unlink(missing_ok=True)
        started = time.perf_counter()
        passed = ALL_STEPS[name]()
        summary.append(f"{'passed' if passed else 'FAILED'}  {time.perf_counter() - started:7.1f} s  {name}")
        if not passed:
            failed.append(name)
            said += failures(_REPORT)

    minutes, seconds = divmod(round(time.perf_counter() - begin), 60)
    print("\n=== Summary", *summary, *said, sep="\n")
    verdict = f"FAILED: {', '.join(failed)}" if failed else "ALL TESTS PASSED"
    print(f"{verdict} ({minutes} min {seconds} s)")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
