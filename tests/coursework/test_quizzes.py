"""The quizzes at the ends of the chapters are complete, and so is the page that is made of them."""

import io
import re
import sys
from html.parser import HTMLParser

import pytest
import yaml
from docutils import nodes
from sphinx.application import Sphinx
from sphinx.util.docutils import docutils_namespace

from tools import editions
from tools.coursework.places import PROJECT

sys.path.insert(0, str(PROJECT / "book" / "_ext"))

import quizzes

QUIZZES = quizzes.read_quizzes(PROJECT / "book" / "quizzes.yml")
QUESTIONS = [
    {"ask": "a < b & c?", "answers": ["<b>", '"x"'], "right": 1, "because": ["No.", 'Yes. "q"']},
    {"ask": "And d?", "answers": ["e", "f", "g"], "right": 0, "because": ["Yes. E.", "No.", "No."]},
]


def test_every_chapter_has_three_questions():
    chapters = sorted(f"notebooks/{path.stem}" for path in (PROJECT / "notebooks").glob("*.ipynb"))

    assert sorted(QUIZZES) == chapters
    assert {len(questions) for questions in QUIZZES.values()} == {3}


def test_right_answers_are_not_always_in_the_same_place():
    places = [question["right"] for questions in QUIZZES.values() for question in questions]

    assert set(places) == {0, 1, 2}
    assert max(places.count(place) for place in range(3)) < len(places) * 2 / 3


class Inputs(HTMLParser):
    def __init__(self):
        super().__init__()
        self.inputs, self.open = [], []

    def handle_starttag(self, tag, attributes):
        if tag == "input":
            self.inputs.append(dict(attributes))
        else:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


def test_the_page_has_one_right_answer_a_question_and_escapes_text():
    html = quizzes.quiz_html(QUESTIONS[:1])
    parser = Inputs()
    parser.feed(html)

    assert parser.open == []
    assert [entry["data-verdict"] for entry in parser.inputs] == ["wrong", "right"]
    assert parser.inputs[1]["data-because"] == 'Yes. "q"'
    assert "a &lt; b &amp; c?" in html
    assert "<noscript>" in html


def test_in_print_the_right_answers_come_after_the_questions():
    asked, right = (
        part for part in quizzes.printed_quiz(QUESTIONS) if isinstance(part, nodes.enumerated_list)
    )
    assert [len(question[1]) for question in asked] == [2, 3]
    assert [answer.astext() for answer in right] == ['b. Yes. "q"', "a. Yes. E."]


@pytest.mark.parametrize("builder", ["html", "epub", "latex"])
def test_every_format_has_the_quizzes_of_its_own_pages(tmp_path, builder):
    for name in ("one", "two"):
        (tmp_path / f"{name}.rst").write_text(f"Chapter {name}\n===========\n\nText.\n")
    (tmp_path / "index.rst").write_text("Book\n====\n\n.. toctree::\n\n   one\n   two\n")
    (tmp_path / "book").mkdir()
    (tmp_path / "book" / "quizzes.yml").write_text(yaml.safe_dump({"one": QUESTIONS, "two": QUESTIONS[1:]}))
    confoverrides = {"extensions": ["quizzes"], "project": "Book", "version": "1", "epub_show_urls": "no"}
    out = tmp_path / "out"
    # Nothing of this build is to be left for the builds of other tests.
    with docutils_namespace():
        app = Sphinx(
            tmp_path,
            None,
            out,
            tmp_path / "trees",
            builder,
            confoverrides=confoverrides,
            warning=io.StringIO(),
        )
        app.build()

    if builder == "latex":
        (file,) = out.glob("*.tex")
        first, second = file.read_text(encoding="utf-8").split(r"\chapter{Chapter two}")
    else:
        first, second = (
            (out / f"{name}{app.builder.out_suffix}").read_text(encoding="utf-8") for name in ("one", "two")
        )
    if builder == "epub":
        assert editions.epub_faults(out / "Book.epub") == []
    assert ("<form" in first) == (builder == "html")
    assert (r"\section{Quiz}" if builder == "latex" else "<h2>Quiz</h2>") in first
    assert [text.count("And d?") for text in (first, second)] == [1, 1]
    assert "c?" in first
    assert "c?" not in second


@pytest.mark.parametrize(
    "text",
    [
        "a: [{ask: x, answers: [a, b], right: 2, because: ['Yes.', 'No.']}]",
        "a: [{ask: x, answers: [a, b], right: 0, because: ['Yes.']}]",
        "a: [{ask: x, answers: [a, b], right: 0}]",
        "a: [{ask: x, answers: [a, b], right: 0, because: ['No.', 'Yes.']}]",
    ],
)
def test_an_incomplete_quiz_is_refused(tmp_path, text):
    (tmp_path / "quizzes.yml").write_text(text)

    with pytest.raises(ValueError, match=r"quizzes\.yml, a"):
        quizzes.read_quizzes(tmp_path / "quizzes.yml")


def test_the_script_sends_and_stores_nothing():
    script = (PROJECT / "book" / "_static" / "quiz.js").read_text(encoding="utf-8")

    assert not re.search(
        r"fetch|XMLHttpRequest|sendBeacon|localStorage|sessionStorage|cookie|indexedDB", script
    )
