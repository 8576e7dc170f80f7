"""The built book that is tested: `_build/html`, or the folder that `DAE_BOOK_HTML` names, taken as it is."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from browsing import find_browser, open_browser
from page_checks import PROJECT, what_is_wrong_with_the_build
from playwright.sync_api import Browser


@pytest.fixture(scope="session")
def site() -> Path:
    """The folder of a build that is there and up to date; the test fails when it is not."""
    if "DAE_BOOK_HTML" in os.environ:
        return Path(os.environ["DAE_BOOK_HTML"]).resolve()
    html = PROJECT / "_build" / "html"
    problem = what_is_wrong_with_the_build(html, PROJECT)
    if problem:
        pytest.fail(problem, pytrace=False)
    return html


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """A headless browser; the test fails with the command that installs one when there is none."""
    try:
        find_browser()
    except FileNotFoundError as error:
        pytest.fail(str(error), pytrace=False)
    with open_browser() as browser:
        yield browser
