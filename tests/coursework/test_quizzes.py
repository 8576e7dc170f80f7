"""The quizzes at the ends of the chapters are complete, and so is the page that is made of them."""

import re
import sys
from html.parser import HTMLParser

import pytest

from tools.coursework.places import PROJECT

sys.path.insert(0, str(PROJECT / "book" / "_ext"))

import quizzes

QUIZZES = quizzes.read_quizzes(PROJECT / "book" / "quizzes.yml")


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
    questions = [{"ask": "a < b & c?", "answers": ["<b>", '"x"'], "right": 1, "because": ["No.", 'Yes. "q"']}]

    html = quizzes.quiz_html(questions)
    parser = Inputs()
    parser.feed(html)

    assert parser.open == []
    assert [entry["data-verdict"] for entry in parser.inputs] == ["wrong", "right"]
    assert parser.inputs[1]["data-because"] == 'Yes. "q"'
    assert "a &lt; b &amp; c?" in html
    assert "<noscript>" in html


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
