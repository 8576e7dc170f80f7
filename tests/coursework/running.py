"""Runs the coursework's tools in the teacher's environment."""

import os
import subprocess
import sys

from tools.coursework.places import PROJECT

GRADING_PYTHON = PROJECT / ".venv-grading" / "bin" / "python"


def run(*arguments, environment=None, check=True):
    """Run a module of the coursework's tools in the teacher's environment."""
    settings = os.environ | {"DAE_BOOK_PYTHON": sys.executable} | (environment or {})
    done = subprocess.run(
        [str(GRADING_PYTHON), "-m", *map(str, arguments)],
        cwd=PROJECT,
        env=settings,
        capture_output=True,
        text=True,
        check=False,
    )
    assert not check or done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    return done
