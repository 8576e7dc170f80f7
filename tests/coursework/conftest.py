"""What the tests of the coursework share."""

import subprocess
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from tools.coursework.places import PROJECT

GRADING_PYTHON = PROJECT / ".venv-grading" / "bin" / "python"


def run(*arguments, environment=None, check=True):
    """Run a module of the coursework's tools in the teacher's environment."""
    import os

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


@pytest.fixture(scope="session")
def release(tmp_path_factory):
    """The student release, made once: the folder that holds the zip file and the unpacked files."""
    if not GRADING_PYTHON.is_file():
        pytest.fail("there is no .venv-grading: run these tests by `make test-grading`")
    target = tmp_path_factory.mktemp("release") / "coursework"
    run("tools.coursework.release", "--to", target)
    return target
