"""The committed notebooks: what they show comes from exactly the code that stands in them."""

import pytest

from tools.check_notebooks import CHECKS
from tools.notebook_code import find_notebooks, read_notebook


def test_there_are_notebooks():
    # Without this one, an empty folder would pass everything below.
    assert find_notebooks()


@pytest.mark.parametrize("check", CHECKS)
@pytest.mark.parametrize("path", find_notebooks(), ids=lambda path: path.stem)
def test_notebook(path, check):
    faults = CHECKS[check](path, read_notebook(path))
    assert not faults, f"{path.stem}: " + "; ".join(faults)
