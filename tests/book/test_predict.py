"""The boxes "Predict first", in every format and in a browser, and what else the chapters with them have."""

from __future__ import annotations

import io
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import browsing
import chapter_book
import pytest
from browsing import DESKTOP, PHONE, Visit, inaccessible
from bs4 import BeautifulSoup
from page_checks import PROJECT
from playwright.sync_api import Browser, Page
from sphinx.application import Sphinx
from sphinx.util.console import nocolor
from sphinx.util.docutils import docutils_namespace, patch_docutils

from tools import editions

sys.path.insert(0, str(PROJECT / "book" / "_ext"))

WHICH = "```{predict} Which *one*?\n- The 1\n- The 8\n```\n"


def build(folder: Path, text: str, builder: str = "html") -> tuple[str, str]:
    """Build one page with the directive; return what it became and the warnings."""
    (folder / "index.md").write_text("# A page\n\n" + text, encoding="utf-8")
    warnings, out = io.StringIO(), folder / "_build" / builder
    settings = {
        "extensions": ["myst_parser", "predict"],
        "myst_enable_extensions": ["colon_fence"],
        "exclude_patterns": ["_build"],
        "project": "Book",
        "version": "1",
        "epub_show_urls": "no",
        "latex_documents": [("index", "book.tex", "Book", "Nobody", "manual")],
    }
    nocolor()
    with patch_docutils(str(folder)), docutils_namespace():
        app = Sphinx(
            folder,
            None,
            out,
            folder / "_build" / "trees",
            builder,
            confoverrides=settings,
            status=None,
            warning=warnings,
        )
        app.build()
    name = {"latex": "book.tex", "epub": "index.xhtml"}.get(builder, "index.html")
    # These concern the small project, and not what it is built for.
    kept = [line for line in warnings.getvalue().splitlines() if "predict" in line or "index.md" in line]
    return (out / name).read_text(encoding="utf-8"), "\n".join(kept)


def folds(page: str) -> list[str]:
    """Return the words of what each box folds away."""
    soup = BeautifulSoup(page, "html.parser")
    for link in soup.select(".headerlink"):
        link.decompose()
    return [" ".join(fold.get_text(" ").split()) for fold in soup.select(".predict-result")]


@pytest.mark.parametrize(
    "box",
    [
        WHICH,
        "```{predict}\nWhich *one*?\n\n- The 1\n- The 8\n```\n",
        ":::{predict} Which *one*?\n- The 1\n- The 8\n:::\n",
    ],
    ids=["argument", "text", "colons"],
)
def test_a_box_is_a_title_a_question_and_a_list(tmp_path, box):
    page, warnings = build(tmp_path, f"## S\n\n{box}\nThe result.\n")

    assert warnings == ""
    (found,) = BeautifulSoup(page, "html.parser").select(".predict")
    assert found.select_one(".predict-title").get_text() == "Predict first"
    assert found.select_one(".predict-question").decode_contents() == "Which <em>one</em>?"
    assert [item.get_text() for item in found.select("ul.predict-answers > li")] == ["The 1", "The 8"]
    # Without scripts nothing is hidden and nothing can be pressed.
    assert not found.select("input, button, [hidden]")
    assert folds(page) == ["The result."]


def test_a_fold_ends_at_the_next_box_or_with_its_section(tmp_path):
    text = f"## One\n\n{WHICH}\na\n\n### Inside\n\nb\n\n## Two\n\nc\n\n{WHICH}\nd\n\n{WHICH}\ne\n"

    page, warnings = build(tmp_path, text)

    assert warnings == ""
    assert folds(page) == ["a Inside b", "d", "e"]


def test_a_fold_in_the_introduction_ends_with_it(tmp_path):
    assert folds(build(tmp_path, f"{WHICH}\na\n\n## One\n\nb\n")[0]) == ["a"]


def test_sections_in_a_fold_are_listed_in_the_contents(tmp_path):
    page, _ = build(tmp_path, f"## One\n\n{WHICH}\na\n\n### Inside\n\nb\n\n```{{contents}}\n```\n")

    assert BeautifulSoup(page, "html.parser").select('.contents a[href="#inside"]')


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (WHICH.replace("- The 8\n", "") + "\nx", "1 answer, wanted are 2 to 5"),
        (
            WHICH.replace("- The 8", "\n".join("- x" for _ in range(5))) + "\nx",
            "6 answers, wanted are 2 to 5",
        ),
        (WHICH.replace(" Which *one*?", "") + "\nx", "no question"),
        ("```{predict} Which?\nThe 1 or the 8\n```\n\nx", "a list of answers"),
        ("```{predict} Which?\n```\n\nx", "a list of answers"),
        (WHICH, "nothing follows the question"),
    ],
)
def test_a_box_that_cannot_be_answered_is_a_warning(tmp_path, text, words):
    _, warnings = build(tmp_path, f"## S\n\n{text}\n")

    assert words in warnings
    assert "index.md" in warnings


@pytest.mark.parametrize("builder", ["epub", "latex", "singlehtml"])
def test_other_formats_have_question_and_answers_as_text(tmp_path, builder):
    page, warnings = build(tmp_path, f"## S\n\n{WHICH}\nThe result.\n", builder)

    assert warnings == ""
    for words in ("Predict first", "The 1", "The 8", "The result."):
        assert words in page
    assert "predict-result" not in page
    if builder == "epub":
        assert editions.epub_faults(tmp_path / "_build" / "epub" / "Book.epub") == []


def test_the_script_sends_and_stores_nothing():
    script = (PROJECT / "book" / "_static" / "predict.js").read_text(encoding="utf-8")

    assert not re.search(
        r"fetch|XMLHttpRequest|sendBeacon|localStorage|sessionStorage|cookie|indexedDB|http", script
    )


# ---- In a browser ----

in_a_browser = pytest.mark.browser
SIZES = pytest.mark.parametrize("size", [DESKTOP, PHONE], ids=["desktop", "phone"])


@pytest.fixture(scope="module")
def book(tmp_path_factory) -> Path:
    """The folder of the small book's pages."""
    return chapter_book.build(tmp_path_factory.mktemp("chapter"))


@pytest.fixture(scope="module", params=["http", "file"])
def base(request, book) -> Iterator[str]:
    """The address of the book: on a server, and as a folder that somebody copied."""
    if request.param == "file":
        yield book.as_uri() + "/"
    else:
        with browsing.served(book) as address:
            yield address


@pytest.fixture(scope="module")
def http(book) -> Iterator[str]:
    """The address of the book on a server, for what does not depend on the kind of address."""
    with browsing.served(book) as address:
        yield address


@contextmanager
def opened(browser: Browser, base: str, size: dict = DESKTOP, place: str = "", **settings) -> Iterator[Page]:
    """Open the chapter; at the end nothing may have failed or left the book."""
    scripts = settings.get("java_script_enabled", True)
    visit = Visit(f"{base}notebooks/01_x.html{place}", size["width"])
    context = browser.new_context(viewport=size, reduced_motion="reduce", **settings)
    try:
        browsing.watch(context, base, visit)
        page = context.new_page()
        page.goto(visit.address, wait_until="load")
        yield page
        if scripts:
            for key, value in page.evaluate(browsing.MEASURE).items():
                setattr(visit, key, value)
    finally:
        context.close()
    # Without scripts, those that were not loaded are no fault.
    assert not scripts or not visit.complaints(), "\n".join(visit.complaints())


def visible(page: Page, name: str) -> bool:
    """Tell whether a figure can be seen: a part that is not drawn at all has a place and no content."""
    return page.locator(f"#{name}").evaluate("node => node.checkVisibility({contentVisibilityAuto: true})")


@in_a_browser
@SIZES
def test_the_result_unfolds_with_the_choice_beside_it(browser, base, size):
    with opened(browser, base, size) as page:
        box = page.locator(".predict").first
        assert [visible(page, name) for name in ("fig-one", "fig-two", "fig-three")] == [False] * 3
        height = page.locator(".predict-result").first.bounding_box()["height"]
        assert box.locator("legend").inner_text().startswith("Predict first")
        assert not inaccessible(page, size)

        box.get_by_label("The 1").check()

        assert height == 0
        assert [visible(page, name) for name in ("fig-one", "fig-two", "fig-three")] == [True, True, False]
        assert box.get_by_role("status").inner_text() == "Your prediction: The 1"
        label = page.locator(".predict-label")
        assert label.inner_text() == "Your prediction: The 1"
        figure, place = page.locator("#fig-one").bounding_box(), label.bounding_box()
        assert 0 <= place["y"] - figure["y"] - figure["height"] < 40
        assert box.get_by_text("without guessing").is_hidden()

        # The choice may be changed, and a formula in an answer stays a formula.
        box.get_by_label("The", exact=False).nth(1).check()
        assert label.count() == 1
        assert label.locator("mjx-container").count() == 1
        assert not inaccessible(page, size)


@in_a_browser
def test_each_box_unfolds_its_own_result_only(browser, http):
    with opened(browser, http) as page:
        page.get_by_label("Yes, it is").check()
        assert [visible(page, name) for name in ("fig-one", "fig-drawn", "fig-three")] == [False, True, True]
        # A result without a figure has the label at its first output.
        page.get_by_label("Two", exact=True).check()
        labels = page.locator(".predict-label").all_inner_texts()
        assert labels == ["Your prediction: Yes, it is", "Your prediction: Two"]
        assert (
            page.locator(".predict-label")
            .nth(1)
            .evaluate("node => node.previousElementSibling.matches('.cell_output')")
        )


@in_a_browser
@SIZES
def test_the_keyboard_is_enough(browser, http, size):
    with opened(browser, http, size) as page:
        page.locator(".predict input").first.focus()
        page.keyboard.press("Space")
        assert visible(page, "fig-one")
        page.keyboard.press("ArrowDown")
        page.keyboard.press("ArrowDown")
        assert page.locator(".predict-label").inner_text() == "Your prediction: About the same"

        page.locator(".predict").nth(1).locator("input").first.focus()
        page.keyboard.press("Tab")
        assert page.evaluate("document.activeElement.textContent") == "Show the result without guessing"
        page.keyboard.press("Enter")
        assert visible(page, "fig-three")
        assert page.evaluate("document.activeElement.matches('.predict-result')")
        assert page.locator(".predict-label").count() == 1


@in_a_browser
@SIZES
@pytest.mark.parametrize("place", ["a-second-subsection", "place-two", "fig-two"])
def test_a_link_into_a_fold_unfolds_it(browser, base, size, place):
    with opened(browser, base, size, f"#{place}") as page:
        page.wait_for_function("name => document.getElementById(name).checkVisibility()", arg=place)
        page.wait_for_function(
            "name => Math.abs(document.getElementById(name).getBoundingClientRect().top) < innerHeight",
            arg=place,
        )
        assert visible(page, "fig-one")
        assert not visible(page, "fig-three")
    # The same for a link in the page, also where the address stays as it is.
    with opened(browser, base, size) as page:
        for _ in range(2):
            page.evaluate("place => location.hash = place", place)
            page.wait_for_function("() => document.getElementById('fig-one').checkVisibility()")


@in_a_browser
def test_what_is_found_in_a_fold_unfolds_it(browser, http):
    with opened(browser, http) as page:
        assert page.locator(".predict-result").first.get_attribute("hidden") == "until-found"
        # What the browser says before it shows what its search has found.
        page.locator("#a-subsection").dispatch_event("beforematch")
        assert visible(page, "fig-two")


@in_a_browser
def test_a_browser_that_cannot_search_in_a_fold_folds_as_well(browser, http):
    context = browser.new_context(viewport=DESKTOP)
    try:
        page = context.new_page()
        page.add_init_script("delete HTMLElement.prototype.onbeforematch")
        page.goto(f"{http}notebooks/01_x.html", wait_until="load")
        assert page.locator(".predict-result").first.get_attribute("hidden") == ""
        assert not visible(page, "fig-one")
        page.get_by_label("About the same").check()
        assert visible(page, "fig-one")
    finally:
        context.close()


@in_a_browser
def test_paper_has_every_result_and_the_box_stays_folded(browser, http):
    with opened(browser, http) as page:
        page.emulate_media(media="print")
        assert all(visible(page, name) for name in ("fig-one", "fig-two", "fig-three"))
        assert page.get_by_text("without guessing").first.is_hidden()
        page.emulate_media(media="screen")
        assert not visible(page, "fig-one")


@in_a_browser
@SIZES
def test_without_scripts_the_result_stands_there(browser, base, size):
    with opened(browser, base, size, java_script_enabled=False) as page:
        assert page.locator("#fig-one").is_visible()
        assert page.locator("#fig-three").is_visible()
        assert page.locator(".predict li").all_inner_texts()[2] == "About the same"
        assert page.locator(".predict :is(input, button)").count() == 0


@in_a_browser
def test_a_reload_begins_anew(browser, http):
    with opened(browser, http) as page:
        page.get_by_label("The 1").check()
        page.reload(wait_until="load")
        assert not visible(page, "fig-one")
        assert page.locator(".predict input:checked").count() == 0


# ---- The rest of what such a chapter has: hidden bookkeeping, and code that can be hidden ----


def test_bookkeeping_is_left_out_and_what_it_glued_is_used(book):
    page = BeautifulSoup((book / "notebooks" / "01_x.html").read_text(encoding="utf-8"), "html.parser")
    words = page.select_one("article").get_text()

    assert "not for readers" not in words
    assert "glue(" not in words
    assert "After the question, 0.98." in words
    assert page.select_one("#fig-drawn img")["alt"] == "A field that was glued."


@in_a_browser
@SIZES
def test_one_button_hides_the_code_and_shows_it_again(browser, http, size):
    with opened(browser, http, size) as page:
        button = page.locator("button.code-switch")
        page.get_by_text("without guessing").first.click()
        code, outputs = page.locator(".cell_input"), page.locator(".cell_output")
        assert button.inner_text() == "Hide code"
        assert button.get_attribute("aria-pressed") == "false"
        # Near the top: after the title and, where there is one, the line of times.
        assert button.bounding_box()["y"] < page.locator("article p").first.bounding_box()["y"]
        assert code.first.is_visible()

        button.focus()
        page.keyboard.press("Enter")

        assert button.inner_text() == "Show code"
        assert button.get_attribute("aria-pressed") == "true"
        assert code.first.is_hidden()
        assert code.nth(1).is_hidden()
        assert outputs.first.is_visible()
        assert not inaccessible(page, size)
        page.emulate_media(media="print")
        assert code.first.is_visible()
        assert button.is_hidden()
        page.emulate_media(media="screen")
        page.locator(".solution button.toggle-button").click()
        assert page.locator(".solution .cell_input").is_visible()

        button.click()
        assert code.first.is_visible()


@in_a_browser
def test_a_page_without_code_has_no_such_button_nor_one_without_scripts(browser, http):
    with opened(browser, http, java_script_enabled=False) as page:
        assert page.locator("button.code-switch").count() == 0
        assert page.locator(".cell_input").first.is_visible()
    context = browser.new_context(viewport=DESKTOP)
    try:
        page = context.new_page()
        page.goto(f"{http}book/index.html", wait_until="load")
        assert page.locator("button.code-switch").count() == 0
    finally:
        context.close()
