"""What the tests of the coursework share."""

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
