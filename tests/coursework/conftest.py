"""What the tests of the coursework share."""

import os
import sys

# Before the tools are imported, which look for the environment of the book.
os.environ.setdefault("DAE_BOOK_PYTHON", sys.executable)

import pytest
from running import GRADING_PYTHON, run


@pytest.fixture(scope="session")
def release(tmp_path_factory):
    """The student release, made once: the folder that holds the zip file and the unpacked files."""
    if not GRADING_PYTHON.is_file():
        pytest.fail("there is no .venv-grading: run these tests by `make test-grading`")
    target = tmp_path_factory.mktemp("release") / "coursework"
    run("tools.coursework.release", "--to", target)
    return target
