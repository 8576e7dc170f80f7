"""The settings of nbgrader that release, grading and feedback share."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from traitlets.config import Config

STUB = (
    "# YOUR CODE HERE\n"
    'raise NotImplementedError("This one is still to be answered: replace this line by your code.")'
)
TEXT_STUB = "*Your answer here: a few sentences.*"
SECRET_WORDS = ("BEGIN SOLUTION", "END SOLUTION", "BEGIN HIDDEN TESTS", "END HIDDEN TESTS")


# nbgrader calls alembic by its name alone, which is not on the path of an environment that was not entered.
os.environ["PATH"] = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", os.defpath)])


def settings(root: Path) -> Config:
    """Return nbgrader's settings for a course in the folder `root`, which has source, submitted and so on."""
    config = Config()
    config.CourseDirectory.root = str(root)
    config.CourseDirectory.course_id = "deep-autoencoders"
    config.CourseDirectory.db_url = f"sqlite:///{root / 'gradebook.db'}"
    config.ClearSolutions.code_stub = {"python": STUB}
    config.ClearSolutions.text_stub = TEXT_STUB
    config.NbGrader.logfile = str(root / "nbgrader.log")
    config.Application.log_level = 30
    return config
