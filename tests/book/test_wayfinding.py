"""What helps to find one's way: times, teasers, concept map, index, recipes, and words of the glossary."""

from __future__ import annotations

import json
import re
import sys

import page_checks
import pytest
import yaml
from browsing import DESKTOP, PHONE, open_browser
from bs4 import BeautifulSoup
from docutils import nodes
from page_checks import PROJECT

sys.path.insert(0, str(PROJECT / "book" / "_ext"))

import glossary_links
import own_numbers
import wayfinding

from tools.notebook_code import find_chapters

WORDS = {
    "code": ("term-code", "The few numbers."),
    "anomaly": ("term-anomaly", "A sample that does not come from where the others come from."),
    "anomaly score": ("term-anomaly-score", 'A number; "higher" is more anomalous & <worse>.'),
}


def paragraph(*children: nodes.Node | str, **settings) -> nodes.paragraph:
    parts = [nodes.Text(child) if isinstance(child, str) else child for child in children]
    return nodes.paragraph("", "", *parts, **settings)


def document(*children: nodes.Node) -> nodes.document:
    return nodes.document(None, None, "", *children)


def shown(doctree: nodes.Node) -> str:
    return "".join(node.astext() for node in doctree.findall(nodes.Text))


# ---- Words of the glossary ----


def test_the_first_use_of_each_word_is_linked_and_no_other():
    doctree = document(
        nodes.title("", "Anomaly scores"),
        paragraph("An anomaly score, two anomaly scores, and an anomaly."),
        paragraph("Another anomaly, and the code."),
    )

    linked = glossary_links.link_words(doctree, WORDS, {}, "glossary.html")

    assert linked == ["anomaly score", "anomaly", "code"]
    first, second, third = (node.astext() for node in doctree.findall(nodes.raw))
    assert 'href="glossary.html#term-anomaly-score"' in first
    assert 'data-meaning="A number; &quot;higher&quot; is more anomalous &amp; &lt;worse&gt;."' in first
    assert ">anomaly score</a>" in first
    assert ">anomaly</a>" in second
    assert ">code</a>" in third
    assert "Another anomaly" in shown(doctree)


@pytest.mark.parametrize(
    "child",
    [
        nodes.literal("", "code"),
        nodes.reference("", "code", refuri="x"),
        nodes.math("", "code"),
        nodes.inline("", "code", classes=["result"]),
    ],
)
def test_names_links_and_formulas_stay_as_they_are(child):
    doctree = document(paragraph("A ", child, "."))

    assert glossary_links.link_words(doctree, WORDS, {}, "g") == []
    assert list(doctree.findall(nodes.raw)) == []


@pytest.mark.parametrize(
    "around",
    [
        nodes.container("", classes=["cell_output"]),
        nodes.admonition("", classes=["exercise"]),
        nodes.container("", classes=["predict-answers"]),
        nodes.entry(""),
        nodes.legend(""),
    ],
)
def test_outputs_exercises_tables_and_captions_are_left_alone(around):
    around += paragraph("the code")
    if isinstance(around, nodes.entry):
        around = nodes.table("", nodes.tgroup("", nodes.tbody("", nodes.row("", around))))

    assert glossary_links.link_words(document(around), WORDS, {}, "g") == []


@pytest.mark.parametrize(
    ("text", "linked"),
    [
        ("Decode, encoder, barcode", []),
        ("code.py and code_size and src/code", []),
        ("code(x) and code=1", []),
        ("Code, with a capital", ["code"]),
        ("codes", ["code"]),
        ("an anomaly\nscore", ["anomaly score"]),
    ],
)
def test_only_whole_words_count(text, linked):
    assert glossary_links.link_words(document(paragraph(text)), WORDS, {}, "g") == linked


def test_a_word_with_forms_is_linked_in_these_only():
    forms = {"code": ["the code"], "anomaly": []}

    assert glossary_links.link_words(document(paragraph("A code, an anomaly")), WORDS, forms, "g") == []
    assert glossary_links.link_words(document(paragraph("It is the code.")), WORDS, forms, "g") == ["code"]


def test_a_meaning_is_cut_between_sentences():
    text = "First sentence. Second one here. Third."

    assert glossary_links.shortened(text, 32) == "First sentence. Second one here."
    assert glossary_links.shortened(text, 3) == "First sentence."
    assert glossary_links.shortened(text) == text


# ---- Numbers, times ----


def test_a_published_number_is_found_in_any_file(tmp_path):
    (tmp_path / "01_a.json").write_text(json.dumps({"a.b": {"value": 0.5}}))
    (tmp_path / "02_b.json").write_text(json.dumps({"c.d": {"value": 0.25}}))
    (tmp_path / "studies").mkdir()
    both = {"e.f": {"value": 2.0}, "a.b": {"value": 0.75}}
    (tmp_path / "studies" / "01_s.json").write_text(json.dumps(both))

    assert wayfinding.published_number(tmp_path, "a.b") == 0.75
    assert wayfinding.published_number(tmp_path, "c.d") == 0.25
    assert wayfinding.published_number(tmp_path, "e.f") == 2.0
    assert wayfinding.published_number(tmp_path, "c.e") is None


def test_only_what_is_read_counts_as_reading():
    doctree = document(
        paragraph("one two three"),
        nodes.literal_block("", "not these words"),
        nodes.container("", paragraph("nor these"), classes=["cell_output"]),
        nodes.admonition("", paragraph("nor this"), classes=["solution", "dropdown"]),
        nodes.bullet_list("", nodes.list_item("", paragraph("four"))),
    )

    assert wayfinding.words_to_read(doctree) == 4


def test_the_line_of_times_says_what_was_measured():
    run = {"seconds": 812.3, "machine": "2 cores, x86_64"}

    assert wayfinding.times_line(4210, run, 61.2) == (
        "To read: about 21 min · to run: 13 min 32 s on 2 cores · quick run: 1 min 1 s"
    )
    assert wayfinding.times_line(10, {}) == "To read: about 1 min"
    # A study goes on from trials that were stored before.
    assert "stored trials: 13 min 32 s" in wayfinding.times_line(4210, run, is_study=True)


# ---- Concept map, recipes ----

CONCEPTS = [
    {"name": "a"},
    {"name": "b", "needs": ["a"]},
    {"name": "c", "needs": ["a"]},
    {"name": "d & e", "needs": ["b", "a"]},
]


def test_a_concept_stands_below_all_that_it_builds_on():
    assert wayfinding.levels(CONCEPTS) == {"a": 0, "b": 1, "c": 1, "d & e": 2}
    assert [[c["name"] for c in row] for row in wayfinding.rows_of(CONCEPTS, 1)] == [
        ["a"],
        ["b"],
        ["c"],
        ["d & e"],
    ]
    with pytest.raises(ValueError, match="a builds on z"):
        wayfinding.levels([{"name": "a", "needs": ["z"]}])


@pytest.mark.parametrize("kind", ["wide", "narrow"])
def test_the_drawing_has_a_link_for_each_concept_and_lines_to_what_it_builds_on(kind):
    links = {concept["name"]: f"page.html#{number}" for number, concept in enumerate(CONCEPTS)}
    draw = {"wide": wayfinding.drawing, "narrow": wayfinding.tree}[kind]

    drawing = BeautifulSoup(draw(CONCEPTS, links), "html.parser")

    shown = {a.get_text().strip(): a["href"] for a in drawing.find_all("a")}
    assert shown == links
    # The narrow one has a line to the first concept only.
    assert len(drawing.find_all("path")) == {"wide": 4, "narrow": 3}[kind]
    width, height = map(float, drawing.svg["viewbox"].split()[2:])
    assert width < 760
    boxes = [[float(box[key]) for key in ("x", "y", "width", "height")] for box in drawing.find_all("rect")]
    assert all(x >= 0 and y >= 0 and x + w <= width and y + h <= height for x, y, w, h in boxes)
    overlaps = [
        (one, other)
        for number, one in enumerate(boxes)
        for other in boxes[:number]
        if abs(one[0] - other[0]) < one[2] and abs(one[1] - other[1]) < one[3]
    ]
    assert overlaps == []


def test_a_recipe_stands_before_the_further_reading():
    cells = [
        {"cell_type": "code", "source": ["## Further reading\n"]},
        {"cell_type": "markdown", "source": ["The end.\n", "\n", "## Further reading\n", "\n", "- a\n"]},
    ]

    changed = json.loads(wayfinding.with_recipe(json.dumps({"cells": cells}), "## Recipe\n\nText.\n"))

    assert changed["cells"][0] == cells[0]
    text = "".join(changed["cells"][1]["source"])
    assert text == "The end.\n\n## Recipe\n\nText.\n\n## Further reading\n\n- a\n"
    with pytest.raises(ValueError, match="no section"):
        wayfinding.with_recipe(json.dumps({"cells": cells[:1]}), "x")


def test_a_study_belongs_to_the_chapter_of_its_number():
    chapters = ["notebooks/00_a", "notebooks/01_b", "notebooks/studies/01_s", "book/index"]

    assert wayfinding.chapter_of("notebooks/studies/01_s", chapters) == "notebooks/01_b"
    assert wayfinding.chapter_of("notebooks/studies/00_t", chapters) == "notebooks/00_a"
    assert wayfinding.chapter_of("notebooks/studies/02_u", chapters) is None
    assert wayfinding.chapter_of("notebooks/01_b", chapters) is None


def test_figures_of_a_page_without_a_number_begin_with_1():
    numbers = {"figure": {"fig-b": (9,), "fig-a": (8,)}, "table": {"tab-c": (2, 1)}}

    own_numbers.renumber(numbers)

    assert numbers == {"figure": {"fig-b": (2,), "fig-a": (1,)}, "table": {"tab-c": (2, 1)}}


# ---- The built book ----


@pytest.fixture(scope="module")
def pages(site):
    return page_checks.all_pages(site)


def chapters(pages):
    return {name: page for name, page in pages.items() if re.match(r"notebooks/\d\d_", name)}


def test_every_chapter_says_how_long_it_takes_and_has_its_recipe(pages):
    assert len(chapters(pages)) == len(find_chapters())
    for name, page in chapters(pages).items():
        line = page.soup.select_one("article .chapter-times").get_text()
        assert re.search(r"To read: about \d+ min · to run: [\d.]+ (?:s|min|h)", line), (name, line)
        headings = [heading.get_text().rstrip("#") for heading in page.soup.select("article h2")]
        recipe = PROJECT / "book" / "recipes" / f"{name.partition('/')[2][:2]}.md"
        assert ("On your own data" in headings) == recipe.is_file(), name
        assert headings[-2:] == ["Further reading", "Quiz"], name
        assert not recipe.is_file() or headings[-3] == "On your own data", name


def test_the_neighbours_of_a_page_say_what_they_are(pages):
    teasers = yaml.safe_load((PROJECT / "book" / "wayfinding.yml").read_text(encoding="utf-8"))["teasers"]
    page = pages["notebooks/02_cifar10_convolutional.html"]

    shown = [tag.get_text() for tag in page.soup.select(".prev-next-area .teaser")]

    assert shown == [
        teasers["notebooks/01_mnist_anomaly_detection"],
        teasers["notebooks/03_fashion_mnist_deep"],
    ]


def test_no_word_is_linked_twice_on_a_page_and_none_in_a_heading(pages):
    for name, page in pages.items():
        targets = [a["href"] for a in page.soup.select("a.glossary-term")]
        assert len(targets) == len(set(targets)), name
        assert not page.soup.select("h1 a.glossary-term, h2 a.glossary-term, pre a.glossary-term, a a"), name
    assert all(len(page.soup.select("a.glossary-term")) > 10 for page in chapters(pages).values())


def test_the_index_has_the_words_of_the_glossary_and_the_topics_of_the_chapters(pages):
    index = pages["genindex.html"]
    text = index.soup.get_text(" ")

    assert text.count("Index") >= 1
    for entry in ("autoencoder", "interpolation", "near-duplicates", "hypercolumns"):
        assert entry in text
    assert index.soup.find("a", href=re.compile(r"^book/glossary\.html#term-"))
    assert index.soup.find("a", href=re.compile(r"^notebooks/07_encoder_search\.html#"))
    assert pages["book/index.html"].soup.select('article a[href="../genindex.html"]')


def test_the_home_page_shows_three_results_of_the_runs(pages):
    shown = [tag.get_text() for tag in pages["book/index.html"].soup.select(".three-results .result")]
    value = wayfinding.published_number(PROJECT / "notebooks" / "results", "mnist.nine_normal.auroc")

    assert len(shown) == 7
    assert shown[0] == f"{value:.3f}"


# ---- In a browser ----


@pytest.fixture(scope="module")
def browser():
    with open_browser() as opened:
        yield opened


@pytest.mark.browser
@pytest.mark.parametrize("size", [DESKTOP, PHONE], ids=["desktop", "phone"])
def test_the_meaning_of_a_word_shows_on_focus_and_hides_on_escape(browser, site, size):
    context = browser.new_context(viewport=size)
    try:
        page = context.new_page()
        page.goto((site / "notebooks" / "01_mnist_anomaly_detection.html").as_uri(), wait_until="load")
        words = page.locator("a.glossary-term")
        box = page.locator("#glossary-meaning")
        assert box.count() == 0
        for number in range(min(words.count(), 8)):
            word = words.nth(number)
            word.focus()
            box.wait_for(state="visible")
            assert box.inner_text() == word.get_attribute("data-meaning")
            assert word.get_attribute("aria-describedby") == "glossary-meaning"
            place = box.bounding_box()
            assert place["x"] >= 0
            assert place["x"] + place["width"] <= size["width"]
        page.keyboard.press("Escape")
        box.wait_for(state="hidden")
        assert words.nth(7).get_attribute("aria-describedby") is None
        words.first.scroll_into_view_if_needed()
        words.first.hover()
        box.wait_for(state="visible")
        box.hover()
        page.wait_for_timeout(400)
        assert box.is_visible(), "it has to stay while the pointer is on it"
        page.mouse.move(0, 0)
        box.wait_for(state="hidden")
    finally:
        context.close()


@pytest.mark.browser
@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("size", [DESKTOP, PHONE], ids=["desktop", "phone"])
def test_one_concept_map_is_shown_and_can_be_read(browser, site, size, scheme):
    context = browser.new_context(viewport=size, color_scheme=scheme)
    try:
        page = context.new_page()
        page.goto((site / "book" / "paths.html").as_uri(), wait_until="load")
        maps = page.locator("svg.concept-map")
        visible = [number for number in range(maps.count()) if maps.nth(number).is_visible()]
        assert len(visible) == 1
        shown = maps.nth(visible[0])
        place = shown.bounding_box()
        assert place["x"] >= 0
        assert place["x"] + place["width"] <= size["width"]
        # Letters of at least 10 pixels on the screen, and none outside its box.
        scale = place["width"] / float(shown.get_attribute("viewBox").split()[2])
        assert 13 * scale >= 10
        outside = shown.evaluate(
            """svg => [...svg.querySelectorAll("a")].filter(a => {
                 const box = a.querySelector("rect").getBoundingClientRect();
                 const text = a.querySelector("text").getBoundingClientRect();
                 return text.left < box.left || text.right > box.right
                     || text.top < box.top || text.bottom > box.bottom;
               }).map(a => a.textContent)"""
        )
        assert outside == []
        colours = shown.evaluate(
            """svg => ["text", "rect"].map(name => getComputedStyle(svg.querySelector(name)).fill)"""
        )
        assert colours[0] != colours[1]
        shown.locator("a", has_text="binary codes").click()
        page.wait_for_url("**/07_encoder_search.html#*")
    finally:
        context.close()
