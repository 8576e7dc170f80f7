"""Every page of the built book in a browser: over http and from a folder, on a desk and on a phone."""

from __future__ import annotations

import json

import browsing
import page_checks
import pytest
from browsing import (
    DESKTOP,
    PHONE,
    Visit,
    complaints,
    find_browser,
    open_page,
    served,
    transfer,
)

from tools.notebook_code import find_notebooks, name_of

pytestmark = pytest.mark.browser

HEAD = '<!DOCTYPE html><html lang="en"><head><meta charset="utf-8"><title>t</title>'


@pytest.fixture(scope="module", params=["http", "file"])
def base(request, site) -> str:
    """The address of the book: on a server, and as a folder that somebody copied."""
    if request.param == "file":
        yield site.as_uri() + "/"
    else:
        with served(site) as address:
            yield address


def test_every_page_works(browser, base, site):
    # Pictures are for people to look at; one of each page and width is enough, so only over http. The same
    # holds for what axe-core says, in the light and in the dark.
    pictures = site.parent / "screenshots" if base.startswith("http") else None
    found, formulas = [], 0
    for name, page in page_checks.all_pages(site).items():
        if page.redirect:
            continue
        picture = pictures / name.removesuffix(".html").replace("/", "-") if pictures else None
        visits = open_page(browser, base, name, picture=picture, accessibility=picture is not None)
        found += complaints(visits)
        formulas += visits[0].typeset
    assert not found, "\n".join(["", *found])
    assert formulas > 0, "no page shows a formula, so nothing was learned about formulas"


def test_the_start_of_the_book_leads_to_its_first_page(browser, base):
    visit = Visit(base + "index.html", DESKTOP["width"])
    context = browser.new_context(viewport=DESKTOP)
    try:
        browsing.watch(context, base, visit)
        page = context.new_page()
        page.goto(visit.address)
        page.wait_for_url(base + "book/index.html")
        heading = page.locator("article h1").inner_text()
    finally:
        context.close()
    assert heading.startswith("Deep Autoencoders")
    assert not visit.complaints(), "\n".join(visit.complaints())


@pytest.mark.parametrize("size", [DESKTOP, PHONE], ids=["desktop", "phone"])
def test_the_search_finds_a_word(browser, base, size):
    visit = Visit(base + "search.html", size["width"])
    context = browser.new_context(viewport=size)
    try:
        browsing.watch(context, base, visit)
        page = context.new_page()
        page.goto(visit.address + "?q=autoencoder", wait_until="load")
        page.locator("#search-results ul.search li a").first.wait_for()
        found = page.locator("#search-results ul.search li a").all_inner_texts()
        # The search fetches the pages that it found; going on before they came would break that off.
        page.wait_for_load_state("networkidle")
        page.goto(visit.address + "?q=zyzzyva", wait_until="load")
        page.get_by_text("did not match any documents").wait_for()
    finally:
        context.close()
    assert any("Glossary" in text for text in found), found
    assert not visit.complaints(), "\n".join(visit.complaints())


def test_the_search_box_of_a_page_leads_to_results(browser, base):
    visit = Visit(base + "book/index.html", DESKTOP["width"])
    context = browser.new_context(viewport=DESKTOP)
    try:
        browsing.watch(context, base, visit)
        page = context.new_page()
        page.goto(visit.address, wait_until="load")
        assert page.locator("form.bd-search").count() == 1, "there is more than one search box"
        # The digit to draw comes into view and loads its network; leaving before would break that off.
        page.locator(".dae-live[data-state=live]").wait_for()
        page.keyboard.press("Control+k")
        page.locator("form.bd-search input[type=search]").fill("bottleneck")
        page.keyboard.press("Enter")
        page.locator("#search-results ul.search li a").first.wait_for()
    finally:
        context.close()
    assert not visit.complaints(), "\n".join(visit.complaints())


CHAPTERS = [name_of(path) for path in find_notebooks()]
FIRST = next(name for name in CHAPTERS if name.startswith("01_"))
LARGEST_TRANSFER = 3_000_000


@pytest.mark.parametrize("chapter", CHAPTERS)
def test_a_chapter_is_not_large(browser, site, chapter):
    # Bytes as a server sends them, all figures loaded. Milliseconds would depend on the rest of the machine.
    with served(site, packed=True) as address:
        sizes = transfer(browser, f"{address}notebooks/{chapter}.html")
    total = sum(sizes.values())
    print(f"{chapter}: {total / 1e6:.2f} MB")
    assert total <= LARGEST_TRANSFER, sizes.most_common(5)


def test_a_chapter_can_be_downloaded_as_a_notebook(browser, base, site):
    name = FIRST
    context = browser.new_context(viewport=DESKTOP, accept_downloads=True)
    try:
        page = context.new_page()
        page.goto(f"{base}notebooks/{name}.html", wait_until="load")
        page.get_by_label("Download this page").click()
        button = page.locator("a.btn-download-source-button")
        if base.startswith("http"):
            with page.expect_download() as caught:
                button.click()
            assert caught.value.suggested_filename == f"{name}.ipynb"
            text = caught.value.path().read_text(encoding="utf-8")
        else:
            # A page that was opened as a file may not save another: it is shown, and can be saved from there.
            with context.expect_page() as caught:
                button.click()
            caught.value.wait_for_load_state()
            text = caught.value.locator("body").inner_text()
        content = json.loads(text)
    finally:
        context.close()
    assert [cell for cell in content["cells"] if cell["cell_type"] == "code"]


def test_the_keyboard_reaches_what_scrolls_and_shows_where_it_is(browser, base):
    context = browser.new_context(viewport=PHONE)
    try:
        page = context.new_page()
        page.goto(f"{base}notebooks/{FIRST}.html", wait_until="load")
        page.evaluate(browsing.NEXT_FRAME)
        page.keyboard.press("Tab")
        skip = page.evaluate("document.activeElement.textContent.trim()")
        unreachable = page.evaluate(
            """() => [...document.querySelectorAll("article :is(pre, .output, [class*=scrollable])")]
                .filter((box) => box.scrollWidth > box.clientWidth + 1)
                .filter((box) => getComputedStyle(box).overflowX !== "visible")
                .filter((box) => box.tabIndex < 0 && !box.querySelector("[tabindex='0'], a, button"))
                .map((box) => box.outerHTML.slice(0, 80))"""
        )
        page.locator("article a").first.focus()
        page.keyboard.press("Tab")
        ring = page.evaluate("getComputedStyle(document.activeElement).outlineStyle")
    finally:
        context.close()
    assert skip == "Skip to main content"
    assert not unreachable
    assert ring != "none"


def test_the_scoreboard_unfolds(browser, base):
    context = browser.new_context(viewport=PHONE)
    try:
        page = context.new_page()
        page.goto(base + "book/results.html", wait_until="load")
        before = page.evaluate("document.documentElement.scrollHeight")
        tables = page.locator("article details table")
        assert tables.count() >= len(CHAPTERS)
        assert not tables.first.is_visible()
        page.locator("article details summary").first.focus()
        page.keyboard.press("Enter")
        tables.first.wait_for()
    finally:
        context.close()
    assert before < 25_000, "the page is longer than thirty screens of a phone"


def test_paper_is_white_and_has_every_figure(browser, base, tmp_path):
    context = browser.new_context(viewport=DESKTOP, color_scheme="dark")
    try:
        page = context.new_page()
        page.goto(f"{base}notebooks/{FIRST}.html", wait_until="load")
        page.emulate_media(media="print")
        paper = page.evaluate("getComputedStyle(document.querySelector('.bd-article')).backgroundColor")
        body = page.evaluate("getComputedStyle(document.body).backgroundColor")
        hidden = page.locator(".bd-sidebar-primary").is_visible()
        page.emulate_media(media=None)
        printed = page.pdf()
    finally:
        context.close()
    assert not hidden
    assert {brightness(colour) for colour in (paper, body)} <= {0.0, 1.0}
    assert brightness(body) == 1.0
    # Figures, not only their places: without them the file has half the size.
    assert printed.count(b"/Subtype /Image") >= 8


def test_a_figure_stands_on_a_light_plate_in_the_dark(browser, base):
    context = browser.new_context(viewport=DESKTOP, color_scheme="dark")
    try:
        page = context.new_page()
        page.goto(base + "book/index.html", wait_until="load")
        paper = page.evaluate("getComputedStyle(document.body).backgroundColor")
        plate = page.evaluate("getComputedStyle(document.querySelector('article img')).backgroundColor")
    finally:
        context.close()
    assert brightness(paper) < 0.3, f"the page is not dark: {paper}"
    assert brightness(plate) > 0.9, f"the plate is not light: {plate}"


def brightness(colour: str) -> float:
    """Return the mean of the three parts of `rgb(r, g, b)`, between 0 and 1; 0 for a transparent colour."""
    parts = [float(part) for part in colour.split("(")[1].rstrip(")").split(",")]
    return 0.0 if len(parts) == 4 and parts[3] == 0 else sum(parts[:3]) / (3 * 255)


# The checks themselves: pages that are wrong on purpose.


@pytest.mark.parametrize(
    ("fault", "says"),
    [
        (
            '<script src="https://example.org/x.js"></script>',
            "asked another host for https://example.org/x.js",
        ),
        ("<style>@import url('https://example.org/x.css');</style>", "asked another host"),
        ("<script>fetch('https://example.org/x')</script>", "asked another host"),
        ('<img src="nowhere.png" alt="Nothing">', "could not load"),
        ("<script>throw new Error('Oh')</script>", "the console says"),
        ('<p style="width: 2000px">wide</p>', "px too wide, because of ['p']"),
        ('<article><span class="math">x^2</span></article>', "only 0 of 1 formulas"),
    ],
)
@pytest.mark.parametrize("scheme", ["http", "file"])
def test_a_page_with_a_fault_is_found(browser, tmp_path, scheme, fault, says):
    (tmp_path / "page.html").write_text(f"{HEAD}</head><body><p>x</p>{fault}</body></html>", encoding="utf-8")
    with served(tmp_path) as address:
        base = address if scheme == "http" else tmp_path.as_uri() + "/"
        found = complaints(open_page(browser, base, "page.html", [PHONE]))
    assert any(says in complaint for complaint in found), found


def test_a_page_that_shuts_somebody_out_is_found(browser, tmp_path):
    faults = '<main><h1>x</h1><p style="color: #ccc; background: #fff">pale</p><button></button></main>'
    (tmp_path / "page.html").write_text(f"{HEAD}</head><body>{faults}</body></html>", encoding="utf-8")
    with served(tmp_path) as address:
        found = complaints(open_page(browser, address, "page.html", [DESKTOP], accessibility=True))
    assert any("color-contrast" in complaint for complaint in found), found
    assert any("button-name" in complaint for complaint in found), found


def test_what_came_is_counted_as_it_was_sent(browser, tmp_path):
    page = f"{HEAD}<link rel='icon' href='data:,'></head><body>{'again ' * 10_000}</body></html>"
    (tmp_path / "page.html").write_text(page, encoding="utf-8")
    with served(tmp_path, packed=True) as address:
        sizes = transfer(browser, address + "page.html")
    assert 0 < sum(sizes.values()) < 2000


def test_a_page_without_a_fault_gives_no_complaint(browser, tmp_path):
    body = '<div style="overflow-x: auto"><p style="width: 2000px">wide, but it scrolls</p></div>'
    icon = '<link rel="icon" href="data:,">'
    (tmp_path / "page.html").write_text(f"{HEAD}{icon}</head><body>{body}</body></html>", encoding="utf-8")
    with served(tmp_path) as address:
        assert complaints(open_page(browser, address, "page.html")) == []


def test_without_a_browser_the_way_out_is_said(monkeypatch):
    monkeypatch.setenv("DAE_CHROMIUM", "/nowhere/chromium")
    with pytest.raises(FileNotFoundError, match="DAE_CHROMIUM=/nowhere/chromium") as caught:
        find_browser()
    assert browsing.HOW_TO_INSTALL in str(caught.value)

    monkeypatch.delenv("DAE_CHROMIUM")
    monkeypatch.setenv("PATH", "")
    with pytest.raises(FileNotFoundError, match="No Chromium"):
        find_browser()
