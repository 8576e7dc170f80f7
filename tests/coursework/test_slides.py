"""Slides are made of every chapter, show its figures, and load nothing from another host."""

import re

import pytest
from running import run

from tools.coursework.places import PROJECT
from tools.notebook_code import find_chapters

pytestmark = [pytest.mark.grading, pytest.mark.timeout(600)]


@pytest.fixture(scope="module")
def slides(tmp_path_factory):
    target = tmp_path_factory.mktemp("slides")
    run("tools.slides", "--to", target)
    return target


@pytest.mark.parametrize("stem", [path.stem for path in find_chapters()])
def test_every_chapter_has_slides(slides, stem):
    html = (slides / f"{stem}.html").read_text(encoding="utf-8")

    assert html.count("<section") > 15
    assert len(re.findall(r"<img [^>]*alt=\"[^\"]{20,}", html)) >= 3
    for left in ("{glue", "{doc}", "{cite", "{eq}", "{ref}", "```{"):
        assert left not in html, left
    loaded = re.findall(r"<(?:script|link|img)[^>]+(?:src|href)=\"([^\"]+)\"", html)
    assert [address for address in loaded if "//" in address and not address.startswith("data:")] == []
    for address in loaded:
        assert address.startswith("data:") or (slides / address).is_file(), address


def test_reveal_is_not_part_of_the_project():
    assert not list((PROJECT / "book").rglob("reveal*.js"))
    assert not list((PROJECT / "tools").rglob("reveal*.js"))
