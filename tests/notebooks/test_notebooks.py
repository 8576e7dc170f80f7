"""The committed notebooks: what they show comes from exactly the code that stands in them."""

import pytest

from tools.check_notebooks import CHECKS
from tools.notebook_code import find_notebooks, name_of, read_notebook


def test_there_are_notebooks():
    # Without this one, an empty folder would pass everything below.
    assert find_notebooks()


def test_no_study_has_the_name_of_a_chapter():
    # Published networks and times of quick runs are kept under the name of the notebook alone.
    names = [path.stem for path in find_notebooks()]
    assert len(set(names)) == len(names)


@pytest.mark.parametrize("check", CHECKS)
@pytest.mark.parametrize("path", find_notebooks(), ids=name_of)
def test_notebook(path, check):
    faults = CHECKS[check](path, read_notebook(path))
    assert not faults, f"{path.stem}: " + "; ".join(faults)
